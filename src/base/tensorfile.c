#include "fovea/tensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors files are little-endian");

static int by_name(const void *a, const void *b) {
  const fv_named_array *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static fv_status check_array(const char *path, const fv_named_array *a, size_t *bytes, fv_error *err) {
  if (!a->name || !fv_utf8_valid(a->name, strlen(a->name), NULL))
    return fv_fail(err, FV_EUSAGE, "%s: the name of an array is missing or not UTF-8", path);
  if (strcmp(a->name, "__metadata__") == 0)
    return fv_fail(err, FV_EUSAGE, "%s: an array cannot have the reserved name __metadata__", path);
  if (a->rank < 0 || a->rank > FV_MAX_RANK)
    return fv_fail(err, FV_EUSAGE, "%s: array %s has rank %d, expected 0 to %d", path, a->name, a->rank, FV_MAX_RANK);
  size_t count = sizeof(float);
  for (int d = 0; d < a->rank; d++)
    if (a->shape[d] < 0 || !fv_mul_size(count, (size_t)a->shape[d], &count))
      return fv_fail(err, FV_EUSAGE, "%s: dimension %d of array %s is %lld, which no file can hold", path, d, a->name,
                     (long long)a->shape[d]);
  if (count > 0 && !a->data) return fv_fail(err, FV_EUSAGE, "%s: array %s has no data", path, a->name);
  *bytes = count;
  return FV_OK;
}

/* Puts text as a JSON string, escapes and all. */
static bool put_string(FILE *f, const char *text) {
  json_t *s = json_string(text);
  bool good = s && json_dumpf(s, f, JSON_ENCODE_ANY) == 0;
  json_decref(s);
  return good;
}

static fv_status put_metadata(FILE *f, const char *path, const char *const *pairs, fv_error *err) {
  fputs("\"__metadata__\":{", f);
  for (size_t i = 0; pairs[i]; i += 2) {
    if (!pairs[i + 1]) return fv_fail(err, FV_EUSAGE, "%s: the metadata key %s has no value", path, pairs[i]);
    for (size_t j = 0; j < i; j += 2)
      if (strcmp(pairs[i], pairs[j]) == 0)
        return fv_fail(err, FV_EUSAGE, "%s: the metadata key %s appears twice", path, pairs[i]);
    if (i) fputc(',', f);
    bool good = put_string(f, pairs[i]);
    fputc(':', f);
    good = good && put_string(f, pairs[i + 1]);
    if (!good) return fv_fail(err, FV_EUSAGE, "%s: the metadata key %s or its value is not UTF-8", path, pairs[i]);
  }
  fputc('}', f);
  return FV_OK;
}

/* The JSON header as text; the arrays are sorted. */
static fv_status put_header(FILE *f, const char *path, size_t n, const fv_named_array *const *sorted,
                            const char *const *pairs, fv_error *err) {
  fv_status st = FV_OK;
  size_t begin = 0, bytes = 0, end = 0;
  fputc('{', f);
  if (pairs && pairs[0]) st = put_metadata(f, path, pairs, err);
  for (size_t i = 0; !st && i < n; i++) {
    const fv_named_array *a = sorted[i];
    if ((st = check_array(path, a, &bytes, err))) break;
    if (i > 0 && strcmp(a->name, sorted[i - 1]->name) == 0)
      return fv_fail(err, FV_EUSAGE, "%s: two arrays are named %s", path, a->name);
    if (!fv_add_size(begin, bytes, &end)) return fv_fail(err, FV_EUSAGE, "%s: the arrays are too large", path);
    if (i > 0 || (pairs && pairs[0])) fputc(',', f);
    if (!put_string(f, a->name)) return fv_fail(err, FV_ENOMEM, "%s: no memory for the header", path);
    fputs(":{\"dtype\":\"F32\",\"shape\":[", f);
    for (int d = 0; d < a->rank; d++) fprintf(f, "%s%lld", d ? "," : "", (long long)a->shape[d]);
    fprintf(f, "],\"data_offsets\":[%zu,%zu]}", begin, end);
    begin = end;
  }
  fputc('}', f);
  return st;
}

static void put_file(FILE *f, const char *header, size_t header_bytes, size_t n, const fv_named_array *const *sorted) {
  size_t padded = (header_bytes + 7) & ~(size_t)7;
  uint64_t length = padded;
  fwrite(&length, sizeof length, 1, f);
  fwrite(header, 1, header_bytes, f);
  for (size_t i = header_bytes; i < padded; i++) fputc(' ', f);
  for (size_t i = 0; i < n; i++) {
    size_t count = 1;
    for (int d = 0; d < sorted[i]->rank; d++) count *= (size_t)sorted[i]->shape[d];
    if (count > 0) fwrite(sorted[i]->data, sizeof(float), count, f);
  }
}

fv_status fv_safetensors_write(const char *path, size_t n, const fv_named_array *arrays,
                               const char *const *metadata_pairs, fv_error *err) {
  const fv_named_array **sorted = fv_alloc(n, sizeof(void *));
  char *header = NULL;
  size_t header_bytes = 0;
  FILE *text = sorted ? open_memstream(&header, &header_bytes) : NULL;
  if (!text) {
    free(sorted);
    return fv_fail(err, FV_ENOMEM, "%s: no memory for the header", path);
  }
  fv_status st = FV_OK;
  for (size_t i = 0; i < n; i++) {
    sorted[i] = &arrays[i];
    if (!arrays[i].name) st = fv_fail(err, FV_EUSAGE, "%s: array %zu has no name", path, i);
  }
  if (!st) {
    qsort(sorted, n, sizeof *sorted, by_name);
    st = put_header(text, path, n, sorted, metadata_pairs, err);
  }
  bool short_of_memory = ferror(text) != 0;
  short_of_memory |= fclose(text) != 0;
  if (!st && short_of_memory) st = fv_fail(err, FV_ENOMEM, "%s: no memory for the header", path);
  fv_outfile *out = NULL;
  if (!st) st = fv_outfile_open(path, &out, err);
  if (!st) {
    put_file(fv_outfile_stream(out), header, header_bytes, n, sorted);
    st = fv_outfile_commit(out, err);
  }
  free(header);
  free(sorted);
  return st;
}
