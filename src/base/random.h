/* Random streams: NumPy's RandomState exactly, PyTorch's CPU generator exactly, and seeds for samples.
 *
 * Both are the Mersenne twister MT19937 with different front ends. An fv_rng_fill_* call consumes words and leaves
 * cached normals exactly as the library it follows does, so a sequence of calls here equals the same sequence of calls
 * there:
 *
 * FV_RNG_TORCH: torch.manual_seed(seed) and float32 tensors on the CPU, as the released x86-64 builds compute them on a
 * processor with AVX2 or AVX-512: polynomial ln, sin and cos with fused multiply-adds. Every operation is correctly
 * rounded here with or without such a processor, so the bits are the same.
 *
 * FV_RNG_NUMPY: numpy.random.RandomState(seed); float64 results, rounded to float32 when they are stored.
 *
 * A call with n values is not two calls with n/2: PyTorch's normals are made in blocks (see fv_rng_fill_normal).
 * FV_RNG_NUMPY seeded with an array of the 32-bit words of an integer, lowest first, is also Python's random.seed(),
 * and fv_rng_double is then random.random().
 *
 * Ownership: fv_rng is a plain value of 2.5 KB owned by the caller; copying it copies the stream's state. Threads: one
 * stream per thread. Cost: about 1 ns per torch normal with AVX2 (30 without), 0.5 per uniform, 13 per numpy normal.
 * Checked by: tests/base/test_random.c against values written by numpy and torch.
 */
#ifndef FOVEA_BASE_RANDOM_H
#define FOVEA_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

typedef enum fv_rng_kind { FV_RNG_TORCH, FV_RNG_NUMPY } fv_rng_kind;

#define FV_RNG_STATE 624

typedef struct fv_rng {
  fv_rng_kind kind;
  uint32_t state[FV_RNG_STATE];
  int32_t at;      /* next word of state to temper; FV_RNG_STATE = twist first */
  bool has_cached; /* a normal is waiting: the other half of the last pair drawn */
  double cached;   /* unscaled */
} fv_rng;

/* torch.manual_seed(seed): only the low 32 bits count, so -1 is 2^32 - 1. */
void fv_rng_torch(fv_rng *r, int64_t seed);
/* numpy.random.RandomState(seed); FV_EUSAGE unless 0 <= seed < 2^32. */
fv_status fv_rng_numpy(fv_rng *r, int64_t seed, fv_error *err);
/* numpy.random.RandomState(key) for a sequence of n words; FV_EUSAGE when n is 0. */
fv_status fv_rng_numpy_array(fv_rng *r, const uint32_t *key, size_t n, fv_error *err);

/* n normals into out.
 *
 * torch: torch.normal(mean, std, (n,)). From n = 16 on, n uniforms are drawn and each block of 16 becomes 8 Box-Muller
 * pairs; when n is not a multiple of 16, the last 16 values are drawn afresh. Below 16, double precision pairs, of
 * which the second waits for the next call with n < 16 (calls with n >= 16 leave it waiting).
 *
 * numpy: randn(n) * std + mean in float64; an odd n leaves a value waiting for the next call.
 */
void fv_rng_fill_normal(fv_rng *r, double mean, double std, int64_t n, float *out);

/* n uniforms in [lo, hi) into out.
 *
 * torch: tensor.uniform_(lo, hi): fmaf(x, (float)hi - (float)lo, (float)lo) with x = 24 bits of one word; torch.rand is
 *        lo = 0, hi = 1.
 * numpy: uniform(lo, hi, n) in float64.
 */
void fv_rng_fill_uniform(fv_rng *r, double lo, double hi, int64_t n, float *out);

/* The next 32-bit word of the twister. */
uint32_t fv_rng_word(fv_rng *r);
/* 53 random bits in [0, 1): numpy's random_sample(); torch.rand(dtype=float64). Two words. */
double fv_rng_double(fv_rng *r);

/* The seed of one sample of a study: splitmix64's finalizer of (study seed + golden ratio * FNV-1a(id)). It depends on
 * nothing else, so order and sharding of the samples change nothing. Callers that need a 32-bit seed take the low half.
 */
uint64_t fv_seed_for(uint64_t study_seed, const char *sample_id);

#endif
