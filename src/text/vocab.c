#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/fields.h"

void fv_vocab_release(fv_vocab *v) {
  free(v->bytes);
  free(v->entries);
  free(v->slots);
  free(v->by_id);
  *v = (fv_vocab){0};
}

/* FNV-1a with a final mix, because the table uses the low bits. */
static uint64_t hash(const char *s, size_t n) {
  uint64_t h = 0xCBF29CE484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001B3u;
  return h ^ h >> 29;
}

/* The slot that holds the string, or the free slot where it belongs. */
static size_t find_slot(const fv_vocab *v, const char *s, size_t n) {
  size_t mask = v->slot_count - 1, i = (size_t)hash(s, n) & mask;
  for (; v->slots[i]; i = (i + 1) & mask) {
    const struct fv_vocab_entry *e = &v->entries[v->slots[i] - 1];
    if (e->n == n && memcmp(v->bytes + e->at, s, n) == 0) break;
  }
  return i;
}

static bool rehash(fv_vocab *v) {
  size_t old_count = v->slot_count, count = old_count ? 2 * old_count : 1024;
  uint32_t *slots = fv_alloc(count, sizeof *slots), *old = v->slots;
  if (!slots) return false;
  v->slots = slots;
  v->slot_count = count;
  for (size_t i = 0; i < v->count; i++) {
    const struct fv_vocab_entry *e = &v->entries[i];
    slots[find_slot(v, v->bytes + e->at, e->n)] = (uint32_t)(i + 1);
  }
  free(old);
  return true;
}

static bool reserve(fv_vocab *v, size_t n, int32_t id) {
  size_t bytes, old = v->id_capacity;
  if (!fv_add_size(v->bytes_used, n, &bytes) || !fv_add_size(bytes, 1, &bytes)) return false;
  if (!fv_grow(&v->bytes, &v->bytes_capacity, bytes, 1)) return false;
  if (!fv_grow(&v->entries, &v->capacity, v->count + 1, sizeof *v->entries)) return false;
  if (2 * (v->count + 1) > v->slot_count && !rehash(v)) return false;
  if (!fv_grow(&v->by_id, &v->id_capacity, (size_t)id + 1, sizeof *v->by_id)) return false;
  memset(v->by_id + old, 0, (v->id_capacity - old) * sizeof *v->by_id);
  return true;
}

fv_status fv_vocab_put(fv_vocab *v, const char *s, size_t n, int32_t id, const char *where, fv_error *err) {
  if (!reserve(v, n, id)) return fv_fail(err, FV_ENOMEM, "%s: no memory for the vocabulary", where);
  size_t slot = find_slot(v, s, n);
  uint32_t entry = v->slots[slot], holder = v->by_id[id];
  if (holder && holder != entry)
    return fv_fail(err, FV_EFORMAT, "%s: id %d belongs to both \"%s\" and \"%s\"; an id can have one token only", where,
                   (int)id, FV_QUOTE(v->bytes + v->entries[holder - 1].at), FV_QUOTE(s));
  if (entry) {
    v->by_id[v->entries[entry - 1].id] = 0;
    v->entries[entry - 1].id = id;
  } else {
    v->entries[v->count] = (struct fv_vocab_entry){.at = v->bytes_used, .n = n, .id = id};
    memcpy(v->bytes + v->bytes_used, s, n);
    v->bytes[v->bytes_used + n] = '\0';
    v->bytes_used += n + 1;
    entry = v->slots[slot] = (uint32_t)++v->count;
  }
  v->by_id[id] = entry;
  if (id >= v->size) v->size = (int64_t)id + 1;
  if (n > v->longest) v->longest = n;
  return FV_OK;
}

bool fv_vocab_find(const fv_vocab *v, const char *s, size_t n, int32_t *id) {
  if (!v->slot_count) return false;
  uint32_t entry = v->slots[find_slot(v, s, n)];
  if (!entry) return false;
  *id = v->entries[entry - 1].id;
  return true;
}

const char *fv_vocab_piece(const fv_vocab *v, int64_t id, size_t *n) {
  uint32_t entry = id >= 0 && id < v->size ? v->by_id[id] : 0;
  if (!entry) return NULL;
  if (n) *n = v->entries[entry - 1].n;
  return v->bytes + v->entries[entry - 1].at;
}
