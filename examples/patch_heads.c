/* Activation patching with the library: which single head, taken from the run on one picture, moves the answer of the
 * run on another picture furthest?
 *
 *   patch_heads MODEL SITE PICTURE CORRUPT_PICTURE QUESTION CORRECT INCORRECT
 *
 * Rows come one at a time, in order, to a function of this program; nothing else is kept.
 */
#include <stdio.h>

#include "fovea/fovea.h"

typedef struct best {
  float effect;
  int64_t runs;
  char where[160]; /* a row's strings live during the call only */
} best;

static fv_status keep_best(void *user, const fv_row *row, fv_error *err) {
  best *b = user;
  (void)err;
  if (b->runs++ > 0 && !(row->effect > b->effect)) return FV_OK;
  b->effect = row->effect;
  snprintf(b->where, sizeof b->where, "%s.%lld.%s#%lld@%lld (%s)", row->stack, (long long)row->layer, row->site,
           (long long)row->head, (long long)row->row, row->piece ? row->piece : "");
  return FV_OK;
}

int main(int argc, char **argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: %s MODEL SITE PICTURE CORRUPT_PICTURE QUESTION CORRECT INCORRECT\n", argv[0]);
    return 2;
  }
  char corruption[4096];
  snprintf(corruption, sizeof corruption, "image:%s", argv[4]);
  const char *corrupt = corruption, *site = argv[2];
  fv_patch_options options;
  fv_patch_defaults(&options);
  options.input.image = argv[3], options.input.question = argv[5];
  options.correct = argv[6], options.incorrect = argv[7];
  options.corrupt = &corrupt, options.ncorrupt = 1;
  options.site = &site, options.nsite = 1;
  options.heads = "each";

  fv_error err;
  fv_model *model = NULL;
  fv_patch_result result = {0};
  best b = {0};
  fv_status st = fv_model_open(argv[1], NULL, &model, &err);
  if (!st) st = fv_patch(model, &options, (fv_sink){&b, keep_best}, NULL, &result, &err);
  if (st)
    fprintf(stderr, "%s\n", err.text);
  else
    printf("%s: effect %.4f, the largest of %lld\n", b.where, b.effect, (long long)b.runs);
  fv_patch_release(&result);
  fv_model_close(model);
  return st != FV_OK;
}
