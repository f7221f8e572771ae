/* Addresses: STACK.LAYERS.SITE[#HEADS][@ROWS][:FEATURES], or a name of another tool.
 *
 * LAYERS, HEADS and FEATURES are comma lists of 12, -1, inclusive 3-7, or *; ROWS also knows names (cls, image, text,
 * last), image[r,c] and "word". Other tools' names (a transformers module path, pyvene's component, NOTICE's kind)
 * stand for STACK.LAYERS.SITE and are resolved to the canonical address. An address that matches nothing is an error.
 * Without @ROWS an address means all rows; head.logits means the answer row, the last.
 * Lists keep their order, and name each thing once: @4,2 of one run can be written from @1,3 of another.
 * A selection is the part of one site that an address means for one input; it owns its arrays.
 */
#ifndef FOVEA_ADDRESS_H
#define FOVEA_ADDRESS_H

#include "fovea/input.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_span {
  int64_t lo, hi; /* lo included, hi excluded */
} fv_span;

typedef struct fv_selection {
  char address[96];       /* canonical, without selectors: "text_encoder.3.cross.z" */
  int step, part;         /* where in the plan */
  int stack, layer;       /* layer -1: the site has none */
  const char *site;       /* "cross.z" */
  const char *row_stack;  /* whose rows these are: keys of cross-attention have the picture's. NULL: no stack's */
  int64_t T;              /* rows of the site for this input */
  int64_t nrows, *rows;   /* selected rows, in the order named */
  bool all_rows;          /* no @ROWS was given */
  int64_t nheads, *heads; /* selected heads, in the order named; 0: the site has no head structure */
  bool all_heads;
  int64_t head_width; /* floats of one head in a row; for scores and pattern the number of keys */
  int64_t nspans;     /* features within a head (or within the row where there are no heads) */
  fv_span *spans;
  bool all_features;
  int64_t width; /* floats selected in one row */
} fv_selection;

/* Frees the arrays and empties the struct; harmless on an empty one. The struct itself is the caller's. */
void fv_selection_release(fv_selection *s);
/* The largest selected row. */
int64_t fv_selection_last_row(const fv_selection *s);

/* All selections that an address means, in plan order: one per layer. Release each, then free(*out).
 * FV_EUSAGE: not an address; FV_ENOTFOUND: nothing of that name, layer, head, row or feature, or a stack that this
 * input gives no rows; FV_ENOMEM. */
fv_status fv_address_resolve(const fv_model *model, const fv_input *input, const char *address, fv_selection **out,
                             size_t *count, fv_error *err);
/* The canonical form of an address as it was typed, selectors kept. *tool names the tool whose name it was
 * ("transformers", "pyvene", "NOTICE"), or is NULL when it is fovea's own; a constant. */
fv_status fv_address_canonical(const fv_model *model, const char *address, char *out, size_t size, const char **tool,
                               fv_error *err);
/* The rows of a stack that a ROWS list means. *rows is malloc'ed, in the order named. */
fv_status fv_rows_parse(const fv_input *input, const char *stack, const char *text, int64_t **rows, int64_t *count,
                        fv_error *err);
/* A comma list of numbers 0..limit-1 (12, -1, 3-7, *); `what` names it in errors. *list is malloc'ed, in the order
 * named. */
fv_status fv_numbers_parse(const char *text, size_t n, int64_t limit, const char *what, int64_t **list, int64_t *count,
                           fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
