#include "text/decode_clean_up.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "text/unicode.h"

/* The replacements of both clean-ups, in order. */
static const struct {
  const char *from, *to;
  bool token_only; /* not part of the pass over the whole string */
} replacements[] = {
    {" .", ".", false},   {" ?", "?", false},     {" !", "!", false},     {" ,", ",", false},
    {" ' ", "'", false},  {" n't", "n't", false}, {" 'm", "'m", false},   {" do not", " don't", true},
    {" 's", "'s", false}, {" 've", "'ve", false}, {" 're", "'re", false},
};

/* Replaces every occurrence of `from` in bytes[0..n), left to right; returns the new length. */
static size_t replace(char *bytes, size_t n, const char *from, const char *to) {
  size_t from_n = strlen(from), to_n = strlen(to), out = 0, i = 0;
  while (i < n) {
    if (n - i >= from_n && memcmp(bytes + i, from, from_n) == 0) {
      memcpy(bytes + out, to, to_n);
      out += to_n;
      i += from_n;
    } else {
      bytes[out++] = bytes[i++];
    }
  }
  return out;
}

static size_t clean_up(char *bytes, size_t n, bool token) {
  for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++)
    if (token || !replacements[i].token_only) n = replace(bytes, n, replacements[i].from, replacements[i].to);
  return n;
}

size_t fv_clean_up_token(char *bytes, size_t n) { return clean_up(bytes, n, true); }

size_t fv_clean_up_text(char *bytes, size_t n) { return clean_up(bytes, n, false); }

/* White space of Python's str.strip: also the four information separators. */
static bool python_space(uint32_t c) { return (c >= 0x1C && c <= 0x1F) || fv_unicode_space(c); }

size_t fv_clean_up_word_ends(char *bytes, size_t n, const char *suffix) {
  uint32_t code;
  size_t first = 0;
  n = replace(bytes, n, suffix, " ");
  while (n > 0) {
    size_t start = n - 1;
    while (start > 0 && ((unsigned char)bytes[start] & 0xC0) == 0x80) start--;
    fv_utf8_next(bytes + start, n - start, &code);
    if (!python_space(code)) break;
    n = start;
  }
  while (first < n) {
    size_t step = fv_utf8_next(bytes + first, n - first, &code);
    if (!python_space(code)) break;
    first += step;
  }
  memmove(bytes, bytes + first, n - first);
  return n - first;
}
