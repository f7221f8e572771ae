/* fovea ask on a terminal: the answer comes piece by piece and is, in the end, what a file gets. */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "cli/cli_tests.h"

#define LLAVA "fovea ask " FV_TEST_DATA "/llava/grouped --image " FV_TEST_DATA "/llava/grouped/vectors/image0.png "

/* What the program writes to a terminal, without the carriage returns that terminals add. interrupt: of
 * program_options.interrupt_write. */
static char *on_terminal(int status, int interrupt, const char *line, char **errors) {
  static char text[16384];
  int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
  char name[128];
  snprintf(name, sizeof name, "%s", ptsname(terminal));
  /* Held open, so that what was written is not lost when the program ends. */
  int held = open(name, O_RDWR | O_NOCTTY);
  assert_true(held >= 0);
  program_result r;
  program_run(&(program_options){.output = name, .interrupt_write = interrupt}, &r, line, vars);
  if (interrupt && r.status == PROGRAM_UNTRACED) {
    print_message("skip: a program cannot be traced here (ptrace)\n");
    skip();
  }
  if (r.status != status) fail_msg("%s\nstatus %d: %s", line, r.status, r.err);
  size_t n = 0;
  struct pollfd ready = {.fd = terminal, .events = POLLIN};
  while (poll(&ready, 1, 200) > 0 && (ready.revents & POLLIN)) {
    char piece[4096];
    ssize_t got = read(terminal, piece, sizeof piece);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got && n + 1 < sizeof text; i++)
      if (piece[i] != '\r') text[n++] = piece[i];
  }
  text[n] = '\0';
  close(held);
  close(terminal);
  if (errors) *errors = r.err, r.err = NULL;
  program_release(&r);
  return text;
}

static void same(const char *line) {
  program_result r = expect(0, line);
  const char *shown = on_terminal(0, 0, line, NULL);
  if (strcmp(shown, r.out) != 0) fail_msg("%s\non a terminal:\n%s\nin a file:\n%s", line, shown, r.out);
  program_release(&r);
}

static void test_same_text(void **state) {
  (void)state;
  same("fovea ask $M $I $Q");
  same("fovea ask $M $I $Q --json");
  same(LLAVA "--question what --generate 40");
  same(LLAVA "--question 'is it red' --generate 40");
  same("fovea ask " FV_TEST_DATA "/vit/bare --image " FV_TEST_DATA "/vit/bare/vectors/image0.png");
}

/* Pieces come while the rest is not there yet: a run that is interrupted when it has written one, two, three of them
 * has shown so much of the answer and no more. Printed at the end, nothing would be left to interrupt. */
static void test_pieces(void **state) {
  (void)state;
  const char *line =
      "fovea ask " FV_SOURCE_DIR "/models/llava-demo --question 'Describe the picture.' --image " FV_SOURCE_DIR
      "/examples/images/green-star-yellow-cross-purple-circle.png";
  program_result r = expect(0, line);
  char *answer = r.out, *end = strstr(r.out, "\n\n");
  assert_non_null(end);
  *end = '\0';
  for (size_t pieces = 1, before = 0; pieces <= 3; pieces++) {
    char *errors, *shown = on_terminal(1, (int)pieces, line, &errors);
    size_t n = strlen(shown);
    assert_true(n > 0 && shown[--n] == '\n'); /* the message has a line of its own */
    if (strncmp(shown, answer, n) != 0) fail_msg("shown \"%s\", the answer is \"%s\"", shown, answer);
    assert_true(before < n && n < strlen(answer));
    assert_non_null(strstr(errors, "stopped on request"));
    free(errors);
    before = n;
  }
  program_release(&r);
}

/* A run that fails before its first token says nothing there either. */
static void test_failure_on_a_terminal(void **state) {
  (void)state;
  char *errors;
  const char *shown = on_terminal(1, 0, "fovea ask $M $I $Q --check 100 --memory 1", &errors);
  assert_string_equal(shown, "");
  assert_non_null(strstr(errors, "raise --memory"));
  free(errors);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_text), cmocka_unit_test(test_pieces),
                                     cmocka_unit_test(test_failure_on_a_terminal)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
