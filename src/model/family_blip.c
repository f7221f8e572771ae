/* BLIP for visual question answering (Salesforce/blip-vqa-base and its relatives).
 *
 * A pre-norm vision transformer reads the picture; a question encoder (BERT blocks, post-norm, bidirectional) attends
 * to its final rows; an answer decoder (the same blocks, causal) attends to the encoder's final rows and ends in BERT's
 * masked-language-model head. Source: transformers, models/blip/modeling_blip.py and modeling_blip_text.py.
 * Checked by: tests/engine/test_blip.c against vectors made by tools/reference/make_blip.py.
 */
#include "model/blip_parts.h"

static const fv_template encoder_block[] = FV_BLIP_TEXT_BLOCK("vision:final", 0);
static const fv_template decoder_block[] = FV_BLIP_TEXT_BLOCK("text_encoder:final", FV_T_CAUSAL);

static const fv_alias aliases[] = {FV_BLIP_VISION_ALIASES,
                                   FV_BERT_ALIASES("text_encoder", "text_encoder."),
                                   FV_BERT_CROSS_ALIASES("text_encoder", "text_encoder."),
                                   {"text_encoder", "text_encoder", "final", FV_HF},
                                   FV_BERT_ALIASES("text_decoder", "text_decoder.bert."),
                                   FV_BERT_CROSS_ALIASES("text_decoder", "text_decoder.bert."),
                                   {"text_decoder.bert", "text_decoder", "final", FV_HF},
                                   FV_BLIP_HEAD_ALIASES,
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, ENCODER, DECODER, HEAD, NSTACKS };

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_blip_limits limits;
  fv_stack_description text, *encoder = &d->stacks[ENCODER];
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  fv_status st = fv_blip_vision(config, where, d, err);
  if (!st) st = fv_blip_text(config, where, &text, &limits, err);
  if (st) return st;
  *encoder = text;
  encoder->name = "text_encoder";
  encoder->prefix = "text_encoder.";
  encoder->block_prefix = "text_encoder.encoder.layer.{}.";
  encoder->block = encoder_block;
  fv_blip_decoder(&text, decoder_block, &d->stacks[DECODER], &d->stacks[HEAD]);
  *task = (fv_task){.question_stack = "text_encoder",
                    .answer_stack = "text_decoder",
                    .start = {(int32_t)limits.bos},
                    .nstart = 1,
                    .eos = {(int32_t)limits.end},
                    .neos = 1,
                    .max_rows = limits.length};
  return FV_OK;
}

const fv_family fv_family_blip_vqa = {"blip_vqa", "blip", "BlipForQuestionAnswering", describe, NULL};
