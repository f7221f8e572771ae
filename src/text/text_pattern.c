#include "text/text_pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/bytes.h"
#include "text/fields.h"
#include "text/unicode.h"

void fv_pattern_release(fv_pattern *pattern) {
  fv_chars_release(&pattern->literal);
  pcre2_code_free(pattern->regex);
  *pattern = (fv_pattern){0};
}

void fv_ranges_release(fv_ranges *ranges) {
  free(ranges->items);
  *ranges = (fv_ranges){0};
}

bool fv_ranges_add(fv_ranges *ranges, size_t first, size_t last) {
  if (!fv_grow(&ranges->items, &ranges->capacity, ranges->count + 1, sizeof *ranges->items)) return false;
  ranges->items[ranges->count++] = (struct fv_range){.first = first, .last = last};
  return true;
}

static bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/* The length of the item at s when both engines read it alike, else 0. s is NUL-terminated. */
static size_t escape_length(const char *s) {
  if (s[0] != '\\') return 0;
  if (strncmp(s + 1, "p{L}", 4) == 0 || strncmp(s + 1, "p{N}", 4) == 0) return 5;
  if (s[1] && strchr("sSnrt", s[1])) return 2;
  return s[1] > ' ' && s[1] < 0x7F && !is_alnum(s[1]) ? 2 : 0;
}

static size_t class_length(const char *s) {
  size_t i = s[1] == '^' ? 2 : 1;
  if (s[i] == ']') return 0;
  while (s[i] != ']') {
    size_t n = escape_length(s + i);
    if (n) {
      i += n;
    } else if (is_alnum(s[i]) && s[i + 1] == '-') {
      if (!is_alnum(s[i + 2]) || s[i + 2] < s[i]) return 0;
      i += 3;
    } else {
      if (s[i] < ' ' || s[i] > '~' || strchr("[&-\\^", s[i])) return 0;
      i++;
    }
  }
  return i + 1;
}

static size_t item_length(const char *s) {
  if (s[0] == '\\') return escape_length(s);
  if (s[0] == '[') return class_length(s);
  if (s[0] == '(') {
    if (s[1] == '*') return 0; /* a verb of PCRE2 */
    if (s[1] != '?') return 1;
    return s[2] && strchr(":=!", s[2]) ? 3 : 0;
  }
  if (strchr("?*+", s[0])) {
    if (s[1] == '?') return strchr("?*+", s[2]) && s[2] ? 0 : 2;
    return s[1] && strchr("*+", s[1]) ? 0 : 1;
  }
  return s[0] >= ' ' && s[0] <= '~' && !strchr("^$.{}]", s[0]) ? 1 : 0;
}

static fv_status check_syntax(const char *text, size_t n, const char *where, fv_error *err) {
  for (size_t i = 0; i < n;) {
    size_t length = item_length(text + i);
    if (!length)
      return fv_fail(err, FV_EUNSUPPORTED,
                     "%s: the regular expression \"%s\" has \"%s\" at byte %zu, which this build does not know (it "
                     "knows ASCII literals, \\s \\S \\p{L} \\p{N}, classes, groups, | and ? * +)",
                     where, FV_QUOTE(text), FV_QUOTE(text + i), i);
    i += length;
  }
  return FV_OK;
}

fv_status fv_pattern_regex(const char *text, size_t n, const char *where, fv_pattern *out, fv_error *err) {
  int code = 0;
  PCRE2_SIZE at = 0;
  uint32_t empty = 0;
  *out = (fv_pattern){0};
  fv_status st = check_syntax(text, n, where, err);
  if (st) return st;
  out->regex = pcre2_compile((PCRE2_SPTR)text, n, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
  if (!out->regex) {
    PCRE2_UCHAR why[128] = {0};
    pcre2_get_error_message(code, why, sizeof why);
    return fv_fail(err, FV_EFORMAT, "%s: the regular expression \"%s\" is wrong at byte %zu: %s", where, FV_QUOTE(text),
                   (size_t)at, (const char *)why);
  }
  pcre2_pattern_info(out->regex, PCRE2_INFO_MATCHEMPTY, &empty);
  if (!empty) return FV_OK;
  fv_pattern_release(out);
  return fv_fail(err, FV_EUNSUPPORTED,
                 "%s: the regular expression \"%s\" matches the empty string, which this build does not support", where,
                 FV_QUOTE(text));
}

fv_status fv_pattern_parse(const json_t *object, const char *where, fv_pattern *out, fv_error *err) {
  const json_t *pattern = NULL;
  fv_slice text = {0};
  *out = (fv_pattern){0};
  fv_status st = fv_field_object(object, "pattern", where, &pattern, err);
  if (st) return st;
  if (json_object_get(pattern, "Regex")) {
    st = fv_field_string(pattern, "Regex", where, &text, err);
    return st ? st : fv_pattern_regex(text.at, text.n, where, out, err);
  }
  st = fv_field_string(pattern, "String", where, &text, err);
  if (!st && text.n == 0)
    st = fv_fail(err, FV_EUNSUPPORTED, "%s: \"pattern\" is an empty string, expected something to look for", where);
  if (!st && !fv_chars_add_utf8(&out->literal, text.at, text.n))
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for \"pattern\"", where);
  if (st) fv_pattern_release(out);
  return st;
}

/* The character that PCRE2 sees: ASCII as it is, else U+4E00 for a letter, U+00B2 for a number, U+3000 for a space and
 * U+FDD0, which no version of Unicode will ever assign, for the rest. */
static uint32_t stand_in(uint32_t c) {
  if (c < 0x80) return c;
  if (fv_unicode_letter(c)) return 0x4E00;
  if (fv_unicode_number(c)) return 0xB2;
  return fv_unicode_space(c) ? 0x3000 : 0xFDD0;
}

static size_t count_chars(const char *text, size_t first, size_t last) {
  size_t n = 0;
  for (size_t i = first; i < last; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
  return n;
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to search a text of %zu characters", n);
}

static fv_status find_regex(const fv_pattern *pattern, const char *text, size_t bytes, fv_ranges *out, fv_error *err) {
  pcre2_match_data *data = pcre2_match_data_create(1, NULL);
  size_t at = 0, at_char = 0;
  int found = 0;
  if (!data) return no_memory(bytes, err);
  for (;;) {
    /* One pair of offsets is enough: "0" says that there were groups, too. */
    found = pcre2_match(pattern->regex, (PCRE2_SPTR)text, bytes, at, PCRE2_NO_UTF_CHECK, data, NULL);
    if (found < 0) break;
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(data);
    size_t first = at_char + count_chars(text, at, span[0]), last = first + count_chars(text, span[0], span[1]);
    /* A match that began as a look-ahead can be empty only where the pattern can, which parsing refused. */
    if (!fv_ranges_add(out, first, last)) break;
    at = span[1];
    at_char = last;
  }
  pcre2_match_data_free(data);
  if (found == PCRE2_ERROR_NOMATCH) return FV_OK;
  if (found >= 0 || found == PCRE2_ERROR_NOMEMORY) return no_memory(bytes, err);
  return fv_fail(err, FV_EUNSUPPORTED,
                 "the tokenizer's regular expression takes too many steps on this text of %zu bytes (PCRE2 error %d)",
                 bytes, found);
}

static bool find_literal(const fv_chars *literal, const fv_char *chars, size_t n, fv_ranges *out) {
  for (size_t i = 0; i + literal->count <= n;) {
    size_t k = 0;
    while (k < literal->count && chars[i + k].code == literal->items[k].code) k++;
    if (k < literal->count) {
      i++;
      continue;
    }
    if (!fv_ranges_add(out, i, i + k)) return false;
    i += k;
  }
  return true;
}

fv_status fv_pattern_find(const fv_pattern *pattern, const fv_char *chars, size_t n, fv_ranges *out, fv_error *err) {
  if (!pattern->regex) return find_literal(&pattern->literal, chars, n, out) ? FV_OK : no_memory(n, err);
  char *text = fv_alloc(n, 4);
  size_t bytes = 0;
  if (!text) return no_memory(n, err);
  for (size_t i = 0; i < n; i++) bytes += fv_utf8_put(stand_in(chars[i].code), text + bytes);
  fv_status st = find_regex(pattern, text, bytes, out, err);
  free(text);
  return st;
}
