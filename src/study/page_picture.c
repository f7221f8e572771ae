#include "study/page_picture.h"

#include <stdlib.h>
#include <webp/encode.h>

#include "base/bytes.h"
#include "image/image.h"

char *fv_page_base64(const void *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *in = bytes;
  char *out = n < SIZE_MAX / 2 ? fv_alloc((n + 2) / 3 * 4 + 1, 1) : NULL, *to = out;
  for (size_t i = 0; out && i < n; i += 3) {
    uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0u);
    *to++ = digits[v >> 18];
    *to++ = digits[v >> 12 & 63];
    *to++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
    *to++ = i + 2 < n ? digits[v & 63] : '=';
  }
  return out;
}

enum { LOSSLESS_BYTES = 3000 };

fv_status fv_page_picture(const char *path, int64_t side, char **out, fv_error *err) {
  fv_image full = {0}, scaled = {0}, *im = &full;
  uint8_t *webp = NULL;
  char *code = NULL;
  *out = NULL;
  fv_status st = fv_image_load(path, false, &full, err);
  int64_t longer = full.width > full.height ? full.width : full.height;
  if (!st && longer > side) {
    int64_t w = (full.width * side + longer / 2) / longer, h = (full.height * side + longer / 2) / longer;
    st = fv_image_resize(&full, w > 0 ? w : 1, h > 0 ? h : 1, FV_FILTER_LANCZOS, FV_RESIZE_PILLOW13, &scaled, err);
    im = &scaled;
  }
  if (!st) {
    int w = (int)im->width, h = (int)im->height, stride = (int)im->width * 3;
    size_t n = WebPEncodeLosslessRGB(im->rgb, w, h, stride, &webp);
    if (n > LOSSLESS_BYTES) WebPFree(webp), webp = NULL, n = WebPEncodeRGB(im->rgb, w, h, stride, 84.0f, &webp);
    code = n > 0 ? fv_page_base64(webp, n) : NULL;
    *out = code ? fv_format("data:image/webp;base64,%s", code) : NULL;
    if (!*out) st = fv_fail(err, FV_ENOMEM, "%s: no memory for a small copy", path);
  }
  WebPFree(webp);
  free(code);
  fv_image_release(&full);
  fv_image_release(&scaled);
  return st;
}
