/* Added tokens: strings that are found in the text as a whole, before the model sees it.
 *
 * A set holds the tokens of a tokenizer and two matchers: one for the tokens searched in the raw text, one for those
 * with `normalized`, whose normal form is searched in the normalized text between them. Matching is leftmost-longest.
 * Then the flags: single_word discards a match that touches a word character (its characters are not tried again),
 * lstrip and rstrip extend it over white space.
 *
 * Ownership: the set owns everything. Threads: immutable after fv_added_build. Cost of matching: text length times the
 * longest token in the worst case, one table probe per character in practice.
 * Source: tokenizers, tokenizer/added_vocabulary.rs. Checked by: tests/text/test_tokenizer.c.
 */
#ifndef FOVEA_TEXT_ADDED_TOKENS_H
#define FOVEA_TEXT_ADDED_TOKENS_H

#include "fovea/status.h"
#include "text/fields.h"
#include "text/normalizer.h"
#include "text/vocab.h"

typedef struct fv_added_token {
  char *content; /* as in the file, NUL-terminated */
  size_t n;
  char *normal; /* what is searched, and what decoding gives; equals content unless `normalized` */
  size_t normal_n;
  int32_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} fv_added_token;

typedef struct fv_added {
  fv_added_token *tokens;
  size_t count, capacity;
  fv_vocab by_content; /* content -> id */
  uint32_t *by_id;     /* index + 1 */
  size_t id_capacity;
  int64_t size; /* 1 + the highest id */
  struct fv_trie {
    struct fv_trie_edge {
      uint64_t key;  /* node << 21 | code point, plus 1; 0 = free */
      uint32_t node; /* where it leads */
    } * edges;
    size_t edge_count, slot_count;
    uint32_t *token; /* per node: token index + 1, 0 = no token ends here */
    size_t node_count, node_capacity;
  } raw, normalized;
} fv_added;

typedef struct fv_added_match {
  size_t first, last; /* characters */
  const fv_added_token *token;
} fv_added_match;

void fv_added_release(fv_added *added);
/* Reads one AddedToken object ({"content", "single_word", "lstrip", "rstrip", "normalized", "special"}). The strings of
 * *out borrow from the JSON value. */
fv_status fv_added_parse(const json_t *object, const char *where, fv_added_token *out, fv_error *err);
/* Adds a copy. Its id is the one that content has in the set or the vocabulary, else the next free one as the library
 * counts; an empty content is skipped. A content that is there already gets the new flags. */
fv_status fv_added_put(fv_added *added, const fv_added_token *token, const fv_vocab *vocab, const char *where,
                       fv_error *err);
/* Builds the matchers; call once, after the last put. */
fv_status fv_added_build(fv_added *added, const fv_normalizer *normalizer, const char *where, fv_error *err);

const fv_added_token *fv_added_find_id(const fv_added *added, int64_t id);
/* True when decoded text of a token is that of a special token. */
bool fv_added_is_special(const fv_added *added, const char *s, size_t n);
/* The next match in chars[0..n) with characters from *at on; *at is where to go on. `taken` is the end of the previous
 * match (0 at first), which lstrip does not reach over. False when there is none. */
bool fv_added_next(const fv_added *added, bool normalized, const fv_char *chars, size_t n, size_t *at, size_t taken,
                   fv_added_match *out);

#endif
