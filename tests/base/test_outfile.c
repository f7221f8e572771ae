/* Output that appears complete or not at all, also on standard output. */
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/files.h"

/* What standard output is while a test writes there. */
static FILE *captured;
static int before = -1;

static int capture(void **state) {
  (void)state;
  fflush(stdout);
  captured = tmpfile(), before = dup(STDOUT_FILENO);
  return !captured || before < 0 || dup2(fileno(captured), STDOUT_FILENO) < 0;
}

static int release(void **state) {
  (void)state;
  fflush(stdout);
  clearerr(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  return fclose(captured);
}

/* How many bytes have come. */
static size_t arrived(void) {
  fflush(stdout);
  return (size_t)lseek(fileno(captured), 0, SEEK_END);
}

static fv_outfile *open_stdout(void) {
  fv_outfile *f;
  assert_int_equal(fv_outfile_open("-", &f, NULL), FV_OK);
  assert_null(fv_outfile_temporary(f));
  return f;
}

static void little_is_held_until_commit(void **state) {
  (void)state;
  fv_outfile *f = open_stdout();
  fputs("lost", fv_outfile_stream(f));
  fv_outfile_abort(f);
  assert_int_equal(arrived(), 0);
  f = open_stdout();
  fputs("kept", fv_outfile_stream(f));
  fflush(fv_outfile_stream(f));
  assert_int_equal(arrived(), 0);
  assert_int_equal(fv_outfile_commit(f, NULL), FV_OK);
  assert_int_equal(arrived(), 4);
}

/* Two gigabytes of a study's table must not be held in memory. */
static void much_is_passed_on(void **state) {
  (void)state;
  char line[64], expected[64];
  size_t lines = FV_OUTFILE_HELD / 16 + 100000;
  fv_outfile *f = open_stdout();
  for (size_t i = 0; i < lines; i++) fprintf(fv_outfile_stream(f), "line %010zu\n", i);
  fflush(fv_outfile_stream(f));
  assert_true(arrived() > FV_OUTFILE_HELD);
  assert_int_equal(fv_outfile_commit(f, NULL), FV_OK);
  assert_int_equal(arrived(), lines * 16);
  rewind(captured);
  for (size_t i = 0; i < lines; i++) {
    snprintf(expected, sizeof expected, "line %010zu\n", i);
    assert_non_null(fgets(line, sizeof line, captured));
    if (strcmp(line, expected) != 0) fail_msg("line %zu is %s", i, line);
  }
}

static void failed_writes_are_reported(void **state) {
  (void)state;
  fv_error err;
  int full = open("/dev/full", O_WRONLY);
  assert_true(full >= 0);
  assert_int_equal(dup2(full, STDOUT_FILENO), STDOUT_FILENO);
  close(full);
  fv_outfile *f = open_stdout();
  fputs("no room", fv_outfile_stream(f));
  assert_int_equal(fv_outfile_commit(f, &err), FV_EIO);
  assert_non_null(strstr(err.text, "standard output: cannot write: No space left on device"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(little_is_held_until_commit, capture, release),
      cmocka_unit_test_setup_teardown(much_is_passed_on, capture, release),
      cmocka_unit_test_setup_teardown(failed_writes_are_reported, capture, release),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
