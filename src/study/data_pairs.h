/* Making fv_pairs: adding samples, setting their columns, leaving samples out.
 *
 * The columns of a sample table have one definition, fv_pair_columns, from which the reader and the writer work.
 * Setters copy. A failed call leaves the list as it was, apart from a sample that is not finished: release the list.
 */
#ifndef FOVEA_STUDY_DATA_PAIRS_H
#define FOVEA_STUDY_DATA_PAIRS_H

#include "fovea/data.h"

typedef struct fv_pair_column {
  const char *name;
  size_t offset;          /* of the string in fv_pair; SIZE_MAX: correct_first */
  const char *aliases[3]; /* other names that are read */
  bool picture;
} fv_pair_column;
extern const fv_pair_column fv_pair_columns[];
enum { FV_PAIR_COLUMNS = 11 };

/* The string that a column with an offset names. */
char **fv_pair_text(fv_pair *pair, const fv_pair_column *column);

/* An empty sample at the end of the list, valid until the next one; correct_first is -1. The name is copied. */
fv_status fv_pairs_add(fv_pairs *pairs, const char *sample, fv_pair **out, fv_error *err);
/* Takes the last sample away again. */
void fv_pairs_drop_last(fv_pairs *pairs);
/* Copies text into *at, releasing what was there; NULL and "" empty the cell. */
fv_status fv_pair_set(char **at, const char *text, fv_error *err);
/* Sets, replaces or (NULL, "") removes a further column. */
fv_status fv_pair_set_field(fv_pair *pair, const char *name, const char *value, fv_error *err);
fv_status fv_pairs_exclude(fv_pairs *pairs, const char *name, const char *reason, fv_error *err);
/* Keeps the samples whose keep[] is true, in their order. */
void fv_pairs_filter(fv_pairs *pairs, const bool *keep);
/* Two samples of one name, in the order of the list; NULL when there are none. */
fv_status fv_pairs_repeated(const fv_pairs *pairs, const fv_pair **first, const fv_pair **second, fv_error *err);

#endif
