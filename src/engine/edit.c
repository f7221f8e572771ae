/* Applying edits to rows, and what the operations' parsers share. */
#include "engine/edit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "engine/wave_inside.h"

void fv_edit_release(fv_edit *e) {
  if (!e) return;
  free(e->rows), free(e->spans), free(e->head_index), free(e->source_row), free(e->source_spans),
      free(e->source_values), free(e->take_head);
  free(e->values), free(e->value_row), free(e->before);
  free(e);
}

static bool writes_row(const fv_edit *e, int64_t t) { return t < e->T ? fv_rowset_has(e->rows, t) : e->every_new_row; }

/* The values for row t: one row for all, or the row's own. */
static const float *row_values(const fv_edit *e, int64_t t) {
  if (!e->values) return NULL;
  return e->values_rows == 1 || t >= e->T ? e->values : e->values + e->value_row[t] * e->width;
}

/* Both sides are lists of spans with the same number of floats in all. */
static void apply_between(const fv_edit *e, float *x, const float *source) {
  int i = 0, k = 0;
  int64_t a = e->spans[0].lo, b = e->source_spans[0].lo;
  while (i < e->nspans && k < e->nsource_spans) {
    int64_t n = e->spans[i].hi - a, m = e->source_spans[k].hi - b, step = n < m ? n : m;
    e->op->apply(e, x + a, source + b, step);
    a += step, b += step;
    if (a == e->spans[i].hi && ++i < e->nspans) a = e->spans[i].lo;
    if (b == e->source_spans[k].hi && ++k < e->nsource_spans) b = e->source_spans[k].lo;
  }
}

void fv_edit_row(const fv_edit *e, int64_t t, float *x, const float *source) {
  if (!writes_row(e, t)) return;
  if (source) {
    apply_between(e, x, source);
    return;
  }
  const float *v = row_values(e, t);
  for (int i = 0; i < e->nspans; i++) {
    int64_t n = e->spans[i].hi - e->spans[i].lo;
    e->op->apply(e, x + e->spans[i].lo, v, n);
    if (v) v += n;
  }
}

void fv_edit_keys(const fv_edit *e, int64_t t, int64_t head, fv_keys keys) {
  fv_span seen = keys.seen;
  int64_t h = e->head_index[head];
  if (h < 0 || !writes_row(e, t)) return;
  if (e->every_key && t >= e->T) { /* such an operation wants no values */
    e->op->apply(e, keys.at + (seen.lo - keys.base), NULL, seen.hi - seen.lo);
    return;
  }
  const float *v = e->source_values ? e->source_values + e->value_row[t] * e->width : row_values(e, t);
  if (v) v += h * (e->width / e->nheads);
  for (int i = 0; i < e->nspans; i++) {
    fv_span s = e->spans[i];
    int64_t lo = s.lo > seen.lo ? s.lo : seen.lo, hi = s.hi < seen.hi ? s.hi : seen.hi;
    if (lo < hi) e->op->apply(e, keys.at + (lo - keys.base), v ? v + (lo - s.lo) : NULL, hi - lo);
    if (v) v += s.hi - s.lo;
  }
}

void fv_keys_copy(const fv_span *spans, int nspans, fv_part part, fv_keys keys, float *out) {
  float masked = part == FV_PART_SCORES ? -INFINITY : 0.0f;
  for (int i = 0; i < nspans; i++)
    for (int64_t s = spans[i].lo; s < spans[i].hi; s++)
      *out++ = s >= keys.seen.lo && s < keys.seen.hi ? keys.at[s - keys.base] : masked;
}

void fv_edit_take_keys(const fv_edit *e, int64_t index, int64_t head, fv_keys keys) {
  int64_t h = e->take_head[head];
  if (h < 0) return;
  fv_keys_copy(e->source_spans, e->nsource_spans, e->part, keys,
               e->source_values + index * e->width + h * (e->width / e->nheads));
}

int64_t fv_selection_count(const fv_selection *s) { return s->nrows * s->width; }

bool fv_selection_flatten(const fv_selection *s, fv_span **out, int *n) {
  bool heads = s->part == FV_PART_OUT && s->nheads > 0;
  int64_t blocks = heads ? s->nheads : 1;
  *n = 0;
  *out = fv_alloc((size_t)(blocks * s->nspans), sizeof **out);
  for (int64_t h = 0; *out && h < blocks; h++)
    for (int64_t i = 0; i < s->nspans; i++) {
      int64_t base = heads ? s->heads[h] * s->head_width : 0;
      fv_span span = {base + s->spans[i].lo, base + s->spans[i].hi};
      if (*n > 0 && (*out)[*n - 1].hi == span.lo)
        (*out)[*n - 1].hi = span.hi;
      else
        (*out)[(*n)++] = span;
    }
  return *out != NULL;
}

fv_status fv_op_no_args(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  (void)o, (void)owned;
  return c->args[0] ? fv_fail(err, FV_EUSAGE, "found \"%s\" behind the address, expected nothing", c->args) : FV_OK;
}

fv_status fv_op_keys(const fv_op_context *c, const char *op, fv_op_key *keys, int nkeys, fv_error *err) {
  for (const char *s = c->args; *s;) {
    size_t n = strcspn(s, ",="), k = 0;
    for (; k < (size_t)nkeys; k++)
      if (strlen(keys[k].name) == n && memcmp(keys[k].name, s, n) == 0) break;
    if (k == (size_t)nkeys || s[n] != '=' || keys[k].found)
      return fv_fail(err, FV_EUSAGE, "%s: found \"%s\", expected %s", op, s, fv_op_find(op, strlen(op))->args);
    char *end;
    double v = strtod(s + n + 1, &end);
    if (end == s + n + 1 || (*end && *end != ',') || !(v - v == 0.0))
      return fv_fail(err, FV_EUSAGE, "%s: \"%s\" is not a finite number", op, s + n + 1);
    *keys[k].value = v, keys[k].found = true;
    if (*end && !end[1]) return fv_fail(err, FV_EUSAGE, "%s: nothing follows the comma of \"%s\"", op, c->args);
    s = *end ? end + 1 : end;
  }
  for (int k = 0; k < nkeys; k++)
    if (keys[k].required && !keys[k].found)
      return fv_fail(err, FV_EUSAGE, "%s: %s= is missing; the form is %s", op, keys[k].name,
                     fv_op_find(op, strlen(op))->args);
  return FV_OK;
}

static int64_t site_heads(const fv_op_context *c) {
  const fv_step *s = &c->input->model->plan->steps[c->at->step];
  return c->at->part == FV_PART_OUT ? s->heads : s->H;
}

/* A vector has the site's whole width and is cut to the selected heads and features; a tensor has the selection's
 * shape. */
static fv_status take_values(const fv_op_context *c, const char *path, const fv_tensor *t, fv_op_shape shape,
                             fv_edit_options *o, float **owned, fv_error *err) {
  int64_t whole = c->at->head_width * (c->at->nheads ? site_heads(c) : 1), all = fv_selection_count(c->at);
  bool vector =
      shape != FV_OP_SELECTION && t->count == whole && (shape == FV_OP_VECTOR || t->rank == 1 || t->count != all);
  if (!vector && (shape == FV_OP_VECTOR || t->count != all))
    return fv_fail(err, FV_ESHAPE, "%s: tensor \"%s\" has %lld values, expected %s%lld at %s", path, t->name,
                   (long long)t->count, shape == FV_OP_VECTOR ? "a vector of " : "the selection's ",
                   (long long)(shape == FV_OP_VECTOR ? whole : all), c->at->address);
  float *data = fv_alloc((size_t)t->count, sizeof *data);
  fv_status st = data ? fv_tensor_read_f32(t, 0, t->count, data, err) : fv_fail(err, FV_ENOMEM, "no memory");
  fv_span *spans = NULL;
  int n = 0;
  if (!st && vector && !fv_selection_flatten(c->at, &spans, &n)) st = fv_fail(err, FV_ENOMEM, "no memory");
  float *cut = vector ? fv_alloc((size_t)c->at->width, sizeof *cut) : data, *out = cut;
  if (!cut) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < n && !st; out += spans[i].hi - spans[i].lo, i++)
    memcpy(out, data + spans[i].lo, (size_t)(spans[i].hi - spans[i].lo) * sizeof *out);
  free(spans);
  if (vector) free(data);
  *owned = cut;
  if (!st) o->values = cut, o->values_rows = vector ? 1 : c->at->nrows;
  return st;
}

fv_status fv_op_load_values(const fv_op_context *c, const char *file, size_t n, fv_op_shape shape, fv_edit_options *o,
                            float **owned, fv_error *err) {
  /* FILE[:KEY]: the file's name may itself contain colons, so the longest prefix that exists is taken. */
  char *path = fv_format("%.*s", (int)n, file), *key = NULL;
  if (!path) return fv_fail(err, FV_ENOMEM, "no memory");
  for (char *colon = strrchr(path, ':'); colon && !fv_file_exists(path); colon = strrchr(path, ':')) {
    if (key) key[-1] = ':';
    *colon = '\0', key = colon + 1;
  }
  fv_checkpoint *file_tensors = NULL;
  fv_status st = fv_checkpoint_open_file(path, &file_tensors, err);
  const fv_tensor *t = NULL;
  if (!st && key)
    t = fv_checkpoint_find(file_tensors, key);
  else if (!st && fv_checkpoint_count(file_tensors) == 1)
    t = fv_checkpoint_at(file_tensors, 0);
  if (!st && !t)
    st = key ? fv_fail(err, FV_ENOTFOUND, "%s: has no tensor \"%s\"", path, key)
             : fv_fail(err, FV_EUSAGE, "%s: has %zu tensors; name one as FILE:KEY", path,
                       fv_checkpoint_count(file_tensors));
  if (!st) st = take_values(c, path, t, shape, o, owned, err);
  fv_checkpoint_close(file_tensors);
  free(path);
  return st;
}
