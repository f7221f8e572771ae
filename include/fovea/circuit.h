/* Circuits: which heads matter over a study, and which of them matter everywhere.
 *
 * The input is one number per sample and head: what patching that head changed. Importance is the mean of its magnitude
 * over the samples; heads whose importance is at least mean + K sd over all heads are above the threshold (NOTICE,
 * Golovanevsky et al. 2024, K = 2). A magnitude is never negative, so importance alone cannot be tested against 0; what
 * is tested is whether the signed number is symmetric around 0, corrected for the number of heads. The circuit is what
 * is above the threshold and, unless the test is FV_TEST_NONE, significant.
 *
 * Pure functions on arrays; results depend on the numbers, the options and the seed only. Ownership: fv_circuit_find
 * fills a struct that fv_circuit_release empties. Threads: any.
 *
 * Checked by: tests/experiment/test_circuit.c against numpy, scipy and statsmodels.
 */
#ifndef FOVEA_CIRCUIT_H
#define FOVEA_CIRCUIT_H

#include "fovea/statistics.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_circuit_test { FV_TEST_NONE, FV_TEST_PERMUTATION, FV_TEST_SIGN } fv_circuit_test;

typedef struct fv_circuit_options {
  double threshold;     /* K: standard deviations (of the population of heads) above the mean */
  int64_t bootstrap;    /* resamples of the confidence intervals; 0: none */
  double level;         /* of the intervals */
  fv_circuit_test test; /* of the signed values */
  int64_t permutations; /* of the permutation test; all sign choices when there are no more. 0: 10000, or as many as
                           let a single head among all be significant */
  double fdr;           /* Benjamini-Hochberg: the share of false heads that is accepted */
  int64_t seed;         /* 0 to 2^32 - 1 */
  bool nan_zero;        /* no value counts as 0, as the original does */
} fv_circuit_options;

/* K = 2, 10000 resamples, level 0.95, permutation test, 0.05, seed 0. */
void fv_circuit_defaults(fv_circuit_options *options);

typedef struct fv_head_score {
  int64_t layer, head;
  int64_t samples, excluded; /* with and without a finite value */
  double importance;         /* mean of |value|; NaN: no sample has one */
  double low, high;          /* its confidence interval */
  double mean;               /* of the signed values */
  double p, q;               /* of the test; q is corrected over all heads */
  bool above, significant, in_circuit;
} fv_head_score;

typedef struct fv_circuit {
  int64_t samples, layers, heads;
  fv_head_score *list; /* [layers * heads], layer by layer */
  double *profile;     /* [layers] mean importance of the layer's heads; NaN: none has one */
  double mean, sd, threshold;
  int64_t measured; /* heads that have an importance */
  int64_t size;     /* of the circuit */
  int64_t excluded; /* values left out in measured heads */
  bool exact;       /* all p of a permutation test counted every choice of signs */
} fv_circuit;

/* values [samples, layers, heads]; NaN and infinite: no value.
 * Errors: FV_EUSAGE (options, sizes below 1), FV_ENOTFOUND (no value at all), FV_ENOMEM. */
fv_status fv_circuit_find(const double *values, int64_t samples, int64_t layers, int64_t heads,
                          const fv_circuit_options *options, fv_circuit *out, fv_error *err);
void fv_circuit_release(fv_circuit *circuit);

/* Heads in all of n circuits of one model. */
typedef struct fv_universal {
  int64_t count, population; /* heads in all of them; heads measured in all of them */
  double expected;           /* how many circuits of these sizes, chosen at random, would have in common on average */
  double p;                  /* the chance that they would have this many or more */
} fv_universal;

/* common [layers * heads]. Circuits are counted among the heads that all studies measured.
 * Errors: FV_ESHAPE (other layers or heads), FV_ENOMEM. */
fv_status fv_circuit_common(size_t n, const fv_circuit *circuits, bool *common, fv_universal *out, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
