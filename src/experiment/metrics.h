/* Numbers of one run's logits, for experiments that read thousands of runs. */
#ifndef FOVEA_EXPERIMENT_METRICS_H
#define FOVEA_EXPERIMENT_METRICS_H

#include "fovea/answer.h"

/* As fv_metrics_read, bit for bit, of finite logits; log_clean [V] is log(clean), or NULL. Any thread. */
void fv_metrics_compute(const float *logits, int64_t V, int32_t id, const double *clean, const double *log_clean,
                        fv_metrics *out);

#endif
