/* Damaged and contradictory folders of every family, and inputs that do not fit them: status 1 or 2, nothing on
 * standard output, one sentence that says which file or option, what was found and what was expected. */
#include <dirent.h>

#include "cli/cli_tests.h"

#define DATA(NAME) FV_TEST_DATA "/" NAME
#define PICTURE "--image " DATA("vit/shards/vectors/image0.png")
#define LLAVA PICTURE " --question dog"

/* What is done to a copy of the model's folder. */
typedef struct damage {
  const char *model, *file;
  const char *key;   /* dotted path in a JSON file; NULL: the file as a whole */
  const char *value; /* its new JSON text, or the file's; NULL: it is taken away; "half": cut */
  const char *args, *says;
  int status;
} damage;

/* Every file; the folders hold vectors. */
static void copy_model(const char *from, const char *to) {
  DIR *d = opendir(from);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char source[512], target[512];
    size_t n;
    if (e->d_name[0] == '.' || strcmp(e->d_name, "vectors") == 0 || strcmp(e->d_name, "pairs") == 0) continue;
    snprintf(source, sizeof source, "%s/%s", from, e->d_name);
    snprintf(target, sizeof target, "%s/%s", to, e->d_name);
    char *text = file_text(source, &n);
    assert_non_null(text);
    file_write(target, text, n);
    free(text);
  }
  closedir(d);
}

static void edit_json(const char *path, const damage *c) {
  json_error_t detail;
  json_t *root = json_load_file(path, 0, &detail), *at = root;
  char key[256];
  snprintf(key, sizeof key, "%s", c->key);
  char *part = key;
  assert_non_null(root);
  for (char *dot; (dot = strchr(part, '.')); part = dot + 1) {
    *dot = '\0';
    at = json_object_get(at, part);
    if (!at) fail_msg("%s: no %s", path, c->key);
  }
  if (c->value) {
    json_t *value = json_loads(c->value, JSON_DECODE_ANY, &detail);
    if (!value) fail_msg("%s: %s", c->value, detail.text);
    json_object_set_new(at, part, value);
  } else {
    json_object_del(at, part);
  }
  char *text = json_dumps(root, 0);
  file_write(path, text, strlen(text));
  free(text);
  json_decref(root);
}

static void apply(const char *folder, const damage *c) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, c->file);
  if (c->key) {
    edit_json(path, c);
  } else if (!c->value) {
    assert_int_equal(remove(path), 0);
  } else if (strcmp(c->value, "half") == 0) {
    size_t n;
    char *text = file_text(path, &n);
    assert_non_null(text);
    file_write(path, text, n / 2);
    free(text);
  } else {
    file_write(path, c->value, strlen(c->value));
  }
}

static void try_all(const damage *cases, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const damage *c = &cases[i];
    char from[512], line[1200], *folder = folder_make();
    program_result r;
    snprintf(from, sizeof from, FV_TEST_DATA "/%s", c->model);
    copy_model(from, folder);
    if (c->file) apply(folder, c);
    snprintf(line, sizeof line, "fovea %.*s %s %s", (int)strcspn(c->args, " "), c->args, folder,
             c->args + strcspn(c->args, " "));
    program_run(&(program_options){0}, &r, line, vars);
    const char *said = strstr(r.err, "is not used by") ? strchr(r.err, '\n') + 1 : r.err; /* a pooler */
    const char *end = strchr(said, '\n');
    if (r.status != c->status || r.nout != 0 || !strstr(r.err, c->says) || !end || end[1])
      fail_msg("%s: %s %s = %s\n%s\nstatus %d, expected %d and \"%s\" in: %s", c->model, c->file ? c->file : "",
               c->key ? c->key : "", c->value ? c->value : "(none)", line, r.status, c->status, c->says, r.err);
    program_release(&r);
    folder_remove(folder);
  }
}

#define TRY(CASES) try_all(CASES, sizeof CASES / sizeof *CASES)
#define CONFIG(KEY, VALUE, SAYS) \
  { MODEL_NAME, "config.json", KEY, VALUE, "ask " ASK, SAYS, 1 }

static void llava_configurations(void **state) {
  (void)state;
#define MODEL_NAME "llava/grouped"
#define ASK LLAVA
  static const damage cases[] = {
      CONFIG("text_config.rope_parameters.rope_type", "\"longrope\"", "rope type \"longrope\" is not supported"),
      CONFIG("text_config.rope_parameters.rope_type", "\"yarn\"", "rope type \"yarn\" is not supported"),
      CONFIG("text_config.rope_parameters.rope_type", "\"dynamic\"", "rope type \"dynamic\" is not supported"),
      CONFIG("text_config.rope_parameters", "{\"type\":\"su\"}", "rope type \"su\" is not supported"),
      CONFIG("text_config.rope_parameters.factor", "0", "rope factor 0"),
      CONFIG("text_config.rope_parameters.rope_theta", "-1", "theta -1"),
      CONFIG("text_config.rope_parameters", "7", "rope_parameters"),
      CONFIG("text_config.model_type", "\"mistral\"", "the language model \"mistral\" is not supported"),
      CONFIG("text_config.num_key_value_heads", "2", "9 attention heads do not share 2 key heads"),
      CONFIG("text_config.num_attention_heads", "0", "num_attention_heads"),
      CONFIG("text_config.head_dim", "5", "expected"),
      CONFIG("text_config.hidden_act", "\"gelu_fast\"", "hidden_act \"gelu_fast\" is not supported"),
      CONFIG("text_config.vocab_size", "85", "expected [85,36]"),
      CONFIG("text_config.num_hidden_layers", "3", "layers.2"),
      CONFIG("text_config.eos_token_id", "\"</s>\"", "eos_token_id is not a token id"),
      CONFIG("text_config.rms_norm_eps", "2", "rms_norm_eps is 2"),
      CONFIG("vision_config.model_type", "\"siglip_vision_model\"", "\"siglip_vision_model\" is not supported"),
      CONFIG("vision_config.patch_size", "31", "patch_size 31 is larger than image_size 30"),
      CONFIG("vision_config.num_attention_heads", "4", "not a multiple of its 4 attention heads"),
      CONFIG("vision_feature_layer", "[-2,-3]", "vision_feature_layer lists 2 layers"),
      CONFIG("vision_feature_layer", "4", "a tower of 3 blocks has states -4 to 3"),
      CONFIG("vision_feature_layer", "-5", "a tower of 3 blocks has states -4 to 3"),
      CONFIG("vision_feature_layer", "\"last\"", "vision_feature_layer is not an integer"),
      CONFIG("vision_feature_select_strategy", "\"cls\"", "vision_feature_select_strategy \"cls\" is not supported"),
      CONFIG("projector_hidden_act", "\"mish\"", "projector_hidden_act \"mish\" is not supported"),
      CONFIG("multimodal_projector_bias", "\"yes\"", "multimodal_projector_bias"),
      CONFIG("image_token_index", "9999", "the tokenizer has no token 9999"),
      CONFIG("model_type", "\"llava_next\"", "model_type \"llava_next\""),
      CONFIG("architectures", "[\"LlavaOnevision\"]", "\"LlavaOnevision\" is not supported"),
      CONFIG(NULL, "half", "config.json"),
      CONFIG(NULL, "[]", "is not a JSON object"),
      CONFIG(NULL, NULL, "has no config.json")};
  TRY(cases);
#undef MODEL_NAME
#undef ASK
}

static void phi3_configurations(void **state) {
  (void)state;
#define MODEL_NAME "llava/phi3"
#define ASK LLAVA
  static const damage cases[] = {
      CONFIG("text_config.rope_parameters", "{\"rope_type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}",
             "rope type \"longrope\" is not supported; known are default, linear and llama3"),
      CONFIG("text_config.rope_parameters.partial_rotary_factor", "0.7", "expected an even part"),
      CONFIG("text_config.sliding_window", "-1", "sliding_window"),
      CONFIG("text_config.num_key_value_heads", "3", "expected [96,48]")};
  TRY(cases);
  static const damage generation = {"llava/phi3",
                                    "generation_config.json",
                                    "eos_token_id",
                                    "[2,\"x\"]",
                                    "ask " LLAVA,
                                    "generation_config.json: eos_token_id is not a token id",
                                    1};
  try_all(&generation, 1);
#undef MODEL_NAME
#undef ASK
}

static void classifier_configurations(void **state) {
  (void)state;
#define MODEL_NAME "vit/shards"
#define ASK PICTURE
  static const damage cases[] = {CONFIG("id2label", "{}", "id2label is empty"),
                                 CONFIG("id2label.3", NULL, "id2label has 4 entries but none for \"3\""),
                                 CONFIG("id2label.7", "\"more\"", "id2label has 6 entries but none for \"5\""),
                                 CONFIG("id2label.2", "5", "\"2\""),
                                 CONFIG("id2label", "[\"a\"]", "id2label"),
                                 CONFIG("num_channels", "1", "num_channels"),
                                 CONFIG("image_size", "36", "position_embeddings"),
                                 CONFIG("image_size", "28", "the model reads 28x28"),
                                 CONFIG("hidden_size", "34", "not a multiple of its 3 attention heads"),
                                 CONFIG("layer_norm_eps", "-1", "layer_norm_eps"),
                                 CONFIG("qkv_bias", "3", "qkv_bias")};
  TRY(cases);
#undef MODEL_NAME
#undef ASK
}

static void text_configurations(void **state) {
  (void)state;
  static const damage cases[] = {
      {"bert/shards", "config.json", "is_decoder", "true", "tokens --question a", "only BERT encoders", 1},
      {"bert/shards", "config.json", "position_embedding_type", "\"relative_key\"", "tokens --question a",
       "absolute positions", 1},
      {"bert/shards", "config.json", "type_vocab_size", "3", "tokens --question a", "token_type_embeddings", 1},
      {"bert/shards", "config.json", "vocab_size", "100", "tokens --question a", "expected [100,21]", 1},
      {"blip_caption/tied", "config.json", "text_config.bos_token_id", "100000", "ask " PICTURE, "bos_token_id", 1},
      {"blip_caption/tied", "config.json", "text_config.max_length", "1", "ask " PICTURE, "max_length", 1},
      {"blip_itm/zip", "config.json", "image_text_hidden_size", "18", "ask " PICTURE " --question a",
       "expected [18,27]", 1},
      {"clip/shards", "config.json", "projection_dim", "41", "ask " PICTURE " --prompt a", "expected [41,20]", 1},
      {"clip/shards", "config.json", "text_config.max_position_embeddings", "30", "ask " PICTURE " --prompt a",
       "expected [30,36]", 1},
      {"clip/shards", "config.json", "text_config.eos_token_id", "[1,2]", "ask " PICTURE " --prompt a", "eos_token_id",
       1},
      {"clip/shards", "config.json", "text_config", "3", "ask " PICTURE " --prompt a", "text_config", 1},
      {"clip/shards", "config.json", "vision_config_dict", "{\"hidden_size\":20,\"num_attention_heads\":3}",
       "ask " PICTURE " --prompt a", "not a multiple of its 3 attention heads", 1},
      {"clip/shards", "config.json", "architectures", "[\"CLIPTextModel\"]", "ask " PICTURE " --prompt a",
       "architecture \"CLIPTextModel\" is not supported", 1},
      {"clip/shards", "model-00002-of-00004.safetensors", NULL, NULL, "ask " PICTURE " --prompt a",
       "model-00002-of-00004.safetensors", 1},
      {"clip/shards", "model-00002-of-00004.safetensors", NULL, "half", "ask " PICTURE " --prompt a",
       "model-00002-of-00004.safetensors", 1},
      {"clip/shards", "model.safetensors.index.json", "weight_map.logit_scale", NULL, "ask " PICTURE " --prompt a",
       "logit_scale is missing", 1},
      {"clip/zip", "pytorch_model.bin", NULL, "half", "ask " PICTURE " --prompt a", "pytorch_model.bin", 1}};
  TRY(cases);
}

static void tokenizer_files(void **state) {
  (void)state;
  static const damage cases[] = {
      {"llava/first", "tokenizer.json", NULL, "half", "ask " LLAVA, "tokenizer.json: not valid JSON", 1},
      {"llava/first", "tokenizer.json", NULL, NULL, "ask " LLAVA, "tokenizer.json", 1},
      {"llava/first", "tokenizer.json", NULL, "{}", "ask " LLAVA, "\"model\" is missing", 1},
      {"llava/first", "tokenizer.json", "model.type", "\"Unigram\"", "ask " LLAVA, "\"Unigram\"", 1},
      {"llava/first", "tokenizer.json", "model.merges", "[\"x\"]", "ask " LLAVA, "merge 0", 1},
      {"llava/first", "tokenizer.json", "added_tokens", "[{\"content\":\"zz\",\"id\":5000}]",
       "ask " PICTURE " --prompt <image>zz", "5000", 1},
      {"clip/shards", "tokenizer.json", "pre_tokenizer", "{\"type\":\"Whitespace\"}", "ask " PICTURE " --prompt a",
       "\"Whitespace\"", 1},
      {"clip/shards", "tokenizer.json", "normalizer", "{\"type\":\"NFKD\"}", "ask " PICTURE " --prompt a", "\"NFKD\"",
       1},
      {"clip/zip", "tokenizer.json", NULL, "half", "tokens --prompt a", "not valid JSON", 1},
      {"bert/legacy", "vocab.txt", NULL, NULL, "tokens --question a", "vocab.txt", 1},
      {"bert/legacy", "vocab.txt", NULL, "", "tokens --question a", "vocab.txt", 1},
      {"bert/legacy", "vocab.txt", NULL, "a\nb\na\n", "tokens --question a", "vocab.txt", 1},
      {"bert/shards", "tokenizer_config.json", NULL, "half", "tokens --question a", "tokenizer_config.json", 1}};
  TRY(cases);
}

static void preprocessor_files(void **state) {
  (void)state;
  static const damage cases[] = {
      {"clip/shards", "preprocessor_config.json", NULL, "half", "ask " PICTURE " --prompt a",
       "preprocessor_config.json", 1},
      {"clip/shards", "preprocessor_config.json", NULL, NULL, "ask " PICTURE " --prompt a", "preprocessor_config.json",
       1},
      {"clip/shards", "preprocessor_config.json", "crop_size", "26", "ask " PICTURE " --prompt a",
       "the preprocessor makes it 26x26, but config.json says that the model reads 27x27", 1},
      {"clip/shards", "preprocessor_config.json", "do_center_crop", "false", "ask " PICTURE " --prompt a",
       "the model reads 27x27", 1},
      {"clip/shards", "preprocessor_config.json", "image_std", "[0,1,1]", "ask " PICTURE " --prompt a", "image_std", 1},
      {"clip/shards", "preprocessor_config.json", "image_mean", "[0,1]", "ask " PICTURE " --prompt a", "image_mean", 1},
      {"clip/shards", "preprocessor_config.json", "resample", "17", "ask " PICTURE " --prompt a", "resample", 1},
      {"llava/phi3", "preprocessor_config.json", "size", "{\"shortest_edge\":0}", "ask " LLAVA, "size", 1},
      {"llava/phi3", "preprocessor_config.json", "size", "{\"longest_edge\":27}", "ask " LLAVA, "size", 1},
      {"vit/bare", "preprocessor_config.json", "size", "23", "ask " PICTURE, "the preprocessor makes it 23x23", 1}};
  TRY(cases);
}

static void inputs(void **state) {
  (void)state;
#define INPUT(MODEL, ARGS, SAYS, STATUS) \
  { MODEL, NULL, NULL, NULL, ARGS, SAYS, STATUS }
#define DOGS10 " dog dog dog dog dog dog dog dog dog dog"
#define DOGS40 DOGS10 DOGS10 DOGS10 DOGS10
  static const damage cases[] = {
      INPUT("llava/grouped", "ask --question dog", "a picture is missing: --image FILE", 2),
      INPUT("llava/grouped", "ask " PICTURE, "a question is missing: --question TEXT", 2),
      INPUT("llava/grouped", "ask " PICTURE " --prompt dog", "0 places for a picture (<image>)", 2),
      INPUT("llava/grouped", "ask " PICTURE " --prompt '<image> <image> dog'", "2 places for a picture", 2),
      INPUT("llava/grouped", "ask " PICTURE " --question '<image> dog'", "2 places for a picture", 2),
      INPUT("llava/grouped", "ask " PICTURE " --image " DATA("vit/bare/vectors/image1.png") " --prompt '<image> dog'",
            "1 place for a picture (<image>), and there are 2 pictures", 2),
      INPUT("llava/grouped", "ask " PICTURE " --prompt '<image>" DOGS40 DOGS40 DOGS40 "'",
            "language has positions for 128", 1),
      INPUT("llava/grouped", "ask " PICTURE " --question '   '", "is empty", 1),
      INPUT("llava/grouped", "ask --image missing.png --question dog", "missing.png", 1),
      INPUT("llava/grouped", "edit --prompt '<image> dog' --read language.final --save x.safetensors",
            "has a place for a picture, and there is no picture", 2),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero language.2.mlp.out'", "\"2\" is outside 0..1", 1),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero language.0.attn.k#3'", "\"3\" is outside 0..2", 1),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero language.0.attn.q#9'", "\"9\" is outside 0..8", 1),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero projector.mlp.out@9'", "\"9\" is outside 0..8", 1),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero language.0.mlp.out@image[3,0]'", "outside the 3 x 3 patches",
            1),
      INPUT("llava/grouped", "edit " LLAVA " --do 'zero text_encoder.0.mlp.out'", "has no stack \"text_encoder\"", 1),
      INPUT("llava/grouped", "trace " LLAVA " --target id:86", "from 0 to 85", 2),
      INPUT("llava/phi3", "ask " PICTURE " --prompt '<image>" DOGS40 DOGS40 "'", "language has positions for 90", 1),
      INPUT("blip_caption/tied", "ask " PICTURE " --prompt '" DOGS10 DOGS10 DOGS10 "'", "has positions for 24", 1),
      INPUT("blip_itm/zip", "ask " PICTURE " --question '" DOGS40 "'", "has positions for 24", 1),
      INPUT("bert/shards", "edit --question '" DOGS40 "' --read text_encoder.final --save x.safetensors",
            "has positions for 26", 1),
      INPUT("bert/shards", "edit " PICTURE " --question a --read text_encoder.final --save x.safetensors",
            "a bert model reads no picture", 2),
      INPUT("vit/bare", "ask " PICTURE " --prompt a", "a vit model reads no text", 2),
      INPUT("vit/bare", "edit " PICTURE " --do 'zero vision.0.attn.z#7'", "\"7\" is outside 0..6", 1),
      INPUT("vit/bare", "edit " PICTURE " --do 'zero vision.0.cross.z'", "has no site \"cross.z\"", 1),
      INPUT("clip/zip", "edit " PICTURE " --prompt a --do 'zero contrast.text@1'", "\"1\" is outside 0..0", 1),
      INPUT("clip/zip", "edit " PICTURE " --prompt a --do 'replace contrast.text from contrast.image_projection#0'",
            "has no heads", 2),
      INPUT("clip/zip", "ask " PICTURE " --prompt '" DOGS40 "'", "positions for 24", 1)};
  TRY(cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(llava_configurations),
                                     cmocka_unit_test(phi3_configurations),
                                     cmocka_unit_test(classifier_configurations),
                                     cmocka_unit_test(text_configurations),
                                     cmocka_unit_test(tokenizer_files),
                                     cmocka_unit_test(preprocessor_files),
                                     cmocka_unit_test(inputs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
