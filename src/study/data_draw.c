#include "study/data_draw.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void fv_draw_stream(fv_rng *r, int64_t seed, const char *name) {
  uint64_t key = fv_seed_for((uint64_t)seed, name);
  (void)fv_rng_numpy(r, (int64_t)(key & UINT32_MAX), NULL); /* in range by the mask */
}

size_t fv_draw_below(fv_rng *r, size_t n) {
  uint32_t top = (uint32_t)(n - 1), mask = top, x;
  if (top == 0) return 0;
  for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  do x = fv_rng_word(r) & mask;
  while (x > top);
  return x;
}

fv_status fv_draw_sample(size_t n, size_t k, int64_t seed, size_t *out, fv_error *err) {
  fv_rng r;
  fv_status st = fv_rng_numpy(&r, seed, err);
  if (st) return st;
  size_t *order = fv_alloc(n, sizeof *order);
  if (!order) return fv_fail(err, FV_ENOMEM, "no memory to draw from %zu rows", n);
  for (size_t i = 0; i < n; i++) order[i] = i;
  for (size_t i = n; i-- > 1;) {
    size_t j = fv_draw_below(&r, i + 1), x = order[i];
    order[i] = order[j], order[j] = x;
  }
  memcpy(out, order, k * sizeof *out);
  free(order);
  return FV_OK;
}
