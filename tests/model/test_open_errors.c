/* Folders that are not a model, and inputs that are not for this model: the status, and a sentence that says which
 * file, what was found and what was expected. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/files.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

static const tiny_shape shape = {.vision_D = 6,
                                 .vision_H = 3,
                                 .vision_F = 7,
                                 .vision_L = 2,
                                 .side = 2,
                                 .patch = 3,
                                 .text_D = 8,
                                 .text_H = 2,
                                 .text_F = 9,
                                 .text_L = 2,
                                 .V = 41,
                                 .positions = 9};

static void says(fv_status st, const fv_error *err, fv_status expected, const char *const *words, const char *what) {
  bool all = st == expected;
  for (int i = 0; words[i]; i++) all &= strstr(err->text, words[i]) != NULL;
  if (all) return;
  for (int i = 0; words[i]; i++) print_error("  expected the words \"%s\"\n", words[i]);
  fail_msg("%s: status %d (expected %d): %s", what, st, expected, err->text);
}

/* Opens the folder, reads one logits row, and expects the error at whichever comes first. */
static void fails(tiny_blip *b, fv_status expected, const char *const *words, const char *what) {
  tiny_blip_save(b);
  fv_model *m = NULL;
  fv_error err = {0};
  fv_status st = fv_model_open(b->dir, &(fv_model_options){.threads = 1}, &m, &err);
  if (!st) {
    fv_input *in = NULL;
    fv_wave *w = NULL;
    fv_input_options o;
    int run;
    fv_input_defaults(&o);
    o.image = b->images[0], o.question = "what color is the sky ?";
    st = fv_input_new(m, &o, &in, &err);
    if (!st) {
      OK(fv_wave_new(m, NULL, &w, ERR));
      OK(fv_wave_run(w, -1, in, &run, ERR));
      OK(fv_wave_readout(w, run, NULL, NULL, ERR));
      st = fv_wave_compute(w, NULL, &err);
      if (st) { /* a second try meets the same weight, and leaks nothing */
        fv_error again = {0};
        assert_int_equal(fv_run_full(w, run, NULL, NULL, &again), st);
      }
    }
    fv_wave_free(w);
    fv_input_free(in);
  }
  fv_model_close(m);
  says(st, &err, expected, words, what);
  tiny_blip_release(b);
}

#define WORDS(...) \
  (const char *const[]) { __VA_ARGS__, NULL }

static void set(tiny_blip *b, const char *part, const char *key, json_t *value) {
  json_object_set_new(part ? json_object_get(b->config, part) : b->config, key, value);
}

static void configs_that_contradict_the_weights(void **state) {
  (void)state;
  static const struct {
    const char *part, *key;
    int value;
    const char *tensor, *found, *expected;
  } cases[] = {
      {"text_config", "hidden_size", 10, "text_encoder.", "8]", "10]"},
      {"text_config", "vocab_size", 43, "word_embeddings", "[41,8]", "[43,8]"},
      {"text_config", "max_position_embeddings", 12, "position_embeddings", "[9,8]", "[12,8]"},
      {"text_config", "intermediate_size", 11, "intermediate.dense", "[9,8]", "[11,8]"},
      {"text_config", "num_hidden_layers", 3, "layer.2.", "missing", "blip_vqa"},
      {"vision_config", "hidden_size", 9, "vision_model.", "[6", "[9"},
      {"vision_config", "intermediate_size", 8, "mlp.fc1", "[7,6]", "[8,6]"},
      {"vision_config", "num_hidden_layers", 4, "layers.2.", "missing", "blip_vqa"},
      {"vision_config", "image_size", 9, "position_embedding", "[1,5,6]", "[10,6]"},
      {"vision_config", "patch_size", 2, "patch_embedding", "[6,3,3,3]", "[6,12]"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tiny_blip b;
    tiny_blip_new(&shape, 1, 1.0, &b);
    set(&b, cases[i].part, cases[i].key, json_integer(cases[i].value));
    fails(&b, strcmp(cases[i].found, "missing") == 0 ? FV_ENOTFOUND : FV_ESHAPE,
          WORDS("model.safetensors", cases[i].tensor, cases[i].found, cases[i].expected, "config.json"), cases[i].key);
  }
}

static void configs_that_make_no_sense(void **state) {
  (void)state;
  static const struct {
    const char *part, *key, *json;
    fv_status status;
    const char *found;
  } cases[] = {
      {NULL, "model_type", "\"roberta\"", FV_EUNSUPPORTED, "roberta"},
      {NULL, "model_type", "null", FV_EUNSUPPORTED, "absent"},
      {NULL, "model_type", "7", FV_EFORMAT, "model_type"},
      {NULL, "architectures", "[\"BlipModel\"]", FV_EUNSUPPORTED, "BlipForConditionalGeneration"},
      {NULL, "text_config", "[]", FV_EFORMAT, "text_config"},
      {"text_config", "num_attention_heads", "3", FV_EFORMAT, "3 attention heads"},
      {"text_config", "num_attention_heads", "0", FV_EFORMAT, "num_attention_heads"},
      {"text_config", "hidden_size", "-8", FV_EFORMAT, "hidden_size"},
      {"text_config", "hidden_size", "8.5", FV_EFORMAT, "hidden_size"},
      {"text_config", "hidden_size", "\"8\"", FV_EFORMAT, "hidden_size"},
      {"text_config", "bos_token_id", "41", FV_EFORMAT, "bos_token_id"},
      {"text_config", "layer_norm_eps", "-1e-5", FV_EFORMAT, "layer_norm_eps"},
      {"text_config", "layer_norm_eps", "1e300", FV_EFORMAT, "layer_norm_eps"},
      {"text_config", "hidden_act", "\"softplus\"", FV_EUNSUPPORTED, "softplus"},
      {"vision_config", "layer_norm_eps", "-1", FV_EFORMAT, "layer_norm_eps"},
      {"vision_config", "patch_size", "7", FV_EFORMAT, "patch_size"},
      {"vision_config", "num_channels", "4", FV_EFORMAT, "num_channels"},
      {"vision_config", "num_attention_heads", "4", FV_EFORMAT, "4 attention heads"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tiny_blip b;
    tiny_blip_new(&shape, 1, 1.0, &b);
    set(&b, cases[i].part, cases[i].key, json_loads(cases[i].json, JSON_DECODE_ANY, NULL));
    fails(&b, cases[i].status, WORDS("config.json", cases[i].found), cases[i].key);
  }
}

static void missing_tensors_are_named(void **state) {
  (void)state;
  static const char *const names[] = {
      "vision_model.embeddings.class_embedding", "vision_model.encoder.layers.1.self_attn.qkv.bias",
      "text_encoder.encoder.layer.0.crossattention.self.value.weight", "text_decoder.bert.embeddings.LayerNorm.weight",
      "text_decoder.cls.predictions.transform.dense.weight"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tiny_blip b;
    tiny_blip_new(&shape, 1, 1.0, &b);
    tiny_drop(&b, names[i]);
    fails(&b, FV_ENOTFOUND, WORDS("model.safetensors", names[i], "missing"), names[i]);
  }
}

static void weights_that_are_not_finite_are_named(void **state) {
  (void)state;
  static const char *const names[] = {"vision_model.embeddings.class_embedding",
                                      "vision_model.embeddings.position_embedding",
                                      "vision_model.encoder.layers.1.self_attn.qkv.weight",
                                      "vision_model.encoder.layers.0.mlp.fc1.bias",
                                      "vision_model.post_layernorm.weight",
                                      "text_encoder.encoder.layer.1.output.LayerNorm.bias",
                                      "text_encoder.embeddings.word_embeddings.weight",
                                      "text_decoder.bert.embeddings.position_embeddings.weight",
                                      "text_decoder.cls.predictions.decoder.bias"};
  static const float values[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tiny_blip b;
    tiny_blip_new(&shape, 1, 1.0, &b);
    /* row 2, where there are rows: the class token, which every question has */
    int64_t at = strstr(names[i], "word_embeddings") ? 2 * shape.text_D : 1;
    tiny_tensor(&b, names[i])[at] = values[i % 3];
    fails(&b, FV_ENONFINITE, WORDS("model.safetensors", names[i]), names[i]);
  }
}

static void folders_that_lack_files(void **state) {
  (void)state;
  static const char *const files[] = {"config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    tiny_blip b;
    tiny_blip_new(&shape, 1, 1.0, &b);
    tiny_blip_save(&b);
    char *path = fv_path_join(b.dir, files[i]);
    assert_int_equal(remove(path), 0);
    free(path);
    fv_model *m = NULL;
    fv_error err = {0};
    fv_status st = fv_model_open(b.dir, NULL, &m, &err);
    says(st, &err, FV_ENOTFOUND, WORDS(b.dir), files[i]);
    tiny_blip_release(&b);
  }
  fv_model *m = NULL;
  fv_error err = {0};
  says(fv_model_open("no-such-folder", NULL, &m, &err), &err, FV_ENOTFOUND, WORDS("no-such-folder"), "absent folder");
  says(fv_model_open("no-such-folder", &(fv_model_options){.threads = -1}, &m, &err), &err, FV_EUSAGE,
       WORDS("threads", "-1"), "threads");
}

static void a_vocabulary_of_another_model(void **state) {
  (void)state;
  tiny_blip b;
  tiny_blip_new(&shape, 1, 1.0, &b);
  char *text = malloc(4096), *at = text + sprintf(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
  for (int i = 0; i < 60; i++) at += sprintf(at, "unused%d\n", i);
  sprintf(at, "what\ncolor\nis\nthe\nsky\n?\n");
  b.broken_vocab = text;
  fails(&b, FV_ESHAPE, WORDS("token id 65", "41 rows", "tokenizer"), "vocabulary");
  free(text);
}

static void a_preprocessor_of_another_size(void **state) {
  (void)state;
  tiny_blip b;
  tiny_blip_new(&shape, 1, 1.0, &b);
  json_object_set_new(json_object_get(b.preprocess, "size"), "height", json_integer(8));
  fails(&b, FV_ESHAPE, WORDS("image0.ppm", "6x8", "6x6", "config.json"), "size");
}

static void inputs_that_are_not_for_the_model(void **state) {
  (void)state;
  tiny_blip b;
  tiny_blip_new(&shape, 1, 1.0, &b);
  tiny_blip_save(&b);
  fv_model *m;
  OK(fv_model_open(b.dir, NULL, &m, ERR));
  const int64_t outside[] = {0, 0, 2, 1}, reversed[] = {1, 0, 0, 1}, inside[] = {0, 0, 1, 0};
  const struct {
    fv_input_options o;
    fv_status status;
    const char *words;
  } cases[] = {
      {{.question = ""}, FV_EFORMAT, "empty"},
      {{.question = " \t\n"}, FV_EFORMAT, "empty"},
      {{.question = "what \xff is"}, FV_EFORMAT, "byte 5"},
      {{.question = "what \xc3"}, FV_EFORMAT, "UTF-8"},
      {{.question = "what is the color of the sky near the sea"}, FV_ESHAPE, "positions for 9"},
      {{.question = "what", .prompt = "what"}, FV_EUSAGE, "exclude"},
      {{.image = "absent.ppm"}, FV_ENOTFOUND, "absent.ppm"},
      {{.image = b.dir}, FV_EIO, b.dir},
      {{.image = b.images[0], .mask = outside}, FV_EUSAGE, "mask"},
      {{.image = b.images[0], .mask = reversed}, FV_EUSAGE, "mask"},
      {{.image = b.images[0], .blur = -1.0}, FV_EUSAGE, "blur"},
      {{.image = b.images[0], .blur = NAN}, FV_EUSAGE, "blur"},
      {{.image = b.images[0], .mask = inside, .question = "what is the color of the ?"}, FV_OK, ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_input *in = NULL;
    fv_error err = {0};
    fv_status st = fv_input_new(m, &cases[i].o, &in, &err);
    says(st, &err, cases[i].status, WORDS(cases[i].words), cases[i].words);
    fv_input_free(in);
  }
  fv_model_close(m);
  tiny_blip_release(&b);
}

static void surplus_tensors_are_counted(void **state) {
  (void)state;
  tiny_blip b;
  tiny_blip_new(&shape, 1, 1.0, &b);
  set(&b, "text_config", "num_hidden_layers", json_integer(1));
  tiny_blip_save(&b);
  fv_model *m;
  OK(fv_model_open(b.dir, NULL, &m, ERR));
  size_t unused = 0;
  for (size_t i = 0; i < fv_model_tensors(m); i++) {
    fv_tensor_info t = fv_model_tensor(m, i);
    bool surplus = strstr(t.name, ".layer.1.") != NULL;
    if (surplus == t.used) fail_msg("%s: used %d", t.name, t.used);
    unused += surplus;
  }
  assert_int_equal(unused, 2 * 26);
  assert_int_equal(fv_model_unused(m), unused);
  fv_model_close(m);
  tiny_blip_release(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(configs_that_contradict_the_weights),
                                     cmocka_unit_test(configs_that_make_no_sense),
                                     cmocka_unit_test(missing_tensors_are_named),
                                     cmocka_unit_test(weights_that_are_not_finite_are_named),
                                     cmocka_unit_test(folders_that_lack_files),
                                     cmocka_unit_test(a_vocabulary_of_another_model),
                                     cmocka_unit_test(a_preprocessor_of_another_size),
                                     cmocka_unit_test(inputs_that_are_not_for_the_model),
                                     cmocka_unit_test(surplus_tensors_are_counted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
