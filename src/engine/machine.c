#include "fovea/machine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "model/loaded.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { SIDE = 1024, ROWS = 512, FEW = 16 };

/* Best rate of repeated products of n rows with a SIDE x SIDE matrix. */
static fv_status measure_product(fv_kernels *k, const fv_linear *l, int64_t n, const float *const *x, float *y,
                                 void *scratch, double seconds, double *rate, fv_error *err) {
  double start = now(), best = 1e9;
  for (int i = 0; i < 3 || now() - start < seconds; i++) {
    double t = now();
    fv_status st = fv_linear_rows(k, l, n, x, y, scratch, err);
    if (st) return st;
    t = now() - t;
    if (i > 0 && t < best) best = t;
  }
  *rate = 2.0 * (double)n * SIDE * SIDE / best;
  return FV_OK;
}

/* Bytes per second of summing an array that no cache holds. */
static double measure_memory(const float *data, size_t n, int threads, double seconds) {
  double start = now(), best = 1e9, total = 0.0;
  for (int i = 0; i < 2 || now() - start < seconds; i++) {
    double t = now();
    double sum = 0.0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (size_t j = 0; j < n; j += 16) { /* one cache line */
      float s = 0.0f;
      for (size_t q = 0; q < 16; q++) s += data[j + q];
      sum += s;
    }
    t = now() - t;
    total += sum;
    if (t < best) best = t;
  }
  return total == -1.0 ? 0.0 : (double)(n * sizeof *data) / best; /* the comparison keeps the sums alive */
}

fv_status fv_machine_measure(const fv_model *m, double seconds, fv_machine *out, fv_error *err) {
  size_t n = (size_t)64 << 20 >> 2;
  float *data = fv_alloc_aligned(n, sizeof *data), *y = fv_alloc_aligned((size_t)ROWS * SIDE, sizeof *y);
  const float **x = fv_alloc(ROWS, sizeof *x);
  void *scratch = fv_alloc_aligned(1, fv_linear_scratch(m->kernels, SIDE));
  fv_linear *l = NULL;
  fv_status st = data && y && x && scratch ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory to measure the machine");
  for (size_t i = 0; i < n && !st; i++) data[i] = (float)(i % 251) * 0.01f - 1.25f;
  for (int i = 0; i < ROWS && !st; i++) x[i] = data + (size_t)i * SIDE;
  if (!st) st = fv_linear_pack(m->kernels, SIDE, SIDE, data, NULL, &l, err);
  if (seconds <= 0.0) seconds = 0.1;
  if (!st) st = measure_product(m->kernels, l, ROWS, x, y, scratch, seconds / 3, &out->matmul, err);
  if (!st) st = measure_product(m->kernels, l, FEW, x, y, scratch, seconds / 3, &out->small, err);
  if (!st) out->memory = measure_memory(data, n, fv_kernels_threads(m->kernels), seconds / 3);
  fv_linear_free(l);
  free(data), free(y), free(x), free(scratch);
  return st;
}

/* Large products dominate; attention, norms and activations take about as long again as a quarter of them. Packing
 * reads every weight and writes it twice; streamed weights are read from the file cache, a thread at a time in each
 * panel. */
double fv_machine_predict(const fv_machine *machine, const fv_cost *cost) {
  return 1.35 * cost->flops / machine->matmul +
         (6.0 * (double)cost->weights + 2.0 * (double)cost->streamed) / machine->memory + 0.01;
}
