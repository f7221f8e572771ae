/* Where the parts of one attention task lie in a thread's scratch. One layout for all instruction sets: sizes are
 * rounded up to the widest vector. The struct is a view; the caller of the task owns the memory.
 */
#ifndef FOVEA_KERNEL_ATTEND_ROOM_H
#define FOVEA_KERNEL_ATTEND_ROOM_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/isa_table.h"

#define FV_BLOCKS_MAX 8 /* packed blocks of keys in the pass-through buffer */

typedef struct fv_attend_room {
  float *keys;          /* [S / VL][Dh][VL], S rounded up */
  float *copies;        /* [S][width] rows of values */
  float *scores;        /* [FV_QUERIES_MAX][stride] */
  float *q;             /* [Dh][queries] */
  float *z;             /* [FV_QUERIES_MAX][width] */
  const float **values; /* [S] where the rows of values are */
  /* [S] the rows from which keys and copies were made, NULL = none yet */
  const float **keys_from, **values_from;
  int64_t stride; /* of a row of scores */
  int64_t width;  /* Dh rounded up to whole vectors */
} fv_attend_room;

static inline int64_t fv_attend_round(int64_t x) { return (x + FV_VECTOR_MAX - 1) / FV_VECTOR_MAX * FV_VECTOR_MAX; }

static inline int64_t fv_attend_keys(int64_t S) {
  return fv_attend_round(S < FV_BLOCKS_MAX * FV_VECTOR_MAX ? FV_BLOCKS_MAX * FV_VECTOR_MAX : S);
}

/* Not a multiple of 4096 bytes, which would put all rows of scores into the same few lines of the first cache. */
static inline int64_t fv_attend_stride(int64_t S) {
  return fv_attend_keys(S) + (fv_attend_keys(S) % 256 == 0 ? FV_VECTOR_MAX : 0);
}

/* Bytes for one thread, a multiple of 64. */
static inline size_t fv_attend_task_bytes(int64_t Dh, int64_t S) {
  size_t keys = (size_t)fv_attend_keys(S), stride = (size_t)fv_attend_stride(S), width = (size_t)fv_attend_round(Dh);
  return (2 * keys * width + FV_QUERIES_MAX * stride + 2 * FV_QUERIES_MAX * width) * sizeof(float) +
         3 * keys * sizeof(float *);
}

static inline fv_attend_room fv_attend_room_at(void *scratch, int64_t Dh, int64_t S) {
  int64_t keys = fv_attend_keys(S), width = fv_attend_round(Dh);
  fv_attend_room w = {.stride = fv_attend_stride(S), .width = width};
  w.keys = scratch;
  w.copies = w.keys + keys * width;
  w.scores = w.copies + keys * width;
  w.q = w.scores + FV_QUERIES_MAX * w.stride;
  w.z = w.q + FV_QUERIES_MAX * width;
  w.values = (const float **)(void *)(w.z + FV_QUERIES_MAX * width);
  w.keys_from = w.values + keys;
  w.values_from = w.keys_from + keys;
  return w;
}

#endif
