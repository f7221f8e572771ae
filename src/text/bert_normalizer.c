#include "text/bert_normalizer.h"

#include "text/canonical.h"
#include "text/fields.h"
#include "text/unicode.h"

fv_status fv_bert_normalizer_parse(const json_t *part, const char *where, fv_bert_normalizer *out, fv_error *err) {
  *out = (fv_bert_normalizer){0};
  fv_status st = fv_field_bool(part, "clean_text", where, &out->clean_text, err);
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

static bool add_decomposed(const fv_bert_normalizer *normalizer, uint32_t c, const fv_char *from, fv_chars *out) {
  uint32_t parts[FV_UNICODE_DECOMPOSED] = {c};
  size_t n = normalizer->strip_accents ? fv_unicode_decompose(c, parts) : 1;
  for (size_t i = 0; i < n; i++)
    if (!fv_chars_add(out, parts[i], from)) return false;
  return true;
}

/* Cleaning, spacing and decomposition look at one character at a time, so one walk does all three. */
static bool expand(const fv_bert_normalizer *normalizer, const fv_char *in, fv_chars *out) {
  uint32_t c = in->code;
  if (normalizer->clean_text) {
    bool blank = c == '\t' || c == '\n' || c == '\r';
    if (c == 0xFFFD || (!blank && fv_unicode_other(c))) return true;
    if (fv_unicode_space(c)) c = ' ';
  }
  if (!normalizer->chinese || !is_chinese(c)) return add_decomposed(normalizer, c, in, out);
  return fv_chars_add(out, ' ', in) && add_decomposed(normalizer, c, in, out) && fv_chars_add(out, ' ', in);
}

/* Drops nonspacing marks and lowers the rest of in, appending to out. */
static bool finish(const fv_bert_normalizer *normalizer, const fv_chars *in, fv_chars *out) {
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

bool fv_bert_normalize(const fv_bert_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out) {
  bool ok = true;
  fv_chars expanded = {0};
  for (size_t i = 0; ok && i < n; i++) ok = expand(normalizer, &in[i], &expanded);
  if (ok && normalizer->strip_accents) ok = fv_canonical_order(expanded.items, expanded.count);
  ok = ok && finish(normalizer, &expanded, out);
  fv_chars_release(&expanded);
  return ok;
}
