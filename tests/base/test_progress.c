/* Progress lines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/progress.h"

static void check(double done, double total, double seconds, const char *expected) {
  char line[256];
  size_t n = fv_progress_format(line, sizeof line, done, total, seconds, "runs");
  assert_string_equal(line, expected);
  assert_int_equal(n, strlen(expected));
}

static void lines(void **state) {
  (void)state;
  check(0, 2938, 0, "0% 0/2938 runs");
  check(1234, 2938, 22, "42% 1234/2938 runs, 56.1 runs/s, 31 s left");
  check(2937, 2938, 10, "99% 2937/2938 runs, 294 runs/s, 1 s left");
  check(2938, 2938, 65.2, "100% 2938/2938 runs, 45.1 runs/s, 1 min 06 s taken");
  check(1, 5000, 4, "0% 1/5000 runs, 0.250 runs/s, 5 h 33 min left");
  check(1, 100000, 20, "0% 1/100000 runs, 0.050 runs/s, 23 d 03 h left");
  check(7, 0, 2, "7 runs, 3.50 runs/s");
  check(NAN, 10, 1, "0% 0/10 runs");
  check(9.9999, 10, 1, "99% 10/10 runs, 10.0 runs/s, 1 s left");
}

static void short_buffers_are_cut(void **state) {
  (void)state;
  char line[8];
  assert_int_equal(fv_progress_format(line, sizeof line, 1, 2, 0, "runs"), strlen("50% 1/2 runs"));
  assert_string_equal(line, "50% 1/2");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(short_buffers_are_cut)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
