#include "fovea/patch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/sweep.h"
#include "model/loaded.h"

void fv_patch_defaults(fv_patch_options *o) {
  *o = (fv_patch_options){.window = 1, .draws = 10};
  fv_input_defaults(&o->input);
}

void fv_patch_release(fv_patch_result *r) {
  free(r->clean_answer), free(r->correct);
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

static fv_status prepare(const fv_model *model, const fv_patch_options *o, fv_sweep *s, fv_error *err) {
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
                            .correct = o->correct,
                            .incorrect = o->incorrect,
                            .stream = o->stream,
                            .seed = o->seed,
                            .memory = o->memory,
                            .check = o->check};
  st = fv_sweep_prepare(model, &sweep, s, err);
  if (!st) st = fv_sweep_build(s, err);
  s->o.site = NULL; /* it may have been this function's own */
  return st;
}

/* The token behind a run of pieces makes it the beginning of a longer word. */
static bool continues_word(const fv_model *m, const fv_text *t, int64_t row) {
  const char *piece = row < t->count ? fv_tokenizer_piece(m->tokenizer, t->ids[row]) : NULL;
  return piece && strncmp(piece, "##", 2) == 0;
}

/* The last row of the first run of the answer's ids in the question. */
static fv_status find_answer_row(const fv_sweep *s, const char *answer, int64_t *row, fv_error *err) {
  const fv_model *m = s->model;
  *row = -1;
  if (m->question_space < 0 || !m->tokenizer || m->task.labels || fv_plan_answers_texts(m->plan)) return FV_OK;
  const fv_text *t = &s->clean_input->texts[m->question_space];
  fv_encoding e = {0};
  const int32_t *ids = &s->correct;
  int64_t n = 1;
  if (answer && strncmp(answer, "id:", 3) != 0) {
    fv_status st = fv_tokenizer_encode(m->tokenizer, answer, strlen(answer), false, &e, err);
    if (st) return st;
    ids = e.ids, n = (int64_t)e.count;
  }
  for (int64_t i = 0; i + n <= t->count && *row < 0; i++)
    if (memcmp(t->ids + i, ids, (size_t)n * sizeof *ids) == 0 && !continues_word(m, t, i + n)) *row = i + n - 1;
  fv_encoding_release(&e);
  return FV_OK;
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
  if (!r->clean_answer || !r->correct) return fv_fail(err, FV_ENOMEM, "no memory");
  return find_answer_row(s, o->correct, &r->answer_row, err);
}

fv_status fv_patch(const fv_model *model, const fv_patch_options *options, fv_sink sink, const fv_progress *progress,
                   fv_patch_result *result, fv_error *err) {
  fv_sweep s;
  fv_cost cost = {0};
  int64_t checked = 0;
  fv_status st = prepare(model, options, &s, err);
  if (!st) st = fv_sweep_run(&s, progress, &cost, &checked, err);
  if (!st) st = describe(&s, options, result, err);
  if (!st) st = fv_sweep_emit(&s, options->sample, result->correct, sink, err);
  if (!st) result->cost = cost, result->runs = cost.runs, result->checked = checked;
  fv_sweep_release(&s);
  return st;
}

fv_status fv_patch_cost(const fv_model *model, const fv_patch_options *options, fv_cost *out, fv_error *err) {
  fv_sweep s;
  fv_status st = prepare(model, options, &s, err);
  if (!st) st = fv_wave_cost(s.wave, out, err);
  fv_sweep_release(&s);
  return st;
}
