/* Verification: stored reference activations against this build on this machine.
 *
 * A vectors folder holds cases.json and, per case, a picture and a safetensors file with one float32 tensor per site
 * under its canonical address; tools/reference/README.md describes it and the scripts that write it.
 */
#ifndef FOVEA_VERIFY_H
#define FOVEA_VERIFY_H

#include "fovea/answer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One comparison: a tensor, or the question's ids ("ids") or the generated ids ("answer"). */
typedef struct fv_verdict {
  const char *sample, *what;
  double relative; /* largest difference over the largest reference value; 0 or 1 for ids */
  double mean;     /* mean absolute difference */
  bool good;       /* within the tolerance */
} fv_verdict;
typedef fv_status (*fv_verdict_fn)(void *user, const fv_verdict *verdict, fv_error *err);

/* Calls fn for every comparison, in the order of the plan; *failed counts those outside the tolerance. */
fv_status fv_verify(const fv_model *model, const char *dir, double tolerance, fv_verdict_fn fn, void *user,
                    int64_t *failed, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
