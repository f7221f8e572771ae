/* What the fuzz targets share: the entry point's prototype, and checks that hold for every input.
 *
 * A target runs one parser over the bytes and must return 0 for each input. A broken promise aborts, which libFuzzer
 * and replay_main.c both report as a crash.
 */
#ifndef FOVEA_FUZZ_FUZZ_H
#define FOVEA_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_PROMISE(condition)                                                       \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                        \
    }                                                                                 \
  } while (0)

/* A failure says something, in UTF-8 without control characters: it will be shown on a terminal. */
static inline void fuzz_check_error(fv_status status, const fv_error *err) {
  if (status == FV_OK) return;
  FUZZ_PROMISE(status != FV_EINTERNAL);
  FUZZ_PROMISE(err->status == status && err->text[0] != '\0');
  FUZZ_PROMISE(fv_utf8_valid(err->text, strlen(err->text), NULL));
  for (const char *s = err->text; *s; s++) FUZZ_PROMISE((unsigned char)*s >= 0x20 && *s != 0x7F);
}

#endif
