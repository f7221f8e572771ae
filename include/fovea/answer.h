/* Answers: what a run says, and numbers read off its logits. */
#ifndef FOVEA_ANSWER_H
#define FOVEA_ANSWER_H

#include "fovea/wave.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_top {
  int32_t id;
  const char *piece; /* "" when the tokenizer has none; lives as long as the run's input */
  float logit;
  double prob; /* softmax over the whole vocabulary, in float64 */
} fv_top;

typedef struct fv_answer {
  char *text;   /* decoded ids, special tokens skipped; the label of the class, or the chosen text */
  int32_t *ids; /* generated ids in order, the end token included when it was produced */
  int64_t nids;
  fv_top *top; /* first generated position, highest first; ties: lowest id */
  int64_t ntop;
} fv_answer;

/* Frees what it holds and empties it; harmless on an empty one. */
void fv_answer_release(fv_answer *a);

/* Computes the wave (which must have been made with options.generate and not computed yet) and fills one answer per
 * run. runs [nruns] are numbers of runs, out [nruns] their answers, to be released. top: entries wanted, at least 1;
 * max_new 0: the family's limit. After an error nothing needs releasing.
 * Errors: FV_EUSAGE (top, no such run, a wave without `generate`), those of fv_wave_compute. */
fv_status fv_answers(fv_wave *wave, const int *runs, int64_t nruns, int64_t top, int64_t max_new,
                     const fv_progress *progress, fv_answer *out, fv_error *err);

/* How many bytes of a growing answer may be shown: what `now`, the text of all ids so far, has in common with `before`,
 * the text of one id fewer, up to the last whole character. A decoder writes U+FFFD for bytes that are no character
 * yet, so one at the end is held back. before NULL: 0. Text that was shown can still change where a tokenizer's
 * clean-up joins words ("do n't"); compare before adding to it. For fv_wave_follow. Checked by:
 * tests/experiment/test_answer_text.c */
size_t fv_answer_settled(const char *before, const char *now);

/* Numbers of one position.
 *   prob  softmax(logits)[id]        rank  how many logits are larger (0 = the answer)
 *   kl    KL(clean || this), nats    (NaN without `clean`)                                   */
typedef struct fv_metrics {
  float prob, logit, kl;
  int64_t rank;
} fv_metrics;
/* logits [V]; clean [V] probabilities in float64, or NULL; scratch [V] doubles. */
void fv_metrics_read(const float *logits, int64_t V, int32_t id, const double *clean, double *scratch, fv_metrics *out);
/* Softmax in float64. */
void fv_probabilities(const float *logits, int64_t V, double *out);

#ifdef __cplusplus
}
#endif
#endif
