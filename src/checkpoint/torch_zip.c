/* Files of torch.save since torch 1.6: a zip archive with one top folder P that holds P/data.pkl and a record
 * P/data/KEY per storage. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "checkpoint/torch_tensor.h"
#include "checkpoint/zip.h"

typedef struct torch_zip {
  fv_zip zip;
  const char *prefix; /* "P/" */
  size_t prefix_bytes;
} torch_zip;

/* The entry prefix + kind + key. */
static const fv_zip_entry *find_record(const torch_zip *z, const char *kind, const char *key, size_t key_bytes) {
  size_t kind_bytes = strlen(kind), n = z->prefix_bytes + kind_bytes + key_bytes;
  char *name = key_bytes > 65535 ? NULL : fv_alloc(n, 1);
  if (!name) return NULL;
  memcpy(name, z->prefix, z->prefix_bytes);
  memcpy(name + z->prefix_bytes, kind, kind_bytes);
  memcpy(name + z->prefix_bytes + kind_bytes, key, key_bytes);
  const fv_zip_entry *entry = fv_zip_find(&z->zip, name, n);
  free(name);
  return entry;
}

static fv_status find_storage(const fv_torch_file *f, const fv_storage_id *id, const uint8_t **data, fv_error *err) {
  const torch_zip *z = f->storages;
  char shown[64];
  const char *key = fv_printable(id->key, id->key_bytes, shown);
  const fv_zip_entry *entry = find_record(z, "data/", id->key, id->key_bytes);
  int64_t need;
  if (!entry)
    return fv_fail(err, FV_EFORMAT, "%s: the storage data/%s of a tensor is missing; the file is damaged", f->path,
                   key);
  if (!fv_mul_i64(id->count, id->type->size, &need) || (uint64_t)need != entry->size)
    return fv_fail(err, FV_EFORMAT,
                   "%s: the storage data/%s has %zu bytes, expected %lld elements of %s; the file is "
                   "damaged",
                   f->path, key, entry->size, (long long)id->count, id->type->name);
  *data = entry->data;
  return FV_OK;
}

/* The one entry NAME/data.pkl gives the prefix. */
static fv_status find_pickle(torch_zip *z, const char *path, const fv_zip_entry **pickle, fv_error *err) {
  static const char tail[] = "/data.pkl";
  const size_t tail_bytes = sizeof tail - 1;
  *pickle = NULL;
  for (size_t i = 0; i < z->zip.count; i++) {
    const fv_zip_entry *e = &z->zip.entries[i];
    if (e->name_bytes <= tail_bytes || memcmp(e->name + e->name_bytes - tail_bytes, tail, tail_bytes) != 0) continue;
    if (*pickle) return fv_fail(err, FV_EFORMAT, "%s: the zip archive has two data.pkl, expected one", path);
    *pickle = e;
    z->prefix = e->name;
    z->prefix_bytes = e->name_bytes - tail_bytes + 1;
  }
  if (*pickle) return FV_OK;
  return fv_fail(err, FV_EFORMAT, "%s: is a zip archive without data.pkl, so not a file of torch.save", path);
}

static fv_status check_kind(const torch_zip *z, const char *path, fv_error *err) {
  if (find_record(z, "constants.pkl", "", 0))
    return fv_fail(err, FV_EUNSUPPORTED,
                   "%s: is a TorchScript program, expected saved tensors: load it with torch.jit.load and save its "
                   "state_dict()",
                   path);
  fv_status st = fv_zip_check_plain(&z->zip, path, err);
  if (st) return st;
  const fv_zip_entry *order = find_record(z, "byteorder", "", 0);
  if (order && !(order->size == 6 && memcmp(order->data, "little", 6) == 0))
    return fv_fail(err, FV_EUNSUPPORTED, "%s: was not written by a little-endian machine", path);
  return FV_OK;
}

fv_status fv_torch_zip_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err) {
  torch_zip z = {0};
  fv_pickle pickle = {0};
  const fv_zip_entry *entry = NULL;
  fv_status st = fv_zip_open(map, path, &z.zip, err);
  if (!st) st = find_pickle(&z, path, &entry, err);
  if (!st) st = check_kind(&z, path, err);
  if (!st) {
    fv_cursor at = {entry->data, entry->data + entry->size};
    st = fv_pickle_read(&at, path, &pickle, err);
    if (!st && fv_cursor_left(&at) != 0)
      st = fv_fail(err, FV_EFORMAT, "%s: %zu bytes follow the end of its pickle", path, fv_cursor_left(&at));
  }
  if (!st) {
    fv_torch_file f = {.c = c, .path = path, .map = map, .pickle = &pickle, .find = find_storage, .storages = &z};
    st = fv_torch_add_all(&f, err);
  }
  fv_pickle_release(&pickle);
  fv_zip_release(&z.zip);
  return st;
}
