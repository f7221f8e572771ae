/* NumPy archives: byte for byte what NumPy's savez writes inside each member, in an archive whose directory is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/files.h"
#include "fovea/table.h"

static uint32_t le(const char *p, int n) {
  uint32_t v = 0;
  for (int i = 0; i < n; i++) v |= (uint32_t)(unsigned char)p[i] << 8 * i;
  return v;
}

/* The member through the directory at the end, its CRC and its local header checked; NULL when absent. */
static const char *member(const char *zip, size_t size, const char *name, size_t *length) {
  const char *end = zip + size - 22;
  assert_int_equal(le(end, 4), 0x06054B50);
  size_t count = le(end + 10, 2);
  const char *at = zip + le(end + 16, 4);
  assert_ptr_equal(at + le(end + 12, 4), end);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(le(at, 4), 0x02014B50);
    size_t name_size = le(at + 28, 2);
    const char *local = zip + le(at + 42, 4), *data = local + 30 + name_size;
    *length = le(at + 20, 4);
    assert_memory_equal(at + 6, local + 4, 26);
    assert_memory_equal(at + 46, local + 30, name_size);
    assert_int_equal(le(at + 16, 4), crc32(0, (const Bytef *)data, (uInt)*length));
    if (strlen(name) == name_size && memcmp(at + 46, name, name_size) == 0) return data;
    at += 46 + name_size;
  }
  return NULL;
}

/* tests/data/report/trace.npz was written by NumPy from the same values (tools/reference/report_npz.py). */
static void equals_numpy(void **state) {
  (void)state;
  const float scores[] = {0.25f, 0.5f, 0.125f, 0.1f, 0.2f, 1.0f};
  const int64_t ids[] = {101, 2417};
  const char *tokens[] = {"[CLS]",
                          "\xE2\x96\x81r\xC3\xB8"
                          "d\xF0\x9F\x98\x80"};
  fv_rome t = {.tokens = 2,
               .layers = 3,
               .scores = scores,
               .low_score = 0.0625,
               .high_score = 0.75,
               .input_ids = ids,
               .input_tokens = tokens,
               .subject_begin = 1,
               .subject_end = 2,
               .answer = "red",
               .kind = "",
               .window = 10,
               .correct_prediction = true};
  fv_error e = {0};
  if (fv_rome_write("rome_test.npz", &t, &e)) fail_msg("%s", e.text);
  char *ours, *theirs;
  size_t our_size, their_size, n, m = 0;
  assert_int_equal(fv_file_read("rome_test.npz", 1 << 20, &ours, &our_size, NULL), FV_OK);
  assert_int_equal(fv_file_read(FV_TEST_DATA "/report/trace.npz", 1 << 20, &theirs, &their_size, NULL), FV_OK);
  const char *names[] = {
      "scores.npy",        "low_score.npy", "high_score.npy", "input_ids.npy",          "input_tokens.npy",
      "subject_range.npy", "answer.npy",    "window.npy",     "correct_prediction.npy", "kind.npy"};
  assert_int_equal(le(ours + our_size - 12, 2), 10);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *a = member(ours, our_size, names[i], &n), *b = NULL;
    assert_non_null(a);
    /* NumPy's own archive has other local headers; its members lie where the directory says. */
    const char *end = theirs + their_size - 22, *at = theirs + le(end + 16, 4);
    for (size_t k = 0; k < le(end + 10, 2) && !b; k++, at += 46 + le(at + 28, 2) + le(at + 30, 2) + le(at + 32, 2)) {
      const char *local = theirs + le(at + 42, 4);
      m = le(at + 24, 4);
      if (le(at + 28, 2) == strlen(names[i]) && memcmp(at + 46, names[i], strlen(names[i])) == 0)
        b = local + 30 + le(local + 26, 2) + le(local + 28, 2);
    }
    if (!b) fail_msg("NumPy's archive has no %s", names[i]);
    if (n != m || memcmp(a, b, n) != 0) fail_msg("%s differs: %zu bytes, NumPy has %zu", names[i], n, m);
  }
  free(ours);
  free(theirs);
  unlink("rome_test.npz");
}

static void mistakes_are_errors(void **state) {
  (void)state;
  fv_npz *z;
  fv_error e = {0};
  int64_t shape[] = {1}, negative[] = {-1}, huge[] = {INT64_MAX, 8};
  double x = 1;
  const char *bad = "\xC0";
  assert_int_equal(fv_npz_open("npz_bad.npz", &z, &e), FV_OK);
  assert_int_equal(fv_npz_add(z, "x", FV_NPY_F64, 1, shape, &x, &e), FV_OK);
  assert_int_equal(fv_npz_add(z, "x", FV_NPY_F64, 1, shape, &x, &e), FV_ECONFLICT);
  assert_int_equal(fv_npz_add(z, "y", FV_NPY_F64, 1, negative, &x, &e), FV_ESHAPE);
  assert_int_equal(fv_npz_add(z, "y", FV_NPY_F64, 2, huge, &x, &e), FV_ESHAPE);
  assert_int_equal(fv_npz_add(z, "y", FV_NPY_TEXT, 0, NULL, &bad, &e), FV_EFORMAT);
  assert_int_equal(fv_npz_add(z, "y", FV_NPY_F64, 9, shape, &x, &e), FV_EUSAGE);
  fv_npz_abort(z);
  fv_npz_abort(NULL);
  assert_false(fv_file_exists("npz_bad.npz"));
}

/* ROME's plotting code has colours for these and no others. */
static void kinds(void **state) {
  (void)state;
  const char *const all[][2] = {{"mlp.out", "mlp"},  {"mlp.post", "mlp"}, {"attn.out", "attn"},
                                {"cross.z", "attn"}, {"resid_post", ""},  {"embed", ""},
                                {"final", ""},       {"resid_cross", ""}, {"projector.mlp", ""}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_string_equal(fv_rome_kind(all[i][0]), all[i][1]);
}

static void empty_arrays(void **state) {
  (void)state;
  fv_npz *z;
  int64_t shape[] = {0, 3}, many[] = {0, 1, 1000000000, 1, 1, 1, 1, 1};
  size_t size, n;
  char *zip;
  assert_int_equal(fv_npz_open("npz_empty.npz", &z, NULL), FV_OK);
  assert_int_equal(fv_npz_add(z, "none", FV_NPY_F32, 2, shape, NULL, NULL), FV_OK);
  assert_int_equal(fv_npz_add(z, "long", FV_NPY_F32, 8, many, NULL, NULL), FV_OK);
  assert_int_equal(fv_npz_commit(z, NULL), FV_OK);
  assert_int_equal(fv_file_read("npz_empty.npz", 1 << 20, &zip, &size, NULL), FV_OK);
  const char *npy = member(zip, size, "none.npy", &n);
  assert_int_equal(n, 128);
  assert_non_null(strstr(npy + 10, "'shape': (0, 3), }"));
  assert_non_null(member(zip, size, "long.npy", &n)); /* data begin at a multiple of 64 */
  assert_int_equal(n, 128);
  free(zip);
  unlink("npz_empty.npz");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_numpy), cmocka_unit_test(mistakes_are_errors),
                                     cmocka_unit_test(empty_arrays), cmocka_unit_test(kinds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
