/* Activation patching between a clean and a corrupted input: write single states of one run into the other, and see how
 * far the answer moves.
 *
 * Per corruption and draw there is one corrupted run, and for every cell (site, layer, row and, with heads "each",
 * head) a patched run: the corrupted one with the clean state written there (denoise), or the clean one with the
 * corrupted state (noise). All of them are one wave. Metrics of a run, with LD = logit[correct] - logit[incorrect]:
 *
 *   prob        softmax(logits)[correct]
 *   p_diff      prob - corrupt_prob
 *   logit_diff  LD
 *   effect      denoise (LD - LD_corrupt) / (LD_clean - LD_corrupt), noise (LD - LD_clean) / (LD_corrupt - LD_clean)
 *
 * from the float32 values of the other columns, never clipped; a zero denominator leaves `effect` empty and is counted.
 * Corruptions are written as for fv_trace (fovea/trace.h): image:FILE, question:TEXT, gray, blur:S, mask:BOX,
 * scale:F@ADDRESS, and noise. Sources: Vig et al. 2020, Wang et al. 2022, Golovanevsky et al. 2024 (NOTICE).
 */
#ifndef FOVEA_PATCH_H
#define FOVEA_PATCH_H

#include "fovea/table.h"
#include "fovea/wave.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_patch_options {
  fv_input_options input;     /* the clean input */
  const char *sample;         /* name in the table, or NULL */
  const char *const *corrupt; /* at least one */
  size_t ncorrupt;
  const char *const *site; /* addresses without rows, heads or features, other tools' names too; none: every layer's
                              resid_post of the stack that reads the question, or of the picture's stack */
  size_t nsite;
  const char *heads;  /* "each": one run per head; a HEADS list: these move together; NULL or "all": all heads do */
  const char *rows;   /* a ROWS list of each site's stack; NULL: all */
  const char *layers; /* a LAYERS list of each site's stack, within those that its address names; NULL: all of these */
  int64_t window;     /* layers patched together: max(0, l - W/2) up to, excluding, min(L, l + (W+1)/2) */
  int64_t draws;      /* of corruptions with noise; others have one */
  bool noise;         /* corrupted states are written into the clean run */
  bool pad_attended;  /* the shorter text of a pair is filled up with padding tokens, which every row attends to */
  bool llava_hs_into_module; /* into mlp.out and attn.z of a language model goes the layer's whole output, of the last
                                one the final norm's, as NOTICE's code does. Takes one more clean run, outside `cost` */
  bool keep_degenerate; /* two answers with the same id are compared, too: every logit_diff is 0, no effect defined */
  const char *correct, *incorrect; /* text (its first piece; a class's label) or id:N. No correct: the clean run's own
                                      answer. No incorrect: logit_diff and effect are empty */
  fv_rng_stream stream;
  int64_t seed;
  size_t memory; /* bytes for activations, 0: no limit */
  double check;  /* percent of the runs that are recomputed alone and compared; 0: none */
} fv_patch_options;

/* Window 1, 10 draws, torch's stream with seed 0, denoise, no answers named, no check. */
void fv_patch_defaults(fv_patch_options *options);

typedef struct fv_patch_result {
  int32_t correct_id, incorrect_id;   /* incorrect_id -1: none was given */
  int32_t clean_top;                  /* the clean run's own answer, its first id */
  char *clean_answer;                 /* its piece, or label */
  char *correct, *incorrect;          /* their pieces; the table's column `answer` has the first. "": none was given */
  float clean_prob, clean_logit_diff; /* of the correct answer; NaN without an incorrect one */
  bool clean_right;                   /* clean_top is correct_id */
  int64_t answer_row; /* of the stack that reads the question: last row of the first exact run of the correct
                         answer's ids that ends its word, special rows counted; -1: none */
  int64_t runs, checked;
  int64_t undefined; /* patched runs whose effect has the denominator zero */
  fv_cost cost;
} fv_patch_result;

/* Frees what it holds and empties it; harmless on an empty one. */
void fv_patch_release(fv_patch_result *result);

/* Computes and hands every patched run's row to the sink (order: corruption, draw, site, layer, row, head), all of them
 * at the end, so that a failure leaves no rows. In a row, `op` is "replace" (or "hs-into-module") and `answer` the
 * correct answer.
 * result starts zeroed, or as an earlier call left it.
 *
 * FV_EUSAGE: options that contradict each other, two answers with the same id (a degenerate pair) without
 * keep_degenerate; FV_ENOTFOUND: an address; FV_ESHAPE: a corrupted input that gives a patched site another number of
 * rows; those of fv_input_new and of fv_wave_compute, and what the sink returns. */
fv_status fv_patch(const fv_model *model, const fv_patch_options *options, fv_sink sink, const fv_progress *progress,
                   fv_patch_result *result, fv_error *err);
/* What fv_patch would cost; computes nothing. Errors as there. */
fv_status fv_patch_cost(const fv_model *model, const fv_patch_options *options, fv_cost *out, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
