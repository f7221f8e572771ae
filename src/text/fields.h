/* Required fields of a JSON object, with errors that name file and field.
 *
 * The getters of base/json.h give a default when a key is absent. The parts of a tokenizer.json have no defaults: the
 * library that writes these files refuses to read one with a field missing, and so do we. Strings are borrowed from
 * the JSON value and may contain NUL. Threads: pure functions.
 */
#ifndef FOVEA_TEXT_FIELDS_H
#define FOVEA_TEXT_FIELDS_H

#include "base/json.h"

typedef struct fv_slice {
  const char *at;
  size_t n;
} fv_slice;

/* The beginning of a string from a file, for a message; never ends inside a character. Use as FV_QUOTE(s) in the
 * arguments of fv_fail: the copy lives until the end of that call. */
typedef struct fv_quote {
  char text[64];
} fv_quote;
fv_quote fv_quote_of(const char *s);
#define FV_QUOTE(s) (fv_quote_of(s).text)

/* The highest token id accepted. It bounds the table of pieces that a damaged file can make us allocate. */
enum { FV_TOKEN_ID_MAX = (1 << 24) - 1 };

fv_status fv_field_bool(const json_t *object, const char *key, const char *where, bool *out, fv_error *err);
fv_status fv_field_string(const json_t *object, const char *key, const char *where, fv_slice *out, fv_error *err);
fv_status fv_field_array(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err);
fv_status fv_field_object(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err);
/* A token id: an integer of 0 to FV_TOKEN_ID_MAX. `what` names the value in the message. */
fv_status fv_field_id(const json_t *value, const char *what, const char *where, int32_t *out, fv_error *err);

/* The part of a tokenizer.json under `key` and its "type". Absent or null gives *part = NULL and *type = NULL. */
fv_status fv_field_part(const json_t *root, const char *key, const char *where, const json_t **part, const char **type,
                        fv_error *err);
/* Gives the parts of a tokenizer.json under `key`, in order, to `add`: the part itself, or where its "type" is Sequence
 * the parts of the array `list` in it, and so on down to FV_FIELD_DEPTH Sequences. Absent or null gives none. */
enum { FV_FIELD_DEPTH = 8 };
typedef fv_status fv_field_step_fn(const json_t *part, const char *type, const char *where, void *data, fv_error *err);
fv_status fv_field_steps(const json_t *root, const char *key, const char *list, const char *where,
                         fv_field_step_fn *add, void *data, fv_error *err);
/* The error for a type that this build does not know; `known` lists those it does. */
fv_status fv_field_unknown(const char *where, const char *key, const char *type, const char *known, fv_error *err);

#endif
