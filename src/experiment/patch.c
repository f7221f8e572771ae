#include "fovea/patch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/answer_rows.h"
#include "experiment/bundle.h"
#include "model/loaded.h"

void fv_patch_defaults(fv_patch_options *o) {
  *o = (fv_patch_options){.window = 1, .draws = 10};
  fv_input_defaults(&o->input);
}

void fv_patch_release(fv_patch_result *r) {
  free(r->clean_answer), free(r->correct), free(r->incorrect);
  *r = (fv_patch_result){0};
}

/* What is patched when nothing is named: the blocks' outputs where the question is read, or the picture. */
static fv_status choose_site(const fv_model *model, char *out, size_t room, fv_error *err) {
  const char *stack = fv_model_question_stack(model) ? fv_model_question_stack(model) : fv_model_picture_stack(model);
  if (!fv_model_answer_stack(model) || !stack)
    return fv_fail(err, FV_EUSAGE, "%s: a %s model has no answer, so there is nothing to patch for",
                   fv_model_path(model), fv_model_family(model));
  snprintf(out, room, "%s.*.resid_post", stack);
  return FV_OK;
}

fv_status fv_patch_prepare(const fv_model *model, const fv_patch_options *o, fv_sweep *s, fv_error *err) {
  char site[96];
  const char *sites[1] = {site};
  *s = (fv_sweep){0};
  fv_status st = choose_site(model, site, sizeof site, err);
  if (!st && o->ncorrupt == 0)
    st = fv_fail(err, FV_EUSAGE, "a corrupted input is missing: another picture, another question, or a corruption");
  if (st) return st;
  fv_sweep_options sweep = {.input = o->input,
                            .corrupt = o->corrupt,
                            .ncorrupt = o->ncorrupt,
                            .site = o->nsite ? o->site : sites,
                            .nsite = o->nsite ? o->nsite : 1,
                            .option = "site",
                            .heads = o->heads,
                            .rows = o->rows,
                            .layers = o->layers,
                            .window = o->window,
                            .draws = o->draws,
                            .noise = o->noise,
                            .pad_attended = o->pad_attended,
                            .keep_degenerate = o->keep_degenerate,
                            .llava_hs_into_module = o->llava_hs_into_module,
                            .correct = o->correct,
                            .incorrect = o->incorrect,
                            .stream = o->stream,
                            .seed = o->seed,
                            .memory = o->memory,
                            .check = o->check};
  return fv_sweep_prepare(model, &sweep, s, err);
}

static char *piece_text(const fv_sweep *s, int32_t id) {
  const char *piece = fv_input_piece(s->clean_input, id);
  return fv_strdup(piece ? piece : "");
}

static int64_t count_undefined(const fv_sweep *s) {
  int64_t n = 0;
  for (size_t i = 0; i < s->nseries && s->incorrect >= 0; i++)
    if (s->series[i].corrupted.logit_diff == s->clean.logit_diff) n += s->ncells;
  return n;
}

static fv_status describe(const fv_sweep *s, const fv_patch_options *o, fv_patch_result *r, fv_error *err) {
  fv_patch_release(r);
  r->correct_id = s->correct, r->incorrect_id = s->incorrect, r->clean_top = s->top;
  r->clean_prob = s->clean.m.prob, r->clean_logit_diff = s->clean.logit_diff;
  r->clean_right = s->top == s->correct;
  r->undefined = count_undefined(s);
  r->clean_answer = piece_text(s, s->top), r->correct = piece_text(s, s->correct);
  r->incorrect = s->incorrect < 0 ? fv_strdup("") : piece_text(s, s->incorrect);
  if (!r->clean_answer || !r->correct || !r->incorrect) return fv_fail(err, FV_ENOMEM, "no memory");
  int64_t first;
  return fv_answer_rows(s->clean_input, o->correct, s->correct, &first, &r->answer_row, err);
}

fv_status fv_patch_finish(const fv_sweep *s, const fv_patch_options *o, fv_sink sink, fv_patch_result *result,
                          fv_error *err) {
  fv_status st = describe(s, o, result, err);
  return st ? st : fv_sweep_emit(s, o->sample, result->correct, sink, err);
}

fv_status fv_patch(const fv_model *model, const fv_patch_options *options, fv_sink sink, const fv_progress *progress,
                   fv_patch_result *result, fv_error *err) {
  fv_sweep s;
  fv_cost cost;
  int64_t checked;
  fv_status st = fv_patch_prepare(model, options, &s, err);
  if (!st) st = fv_sweep_alone(model, &s, progress, &cost, &checked, err);
  if (!st) st = fv_patch_finish(&s, options, sink, result, err);
  if (!st) result->cost = cost, result->runs = cost.runs, result->checked = checked;
  fv_sweep_release(&s);
  return st;
}

fv_status fv_patch_cost(const fv_model *model, const fv_patch_options *options, fv_cost *out, fv_error *err) {
  fv_sweep s;
  fv_status st = fv_patch_prepare(model, options, &s, err);
  if (!st) st = fv_sweep_alone(model, &s, NULL, out, NULL, err);
  fv_sweep_release(&s);
  return st;
}
