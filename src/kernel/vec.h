/* Vectors of the machine's own width, and exp, erf and tanh on them. Only for sources compiled per instruction set.
 *
 * GCC's vector extension; VL floats each. The compiler contracts nothing (-ffp-contract=off): a fused operation stands
 * where vfma is written, in every copy of an inlined function. Reductions over lanes are fixed trees. The polynomials
 * are minimax fits (weighted least squares, reweighted until the error is level) made for these intervals; the error of
 * each is beside it, relative to the exact function in exact arithmetic. NaN goes in and out.
 */
#ifndef FOVEA_KERNEL_VEC_H
#define FOVEA_KERNEL_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX__)
#define VL 8
#else
#define VL 4
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_FMA) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define VINLINE static inline __attribute__((always_inline, unused))

VINLINE vf vload(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
VINLINE void vstore(float *p, vf v) { memcpy(p, &v, sizeof v); }
/* The first n < VL floats; the other lanes are `rest`. */
VINLINE vf vload_n(const float *p, int64_t n, float rest) {
  float lane[VL];
  for (int64_t i = 0; i < VL; i++) lane[i] = i < n ? p[i] : rest;
  return vload(lane);
}
VINLINE void vstore_n(float *p, vf v, int64_t n) {
  float lane[VL];
  vstore(lane, v);
  for (int64_t i = 0; i < n; i++) p[i] = lane[i];
}
VINLINE vf vset(float x) { return x - (vf){0}; }
VINLINE vu vsetu(uint32_t x) { return x - (vu){0}; }
/* Where the mask is -1: a; where it is 0: b. */
VINLINE vf vselect(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
/* The larger; a NaN in x is passed over. */
VINLINE vf vmax(vf most, vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_max_ps((__m512)x, (__m512)most);
#elif defined(__AVX__)
  return (vf)_mm256_max_ps((__m256)x, (__m256)most);
#elif defined(__SSE2__)
  return (vf)_mm_max_ps((__m128)x, (__m128)most);
#else
  return vselect(x > most, x, most);
#endif
}
VINLINE vf vabs(vf x) { return (vf)((vu)x & vsetu(0x7FFFFFFFu)); }
/* A magnitude that is not negative, with the sign of `sign`. */
VINLINE vf vsigned(vf magnitude, vf sign) { return (vf)((vu)magnitude | ((vu)sign & vsetu(0x80000000u))); }

/* a * b + c, rounded once where the instruction set has it. */
VINLINE vf vfma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_FEATURE_FMA) && defined(__ARM_NEON)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
/* One step of Horner's rule. */
VINLINE vf vstep(vf p, vf x, float c) { return vfma(p, x, vset(c)); }

VINLINE float vsum(vf v) {
  float lane[VL];
  vstore(lane, v);
  for (int h = VL / 2; h > 0; h /= 2)
    for (int i = 0; i < h; i++) lane[i] += lane[i + h];
  return lane[0];
}
VINLINE float vmost(vf v) {
  float lane[VL];
  vstore(lane, v);
  float most = lane[0];
  for (int i = 1; i < VL; i++) most = lane[i] > most ? lane[i] : most;
  return most;
}

/* e^r and n of e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2; ln 2 in two parts so that n * high is exact. */
VINLINE vf vexp_parts(vf x, vu *n) {
  const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the rounded integer in the low bits */
  vf shifted = vstep(x, vset(1.44269504f), round);
  *n = (vu)shifted - 0x4B400000u;
  vf nf = shifted - round;
  vf r = vfma(nf, vset(-0.693145752f), x);
  r = vfma(nf, vset(-1.42860677e-6f), r);
  /* (e^r - 1 - r) / r^2, error 3e-9 */
  vf p = vstep(vset(1.381446724e-03f), r, 8.368780836e-03f);
  p = vstep(p, r, 4.166839272e-02f);
  p = vstep(p, r, 1.666651964e-01f);
  p = vstep(p, r, 4.999999404e-01f);
  return vfma(p, r * r, r) + 1.0f;
}
/* e^x. Below -87.33 (2^-126) the result is exactly 0, above 88.72 infinite. */
VINLINE vf vexp(vf x) {
  vu n, half;
  vf p = vexp_parts(x, &n);
  half = (vu)((vi)n >> 1); /* 2^n in two factors: n can be 128 */
  vf y = p * (vf)((half + 127u) << 23) * (vf)((n - half + 127u) << 23);
  y = vselect(x < -87.3365448f, vset(0.0f), y);
  return vselect(x > 88.7228394f, vset(INFINITY), y);
}
/* The same for x <= 0 or NaN. */
VINLINE vf vexp_negative(vf x) {
  vu n;
  vf p = vexp_parts(x, &n);
  return vselect(x < -87.3365448f, vset(0.0f), p * (vf)((n + 127u) << 23));
}

/* 1 / (1 + e^-x) */
VINLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }

/* |x| < 1: x (2/sqrt(pi) + x^2 P(x^2)), error 4e-11; else 1 - e^Q(|x|), Q fitted to log erfc on [1, 4], error 2e-11. */
VINLINE vf verf(vf x) {
  vf u = x * x;
  vf p = vstep(vset(-9.722143659e-06f), u, 1.128620570e-04f);
  p = vstep(p, u, -8.487043087e-04f);
  p = vstep(p, u, 5.221251398e-03f);
  p = vstep(p, u, -2.686551772e-02f);
  p = vstep(p, u, 1.128378436e-01f);
  p = vstep(p, u, -3.761263788e-01f);
  vf small = x * vstep(p, u, 1.128379167f);
  vf t = vabs(x);
  t = vselect(t > 4.0f, vset(4.0f), t);
  vf q = vstep(vset(-2.168675564e-05f), t, 4.413351999e-04f);
  q = vstep(q, t, -4.204555880e-03f);
  q = vstep(q, t, 2.520823851e-02f);
  q = vstep(q, t, -1.084185466e-01f);
  q = vstep(q, t, -6.332198977e-01f);
  q = vstep(q, t, -1.129578352f);
  q = vstep(q, t, 1.880366472e-04f);
  vf large = vsigned(1.0f - vexp_negative(q), x);
  return vselect(vabs(x) < 1.0f, small, large);
}

/* |x| < 0.625: x + x^3 P(x^2), error 4e-9; else 1 - 2 / (e^(2|x|) + 1). */
VINLINE vf vtanh(vf x) {
  vf u = x * x;
  vf p = vstep(vset(-5.714686122e-03f), u, 2.064857259e-02f);
  p = vstep(p, u, -5.374291167e-02f);
  p = vstep(p, u, 1.333148479e-01f);
  p = vstep(p, u, -3.333328366e-01f);
  vf small = vfma(x * u, p, x);
  vf large = vsigned(1.0f - 2.0f / (vexp(2.0f * vabs(x)) + 1.0f), x);
  return vselect(vabs(x) < 0.625f, small, large);
}

#endif
