#include "text/pretokenizer.h"

#include <string.h>

#include "text/fields.h"
#include "text/unicode.h"

fv_status fv_pretokenizer_parse(const json_t *root, const char *where, fv_pretokenizer *out, fv_error *err) {
  const json_t *part;
  const char *type;
  *out = (fv_pretokenizer){.kind = FV_PRETOKENIZER_NONE};
  fv_status st = fv_field_part(root, "pre_tokenizer", where, &part, &type, err);
  if (st || !part) return st;
  if (strcmp(type, "BertPreTokenizer") != 0)
    return fv_field_unknown(where, "pre_tokenizer", type, "BertPreTokenizer", err);
  out->kind = FV_PRETOKENIZER_BERT;
  return FV_OK;
}

static bool is_punctuation(uint32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return fv_unicode_punctuation(c);
}

bool fv_pretokenizer_next(const fv_pretokenizer *pre, const fv_char *chars, size_t n, size_t *from, size_t *first) {
  size_t i = *from;
  if (pre->kind == FV_PRETOKENIZER_BERT)
    while (i < n && fv_unicode_space(chars[i].code)) i++;
  *first = i;
  if (i == n) return false;
  if (pre->kind == FV_PRETOKENIZER_NONE) {
    *from = n;
    return true;
  }
  if (is_punctuation(chars[i].code)) {
    i++;
  } else {
    while (i < n && !fv_unicode_space(chars[i].code) && !is_punctuation(chars[i].code)) i++;
  }
  *from = i;
  return true;
}
