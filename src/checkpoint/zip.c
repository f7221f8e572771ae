#include "checkpoint/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "checkpoint/checkpoint_build.h"

#define END_BYTES ((size_t)22)
#define LOCATOR_BYTES ((size_t)20)
#define CENTRAL_BYTES ((size_t)46)
#define LOCAL_BYTES ((size_t)30)
#define MAX_ENTRIES ((uint64_t)1 << 21)
#define UNSUPPORTED_FLAGS 0x2061u /* encrypted, patch data, strong encryption, masked headers */

typedef struct archive {
  const char *path;
  const uint8_t *data;
  size_t size;
  uint64_t entries, directory, directory_bytes; /* of the central directory */
} archive;

/* One central directory entry with its zip64 extension applied. */
typedef struct central {
  uint16_t flags, method;
  uint64_t packed, size, local;
  uint32_t disk;
  const uint8_t *name, *extra;
  size_t name_bytes, extra_bytes;
} central;

typedef struct extent {
  size_t begin, end;
} extent;

static uint64_t le(const uint8_t *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = n; i-- > 0;) v = v << 8 | p[i];
  return v;
}

static fv_status damaged(const archive *a, const char *what, fv_error *err) {
  return fv_fail(err, FV_EFORMAT, "%s: the zip archive is damaged: %s; was the download cut short?", a->path, what);
}

/* The end-of-directory record: the last one whose comment reaches exactly to the end of the file. */
static bool find_end(const archive *a, size_t *at) {
  if (a->size < END_BYTES) return false;
  size_t lowest = a->size > END_BYTES + 65535 ? a->size - END_BYTES - 65535 : 0;
  for (size_t i = a->size - END_BYTES + 1; i-- > lowest;)
    if (memcmp(a->data + i, "PK\5\6", 4) == 0 && le(a->data + i + 20, 2) == a->size - i - END_BYTES) {
      *at = i;
      return true;
    }
  return false;
}

/* A 32-bit (or 16-bit) field either says the same as its 64-bit successor or is filled with ones. */
static bool extends(uint64_t narrow, uint64_t ones, uint64_t wide) { return narrow == ones || narrow == wide; }

static fv_status read_end(archive *a, fv_error *err) {
  size_t end = 0;
  if (!find_end(a, &end)) return damaged(a, "its directory at the end is missing", err);
  const uint8_t *e = a->data + end;
  uint64_t disks = le(e + 4, 2) | le(e + 6, 2), here = le(e + 8, 2), entries = le(e + 10, 2);
  size_t directory_end = end;
  a->entries = entries;
  a->directory_bytes = le(e + 12, 4);
  a->directory = le(e + 16, 4);
  if (end >= LOCATOR_BYTES && memcmp(e - LOCATOR_BYTES, "PK\6\7", 4) == 0) {
    const uint8_t *locator = e - LOCATOR_BYTES;
    uint64_t at = le(locator + 8, 8), limit = end - LOCATOR_BYTES;
    if (le(locator + 4, 4) != 0 || le(locator + 16, 4) > 1) disks = 1;
    if (limit < 56 || at > limit - 56 || memcmp(a->data + at, "PK\6\6", 4) != 0 || le(a->data + at + 4, 8) < 44 ||
        le(a->data + at + 4, 8) != limit - at - 12)
      return damaged(a, "its zip64 record is not where it should be", err);
    const uint8_t *wide = a->data + at;
    if (le(wide + 16, 4) != 0 || le(wide + 20, 4) != 0 || le(wide + 24, 8) != le(wide + 32, 8)) disks = 1;
    if (!extends(here, 0xFFFF, le(wide + 24, 8)) || !extends(entries, 0xFFFF, le(wide + 32, 8)) ||
        !extends(a->directory_bytes, 0xFFFFFFFF, le(wide + 40, 8)) ||
        !extends(a->directory, 0xFFFFFFFF, le(wide + 48, 8)))
      return damaged(a, "its zip64 record contradicts the plain one", err);
    here = le(wide + 24, 8);
    a->entries = le(wide + 32, 8);
    a->directory_bytes = le(wide + 40, 8);
    a->directory = le(wide + 48, 8);
    directory_end = (size_t)at;
  }
  if (disks != 0 || here != a->entries)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: is one part of a zip archive in several parts", a->path);
  if (a->directory > directory_end || a->directory_bytes != directory_end - a->directory)
    return damaged(a, "its directory is not where it should be", err);
  if (a->entries > MAX_ENTRIES || a->entries > a->directory_bytes / CENTRAL_BYTES)
    return damaged(a, "it claims more entries than its directory can hold", err);
  return FV_OK;
}

/* Takes the 64-bit values of extra field 1 for those fields that are filled with ones, in their fixed order. */
static bool apply_zip64(central *c) {
  fv_cursor at = {c->extra, c->extra + c->extra_bytes};
  bool size = c->size == 0xFFFFFFFF, packed = c->packed == 0xFFFFFFFF, local = c->local == 0xFFFFFFFF;
  if (!size && !packed && !local) return true;
  uint16_t id, n;
  const uint8_t *field;
  while (fv_cursor_u16(&at, &id) && fv_cursor_u16(&at, &n) && fv_cursor_take(&at, n, &field)) {
    if (id != 1) continue;
    fv_cursor wide = {field, field + n};
    return (!size || fv_cursor_u64(&wide, &c->size)) && (!packed || fv_cursor_u64(&wide, &c->packed)) &&
           (!local || fv_cursor_u64(&wide, &c->local));
  }
  return false;
}

static bool read_central(fv_cursor *at, central *c) {
  const uint8_t *p, *comment;
  if (!fv_cursor_take(at, CENTRAL_BYTES, &p) || memcmp(p, "PK\1\2", 4) != 0) return false;
  *c = (central){.flags = (uint16_t)le(p + 8, 2),
                 .method = (uint16_t)le(p + 10, 2),
                 .packed = le(p + 20, 4),
                 .size = le(p + 24, 4),
                 .disk = (uint32_t)le(p + 34, 2),
                 .local = le(p + 42, 4),
                 .name_bytes = (size_t)le(p + 28, 2),
                 .extra_bytes = (size_t)le(p + 30, 2)};
  return fv_cursor_take(at, c->name_bytes, &c->name) && fv_cursor_take(at, c->extra_bytes, &c->extra) &&
         fv_cursor_take(at, (size_t)le(p + 32, 2), &comment) && apply_zip64(c);
}

/* The local header must tell the same story; torch leaves its sizes zero and puts them behind the data. */
static fv_status locate(const archive *a, const central *c, fv_zip_entry *entry, extent *used, fv_error *err) {
  if (c->disk != 0 && c->disk != 0xFFFF) return damaged(a, "an entry lies on another disk", err);
  if (c->method == 0 && c->packed != c->size) return damaged(a, "a stored entry has two sizes", err);
  if (a->directory < LOCAL_BYTES || c->local > a->directory - LOCAL_BYTES)
    return damaged(a, "an entry lies outside of the file", err);
  const uint8_t *p = a->data + c->local;
  if (memcmp(p, "PK\3\4", 4) != 0) return damaged(a, "an entry has no local header", err);
  size_t name_bytes = (size_t)le(p + 26, 2), head = LOCAL_BYTES + name_bytes + (size_t)le(p + 28, 2);
  size_t room = (size_t)(a->directory - c->local);
  if (head > room || c->packed > room - head) return damaged(a, "an entry reaches beyond the file", err);
  uint64_t packed = le(p + 18, 4), size = le(p + 22, 4);
  bool sizes_agree =
      (packed == 0 || extends(packed, 0xFFFFFFFF, c->packed)) && (size == 0 || extends(size, 0xFFFFFFFF, c->size));
  if (name_bytes != c->name_bytes || memcmp(p + LOCAL_BYTES, c->name, name_bytes) != 0 || le(p + 8, 2) != c->method ||
      ((c->flags ^ le(p + 6, 2)) & UNSUPPORTED_FLAGS) || !sizes_agree)
    return damaged(a, "the local header of an entry contradicts the directory", err);
  *entry = (fv_zip_entry){.name = (const char *)c->name,
                          .name_bytes = c->name_bytes,
                          .data = p + head,
                          .size = (size_t)c->packed,
                          .method = c->method,
                          .encrypted = (c->flags & UNSUPPORTED_FLAGS) != 0};
  *used = (extent){(size_t)c->local, (size_t)c->local + head + (size_t)c->packed};
  return FV_OK;
}

static int name_order(const void *x, const void *y) {
  const fv_zip_entry *a = x, *b = y;
  size_t n = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
  int order = memcmp(a->name, b->name, n);
  return order ? order : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

static int extent_order(const void *x, const void *y) {
  const extent *a = x, *b = y;
  return (a->begin > b->begin) - (a->begin < b->begin);
}

static fv_status read_entries(const archive *a, fv_zip *zip, extent *used, fv_error *err) {
  fv_cursor at = {a->data + a->directory, a->data + a->directory + a->directory_bytes};
  for (uint64_t i = 0; i < a->entries; i++) {
    central c;
    if (!read_central(&at, &c)) return damaged(a, "an entry of its directory is broken", err);
    fv_status st = locate(a, &c, &zip->entries[i], &used[i], err);
    if (st) return st;
    zip->count++;
  }
  if (fv_cursor_left(&at) != 0) return damaged(a, "its directory is longer than its entries", err);
  qsort(used, zip->count, sizeof *used, extent_order);
  qsort(zip->entries, zip->count, sizeof *zip->entries, name_order);
  for (size_t i = 1; i < zip->count; i++) {
    if (used[i].begin < used[i - 1].end) return damaged(a, "two entries overlap", err);
    if (name_order(&zip->entries[i - 1], &zip->entries[i]) == 0) return damaged(a, "two entries have one name", err);
  }
  return FV_OK;
}

fv_status fv_zip_open(const fv_map *map, const char *path, fv_zip *out, fv_error *err) {
  archive a = {.path = path, .data = map->data, .size = map->size};
  *out = (fv_zip){0};
  fv_status st = read_end(&a, err);
  if (st) return st;
  extent *used = fv_alloc((size_t)a.entries, sizeof *used);
  out->entries = fv_alloc((size_t)a.entries, sizeof *out->entries);
  st = used && out->entries ? read_entries(&a, out, used, err)
                            : fv_fail(err, FV_ENOMEM, "%s: no memory for the zip directory", path);
  free(used);
  if (st) fv_zip_release(out);
  return st;
}

fv_status fv_zip_check_plain(const fv_zip *zip, const char *path, fv_error *err) {
  for (size_t i = 0; i < zip->count; i++) {
    const fv_zip_entry *e = &zip->entries[i];
    char shown[64];
    const char *name = fv_printable(e->name, e->name_bytes, shown);
    if (e->encrypted)
      return fv_fail(err, FV_EUNSUPPORTED, "%s: the zip entry %s is encrypted, expected a plain one", path, name);
    if (e->method != 0)
      return fv_fail(err, FV_EUNSUPPORTED,
                     "%s: the zip entry %s is compressed (method %u), expected stored as torch.save does; load it in "
                     "Python and save it again",
                     path, name, e->method);
  }
  return FV_OK;
}

void fv_zip_release(fv_zip *zip) {
  free(zip->entries);
  *zip = (fv_zip){0};
}

const fv_zip_entry *fv_zip_find(const fv_zip *zip, const char *name, size_t name_bytes) {
  const fv_zip_entry key = {.name = name, .name_bytes = name_bytes};
  return zip->count ? bsearch(&key, zip->entries, zip->count, sizeof key, name_order) : NULL;
}
