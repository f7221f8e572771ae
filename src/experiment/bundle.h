/* Bundles: sweeps that are computed together, in one wave.
 *
 * What the sweeps of a bundle have in common is computed once: a clean run for all sweeps with the same input, the
 * picture's rows of clean runs and of what one of them is compared with, a corrupted run for all sweeps with the same
 * clean run, corruption, seed and draw, and a patched run for all that patch the same cell of these. The sweeps' values
 * are those of each one computed alone, bit for bit, since a run's values never depend on what else is in its wave.
 *
 *   fv_bundle_new(model, memory, &b, err);
 *   fv_sweep_prepare(model, &options, &sweep, err);  // of any number of sweeps
 *   fv_bundle_add(b, &sweep, err);
 *   fv_bundle_compute(b, progress, err);
 *   if (!sweep.failure.status) ...                   // values are in sweep.clean and sweep.series
 *   fv_bundle_free(b);
 *   fv_sweep_release(&sweep);                        // after the bundle
 *
 * A sweep that fails takes no other one with it: what fv_bundle_add returns concerns that sweep alone, and so does what
 * sweep.failure says after computing. Ownership: the bundle borrows the sweeps, which must not move and must outlive
 * it. Threads: a bundle belongs to one thread. Cost: a few dozen bytes per run besides what the wave takes.
 */
#ifndef FOVEA_EXPERIMENT_BUNDLE_H
#define FOVEA_EXPERIMENT_BUNDLE_H

#include "experiment/sweep.h"
#include "fovea/patch.h"
#include "fovea/trace.h"

typedef struct fv_bundle fv_bundle;

/* memory: bytes for activations, 0: no limit. */
fv_status fv_bundle_new(const fv_model *model, size_t memory, fv_bundle **out, fv_error *err);
void fv_bundle_free(fv_bundle *b); /* NULL is harmless */
/* Before any sweep is added: the bundle will not be computed, so adding computes nothing either. */
void fv_bundle_only_cost(fv_bundle *b);
fv_status fv_bundle_add(fv_bundle *b, fv_sweep *s, fv_error *err);
fv_status fv_bundle_cost(fv_bundle *b, fv_cost *out, fv_error *err);
/* Computes, and recomputes alone the share of runs that the most demanding of the sweeps wants checked. */
fv_status fv_bundle_compute(fv_bundle *b, const fv_progress *progress, fv_error *err);
int64_t fv_bundle_checked(const fv_bundle *b);

/* A bundle of one. checked NULL: only what it would cost. */
fv_status fv_sweep_alone(const fv_model *model, fv_sweep *s, const fv_progress *progress, fv_cost *cost,
                         int64_t *checked, fv_error *err);

/* The halves of fv_patch and fv_trace around the computing. prepare releases nothing of a sweep that it fails to make;
 * fv_sweep_release does, as ever. The options' texts must outlive the sweep. */
fv_status fv_patch_prepare(const fv_model *model, const fv_patch_options *options, fv_sweep *out, fv_error *err);
fv_status fv_patch_finish(const fv_sweep *s, const fv_patch_options *options, fv_sink sink, fv_patch_result *result,
                          fv_error *err);
fv_status fv_trace_prepare(const fv_model *model, const fv_trace_options *options, fv_sweep *out, fv_error *err);
fv_status fv_trace_finish(const fv_sweep *s, const fv_trace_options *options, fv_sink sink, fv_trace_result *result,
                          fv_error *err);

#endif
