/* Random choices as NumPy and pandas make them.
 *
 * fv_draw_below(r, n) is numpy.random.RandomState.randint(n); fv_draw_sample is pandas' .sample(k, random_state=seed)
 * without replacement: Fisher-Yates from the end, the first k of the permutation. Both reject words behind a mask.
 * fv_draw_stream gives each sample a stream that depends on the seed and its name only, so that other samples, limits
 * and the order of a folder change nothing. Checked by: tests/study/test_data_vectors.c against numpy and pandas.
 */
#ifndef FOVEA_STUDY_DATA_DRAW_H
#define FOVEA_STUDY_DATA_DRAW_H

#include "base/random.h"

void fv_draw_stream(fv_rng *r, int64_t seed, const char *name);
/* Uniform in 0..n-1; n > 0. n = 1 takes no word from the stream. */
size_t fv_draw_below(fv_rng *r, size_t n);
/* Indices of k of n rows into out[k]; k <= n < 2^32. Errors: FV_EUSAGE (a seed that NumPy refuses), FV_ENOMEM. */
fv_status fv_draw_sample(size_t n, size_t k, int64_t seed, size_t *out, fv_error *err);

#endif
