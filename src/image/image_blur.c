/* Luma and blur, the two corruptions made on the pixels themselves. Source: Pillow, src/libImaging/BoxBlur.c and
 * Convert.c (the formulas). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "image/image.h"

enum { PASSES = 3 };
#define MAX_SIGMA 100000.0

void fv_image_gray(fv_image *im) {
  for (int64_t i = 0; i < im->width * im->height; i++) {
    uint8_t *p = im->rgb + 3 * i;
    memset(p, (int)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16), 3);
  }
}

/* The fractional radius of a box that, applied PASSES times, has the Gaussian's variance. float throughout, as in
 * Pillow: the radius decides the integer weights below. */
static float box_radius(float sigma) {
  float variance = sigma * sigma / PASSES;
  float length = (float)sqrt(12.0 * (double)variance + 1.0);
  float whole = (float)floor(((double)length - 1.0) / 2.0);
  float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  part /= 6 * (variance - (whole + 1) * (whole + 1));
  return whole + part;
}

/* One box: 2 radius + 1 samples of weight ww and one more on each side of weight fw, in 1/2^24; beyond the ends the
 * end sample repeats. `in` and `out` hold n samples, 3 bytes apart, and do not overlap. */
static void blur_line(const uint8_t *in, uint8_t *out, int64_t n, int64_t radius, uint32_t ww, uint32_t fw) {
  int64_t last = n - 1;
  uint32_t sum = in[0] * (uint32_t)(radius + 1); /* of the window around -1 */
  for (int64_t x = 0; x < radius && x < last; x++) sum += in[3 * x];
  if (radius > last) sum += in[3 * last] * (uint32_t)(radius - last);
  for (int64_t x = 0; x < n; x++) {
    int64_t leaving = x - radius - 1 > 0 ? x - radius - 1 : 0;
    int64_t entering = x + radius < last ? x + radius : last, beyond = x + radius + 1 < last ? x + radius + 1 : last;
    sum += (uint32_t)in[3 * entering] - in[3 * leaving];
    uint32_t v = sum * ww + ((uint32_t)in[3 * leaving] + in[3 * beyond]) * fw;
    out[3 * x] = (uint8_t)((v + (1u << 23)) >> 24);
  }
}

/* PASSES boxes along every row, in place; line holds a row. */
static void blur_rows(fv_image *im, float radius, uint8_t *line) {
  int64_t whole = (int64_t)radius;
  uint32_t ww = (uint32_t)((float)(1 << 24) / (radius * 2 + 1));
  uint32_t fw = ((1u << 24) - (uint32_t)(whole * 2 + 1) * ww) / 2;
  size_t bytes = (size_t)im->width * 3;
  for (int64_t y = 0; y < im->height; y++)
    for (int i = 0; i < PASSES; i++) {
      uint8_t *row = im->rgb + (size_t)y * bytes;
      memcpy(line, row, bytes);
      for (int c = 0; c < 3; c++) blur_line(line + c, row + c, im->width, whole, ww, fw);
    }
}

fv_status fv_image_blur(fv_image *im, double sigma, fv_error *err) {
  if (!(sigma >= 0.0 && sigma <= MAX_SIGMA))
    return fv_fail(err, FV_EUSAGE, "blur: sigma is %g, expected 0 to %g pixels", sigma, MAX_SIGMA);
  float radius = box_radius((float)sigma);
  if (radius == 0.0f) return FV_OK;
  int64_t longest = im->width > im->height ? im->width : im->height;
  uint8_t *line = fv_alloc((size_t)longest, 3);
  if (!line) return fv_fail(err, FV_ENOMEM, "blur: no memory for %lld pixels", (long long)longest);
  blur_rows(im, radius, line);
  /* Columns: transpose (orientation 5 is its own inverse), blur rows, transpose back. */
  fv_status st = fv_image_orient(im, 5, err);
  if (!st) {
    blur_rows(im, radius, line);
    st = fv_image_orient(im, 5, err);
  }
  free(line);
  return st;
}
