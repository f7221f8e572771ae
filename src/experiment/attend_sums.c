/* Averages and differences of attention. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/attend.h"

void fv_attend_release(fv_attend_maps *a) {
  for (int64_t i = 0; a->row_labels && i < a->rows; i++) free(a->row_labels[i]);
  for (int64_t i = 0; a->key_labels && i < a->keys; i++) free(a->key_labels[i]);
  free(a->row_index), free(a->key_index), free(a->row_labels), free(a->key_labels), free(a->cls_keys);
  free(a->heads), free(a->store);
  *a = (fv_attend_maps){0};
}

/* Numbers of one head: its weights, then cls and other. */
static int64_t numbers(const fv_attend_maps *a) {
  return a->picture ? a->keys + a->pictures + 1 : a->rows * (a->keys + 2);
}

static fv_status same_shape(const fv_attend_maps *a, const fv_attend_maps *b, fv_error *err) {
  bool same = a->nheads == b->nheads && a->picture == b->picture && strcmp(a->site, b->site) == 0 &&
              strcmp(a->stack, b->stack) == 0;
  for (size_t i = 0; same && i < a->nheads; i++)
    same = a->heads[i].layer == b->heads[i].layer && a->heads[i].head == b->heads[i].head;
  if (!same)
    return fv_fail(err, FV_ESHAPE, "%zu heads of %s %s, expected the same %zu heads of %s %s", b->nheads, b->stack,
                   b->site, a->nheads, a->stack, a->site);
  if (a->picture && (a->pictures != b->pictures || a->down != b->down || a->across != b->across))
    return fv_fail(err, FV_ESHAPE,
                   "%" PRId64 " x %" PRId64 " x %" PRId64 " patches, expected %" PRId64 " x %" PRId64 " x %" PRId64,
                   b->pictures, b->down, b->across, a->pictures, a->down, a->across);
  if (!a->picture && (a->rows != b->rows || a->keys != b->keys))
    return fv_fail(err, FV_ESHAPE,
                   "%" PRId64 " rows and %" PRId64 " keys, expected %" PRId64 " and %" PRId64
                   ": only texts of one length have a common matrix",
                   b->rows, b->keys, a->rows, a->keys);
  return FV_OK;
}

/* What is not the same in all samples has no label. */
static void keep_common(char **labels, char *const *others, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (labels[i] && (!others[i] || strcmp(labels[i], others[i]) != 0)) free(labels[i]), labels[i] = NULL;
}

static fv_status copy_labels(char ***to, int64_t **index, char *const *labels, const int64_t *from, int64_t n) {
  *to = fv_alloc((size_t)n, sizeof **to);
  *index = fv_alloc((size_t)n, sizeof **index);
  if (!*to || !*index) return FV_ENOMEM;
  memcpy(*index, from, (size_t)n * sizeof *from);
  for (int64_t i = 0; i < n; i++)
    if (labels[i] && !((*to)[i] = fv_strdup(labels[i]))) return FV_ENOMEM;
  return FV_OK;
}

static fv_status copy(fv_attend_maps *to, const fv_attend_maps *from, fv_error *err) {
  size_t n = (size_t)numbers(from) * from->nheads;
  *to = *from;
  to->row_index = to->key_index = to->cls_keys = NULL, to->row_labels = to->key_labels = NULL;
  to->heads = fv_alloc(from->nheads, sizeof *to->heads);
  to->store = fv_alloc(n, sizeof *to->store);
  fv_status st = to->heads && to->store ? FV_OK : FV_ENOMEM;
  if (!st) st = copy_labels(&to->row_labels, &to->row_index, from->row_labels, from->row_index, from->rows);
  if (!st) st = copy_labels(&to->key_labels, &to->key_index, from->key_labels, from->key_index, from->keys);
  if (!st && from->pictures > 0 && !(to->cls_keys = fv_alloc((size_t)from->pictures, sizeof *to->cls_keys)))
    st = FV_ENOMEM;
  if (st) {
    fv_attend_release(to);
    return fv_fail(err, st, "no memory");
  }
  for (int64_t i = 0; i < from->pictures; i++) to->cls_keys[i] = from->cls_keys[i];
  memcpy(to->store, from->store, n * sizeof *to->store);
  for (size_t i = 0; i < from->nheads; i++) {
    to->heads[i] = from->heads[i];
    to->heads[i].weights = to->store + (from->heads[i].weights - from->store);
    to->heads[i].cls = to->store + (from->heads[i].cls - from->store);
    to->heads[i].other = to->store + (from->heads[i].other - from->store);
  }
  return FV_OK;
}

fv_status fv_attend_add(fv_attend_maps *sum, const fv_attend_maps *one, fv_error *err) {
  if (sum->samples == 0) return copy(sum, one, err);
  fv_status st = same_shape(sum, one, err);
  if (st) return st;
  int64_t n = numbers(sum) * (int64_t)sum->nheads;
  double a = (double)sum->samples, b = (double)one->samples;
  for (int64_t i = 0; i < n; i++) sum->store[i] += (one->store[i] - sum->store[i]) * (b / (a + b));
  sum->samples += one->samples;
  if (sum->rows == one->rows)
    keep_common(sum->row_labels, one->row_labels, sum->rows);
  else /* maps of as many rows as each text has */
    for (int64_t i = 0; i < sum->rows; i++) free(sum->row_labels[i]), sum->row_labels[i] = NULL;
  keep_common(sum->key_labels, one->key_labels, sum->keys);
  return FV_OK;
}

fv_status fv_attend_subtract(fv_attend_maps *a, const fv_attend_maps *b, fv_error *err) {
  fv_status st = same_shape(a, b, err);
  for (int64_t i = 0; !st && i < numbers(a) * (int64_t)a->nheads; i++) a->store[i] -= b->store[i];
  return st;
}

fv_status fv_attend_minus_average(fv_attend_maps *a, fv_error *err) {
  if (a->nheads == 0 || a->heads[a->nheads - 1].layer >= 0)
    return fv_fail(err, FV_EUSAGE, "the mean over all heads is not there; ask fv_attend_measure for it");
  const double *mean = a->store + (int64_t)(a->nheads - 1) * numbers(a);
  for (size_t i = 0; i + 1 < a->nheads; i++)
    for (int64_t k = 0; k < numbers(a); k++) a->store[(int64_t)i * numbers(a) + k] -= mean[k];
  return FV_OK;
}
