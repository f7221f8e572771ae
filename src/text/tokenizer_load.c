/* Opening a tokenizer: which files, in what order, and how they fill the parts. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "text/special_tokens.h"
#include "text/tokenizer_parts.h"
#include "text/vocab_txt.h"

enum { MAX_BYTES = 1 << 28 };

/* BERT's tokenizer in the form of a tokenizer.json, without the vocabulary and the template. */
static json_t *bert_json(void) {
  return json_pack("{s:{s:s,s:b,s:b,s:n,s:b},s:{s:s},s:{s:s,s:s,s:b},s:{s:s,s:s,s:i}}", "normalizer", "type",
                   "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1, "strip_accents", "lowercase", 1,
                   "pre_tokenizer", "type", "BertPreTokenizer", "decoder", "type", "WordPiece", "prefix", "##",
                   "cleanup", 1, "model", "type", "WordPiece", "continuing_subword_prefix", "##",
                   "max_input_chars_per_word", 100);
}

static fv_status read_vocab_txt(const char *path, const fv_special_files *files, json_t **out, fv_error *err) {
  json_t *vocab = NULL;
  fv_slice unknown = {0};
  fv_status st = fv_special_name(files, "unk_token", "[UNK]", &unknown, err);
  if (!st) st = fv_vocab_txt_load(path, &vocab, err);
  if (st) return st;
  json_t *root = bert_json(), *model = json_object_get(root, "model");
  bool ok = root && json_object_set_new(model, "vocab", vocab) == 0 &&
            json_object_set_new(model, "unk_token", json_stringn(unknown.at, unknown.n)) == 0;
  if (!ok) {
    json_decref(root);
    return fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", path);
  }
  *out = root;
  return FV_OK;
}

/* tokenizer_config.json has the last word on BERT's normalization. */
static fv_status override_normalizer(const fv_special_files *files, json_t *root, fv_error *err) {
  static const char *const keys[][2] = {{"do_lower_case", "lowercase"},
                                        {"strip_accents", "strip_accents"},
                                        {"tokenize_chinese_chars", "handle_chinese_chars"}};
  json_t *normalizer = json_object_get(root, "normalizer");
  const char *type = json_string_value(json_object_get(normalizer, "type"));
  if (!type || strcmp(type, "BertNormalizer") != 0) return FV_OK;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    json_t *value = json_object_get(files->config, keys[i][0]);
    bool may_be_null = strcmp(keys[i][0], "strip_accents") == 0;
    if (!value || (json_is_null(value) && !may_be_null)) continue;
    if (!json_is_boolean(value) && !json_is_null(value))
      return fv_fail(err, FV_EFORMAT, "%s: \"%s\" is not true or false", files->config_path, keys[i][0]);
    if (json_object_set(normalizer, keys[i][1], value)) return fv_fail(err, FV_ENOMEM, "no memory for a normalizer");
  }
  return FV_OK;
}

static fv_status load_added(fv_tokenizer *t, const json_t *root, const char *where, fv_error *err) {
  const json_t *list = json_object_get(root, "added_tokens");
  fv_status st = FV_OK;
  if (!list || json_is_null(list)) return FV_OK;
  if (!json_is_array(list)) return fv_fail(err, FV_EFORMAT, "%s: \"added_tokens\" is not an array", where);
  for (size_t i = 0; !st && i < json_array_size(list); i++) {
    const json_t *object = json_array_get(list, i);
    fv_added_token token;
    int32_t id = 0;
    st = fv_added_parse(object, where, &token, err);
    if (!st) st = fv_field_id(json_object_get(object, "id"), token.content, where, &id, err);
    if (!st) st = fv_special_put(&t->added, &token, id, &t->vocab, where, err);
  }
  return st;
}

/* [CLS] A [SEP], with whatever names the two have. */
static fv_status bert_template(fv_tokenizer *t, const fv_special_files *files, const char *where, fv_error *err) {
  fv_slice cls = {0}, sep = {0};
  int32_t cls_id = 0, sep_id = 0;
  fv_status st = fv_special_name(files, "cls_token", "[CLS]", &cls, err);
  if (!st) st = fv_special_name(files, "sep_token", "[SEP]", &sep, err);
  if (st) return st;
  if (!fv_vocab_find(&t->added.by_content, cls.at, cls.n, &cls_id) ||
      !fv_vocab_find(&t->added.by_content, sep.at, sep.n, &sep_id))
    return fv_fail(err, FV_EFORMAT, "%s: \"cls_token\" or \"sep_token\" is empty", where);
  json_t *root = json_pack("{s:{s:s,s:[s,i],s:[s,i]}}", "post_processor", "type", "BertProcessing", "cls", "",
                           (int)cls_id, "sep", "", (int)sep_id);
  st = root ? fv_template_parse(root, where, &t->around, err) : fv_fail(err, FV_ENOMEM, "no memory for a template");
  json_decref(root);
  return st;
}

/* How transformers tidies decoded text: for WordPiece as tokenizer_config.json says, for BPE not at all; except that a
 * model with an end-of-word suffix and a ByteLevel decoder, which leaves the suffixes in, is CLIP's. */
static fv_status load_clean_up(fv_tokenizer *t, const json_t *root, const fv_special_files *files, const char *where,
                               fv_error *err) {
  const char *suffix = NULL, *decoder = NULL;
  const json_t *part = json_object_get(root, "decoder");
  fv_status st = fv_json_bool(files->config, "clean_up_tokenization_spaces", t->kind->cleans_up, files->config_path,
                              &t->clean_up, err);
  if (!t->kind->cleans_up) t->clean_up = false;
  if (!st && part) decoder = json_string_value(json_object_get(part, "type"));
  if (st || !decoder || strcmp(decoder, "ByteLevel") != 0) return st;
  st = fv_json_string(json_object_get(root, "model"), "end_of_word_suffix", "", where, &suffix, err);
  if (st || !*suffix) return st;
  t->word_end = fv_strdup(suffix);
  return t->word_end ? FV_OK : fv_fail(err, FV_ENOMEM, "%s: no memory for the tokenizer", where);
}

static fv_status load_parts(fv_tokenizer *t, const json_t *root, const fv_special_files *files, const char *where,
                            bool from_vocab, fv_error *err) {
  const json_t *model = NULL;
  fv_slice version = {"1.0", 3};
  fv_status st = FV_OK;
  if (json_object_get(root, "version")) st = fv_field_string(root, "version", where, &version, err);
  if (!st && strcmp(version.at, "1.0") != 0)
    st = fv_fail(err, FV_EUNSUPPORTED, "%s: \"version\" is \"%s\", expected \"1.0\"", where, FV_QUOTE(version.at));
  if (!st) st = fv_field_object(root, "model", where, &model, err);
  if (!st) st = fv_text_model_find(model, where, &t->kind, err);
  if (!st) st = t->kind->load(model, where, &t->vocab, &t->model, err);
  if (!st) st = fv_normalizer_parse(root, where, &t->normalizer, err);
  if (!st) st = fv_pretokenizer_parse(root, where, &t->pretokenizer, err);
  if (!st) st = fv_decoder_parse(root, where, &t->decoder, err);
  if (!st) st = load_added(t, root, where, err);
  if (!st) st = fv_special_tokens_add(files, from_vocab, &t->added, &t->vocab, err);
  if (!st) st = fv_added_build(&t->added, &t->normalizer, where, err);
  if (!st && from_vocab) st = bert_template(t, files, where, err);
  if (!st && !from_vocab) st = fv_template_parse(root, where, &t->around, err);
  if (!st) st = load_clean_up(t, root, files, where, err);
  return st;
}

/* Loads the JSON form of the tokenizer, from whichever file is there. */
static fv_status load_root(const char *dir, const char *json_path, const char *vocab_path,
                           const fv_special_files *files, bool *from_vocab, json_t **root, fv_error *err) {
  *from_vocab = false;
  if (fv_file_exists(json_path)) {
    fv_status st = fv_json_load(json_path, MAX_BYTES, root, err);
    if (!st && !json_is_object(*root)) st = fv_fail(err, FV_EFORMAT, "%s: not a JSON object", json_path);
    return st;
  }
  if (!fv_file_exists(vocab_path))
    return fv_fail(err, FV_ENOTFOUND, "%s: no tokenizer.json and no vocab.txt; is this a checkpoint folder?", dir);
  *from_vocab = true;
  return read_vocab_txt(vocab_path, files, root, err);
}

fv_status fv_tokenizer_open(const char *dir, fv_tokenizer **out, fv_error *err) {
  *out = NULL;
  char *json_path = fv_path_join(dir, "tokenizer.json"), *vocab_path = fv_path_join(dir, "vocab.txt");
  fv_tokenizer *t = fv_alloc(1, sizeof *t);
  fv_special_files files = {0};
  json_t *root = NULL;
  bool from_vocab = false;
  fv_status st = FV_OK;
  if (!json_path || !vocab_path || !t) st = fv_fail(err, FV_ENOMEM, "%s: no memory for the tokenizer", dir);
  if (!st) st = fv_special_files_open(dir, &files, err);
  if (!st) st = load_root(dir, json_path, vocab_path, &files, &from_vocab, &root, err);
  if (!st) st = override_normalizer(&files, root, err);
  if (!st) st = load_parts(t, root, &files, from_vocab ? vocab_path : json_path, from_vocab, err);
  json_decref(root);
  fv_special_files_release(&files);
  free(json_path);
  free(vocab_path);
  if (st)
    fv_tokenizer_close(t);
  else
    *out = t;
  return st;
}
