/* What a report shows, collected first and written as a page at the end.
 *
 * A source (report_db.c, report_table.c) announces facts, sweeps, samples and checks, then feeds the rows of each sweep
 * in order through fv_report_begin; report_page.c writes the page. Ownership: everything that is announced is copied.
 * Threads: one owner.
 */
#ifndef FOVEA_STUDY_REPORT_DATA_H
#define FOVEA_STUDY_REPORT_DATA_H

#include "fovea/report.h"
#include "fovea/store.h"
#include "study/by_sample.h"
#include "study/report_maps.h"
#include "study/text_pool.h"

typedef struct fv_report_fact {
  const char *name, *value;
} fv_report_fact;

typedef struct fv_report_sweep {
  const char *name, *kind, *spec;
} fv_report_sweep;

typedef struct fv_report_check {
  const char *name, *sweep, *what, *spec, *created;
  double value, low, high;
  int64_t n;
} fv_report_check;

typedef struct fv_report_picture {
  const char *image, *corrupt_image, *image_sha256, *corrupt_image_sha256;
} fv_report_picture;

/* The runs without a patch: sums over the runs of the first sweep and corruption that have the number. */
typedef struct fv_report_base {
  size_t sweep;
  const char *corrupt;
  double clean, corrupted;
  int64_t n;
} fv_report_base;

/* NULL, negative and NaN are empty. */
typedef struct fv_report_sample {
  const char *name, *status, *reason, *group, *label;
  fv_report_picture *pictures; /* copied when the sample is announced */
  size_t npictures;
  const char *question, *corrupt_question, *correct, *incorrect, *answer;
  int64_t right;      /* 1: the clean run's answer is the correct one */
  int64_t answer_row; /* in the stack that reads the question */
  /* filled while rows are fed */
  bool keep;
  int64_t group_index;
  fv_report_base prob, logit_diff;
  fv_report_kept kept;
} fv_report_sample;

typedef struct fv_report {
  fv_report_options options;
  fv_text_pool strings;
  const char *title, *kind, *question_stack; /* question_stack NULL: any stack but a picture's and a decoder */
  const fv_store *store;                     /* NULL: no study */
  const char *folder;                        /* of the database: where relative pictures may lie */
  fv_report_fact *facts;
  size_t nfacts, facts_capacity;
  fv_report_sweep *sweeps;
  size_t nsweeps, sweeps_capacity;
  fv_report_check *checks;
  size_t nchecks, checks_capacity;
  fv_report_sample *samples;
  size_t nsamples, samples_capacity;
  const char **groups;
  size_t ngroups, groups_capacity;
  fv_report_maps maps;
  size_t cursor; /* the sample found last */
  int64_t rows;  /* fed so far */
  bool whole_corruptions;
} fv_report;

void fv_report_release(fv_report *r);
fv_status fv_report_add_fact(fv_report *r, const char *name, const char *value, fv_error *err);
fv_status fv_report_add_sweep(fv_report *r, const char *name, const char *kind, const char *spec, fv_error *err);
fv_status fv_report_add_check(fv_report *r, const fv_report_check *check, fv_error *err);
fv_status fv_report_add_sample(fv_report *r, const fv_report_sample *sample, fv_error *err);

/* Decides which samples keep their own values, given how many rows there are in all; after the last sample and before
 * the first row. */
void fv_report_choose(fv_report *r, int64_t rows);
/* A sweep's rows, in the order of the samples: everything between begin and end goes to the sweep with this index. */
typedef struct fv_report_feeder {
  fv_report *report;
  size_t sweep;
  fv_by_sample rows;
} fv_report_feeder;
fv_sink fv_report_begin(fv_report_feeder *feeder, fv_report *r, size_t sweep);
fv_status fv_report_end(fv_report_feeder *feeder, fv_status st, fv_error *err);

/* report_page.c */
fv_status fv_report_page(fv_report *r, const char *path, fv_error *err);

#endif
