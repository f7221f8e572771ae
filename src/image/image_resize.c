/* Pillow's two-pass resampling in fixed point.
 *
 * Per axis the weights are made in double, normalised to sum 1 and rounded to 22 fractional bits; each pass sums byte x
 * weight in 32-bit integers, rounds, and clips to a byte. Everything after the weights is integer arithmetic, so the
 * result does not depend on vector width or threads. Source: Pillow, src/libImaging/Resample.c (the formulas).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "image/image.h"

enum { FRACTION_BITS = 22, BLOCK = 2048 };

/* Below this many multiply-adds starting threads costs more than it saves. */
#define PARALLEL_WORK ((int64_t)4 << 20)

static const double pi = 3.14159265358979323846;

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double bilinear(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x) {
  x = fabs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= pi;
  /* Pillow writes the two constants as floats. */
  return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

/* Keys' cubic with a = -1/2. */
static double bicubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

static double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= pi;
  return sin(x) / x;
}

static double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

static const struct {
  double (*value)(double);
  double support;
} filters[] = {[FV_FILTER_LANCZOS] = {lanczos, 3.0},
               [FV_FILTER_BILINEAR] = {bilinear, 1.0},
               [FV_FILTER_BICUBIC] = {bicubic, 2.0},
               [FV_FILTER_BOX] = {box, 0.5},
               [FV_FILTER_HAMMING] = {hamming, 1.0}};

/* The weights of one axis: output i is the sum over j < count[i] of weight[i * most + j] * input[first[i] + j]. */
typedef struct taps {
  int64_t most;
  int32_t *first, *count, *weight;
} taps;

static void taps_release(taps *t) {
  free(t->first);
  free(t->count);
  free(t->weight);
  *t = (taps){0};
}

static int32_t to_fixed(double w) { return (int32_t)(w * (1 << FRACTION_BITS) + (w < 0 ? -0.5 : 0.5)); }

/* The taps of output i; w is scratch for t->most values. */
static void fill_tap(taps *t, int64_t i, double scale, int64_t in, fv_filter filter, double *w) {
  double widen = scale < 1.0 ? 1.0 : scale, support = filters[filter].support * widen, narrow = 1.0 / widen;
  double center = ((double)i + 0.5) * scale, sum = 0.0;
  /* Conversion truncates toward zero, so a negative bound is 0 either way. */
  int64_t lo = (int64_t)(center - support + 0.5), hi = (int64_t)(center + support + 0.5);
  if (lo < 0) lo = 0;
  if (hi > in) hi = in;
  for (int64_t j = lo; j < hi; j++) {
    w[j - lo] = filters[filter].value(((double)j - center + 0.5) * narrow);
    sum += w[j - lo];
  }
  t->first[i] = (int32_t)lo;
  t->count[i] = (int32_t)(hi - lo);
  for (int64_t j = 0; j < hi - lo; j++) t->weight[i * t->most + j] = to_fixed(sum != 0.0 ? w[j] / sum : w[j]);
}

static fv_status taps_make(int64_t in, int64_t out, fv_filter filter, taps *t, fv_error *err) {
  double scale = (double)in / (double)out, widen = scale < 1.0 ? 1.0 : scale;
  *t = (taps){.most = (int64_t)ceil(filters[filter].support * widen) * 2 + 1};
  size_t cells = 0;
  double *w = fv_alloc((size_t)t->most, sizeof *w);
  t->first = fv_alloc((size_t)out, sizeof *t->first);
  t->count = fv_alloc((size_t)out, sizeof *t->count);
  if (fv_mul_size((size_t)out, (size_t)t->most, &cells)) t->weight = fv_alloc(cells, sizeof *t->weight);
  if (!w || !t->first || !t->count || !t->weight) {
    free(w);
    taps_release(t);
    return fv_fail(err, FV_ENOMEM, "no memory to resize a picture side from %lld to %lld pixels", (long long)in,
                   (long long)out);
  }
  for (int64_t i = 0; i < out; i++) fill_tap(t, i, scale, in, filter, w);
  free(w);
  return FV_OK;
}

static inline uint8_t to_byte(int32_t sum) {
  int32_t v = sum >> FRACTION_BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void across(const fv_image *in, const taps *t, fv_image *out) {
  int64_t work = out->width * out->height * t->most * 3;
#pragma omp parallel for schedule(static) if (work > PARALLEL_WORK)
  for (int64_t y = 0; y < out->height; y++) {
    const uint8_t *row = in->rgb + y * in->width * 3;
    uint8_t *to = out->rgb + y * out->width * 3;
    for (int64_t x = 0; x < out->width; x++) {
      const uint8_t *p = row + 3 * (int64_t)t->first[x];
      const int32_t *k = t->weight + x * t->most;
      int32_t r = 1 << (FRACTION_BITS - 1), g = r, b = r;
      for (int32_t j = 0; j < t->count[x]; j++, p += 3) {
        r += p[0] * k[j];
        g += p[1] * k[j];
        b += p[2] * k[j];
      }
      to[3 * x] = to_byte(r);
      to[3 * x + 1] = to_byte(g);
      to[3 * x + 2] = to_byte(b);
    }
  }
}

static void add_row(int32_t *restrict sum, const uint8_t *restrict row, int32_t k, int64_t n) {
  for (int64_t i = 0; i < n; i++) sum[i] += row[i] * k;
}

static void down(const fv_image *in, const taps *t, fv_image *out) {
  int64_t work = out->width * out->height * t->most * 3, bytes = out->width * 3;
#pragma omp parallel for schedule(static) if (work > PARALLEL_WORK)
  for (int64_t y = 0; y < out->height; y++)
    for (int64_t at = 0; at < bytes; at += BLOCK) {
      int32_t sum[BLOCK];
      int64_t n = bytes - at < BLOCK ? bytes - at : BLOCK;
      for (int64_t i = 0; i < n; i++) sum[i] = 1 << (FRACTION_BITS - 1);
      for (int32_t j = 0; j < t->count[y]; j++)
        add_row(sum, in->rgb + (t->first[y] + j) * bytes + at, t->weight[y * t->most + j], n);
      for (int64_t i = 0; i < n; i++) out->rgb[y * bytes + at + i] = to_byte(sum[i]);
    }
}

/* One pass; `vertical` changes the height to `size`, otherwise the width. */
static fv_status pass(const fv_image *in, bool vertical, int64_t size, fv_filter filter, fv_image *out, fv_error *err) {
  taps t;
  fv_status st = taps_make(vertical ? in->height : in->width, size, filter, &t, err);
  if (st) return st;
  st = fv_image_new(vertical ? in->width : size, vertical ? size : in->height, "resized picture", out, err);
  if (!st && vertical) down(in, &t, out);
  if (!st && !vertical) across(in, &t, out);
  taps_release(&t);
  return st;
}

/* Source positions of the nearest filter. Pillow adds up the step in double, which can differ from multiplying. */
static fv_status nearest_positions(int64_t in, int64_t out, int64_t **positions, fv_error *err) {
  double step = (double)in / (double)out, at = step * 0.5;
  int64_t *p = *positions = fv_alloc((size_t)out, sizeof *p);
  if (!p) return fv_fail(err, FV_ENOMEM, "no memory to resize a picture");
  for (int64_t i = 0; i < out; i++, at += step) p[i] = at < (double)in ? (int64_t)at : -1;
  return FV_OK;
}

static fv_status resize_nearest(const fv_image *in, int64_t width, int64_t height, fv_image *out, fv_error *err) {
  int64_t *px = NULL, *py = NULL;
  fv_status st = fv_image_new(width, height, "resized picture", out, err);
  if (!st) st = nearest_positions(in->width, width, &px, err);
  if (!st) st = nearest_positions(in->height, height, &py, err);
  for (int64_t y = 0; y < height && !st; y++)
    for (int64_t x = 0; x < width; x++) {
      uint8_t *to = out->rgb + (y * width + x) * 3;
      if (px[x] < 0 || py[y] < 0)
        memset(to, 0, 3);
      else
        memcpy(to, in->rgb + (py[y] * in->width + px[x]) * 3, 3);
    }
  free(px);
  free(py);
  if (st) fv_image_release(out);
  return st;
}

static bool vertical_first(const fv_image *in, int64_t width, int64_t height, fv_resize_order order) {
  switch (order) {
    case FV_RESIZE_PILLOW13: return in->height > height && in->height - height > 2 * (in->width - width);
    case FV_RESIZE_PILLOW12_2: return in->height > height && in->height > 100 * in->width;
    case FV_RESIZE_PILLOW12: return false;
  }
  return false;
}

fv_status fv_image_resize(const fv_image *in, int64_t width, int64_t height, fv_filter filter, fv_resize_order order,
                          fv_image *out, fv_error *err) {
  *out = (fv_image){0};
  if (filter < FV_FILTER_NEAREST || filter > FV_FILTER_HAMMING)
    return fv_fail(err, FV_EUSAGE, "resize filter %d is unknown, expected 0 to 5", (int)filter);
  if (width == in->width && height == in->height) return fv_image_copy(in, out, err);
  if (filter == FV_FILTER_NEAREST) return resize_nearest(in, width, height, out, err);
  /* The final size first: no work for a result that is refused. */
  fv_image middle = {0};
  fv_status st = fv_image_new(width, height, "resized picture", &middle, err);
  fv_image_release(&middle);
  if (st) return st;
  if (width == in->width) return pass(in, true, height, filter, out, err);
  if (height == in->height) return pass(in, false, width, filter, out, err);
  bool vertical = vertical_first(in, width, height, order);
  st = pass(in, vertical, vertical ? height : width, filter, &middle, err);
  if (!st) st = pass(&middle, !vertical, vertical ? width : height, filter, out, err);
  fv_image_release(&middle);
  return st;
}
