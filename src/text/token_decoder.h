/* Joining tokens back into text.
 *
 * Kinds: none (tokens joined by spaces) and WordPiece: a token with the prefix continues the one before, any other is
 * set off by a space; with "cleanup", spaces before punctuation and in English contractions go, token by token.
 * fv_decode_clean_up is the further pass of transformers, over the whole string.
 *
 * Ownership: the decoder owns its prefix; an fv_text its bytes. Threads: immutable after parsing.
 * Source: tokenizers, decoders/wordpiece.rs; transformers, clean_up_tokenization. Checked by: tests/text/.
 */
#ifndef FOVEA_TEXT_TOKEN_DECODER_H
#define FOVEA_TEXT_TOKEN_DECODER_H

#include <jansson.h>

#include "fovea/status.h"

typedef struct fv_decoder {
  enum { FV_DECODER_NONE, FV_DECODER_WORDPIECE } kind;
  char *prefix;
  size_t prefix_n;
  bool cleanup;
} fv_decoder;

typedef struct fv_text {
  char *bytes;
  size_t n, capacity;
} fv_text;

void fv_decoder_release(fv_decoder *decoder);
/* From "decoder" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_decoder_parse(const json_t *root, const char *where, fv_decoder *out, fv_error *err);
/* Appends one token; `first` is true for the first token of the text. False when memory is short. */
bool fv_decoder_add(const fv_decoder *decoder, const char *token, size_t n, bool first, fv_text *out);
void fv_decode_clean_up(fv_text *text);

#endif
