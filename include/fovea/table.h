/* The long table: what every experiment writes, one line per run.
 *
 * An experiment hands fv_rows to an fv_sink, one at a time, in order. A sink is two words: user data and a function.
 * Here are the sinks of the library: a CSV file, a JSON file, a table in memory, and a tee that feeds several. The
 * table in memory can be pivoted into a grid (what a heat map draws) and saved as NumPy arrays.
 *
 * Empty cells: a NULL string, a NaN number, a negative integer. Numbers are written with the fewest digits that read
 * back to the same float32, whatever the locale; infinities are `inf` and `-inf` (in JSON, the strings).
 *
 * Ownership: rows and their strings are borrowed for the length of the call. Files appear complete or not at all: a
 * commit publishes the file, an abort leaves what was there before. Threads: one owner at a time for each object.
 * Cost: constant memory for files ("-", standard output, is held until commit while it is less than 16 MiB); the table
 * in memory keeps each different string once.
 */
#ifndef FOVEA_TABLE_H
#define FOVEA_TABLE_H

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_row {
  const char *sample;
  int64_t draw;
  const char *corrupt, *stack, *site;
  int64_t layer, window, row;
  const char *piece;
  int64_t head;
  const char *from, *to, *op;
  float prob, logit, logit_diff, p_diff, effect, kl;
  int64_t rank;
  float clean_prob, corrupt_prob, clean_logit_diff, corrupt_logit_diff;
  int64_t answer_id;
  const char *answer;
  int64_t incorrect_id; /* patching: what the answer is compared with. Kept in databases; no column of the table */
  const char *sweep;    /* of a study; an experiment leaves it empty */
} fv_row;

/* A row whose cells are all empty. */
void fv_row_defaults(fv_row *row);

typedef struct fv_sink {
  void *user;
  fv_status (*row)(void *user, const fv_row *row, fv_error *err);
} fv_sink;

/* ---- files ---- */

typedef struct fv_table_file fv_table_file;

/* CSV: a header line with all columns but `sweep`, then one line per row (RFC 4180 quoting, line feeds). path "-" is
 * standard output. */
fv_status fv_csv_open(const char *path, fv_table_file **out, fv_error *err);
/* The same with a last column `sweep`, where rows of several sweeps have to be told apart. */
fv_status fv_csv_open_sweeps(const char *path, fv_table_file **out, fv_error *err);
/* JSON: an array of objects that hold only the cells that are not empty. */
fv_status fv_json_rows_open(const char *path, fv_table_file **out, fv_error *err);
/* The sink refuses strings that are not UTF-8 (FV_EFORMAT). */
fv_sink fv_table_file_sink(fv_table_file *file);
int64_t fv_table_file_rows(const fv_table_file *file);              /* written so far */
fv_status fv_table_file_commit(fv_table_file *file, fv_error *err); /* frees `file` in every case */
void fv_table_file_abort(fv_table_file *file);                      /* frees `file`; NULL is harmless */

/* ---- several sinks ---- */

typedef struct fv_tee {
  size_t count;
  const fv_sink *sinks; /* borrowed */
} fv_tee;

/* Feeds each row to every sink in turn and stops at the first that fails. `tee` must outlive the sink. */
fv_sink fv_tee_sink(fv_tee *tee);

/* ---- the table in memory ---- */

typedef struct fv_table fv_table;

fv_status fv_table_new(fv_table **out, fv_error *err); /* empty; FV_ENOMEM */
void fv_table_free(fv_table *table);                   /* NULL is harmless */
/* The sink adds rows to the table, which must outlive it. */
fv_sink fv_table_sink(fv_table *table);
size_t fv_table_count(const fv_table *table);
/* Row i < fv_table_count, valid until the next row is added; its strings live as long as the table. */
const fv_row *fv_table_row(const fv_table *table, size_t i);

/* A grid of one metric: values[y * cols + x], NaN where the table has no (finite) value. */
typedef struct fv_grid {
  int64_t rows, cols;
  float *values;
  int64_t *counts; /* rows of the table behind each value */
  char **row_labels, **col_labels;
  int64_t *row_keys, *col_keys; /* the integers of the axes; -1 for axes of strings */
} fv_grid;

typedef struct fv_pivot {
  const fv_row *where; /* rows must equal its cells that are not empty; NULL = all rows */
  const char *y, *x;   /* columns of integers (sorted) or strings (in order of appearance): "row", "layer", ... */
  const char *metric;  /* a column of numbers: "prob", "effect", ... */
  int64_t rows, cols;  /* > 0: an axis of integers has the keys 0..n-1, present or not; 0 = those present */
} fv_pivot;

/* Averages (in float64, in table order) all rows that fall into one cell; NaN and infinite values are left out. The
 * labels of the axis "row" are the pieces, where the table has them. Columns that do not exist and an axis with
 * nothing in it are errors. Release with fv_grid_release. */
fv_status fv_table_pivot(const fv_table *table, const fv_pivot *pivot, fv_grid *out, fv_error *err);
void fv_grid_release(fv_grid *grid);

/* ---- NumPy archives ---- */

typedef enum fv_npy { FV_NPY_F32, FV_NPY_F64, FV_NPY_I64, FV_NPY_BOOL, FV_NPY_TEXT } fv_npy;

typedef struct fv_npz fv_npz;

/* Begins an archive; commit or abort ends it. Errors: FV_EIO, FV_ENOMEM; of adding also FV_EUSAGE (a name twice),
 * FV_ESHAPE, FV_EFORMAT (text that is not UTF-8). */
fv_status fv_npz_open(const char *path, fv_npz **out, fv_error *err);
/* Adds the array NAME.npy in C order; ndim 0 is a scalar. data: float, double, int64_t, bool, or const char * (UTF-8,
 * stored as NumPy's <U; NULL is ""). Each name once. */
fv_status fv_npz_add(fv_npz *npz, const char *name, fv_npy type, size_t ndim, const int64_t *shape, const void *data,
                     fv_error *err);
fv_status fv_npz_commit(fv_npz *npz, fv_error *err); /* frees `npz` in every case */
void fv_npz_abort(fv_npz *npz);                      /* frees `npz`; NULL is harmless */

/* One causal trace under the key names of ROME's archives, so that plotting code written for those reads it:
 * scores [tokens, layers], low_score, high_score, input_ids, input_tokens, subject_range, answer, window,
 * correct_prediction, kind. */
typedef struct fv_rome {
  int64_t tokens, layers;
  const float *scores;
  double low_score, high_score;
  const int64_t *input_ids;        /* [tokens] */
  const char *const *input_tokens; /* [tokens] */
  int64_t subject_begin, subject_end;
  const char *answer, *kind; /* kind: of fv_rome_kind */
  int64_t window;
  bool correct_prediction;
} fv_rome;

/* Writes it, complete or not at all. Errors: those of fv_npz_add and fv_npz_commit. */
/* What those archives call a site: "mlp" and "attn" for the parts of a block, "" for the states between them. Their
 * plotting code chooses its colours by this word and knows no other. */
const char *fv_rome_kind(const char *site);
fv_status fv_rome_write(const char *path, const fv_rome *trace, fv_error *err);

/* ---- numbers ---- */

#define FV_NUMBER_TEXT 32

/* The fewest digits that read back to the same float32, in plain notation for 1e-5 <= |v| < 1e16 and zero, else as
 * 1.5e-7. NaN is "". Returns the length. */
size_t fv_number_format(char out[FV_NUMBER_TEXT], float value);

#ifdef __cplusplus
}
#endif
#endif
