#include "text/chars.h"

#include <stdlib.h>

#include "base/bytes.h"

void fv_chars_release(fv_chars *chars) {
  free(chars->items);
  *chars = (fv_chars){0};
}

bool fv_chars_add(fv_chars *chars, uint32_t code, const fv_char *from) {
  if (!fv_grow(&chars->items, &chars->capacity, chars->count + 1, sizeof *chars->items)) return false;
  chars->items[chars->count++] = (fv_char){.at = from->at, .code = code, .bytes = from->bytes};
  return true;
}

bool fv_chars_add_utf8(fv_chars *chars, const char *text, size_t n) {
  for (size_t i = 0; i < n;) {
    uint32_t code;
    size_t bytes = fv_utf8_next(text + i, n - i, &code);
    if (!fv_chars_add(chars, code, &(fv_char){.at = (int64_t)i, .bytes = (uint32_t)bytes})) return false;
    i += bytes;
  }
  return true;
}

char *fv_chars_utf8(const fv_char *chars, size_t count, size_t *bytes) {
  char *text = fv_alloc(count, 4);
  *bytes = 0;
  for (size_t i = 0; text && i < count; i++) *bytes += fv_utf8_put(chars[i].code, text + *bytes);
  return text;
}

void fv_chars_span(const fv_char *chars, size_t n, int64_t *first, int64_t *last) {
  *first = chars[0].at;
  *last = chars[0].at + chars[0].bytes;
  for (size_t i = 1; i < n; i++) {
    int64_t end = chars[i].at + chars[i].bytes;
    if (chars[i].at < *first) *first = chars[i].at;
    if (end > *last) *last = end;
  }
}
