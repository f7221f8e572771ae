/* A thread that stores samples, so that computing waits neither for SQLite nor for the disk.
 *
 * fv_writer_put hands over the finished samples of one wave, which are stored in one transaction, after those before
 * are on the disk: so a kill loses the wave that is being computed, and the one before it only while that is being
 * written. fv_writer_wait returns when nothing is left to write; where that takes next to nothing beside the wave, not
 * even the one before can be lost. The first failure is returned by all later calls, and nothing is stored after it.
 * The store belongs to the writer until fv_writer_stop.
 */
#ifndef FOVEA_STUDY_WRITER_H
#define FOVEA_STUDY_WRITER_H

#include "study/study_inside.h"

/* A sample on its way into the store; strings that are not `owned` live as long as the study and the model. */
typedef struct fv_record {
  struct fv_record *next; /* of the same wave */
  fv_store_sample sample;
  fv_store_row *rows;
  fv_row_info *infos; /* their names live here */
  size_t nresults;
  fv_store_result *results; /* with a table each, which is const there and owned here */
  char *reason, *answer, *fields;
  char image_sha256[65], corrupt_sha256[65];
} fv_record;
void fv_record_free(fv_record *r); /* and those behind it; NULL is harmless */

typedef struct fv_writer fv_writer;
fv_status fv_writer_start(fv_store *store, fv_writer **out, fv_error *err);
/* Takes the records, a wave's, over in every case. */
fv_status fv_writer_put(fv_writer *w, fv_record *first, fv_error *err);
fv_status fv_writer_wait(fv_writer *w, fv_error *err);
/* Stores what waits, ends the thread and frees the writer; *seconds: of a processor that it took. */
fv_status fv_writer_stop(fv_writer *w, double *seconds, fv_error *err);

#endif
