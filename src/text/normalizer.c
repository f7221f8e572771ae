#include "text/normalizer.h"

#include <string.h>

#include "text/fields.h"
#include "text/unicode.h"

fv_status fv_normalizer_parse(const json_t *root, const char *where, fv_normalizer *out, fv_error *err) {
  const json_t *part;
  const char *type;
  *out = (fv_normalizer){.kind = FV_NORMALIZER_NONE};
  fv_status st = fv_field_part(root, "normalizer", where, &part, &type, err);
  if (st || !part) return st;
  if (strcmp(type, "BertNormalizer") != 0) return fv_field_unknown(where, "normalizer", type, "BertNormalizer", err);
  out->kind = FV_NORMALIZER_BERT;
  if (!st) st = fv_field_bool(part, "clean_text", where, &out->clean_text, err);
  if (!st) st = fv_field_bool(part, "handle_chinese_chars", where, &out->chinese, err);
  if (!st) st = fv_field_bool(part, "lowercase", where, &out->lowercase, err);
  /* strip_accents null means: as lowercase says. */
  if (!st) st = fv_json_bool(part, "strip_accents", out->lowercase, where, &out->strip_accents, err);
  return st;
}

/* The blocks that the library isolates. Its list starts Extension E at 2B920, one column after the block does. */
static bool is_chinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool add_decomposed(const fv_normalizer *normalizer, uint32_t c, const fv_char *from, fv_chars *out) {
  uint32_t parts[FV_UNICODE_DECOMPOSED] = {c};
  size_t n = normalizer->strip_accents ? fv_unicode_decompose(c, parts) : 1;
  for (size_t i = 0; i < n; i++)
    if (!fv_chars_add(out, parts[i], from)) return false;
  return true;
}

/* Cleaning, spacing and decomposition look at one character at a time, so one walk does all three. */
static bool expand(const fv_normalizer *normalizer, const fv_char *in, fv_chars *out) {
  uint32_t c = in->code;
  if (normalizer->clean_text) {
    bool blank = c == '\t' || c == '\n' || c == '\r';
    if (c == 0xFFFD || (!blank && fv_unicode_other(c))) return true;
    if (fv_unicode_space(c)) c = ' ';
  }
  if (!normalizer->chinese || !is_chinese(c)) return add_decomposed(normalizer, c, in, out);
  return fv_chars_add(out, ' ', in) && add_decomposed(normalizer, c, in, out) && fv_chars_add(out, ' ', in);
}

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

/* Canonical order: each run of characters with a non-zero combining class is sorted by class. */
static bool reorder(fv_char *chars, size_t n) {
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

/* Drops nonspacing marks and lowers the rest of in, appending to out. */
static bool finish(const fv_normalizer *normalizer, const fv_chars *in, fv_chars *out) {
  for (size_t i = 0; i < in->count; i++) {
    const fv_char *c = &in->items[i];
    uint32_t lower[2] = {c->code};
    if (normalizer->strip_accents && fv_unicode_mark_nonspacing(c->code)) continue;
    size_t n = normalizer->lowercase ? fv_unicode_lower(c->code, lower) : 1;
    for (size_t k = 0; k < n; k++)
      if (!fv_chars_add(out, lower[k], c)) return false;
  }
  return true;
}

bool fv_normalizer_apply(const fv_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out) {
  bool ok = true;
  if (normalizer->kind == FV_NORMALIZER_NONE) {
    for (size_t i = 0; ok && i < n; i++) ok = fv_chars_add(out, in[i].code, &in[i]);
    return ok;
  }
  fv_chars expanded = {0};
  for (size_t i = 0; ok && i < n; i++) ok = expand(normalizer, &in[i], &expanded);
  if (ok && normalizer->strip_accents) ok = reorder(expanded.items, expanded.count);
  ok = ok && finish(normalizer, &expanded, out);
  fv_chars_release(&expanded);
  return ok;
}
