#include "support/tiny_blip.h"

#include <ftw.h>
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
#include "model/loaded.h"
#include "support/vectors.h"

static const char *const special[TINY_FIRST_WORD] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
static const char *const words[TINY_WORDS] = {"what", "is",    "the", "color", "of",   "shirt", "cat", "dog", "red",
                                              "blue", "green", "on",  "left",  "how",  "many",  "a",   "b",   "c",
                                              "d",    "sky",   "car", "bus",   "man",  "woman", "?",   "!",   ".",
                                              "##s",  "##ing", "in",  "near",  "tree", "sun",   "sea"};
static const char *const acts[] = {"gelu", "quick_gelu", "silu", "gelu_new", "relu", "tanh"};

const char *tiny_word(int64_t i) { return words[i]; }

int64_t tiny_random(fv_rng *rng, int64_t n) { return (int64_t)(fv_rng_double(rng) * (double)n); }

tiny_shape tiny_shape_random(fv_rng *r) {
  tiny_shape s = {0};
  s.vision_H = 1 + tiny_random(r, 4), s.vision_D = s.vision_H * (2 + tiny_random(r, 24 / s.vision_H - 1));
  s.text_H = 1 + tiny_random(r, 4), s.text_D = s.text_H * (2 + tiny_random(r, 24 / s.text_H - 1));
  if (s.vision_D < 5) s.vision_D += 4 * s.vision_H;
  if (s.text_D < 5) s.text_D += 4 * s.text_H;
  s.vision_F = 5 + tiny_random(r, 26), s.text_F = 5 + tiny_random(r, 26);
  s.vision_L = 1 + tiny_random(r, 3), s.text_L = 1 + tiny_random(r, 3);
  s.side = 1 + tiny_random(r, 4), s.patch = 1 + tiny_random(r, 5);
  s.V = TINY_FIRST_WORD + TINY_WORDS + 1 + tiny_random(r, 5);
  s.positions = 14 + tiny_random(r, 5);
  s.act = (int)tiny_random(r, 6);
  s.tied = tiny_random(r, 2) == 0;
  return s;
}

typedef struct maker {
  tiny_blip *b;
  fv_rng rng;
  double scale;
  size_t room;
} maker;

typedef enum fill { WEIGHT, BIAS, GAIN } fill;

static void add(maker *m, char *name, fill kind, int rank, const int64_t *shape) {
  tiny_blip *b = m->b;
  assert_true(fv_grow(&b->tensors, &m->room, b->ntensors + 1, sizeof *b->tensors));
  fv_named_array *t = &b->tensors[b->ntensors++];
  *t = (fv_named_array){.name = name, .rank = rank};
  int64_t n = 1;
  for (int i = 0; i < rank; i++) t->shape[i] = shape[i], n *= shape[i];
  float *data = fv_alloc((size_t)n, sizeof *data);
  double fan = (double)n / (double)shape[0], std = kind == WEIGHT ? 1.5 / sqrt(fan) : 0.3;
  if (m->scale > 0.0) fv_rng_fill_normal(&m->rng, 0.0, std * m->scale, n, data);
  for (int64_t i = 0; i < n && kind == GAIN; i++) data[i] += 1.0f;
  t->data = data;
}

static void matrix(maker *m, const char *prefix, const char *name, int64_t N, int64_t K) {
  add(m, fv_format("%s%s.weight", prefix, name), WEIGHT, 2, (int64_t[]){N, K});
  add(m, fv_format("%s%s.bias", prefix, name), BIAS, 1, (int64_t[]){N});
}

static void norm(maker *m, const char *prefix, const char *name, int64_t D) {
  add(m, fv_format("%s%s.weight", prefix, name), GAIN, 1, (int64_t[]){D});
  add(m, fv_format("%s%s.bias", prefix, name), BIAS, 1, (int64_t[]){D});
}

static void vision_tensors(maker *m, const tiny_shape *s) {
  int64_t D = s->vision_D;
  char prefix[64];
  add(m, fv_strdup("vision_model.embeddings.class_embedding"), WEIGHT, 3, (int64_t[]){1, 1, D});
  add(m, fv_strdup("vision_model.embeddings.position_embedding"), WEIGHT, 3, (int64_t[]){1, s->side * s->side + 1, D});
  add(m, fv_strdup("vision_model.embeddings.patch_embedding.weight"), WEIGHT, 4, (int64_t[]){D, 3, s->patch, s->patch});
  add(m, fv_strdup("vision_model.embeddings.patch_embedding.bias"), BIAS, 1, (int64_t[]){D});
  for (int64_t l = 0; l < s->vision_L; l++) {
    snprintf(prefix, sizeof prefix, "vision_model.encoder.layers.%d.", (int)l);
    norm(m, prefix, "layer_norm1", D);
    matrix(m, prefix, "self_attn.qkv", 3 * D, D);
    matrix(m, prefix, "self_attn.projection", D, D);
    norm(m, prefix, "layer_norm2", D);
    matrix(m, prefix, "mlp.fc1", s->vision_F, D);
    matrix(m, prefix, "mlp.fc2", D, s->vision_F);
  }
  norm(m, "vision_model.", "post_layernorm", D);
}

static void text_tensors(maker *m, const tiny_shape *s, const char *stack, int64_t keys_D) {
  int64_t D = s->text_D;
  char prefix[96];
  snprintf(prefix, sizeof prefix, "%sembeddings.", stack);
  add(m, fv_format("%sword_embeddings.weight", prefix), WEIGHT, 2, (int64_t[]){s->V, D});
  add(m, fv_format("%sposition_embeddings.weight", prefix), WEIGHT, 2, (int64_t[]){s->positions, D});
  norm(m, prefix, "LayerNorm", D);
  for (int64_t l = 0; l < s->text_L; l++) {
    snprintf(prefix, sizeof prefix, "%sencoder.layer.%d.", stack, (int)l);
    matrix(m, prefix, "attention.self.query", D, D);
    matrix(m, prefix, "attention.self.key", D, D);
    matrix(m, prefix, "attention.self.value", D, D);
    matrix(m, prefix, "attention.output.dense", D, D);
    norm(m, prefix, "attention.output.LayerNorm", D);
    matrix(m, prefix, "crossattention.self.query", D, D);
    matrix(m, prefix, "crossattention.self.key", D, keys_D);
    matrix(m, prefix, "crossattention.self.value", D, keys_D);
    matrix(m, prefix, "crossattention.output.dense", D, D);
    norm(m, prefix, "crossattention.output.LayerNorm", D);
    matrix(m, prefix, "intermediate.dense", s->text_F, D);
    matrix(m, prefix, "output.dense", D, s->text_F);
    norm(m, prefix, "output.LayerNorm", D);
  }
}

void tiny_blip_new(const tiny_shape *s, uint64_t seed, double scale, tiny_blip *b) {
  *b = (tiny_blip){.shape = *s};
  maker m = {.b = b, .scale = scale};
  fv_rng_torch(&m.rng, (int64_t)seed);
  vision_tensors(&m, s);
  text_tensors(&m, s, "text_encoder.", s->vision_D);
  text_tensors(&m, s, "text_decoder.bert.", s->text_D);
  matrix(&m, "text_decoder.cls.predictions.", "transform.dense", s->text_D, s->text_D);
  norm(&m, "text_decoder.cls.predictions.", "transform.LayerNorm", s->text_D);
  add(&m, fv_strdup("text_decoder.cls.predictions.bias"), BIAS, 1, (int64_t[]){s->V});
  if (!s->tied) matrix(&m, "text_decoder.cls.predictions.", "decoder", s->V, s->text_D);
  b->config = json_pack(
      "{s:s, s:[s], s:{s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:f}, s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:f}}", "model_type",
      "blip", "architectures", "BlipForQuestionAnswering", "vision_config", "hidden_size", (json_int_t)s->vision_D,
      "num_attention_heads", (json_int_t)s->vision_H, "intermediate_size", (json_int_t)s->vision_F, "num_hidden_layers",
      (json_int_t)s->vision_L, "image_size", (json_int_t)(s->side * s->patch), "patch_size", (json_int_t)s->patch,
      "hidden_act", acts[s->act], "layer_norm_eps", 1e-5, "text_config", "hidden_size", (json_int_t)s->text_D,
      "num_attention_heads", (json_int_t)s->text_H, "intermediate_size", (json_int_t)s->text_F, "num_hidden_layers",
      (json_int_t)s->text_L, "vocab_size", (json_int_t)s->V, "max_position_embeddings", (json_int_t)s->positions,
      "bos_token_id", (json_int_t)(s->V - 1), "sep_token_id", (json_int_t)TINY_SEP, "hidden_act", acts[s->act],
      "layer_norm_eps", 1e-12);
  b->preprocess =
      json_pack("{s:s, s:{s:I,s:I}, s:i, s:[f,f,f], s:[f,f,f]}", "image_processor_type", "BlipImageProcessor", "size",
                "height", (json_int_t)(s->side * s->patch), "width", (json_int_t)(s->side * s->patch), "resample", 3,
                "image_mean", 0.48, 0.46, 0.41, "image_std", 0.27, 0.26, 0.28);
  assert_non_null(b->config);
  assert_non_null(b->preprocess);
}

fv_named_array *tiny_array(const tiny_blip *b, const char *name) {
  for (size_t i = 0; i < b->ntensors; i++)
    if (strcmp(b->tensors[i].name, name) == 0) return &b->tensors[i];
  fail_msg("the tiny model has no tensor %s", name);
  return NULL;
}

float *tiny_tensor(const tiny_blip *b, const char *name) { return (float *)(uintptr_t)tiny_array(b, name)->data; }

void tiny_drop(tiny_blip *b, const char *name) {
  fv_named_array *t = tiny_array(b, name);
  free((void *)(uintptr_t)t->name), free((void *)(uintptr_t)t->data);
  *t = b->tensors[--b->ntensors];
}

static void write_text(const tiny_blip *b, const char *name, const char *text, size_t n) {
  char *path = fv_path_join(b->dir, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  free(path);
}

static void write_json(const tiny_blip *b, const char *name, const json_t *value) {
  char *text = json_dumps(value, JSON_INDENT(1));
  write_text(b, name, text, strlen(text));
  free(text);
}

static void write_vocab(const tiny_blip *b) {
  char text[1024] = "", *at = text;
  for (int i = 0; i < TINY_FIRST_WORD; i++) at += sprintf(at, "%s\n", special[i]);
  for (int i = 0; i < TINY_WORDS; i++) at += sprintf(at, "%s\n", words[i]);
  write_text(b, "vocab.txt", text, strlen(text));
}

/* Pictures of random colours, smaller and larger than what the model reads. */
static void write_images(tiny_blip *b) {
  fv_rng rng;
  fv_rng_torch(&rng, 77);
  for (int i = 0; i < TINY_IMAGES; i++) {
    char name[32], *data;
    int w = 3 + 7 * i, h = 5 + 3 * i, head;
    data = malloc((size_t)(64 + w * h * 3));
    head = sprintf(data, "P6\n%d %d\n255\n", w, h);
    for (int k = 0; k < w * h * 3; k++) data[head + k] = (char)tiny_random(&rng, 256);
    snprintf(name, sizeof name, "image%d.ppm", i);
    if (!b->images[i]) b->images[i] = fv_path_join(b->dir, name);
    write_text(b, name, data, (size_t)(head + w * h * 3));
    free(data);
  }
}

void tiny_blip_save(tiny_blip *b) {
  if (!b->dir) {
    char template[] = "tiny-blip-XXXXXX";
    assert_non_null(mkdtemp(template));
    b->dir = fv_strdup(template);
  }
  char *path = fv_path_join(b->dir, "model.safetensors");
  OK(fv_safetensors_write(path, b->ntensors, b->tensors, NULL, ERR));
  free(path);
  write_json(b, "config.json", b->config);
  write_json(b, "preprocessor_config.json", b->preprocess);
  if (b->broken_vocab)
    write_text(b, "vocab.txt", b->broken_vocab, strlen(b->broken_vocab));
  else if (!b->no_vocab)
    write_vocab(b);
  write_images(b);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
  (void)st, (void)kind, (void)at;
  return remove(path);
}

void tiny_blip_release(tiny_blip *b) {
  for (size_t i = 0; i < b->ntensors; i++)
    free((void *)(uintptr_t)b->tensors[i].name), free((void *)(uintptr_t)b->tensors[i].data);
  for (int i = 0; i < TINY_IMAGES; i++) free(b->images[i]);
  free(b->tensors);
  json_decref(b->config), json_decref(b->preprocess);
  if (b->dir) nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  free(b->dir);
  *b = (tiny_blip){0};
}

char *tiny_question(fv_rng *rng, int64_t n) {
  char text[256] = "", *at = text;
  for (int64_t i = 0; i < n; i++) {
    const char *word = words[tiny_random(rng, TINY_WORDS)];
    bool tail = word[0] == '#';
    at += sprintf(at, "%s%s", i && !tail ? " " : "", i == 0 && tail ? "sea" : tail ? word + 2 : word);
  }
  return fv_strdup(text);
}

fv_input *tiny_input(const fv_model *m, const tiny_blip *b, int image, const char *question, const int32_t *prompt,
                     int64_t nprompt) {
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = image < 0 ? NULL : b->images[image], o.question = question;
  fv_input *in = NULL;
  OK(fv_input_new(m, &o, &in, ERR));
  fv_text *t = &in->texts[m->answer_space];
  if (nprompt == 0 || t->count == 0) return in;
  int32_t *ids = fv_alloc((size_t)(1 + nprompt), sizeof *ids);
  ids[0] = t->ids[0];
  memcpy(ids + 1, prompt, (size_t)nprompt * sizeof *ids);
  free(t->ids);
  t->ids = ids, t->count = 1 + nprompt;
  return in;
}
