/* LLaVA (llava-hf/llava-1.5-7b-hf, xtuner/llava-phi-3-mini-hf and their relatives).
 *
 * A CLIP vision tower reads the picture; the state before one of its last blocks, usually without the class row, goes
 * through a two-layer projector; its rows take the places of the picture's tokens among the embedded text, and a
 * decoder of the Llama layout (or Phi-3's, with fused matrices) reads them all, causally.
 * Blocks behind the feature layer and the final norm of the vision tower are sites like others; nothing needs them.
 * Sources: transformers, models/llava, models/clip, models/llama, models/phi3 (modeling_*.py, configuration_*.py).
 * Checked by: tests/engine/test_llava.c against vectors made by tools/reference/make_llava.py.
 */
#include <string.h>

#include "model/clip_parts.h"

/* SELECT takes the rows of the picture: all but the class row, or all. */
#define PROJECTOR(SELECT)                                            \
  {                                                                  \
    {.kind = SELECT, .out = "mlp.in", .in = {"vision:features"}},    \
        {.kind = FV_KIND_LINEAR,                                     \
         .out = "mlp.pre",                                           \
         .in = {"mlp.in"},                                           \
         .weight = "linear_1",                                       \
         .width = FV_W_F,                                            \
         .flags = FV_T_MLP_BIAS},                                    \
        {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}}, \
        {.kind = FV_KIND_LINEAR,                                     \
         .out = "mlp.out",                                           \
         .in = {"mlp.post"},                                         \
         .weight = "linear_2",                                       \
         .width = FV_W_D,                                            \
         .flags = FV_T_MLP_BIAS},                                    \
    {                                                                \
      .kind = FV_KIND_END                                            \
    }                                                                \
  }

static const fv_template projector_default[] = PROJECTOR(FV_KIND_DROP);
static const fv_template projector_full[] = PROJECTOR(FV_KIND_COPY);

static const fv_template language_before[] = {
    {.kind = FV_KIND_TOKENS, .out = "_tokens", .weight = "embed_tokens", .width = FV_W_D},
    {.kind = FV_KIND_SPLICE, .out = "embed", .in = {"_tokens", "projector:mlp.out"}},
    {.kind = FV_KIND_END}};

#define A FV_T_ATTN_BIAS
#define M FV_T_MLP_BIAS
/* One block; the projections are six matrices (Llama), or three fused ones (Phi-3). */
#define LANGUAGE_BLOCK(Q, K, V, PARTS3, GATE, UP, PARTS2)                                                      \
  {                                                                                                            \
    {.kind = FV_KIND_RMSNORM, .out = "attn.in", .in = {"resid_pre"}, .weight = "input_layernorm"},             \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "attn.q",                                                                                      \
         .in = {"attn.in"},                                                                                    \
         .weight = "self_attn." Q,                                                                             \
         .width = FV_W_Q,                                                                                      \
         .part = 0,                                                                                            \
         .parts = PARTS3,                                                                                      \
         .flags = A},                                                                                          \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "attn.k",                                                                                      \
         .in = {"attn.in"},                                                                                    \
         .weight = "self_attn." K,                                                                             \
         .width = FV_W_KV,                                                                                     \
         .part = PARTS3 ? 1 : 0,                                                                               \
         .parts = PARTS3,                                                                                      \
         .flags = A},                                                                                          \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "attn.v",                                                                                      \
         .in = {"attn.in"},                                                                                    \
         .weight = "self_attn." V,                                                                             \
         .width = FV_W_KV,                                                                                     \
         .part = PARTS3 ? 2 : 0,                                                                               \
         .parts = PARTS3,                                                                                      \
         .flags = A},                                                                                          \
        {.kind = FV_KIND_ROPE, .out = "attn.rot_q", .in = {"attn.q"}, .width = FV_W_Q},                        \
        {.kind = FV_KIND_ROPE, .out = "attn.rot_k", .in = {"attn.k"}, .width = FV_W_KV},                       \
        {.kind = FV_KIND_ATTEND,                                                                               \
         .out = "attn.z",                                                                                      \
         .in = {"attn.rot_q", "attn.rot_k", "attn.v"},                                                         \
         .width = FV_W_Q,                                                                                      \
         .flags = FV_T_CAUSAL},                                                                                \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "attn.out",                                                                                    \
         .in = {"attn.z"},                                                                                     \
         .weight = "self_attn.o_proj",                                                                         \
         .width = FV_W_D,                                                                                      \
         .flags = A},                                                                                          \
        {.kind = FV_KIND_ADD, .out = "resid_mid", .in = {"resid_pre", "attn.out"}},                            \
        {.kind = FV_KIND_RMSNORM, .out = "mlp.in", .in = {"resid_mid"}, .weight = "post_attention_layernorm"}, \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "mlp.pre",                                                                                     \
         .in = {"mlp.in"},                                                                                     \
         .weight = "mlp." GATE,                                                                                \
         .width = FV_W_F,                                                                                      \
         .part = 0,                                                                                            \
         .parts = PARTS2,                                                                                      \
         .flags = M},                                                                                          \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "mlp.up",                                                                                      \
         .in = {"mlp.in"},                                                                                     \
         .weight = "mlp." UP,                                                                                  \
         .width = FV_W_F,                                                                                      \
         .part = PARTS2 ? 1 : 0,                                                                               \
         .parts = PARTS2,                                                                                      \
         .flags = M},                                                                                          \
        {.kind = FV_KIND_ACT, .out = "_gate", .in = {"mlp.pre"}},                                              \
        {.kind = FV_KIND_MUL, .out = "mlp.post", .in = {"_gate", "mlp.up"}},                                   \
        {.kind = FV_KIND_LINEAR,                                                                               \
         .out = "mlp.out",                                                                                     \
         .in = {"mlp.post"},                                                                                   \
         .weight = "mlp.down_proj",                                                                            \
         .width = FV_W_D,                                                                                      \
         .flags = M},                                                                                          \
        {.kind = FV_KIND_ADD, .out = "resid_post", .in = {"resid_mid", "mlp.out"}}, {                          \
      .kind = FV_KIND_END                                                                                      \
    }                                                                                                          \
  }

static const fv_template llama_block[] = LANGUAGE_BLOCK("q_proj", "k_proj", "v_proj", 0, "gate_proj", "up_proj", 0);
static const fv_template phi3_block[] =
    LANGUAGE_BLOCK("qkv_proj", "qkv_proj", "qkv_proj", 3, "gate_up_proj", "gate_up_proj", 2);

static const fv_template language_after[] = {
    {.kind = FV_KIND_RMSNORM, .out = "final", .in = {"resid_pre"}, .weight = "norm"}, {.kind = FV_KIND_END}};

#define HEAD_TABLE(TIED)       \
  {                            \
    {.kind = FV_KIND_LINEAR,   \
     .out = "logits",          \
     .in = {"language:final"}, \
     .weight = "lm_head",      \
     .width = FV_W_V,          \
     .flags = FV_T_NO_BIAS,    \
     .weight_tied = TIED},     \
    {                          \
      .kind = FV_KIND_END      \
    }                          \
  }
static const fv_template head_alone[] = HEAD_TABLE(NULL);
static const fv_template head_tied[] = HEAD_TABLE("model.language_model.embed_tokens.weight");

static const fv_rename renames[] = {{"model.vision_tower.vision_model.", "vision_tower.vision_model."},
                                    {"model.vision_tower.vision_model.", "model.vision_tower."},
                                    {"model.vision_tower.vision_model.", "vision_tower."},
                                    {"model.multi_modal_projector.", "multi_modal_projector."},
                                    {"model.language_model.", "language_model.model."},
                                    {"lm_head.", "language_model.lm_head."},
                                    {NULL, NULL}};

#define LANGUAGE_ALIASES(PATH)                                                  \
  {PATH "layers.{}", "language", "resid_post", FV_HF},                          \
      {PATH "layers.{}.input_layernorm", "language", "attn.in", FV_HF},         \
      {PATH "layers.{}.self_attn", "language", "attn.out", FV_HF},              \
      {PATH "layers.{}.self_attn.q_proj", "language", "attn.q", FV_HF},         \
      {PATH "layers.{}.self_attn.k_proj", "language", "attn.k", FV_HF},         \
      {PATH "layers.{}.self_attn.v_proj", "language", "attn.v", FV_HF},         \
      {PATH "layers.{}.self_attn.o_proj", "language", "attn.out", FV_HF},       \
      {PATH "layers.{}.post_attention_layernorm", "language", "mlp.in", FV_HF}, \
      {PATH "layers.{}.mlp.gate_proj", "language", "mlp.pre", FV_HF},           \
      {PATH "layers.{}.mlp.up_proj", "language", "mlp.up", FV_HF},              \
      {PATH "layers.{}.mlp.down_proj", "language", "mlp.out", FV_HF},           \
      {PATH "layers.{}.mlp", "language", "mlp.out", FV_HF}, {                   \
    PATH "norm", "language", "final", FV_HF                                     \
  }
static const fv_alias aliases[] = {LANGUAGE_ALIASES("language_model.model."),
                                   LANGUAGE_ALIASES("model.language_model."),
                                   FV_CLIP_VISION_ALIASES("vision_tower.vision_model."),
                                   FV_CLIP_VISION_ALIASES("model.vision_tower.vision_model."),
                                   {"multi_modal_projector", "projector", "mlp.out", FV_HF},
                                   {"multi_modal_projector.linear_1", "projector", "mlp.pre", FV_HF},
                                   {"multi_modal_projector.act", "projector", "mlp.post", FV_HF},
                                   {"multi_modal_projector.linear_2", "projector", "mlp.out", FV_HF},
                                   {"model.multi_modal_projector", "projector", "mlp.out", FV_HF},
                                   {"model.multi_modal_projector.linear_1", "projector", "mlp.pre", FV_HF},
                                   {"model.multi_modal_projector.act", "projector", "mlp.post", FV_HF},
                                   {"model.multi_modal_projector.linear_2", "projector", "mlp.out", FV_HF},
                                   {"language_model.lm_head", "head", "logits", FV_HF},
                                   {"lm_head", "head", "logits", FV_HF},
                                   {"language_model.{}.mlp_block", "language", "mlp.out", "NOTICE"},
                                   {"language_model.{}.attention_block", "language", "attn.z", "NOTICE"},
                                   {"language.{}.block_input", "language", "resid_pre", "pyvene"},
                                   {"language.{}.block_output", "language", "resid_post", "pyvene"},
                                   {"language.{}.mlp_output", "language", "mlp.out", "pyvene"},
                                   {"language.{}.attention_value_output", "language", "attn.z", "pyvene"},
                                   {"language.{}.head_attention_value_output", "language", "attn.z", "pyvene"},
                                   {"language.{}.attention_output", "language", "attn.out", "pyvene"},
                                   {NULL, NULL, NULL, NULL}};

static const fv_prompt_form forms[] = {{"<|user|>", "<|user|>\n", "<image>", "<|end|>\n<|assistant|>\n"},
                                       {NULL, "USER: ", "<image>\n", " ASSISTANT:"},
                                       {NULL, NULL, NULL, NULL}};

enum { VISION, PROJECTOR, LANGUAGE, HEAD, NSTACKS };

/* A configuration without vision_config means the tower of LLaVA-1.5; one with it, CLIP's defaults. */
static const fv_clip_size llava_tower = {.D = 1024, .F = 4096, .layers = 24, .H = 16, .image = 336, .patch = 14};

/* vision_feature_layer: k >= 0 is the state before block k, counted from the end below 0; a list of one is the same. */
static fv_status feature_layer(const json_t *c, const char *where, fv_stack_description *vision, fv_error *err) {
  const json_t *value = json_object_get(c, "vision_feature_layer");
  if (json_is_array(value) && json_array_size(value) != 1)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: vision_feature_layer lists %zu layers; one is supported", where,
                   json_array_size(value));
  if (json_is_array(value)) value = json_array_get(value, 0);
  if (value && !json_is_null(value) && !json_is_integer(value))
    return fv_fail(err, FV_EFORMAT, "%s: vision_feature_layer is not an integer", where);
  int64_t k = json_is_integer(value) ? json_integer_value(value) : -2, states = vision->layers + 1;
  if (k < -states || k >= states)
    return fv_fail(err, FV_EFORMAT, "%s: vision_feature_layer is %lld; a tower of %lld blocks has states %lld to %lld",
                   where, (long long)k, (long long)vision->layers, (long long)-states, (long long)states - 1);
  vision->features = 1 + (k < 0 ? k + states : k);
  return FV_OK;
}

/* rope_parameters (transformers 5), or rope_scaling beside rope_theta and partial_rotary_factor. */
static fv_status rope_config(const json_t *c, const char *where, bool partial, fv_stack_description *s, fv_error *err) {
  const json_t *r = NULL;
  const char *type = NULL;
  double part = 1.0;
  fv_status st = fv_json_object(c, "rope_parameters", where, &r, err);
  if (!st && !r) st = fv_json_object(c, "rope_scaling", where, &r, err);
  if (!st) st = fv_json_string(r, "type", "default", where, &type, err);
  if (!st) st = fv_json_string(r, "rope_type", type, where, &type, err);
  if (!st) st = fv_json_real(c, "rope_theta", 10000.0, where, &s->rope.theta, err);
  if (!st) st = fv_json_real(r, "rope_theta", s->rope.theta, where, &s->rope.theta, err);
  if (!st && partial) st = fv_json_real(c, "partial_rotary_factor", 1.0, where, &part, err);
  if (!st && partial) st = fv_json_real(r, "partial_rotary_factor", part, where, &part, err);
  if (st) return st;
  static const struct {
    const char *name;
    fv_rope_type type;
  } types[] = {{"default", FV_ROPE_DEFAULT}, {"linear", FV_ROPE_LINEAR}, {"llama3", FV_ROPE_LLAMA3}};
  size_t k = 0;
  while (k < 3 && strcmp(types[k].name, type) != 0) k++;
  if (k == 3)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: rope type \"%s\" is not supported; known are default, linear and llama3",
                   where, type);
  s->rope.type = types[k].type;
  s->rope.width = (int64_t)((double)s->Dh * part);
  if (s->rope.width < 2 || s->rope.width % 2 != 0 || s->rope.width > s->Dh || !(s->rope.theta > 0.0))
    return fv_fail(err, FV_EFORMAT,
                   "%s: rotary embedding of %lld channels of %lld with theta %g; expected an even part", where,
                   (long long)s->rope.width, (long long)s->Dh, s->rope.theta);
  if ((st = fv_json_real(r, "factor", 1.0, where, &s->rope.factor, err)) ||
      (st = fv_json_real(r, "low_freq_factor", 1.0, where, &s->rope.low, err)) ||
      (st = fv_json_real(r, "high_freq_factor", 4.0, where, &s->rope.high, err)) ||
      (st = fv_json_int(r, "original_max_position_embeddings", s->limit, 1, 1 << 24, where, &s->rope.trained, err)))
    return st;
  if (!(s->rope.factor > 0.0 && s->rope.low > 0.0 && s->rope.high > s->rope.low))
    return fv_fail(err, FV_EFORMAT,
                   "%s: rope factor %g with frequency factors %g and %g; expected positive ones, in order", where,
                   s->rope.factor, s->rope.low, s->rope.high);
  return FV_OK;
}

static fv_status language_config(const json_t *c, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_stack_description *s = &d->stacks[LANGUAGE];
  const char *type;
  fv_status st = fv_json_string(c, "model_type", "llama", where, &type, err);
  if (st) return st;
  bool phi3 = strcmp(type, "phi3") == 0, attention_bias = false, mlp_bias = false;
  if (!phi3 && strcmp(type, "llama") != 0)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: the language model \"%s\" is not supported; llama and phi3 are", where,
                   type);
  *s = (fv_stack_description){.name = "language",
                              .prefix = "model.language_model.",
                              .block_prefix = "model.language_model.layers.{}.",
                              .before = language_before,
                              .block = phi3 ? phi3_block : llama_block,
                              .after = language_after,
                              .causal = true,
                              .generates = true};
  double eps;
  if ((st = fv_json_int(c, "hidden_size", phi3 ? 3072 : 4096, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", phi3 ? 8192 : 11008, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 32, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 32, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_json_int(c, "num_key_value_heads", s->H, 1, s->H, where, &s->KV, err)) ||
      (st = fv_json_int(c, "vocab_size", phi3 ? 32064 : 32000, 1, 1 << 24, where, &s->V, err)) ||
      (st = fv_json_int(c, "max_position_embeddings", phi3 ? 4096 : 2048, 1, 1 << 24, where, &s->limit, err)) ||
      (st = fv_json_real(c, "rms_norm_eps", phi3 ? 1e-5 : 1e-6, where, &eps, err)) ||
      (st = fv_config_act(c, "silu", where, &s->act, err)) || (st = fv_config_heads(s, where, err)) ||
      (st = fv_json_int(c, "head_dim", s->D / s->H, 1, 1 << 12, where, &s->Dh, err)))
    return st;
  if (s->H % s->KV != 0)
    return fv_fail(err, FV_EFORMAT, "%s: %lld attention heads do not share %lld key heads evenly", where,
                   (long long)s->H, (long long)s->KV);
  /* Llama's class ignores a sliding window, Phi-3's has no biases. */
  if (phi3 && (st = fv_json_int(c, "sliding_window", 0, 0, INT64_MAX / 2, where, &s->window, err))) return st;
  if (!phi3 && ((st = fv_json_bool(c, "attention_bias", false, where, &attention_bias, err)) ||
                (st = fv_json_bool(c, "mlp_bias", false, where, &mlp_bias, err))))
    return st;
  if (!(eps >= 0.0 && eps < 1.0))
    return fv_fail(err, FV_EFORMAT, "%s: rms_norm_eps is %g, expected a number from 0 to 1", where, eps);
  s->eps = (float)eps;
  s->biases = (attention_bias ? FV_T_ATTN_BIAS : 0) | (mlp_bias ? FV_T_MLP_BIAS : 0);
  task->eos[0] = phi3 ? 32000 : 2, task->neos = 1;
  if ((st = fv_config_eos(c, where, task, err))) return st;
  return rope_config(c, where, phi3, s, err);
}

static fv_status projector_config(const json_t *c, const char *where, fv_description *d, fv_error *err) {
  fv_stack_description *s = &d->stacks[PROJECTOR];
  const char *strategy;
  bool bias;
  int64_t side = d->image / d->patch;
  *s = (fv_stack_description){.name = "projector",
                              .prefix = "model.multi_modal_projector.",
                              .before = projector_default,
                              .D = d->stacks[LANGUAGE].D,
                              .F = d->stacks[LANGUAGE].D,
                              .rows = side * side};
  fv_status st = fv_config_act_at(c, "projector_hidden_act", "gelu", where, &s->act, err);
  if (!st) st = fv_json_string(c, "vision_feature_select_strategy", "default", where, &strategy, err);
  if (!st) st = fv_json_bool(c, "multimodal_projector_bias", true, where, &bias, err);
  if (st) return st;
  if (bias) s->biases = FV_T_MLP_BIAS;
  if (strcmp(strategy, "full") == 0)
    s->before = projector_full, s->space = "vision", s->rows = side * side + 1;
  else if (strcmp(strategy, "default") != 0)
    return fv_fail(err, FV_EUNSUPPORTED,
                   "%s: vision_feature_select_strategy \"%s\" is not supported; default and full are", where, strategy);
  return FV_OK;
}

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  const json_t *vision, *text;
  bool tied = false;
  int64_t image = 32000;
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  *task = (fv_task){.question_stack = "language",
                    .answer_stack = "language",
                    .generation_config = true,
                    .forms = forms,
                    .max_new = 200};
  fv_status st;
  if ((st = fv_json_object(config, "vision_config", where, &vision, err)) ||
      (st = fv_json_object(config, "text_config", where, &text, err)) ||
      (st = fv_clip_vision(vision, where, "model.vision_tower.vision_model.",
                           "model.vision_tower.vision_model.encoder.layers.{}.", vision ? &fv_clip_tower : &llava_tower,
                           d, &d->stacks[VISION], err)) ||
      (st = feature_layer(config, where, &d->stacks[VISION], err)) ||
      (st = language_config(text, where, d, task, err)) || (st = projector_config(config, where, d, err)) ||
      (st = fv_config_eos(config, where, task, err)) ||
      (st = fv_json_bool(text, "tie_word_embeddings", false, where, &tied, err)))
    return st;
  if (!tied && (st = fv_json_bool(config, "tie_word_embeddings", false, where, &tied, err))) return st;
  const fv_stack_description *l = &d->stacks[LANGUAGE];
  if ((st = fv_json_int(config, "image_token_id", 32000, 0, INT32_MAX, where, &image, err)) ||
      (st = fv_json_int(config, "image_token_index", image, 0, INT32_MAX, where, &image, err)))
    return st;
  task->splice_id = (int32_t)image;
  d->stacks[HEAD] = (fv_stack_description){
      .name = "head", .space = "language", .prefix = "", .before = tied ? head_tied : head_alone, .D = l->D, .V = l->V};
  return FV_OK;
}

const fv_family fv_family_llava = {"llava", "llava", "LlavaForConditionalGeneration", describe, renames};
