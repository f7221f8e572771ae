/* The vector kernels of one instruction set, as a table of functions on single rows and single attention tasks.
 *
 * rows_isa.c, attend_isa.c and stream_isa.c are compiled once per instruction set; FV_ISA is the suffix of their
 * symbols. Each function is pure: it reads its arguments and writes its output, and its arithmetic depends only on the
 * row's width. Tables are constant data; threads may share them.
 */
#ifndef FOVEA_KERNEL_ISA_TABLE_H
#define FOVEA_KERNEL_ISA_TABLE_H

#include <stdint.h>

#include "kernel/kernel.h"

/* Queries of neighbouring groups against one key-value head. A group's queries are numbered through the query heads
 * that share this key-value head: number j is head kv * (H / KV) + j / n, row j % n. */
typedef struct fv_attend_task {
  const fv_attend_group *groups;
  int64_t count;              /* of groups */
  const fv_attend_hook *hook; /* NULL = nobody looks */
  int64_t H, KV, Dh, kv;
  int64_t begin, end; /* numbers of the queries to compute in each group, as far as it has them */
  int64_t max_S;      /* at least the S of every group; the scratch is laid out for it */
  float scale;
} fv_attend_task;

/* A panel of weights as they lie in the file, N rows of K numbers, on its way into a packed layout: the number of
 * output n and column k goes to to[n / block * block_step + n % block + k * column_step]. */
typedef struct fv_pack_task {
  fv_weight_type type;
  const uint8_t *w;
  int64_t N, K;
  int64_t block, block_step, column_step;
  float *to;
} fv_pack_task;

/* The most rows that are multiplied with weights as they lie in the file. */
#define FV_FEW_ROWS 64

/* A product of a few rows with N rows of weights: y[m * y_step + n]. The columns are cut into blocks of `chain`; a
 * block's products are added up one after the other with fused operations, then the blocks' sums in order, then the
 * bias. */
typedef struct fv_few_task {
  fv_weight_type type;
  const uint8_t *w;
  int64_t N, K, chain;
  int64_t rows; /* at most FV_FEW_ROWS */
  const float *const *x;
  const float *bias;
  float *y;
  int64_t y_step;
} fv_few_task;

typedef struct fv_kernel_table {
  void (*act[FV_ACT_COUNT])(int64_t W, const float *x, float *y);
  void (*layernorm)(int64_t D, float eps, const float *g, const float *b, const float *x, float *y);
  void (*rmsnorm)(int64_t D, float eps, const float *g, const float *x, float *y);
  void (*add)(int64_t W, const float *a, const float *b, float *y);
  void (*mul)(int64_t W, const float *a, const float *b, float *y);
  void (*rope)(int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin, const float *x, float *y);
  /* scratch: fv_attend_task_bytes(Dh, max_S) bytes, aligned to 64 */
  void (*attend)(const fv_attend_task *task, void *scratch);
  void (*pack)(const fv_pack_task *task);
  void (*few)(const fv_few_task *task);
} fv_kernel_table;

#define FV_ISA_JOIN2(name, isa) name##_##isa
#define FV_ISA_JOIN(name, isa) FV_ISA_JOIN2(name, isa)
/* The name of a symbol in the build for this instruction set. */
#define FV_ISA_NAME(name) FV_ISA_JOIN(name, FV_ISA)

/* X(suffix, name): best first. */
#ifdef FV_HAVE_ISA_X86
#define FV_ISA_MAP(X) X(v4, "x86-64-v4") X(v3, "x86-64-v3") X(v2, "x86-64-v2")
#else
#define FV_ISA_MAP(X) X(native, "native")
#endif

#ifdef FV_ISA
extern const fv_kernel_table FV_ISA_NAME(fv_kernel_table);
void FV_ISA_NAME(fv_attend_task_run)(const fv_attend_task *task, void *scratch);
void FV_ISA_NAME(fv_pack_task_run)(const fv_pack_task *task);
void FV_ISA_NAME(fv_few_task_run)(const fv_few_task *task);
#else
#define FV_ISA_DECLARE(suffix, name) extern const fv_kernel_table fv_kernel_table_##suffix;
FV_ISA_MAP(FV_ISA_DECLARE)
#undef FV_ISA_DECLARE
#endif

/* The widest vector and the most queries computed together, over all instruction sets: they set the scratch. */
#define FV_VECTOR_MAX 16
#define FV_QUERIES_MAX 8

#endif
