#include "report/zip_write.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

/* Fields are little-endian whatever the machine. */
typedef struct record {
  uint8_t bytes[96];
  size_t n;
} record;

static void put(record *r, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) r->bytes[r->n++] = (uint8_t)(value >> 8 * i);
}

enum {
  LOCAL = 0x04034B50,
  CENTRAL = 0x02014B50,
  END = 0x06054B50,
  END64 = 0x06064B50,
  LOCATOR64 = 0x07064B50,
  VERSION = 20,
  VERSION64 = 45,
  UTF8_NAMES = 0x800,
  STORED = 0,
  TIME = 0,
  DATE = (1980 - 1980) << 9 | 1 << 5 | 1,
  FIELD64 = 1, /* the extra field that holds what the plain fields cannot */
  MANY = 0xFFFF
};

/* Whether a value goes to ZIP64, and what then stands in its plain field. */
static bool large(const fv_zip_writer *z, uint64_t value) { return value >= (z->plain ? z->plain : UINT32_MAX); }
static uint64_t plain(const fv_zip_writer *z, uint64_t value) { return large(z, value) ? UINT32_MAX : value; }

/* The fields that the local header and the directory share, from the version to the length of the extra field. Both
 * sizes go to ZIP64 together, as a local header must have them. */
static void put_common(record *r, const fv_zip_writer *z, const fv_zip_write_member *m, size_t extra) {
  put(r, extra > 0 ? VERSION64 : VERSION, 2);
  put(r, UTF8_NAMES, 2);
  put(r, STORED, 2);
  put(r, TIME, 2);
  put(r, DATE, 2);
  put(r, m->crc, 4);
  put(r, plain(z, m->size), 4);
  put(r, plain(z, m->size), 4);
  put(r, strlen(m->name), 2);
  put(r, extra, 2);
}

/* size and offset: whether they are in it. */
static void put_extra(record *r, const fv_zip_write_member *m, bool size, bool offset) {
  if (!size && !offset) return;
  put(r, FIELD64, 2);
  put(r, (size ? 16 : 0) + (offset ? 8 : 0), 2);
  if (size) put(r, m->size, 8), put(r, m->size, 8);
  if (offset) put(r, m->offset, 8);
}

static uint32_t crc_of(uint32_t crc, const void *data, size_t n) {
  const uint8_t *p = data;
  for (size_t at = 0; at < n;) { /* zlib takes at most a uInt at once */
    uInt part = n - at > 1u << 30 ? 1u << 30 : (uInt)(n - at);
    crc = (uint32_t)crc32(crc, p + at, part);
    at += part;
  }
  return crc;
}

/* ---- names ---- */

/* Where a name is or belongs; the table has a free slot. */
static size_t *slot_of(const fv_zip_writer *z, uint32_t crc, const char *name) {
  for (size_t at = crc % z->nslots;; at = (at + 1) % z->nslots) {
    const fv_zip_write_member *m = z->slots[at] ? &z->members[z->slots[at] - 1] : NULL;
    if (!m || (m->name_crc == crc && strcmp(m->name, name) == 0)) return &z->slots[at];
  }
}

/* Keeps half of the slots free. */
static bool slots_grow(fv_zip_writer *z) {
  if (2 * (z->count + 1) <= z->nslots) return true;
  size_t n = z->nslots ? 2 * z->nslots : 64, *slots = fv_alloc(n, sizeof *slots);
  if (!slots) return false;
  free(z->slots);
  z->slots = slots, z->nslots = n;
  for (size_t i = 0; i < z->count; i++) *slot_of(z, z->members[i].name_crc, z->members[i].name) = i + 1;
  return true;
}

/* ---- members ---- */

static fv_status write_failed(const fv_zip_writer *z, fv_error *err) {
  return fv_fail(err, FV_EIO, "%s: cannot write; is the disk full?", z->path);
}

fv_status fv_zip_write_add(fv_zip_writer *z, const char *name, const void *head, size_t head_size, const void *body,
                           size_t body_size, fv_error *err) {
  size_t size, name_size = strlen(name);
  if (name_size > 1000 || !fv_add_size(head_size, body_size, &size))
    return fv_fail(err, FV_EUNSUPPORTED, "%s: the member %.80s has a name of %zu bytes, expected at most 1000", z->path,
                   name, name_size);
  if (!slots_grow(z) || !fv_grow(&z->members, &z->capacity, z->count + 1, sizeof *z->members))
    return fv_fail(err, FV_ENOMEM, "%s: no memory for the member %s", z->path, name);
  uint32_t name_crc = crc_of(0, name, name_size);
  size_t *slot = slot_of(z, name_crc, name);
  if (*slot) return fv_fail(err, FV_ECONFLICT, "%s: the member %s is already there", z->path, name);
  fv_zip_write_member *m = &z->members[z->count];
  *m = (fv_zip_write_member){.name = fv_strdup(name), .name_crc = name_crc, .size = size, .offset = z->offset};
  if (!m->name) return fv_fail(err, FV_ENOMEM, "%s: no memory for the member %s", z->path, name);
  *slot = ++z->count;
  m->crc = crc_of(crc_of(0, head, head_size), body, body_size);
  record r = {0}, extra = {0};
  put_extra(&extra, m, large(z, size), false);
  put(&r, LOCAL, 4);
  put_common(&r, z, m, extra.n);
  fwrite(r.bytes, 1, r.n, z->stream);
  fwrite(name, 1, name_size, z->stream);
  fwrite(extra.bytes, 1, extra.n, z->stream);
  fwrite(head, 1, head_size, z->stream);
  if (body_size) fwrite(body, 1, body_size, z->stream);
  z->offset += r.n + name_size + extra.n + size;
  return ferror(z->stream) ? write_failed(z, err) : FV_OK;
}

/* ---- the directory ---- */

static void write_entry(fv_zip_writer *z, const fv_zip_write_member *m) {
  record r = {0}, extra = {0};
  put_extra(&extra, m, large(z, m->size), large(z, m->offset));
  put(&r, CENTRAL, 4);
  put(&r, extra.n ? VERSION64 : VERSION, 2); /* made by */
  put_common(&r, z, m, extra.n);
  put(&r, 0, 2); /* comment */
  put(&r, 0, 2); /* disk */
  put(&r, 0, 2); /* internal attributes */
  put(&r, 0, 4); /* external attributes */
  put(&r, plain(z, m->offset), 4);
  fwrite(r.bytes, 1, r.n, z->stream);
  fputs(m->name, z->stream);
  fwrite(extra.bytes, 1, extra.n, z->stream);
  z->offset += r.n + strlen(m->name) + extra.n;
}

/* ZIP64's end of the directory, and where to find it. */
static void put_end64(record *r, const fv_zip_writer *z, uint64_t start, uint64_t size) {
  put(r, END64, 4);
  put(r, 44, 8); /* bytes that follow in this record */
  put(r, VERSION64, 2);
  put(r, VERSION64, 2);
  put(r, 0, 4); /* this disk */
  put(r, 0, 4); /* disk of the directory */
  put(r, z->count, 8);
  put(r, z->count, 8);
  put(r, size, 8);
  put(r, start, 8);
  put(r, LOCATOR64, 4);
  put(r, 0, 4);
  put(r, start + size, 8); /* of this record */
  put(r, 1, 4);            /* disks */
}

fv_status fv_zip_write_finish(fv_zip_writer *z, fv_error *err) {
  uint64_t start = z->offset;
  for (size_t i = 0; i < z->count; i++) write_entry(z, &z->members[i]);
  uint64_t size = z->offset - start, count = z->count < MANY ? z->count : MANY;
  record end64 = {0}, r = {0};
  if (z->count >= MANY || large(z, start) || large(z, size)) put_end64(&end64, z, start, size);
  put(&r, END, 4);
  put(&r, 0, 2); /* this disk */
  put(&r, 0, 2); /* disk of the directory */
  put(&r, count, 2);
  put(&r, count, 2);
  put(&r, plain(z, size), 4);
  put(&r, plain(z, start), 4);
  put(&r, 0, 2); /* comment */
  fwrite(end64.bytes, 1, end64.n, z->stream);
  fwrite(r.bytes, 1, r.n, z->stream);
  return ferror(z->stream) ? write_failed(z, err) : FV_OK;
}

void fv_zip_write_release(fv_zip_writer *z) {
  for (size_t i = 0; i < z->count; i++) free(z->members[i].name);
  free(z->members);
  free(z->slots);
  z->members = NULL, z->slots = NULL;
  z->count = z->capacity = z->nslots = 0;
}
