/* Statistics of studies: intervals, tests and corrections over samples.
 *
 * Pure functions on arrays. Everything is computed in float64, in one order, on one thread: the same numbers and the
 * same seed give the same result everywhere. Random numbers are those of numpy.random.RandomState(seed), so that every
 * result can be computed again with NumPy; seeds are 0 to 2^32 - 1. NaN means "no value" and is left out, never
 * replaced. Ownership: nothing is kept. Threads: any.
 *
 * Checked by: tests/experiment/test_statistics.c against numpy, scipy and statsmodels.
 */
#ifndef FOVEA_STATISTICS_H
#define FOVEA_STATISTICS_H

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The q-quantile (0 <= q <= 1) of sorted [n] numbers, n >= 1, with linear interpolation between the neighbours of
 * position q (n - 1): numpy.quantile's default. */
double fv_quantile(const double *sorted, int64_t n, double q);

/* Confidence intervals of the means of `columns` variables over `samples` samples, by the percentile bootstrap (Efron &
 * Tibshirani 1993, 13.3). Samples are drawn with replacement, one draw for all variables: resample b uses row b of
 * RandomState(seed).randint(0, samples, (resamples, samples)). Means leave NaN out; a resample without a value does not
 * count.
 *
 * values      [samples, columns]     low, high [columns]: the (1 - level)/2 and (1 + level)/2 quantiles; NaN without
 * value Errors: FV_EUSAGE (sizes below 1, level outside (0, 1), seed), FV_ENOMEM. Cost: resamples samples columns
 * additions. */
fv_status fv_bootstrap_means(const double *values, int64_t samples, int64_t columns, int64_t resamples, double level,
                             int64_t seed, double *low, double *high, fv_error *err);

/* Two-sided test that x [n], paired differences, is symmetric around 0: how often |sum of +-x| is at least |sum of x|
 * when the signs are chosen freely. All 2^n choices when these are at most `permutations` (*exact is then true), else
 * `permutations` random ones and p = (k + 1) / (permutations + 1) (Phipson & Smyth 2010). Sums that differ by less than
 * rounding are equal. Choice b takes the bits of the next ceil(n / 32) words of RandomState(seed), lowest first; 1
 * turns the sign. n = 0: p is NaN. Errors: FV_EUSAGE (not finite, permutations below 1, seed), FV_ENOMEM. */
fv_status fv_sign_flip_test(const double *x, int64_t n, int64_t permutations, int64_t seed, double *p, bool *exact,
                            fv_error *err);

/* Two-sided sign test: the exact binomial test of as many positive as negative numbers among x [n]; zeros and NaN are
 * left out. 1 when nothing remains. */
double fv_sign_test(const double *x, int64_t n);

/* The 95 % Wilson interval of a share of n things (n >= 1), 0 <= share <= 1: it has a width also at 0 and 1. */
void fv_wilson_interval(double share, int64_t n, double *low, double *high);

/* Benjamini & Hochberg 1995: q [n] from p [n]; calling everything with q <= f significant keeps the expected share of
 * false ones at f. NaN is not a test and stays NaN. q may be p. Errors: FV_EUSAGE (outside 0..1), FV_ENOMEM. */
fv_status fv_fdr(const double *p, int64_t n, double *q, fv_error *err);

/* The chance that `sets` sets of the given sizes, each drawn from `population` things independently and without
 * preference, have at least `overlap` things in common: the hypergeometric tail for two, and exactly, one set after the
 * other, for more. *expected is the mean number in common. Errors: FV_EUSAGE (no sets, sizes outside 0..population,
 * population over 100000), FV_ENOMEM. Cost: sets size^2 operations. */
fv_status fv_overlap_chance(int64_t population, size_t sets, const int64_t *sizes, int64_t overlap, double *p,
                            double *expected, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
