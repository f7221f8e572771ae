#include "image/preprocess.h"

#include <string.h>

/* transformers' get_resize_output_image_size: int(edge * long / short), the division in double. */
static void resized_shape(const fv_preprocess *p, int64_t in_w, int64_t in_h, int64_t *w, int64_t *h) {
  *w = p->resize ? p->size_w : in_w;
  *h = p->resize ? p->size_h : in_h;
  if (!p->resize || !p->shortest_edge) return;
  if (in_w <= in_h)
    *h = (int64_t)((double)(p->size_h * in_h) / (double)in_w);
  else
    *w = (int64_t)((double)(p->size_h * in_w) / (double)in_h);
}

void fv_preprocess_shape(const fv_preprocess *p, int64_t in_w, int64_t in_h, int64_t *out_w, int64_t *out_h) {
  resized_shape(p, in_w, in_h, out_w, out_h);
  if (!p->center_crop) return;
  *out_w = p->crop_w;
  *out_h = p->crop_h;
}

/* Where a crop of `want` begins in `have` pixels. A picture that is too small is first padded with zeros to the crop
 * size, ceil(missing / 2) of them before it, so the start is then negative. */
static int64_t crop_start(int64_t have, int64_t want) {
  return have >= want ? (have - want) / 2 : -((want - have + 1) / 2);
}

static fv_status crop(const fv_image *in, int64_t width, int64_t height, fv_image *out, fv_error *err) {
  fv_status st = fv_image_new(width, height, "cropped picture", out, err);
  if (st) return st;
  int64_t left = crop_start(in->width, width), top = crop_start(in->height, height);
  int64_t from = left > 0 ? left : 0, to = left + width < in->width ? left + width : in->width;
  memset(out->rgb, 0, (size_t)width * (size_t)height * 3);
  for (int64_t y = 0; y < height; y++) {
    int64_t sy = top + y;
    if (sy < 0 || sy >= in->height) continue;
    memcpy(out->rgb + (y * width + from - left) * 3, in->rgb + (sy * in->width + from) * 3, (size_t)(to - from) * 3);
  }
  return FV_OK;
}

/* All 256 values of a channel, each with the roundings of the reference: byte * factor in double, then float32. */
static void value_table(const fv_preprocess *p, int channel, float table[256]) {
  float mean = (float)p->mean[channel], std = (float)p->std[channel];
  for (int v = 0; v < 256; v++) {
    float x = p->rescale ? (float)((double)v * p->rescale_factor) : (float)v;
    table[v] = p->normalize ? (x - mean) / std : x;
  }
}

static void to_floats(const fv_preprocess *p, const fv_image *im, float *chw) {
  int64_t pixels = im->width * im->height;
  for (int c = 0; c < 3; c++) {
    float table[256];
    value_table(p, c, table);
    for (int64_t i = 0; i < pixels; i++) chw[c * pixels + i] = table[im->rgb[3 * i + c]];
  }
}

fv_status fv_preprocess_run(const fv_preprocess *p, const fv_image *in, float *chw, fv_image *processed,
                            fv_error *err) {
  fv_image resized = {0}, cropped = {0};
  const fv_image *now = in;
  fv_status st = FV_OK;
  int64_t w, h;
  if (processed) *processed = (fv_image){0};
  resized_shape(p, in->width, in->height, &w, &h);
  if (p->resize) {
    st = fv_image_resize(in, w, h, p->filter, p->order, &resized, err);
    now = &resized;
  }
  if (!st && p->center_crop) {
    st = crop(now, p->crop_w, p->crop_h, &cropped, err);
    now = &cropped;
  }
  if (!st && processed) st = fv_image_copy(now, processed, err);
  if (!st) to_floats(p, now, chw);
  fv_image_release(&resized);
  fv_image_release(&cropped);
  return st;
}
