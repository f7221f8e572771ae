/* Weights: from tensors of the checkpoint to what the kernels read, packed once per model, or streamed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/loaded.h"
#include "model/rope.h"

/* What shape a step's weight (which = 0) or bias (1) must have: rows x cols, or a vector when cols is 0. */
static void expected_shape(const fv_model *m, const fv_step *s, int which, int64_t *rows, int64_t *cols) {
  *cols = 0;
  *rows = s->width;
  if (s->kind == FV_KIND_LINEAR || s->kind == FV_KIND_OFFSET) *rows = s->weight_rows;
  if (which == 1) return;
  if (s->kind == FV_KIND_GAIN) *rows = 1;
  if (s->kind == FV_KIND_LINEAR) *cols = m->plan->steps[s->in[0]].width;
  if (s->kind == FV_KIND_OFFSET) *cols = s->width;
  if (s->kind == FV_KIND_TOKENS || s->kind == FV_KIND_POSITION) {
    const fv_space *space = &m->plan->spaces[s->space];
    *cols = s->width;
    *rows = s->kind == FV_KIND_TOKENS ? m->plan->stacks[s->stack].V : space->rows > 0 ? space->rows : space->limit;
  }
}

/* [rows, cols] up to leading ones, and with the columns spread over several dimensions (a convolution's kernel). */
static bool shape_fits(const fv_tensor *t, int64_t rows, int64_t cols) {
  int first = 0;
  if (t->rank == 0) return rows == 1 && cols == 0;
  while (t->rank - first > (cols ? 2 : 1) && t->shape[first] == 1) first++;
  if (t->rank - first < 1 || t->shape[first] != rows) return false;
  int64_t rest = 1;
  for (int i = first + 1; i < t->rank; i++)
    if (!fv_mul_i64(rest, t->shape[i], &rest)) return false;
  return rest == (cols ? cols : 1) && (cols || t->rank - first == 1);
}

static void shape_text(const fv_tensor *t, char *out, size_t n) {
  size_t used = (size_t)snprintf(out, n, "[");
  for (int i = 0; i < t->rank && used < n; i++)
    used += (size_t)snprintf(out + used, n - used, "%s%lld", i ? "," : "", (long long)t->shape[i]);
  if (used < n) snprintf(out + used, n - used, "]");
}

const fv_tensor *fv_model_find_tensor(const fv_model *m, const char *name) {
  const fv_tensor *t = fv_checkpoint_find(m->checkpoint, name);
  for (const fv_rename *r = m->family->renames; !t && r && r->prefix; r++) {
    size_t n = strlen(r->prefix);
    if (strncmp(name, r->prefix, n) != 0) continue;
    char *other = fv_format("%s%s", r->other, name + n);
    t = other ? fv_checkpoint_find(m->checkpoint, other) : NULL;
    free(other);
  }
  return t;
}

fv_status fv_model_step_tensor(const fv_model *m, int step, int which, const fv_tensor **out, fv_error *err) {
  const fv_step *s = &m->plan->steps[step];
  const char *name = which ? s->bias : s->weight, *tied = which ? s->bias_tied : s->weight_tied;
  *out = NULL;
  if (!name) return FV_OK;
  const fv_tensor *t = fv_model_find_tensor(m, name);
  if (!t && tied) t = fv_model_find_tensor(m, tied);
  if (!t)
    return fv_fail(err, FV_ENOTFOUND, "%s: tensor %s is missing; does config.json belong to these weights (family %s)?",
                   fv_checkpoint_file(m->checkpoint, 0), name, m->family->name);
  int64_t rows, cols;
  expected_shape(m, s, which, &rows, &cols);
  if (!shape_fits(t, rows, cols)) {
    char found[160], expected[64];
    shape_text(t, found, sizeof found);
    if (cols)
      snprintf(expected, sizeof expected, "[%lld,%lld]", (long long)rows, (long long)cols);
    else
      snprintf(expected, sizeof expected, "[%lld]", (long long)rows);
    return fv_fail(err, FV_ESHAPE, "%s: tensor %s has shape %s, expected %s from config.json; do they belong together?",
                   t->file, t->name, found, expected);
  }
  if (t->dtype != FV_DTYPE_F32 && t->dtype != FV_DTYPE_F16 && t->dtype != FV_DTYPE_BF16)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: tensor %s has dtype %s; F32, F16 and BF16 can be read", t->file, t->name,
                   fv_dtype_name(t->dtype));
  *out = t;
  return FV_OK;
}

/* count floats of a tensor from element `first` on, widened and checked to be finite. */
static fv_status read_floats(const fv_tensor *t, int64_t first, int64_t count, float **out, fv_error *err) {
  float *data = fv_alloc_aligned((size_t)count, sizeof *data);
  if (!data) return fv_fail(err, FV_ENOMEM, "no memory for tensor %s", t->name);
  fv_status st = fv_tensor_read_f32(t, first, count, data, err);
  if (st) return free(data), st;
  *out = data;
  return FV_OK;
}

/* The same as a view where the file holds float32; *owned is what to free. */
static fv_status view_floats(const fv_tensor *t, int64_t first, int64_t count, const float **out, float **owned,
                             fv_error *err) {
  const float *stored = fv_tensor_f32(t);
  *owned = NULL;
  /* A value that is not finite is found again, and named, by the reader. */
  if (stored && fv_all_finite(stored + first, count)) return *out = stored + first, FV_OK;
  fv_status st = read_floats(t, first, count, owned, err);
  *out = *owned;
  return st;
}

size_t fv_model_step_bytes(const fv_model *m, int step) {
  const fv_step *s = &m->plan->steps[step];
  if (s->kind == FV_KIND_LINEAR) return (size_t)(s->width * (m->plan->steps[s->in[0]].width + 1)) * sizeof(float);
  return (s->kind == FV_KIND_LAYERNORM ? 2u : s->kind == FV_KIND_RMSNORM ? 1u : 0u) * (size_t)s->width * sizeof(float);
}

/* The part of its tensor that a linear step reads, in bytes. */
static void stored_range(const fv_model *m, const fv_step *s, const fv_tensor *w, size_t *first, size_t *bytes) {
  size_t row = (size_t)m->plan->steps[s->in[0]].width * fv_dtype_size(w->dtype);
  *first = (size_t)s->first_row * row;
  *bytes = (size_t)s->width * row;
}

size_t fv_model_stored_bytes(const fv_model *m, int step) {
  const fv_tensor *w = NULL;
  size_t first = 0, bytes = 0;
  if (m->streamed && m->plan->steps[step].kind == FV_KIND_LINEAR && !fv_model_step_tensor(m, step, 0, &w, NULL) && w)
    stored_range(m, &m->plan->steps[step], w, &first, &bytes);
  return bytes;
}

void fv_model_prefetch(const fv_model *m, int step) {
  const fv_bound *b = &m->bound[step];
  size_t first, bytes;
  if (m->plan->steps[step].kind != FV_KIND_LINEAR || !b->table) return;
  stored_range(m, &m->plan->steps[step], b->table, &first, &bytes);
  fv_checkpoint_prefetch(m->checkpoint, b->table, first, bytes);
}

fv_status fv_model_weight_error(const fv_model *m, int step, fv_error *err) {
  enum { PIECE = 4096 };
  float piece[PIECE];
  const fv_step *s = &m->plan->steps[step];
  const fv_tensor *t = m->bound[step].table;
  int64_t K = m->plan->steps[s->in[0]].width, first = s->first_row * K, count = s->width * K;
  for (int64_t i = 0; i < count; i += PIECE) {
    fv_status st = fv_tensor_read_f32(t, first + i, count - i < PIECE ? count - i : PIECE, piece, err);
    if (st) return st;
  }
  return fv_fail(err, FV_EIO, "%s: tensor %s changed while it was read", t->file, t->name);
}

static fv_status stream_linear(fv_model *m, const fv_step *s, fv_bound *b, const fv_tensor *w, const float *offsets,
                               fv_error *err) {
  fv_weight_type type = w->dtype == FV_DTYPE_F16    ? FV_WEIGHT_F16
                        : w->dtype == FV_DTYPE_BF16 ? FV_WEIGHT_BF16
                                                    : FV_WEIGHT_F32;
  size_t first, bytes;
  stored_range(m, s, w, &first, &bytes);
  b->table = w;
  return fv_linear_stream(m->kernels, s->width, m->plan->steps[s->in[0]].width, type, w->data + first, offsets,
                          &b->linear, err);
}

static fv_status bind_linear(fv_model *m, const fv_step *s, fv_bound *b, const fv_tensor *w, const fv_tensor *bias,
                             fv_error *err) {
  int64_t K = m->plan->steps[s->in[0]].width, N = s->width;
  const float *weights;
  float *copy = NULL, *offsets = NULL;
  fv_status st = bias ? read_floats(bias, s->first_row, N, &offsets, err) : FV_OK;
  if (m->streamed) {
    if (!st) st = stream_linear(m, s, b, w, offsets, err);
    free(offsets);
    return st;
  }
  if (!st) st = view_floats(w, s->first_row * K, N * K, &weights, &copy, err);
  if (!st) st = fv_linear_pack(m->kernels, N, K, weights, offsets, &b->linear, err);
  free(copy);
  free(offsets);
  if (!st) fv_checkpoint_drop(m->checkpoint, w);
  return st;
}

static fv_status bind_step(fv_model *m, int step, fv_error *err) {
  const fv_step *s = &m->plan->steps[step];
  fv_bound *b = &m->bound[step];
  const fv_tensor *w = NULL, *bias = NULL;
  fv_status st = fv_model_step_tensor(m, step, 0, &w, err);
  if (!st) st = fv_model_step_tensor(m, step, 1, &bias, err);
  if (st) return st;
  switch (s->kind) {
    case FV_KIND_LINEAR: return bind_linear(m, s, b, w, bias, err);
    case FV_KIND_LAYERNORM:
      st = read_floats(w, 0, s->width, &b->gain, err);
      if (!st && (st = read_floats(bias, 0, s->width, &b->offset, err))) free(b->gain), b->gain = NULL;
      return st;
    case FV_KIND_RMSNORM: return read_floats(w, 0, s->width, &b->gain, err);
    case FV_KIND_PREPEND:
    case FV_KIND_POSITION: return read_floats(w, 0, w->count, &b->rows, err);
    case FV_KIND_OFFSET: return read_floats(w, 0, s->width, &b->rows, err);
    case FV_KIND_GAIN:
      st = read_floats(w, 0, 1, &b->rows, err);
      if (!st) b->rows[0] = (float)exp((double)b->rows[0]);
      return st;
    case FV_KIND_TOKENS: b->table = w; return FV_OK;
    default: return FV_OK;
  }
}

/* The rotary tables of the stacks whose steps are needed; under the lock. */
static fv_status bind_ropes(fv_model *m, const bool *need, fv_error *err) {
  fv_status st = FV_OK;
  for (int i = 0; i < m->plan->nsteps && !st; i++) {
    const fv_step *s = &m->plan->steps[i];
    fv_rope_table *t = &m->ropes[s->stack];
    if (need[i] && s->kind == FV_KIND_ROPE && !t->cos)
      st = fv_rope_tables(&m->plan->stacks[s->stack].rope, m->plan->spaces[s->space].limit, &t->cos, &t->sin, err);
  }
  return st;
}

fv_status fv_model_bind(fv_model *m, const bool *need, fv_error *err) {
  pthread_mutex_lock(&m->lock);
  fv_status first = bind_ropes(m, need, err);
  if (first) return pthread_mutex_unlock(&m->lock), first;
  int first_step = m->plan->nsteps;
  fv_error first_error = {0};
#pragma omp parallel for schedule(dynamic, 1) num_threads(fv_kernels_threads(m->kernels))
  for (int i = 0; i < m->plan->nsteps; i++) {
    if (!need[i] || m->bound[i].ready) continue;
    fv_error e = {0};
    fv_status st = bind_step(m, i, &e);
    if (!st) m->bound[i].ready = true;
#pragma omp critical(fovea_bind)
    if (st && i < first_step) first = st, first_step = i, first_error = e;
  }
  pthread_mutex_unlock(&m->lock);
  return first ? fv_fail(err, first, "%s", first_error.text) : FV_OK;
}
