/* The BERT block as template rows: self-attention, cross-attention, MLP, each followed by its norm (post-norm).
 *
 * A family writes its block as { FV_BERT_SELF(flags), FV_BERT_CROSS(keys)?, FV_BERT_MLP(from), FV_T_END }. Weight names
 * are those that transformers' BERT and BLIP share. Source: models/bert/modeling_bert.py, blip/modeling_blip_text.py.
 */
#ifndef FOVEA_MODEL_BERT_BLOCK_H
#define FOVEA_MODEL_BERT_BLOCK_H

#include "model/describe.h"

/* FLAGS: FV_T_CAUSAL or 0. */
#define FV_BERT_SELF(FLAGS)                                                                                            \
  {.kind = FV_KIND_COPY, .out = "attn.in", .in = {"resid_pre"}},                                                       \
      {.kind = FV_KIND_LINEAR, .out = "attn.q", .in = {"attn.in"}, .weight = "attention.self.query", .width = FV_W_Q}, \
      {.kind = FV_KIND_LINEAR, .out = "attn.k", .in = {"attn.in"}, .weight = "attention.self.key", .width = FV_W_KV},  \
      {.kind = FV_KIND_LINEAR,                                                                                         \
       .out = "attn.v",                                                                                                \
       .in = {"attn.in"},                                                                                              \
       .weight = "attention.self.value",                                                                               \
       .width = FV_W_KV},                                                                                              \
      {.kind = FV_KIND_ATTEND,                                                                                         \
       .out = "attn.z",                                                                                                \
       .in = {"attn.q", "attn.k", "attn.v"},                                                                           \
       .width = FV_W_Q,                                                                                                \
       .flags = FLAGS},                                                                                                \
      {.kind = FV_KIND_LINEAR,                                                                                         \
       .out = "attn.out",                                                                                              \
       .in = {"attn.z"},                                                                                               \
       .weight = "attention.output.dense",                                                                             \
       .width = FV_W_D},                                                                                               \
      {.kind = FV_KIND_ADD, .out = "_attn_sum", .in = {"attn.out", "resid_pre"}}, {                                    \
    .kind = FV_KIND_LAYERNORM, .out = "resid_mid", .in = {"_attn_sum"}, .weight = "attention.output.LayerNorm"         \
  }

/* KEYS: what the keys and values read, such as "vision:final". */
#define FV_BERT_CROSS(KEYS)                                                                                            \
  {.kind = FV_KIND_COPY, .out = "cross.in", .in = {"resid_mid"}},                                                      \
      {.kind = FV_KIND_LINEAR,                                                                                         \
       .out = "cross.q",                                                                                               \
       .in = {"cross.in"},                                                                                             \
       .weight = "crossattention.self.query",                                                                          \
       .width = FV_W_Q},                                                                                               \
      {.kind = FV_KIND_LINEAR, .out = "cross.k", .in = {KEYS}, .weight = "crossattention.self.key", .width = FV_W_KV}, \
      {.kind = FV_KIND_LINEAR,                                                                                         \
       .out = "cross.v",                                                                                               \
       .in = {KEYS},                                                                                                   \
       .weight = "crossattention.self.value",                                                                          \
       .width = FV_W_KV},                                                                                              \
      {.kind = FV_KIND_ATTEND, .out = "cross.z", .in = {"cross.q", "cross.k", "cross.v"}, .width = FV_W_Q},            \
      {.kind = FV_KIND_LINEAR,                                                                                         \
       .out = "cross.out",                                                                                             \
       .in = {"cross.z"},                                                                                              \
       .weight = "crossattention.output.dense",                                                                        \
       .width = FV_W_D},                                                                                               \
      {.kind = FV_KIND_ADD, .out = "_cross_sum", .in = {"cross.out", "resid_mid"}}, {                                  \
    .kind = FV_KIND_LAYERNORM, .out = "resid_cross", .in = {"_cross_sum"}, .weight = "crossattention.output.LayerNorm" \
  }

/* FROM: the residual stream before it, "resid_mid" or "resid_cross". */
#define FV_BERT_MLP(FROM)                                                                                            \
  {.kind = FV_KIND_COPY, .out = "mlp.in", .in = {FROM}},                                                             \
      {.kind = FV_KIND_LINEAR, .out = "mlp.pre", .in = {"mlp.in"}, .weight = "intermediate.dense", .width = FV_W_F}, \
      {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}},                                                   \
      {.kind = FV_KIND_LINEAR, .out = "mlp.out", .in = {"mlp.post"}, .weight = "output.dense", .width = FV_W_D},     \
      {.kind = FV_KIND_ADD, .out = "_mlp_sum", .in = {"mlp.out", FROM}}, {                                           \
    .kind = FV_KIND_LAYERNORM, .out = "resid_post", .in = {"_mlp_sum"}, .weight = "output.LayerNorm"                 \
  }

#define FV_HF "transformers"
/* Other tools' names of a BERT stack whose module path is PATH, and those of its cross-attention. */
#define FV_BERT_ALIASES(STACK, PATH)                                                                                   \
  {PATH "embeddings", STACK, "embed", FV_HF}, {PATH "encoder.layer.{}", STACK, "resid_post", FV_HF},                   \
      {PATH "encoder.layer.{}.attention.self.query", STACK, "attn.q", FV_HF},                                          \
      {PATH "encoder.layer.{}.attention.self.key", STACK, "attn.k", FV_HF},                                            \
      {PATH "encoder.layer.{}.attention.self.value", STACK, "attn.v", FV_HF},                                          \
      {PATH "encoder.layer.{}.attention.self", STACK, "attn.z", FV_HF},                                                \
      {PATH "encoder.layer.{}.attention.output.dense", STACK, "attn.out", FV_HF},                                      \
      {PATH "encoder.layer.{}.attention.output", STACK, "resid_mid", FV_HF},                                           \
      {PATH "encoder.layer.{}.attention", STACK, "resid_mid", FV_HF},                                                  \
      {PATH "encoder.layer.{}.intermediate.dense", STACK, "mlp.pre", FV_HF},                                           \
      {PATH "encoder.layer.{}.intermediate", STACK, "mlp.post", FV_HF},                                                \
      {PATH "encoder.layer.{}.output.dense", STACK, "mlp.out", FV_HF},                                                 \
      {PATH "encoder.layer.{}.output", STACK, "resid_post", FV_HF},                                                    \
      {STACK ".{}.block_input", STACK, "resid_pre", "pyvene"},                                                         \
      {STACK ".{}.block_output", STACK, "resid_post", "pyvene"},                                                       \
      {STACK ".{}.attention_input", STACK, "attn.in", "pyvene"},                                                       \
      {STACK ".{}.attention_output", STACK, "resid_mid", "pyvene"},                                                    \
      {STACK ".{}.attention_value_output", STACK, "attn.z", "pyvene"},                                                 \
      {STACK ".{}.head_attention_value_output", STACK, "attn.z", "pyvene"},                                            \
      {STACK ".{}.mlp_input", STACK, "mlp.in", "pyvene"}, {STACK ".{}.mlp_activation", STACK, "mlp.pre", "pyvene"},    \
      {STACK ".{}.mlp_output", STACK, "resid_post", "pyvene"},                                                         \
      {STACK ".{}.attention_block", STACK, "attn.z", "NOTICE"}, {STACK ".{}.attention", STACK, "resid_mid", "NOTICE"}, \
      {STACK ".{}.intermediate", STACK, "mlp.post", "NOTICE"}, {                                                       \
    STACK ".{}.output", STACK, "resid_post", "NOTICE"                                                                  \
  }

#define FV_BERT_CROSS_ALIASES(STACK, PATH)                                                    \
  {PATH "encoder.layer.{}.crossattention.self.query", STACK, "cross.q", FV_HF},               \
      {PATH "encoder.layer.{}.crossattention.self.key", STACK, "cross.k", FV_HF},             \
      {PATH "encoder.layer.{}.crossattention.self.value", STACK, "cross.v", FV_HF},           \
      {PATH "encoder.layer.{}.crossattention.self", STACK, "cross.z", FV_HF},                 \
      {PATH "encoder.layer.{}.crossattention.output.dense", STACK, "cross.out", FV_HF},       \
      {PATH "encoder.layer.{}.crossattention.output.LayerNorm", STACK, "resid_cross", FV_HF}, \
      {PATH "encoder.layer.{}.crossattention.output", STACK, "resid_cross", FV_HF},           \
      {PATH "encoder.layer.{}.crossattention", STACK, "resid_cross", FV_HF},                  \
      {STACK ".{}.crossattention", STACK, "resid_cross", "NOTICE"},                           \
      {STACK ".{}.crossattention_block", STACK, "cross.z", "NOTICE"}, {                       \
    STACK ".{}.crossattention_layernorm", STACK, "resid_cross", "NOTICE"                      \
  }

#endif
