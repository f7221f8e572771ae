/* The columns of the long table, in their order: the one definition that the CSV header, the JSON keys and the pivot
 * read. fv_cell_* look at one cell of a row through its column.
 */
#ifndef FOVEA_REPORT_COLUMNS_H
#define FOVEA_REPORT_COLUMNS_H

#include "fovea/table.h"

typedef enum fv_column_type { FV_COLUMN_TEXT, FV_COLUMN_INT, FV_COLUMN_NUMBER } fv_column_type;

typedef struct fv_column {
  const char *name;
  fv_column_type type;
  size_t offset; /* into fv_row */
} fv_column;

#define FV_COLUMNS 27 /* the last, `sweep`, is not in the table of one experiment */
extern const fv_column fv_columns[FV_COLUMNS];

/* NULL when there is no such column. */
const fv_column *fv_column_find(const char *name);

const char *fv_cell_text(const fv_row *row, const fv_column *column);
int64_t fv_cell_int(const fv_row *row, const fv_column *column);
float fv_cell_number(const fv_row *row, const fv_column *column);
bool fv_cell_empty(const fv_row *row, const fv_column *column);

#endif
