/* Files: reading whole, mapping, and writing so that an output appears complete or not at all.
 *
 * fv_map is a read-only memory map of a regular file (FIFOs, devices and folders are refused at once). fv_outfile
 * writes to a temporary name in the target's folder; fv_outfile_commit flushes, syncs and renames it over the target,
 * fv_outfile_abort removes it and leaves the old file as it was. Standard output gets nothing before commit either,
 * unless it is more than FV_OUTFILE_HELD bytes: then these are passed on as they come. Threads: one owner at a time.
 */
#ifndef FOVEA_BASE_FILES_H
#define FOVEA_BASE_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fovea/status.h"

typedef struct fv_map {
  const uint8_t *data; /* NULL for an empty file */
  size_t size;
} fv_map;

fv_status fv_map_open(const char *path, fv_map *out, fv_error *err);
void fv_map_close(fv_map *map);
/* Tells the kernel that these bytes of the map are not needed now; they are read again from the file when touched. */
void fv_map_drop(const fv_map *map, const void *data, size_t bytes);
/* Tells the kernel that these bytes of the map will be needed soon. Costs little when they are in memory: a page of
 * each few megabytes is looked at. */
void fv_map_prefetch(const fv_map *map, const void *data, size_t bytes);

/* The whole file, NUL-terminated (the NUL not counted). A file over max_bytes is FV_EFORMAT. Release with free(). */
fv_status fv_file_read(const char *path, size_t max_bytes, char **out, size_t *size, fv_error *err);
bool fv_file_exists(const char *path);
/* dir/name in a fresh string. */
char *fv_path_join(const char *dir, const char *name);

typedef struct fv_outfile fv_outfile;
#define FV_OUTFILE_HELD ((size_t)16 << 20)
/* "-" is standard output. */
fv_status fv_outfile_open(const char *path, fv_outfile **out, fv_error *err);
/* The stream to write to. Errors of the stream are found by commit. */
FILE *fv_outfile_stream(fv_outfile *file);
/* The temporary file's name, for libraries that write by name (NULL for standard output). */
const char *fv_outfile_temporary(const fv_outfile *file);
fv_status fv_outfile_commit(fv_outfile *file, fv_error *err); /* frees `file` in every case */
void fv_outfile_abort(fv_outfile *file);                      /* frees `file`; NULL is harmless */

#endif
