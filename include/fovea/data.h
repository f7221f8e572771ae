/* Samples of a study: the table that a study reads, and builders that make it from data sets.
 *
 * A sample table is a CSV file with a header, or JSON lines with the same keys (docs/data.md):
 *
 *   sample            unique name; default: the number of the row, from 0
 *   image             the clean picture          corrupt_image      its corruption
 *   question, prompt  the clean text: for the family's template, or raw
 *   corrupt_question  the corrupted text; raw in a row that has a prompt
 *   correct, incorrect  the two answers          label              gold answer or class
 *   group             what samples are averaged over
 *   correct_first     1 when the correct answer is named before the incorrect one, 0 when behind it
 *
 * and any further columns, which are kept as text. NOTICE's names are read, too: clean_image_path, correct_image_path;
 * corrupt_image_path, incorrect_image_path; clean_prompt (a prompt when it contains "<image>", else a question);
 * corrupt_prompt; correct_answer; incorrect_answer; state (group); generated_text, generated_answer (the further column
 * "generated"). An unnamed column, the running index of a data frame, is dropped.
 *
 * Ownership: fv_pairs owns its strings; NULL is an empty cell. Threads: one owner at a time. Cost: the table in memory.
 * Checked by: tests/study/test_data_pairs.c
 */
#ifndef FOVEA_DATA_H
#define FOVEA_DATA_H

#include "fovea/input.h"
#include "fovea/wave.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_pair {
  char *sample; /* never NULL */
  char *image, *question, *prompt, *corrupt_image, *corrupt_question;
  char *correct, *incorrect, *group, *label;
  int correct_first; /* 1, 0, or -1: unknown */
  size_t nfields;    /* further columns that have a value */
  char **field_names, **field_values;
  int64_t line; /* in the table it was read from; 0: none */
} fv_pair;

/* What a builder left out: where it was, and why. Reasons are few, so that they can be counted. */
typedef struct fv_exclusion {
  char *name, *reason;
} fv_exclusion;

typedef struct fv_pairs {
  size_t count;
  fv_pair *list;
  size_t nexcluded;
  fv_exclusion *excluded;
  int64_t nread; /* rows of the source table, or pictures found */
} fv_pairs;

/* Reads PATH.csv or PATH.jsonl. Relative pictures are taken from the table's folder (URLs stay as they are); whether
 * they exist is not checked. Errors name file and line: a row without picture and text, with question and prompt, two
 * columns of one meaning, a sample that is there twice, correct_first other than 0 or 1, a table without rows. */
fv_status fv_pairs_load(const char *path, fv_pairs *out, fv_error *err);
/* Writes PATH.csv or PATH.jsonl, complete or not at all. Pictures are written relative to the table's folder where
 * the two have a folder in common, else as absolute paths. */
fv_status fv_pairs_save(const char *path, const fv_pairs *pairs, fv_error *err);
/* Writes the excluded as CSV: name, reason. */
fv_status fv_pairs_save_excluded(const char *path, const fv_pairs *pairs, fv_error *err);
void fv_pairs_release(fv_pairs *pairs);
/* A further column of one sample, NULL when it has none of that name. */
const char *fv_pair_field(const fv_pair *pair, const char *name);

/* ---- builders ---- */

typedef struct fv_data_kind {
  const char *name, *summary;
  const char *needs; /* options without which it cannot work, separated by blanks: "table images" */
} fv_data_kind;
/* The builders; NULL behind the last. */
const fv_data_kind *fv_data_kind_at(size_t i);

typedef struct fv_data_options {
  const char *kind;    /* name of a builder */
  const char *table;   /* the source table: CSV */
  const char *images;  /* the folder with the pictures; cifar10: where they are written (created when absent) */
  const char *batches; /* cifar10: the folder of the batches (binary or Python version), or one of them */
  const char *prompts; /* svo: CSV with the columns prompt and corrected, or NULL */
  int64_t seed;        /* of every random choice; each sample has a stream of its own */
  int64_t limit;       /* rows of the table or pictures to look at; 0: all */
  int64_t words;       /* coco-qa: only questions of that many words; 0: all */
  bool keep_black;     /* keep pictures that are black all over, which is how failed downloads were stored */
  bool gray;           /* cifar10: the corrupted picture is the gray one */
  bool train;          /* cifar10: the training pictures instead of the test pictures */
} fv_data_options;

/* Makes samples; what cannot be used is excluded with a reason. Layouts and rules: docs/data.md. Errors: FV_EUSAGE
 * (unknown kind, missing option), FV_EUNSUPPORTED (coco), those of reading; no sample left is FV_EFORMAT. */
fv_status fv_data_build(const fv_data_options *options, fv_pairs *out, fv_error *err);

/* ---- what a model says to the samples, and which of them to take ---- */

typedef struct fv_evaluate_options {
  fv_input_options input; /* exif and pillow; the rest comes from the samples */
  size_t memory;          /* bytes for activations; 0: no limit */
  int64_t max_new;        /* generated tokens; 0: the family's limit */
  int64_t batch;          /* samples per wave; 0: 8 */
  bool corrupted;         /* the corrupted picture and text instead: column generated_corrupt */
  const char *partial;    /* a file that keeps finished answers, so that the same call goes on after a kill; made with
                             the first of them, and the caller's to remove when the table is saved. NULL: none */
} fv_evaluate_options;

/* Greedy answers to all samples, in the further column "generated". Samples whose picture or text is missing or cannot
 * be read are excluded. The answers do not depend on the batch. FV_ECANCELLED: stopped by `progress`; FV_EMISMATCH: the
 * partial file is of another model, other samples or options. */
fv_status fv_data_evaluate(const fv_model *model, const fv_evaluate_options *options, fv_pairs *pairs,
                           const fv_progress *progress, fv_error *err);

typedef struct fv_select_options {
  const char *rule; /* fer, mit-states, svo, cifar10 */
  int64_t count;    /* samples per group and half; 0: the rule's */
  int64_t seed;     /* pandas' random_state; the published selections used 1 */
  bool svo_dup; /* take the positive pictures of SVO-Probes twice instead of the negative ones, as the original did */
} fv_select_options;

/* Keeps samples whose generated answer is correct, as many per group and half (correct answer first or second;
 * positive or negative picture), drawn as pandas' .sample(n, random_state=seed) draws; what is left out is excluded.
 * The order is that of groups (as they appear), halves and draws. Errors: FV_EUSAGE, FV_EFORMAT (nothing left). */
fv_status fv_data_select(const fv_select_options *options, fv_pairs *pairs, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
