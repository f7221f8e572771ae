/* Rates of the kernels at the shapes of BLIP-base, beside the peak that one large oneDNN product reaches in this run.
 *
 *   bench_kernel [threads] [isa]
 *
 * Every figure is the best of several passes, so that other work on the machine disturbs it least; with one thread it
 * is that thread's processor time. The ratio to the peak is what should be compared between machines.
 */
#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/kernels.h"

static clockid_t used_clock = CLOCK_MONOTONIC;

static double now(void) {
  struct timespec t;
  clock_gettime(used_clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(int64_t n) {
  float *x = aligned_alloc(64, ((size_t)n * sizeof *x + 63) / 64 * 64);
  uint32_t seed = 1;
  for (int64_t i = 0; x && i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
  }
  if (!x) exit(1);
  return x;
}

static const float **pointers(const float *x, int64_t n, int64_t width) {
  const float **rows = malloc((size_t)n * sizeof *rows);
  if (!rows) exit(1);
  for (int64_t i = 0; i < n; i++) rows[i] = x + i * width;
  return rows;
}

static void check(fv_status s, const fv_error *e) {
  if (s) fprintf(stderr, "%s\n", e->text), exit(1);
}

/* The shortest time of one call, from batches of about 10 ms over about `budget` seconds. */
#define BEST(seconds, budget, call)                                 \
  do {                                                              \
    double begin_ = now(), best_ = 1e30;                            \
    int64_t batch_ = 1;                                             \
    while (now() - begin_ < (budget)) {                             \
      double t_ = now();                                            \
      for (int64_t r_ = 0; r_ < batch_; r_++) call;                 \
      t_ = now() - t_;                                              \
      if (t_ / (double)batch_ < best_) best_ = t_ / (double)batch_; \
      if (t_ < 0.01) batch_ *= 2;                                   \
    }                                                               \
    (seconds) = best_;                                              \
  } while (0)

static double peak(int threads) {
  const int64_t n = 1536;
  float *a = numbers(n * n), *b = numbers(n * n), *c = numbers(n * n);
  double seconds;
  omp_set_num_threads(threads);
  BEST(seconds, 1.0, dnnl_sgemm('N', 'N', n, n, n, 1.0f, a, n, b, n, 0.0f, c, n));
  free(a);
  free(b);
  free(c);
  return 2.0 * (double)(n * n * n) / seconds;
}

static void bench_linear(fv_kernels *k, double top) {
  static const int64_t shapes[][2] = {{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {30524, 768}};
  static const int64_t rows[] = {577, 108, 9, 1};
  fv_error e;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t N = shapes[s][0], K = shapes[s][1];
    float *w = numbers(N * K), *x = numbers(577 * K), *y = numbers(577 * N);
    const float **in_place = pointers(x, 577, K), **scattered = pointers(x, 577, K);
    for (int64_t i = 0; i + 1 < 577; i += 2) {
      const float *swap = scattered[i];
      scattered[i] = scattered[i + 1];
      scattered[i + 1] = swap;
    }
    void *scratch = malloc(fv_linear_scratch(k, K));
    fv_linear *l;
    double t = now();
    check(fv_linear_pack(k, N, K, w, NULL, &l, &e), &e);
    t = now() - t;
    printf("linear  %5ld x %4ld  packed in %.1f ms\n", (long)N, (long)K, 1e3 * t);
    for (size_t m = 0; m < sizeof rows / sizeof *rows; m++) {
      double plain, gather, flops = 2.0 * (double)(rows[m] * N * K);
      BEST(plain, 0.4, check(fv_linear_rows(k, l, rows[m], in_place, y, scratch, &e), &e));
      BEST(gather, 0.4, check(fv_linear_rows(k, l, rows[m], scattered, y, scratch, &e), &e));
      printf("        %3ld rows  %10.1f us  %6.1f GFLOP/s  %3.0f %% of peak   gathered %3.0f %%\n", (long)rows[m],
             1e6 * plain, flops / plain / 1e9, 100 * flops / plain / top, 100 * flops / gather / top);
    }
    fv_linear_free(l);
    free(scratch);
    free(w);
    free(x);
    free(y);
    free(in_place);
    free(scattered);
  }
}

static void look(void *user, int64_t head, int64_t i, float *row, int64_t S) {
  (void)user, (void)head, (void)i, (void)row, (void)S;
}

static void bench_attend(fv_kernels *k, double top) {
  static const int64_t shapes[][5] = {{1, 577, 577, 12, 64}, {1, 108, 577, 12, 64}, {1, 9, 577, 12, 64},
                                      {1, 1, 577, 12, 64},   {100, 1, 577, 12, 64}, {1, 600, 600, 32, 128},
                                      {1, 577, 577, 8, 20}};
  static const fv_attend_hook looking = {look, look};
  fv_error e;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t groups = shapes[s][0], n = shapes[s][1], S = shapes[s][2], H = shapes[s][3], Dh = shapes[s][4];
    int64_t width = H * Dh;
    float *q = numbers(groups * n * width), *kv = numbers(2 * S * width), *z = numbers(groups * n * width);
    const float **rq = pointers(q, groups * n, width), **rk = pointers(kv, S, width),
                **rv = pointers(kv + S * width, S, width);
    fv_attend_group *g = calloc((size_t)groups, sizeof *g);
    if (!g) exit(1);
    for (int64_t i = 0; i < groups; i++)
      g[i] = (fv_attend_group){.n = n, .S = S, .q = rq + i * n, .k = rk, .v = rv, .z = z + i * n * width};
    void *scratch = malloc(fv_attend_scratch(k, H, Dh, S));
    double plain, hooked, flops = 4.0 * (double)(groups * n * S * width);
    BEST(plain, 0.5, check(fv_attend(k, H, H, Dh, 0.125f, groups, g, NULL, scratch, &e), &e));
    BEST(hooked, 0.3, check(fv_attend(k, H, H, Dh, 0.125f, groups, g, &looking, scratch, &e), &e));
    printf(
        "attend  %3ld x %3ld queries, %ld keys, %2ld x %3ld  %9.1f us  %6.1f GFLOP/s  %3.0f %% of peak   hooked %3.0f "
        "%%\n",
        (long)groups, (long)n, (long)S, (long)H, (long)Dh, 1e6 * plain, flops / plain / 1e9, 100 * flops / plain / top,
        100 * flops / hooked / top);
    free(scratch);
    free(g);
    free(q);
    free(kv);
    free(z);
    free(rq);
    free(rk);
    free(rv);
  }
}

static void bench_rows(fv_kernels *k) {
  enum { n = 577 };
  static const char *const names[FV_ACT_COUNT] = {"gelu", "quick_gelu", "silu", "gelu_new", "relu", "tanh"};
  const int64_t F = 3072, D = 768;
  float *x = numbers(n * F), *y = numbers(n * F), *g = numbers(D), *b = numbers(D);
  const float **wide = pointers(x, n, F), **rows = pointers(x, n, D);
  double t;
  for (int a = 0; a < FV_ACT_COUNT; a++) {
    BEST(t, 0.2, fv_act_rows(k, (fv_act)a, n, F, wide, y));
    printf("%-10s %d x %ld  %8.1f us  %5.2f G elements/s\n", names[a], n, (long)F, 1e6 * t, (double)(n * F) / t / 1e9);
  }
  BEST(t, 0.2, fv_layernorm_rows(k, n, D, 1e-5f, g, b, rows, y));
  printf("%-10s %d x %ld   %8.1f us  %5.2f G elements/s\n", "layernorm", n, (long)D, 1e6 * t,
         (double)(n * D) / t / 1e9);
  BEST(t, 0.2, fv_rmsnorm_rows(k, n, D, 1e-5f, g, rows, y));
  printf("%-10s %d x %ld   %8.1f us  %5.2f G elements/s\n", "rmsnorm", n, (long)D, 1e6 * t, (double)(n * D) / t / 1e9);
  BEST(t, 0.2, fv_add_rows(k, n, D, rows, rows, y));
  printf("%-10s %d x %ld   %8.1f us  %5.2f G elements/s\n", "add", n, (long)D, 1e6 * t, (double)(n * D) / t / 1e9);
  double *p = malloc(30524 * sizeof *p);
  if (!p) exit(1);
  BEST(t, 0.2, fv_softmax_f64(30524, x, p));
  printf("%-10s 30524        %8.1f us  %5.2f G elements/s\n", "softmax64", 1e6 * t, 30524 / t / 1e9);
  free(p);
  free(x);
  free(y);
  free(g);
  free(b);
  free(wide);
  free(rows);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
  fv_error e;
  fv_kernels *k;
  if (threads == 1) used_clock = CLOCK_THREAD_CPUTIME_ID;
  double t = now();
  check(fv_kernels_new(threads, &k, &e), &e);
  t = now() - t;
  if (argc > 2) check(fv_kernels_force_isa(k, argv[2], &e), &e);
  double top = peak(threads);
  printf("%s, %s, %d threads; start-up check %.1f ms; peak %.1f GFLOP/s (oneDNN sgemm 1536^3)\n", fv_kernels_library(k),
         fv_kernels_isa(k), threads, 1e3 * t, top / 1e9);
  bench_linear(k, top);
  bench_attend(k, top);
  bench_rows(k);
  fv_kernels_free(k);
  return 0;
}
