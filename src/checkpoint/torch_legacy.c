/* Files of torch.save before torch 1.6 (still written with _use_new_zipfile_serialization=False): five pickles one
 * after the other (magic number, version, machine, object, list of storage keys), then for each key in that order the
 * number of elements as int64 and the elements themselves, exactly to the end of the file. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "checkpoint/torch_tensor.h"

#define VERSION 1001

typedef struct storage {
  fv_storage_id id;
  const uint8_t *data;
  bool found;
} storage;

typedef struct storage_table {
  storage *items; /* sorted by key */
  size_t count;
} storage_table;

static int key_order(const void *x, const void *y) {
  const storage *a = x, *b = y;
  size_t n = a->id.key_bytes < b->id.key_bytes ? a->id.key_bytes : b->id.key_bytes;
  int order = memcmp(a->id.key, b->id.key, n);
  return order ? order : (a->id.key_bytes > b->id.key_bytes) - (a->id.key_bytes < b->id.key_bytes);
}

static storage *find(const storage_table *t, const char *key, size_t key_bytes) {
  const storage wanted = {.id = {.key = key, .key_bytes = key_bytes}};
  return t->count ? bsearch(&wanted, t->items, t->count, sizeof wanted, key_order) : NULL;
}

/* All persistent ids were collected from the pickle that the tensor is of, so the key is there. */
static fv_status find_storage(const fv_torch_file *f, const fv_storage_id *id, const uint8_t **data, fv_error *err) {
  const storage *s = find(f->storages, id->key, id->key_bytes);
  if (!s) return fv_fail(err, FV_EINTERNAL, "%s: a storage was lost", f->path);
  *data = s->data;
  return FV_OK;
}

static bool magic_number(const fv_pickle_value *v) {
  static const uint8_t magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  return v->kind == FV_PICKLE_BIG_INT && v->text_bytes == sizeof magic && memcmp(v->text, magic, sizeof magic) == 0;
}

static const fv_pickle_value *dict_item(const fv_pickle *p, const fv_pickle_value *dict, const char *name) {
  uint32_t cell = dict->first;
  for (uint32_t i = 0; dict->kind == FV_PICKLE_DICT && i + 1 < dict->count; i += 2) {
    uint32_t value = p->cells[cell].next;
    if (fv_pickle_is_text(fv_pickle_at(p, p->cells[cell].value), name)) return fv_pickle_at(p, p->cells[value].value);
    cell = p->cells[value].next;
  }
  return NULL;
}

/* The three pickles before the object. */
static fv_status read_preamble(fv_cursor *at, const char *path, fv_error *err) {
  for (int i = 0; i < 3; i++) {
    fv_pickle p;
    fv_status st = fv_pickle_read(at, path, &p, err);
    if (st) return st;
    const fv_pickle_value *v = fv_pickle_at(&p, p.root);
    const fv_pickle_value *little = i == 2 ? dict_item(&p, v, "little_endian") : NULL;
    if (i == 0 && !magic_number(v))
      st = fv_fail(err, FV_EFORMAT, "%s: is a pickle without the magic number of torch.save", path);
    if (i == 1 && !(v->kind == FV_PICKLE_INT && v->number == VERSION))
      st = fv_fail(err, FV_EUNSUPPORTED, "%s: is a torch file of an unknown version, expected %d", path, VERSION);
    if (i == 2 && !(little && little->kind == FV_PICKLE_BOOL && little->number == 1))
      st = fv_fail(err, FV_EUNSUPPORTED, "%s: was not written by a little-endian machine", path);
    fv_pickle_release(&p);
    if (st) return st;
  }
  return FV_OK;
}

/* The storages that the pickle names, each once; two ids of one key must agree. */
static fv_status collect(const fv_pickle *p, const char *path, storage_table *t, fv_error *err) {
  size_t n = 0;
  for (size_t i = 0; i < p->value_count; i++) n += p->values[i].kind == FV_PICKLE_PERSISTENT;
  t->items = fv_alloc(n, sizeof *t->items);
  if (!t->items) return fv_fail(err, FV_ENOMEM, "%s: no memory for %zu storages", path, n);
  for (size_t i = 0; i < p->value_count; i++) {
    if (p->values[i].kind != FV_PICKLE_PERSISTENT) continue;
    fv_status st = fv_storage_id_read(p, &p->values[i], path, &t->items[t->count++].id, err);
    if (st) return st;
  }
  qsort(t->items, t->count, sizeof *t->items, key_order);
  size_t kept = 0;
  for (size_t i = 0; i < t->count; i++) {
    const fv_storage_id *a = kept ? &t->items[kept - 1].id : NULL, *b = &t->items[i].id;
    if (!a || key_order(&t->items[kept - 1], &t->items[i]) != 0)
      t->items[kept++] = t->items[i];
    else if (a->type != b->type || a->count != b->count)
      return fv_fail(err, FV_EFORMAT, "%s: two tensors disagree about the storage that they share", path);
  }
  t->count = kept;
  return FV_OK;
}

/* The elements of one storage: int64 count, bytes. */
static fv_status take_storage(fv_cursor *at, const char *path, const fv_pickle_value *key, const storage_table *t,
                              fv_error *err) {
  char shown[64];
  uint64_t count;
  size_t bytes;
  if (key->kind != FV_PICKLE_TEXT) return fv_fail(err, FV_EFORMAT, "%s: a storage key is not a text", path);
  const char *name = fv_printable(key->text, key->text_bytes, shown);
  storage *s = find(t, key->text, key->text_bytes);
  if (!s || s->found)
    return fv_fail(err, FV_EFORMAT, "%s: the storage %s is listed %s; the file is damaged", path, name,
                   s ? "twice" : "but belongs to no tensor");
  if (!fv_cursor_u64(at, &count))
    return fv_fail(err, FV_EFORMAT, "%s: ends before the storage %s; was the download cut short?", path, name);
  if (count != (uint64_t)s->id.count)
    return fv_fail(err, FV_EFORMAT, "%s: the storage %s has %llu elements, expected %lld; the file is damaged", path,
                   name, (unsigned long long)count, (long long)s->id.count);
  if (!fv_mul_size((size_t)count, s->id.type->size, &bytes) || !fv_cursor_take(at, bytes, &s->data))
    return fv_fail(err, FV_EFORMAT, "%s: ends within the storage %s; was the download cut short?", path, name);
  s->found = true;
  return FV_OK;
}

static fv_status take_storages(fv_cursor *at, const char *path, const storage_table *t, fv_error *err) {
  fv_pickle keys;
  fv_status st = fv_pickle_read(at, path, &keys, err);
  if (st) return st;
  const fv_pickle_value *list = fv_pickle_at(&keys, keys.root);
  uint32_t cell = list->first;
  if (list->kind != FV_PICKLE_LIST)
    st = fv_fail(err, FV_EFORMAT, "%s: has %s where the list of storages should be", path,
                 fv_pickle_kind_name(list->kind));
  for (uint32_t i = 0; !st && i < list->count; i++, cell = keys.cells[cell].next)
    st = take_storage(at, path, fv_pickle_at(&keys, keys.cells[cell].value), t, err);
  for (size_t i = 0; !st && i < t->count; i++)
    if (!t->items[i].found)
      st = fv_fail(err, FV_EFORMAT, "%s: the storage of a tensor is not in the file; the file is damaged", path);
  if (!st && fv_cursor_left(at) != 0)
    st = fv_fail(err, FV_EFORMAT, "%s: %zu bytes follow the last storage, expected none", path, fv_cursor_left(at));
  fv_pickle_release(&keys);
  return st;
}

fv_status fv_torch_legacy_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err) {
  fv_cursor at = {map->data, map->data + map->size};
  fv_pickle pickle = {0};
  storage_table table = {0};
  fv_status st = read_preamble(&at, path, err);
  if (!st) st = fv_pickle_read(&at, path, &pickle, err);
  if (!st) st = collect(&pickle, path, &table, err);
  if (!st) st = take_storages(&at, path, &table, err);
  if (!st) {
    fv_torch_file f = {.c = c, .path = path, .map = map, .pickle = &pickle, .find = find_storage, .storages = &table};
    st = fv_torch_add_all(&f, err);
  }
  free(table.items);
  fv_pickle_release(&pickle);
  return st;
}
