/* Reports: one self-contained HTML page about a study's database, or about one experiment's table.
 *
 * The page says what was asked, of which model, with which data; shows heat maps of the averages and of single samples,
 * head grids, the second-method checks, the samples with their pictures, what was excluded and why, and the manifest.
 * It needs no network: styles, script, pictures and numbers are inside, and its content policy forbids everything else.
 * Whatever texts the data hold are shown as text. Numbers are those of the long table: a value of one run has the
 * digits that the CSV has; averages are float64 sums in the table's order, rounded to float32.
 *
 * Samples are many and pages must stay small: all samples count in the averages; `pictures` and `maps` bound how many
 * bring their pictures and their own maps, `listed` how many are listed at all. The page says what it leaves out.
 *
 * Ownership: everything is borrowed for the call. Threads: any, each call on its own. The same input gives the same
 * page, byte for byte.
 */
#ifndef FOVEA_REPORT_H
#define FOVEA_REPORT_H

#include "fovea/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_report_options {
  int64_t listed;   /* samples in the list; default 5000 */
  int64_t pictures; /* of these, how many show their pictures; default 200 */
  int64_t maps;     /* of these, how many bring their own maps; default 200 */
  int64_t numbers;  /* over all of these maps; default 600000, about 6 MB */
  int64_t side;     /* pixels of a picture's longer side; default 112 */
  double threshold; /* of circuits: standard deviations above the mean importance; default 2 */
} fv_report_options;

/* The numbers above. */
void fv_report_defaults(fv_report_options *options);

/* The page of a study's database. Pictures are looked for in the study's folder, beside the database, and as they are
 * named; of one that is missing or was changed the page says so. NULL options are the defaults. Errors: those of
 * fv_store_open; FV_EIO (cannot write), FV_ENOMEM. */
fv_status fv_report_write(const char *db, const char *path, const fv_report_options *options, fv_error *err);

/* ---- the page of one experiment ---- */

typedef struct fv_page_fact {
  const char *name, *value;
} fv_page_fact;

typedef struct fv_page_shot {
  const char *image, *corrupt_image; /* files; corrupt_image NULL: it is not another one */
} fv_page_shot;

typedef struct fv_page_sample {
  const char *name; /* as in the table's column `sample`; NULL for a single experiment */
  const fv_page_shot *pictures;
  size_t npictures;
  const char *question, *corrupt_question;
  const char *correct, *incorrect;
  const char *answer;   /* the clean run's own */
  int64_t answer_row;   /* of the answer's word in `question_stack`; -1: none */
  const char *excluded; /* the reason, for one that was left out */
} fv_page_sample;

typedef struct fv_page {
  const char *title;
  const char *kind; /* "trace" or "patch" */
  const char *question_stack;
  const fv_page_fact *facts; /* the manifest: model, hashes, seed, options */
  size_t nfacts;
  const fv_page_sample *samples;
  size_t nsamples;
} fv_page;

/* The page of one experiment: `table` holds its rows. Errors: FV_EUSAGE (an empty table), FV_EIO, FV_ENOMEM. */
fv_status fv_page_write(const char *path, const fv_page *page, const fv_table *table, const fv_report_options *options,
                        fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
