/* BLIP for visual question answering (Salesforce/blip-vqa-base and its relatives).
 *
 * A pre-norm vision transformer reads the picture; a question encoder (BERT blocks, post-norm, bidirectional) attends
 * to its final rows; an answer decoder (the same blocks, causal) attends to the encoder's final rows and ends in BERT's
 * masked-language-model head. Source: transformers, models/blip/modeling_blip.py and modeling_blip_text.py.
 * Checked by: tests/engine/test_blip.c against vectors made by tools/reference/make_blip.py.
 */
#include "model/family.h"

#define T_END \
  { FV_KIND_END, NULL, {NULL}, NULL, FV_W_IN, 0, 0, 0, NULL, NULL }

static const fv_template vision_before[] = {{.kind = FV_KIND_PIXELS, .out = "pixels"},
                                            {.kind = FV_KIND_PATCHES, .out = "_patch_pixels", .in = {"pixels"}},
                                            {.kind = FV_KIND_LINEAR,
                                             .out = "patches",
                                             .in = {"_patch_pixels"},
                                             .weight = "embeddings.patch_embedding",
                                             .width = FV_W_D},
                                            {.kind = FV_KIND_PREPEND,
                                             .out = "_rows",
                                             .in = {"patches"},
                                             .weight = "embeddings.class_embedding",
                                             .flags = FV_T_BARE},
                                            {.kind = FV_KIND_POSITION,
                                             .out = "embed",
                                             .in = {"_rows"},
                                             .weight = "embeddings.position_embedding",
                                             .flags = FV_T_BARE},
                                            T_END};

static const fv_template vision_block[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "attn.in", .in = {"resid_pre"}, .weight = "layer_norm1"},
    {.kind = FV_KIND_LINEAR,
     .out = "attn.q",
     .in = {"attn.in"},
     .weight = "self_attn.qkv",
     .width = FV_W_Q,
     .part = 0,
     .parts = 3},
    {.kind = FV_KIND_LINEAR,
     .out = "attn.k",
     .in = {"attn.in"},
     .weight = "self_attn.qkv",
     .width = FV_W_KV,
     .part = 1,
     .parts = 3},
    {.kind = FV_KIND_LINEAR,
     .out = "attn.v",
     .in = {"attn.in"},
     .weight = "self_attn.qkv",
     .width = FV_W_KV,
     .part = 2,
     .parts = 3},
    {.kind = FV_KIND_ATTEND, .out = "attn.z", .in = {"attn.q", "attn.k", "attn.v"}, .width = FV_W_Q},
    {.kind = FV_KIND_LINEAR, .out = "attn.out", .in = {"attn.z"}, .weight = "self_attn.projection", .width = FV_W_D},
    {.kind = FV_KIND_ADD, .out = "resid_mid", .in = {"resid_pre", "attn.out"}},
    {.kind = FV_KIND_LAYERNORM, .out = "mlp.in", .in = {"resid_mid"}, .weight = "layer_norm2"},
    {.kind = FV_KIND_LINEAR, .out = "mlp.pre", .in = {"mlp.in"}, .weight = "mlp.fc1", .width = FV_W_F},
    {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}},
    {.kind = FV_KIND_LINEAR, .out = "mlp.out", .in = {"mlp.post"}, .weight = "mlp.fc2", .width = FV_W_D},
    {.kind = FV_KIND_ADD, .out = "resid_post", .in = {"resid_mid", "mlp.out"}},
    T_END};

static const fv_template vision_after[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "final", .in = {"resid_pre"}, .weight = "post_layernorm"}, T_END};

static const fv_template text_before[] = {
    {.kind = FV_KIND_TOKENS, .out = "_tokens", .weight = "embeddings.word_embeddings", .width = FV_W_D},
    {.kind = FV_KIND_POSITION, .out = "_positions", .in = {"_tokens"}, .weight = "embeddings.position_embeddings"},
    {.kind = FV_KIND_LAYERNORM, .out = "embed", .in = {"_positions"}, .weight = "embeddings.LayerNorm"},
    T_END};

/* One BERT block with cross-attention to KEYS; post-norm, so each resid_* is a norm's output. */
#define TEXT_BLOCK(KEYS, SELF_FLAGS)                                                                                   \
  {                                                                                                                    \
    {.kind = FV_KIND_COPY, .out = "attn.in", .in = {"resid_pre"}},                                                     \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.q",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.self.query",                                                                             \
         .width = FV_W_Q},                                                                                             \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.k",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.self.key",                                                                               \
         .width = FV_W_KV},                                                                                            \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.v",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.self.value",                                                                             \
         .width = FV_W_KV},                                                                                            \
        {.kind = FV_KIND_ATTEND,                                                                                       \
         .out = "attn.z",                                                                                              \
         .in = {"attn.q", "attn.k", "attn.v"},                                                                         \
         .width = FV_W_Q,                                                                                              \
         .flags = SELF_FLAGS},                                                                                         \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.out",                                                                                            \
         .in = {"attn.z"},                                                                                             \
         .weight = "attention.output.dense",                                                                           \
         .width = FV_W_D},                                                                                             \
        {.kind = FV_KIND_ADD, .out = "_attn_sum", .in = {"attn.out", "resid_pre"}},                                    \
        {.kind = FV_KIND_LAYERNORM, .out = "resid_mid", .in = {"_attn_sum"}, .weight = "attention.output.LayerNorm"},  \
        {.kind = FV_KIND_COPY, .out = "cross.in", .in = {"resid_mid"}},                                                \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "cross.q",                                                                                             \
         .in = {"cross.in"},                                                                                           \
         .weight = "crossattention.self.query",                                                                        \
         .width = FV_W_Q},                                                                                             \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "cross.k",                                                                                             \
         .in = {KEYS},                                                                                                 \
         .weight = "crossattention.self.key",                                                                          \
         .width = FV_W_KV},                                                                                            \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "cross.v",                                                                                             \
         .in = {KEYS},                                                                                                 \
         .weight = "crossattention.self.value",                                                                        \
         .width = FV_W_KV},                                                                                            \
        {.kind = FV_KIND_ATTEND, .out = "cross.z", .in = {"cross.q", "cross.k", "cross.v"}, .width = FV_W_Q},          \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "cross.out",                                                                                           \
         .in = {"cross.z"},                                                                                            \
         .weight = "crossattention.output.dense",                                                                      \
         .width = FV_W_D},                                                                                             \
        {.kind = FV_KIND_ADD, .out = "_cross_sum", .in = {"cross.out", "resid_mid"}},                                  \
        {.kind = FV_KIND_LAYERNORM,                                                                                    \
         .out = "resid_cross",                                                                                         \
         .in = {"_cross_sum"},                                                                                         \
         .weight = "crossattention.output.LayerNorm"},                                                                 \
        {.kind = FV_KIND_COPY, .out = "mlp.in", .in = {"resid_cross"}},                                                \
        {.kind = FV_KIND_LINEAR, .out = "mlp.pre", .in = {"mlp.in"}, .weight = "intermediate.dense", .width = FV_W_F}, \
        {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}},                                                   \
        {.kind = FV_KIND_LINEAR, .out = "mlp.out", .in = {"mlp.post"}, .weight = "output.dense", .width = FV_W_D},     \
        {.kind = FV_KIND_ADD, .out = "_mlp_sum", .in = {"mlp.out", "resid_cross"}},                                    \
        {.kind = FV_KIND_LAYERNORM, .out = "resid_post", .in = {"_mlp_sum"}, .weight = "output.LayerNorm"}, T_END      \
  }

static const fv_template encoder_block[] = TEXT_BLOCK("vision:final", 0);
static const fv_template decoder_block[] = TEXT_BLOCK("text_encoder:final", FV_T_CAUSAL);

static const fv_template head[] = {
    {.kind = FV_KIND_LINEAR,
     .out = "_dense",
     .in = {"text_decoder:final"},
     .weight = "transform.dense",
     .width = FV_W_D},
    {.kind = FV_KIND_ACT, .out = "_gelu", .in = {"_dense"}},
    {.kind = FV_KIND_LAYERNORM, .out = "_norm", .in = {"_gelu"}, .weight = "transform.LayerNorm"},
    {.kind = FV_KIND_LINEAR,
     .out = "logits",
     .in = {"_norm"},
     .weight = "decoder",
     .width = FV_W_V,
     .weight_tied = "text_decoder.bert.embeddings.word_embeddings.weight",
     .bias_tied = "text_decoder.cls.predictions.bias"},
    T_END};

#define HF "transformers"
#define TEXT_ALIASES(STACK, PATH)                                                                                   \
  {PATH "embeddings", STACK, "embed", HF}, {PATH "encoder.layer.{}", STACK, "resid_post", HF},                      \
      {PATH "encoder.layer.{}.attention.self.query", STACK, "attn.q", HF},                                          \
      {PATH "encoder.layer.{}.attention.self.key", STACK, "attn.k", HF},                                            \
      {PATH "encoder.layer.{}.attention.self.value", STACK, "attn.v", HF},                                          \
      {PATH "encoder.layer.{}.attention.self", STACK, "attn.z", HF},                                                \
      {PATH "encoder.layer.{}.attention.output.dense", STACK, "attn.out", HF},                                      \
      {PATH "encoder.layer.{}.attention.output", STACK, "resid_mid", HF},                                           \
      {PATH "encoder.layer.{}.attention", STACK, "resid_mid", HF},                                                  \
      {PATH "encoder.layer.{}.crossattention.self.query", STACK, "cross.q", HF},                                    \
      {PATH "encoder.layer.{}.crossattention.self.key", STACK, "cross.k", HF},                                      \
      {PATH "encoder.layer.{}.crossattention.self.value", STACK, "cross.v", HF},                                    \
      {PATH "encoder.layer.{}.crossattention.self", STACK, "cross.z", HF},                                          \
      {PATH "encoder.layer.{}.crossattention.output.dense", STACK, "cross.out", HF},                                \
      {PATH "encoder.layer.{}.crossattention.output.LayerNorm", STACK, "resid_cross", HF},                          \
      {PATH "encoder.layer.{}.crossattention.output", STACK, "resid_cross", HF},                                    \
      {PATH "encoder.layer.{}.crossattention", STACK, "resid_cross", HF},                                           \
      {PATH "encoder.layer.{}.intermediate.dense", STACK, "mlp.pre", HF},                                           \
      {PATH "encoder.layer.{}.intermediate", STACK, "mlp.post", HF},                                                \
      {PATH "encoder.layer.{}.output.dense", STACK, "mlp.out", HF},                                                 \
      {PATH "encoder.layer.{}.output", STACK, "resid_post", HF},                                                    \
      {STACK ".{}.block_input", STACK, "resid_pre", "pyvene"},                                                      \
      {STACK ".{}.block_output", STACK, "resid_post", "pyvene"},                                                    \
      {STACK ".{}.attention_input", STACK, "attn.in", "pyvene"},                                                    \
      {STACK ".{}.attention_output", STACK, "resid_mid", "pyvene"},                                                 \
      {STACK ".{}.attention_value_output", STACK, "attn.z", "pyvene"},                                              \
      {STACK ".{}.head_attention_value_output", STACK, "attn.z", "pyvene"},                                         \
      {STACK ".{}.mlp_input", STACK, "mlp.in", "pyvene"}, {STACK ".{}.mlp_activation", STACK, "mlp.pre", "pyvene"}, \
      {STACK ".{}.mlp_output", STACK, "resid_post", "pyvene"},                                                      \
      {STACK ".{}.attention_block", STACK, "attn.z", "NOTICE"},                                                     \
      {STACK ".{}.crossattention_block", STACK, "cross.z", "NOTICE"},                                               \
      {STACK ".{}.crossattention_layernorm", STACK, "resid_cross", "NOTICE"}, {                                     \
    STACK ".{}.output", STACK, "resid_post", "NOTICE"                                                               \
  }

static const fv_alias aliases[] = {{"vision_model.embeddings", "vision", "embed", HF},
                                   {"vision_model.embeddings.patch_embedding", "vision", "patches", HF},
                                   {"vision_model.encoder.layers.{}", "vision", "resid_post", HF},
                                   {"vision_model.encoder.layers.{}.layer_norm1", "vision", "attn.in", HF},
                                   {"vision_model.encoder.layers.{}.self_attn", "vision", "attn.out", HF},
                                   {"vision_model.encoder.layers.{}.self_attn.projection", "vision", "attn.out", HF},
                                   {"vision_model.encoder.layers.{}.layer_norm2", "vision", "mlp.in", HF},
                                   {"vision_model.encoder.layers.{}.mlp.fc1", "vision", "mlp.pre", HF},
                                   {"vision_model.encoder.layers.{}.mlp.fc2", "vision", "mlp.out", HF},
                                   {"vision_model.encoder.layers.{}.mlp", "vision", "mlp.out", HF},
                                   {"vision_model.post_layernorm", "vision", "final", HF},
                                   {"vision_model", "vision", "final", HF},
                                   TEXT_ALIASES("text_encoder", "text_encoder."),
                                   {"text_encoder", "text_encoder", "final", HF},
                                   TEXT_ALIASES("text_decoder", "text_decoder.bert."),
                                   {"text_decoder.bert", "text_decoder", "final", HF},
                                   {"text_decoder.cls.predictions.decoder", "head", "logits", HF},
                                   {"text_decoder.cls", "head", "logits", HF},
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, ENCODER, DECODER, HEAD, NSTACKS };

static fv_status vision_config(const json_t *c, const char *where, fv_description *d, fv_error *err) {
  fv_stack_description *s = &d->stacks[VISION];
  *s = (fv_stack_description){.name = "vision",
                              .prefix = "vision_model.",
                              .block_prefix = "vision_model.encoder.layers.{}.",
                              .before = vision_before,
                              .block = vision_block,
                              .after = vision_after};
  fv_status st;
  if ((st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", 3072, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 12, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 12, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_json_int(c, "image_size", 384, 1, 1 << 14, where, &d->image, err)) ||
      (st = fv_json_int(c, "patch_size", 16, 1, 1 << 14, where, &d->patch, err)) ||
      (st = fv_json_int(c, "num_channels", 3, 3, 3, where, &d->channels, err)) ||
      (st = fv_config_eps(c, 1e-5, where, &s->eps, err)) || (st = fv_config_act(c, "gelu", where, &s->act, err)) ||
      (st = fv_config_heads(s, where, err)))
    return st;
  if (d->patch > d->image)
    return fv_fail(err, FV_EFORMAT, "%s: vision patch_size %lld is larger than image_size %lld", where,
                   (long long)d->patch, (long long)d->image);
  int64_t side = d->image / d->patch;
  s->KV = s->H;
  s->Dh = s->D / s->H;
  s->rows = side * side + 1;
  return FV_OK;
}

static fv_status text_config(const json_t *c, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_stack_description *e = &d->stacks[ENCODER], *a = &d->stacks[DECODER], *h = &d->stacks[HEAD];
  *e = (fv_stack_description){.name = "text_encoder",
                              .prefix = "text_encoder.",
                              .block_prefix = "text_encoder.encoder.layer.{}.",
                              .before = text_before,
                              .block = encoder_block};
  int64_t bos, eos, length;
  fv_status st;
  if ((st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &e->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", 3072, 1, 1 << 20, where, &e->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 12, 1, 1024, where, &e->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 8, 1, 1 << 12, where, &e->H, err)) ||
      (st = fv_json_int(c, "vocab_size", 30524, 1, 1 << 24, where, &e->V, err)) ||
      (st = fv_json_int(c, "max_position_embeddings", 512, 1, 1 << 20, where, &e->limit, err)) ||
      (st = fv_config_eps(c, 1e-12, where, &e->eps, err)) ||
      (st = fv_json_int(c, "bos_token_id", 30522, 0, e->V - 1, where, &bos, err)) ||
      (st = fv_json_int(c, "sep_token_id", 102, 0, e->V - 1, where, &eos, err)) ||
      (st = fv_json_int(c, "max_length", 20, 2, 1 << 16, where, &length, err)) ||
      (st = fv_config_act(c, "gelu", where, &e->act, err)) || (st = fv_config_heads(e, where, err)))
    return st;
  e->KV = e->H;
  e->Dh = e->D / e->H;
  *a = *e;
  a->name = "text_decoder";
  a->prefix = "text_decoder.bert.";
  a->block_prefix = "text_decoder.bert.encoder.layer.{}.";
  a->block = decoder_block;
  a->causal = a->generates = true;
  *h = (fv_stack_description){.name = "head",
                              .space = "text_decoder",
                              .prefix = "text_decoder.cls.predictions.",
                              .before = head,
                              .D = e->D,
                              .V = e->V,
                              .eps = e->eps,
                              .act = e->act};
  *task = (fv_task){.question_stack = "text_encoder",
                    .answer_stack = "text_decoder",
                    .start = {(int32_t)bos},
                    .nstart = 1,
                    .eos = {(int32_t)eos},
                    .neos = 1,
                    .max_new = length - 1};
  return FV_OK;
}

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  const json_t *vision, *text;
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  fv_status st;
  if ((st = fv_json_object(config, "vision_config", where, &vision, err)) ||
      (st = fv_json_object(config, "text_config", where, &text, err)) || (st = vision_config(vision, where, d, err)))
    return st;
  return text_config(text, where, d, task, err);
}

const fv_family fv_family_blip_vqa = {"blip_vqa", "blip", "BlipForQuestionAnswering", describe, NULL};
