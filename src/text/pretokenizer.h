/* Cutting normalized text into the words that the model sees one at a time.
 *
 * Kinds: none (the whole stretch is one word) and BertPreTokenizer: white space separates and is dropped, every
 * punctuation character is a word of its own (all of ASCII's, and the categories P* as of Unicode 8).
 *
 * Plain value; any thread. Cost: linear. Source: tokenizers, pre_tokenizers/bert.rs.
 */
#ifndef FOVEA_TEXT_PRETOKENIZER_H
#define FOVEA_TEXT_PRETOKENIZER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/chars.h"

typedef struct fv_pretokenizer {
  enum { FV_PRETOKENIZER_NONE, FV_PRETOKENIZER_BERT } kind;
} fv_pretokenizer;

/* From "pre_tokenizer" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_pretokenizer_parse(const json_t *root, const char *where, fv_pretokenizer *out, fv_error *err);
/* Finds the next word of chars[0..n) at or after *from: its characters are [*first, *from) on return. False when there
 * is none. Start with *from = 0. */
bool fv_pretokenizer_next(const fv_pretokenizer *pre, const fv_char *chars, size_t n, size_t *from, size_t *first);

#endif
