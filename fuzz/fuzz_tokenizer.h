/* The shared part of the tokenizer targets: a tokenizer file, a NUL, and a text to encode with it. What starts with "{"
 * is a tokenizer.json, else a vocab.txt.
 *
 * The tokenizer is opened from a folder, so the file is written to one that belongs to this process.
 */
#ifndef FOVEA_FUZZ_FUZZ_TOKENIZER_H
#define FOVEA_FUZZ_FUZZ_TOKENIZER_H

#include <unistd.h>

#include "base/files.h"
#include "fuzz.h"
#include "text/tokenizer.h"

static char fuzz_folder[] = "fuzz-tokenizer-XXXXXX";

static inline void fuzz_remove_folder(void) { rmdir(fuzz_folder); }

static inline fv_tokenizer *fuzz_open_tokenizer(const uint8_t *data, size_t n) {
  static bool made;
  if (!made) {
    FUZZ_PROMISE(mkdtemp(fuzz_folder) != NULL);
    atexit(fuzz_remove_folder);
    made = true;
  }
  char *path = fv_path_join(fuzz_folder, n && data[0] == '{' ? "tokenizer.json" : "vocab.txt");
  FILE *f = fopen(path, "wb");
  FUZZ_PROMISE(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
  fv_tokenizer *t = NULL;
  fv_error err = {0};
  fv_status st = fv_tokenizer_open(fuzz_folder, &t, &err);
  fuzz_check_error(st, &err);
  FUZZ_PROMISE((st == FV_OK) == (t != NULL));
  unlink(path);
  free(path);
  return t;
}

static inline void fuzz_decode(const fv_tokenizer *t, const fv_encoding *e) {
  for (int skip = 0; skip < 2; skip++) {
    char *back = NULL;
    size_t n = 0;
    fv_status st = fv_tokenizer_decode(t, e->ids, e->count, skip, &back, &n, NULL);
    FUZZ_PROMISE(st == FV_OK || st == FV_EUNSUPPORTED);
    if (st) continue;
    FUZZ_PROMISE(fv_utf8_valid(back, n, NULL) && back[n] == '\0');
    free(back);
  }
}

static inline void fuzz_encode(const fv_tokenizer *t, const char *text, size_t n) {
  fv_error err = {0};
  fv_encoding e;
  fv_status st = fv_tokenizer_encode(t, text, n, true, &e, &err);
  fuzz_check_error(st, &err);
  /* A hostile regular expression may take too many steps. */
  FUZZ_PROMISE(st == FV_EUNSUPPORTED || (st == FV_OK) == fv_utf8_valid(text, n, NULL));
  if (st) return;
  for (size_t i = 0; i < e.count; i++) {
    FUZZ_PROMISE(e.ids[i] >= 0);
    if (e.first[i] == -1 && e.last[i] == -1) continue;
    FUZZ_PROMISE(e.first[i] >= 0 && e.first[i] <= e.last[i] && e.last[i] <= (int64_t)n);
    FUZZ_PROMISE(e.ids[i] < fv_tokenizer_size(t) && fv_tokenizer_piece(t, e.ids[i]));
    FUZZ_PROMISE(fv_utf8_valid(text + e.first[i], (size_t)(e.last[i] - e.first[i]), NULL));
  }
  fuzz_decode(t, &e);
  fv_encoding_release(&e);
}

static inline int fuzz_tokenizer(const uint8_t *data, size_t size) {
  const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
  size_t n = cut ? (size_t)(cut - data) : size;
  fv_tokenizer *t = fuzz_open_tokenizer(data, n);
  if (t) fuzz_encode(t, cut ? (const char *)cut + 1 : "", cut ? size - n - 1 : 0);
  fv_tokenizer_close(t);
  return 0;
}

#endif
