/* Normalization of a stretch of text before it is cut into words.
 *
 * Kinds: none (a tokenizer.json whose "normalizer" is null) and BertNormalizer, in the order of the tokenizers
 * library: clean (delete control, format and private characters, turn white space into spaces), put spaces around
 * Chinese characters, strip accents (canonical decomposition in canonical order, nonspacing marks removed), lower case
 * per code point. Every result character keeps its place in the original text (text/chars.h).
 *
 * Plain value, immutable after parsing; any thread. Cost: linear in the text.
 * Source: tokenizers, normalizers/bert.rs. Checked by: tests/text/test_normalizer.c.
 */
#ifndef FOVEA_TEXT_NORMALIZER_H
#define FOVEA_TEXT_NORMALIZER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/chars.h"

typedef struct fv_normalizer {
  enum { FV_NORMALIZER_NONE, FV_NORMALIZER_BERT } kind;
  bool clean_text, chinese, strip_accents, lowercase;
} fv_normalizer;

/* From "normalizer" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_normalizer_parse(const json_t *root, const char *where, fv_normalizer *out, fv_error *err);
/* Appends the normal form of in[0..n) to out; false when memory is short. */
bool fv_normalizer_apply(const fv_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out);

#endif
