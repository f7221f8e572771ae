#include "text/fields.h"

#include <string.h>

fv_quote fv_quote_of(const char *s) {
  fv_quote q = {{0}};
  size_t n = strnlen(s, sizeof q.text);
  if (n == sizeof q.text) {
    for (n--; n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80;) n--;
  }
  memcpy(q.text, s, n);
  return q;
}

static const json_t *present(const json_t *object, const char *key) {
  const json_t *v = json_object_get(object, key);
  return v && !json_is_null(v) ? v : NULL;
}

static fv_status missing(const char *where, const char *key, const json_t *v, const char *expected, fv_error *err) {
  return fv_fail(err, FV_EFORMAT, "%s: \"%s\" %s, expected %s", where, FV_QUOTE(key),
                 v ? "has the wrong type" : "is missing", expected);
}

fv_status fv_field_bool(const json_t *object, const char *key, const char *where, bool *out, fv_error *err) {
  const json_t *v = present(object, key);
  if (!v || !json_is_boolean(v)) return missing(where, key, v, "true or false", err);
  *out = json_is_true(v);
  return FV_OK;
}

fv_status fv_field_string(const json_t *object, const char *key, const char *where, fv_slice *out, fv_error *err) {
  const json_t *v = present(object, key);
  if (!v || !json_is_string(v)) return missing(where, key, v, "a string", err);
  *out = (fv_slice){json_string_value(v), json_string_length(v)};
  return FV_OK;
}

fv_status fv_field_array(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err) {
  const json_t *v = present(object, key);
  if (!v || !json_is_array(v)) return missing(where, key, v, "an array", err);
  *out = v;
  return FV_OK;
}

fv_status fv_field_object(const json_t *object, const char *key, const char *where, const json_t **out, fv_error *err) {
  const json_t *v = present(object, key);
  if (!v || !json_is_object(v)) return missing(where, key, v, "an object", err);
  *out = v;
  return FV_OK;
}

fv_status fv_field_id(const json_t *value, const char *what, const char *where, int32_t *out, fv_error *err) {
  if (!value || !json_is_integer(value))
    return fv_fail(err, FV_EFORMAT, "%s: the id of %s is not an integer, expected 0 to %d", where, FV_QUOTE(what),
                   (int)FV_TOKEN_ID_MAX);
  json_int_t id = json_integer_value(value);
  if (id < 0 || id > FV_TOKEN_ID_MAX)
    return fv_fail(err, FV_EFORMAT, "%s: the id of %s is %lld, expected 0 to %d", where, FV_QUOTE(what), (long long)id,
                   (int)FV_TOKEN_ID_MAX);
  *out = (int32_t)id;
  return FV_OK;
}

fv_status fv_field_part(const json_t *root, const char *key, const char *where, const json_t **part, const char **type,
                        fv_error *err) {
  *type = NULL;
  fv_status st = fv_json_object(root, key, where, part, err);
  if (st || !*part) return st;
  fv_slice name = {0};
  st = fv_field_string(*part, "type", where, &name, err);
  if (st) return fv_fail_prefix(err, st, "\"%s\"", key);
  *type = name.at;
  return FV_OK;
}

static fv_status add_steps(const json_t *part, const char *list, const char *where, fv_field_step_fn *add, void *data,
                           int depth, fv_error *err) {
  fv_slice type = {0};
  const json_t *parts = NULL;
  if (!json_is_object(part)) return fv_fail(err, FV_EFORMAT, "%s: a part of a Sequence is not an object", where);
  fv_status st = fv_field_string(part, "type", where, &type, err);
  if (st) return st;
  if (strcmp(type.at, "Sequence") != 0) return add(part, type.at, where, data, err);
  if (depth == FV_FIELD_DEPTH)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: Sequences within Sequences, more than %d deep", where, FV_FIELD_DEPTH);
  st = fv_field_array(part, list, where, &parts, err);
  for (size_t i = 0; !st && i < json_array_size(parts); i++)
    st = add_steps(json_array_get(parts, i), list, where, add, data, depth + 1, err);
  return st;
}

fv_status fv_field_steps(const json_t *root, const char *key, const char *list, const char *where,
                         fv_field_step_fn *add, void *data, fv_error *err) {
  const json_t *part;
  fv_status st = fv_json_object(root, key, where, &part, err);
  if (st || !part) return st;
  st = add_steps(part, list, where, add, data, 0, err);
  return st ? fv_fail_prefix(err, st, "\"%s\"", key) : FV_OK;
}

fv_status fv_field_unknown(const char *where, const char *key, const char *type, const char *known, fv_error *err) {
  return fv_fail(err, FV_EUNSUPPORTED, "%s: \"%s\" is of type \"%s\", which this build does not know (it knows %s)",
                 where, key, FV_QUOTE(type), known);
}
