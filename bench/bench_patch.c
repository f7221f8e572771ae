/* Activation patching, model open: how long one sample takes, and what share of this machine's matrix product rate that
 * is.
 *
 *   bench_patch MODEL CLEAN CORRUPTED QUESTION [REPEAT] [SITE...]
 *
 * Every layer, row and head of the sites (default: self- and cross-attention's heads of the stack that reads the
 * question). The first repetition packs the weights and is not counted; the best of the others is printed. */
#include <string.h>

#include "measure.h"

static fv_status measure(const fv_model *m, const fv_patch_options *o, int repeat, fv_error *err) {
  fv_patch_result result = {0};
  fv_machine machine;
  fv_sink none = {0};
  double best = 1e30;
  fv_status st = FV_OK;
  for (int i = 0; i <= repeat && !st; i++) {
    double start = now();
    st = fv_patch(m, o, none, NULL, &result, err);
    if (i > 0 && now() - start < best) best = now() - start;
  }
  if (!st) st = fv_machine_measure(m, 0.5, &machine, err);
  if (!st)
    printf("%lld runs, %.4g Gflop: %.4g s, %.3g ms a run, %.0f %% of the matrix product rate (%.0f Gflop/s)\n",
           (long long)result.runs, result.cost.flops / 1e9, best, 1e3 * best / (double)result.runs,
           100.0 * result.cost.flops / best / machine.matmul, machine.matmul / 1e9);
  fv_patch_release(&result);
  return st;
}

int main(int argc, char **argv) {
  const char *sites[16] = {"text_encoder.*.attn.z", "text_encoder.*.cross.z"};
  char corrupt[4096];
  const char *list[1] = {corrupt};
  fv_patch_options o;
  fv_model *m = NULL;
  fv_error err = {0};
  if (argc < 5) return fprintf(stderr, "usage: bench_patch MODEL CLEAN CORRUPTED QUESTION [REPEAT] [SITE...]\n"), 2;
  fv_patch_defaults(&o);
  snprintf(corrupt, sizeof corrupt, "image:%s", argv[3]);
  o.input.image = argv[2], o.input.question = argv[4], o.corrupt = list, o.ncorrupt = 1;
  o.site = sites, o.nsite = 2, o.heads = "each", o.incorrect = "id:5";
  for (int i = 6; i < argc && i < 22; i++) sites[i - 6] = argv[i], o.nsite = (size_t)(i - 5);
  fv_status st = fv_model_open(argv[1], NULL, &m, &err);
  if (!st) st = measure(m, &o, argc > 5 ? atoi(argv[5]) : 3, &err);
  fv_model_close(m);
  if (st) fprintf(stderr, "%s\n", err.text);
  return st != FV_OK;
}
