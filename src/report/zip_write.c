#include "report/zip_write.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

/* Fields are little-endian whatever the machine. */
typedef struct record {
  uint8_t bytes[64];
  size_t n;
} record;

static void put(record *r, uint32_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) r->bytes[r->n++] = (uint8_t)(value >> 8 * i);
}

enum { VERSION = 20, UTF8_NAMES = 0x800, STORED = 0, TIME = 0, DATE = (1980 - 1980) << 9 | 1 << 5 | 1 };

/* The fields that the local header and the directory share, from the flags to the length of the extra field. */
static void put_common(record *r, const fv_zip_write_member *m) {
  put(r, VERSION, 2);
  put(r, UTF8_NAMES, 2);
  put(r, STORED, 2);
  put(r, TIME, 2);
  put(r, DATE, 2);
  put(r, m->crc, 4);
  put(r, m->size, 4);
  put(r, m->size, 4);
  put(r, (uint32_t)strlen(m->name), 2);
  put(r, 0, 2); /* extra field */
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

fv_status fv_zip_write_add(fv_zip_writer *z, const char *name, const void *head, size_t head_size, const void *body,
                           size_t body_size, fv_error *err) {
  for (size_t i = 0; i < z->count; i++)
    if (strcmp(z->members[i].name, name) == 0)
      return fv_fail(err, FV_ECONFLICT, "%s: the member %s is already there", z->path, name);
  size_t size, name_size = strlen(name);
  if (name_size > 1000 || !fv_add_size(head_size, body_size, &size) || size > UINT32_MAX ||
      z->offset + size + name_size + 30 > UINT32_MAX || z->count >= 65535)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: the member %s does not fit; an archive holds at most 4 GiB", z->path,
                   name);
  if (!fv_grow(&z->members, &z->capacity, z->count + 1, sizeof *z->members))
    return fv_fail(err, FV_ENOMEM, "%s: no memory for the member %s", z->path, name);
  fv_zip_write_member *m = &z->members[z->count];
  *m = (fv_zip_write_member){.name = fv_strdup(name), .size = (uint32_t)size, .offset = (uint32_t)z->offset};
  if (!m->name) return fv_fail(err, FV_ENOMEM, "%s: no memory for the member %s", z->path, name);
  z->count++;
  m->crc = crc_of(crc_of((uint32_t)crc32(0, NULL, 0), head, head_size), body, body_size);
  record r = {0};
  put(&r, 0x04034B50, 4);
  put_common(&r, m);
  fwrite(r.bytes, 1, r.n, z->stream);
  fwrite(name, 1, name_size, z->stream);
  fwrite(head, 1, head_size, z->stream);
  if (body_size) fwrite(body, 1, body_size, z->stream);
  z->offset += r.n + name_size + size;
  return ferror(z->stream) ? fv_fail(err, FV_EIO, "%s: cannot write; is the disk full?", z->path) : FV_OK;
}

fv_status fv_zip_write_finish(fv_zip_writer *z, fv_error *err) {
  uint64_t start = z->offset, size = 0;
  for (size_t i = 0; i < z->count; i++) {
    const fv_zip_write_member *m = &z->members[i];
    record r = {0};
    put(&r, 0x02014B50, 4);
    put(&r, VERSION, 2); /* made by */
    put_common(&r, m);
    put(&r, 0, 2); /* comment */
    put(&r, 0, 2); /* disk */
    put(&r, 0, 2); /* internal attributes */
    put(&r, 0, 4); /* external attributes */
    put(&r, m->offset, 4);
    fwrite(r.bytes, 1, r.n, z->stream);
    fputs(m->name, z->stream);
    size += r.n + strlen(m->name);
  }
  if (start + size > UINT32_MAX)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: does not fit; an archive holds at most 4 GiB", z->path);
  record r = {0};
  put(&r, 0x06054B50, 4);
  put(&r, 0, 2); /* this disk */
  put(&r, 0, 2); /* disk of the directory */
  put(&r, (uint32_t)z->count, 2);
  put(&r, (uint32_t)z->count, 2);
  put(&r, (uint32_t)size, 4);
  put(&r, (uint32_t)start, 4);
  put(&r, 0, 2); /* comment */
  fwrite(r.bytes, 1, r.n, z->stream);
  return ferror(z->stream) ? fv_fail(err, FV_EIO, "%s: cannot write; is the disk full?", z->path) : FV_OK;
}

void fv_zip_write_release(fv_zip_writer *z) {
  for (size_t i = 0; i < z->count; i++) free(z->members[i].name);
  free(z->members);
  z->members = NULL;
  z->count = z->capacity = 0;
}
