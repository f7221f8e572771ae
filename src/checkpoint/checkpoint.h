/* Checkpoints: the tensors of a model folder or of one weight file, read in place.
 *
 * Opening maps the weight files, checks their structure completely and lists the tensors; no tensor is converted or
 * copied, except strided torch views (transposed, sliced, expanded), which are laid out once in memory. Understood are
 * safetensors and the files of torch.save (the zip format, and the format before torch 1.6), whole or in shards. A
 * pickle is never executed: src/checkpoint/pickle.h lists what is understood of it, the rest is refused by name.
 *
 * Names are those of the file, except that `LayerNorm.gamma` and `LayerNorm.beta` are called `LayerNorm.weight` and
 * `LayerNorm.bias`, as transformers does. Tensors are sorted by name (byte order) and names are unique.
 *
 * Ownership: an fv_tensor and everything it points to belong to the checkpoint and live until fv_checkpoint_close.
 * Threads: a checkpoint is immutable after open and may be shared. Cost: opening is linear in the size of the headers;
 * finding is a binary search.
 */
#ifndef FOVEA_CHECKPOINT_CHECKPOINT_H
#define FOVEA_CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"
#include "fovea/tensors.h"

typedef enum fv_dtype {
  FV_DTYPE_F32,
  FV_DTYPE_F16,
  FV_DTYPE_BF16,
  FV_DTYPE_F64,
  FV_DTYPE_I64,
  FV_DTYPE_I32,
  FV_DTYPE_I16,
  FV_DTYPE_I8,
  FV_DTYPE_U8,
  FV_DTYPE_BOOL,
  FV_DTYPE_OTHER /* stored, but not readable here: 8-bit floats, complex numbers, unsigned 16 to 64 bits, ... */
} fv_dtype;

const char *fv_dtype_name(fv_dtype dtype); /* "f32", ..., "other" */
size_t fv_dtype_size(fv_dtype dtype);      /* bytes per element; 0 for FV_DTYPE_OTHER */
bool fv_dtype_is_real(fv_dtype dtype);     /* f32, f16, bf16 or f64: what fv_tensor_read_f32 reads */

typedef struct fv_tensor {
  const char *name;
  const char *file; /* path of the weight file, for messages */
  fv_dtype dtype;
  const char *stored; /* the dtype as the file spells it, e.g. "F8_E4M3" or "BFloat16Storage" */
  int rank;
  int64_t shape[FV_MAX_RANK];
  int64_t count;       /* product of the shape; 1 for rank 0 */
  const uint8_t *data; /* little-endian, row-major, of any alignment; NULL when bytes = 0 */
  size_t bytes;
} fv_tensor;

typedef struct fv_checkpoint fv_checkpoint;

/* Opens a model folder: model.safetensors, else model.safetensors.index.json, else pytorch_model.bin, else
 * pytorch_model.bin.index.json. Of a sharded checkpoint the tensors are those of the index.
 * Errors: FV_ENOTFOUND when none is there, FV_EFORMAT, FV_EUNSUPPORTED, FV_EIO, FV_ENOMEM. */
fv_status fv_checkpoint_open(const char *dir, fv_checkpoint **out, fv_error *err);
/* Opens one file: .safetensors, or .bin, .pt, .pth of torch.save. Of a dict, the entries that are tensors are listed
 * under their keys (an integer key under its decimal digits) and other entries are skipped; a single saved tensor has
 * the name "". */
fv_status fv_checkpoint_open_file(const char *path, fv_checkpoint **out, fv_error *err);
void fv_checkpoint_close(fv_checkpoint *c);

size_t fv_checkpoint_count(const fv_checkpoint *c);
const fv_tensor *fv_checkpoint_at(const fv_checkpoint *c, size_t i);           /* sorted by name; i < count */
const fv_tensor *fv_checkpoint_find(const fv_checkpoint *c, const char *name); /* NULL when absent */

/* The tensor of that name, which must be of a real dtype and have the given shape (-1 = any length).
 * `because` says where the expectation comes from, e.g. "config hidden_size 1024"; NULL = nothing to say.
 * Errors name file, tensor, found, expected and the likely cause: FV_ENOTFOUND, FV_ESHAPE, FV_EUNSUPPORTED. */
fv_status fv_checkpoint_need(const fv_checkpoint *c, const char *name, int rank, const int64_t *shape,
                             const char *because, const fv_tensor **out, fv_error *err);

/* The weight files, in the order of their names. */
size_t fv_checkpoint_files(const fv_checkpoint *c);
const char *fv_checkpoint_file(const fv_checkpoint *c, size_t i);
/* One hash of all weights: the SHA-256 of the concatenated lower-case hexadecimal SHA-256 digests (64 characters each,
 * nothing between them) of the weight files in the order of their names. The same as
 *   sha256sum *.safetensors | cut -c1-64 | tr -d '\n' | sha256sum
 * in a folder that holds just those. Cost: one pass over the files. */
fv_status fv_checkpoint_sha256(const fv_checkpoint *c, char hex[65], fv_error *err);

/* Reads the elements [first, first + n) in row-major order. f16 and bf16 are widened exactly; f64 is rounded to
 * nearest. Errors: FV_EUNSUPPORTED for other dtypes, FV_ESHAPE for a range outside of the tensor, FV_ENONFINITE naming
 * the first element that is NaN or infinite (out is then unspecified). Checked by: tests/checkpoint/test_tensor.c */
fv_status fv_tensor_read_f32(const fv_tensor *t, int64_t first, int64_t n, float *out, fv_error *err);
/* The data itself when it is f32 and aligned for float, else NULL. Nothing was checked for NaN. */
const float *fv_tensor_f32(const fv_tensor *t);
/* Lets the kernel forget the tensor's pages, which were packed elsewhere; touched again they are read from the file. */
void fv_checkpoint_drop(const fv_checkpoint *c, const fv_tensor *t);
/* Lets the kernel read ahead `bytes` of the tensor from byte `first` on. */
void fv_checkpoint_prefetch(const fv_checkpoint *c, const fv_tensor *t, size_t first, size_t bytes);

/* The shape as text, e.g. "[768,3,16,16]"; always ends within `size` bytes. */
void fv_shape_text(int rank, const int64_t *shape, char *text, size_t size);

#endif
