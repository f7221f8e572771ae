/* Edits: compiled interventions, and the table of operations.
 *
 * An operation is one file op_NAME.c with one fv_op: its text form and what it does to a contiguous piece of a row. An
 * edit is an operation bound to rows and columns of one step's output (or of the scores or the pattern inside it), with
 * the values it needs. Edits belong to a wave. Adding an operation: write its file, add one line to ops.c.
 */
#ifndef FOVEA_ENGINE_EDIT_H
#define FOVEA_ENGINE_EDIT_H

#include "base/random.h"
#include "base/rowset.h"
#include "fovea/wave.h"
#include "model/loaded.h"

typedef struct fv_edit fv_edit;

/* What parsing an edit's arguments may use. `args` is the text behind the address. */
typedef struct fv_op_context {
  fv_wave *wave;
  const fv_input *input; /* of the edited run */
  const fv_selection *at;
  const char *args;
  int source; /* -1: none */
  fv_rng *rng;
} fv_op_context;

typedef struct fv_op {
  const char *name, *args, *help;
  bool overwrites;   /* the result does not depend on the old value */
  bool wants_values; /* reads a source run, or values */
  bool on_scores;    /* only sites called scores */
  bool draws;        /* the values are random numbers, one row's other than the next's */
  /* Arguments to options; values may be malloc'ed into *owned, which the caller frees. */
  fv_status (*parse)(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err);
  /* n floats at x; v: the matching values, NULL when the operation wants none. */
  void (*apply)(const fv_edit *e, float *x, const float *v, int64_t n);
} fv_op;

extern const fv_op fv_op_replace, fv_op_zero, fv_op_mean, fv_op_add, fv_op_scale, fv_op_mul_gauss, fv_op_add_gauss,
    fv_op_uniform, fv_op_mul, fv_op_block;
const fv_op *fv_op_find(const char *name, size_t n);

struct fv_edit {
  const fv_op *op;
  int run, step;
  fv_part part;
  int64_t T;
  fv_word *rows;      /* rows of this run that are written */
  bool every_new_row; /* also rows appended by generation */
  int nspans;
  fv_span *spans;      /* OUT: columns of the row; scores and pattern: keys */
  int64_t width;       /* floats written per row */
  bool whole;          /* the spans are the whole row */
  int64_t H, S;        /* scores and pattern: heads and keys of the step; 0 for OUT */
  bool every_key;      /* scores and pattern: all keys, those that generation appends too */
  int64_t nheads;      /* scores and pattern: rows of values are [nheads, keys] */
  int64_t *head_index; /* scores and pattern: head -> its place among the selected, or -1; [H] */
  float factor;
  int source; /* run read at source_step, or -1 */
  int source_step;
  int64_t *source_row; /* [T]: row of the source for each written row */
  int nsource_spans;
  fv_span *source_spans;
  int64_t *take_head;   /* part != OUT: the source's head -> its place among those that are read, or -1; [H] */
  float *source_values; /* part != OUT: [rows, nheads, keys] filled while the source run computes; owned */
  float *values;        /* [values_rows, width], owned; NULL: none */
  int64_t values_rows;
  int64_t *value_row; /* [T]: index into values for each written row (values_rows > 1) */
  fv_word *before;    /* reach of the run at this step without its own edits; set by slicing */
};

void fv_edit_release(fv_edit *e);

/* Applies an OUT edit to row t at x; source is the whole source row, or NULL. */
void fv_edit_row(const fv_edit *e, int64_t t, float *x, const float *source);
/* Scores or weights of one row of one head: at[0] is that of key `base`; the row sees the keys `seen`. */
typedef struct fv_keys {
  float *at;
  int64_t base;
  fv_span seen;
} fv_keys;
/* Applies a scores or pattern edit to the keys of one head of row t: what is masked stays masked, so that no edit lets
 * a row depend on later ones. */
void fv_edit_keys(const fv_edit *e, int64_t t, int64_t head, fv_keys keys);
/* The selected keys of one head, [keys] at out; those that the row does not see are -INFINITY in scores and 0 in
 * patterns, however many of them lie behind. */
void fv_keys_copy(const fv_span *spans, int nspans, fv_part part, fv_keys keys, float *out);
/* Hands one head of a source's row to an edit that copies it to its own row number `index`. */
void fv_edit_take_keys(const fv_edit *e, int64_t index, int64_t head, fv_keys keys);

/* Helpers for the operations' parse functions. */
fv_status fv_op_no_args(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err);
/* "key=value,key=value": stores each named number; an unknown or missing required key is an error. */
typedef struct fv_op_key {
  const char *name;
  double *value;
  bool required, found;
} fv_op_key;
fv_status fv_op_keys(const fv_op_context *c, const char *op, fv_op_key *keys, int nkeys, fv_error *err);
/* FILE[:KEY]: a vector of the site's whole width, a tensor of the selection's shape, or either. */
typedef enum fv_op_shape { FV_OP_VECTOR, FV_OP_SELECTION, FV_OP_EITHER } fv_op_shape;
fv_status fv_op_load_values(const fv_op_context *c, const char *file, size_t n, fv_op_shape shape, fv_edit_options *o,
                            float **owned, fv_error *err);
int64_t fv_selection_count(const fv_selection *s);
/* Columns of the row (OUT; its features in each of its heads) or keys (scores, pattern) that a selection means, as
 * spans. False when memory is short. */
bool fv_selection_flatten(const fv_selection *s, fv_span **out, int *n);

#endif
