#include "kernel/plain.h"

#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"

void fv_plain_linear(int64_t N, int64_t K, const float *w, const float *bias, const float *x, float *y) {
  for (int64_t i = 0; i < N; i++) {
    double sum = bias ? bias[i] : 0.0;
    for (int64_t c = 0; c < K; c++) sum += (double)w[i * K + c] * x[c];
    y[i] = (float)sum;
  }
}

double fv_plain_act(fv_act act, double x) {
  switch (act) {
    case FV_ACT_GELU: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case FV_ACT_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case FV_ACT_SILU: return x / (1.0 + exp(-x));
    case FV_ACT_GELU_NEW: return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case FV_ACT_RELU: return x <= 0 ? 0.0 : x;
    case FV_ACT_TANH: return tanh(x);
  }
  return NAN;
}

void fv_plain_layernorm(int64_t D, float eps, const float *g, const float *b, const float *x, float *y) {
  double mean = 0, var = 0;
  for (int64_t i = 0; i < D; i++) mean += x[i];
  mean /= (double)D;
  for (int64_t i = 0; i < D; i++) var += (x[i] - mean) * (x[i] - mean);
  var /= (double)D;
  for (int64_t i = 0; i < D; i++) y[i] = (float)((x[i] - mean) / sqrt(var + eps) * g[i] + b[i]);
}

void fv_plain_rmsnorm(int64_t D, float eps, const float *g, const float *x, float *y) {
  double square = 0;
  for (int64_t i = 0; i < D; i++) square += (double)x[i] * x[i];
  for (int64_t i = 0; i < D; i++) y[i] = (float)(g[i] * (x[i] / sqrt(square / (double)D + eps)));
}

void fv_plain_rope(int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin, const float *x, float *y) {
  for (int64_t h = 0; h < H; h++)
    for (int64_t c = 0; c < Dh; c++) {
      const float *row = x + h * Dh;
      int64_t half = rot / 2;
      double turned = c >= rot   ? (double)row[c]
                      : c < half ? (double)row[c] * cos[c] - (double)row[c + half] * sin[c]
                                 : (double)row[c] * cos[c - half] + (double)row[c - half] * sin[c - half];
      y[h * Dh + c] = (float)turned;
    }
}

/* Head h of query row i, with room for S scores in x. */
static void plain_attend_row(int64_t H, int64_t KV, int64_t Dh, float scale, const fv_attend_group *g,
                             const fv_attend_hook *hook, int64_t h, int64_t i, float *x) {
  int64_t at = h / (H / KV) * Dh;
  for (int64_t s = 0; s < g->S; s++) {
    double score = 0;
    for (int64_t c = 0; c < Dh; c++) score += (double)g->q[i][h * Dh + c] * g->k[s][at + c];
    bool seen = (!g->first || s >= g->first[i]) && (!g->visible || s < g->visible[i]);
    x[s] = seen ? (float)(score * scale) : -INFINITY;
  }
  if (hook && hook->scores) hook->scores(g->user, h, i, x, g->S);
  double most = -INFINITY, sum = 0;
  for (int64_t s = 0; s < g->S; s++) most = fmax(most, x[s]);
  for (int64_t s = 0; s < g->S; s++) sum += x[s] == -INFINITY ? 0.0 : exp(x[s] - most);
  for (int64_t s = 0; s < g->S; s++) x[s] = x[s] == -INFINITY ? 0.0f : (float)(exp(x[s] - most) / sum);
  if (hook && hook->pattern) hook->pattern(g->user, h, i, x, g->S);
  for (int64_t c = 0; c < Dh; c++) {
    double z = 0;
    for (int64_t s = 0; s < g->S; s++)
      if (x[s] != 0.0f) z += (double)x[s] * g->v[s][at + c];
    g->z[(i * H + h) * Dh + c] = (float)z;
  }
}

fv_status fv_plain_attend(int64_t H, int64_t KV, int64_t Dh, float scale, const fv_attend_group *group,
                          const fv_attend_hook *hook, fv_error *err) {
  float *x = fv_alloc((size_t)group->S, sizeof *x);
  if (!x) return fv_fail(err, FV_ENOMEM, "no memory for a row of %lld scores", (long long)group->S);
  for (int64_t i = 0; i < group->n; i++)
    for (int64_t h = 0; h < H; h++) plain_attend_row(H, KV, Dh, scale, group, hook, h, i, x);
  free(x);
  return FV_OK;
}
