/* NOTICE's result lists: per sample scores [T, L, 4] = prob, p_diff, logit_diff - corrupt_logit_diff, effect, and
 * low_score [4], the same without a patch. Source: wrudman/NOTICE, BLIP/patching_utils.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/export_blocks.h"

/* One file that is being filled: a sweep, a site, a head, a corruption. */
typedef struct list {
  char *key, *stem; /* stem: the file's name up to the number of samples */
  char *temporary;
  fv_npz *npz;
  int64_t count;
} list;

typedef struct lists {
  const char *folder, *db;
  list *items;
  size_t count, capacity;
} lists;

/* NOTICE's names of the sites. */
static const char *kind_of(const char *site) {
  static const char *const names[][2] = {{"resid_post", "output"},
                                         {"attn.z", "attention_block"},
                                         {"cross.z", "crossattention_block"},
                                         {"cross.out", "crossattention_layernorm"},
                                         {"resid_cross", "crossattention_layernorm"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (site && strcmp(site, names[i][0]) == 0) return names[i][1];
  return site ? site : "";
}

static fv_status find_list(lists *all, const fv_export_block *b, int64_t head, list **out, fv_error *err) {
  char number[32] = "", *file = fv_export_file_name(b->sweep), *site = fv_export_file_name(kind_of(b->site));
  const char *mode = strcmp(b->corrupt, "question") == 0 ? "text" : "image";
  if (head >= 0) snprintf(number, sizeof number, "_head_%lld", (long long)head);
  list one = {.key = fv_format("%s|%s|%s|%s|%lld|%lld", b->sweep, b->stack, b->site, b->corrupt, (long long)head,
                               (long long)b->window)};
  if (file && site)
    one.stem = fv_format("%s/BLIP_temp_list_%s_%s_corruption_%s_%s%s", all->folder, file, mode,
                         b->stack ? b->stack : "", site, number);
  free(file), free(site);
  *out = NULL;
  fv_status st = one.key && one.stem ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < all->count && !st && !*out; i++) {
    if (strcmp(all->items[i].key, one.key) == 0)
      *out = &all->items[i];
    else if (strcmp(all->items[i].stem, one.stem) == 0)
      st = fv_fail(err, FV_ECONFLICT,
                   "%s: two corruptions or windows of a sweep would have this name; NOTICE has none "
                   "for that",
                   one.stem);
  }
  if (!st && !*out) {
    one.temporary = fv_format("%s.npz", one.stem);
    if (!one.temporary || !fv_grow(&all->items, &all->capacity, all->count + 1, sizeof one))
      st = fv_fail(err, FV_ENOMEM, "no memory");
    if (!st) st = fv_npz_open(one.temporary, &one.npz, err);
    if (!st) all->items[all->count] = one, *out = &all->items[all->count++], one = (list){0};
  }
  free(one.key), free(one.stem), free(one.temporary);
  return st;
}

static fv_status add(list *l, const char *name, fv_npy type, size_t ndim, const int64_t *shape, const void *data,
                     fv_error *err) {
  char full[64];
  snprintf(full, sizeof full, "%lld/%s", (long long)l->count, name);
  return fv_npz_add(l->npz, full, type, ndim, shape, data, err);
}

static fv_status write_sample(list *l, const fv_export_block *b, int64_t h, fv_error *err) {
  size_t cells = (size_t)(b->T * b->L);
  float *scores = fv_alloc(cells, 4 * sizeof *scores), corrupt = (float)b->corrupt_logit_diff;
  if (!scores) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < cells; i++) {
    size_t at = i * (size_t)b->H + (size_t)h;
    scores[4 * i] = b->values[FV_EXPORT_PROB][at], scores[4 * i + 1] = b->values[FV_EXPORT_P_DIFF][at];
    scores[4 * i + 2] = b->values[FV_EXPORT_LOGIT_DIFF][at] - corrupt;
    scores[4 * i + 3] = b->values[FV_EXPORT_EFFECT][at];
  }
  const float low[4] = {(float)b->corrupt_prob, 0.0f, 0.0f, b->clean_logit_diff == b->corrupt_logit_diff ? NAN : 0.0f};
  const char *block = b->stack ? b->stack : "", *kind = kind_of(b->site), *question = b->question ? b->question : "";
  const int64_t shape[3] = {b->T, b->L, 4}, four = 4;
  fv_status st = add(l, "scores", FV_NPY_F32, 3, shape, scores, err);
  if (!st) st = add(l, "low_score", FV_NPY_F32, 1, &four, low, err);
  if (!st) st = add(l, "question", FV_NPY_TEXT, 0, NULL, &question, err);
  if (!st) st = add(l, "correct_token", FV_NPY_I64, 0, NULL, &b->correct_id, err);
  if (!st) st = add(l, "incorrect_token", FV_NPY_I64, 0, NULL, &b->incorrect_id, err);
  if (!st) st = add(l, "block_name", FV_NPY_TEXT, 0, NULL, &block, err);
  if (!st) st = add(l, "kind", FV_NPY_TEXT, 0, NULL, &kind, err);
  if (!st) st = add(l, "attn_head", FV_NPY_I64, 0, NULL, &b->heads[h], err);
  if (!st) st = add(l, "sample", FV_NPY_TEXT, 0, NULL, &b->sample, err);
  free(scores);
  l->count++;
  return st;
}

static bool has_effects(const fv_export_block *b) {
  return !isnan(b->corrupt_logit_diff) && !isnan(b->clean_logit_diff);
}

static fv_status each(void *user, const fv_export_block *b, fv_error *err) {
  lists *all = user;
  fv_status st = FV_OK;
  for (int64_t h = 0; h < b->H && !st && has_effects(b); h++) {
    list *l;
    st = find_list(all, b, b->heads[h], &l, err);
    if (!st) st = write_sample(l, b, h, err);
  }
  return st;
}

/* Publishes a list under its name, which ends in the number of samples. */
static fv_status finish(list *l, fv_error *err) {
  char *name = fv_format("%s_%lld.npz", l->stem, (long long)l->count);
  fv_status st =
      name ? fv_npz_add(l->npz, "count", FV_NPY_I64, 0, NULL, &l->count, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) {
    st = fv_npz_commit(l->npz, err);
    l->npz = NULL;
  }
  if (!st && rename(l->temporary, name) != 0) st = fv_fail(err, FV_EIO, "%s: cannot be named %s", l->temporary, name);
  free(name);
  return st;
}

fv_status fv_export_notice(const char *db, const char *sweep, const char *folder, fv_error *err) {
  lists all = {.folder = folder, .db = db};
  fv_status st = fv_export_blocks(db, sweep, each, &all, err);
  if (!st && all.count == 0)
    st = fv_fail(err, FV_ENOTFOUND,
                 "%s: no sweep has patching results with a correct and an incorrect answer, which NOTICE's scores need",
                 db);
  for (size_t i = 0; i < all.count && !st; i++) st = finish(&all.items[i], err);
  for (size_t i = 0; i < all.count; i++) {
    list *l = &all.items[i];
    fv_npz_abort(l->npz);
    free(l->key), free(l->stem), free(l->temporary);
  }
  free(all.items);
  return st;
}
