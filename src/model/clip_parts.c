/* See model/clip_parts.h. */
#include "model/clip_parts.h"

#include <string.h>

const fv_clip_size fv_clip_tower = {.D = 768, .F = 3072, .layers = 12, .H = 12, .image = 224, .patch = 32};

static const fv_template before[] = {
    {.kind = FV_KIND_PIXELS, .out = "pixels"},
    {.kind = FV_KIND_PATCHES, .out = "_patch_pixels", .in = {"pixels"}},
    {.kind = FV_KIND_LINEAR,
     .out = "patches",
     .in = {"_patch_pixels"},
     .weight = "embeddings.patch_embedding",
     .width = FV_W_D,
     .flags = FV_T_NO_BIAS},
    {.kind = FV_KIND_PREPEND,
     .out = "_rows",
     .in = {"patches"},
     .weight = "embeddings.class_embedding",
     .flags = FV_T_BARE},
    {.kind = FV_KIND_POSITION, .out = "_positions", .in = {"_rows"}, .weight = "embeddings.position_embedding"},
    {.kind = FV_KIND_LAYERNORM, /* the weight's name is misspelt upstream */
     .out = "embed",
     .in = {"_positions"},
     .weight = "pre_layrnorm"},
    FV_T_END};

static const fv_template block[] = FV_CLIP_BLOCK(0);

static const fv_template after[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "final", .in = {"resid_pre"}, .weight = "post_layernorm"}, FV_T_END};

fv_status fv_clip_sizes(const json_t *c, const char *where, const fv_clip_size *absent, fv_stack_description *s,
                        fv_error *err) {
  fv_status st;
  if ((st = fv_json_int(c, "hidden_size", absent->D, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", absent->F, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", absent->layers, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", absent->H, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_config_eps(c, 1e-5, where, &s->eps, err)) ||
      (st = fv_config_act(c, "quick_gelu", where, &s->act, err)) || (st = fv_config_heads(s, where, err)))
    return st;
  s->KV = s->H;
  s->Dh = s->D / s->H;
  return FV_OK;
}

fv_status fv_clip_vision(const json_t *c, const char *where, const char *prefix, const char *block_prefix,
                         const fv_clip_size *absent, fv_description *d, fv_stack_description *s, fv_error *err) {
  *s = (fv_stack_description){.name = "vision",
                              .prefix = prefix,
                              .block_prefix = block_prefix,
                              .before = before,
                              .block = block,
                              .after = after};
  const char *type;
  fv_status st = fv_json_string(c, "model_type", "clip_vision_model", where, &type, err);
  if (st) return st;
  if (strcmp(type, "clip_vision_model") != 0)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: the vision tower \"%s\" is not supported; clip_vision_model is", where,
                   type);
  if ((st = fv_json_int(c, "image_size", absent->image, 1, 1 << 14, where, &d->image, err)) ||
      (st = fv_json_int(c, "patch_size", absent->patch, 1, 1 << 14, where, &d->patch, err)) ||
      (st = fv_json_int(c, "num_channels", 3, 3, 3, where, &d->channels, err)) ||
      (st = fv_clip_sizes(c, where, absent, s, err)))
    return st;
  if (d->patch > d->image)
    return fv_fail(err, FV_EFORMAT, "%s: vision patch_size %lld is larger than image_size %lld", where,
                   (long long)d->patch, (long long)d->image);
  int64_t side = d->image / d->patch;
  s->rows = side * side + 1;
  return FV_OK;
}
