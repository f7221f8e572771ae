/* Causal tracing of one picture with the library: the three states that bring the answer back best.
 *
 *   trace_picture MODEL PICTURE QUESTION
 */
#include <math.h>
#include <stdio.h>

#include "fovea/fovea.h"

/* The three rows with the highest probability. */
static void print_best(const fv_table *table) {
  float limit = INFINITY;
  for (int place = 1; place <= 3; place++) {
    const fv_row *best = NULL;
    for (size_t i = 0; i < fv_table_count(table); i++) {
      const fv_row *r = fv_table_row(table, i);
      if (r->prob < limit && (!best || r->prob > best->prob)) best = r;
    }
    if (!best) return;
    printf("%d. %s.%lld.%s@%lld (%s): p(%s) = %.4f, was %.4f\n", place, best->stack, (long long)best->layer, best->site,
           (long long)best->row, best->piece, best->answer, best->prob, best->corrupt_prob);
    limit = best->prob;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: %s MODEL PICTURE QUESTION\n", argv[0]), 2;
  fv_error err;
  fv_model *model = NULL;
  fv_table *table = NULL;
  fv_trace_result result = {0};
  fv_trace_options options;
  fv_trace_defaults(&options);
  const char *restore = "text_encoder.*.resid_post";
  options.input.image = argv[2], options.input.question = argv[3];
  options.restore = &restore, options.nrestore = 1;
  options.draws = 1;

  fv_status st = fv_model_open(argv[1], NULL, &model, &err);
  if (!st) st = fv_table_new(&table, &err);
  if (!st) st = fv_trace(model, &options, fv_table_sink(table), NULL, &result, &err);
  if (st)
    fprintf(stderr, "%s\n", err.text);
  else
    print_best(table);
  fv_trace_release(&result);
  fv_table_free(table);
  fv_model_close(model);
  return st != FV_OK;
}
