/* MIT-States: FOLDER/<adjective> <noun>/<pictures>, two adjectives in a question, a picture of the same noun. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/data_build.h"
#include "study/data_lists.h"

typedef struct state {
  char *adjective;  /* "adjective\0noun" in one piece of memory */
  const char *noun; /* into it */
  const char *kind;
  fv_folder folder;
} state;

typedef struct states {
  const fv_data_options *o;
  fv_pairs *out;
  size_t count;
  state *list;
} states;

/* Words that a question may name instead of `word`. */
static size_t replacements(const char *word, const char *except, const char *out[64]) {
  size_t n = 0;
  for (size_t k = 0; k < FV_ADJECTIVE_KINDS; k++)
    for (const char *const *w = fv_adjective_kinds[k].words; *w; w++)
      if (strcmp(*w, word) != 0 && (!except || strcmp(*w, except) != 0) && !fv_adjective_near(word, *w)) out[n++] = *w;
  return n;
}

static const char *replacement(fv_rng *r, const char *word, const char *except) {
  const char *words[64];
  size_t n = replacements(word, except, words);
  return words[fv_draw_below(r, n)];
}

/* States of the same noun whose adjective can be the wrong answer and that have a picture. */
static size_t rivals(const states *s, const state *right, size_t *out) {
  size_t n = 0;
  for (size_t i = 0; i < s->count; i++) {
    const state *t = &s->list[i];
    if (t != right && t->folder.ngood && strcmp(t->noun, right->noun) == 0 &&
        strcmp(t->adjective, right->adjective) != 0 && !fv_adjective_near(right->adjective, t->adjective))
      out[n++] = i;
  }
  return n;
}

static fv_status add_picture(states *s, const state *right, size_t at, const size_t *others, size_t n, fv_error *err) {
  fv_rng r;
  char *sample = fv_format("%s %s/%s", right->adjective, right->noun, right->folder.names[at]);
  if (!sample) return fv_fail(err, FV_ENOMEM, "no memory");
  if (n == 0) {
    fv_status st = fv_pairs_exclude(s->out, sample, "no other adjective has pictures of the noun", err);
    return free(sample), st;
  }
  fv_draw_stream(&r, s->o->seed, sample);
  const state *wrong = &s->list[others[fv_draw_below(&r, n)]];
  bool first = fv_draw_below(&r, 2) == 1;
  const char *a = first ? right->adjective : wrong->adjective, *b = first ? wrong->adjective : right->adjective;
  const char *other_picture = wrong->folder.full[wrong->folder.good[fv_draw_below(&r, wrong->folder.ngood)]];
  const char *c = replacement(&r, a, NULL), *d = replacement(&r, b, c);
  char *question = fv_format("Is this %s %s or %s?", right->noun, a, b);
  char *corrupt = fv_format("Is this %s %s or %s?", right->noun, c, d);
  fv_pair *p;
  fv_status st = !question || !corrupt ? fv_fail(err, FV_ENOMEM, "no memory")
                                       : fv_pairs_add_cells(s->out, sample,
                                                            &(fv_pair_cells){.image = right->folder.full[at],
                                                                             .question = question,
                                                                             .corrupt_image = other_picture,
                                                                             .corrupt_question = corrupt,
                                                                             .correct = right->adjective,
                                                                             .incorrect = wrong->adjective,
                                                                             .group = right->kind,
                                                                             .label = right->adjective,
                                                                             .correct_first = first},
                                                            &p, err);
  if (!st) st = fv_pair_set_field(p, "noun", right->noun, err);
  free(sample), free(question), free(corrupt);
  return st;
}

/* One folder: its name is taken apart, its pictures are listed and looked at when the adjective is in a list. */
static fv_status add_folder(states *s, const char *name, const char *path, fv_error *err) {
  const char *blank = strchr(name, ' ');
  state *t = &s->list[s->count];
  if (!blank || blank == name || !blank[1])
    return fv_pairs_exclude(s->out, name, "the folder is not called ADJECTIVE NOUN", err);
  *t = (state){.adjective = fv_strdup(name)};
  if (!t->adjective) return fv_fail(err, FV_ENOMEM, "no memory");
  t->adjective[blank - name] = '\0';
  t->noun = t->adjective + (blank - name) + 1;
  s->count++;
  fv_status st = fv_folder_read(path, &t->folder, err);
  if (st == FV_ENOTFOUND) return fv_pairs_exclude(s->out, name, "is not a folder", err);
  if (st) return st;
  const fv_adjective_kind *kind = fv_adjective_find(t->adjective);
  if (!kind) {
    t->folder.reasons = fv_alloc(t->folder.count, sizeof *t->folder.reasons);
    if (!t->folder.reasons) return fv_fail(err, FV_ENOMEM, "no memory");
    for (size_t i = 0; i < t->folder.count; i++) t->folder.reasons[i] = "the adjective is in no list";
  } else {
    t->kind = kind->name;
    st = fv_folder_check(&t->folder, s->o->keep_black, err);
  }
  return st ? st : fv_folder_exclude(&t->folder, name, s->out, err);
}

static int by_corrupt_image(const void *a, const void *b) {
  const fv_pair *const *x = a, *const *y = b;
  int order = strcmp((*x)->corrupt_image, (*y)->corrupt_image);
  return order ? order : *x < *y ? -1 : *x > *y;
}

/* Of the samples with one corrupted picture only the first stays. */
static fv_status drop_repeated(fv_pairs *s, fv_error *err) {
  fv_status st = FV_OK;
  const fv_pair **order = fv_alloc(s->count, sizeof *order);
  bool *keep = fv_alloc(s->count, sizeof *keep);
  if (!order || !keep) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < s->count && !st; i++) order[i] = &s->list[i], keep[i] = true;
  if (!st) qsort(order, s->count, sizeof *order, by_corrupt_image);
  for (size_t i = 1; i < s->count && !st; i++)
    if (strcmp(order[i]->corrupt_image, order[i - 1]->corrupt_image) == 0) keep[order[i] - s->list] = false;
  for (size_t i = 0; i < s->count && !st; i++)
    if (!keep[i]) st = fv_pairs_exclude(s, s->list[i].sample, "the corrupted picture is another sample's already", err);
  if (!st) fv_pairs_filter(s, keep);
  free(order), free(keep);
  return st;
}

fv_status fv_data_mit_states(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  states s = {.o = o, .out = out};
  fv_folder root;
  fv_status st = fv_folder_read(o->images, &root, err);
  if (st) return st;
  s.list = fv_alloc(root.count, sizeof *s.list);
  size_t *others = fv_alloc(root.count, sizeof *others);
  if (!s.list || !others) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < root.count && !st; i++) st = add_folder(&s, root.names[i], root.full[i], err);
  for (size_t i = 0; i < s.count && !st; i++) {
    size_t n = rivals(&s, &s.list[i], others);
    for (size_t k = 0; k < s.list[i].folder.ngood && !st; k++)
      st = add_picture(&s, &s.list[i], s.list[i].folder.good[k], others, n, err);
  }
  if (!st) st = drop_repeated(out, err);
  for (size_t i = 0; i < s.count; i++) free(s.list[i].adjective), fv_folder_release(&s.list[i].folder);
  free(s.list), free(others);
  fv_folder_release(&root);
  return st;
}
