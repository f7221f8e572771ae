/* What the benchmarks of whole models share: a clock, calls that must succeed, and the rate that all is compared with.
 */
#ifndef FOVEA_BENCH_MEASURE_H
#define FOVEA_BENCH_MEASURE_H

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fovea/fovea.h"

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void check(fv_status st, const fv_error *e) {
  if (st) fprintf(stderr, "%s\n", e->text), exit(1);
}
#define DO(call)       \
  do {                 \
    fv_error e_ = {0}; \
    check(call, &e_);  \
  } while (0)
#define ERR &e_

/* Best rate of a square product, operations per second. */
static inline double product_rate(int threads) {
  const int64_t n = 1536;
  float *a = calloc((size_t)(3 * n * n), sizeof *a), *b = a + n * n, *c = b + n * n;
  double best = 1e9;
  if (!a) exit(1);
  for (int64_t i = 0; i < 2 * n * n; i++) a[i] = (float)(i % 251) * 0.01f - 1.25f;
  omp_set_num_threads(threads);
  for (int i = 0; i < 30; i++) {
    double t = now();
    dnnl_sgemm('N', 'N', n, n, n, 1.0f, a, n, b, n, 0.0f, c, n);
    t = now() - t;
    if (i > 0 && t < best) best = t;
  }
  free(a);
  return 2.0 * (double)(n * n * n) / best;
}

#endif
