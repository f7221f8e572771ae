#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"

/* One frequency of Llama 3.1's scaling, in float32 operations in the order of the source. */
static float llama3(const fv_rope *r, float f) {
  float trained = (float)r->trained, low = (float)r->low, high = (float)r->high, factor = (float)r->factor;
  float wavelength = 6.283185307179586f / f;
  if (wavelength > trained / low) return f / factor;
  if (wavelength < trained / high) return f;
  float smooth = (trained / wavelength - low) / (high - low);
  return (1.0f - smooth) * f / factor + smooth * f;
}

void fv_rope_frequencies(const fv_rope *r, float *f) {
  for (int64_t i = 0; i < r->width / 2; i++) {
    float exponent = (float)(2 * i) / (float)r->width;
    f[i] = 1.0f / (float)pow(r->theta, (double)exponent);
    if (r->type == FV_ROPE_LINEAR) f[i] /= (float)r->factor;
    if (r->type == FV_ROPE_LLAMA3) f[i] = llama3(r, f[i]);
  }
}

fv_status fv_rope_tables(const fv_rope *r, int64_t positions, float **cosines, float **sines, fv_error *err) {
  int64_t half = r->width / 2, n;
  *cosines = *sines = NULL;
  if (!fv_mul_i64(positions, half, &n))
    return fv_fail(err, FV_ENOMEM, "no memory for %lld positions", (long long)positions);
  float *f = fv_alloc((size_t)half, sizeof *f);
  *cosines = fv_alloc_aligned((size_t)n, sizeof **cosines), *sines = fv_alloc_aligned((size_t)n, sizeof **sines);
  if (!f || !*cosines || !*sines) {
    free(f), free(*cosines), free(*sines);
    *cosines = *sines = NULL;
    return fv_fail(err, FV_ENOMEM, "no memory for %lld positions", (long long)positions);
  }
  fv_rope_frequencies(r, f);
  for (int64_t t = 0; t < positions; t++)
    for (int64_t i = 0; i < half; i++) {
      double angle = (double)((float)t * f[i]); /* rounded to float32 first: it decides the digits of far positions */
      (*cosines)[t * half + i] = (float)cos(angle), (*sines)[t * half + i] = (float)sin(angle);
    }
  free(f);
  return FV_OK;
}
