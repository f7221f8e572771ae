/* The safetensors writer, against a file of the safetensors library and through the reader. */
#include "base/sha256.h"
#include "checkpoint/craft.h"

static void same_bytes_as_the_library(void **state) {
  float second[6] = {0, 1, 2, 3, 4, 5}, first[2] = {0.5f, -1.5f}, scalar = 2.5f;
  const fv_named_array arrays[] = {{"scalar", 0, {0}, &scalar},
                                   {"b/second", 2, {2, 3}, second},
                                   {"zero", 2, {3, 0}, NULL},
                                   {"a \"first\"", 1, {2}, first}};
  const char *const metadata[] = {"made by", "a \"test\"", NULL};
  size_t n, m;
  uint8_t *want = craft_data("writer.safetensors", &n);
  char *path = fv_path_join(*state, "out.safetensors"), *got = NULL;
  fv_error e = {0};
  assert_int_equal(fv_safetensors_write(path, 4, arrays, metadata, &e), FV_OK);
  assert_int_equal(fv_file_read(path, 1 << 20, &got, &m, NULL), FV_OK);
  assert_int_equal(m, n);
  assert_memory_equal(got, want, n);
  free(want);
  free(got);
  free(path);
}

static void round_trip(void **state) {
  float v[6] = {1, -2, 3.5f, 0, 1e-45f, 3e38f};
  const fv_named_array arrays[] = {{"w", 2, {2, 3}, v}, {"\xC3\xA9", 1, {6}, v}};
  char *path = fv_path_join(*state, "round.safetensors");
  fv_checkpoint *c;
  assert_int_equal(fv_safetensors_write(path, 2, arrays, NULL, NULL), FV_OK);
  assert_int_equal(fv_checkpoint_open_file(path, &c, NULL), FV_OK);
  const fv_tensor *t = fv_checkpoint_find(c, "w");
  assert_non_null(t);
  assert_int_equal(t->rank, 2);
  assert_non_null(fv_tensor_f32(t)); /* the header is padded, so the data is aligned */
  assert_memory_equal(t->data, v, sizeof v);
  assert_non_null(fv_checkpoint_find(c, "\xC3\xA9"));
  fv_checkpoint_close(c);
  free(path);
}

static void refuse(void **state, size_t n, const fv_named_array *a, const char *const *metadata, const char *word) {
  fv_error e = {0};
  char *path = fv_path_join(*state, "never.safetensors");
  assert_int_equal(fv_safetensors_write(path, n, a, metadata, &e), FV_EUSAGE);
  craft_check_text(&e, "never.safetensors", word);
  assert_false(fv_file_exists(path));
  free(path);
}

static void bad_arguments(void **state) {
  float v = 0;
  const fv_named_array twice[] = {{"w", 0, {0}, &v}, {"w", 0, {0}, &v}};
  refuse(state, 2, twice, NULL, "two arrays are named w");
  refuse(state, 1, &(fv_named_array){"w", 9, {1}, &v}, NULL, "rank 9");
  refuse(state, 1, &(fv_named_array){"w", 1, {-1}, &v}, NULL, "dimension 0");
  refuse(state, 1, &(fv_named_array){"w", 3, {1 << 30, 1 << 30, 1 << 30}, &v}, NULL, "dimension 2");
  refuse(state, 1, &(fv_named_array){"w", 1, {1}, NULL}, NULL, "no data");
  refuse(state, 1, &(fv_named_array){"__metadata__", 1, {1}, &v}, NULL, "reserved");
  refuse(state, 1, &(fv_named_array){"\xFF", 1, {1}, &v}, NULL, "UTF-8");
  refuse(state, 1, &(fv_named_array){NULL, 1, {1}, &v}, NULL, "name");
  refuse(state, 1, twice, (const char *const[]){"k", NULL, NULL}, "no value");
  refuse(state, 1, twice, (const char *const[]){"k", "1", "k", "2", NULL}, "twice");
  refuse(state, 1, twice, (const char *const[]){"k", "\xFF", NULL}, "UTF-8");
  fv_error e = {0};
  assert_int_equal(fv_safetensors_write("no/such/folder/x.safetensors", 1, twice, NULL, &e), FV_EIO);
}

/* FIPS 180-2, appendix B, and the empty string. */
static void sha256_vectors(void **state) {
  char hex[FV_SHA256_HEX], file_hex[FV_SHA256_HEX];
  assert_int_equal(fv_sha256_bytes("abc", 3, hex, NULL), FV_OK);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_int_equal(fv_sha256_bytes(NULL, 0, hex, NULL), FV_OK);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  char *million = malloc(20000000);
  memset(million, 'a', 20000000);
  assert_int_equal(fv_sha256_bytes(million, 1000000, hex, NULL), FV_OK);
  assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  assert_int_equal(fv_sha256_bytes(million, 20000000, hex, NULL), FV_OK);
  craft_file(*state, "many", million, 20000000);
  char *path = fv_path_join(*state, "many");
  assert_int_equal(fv_sha256_file(path, file_hex, NULL), FV_OK);
  assert_string_equal(file_hex, hex);
  fv_error e = {0};
  assert_int_equal(fv_sha256_file("no/such/file", hex, &e), FV_ENOTFOUND);
  craft_check_text(&e, "no/such/file", "cannot open");
  free(path);
  free(million);
}

static int setup(void **state) { return (*state = craft_folder()) == NULL; }
static int teardown(void **state) {
  craft_remove(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bytes_as_the_library), cmocka_unit_test(round_trip),
                                     cmocka_unit_test(bad_arguments), cmocka_unit_test(sha256_vectors)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
