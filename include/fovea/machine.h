/* What this machine can do, measured now: the yardstick for speed and for predictions. */
#ifndef FOVEA_MACHINE_H
#define FOVEA_MACHINE_H

#include "fovea/wave.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_machine {
  double matmul; /* float32 operations per second of a large matrix product with the model's threads */
  double small;  /* the same for a product of few rows */
  double memory; /* bytes per second read from memory */
} fv_machine;

/* Takes about `seconds` (0: 0.1 s). */
fv_status fv_machine_measure(const fv_model *model, double seconds, fv_machine *out, fv_error *err);
/* Seconds that a wave of this cost should take here, packing its weights included. */
double fv_machine_predict(const fv_machine *machine, const fv_cost *cost);

#ifdef __cplusplus
}
#endif
#endif
