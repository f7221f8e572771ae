/* Which samples to take: answered correctly, and equally many per group and half. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "study/data_draw.h"
#include "study/data_pairs.h"
#include "study/data_words.h"

typedef enum half_by { NO_HALVES, BY_ORDER, BY_PICTURE } half_by;

typedef struct rule {
  const char *name;
  size_t count; /* per group and half; 0: all */
  half_by half;
  bool each_answer;      /* at least one sample of every correct answer in a group */
  bool answers_group;    /* the correct answer is the group where the table has none */
  bool ignore_case;      /* of the generated answer */
  bool asks_or;          /* the text has the word "or"; a missing question mark is added */
  bool fooled_corrupted; /* the answer to the corrupted input is another one */
} rule;

static const rule rules[] = {
    {.name = "fer", .count = 250, .half = BY_ORDER, .answers_group = true},
    {.name = "mit-states", .count = 250, .half = BY_ORDER, .each_answer = true},
    {.name = "svo", .count = 500, .half = BY_PICTURE, .ignore_case = true, .asks_or = true},
    {.name = "cifar10", .half = NO_HALVES, .answers_group = true, .fooled_corrupted = true},
};
enum { NRULES = sizeof rules / sizeof *rules };

typedef struct selection {
  const rule *rule;
  const fv_select_options *o;
  fv_pairs *pairs;
  size_t count;        /* per group and half; SIZE_MAX: all */
  int *half;           /* [count] 0 or 1; -1: the sample is out already */
  bool *taken;         /* [count] */
  size_t *cell, *draw; /* [count] scratch: the samples of a group and half; what is drawn of them */
  size_t ntaken, *order;
} selection;

static bool contains(const fv_words *w, const char *word, size_t *at) {
  for (*at = 0; *at < w->count; ++*at)
    if (fv_words_is(w, *at, word)) return true;
  return false;
}

/* 1 when the text names the correct answer first, 0 when second, -1 when that cannot be seen. */
static int correct_first(const fv_pair *p) {
  fv_words w;
  size_t right, wrong;
  const char *text = p->question ? p->question : p->prompt;
  if (p->correct_first >= 0 || !text || !p->correct || !p->incorrect) return p->correct_first;
  fv_words_cut(text, &w);
  return contains(&w, p->correct, &right) && contains(&w, p->incorrect, &wrong) ? right < wrong : -1;
}

/* 0 for the positive picture, 1 for the negative one, -1 unknown. */
static int picture_half(const fv_pair *p) {
  const char *picture = fv_pair_field(p, "picture"), *pos = fv_pair_field(p, "pos_url");
  const char *neg = fv_pair_field(p, "neg_url");
  if (picture) return strcmp(picture, "positive") == 0 ? 0 : strcmp(picture, "negative") == 0 ? 1 : -1;
  if (!p->image) return -1;
  return pos && strcmp(p->image, pos) == 0 ? 0 : neg && strcmp(p->image, neg) == 0 ? 1 : -1;
}

/* Why a sample cannot be taken, or NULL; sets its half, and its group and question mark where the rule says so. */
static fv_status judge(selection *s, size_t i, const char **reason, fv_error *err) {
  fv_pair *p = &s->pairs->list[i];
  const rule *r = s->rule;
  const char *said = fv_pair_field(p, "generated"), *fooled = fv_pair_field(p, "generated_corrupt");
  const char *text = p->question ? p->question : p->prompt;
  fv_status st = FV_OK;
  s->half[i] = -1;
  *reason = NULL;
  if (!said)
    *reason = "there is no generated answer";
  else if (!p->correct)
    *reason = "there is no correct answer";
  else if (r->ignore_case ? strcasecmp(said, p->correct) != 0 : strcmp(said, p->correct) != 0)
    *reason = "the model answers otherwise";
  else if (r->fooled_corrupted && !fooled)
    *reason = "there is no answer to the corrupted input";
  else if (r->fooled_corrupted && strcmp(fooled, p->correct) == 0)
    *reason = "the corrupted input is answered correctly, too";
  else if (r->asks_or && (!text || !fv_words_have_or(text)))
    *reason = "the text has no \"or\"";
  if (*reason) return FV_OK;
  if (r->answers_group && !p->group) st = fv_pair_set(&p->group, p->correct, err);
  if (!p->group) *reason = "there is no group";
  if (!st && r->asks_or && p->question && !strchr(p->question, '?')) {
    char *asked = fv_format("%s?", p->question);
    st = asked ? fv_pair_set(&p->question, asked, err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(asked);
  }
  if (r->half == BY_ORDER) {
    p->correct_first = correct_first(p);
    s->half[i] = p->correct_first < 0 ? -1 : !p->correct_first;
    if (s->half[i] < 0) *reason = "it cannot be seen which answer the text names first";
  } else {
    s->half[i] = r->half == BY_PICTURE ? picture_half(p) : 0;
    if (s->half[i] < 0) *reason = "it cannot be seen which of the two pictures it is";
  }
  if (*reason) s->half[i] = -1;
  return st;
}

static void take(selection *s, size_t i) { s->taken[i] = true, s->order[s->ntaken++] = i; }

/* Draws k of the n samples in s->cell and takes them. */
static fv_status take_some(selection *s, size_t n, size_t k, fv_error *err) {
  if (k > n) k = n;
  fv_status st = fv_draw_sample(n, k, s->o->seed, s->draw, err);
  for (size_t i = 0; i < k && !st; i++) take(s, s->cell[s->draw[i]]);
  return st;
}

static size_t gather(const selection *s, const char *group, int half, const char *answer) {
  size_t n = 0;
  for (size_t i = 0; i < s->pairs->count; i++) {
    const fv_pair *p = &s->pairs->list[i];
    if (s->half[i] < 0 || s->taken[i] || strcmp(p->group, group) != 0) continue;
    if ((half < 0 || s->half[i] == half) && (!answer || strcmp(p->correct, answer) == 0)) s->cell[n++] = i;
  }
  return n;
}

/* One sample of every answer of a group, whichever half it is in. */
static fv_status take_each(selection *s, const char *group, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t i = 0; i < s->pairs->count && !st; i++) {
    const fv_pair *p = &s->pairs->list[i];
    if (s->half[i] < 0 || s->taken[i] || strcmp(p->group, group) != 0) continue;
    bool seen = false;
    for (size_t k = 0; k < i && !seen; k++) {
      const fv_pair *q = &s->pairs->list[k];
      seen = s->half[k] >= 0 && strcmp(q->group, group) == 0 && strcmp(q->correct, p->correct) == 0;
    }
    if (!seen) st = take_some(s, gather(s, group, -1, p->correct), 1, err);
  }
  return st;
}

static fv_status take_group(selection *s, const char *group, fv_error *err) {
  fv_status st = FV_OK;
  size_t begin = s->ntaken, have[2] = {0, 0};
  if (s->rule->each_answer) st = take_each(s, group, err);
  for (size_t i = begin; i < s->ntaken; i++) have[s->half[s->order[i]]]++;
  int halves = s->rule->half == NO_HALVES || s->o->svo_dup ? 1 : 2;
  for (int half = 0; half < halves && !st; half++) {
    size_t n = gather(s, group, half, NULL), more = s->count > have[half] ? s->count - have[half] : 0;
    st = take_some(s, n, more, err);
  }
  return st;
}

static fv_status take_groups(selection *s, fv_error *err) {
  fv_status st = FV_OK;
  const char **done = fv_alloc(s->pairs->count, sizeof *done);
  size_t ndone = 0;
  if (!done) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < s->pairs->count && !st; i++) {
    bool seen = s->half[i] < 0;
    for (size_t k = 0; k < ndone && !seen; k++) seen = strcmp(done[k], s->pairs->list[i].group) == 0;
    if (seen) continue;
    done[ndone++] = s->pairs->list[i].group;
    st = take_group(s, s->pairs->list[i].group, err);
  }
  free(done);
  return st;
}

/* A copy of a sample under the name NAME#2, at the end of the list. */
static fv_status append_copy(fv_pairs *s, size_t i, fv_error *err) {
  fv_pair *p;
  char *name = fv_format("%s#2", s->list[i].sample);
  fv_status st = name ? fv_pairs_add(s, name, &p, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(name);
  if (st) return st;
  fv_pair *from = &s->list[i];
  for (size_t c = 1; c < FV_PAIR_COLUMNS && !st; c++)
    if (fv_pair_columns[c].offset != SIZE_MAX)
      st = fv_pair_set(fv_pair_text(p, &fv_pair_columns[c]), *fv_pair_text(from, &fv_pair_columns[c]), err);
  for (size_t k = 0; k < from->nfields && !st; k++)
    st = fv_pair_set_field(p, from->field_names[k], from->field_values[k], err);
  p->correct_first = from->correct_first;
  return st;
}

/* Puts the list into the order of the draws; samples that were not taken are excluded. */
static fv_status finish(selection *s, fv_error *err) {
  fv_pairs *all = s->pairs;
  fv_status st = FV_OK;
  for (size_t i = 0; i < all->count && !st; i++)
    if (s->half[i] >= 0 && !s->taken[i])
      st = fv_pairs_exclude(all, all->list[i].sample, "not drawn: the group has enough", err);
  fv_pair *list = fv_alloc(s->ntaken, sizeof *list);
  if (!list || st) return free(list), st ? st : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < s->ntaken; i++) {
    list[i] = all->list[s->order[i]];
    all->list[s->order[i]] = (fv_pair){0};
  }
  fv_pairs_filter(all, s->taken); /* the taken are empty now; the others are released */
  memcpy(all->list, list, s->ntaken * sizeof *list);
  free(list);
  for (size_t i = 0; s->o->svo_dup && i < s->ntaken && !st; i++) st = append_copy(all, i, err);
  return st;
}

fv_status fv_data_select(const fv_select_options *o, fv_pairs *pairs, fv_error *err) {
  size_t n = pairs->count, before = pairs->nexcluded, k = 0;
  if (n == 0) return fv_fail(err, FV_EFORMAT, "there are no samples to select from");
  while (k < NRULES && strcmp(rules[k].name, o->rule) != 0) k++;
  if (k == NRULES)
    return fv_fail(err, FV_EUSAGE, "there is no rule \"%s\"; fer, mit-states, svo, cifar10 are known", o->rule);
  if (o->svo_dup && rules[k].half != BY_PICTURE)
    return fv_fail(err, FV_EUSAGE, "--svo-dup belongs to the rule svo, not to %s", o->rule);
  selection s = {.rule = &rules[k],
                 .o = o,
                 .pairs = pairs,
                 .count = o->count > 0     ? (size_t)o->count
                          : rules[k].count ? rules[k].count
                                           : SIZE_MAX,
                 .half = fv_alloc(n, sizeof *s.half),
                 .taken = fv_alloc(n, sizeof *s.taken),
                 .cell = fv_alloc(n, sizeof *s.cell),
                 .draw = fv_alloc(n, sizeof *s.draw),
                 .order = fv_alloc(n, sizeof *s.order)};
  fv_status st = s.half && s.taken && s.cell && s.draw && s.order ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < n && !st; i++) {
    const char *reason;
    st = judge(&s, i, &reason, err);
    if (!st && reason) st = fv_pairs_exclude(pairs, pairs->list[i].sample, reason, err);
  }
  if (!st) st = take_groups(&s, err);
  if (!st && s.ntaken == 0)
    st = fv_fail(err, FV_EFORMAT, "no sample of %zu can be taken; the first: %s: %s", n, pairs->excluded[before].name,
                 pairs->excluded[before].reason);
  if (!st) st = finish(&s, err);
  free(s.half), free(s.taken), free(s.cell), free(s.draw), free(s.order);
  return st;
}
