/* What a model says to every sample. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "fovea/answer.h"
#include "study/data_pairs.h"
#include "study/data_partial.h"

typedef struct evaluation {
  const fv_model *model;
  const fv_evaluate_options *o;
  fv_pairs *pairs;
  bool *keep, *answered;
  size_t *todo; /* samples that are still to be asked */
  size_t ntodo;
  const char *column;
  fv_partial partial;
} evaluation;

/* What is asked about a sample: its own picture and text, or the corrupted ones. */
static void asked(const evaluation *e, const fv_pair *p, const char **image, const char **text) {
  bool corrupted = e->o->corrupted;
  *image = corrupted && p->corrupt_image ? p->corrupt_image : p->image;
  *text = corrupted && p->corrupt_question ? p->corrupt_question : p->prompt ? p->prompt : p->question;
}

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
  fv_input_options o = e->o->input;
  const char *text;
  fv_error why;
  *out = NULL;
  asked(e, p, &o.image, &text);
  o.prompt = p->prompt ? text : NULL, o.question = p->prompt ? NULL : text;
  if (e->o->corrupted && !p->corrupt_image && !p->corrupt_question)
    return leave_out(e, i, NULL, "the sample has no corrupted picture or text", err);
  if (fv_model_picture_stack(e->model) && !o.image) return leave_out(e, i, NULL, "the sample has no picture", err);
  if (!fv_model_text_optional(e->model) && !text) return leave_out(e, i, NULL, "the sample has no text", err);
  fv_status st = fv_input_new(e->model, &o, out, &why);
  if (st == FV_ENOMEM) return fv_fail(err, st, "%s", why.text);
  return st ? leave_out(e, i, why.text, "the input cannot be made", err) : FV_OK;
}

/* The samples todo[begin..end] in one wave. */
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
    st = make_input(e, e->todo[i], &inputs[n], err);
    if (st || !inputs[n]) continue;
    st = fv_wave_run(wave, -1, inputs[n], &runs[n], err);
    samples[n++] = e->todo[i];
  }
  if (!st && n > 0) st = fv_answers(wave, runs, (int64_t)n, 1, e->o->max_new, NULL, answers, err);
  for (size_t k = 0; k < n && !st; k++) {
    char *text = answers[k].text;
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ') text[--length] = '\0';
    st = fv_pair_set_field(&e->pairs->list[samples[k]], e->column, text + strspn(text, " "), err);
  }
  if (!st) st = fv_partial_put(&e->partial, e->pairs, e->column, samples, n, err);
  fv_wave_free(wave);
  for (size_t k = 0; k < n; k++) fv_input_free(inputs[k]);
  for (size_t k = 0; k < n && answers; k++) fv_answer_release(&answers[k]);
  free(inputs), free(samples), free(runs), free(answers);
  return st;
}

/* The hash of all that the answers depend on, but for the model. Texts end with a NUL each, so that no two lists of
 * them look alike. */
static fv_status what(const evaluation *e, char hex[FV_SHA256_HEX], fv_error *err) {
  const fv_evaluate_options *o = e->o;
  char *bytes = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&bytes, &size);
  if (!f) return fv_fail(err, FV_ENOMEM, "no memory");
  fprintf(f, "%s%c%d %d %d %lld", fv_model_engine(e->model), 0, o->corrupted, o->input.exif, (int)o->input.pillow,
          (long long)o->max_new);
  for (size_t i = 0; i < e->pairs->count; i++) {
    const fv_pair *p = &e->pairs->list[i];
    const char *image, *text;
    asked(e, p, &image, &text);
    fprintf(f, "%c%s%c%s%c%s%c%d", 0, p->sample, 0, image ? image : "", 0, text ? text : "", 0, p->prompt != NULL);
  }
  bool lost = fclose(f) != 0;
  fv_status st = lost ? fv_fail(err, FV_ENOMEM, "no memory") : fv_sha256_bytes(bytes, size, hex, err);
  free(bytes);
  return st;
}

/* Every sample that is not answered yet. */
static fv_status evaluate_all(evaluation *e, const fv_progress *progress, fv_error *err) {
  size_t n = e->pairs->count, batch = e->o->batch > 0 ? (size_t)e->o->batch : 8;
  fv_status st = fv_partial_take(&e->partial, e->pairs, e->column, e->answered, err);
  for (size_t i = 0; i < n; i++)
    if (!e->answered[i]) e->todo[e->ntodo++] = i;
  for (size_t i = 0, end; i < e->ntodo && !st; i = end) {
    end = e->ntodo - i < batch ? e->ntodo : i + batch;
    st = evaluate_some(e, i, end, err);
    if (!st && progress && !progress->fn(progress->user, (double)end / (double)e->ntodo) && end < e->ntodo)
      st = fv_fail(err, FV_ECANCELLED,
                   e->partial.path ? "stopped: %zu of %zu samples are done; run the same again to go on"
                                   : "stopped: %zu of %zu samples were done",
                   n - e->ntodo + end, n);
  }
  return st;
}

fv_status fv_data_evaluate(const fv_model *model, const fv_evaluate_options *o, fv_pairs *pairs,
                           const fv_progress *progress, fv_error *err) {
  char hex[FV_SHA256_HEX];
  size_t n = pairs->count;
  evaluation e = {.model = model,
                  .o = o,
                  .pairs = pairs,
                  .keep = fv_alloc(n, sizeof(bool)),
                  .answered = fv_alloc(n, sizeof(bool)),
                  .todo = fv_alloc(n, sizeof(size_t)),
                  .column = o->corrupted ? "generated_corrupt" : "generated",
                  .partial = {.path = o->partial, .model = model, .what = hex}};
  fv_status st = e.keep && e.answered && e.todo ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && !fv_model_answer_stack(model))
    st = fv_fail(err, FV_EUSAGE, "a %s model gives no answer", fv_model_family(model));
  if (!st && o->partial) st = what(&e, hex, err);
  if (!st) st = fv_partial_open(&e.partial, err);
  if (!st) memset(e.keep, true, n);
  if (!st) st = evaluate_all(&e, progress, err);
  fv_partial_close(&e.partial);
  if (!st) fv_pairs_filter(pairs, e.keep);
  if (!st && pairs->count == 0)
    st = fv_fail(err, FV_EFORMAT, "no sample could be answered; the first: %s: %s",
                 pairs->nexcluded ? pairs->excluded[0].name : "none",
                 pairs->nexcluded ? pairs->excluded[0].reason : "the table is empty");
  free(e.keep), free(e.answered), free(e.todo);
  return st;
}
