/* The same operations as kernel.h as simple loops in double precision, one row at a time, with libm's functions.
 *
 * They are the written definition of what the fast kernels compute, and what the tests compare them with; results are
 * rounded to float once. Nothing else calls them. Arguments as in kernel.h; no scratch, no threads, no allocation
 * except one row of scores.
 */
#ifndef FOVEA_KERNEL_PLAIN_H
#define FOVEA_KERNEL_PLAIN_H

#include "kernel/kernel.h"

void fv_plain_linear(int64_t N, int64_t K, const float *w, const float *bias, const float *x, float *y);
double fv_plain_act(fv_act act, double x);
void fv_plain_layernorm(int64_t D, float eps, const float *g, const float *b, const float *x, float *y);
void fv_plain_rmsnorm(int64_t D, float eps, const float *g, const float *x, float *y);
void fv_plain_rope(int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin, const float *x, float *y);
/* Scores and pattern are rounded to float where the hook sees them. Errors: FV_ENOMEM. */
fv_status fv_plain_attend(int64_t H, int64_t KV, int64_t Dh, float scale, const fv_attend_group *group,
                          const fv_attend_hook *hook, fv_error *err);

#endif
