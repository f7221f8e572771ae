/* A thread that decodes the pictures of the next samples while one is computed.
 *
 * fv_ahead_start takes the samples in the order in which they will be asked for. fv_ahead_wait(k) returns when the
 * pictures of the k-th are there, with the failure of the one that cannot be read; fv_ahead_done(k) gives them back and
 * lets the thread go on. At most FV_AHEAD samples are ahead. Samples are asked for once each, in order. Ownership: the
 * study, the model and the list must outlive it. Cost: the pictures of FV_AHEAD + 1 samples in memory.
 */
#ifndef FOVEA_STUDY_AHEAD_H
#define FOVEA_STUDY_AHEAD_H

#include "study/study_inside.h"

enum { FV_AHEAD = 8 };

typedef struct fv_ahead fv_ahead;

fv_status fv_ahead_start(const fv_study *study, const fv_model *model, const size_t *samples, size_t count,
                         fv_ahead **out, fv_error *err);
fv_status fv_ahead_wait(fv_ahead *a, size_t k, fv_error *err);
void fv_ahead_done(fv_ahead *a, size_t k);
/* To be named in the input options of the samples. */
const fv_pictures *fv_ahead_pictures(const fv_ahead *a);
/* Ends the thread after the picture it is at, and frees everything; NULL is harmless. */
void fv_ahead_stop(fv_ahead *a);

#endif
