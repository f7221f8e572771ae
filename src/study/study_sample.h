/* One sample of a study: everything about it, and every sweep's rows, as a record for the writer. */
#ifndef FOVEA_STUDY_STUDY_SAMPLE_H
#define FOVEA_STUDY_STUDY_SAMPLE_H

#include "study/ahead.h"
#include "study/writer.h"

/* unreadable: the failure of its pictures, or FV_OK. *out is made in every case but an error; *runs are added to. A
 * sample that cannot be used is a record, too. FV_ECANCELLED: stopped by `progress`. */
fv_status fv_study_sample(const fv_study *s, const fv_model *model, size_t i, const fv_pictures *pictures,
                          size_t memory, const fv_error *unreadable, const fv_progress *progress, fv_record **out,
                          int64_t *runs, fv_error *err);

#endif
