/* What the file readers of this room use to fill a checkpoint. Private to src/checkpoint.
 *
 * A reader gets a mapped file and adds the tensors that it finds, with names as spelled in the file; order, uniqueness
 * and renaming are settled afterwards, once, in checkpoint.c. After an error the half-filled checkpoint is closed by
 * whoever made it. All memory that tensors point to is owned by the checkpoint: the maps, and the blocks.
 */
#ifndef FOVEA_CHECKPOINT_CHECKPOINT_BUILD_H
#define FOVEA_CHECKPOINT_CHECKPOINT_BUILD_H

#include "base/files.h"
#include "checkpoint/checkpoint.h"

typedef struct fv_weight_file {
  char *path;
  fv_map map;
} fv_weight_file;

struct fv_checkpoint {
  char *where;           /* folder or file, for messages */
  fv_weight_file *files; /* in the order of their names, since shards are loaded so */
  size_t file_count, file_capacity;
  fv_tensor *tensors;
  size_t tensor_count, tensor_capacity;
  void **blocks; /* names and laid-out views */
  size_t block_count, block_capacity;
};

/* Limits on untrusted files; real checkpoints stay far below. */
#define FV_MAX_TENSORS ((size_t)1 << 20)
#define FV_MAX_NAME ((size_t)1024)

/* Memory owned by the checkpoint, aligned to 64 bytes; NULL when short. */
void *fv_checkpoint_block(fv_checkpoint *c, size_t bytes);
/* A name must be UTF-8 text of at most FV_MAX_NAME bytes without control characters: it is shown in messages. */
fv_status fv_name_check(const char *path, const char *name, size_t n, fv_error *err);
/* Adds t under the name (n bytes, not NUL-terminated, copied), which is checked. */
fv_status fv_checkpoint_add(fv_checkpoint *c, const fv_tensor *t, const char *name, size_t n, fv_error *err);
/* The product of the shape, each >= 0; false when it does not fit. An empty dimension gives 0. */
bool fv_shape_count(int rank, const int64_t *shape, int64_t *count);
/* Copies n untrusted bytes as text for a message: control characters and bytes beyond ASCII become '?', a long text is
 * cut. Returns `text`. */
const char *fv_printable(const char *s, size_t n, char text[64]);
/* What the file recognisably is when it is no weight file ("a Git LFS pointer; ..."); NULL when it may be one. */
const char *fv_foreign_file(const fv_map *map);

/* The readers: each adds the tensors of one mapped file. */
fv_status fv_safetensors_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err);
fv_status fv_torch_zip_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err);
fv_status fv_torch_legacy_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err);
/* Any file of torch.save, told apart by its first bytes. */
fv_status fv_torch_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err);

/* An index of shards: {"metadata": ..., "weight_map": {tensor: shard}}. Loads the shards beside it with the reader and
 * keeps the tensors that the index maps. */
typedef fv_status fv_weight_reader(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err);
fv_status fv_shards_load(fv_checkpoint *c, const char *dir, const char *index_name, fv_weight_reader *reader,
                         fv_error *err);
/* Maps the file, runs the reader over it and keeps the map. */
fv_status fv_checkpoint_load_file(fv_checkpoint *c, const char *path, fv_weight_reader *reader, fv_error *err);
/* Sorts the tensors by name. */
void fv_checkpoint_sort(fv_checkpoint *c);

#endif
