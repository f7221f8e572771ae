/* PNM: plain and raw PBM, PGM and PPM (P1 to P6), read as Pillow reads them.
 *
 * A sample v of a file with maximum m becomes round(v / m * 255), halves to even, in double; gray with m > 255 becomes
 * round(v / m * 65535) and is then clipped at 255, not scaled, as Pillow's 16-bit gray is. A raw sample above m counts
 * as m; a plain one is an error. Comments run from '#' to the end of the line, also inside plain data, and do not end
 * a number.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "image/image_codec.h"

/* Pillow reads no longer ones; it also keeps them inside int64_t. */
#define MAX_DIGITS 10

typedef struct pnm {
  fv_cursor at;
  const char *where;
  fv_error *err;
  int kind, channels; /* kind is the digit of "P6"; channels per pixel 1 or 3 */
  int64_t width, height, maximum;
  uint8_t *table; /* [maximum + 1] sample to byte; NULL for bitmaps */
} pnm;

static fv_status truncated(const pnm *p) {
  return fv_fail(p->err, FV_EFORMAT,
                 "%s: the PNM picture is truncated: the file ends before the last of %lld x %lld "
                 "pixels",
                 p->where, (long long)p->width, (long long)p->height);
}

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The next byte that is no comment; false at the end of the file. */
static bool next_byte(pnm *p, uint8_t *c) {
  while (fv_cursor_u8(&p->at, c)) {
    if (*c != '#') return true;
    while (fv_cursor_u8(&p->at, c) && *c != '\n' && *c != '\r') continue;
  }
  return false;
}

/* A decimal number and the one white-space byte after it. */
static fv_status read_number(pnm *p, const char *what, int64_t *out) {
  uint8_t c = 0;
  int digits = 0;
  *out = 0;
  while (next_byte(p, &c)) {
    if (is_space(c)) {
      if (digits) return FV_OK;
      continue;
    }
    if (c < '0' || c > '9')
      return fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture has a byte 0x%02x in its %s, expected a decimal number",
                     p->where, c, what);
    if (++digits > MAX_DIGITS)
      return fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture has a number of more than %d digits in its %s", p->where,
                     MAX_DIGITS, what);
    *out = *out * 10 + (c - '0');
  }
  if (digits) return FV_OK;
  return p->width && p->height && p->maximum
             ? truncated(p)
             : fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture is truncated: the file ends before its %s", p->where,
                       what);
}

static fv_status make_table(pnm *p) {
  bool wide_gray = p->channels == 1 && p->maximum > 255;
  p->table = fv_alloc((size_t)p->maximum + 1, 1);
  if (!p->table) return fv_fail(p->err, FV_ENOMEM, "%s: no memory", p->where);
  for (int64_t v = 0; v <= p->maximum; v++) {
    double scaled = nearbyint((double)v / (double)p->maximum * (wide_gray ? 65535.0 : 255.0));
    p->table[v] = (uint8_t)(scaled > 255.0 ? 255.0 : scaled);
  }
  return FV_OK;
}

static fv_status read_header(pnm *p) {
  fv_status st = read_number(p, "width", &p->width);
  if (!st) st = read_number(p, "height", &p->height);
  if (st) return st;
  if (p->kind == 1 || p->kind == 4) {
    p->maximum = 1;
    return FV_OK;
  }
  if ((st = read_number(p, "maximum", &p->maximum))) return st;
  if (p->maximum < 1 || p->maximum > 65535)
    return fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture's maximum is %lld, expected 1 to 65535", p->where,
                   (long long)p->maximum);
  return make_table(p);
}

static fv_status read_raw(pnm *p, uint8_t *out, size_t samples) {
  const uint8_t *in;
  size_t size = p->maximum > 255 ? 2 : 1;
  if (!fv_cursor_take(&p->at, samples * size, &in)) return truncated(p);
  for (size_t i = 0; i < samples; i++) {
    int64_t v = size == 1 ? in[i] : in[2 * i] << 8 | in[2 * i + 1];
    out[i] = p->table[v < p->maximum ? v : p->maximum];
  }
  return FV_OK;
}

static fv_status read_plain(pnm *p, uint8_t *out, size_t samples) {
  for (size_t i = 0; i < samples; i++) {
    int64_t v;
    fv_status st = read_number(p, "pixels", &v);
    if (st) return st;
    if (v > p->maximum)
      return fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture has a sample %lld, more than its maximum %lld", p->where,
                     (long long)v, (long long)p->maximum);
    out[i] = p->table[v];
  }
  return FV_OK;
}

/* 1 is black. Rows begin at a byte. */
static fv_status read_raw_bits(pnm *p, uint8_t *out) {
  size_t stride = ((size_t)p->width + 7) / 8, width = (size_t)p->width;
  const uint8_t *in;
  if (!fv_cursor_take(&p->at, stride * (size_t)p->height, &in)) return truncated(p);
  for (int64_t y = 0; y < p->height; y++, in += stride, out += width)
    for (size_t x = 0; x < width; x++) out[x] = in[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
  return FV_OK;
}

/* Digits need no space between them. */
static fv_status read_plain_bits(pnm *p, uint8_t *out, size_t samples) {
  for (size_t i = 0; i < samples;) {
    uint8_t c;
    if (!next_byte(p, &c)) return truncated(p);
    if (is_space(c)) continue;
    if (c != '0' && c != '1')
      return fv_fail(p->err, FV_EFORMAT, "%s: the PNM picture has a byte 0x%02x in its pixels, expected 0 or 1",
                     p->where, c);
    out[i++] = c == '1' ? 0 : 255;
  }
  return FV_OK;
}

/* A lower bound of the bytes that the pixels take, so that a lying header is refused before memory is taken. */
static fv_status check_size(const pnm *p) {
  size_t pixels = (size_t)p->width * (size_t)p->height, samples = pixels * (size_t)p->channels, least = 0;
  switch (p->kind) {
    case 1: least = pixels; break;
    case 2:
    case 3: least = 2 * samples - 1; break;
    case 4: least = ((size_t)p->width + 7) / 8 * (size_t)p->height; break;
    default: least = samples * (p->maximum > 255 ? 2 : 1); break;
  }
  return fv_cursor_left(&p->at) < least ? truncated(p) : FV_OK;
}

static fv_status read_picture(pnm *p, fv_image *out) {
  fv_status st = read_header(p);
  if (!st) st = fv_image_new(p->width, p->height, p->where, out, p->err);
  if (!st) st = check_size(p);
  if (st) return st;
  size_t pixels = (size_t)p->width * (size_t)p->height, samples = pixels * (size_t)p->channels;
  switch (p->kind) {
    case 1: st = read_plain_bits(p, out->rgb, samples); break;
    case 4: st = read_raw_bits(p, out->rgb); break;
    case 2:
    case 3: st = read_plain(p, out->rgb, samples); break;
    default: st = read_raw(p, out->rgb, samples); break;
  }
  if (!st && p->channels == 1)
    for (size_t i = pixels; i-- > 0;) memset(out->rgb + 3 * i, out->rgb[i], 3);
  return st;
}

fv_status fv_image_pnm(const uint8_t *data, size_t n, const char *where, fv_image *out, int *orientation,
                       fv_error *err) {
  pnm p = {.at = {data + 2, data + n}, .where = where, .err = err, .kind = data[1] - '0'};
  p.channels = p.kind == 3 || p.kind == 6 ? 3 : 1;
  fv_status st = read_picture(&p, out);
  free(p.table);
  if (orientation) *orientation = 0;
  if (st) fv_image_release(out);
  return st;
}
