#include "checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "checkpoint/checkpoint_build.h"

void *fv_checkpoint_block(fv_checkpoint *c, size_t bytes) {
  if (!fv_grow(&c->blocks, &c->block_capacity, c->block_count + 1, sizeof *c->blocks)) return NULL;
  void *p = fv_alloc_aligned(bytes, 1);
  if (p) c->blocks[c->block_count++] = p;
  return p;
}

const char *fv_printable(const char *s, size_t n, char text[64]) {
  size_t k = n < 63 ? n : 63;
  for (size_t i = 0; i < k; i++) text[i] = s[i] >= 0x20 && s[i] < 0x7F ? s[i] : '?';
  if (n > 63) memcpy(text + 60, "...", 3);
  text[k] = '\0';
  return text;
}

fv_status fv_name_check(const char *path, const char *name, size_t n, fv_error *err) {
  char shown[64];
  bool good = fv_utf8_valid(name, n, NULL);
  for (size_t i = 0; good && i < n; i++) {
    uint8_t b = (uint8_t)name[i];
    bool c1 = b == 0xC2 && (uint8_t)name[i + 1] < 0xA0; /* U+0080 to U+009F */
    good = b >= 0x20 && b != 0x7F && !c1;
  }
  if (!good)
    return fv_fail(err, FV_EFORMAT, "%s: the tensor name \"%s\" is not UTF-8 text without control characters", path,
                   fv_printable(name, n, shown));
  if (n > FV_MAX_NAME)
    return fv_fail(err, FV_EFORMAT, "%s: the tensor name \"%s\" has %zu bytes, expected at most %zu", path,
                   fv_printable(name, n, shown), n, FV_MAX_NAME);
  return FV_OK;
}

fv_status fv_checkpoint_add(fv_checkpoint *c, const fv_tensor *t, const char *name, size_t n, fv_error *err) {
  fv_status st = fv_name_check(t->file, name, n, err);
  if (st) return st;
  if (c->tensor_count >= FV_MAX_TENSORS)
    return fv_fail(err, FV_EFORMAT, "%s: the checkpoint has more than %zu tensors", t->file, FV_MAX_TENSORS);
  char *copy = fv_checkpoint_block(c, n + 1);
  if (!copy || !fv_grow(&c->tensors, &c->tensor_capacity, c->tensor_count + 1, sizeof *c->tensors))
    return fv_fail(err, FV_ENOMEM, "%s: no memory for the list of tensors", t->file);
  memcpy(copy, name, n);
  copy[n] = '\0';
  c->tensors[c->tensor_count] = *t;
  c->tensors[c->tensor_count++].name = copy;
  return FV_OK;
}

const char *fv_foreign_file(const fv_map *map) {
  static const struct {
    size_t offset;
    const char *magic, *what;
  } known[] = {{0, "version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"},
               {0, "<!DOCTYPE", "a web page: download the file again"},
               {0, "<html", "a web page: download the file again"},
               {0, "\x89HDF", "an HDF5 file, as TensorFlow writes: save it as safetensors"},
               {0, "GGUF", "a GGUF file: get the original safetensors"},
               {257, "ustar", "a tar file, as torch before 0.2 wrote: load it in Python and save it again"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t n = strlen(known[i].magic);
    if (map->size >= known[i].offset + n && memcmp(map->data + known[i].offset, known[i].magic, n) == 0)
      return known[i].what;
  }
  return NULL;
}

fv_status fv_checkpoint_load_file(fv_checkpoint *c, const char *path, fv_weight_reader *reader, fv_error *err) {
  if (!fv_grow(&c->files, &c->file_capacity, c->file_count + 1, sizeof *c->files))
    return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  fv_weight_file *f = &c->files[c->file_count];
  *f = (fv_weight_file){.path = fv_strdup(path)};
  if (!f->path) return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  c->file_count++;
  fv_status st = fv_map_open(path, &f->map, err);
  return st ? st : reader(c, f->path, &f->map, err);
}

static int tensor_order(const void *a, const void *b) {
  const fv_tensor *x = a, *y = b;
  return strcmp(x->name, y->name);
}

void fv_checkpoint_sort(fv_checkpoint *c) {
  if (c->tensor_count > 0) qsort(c->tensors, c->tensor_count, sizeof *c->tensors, tensor_order);
}

/* The names that BERT had in TensorFlow; transformers renames them on load. */
static fv_status rename_norms(fv_checkpoint *c, fv_error *err) {
  static const char *const names[][2] = {{"LayerNorm.gamma", "LayerNorm.weight"}, {"LayerNorm.beta", "LayerNorm.bias"}};
  for (size_t i = 0; i < c->tensor_count; i++)
    for (size_t k = 0; k < 2; k++) {
      const char *name = c->tensors[i].name, *old = names[k][0], *new = names[k][1];
      size_t n = strlen(name), tail = strlen(old);
      if (n < tail || strcmp(name + n - tail, old) != 0) continue;
      char *fresh = fv_checkpoint_block(c, n - tail + strlen(new) + 1);
      if (!fresh) return fv_fail(err, FV_ENOMEM, "%s: no memory", c->where);
      memcpy(fresh, name, n - tail);
      memcpy(fresh + n - tail, new, strlen(new) + 1);
      c->tensors[i].name = fresh;
    }
  return FV_OK;
}

static fv_status finish(fv_checkpoint *c, fv_error *err) {
  fv_status st = rename_norms(c, err);
  if (st) return st;
  fv_checkpoint_sort(c);
  for (size_t i = 1; i < c->tensor_count; i++)
    if (strcmp(c->tensors[i - 1].name, c->tensors[i].name) == 0)
      return fv_fail(
          err, FV_EFORMAT,
          "%s: tensor %s is there twice (LayerNorm.gamma and .beta count as .weight and .bias), expected once",
          c->tensors[i].file, c->tensors[i].name);
  if (c->tensor_count == 0) return fv_fail(err, FV_EFORMAT, "%s: holds no tensors", c->where);
  return FV_OK;
}

static fv_status load_folder(fv_checkpoint *c, const char *dir, fv_error *err) {
  static const struct {
    const char *name;
    fv_weight_reader *reader;
    bool index;
  } known[] = {{"model.safetensors", fv_safetensors_load, false},
               {"model.safetensors.index.json", fv_safetensors_load, true},
               {"pytorch_model.bin", fv_torch_load, false},
               {"pytorch_model.bin.index.json", fv_torch_load, true}};
  struct stat info;
  if (stat(dir, &info) != 0) return fv_fail(err, FV_ENOTFOUND, "%s: there is no such model folder", dir);
  if (!S_ISDIR(info.st_mode))
    return fv_fail(err, FV_EUSAGE, "%s: is not a folder, expected the folder of a Hugging Face model", dir);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    char *path = fv_path_join(dir, known[i].name);
    if (!path) return fv_fail(err, FV_ENOMEM, "%s: no memory", dir);
    bool there = fv_file_exists(path);
    fv_status st = !there           ? FV_OK
                   : known[i].index ? fv_shards_load(c, dir, known[i].name, known[i].reader, err)
                                    : fv_checkpoint_load_file(c, path, known[i].reader, err);
    free(path);
    if (there) return st;
  }
  return fv_fail(
      err, FV_ENOTFOUND,
      "%s: has no weights: looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin and "
      "pytorch_model.bin.index.json; is this the folder of a Hugging Face model?",
      dir);
}

fv_status fv_torch_load(fv_checkpoint *c, const char *path, const fv_map *map, fv_error *err) {
  const char *hint = fv_foreign_file(map);
  if (hint) return fv_fail(err, FV_EFORMAT, "%s: is not a file of torch.save but %s", path, hint);
  if (map->size >= 4 && memcmp(map->data, "PK\3\4", 4) == 0) return fv_torch_zip_load(c, path, map, err);
  if (map->size >= 2 && map->data[0] == 0x80) return fv_torch_legacy_load(c, path, map, err);
  return fv_fail(err, FV_EFORMAT,
                 "%s: is not a file of torch.save: it begins neither like a zip archive nor like a pickle; was the "
                 "download cut short?",
                 path);
}

/* By the name when that is clear: the first byte of a safetensors file can be any. */
static fv_status load_single(fv_checkpoint *c, const char *path, fv_error *err) {
  static const char tail[] = ".safetensors";
  size_t n = strlen(path), k = sizeof tail - 1;
  bool safetensors = n >= k && strcmp(path + n - k, tail) == 0;
  return fv_checkpoint_load_file(c, path, safetensors ? fv_safetensors_load : fv_torch_load, err);
}

static fv_status open_with(const char *where, fv_status (*load)(fv_checkpoint *, const char *, fv_error *),
                           fv_checkpoint **out, fv_error *err) {
  *out = NULL;
  fv_checkpoint *c = fv_alloc(1, sizeof *c);
  if (!c || !(c->where = fv_strdup(where))) {
    fv_checkpoint_close(c);
    return fv_fail(err, FV_ENOMEM, "%s: no memory", where);
  }
  fv_status st = load(c, where, err);
  if (!st) st = finish(c, err);
  if (st) {
    fv_checkpoint_close(c);
    return st;
  }
  *out = c;
  return FV_OK;
}

fv_status fv_checkpoint_open(const char *dir, fv_checkpoint **out, fv_error *err) {
  return open_with(dir, load_folder, out, err);
}

fv_status fv_checkpoint_open_file(const char *path, fv_checkpoint **out, fv_error *err) {
  return open_with(path, load_single, out, err);
}

void fv_checkpoint_close(fv_checkpoint *c) {
  if (!c) return;
  for (size_t i = 0; i < c->file_count; i++) {
    fv_map_close(&c->files[i].map);
    free(c->files[i].path);
  }
  for (size_t i = 0; i < c->block_count; i++) free(c->blocks[i]);
  free(c->files);
  free(c->tensors);
  free(c->blocks);
  free(c->where);
  free(c);
}

size_t fv_checkpoint_count(const fv_checkpoint *c) { return c->tensor_count; }
const fv_tensor *fv_checkpoint_at(const fv_checkpoint *c, size_t i) { return &c->tensors[i]; }
size_t fv_checkpoint_files(const fv_checkpoint *c) { return c->file_count; }
const char *fv_checkpoint_file(const fv_checkpoint *c, size_t i) { return c->files[i].path; }

static int name_order(const void *key, const void *item) {
  const fv_tensor *t = item;
  return strcmp(key, t->name);
}

const fv_tensor *fv_checkpoint_find(const fv_checkpoint *c, const char *name) {
  return c->tensor_count ? bsearch(name, c->tensors, c->tensor_count, sizeof *c->tensors, name_order) : NULL;
}

/* The tensor whose name shares the longest tail of whole components with the wanted one (two at least), or NULL. */
static const fv_tensor *similar(const fv_checkpoint *c, const char *name) {
  const fv_tensor *best = NULL;
  size_t most = 1, n = strlen(name);
  for (size_t i = 0; i < c->tensor_count; i++) {
    const char *other = c->tensors[i].name;
    size_t m = strlen(other), k = 0, parts = 0;
    while (k < n && k < m && name[n - 1 - k] == other[m - 1 - k])
      if (name[n - 1 - k++] == '.') parts++;
    bool whole_n = k == n, whole_m = k == m;
    if ((whole_n || name[n - 1 - k] == '.') && (whole_m || other[m - 1 - k] == '.')) parts++;
    if (parts > most) {
      most = parts;
      best = &c->tensors[i];
    }
  }
  return best;
}

fv_status fv_checkpoint_need(const fv_checkpoint *c, const char *name, int rank, const int64_t *shape,
                             const char *because, const fv_tensor **out, fv_error *err) {
  const fv_tensor *t = fv_checkpoint_find(c, name);
  *out = NULL;
  if (!t) {
    const fv_tensor *near = similar(c, name);
    return fv_fail(err, FV_ENOTFOUND, "%s: tensor %s is missing among the %zu of this checkpoint%s%s; %s", c->where,
                   name, c->tensor_count, near ? ", which has " : "", near ? near->name : "",
                   near ? "is this another family, or another version of its names?"
                        : "do the weights belong to this config.json?");
  }
  bool same = t->rank == rank;
  for (int d = 0; same && d < rank; d++) same = shape[d] < 0 || shape[d] == t->shape[d];
  if (!same) {
    char found[24 * FV_MAX_RANK], expected[24 * FV_MAX_RANK];
    fv_shape_text(t->rank, t->shape, found, sizeof found);
    fv_shape_text(rank, shape, expected, sizeof expected);
    return fv_fail(err, FV_ESHAPE, "%s: tensor %s has shape %s, expected %s%s%s%s; is this the matching config.json?",
                   t->file, name, found, expected, because ? " (" : "", because ? because : "", because ? ")" : "");
  }
  if (!fv_dtype_is_real(t->dtype))
    return fv_fail(err, FV_EUNSUPPORTED,
                   "%s: tensor %s has dtype %s, expected f32, f16, bf16 or f64; is this a quantised checkpoint?",
                   t->file, name, t->stored);
  *out = t;
  return FV_OK;
}

fv_status fv_checkpoint_sha256(const fv_checkpoint *c, char hex[65], fv_error *err) {
  size_t bytes;
  char *all = fv_mul_size(c->file_count, 64, &bytes) ? fv_alloc(bytes + 1, 1) : NULL;
  if (!all) return fv_fail(err, FV_ENOMEM, "%s: no memory", c->where);
  fv_status st = FV_OK;
  for (size_t i = 0; !st && i < c->file_count; i++) {
    char one[FV_SHA256_HEX];
    st = fv_sha256_map(&c->files[i].map, one, err);
    if (!st) memcpy(all + 64 * i, one, 64);
  }
  if (!st) st = fv_sha256_bytes(all, bytes, hex, err);
  free(all);
  return st;
}

static const fv_map *map_of(const fv_checkpoint *c, const fv_tensor *t) {
  for (size_t i = 0; i < c->file_count; i++) {
    const fv_map *map = &c->files[i].map;
    uintptr_t lo = (uintptr_t)map->data, at = (uintptr_t)t->data;
    if (map->data && at >= lo && at - lo < map->size) return map;
  }
  return NULL;
}

void fv_checkpoint_drop(const fv_checkpoint *c, const fv_tensor *t) {
  const fv_map *map = map_of(c, t);
  if (map) fv_map_drop(map, t->data, t->bytes);
}

void fv_checkpoint_prefetch(const fv_checkpoint *c, const fv_tensor *t, size_t first, size_t bytes) {
  const fv_map *map = map_of(c, t);
  if (map) fv_map_prefetch(map, t->data + first, bytes);
}
