/* CLIP (openai/clip-vit-base-patch32, clip-vit-large-patch14 and their relatives): which of these texts describes this
 * picture?
 *
 * Two towers of the same block. The vision tower's class row and, of each text, the row of its end are projected and
 * made of length one; a logit is their product times exp(logit_scale), one per text. The texts follow each other in the
 * rows of "text_encoder", causal, each with positions of its own and blind for the others.
 * The row that stands for a text is that of the first end token; configurations that say eos_token_id 2 mean the
 * highest id instead, as transformers has it. `text_config_dict` and `vision_config_dict` win over the entries without
 * `_dict`. Source: transformers, models/clip/modeling_clip.py, CLIPModel.
 * Checked by: tests/engine/test_clip.c against vectors made by tools/reference/make_clip.py.
 */
#include "model/clip_parts.h"

static const fv_template text_before[] = {
    {.kind = FV_KIND_TOKENS, .out = "_tokens", .weight = "embeddings.token_embedding", .width = FV_W_D},
    {.kind = FV_KIND_POSITION, .out = "embed", .in = {"_tokens"}, .weight = "embeddings.position_embedding"},
    FV_T_END};

static const fv_template text_block[] = FV_CLIP_BLOCK(FV_T_CAUSAL);

static const fv_template text_after[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "final", .in = {"resid_pre"}, .weight = "final_layer_norm"}, FV_T_END};

static const fv_template contrast[] = {
    {.kind = FV_KIND_PICK, .out = "_class", .in = {"vision:final"}, .space = "picture"},
    {.kind = FV_KIND_LINEAR,
     .out = "image_projection",
     .in = {"_class"},
     .weight = "/visual_projection",
     .width = FV_W_D,
     .flags = FV_T_NO_BIAS},
    {.kind = FV_KIND_UNIT, .out = "image", .in = {"image_projection"}},
    {.kind = FV_KIND_POOL, .out = "_end", .in = {"text_encoder:final"}},
    {.kind = FV_KIND_LINEAR,
     .out = "text_projection",
     .in = {"_end"},
     .weight = "/text_projection",
     .width = FV_W_D,
     .flags = FV_T_NO_BIAS},
    {.kind = FV_KIND_UNIT, .out = "text", .in = {"text_projection"}},
    {.kind = FV_KIND_SPREAD, .out = "_image", .in = {"image"}},
    {.kind = FV_KIND_DOT, .out = "cosine", .in = {"_image", "text"}, .width = FV_W_ONE},
    FV_T_END};

static const fv_template head[] = {
    {.kind = FV_KIND_GAIN, .out = "logits", .in = {"contrast:cosine"}, .weight = "/logit_scale", .flags = FV_T_BARE},
    FV_T_END};

static const fv_alias aliases[] = {FV_CLIP_VISION_ALIASES("vision_model."),
                                   FV_CLIP_BLOCK_ALIASES("text_encoder", "text_model."),
                                   {"text_model.embeddings", "text_encoder", "embed", FV_HF},
                                   {"text_model.final_layer_norm", "text_encoder", "final", FV_HF},
                                   {"visual_projection", "contrast", "image_projection", FV_HF},
                                   {"text_projection", "contrast", "text_projection", FV_HF},
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, TEXT, CONTRAST, HEAD, NSTACKS };

static fv_status part_config(const json_t *config, const char *key, const char *whole, const char *where,
                             const json_t **out, fv_error *err) {
  fv_status st = fv_json_object(config, whole, where, out, err);
  return st || *out ? st : fv_json_object(config, key, where, out, err);
}

static fv_status text_config(const json_t *c, const char *where, fv_stack_description *s, fv_task *task,
                             fv_error *err) {
  static const fv_clip_size absent = {.D = 512, .F = 2048, .layers = 12, .H = 8};
  *s = (fv_stack_description){.name = "text_encoder",
                              .prefix = "text_model.",
                              .block_prefix = "text_model.encoder.layers.{}.",
                              .before = text_before,
                              .block = text_block,
                              .after = text_after,
                              .causal = true,
                              .texts = true};
  int64_t end;
  fv_status st;
  if ((st = fv_clip_sizes(c, where, &absent, s, err)) ||
      (st = fv_json_int(c, "vocab_size", 49408, 1, 1 << 24, where, &s->V, err)) ||
      (st = fv_json_int(c, "max_position_embeddings", 77, 1, 1 << 20, where, &s->limit, err)) ||
      (st = fv_json_int(c, "eos_token_id", 49407, 0, INT32_MAX, where, &end, err)))
    return st;
  *task = (fv_task){.question_stack = "text_encoder", .answer_stack = "head"};
  task->pool = end == 2 ? FV_POOL_HIGHEST : FV_POOL_FIRST;
  task->pool_id = (int32_t)end;
  return FV_OK;
}

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  const json_t *vision, *text;
  int64_t projection;
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  fv_status st;
  if ((st = part_config(config, "vision_config", "vision_config_dict", where, &vision, err)) ||
      (st = part_config(config, "text_config", "text_config_dict", where, &text, err)) ||
      (st = fv_clip_vision(vision, where, "vision_model.", "vision_model.encoder.layers.{}.", &fv_clip_tower, d,
                           &d->stacks[VISION], err)) ||
      (st = text_config(text, where, &d->stacks[TEXT], task, err)) ||
      (st = fv_json_int(config, "projection_dim", 512, 1, 1 << 16, where, &projection, err)))
    return st;
  d->stacks[CONTRAST] =
      (fv_stack_description){.name = "contrast", .before = contrast, .D = projection, .texts_of = "text_encoder"};
  d->stacks[HEAD] = (fv_stack_description){.name = "head", .space = "contrast", .before = head, .D = 1};
  return FV_OK;
}

const fv_family fv_family_clip = {"clip", "clip", "CLIPModel", describe, NULL};
