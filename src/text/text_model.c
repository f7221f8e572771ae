#include "text/text_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/fields.h"

static const fv_text_model_kind *const kinds[] = {&fv_text_model_wordpiece, &fv_text_model_bpe};

void fv_tokens_release(fv_tokens *tokens) {
  free(tokens->items);
  *tokens = (fv_tokens){0};
}

bool fv_tokens_add(fv_tokens *tokens, int32_t id, int64_t first, int64_t last) {
  if (!fv_grow(&tokens->items, &tokens->capacity, tokens->count + 1, sizeof *tokens->items)) return false;
  tokens->items[tokens->count++] = (struct fv_token){.id = id, .first = first, .last = last};
  return true;
}

fv_status fv_text_model_vocab(const json_t *table, const char *where, fv_vocab *vocab, fv_error *err) {
  const char *piece;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)table, piece, value) {
    int32_t id = 0;
    fv_status st = fv_field_id(value, piece, where, &id, err);
    if (!st) st = fv_vocab_put(vocab, piece, strlen(piece), id, where, err);
    if (st) return st;
  }
  if (vocab->count == 0)
    return fv_fail(err, FV_EFORMAT, "%s: the vocabulary of \"model\" is empty, expected pieces and ids", where);
  return FV_OK;
}

fv_status fv_text_model_find(const json_t *model, const char *where, const fv_text_model_kind **out, fv_error *err) {
  /* Files from before "type" was written can be told by the fields that only one kind has. */
  fv_slice type = {"WordPiece", 9};
  if (json_object_get(model, "merges")) type = (fv_slice){"BPE", 3};
  if (json_object_get(model, "type") ||
      (!json_object_get(model, "merges") && !json_object_get(model, "max_input_chars_per_word"))) {
    fv_status st = fv_field_string(model, "type", where, &type, err);
    if (st) return fv_fail_prefix(err, st, "\"model\"");
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i]->name, type.at) == 0) return *out = kinds[i], FV_OK;
  return fv_field_unknown(where, "model", type.at, "WordPiece and BPE", err);
}
