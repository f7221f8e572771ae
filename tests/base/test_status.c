/* Status codes, error text, checked arithmetic and UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "fovea/status.h"

static void prefix_keeps_the_cause(void **state) {
  (void)state;
  fv_error e = {0};
  char longer[900];
  memset(longer, 'p', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  assert_int_equal(fv_fail(&e, FV_ESHAPE, "tensor %s has shape [%d]", "w", 3), FV_ESHAPE);
  assert_string_equal(e.text, "tensor w has shape [3]");
  assert_int_equal(fv_fail_prefix(&e, FV_ESHAPE, "%s", longer), FV_ESHAPE);
  assert_non_null(strstr(e.text, ": tensor w has shape [3]"));
  assert_int_equal(fv_fail(NULL, FV_EIO, "nobody listens"), FV_EIO);
}

static void cut_text_stays_utf8(void **state) {
  (void)state;
  fv_error e = {0};
  char text[2 * FV_ERROR_TEXT];
  for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xC3\xA9", 2);
  text[sizeof text - 2] = '\0';
  for (int shift = 0; shift < 3; shift++) {
    fv_fail(&e, FV_EIO, "%.*s%s", shift, "abc", text);
    assert_true(fv_utf8_valid(e.text, strlen(e.text), NULL));
    assert_true(strlen(e.text) > FV_ERROR_TEXT - 8);
  }
}

static void control_characters_are_shown_as_marks(void **state) {
  (void)state;
  fv_error e = {0};
  fv_fail(&e, FV_EIO,
          "a\nb\x1b[2Jc\x7F"
          "d\xC2\x9B"
          "e\xC3\xA9\xC2\xA0");
  assert_string_equal(e.text, "a?b?[2Jc?d??e\xC3\xA9\xC2\xA0");
  fv_fail(&e, FV_EIO, "%s", "\xFFx\xE2\x96y\xC3");
  assert_string_equal(e.text, "?x??y?");
  fv_fail(&e, FV_EIO,
          "a\nb\x1b[2Jc\x7F"
          "d\xC2\x9B"
          "e\xC3\xA9\xC2\xA0");
  fv_fail_prefix(&e, FV_EIO, "p\tq");
  assert_string_equal(e.text, "p?q: a?b?[2Jc?d??e\xC3\xA9\xC2\xA0");
}

static void sizes_are_checked(void **state) {
  (void)state;
  size_t n;
  int64_t m;
  assert_true(fv_mul_size(3, 5, &n) && n == 15);
  assert_false(fv_mul_size(SIZE_MAX / 2, 3, &n));
  assert_false(fv_add_size(SIZE_MAX, 1, &n));
  assert_false(fv_mul_i64(INT64_MAX, 2, &m));
  assert_null(fv_alloc(SIZE_MAX / 4, 8));
}

static void utf8_is_strict(void **state) {
  (void)state;
  size_t bad = 99;
  assert_true(fv_utf8_valid("a\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80", 10, NULL));
  assert_false(fv_utf8_valid("ab\xC0\xAF", 4, &bad));
  assert_int_equal(bad, 2);
  assert_false(fv_utf8_valid("\xED\xA0\x80", 3, NULL));
  assert_false(fv_utf8_valid("\xF4\x90\x80\x80", 4, NULL));
  assert_false(fv_utf8_valid("\xE2\x96", 2, NULL));
  for (uint32_t c = 1; c < 0x110000; c += 7) {
    char s[4];
    uint32_t back;
    if (c >= 0xD800 && c < 0xE000) continue;
    size_t k = fv_utf8_put(c, s);
    assert_true(fv_utf8_valid(s, k, NULL));
    assert_int_equal(fv_utf8_next(s, k, &back), k);
    assert_int_equal(back, c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(prefix_keeps_the_cause), cmocka_unit_test(cut_text_stays_utf8),
                                     cmocka_unit_test(control_characters_are_shown_as_marks),
                                     cmocka_unit_test(sizes_are_checked), cmocka_unit_test(utf8_is_strict)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
