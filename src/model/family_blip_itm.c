/* BLIP for image-text matching (Salesforce/blip-itm-base-coco): does this text describe this picture?
 *
 * The text encoder attends to the picture's final rows; two logits are read off its first row: no match, match. The
 * same checkpoint also gives a cosine: the encoder's self-attention and MLP alone, without the picture (stack
 * "text_alone", the same weights and rows), against the picture's class row, both projected and of length one (stack
 * "contrast"). Nothing of it is computed unless it is read.
 * Source: transformers, models/blip/modeling_blip.py, BlipForImageTextRetrieval.
 * Checked by: tests/engine/test_families.c against vectors made by tools/reference/make_blip_itm.py.
 */
#include "model/blip_parts.h"

static const fv_template encoder_block[] = FV_BLIP_TEXT_BLOCK("vision:final", 0);
static const fv_template alone_block[] = {FV_BERT_SELF(0), FV_BERT_MLP("resid_mid"), FV_T_END};

static const fv_template head[] = {
    {.kind = FV_KIND_PICK, .out = "_first", .in = {"text_encoder:final"}},
    {.kind = FV_KIND_LINEAR, .out = "logits", .in = {"_first"}, .weight = "/itm_head", .width = FV_W_V},
    FV_T_END};

static const fv_template contrast[] = {
    {.kind = FV_KIND_PICK, .out = "_class", .in = {"vision:final"}},
    {.kind = FV_KIND_LINEAR, .out = "_image", .in = {"_class"}, .weight = "/vision_proj", .width = FV_W_D},
    {.kind = FV_KIND_UNIT, .out = "image", .in = {"_image"}},
    {.kind = FV_KIND_PICK, .out = "_first", .in = {"text_alone:final"}},
    {.kind = FV_KIND_LINEAR, .out = "_text", .in = {"_first"}, .weight = "/text_proj", .width = FV_W_D},
    {.kind = FV_KIND_UNIT, .out = "text", .in = {"_text"}},
    {.kind = FV_KIND_DOT, .out = "cosine", .in = {"image", "text"}, .width = FV_W_ONE},
    FV_T_END};

static const fv_alias aliases[] = {FV_BLIP_VISION_ALIASES,
                                   FV_BERT_ALIASES("text_encoder", "text_encoder."),
                                   FV_BERT_CROSS_ALIASES("text_encoder", "text_encoder."),
                                   {"text_encoder", "text_encoder", "final", FV_HF},
                                   {"itm_head", "head", "logits", FV_HF},
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, ENCODER, HEAD, ALONE, CONTRAST, NSTACKS };

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  static const char *const labels[] = {"no match", "match"};
  fv_blip_limits limits;
  fv_stack_description *encoder = &d->stacks[ENCODER], *alone = &d->stacks[ALONE];
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  int64_t projection;
  fv_status st = fv_blip_vision(config, where, d, err);
  if (!st) st = fv_blip_text(config, where, encoder, &limits, err);
  if (!st) st = fv_json_int(config, "image_text_hidden_size", 256, 1, 1 << 16, where, &projection, err);
  if (st) return st;
  encoder->name = "text_encoder";
  encoder->prefix = "text_encoder.";
  encoder->block_prefix = "text_encoder.encoder.layer.{}.";
  encoder->block = encoder_block;
  *alone = *encoder;
  alone->name = "text_alone";
  alone->space = "text_encoder";
  alone->block = alone_block;
  d->stacks[HEAD] = (fv_stack_description){.name = "head", .before = head, .D = encoder->D, .V = 2, .rows = 1};
  d->stacks[CONTRAST] = (fv_stack_description){.name = "contrast", .before = contrast, .D = projection, .rows = 1};
  *task = (fv_task){.question_stack = "text_encoder", .answer_stack = "head"};
  for (int64_t i = 0; i < 2 && !st; i++) st = fv_task_label(task, 2, i, labels[i], err);
  return st;
}

const fv_family fv_family_blip_itm = {"blip_itm", "blip", "BlipForImageTextRetrieval", describe, NULL};
