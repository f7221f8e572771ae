/* Writing zip archives of stored (uncompressed) members, as NumPy's savez does. Deterministic: the same members give
 * the same bytes (the date of every member is 1980-01-01).
 *
 * Members are written one after another from memory; the directory is written by fv_zip_write_finish. Limits are those
 * of the plain format, without ZIP64: 65535 members, 4 GiB in all. Ownership: the stream is the caller's. Threads: one
 * owner.
 */
#ifndef FOVEA_REPORT_ZIP_WRITE_H
#define FOVEA_REPORT_ZIP_WRITE_H

#include <stdio.h>

#include "fovea/status.h"

typedef struct fv_zip_write_member {
  char *name;
  uint32_t crc, size, offset;
} fv_zip_write_member;

typedef struct fv_zip_writer {
  FILE *stream;
  const char *path; /* for messages; borrowed */
  fv_zip_write_member *members;
  size_t count, capacity;
  uint64_t offset;
} fv_zip_writer;

/* The member is the two pieces one after the other. A name twice is FV_ECONFLICT. */
fv_status fv_zip_write_add(fv_zip_writer *zip, const char *name, const void *head, size_t head_size, const void *body,
                           size_t body_size, fv_error *err);
fv_status fv_zip_write_finish(fv_zip_writer *zip, fv_error *err);
/* Frees the member list only. */
void fv_zip_write_release(fv_zip_writer *zip);

#endif
