/* Tables of data sets: the sample table in both formats, what is written of it, and Python literals. */
#include <unistd.h>

#include "base/files.h"
#include "fuzz.h"
#include "study/data_literal.h"
#include "study/data_pairs.h"

static void write_bytes(const char *path, const uint8_t *data, size_t size) {
  FILE *f = fopen(path, "wb");
  FUZZ_PROMISE(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

/* What is read can be written, and gives the same when it is read again. */
static void try_table(const char *path, const uint8_t *data, size_t size) {
  fv_pairs s, again;
  fv_error err = {0};
  write_bytes(path, data, size);
  fv_status st = fv_pairs_load(path, &s, &err);
  fuzz_check_error(st, &err);
  if (st) return;
  FUZZ_PROMISE(s.count > 0 && fv_pairs_save(path, &s, &err) == FV_OK);
  st = fv_pairs_load(path, &again, &err);
  fuzz_check_error(st, &err);
  FUZZ_PROMISE(!st && again.count == s.count);
  for (size_t i = 0; i < s.count; i++) {
    const fv_pair *a = &s.list[i], *b = &again.list[i];
    FUZZ_PROMISE(strcmp(a->sample, b->sample) == 0 && a->correct_first == b->correct_first);
    FUZZ_PROMISE((a->question != NULL) == (b->question != NULL) && a->nfields == b->nfields);
    if (a->question) FUZZ_PROMISE(strcmp(a->question, b->question) == 0);
  }
  fv_pairs_release(&s), fv_pairs_release(&again);
}

static void try_literal(const uint8_t *data, size_t size) {
  fv_error err = {0};
  json_t *value;
  char *text = malloc(size + 1);
  FUZZ_PROMISE(text);
  memcpy(text, data, size), text[size] = '\0';
  if (fv_utf8_valid(text, strlen(text), NULL)) {
    fv_status st = fv_literal_parse(text, "cell", &value, &err);
    fuzz_check_error(st, &err);
    FUZZ_PROMISE((st == FV_OK) == (value != NULL));
    json_decref(value);
  }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  try_literal(data, size);
  for (int json = 0; json < 2; json++) {
    snprintf(path, sizeof path, "fuzz_table.%ld.%s", (long)getpid(), json ? "jsonl" : "csv");
    try_table(path, data, size);
    unlink(path);
  }
  return 0;
}
