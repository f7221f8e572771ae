#include <string.h>

#include "image/image_codec.h"

enum { TAG_ORIENTATION = 0x0112 };

static uint32_t get(const uint8_t *p, int bytes, bool big) {
  uint32_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
  return v;
}

int fv_exif_orientation(const uint8_t *d, size_t n) {
  /* Some writers repeat the prefix. */
  while (n >= 6 && memcmp(d, "Exif\0\0", 6) == 0) d += 6, n -= 6;
  if (n == 0) return 0;
  if (n < 8) return -1;
  bool big = d[0] == 'M';
  if (!((d[0] == 'M' && d[1] == 'M') || (d[0] == 'I' && d[1] == 'I')) || get(d + 2, 2, big) != 42) return -1;
  size_t at = get(d + 4, 4, big);
  if (at < 8 || at > n - 2) return 0;
  size_t entries = get(d + at, 2, big);
  at += 2;
  for (size_t i = 0; i < entries && n - at >= 12; i++, at += 12) {
    if (get(d + at, 2, big) != TAG_ORIENTATION) continue;
    uint32_t type = get(d + at + 2, 2, big), count = get(d + at + 4, 4, big);
    int bytes = type == 3 || type == 8 ? 2 : type == 4 || type == 9 ? 4 : 0; /* SHORT, LONG and their signed forms */
    if (!bytes || count == 0) return 1;
    const uint8_t *value = d + at + 8;
    if (count > 4u / (uint32_t)bytes) { /* more than fits: the field holds an offset; the first value counts */
      size_t offset = get(value, 4, big);
      if (offset > n - (size_t)bytes) return 0;
      value = d + offset;
    }
    uint32_t v = get(value, bytes, big);
    return v >= 1 && v <= 8 ? (int)v : 1;
  }
  return 0;
}

int fv_xmp_orientation(const char *text, size_t n) {
  static const char name[] = "tiff:Orientation";
  const size_t k = sizeof name - 1;
  for (size_t i = 0; i + k + 1 < n; i++) {
    if (memcmp(text + i, name, k) != 0) continue;
    const char *p = text + i + k, *end = text + n;
    if (*p == '>') {
      p++;
    } else if (end - p > 2 && p[0] == '=' && p[1] == '"') {
      p += 2;
    } else {
      continue;
    }
    if (p < end && *p >= '0' && *p <= '9') return *p >= '1' && *p <= '8' ? *p - '0' : 0;
  }
  return 0;
}
