#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool take_le(fv_cursor *c, size_t n, uint64_t *out) {
  if (fv_cursor_left(c) < n) return false;
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v |= (uint64_t)c->at[i] << (8 * i);
  c->at += n;
  *out = v;
  return true;
}

bool fv_cursor_u8(fv_cursor *c, uint8_t *out) {
  uint64_t v;
  if (!take_le(c, 1, &v)) return false;
  *out = (uint8_t)v;
  return true;
}

bool fv_cursor_u16(fv_cursor *c, uint16_t *out) {
  uint64_t v;
  if (!take_le(c, 2, &v)) return false;
  *out = (uint16_t)v;
  return true;
}

bool fv_cursor_u32(fv_cursor *c, uint32_t *out) {
  uint64_t v;
  if (!take_le(c, 4, &v)) return false;
  *out = (uint32_t)v;
  return true;
}

bool fv_cursor_u64(fv_cursor *c, uint64_t *out) { return take_le(c, 8, out); }

bool fv_cursor_take(fv_cursor *c, size_t n, const uint8_t **out) {
  if (fv_cursor_left(c) < n) return false;
  *out = c->at;
  c->at += n;
  return true;
}

bool fv_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
bool fv_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
bool fv_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }

void *fv_alloc(size_t n, size_t size) {
  size_t bytes; /* checked here, since a sanitizer stops at a calloc that overflows */
  return fv_mul_size(n, size, &bytes) ? calloc(bytes ? bytes : 1, 1) : NULL;
}

enum { HUGE_PAGE = 2 << 20 };

void *fv_alloc_aligned(size_t n, size_t size) {
  size_t bytes;
  if (!fv_mul_size(n, size, &bytes) || bytes > SIZE_MAX - 2 * HUGE_PAGE) return NULL;
  size_t unit = bytes < 2 * HUGE_PAGE ? 64 : HUGE_PAGE;
  bytes = bytes ? (bytes + unit - 1) / unit * unit : unit;
  void *p = aligned_alloc(unit, bytes);
  /* Large blocks in huge pages: a page fault per 4 KiB of weights would cost as much as reading them. */
  if (p && unit == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

bool fv_grow(void *array_pointer, size_t *capacity, size_t want, size_t size) {
  if (want <= *capacity) return true;
  size_t next = *capacity ? *capacity : 8, bytes;
  while (next < want)
    if (!fv_mul_size(next, 2, &next)) return false;
  if (!fv_mul_size(next, size, &bytes)) return false;
  void *old;
  memcpy(&old, array_pointer, sizeof old);
  void *grown = realloc(old, bytes);
  if (!grown) return false;
  memcpy(array_pointer, &grown, sizeof grown);
  *capacity = next;
  return true;
}

char *fv_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *copy = malloc(n);
  if (copy) memcpy(copy, s, n);
  return copy;
}

char *fv_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = n < 0 ? NULL : malloc((size_t)n + 1);
  if (!text) return NULL;
  va_start(args, format);
  vsnprintf(text, (size_t)n + 1, format, args);
  va_end(args);
  return text;
}

size_t fv_whole_put(char out[FV_WHOLE_TEXT], int64_t value) {
  char digits[FV_WHOLE_TEXT], *at = digits + sizeof digits;
  uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do *--at = (char)('0' + left % 10), left /= 10;
  while (left);
  if (value < 0) *--at = '-';
  size_t n = (size_t)(digits + sizeof digits - at);
  memcpy(out, at, n);
  out[n] = '\0';
  return n;
}

bool fv_all_finite(const float *x, int64_t n) {
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; i++) { /* the exponent's bits alone, so that the loop is vectorised */
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bad |= (bits & 0x7F800000u) == 0x7F800000u;
  }
  return !bad;
}

bool fv_utf8_valid(const char *s, size_t n, size_t *bad) {
  const unsigned char *p = (const unsigned char *)s;
  for (size_t i = 0; i < n;) {
    unsigned char c = p[i];
    size_t len = c < 0x80                  ? 1
                 : (c >= 0xC2 && c < 0xE0) ? 2
                 : (c >= 0xE0 && c < 0xF0) ? 3
                 : (c >= 0xF0 && c < 0xF5) ? 4
                                           : 0;
    bool good = len > 0 && n - i >= len;
    for (size_t j = 1; good && j < len; j++) good = (p[i + j] & 0xC0) == 0x80;
    if (good && len == 3) good = !(c == 0xE0 && p[i + 1] < 0xA0) && !(c == 0xED && p[i + 1] >= 0xA0);
    if (good && len == 4) good = !(c == 0xF0 && p[i + 1] < 0x90) && !(c == 0xF4 && p[i + 1] >= 0x90);
    if (!good) {
      if (bad) *bad = i;
      return false;
    }
    i += len;
  }
  return true;
}

size_t fv_utf8_next(const char *s, size_t n, uint32_t *code) {
  const unsigned char *p = (const unsigned char *)s;
  unsigned char c = p[0];
  size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (len > n) len = 1;
  uint32_t v = len == 1 ? c : len == 2 ? c & 0x1Fu : len == 3 ? c & 0x0Fu : c & 0x07u;
  for (size_t i = 1; i < len; i++) v = v << 6 | (p[i] & 0x3Fu);
  *code = v;
  return len;
}

size_t fv_utf8_scan(const char *s, size_t n, uint32_t *code) {
  unsigned char c = (unsigned char)*s;
  size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (len <= n && fv_utf8_valid(s, len, NULL)) return fv_utf8_next(s, len, code);
  *code = 0xFFFD;
  return 1;
}

size_t fv_utf8_put(uint32_t code, char out[4]) {
  if (code < 0x80) return out[0] = (char)code, 1;
  if (code < 0x800) return out[0] = (char)(0xC0 | code >> 6), out[1] = (char)(0x80 | (code & 0x3F)), 2;
  if (code < 0x10000) {
    out[0] = (char)(0xE0 | code >> 12), out[1] = (char)(0x80 | (code >> 6 & 0x3F)),
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | code >> 18), out[1] = (char)(0x80 | (code >> 12 & 0x3F));
  out[2] = (char)(0x80 | (code >> 6 & 0x3F)), out[3] = (char)(0x80 | (code & 0x3F));
  return 4;
}
