/* The shared part of the weight file targets: run a reader over the bytes, then check and read every tensor. */
#ifndef FOVEA_FUZZ_FUZZ_WEIGHTS_H
#define FOVEA_FUZZ_FUZZ_WEIGHTS_H

#include "checkpoint/checkpoint_build.h"
#include "fuzz.h"

static inline void fuzz_tensor(const fv_tensor *t) {
  int64_t count = 1;
  fv_error err = {0};
  FUZZ_PROMISE(t->rank >= 0 && t->rank <= FV_MAX_RANK && t->name && t->file && t->stored);
  for (int d = 0; d < t->rank; d++) FUZZ_PROMISE(t->shape[d] >= 0);
  FUZZ_PROMISE(fv_shape_count(t->rank, t->shape, &count) && count == t->count);
  if (fv_dtype_size(t->dtype) > 0) FUZZ_PROMISE(t->bytes == (size_t)count * fv_dtype_size(t->dtype));
  FUZZ_PROMISE((t->bytes == 0) == (t->data == NULL));
  volatile uint8_t sum = 0; /* touches the bytes, so that a sanitizer sees those that are not ours */
  for (size_t i = 0; i < t->bytes; i += 61) sum = (uint8_t)(sum + t->data[i]);
  if (t->bytes) sum = (uint8_t)(sum + t->data[t->bytes - 1]);
  float out[64];
  for (int64_t at = 0; at < t->count && at < 4096; at += 64) {
    int64_t n = t->count - at < 64 ? t->count - at : 64;
    fv_status st = fv_tensor_read_f32(t, at, n, out, &err);
    fuzz_check_error(st, &err);
    FUZZ_PROMISE(fv_dtype_is_real(t->dtype) ? st == FV_OK || st == FV_ENONFINITE : st == FV_EUNSUPPORTED);
  }
}

static inline int fuzz_weights(const uint8_t *data, size_t size, fv_weight_reader *reader) {
  fv_map map = {size ? data : NULL, size};
  fv_error err = {0};
  fv_checkpoint *c = fv_alloc(1, sizeof *c);
  if (!c) return 0;
  fv_status st = reader(c, "input", &map, &err);
  fuzz_check_error(st, &err);
  for (size_t i = 0; !st && i < fv_checkpoint_count(c); i++) fuzz_tensor(fv_checkpoint_at(c, i));
  fv_checkpoint_close(c);
  return 0;
}

#endif
