#include "text/vocab_txt.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "text/fields.h"
#include "text/unicode.h"

enum { MAX_BYTES = 1 << 28 };

/* The length of line[0..n) without white space at its end. */
static size_t trimmed(const char *line, size_t n) {
  while (n > 0) {
    size_t start = n - 1;
    uint32_t code;
    while (start > 0 && ((unsigned char)line[start] & 0xC0) == 0x80) start--;
    fv_utf8_next(line + start, n - start, &code);
    if (!fv_unicode_space(code)) break;
    n = start;
  }
  return n;
}

static fv_status read_lines(const char *path, char *text, size_t n, json_t *vocab, fv_error *err) {
  int64_t line = 0;
  for (size_t at = 0; at < n; line++) {
    const char *newline = memchr(text + at, '\n', n - at);
    size_t length = newline ? (size_t)(newline - (text + at)) : n - at, used = trimmed(text + at, length);
    if (line > FV_TOKEN_ID_MAX)
      return fv_fail(err, FV_EFORMAT, "%s: more than %d lines; is this a vocabulary?", path, (int)FV_TOKEN_ID_MAX + 1);
    if (memchr(text + at, '\0', used))
      return fv_fail(err, FV_EFORMAT, "%s: line %lld contains a NUL byte, expected text", path, (long long)line + 1);
    text[at + used] = '\0'; /* over the white space, the newline or the NUL behind the file */
    if (json_object_set_new(vocab, text + at, json_integer(line)))
      return fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", path);
    at += length + 1;
  }
  return FV_OK;
}

fv_status fv_vocab_txt_load(const char *path, json_t **out, fv_error *err) {
  char *text = NULL;
  size_t n = 0, bad = 0;
  fv_status st = fv_file_read(path, MAX_BYTES, &text, &n, err);
  if (st) return st;
  json_t *vocab = json_object();
  if (n == 0)
    st = fv_fail(err, FV_EFORMAT, "%s: the file is empty, expected one token per line", path);
  else if (!fv_utf8_valid(text, n, &bad))
    st = fv_fail(err, FV_EFORMAT, "%s: not valid UTF-8 at byte %zu", path, bad);
  else if (!vocab)
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", path);
  else
    st = read_lines(path, text, n, vocab, err);
  free(text);
  if (st)
    json_decref(vocab);
  else
    *out = vocab;
  return st;
}
