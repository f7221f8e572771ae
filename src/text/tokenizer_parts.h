/* What a tokenizer is made of. Shared by tokenizer.c, which uses it, and tokenizer_load.c, which fills it.
 *
 * Ownership: the tokenizer owns all parts; fv_tokenizer_close releases them in any state of completion.
 */
#ifndef FOVEA_TEXT_TOKENIZER_PARTS_H
#define FOVEA_TEXT_TOKENIZER_PARTS_H

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/text_model.h"
#include "text/token_decoder.h"
#include "text/token_template.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

struct fv_tokenizer {
  const fv_text_model_kind *kind;
  void *model; /* of the kind */
  fv_vocab vocab;
  fv_added added;
  fv_normalizer normalizer;
  fv_pretokenizer pretokenizer;
  fv_template around;
  fv_decoder decoder;
  bool clean_up;  /* transformers' pass over the decoded string */
  char *word_end; /* the suffix that it turns into a space; NULL: none */
};

#endif
