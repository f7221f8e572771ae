/* The program starts itself anew with a short spin for waiting threads, under its own name, and leaves the user's wish.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli_tests.h"

/* The tokenizer of a model, waiting for lines on `input`. */
static pid_t start(const char *wish, int input[2]) {
  assert_int_equal(pipe(input), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid > 0) return close(input[0]), pid;
  int null = open("/dev/null", O_WRONLY);
  dup2(input[0], STDIN_FILENO), dup2(null, STDOUT_FILENO);
  close(input[1]);
  unsetenv("OMP_WAIT_POLICY"), unsetenv("GOMP_SPINCOUNT");
  if (wish) putenv((char *)(uintptr_t)wish);
  execl(FV_BINARY_DIR "/fovea", "fovea", "tokens", MODEL, "--jsonl", "-", (char *)NULL);
  _exit(127);
}

static void finish(pid_t pid, int to) {
  int status;
  close(to);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A file of /proc/PID, its NULs as line ends. */
static const char *about(pid_t pid, const char *what) {
  static char text[65536];
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  size_t n = 0;
  for (ssize_t got; n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0;) n += (size_t)got;
  close(fd);
  text[n] = '\0';
  for (size_t i = 0; i < n; i++)
    if (!text[i]) text[i] = '\n';
  return text;
}

static void test_restart(void **state) {
  (void)state;
  int input[2];
  pid_t pid = start(NULL, input);
  /* It waits for its input, so this ends. */
  while (!strstr(about(pid, "environ"), "\nGOMP_SPINCOUNT=10000\n")) usleep(2000);
  assert_string_equal(about(pid, "comm"), "fovea\n");
  assert_non_null(strstr(about(pid, "cmdline"), "fovea\ntokens\n"));
  finish(pid, input[1]);
}

static void test_wish_counts(void **state) {
  (void)state;
  static const char *const wishes[] = {"OMP_WAIT_POLICY=passive", "GOMP_SPINCOUNT=77"};
  for (int i = 0; i < 2; i++) {
    int input[2];
    pid_t pid = start(wishes[i], input);
    /* More than a pipe holds: what is written has been read, and the program is past its start. */
    static const char line[] = "\"what color is the star\"\n";
    for (int k = 0; k < 100000; k++) assert_int_equal(write(input[1], line, sizeof line - 1), sizeof line - 1);
    const char *environment = about(pid, "environ");
    assert_non_null(strstr(environment, wishes[i]));
    assert_null(strstr(environment, "GOMP_SPINCOUNT=10000"));
    finish(pid, input[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_restart), cmocka_unit_test(test_wish_counts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
