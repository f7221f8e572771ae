/* BLIP for captions (Salesforce/blip-image-captioning-base): vision and an answer decoder that attends to its final
 * rows.
 *
 * The caption may begin with a prompt: the tokenized text, its first id overwritten with the start id and its closing
 * [SEP] dropped, as generate() does; without one the decoder begins with the start id alone. max_length counts the
 * prompt. Source: transformers, models/blip/modeling_blip.py, BlipForConditionalGeneration.
 * Checked by: tests/engine/test_families.c against vectors made by tools/reference/make_blip_caption.py.
 */
#include "model/blip_parts.h"

static const fv_template decoder_block[] = FV_BLIP_TEXT_BLOCK("vision:final", FV_T_CAUSAL);

static const fv_alias aliases[] = {FV_BLIP_VISION_ALIASES,
                                   FV_BERT_ALIASES("text_decoder", "text_decoder.bert."),
                                   FV_BERT_CROSS_ALIASES("text_decoder", "text_decoder.bert."),
                                   {"text_decoder.bert", "text_decoder", "final", FV_HF},
                                   FV_BLIP_HEAD_ALIASES,
                                   {NULL, NULL, NULL, NULL}};

enum { VISION, DECODER, HEAD, NSTACKS };

static fv_status describe(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_blip_limits limits;
  fv_stack_description text;
  *d = (fv_description){.nstacks = NSTACKS, .aliases = aliases, .output_stack = "head", .output_site = "logits"};
  fv_status st = fv_blip_vision(config, where, d, err);
  if (!st) st = fv_blip_text(config, where, &text, &limits, err);
  if (st) return st;
  fv_blip_decoder(&text, decoder_block, &d->stacks[DECODER], &d->stacks[HEAD]);
  *task = (fv_task){.question_stack = "text_decoder",
                    .answer_stack = "text_decoder",
                    .start = {(int32_t)limits.bos},
                    .nstart = 1,
                    .drop_last = 1,
                    .text_optional = true,
                    .eos = {(int32_t)limits.end},
                    .neos = 1,
                    .max_rows = limits.length};
  return FV_OK;
}

const fv_family fv_family_blip_caption = {"blip_caption", "blip", "BlipForConditionalGeneration", describe, NULL};
