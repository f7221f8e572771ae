/* Writing zip archives of stored (uncompressed) members, as NumPy's savez does. Deterministic: the same members give
 * the same bytes (the date of every member is 1980-01-01).
 *
 * Members are written one after another from memory; the directory is written by fv_zip_write_finish. A size or place
 * that does not fit 32 bits, and a count that does not fit 16, stands in ZIP64's fields; an archive without any is a
 * plain one. Ownership: the stream is the caller's. Threads: one owner. Memory: about 80 bytes per member.
 * Source: PKWARE, APPNOTE.TXT 6.3.10, 4.3 and 4.5.3. Checked by: tests/report/test_zip_write.c
 */
#ifndef FOVEA_REPORT_ZIP_WRITE_H
#define FOVEA_REPORT_ZIP_WRITE_H

#include <stdio.h>

#include "fovea/status.h"

typedef struct fv_zip_write_member {
  char *name;
  uint32_t crc, name_crc;
  uint64_t size, offset;
} fv_zip_write_member;

typedef struct fv_zip_writer {
  FILE *stream;
  const char *path; /* for messages; borrowed */
  uint64_t plain;   /* sizes and places from here on are written in ZIP64; 0: from 2^32 - 1 on, as they must be */
  fv_zip_write_member *members;
  size_t count, capacity;
  size_t *slots; /* [nslots] hash table of the names: index + 1 of a member, or 0 */
  size_t nslots;
  uint64_t offset; /* in the stream */
} fv_zip_writer;

/* The member is the two pieces one after the other. A name twice is FV_ECONFLICT. */
fv_status fv_zip_write_add(fv_zip_writer *zip, const char *name, const void *head, size_t head_size, const void *body,
                           size_t body_size, fv_error *err);
fv_status fv_zip_write_finish(fv_zip_writer *zip, fv_error *err);
/* Frees the member list only. */
void fv_zip_write_release(fv_zip_writer *zip);

#endif
