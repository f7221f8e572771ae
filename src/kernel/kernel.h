/* The arithmetic: linear layers, attention, norms, activations and the row operations between them, in float32.
 *
 * Rows come as arrays of row pointers, because the rows of one operation belong to different runs; results are written
 * as one contiguous [n, width] array. The promise of every function here: the bits of a result row depend on that row's
 * own inputs only - not on n, not on its place among the n rows, not on the number of threads, not on how many masked
 * keys stand beside the visible ones. Each operation therefore has one fixed order of summation per output element.
 *
 * An fv_kernels holds the oneDNN engine, the cache of its primitives, the number of threads and the instruction set.
 * Ownership: one per model, made by fv_kernels_new, released by fv_kernels_free after every fv_linear packed with it.
 * Threads: all functions may be called from several threads with one fv_kernels, each call with its own scratch.
 * Memory: nothing is allocated per call except by oneDNN for its handles, and when a row count is seen for the first
 * time (a primitive is then made and checked, about a millisecond).
 * Scratch: any pointer to at least the stated number of bytes; contents are undefined before and after.
 *
 * Checked by: tests/kernel (each operation against src/kernel/plain.c; row and thread independence bit for bit).
 */
#ifndef FOVEA_KERNEL_KERNEL_H
#define FOVEA_KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

typedef struct fv_kernels fv_kernels;

/* threads >= 1. Proves on small shapes that oneDNN's rows do not depend on their batch; where they do, later calls use
 * only the row tiles that agree. Errors: FV_EUSAGE, FV_EUNSUPPORTED (processor too old), FV_ENOMEM, FV_EINTERNAL.
 * Cost: about ten milliseconds. */
fv_status fv_kernels_new(int threads, fv_kernels **out, fv_error *err);
void fv_kernels_free(fv_kernels *k);
/* For the manifest: "x86-64-v4"; "oneDNN 2.6.3 (brg:avx512_core)", with the row tiles where only some can be used. */
const char *fv_kernels_isa(const fv_kernels *k);
const char *fv_kernels_library(const fv_kernels *k);
int fv_kernels_threads(const fv_kernels *k);

/* A linear layer packed once: y[i] = W x[i] + b.
 *
 * w        [N, K] f32, row-major, read during the call only
 * bias     [N] f32 or NULL
 * Errors: FV_ESHAPE, FV_ENOMEM, FV_EINTERNAL. */
typedef struct fv_linear fv_linear;
/* How a weight lies in memory: little-endian, of any alignment. */
typedef enum fv_weight_type { FV_WEIGHT_F32, FV_WEIGHT_F16, FV_WEIGHT_BF16 } fv_weight_type;
fv_status fv_linear_pack(fv_kernels *k, int64_t N, int64_t K, const float *w, const float *bias, fv_linear **out,
                         fv_error *err);
/* The same layer read from where its weights lie, each time it is used: nothing is packed, and rows get the same bits.
 *
 * w        [N, K] numbers of the type, row-major; must outlive the layer
 * Errors: as fv_linear_pack. Weights are not looked at: see fv_linear_rows. */
fv_status fv_linear_stream(fv_kernels *k, int64_t N, int64_t K, fv_weight_type type, const void *w, const float *bias,
                           fv_linear **out, fv_error *err);
void fv_linear_free(fv_linear *l);
/* The memory that the layer holds: packed weights and bias. */
size_t fv_linear_bytes(const fv_linear *l);

/* x        n pointers to K floats; rows that follow each other in memory are read in place, others are gathered
 * y        [n, N] f32, must not overlap any x
 * scratch  fv_linear_scratch(k, K) bytes (or for a larger K), independent of n; fv_linear_stream_scratch when streamed
 * Errors: FV_ENOMEM, FV_EINTERNAL; FV_ENONFINITE when a streamed weight is NaN or infinite. Cost: 2 n N K flops; a
 * streamed layer is read once for every 512 rows. */
fv_status fv_linear_rows(fv_kernels *k, const fv_linear *l, int64_t n, const float *const *x, float *y, void *scratch,
                         fv_error *err);
size_t fv_linear_scratch(const fv_kernels *k, int64_t max_K);
size_t fv_linear_stream_scratch(const fv_kernels *k, int64_t max_K);
/* How many times as long many rows take when a layer of N outputs is streamed: a panel is the work of one thread, and
 * the others wait when panels do not come out even. At least 1. */
double fv_linear_stream_wait(int64_t N, int threads);

/* Row operations: x (a, b) are n pointers to rows, y is [n, W] contiguous; a row of y may be exactly the row it is
 * computed from, and must not overlap others. Non-finite inputs give what IEEE arithmetic gives: NaN stays NaN. */

/* GELU 0.5 x (1 + erf(x / sqrt 2)); QUICK_GELU x sigmoid(1.702 x); SILU x sigmoid(x);
 * GELU_NEW 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
typedef enum fv_act { FV_ACT_GELU, FV_ACT_QUICK_GELU, FV_ACT_SILU, FV_ACT_GELU_NEW, FV_ACT_RELU, FV_ACT_TANH } fv_act;
#define FV_ACT_COUNT 6
void fv_act_rows(fv_kernels *k, fv_act act, int64_t n, int64_t W, const float *const *x, float *y);

/* y = (x - mean) / sqrt(var + eps) * g + b, var = mean((x - mean)^2); g, b [D] */
void fv_layernorm_rows(fv_kernels *k, int64_t n, int64_t D, float eps, const float *g, const float *b,
                       const float *const *x, float *y);
/* y = g * (x / sqrt(mean(x^2) + eps)); g [D] */
void fv_rmsnorm_rows(fv_kernels *k, int64_t n, int64_t D, float eps, const float *g, const float *const *x, float *y);
void fv_add_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *a, const float *const *b, float *y);
void fv_mul_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *a, const float *const *b, float *y);
void fv_copy_rows(fv_kernels *k, int64_t n, int64_t W, const float *const *x, float *y);

/* Rotary embedding, halves rotated (c and c + rot/2 are a pair), on n rows of H heads of width Dh; channels rot.. of
 * each head are copied.
 *
 * cos, sin [positions, rot/2] f32       pos  [n] the rows' positions, within the tables
 * rot      even, 0 <= rot <= Dh */
void fv_rope_rows(fv_kernels *k, int64_t n, int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin,
                  const int64_t *pos, const float *const *x, float *y);

/* Attention of groups of query rows; the rows of one group share one list of keys.
 *
 *   scores[t,s] = (q[t] . k[s]) * scale where first[t] <= s < visible[t], else -INFINITY
 *   z[t] = sum_s softmax(scores[t])[s] v[s]
 *
 * Head h reads the keys and values of head h / (H / KV). A row that sees nothing gives pattern 0 and z 0. The key that
 * a row sees alone has the weight 1, also when its score is not finite: without a hook neither it nor the query is
 * read.
 */
typedef struct fv_attend_group {
  int64_t n;                        /* query rows in this group */
  int64_t S;                        /* key rows */
  const float *const *q;            /* n pointers to [H, Dh] */
  const float *const *k, *const *v; /* S pointers to [KV, Dh] each */
  const int64_t *visible;           /* [n] one past the last key that the query sees; NULL = all S */
  const int64_t *first;             /* [n] first key that it sees (sliding windows); NULL = 0 */
  float *z;                         /* [n, H, Dh] contiguous, must not overlap any input */
  void *user;                       /* handed to the hook */
} fv_attend_group;

/* Called per (group, head, query): `scores` before the softmax, `pattern` after it, each with the row of all S keys,
 * which it may change. A hook that changes nothing leaves the bits of z as they are without it. Calls for different
 * (group, head, query) come from different threads, in no fixed order. Either member may be NULL. */
typedef struct fv_attend_hook {
  void (*scores)(void *user, int64_t head, int64_t i, float *scores, int64_t S);
  void (*pattern)(void *user, int64_t head, int64_t i, float *pattern, int64_t S);
} fv_attend_hook;

/* KV divides H. scratch: fv_attend_scratch(k, H, Dh, S) bytes for the largest S among the groups (or larger).
 * Errors: FV_ESHAPE. Cost: 4 n S H Dh flops per group, over the keys that some query sees. */
fv_status fv_attend(fv_kernels *k, int64_t H, int64_t KV, int64_t Dh, float scale, int64_t ngroups,
                    const fv_attend_group *groups, const fv_attend_hook *hook, void *scratch, fv_error *err);
size_t fv_attend_scratch(const fv_kernels *k, int64_t H, int64_t Dh, int64_t max_S);

/* Readout: p[i] = exp(x[i] - max) / sum in double, one fixed order. All -INFINITY gives all 0; a NaN anywhere gives all
 * NaN; where some are +INFINITY they share the whole. */
void fv_softmax_f64(int64_t n, const float *x, double *p);

#endif
