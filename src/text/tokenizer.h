/* A tokenizer: text to token ids and back, equal to the fast tokenizer that transformers loads from the same folder.
 *
 * It is read from tokenizer.json, or where there is none from vocab.txt (BERT's WordPiece). The model is WordPiece
 * (BLIP) or BPE (LLaVA, Phi-3, CLIP). tokenizer_config.json and special_tokens_map.json beside it, when present, give
 * the names of the special tokens, BERT's do_lower_case, strip_accents and tokenize_chinese_chars (which win over
 * tokenizer.json, as in transformers) and clean_up_tokenization_spaces. Truncation and padding stored in a
 * tokenizer.json are ignored: they are choices of a call, not of a model. A normalizer, pre-tokenizer, model,
 * post-processor or decoder of a type this build does not know is refused by name.
 *
 * Encoding: the text is cut at the added tokens; each stretch between is normalized, cut at the added tokens that are
 * searched in normalized text, cut into words, and each word is turned into ids by the model; then the template puts
 * its special tokens around the whole.
 *
 * Ownership: open/close; an fv_encoding owns its arrays. Threads: immutable after open, shared by any number of
 * threads. Cost: encode is linear in the text (BPE: n log n in a word). Checked by: tests/text/, against vectors of the
 * tokenizers library.
 */
#ifndef FOVEA_TEXT_TOKENIZER_H
#define FOVEA_TEXT_TOKENIZER_H

#include "fovea/status.h"

typedef struct fv_tokenizer fv_tokenizer;

/* Opens the tokenizer of a checkpoint folder. Errors: FV_ENOTFOUND when it has neither file, FV_EFORMAT for damaged
 * ones, FV_EUNSUPPORTED for a type this build does not know. */
fv_status fv_tokenizer_open(const char *dir, fv_tokenizer **out, fv_error *err);
void fv_tokenizer_close(fv_tokenizer *t);

typedef struct fv_encoding {
  size_t count;
  int32_t *ids;
  /* The bytes [first, last) of the text that each token covers; -1, -1 for tokens added by the post-processor. */
  int64_t *first, *last;
} fv_encoding;

/* Encodes n bytes of UTF-8, which may contain NUL. `special`: with the tokens that the post-processor adds.
 * Errors: FV_EFORMAT for invalid UTF-8, naming the byte; FV_EUNSUPPORTED when a regular expression of the tokenizer
 * takes too many steps on it. */
fv_status fv_tokenizer_encode(const fv_tokenizer *t, const char *text, size_t n, bool special, fv_encoding *out,
                              fv_error *err);
void fv_encoding_release(fv_encoding *e);

/* The text of ids, as transformers' decode gives it. Ids that have no token are dropped, and with skip_special the
 * special tokens. *out is NUL-terminated UTF-8 of *out_len bytes; free() it. Errors: FV_EUSAGE for a negative id. */
fv_status fv_tokenizer_decode(const fv_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, char **out,
                              size_t *out_len, fv_error *err);

/* 1 + the highest id. */
int64_t fv_tokenizer_size(const fv_tokenizer *t);
/* The token of an id, "##ing" and all; NULL when the id has none. */
const char *fv_tokenizer_piece(const fv_tokenizer *t, int32_t id);
bool fv_tokenizer_id(const fv_tokenizer *t, const char *piece, int32_t *id);
bool fv_tokenizer_is_special(const fv_tokenizer *t, int32_t id);
/* The kind of the model: "WordPiece" or "BPE". */
const char *fv_tokenizer_kind(const fv_tokenizer *t);

#endif
