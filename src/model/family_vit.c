/* ViT image classifiers (google/vit-base-patch16-224 and its relatives).
 *
 * A pre-norm vision transformer; the classes are read off the class row of its final norm, without a pooler. The answer
 * is a class, named by id2label. Weights may carry the prefix "vit." or lack it.
 * Source: transformers, models/vit/modeling_vit.py.
 * Checked by: tests/engine/test_families.c against vectors made by tools/reference/make_vit.py.
 */
#include <stdio.h>
#include <string.h>

#include "model/bert_block.h"
#include "model/family.h"

static const fv_template before[] = {
    {.kind = FV_KIND_PIXELS, .out = "pixels"},
    {.kind = FV_KIND_PATCHES, .out = "_patch_pixels", .in = {"pixels"}},
    {.kind = FV_KIND_LINEAR,
     .out = "patches",
     .in = {"_patch_pixels"},
     .weight = "embeddings.patch_embeddings.projection",
     .width = FV_W_D},
    {.kind = FV_KIND_PREPEND, .out = "_rows", .in = {"patches"}, .weight = "embeddings.cls_token", .flags = FV_T_BARE},
    {.kind = FV_KIND_POSITION,
     .out = "embed",
     .in = {"_rows"},
     .weight = "embeddings.position_embeddings",
     .flags = FV_T_BARE},
    FV_T_END};

/* QKV_FLAGS: FV_T_NO_BIAS where config.json says qkv_bias false. */
#define BLOCK(QKV_FLAGS)                                                                                               \
  {                                                                                                                    \
    {.kind = FV_KIND_LAYERNORM, .out = "attn.in", .in = {"resid_pre"}, .weight = "layernorm_before"},                  \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.q",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.attention.query",                                                                        \
         .width = FV_W_Q,                                                                                              \
         .flags = QKV_FLAGS},                                                                                          \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.k",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.attention.key",                                                                          \
         .width = FV_W_KV,                                                                                             \
         .flags = QKV_FLAGS},                                                                                          \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.v",                                                                                              \
         .in = {"attn.in"},                                                                                            \
         .weight = "attention.attention.value",                                                                        \
         .width = FV_W_KV,                                                                                             \
         .flags = QKV_FLAGS},                                                                                          \
        {.kind = FV_KIND_ATTEND, .out = "attn.z", .in = {"attn.q", "attn.k", "attn.v"}, .width = FV_W_Q},              \
        {.kind = FV_KIND_LINEAR,                                                                                       \
         .out = "attn.out",                                                                                            \
         .in = {"attn.z"},                                                                                             \
         .weight = "attention.output.dense",                                                                           \
         .width = FV_W_D},                                                                                             \
        {.kind = FV_KIND_ADD, .out = "resid_mid", .in = {"resid_pre", "attn.out"}},                                    \
        {.kind = FV_KIND_LAYERNORM, .out = "mlp.in", .in = {"resid_mid"}, .weight = "layernorm_after"},                \
        {.kind = FV_KIND_LINEAR, .out = "mlp.pre", .in = {"mlp.in"}, .weight = "intermediate.dense", .width = FV_W_F}, \
        {.kind = FV_KIND_ACT, .out = "mlp.post", .in = {"mlp.pre"}},                                                   \
        {.kind = FV_KIND_LINEAR, .out = "mlp.out", .in = {"mlp.post"}, .weight = "output.dense", .width = FV_W_D},     \
        {.kind = FV_KIND_ADD, .out = "resid_post", .in = {"resid_mid", "mlp.out"}}, FV_T_END                           \
  }

static const fv_template block[] = BLOCK(0), block_without_bias[] = BLOCK(FV_T_NO_BIAS);

static const fv_template after[] = {
    {.kind = FV_KIND_LAYERNORM, .out = "final", .in = {"resid_pre"}, .weight = "layernorm"}, FV_T_END};

static const fv_template head[] = {
    {.kind = FV_KIND_PICK, .out = "_class", .in = {"vision:final"}},
    {.kind = FV_KIND_LINEAR, .out = "logits", .in = {"_class"}, .weight = "/classifier", .width = FV_W_V},
    FV_T_END};

/* The module paths of transformers before 5 and of 5. */
static const fv_alias aliases[] = {{"vit.embeddings", "vision", "embed", FV_HF},
                                   {"vit.embeddings.patch_embeddings", "vision", "patches", FV_HF},
                                   {"vit.encoder.layer.{}", "vision", "resid_post", FV_HF},
                                   {"vit.encoder.layer.{}.layernorm_before", "vision", "attn.in", FV_HF},
                                   {"vit.encoder.layer.{}.attention.attention.query", "vision", "attn.q", FV_HF},
                                   {"vit.encoder.layer.{}.attention.attention.key", "vision", "attn.k", FV_HF},
                                   {"vit.encoder.layer.{}.attention.attention.value", "vision", "attn.v", FV_HF},
                                   {"vit.encoder.layer.{}.attention.attention", "vision", "attn.z", FV_HF},
                                   {"vit.encoder.layer.{}.attention.output.dense", "vision", "attn.out", FV_HF},
                                   {"vit.encoder.layer.{}.attention.output", "vision", "attn.out", FV_HF},
                                   {"vit.encoder.layer.{}.attention", "vision", "attn.out", FV_HF},
                                   {"vit.encoder.layer.{}.layernorm_after", "vision", "mlp.in", FV_HF},
                                   {"vit.encoder.layer.{}.intermediate.dense", "vision", "mlp.pre", FV_HF},
                                   {"vit.encoder.layer.{}.intermediate", "vision", "mlp.post", FV_HF},
                                   {"vit.encoder.layer.{}.output.dense", "vision", "mlp.out", FV_HF},
                                   {"vit.encoder.layer.{}.output", "vision", "resid_post", FV_HF},
                                   {"vit.layers.{}", "vision", "resid_post", FV_HF},
                                   {"vit.layers.{}.layernorm_before", "vision", "attn.in", FV_HF},
                                   {"vit.layers.{}.attention.q_proj", "vision", "attn.q", FV_HF},
                                   {"vit.layers.{}.attention.k_proj", "vision", "attn.k", FV_HF},
                                   {"vit.layers.{}.attention.v_proj", "vision", "attn.v", FV_HF},
                                   {"vit.layers.{}.attention.o_proj", "vision", "attn.out", FV_HF},
                                   {"vit.layers.{}.attention", "vision", "attn.out", FV_HF},
                                   {"vit.layers.{}.layernorm_after", "vision", "mlp.in", FV_HF},
                                   {"vit.layers.{}.mlp.fc1", "vision", "mlp.pre", FV_HF},
                                   {"vit.layers.{}.mlp.fc2", "vision", "mlp.out", FV_HF},
                                   {"vit.layers.{}.mlp", "vision", "mlp.out", FV_HF},
                                   {"vit.layernorm", "vision", "final", FV_HF},
                                   {"vit", "vision", "final", FV_HF},
                                   {"classifier", "head", "logits", FV_HF},
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, HEAD, NSTACKS };

/* id2label names the classes 0..n-1; without it transformers has two, LABEL_0 and LABEL_1, or num_labels of them. */
static fv_status class_names(const json_t *c, const char *where, fv_task *task, int64_t *classes, fv_error *err) {
  const json_t *names;
  fv_status st = fv_json_object(c, "id2label", where, &names, err);
  if (st) return st;
  *classes = (int64_t)json_object_size(names);
  if (!names && (st = fv_json_int(c, "num_labels", 2, 1, 1 << 24, where, classes, err))) return st;
  if (*classes == 0) return fv_fail(err, FV_EFORMAT, "%s: id2label is empty; a classifier needs classes", where);
  for (int64_t i = 0; i < *classes && !st; i++) {
    char key[32], fallback[32];
    const char *name = NULL;
    snprintf(key, sizeof key, "%lld", (long long)i);
    snprintf(fallback, sizeof fallback, "LABEL_%lld", (long long)i);
    st = fv_json_string(names, key, names ? NULL : fallback, where, &name, err);
    if (!st && !name)
      st = fv_fail(err, FV_EFORMAT, "%s: id2label has %lld entries but none for \"%s\"", where, (long long)*classes,
                   key);
    if (!st) st = fv_task_label(task, *classes, i, name, err);
  }
  return st;
}

static fv_status describe(const json_t *c, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_stack_description *s = &d->stacks[VISION];
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  *s = (fv_stack_description){
      .name = "vision", .prefix = "vit.", .block_prefix = "vit.encoder.layer.{}.", .before = before, .after = after};
  *task = (fv_task){.answer_stack = "head"};
  bool bias;
  int64_t classes;
  fv_status st;
  if ((st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", 3072, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 12, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 12, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_json_int(c, "image_size", 224, 1, 1 << 14, where, &d->image, err)) ||
      (st = fv_json_int(c, "patch_size", 16, 1, 1 << 14, where, &d->patch, err)) ||
      (st = fv_json_int(c, "num_channels", 3, 3, 3, where, &d->channels, err)) ||
      (st = fv_config_eps(c, 1e-12, where, &s->eps, err)) ||
      (st = fv_json_bool(c, "qkv_bias", true, where, &bias, err)) ||
      (st = fv_config_act(c, "gelu", where, &s->act, err)) || (st = fv_config_heads(s, where, err)) ||
      (st = class_names(c, where, task, &classes, err)))
    return st;
  if (d->patch > d->image)
    return fv_fail(err, FV_EFORMAT, "%s: patch_size %lld is larger than image_size %lld", where, (long long)d->patch,
                   (long long)d->image);
  int64_t side = d->image / d->patch;
  s->block = bias ? block : block_without_bias;
  s->KV = s->H;
  s->Dh = s->D / s->H;
  s->rows = side * side + 1;
  d->stacks[HEAD] = (fv_stack_description){.name = "head", .before = head, .D = s->D, .V = classes, .rows = 1};
  return FV_OK;
}

/* A bare model is saved without the prefix, one with a head with it; both are read. */
static const fv_rename renames[] = {{"vit.", ""}, {NULL, NULL}};

const fv_family fv_family_vit = {"vit", "vit", "ViTForImageClassification", describe, renames};
