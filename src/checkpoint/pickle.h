/* What fovea understands of Python pickles, which is as much as a file of tensors needs. Nothing is ever executed.
 *
 * A pickle is a program for a small stack machine. This reader knows the opcodes of protocol 2 that torch.save writes
 * and a fixed table of global names (torch_globals.c); every other opcode or name is refused by name, so the functions
 * that a hostile pickle calls do not exist here. The result is a table of plain values: a call is kept as the called
 * name with its arguments, a persistent id as its tuple. What they mean is decided in torch_tensor.c.
 *
 * Values refer to each other by index, and text points into the pickle's own bytes, which must outlive the result.
 * Lists and dicts may contain themselves: never walk them recursively. Tuples, calls and persistent ids hold only
 * values with smaller indices. Ownership: release with fv_pickle_release. Threads: one. Cost: linear; the numbers of
 * values, memo slots, marks and stack entries are limited.
 */
#ifndef FOVEA_CHECKPOINT_PICKLE_H
#define FOVEA_CHECKPOINT_PICKLE_H

#include "base/bytes.h"
#include "checkpoint/checkpoint.h"

typedef enum fv_pickle_what {
  FV_PICKLE_ORDERED_DICT,
  FV_PICKLE_SIZE,
  FV_PICKLE_TENSOR_V2,
  FV_PICKLE_TENSOR_V3,
  FV_PICKLE_PARAMETER, /* with or without state: the tensor is the first argument */
  FV_PICKLE_STORAGE,
  FV_PICKLE_DTYPE
} fv_pickle_what;

typedef struct fv_pickle_global {
  const char *module, *name;
  fv_pickle_what what;
  fv_dtype dtype; /* of storages and dtypes */
  uint8_t size;   /* bytes per element, also of FV_DTYPE_OTHER; 1 for untyped storages */
  bool untyped;
} fv_pickle_global;

/* The table entry with exactly these names, or NULL. */
const fv_pickle_global *fv_pickle_global_find(const char *module, size_t module_bytes, const char *name,
                                              size_t name_bytes);

typedef enum fv_pickle_kind {
  FV_PICKLE_NONE,
  FV_PICKLE_BOOL,
  FV_PICKLE_INT,
  FV_PICKLE_REAL,
  FV_PICKLE_BIG_INT, /* more than 64 bits: text is its little-endian bytes */
  FV_PICKLE_TEXT,
  FV_PICKLE_TUPLE,
  FV_PICKLE_LIST,
  FV_PICKLE_DICT, /* items are key, value, key, value, ... */
  FV_PICKLE_SET,  /* always empty: there is no opcode to fill one */
  FV_PICKLE_GLOBAL,
  FV_PICKLE_CALL,      /* global, with the items as arguments */
  FV_PICKLE_PERSISTENT /* items of its tuple; the first is the text "storage" */
} fv_pickle_kind;

typedef struct fv_pickle_value {
  fv_pickle_kind kind;
  uint32_t first, last, count; /* cells of the items; valid when count > 0 */
  const fv_pickle_global *global;
  int64_t number; /* bool and int */
  const char *text;
  size_t text_bytes;
} fv_pickle_value;

typedef struct fv_pickle_cell {
  uint32_t value, next; /* next is meaningless in the last cell of an object */
} fv_pickle_cell;

typedef struct fv_pickle {
  fv_pickle_value *values;
  fv_pickle_cell *cells;
  size_t value_count, value_capacity, cell_count, cell_capacity;
  uint32_t root;
} fv_pickle;

/* Reads one pickle at the cursor and leaves it behind the STOP. `path` names the file in messages.
 * Errors: FV_EFORMAT for broken bytes, FV_EUNSUPPORTED for opcodes, names or protocols that are not understood. */
fv_status fv_pickle_read(fv_cursor *at, const char *path, fv_pickle *out, fv_error *err);
void fv_pickle_release(fv_pickle *p);

static inline const fv_pickle_value *fv_pickle_at(const fv_pickle *p, uint32_t i) { return &p->values[i]; }
/* The first `max` items of a value, as many as there are; returns their number. */
uint32_t fv_pickle_items(const fv_pickle *p, const fv_pickle_value *v, uint32_t max, const fv_pickle_value **items);
bool fv_pickle_is_text(const fv_pickle_value *v, const char *text);
/* "a dict", "an integer", ... */
const char *fv_pickle_kind_name(fv_pickle_kind kind);

#endif
