/* Reading the vectors that tools/reference/make_image_vectors.py wrote, and its made-up source pictures. */
#ifndef FOVEA_TESTS_IMAGE_VECTORS_H
#define FOVEA_TESTS_IMAGE_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "image/image.h"

#define IMAGE_DATA FV_TEST_DATA "/image/"

static inline uint8_t *load_bytes(const char *path, size_t *n) {
  char *data = NULL;
  fv_error err = {0};
  if (fv_file_read(path, (size_t)1 << 30, &data, n, &err)) fail_msg("%s", err.text);
  return (uint8_t *)data;
}

/* Noise (kind 0), stripes of 0 and 255 (kind 1) or a ramp (kind 2). */
static inline fv_image source_picture(uint32_t seed, int kind, int64_t w, int64_t h) {
  fv_image im;
  fv_error err = {0};
  if (fv_image_new(w, h, "source", &im, &err)) fail_msg("%s", err.text);
  for (int64_t n = 0; n < w * h * 3; n++) {
    uint32_t v = (uint32_t)n + seed * 0x9E3779B9u;
    v ^= v >> 16;
    v *= 0x7FEB352Du;
    v ^= v >> 15;
    v *= 0x846CA68Bu;
    v ^= v >> 16;
    int64_t ramp = n / 3 % w * 7 + n / 3 / w * 3 + n % 3 * 50 + seed;
    im.rgb[n] = (uint8_t)(kind == 0 ? v : kind == 1 ? (v & 1) * 255 : ramp);
  }
  return im;
}

/* Fails with the first pixel that differs. */
static inline void expect_pixels(const char *what, const fv_image *im, int64_t w, int64_t h, const uint8_t *rgb) {
  if (im->width != w || im->height != h)
    fail_msg("%s: is %lld x %lld, expected %lld x %lld", what, (long long)im->width, (long long)im->height,
             (long long)w, (long long)h);
  for (int64_t i = 0; i < w * h; i++)
    if (memcmp(im->rgb + 3 * i, rgb + 3 * i, 3) != 0)
      fail_msg("%s: pixel (%lld, %lld) is %d %d %d, expected %d %d %d", what, (long long)(i % w), (long long)(i / w),
               im->rgb[3 * i], im->rgb[3 * i + 1], im->rgb[3 * i + 2], rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
}

#endif
