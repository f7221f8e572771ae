/* Joining tokens back into text: a list of steps, each from strings to strings; at the end they are joined.
 *
 * Kinds of a tokenizer.json: none (tokens joined by spaces), Sequence and
 *   WordPiece     a token with the prefix continues the one before, any other is set off by a space; with "cleanup",
 *                 spaces before punctuation and in English contractions go, token by token
 *   Replace       a string or a regular expression, within each token
 *   ByteFallback  runs of byte tokens ("<0xE4>") become the text they spell, or one U+FFFD per byte when it is not
 * UTF-8 Fuse          all tokens become one Strip         up to so many of a character at the start and at the end of
 * each token Metaspace     the replacement becomes a space, but nothing in the first token unless the scheme is "never"
 *   ByteLevel     characters become bytes again (text/byte_alphabet.h), and what is not UTF-8 then U+FFFD
 *   BPEDecoder    the suffix becomes a space, but nothing in the last token
 * A new kind is one line in the table of token_decoder.c. text/decode_clean_up.h has what transformers does after it.
 *
 * Ownership: the decoder owns its steps. Threads: immutable after parsing. Cost: linear.
 * Source: tokenizers, decoders/. Checked by: tests/text/test_tokenizer.c, tests/text/test_bpe.c.
 */
#ifndef FOVEA_TEXT_TOKEN_DECODER_H
#define FOVEA_TEXT_TOKEN_DECODER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/text_pattern.h"
#include "text/token_strings.h"

typedef struct fv_decoder {
  struct fv_decoder_step {
    const struct fv_decoder_kind *kind;
    fv_pattern pattern;
    fv_chars content; /* the prefix, suffix, replacement or what is stripped */
    size_t start, stop;
    bool cleanup, keep_first;
  } * steps;
  size_t count, capacity;
  bool present; /* there is a decoder: the strings are joined by nothing */
} fv_decoder;

void fv_decoder_release(fv_decoder *decoder);
/* From "decoder" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_decoder_parse(const json_t *root, const char *where, fv_decoder *out, fv_error *err);
/* Replaces the tokens by strings whose bytes, joined, are the text. Errors: FV_ENOMEM, those of fv_pattern_find. */
fv_status fv_decoder_apply(const fv_decoder *decoder, fv_strings *tokens, fv_error *err);

#endif
