/* Sharded checkpoints: an index file {"metadata": {...}, "weight_map": {tensor: shard}} beside its shards.
 *
 * The index decides: tensors that a shard holds but the index maps elsewhere, or not at all, are left out; a tensor
 * that the index maps to a shard that lacks it is an error. Shard names must be plain file names, so that an index
 * cannot lead out of the folder.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "checkpoint/checkpoint_build.h"

#define MAX_INDEX ((size_t)64 << 20)
#define MAX_SHARDS ((size_t)4096)

typedef struct mapping {
  const char *tensor, *shard;
} mapping;

typedef struct shard_index {
  char *path;
  json_t *json;
  mapping *map; /* by shard, then tensor */
  size_t count;
} shard_index;

static int by_shard(const void *a, const void *b) {
  const mapping *x = a, *y = b;
  int order = strcmp(x->shard, y->shard);
  return order ? order : strcmp(x->tensor, y->tensor);
}

static bool plain_name(const char *s, size_t n) {
  if (n == 0 || n > 255 || strcmp(s, ".") == 0 || strcmp(s, "..") == 0) return false;
  for (size_t i = 0; i < n; i++)
    if (s[i] == '/' || s[i] == '\\' || (unsigned char)s[i] < 0x20 || s[i] == 0x7F) return false;
  return true;
}

static fv_status read_index(shard_index *x, fv_error *err) {
  const json_t *weights = NULL;
  fv_status st = fv_json_load(x->path, MAX_INDEX, &x->json, err);
  if (st) return st;
  if (!json_is_object(x->json)) return fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", x->path);
  st = fv_json_object(x->json, "weight_map", x->path, &weights, err);
  if (st) return st;
  if (!weights || json_object_size(weights) == 0)
    return fv_fail(err, FV_EFORMAT, "%s: has no weight_map, expected one that maps tensors to shards", x->path);
  x->map = fv_alloc(json_object_size(weights), sizeof *x->map);
  if (!x->map) return fv_fail(err, FV_ENOMEM, "%s: no memory", x->path);
  json_t *object = json_object_get(x->json, "weight_map");
  for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
    const char *tensor = json_object_iter_key(it);
    const json_t *shard = json_object_iter_value(it);
    char shown[64];
    st = fv_name_check(x->path, tensor, strlen(tensor), err);
    if (st) return st;
    if (!json_is_string(shard) || !plain_name(json_string_value(shard), json_string_length(shard)))
      return fv_fail(err, FV_EFORMAT, "%s: tensor %s is mapped to %s, expected the plain name of a file in this folder",
                     x->path, tensor,
                     json_is_string(shard) ? fv_printable(json_string_value(shard), json_string_length(shard), shown)
                                           : "something that is not a string");
    x->map[x->count++] = (mapping){tensor, json_string_value(shard)};
  }
  qsort(x->map, x->count, sizeof *x->map, by_shard);
  return FV_OK;
}

static int by_tensor(const void *key, const void *item) {
  const mapping *m = item;
  return strcmp(key, m->tensor);
}

static int by_name(const void *key, const void *item) {
  const fv_tensor *t = item;
  return strcmp(key, t->name);
}

static int tensor_order(const void *a, const void *b) {
  const fv_tensor *x = a, *y = b;
  return strcmp(x->name, y->name);
}

/* Loads the shard of map[first..end) and keeps of its tensors those that are mapped to it: all of them, or an error. */
static fv_status load_shard(fv_checkpoint *c, const char *dir, const shard_index *x, size_t first, size_t end,
                            fv_weight_reader *reader, fv_error *err) {
  const char *shard = x->map[first].shard;
  size_t before = c->tensor_count, kept = before;
  char *path = fv_path_join(dir, shard);
  if (!path) return fv_fail(err, FV_ENOMEM, "%s: no memory", x->path);
  fv_status st = fv_file_exists(path) ? fv_checkpoint_load_file(c, path, reader, err)
                                      : fv_fail(err, FV_ENOTFOUND,
                                                "%s: names the shard %s, which is not in the folder; was the download "
                                                "complete?",
                                                x->path, shard);
  free(path);
  if (st) return st;
  for (size_t i = before; i < c->tensor_count; i++)
    if (bsearch(c->tensors[i].name, x->map + first, end - first, sizeof *x->map, by_tensor))
      c->tensors[kept++] = c->tensors[i];
  c->tensor_count = kept;
  if (kept > before) qsort(c->tensors + before, kept - before, sizeof *c->tensors, tensor_order);
  for (size_t i = first; i < end; i++)
    if (kept == before || !bsearch(x->map[i].tensor, c->tensors + before, kept - before, sizeof *c->tensors, by_name))
      return fv_fail(err, FV_ENOTFOUND,
                     "%s: maps tensor %s to %s, which does not hold it; are the index and the shards of one download?",
                     x->path, x->map[i].tensor, shard);
  return FV_OK;
}

static fv_status load_all(fv_checkpoint *c, const char *dir, const shard_index *x, fv_weight_reader *reader,
                          fv_error *err) {
  for (size_t first = 0, end; first < x->count; first = end) {
    for (end = first; end < x->count && strcmp(x->map[end].shard, x->map[first].shard) == 0;) end++;
    if (c->file_count >= MAX_SHARDS)
      return fv_fail(err, FV_EFORMAT, "%s: names more than %zu shards", x->path, MAX_SHARDS);
    fv_status st = load_shard(c, dir, x, first, end, reader, err);
    if (st) return st;
  }
  return FV_OK;
}

fv_status fv_shards_load(fv_checkpoint *c, const char *dir, const char *index_name, fv_weight_reader *reader,
                         fv_error *err) {
  shard_index x = {.path = fv_path_join(dir, index_name)};
  if (!x.path) return fv_fail(err, FV_ENOMEM, "%s: no memory", dir);
  fv_status st = read_index(&x, err);
  if (!st) st = load_all(c, dir, &x, reader, err);
  json_decref(x.json);
  free(x.map);
  free(x.path);
  return st;
}
