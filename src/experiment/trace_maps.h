/* The maps of a trace: sums over draws and samples, turned into averages as they grow. */
#ifndef FOVEA_EXPERIMENT_TRACE_MAPS_H
#define FOVEA_EXPERIMENT_TRACE_MAPS_H

#include "fovea/trace.h"

/* The map with this corruption, site and draw and this many rows, made when it does not exist yet. */
fv_status fv_trace_map_find(fv_trace_result *r, const fv_trace_map *like, const char *const *labels, fv_trace_map **out,
                            fv_error *err);
/* Adds one sample's (or draw's) values to the averages; normalised values are NaN when high == low. */
void fv_trace_map_add(fv_trace_map *m, const float *prob, double low, double high);

#endif
