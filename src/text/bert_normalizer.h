/* BERT's normalization, in the order of the tokenizers library: clean (delete control, format and private characters,
 * turn white space into spaces), put spaces around Chinese characters, strip accents (canonical decomposition in
 * canonical order, nonspacing marks removed), lower case per code point.
 *
 * Plain value, immutable after parsing; any thread. Cost: linear in the text.
 * Source: tokenizers, normalizers/bert.rs. Checked by: tests/text/test_normalizer.c.
 */
#ifndef FOVEA_TEXT_BERT_NORMALIZER_H
#define FOVEA_TEXT_BERT_NORMALIZER_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/chars.h"

typedef struct fv_bert_normalizer {
  bool clean_text, chinese, strip_accents, lowercase;
} fv_bert_normalizer;

/* From a {"type": "BertNormalizer", ...}. Errors: FV_EFORMAT. */
fv_status fv_bert_normalizer_parse(const json_t *part, const char *where, fv_bert_normalizer *out, fv_error *err);
/* Appends the normal form of in[0..n) to out; false when memory is short. */
bool fv_bert_normalize(const fv_bert_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out);

#endif
