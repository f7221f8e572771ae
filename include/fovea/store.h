/* The store: the database that a study keeps its results in. One SQLite file; docs/results.md has its tables.
 *
 * What is written: a manifest (what was computed, with which model), the sweeps, and sample by sample the long table's
 * rows, taken apart into what is constant for a corrupted run (`bases`), for a site and layer (`places`), and the
 * numbers (`cells`). The view `results` puts them together again with the columns of the long table.
 *
 * A sample is stored in one transaction, which is on the disk when fv_store_put returns (fv_study_run stores small
 * samples that shared a wave together): a kill or a power cut loses at most what is in flight, and an error (a full
 * disk, say) leaves everything stored before as it was. One process at a time may write, which a lock on FILE-lock
 * enforces; others may read meanwhile.
 *
 * Ids do not depend on the order in which samples were stored. Empty cells are NULL; numbers are float32 values (zero
 * loses its sign). Threads: one thread at a time per store. Cost: about 1 microsecond per cell, and one sync of the
 * disk per sample.
 */
#ifndef FOVEA_STORE_H
#define FOVEA_STORE_H

#include "fovea/table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FV_STORE_VERSION 2 /* of the schema: PRAGMA user_version */

typedef struct fv_store fv_store;

typedef enum fv_store_mode {
  FV_STORE_READ,  /* the file must exist; nothing is changed, but what a killed writer left is taken back */
  FV_STORE_WRITE, /* the file must exist; older schemas are brought up to date; the lock is taken */
  FV_STORE_CREATE /* the same, and a file that does not exist is made */
} fv_store_mode;

/* FV_ENOTFOUND: no such file, or an empty one to read from; FV_EFORMAT: not a database, or corrupt, or not of fovea;
 * FV_EUNSUPPORTED: of a newer fovea; FV_EIO: another process writes to it, the folder is read-only, the disk is full,
 * ... */
fv_status fv_store_open(const char *path, fv_store_mode mode, fv_store **out, fv_error *err);
void fv_store_close(fv_store *store);             /* NULL is harmless */
const char *fv_store_path(const fv_store *store); /* as it was opened */

/* The folder that relative pictures of the samples are in, malloc'ed: the study's where it still is, else the
 * database's own. */
fv_status fv_store_folder(const fv_store *store, char **folder, fv_error *err);

/* One value of the manifest in *value, malloc'ed; NULL when there is none. Keys: study (the settings as JSON), model,
 * model_sha256, family, tokenizer_sha256, preprocessor_sha256, version, build, engine, cpu, seed, created, ... */
fv_status fv_store_manifest(const fv_store *store, const char *key, char **value, fv_error *err);
/* Sets it, whatever was there. */
fv_status fv_store_manifest_set(fv_store *store, const char *key, const char *value, fv_error *err);

/* A sweep. */
typedef struct fv_store_sweep {
  int64_t id;       /* adding: 0 takes the next free one */
  const char *name; /* unique */
  const char *kind; /* "patch" or "trace" */
  const char *spec; /* its settings as JSON */
} fv_store_sweep;
/* Adds it and gives its id; one that is there with the same kind and spec only gives it, with others it is
 * FV_EMISMATCH. */
fv_status fv_store_sweep_add(fv_store *store, const fv_store_sweep *sweep, int64_t *id, fv_error *err);

/* What a row of a sample's text is. */
typedef struct fv_store_row {
  const char *stack;
  int64_t row, token_id;
  const char *piece, *name;
} fv_store_row;

/* A sample. NULL, and negative in integers, is empty. */
typedef struct fv_store_sample {
  int64_t id;                  /* in a study: 1 + its place in the table */
  const char *name;            /* unique */
  const char *status, *reason; /* "done", "excluded" or "failed"; why */
  const char *group, *label;   /* from the table of samples */
  int64_t correct_first;       /* 1 when the text names the correct answer before the other */
  const char *image, *image_sha256, *corrupt_image, *corrupt_image_sha256;
  const char *question, *corrupt_question;
  const char *correct, *incorrect;
  int64_t correct_id, incorrect_id;
  const char *answer; /* the clean run's own */
  int64_t answer_id, clean_right;
  int64_t answer_row; /* of the answer's last piece in the question's stack */
  const char *fields; /* further columns of the table as a JSON object */
  int64_t seed;
  double seconds; /* it took, or its share of a wave; NaN: unknown */
  size_t nrows;
  const fv_store_row *rows; /* of the stacks that read text */
} fv_store_sample;
/* Status "done", all else empty. */
void fv_store_sample_defaults(fv_store_sample *sample);

/* Rows of the long table that belong to one sample and sweep. Their `sample` cell is not looked at. */
typedef struct fv_store_result {
  int64_t sweep;
  const fv_table *table;
} fv_store_result;

/* Stores a sample and its results; one transaction. What is there under this id is replaced: the sample, and its
 * results in the sweeps that are named (a result without a table only removes). A name that another id has is
 * FV_EMISMATCH. */
fv_status fv_store_put(fv_store *store, const fv_store_sample *sample, const fv_store_result *results, size_t nresults,
                       fv_error *err);
/* The results alone, for a sample that is there. */
fv_status fv_store_put_results(fv_store *store, int64_t id, const fv_store_result *results, size_t nresults,
                               fv_error *err);
/* Forgets every excluded sample, in one transaction, so that a study tries them again; *count: how many there were. */
fv_status fv_store_forget_excluded(fv_store *store, int64_t *count, fv_error *err);
/* Whether the sample with this id is stored, whatever its status. */
fv_status fv_store_has(const fv_store *store, int64_t id, bool *yes, fv_error *err);

typedef struct fv_store_counts {
  int64_t samples, done, excluded, failed; /* of the study */
  int64_t added;                           /* samples of single experiments (fv_store_add_patch, fv_store_add_trace) */
  int64_t sweeps, bases, cells;            /* of all */
} fv_store_counts;
/* How much the database holds. */
fv_status fv_store_count(const fv_store *store, fv_store_counts *out, fv_error *err);

/* Hands the stored rows of a sweep (NULL: of all) to a sink, in the order sample, sweep, then as they were computed:
 * the same rows that the experiment handed out, with the sweep's name. */
fv_status fv_store_rows(const fv_store *store, const char *sweep, fv_sink sink, fv_error *err);

/* SHA-256 over the content: sweeps, samples, and every number, in a fixed order and without what differs from run to
 * run (times, machine, paths of the database). Two databases with the same digest hold the same results, bit for bit.
 */
fv_status fv_store_digest(const fv_store *store, char hex[65], fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
