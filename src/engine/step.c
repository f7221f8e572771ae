/* One step on some rows. The rows may come from any runs: a row's value depends on its own inputs only. */
#include <math.h>
#include <string.h>

#include "engine/wave_inside.h"

size_t fv_step_scratch(const fv_model *m) {
  int64_t K = 1;
  for (int i = 0; i < m->plan->nsteps; i++)
    if (m->plan->steps[i].width > K && m->plan->steps[i].kind != FV_KIND_PIXELS) K = m->plan->steps[i].width;
  return m->streamed ? fv_linear_stream_scratch(m->kernels, K) : fv_linear_scratch(m->kernels, K);
}

/* One patch as a row: channel, then row, then column, as a convolution kernel is stored. */
static void patch_row(const fv_step *s, const float *pixels, int64_t index, float *y) {
  int64_t side = s->image / s->patch, top = index / side * s->patch, left = index % side * s->patch;
  for (int64_t c = 0; c < s->channels; c++)
    for (int64_t i = 0; i < s->patch; i++, y += s->patch)
      memcpy(y, pixels + (c * s->image + top + i) * s->image + left, (size_t)s->patch * sizeof *y);
}

static fv_status token_rows(const fv_step_job *j, const fv_step *s, fv_error *err) {
  const fv_tensor *table = j->model->bound[j->step].table;
  for (int64_t i = 0; i < j->n; i++) {
    fv_status st = fv_tensor_read_f32(table, j->id[i] * s->width, s->width, j->y + i * s->width, err);
    if (st) return st;
  }
  return FV_OK;
}

/* A row's position is its number. */
static void rope_rows(const fv_step_job *j, const fv_step *s) {
  enum { PIECE = 512 };
  int64_t pos[PIECE];
  const fv_rope_table *t = &j->model->ropes[s->stack];
  int64_t rot = j->model->plan->stacks[s->stack].rope.width;
  for (int64_t i = 0; i < j->n; i += PIECE) {
    int64_t n = j->n - i < PIECE ? j->n - i : PIECE;
    for (int64_t k = 0; k < n; k++) pos[k] = j->row[i + k];
    fv_rope_rows(j->model->kernels, n, s->heads, s->width / s->heads, rot, t->cos, t->sin, pos, j->in[0] + i,
                 j->y + i * s->width);
  }
}

static double dot_rows(int64_t n, const float *x, const float *y) {
  double sum = 0.0;
  for (int64_t d = 0; d < n; d++) sum += (double)x[d] * y[d];
  return sum;
}

/* The bound under the length is torch.nn.functional.normalize's. */
static void unit_row(int64_t n, const float *x, float *y) {
  double length = sqrt(dot_rows(n, x, x));
  if (length < 1e-12) length = 1e-12;
  for (int64_t d = 0; d < n; d++) y[d] = (float)(x[d] / length);
}

fv_status fv_step_compute(const fv_step_job *j, fv_error *err) {
  const fv_model *m = j->model;
  const fv_step *s = &m->plan->steps[j->step];
  const fv_bound *b = &m->bound[j->step];
  size_t bytes = (size_t)s->width * sizeof(float);
  switch (s->kind) {
    case FV_KIND_LINEAR: {
      fv_status st = fv_linear_rows(m->kernels, b->linear, j->n, j->in[0], j->y, j->scratch, err);
      return st == FV_ENONFINITE ? fv_model_weight_error(m, j->step, err) : st;
    }
    case FV_KIND_LAYERNORM:
      fv_layernorm_rows(m->kernels, j->n, s->width, s->eps, b->gain, b->offset, j->in[0], j->y);
      return FV_OK;
    case FV_KIND_RMSNORM: fv_rmsnorm_rows(m->kernels, j->n, s->width, s->eps, b->gain, j->in[0], j->y); return FV_OK;
    case FV_KIND_ROPE: rope_rows(j, s); return FV_OK;
    case FV_KIND_ACT: fv_act_rows(m->kernels, (fv_act)s->act, j->n, s->width, j->in[0], j->y); return FV_OK;
    case FV_KIND_ADD: fv_add_rows(m->kernels, j->n, s->width, j->in[0], j->in[1], j->y); return FV_OK;
    case FV_KIND_MUL: fv_mul_rows(m->kernels, j->n, s->width, j->in[0], j->in[1], j->y); return FV_OK;
    case FV_KIND_OFFSET:
      for (int64_t i = 0; i < j->n; i++)
        for (int64_t d = 0; d < s->width; d++) j->y[i * s->width + d] = j->in[0][i][d] + b->rows[d];
      return FV_OK;
    case FV_KIND_UNIT:
      for (int64_t i = 0; i < j->n; i++) unit_row(s->width, j->in[0][i], j->y + i * s->width);
      return FV_OK;
    case FV_KIND_DOT:
      for (int64_t i = 0; i < j->n; i++)
        j->y[i] = (float)dot_rows(m->plan->steps[s->in[0]].width, j->in[0][i], j->in[1][i]);
      return FV_OK;
    case FV_KIND_GAIN:
      for (int64_t i = 0; i < j->n; i++)
        for (int64_t d = 0; d < s->width; d++) j->y[i * s->width + d] = j->in[0][i][d] * b->rows[0];
      return FV_OK;
    case FV_KIND_COPY:
    case FV_KIND_PICK:
    case FV_KIND_POOL:
    case FV_KIND_SPREAD:
    case FV_KIND_DROP:
    case FV_KIND_SPLICE:
    case FV_KIND_PIXELS: fv_copy_rows(m->kernels, j->n, s->width, j->in[0], j->y); return FV_OK;
    case FV_KIND_TOKENS: return token_rows(j, s, err);
    case FV_KIND_PATCHES:
      for (int64_t i = 0; i < j->n; i++) patch_row(s, j->in[0][i], j->row[i], j->y + i * s->width);
      return FV_OK;
    case FV_KIND_PREPEND:
      for (int64_t i = 0; i < j->n; i++) memcpy(j->y + i * s->width, j->row[i] == 0 ? b->rows : j->in[0][i], bytes);
      return FV_OK;
    case FV_KIND_POSITION:
      for (int64_t i = 0; i < j->n; i++) {
        const float *x = j->in[0][i], *p = b->rows + j->row[i] * s->width;
        float *y = j->y + i * s->width;
        for (int64_t d = 0; d < s->width; d++) y[d] = x[d] + p[d];
      }
      return FV_OK;
    case FV_KIND_ATTEND:
    case FV_KIND_END: break;
  }
  return fv_fail(err, FV_EINTERNAL, "step %d (%s) is not computed row by row", j->step, fv_kind_text(s->kind));
}
