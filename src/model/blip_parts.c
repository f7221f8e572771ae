/* See model/blip_parts.h. Source: transformers, models/blip/modeling_blip.py and modeling_blip_text.py. */
#include "model/blip_parts.h"

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
                                            FV_T_END};

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
    FV_T_END};

static const fv_template vision_after[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "final", .in = {"resid_pre"}, .weight = "post_layernorm"}, FV_T_END};

const fv_template fv_blip_text_before[] = {
    {.kind = FV_KIND_TOKENS, .out = "_tokens", .weight = "embeddings.word_embeddings", .width = FV_W_D},
    {.kind = FV_KIND_POSITION, .out = "_positions", .in = {"_tokens"}, .weight = "embeddings.position_embeddings"},
    {.kind = FV_KIND_LAYERNORM, .out = "embed", .in = {"_positions"}, .weight = "embeddings.LayerNorm"},
    FV_T_END};

const fv_template fv_blip_lm_head[] = {
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
    FV_T_END};

fv_status fv_blip_vision(const json_t *config, const char *where, fv_description *d, fv_error *err) {
  const json_t *c;
  fv_stack_description *s = &d->stacks[0];
  *s = (fv_stack_description){.name = "vision",
                              .prefix = "vision_model.",
                              .block_prefix = "vision_model.encoder.layers.{}.",
                              .before = vision_before,
                              .block = vision_block,
                              .after = vision_after};
  fv_status st;
  if ((st = fv_json_object(config, "vision_config", where, &c, err)) ||
      (st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &s->D, err)) ||
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

fv_status fv_blip_text(const json_t *config, const char *where, fv_stack_description *s, fv_blip_limits *limits,
                       fv_error *err) {
  const json_t *c;
  *s = (fv_stack_description){.before = fv_blip_text_before};
  fv_status st;
  if ((st = fv_json_object(config, "text_config", where, &c, err)) ||
      (st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", 3072, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 12, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 8, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_json_int(c, "vocab_size", 30524, 1, 1 << 24, where, &s->V, err)) ||
      (st = fv_json_int(c, "max_position_embeddings", 512, 1, 1 << 20, where, &s->limit, err)) ||
      (st = fv_config_eps(c, 1e-12, where, &s->eps, err)) ||
      (st = fv_json_int(c, "bos_token_id", 30522, 0, s->V - 1, where, &limits->bos, err)) ||
      (st = fv_json_int(c, "sep_token_id", 102, 0, s->V - 1, where, &limits->end, err)) ||
      (st = fv_json_int(c, "max_length", 20, 2, 1 << 16, where, &limits->length, err)) ||
      (st = fv_config_act(c, "gelu", where, &s->act, err)))
    return st;
  s->name = "text_config";
  if ((st = fv_config_heads(s, where, err))) return st;
  s->KV = s->H;
  s->Dh = s->D / s->H;
  return FV_OK;
}

void fv_blip_decoder(const fv_stack_description *text, const fv_template *block, fv_stack_description *decoder,
                     fv_stack_description *head) {
  *decoder = *text;
  decoder->name = "text_decoder";
  decoder->prefix = "text_decoder.bert.";
  decoder->block_prefix = "text_decoder.bert.encoder.layer.{}.";
  decoder->block = block;
  decoder->causal = decoder->generates = true;
  *head = (fv_stack_description){.name = "head",
                                 .space = "text_decoder",
                                 .prefix = "text_decoder.cls.predictions.",
                                 .before = fv_blip_lm_head,
                                 .D = text->D,
                                 .V = text->V,
                                 .eps = text->eps,
                                 .act = text->act};
}
