/* SVO-Probes: two sentences that differ in subject, verb or object, and a picture of each. Every row of the table gives
 * two samples, one per picture. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "study/data_build.h"
#include "study/data_literal.h"
#include "study/data_svo_map.h"
#include "study/data_words.h"

static const char *const slot_names[3] = {"subj", "verb", "obj"};

typedef struct triplet {
  char *word[3];
} triplet;

typedef struct row {
  triplet pos, neg;
  const char *pos_url, *neg_url; /* of the table */
  int slot;                      /* the one in which the triplets differ */
  char *prompt;                  /* the skeleton, then what --prompts has for it */
  int64_t line, number;
  const char *reason; /* why the row is left out, or NULL */
} row;

typedef struct svo {
  const fv_data_options *o;
  fv_pairs *out;
  fv_csv csv;
  size_t column[4], flag[3]; /* pos_triplet neg_triplet pos_url neg_url; subj_neg ... (SIZE_MAX: absent) */
  size_t count, capacity;
  row *rows;
  size_t nwords[3];
  char **words[3]; /* the vocabulary of each slot, sorted; borrowed from the rows */
  fv_svo_map map;
  fv_csv prompts;
  size_t nprompts, prompts_capacity;
  char **prompt_pairs; /* skeleton, corrected, skeleton, corrected, ...; sorted by the skeleton; in `prompts` */
} svo;

static void svo_release(svo *s) {
  for (size_t i = 0; i < s->count; i++) {
    for (int k = 0; k < 3; k++) free(s->rows[i].pos.word[k]), free(s->rows[i].neg.word[k]);
    free(s->rows[i].prompt);
  }
  for (int k = 0; k < 3; k++) free(s->words[k]);
  free(s->rows), free(s->prompt_pairs);
  fv_csv_release(&s->csv), fv_csv_release(&s->prompts);
  fv_svo_map_release(&s->map);
}

/* "s,v,o" into three trimmed words; false when there are not three. */
static bool split_triplet(const char *text, triplet *out) {
  for (int k = 0; k < 3; k++) {
    text += strspn(text, " ");
    size_t n = strcspn(text, ","), word = n;
    while (word > 0 && text[word - 1] == ' ') word--;
    if (word == 0 || (text[n] == ',') != (k < 2)) return false;
    free(out->word[k]);
    out->word[k] = strndup(text, word);
    if (!out->word[k]) return false;
    text += n + (k < 2);
  }
  return true;
}

/* A cell: a triplet, or a Python list of them, of which the first counts. */
static fv_status read_triplet(svo *s, row *r, size_t column, triplet *out, fv_error *err) {
  const char *cell = s->csv.fields[column], *text = cell;
  json_t *list = NULL;
  if (cell[strspn(cell, " ")] == '[') {
    char *where = fv_format("%s: line %lld: %s", s->csv.path, (long long)r->line, s->csv.columns[column]);
    fv_status st = where ? fv_literal_parse(cell, where, &list, err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(where);
    if (st) return st;
    text = json_string_value(json_array_get(list, 0));
    if (json_array_size(list) == 0) r->reason = "a triplet is an empty list";
  }
  if (!r->reason && (!text || !split_triplet(text, out))) r->reason = "a triplet is not subject,verb,object";
  json_decref(list);
  return FV_OK;
}

/* Finds the slot that differs and writes the skeleton. */
static fv_status compare(svo *s, row *r, fv_error *err) {
  int differ = 0;
  for (int k = 0; k < 3; k++)
    if (strcmp(r->pos.word[k], r->neg.word[k]) != 0) r->slot = k, differ++;
  if (differ != 1)
    return r->reason = differ ? "the triplets differ in several places" : "the triplets are the same", FV_OK;
  for (int k = 0; k < 3; k++) {
    if (s->flag[k] == SIZE_MAX) continue;
    const char *flag = s->csv.fields[s->flag[k]];
    bool yes = strcasecmp(flag, "true") == 0 || strcmp(flag, "1") == 0;
    if (yes != (k == r->slot))
      return r->reason = "subj_neg, verb_neg, obj_neg name another place than the triplets", FV_OK;
  }
  char *const *p = r->pos.word, *const *n = r->neg.word;
  r->prompt = r->slot == 0   ? fv_format("is %s or %s %s %s?", p[0], n[0], p[1], p[2])
              : r->slot == 1 ? fv_format("is %s %s or %s %s?", p[0], p[1], n[1], p[2])
                             : fv_format("is %s %s %s or %s?", p[0], p[1], p[2], n[2]);
  if (!r->prompt) return fv_fail(err, FV_ENOMEM, "no memory");
  if (strstr(r->prompt, "person")) r->reason = "the prompt says \"person\"";
  return FV_OK;
}

static fv_status read_rows(svo *s, fv_error *err) {
  static const char *const names[4] = {"pos_triplet", "neg_triplet", "pos_url", "neg_url"};
  static const char *const flags[3] = {"subj_neg", "verb_neg", "obj_neg"};
  fv_status st = fv_csv_load(s->o->table, &s->csv, err);
  for (int i = 0; i < 4 && !st; i++) st = fv_csv_column(&s->csv, names[i], &s->column[i], err);
  for (int i = 0; i < 3 && !st; i++) {
    int64_t at = fv_csv_find(&s->csv, flags[i]);
    s->flag[i] = at < 0 ? SIZE_MAX : (size_t)at;
  }
  while (!st && (s->o->limit <= 0 || (int64_t)s->count < s->o->limit)) {
    bool more;
    st = fv_csv_next(&s->csv, &more, err);
    if (st || !more) break;
    if (!fv_grow(&s->rows, &s->capacity, s->count + 1, sizeof *s->rows)) return fv_fail(err, FV_ENOMEM, "no memory");
    row *r = &s->rows[s->count];
    *r = (row){.line = s->csv.line, .number = (int64_t)s->count};
    s->count++;
    r->pos_url = s->csv.fields[s->column[2]], r->neg_url = s->csv.fields[s->column[3]];
    st = read_triplet(s, r, s->column[0], &r->pos, err);
    if (!st && !r->reason) st = read_triplet(s, r, s->column[1], &r->neg, err);
    if (!st && !r->reason) st = compare(s, r, err);
  }
  s->out->nread = (int64_t)s->count;
  return st;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int by_prompt(const void *a, const void *b) {
  const row *const *x = a, *const *y = b;
  int order = strcmp((*x)->prompt, (*y)->prompt);
  return order ? order : (*x)->number < (*y)->number ? -1 : 1;
}

/* Of the rows with one skeleton only the first stays. */
static fv_status drop_repeated(svo *s, fv_error *err) {
  size_t n = 0;
  row **order = fv_alloc(s->count, sizeof *order);
  if (!order) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < s->count; i++)
    if (!s->rows[i].reason) order[n++] = &s->rows[i];
  qsort(order, n, sizeof *order, by_prompt);
  for (size_t i = 1; i < n; i++)
    if (strcmp(order[i]->prompt, order[i - 1]->prompt) == 0) order[i]->reason = "another row has the same prompt";
  free(order);
  return FV_OK;
}

static bool is_word(const char *s) {
  for (const char *c = s; *c; c++)
    if (!isalpha((unsigned char)*c) && *c != '-') return false;
  return *s && strcmp(s, "person") != 0;
}

/* Every different word of a slot, in both triplets of every row that has them. */
static fv_status collect_words(svo *s, fv_error *err) {
  for (int k = 0; k < 3; k++) {
    char **words = fv_alloc(s->count * 2, sizeof *words);
    size_t n = 0, kept = 0;
    if (!words) return fv_fail(err, FV_ENOMEM, "no memory");
    for (size_t i = 0; i < s->count; i++) {
      const row *r = &s->rows[i];
      if (r->pos.word[k] && is_word(r->pos.word[k])) words[n++] = r->pos.word[k];
      if (r->neg.word[k] && is_word(r->neg.word[k])) words[n++] = r->neg.word[k];
    }
    qsort(words, n, sizeof *words, by_text);
    for (size_t i = 0; i < n; i++)
      if (kept == 0 || strcmp(words[i], words[kept - 1]) != 0) words[kept++] = words[i];
    s->words[k] = words, s->nwords[k] = kept;
  }
  return FV_OK;
}

/* The table of corrected prompts: the skeleton says which row a correction belongs to. */
static fv_status read_prompts(svo *s, fv_error *err) {
  size_t from, to;
  if (!s->o->prompts) return FV_OK;
  fv_status st = fv_csv_load(s->o->prompts, &s->prompts, err);
  if (st) return st;
  int64_t notice = fv_csv_find(&s->prompts, "GPT-3.5 Prompts");
  if (fv_csv_find(&s->prompts, "prompt") < 0)
    return fv_fail(err, FV_EFORMAT,
                   "%s: has no column \"prompt\" with the skeleton that each row corrects, such as \"is man or dog sit "
                   "grass?\"; the order of the rows cannot replace it",
                   s->o->prompts);
  st = fv_csv_column(&s->prompts, "prompt", &from, err);
  if (!st && notice >= 0)
    to = (size_t)notice;
  else if (!st)
    st = fv_csv_column(&s->prompts, "corrected", &to, err);
  for (bool more = true; !st;) {
    st = fv_csv_next(&s->prompts, &more, err);
    if (st || !more) break;
    if (!fv_grow(&s->prompt_pairs, &s->prompts_capacity, 2 * (s->nprompts + 1), sizeof *s->prompt_pairs))
      return fv_fail(err, FV_ENOMEM, "no memory");
    s->prompt_pairs[2 * s->nprompts] = s->prompts.fields[from];
    s->prompt_pairs[2 * s->nprompts++ + 1] = s->prompts.fields[to];
  }
  if (!st && s->nprompts) qsort(s->prompt_pairs, s->nprompts, 2 * sizeof *s->prompt_pairs, by_text);
  for (size_t i = 1; i < s->nprompts && !st; i++)
    if (strcmp(s->prompt_pairs[2 * i], s->prompt_pairs[2 * i - 2]) == 0)
      st = fv_fail(err, FV_EFORMAT, "%s: corrects the prompt \"%.200s\" twice", s->o->prompts, s->prompt_pairs[2 * i]);
  return st;
}

static fv_status correct_prompt(svo *s, row *r, fv_error *err) {
  if (!s->o->prompts || r->reason) return FV_OK;
  char **at =
      s->nprompts ? bsearch(&r->prompt, s->prompt_pairs, s->nprompts, 2 * sizeof *s->prompt_pairs, by_text) : NULL;
  if (!at) return r->reason = "--prompts does not have the prompt", FV_OK;
  size_t n = strlen(at[1]);
  if (!fv_words_have_or(at[1])) return r->reason = "the corrected prompt has no \"or\"", FV_OK;
  char *text = fv_format("%s%s", at[1], at[1][n - 1] == '?' ? "" : "?");
  if (!text) return fv_fail(err, FV_ENOMEM, "no memory");
  free(r->prompt);
  r->prompt = text;
  return FV_OK;
}

/* Whether a word may stand in the corrupted prompt of a row: it is none of the row's and not `except`. */
static bool is_other(const row *r, const char *word, const char *except) {
  bool own = (except && strcmp(word, except) == 0) || strcmp(word, r->neg.word[r->slot]) == 0;
  for (int k = 0; k < 3; k++) own |= strcmp(word, r->pos.word[k]) == 0;
  return !own;
}

/* One of these words of the slot; NULL when there is none. */
static const char *draw_word(const svo *s, const row *r, fv_rng *rng, const char *except) {
  size_t n = 0, i = 0;
  char *const *words = s->words[r->slot];
  for (size_t k = 0; k < s->nwords[r->slot]; k++) n += is_other(r, words[k], except);
  if (n == 0) return NULL;
  for (size_t at = fv_draw_below(rng, n);; i++)
    if (is_other(r, words[i], except) && at-- == 0) return words[i];
}

/* As the word of the prompt that it replaces: a verb that stands in its -ing form gives one. To be freed. */
static char *in_form(const row *r, const fv_words *w, size_t at, const char *own, const char *word) {
  bool ing = r->slot == 1 && w->length[at] > 3 && strncmp(w->begin[at] + w->length[at] - 3, "ing", 3) == 0 &&
             !fv_words_is(w, at, own);
  return ing ? fv_word_ing(word) : fv_strdup(word);
}

/* The prompt with both alternatives replaced; NULL in *out when they cannot be found or there are too few words. */
static fv_status corrupt_prompt(const svo *s, const row *r, const char *sample, char **out, int *pos_first,
                                fv_error *err) {
  fv_words w;
  fv_rng rng;
  *out = NULL, *pos_first = -1;
  fv_words_cut(r->prompt, &w);
  const char *own[2] = {r->pos.word[r->slot], r->neg.word[r->slot]};
  if (!is_word(own[0]) || !is_word(own[1])) return FV_OK;
  size_t at[2] = {fv_words_find(&w, own[0], SIZE_MAX), SIZE_MAX};
  at[1] = fv_words_find(&w, own[1], at[0]);
  if (at[0] == SIZE_MAX || at[1] == SIZE_MAX) return FV_OK;
  *pos_first = at[0] < at[1];
  fv_draw_stream(&rng, s->o->seed, sample);
  const char *word[2] = {draw_word(s, r, &rng, NULL), NULL};
  if (word[0]) word[1] = draw_word(s, r, &rng, word[0]);
  if (!word[0] || !word[1]) return FV_OK;
  char *form[2] = {in_form(r, &w, at[0], own[0], word[0]), in_form(r, &w, at[1], own[1], word[1])};
  int first = at[0] < at[1] ? 0 : 1, second = 1 - first;
  const char *a = w.begin[at[first]], *b = w.begin[at[second]];
  const char *a_end = a + w.length[at[first]], *b_end = b + w.length[at[second]];
  if (form[0] && form[1])
    *out = fv_format("%.*s%s%.*s%s%s", (int)(a - r->prompt), r->prompt, form[first], (int)(b - a_end), a_end,
                     form[second], b_end);
  free(form[0]), free(form[1]);
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* One of the two samples of a row. */
static fv_status add_sample(svo *s, const row *r, bool pos, const char *const pictures[2], fv_error *err) {
  char *corrupt = NULL, *sample = fv_format("%lld/%s", (long long)r->number, pos ? "pos" : "neg");
  int pos_first;
  fv_pair *p;
  if (!sample) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = corrupt_prompt(s, r, sample, &corrupt, &pos_first, err);
  const char *right = (pos ? r->pos : r->neg).word[r->slot], *wrong = (pos ? r->neg : r->pos).word[r->slot];
  if (!st)
    st = fv_pairs_add_cells(s->out, sample,
                            &(fv_pair_cells){.image = pictures[!pos],
                                             .question = r->prompt,
                                             .corrupt_image = pictures[pos],
                                             .corrupt_question = corrupt,
                                             .correct = right,
                                             .incorrect = wrong,
                                             .group = slot_names[r->slot],
                                             .label = right,
                                             .correct_first = pos_first < 0 ? -1
                                                              : pos         ? pos_first
                                                                            : !pos_first},
                            &p, err);
  if (!st) st = fv_pair_set_field(p, "picture", pos ? "positive" : "negative", err);
  for (int k = 0; k < 2 && !st; k++) {
    const triplet *t = k ? &r->neg : &r->pos;
    char *text = fv_format("%s,%s,%s", t->word[0], t->word[1], t->word[2]);
    st = text ? fv_pair_set_field(p, k ? "neg_triplet" : "pos_triplet", text, err)
              : fv_fail(err, FV_ENOMEM, "no memory");
    free(text);
  }
  free(sample), free(corrupt);
  return st;
}

fv_status fv_data_svo(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  svo s = {.o = o, .out = out};
  fv_status st = read_rows(&s, err);
  if (!st) st = drop_repeated(&s, err);
  if (!st) st = collect_words(&s, err);
  if (!st) st = read_prompts(&s, err);
  if (!st) st = fv_svo_map_load(o->images, o->keep_black, &s.map, err);
  for (size_t i = 0; i < s.count && !st; i++) {
    row *r = &s.rows[i];
    const char *pictures[2] = {NULL, NULL}, *why;
    st = correct_prompt(&s, r, err);
    for (int k = 0; k < 2 && !st && !r->reason; k++) {
      pictures[k] = fv_svo_map_find(&s.map, k ? r->neg_url : r->pos_url, &why);
      r->reason = why;
    }
    if (!st && r->reason) st = fv_exclude_line(out, o->table, r->line, NULL, r->reason, err);
    if (!st && !r->reason) st = add_sample(&s, r, true, pictures, err);
    if (!st && !r->reason) st = add_sample(&s, r, false, pictures, err);
  }
  svo_release(&s);
  return st;
}
