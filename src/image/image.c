#include "image/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "image/image_codec.h"

/* No picture that passes the pixel limit needs more, in any of the formats. */
#define MAX_FILE_BYTES ((size_t)2 << 30)

fv_status fv_image_new(int64_t width, int64_t height, const char *where, fv_image *out, fv_error *err) {
  *out = (fv_image){0};
  if (width < 1 || height < 1)
    return fv_fail(err, FV_ESHAPE, "%s: has %lld x %lld pixels, expected at least 1 x 1", where, (long long)width,
                   (long long)height);
  if (width > FV_IMAGE_MAX_SIDE || height > FV_IMAGE_MAX_SIDE || width > FV_IMAGE_MAX_PIXELS / height)
    return fv_fail(err, FV_ESHAPE,
                   "%s: has %lld x %lld pixels, more than the limit of %lld (and %lld for a side); make it smaller "
                   "first",
                   where, (long long)width, (long long)height, (long long)FV_IMAGE_MAX_PIXELS,
                   (long long)FV_IMAGE_MAX_SIDE);
  uint8_t *rgb = fv_alloc_aligned((size_t)width * (size_t)height, 3);
  if (!rgb)
    return fv_fail(err, FV_ENOMEM, "%s: no memory for %lld x %lld pixels", where, (long long)width, (long long)height);
  *out = (fv_image){.width = width, .height = height, .rgb = rgb};
  return FV_OK;
}

void fv_image_release(fv_image *im) {
  free(im->rgb);
  *im = (fv_image){0};
}

fv_status fv_image_copy(const fv_image *in, fv_image *out, fv_error *err) {
  fv_status st = fv_image_new(in->width, in->height, "copy of a picture", out, err);
  if (!st) memcpy(out->rgb, in->rgb, (size_t)in->width * (size_t)in->height * 3);
  return st;
}

fv_status fv_image_orient(fv_image *im, int orientation, fv_error *err) {
  /* How the output pixel (x, y) finds its source: swap the axes, then count from the right, from the bottom. */
  static const struct {
    bool swap, right, bottom;
  } moves[9] = {
      [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true}, [5] = {true, false, false},
      [6] = {true, false, true},  [7] = {true, true, true},  [8] = {true, true, false}};
  if (orientation < 2 || orientation > 8) return FV_OK;
  bool swap = moves[orientation].swap;
  int64_t w = im->width, h = im->height;
  fv_image out;
  fv_status st = fv_image_new(swap ? h : w, swap ? w : h, "turned picture", &out, err);
  if (st) return st;
  for (int64_t y = 0; y < out.height; y++)
    for (int64_t x = 0; x < out.width; x++) {
      int64_t sx = swap ? y : x, sy = swap ? x : y;
      if (moves[orientation].right) sx = w - 1 - sx;
      if (moves[orientation].bottom) sy = h - 1 - sy;
      memcpy(out.rgb + (y * out.width + x) * 3, im->rgb + (sy * w + sx) * 3, 3);
    }
  fv_image_release(im);
  *im = out;
  return FV_OK;
}

static bool starts(const uint8_t *data, size_t n, size_t at, const char *with) {
  size_t k = strlen(with);
  return n >= at + k && memcmp(data + at, with, k) == 0;
}

static fv_image_decoder *find_decoder(const uint8_t *d, size_t n) {
  if (starts(d, n, 0, "\xFF\xD8\xFF")) return fv_image_jpeg;
  if (starts(d, n, 0, "\x89PNG\r\n\x1A\n")) return fv_image_png;
  if (starts(d, n, 0, "RIFF") && starts(d, n, 8, "WEBP")) return fv_image_webp;
  if (n >= 3 && d[0] == 'P' && d[1] >= '1' && d[1] <= '6' && strchr(" \t\n\v\f\r", d[2]) && d[2]) return fv_image_pnm;
  return NULL;
}

/* Names what the file is instead, for the formats that people do try. */
static fv_status refuse(const uint8_t *d, size_t n, const char *where, fv_error *err) {
  static const struct {
    size_t at;
    const char *magic, *name;
  } others[] = {{0, "GIF8", "a GIF"},     {0, "BM", "a BMP"},           {0, "II*", "a TIFF"},
                {0, "MM", "a TIFF"},      {4, "ftypavif", "an AVIF"},   {4, "ftyphei", "a HEIF"},
                {4, "ftypmif", "a HEIF"}, {0, "P7", "a PAM"},           {0, "Pf", "a PFM"},
                {0, "PF", "a PFM"},       {0, "\xFF\x0A", "a JPEG XL"}, {4, "jP  ", "a JPEG 2000"}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (starts(d, n, others[i].at, others[i].magic))
      return fv_fail(err, FV_EUNSUPPORTED, "%s: is %s file, expected JPEG, PNG, WebP or PNM; convert it first", where,
                     others[i].name);
  char head[3 * 8 + 1] = "";
  for (size_t i = 0; i < n && i < 8; i++) {
    static const char digits[] = "0123456789abcdef";
    head[3 * i] = ' ';
    head[3 * i + 1] = digits[d[i] >> 4];
    head[3 * i + 2] = digits[d[i] & 15];
  }
  return fv_fail(err, FV_EFORMAT, "%s: is not a picture (its first bytes are%s), expected JPEG, PNG, WebP or PNM",
                 where, head);
}

fv_status fv_image_decode(const uint8_t *data, size_t n, const char *where, bool apply_exif, fv_image *out,
                          fv_error *err) {
  *out = (fv_image){0};
  if (n == 0) return fv_fail(err, FV_EFORMAT, "%s: is empty, expected a JPEG, PNG, WebP or PNM picture", where);
  fv_image_decoder *decode = find_decoder(data, n);
  if (!decode) return refuse(data, n, where, err);
  int orientation = 0;
  fv_status st = decode(data, n, where, out, apply_exif ? &orientation : NULL, err);
  if (!st && orientation < 0)
    st = fv_fail(err, FV_EFORMAT, "%s: its EXIF data is malformed, so its orientation is unknown; do not ask for it",
                 where);
  if (!st) st = fv_image_orient(out, orientation, err);
  if (st) fv_image_release(out);
  return st;
}

fv_status fv_image_load(const char *path, bool apply_exif, fv_image *out, fv_error *err) {
  char *data = NULL;
  size_t n = 0;
  *out = (fv_image){0};
  fv_status st = fv_file_read(path, MAX_FILE_BYTES, &data, &n, err);
  if (st) return st;
  st = fv_image_decode((const uint8_t *)data, n, path, apply_exif, out, err);
  free(data);
  return st;
}
