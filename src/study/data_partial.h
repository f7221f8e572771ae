/* The answers of an evaluation that is not finished: a small database beside the table that is to be written.
 *
 * It is a store without sweeps: the manifest says of which model, samples and options the answers are, `samples` has
 * one line per answer. Finished answers go in one transaction, which is on the disk when fv_partial_put returns, so a
 * kill loses only the samples in flight. The file is made with the first answers; an evaluation that fails before
 * leaves nothing.
 *
 * Ownership: fv_partial_init borrows everything for as long as the evaluation lasts; fv_partial_close leaves the file.
 * Threads: one. Checked by: tests/cli/test_cli_data.c
 */
#ifndef FOVEA_STUDY_DATA_PARTIAL_H
#define FOVEA_STUDY_DATA_PARTIAL_H

#include "fovea/data.h"
#include "fovea/store.h"

typedef struct fv_partial {
  const char *path; /* NULL: nothing is kept */
  const fv_model *model;
  const char *what; /* SHA-256 of everything else that the answers depend on */
  fv_store *store;  /* NULL: the file is not there yet */
} fv_partial;

/* Opens the file when it is there. FV_EMISMATCH: its answers are of another model, or of something else. */
fv_status fv_partial_open(fv_partial *partial, fv_error *err);
/* Sets the column of the samples that have been answered, and answered[i]. */
fv_status fv_partial_take(const fv_partial *partial, fv_pairs *pairs, const char *column, bool *answered,
                          fv_error *err);
/* Keeps the column of these samples. */
fv_status fv_partial_put(fv_partial *partial, const fv_pairs *pairs, const char *column, const size_t *samples,
                         size_t n, fv_error *err);
void fv_partial_close(fv_partial *partial);

#endif
