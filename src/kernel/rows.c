/* Row operations over many rows: threads, pointers, and the readout softmax. */
#include <math.h>
#include <string.h>

#include "kernel/kernels.h"

/* Below this many elements starting the other threads costs more than it brings. */
#define PARALLEL_ELEMENTS 65536

static int team(const fv_kernels *k, int64_t n, int64_t W) {
  return n > 1 && (double)n * (double)W >= PARALLEL_ELEMENTS ? k->threads : 1;
}

void fv_act_rows(fv_kernels *k, fv_act act, int64_t n, int64_t W, const float *const *x, float *y) {
  void (*f)(int64_t, const float *, float *) = k->table->act[act];
#pragma omp parallel for num_threads(team(k, n, 8 * W)) schedule(static)
  for (int64_t i = 0; i < n; i++) f(W, x[i], y + i * W);
}

void fv_layernorm_rows(fv_kernels *k, int64_t n, int64_t D, float eps, const float *g, const float *b,
                       const float *const *x, float *y) {
#pragma omp parallel for num_threads(team(k, n, 2 * D)) schedule(static)
  for (int64_t i = 0; i < n; i++) k->table->layernorm(D, eps, g, b, x[i], y + i * D);
}

void fv_rmsnorm_rows(fv_kernels *k, int64_t n, int64_t D, float eps, const float *g, const float *const *x, float *y) {
#pragma omp parallel for num_threads(team(k, n, 2 * D)) schedule(static)
  for (int64_t i = 0; i < n; i++) k->table->rmsnorm(D, eps, g, x[i], y + i * D);
}

void fv_add_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *a, const float *const *b, float *y) {
#pragma omp parallel for num_threads(team(k, n, W)) schedule(static)
  for (int64_t i = 0; i < n; i++) k->table->add(W, a[i], b[i], y + i * W);
}

void fv_mul_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *a, const float *const *b, float *y) {
#pragma omp parallel for num_threads(team(k, n, W)) schedule(static)
  for (int64_t i = 0; i < n; i++) k->table->mul(W, a[i], b[i], y + i * W);
}

void fv_copy_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *x, float *y) {
#pragma omp parallel for num_threads(team(k, n, W)) schedule(static)
  for (int64_t i = 0; i < n; i++)
    if (x[i] != y + i * W) memcpy(y + i * W, x[i], (size_t)W * sizeof *y);
}

void fv_rope_rows(fv_kernels *k, int64_t n, int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin,
                  const int64_t *pos, const float *const *x, float *y) {
  int64_t half = rot / 2;
#pragma omp parallel for num_threads(team(k, n, H *Dh)) schedule(static)
  for (int64_t i = 0; i < n; i++)
    k->table->rope(H, Dh, rot, cos + pos[i] * half, sin + pos[i] * half, x[i], y + i * H * Dh);
}

void fv_softmax_f64(int64_t n, const float *x, double *p) {
  double most = -INFINITY, sum = 0;
  int64_t infinite = 0;
  for (int64_t i = 0; i < n; i++) {
    if (x[i] > most) most = x[i];
    if (x[i] == INFINITY) infinite++;
  }
  for (int64_t i = 0; i < n; i++) {
    if (isnan(x[i]))
      p[i] = NAN;
    else if (infinite)
      p[i] = x[i] == INFINITY ? 1.0 : 0.0;
    else
      p[i] = most == -INFINITY ? 0.0 : exp((double)x[i] - most);
    sum += p[i];
  }
  for (int64_t i = 0; i < n; i++) p[i] = sum == 0 ? 0.0 : p[i] / sum;
}
