/* The part of a tokenizer that turns one word into token ids, one kind per file.
 *
 * A kind is a table of functions; the tokenizer knows nothing else about it. A new kind is one source file, one line
 * in the table of text_model.c. The words' pieces and ids are in the tokenizer's vocabulary, which the kind fills.
 *
 * Ownership: load gives an object that release frees. Threads: immutable after load.
 */
#ifndef FOVEA_TEXT_TEXT_MODEL_H
#define FOVEA_TEXT_TEXT_MODEL_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/chars.h"
#include "text/vocab.h"

/* Token ids with the bytes of the original text they cover; -1, -1 for tokens that stand for no text. */
typedef struct fv_tokens {
  struct fv_token {
    int32_t id;
    int64_t first, last;
  } * items;
  size_t count, capacity;
} fv_tokens;

void fv_tokens_release(fv_tokens *tokens);
/* False when memory is short. */
bool fv_tokens_add(fv_tokens *tokens, int32_t id, int64_t first, int64_t last);

typedef struct fv_text_model_kind {
  const char *name; /* as "type" says */
  /* Reads "model" of a tokenizer.json and fills the vocabulary. */
  fv_status (*load)(const json_t *model, const char *where, fv_vocab *vocab, void **out, fv_error *err);
  /* Appends the tokens of one word of n > 0 characters. */
  fv_status (*encode)(const void *model, const fv_vocab *vocab, const fv_char *word, size_t n, fv_tokens *out,
                      fv_error *err);
  void (*release)(void *model);
  /* Whether transformers cleans up spaces after decoding, unless tokenizer_config.json says no. */
  bool cleans_up;
} fv_text_model_kind;

extern const fv_text_model_kind fv_text_model_wordpiece, fv_text_model_bpe;

/* Fills a vocabulary from a table {piece: id}. Errors: FV_EFORMAT, FV_ENOMEM. */
fv_status fv_text_model_vocab(const json_t *table, const char *where, fv_vocab *vocab, fv_error *err);

/* The kind of "model" of a tokenizer.json. Errors: FV_EFORMAT; FV_EUNSUPPORTED for an unknown type. */
fv_status fv_text_model_find(const json_t *model, const char *where, const fv_text_model_kind **out, fv_error *err);

#endif
