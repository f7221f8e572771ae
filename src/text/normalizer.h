/* Normalization of a stretch of text before it is cut into words: a list of steps, each from characters to characters.
 *
 * Kinds of a tokenizer.json: none ("normalizer" is null), Sequence, BertNormalizer, Prepend, Replace (of a string or a
 * regular expression, text/text_pattern.h), NFC, Lowercase (per code point) and Strip (of white space). Every result
 * character keeps its place in the original text (text/chars.h): a replacement has the place of the last character it
 * stands for, prepended characters that of the first of the text.
 *
 * A new kind is one line in the table of normalizer.c.
 * Ownership: init by parse, released by fv_normalizer_release. Threads: immutable after parsing. Cost: linear.
 * Source: tokenizers, normalizers/. Checked by: tests/text/test_normalizer.c, tests/text/test_bpe.c.
 */
#ifndef FOVEA_TEXT_NORMALIZER_H
#define FOVEA_TEXT_NORMALIZER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/bert_normalizer.h"
#include "text/text_pattern.h"

typedef struct fv_normalizer {
  struct fv_normalizer_step {
    const struct fv_normalizer_kind *kind;
    fv_bert_normalizer bert;
    fv_pattern pattern;
    fv_chars content; /* what Prepend and Replace put */
    bool left, right; /* where Strip strips */
  } * steps;
  size_t count, capacity;
} fv_normalizer;

void fv_normalizer_release(fv_normalizer *normalizer);
/* From "normalizer" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_normalizer_parse(const json_t *root, const char *where, fv_normalizer *out, fv_error *err);
/* Appends the normal form of in[0..n) to out. Errors: FV_ENOMEM, and those of fv_pattern_find. */
fv_status fv_normalizer_apply(const fv_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out,
                              fv_error *err);

/* Appends in[0..n) with every match of the pattern replaced. Errors: as above. */
fv_status fv_normalizer_replace(const fv_pattern *pattern, const fv_chars *content, const fv_char *in, size_t n,
                                fv_chars *out, fv_error *err);

#endif
