/* BERT encoders (bert-base-uncased, all-MiniLM and their relatives): states to read and to change, no answer.
 *
 * Word, token type (always the first) and position embeddings, a norm, post-norm blocks. What comes after the last
 * block (a pooler, a language-model head) is left out, so any architecture of model_type "bert" opens.
 * Source: transformers, models/bert/modeling_bert.py.
 * Checked by: tests/engine/test_families.c against vectors made by tools/reference/make_bert.py.
 */
#include <string.h>

#include "model/bert_block.h"
#include "model/family.h"

static const fv_template before[] = {
    {.kind = FV_KIND_TOKENS, .out = "_tokens", .weight = "embeddings.word_embeddings", .width = FV_W_D},
    {.kind = FV_KIND_OFFSET, .out = "_typed", .in = {"_tokens"}, .weight = "embeddings.token_type_embeddings"},
    {.kind = FV_KIND_POSITION, .out = "_positions", .in = {"_typed"}, .weight = "embeddings.position_embeddings"},
    {.kind = FV_KIND_LAYERNORM, .out = "embed", .in = {"_positions"}, .weight = "embeddings.LayerNorm"},
    FV_T_END};

static const fv_template block[] = {FV_BERT_SELF(0), FV_BERT_MLP("resid_mid"), FV_T_END};

static const fv_alias aliases[] = {
    FV_BERT_ALIASES("text_encoder", ""), FV_BERT_ALIASES("text_encoder", "bert."), {NULL, NULL, NULL, NULL}};

static fv_status describe(const json_t *c, const char *where, fv_description *d, fv_task *task, fv_error *err) {
  fv_stack_description *s = &d->stacks[0];
  *d = (fv_description){.nstacks = 1, .aliases = aliases};
  *s = (fv_stack_description){
      .name = "text_encoder", .prefix = "", .block_prefix = "encoder.layer.{}.", .before = before, .block = block};
  *task = (fv_task){.question_stack = "text_encoder"};
  const char *positions;
  bool decoder;
  fv_status st;
  if ((st = fv_json_int(c, "hidden_size", 768, 1, 1 << 16, where, &s->D, err)) ||
      (st = fv_json_int(c, "intermediate_size", 3072, 1, 1 << 20, where, &s->F, err)) ||
      (st = fv_json_int(c, "num_hidden_layers", 12, 1, 1024, where, &s->layers, err)) ||
      (st = fv_json_int(c, "num_attention_heads", 12, 1, 1 << 12, where, &s->H, err)) ||
      (st = fv_json_int(c, "vocab_size", 30522, 1, 1 << 24, where, &s->V, err)) ||
      (st = fv_json_int(c, "max_position_embeddings", 512, 1, 1 << 20, where, &s->limit, err)) ||
      (st = fv_json_int(c, "type_vocab_size", 2, 1, 1 << 16, where, &s->types, err)) ||
      (st = fv_config_eps(c, 1e-12, where, &s->eps, err)) ||
      (st = fv_json_string(c, "position_embedding_type", "absolute", where, &positions, err)) ||
      (st = fv_json_bool(c, "is_decoder", false, where, &decoder, err)) ||
      (st = fv_config_act(c, "gelu", where, &s->act, err)) || (st = fv_config_heads(s, where, err)))
    return st;
  if (decoder || strcmp(positions, "absolute") != 0)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: only BERT encoders with absolute positions are supported", where);
  s->KV = s->H;
  s->Dh = s->D / s->H;
  return FV_OK;
}

/* A bare model is saved without the prefix, one with a head with it; both are read. */
static const fv_rename renames[] = {{"", "bert."}, {NULL, NULL}};

const fv_family fv_family_bert = {"bert", "bert", NULL, describe, renames};
