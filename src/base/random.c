#include "base/random.h"

#include <math.h>
#include <string.h>

/* MT19937: Matsumoto and Nishimura 1998, with the initialisations of 2002. */
enum { N = FV_RNG_STATE, M = 397 };

static void seed_word(fv_rng *r, fv_rng_kind kind, uint32_t seed) {
  r->kind = kind;
  r->state[0] = seed;
  for (uint32_t j = 1; j < N; j++) r->state[j] = 1812433253u * (r->state[j - 1] ^ (r->state[j - 1] >> 30)) + j;
  r->at = N;
  r->has_cached = false;
  r->cached = 0;
}

void fv_rng_torch(fv_rng *r, int64_t seed) { seed_word(r, FV_RNG_TORCH, (uint32_t)(uint64_t)seed); }

fv_status fv_rng_numpy(fv_rng *r, int64_t seed, fv_error *err) {
  if (seed < 0 || seed > (int64_t)UINT32_MAX)
    return fv_fail(err, FV_EUSAGE, "seed %lld is out of range for the numpy stream, expected 0 to 4294967295",
                   (long long)seed);
  seed_word(r, FV_RNG_NUMPY, (uint32_t)seed);
  return FV_OK;
}

fv_status fv_rng_numpy_array(fv_rng *r, const uint32_t *key, size_t n, fv_error *err) {
  if (n == 0) return fv_fail(err, FV_EUSAGE, "the seed sequence is empty, expected at least one number");
  seed_word(r, FV_RNG_NUMPY, 19650218u);
  uint32_t *s = r->state;
  size_t i = 1, j = 0;
  for (size_t k = n > N ? n : N; k > 0; k--) {
    s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
    if (++i == N) s[0] = s[N - 1], i = 1;
    if (++j == n) j = 0;
  }
  for (size_t k = N - 1; k > 0; k--) {
    s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
    if (++i == N) s[0] = s[N - 1], i = 1;
  }
  s[0] = 0x80000000u;
  return FV_OK;
}

static inline uint32_t twist(uint32_t high, uint32_t low, uint32_t far) {
  uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
  return far ^ (y >> 1) ^ ((0u - (y & 1u)) & 0x9908b0dfu);
}

static void next_state(fv_rng *r) {
  uint32_t *s = r->state;
  for (int k = 0; k < N - M; k++) s[k] = twist(s[k], s[k + 1], s[k + M]);
  for (int k = N - M; k < N - 1; k++) s[k] = twist(s[k], s[k + 1], s[k + M - N]);
  s[N - 1] = twist(s[N - 1], s[0], s[M - 1]);
  r->at = 0;
}

static inline uint32_t temper(uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

uint32_t fv_rng_word(fv_rng *r) {
  if (r->at == N) next_state(r);
  return temper(r->state[r->at++]);
}

double fv_rng_double(fv_rng *r) {
  uint32_t first = fv_rng_word(r), second = fv_rng_word(r);
  if (r->kind == FV_RNG_NUMPY) return ((double)(first >> 5) * 67108864.0 + (double)(second >> 6)) / 9007199254740992.0;
  uint64_t bits = (uint64_t)first << 32 | second;
  return (double)(bits & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* torch's float32 uniforms: the low 24 bits of one word each. */
static void torch_uniforms(fv_rng *r, int64_t n, float *out) {
  while (n > 0) {
    if (r->at == N) next_state(r);
    int64_t take = N - r->at < n ? N - r->at : n;
    const uint32_t *s = r->state + r->at;
    for (int64_t i = 0; i < take; i++) out[i] = (float)(int32_t)(temper(s[i]) & 0xffffffu) * 0x1p-24f;
    r->at += (int32_t)take;
    out += take;
    n -= take;
  }
}

/* ln, sin and cos below are the single-precision polynomials of the Cephes library (S. Moshier), in the order of
 * operations, fused where they are fused, of the vector code in torch's CPU builds. float32 throughout. fmaf is
 * correctly rounded everywhere; on x86 the functions are compiled a second time with FMA instructions for speed. */
static inline __attribute__((always_inline)) float cephes_log(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  /* x = m 2^e with m in [0.5, 1); then m in [sqrt(1/2), sqrt(2)) */
  float e = (float)((int32_t)(bits >> 23) - 126), m;
  bits = (bits & 0x007fffffu) | 0x3f000000u;
  memcpy(&m, &bits, sizeof m);
  /* 1 when m < sqrt(1/2), else 0; by the sign of a difference of bits, because a branch would keep the loop scalar */
  float below = (float)(int32_t)((bits - 0x3f3504f3u) >> 31);
  m = (m - 1.0f) + m * below;
  e -= below;
  float z = m * m, y = 7.0376836292e-2f;
  y = fmaf(y, m, -1.1514610310e-1f);
  y = fmaf(y, m, 1.1676998740e-1f);
  y = fmaf(y, m, -1.2420140846e-1f);
  y = fmaf(y, m, 1.4249322787e-1f);
  y = fmaf(y, m, -1.6668057665e-1f);
  y = fmaf(y, m, 2.0000714765e-1f);
  y = fmaf(y, m, -2.4999993993e-1f);
  y = fmaf(y, m, 3.3333331174e-1f);
  y = y * m;
  y = fmaf(y, z, e * -2.12194440e-4f);
  y = fmaf(-z, 0.5f, y);
  return fmaf(e, 0.693359375f, m + y);
}

/* For t in [0, 2 pi]. */
static inline __attribute__((always_inline)) void cephes_sincos(float t, float *sine, float *cosine) {
  int32_t octant = ((int32_t)(t * 1.27323954473516f) + 1) & ~1;
  float y = (float)octant;
  t = fmaf(y, -0.78515625f, t);
  t = fmaf(y, -2.4187564849853515625e-4f, t);
  t = fmaf(y, -3.77489497744594108e-8f, t);
  float z = t * t;
  float c = 2.443315711809948e-5f;
  c = fmaf(c, z, -1.388731625493765e-3f);
  c = fmaf(c, z, 4.166664568298827e-2f);
  c = c * z;
  c = fmaf(c, z, -(z * 0.5f));
  c = c + 1.0f;
  float s = -1.9515295891e-4f;
  s = fmaf(s, z, 8.3321608736e-3f);
  s = fmaf(s, z, -1.6666654611e-1f);
  s = s * z;
  s = fmaf(s, t, t);
  /* Exchange and signs by octant, on the bits: branches would keep the loop scalar. */
  uint32_t o = (uint32_t)octant, s_bits, c_bits;
  memcpy(&s_bits, &s, sizeof s_bits);
  memcpy(&c_bits, &c, sizeof c_bits);
  uint32_t exchange = (s_bits ^ c_bits) & (0u - (o >> 1 & 1u));
  s_bits = (s_bits ^ exchange) ^ (o & 4u) << 29;
  c_bits = (c_bits ^ exchange) ^ (~(o - 2u) & 4u) << 29;
  memcpy(sine, &s_bits, sizeof s_bits);
  memcpy(cosine, &c_bits, sizeof c_bits);
}

/* 16 uniforms at d become 16 normals: d[j] and d[j + 8] are one Box-Muller pair. */
static inline __attribute__((always_inline)) void normal_blocks(float *d, int64_t blocks, float mean, float std) {
  for (int64_t b = 0; b < blocks; b++, d += 16) {
    for (int j = 0; j < 8; j++) {
      float radius = sqrtf(-2.0f * cephes_log(1.0f - d[j])), sine, cosine;
      cephes_sincos(6.28318530717958647692f * d[j + 8], &sine, &cosine);
      d[j] = fmaf(radius * cosine, std, mean);
      d[j + 8] = fmaf(radius * sine, std, mean);
    }
  }
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) static void normal_blocks_fma(float *d, int64_t blocks, float mean, float std) {
  normal_blocks(d, blocks, mean, std);
}
static bool have_fma(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
static void normal_blocks_fma(float *d, int64_t blocks, float mean, float std) { normal_blocks(d, blocks, mean, std); }
static bool have_fma(void) { return true; }
#endif

static void normal_blocks_portable(float *d, int64_t blocks, float mean, float std) {
  normal_blocks(d, blocks, mean, std);
}

static void torch_normal_blocks(fv_rng *r, float mean, float std, int64_t n, float *out) {
  void (*transform)(float *, int64_t, float, float) = have_fma() ? normal_blocks_fma : normal_blocks_portable;
  torch_uniforms(r, n, out);
  transform(out, n / 16, mean, std);
  if (n % 16) {
    torch_uniforms(r, 16, out + n - 16);
    transform(out + n - 16, 1, mean, std);
  }
}

static double torch_gauss(fv_rng *r) {
  if (r->has_cached) {
    r->has_cached = false;
    return r->cached;
  }
  double u1 = fv_rng_double(r), u2 = fv_rng_double(r);
  double radius = sqrt(-2.0 * log1p(-u2)), theta = 2.0 * 3.14159265358979323846 * u1;
  r->cached = radius * sin(theta);
  r->has_cached = true;
  return radius * cos(theta);
}

/* Marsaglia's polar method; the second of the pair is returned, the first waits. */
static double numpy_gauss(fv_rng *r) {
  if (r->has_cached) {
    r->has_cached = false;
    return r->cached;
  }
  double x1, x2, square;
  do {
    x1 = 2.0 * fv_rng_double(r) - 1.0;
    x2 = 2.0 * fv_rng_double(r) - 1.0;
    square = x1 * x1 + x2 * x2;
  } while (square >= 1.0 || square == 0.0);
  double f = sqrt(-2.0 * log(square) / square);
  r->cached = f * x1;
  r->has_cached = true;
  return f * x2;
}

void fv_rng_fill_normal(fv_rng *r, double mean, double std, int64_t n, float *out) {
  if (r->kind == FV_RNG_NUMPY) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(numpy_gauss(r) * std + mean);
  } else if (n < 16) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)fma(torch_gauss(r), std, mean);
  } else {
    torch_normal_blocks(r, (float)mean, (float)std, n, out);
  }
}

void fv_rng_fill_uniform(fv_rng *r, double lo, double hi, int64_t n, float *out) {
  if (r->kind == FV_RNG_NUMPY) {
    double range = hi - lo;
    for (int64_t i = 0; i < n; i++) out[i] = (float)(lo + range * fv_rng_double(r));
    return;
  }
  torch_uniforms(r, n, out);
  float from = (float)lo, range = (float)hi - from;
  if (from == 0.0f && range == 1.0f) return;
  for (int64_t i = 0; i < n; i++) out[i] = fmaf(out[i], range, from);
}

uint64_t fv_seed_for(uint64_t study_seed, const char *sample_id) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */
  for (const char *c = sample_id; *c; c++) hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
  uint64_t z = study_seed + UINT64_C(0x9e3779b97f4a7c15) * hash;
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}
