#include "text/special_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"

enum { MAX_BYTES = 1 << 26 };

/* The order in which transformers adds them, and what BERT's class takes when a file has no such key. */
static const struct {
  const char *key, *bert;
} names[] = {{"bos_token", NULL},    {"eos_token", NULL},    {"unk_token", "[UNK]"},  {"sep_token", "[SEP]"},
             {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};

static fv_status open_one(const char *dir, const char *name, char **path, json_t **out, fv_error *err) {
  *path = fv_path_join(dir, name);
  if (!*path) return fv_fail(err, FV_ENOMEM, "no memory to open %s", name);
  if (!fv_file_exists(*path)) return FV_OK;
  fv_status st = fv_json_load(*path, MAX_BYTES, out, err);
  if (!st && !json_is_object(*out)) st = fv_fail(err, FV_EFORMAT, "%s: not a JSON object", *path);
  return st;
}

fv_status fv_special_files_open(const char *dir, fv_special_files *out, fv_error *err) {
  *out = (fv_special_files){0};
  fv_status st = open_one(dir, "tokenizer_config.json", &out->config_path, &out->config, err);
  if (!st && !json_is_object(json_object_get(out->config, "added_tokens_decoder"))) {
    st = open_one(dir, "special_tokens_map.json", &out->map_path, &out->map, err);
    if (!st) st = open_one(dir, "added_tokens.json", &out->added_path, &out->added, err);
  }
  if (st) fv_special_files_release(out);
  return st;
}

void fv_special_files_release(fv_special_files *files) {
  free(files->config_path);
  free(files->map_path);
  free(files->added_path);
  json_decref(files->config);
  json_decref(files->map);
  json_decref(files->added);
  *files = (fv_special_files){0};
}

/* A string, or an object with "content". */
static fv_status parse_token(const json_t *value, const char *where, fv_added_token *out, fv_error *err) {
  if (!json_is_string(value)) return fv_added_parse(value, where, out, err);
  const char *content = json_string_value(value);
  *out = (fv_added_token){.n = json_string_length(value), .special = true};
  memcpy(&out->content, &content, sizeof out->content);
  return FV_OK;
}

static const json_t *lookup(const fv_special_files *files, const char *key, const char **where) {
  const json_t *v = json_object_get(files->map, key);
  *where = files->map_path;
  if (v && !json_is_null(v)) return v;
  *where = files->config_path;
  v = json_object_get(files->config, key);
  return v && !json_is_null(v) ? v : NULL;
}

fv_status fv_special_name(const fv_special_files *files, const char *key, const char *fallback, fv_slice *out,
                          fv_error *err) {
  const char *where;
  const json_t *value = lookup(files, key, &where);
  *out = (fv_slice){fallback, fallback ? strlen(fallback) : 0};
  if (!value) return FV_OK;
  fv_added_token token;
  fv_status st = parse_token(value, where, &token, err);
  if (st) return fv_fail_prefix(err, st, "\"%s\"", key);
  *out = (fv_slice){token.content, token.n};
  return FV_OK;
}

fv_status fv_special_put(fv_added *added, const fv_added_token *token, int32_t id, const fv_vocab *vocab,
                         const char *where, fv_error *err) {
  int32_t got;
  fv_status st = fv_added_put(added, token, vocab, where, err);
  if (st || !fv_vocab_find(&added->by_content, token->content, token->n, &got) || got == id) return st;
  return fv_fail(err, FV_EFORMAT,
                 "%s: added token \"%s\" is listed with id %d, but the vocabulary gives it %d; is a vocabulary file "
                 "of another model in this folder?",
                 where, FV_QUOTE(token->content), (int)id, (int)got);
}

typedef struct listed {
  int32_t id;
  fv_added_token token;
} listed;

static int by_id(const void *a, const void *b) {
  const listed *x = a, *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

/* The key of added_tokens_decoder is the id in decimal. */
static fv_status parse_listed(const char *key, const json_t *value, const char *where, listed *out, fv_error *err) {
  char *end;
  long id = strtol(key, &end, 10);
  if (end == key || *end || id < 0 || id > FV_TOKEN_ID_MAX)
    return fv_fail(err, FV_EFORMAT, "%s: \"%s\" in \"added_tokens_decoder\" is not a token id", where, FV_QUOTE(key));
  out->id = (int32_t)id;
  return fv_added_parse(value, where, &out->token, err);
}

/* The entry of added_tokens.json: {"[DEC]": 30522}. */
static fv_status parse_old(const char *key, const json_t *value, const char *where, listed *out, fv_error *err) {
  *out = (listed){.token = {.n = strlen(key), .normalized = true}};
  memcpy(&out->token.content, &key, sizeof out->token.content);
  return fv_field_id(value, key, where, &out->id, err);
}

/* Puts the tokens of a table in the order of their ids, which is the order in which ids are given out. */
static fv_status put_listed(const json_t *table, bool old, const char *where, fv_added *added, const fv_vocab *vocab,
                            fv_error *err) {
  const char *key;
  json_t *value;
  size_t n = 0;
  fv_status st = FV_OK;
  listed *list = fv_alloc(json_object_size(table), sizeof *list);
  if (!list) return fv_fail(err, FV_ENOMEM, "%s: no memory for the added tokens", where);
  json_object_foreach((json_t *)(uintptr_t)table, key, value) {
    if (!st) st = old ? parse_old(key, value, where, &list[n], err) : parse_listed(key, value, where, &list[n], err);
    n++;
  }
  if (!st) qsort(list, n, sizeof *list, by_id);
  for (size_t i = 0; !st && i < n; i++) {
    int32_t have;
    fv_added_token *token = &list[i].token;
    if (fv_vocab_find(&added->by_content, token->content, token->n, &have) && have == list[i].id) continue;
    st = fv_special_put(added, token, list[i].id, vocab, where, err);
  }
  free(list);
  return st;
}

/* A special token named by a file or by default, unless the set has it. One that only old files list becomes special.
 */
static fv_status put_special(const fv_added_token *token, const char *where, fv_added *added, const fv_vocab *vocab,
                             fv_error *err) {
  fv_added_token special = *token;
  int32_t id;
  special.special = true;
  if (fv_vocab_find(&added->by_content, token->content, token->n, &id) && fv_added_find_id(added, id)->special)
    return FV_OK;
  return fv_added_put(added, &special, vocab, where, err);
}

static fv_status put_extra(const fv_special_files *files, const char *key, fv_added *added, const fv_vocab *vocab,
                           fv_error *err) {
  const char *where;
  const json_t *list = lookup(files, key, &where);
  fv_status st = FV_OK;
  if (!json_is_array(list)) return st;
  for (size_t i = 0; !st && i < json_array_size(list); i++) {
    fv_added_token token;
    st = parse_token(json_array_get(list, i), where, &token, err);
    if (!st) st = put_special(&token, where, added, vocab, err);
  }
  return st;
}

fv_status fv_special_tokens_add(const fv_special_files *files, bool bert_defaults, fv_added *added,
                                const fv_vocab *vocab, fv_error *err) {
  const json_t *decoder = json_object_get(files->config, "added_tokens_decoder");
  fv_status st = FV_OK;
  if (json_is_object(decoder)) st = put_listed(decoder, false, files->config_path, added, vocab, err);
  if (!st && files->added) st = put_listed(files->added, true, files->added_path, added, vocab, err);
  for (size_t i = 0; !st && i < sizeof names / sizeof *names; i++) {
    const char *where, *fallback = bert_defaults ? names[i].bert : NULL;
    const json_t *value = lookup(files, names[i].key, &where);
    fv_added_token token = {.special = true};
    if (!value && !fallback) continue;
    if (value) {
      st = parse_token(value, where, &token, err);
    } else {
      memcpy(&token.content, &fallback, sizeof token.content);
      token.n = strlen(fallback);
    }
    if (!st) st = put_special(&token, where, added, vocab, err);
  }
  if (!st) st = put_extra(files, "additional_special_tokens", added, vocab, err);
  if (!st) st = put_extra(files, "extra_special_tokens", added, vocab, err);
  return st;
}
