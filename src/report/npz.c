#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fovea/table.h"
#include "report/zip_write.h"

struct fv_npz {
  fv_outfile *file;
  char *path;
  fv_zip_writer zip;
};

fv_status fv_npz_open(const char *path, fv_npz **out, fv_error *err) {
  fv_npz *z = fv_alloc(1, sizeof *z);
  if (!z || !(z->path = fv_strdup(path))) {
    free(z);
    return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  }
  fv_status st = fv_outfile_open(path, &z->file, err);
  if (st) {
    free(z->path);
    free(z);
    return st;
  }
  z->zip = (fv_zip_writer){.stream = fv_outfile_stream(z->file), .path = z->path};
  *out = z;
  return FV_OK;
}

static void npz_free(fv_npz *z) {
  fv_zip_write_release(&z->zip);
  free(z->path);
  free(z);
}

void fv_npz_abort(fv_npz *z) {
  if (!z) return;
  fv_outfile_abort(z->file);
  npz_free(z);
}

fv_status fv_npz_commit(fv_npz *z, fv_error *err) {
  fv_status st = fv_zip_write_finish(&z->zip, err);
  if (st)
    fv_outfile_abort(z->file);
  else
    st = fv_outfile_commit(z->file, err);
  npz_free(z);
  return st;
}

/* The .npy header, version 1.0: magic, length, a Python dictionary, padded with spaces so that the data begin at a
 * multiple of 64. Source: NumPy's NEP 1. Returns its size. */
static size_t npy_header(char out[512], const char *descr, size_t ndim, const int64_t *shape) {
  char dict[400];
  size_t n = (size_t)snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (size_t i = 0; i < ndim; i++)
    n += (size_t)snprintf(dict + n, sizeof dict - n, "%s%" PRId64 "%s", i > 0 ? " " : "", shape[i],
                          i + 1 < ndim || ndim == 1 ? "," : "");
  n += (size_t)snprintf(dict + n, sizeof dict - n, "), }");
  size_t size = (10 + n + 1 + 63) / 64 * 64, length = size - 10;
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (char)(length & 0xFF);
  out[9] = (char)(length >> 8);
  memset(out + 10, ' ', length);
  memcpy(out + 10, dict, n);
  out[size - 1] = '\n';
  return size;
}

/* Code points as little-endian UCS-4, each text padded with zeros to the longest (at least 1, as NumPy does). */
static fv_status npy_text(const char *path, const char *name, const char *const *texts, size_t n, uint8_t **out,
                          size_t *width, fv_error *err) {
  *width = 1;
  for (size_t i = 0; i < n; i++) {
    size_t length = 0, bytes = texts[i] ? strlen(texts[i]) : 0;
    if (!fv_utf8_valid(texts[i], bytes, NULL))
      return fv_fail(err, FV_EFORMAT, "%s: text %zu of %s is not UTF-8", path, i, name);
    for (size_t at = 0; at < bytes; length++) {
      uint32_t code;
      at += fv_utf8_next(texts[i] + at, bytes - at, &code);
    }
    if (length > *width) *width = length;
  }
  size_t cells;
  uint8_t *data = fv_mul_size(n, *width, &cells) ? fv_alloc(cells, 4) : NULL;
  if (!data) return fv_fail(err, FV_ENOMEM, "%s: no memory for %s", path, name);
  for (size_t i = 0; i < n; i++) {
    uint8_t *to = data + i * *width * 4;
    for (size_t at = 0, bytes = texts[i] ? strlen(texts[i]) : 0; at < bytes; to += 4) {
      uint32_t code;
      at += fv_utf8_next(texts[i] + at, bytes - at, &code);
      for (int b = 0; b < 4; b++) to[b] = (uint8_t)(code >> 8 * b);
    }
  }
  *out = data;
  return FV_OK;
}

/* One descriptor per fv_npy; numbers are stored as this machine has them. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ORDER "<"
#else
#define ORDER ">"
#endif
static const struct {
  const char *descr;
  size_t size;
} TYPES[] = {
    [FV_NPY_F32] = {ORDER "f4", 4}, [FV_NPY_F64] = {ORDER "f8", 8}, [FV_NPY_I64] = {ORDER "i8", 8},
    [FV_NPY_BOOL] = {"|b1", 1},     [FV_NPY_TEXT] = {"<U", 4},
};

fv_status fv_npz_add(fv_npz *z, const char *name, fv_npy type, size_t ndim, const int64_t *shape, const void *data,
                     fv_error *err) {
  size_t n = 1, size;
  if (ndim > 8 || (size_t)type > FV_NPY_TEXT)
    return fv_fail(err, FV_EUSAGE,
                   "%s: %s has %zu dimensions of type %d; at most 8 of the types of fv_npy are possible", z->path, name,
                   ndim, (int)type);
  for (size_t i = 0; i < ndim; i++)
    if (shape[i] < 0 || !fv_mul_size(n, (size_t)shape[i], &n))
      return fv_fail(err, FV_ESHAPE, "%s: %s: dimension %zu is %" PRId64 ", which is negative or too large", z->path,
                     name, i, shape[i]);
  char descr[32], header[512];
  uint8_t *text = NULL;
  snprintf(descr, sizeof descr, "%s", TYPES[type].descr);
  if (type == FV_NPY_TEXT) {
    size_t width;
    fv_status st = npy_text(z->path, name, data, n, &text, &width, err);
    if (st) return st;
    snprintf(descr, sizeof descr, "<U%zu", width);
    n *= width;
    data = text;
  }
  if (!fv_mul_size(n, TYPES[type].size, &size))
    return free(text), fv_fail(err, FV_ESHAPE, "%s: %s is too large", z->path, name);
  size_t header_size = npy_header(header, descr, ndim, shape);
  char *member = fv_format("%s.npy", name);
  fv_status st = member ? fv_zip_write_add(&z->zip, member, header, header_size, data, size, err)
                        : fv_fail(err, FV_ENOMEM, "%s: no memory for %s", z->path, name);
  free(member);
  free(text);
  return st;
}

const char *fv_rome_kind(const char *site) {
  if (strncmp(site, "mlp.", 4) == 0) return "mlp";
  return strncmp(site, "attn.", 5) == 0 || strncmp(site, "cross.", 6) == 0 ? "attn" : "";
}

fv_status fv_rome_write(const char *path, const fv_rome *t, fv_error *err) {
  const int64_t scores[] = {t->tokens, t->layers}, tokens[] = {t->tokens}, two[] = {2};
  const int64_t range[] = {t->subject_begin, t->subject_end};
  const struct {
    const char *name;
    fv_npy type;
    size_t ndim;
    const int64_t *shape;
    const void *data;
  } arrays[] = {{"scores", FV_NPY_F32, 2, scores, t->scores},
                {"low_score", FV_NPY_F64, 0, NULL, &t->low_score},
                {"high_score", FV_NPY_F64, 0, NULL, &t->high_score},
                {"input_ids", FV_NPY_I64, 1, tokens, t->input_ids},
                {"input_tokens", FV_NPY_TEXT, 1, tokens, t->input_tokens},
                {"subject_range", FV_NPY_I64, 1, two, range},
                {"answer", FV_NPY_TEXT, 0, NULL, &t->answer},
                {"window", FV_NPY_I64, 0, NULL, &t->window},
                {"correct_prediction", FV_NPY_BOOL, 0, NULL, &t->correct_prediction},
                {"kind", FV_NPY_TEXT, 0, NULL, &t->kind}};
  fv_npz *z;
  fv_status st = fv_npz_open(path, &z, err);
  if (st) return st;
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays && !st; i++)
    st = fv_npz_add(z, arrays[i].name, arrays[i].type, arrays[i].ndim, arrays[i].shape, arrays[i].data, err);
  if (!st) return fv_npz_commit(z, err);
  fv_npz_abort(z);
  return st;
}
