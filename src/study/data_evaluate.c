/* What a model says to every sample. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/answer.h"
#include "study/data_pairs.h"

typedef struct evaluation {
  const fv_model *model;
  const fv_evaluate_options *o;
  fv_pairs *pairs;
  bool *keep;
  const char *column;
} evaluation;

static fv_status leave_out(evaluation *e, size_t i, const char *detail, const char *reason, fv_error *err) {
  const char *sample = e->pairs->list[i].sample;
  char *where = detail ? fv_format("%s (%s)", sample, detail) : fv_strdup(sample);
  e->keep[i] = false;
  fv_status st = where ? fv_pairs_exclude(e->pairs, where, reason, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(where);
  return st;
}

/* The input of one sample; *out stays NULL when the sample is left out. */
static fv_status make_input(evaluation *e, size_t i, fv_input **out, fv_error *err) {
  const fv_pair *p = &e->pairs->list[i];
  bool corrupted = e->o->corrupted;
  const char *text = corrupted && p->corrupt_question ? p->corrupt_question : p->prompt ? p->prompt : p->question;
  fv_input_options o = e->o->input;
  fv_error why;
  *out = NULL;
  o.image = corrupted && p->corrupt_image ? p->corrupt_image : p->image;
  o.prompt = p->prompt ? text : NULL, o.question = p->prompt ? NULL : text;
  if (corrupted && !p->corrupt_image && !p->corrupt_question)
    return leave_out(e, i, NULL, "the sample has no corrupted picture or text", err);
  if (fv_model_picture_stack(e->model) && !o.image) return leave_out(e, i, NULL, "the sample has no picture", err);
  if (!fv_model_text_optional(e->model) && !text) return leave_out(e, i, NULL, "the sample has no text", err);
  fv_status st = fv_input_new(e->model, &o, out, &why);
  if (st == FV_ENOMEM) return fv_fail(err, st, "%s", why.text);
  return st ? leave_out(e, i, why.text, "the input cannot be made", err) : FV_OK;
}

/* Samples begin..end in one wave. */
static fv_status evaluate_some(evaluation *e, size_t begin, size_t end, fv_error *err) {
  size_t n = 0, capacity = end - begin;
  fv_input **inputs = fv_alloc(capacity, sizeof(fv_input *));
  size_t *samples = fv_alloc(capacity, sizeof *samples);
  int *runs = fv_alloc(capacity, sizeof *runs);
  fv_answer *answers = fv_alloc(capacity, sizeof *answers);
  fv_wave *wave = NULL;
  fv_status st =
      inputs && samples && runs && answers ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for %zu samples", capacity);
  if (!st) st = fv_wave_new(e->model, &(fv_wave_options){.memory = e->o->memory, .generate = true}, &wave, err);
  for (size_t i = begin; i < end && !st; i++) {
    st = make_input(e, i, &inputs[n], err);
    if (st || !inputs[n]) continue;
    st = fv_wave_run(wave, -1, inputs[n], &runs[n], err);
    samples[n++] = i;
  }
  if (!st && n > 0) st = fv_answers(wave, runs, (int64_t)n, 1, e->o->max_new, NULL, answers, err);
  for (size_t k = 0; k < n && !st; k++) {
    char *text = answers[k].text;
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ') text[--length] = '\0';
    st = fv_pair_set_field(&e->pairs->list[samples[k]], e->column, text + strspn(text, " "), err);
  }
  fv_wave_free(wave);
  for (size_t k = 0; k < n; k++) fv_input_free(inputs[k]);
  for (size_t k = 0; k < n && answers; k++) fv_answer_release(&answers[k]);
  free(inputs), free(samples), free(runs), free(answers);
  return st;
}

fv_status fv_data_evaluate(const fv_model *model, const fv_evaluate_options *o, fv_pairs *pairs,
                           const fv_progress *progress, fv_error *err) {
  size_t batch = o->batch > 0 ? (size_t)o->batch : 8;
  evaluation e = {model, o, pairs, fv_alloc(pairs->count, sizeof(bool)),
                  o->corrupted ? "generated_corrupt" : "generated"};
  if (!e.keep) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  if (!fv_model_answer_stack(model)) st = fv_fail(err, FV_EUSAGE, "a %s model gives no answer", fv_model_family(model));
  memset(e.keep, true, pairs->count);
  for (size_t i = 0; i < pairs->count && !st; i += batch) {
    size_t end = pairs->count - i < batch ? pairs->count : i + batch;
    st = evaluate_some(&e, i, end, err);
    if (!st && progress && !progress->fn(progress->user, (double)end / (double)pairs->count))
      st = fv_fail(err, FV_ECANCELLED, "stopped on request");
  }
  if (!st) fv_pairs_filter(pairs, e.keep);
  if (!st && pairs->count == 0)
    st = fv_fail(err, FV_EFORMAT, "no sample could be answered; the first: %s: %s",
                 pairs->nexcluded ? pairs->excluded[0].name : "none",
                 pairs->nexcluded ? pairs->excluded[0].reason : "the table is empty");
  free(e.keep);
  return st;
}
