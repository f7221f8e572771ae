/* Test inputs and comparisons shared by the kernel tests. */
#ifndef FOVEA_TESTS_KERNEL_NUMBERS_H
#define FOVEA_TESTS_KERNEL_NUMBERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/kernel.h"

static inline uint32_t next_random(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  *seed ^= *seed << 5;
  return *seed;
}

/* n floats in [-size, size) on the heap, exactly as many bytes as they need, so that a sanitizer sees every overrun. */
static inline float *random_floats(int64_t n, float size, uint32_t seed) {
  float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
  assert_non_null(x);
  seed = seed * 2654435761u + 12345u;
  if (!seed) seed = 1;
  for (int64_t i = 0; i < n; i++) x[i] = ((float)(next_random(&seed) >> 8) / 8388608.0f - 1.0f) * size;
  return x;
}

/* Pointers to n rows of a matrix of `width` columns. */
static inline const float **row_pointers(const float *x, int64_t n, int64_t width) {
  const float **rows = malloc((size_t)(n ? n : 1) * sizeof *rows);
  assert_non_null(rows);
  for (int64_t i = 0; i < n; i++) rows[i] = x + i * width;
  return rows;
}

static inline void assert_same_bits(const float *a, const float *b, int64_t n, const char *what) {
  for (int64_t i = 0; i < n; i++)
    if (memcmp(&a[i], &b[i], sizeof *a) != 0) fail_msg("%s: element %lld: %a and %a", what, (long long)i, a[i], b[i]);
}

/* |a - b| <= tolerance * (1 + |b|) everywhere */
static inline void assert_close(const float *a, const float *b, int64_t n, float tolerance, const char *what) {
  for (int64_t i = 0; i < n; i++) {
    float room = tolerance * (1.0f + (b[i] < 0 ? -b[i] : b[i]));
    float difference = a[i] - b[i];
    if (!(difference <= room && -difference <= room))
      fail_msg("%s: element %lld: %.9g, expected %.9g within %.3g", what, (long long)i, a[i], b[i], room);
  }
}

static inline fv_kernels *kernels(int threads) {
  fv_kernels *k;
  fv_error e;
  if (fv_kernels_new(threads, &k, &e)) fail_msg("%s", e.text);
  return k;
}

#endif
