/* Rows of the long table, gathered sample by sample: a sink that calls back when a sample's rows are complete.
 *
 *   fv_by_sample b = {.user = ..., .sample = ...};
 *   fv_store_rows(store, sweep, fv_by_sample_sink(&b), err), then fv_by_sample_end(&b, err), fv_by_sample_release(&b)
 *
 * Ownership: rows and their strings last until fv_by_sample_release. Threads: one owner.
 */
#ifndef FOVEA_STUDY_BY_SAMPLE_H
#define FOVEA_STUDY_BY_SAMPLE_H

#include "fovea/table.h"
#include "study/text_pool.h"

typedef struct fv_by_sample {
  void *user;
  fv_status (*sample)(void *user, const char *name, const fv_row *rows, size_t count, fv_error *err);
  fv_row *rows;
  size_t count, capacity;
  fv_text_pool texts;
} fv_by_sample;

fv_sink fv_by_sample_sink(fv_by_sample *b);
/* Behind the last row. */
fv_status fv_by_sample_end(fv_by_sample *b, fv_error *err);
void fv_by_sample_release(fv_by_sample *b);

/* Rows of the stack of row i: one more than the largest number of a row of that stack. */
int64_t fv_by_sample_rows(const fv_row *rows, size_t count, size_t i);

#endif
