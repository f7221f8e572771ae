/* WordPiece: greedy longest match, left to right; pieces inside a word carry a prefix ("##").
 *
 * A word with more characters than the limit, or with a part that no piece matches, is one unknown token as a whole.
 * Cost: per word, characters times the longest piece of the vocabulary.
 * Source: tokenizers, models/wordpiece/mod.rs. Checked by: tests/text/test_tokenizer.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/fields.h"
#include "text/text_model.h"

typedef struct wordpiece {
  char *prefix;
  size_t prefix_n;
  int64_t max_chars;
  int32_t unknown;
} wordpiece;

static void wordpiece_release(void *model) {
  wordpiece *m = model;
  if (!m) return;
  free(m->prefix);
  free(m);
}

static fv_status wordpiece_load(const json_t *model, const char *where, fv_vocab *vocab, void **out, fv_error *err) {
  const json_t *table = NULL;
  fv_slice unknown = {0}, prefix = {0};
  fv_status st = fv_field_object(model, "vocab", where, &table, err);
  if (!st) st = fv_field_string(model, "unk_token", where, &unknown, err);
  if (!st) st = fv_field_string(model, "continuing_subword_prefix", where, &prefix, err);
  if (!st && !json_is_integer(json_object_get(model, "max_input_chars_per_word")))
    st = fv_fail(err, FV_EFORMAT, "%s: \"max_input_chars_per_word\" is not an integer, expected 100 or so", where);
  wordpiece *m = st ? NULL : fv_alloc(1, sizeof *m);
  if (!st && !m) st = fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", where);
  if (!st) st = fv_json_int(model, "max_input_chars_per_word", 0, 0, INT64_MAX, where, &m->max_chars, err);
  if (!st) st = fv_text_model_vocab(table, where, vocab, err);
  if (!st && !fv_vocab_find(vocab, unknown.at, unknown.n, &m->unknown))
    st = fv_fail(err, FV_EFORMAT, "%s: the vocabulary has no \"%s\", the token of unknown words", where,
                 FV_QUOTE(unknown.at));
  if (!st && (!(m->prefix = fv_alloc(prefix.n + 1, 1))))
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", where);
  if (st) {
    wordpiece_release(m);
    return st;
  }
  memcpy(m->prefix, prefix.at, prefix.n);
  m->prefix_n = prefix.n;
  *out = m;
  return FV_OK;
}

/* The longest piece that starts at character `from` of the word; *to is the character behind it. `text` holds room for
 * the prefix and then the word's UTF-8, `at` the byte where each character starts. Bytes of the word before `from` are
 * overwritten by the prefix; they have been matched already. */
static bool longest_piece(const wordpiece *m, const fv_vocab *vocab, char *text, const size_t *at, size_t n,
                          size_t from, size_t *to, int32_t *id) {
  char *start = text + m->prefix_n + at[from];
  size_t extra = from > 0 ? m->prefix_n : 0, end = n;
  start -= extra;
  memcpy(start, m->prefix, extra);
  /* No piece is longer than the longest, which keeps a long word linear. */
  while (end - from > vocab->longest) end = from + vocab->longest;
  for (; end > from; end--) {
    size_t bytes = extra + at[end] - at[from];
    if (bytes <= vocab->longest && fv_vocab_find(vocab, start, bytes, id)) {
      *to = end;
      return true;
    }
  }
  return false;
}

static fv_status wordpiece_encode(const void *model, const fv_vocab *vocab, const fv_char *word, size_t n,
                                  fv_tokens *out, fv_error *err) {
  const wordpiece *m = model;
  size_t before = out->count, bytes, from = 0, to = 0;
  bool known = n <= (uint64_t)m->max_chars, room = true;
  int64_t first, last;
  if (known) {
    char *text = NULL;
    size_t *at = fv_alloc(n + 1, sizeof *at);
    bool sized = fv_mul_size(n, 4, &bytes) && fv_add_size(bytes, m->prefix_n, &bytes);
    if (sized) text = fv_alloc(bytes, 1);
    room = text && at;
    for (size_t i = 0; room && i < n; i++) at[i + 1] = at[i] + fv_utf8_put(word[i].code, text + m->prefix_n + at[i]);
    while (room && known && from < n) {
      int32_t id = 0;
      known = longest_piece(m, vocab, text, at, n, from, &to, &id);
      if (!known) break;
      fv_chars_span(word + from, to - from, &first, &last);
      room = fv_tokens_add(out, id, first, last);
      from = to;
    }
    free(text);
    free(at);
  }
  if (!known) {
    out->count = before;
    fv_chars_span(word, n, &first, &last);
    room = fv_tokens_add(out, m->unknown, first, last);
  }
  return room ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory to encode a word of %zu characters", n);
}

const fv_text_model_kind fv_text_model_wordpiece = {.name = "WordPiece",
                                                    .load = wordpiece_load,
                                                    .encode = wordpiece_encode,
                                                    .release = wordpiece_release,
                                                    .cleans_up = true};
