/* The directory of a zip archive, for entries that are stored as torch.save does and can be read in place.
 *
 * Sizes come from the central directory (torch's local headers carry zeros), zip64 records are understood and must
 * agree with the 32-bit fields that they extend. Archives in several parts, duplicate names and entries that overlap
 * are refused; compressed and encrypted entries are listed, and fv_zip_check_plain refuses them. Ownership: entries
 * point into the map, which must outlive them; release with fv_zip_release. Threads: immutable after open. Cost:
 * entries * log(entries).
 */
#ifndef FOVEA_CHECKPOINT_ZIP_H
#define FOVEA_CHECKPOINT_ZIP_H

#include "base/files.h"
#include "fovea/status.h"

typedef struct fv_zip_entry {
  const char *name; /* not NUL-terminated, any bytes */
  size_t name_bytes;
  const uint8_t *data; /* as it is in the file, packed or not */
  size_t size;
  unsigned method; /* 0 = stored */
  bool encrypted;
} fv_zip_entry;

typedef struct fv_zip {
  fv_zip_entry *entries; /* sorted by name */
  size_t count;
} fv_zip;

fv_status fv_zip_open(const fv_map *map, const char *path, fv_zip *out, fv_error *err);
/* Refuses the first entry that is compressed or encrypted, by name. */
fv_status fv_zip_check_plain(const fv_zip *zip, const char *path, fv_error *err);
void fv_zip_release(fv_zip *zip);
/* The entry of that name, or NULL. */
const fv_zip_entry *fv_zip_find(const fv_zip *zip, const char *name, size_t name_bytes);

#endif
