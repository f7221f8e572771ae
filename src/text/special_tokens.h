/* The files beside a tokenizer.json or vocab.txt that name special and added tokens.
 *
 * tokenizer_config.json: the keys bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token (a
 * string or an AddedToken object), additional_special_tokens or extra_special_tokens, and added_tokens_decoder. Where
 * that last one is missing, the older special_tokens_map.json (whose names win) and added_tokens.json count too. A
 * token that the tokenizer has already keeps its flags. An id stated by a file must be the one the token gets.
 *
 * Ownership: open/release; tokens are copied into the added set. Threads: used while loading only.
 * Source: transformers 5, PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__.
 */
#ifndef FOVEA_TEXT_SPECIAL_TOKENS_H
#define FOVEA_TEXT_SPECIAL_TOKENS_H

#include "fovea/status.h"
#include "text/added_tokens.h"

typedef struct fv_special_files {
  char *config_path, *map_path, *added_path;
  json_t *config, *map, *added; /* NULL when the file is missing or does not count */
} fv_special_files;

fv_status fv_special_files_open(const char *dir, fv_special_files *out, fv_error *err);
void fv_special_files_release(fv_special_files *files);

/* The content that `key` ("cls_token") has in the files, or fallback (NULL content: none). */
fv_status fv_special_name(const fv_special_files *files, const char *key, const char *fallback, fv_slice *out,
                          fv_error *err);
/* Adds every token the files name; with bert_defaults (a vocab.txt, which lists no added tokens itself) also those of
 * BERT's five that they do not name. */
fv_status fv_special_tokens_add(const fv_special_files *files, bool bert_defaults, fv_added *added,
                                const fv_vocab *vocab, fv_error *err);
/* fv_added_put, and an error when the token does not get the id that the file states. */
fv_status fv_special_put(fv_added *added, const fv_added_token *token, int32_t id, const fv_vocab *vocab,
                         const char *where, fv_error *err);

#endif
