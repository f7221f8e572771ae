/* BPE: a word starts as its characters, and pairs of neighbours merge in the order of a list.
 *
 * A character outside the vocabulary becomes its UTF-8 bytes as "<0xE4>" where byte_fallback is on and all of them are
 * pieces, else the unknown token (with fuse_unk one for a run of them), and where the model has none, nothing. Inside
 * a word a character may carry a prefix, at its end a suffix ("</w>"). ignore_merges takes a word that is a piece as
 * a whole.
 * Cost: n log n in the characters of the word. Source: tokenizers, models/bpe/. Checked by: tests/text/test_bpe.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/bpe_merges.h"
#include "text/fields.h"
#include "text/text_model.h"

enum { BYTES = 256, NONE = -1 };

typedef struct bpe {
  fv_bpe_merges merges;
  char *prefix, *suffix; /* of inner characters, of the last character */
  size_t prefix_n, suffix_n;
  int32_t unknown;         /* or NONE */
  int32_t byte_ids[BYTES]; /* NONE where the vocabulary has no such piece */
  bool byte_fallback, fuse_unknown, ignore_merges;
} bpe;

static void bpe_release(void *model) {
  bpe *m = model;
  if (!m) return;
  fv_bpe_merges_release(&m->merges);
  free(m->prefix);
  free(m->suffix);
  free(m);
}

/* An optional string, copied; absent or null is "". */
static fv_status copy_string(const json_t *model, const char *key, const char *where, char **out, size_t *n,
                             fv_error *err) {
  const char *text = NULL;
  fv_status st = fv_json_string(model, key, "", where, &text, err);
  if (st) return st;
  *n = strlen(text);
  *out = fv_strdup(text);
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", where);
}

static fv_status load_options(bpe *m, const json_t *model, const char *where, fv_error *err) {
  double dropout = 0;
  fv_status st = fv_json_real(model, "dropout", 0, where, &dropout, err);
  if (!st && dropout != 0)
    st = fv_fail(err, FV_EUNSUPPORTED, "%s: \"dropout\" is %g: merges left out at random; expected null or 0", where,
                 dropout);
  if (!st) st = fv_json_bool(model, "byte_fallback", false, where, &m->byte_fallback, err);
  if (!st) st = fv_json_bool(model, "fuse_unk", false, where, &m->fuse_unknown, err);
  if (!st) st = fv_json_bool(model, "ignore_merges", false, where, &m->ignore_merges, err);
  if (!st) st = copy_string(model, "continuing_subword_prefix", where, &m->prefix, &m->prefix_n, err);
  if (!st) st = copy_string(model, "end_of_word_suffix", where, &m->suffix, &m->suffix_n, err);
  if (!st && m->byte_fallback && (m->prefix_n || m->suffix_n))
    st = fv_fail(err, FV_EUNSUPPORTED,
                 "%s: \"byte_fallback\" together with \"continuing_subword_prefix\" or \"end_of_word_suffix\", which "
                 "this build does not know",
                 where);
  return st;
}

static fv_status load_unknown(bpe *m, const json_t *model, const fv_vocab *vocab, const char *where, fv_error *err) {
  const char *unknown = NULL;
  fv_status st = fv_json_string(model, "unk_token", NULL, where, &unknown, err);
  m->unknown = NONE;
  if (st || !unknown || fv_vocab_find(vocab, unknown, strlen(unknown), &m->unknown)) return st;
  return fv_fail(err, FV_EFORMAT, "%s: the vocabulary has no \"%s\", the token of unknown characters", where,
                 FV_QUOTE(unknown));
}

static void load_bytes(bpe *m, const fv_vocab *vocab) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t b = 0; b < BYTES; b++) {
    const char piece[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
    if (!fv_vocab_find(vocab, piece, sizeof piece, &m->byte_ids[b])) m->byte_ids[b] = NONE;
  }
}

/* The two pieces of a merge: "a b" or ["a", "b"]. */
static fv_status parse_merge(const json_t *value, size_t i, const char *where, fv_slice out[2], fv_error *err) {
  if (json_is_array(value) && json_array_size(value) == 2) {
    const json_t *a = json_array_get(value, 0), *b = json_array_get(value, 1);
    out[0] = (fv_slice){json_string_value(a), json_string_length(a)};
    out[1] = (fv_slice){json_string_value(b), json_string_length(b)};
    if (out[0].at && out[1].at) return FV_OK;
  } else if (json_is_string(value)) {
    const char *text = json_string_value(value);
    size_t n = json_string_length(value);
    const char *space = memchr(text, ' ', n);
    size_t first = space ? (size_t)(space - text) : n;
    out[0] = (fv_slice){text, first};
    if (space) out[1] = (fv_slice){space + 1, n - first - 1};
    if (space && !memchr(space + 1, ' ', n - first - 1)) return FV_OK;
  }
  return fv_fail(err, FV_EFORMAT, "%s: merge %zu is not two pieces, expected \"a b\" or [\"a\", \"b\"]", where, i);
}

static fv_status no_piece(const char *where, size_t i, const char *piece, fv_error *err) {
  return fv_fail(err, FV_EFORMAT, "%s: merge %zu has \"%s\", which the vocabulary lacks; is the file cut?", where, i,
                 FV_QUOTE(piece));
}

static fv_status load_merge(bpe *m, const fv_vocab *vocab, const json_t *value, size_t i, const char *where,
                            fv_error *err) {
  fv_slice pair[2] = {{0}};
  int32_t ids[3];
  size_t n;
  fv_status st = parse_merge(value, i, where, pair, err);
  for (int k = 0; !st && k < 2; k++)
    if (!fv_vocab_find(vocab, pair[k].at, pair[k].n, &ids[k])) st = no_piece(where, i, pair[k].at, err);
  if (st) return st;
  /* The right piece loses as many bytes as the prefix has, whatever they are. */
  size_t skip = m->prefix_n < pair[1].n ? m->prefix_n : pair[1].n;
  if (!fv_add_size(pair[0].n, pair[1].n - skip, &n) || n > FV_TOKEN_ID_MAX)
    return fv_fail(err, FV_EFORMAT, "%s: merge %zu makes a piece of more than %d bytes", where, i,
                   (int)FV_TOKEN_ID_MAX);
  char *whole = fv_alloc(n + 1, 1);
  if (!whole) return fv_fail(err, FV_ENOMEM, "%s: no memory for the merges", where);
  memcpy(whole, pair[0].at, pair[0].n);
  memcpy(whole + pair[0].n, pair[1].at + skip, pair[1].n - skip);
  if (!fv_vocab_find(vocab, whole, n, &ids[2]))
    st = no_piece(where, i, whole, err);
  else if (!fv_bpe_merges_put(&m->merges, ids[0], ids[1], (uint32_t)i, ids[2]))
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for the merges", where);
  free(whole);
  return st;
}

static bool is_comment(const json_t *value) {
  const char *text = json_string_value(value);
  return text && strncmp(text, "#version", 8) == 0;
}

static fv_status load_merges(bpe *m, const json_t *model, const fv_vocab *vocab, const char *where, fv_error *err) {
  const json_t *list = NULL;
  fv_status st = fv_field_array(model, "merges", where, &list, err);
  if (!st && json_array_size(list) > UINT32_MAX)
    st = fv_fail(err, FV_EFORMAT, "%s: %zu merges, expected at most %u", where, json_array_size(list), UINT32_MAX);
  for (size_t i = 0; !st && i < json_array_size(list); i++) {
    const json_t *value = json_array_get(list, i);
    if (!is_comment(value)) st = load_merge(m, vocab, value, i, where, err);
  }
  return st;
}

static fv_status bpe_load(const json_t *model, const char *where, fv_vocab *vocab, void **out, fv_error *err) {
  const json_t *table = NULL;
  fv_status st = fv_field_object(model, "vocab", where, &table, err);
  if (!st) st = fv_text_model_vocab(table, where, vocab, err);
  if (st) return st;
  bpe *m = fv_alloc(1, sizeof *m);
  if (!m) return fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", where);
  st = load_options(m, model, where, err);
  if (!st) st = load_unknown(m, model, vocab, where, err);
  if (!st) st = load_merges(m, model, vocab, where, err);
  load_bytes(m, vocab);
  if (st)
    bpe_release(m);
  else
    *out = m;
  return st;
}

/* The symbols a word starts as. */
typedef struct symbols {
  fv_bpe_symbol *items;
  size_t count, capacity;
  size_t unknown; /* bytes of the unknown token that waits for its end, 0: none does */
} symbols;

static bool add_symbol(symbols *out, int32_t id, size_t bytes) {
  if (!fv_grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items)) return false;
  out->items[out->count++] = (fv_bpe_symbol){.id = id, .bytes = bytes};
  return true;
}

static bool end_unknown(const bpe *m, symbols *out) {
  bool ok = out->unknown == 0 || add_symbol(out, m->unknown, out->unknown);
  out->unknown = 0;
  return ok;
}

static bool all_bytes(const bpe *m, const char *utf8, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (m->byte_ids[(uint8_t)utf8[i]] == NONE) return false;
  return true;
}

/* A character that is no piece. As in the library, bytes do not end a waiting unknown token: it comes after them. */
static bool add_missing(const bpe *m, const char *utf8, size_t n, symbols *out) {
  if (m->byte_fallback && all_bytes(m, utf8, n)) {
    for (size_t i = 0; i < n; i++)
      if (!add_symbol(out, m->byte_ids[(uint8_t)utf8[i]], 1)) return false;
    return true;
  }
  if (m->unknown == NONE) return true;
  if (!m->fuse_unknown && !end_unknown(m, out)) return false;
  out->unknown += n;
  return true;
}

/* `room` holds a prefix, a character and a suffix. */
static bool start_symbols(const bpe *m, const fv_vocab *vocab, const fv_char *word, size_t n, char *room,
                          symbols *out) {
  char *at = room + m->prefix_n;
  memcpy(room, m->prefix, m->prefix_n);
  for (size_t i = 0; i < n; i++) {
    size_t before = i ? m->prefix_n : 0, bytes = fv_utf8_put(word[i].code, at), after = i + 1 == n ? m->suffix_n : 0;
    int32_t id;
    memcpy(at + bytes, m->suffix, after);
    bool ok = fv_vocab_find(vocab, at - before, before + bytes + after, &id)
                  ? end_unknown(m, out) && add_symbol(out, id, bytes)
                  : add_missing(m, at, bytes, out);
    if (!ok) return false;
  }
  return end_unknown(m, out);
}

/* Tokens of the symbols that are left. A token's place follows from its bytes, counted from the start of the word. */
static bool add_tokens(const symbols *from, const fv_char *word, size_t n, fv_tokens *out) {
  size_t at = 0, i = 0, end; /* byte, the character it lies in, and where that ends */
  char utf8[4];
  end = fv_utf8_put(word[0].code, utf8);
  for (size_t k = 0; k < from->count; k++) {
    if (!from->items[k].bytes) continue;
    int64_t first, last;
    while (at >= end && i + 1 < n) end += fv_utf8_put(word[++i].code, utf8);
    size_t start = i;
    at += from->items[k].bytes;
    while (at > end && i + 1 < n) end += fv_utf8_put(word[++i].code, utf8);
    fv_chars_span(word + start, i - start + 1, &first, &last);
    if (!fv_tokens_add(out, from->items[k].id, first, last)) return false;
  }
  return true;
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to encode a word of %zu characters", n);
}

/* True, with the token in out, when the whole word is one piece. */
static bool whole_word(const fv_vocab *vocab, const fv_char *word, size_t n, fv_tokens *out, bool *room) {
  size_t bytes;
  int32_t id;
  int64_t first, last;
  if (n > vocab->longest) return false;
  char *text = fv_chars_utf8(word, n, &bytes);
  bool found = text && fv_vocab_find(vocab, text, bytes, &id);
  *room = text != NULL;
  free(text);
  if (!found) return false;
  fv_chars_span(word, n, &first, &last);
  *room = fv_tokens_add(out, id, first, last);
  return true;
}

static fv_status bpe_encode(const void *model, const fv_vocab *vocab, const fv_char *word, size_t n, fv_tokens *out,
                            fv_error *err) {
  const bpe *m = model;
  symbols s = {0};
  bool room = true;
  if (m->ignore_merges && whole_word(vocab, word, n, out, &room)) return room ? FV_OK : no_memory(n, err);
  char *text = fv_alloc(m->prefix_n + 4 + m->suffix_n, 1);
  room = room && text && start_symbols(m, vocab, word, n, text, &s) && fv_bpe_merge(&m->merges, s.items, s.count) &&
         add_tokens(&s, word, n, out);
  free(text);
  free(s.items);
  return room ? FV_OK : no_memory(n, err);
}

const fv_text_model_kind fv_text_model_bpe = {
    .name = "BPE", .load = bpe_load, .encode = bpe_encode, .release = bpe_release, .cleans_up = false};
