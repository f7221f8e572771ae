/* Shortest float32 text: against NumPy's, and read back over many bit patterns. */
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "fovea/table.h"

static float from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static void equals_numpy(void **state) {
  (void)state;
  FILE *f = fopen(FV_TEST_DATA "/report/float32_text.csv", "r");
  assert_non_null(f);
  char line[128], got[FV_NUMBER_TEXT];
  int lines = 0;
  for (; fgets(line, sizeof line, f); lines++) {
    line[strcspn(line, "\n")] = '\0';
    char *comma = strchr(line, ',');
    float v = from_bits((uint32_t)strtoul(line, NULL, 16));
    size_t n = fv_number_format(got, v);
    assert_string_equal(got, comma + 1);
    assert_int_equal(n, strlen(got));
  }
  fclose(f);
  assert_true(lines > 1000);
}

static void reads_back(void **state) {
  (void)state;
  uint64_t x = 88172645463325252u; /* xorshift */
  char text[FV_NUMBER_TEXT];
  for (int i = 0; i < 1000000; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    uint32_t bits = (uint32_t)(x >> 16), back_bits;
    if (i % 4 == 0) bits &= 0x807FFFFF; /* denormals */
    if (i % 4 == 1) bits = 0x3F000000 | (bits & 0x80FFFFFF);
    float v = from_bits(bits), back;
    if (!isfinite(v)) continue;
    assert_true(fv_number_format(text, v) < FV_NUMBER_TEXT);
    back = strtof(text, NULL);
    memcpy(&back_bits, &back, sizeof back);
    if (back_bits != bits) fail_msg("%08x became %s = %08x", bits, text, back_bits);
  }
}

static void whole_numbers(void **state) {
  (void)state;
  const int64_t list[] = {0, 7, -7, 10, 100000, 4294967296, INT64_MAX, INT64_MIN, INT64_MIN + 1};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    char text[FV_WHOLE_TEXT], expected[32];
    snprintf(expected, sizeof expected, "%" PRId64, list[i]);
    assert_int_equal(fv_whole_put(text, list[i]), strlen(expected));
    assert_string_equal(text, expected);
  }
}

static void locale_does_not_matter(void **state) {
  (void)state;
  char text[FV_NUMBER_TEXT];
  if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
    printf("skip: no locale with a decimal comma is installed\n");
    skip();
  }
  fv_number_format(text, 0.25f);
  assert_string_equal(text, "0.25");
  fv_number_format(text, 1.2345678e-30f);
  assert_string_equal(text, "1.2345678e-30");
  setlocale(LC_NUMERIC, "C");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_numpy), cmocka_unit_test(reads_back),
                                     cmocka_unit_test(whole_numbers), cmocka_unit_test(locale_does_not_matter)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
