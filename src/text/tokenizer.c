#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/decode_clean_up.h"
#include "text/tokenizer_parts.h"

void fv_tokenizer_close(fv_tokenizer *t) {
  if (!t) return;
  if (t->kind) t->kind->release(t->model);
  fv_vocab_release(&t->vocab);
  fv_added_release(&t->added);
  fv_template_release(&t->around);
  fv_normalizer_release(&t->normalizer);
  fv_pretokenizer_release(&t->pretokenizer);
  fv_decoder_release(&t->decoder);
  free(t->word_end);
  free(t);
}

void fv_encoding_release(fv_encoding *e) {
  free(e->ids);
  free(e->first);
  free(e->last);
  *e = (fv_encoding){0};
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to encode a text of %zu characters", n);
}

/* Words of a stretch of normalized text without added tokens. */
static fv_status encode_words(const fv_tokenizer *t, const fv_char *chars, size_t n, fv_tokens *out, fv_error *err) {
  fv_words words = {0};
  fv_status st = fv_pretokenizer_apply(&t->pretokenizer, chars, n, &words, err);
  for (size_t i = 0; !st && i < words.count; i++) {
    size_t first = fv_words_start(&words, i);
    st = t->kind->encode(t->model, &t->vocab, words.chars.items + first, words.ends[i] - first, out, err);
  }
  fv_words_release(&words);
  return st;
}

typedef fv_status stretch_fn(const fv_tokenizer *t, const fv_char *chars, size_t n, fv_tokens *out, fv_error *err);

/* Cuts chars at the added tokens of one of the two matchers; what lies between goes to `between`. */
static fv_status cut(const fv_tokenizer *t, bool normalized, const fv_char *chars, size_t n, stretch_fn *between,
                     fv_tokens *out, fv_error *err) {
  size_t at = 0, taken = 0;
  fv_added_match match;
  fv_status st = FV_OK;
  while (!st && fv_added_next(&t->added, normalized, chars, n, &at, taken, &match)) {
    int64_t first = 0, last = 0;
    if (taken < match.first) st = between(t, chars + taken, match.first - taken, out, err);
    if (match.first < match.last) fv_chars_span(chars + match.first, match.last - match.first, &first, &last);
    if (!st && !fv_tokens_add(out, match.token->id, first, last)) st = no_memory(n, err);
    taken = match.last;
  }
  if (!st && taken < n) st = between(t, chars + taken, n - taken, out, err);
  return st;
}

static fv_status encode_stretch(const fv_tokenizer *t, const fv_char *chars, size_t n, fv_tokens *out, fv_error *err) {
  fv_chars normal = {0};
  fv_status st = fv_normalizer_apply(&t->normalizer, chars, n, &normal, err);
  if (!st) st = cut(t, true, normal.items, normal.count, encode_words, out, err);
  fv_chars_release(&normal);
  return st;
}

static bool to_encoding(const fv_tokens *tokens, fv_encoding *out) {
  out->count = tokens->count;
  out->ids = fv_alloc(tokens->count, sizeof *out->ids);
  out->first = fv_alloc(tokens->count, sizeof *out->first);
  out->last = fv_alloc(tokens->count, sizeof *out->last);
  if (!out->ids || !out->first || !out->last) return false;
  for (size_t i = 0; i < tokens->count; i++) {
    out->ids[i] = tokens->items[i].id;
    out->first[i] = tokens->items[i].first;
    out->last[i] = tokens->items[i].last;
  }
  return true;
}

fv_status fv_tokenizer_encode(const fv_tokenizer *t, const char *text, size_t n, bool special, fv_encoding *out,
                              fv_error *err) {
  size_t bad = 0;
  *out = (fv_encoding){0};
  if (!fv_utf8_valid(text, n, &bad))
    return fv_fail(err, FV_EFORMAT, "the text is not valid UTF-8 at byte %zu of %zu", bad, n);
  fv_chars chars = {0};
  fv_tokens inner = {0}, all = {0};
  fv_status st = FV_OK;
  if (!fv_chars_add_utf8(&chars, text, n)) st = no_memory(n, err);
  if (!st) st = cut(t, false, chars.items, chars.count, encode_stretch, &inner, err);
  if (!st && !(fv_template_apply(&t->around, &inner, special, &all) && to_encoding(&all, out))) st = no_memory(n, err);
  if (st) fv_encoding_release(out);
  fv_chars_release(&chars);
  fv_tokens_release(&inner);
  fv_tokens_release(&all);
  return st;
}

/* The tokens of ids, without those that are not to be seen. */
static fv_status pieces_of(const fv_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, fv_strings *out,
                           fv_error *err) {
  for (size_t i = 0; i < n; i++) {
    if (ids[i] < 0)
      return fv_fail(err, FV_EUSAGE, "token id %d at position %zu is negative, expected 0 or more", (int)ids[i], i);
    const fv_added_token *added = fv_added_find_id(&t->added, ids[i]);
    size_t token_n = added ? added->normal_n : 0;
    const char *token = added ? added->normal : fv_vocab_piece(&t->vocab, ids[i], &token_n);
    if (!token || (skip_special && fv_added_is_special(&t->added, token, token_n))) continue;
    if (!fv_strings_add(out, token, token_n)) return fv_fail(err, FV_ENOMEM, "no memory to decode %zu tokens", n);
  }
  return FV_OK;
}

fv_status fv_tokenizer_decode(const fv_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, char **out,
                              size_t *out_len, fv_error *err) {
  fv_strings text = {0};
  fv_status st = pieces_of(t, ids, n, skip_special, &text, err);
  if (!st) st = fv_decoder_apply(&t->decoder, &text, err);
  if (!st && !fv_grow(&text.bytes, &text.capacity, text.n + 1, 1))
    st = fv_fail(err, FV_ENOMEM, "no memory to decode %zu tokens", n);
  if (st) {
    fv_strings_release(&text);
    return st;
  }
  if (t->clean_up) text.n = fv_clean_up_text(text.bytes, text.n);
  if (t->word_end) text.n = fv_clean_up_word_ends(text.bytes, text.n, t->word_end);
  text.bytes[text.n] = '\0';
  *out = text.bytes;
  *out_len = text.n;
  free(text.ends);
  return FV_OK;
}

int64_t fv_tokenizer_size(const fv_tokenizer *t) {
  return t->vocab.size > t->added.size ? t->vocab.size : t->added.size;
}

const char *fv_tokenizer_piece(const fv_tokenizer *t, int32_t id) {
  const fv_added_token *added = fv_added_find_id(&t->added, id);
  return added ? added->content : fv_vocab_piece(&t->vocab, id, NULL);
}

bool fv_tokenizer_id(const fv_tokenizer *t, const char *piece, int32_t *id) {
  size_t n = strlen(piece);
  return fv_vocab_find(&t->added.by_content, piece, n, id) || fv_vocab_find(&t->vocab, piece, n, id);
}

bool fv_tokenizer_is_special(const fv_tokenizer *t, int32_t id) {
  const fv_added_token *added = fv_added_find_id(&t->added, id);
  return added && added->special;
}

const char *fv_tokenizer_kind(const fv_tokenizer *t) { return t->kind->name; }
