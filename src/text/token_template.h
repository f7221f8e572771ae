/* The tokens that a post-processor puts around an encoded text, such as [CLS] A [SEP].
 *
 * Kinds: none, Sequence (with at most one that puts tokens), TemplateProcessing (its "single" template),
 * BertProcessing, RobertaProcessing and ByteLevel (nothing). All are reduced to one list of steps: a token id, or "here
 * goes the text". Ids are not checked against the vocabulary, as in the tokenizers library. Its "trim_offsets" is not
 * followed: tokens keep the bytes of their spaces.
 *
 * Ownership: the template owns its steps. Threads: immutable after parsing.
 * Source: tokenizers, processors/. Checked by: tests/text/test_tokenizer.c.
 */
#ifndef FOVEA_TEXT_TOKEN_TEMPLATE_H
#define FOVEA_TEXT_TOKEN_TEMPLATE_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/text_model.h"

enum { FV_TEMPLATE_TEXT = -1 };

typedef struct fv_template {
  int32_t *steps; /* a token id, or FV_TEMPLATE_TEXT */
  size_t count, capacity;
  bool present; /* a kind that puts tokens was read */
} fv_template;

void fv_template_release(fv_template *t);
/* From "post_processor" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_template_parse(const json_t *root, const char *where, fv_template *out, fv_error *err);
/* Appends to out what the template makes of the text's tokens; without `special`, its tokens are left out. False when
 * memory is short. */
bool fv_template_apply(const fv_template *t, const fv_tokens *text, bool special, fv_tokens *out);

#endif
