/* Reading JSON files with errors that name file and key.
 *
 * Parsing is jansson's. Duplicate keys, nesting beyond its limit, trailing text and invalid UTF-8 are refused. The
 * getters return the default when the key is absent or null, and an error when it has the wrong type or range.
 * Ownership: fv_json_load gives a reference that the caller releases with json_decref; the getters borrow.
 */
#ifndef FOVEA_BASE_JSON_H
#define FOVEA_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "fovea/status.h"

/* Loads a whole file (at most max_bytes); NaN and Infinity are not JSON and are refused. */
fv_status fv_json_load(const char *path, size_t max_bytes, json_t **out, fv_error *err);
fv_status fv_json_parse(const char *text, size_t n, const char *where, json_t **out, fv_error *err);

/* `where` names the file in messages. min..max are inclusive. */
fv_status fv_json_int(const json_t *object, const char *key, int64_t fallback, int64_t min, int64_t max,
                      const char *where, int64_t *out, fv_error *err);
fv_status fv_json_real(const json_t *object, const char *key, double fallback, const char *where, double *out,
                       fv_error *err);
fv_status fv_json_bool(const json_t *object, const char *key, bool fallback, const char *where, bool *out,
                       fv_error *err);
/* *out points into the JSON value, or is `fallback` (which may be NULL). */
fv_status fv_json_string(const json_t *object, const char *key, const char *fallback, const char *where,
                         const char **out, fv_error *err);
/* *out is the object under key, or NULL when absent or null. */
fv_status fv_json_object(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err);

#endif
