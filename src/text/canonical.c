#include "text/canonical.h"

#include <string.h>

#include "text/unicode.h"

/* Sorts marks[0..n) by combining class, keeping the order of equals. Long runs (hostile text) go through a counting
 * sort, which needs `spare` to hold n characters. */
static void sort_marks(fv_char *marks, size_t n, fv_char *spare) {
  if (n > 64) {
    size_t start[257] = {0};
    memcpy(spare, marks, n * sizeof *marks);
    for (size_t i = 0; i < n; i++) start[fv_unicode_combining_class(marks[i].code) + 1]++;
    for (size_t k = 1; k < 257; k++) start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++) marks[start[fv_unicode_combining_class(spare[i].code)]++] = spare[i];
    return;
  }
  for (size_t i = 1; i < n; i++) {
    fv_char mark = marks[i];
    uint8_t class = fv_unicode_combining_class(mark.code);
    size_t j = i;
    for (; j > 0 && fv_unicode_combining_class(marks[j - 1].code) > class; j--) marks[j] = marks[j - 1];
    marks[j] = mark;
  }
}

bool fv_canonical_order(fv_char *chars, size_t n) {
  fv_chars spare = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < n;) {
    size_t end = i;
    while (end < n && fv_unicode_combining_class(chars[end].code) != 0) end++;
    if (end - i > 64)
      for (size_t k = spare.count; ok && k < end - i; k++) ok = fv_chars_add(&spare, 0, &chars[i]);
    if (ok && end - i > 1) sort_marks(chars + i, end - i, spare.items);
    i = end > i ? end : i + 1;
  }
  fv_chars_release(&spare);
  return ok;
}

/* While composing, an fv_char's `at` counts the characters that appeared (1) or vanished (-1, -2, ...) with it. */
static bool decompose(const fv_char *in, size_t n, fv_chars *out) {
  for (size_t i = 0; i < n; i++) {
    uint32_t parts[FV_UNICODE_DECOMPOSED];
    size_t count = fv_unicode_decompose(in[i].code, parts);
    for (size_t k = 0; k < count; k++)
      if (!fv_chars_add(out, parts[k], &(fv_char){.at = k > 0})) return false;
  }
  return fv_canonical_order(out->items, out->count);
}

/* Composes in place: each starter with the marks behind it that nothing blocks. Returns the new count. */
static size_t compose(fv_char *chars, size_t n) {
  size_t out = 0, starter = n;
  int last_class = -1; /* of the mark kept last behind the starter; -1: none */
  for (size_t i = 0; i < n; i++) {
    fv_char c = chars[i];
    uint32_t whole;
    int class = fv_unicode_combining_class(c.code);
    if (starter < n && last_class < class && (last_class < 0 || class > 0) &&
        fv_unicode_compose(chars[starter].code, c.code, &whole)) {
      chars[starter].code = whole;
      chars[starter].at += c.at - 1;
      continue;
    }
    if (class == 0) {
      starter = out;
      last_class = -1;
    } else {
      last_class = class;
    }
    chars[out++] = c;
  }
  return out;
}

bool fv_canonical_compose(const fv_char *in, size_t n, fv_chars *out) {
  fv_chars work = {0};
  bool ok = decompose(in, n, &work);
  size_t count = ok ? compose(work.items, work.count) : 0, at = 0;
  for (size_t i = 0; ok && i < count; i++) {
    int64_t change = work.items[i].at;
    size_t from = change > 0 && at > 0 ? at - 1 : at;
    ok = fv_chars_add(out, work.items[i].code, &in[from < n ? from : n - 1]);
    if (change <= 0) at += (size_t)(1 - change);
  }
  fv_chars_release(&work);
  return ok;
}
