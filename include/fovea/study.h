/* Studies: samples x sweeps from a study file, computed sample by sample into a database.
 *
 * fv_study_load reads and checks everything that can be checked without the model: every error names file, line and
 * column. fv_study_check does the rest with the model. fv_study_run computes the samples that the database does not
 * hold yet, so that a study goes on wherever it was stopped, and ends with the same bits (fv_store_digest): each
 * sample starts from a seed made of the study's seed and its name, whatever the order, the shard and the threads.
 * All sweeps of a sample are computed in one wave, which several small samples share: inputs, corrupted runs and
 * patched runs that several sweeps have in common are computed once. Meanwhile a thread decodes the next samples'
 * pictures and another one writes the last ones' rows.
 *
 * A sample that cannot be used (an unreadable picture, two answers with the same first token, a corrupted text with
 * another number of rows) is stored as excluded with the reason; only a study without a usable sample fails.
 *
 * Shard I of N computes the samples whose place in the table is I - 1 modulo N into a database of its own;
 * fv_study_merge puts such databases together. The file's keys are in docs/studies.md.
 *
 * Ownership: the study owns its texts. Threads: a study belongs to one thread at a time.
 */
#ifndef FOVEA_STUDY_H
#define FOVEA_STUDY_H

#include "fovea/patch.h"
#include "fovea/store.h"
#include "fovea/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_study fv_study;

/* Reads a study file and its sample table. FV_EIO, FV_ENOTFOUND: a file; FV_EFORMAT, FV_EUSAGE: what it says;
 * FV_ENOMEM. */
fv_status fv_study_load(const char *path, fv_study **out, fv_error *err);
void fv_study_free(fv_study *study); /* NULL is harmless */

/* What the file says. The model is a path or a name, as it was written; the database is relative to the file's folder
 * there and a path that can be opened here. */
const char *fv_study_name(const fv_study *study);
const char *fv_study_model(const fv_study *study);
const char *fv_study_db(const fv_study *study);
const char *fv_study_folder(const fv_study *study);
int64_t fv_study_threads(const fv_study *study); /* 0: not said */
size_t fv_study_memory(const fv_study *study);   /* 0: not said */
int64_t fv_study_samples(const fv_study *study);
/* Address i of the sites and corruptions of all sweeps as they were written, NULL behind the last. */
const char *fv_study_address(const fv_study *study, size_t i);
/* File i that is to be written when all samples are there, as a path that can be opened here; NULL behind the last. */
const char *fv_study_output(const fv_study *study, size_t i);
int64_t fv_study_left_out(const fv_study *study); /* rows and pictures of a data set that gave no sample */

/* Puts the place of a key's value in the file before an error that the value has caused: FV_EFORMAT. */
fv_status fv_study_blame(const fv_study *study, const char *key, fv_error *err);

/* Refuses, with the place in the file, outputs that cannot be written, that are the database (NULL: the study's own),
 * each other, or something that the study reads: FV_EFORMAT. Before computing. */
fv_status fv_study_check_outputs(const fv_study *study, const char *db, fv_error *err);

typedef struct fv_study_options {
  const char *db;        /* instead of the study's; NULL: that one */
  int64_t shard, shards; /* shard 1..shards of the samples; shards 0: all of them */
  size_t memory;         /* bytes for activations, 0: no limit */
  int64_t wave_samples;  /* samples that share one wave, 8 at most; 0: as many as are no more than 12 Gflop and 4,096
                            runs together */
  fv_progress progress;  /* share of this call's samples that is done; fn may be NULL */
} fv_study_options;

/* Every address, corruption, list of heads, rows and layers against the model. */
fv_status fv_study_check(const fv_study *study, const fv_model *model, fv_error *err);

/* Costs are those of a few samples, times their number. */
typedef struct fv_study_cost {
  int64_t samples, stored; /* of this shard; those that the database has */
  int64_t lacking;         /* to be excluded: without something that a sweep needs */
  int64_t probed;          /* samples whose costs were found; the others are taken to cost as much */
  int64_t cells;           /* rows of the long table still to come */
  double bytes;            /* of the database for them */
  fv_cost cost;            /* of the samples still to come */
  char reason[512];        /* of the first that was tried and cannot be used, with its name; "" */
} fv_study_cost;
/* What fv_study_run would do now; computes nothing. */
fv_status fv_study_plan(const fv_study *study, const fv_model *model, const fv_study_options *options,
                        fv_study_cost *out, fv_error *err);

typedef struct fv_study_result {
  int64_t samples, stored; /* of this shard; those that the database had at the beginning */
  int64_t done, excluded;  /* by this call */
  int64_t runs;            /* of the model, by this call */
  char reason[512];        /* of the first sample excluded by this call, with its name; "" */
  char note[512];          /* something that the user should know; "" */
  double seconds;          /* of this call */
  double waited, writing;  /* of these: for pictures or the writer; processor seconds of the writer beside */
} fv_study_result;

/* Computes what is missing. FV_ECANCELLED: stopped by `progress`; what was finished is stored. FV_EMISMATCH: the
 * database holds another study, whose differences are named; FV_EFORMAT: no sample can be used. */
fv_status fv_study_run(const fv_study *study, const fv_model *model, const fv_study_options *options,
                       fv_study_result *result, fv_error *err);

/* Whether a database holds this study's results (FV_EMISMATCH: another's, with the differences), or none of a study.
 * FV_ENOTFOUND: there is no such file. */
fv_status fv_study_matches(const fv_study *study, const char *db, fv_error *err);
/* "DB.shard-I-of-N", malloc'ed; NULL: no memory. */
char *fv_study_shard_path(const char *db, int64_t shard, int64_t shards);
/* The shards that lie beside a database. Release each and the list with free(). */
fv_status fv_study_shards_found(const char *db, char ***paths, size_t *count, fv_error *err);
/* Writes the outputs, each complete or not at all, if the database (NULL: the study's own) has all of the study's
 * samples; *written says whether. Errors: those of fv_study_matches, fv_export_csv, fv_export_json, fv_export_npz and
 * fv_report_write. */
fv_status fv_study_write_outputs(const fv_study *study, const char *db, bool *written, fv_error *err);

/* Adds what the databases hold to `db`, which is made when there is none; samples that it has are left alone. They
 * must be of the same study and the same model (FV_EMISMATCH). Each is added in one transaction; an empty file, as a
 * process leaves it that was killed at its first step, adds nothing. note: something that the user should know, as in
 * fv_study_result; "". FV_ENOTFOUND: one is not there. */
fv_status fv_study_merge(const char *db, const char *const *from, size_t count, char note[512], fv_error *err);

/* One experiment's rows, as --db adds them. The sample is the one with the same name, picture and text, or a new one
 * (without a name: "STEM: question"); the sweep is the one with the same settings, or a new one ("patch", "patch-2",
 * ...); what that sweep had for the sample is replaced. FV_EMISMATCH: the database is another model's. */
fv_status fv_store_add_trace(fv_store *store, const fv_model *model, const fv_trace_options *options,
                             const fv_trace_result *result, const fv_table *table, fv_error *err);
fv_status fv_store_add_patch(fv_store *store, const fv_model *model, const fv_patch_options *options,
                             const fv_patch_result *result, const fv_table *table, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
