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

#include "fovea/status.h"

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

#ifdef __cplusplus
}
#endif
#endif
