/* Helpers of the checkpoint tests: a scratch folder per program, files made of crafted bytes, and checks that a
 * failure has the right status and says the right word in one sentence. */
#ifndef FOVEA_TESTS_CHECKPOINT_CRAFT_H
#define FOVEA_TESTS_CHECKPOINT_CRAFT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/files.h"
#include "checkpoint/checkpoint_build.h"

/* A fresh folder under the build's test folder; removed again by craft_remove. */
static inline char *craft_folder(void) {
  char *path = fv_strdup("craft-XXXXXX");
  assert_non_null(mkdtemp(path));
  return path;
}

static inline void craft_remove(char *folder) {
  char *command = fv_format("rm -rf '%s'", folder);
  assert_int_equal(system(command), 0);
  free(command);
  free(folder);
}

static inline void craft_file(const char *folder, const char *name, const void *bytes, size_t n) {
  char *path = fv_path_join(folder, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(n ? fwrite(bytes, 1, n, f) : 0, n);
  assert_int_equal(fclose(f), 0);
  free(path);
}

/* The file of the committed test data, whole. */
static inline uint8_t *craft_data(const char *name, size_t *n) {
  char *path = fv_path_join(FV_TEST_DATA "/checkpoint", name), *text = NULL;
  assert_int_equal(fv_file_read(path, 1 << 20, &text, n, NULL), FV_OK);
  free(path);
  return (uint8_t *)text;
}

/* The text is one sentence that holds the word, names the file and has no control characters. */
static inline void craft_check_text(const fv_error *e, const char *file, const char *word) {
  if (!strstr(e->text, word)) fail_msg("\"%s\" is not in: %s", word, e->text);
  if (!strstr(e->text, file)) fail_msg("the file %s is not named in: %s", file, e->text);
  for (const char *s = e->text; *s; s++) assert_true((unsigned char)*s >= 0x20);
}

/* Opening folder/name must fail with that status and that word. */
static inline void craft_refused(const char *folder, const char *name, fv_status status, const char *word) {
  char *path = fv_path_join(folder, name);
  fv_checkpoint *c = (fv_checkpoint *)-1;
  fv_error e = {0};
  fv_status st = fv_checkpoint_open_file(path, &c, &e);
  if (st != status) fail_msg("status %d, expected %d for \"%s\": %s", (int)st, (int)status, word, e.text);
  assert_null(c);
  craft_check_text(&e, name, word);
  assert_int_equal(fv_checkpoint_open_file(path, &c, NULL), status);
  free(path);
}

/* Runs a reader over exactly n bytes of heap memory, so that a sanitizer sees every read beyond them, and reads all
 * real tensors. Returns the reader's status. */
static inline fv_status craft_load(const void *bytes, size_t n, fv_weight_reader *reader, fv_error *e) {
  uint8_t *copy = malloc(n ? n : 1);
  fv_checkpoint *c = fv_alloc(1, sizeof *c);
  fv_map map = {n ? copy : NULL, n};
  memcpy(copy, bytes, n);
  fv_status st = reader(c, "crafted", &map, e);
  for (size_t i = 0; !st && i < fv_checkpoint_count(c); i++) {
    const fv_tensor *t = fv_checkpoint_at(c, i);
    float *out = malloc(4 * (size_t)t->count + 4);
    if (fv_dtype_is_real(t->dtype)) fv_tensor_read_f32(t, 0, t->count, out, NULL);
    free(out);
  }
  fv_checkpoint_close(c);
  free(copy);
  return st;
}

static inline void craft_load_refused(const void *bytes, size_t n, fv_weight_reader *reader, fv_status status,
                                      const char *word) {
  fv_error e = {0};
  fv_status st = craft_load(bytes, n, reader, &e);
  if (st != status) fail_msg("status %d, expected %d for \"%s\": %s", (int)st, (int)status, word, e.text);
  craft_check_text(&e, "crafted", word);
}

/* Every shorter version of a good file is refused. */
static inline void craft_truncations(const char *name, fv_weight_reader *reader) {
  size_t n;
  uint8_t *bytes = craft_data(name, &n);
  assert_int_equal(craft_load(bytes, n, reader, NULL), FV_OK);
  for (size_t k = 0; k < n; k++) craft_load_refused(bytes, k, reader, FV_EFORMAT, "");
  free(bytes);
}

#endif
