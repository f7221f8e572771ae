/* Writes a checkpoint folder with the exact shapes of a published model and random weights, for the benchmarks.
 *
 *   make_random llava-1.5-7b DIR     14.1 GB, float16, in three files      (llava-hf/llava-1.5-7b-hf)
 *   make_random llava-small DIR      93 MB: the same, but narrow and shallow, to try the benchmarks with
 *   make_random vit-base DIR         346 MB, float32                       (google/vit-base-patch16-224)
 *   make_random clip-l-336 DIR       1.7 GB, float32                       (openai/clip-vit-large-patch14-336)
 *
 * Weights are uniform with the variance that keeps activations of order one; matrices that write to the residual stream
 * are smaller by the square root of their number. The tokenizers know single characters, so that a text has as many
 * tokens as characters. Needs nothing but the C library; the same numbers everywhere.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_TENSORS = 1024, SHARD_LIMIT_MB = 5000 };

typedef struct tensor {
  char name[128];
  int rank;
  int64_t shape[4];
  double mean, deviation;
  int shard;
} tensor;

typedef struct checkpoint {
  const char *dir;
  int bytes; /* per number: 2 or 4 */
  int n, shards;
  tensor t[MAX_TENSORS];
} checkpoint;

static void die(const char *what, const char *name) {
  fprintf(stderr, "make_random: %s %s: %s\n", what, name, strerror(errno));
  exit(1);
}

static int64_t count(const tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->shape[i];
  return n;
}

/* cols 0: a vector. */
static tensor *add(checkpoint *c, const char *prefix, const char *name, int64_t rows, int64_t cols, double mean,
                   double deviation) {
  tensor *t = &c->t[c->n++];
  if (c->n > MAX_TENSORS) exit(1);
  *t = (tensor){.rank = cols ? 2 : 1, .shape = {rows, cols}, .mean = mean, .deviation = deviation};
  snprintf(t->name, sizeof t->name, "%s%s", prefix, name);
  return t;
}

static void add_linear(checkpoint *c, const char *prefix, const char *name, int64_t rows, int64_t cols, double gain,
                       int bias) {
  char text[64];
  snprintf(text, sizeof text, "%s.weight", name);
  add(c, prefix, text, rows, cols, 0.0, gain / sqrt((double)cols));
  snprintf(text, sizeof text, "%s.bias", name);
  if (bias) add(c, prefix, text, rows, 0, 0.0, 0.02);
}

static void add_norm(checkpoint *c, const char *prefix, const char *name, int64_t width, int bias) {
  char text[64];
  snprintf(text, sizeof text, "%s.weight", name);
  add(c, prefix, text, width, 0, 1.0, 0.1);
  snprintf(text, sizeof text, "%s.bias", name);
  if (bias) add(c, prefix, text, width, 0, 0.0, 0.1);
}

static void add_kernel(checkpoint *c, const char *prefix, const char *name, int64_t width, int64_t patch) {
  tensor *t = add(c, prefix, name, width, 1, 0.0, 1.0 / sqrt(3.0 * (double)(patch * patch)));
  t->rank = 4;
  t->shape[1] = 3, t->shape[2] = t->shape[3] = patch;
}

static void add_clip_blocks(checkpoint *c, const char *prefix, int layers, int64_t D, int64_t F) {
  double out = 1.0 / sqrt(2.0 * layers);
  for (int l = 0; l < layers; l++) {
    char block[64];
    snprintf(block, sizeof block, "%sencoder.layers.%d.", prefix, l);
    add_norm(c, block, "layer_norm1", D, 1);
    add_linear(c, block, "self_attn.q_proj", D, D, 1.0, 1);
    add_linear(c, block, "self_attn.k_proj", D, D, 1.0, 1);
    add_linear(c, block, "self_attn.v_proj", D, D, 1.0, 1);
    add_linear(c, block, "self_attn.out_proj", D, D, out, 1);
    add_norm(c, block, "layer_norm2", D, 1);
    add_linear(c, block, "mlp.fc1", F, D, 1.0, 1);
    add_linear(c, block, "mlp.fc2", D, F, out, 1);
  }
}

static void add_clip_vision(checkpoint *c, const char *prefix, int64_t D, int64_t F, int layers, int64_t side) {
  add(c, prefix, "embeddings.class_embedding", D, 0, 0.0, 1.0);
  add_kernel(c, prefix, "embeddings.patch_embedding.weight", D, 14);
  add(c, prefix, "embeddings.position_embedding.weight", side * side + 1, D, 0.0, 0.5);
  add_norm(c, prefix, "pre_layrnorm", D, 1); /* the name's spelling is the published one */
  add_clip_blocks(c, prefix, layers, D, F);
  add_norm(c, prefix, "post_layernorm", D, 1);
}

/* Sizes of LLaVA's two towers; heads are 128 and 64 wide. */
typedef struct llava_size {
  int64_t D, F, vision_D, vision_F;
  int layers, vision_layers;
} llava_size;
static const llava_size llava_7b = {4096, 11008, 1024, 4096, 32, 24}, llava_small = {512, 1376, 128, 512, 4, 2};

static void llava(checkpoint *c, const llava_size *z) {
  const int64_t D = z->D, F = z->F, V = 32064;
  const int layers = z->layers;
  double out = 1.0 / sqrt(2.0 * layers);
  add_clip_vision(c, "vision_tower.vision_model.", z->vision_D, z->vision_F, z->vision_layers, 24);
  add_linear(c, "multi_modal_projector.", "linear_1", D, z->vision_D, 1.0, 1);
  add_linear(c, "multi_modal_projector.", "linear_2", D, D, 1.0, 1);
  add(c, "language_model.model.", "embed_tokens.weight", V, D, 0.0, 1.0);
  for (int l = 0; l < layers; l++) {
    char block[64];
    snprintf(block, sizeof block, "language_model.model.layers.%d.", l);
    add_norm(c, block, "input_layernorm", D, 0);
    add_linear(c, block, "self_attn.q_proj", D, D, 1.0, 0);
    add_linear(c, block, "self_attn.k_proj", D, D, 1.0, 0);
    add_linear(c, block, "self_attn.v_proj", D, D, 1.0, 0);
    add_linear(c, block, "self_attn.o_proj", D, D, out, 0);
    add_norm(c, block, "post_attention_layernorm", D, 0);
    add_linear(c, block, "mlp.gate_proj", F, D, 1.0, 0);
    add_linear(c, block, "mlp.up_proj", F, D, 1.0, 0);
    add_linear(c, block, "mlp.down_proj", D, F, out, 0);
  }
  add_norm(c, "language_model.model.", "norm", D, 0);
  add_linear(c, "language_model.", "lm_head", V, D, 1.0, 0);
}

static void llava_full(checkpoint *c) { llava(c, &llava_7b); }
static void llava_little(checkpoint *c) { llava(c, &llava_small); }

static void vit(checkpoint *c) {
  const int64_t D = 768, F = 3072;
  const int layers = 12;
  double out = 1.0 / sqrt(2.0 * layers);
  tensor *t = add(c, "vit.", "embeddings.cls_token", 1, 1, 0.0, 1.0);
  t->rank = 3, t->shape[2] = D;
  t = add(c, "vit.", "embeddings.position_embeddings", 1, 197, 0.0, 0.5);
  t->rank = 3, t->shape[2] = D;
  add_kernel(c, "vit.", "embeddings.patch_embeddings.projection.weight", D, 16);
  add(c, "vit.", "embeddings.patch_embeddings.projection.bias", D, 0, 0.0, 0.02);
  for (int l = 0; l < layers; l++) {
    char block[64];
    snprintf(block, sizeof block, "vit.encoder.layer.%d.", l);
    add_norm(c, block, "layernorm_before", D, 1);
    add_linear(c, block, "attention.attention.query", D, D, 1.0, 1);
    add_linear(c, block, "attention.attention.key", D, D, 1.0, 1);
    add_linear(c, block, "attention.attention.value", D, D, 1.0, 1);
    add_linear(c, block, "attention.output.dense", D, D, out, 1);
    add_norm(c, block, "layernorm_after", D, 1);
    add_linear(c, block, "intermediate.dense", F, D, 1.0, 1);
    add_linear(c, block, "output.dense", D, F, out, 1);
  }
  add_norm(c, "vit.", "layernorm", D, 1);
  add_linear(c, "", "classifier", 1000, D, 1.0, 1);
}

static void clip(checkpoint *c) {
  add_clip_vision(c, "vision_model.", 1024, 4096, 24, 24);
  add(c, "text_model.", "embeddings.token_embedding.weight", 49408, 768, 0.0, 1.0);
  add(c, "text_model.", "embeddings.position_embedding.weight", 77, 768, 0.0, 0.5);
  add_clip_blocks(c, "text_model.", 12, 768, 3072);
  add_norm(c, "text_model.", "final_layer_norm", 768, 1);
  add_linear(c, "", "visual_projection", 768, 1024, 1.0, 0);
  add_linear(c, "", "text_projection", 768, 768, 1.0, 0);
  tensor *t = add(c, "", "logit_scale", 1, 0, 2.6592, 0.0);
  t->rank = 0;
}

/* float16 of a small number, cut off. */
static uint16_t half(float x) {
  uint32_t b;
  memcpy(&b, &x, 4);
  int exponent = (int)(b >> 23 & 255) - 112;
  uint32_t sign = b >> 16 & 0x8000u;
  return (uint16_t)(exponent <= 0 ? sign : sign | (uint32_t)exponent << 10 | (b >> 13 & 0x3FFu));
}

static void write_numbers(const checkpoint *c, const tensor *t, uint64_t seed, FILE *f, const char *path) {
  static float wide[65536];
  static uint16_t narrow[65536];
  static char block[1 << 20];
  for (int i = 0; i < 65536; i++) {
    wide[i] = (float)(t->mean + t->deviation * sqrt(3.0) * (i - 32767.5) / 32768.0);
    narrow[i] = half(wide[i]);
  }
  uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;
  int64_t n = count(t);
  for (int64_t at = 0; at < n;) {
    int64_t part = (int64_t)sizeof block / c->bytes;
    if (part > n - at) part = n - at;
    for (int64_t i = 0; i < part; i++) {
      if (i % 4 == 0) s ^= s << 13, s ^= s >> 7, s ^= s << 17;
      uint16_t k = (uint16_t)(s >> 16 * (i % 4));
      if (c->bytes == 2)
        memcpy(block + 2 * i, &narrow[k], 2);
      else
        memcpy(block + 4 * i, &wide[k], 4);
    }
    if (fwrite(block, (size_t)c->bytes, (size_t)part, f) != (size_t)part) die("cannot write", path);
    at += part;
  }
}

static FILE *create(const checkpoint *c, const char *name, char path[4096]) {
  snprintf(path, 4096, "%s/%s", c->dir, name);
  FILE *f = fopen(path, "wb");
  if (!f) die("cannot create", path);
  return f;
}

static void finish(FILE *f, const char *path) {
  if (fclose(f) != 0) die("cannot write", path);
}

static void shard_name(const checkpoint *c, int shard, char name[64]) {
  if (c->shards == 1)
    snprintf(name, 64, "model.safetensors");
  else
    snprintf(name, 64, "model-%05d-of-%05d.safetensors", shard + 1, c->shards);
}

static void write_shard(const checkpoint *c, int shard) {
  char path[4096], name[64], *header;
  size_t size;
  FILE *h = open_memstream(&header, &size);
  if (!h) die("no memory for", "the header");
  int64_t at = 0;
  fprintf(h, "{\"__metadata__\":{\"format\":\"pt\"}");
  for (int i = 0; i < c->n; i++) {
    const tensor *t = &c->t[i];
    if (t->shard != shard) continue;
    int64_t end = at + count(t) * c->bytes;
    fprintf(h, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, c->bytes == 2 ? "F16" : "F32");
    for (int d = 0; d < t->rank; d++) fprintf(h, "%s%lld", d ? "," : "", (long long)t->shape[d]);
    fprintf(h, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)end);
    at = end;
  }
  fputc('}', h);
  while (ftell(h) % 8) fputc(' ', h);
  fclose(h);
  shard_name(c, shard, name);
  FILE *f = create(c, name, path);
  uint64_t n = size;
  if (fwrite(&n, 8, 1, f) != 1 || fwrite(header, 1, size, f) != size) die("cannot write", path);
  for (int i = 0; i < c->n; i++)
    if (c->t[i].shard == shard) write_numbers(c, &c->t[i], (uint64_t)i + 1, f, path);
  finish(f, path);
  free(header);
  fprintf(stderr, "%s\n", path);
}

static void write_weights(checkpoint *c) {
  char path[4096], name[64];
  int64_t used = 0, total = 0;
  for (int i = 0; i < c->n; i++) {
    int64_t bytes = count(&c->t[i]) * c->bytes;
    if (used > 0 && used + bytes > (int64_t)SHARD_LIMIT_MB * 1000000) used = 0, c->shards++;
    used += bytes, total += bytes;
    c->t[i].shard = c->shards;
  }
  c->shards++;
  for (int s = 0; s < c->shards; s++) write_shard(c, s);
  if (c->shards == 1) return;
  FILE *f = create(c, "model.safetensors.index.json", path);
  fprintf(f, "{\"metadata\":{\"total_size\":%lld},\"weight_map\":{", (long long)total);
  for (int i = 0; i < c->n; i++) {
    shard_name(c, c->t[i].shard, name);
    fprintf(f, "%s\"%s\":\"%s\"", i ? ",\n" : "\n", c->t[i].name, name);
  }
  fprintf(f, "}}\n");
  finish(f, path);
}

static void write_text(const checkpoint *c, const char *name, const char *text) {
  char path[4096];
  FILE *f = create(c, name, path);
  fputs(text, f);
  finish(f, path);
}

static void put_character(FILE *f, int code) { fprintf(f, code == '"' || code == '\\' ? "\"\\%c\"" : "\"%c\"", code); }

/* Llama's tokenizer with single characters and bytes: numbered words fill the vocabulary. */
static void write_llama_tokenizer(const checkpoint *c) {
  static const char *const special[] = {"<s>", "</s>", "<image>", "<pad>"};
  static const int ids[] = {1, 2, 32000, 32001};
  char path[4096];
  FILE *f = create(c, "tokenizer.json", path);
  fprintf(f, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
  for (int i = 0; i < 4; i++)
    fprintf(f,
            "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
            "\"normalized\":false,\"special\":true}",
            i ? "," : "", ids[i], special[i]);
  fprintf(f,
          "],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},"
          "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}]},\"pre_tokenizer\":null,"
          "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
          "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\","
          "\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\","
          "\"ids\":[1],\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
          "\"Replace\",\"pattern\":{\"String\":\"\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
          "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},\"model\":{\"type\":\"BPE\","
          "\"dropout\":null,\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
          "\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,\"vocab\":{\"<unk>\":0,\"<s>\":1,"
          "\"</s>\":2");
  int id = 3;
  for (int b = 0; b < 256; b++) fprintf(f, ",\"<0x%02X>\":%d", b, id++);
  fprintf(f, ",\"\u2581\":%d", id++);
  for (int b = 33; b < 127; b++) fputc(',', f), put_character(f, b), fprintf(f, ":%d", id++);
  for (int k = id; k < 32000; k++) fprintf(f, ",\"\u2581word%d\":%d", k, k);
  fprintf(f, "},\"merges\":[]}}\n");
  finish(f, path);
  write_text(c, "tokenizer_config.json",
             "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"pad_token\":\"<pad>\",\"clean_up_tokenization_spaces\":"
             "false,\"model_max_length\":4096,\"padding_side\":\"left\",\"tokenizer_class\":\"LlamaTokenizerFast\"}\n");
}

/* CLIP's with single characters; a character at the end of a word is another one than inside. */
static void write_clip_tokenizer(const checkpoint *c) {
  char path[4096];
  FILE *f = create(c, "tokenizer.json", path);
  fprintf(
      f,
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":49406,\"content\":"
      "\"<|startoftext|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":"
      "true},{\"id\":49407,\"content\":\"<|endoftext|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
      "\"normalized\":false,\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
      "\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},{\"type\":"
      "\"Lowercase\"}]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
      "{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"},\"behavior\":"
      "\"Removed\",\"invert\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
      "\"use_regex\":true}]},\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"<|endoftext|>\",49407],"
      "\"cls\":[\"<|startoftext|>\",49406],\"trim_offsets\":false,\"add_prefix_space\":false},\"decoder\":{\"type\":"
      "\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":"
      "\"BPE\",\"dropout\":null,\"unk_token\":\"<|endoftext|>\",\"continuing_subword_prefix\":\"\","
      "\"end_of_word_suffix\":\"</w>\",\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,"
      "\"vocab\":{");
  int id = 0;
  for (int b = 33; b < 127; b++) {
    fprintf(f, id ? "," : ""), put_character(f, b), fprintf(f, ":%d", id++);
    fprintf(f, b == '"' || b == '\\' ? ",\"\\%c</w>\":%d" : ",\"%c</w>\":%d", b, id++);
  }
  for (; id < 49406; id++) fprintf(f, ",\"word%d</w>\":%d", id, id);
  fprintf(f, ",\"<|startoftext|>\":49406,\"<|endoftext|>\":49407},\"merges\":[]}}\n");
  finish(f, path);
  write_text(c, "tokenizer_config.json",
             "{\"bos_token\":\"<|startoftext|>\",\"eos_token\":\"<|endoftext|>\",\"pad_token\":\"<|endoftext|>\","
             "\"model_max_length\":77,\"tokenizer_class\":\"CLIPTokenizer\"}\n");
}

static const char clip_preprocessor[] =
    "{\"crop_size\":{\"height\":336,\"width\":336},\"do_center_crop\":true,\"do_convert_rgb\":true,\"do_normalize\":"
    "true,"
    "\"do_rescale\":true,\"do_resize\":true,\"image_mean\":[0.48145466,0.4578275,0.40821073],\"image_processor_type\":"
    "\"CLIPImageProcessor\",\"image_std\":[0.26862954,0.26130258,0.27577711],\"resample\":3,\"rescale_factor\":"
    "0.00392156862745098,\"size\":{\"shortest_edge\":336}}\n";

static void write_llava(const checkpoint *c, const llava_size *z) {
  char path[4096];
  FILE *f = create(c, "config.json", path);
  fprintf(
      f,
      "{\"architectures\":[\"LlavaForConditionalGeneration\"],\"ignore_index\":-100,\"image_token_index\":32000,"
      "\"image_seq_length\":576,\"model_type\":\"llava\",\"pad_token_id\":32001,\"projector_hidden_act\":\"gelu\","
      "\"text_config\":{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":%lld,\"intermediate_size\":%lld,"
      "\"num_hidden_layers\":%d,\"num_attention_heads\":%lld,\"num_key_value_heads\":%lld,"
      "\"max_position_embeddings\":4096,\"model_type\":\"llama\",\"rms_norm_eps\":1e-05,\"torch_dtype\":\"float16\","
      "\"vocab_size\":32064},\"tie_word_embeddings\":false,\"torch_dtype\":\"float16\",\"vision_config\":{"
      "\"hidden_size\":%lld,\"image_size\":336,\"intermediate_size\":%lld,\"model_type\":\"clip_vision_model\","
      "\"num_attention_heads\":%lld,\"num_hidden_layers\":%d,\"patch_size\":14,\"projection_dim\":768,\"vocab_size\":"
      "32000},\"vision_feature_layer\":-2,\"vision_feature_select_strategy\":\"default\",\"vocab_size\":32064}\n",
      (long long)z->D, (long long)z->F, z->layers, (long long)z->D / 128, (long long)z->D / 128, (long long)z->vision_D,
      (long long)z->vision_F, (long long)z->vision_D / 64, z->vision_layers);
  finish(f, path);
  write_text(c, "generation_config.json", "{\"bos_token_id\":1,\"eos_token_id\":2,\"pad_token_id\":32001}\n");
  write_text(c, "preprocessor_config.json", clip_preprocessor);
  write_llama_tokenizer(c);
}
static void write_llava_full(const checkpoint *c) { write_llava(c, &llava_7b); }
static void write_llava_little(const checkpoint *c) { write_llava(c, &llava_small); }

static void write_vit(const checkpoint *c) {
  char path[4096];
  FILE *f = create(c, "config.json", path);
  fprintf(
      f,
      "{\"architectures\":[\"ViTForImageClassification\"],\"hidden_act\":\"gelu\",\"hidden_size\":768,\"image_size\":"
      "224,\"intermediate_size\":3072,\"layer_norm_eps\":1e-12,\"model_type\":\"vit\",\"num_attention_heads\":12,"
      "\"num_channels\":3,\"num_hidden_layers\":12,\"patch_size\":16,\"qkv_bias\":true,\"id2label\":{");
  for (int i = 0; i < 1000; i++) fprintf(f, "%s\"%d\":\"class %d\"", i ? "," : "", i, i);
  fprintf(f, "},\"label2id\":{");
  for (int i = 0; i < 1000; i++) fprintf(f, "%s\"class %d\":%d", i ? "," : "", i, i);
  fprintf(f, "}}\n");
  finish(f, path);
  write_text(c, "preprocessor_config.json",
             "{\"do_normalize\":true,\"do_rescale\":true,\"do_resize\":true,\"image_mean\":[0.5,0.5,0.5],"
             "\"image_processor_type\":\"ViTImageProcessor\",\"image_std\":[0.5,0.5,0.5],\"resample\":2,"
             "\"rescale_factor\":0.00392156862745098,\"size\":{\"height\":224,\"width\":224}}\n");
}

static void write_clip(const checkpoint *c) {
  write_text(
      c, "config.json",
      "{\"architectures\":[\"CLIPModel\"],\"logit_scale_init_value\":2.6592,\"model_type\":\"clip\","
      "\"projection_dim\":768,\"text_config\":{\"hidden_size\":768,\"intermediate_size\":3072,\"model_type\":"
      "\"clip_text_model\",\"num_attention_heads\":12,\"num_hidden_layers\":12,\"projection_dim\":768,"
      "\"eos_token_id\":49407,\"bos_token_id\":49406,\"vocab_size\":49408},\"vision_config\":{\"hidden_size\":1024,"
      "\"image_size\":336,\"intermediate_size\":4096,\"model_type\":\"clip_vision_model\",\"num_attention_heads\":"
      "16,\"num_hidden_layers\":24,\"patch_size\":14,\"projection_dim\":768}}\n");
  write_text(c, "preprocessor_config.json", clip_preprocessor);
  write_clip_tokenizer(c);
}

int main(int argc, char **argv) {
  static checkpoint c;
  static const struct {
    const char *name;
    int bytes;
    void (*shapes)(checkpoint *c);
    void (*texts)(const checkpoint *c);
  } models[] = {{"llava-1.5-7b", 2, llava_full, write_llava_full},
                {"llava-small", 2, llava_little, write_llava_little},
                {"vit-base", 4, vit, write_vit},
                {"clip-l-336", 4, clip, write_clip}};
  for (int i = 0; argc == 3 && i < 4; i++) {
    if (strcmp(argv[1], models[i].name) != 0) continue;
    c.dir = argv[2], c.bytes = models[i].bytes;
    if (mkdir(c.dir, 0777) != 0 && errno != EEXIST) die("cannot create", c.dir);
    models[i].shapes(&c);
    models[i].texts(&c);
    write_weights(&c);
    return 0;
  }
  fprintf(stderr, "usage: make_random llava-1.5-7b|llava-small|vit-base|clip-l-336 DIR\n");
  return 2;
}
