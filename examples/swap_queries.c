/* The level below the experiments: a wave, that is a tree of runs, edits and readouts, computed together. The queries
 * of one layer's cross-attention are those of another question: in which layer do they choose what is answered?
 *
 *   swap_queries MODEL PICTURE QUESTION OTHER_QUESTION
 */
#include <stdio.h>
#include <string.h>

#include "fovea/fovea.h"

enum { MOST_RUNS = 64 };

typedef struct answers {
  int32_t id[MOST_RUNS]; /* by the number of the run */
} answers;

static fv_status keep_answer(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  answers *a = user;
  (void)err;
  a->id[run] = 0;
  for (int32_t v = 1; v < V; v++)
    if (logits[v] > logits[a->id[run]]) a->id[run] = v;
  return FV_OK;
}

static int64_t layers_of(const fv_model *model, const char *stack) {
  for (int i = 0; i < fv_model_stacks(model); i++)
    if (strcmp(fv_model_stack(model, i).name, stack) == 0) return fv_model_stack(model, i).layers;
  return 0;
}

/* Runs 0 and 1 are the two questions, run 2 + l has the other's queries in layer l. */
static fv_status compute(const fv_model *model, fv_wave *wave, const fv_input *in, const fv_input *other,
                         int64_t layers, answers *a, fv_error *err) {
  int clean, source, run;
  int64_t checked = 0;
  fv_status st = fv_wave_run(wave, -1, in, &clean, err);
  if (!st) st = fv_wave_run(wave, clean, other, &source, err); /* the picture is the same, and computed once */
  if (!st) st = fv_wave_readout(wave, clean, keep_answer, a, err);
  if (!st) st = fv_wave_readout(wave, source, keep_answer, a, err);
  for (int64_t l = 0; l < layers && !st; l++) {
    char edit[64];
    snprintf(edit, sizeof edit, "replace text_encoder.%lld.cross.q", (long long)l);
    st = fv_wave_run(wave, clean, NULL, &run, err);
    if (!st) st = fv_wave_do(wave, run, edit, source, err);
    if (!st) st = fv_wave_readout(wave, run, keep_answer, a, err);
  }
  if (!st) st = fv_wave_compute(wave, NULL, err);
  if (!st) st = fv_wave_check(wave, 100.0, 0, &checked, err); /* every run alone: the same bits */
  if (st) return st;
  printf("the question: %s\nthe other: %s\n", fv_model_piece(model, a->id[clean]),
         fv_model_piece(model, a->id[source]));
  for (int64_t l = 0; l < layers; l++)
    printf("the other's queries in layer %lld: %s\n", (long long)l, fv_model_piece(model, a->id[2 + l]));
  printf("%lld runs recomputed alone\n", (long long)checked);
  return FV_OK;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: %s MODEL PICTURE QUESTION OTHER_QUESTION\n", argv[0]), 2;
  fv_error err;
  fv_model *model = NULL;
  fv_wave *wave = NULL;
  fv_input *in = NULL, *other = NULL;
  fv_input_options options;
  answers a;
  fv_input_defaults(&options);
  options.image = argv[2], options.question = argv[3];
  fv_status st = fv_model_open(argv[1], NULL, &model, &err);
  int64_t layers = st ? 0 : layers_of(model, "text_encoder");
  if (!st && (layers == 0 || layers > MOST_RUNS - 2))
    st = fv_fail(&err, FV_EUSAGE, "%s: has no text_encoder of at most %d layers", argv[1], MOST_RUNS - 2);
  if (!st) st = fv_input_new(model, &options, &in, &err);
  options.question = argv[4];
  if (!st) st = fv_input_new(model, &options, &other, &err);
  if (!st) st = fv_wave_new(model, NULL, &wave, &err);
  if (!st) st = compute(model, wave, in, other, layers, &a, &err);
  if (st) fprintf(stderr, "%s\n", err.text);
  fv_wave_free(wave);
  fv_input_free(in), fv_input_free(other);
  fv_model_close(model);
  return st != FV_OK;
}
