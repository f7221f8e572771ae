#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"

fv_status fv_json_parse(const char *text, size_t n, const char *where, json_t **out, fv_error *err) {
  json_error_t detail;
  json_t *value = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &detail);
  if (!value)
    return fv_fail(err, FV_EFORMAT, "%s: not valid JSON at line %d, column %d: %s", where, detail.line, detail.column,
                   detail.text);
  *out = value;
  return FV_OK;
}

fv_status fv_json_load(const char *path, size_t max_bytes, json_t **out, fv_error *err) {
  char *text = NULL;
  size_t n = 0;
  fv_status st = fv_file_read(path, max_bytes, &text, &n, err);
  if (st) return st;
  st = fv_json_parse(text, n, path, out, err);
  free(text);
  return st;
}

static const char *kind_name(const json_t *v) {
  switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
  }
  return "something else";
}

/* The value under key, or NULL when it is absent or null. */
static const json_t *lookup(const json_t *object, const char *key) {
  const json_t *v = object ? json_object_get(object, key) : NULL;
  return v && !json_is_null(v) ? v : NULL;
}

static fv_status wrong(const char *where, const char *key, const json_t *v, const char *expected, fv_error *err) {
  return fv_fail(err, FV_EFORMAT, "%s: \"%s\" is %s, expected %s", where, key, kind_name(v), expected);
}

fv_status fv_json_int(const json_t *object, const char *key, int64_t fallback, int64_t min, int64_t max,
                      const char *where, int64_t *out, fv_error *err) {
  const json_t *v = lookup(object, key);
  *out = fallback;
  if (!v) return FV_OK;
  double r = json_number_value(v);
  if (!json_is_integer(v) && !(json_is_real(v) && r == floor(r) && fabs(r) < 9e15))
    return wrong(where, key, v, "an integer", err);
  int64_t n = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)r;
  if (n < min || n > max)
    return fv_fail(err, FV_EFORMAT, "%s: \"%s\" is %lld, expected %lld to %lld", where, key, (long long)n,
                   (long long)min, (long long)max);
  *out = n;
  return FV_OK;
}

fv_status fv_json_real(const json_t *object, const char *key, double fallback, const char *where, double *out,
                       fv_error *err) {
  const json_t *v = lookup(object, key);
  *out = fallback;
  if (!v) return FV_OK;
  if (!json_is_number(v)) return wrong(where, key, v, "a number", err);
  *out = json_number_value(v);
  return FV_OK;
}

fv_status fv_json_bool(const json_t *object, const char *key, bool fallback, const char *where, bool *out,
                       fv_error *err) {
  const json_t *v = lookup(object, key);
  *out = fallback;
  if (!v) return FV_OK;
  if (!json_is_boolean(v)) return wrong(where, key, v, "true or false", err);
  *out = json_is_true(v);
  return FV_OK;
}

fv_status fv_json_string(const json_t *object, const char *key, const char *fallback, const char *where,
                         const char **out, fv_error *err) {
  const json_t *v = lookup(object, key);
  *out = fallback;
  if (!v) return FV_OK;
  if (!json_is_string(v)) return wrong(where, key, v, "a string", err);
  *out = json_string_value(v);
  return FV_OK;
}

fv_status fv_json_object(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err) {
  const json_t *v = lookup(object, key);
  *out = NULL;
  if (!v) return FV_OK;
  if (!json_is_object(v)) return wrong(where, key, v, "an object", err);
  *out = v;
  return FV_OK;
}
