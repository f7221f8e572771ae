/* One sample of a study, from its row of the table to a record for the writer.
 *
 *   fv_study_sample_new(study, model, i, pictures, &unreadable, &x, err);
 *   fv_study_samples_ask(&x, 1, memory, &cost, err);
 *   fv_study_sample_add(x, pictures, bundle, memory, err);  // all of its sweeps
 *   fv_bundle_compute(bundle, progress, err);
 *   fv_study_sample_finish(x, &record, err);
 *   fv_bundle_free(bundle);
 *   fv_study_sample_free(x);
 *
 * A bundle may hold several samples. A sample that cannot be used is excluded, with the reason in its record, and takes
 * no other one with it; the later calls pass it by. What these functions return are failures of the study.
 */
#ifndef FOVEA_STUDY_STUDY_SAMPLE_H
#define FOVEA_STUDY_STUDY_SAMPLE_H

#include "experiment/bundle.h"
#include "study/ahead.h"
#include "study/writer.h"

typedef struct fv_study_sample fv_study_sample;

/* Reads its inputs and answers. unreadable: the failure of its pictures; FV_OK or NULL: they are there. pictures: those
 * decoded ahead, or NULL. */
fv_status fv_study_sample_new(const fv_study *s, const fv_model *model, size_t i, const fv_pictures *pictures,
                              const fv_error *unreadable, fv_study_sample **out, fv_error *err);
/* Where the study wants the clean run to be right: asks the samples, in one wave, and excludes those that are wrong.
 * only_cost: asks nobody. */
fv_status fv_study_samples_ask(fv_study_sample *const *samples, size_t n, size_t memory, bool only_cost, fv_cost *cost,
                               fv_error *err);
fv_status fv_study_sample_add(fv_study_sample *x, const fv_pictures *pictures, fv_bundle *bundle, size_t memory,
                              fv_error *err);
/* Of the sweeps added: the runs that they would take one by one, and their rows of the long table. */
void fv_study_sample_size(const fv_study_sample *x, int64_t *runs, int64_t *cells);
/* The record is the caller's. */
fv_status fv_study_sample_finish(fv_study_sample *x, fv_record **out, fv_error *err);
/* Why it is excluded; NULL: it is not. Not after fv_study_sample_finish. */
const char *fv_study_sample_reason(const fv_study_sample *x);
/* After the bundle; NULL is harmless. */
void fv_study_sample_free(fv_study_sample *x);

#endif
