/* The safetensors format: u64 header length, JSON header, tensor bytes back to back until the end of the file.
 *
 * Every rule of the reference reader is enforced (the header fits, the tensors cover the data exactly, without holes or
 * overlaps, and each has the bytes that its shape and dtype need), and those it leaves to the format text: no duplicate
 * keys, no unknown fields, a header that starts with '{'.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "checkpoint/checkpoint_build.h"

#define MAX_HEADER ((uint64_t)100000000)
#define MAX_ITEMS ((size_t)1 << 22)

static const struct {
  const char *name;
  fv_dtype dtype;
  unsigned bits;
} dtypes[] = {{"F32", FV_DTYPE_F32, 32},
              {"F16", FV_DTYPE_F16, 16},
              {"BF16", FV_DTYPE_BF16, 16},
              {"F64", FV_DTYPE_F64, 64},
              {"I64", FV_DTYPE_I64, 64},
              {"I32", FV_DTYPE_I32, 32},
              {"I16", FV_DTYPE_I16, 16},
              {"I8", FV_DTYPE_I8, 8},
              {"U8", FV_DTYPE_U8, 8},
              {"BOOL", FV_DTYPE_BOOL, 8},
              {"U16", FV_DTYPE_OTHER, 16},
              {"U32", FV_DTYPE_OTHER, 32},
              {"U64", FV_DTYPE_OTHER, 64},
              {"F8_E5M2", FV_DTYPE_OTHER, 8},
              {"F8_E4M3", FV_DTYPE_OTHER, 8},
              {"F8_E8M0", FV_DTYPE_OTHER, 8},
              {"F8_E4M3FNUZ", FV_DTYPE_OTHER, 8},
              {"F8_E5M2FNUZ", FV_DTYPE_OTHER, 8},
              {"C64", FV_DTYPE_OTHER, 64},
              {"F4", FV_DTYPE_OTHER, 4},
              {"F6_E2M3", FV_DTYPE_OTHER, 6},
              {"F6_E3M2", FV_DTYPE_OTHER, 6}};

typedef struct span {
  uint64_t begin, end;
  const char *name;
} span;

typedef struct header {
  const char *path;
  json_t *json;
  const uint8_t *data; /* the byte buffer behind the header */
  uint64_t bytes;
} header;

/* Parsed JSON takes some hundred bytes per object, so the parser is not started on a header with more objects, arrays
 * and items than any checkpoint needs (about eleven per tensor). */
static bool too_rich(const char *text, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += text[i] == '{' || text[i] == '[' || text[i] == ',';
  return count > MAX_ITEMS;
}

static fv_status open_header(const char *path, const fv_map *map, header *h, fv_error *err) {
  fv_cursor at = {map->data, map->size ? map->data + map->size : map->data};
  const char *hint = fv_foreign_file(map);
  uint64_t n;
  size_t bad;
  if (hint) return fv_fail(err, FV_EFORMAT, "%s: is not a safetensors file but %s", path, hint);
  if (!fv_cursor_u64(&at, &n))
    return fv_fail(err, FV_EFORMAT, "%s: has %zu bytes, too few for a safetensors file; was the download cut short?",
                   path, map->size);
  if (n > MAX_HEADER)
    return fv_fail(err, FV_EFORMAT,
                   "%s: claims a header of %llu bytes, expected at most %llu; this is not a safetensors file", path,
                   (unsigned long long)n, (unsigned long long)MAX_HEADER);
  if (n > fv_cursor_left(&at))
    return fv_fail(err, FV_EFORMAT,
                   "%s: claims a header of %llu bytes but has only %zu bytes in all; was the download cut short?", path,
                   (unsigned long long)n, map->size);
  const char *text = (const char *)at.at;
  if (n == 0 || text[0] != '{')
    return fv_fail(err, FV_EFORMAT, "%s: the safetensors header does not start with '{'", path);
  if (!fv_utf8_valid(text, (size_t)n, &bad))
    return fv_fail(err, FV_EFORMAT, "%s: the safetensors header is not UTF-8 at byte %zu", path, bad);
  if (too_rich(text, (size_t)n))
    return fv_fail(err, FV_EFORMAT, "%s: the safetensors header lists far more than a checkpoint holds", path);
  fv_status st = fv_json_parse(text, (size_t)n, "safetensors header", &h->json, err);
  if (st) return fv_fail_prefix(err, st, "%s", path);
  h->path = path;
  h->data = at.at + n;
  h->bytes = fv_cursor_left(&at) - n;
  return FV_OK;
}

/* A JSON integer that is not negative. */
static bool get_size(const json_t *v, int64_t *out) {
  if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
  *out = (int64_t)json_integer_value(v);
  return true;
}

static fv_status get_dtype(const header *h, const char *name, const json_t *v, fv_tensor *t, unsigned *bits,
                           fv_error *err) {
  if (!json_is_string(v)) return fv_fail(err, FV_EFORMAT, "%s: tensor %s has no dtype", h->path, name);
  const char *text = json_string_value(v);
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strlen(dtypes[i].name) == json_string_length(v) && strcmp(dtypes[i].name, text) == 0) {
      t->dtype = dtypes[i].dtype;
      t->stored = dtypes[i].name;
      *bits = dtypes[i].bits;
      return FV_OK;
    }
  char shown[64];
  return fv_fail(err, FV_EUNSUPPORTED,
                 "%s: tensor %s has the unknown dtype %s, expected F32, F16, BF16 or another of the safetensors format",
                 h->path, name, fv_printable(text, json_string_length(v), shown));
}

static fv_status get_shape(const header *h, const char *name, const json_t *v, fv_tensor *t, fv_error *err) {
  if (!json_is_array(v)) return fv_fail(err, FV_EFORMAT, "%s: tensor %s has no shape", h->path, name);
  if (json_array_size(v) > FV_MAX_RANK)
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s has rank %zu, expected at most %d", h->path, name,
                   json_array_size(v), FV_MAX_RANK);
  t->rank = (int)json_array_size(v);
  for (int d = 0; d < t->rank; d++)
    if (!get_size(json_array_get(v, (size_t)d), &t->shape[d]))
      return fv_fail(err, FV_EFORMAT, "%s: dimension %d of tensor %s is not an integer >= 0", h->path, d, name);
  if (!fv_shape_count(t->rank, t->shape, &t->count))
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s has a shape with more than 2^63 elements", h->path, name);
  return FV_OK;
}

/* One entry of the header, checked against the bytes that it claims. */
static fv_status get_tensor(const header *h, const char *name, const json_t *v, fv_tensor *t, span *s, fv_error *err) {
  unsigned bits = 0;
  int64_t begin, end, need;
  char shape[24 * FV_MAX_RANK];
  if (!json_is_object(v)) return fv_fail(err, FV_EFORMAT, "%s: the entry of tensor %s is not an object", h->path, name);
  fv_status st = get_dtype(h, name, json_object_get(v, "dtype"), t, &bits, err);
  if (!st) st = get_shape(h, name, json_object_get(v, "shape"), t, err);
  if (st) return st;
  const json_t *offsets = json_object_get(v, "data_offsets");
  if (json_array_size(offsets) != 2 || !get_size(json_array_get(offsets, 0), &begin) ||
      !get_size(json_array_get(offsets, 1), &end))
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s has no data_offsets of two integers", h->path, name);
  if (json_object_size(v) != 3)
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s has fields besides dtype, shape and data_offsets", h->path, name);
  fv_shape_text(t->rank, t->shape, shape, sizeof shape);
  if (end < begin || (uint64_t)end > h->bytes)
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s claims the bytes %lld to %lld of %llu; was the download cut short?",
                   h->path, name, (long long)begin, (long long)end, (unsigned long long)h->bytes);
  if (!fv_mul_i64(t->count, bits, &need) || need % 8 != 0 || need / 8 != end - begin)
    return fv_fail(err, FV_EFORMAT, "%s: tensor %s of dtype %s and shape %s has %lld bytes, which do not agree",
                   h->path, name, t->stored, shape, (long long)(end - begin));
  t->bytes = (size_t)(end - begin);
  t->data = t->bytes ? h->data + begin : NULL;
  t->file = h->path;
  *s = (span){(uint64_t)begin, (uint64_t)end, name};
  return FV_OK;
}

static int by_begin(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

/* The spans cover the byte buffer exactly, in a row. */
static fv_status check_spans(const header *h, span *spans, size_t n, fv_error *err) {
  uint64_t at = 0;
  qsort(spans, n, sizeof *spans, by_begin);
  for (size_t i = 0; i < n; i++) {
    if (spans[i].begin != at)
      return fv_fail(err, FV_EFORMAT, "%s: tensor %s begins at byte %llu, expected %llu: tensors %s", h->path,
                     spans[i].name, (unsigned long long)spans[i].begin, (unsigned long long)at,
                     spans[i].begin < at ? "overlap" : "leave a hole");
    at = spans[i].end;
  }
  if (at != h->bytes)
    return fv_fail(err, FV_EFORMAT, "%s: %llu bytes follow the last tensor, expected none", h->path,
                   (unsigned long long)(h->bytes - at));
  return FV_OK;
}

static fv_status check_metadata(const header *h, json_t *v, fv_error *err) {
  if (!json_is_object(v)) return fv_fail(err, FV_EFORMAT, "%s: __metadata__ is not an object", h->path);
  void *it = json_object_iter(v);
  for (; it; it = json_object_iter_next(v, it))
    if (!json_is_string(json_object_iter_value(it)))
      return fv_fail(err, FV_EFORMAT, "%s: a value of __metadata__ is not a string", h->path);
  return FV_OK;
}

static fv_status add_all(fv_checkpoint *c, const header *h, span *spans, fv_error *err) {
  const char *name;
  json_t *value;
  size_t n = 0;
  json_object_foreach(h->json, name, value) {
    fv_tensor t = {0};
    fv_status st;
    if (strcmp(name, "__metadata__") == 0) {
      st = check_metadata(h, value, err);
    } else {
      st = fv_name_check(h->path, name, strlen(name), err);
      if (!st) st = get_tensor(h, name, value, &t, &spans[n++], err);
      if (!st) st = fv_checkpoint_add(c, &t, name, strlen(name), err);
    }
    if (st) return st;
  }
  return check_spans(h, spans, n, err);
}

fv_status fv_safetensors_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err) {
  header h = {0};
  fv_status st = open_header(path, map, &h, err);
  if (st) return st;
  span *spans = fv_alloc(json_object_size(h.json), sizeof *spans);
  st = spans ? add_all(c, &h, spans, err) : fv_fail(err, FV_ENOMEM, "%s: no memory for the header", path);
  free(spans);
  json_decref(h.json);
  return st;
}
