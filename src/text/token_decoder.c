#include "text/token_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/byte_alphabet.h"
#include "text/decode_clean_up.h"
#include "text/fields.h"
#include "text/normalizer.h"

typedef struct fv_decoder_step step;

struct fv_decoder_kind {
  const char *type;
  fv_status (*parse)(const json_t *part, const char *where, step *out, fv_error *err); /* NULL: nothing to read */
  fv_status (*apply)(const step *s, const fv_strings *in, fv_strings *out, fv_error *err);
};

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */

void fv_decoder_release(fv_decoder *decoder) {
  for (size_t i = 0; i < decoder->count; i++) {
    fv_pattern_release(&decoder->steps[i].pattern);
    fv_chars_release(&decoder->steps[i].content);
  }
  free(decoder->steps);
  *decoder = (fv_decoder){0};
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to decode %zu tokens", n);
}

static fv_status parse_text(const json_t *part, const char *key, const char *where, step *out, fv_error *err) {
  fv_slice text = {0};
  fv_status st = fv_field_string(part, key, where, &text, err);
  if (!st && !fv_chars_add_utf8(&out->content, text.at, text.n))
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for the decoder", where);
  return st;
}

static fv_status parse_char(const json_t *part, const char *key, const char *where, step *out, fv_error *err) {
  fv_status st = parse_text(part, key, where, out, err);
  if (!st && out->content.count != 1)
    st = fv_fail(err, FV_EFORMAT, "%s: \"%s\" has %zu characters, expected one", where, key, out->content.count);
  return st;
}

static fv_status wordpiece_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  fv_status st = fv_field_bool(part, "cleanup", where, &out->cleanup, err);
  return st ? st : parse_text(part, "prefix", where, out, err);
}

static fv_status wordpiece_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  size_t prefix_n = 0;
  char *prefix = fv_chars_utf8(s->content.items, s->content.count, &prefix_n);
  bool ok = prefix != NULL;
  for (size_t i = 0; ok && i < in->count; i++) {
    size_t n, start = out->n;
    const char *token = fv_strings_at(in, i, &n);
    if (i > 0 && n >= prefix_n && memcmp(token, prefix, prefix_n) == 0)
      ok = fv_strings_append(out, token + prefix_n, n - prefix_n);
    else
      ok = fv_strings_append(out, " ", i > 0) && fv_strings_append(out, token, n);
    if (ok && s->cleanup && out->n > start) out->n = start + fv_clean_up_token(out->bytes + start, out->n - start);
    ok = ok && fv_strings_end(out);
  }
  free(prefix);
  return ok ? FV_OK : no_memory(in->count, err);
}

static fv_status replace_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  fv_status st = fv_pattern_parse(part, where, &out->pattern, err);
  return st ? st : parse_text(part, "content", where, out, err);
}

/* Appends characters as UTF-8, without ending the string. */
static bool append_chars(const fv_char *chars, size_t n, fv_strings *out) {
  char utf8[4];
  for (size_t i = 0; i < n; i++)
    if (!fv_strings_append(out, utf8, fv_utf8_put(chars[i].code, utf8))) return false;
  return true;
}

static fv_status replace_token(const fv_pattern *pattern, const fv_chars *content, const char *token, size_t n,
                               fv_strings *out, fv_error *err) {
  fv_chars chars = {0}, replaced = {0};
  fv_status st = fv_chars_add_utf8(&chars, token, n) ? FV_OK : no_memory(1, err);
  if (!st) st = fv_normalizer_replace(pattern, content, chars.items, chars.count, &replaced, err);
  if (!st && !(append_chars(replaced.items, replaced.count, out) && fv_strings_end(out))) st = no_memory(1, err);
  fv_chars_release(&chars);
  fv_chars_release(&replaced);
  return st;
}

static fv_status replace_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t i = 0; !st && i < in->count; i++) {
    size_t n;
    const char *token = fv_strings_at(in, i, &n);
    st = replace_token(&s->pattern, &s->content, token, n, out, err);
  }
  return st;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0xE4>". The library reads the digits as a number, so "+4" is one, too. */
static bool byte_token(const char *token, size_t n, char *byte) {
  if (n != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return false;
  int high = token[3] == '+' ? 0 : hex_digit(token[3]), low = hex_digit(token[4]);
  *byte = (char)(high * 16 + low);
  return high >= 0 && low >= 0;
}

/* Ends a run of bytes that out holds from `start` on. */
static bool end_bytes(fv_strings *out, size_t start) {
  size_t n = out->n - start;
  if (n == 0) return true;
  if (fv_utf8_valid(out->bytes + start, n, NULL)) return fv_strings_end(out);
  out->n = start;
  for (size_t i = 0; i < n; i++)
    if (!fv_strings_add(out, REPLACEMENT, 3)) return false;
  return true;
}

static fv_status fallback_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  (void)s;
  size_t start = 0;
  bool ok = true;
  for (size_t i = 0; ok && i < in->count; i++) {
    size_t n;
    char byte;
    const char *token = fv_strings_at(in, i, &n);
    if (byte_token(token, n, &byte)) {
      ok = fv_strings_append(out, &byte, 1);
      continue;
    }
    ok = end_bytes(out, start) && fv_strings_add(out, token, n);
    start = out->n;
  }
  return ok && end_bytes(out, start) ? FV_OK : no_memory(in->count, err);
}

static fv_status fuse_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  (void)s;
  return fv_strings_add(out, in->bytes, in->n) ? FV_OK : no_memory(in->count, err);
}

static fv_status strip_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  int64_t start = 0, stop = 0;
  fv_status st = parse_char(part, "content", where, out, err);
  if (!st) st = fv_json_int(part, "start", 0, 0, INT32_MAX, where, &start, err);
  if (!st) st = fv_json_int(part, "stop", 0, 0, INT32_MAX, where, &stop, err);
  out->start = (size_t)start;
  out->stop = (size_t)stop;
  return st;
}

static fv_status strip_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  char what[4];
  size_t size = fv_utf8_put(s->content.items[0].code, what);
  for (size_t i = 0; i < in->count; i++) {
    size_t n, first = 0;
    const char *token = fv_strings_at(in, i, &n);
    for (size_t k = 0; k < s->start && n - first >= size && memcmp(token + first, what, size) == 0; k++) first += size;
    for (size_t k = 0; k < s->stop && n - first >= size && memcmp(token + n - size, what, size) == 0; k++) n -= size;
    if (!fv_strings_add(out, token + first, n - first)) return no_memory(in->count, err);
  }
  return FV_OK;
}

static fv_status metaspace_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  const char *scheme = NULL;
  fv_status st = parse_char(part, "replacement", where, out, err);
  if (!st) st = fv_json_string(part, "prepend_scheme", "always", where, &scheme, err);
  out->keep_first = !st && strcmp(scheme, "never") == 0;
  if (!st && !out->keep_first && strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0)
    st = fv_fail(err, FV_EFORMAT, "%s: \"prepend_scheme\" is \"%s\", expected always, first or never", where,
                 FV_QUOTE(scheme));
  return st;
}

/* `what` becomes a space, or nothing in the token `bare`. */
static fv_status to_spaces(const fv_chars *what, size_t bare, const fv_strings *in, fv_strings *out, fv_error *err) {
  const fv_pattern pattern = {.literal = *what};
  fv_char space = {.code = ' '};
  fv_status st = FV_OK;
  for (size_t i = 0; !st && i < in->count; i++) {
    const fv_chars content = {.items = &space, .count = i != bare};
    size_t n;
    const char *token = fv_strings_at(in, i, &n);
    st = replace_token(&pattern, &content, token, n, out, err);
  }
  return st;
}

static fv_status metaspace_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  return to_spaces(&s->content, s->keep_first ? SIZE_MAX : 0, in, out, err);
}

static fv_status suffix_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  fv_status st = parse_text(part, "suffix", where, out, err);
  if (!st && out->content.count == 0)
    st = fv_fail(err, FV_EUNSUPPORTED, "%s: \"suffix\" is empty, expected the end of a word such as \"</w>\"", where);
  return st;
}

static fv_status suffix_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  return to_spaces(&s->content, in->count - 1, in, out, err);
}

/* Appends the bytes that a token's characters stand for; false when one stands for none. */
static bool token_bytes(const char *token, size_t n, char *out, size_t *count) {
  *count = 0;
  for (size_t i = 0; i < n;) {
    uint32_t code;
    uint8_t byte;
    i += fv_utf8_next(token + i, n - i, &code);
    if (!fv_byte_from_char(code, &byte)) return false;
    out[(*count)++] = (char)byte;
  }
  return true;
}

/* The length of the longest part of s[0..n), n > 0, that valid UTF-8 could start with, at least 1: what one U+FFFD
 * replaces. s itself does not start with a whole character. */
static size_t broken_length(const char *s, size_t n) {
  unsigned char lead = (unsigned char)s[0], low = 0x80, high = 0xBF;
  size_t length = 1;
  if (lead < 0xC2 || lead > 0xF4) return 1;
  if (lead == 0xE0) low = 0xA0;  /* below: overlong */
  if (lead == 0xED) high = 0x9F; /* above: surrogates */
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (; length < n && (unsigned char)s[length] >= low && (unsigned char)s[length] <= high; length++) {
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

static bool add_lossy(const char *bytes, size_t n, fv_strings *out) {
  size_t at = 0, bad = 0;
  bool ok = true;
  while (ok && at < n) {
    bool whole = fv_utf8_valid(bytes + at, n - at, &bad);
    if (whole) bad = n - at;
    ok = fv_strings_append(out, bytes + at, bad);
    at += bad;
    if (whole) break;
    ok = ok && fv_strings_append(out, REPLACEMENT, 3);
    at += broken_length(bytes + at, n - at);
  }
  return ok && fv_strings_end(out);
}

static fv_status bytes_apply(const step *s, const fv_strings *in, fv_strings *out, fv_error *err) {
  (void)s;
  char *bytes = fv_alloc(in->n, 1);
  size_t at = 0;
  for (size_t i = 0; bytes && i < in->count; i++) {
    size_t n, count;
    const char *token = fv_strings_at(in, i, &n);
    if (!token_bytes(token, n, bytes + at, &count)) memcpy(bytes + at, token, count = n);
    at += count;
  }
  bool ok = bytes && add_lossy(bytes, at, out);
  free(bytes);
  return ok ? FV_OK : no_memory(in->count, err);
}

static const struct fv_decoder_kind kinds[] = {
    {"WordPiece", wordpiece_parse, wordpiece_apply},
    {"Replace", replace_parse, replace_apply},
    {"ByteFallback", NULL, fallback_apply},
    {"Fuse", NULL, fuse_apply},
    {"Strip", strip_parse, strip_apply},
    {"Metaspace", metaspace_parse, metaspace_apply},
    {"ByteLevel", NULL, bytes_apply},
    {"BPEDecoder", suffix_parse, suffix_apply},
};

static fv_status add_step(const json_t *part, const char *type, const char *where, void *list, fv_error *err) {
  fv_decoder *out = list;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].type, type) != 0) continue;
    if (!fv_grow(&out->steps, &out->capacity, out->count + 1, sizeof *out->steps))
      return fv_fail(err, FV_ENOMEM, "%s: no memory for the decoder", where);
    step *s = &out->steps[out->count++];
    *s = (step){.kind = &kinds[i]};
    return s->kind->parse ? s->kind->parse(part, where, s, err) : FV_OK;
  }
  return fv_field_unknown(
      where, "decoder", type,
      "Sequence, WordPiece, Replace, ByteFallback, Fuse, Strip, Metaspace, ByteLevel and BPEDecoder", err);
}

fv_status fv_decoder_parse(const json_t *root, const char *where, fv_decoder *out, fv_error *err) {
  const json_t *part = json_object_get(root, "decoder");
  *out = (fv_decoder){.present = part && !json_is_null(part)};
  return fv_field_steps(root, "decoder", "decoders", where, add_step, out, err);
}

static fv_status join_by_spaces(fv_strings *tokens, fv_error *err) {
  fv_strings out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < tokens->count; i++) {
    size_t n;
    const char *token = fv_strings_at(tokens, i, &n);
    ok = fv_strings_append(&out, " ", i > 0) && fv_strings_append(&out, token, n);
  }
  fv_strings_release(tokens);
  *tokens = out;
  return ok ? FV_OK : no_memory(tokens->count, err);
}

fv_status fv_decoder_apply(const fv_decoder *decoder, fv_strings *tokens, fv_error *err) {
  fv_status st = FV_OK;
  if (!decoder->present) return join_by_spaces(tokens, err);
  for (size_t i = 0; !st && i < decoder->count; i++) {
    fv_strings next = {0};
    st = decoder->steps[i].kind->apply(&decoder->steps[i], tokens, &next, err);
    fv_strings_release(tokens);
    *tokens = next;
  }
  return st;
}
