/* What the BLIP families share: the vision transformer, the text stacks' configuration, the language-model head.
 *
 * The text stacks' blocks are those of model/bert_block.h with cross-attention. Each family composes its stacks from
 * these and has nothing else in common with the others. Stack 0 of every BLIP description is "vision".
 */
#ifndef FOVEA_MODEL_BLIP_PARTS_H
#define FOVEA_MODEL_BLIP_PARTS_H

#include "model/bert_block.h"
#include "model/family.h"

/* A text block: self-attention, cross-attention to KEYS, MLP. */
#define FV_BLIP_TEXT_BLOCK(KEYS, SELF_FLAGS) \
  { FV_BERT_SELF(SELF_FLAGS), FV_BERT_CROSS(KEYS), FV_BERT_MLP("resid_cross"), FV_T_END }

extern const fv_template fv_blip_text_before[];

/* Ids and length of text_config that generation needs. */
typedef struct fv_blip_limits {
  int64_t bos, end, length;
} fv_blip_limits;

/* Fills d->stacks[0] and the picture's sizes from vision_config. */
fv_status fv_blip_vision(const json_t *config, const char *where, fv_description *d, fv_error *err);
/* Fills the sizes of a text stack from text_config; names, prefixes and the block are the family's. */
fv_status fv_blip_text(const json_t *config, const char *where, fv_stack_description *s, fv_blip_limits *limits,
                       fv_error *err);
/* The answer decoder and its language-model head; text holds the sizes. */
void fv_blip_decoder(const fv_stack_description *text, const fv_template *block, fv_stack_description *decoder,
                     fv_stack_description *head);

#define FV_BLIP_VISION_ALIASES                                                              \
  {"vision_model.embeddings", "vision", "embed", FV_HF},                                    \
      {"vision_model.embeddings.patch_embedding", "vision", "patches", FV_HF},              \
      {"vision_model.encoder.layers.{}", "vision", "resid_post", FV_HF},                    \
      {"vision_model.encoder.layers.{}.layer_norm1", "vision", "attn.in", FV_HF},           \
      {"vision_model.encoder.layers.{}.self_attn", "vision", "attn.out", FV_HF},            \
      {"vision_model.encoder.layers.{}.self_attn.projection", "vision", "attn.out", FV_HF}, \
      {"vision_model.encoder.layers.{}.layer_norm2", "vision", "mlp.in", FV_HF},            \
      {"vision_model.encoder.layers.{}.mlp.fc1", "vision", "mlp.pre", FV_HF},               \
      {"vision_model.encoder.layers.{}.mlp.fc2", "vision", "mlp.out", FV_HF},               \
      {"vision_model.encoder.layers.{}.mlp", "vision", "mlp.out", FV_HF},                   \
      {"vision_model.post_layernorm", "vision", "final", FV_HF}, {                          \
    "vision_model", "vision", "final", FV_HF                                                \
  }

#define FV_BLIP_HEAD_ALIASES \
  {"text_decoder.cls.predictions.decoder", "head", "logits", FV_HF}, { "text_decoder.cls", "head", "logits", FV_HF }

#endif
