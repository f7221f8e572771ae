/* From the values of a torch pickle to tensors: what the zip format and the legacy format have in common.
 *
 * The format supplies one function that finds the bytes of a storage; this module finds the tensors in the saved
 * object, checks size, stride and offset against the storage, and adds them to the checkpoint. A tensor that is not
 * row-major in its storage (transposed, sliced, expanded) is laid out once in memory of the checkpoint; the bytes so
 * spent are limited by twice the file's size and 64 MiB. Ownership: nothing is kept. Threads: one.
 */
#ifndef FOVEA_CHECKPOINT_TORCH_TENSOR_H
#define FOVEA_CHECKPOINT_TORCH_TENSOR_H

#include "checkpoint/checkpoint_build.h"
#include "checkpoint/pickle.h"

/* What a persistent id says of a storage. */
typedef struct fv_storage_id {
  const fv_pickle_global *type;
  const char *key; /* not NUL-terminated */
  size_t key_bytes;
  int64_t count;                  /* elements of the whole storage; bytes when untyped */
  int64_t view_first, view_count; /* the part that this id means; all of it outside of old legacy files */
} fv_storage_id;

typedef struct fv_torch_file {
  fv_checkpoint *c;
  const char *path;
  const fv_map *map;
  const fv_pickle *pickle;
  size_t laid_out; /* bytes spent on strided views so far */
  /* Finds the storage and checks that it has count * size bytes; *data may be NULL when that is 0. */
  fv_status (*find)(const struct fv_torch_file *file, const fv_storage_id *id, const uint8_t **data, fv_error *err);
  const void *storages; /* what `find` searches */
} fv_torch_file;

fv_status fv_storage_id_read(const fv_pickle *p, const fv_pickle_value *v, const char *path, fv_storage_id *out,
                             fv_error *err);
/* Adds every tensor of the saved object. */
fv_status fv_torch_add_all(fv_torch_file *file, fv_error *err);

#endif
