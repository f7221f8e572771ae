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
#include "checkpoint/checkpoint.h"

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

#endif
