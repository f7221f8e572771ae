/* Writing safetensors files of float32 arrays.
 *
 * The file has the layout of the safetensors format: a little-endian 64-bit header length, a JSON header padded with
 * spaces to a multiple of 8, then the arrays back to back. Arrays are stored in the byte order of their names, so equal
 * contents give equal files. The file appears complete or not at all. Ownership: nothing is kept; the caller's data is
 * only read. Threads: any.
 */
#ifndef FOVEA_TENSORS_H
#define FOVEA_TENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FV_MAX_RANK 8

typedef struct fv_named_array {
  const char *name;
  int rank;                   /* 0 to FV_MAX_RANK; 0 is a single number */
  int64_t shape[FV_MAX_RANK]; /* outermost first, each >= 0 */
  const float *data;          /* row-major; may be NULL when the array is empty */
} fv_named_array;

/* Writes n arrays. `metadata_pairs` is a NULL-terminated list key, value, key, value, ... or NULL.
 * Errors: FV_EUSAGE for a name that is not UTF-8, is "__metadata__" or appears twice, a rank or shape out of range or a
 * key without value; FV_EIO when the file cannot be written.
 * Checked by: tests/checkpoint/test_tensorfile.c against a file of the safetensors library. */
fv_status fv_safetensors_write(const char *path, size_t n, const fv_named_array *arrays,
                               const char *const *metadata_pairs, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
