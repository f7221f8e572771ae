/* Cutting normalized text into the words that the model sees one at a time: a list of steps, each from words to words.
 *
 * Kinds of a tokenizer.json: none (the whole stretch is one word), Sequence and
 *   BertPreTokenizer  white space separates and is dropped, every punctuation character is a word of its own (all of
 *                     ASCII's, and the categories P* as of Unicode 8)
 *   Metaspace         spaces become the replacement, which is put in front of the text where the scheme says so
 *                     (always, first: only at the start of the whole text, never) and begins a word if "split"
 *   Split             at a string or a regular expression, with the five behaviours of the library, or inverted
 *   ByteLevel         GPT-2's regular expression, then every byte becomes a character (text/byte_alphabet.h)
 * A new kind is one line in the table of pretokenizer.c.
 *
 * Ownership: init by parse, released by fv_pretokenizer_release; fv_words owns its arrays (zero-initialised = empty).
 * Threads: immutable after parsing. Cost: linear. Source: tokenizers, pre_tokenizers/.
 * Checked by: tests/text/test_normalizer.c, tests/text/test_bpe.c.
 */
#ifndef FOVEA_TEXT_PRETOKENIZER_H
#define FOVEA_TEXT_PRETOKENIZER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/text_pattern.h"

typedef struct fv_pretokenizer {
  struct fv_pretokenizer_step {
    const struct fv_pretokenizer_kind *kind;
    fv_pattern pattern; /* Split and ByteLevel */
    enum {
      FV_SPLIT_REMOVED,
      FV_SPLIT_ISOLATED,
      FV_SPLIT_WITH_PREVIOUS,
      FV_SPLIT_WITH_NEXT,
      FV_SPLIT_CONTIGUOUS
    } behavior;
    bool invert;          /* Split: what does not match is the delimiter */
    bool prefix, matches; /* ByteLevel: a space in front; with the regular expression */
    uint32_t replacement; /* Metaspace */
    enum { FV_PREPEND_ALWAYS, FV_PREPEND_FIRST, FV_PREPEND_NEVER } scheme;
    bool split;
  } * steps;
  size_t count, capacity;
} fv_pretokenizer;

/* Words one behind the other: word i is chars.items[i ? ends[i - 1] : 0 .. ends[i]). None is empty. */
typedef struct fv_words {
  fv_chars chars;
  size_t *ends, count, capacity;
} fv_words;

void fv_words_release(fv_words *words);
static inline size_t fv_words_start(const fv_words *words, size_t i) { return i ? words->ends[i - 1] : 0; }

void fv_pretokenizer_release(fv_pretokenizer *pre);
/* From "pre_tokenizer" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_pretokenizer_parse(const json_t *root, const char *where, fv_pretokenizer *out, fv_error *err);
/* The words of chars[0..n), into an empty *out. Errors: FV_ENOMEM, and those of fv_pattern_find. */
fv_status fv_pretokenizer_apply(const fv_pretokenizer *pre, const fv_char *chars, size_t n, fv_words *out,
                                fv_error *err);

#endif
