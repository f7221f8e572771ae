/* The safetensors reader: every lie that a header can tell is refused, with a message that says which. */
#include "checkpoint/craft.h"

/* Writes u64 length, header, then `data` zero bytes, and expects the refusal. */
static void refuse_length(const char *dir, uint64_t length, const char *header, size_t n, size_t data, fv_status status,
                          const char *word) {
  size_t total = 8 + n + data;
  uint8_t *bytes = fv_alloc(total, 1);
  memcpy(bytes, &length, 8);
  memcpy(bytes + 8, header, n);
  craft_file(dir, "x.safetensors", bytes, total);
  craft_refused(dir, "x.safetensors", status, word);
  free(bytes);
}

static void refuse(const char *dir, const char *header, size_t data, fv_status status, const char *word) {
  refuse_length(dir, strlen(header), header, strlen(header), data, status, word);
}

static void accept(const char *dir, const char *header, size_t data, size_t tensors) {
  uint64_t n = strlen(header);
  uint8_t *bytes = fv_alloc(8 + n + data, 1);
  fv_checkpoint *c = NULL;
  fv_error e = {0};
  char *path = fv_path_join(dir, "good.safetensors");
  memcpy(bytes, &n, 8);
  memcpy(bytes + 8, header, n);
  craft_file(dir, "good.safetensors", bytes, 8 + n + data);
  if (fv_checkpoint_open_file(path, &c, &e)) fail_msg("%s", e.text);
  assert_int_equal(fv_checkpoint_count(c), tensors);
  fv_checkpoint_close(c);
  free(path);
  free(bytes);
}

#define T(dtype, shape, begin, end) \
  "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void headers_that_lie(void **state) {
  char *d = *state;
  refuse_length(d, 1000, "{}", 2, 0, FV_EFORMAT, "cut short");
  refuse_length(d, UINT64_MAX, "{}", 2, 0, FV_EFORMAT, "claims a header");
  refuse_length(d, UINT64_MAX - 7, "{}", 2, 0, FV_EFORMAT, "claims a header");
  refuse_length(d, 100000001, "{}", 2, 0, FV_EFORMAT, "at most");
  refuse_length(d, 0, "", 0, 0, FV_EFORMAT, "'{'");
  refuse(d, " {}", 0, FV_EFORMAT, "'{'");
  refuse(d, "[]", 0, FV_EFORMAT, "'{'");
  refuse(d, "{", 0, FV_EFORMAT, "JSON");
  refuse(d, "{\"\xFF\":1}", 0, FV_EFORMAT, "UTF-8 at byte 2");
  refuse(d, "{} x", 0, FV_EFORMAT, "JSON");
  refuse(d, "{}", 0, FV_EFORMAT, "no tensors");
  refuse(d, "{}", 3, FV_EFORMAT, "3 bytes follow");
  refuse(d, "{\"a\":" T("U8", "[1]", 0, 1) ",\"a\":" T("U8", "[1]", 0, 1) "}", 1, FV_EFORMAT, "uplicate");
  refuse(d, "{\"a\":" T("U8", "[1]", 0, 1) ",\"\\u0061\":" T("U8", "[1]", 1, 2) "}", 2, FV_EFORMAT, "uplicate");
  char deep[5000];
  memset(deep, '[', sizeof deep);
  memcpy(deep, "{\"a\":", 5);
  refuse_length(d, sizeof deep, deep, sizeof deep, 0, FV_EFORMAT, "JSON");
}

static void entries_that_lie(void **state) {
  char *d = *state;
  refuse(d, "{\"a\":1}", 0, FV_EFORMAT, "not an object");
  refuse(d, "{\"a\":{}}", 0, FV_EFORMAT, "no dtype");
  refuse(d, "{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FV_EFORMAT, "no dtype");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, FV_EFORMAT, "no shape");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, FV_EFORMAT, "data_offsets");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, FV_EFORMAT, "data_offsets");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, FV_EFORMAT, "data_offsets");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}", 1, FV_EFORMAT, "data_offsets");
  refuse(d, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1, FV_EFORMAT, "fields besides");
  refuse(d, "{\"a\":" T("U7", "[1]", 0, 1) "}", 1, FV_EUNSUPPORTED, "unknown dtype U7");
  refuse(d, "{\"a\":" T("F32\\u0000", "[1]", 0, 4) "}", 4, FV_EUNSUPPORTED, "unknown dtype F32?");
  refuse(d, "{\"a\":" T("U8", "[1.0]", 0, 1) "}", 1, FV_EFORMAT, "dimension 0");
  refuse(d, "{\"a\":" T("U8", "[1,-1]", 0, 1) "}", 1, FV_EFORMAT, "dimension 1");
  refuse(d, "{\"a\":" T("U8", "[true]", 0, 1) "}", 1, FV_EFORMAT, "dimension 0");
  refuse(d, "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, FV_EFORMAT, "rank 9");
  refuse(d, "{\"a\":" T("U8", "[2,18446744073709551614]", 0, 1) "}", 1, FV_EFORMAT, "JSON");
  refuse(d, "{\"a\":" T("U8", "[2,9223372036854775807]", 0, 1) "}", 1, FV_EFORMAT, "2^63");
  refuse(d, "{\"a\":" T("F32", "[2305843009213693952]", 0, 0) "}", 0, FV_EFORMAT, "do not agree");
  refuse(d, "{\"a\":" T("F32", "[4611686018427387904]", 0, 0) "}", 0, FV_EFORMAT, "do not agree");
  refuse(d, "{\"a\":" T("F32", "[2]", 0, 4) "}", 4, FV_EFORMAT, "do not agree");
  refuse(d, "{\"a\":" T("F4", "[3]", 0, 1) "}", 1, FV_EFORMAT, "do not agree");
  refuse(d, "{\"a\":" T("F32", "[1]", 4, 0) "}", 4, FV_EFORMAT, "claims the bytes 4 to 0");
  refuse(d, "{\"a\":" T("F32", "[2]", 0, 8) "}", 4, FV_EFORMAT, "cut short");
  refuse(d, "{\"a\":" T("F32", "[1]", -4, 0) "}", 4, FV_EFORMAT, "data_offsets");
  refuse(d, "{\"a\":" T("F32", "[1]", 9223372036854775804, 9223372036854775807) "}", 4, FV_EFORMAT, "claims the bytes");
  refuse(d, "{\"a\\nb\":" T("U8", "[1]", 0, 1) "}", 1, FV_EFORMAT, "a?b");
  refuse(d, "{\"a\\u009bb\":" T("U8", "[1]", 0, 1) "}", 1, FV_EFORMAT, "control characters");
  refuse(d, "{\"__metadata__\":1}", 0, FV_EFORMAT, "__metadata__ is not");
  refuse(d, "{\"__metadata__\":{\"a\":1}}", 0, FV_EFORMAT, "value of __metadata__");
}

static void spans_that_lie(void **state) {
  char *d = *state;
  refuse(d, "{\"a\":" T("U8", "[2]", 1, 3) "}", 3, FV_EFORMAT, "hole");
  refuse(d, "{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 3, 5) "}", 5, FV_EFORMAT, "hole");
  refuse(d, "{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 1, 3) "}", 3, FV_EFORMAT, "overlap");
  refuse(d, "{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 0, 2) "}", 2, FV_EFORMAT, "overlap");
  refuse(d, "{\"a\":" T("U8", "[2]", 0, 2) "}", 3, FV_EFORMAT, "1 bytes follow");
  char name[1200];
  memset(name, 'n', sizeof name);
  name[1100] = '\0';
  char *header = fv_format("{\"%s\":" T("U8", "[1]", 0, 1) "}", name);
  refuse(d, header, 1, FV_EFORMAT, "1100 bytes");
  free(header);
}

static void unusual_but_valid(void **state) {
  char *d = *state;
  accept(d, "{\"a\":" T("U8", "[2,0]", 0, 0) "}", 0, 1);
  accept(d, "{\"a\":" T("F32", "[0,9223372036854775807,4]", 0, 0) "}", 0, 1);
  accept(d, "{\"a\":" T("F32", "[]", 0, 4) "}   ", 4, 1);
  accept(d, "{\"b\":" T("U8", "[1]", 1, 2) ",\"a\":" T("U8", "[1]", 0, 1) ",\"__metadata__\":{\"k\":\"v\"}}", 2, 2);
  accept(d, "{\"a\":" T("F4", "[4]", 0, 2) ",\"b\":" T("C64", "[1]", 2, 10) "}", 10, 2);
  accept(d, "{\"\\u00e9\":" T("BF16", "[1]", 0, 2) "}", 2, 1);
}

static void not_safetensors_at_all(void **state) {
  char *d = *state;
  static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
  craft_file(d, "x.safetensors", lfs, sizeof lfs - 1);
  craft_refused(d, "x.safetensors", FV_EFORMAT, "git lfs pull");
  craft_file(d, "x.safetensors", "<!DOCTYPE html>", 15);
  craft_refused(d, "x.safetensors", FV_EFORMAT, "web page");
  craft_refused(d, "absent.safetensors", FV_ENOTFOUND, "cannot open");
  char *path = fv_path_join(d, "fifo.safetensors");
  assert_int_equal(mkfifo(path, 0600), 0);
  craft_refused(d, "fifo.safetensors", FV_EIO, "regular file");
  free(path);
}

static void every_truncation(void **state) {
  (void)state;
  craft_truncations("safetensors/model.safetensors", fv_safetensors_load);
}

static void a_header_that_would_fill_memory(void **state) {
  size_t n = ((size_t)9 << 20);
  char *header = malloc(n);
  memset(header, ',', n);
  memcpy(header, "{\"a\":[1", 7);
  refuse_length(*state, n, header, n, 0, FV_EFORMAT, "far more than a checkpoint holds");
  free(header);
}

static int setup(void **state) { return (*state = craft_folder()) == NULL; }
static int teardown(void **state) {
  craft_remove(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(headers_that_lie),
                                     cmocka_unit_test(entries_that_lie),
                                     cmocka_unit_test(spans_that_lie),
                                     cmocka_unit_test(unusual_but_valid),
                                     cmocka_unit_test(not_safetensors_at_all),
                                     cmocka_unit_test(every_truncation),
                                     cmocka_unit_test(a_header_that_would_fill_memory)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
