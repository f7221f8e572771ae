/* What the families with CLIP towers share: the transformer block, the vision tower, and their configuration.
 *
 * A tower is pre-norm with separate projections; the text tower's attention is causal. LLaVA's vision tower and both of
 * CLIP's are made of these. Source: transformers, models/clip/modeling_clip.py.
 */
#ifndef FOVEA_MODEL_CLIP_PARTS_H
#define FOVEA_MODEL_CLIP_PARTS_H

#include "model/bert_block.h"
#include "model/family.h"

/* FLAGS: FV_T_CAUSAL or 0. */
#define FV_CLIP_BLOCK(FLAGS)                                                                                          \
  {                                                                                                                   \
    {.kind = FV_KIND_LAYERNORM, .out = "attn.in", .in = {"resid_pre"}, .weight = "layer_norm1"},                      \
        {.kind = FV_KIND_LINEAR, .out = "attn.q", .in = {"attn.in"}, .weight = "self_attn.q_proj", .width = FV_W_Q},  \
        {.kind = FV_KIND_LINEAR, .out = "attn.k", .in = {"attn.in"}, .weight = "self_attn.k_proj", .width = FV_W_KV}, \
        {.kind = FV_KIND_LINEAR, .out = "attn.v", .in = {"attn.in"}, .weight = "self_attn.v_proj", .width = FV_W_KV}, \
        {.kind = FV_KIND_ATTEND,                                                                                      \
         .out = "attn.z",                                                                                             \
         .in = {"attn.q", "attn.k", "attn.v"},                                                                        \
         .width = FV_W_Q,                                                                                             \
         .flags = FLAGS},                                                                                             \
        {.kind = FV_KIND_LINEAR,                                                                                      \
         .out = "attn.out",                                                                                           \
         .in = {"attn.z"},                                                                                            \
         .weight = "self_attn.out_proj",                                                                              \
         .width = FV_W_D},                                                                                            \
        {.kind = FV_KIND_ADD, .out = "resid_mid", .in = {"resid_pre", "attn.out"}},                                   \
        {.kind = FV_KIND_LAYERNORM, .out = "mlp.in", .in = {"resid_mid"}, .weight = "layer_norm2"},                   \
        {.kind = FV_KIND_LINEAR, .out = "mlp.pre", .in = {"mlp.in"}, .weight = "mlp.fc1", .width = FV_W_F},           \
        {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}},                                                  \
        {.kind = FV_KIND_LINEAR, .out = "mlp.out", .in = {"mlp.post"}, .weight = "mlp.fc2", .width = FV_W_D},         \
        {.kind = FV_KIND_ADD, .out = "resid_post", .in = {"resid_mid", "mlp.out"}}, FV_T_END                          \
  }

/* What absent keys of a tower's configuration mean. */
typedef struct fv_clip_size {
  int64_t D, F, layers, H, image, patch; /* of a text tower the last two are 0 */
} fv_clip_size;
extern const fv_clip_size fv_clip_tower; /* CLIPVisionConfig's */

/* The sizes that both kinds of tower have; names, prefixes and tables are the caller's. */
fv_status fv_clip_sizes(const json_t *config, const char *where, const fv_clip_size *absent, fv_stack_description *s,
                        fv_error *err);
/* Fills the vision stack, whose modules lie under `prefix` (its blocks under `block_prefix`), and the picture's sizes.
 */
fv_status fv_clip_vision(const json_t *config, const char *where, const char *prefix, const char *block_prefix,
                         const fv_clip_size *absent, fv_description *d, fv_stack_description *s, fv_error *err);

#define FV_CLIP_BLOCK_ALIASES(STACK, PATH)                                     \
  {PATH "encoder.layers.{}", STACK, "resid_post", FV_HF},                      \
      {PATH "encoder.layers.{}.layer_norm1", STACK, "attn.in", FV_HF},         \
      {PATH "encoder.layers.{}.self_attn.q_proj", STACK, "attn.q", FV_HF},     \
      {PATH "encoder.layers.{}.self_attn.k_proj", STACK, "attn.k", FV_HF},     \
      {PATH "encoder.layers.{}.self_attn.v_proj", STACK, "attn.v", FV_HF},     \
      {PATH "encoder.layers.{}.self_attn.out_proj", STACK, "attn.out", FV_HF}, \
      {PATH "encoder.layers.{}.self_attn", STACK, "attn.out", FV_HF},          \
      {PATH "encoder.layers.{}.layer_norm2", STACK, "mlp.in", FV_HF},          \
      {PATH "encoder.layers.{}.mlp.fc1", STACK, "mlp.pre", FV_HF},             \
      {PATH "encoder.layers.{}.mlp.fc2", STACK, "mlp.out", FV_HF}, {           \
    PATH "encoder.layers.{}.mlp", STACK, "mlp.out", FV_HF                      \
  }
#define FV_CLIP_VISION_ALIASES(PATH)                                                                                \
  {PATH "embeddings.patch_embedding", "vision", "patches", FV_HF}, {PATH "pre_layrnorm", "vision", "embed", FV_HF}, \
      FV_CLIP_BLOCK_ALIASES("vision", PATH)

#endif
