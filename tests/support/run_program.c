#include "support/run_program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_WORDS = 128 };

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *expand(const char *line, const program_variable *variables) {
  char *out = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&out, &size);
  for (const char *s = line; *s; s++) {
    if (*s != '$') {
      putc(*s, f);
      continue;
    }
    const program_variable *v = variables;
    for (; v && v->name; v++)
      if (strncmp(s + 1, v->name, strlen(v->name)) == 0) break;
    if (!v || !v->name) fail_msg("\"%s\": there is no variable at \"%s\"", line, s);
    char *inner = expand(v->value, variables);
    fputs(inner, f);
    free(inner);
    s += strlen(v->name);
  }
  fclose(f);
  return out;
}

/* Cuts the text into words in place. */
static int split(char *text, char *words[]) {
  int n = 0;
  for (char *s = text; *s;) {
    while (*s == ' ') s++;
    if (!*s) break;
    if (n == MAX_WORDS) fail_msg("too many words");
    char *to = s;
    words[n++] = to;
    for (bool quoted = false; *s && (quoted || *s != ' '); s++) {
      if (*s == '\'')
        quoted = !quoted;
      else
        *to++ = *s;
    }
    if (*s) s++;
    *to = '\0';
  }
  words[n] = NULL;
  return n;
}

static int scratch_file(void) {
  char name[] = "/tmp/fovea-test-XXXXXX";
  int fd = mkstemp(name);
  if (fd < 0) fail_msg("mkstemp: %s", strerror(errno));
  unlink(name);
  return fd;
}

static char *take_text(int fd, size_t *size) {
  struct stat st;
  assert_int_equal(fstat(fd, &st), 0);
  char *text = calloc((size_t)st.st_size + 1, 1);
  assert_true(pread(fd, text, (size_t)st.st_size, 0) == st.st_size);
  close(fd);
  *size = (size_t)st.st_size;
  return text;
}

static void child(const program_options *o, char *words[], const int fds[3]) {
  char path[4096];
  for (int i = 0; i < 3; i++)
    if (dup2(fds[i], i) < 0) _exit(126);
  if (o->folder && chdir(o->folder) != 0) _exit(126);
  if (o->models) setenv("FOVEA_MODELS", o->models, 1);
  if (o->file_bytes) {
    struct rlimit limit = {(rlim_t)o->file_bytes, (rlim_t)o->file_bytes};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (o->interrupt_write && ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(PROGRAM_UNTRACED);
  snprintf(path, sizeof path, "%s/%s", FV_BINARY_DIR, words[0]);
  execv(path, words);
  _exit(127);
}

/* Interrupts a traced program at its Nth write and lets it go. It stands still meanwhile, so that the interrupt comes
 * before anything that it does after the write. False when it ended before. */
static bool interrupt_at_write(pid_t pid, int n, int *status) {
  for (;;) {
    struct __ptrace_syscall_info call = {0};
    if (waitpid(pid, status, 0) != pid) fail_msg("waitpid: %s", strerror(errno));
    if (!WIFSTOPPED(*status)) return false;
    int signal_number = WSTOPSIG(*status);
    if (signal_number == (SIGTRAP | 0x80)) {
      signal_number = 0;
      ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof call, &call);
      if (call.op == PTRACE_SYSCALL_INFO_ENTRY && call.entry.nr == SYS_write && call.entry.args[0] == STDOUT_FILENO)
        n--;
      if (call.op == PTRACE_SYSCALL_INFO_EXIT && n == 0) return ptrace(PTRACE_DETACH, pid, NULL, (void *)SIGINT) == 0;
    } else if (signal_number == SIGTRAP) { /* a program was started; from here on calls can be told from signals */
      signal_number = 0;
      ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
    }
    ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal_number);
  }
}

static int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

/* Whether it has set a handler: before, SIGINT is the end of it. */
static bool listens(pid_t pid) {
  char path[64], line[256];
  unsigned long long caught = 0;
  snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "SigCgt: %llx", &caught) == 1) break;
  if (f) fclose(f);
  return caught >> (SIGINT - 1) & 1;
}

/* Waits; interrupts and kills when it is time. */
static int wait_for(pid_t pid, const program_options *o, double started) {
  bool interrupted = !o->interrupt_after;
  double listening = 0;
  int status;
  if (o->interrupt_write && !interrupt_at_write(pid, o->interrupt_write, &status)) return exit_status(status);
  for (;;) {
    pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) return exit_status(status);
    if (got < 0) fail_msg("waitpid: %s", strerror(errno));
    double now = seconds_now();
    if (!interrupted && listening == 0 && listens(pid)) listening = now;
    if (!interrupted && listening > 0 && (now - listening) * 1000.0 > o->interrupt_after)
      kill(pid, SIGINT), interrupted = true;
    if (now - started > (o->seconds ? o->seconds : 120)) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -1;
    }
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
}

void program_run(const program_options *o, program_result *r, const char *line, const program_variable *variables) {
  char *words[MAX_WORDS + 1], *text = expand(line, variables);
  if (split(text, words) == 0) fail_msg("an empty command line");
  int out = scratch_file(), err = scratch_file(), in = scratch_file(), ends[2] = {-1, -1}, to = out;
  size_t n = o->input ? strlen(o->input) : 0;
  assert_true(n == 0 || pwrite(in, o->input, n, 0) == (ssize_t)n);
  if (o->output && (to = open(o->output, O_WRONLY)) < 0) fail_msg("%s: %s", o->output, strerror(errno));
  if (o->closed_pipe) {
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    to = ends[1];
  }
  double started = seconds_now();
  pid_t pid = fork();
  if (pid == 0) child(o, words, (int[]){in, to, err});
  if (pid < 0) fail_msg("fork: %s", strerror(errno));
  r->status = wait_for(pid, o, started);
  r->wall = seconds_now() - started;
  close(in);
  if (to != out) close(to);
  r->out = take_text(out, &r->nout), r->err = take_text(err, &r->nerr);
  free(text);
  if (r->status < 0) fail_msg("%s\ndid not end in time; it had said: %s", line, r->err);
}

void program_release(program_result *r) {
  free(r->out), free(r->err);
  *r = (program_result){0};
}

char *file_text(const char *path, size_t *size) {
  int fd = open(path, O_RDONLY);
  return fd < 0 ? NULL : take_text(fd, size);
}

void file_write(const char *path, const char *text, size_t size) {
  FILE *f = fopen(path, "wb");
  if (!f) fail_msg("%s: %s", path, strerror(errno));
  assert_int_equal(fwrite(text, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

char *folder_make(void) {
  char *path = strdup("cli-XXXXXX");
  if (!mkdtemp(path)) fail_msg("mkdtemp: %s", strerror(errno));
  return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where) {
  (void)st, (void)type, (void)where;
  return remove(path);
}

void folder_remove(char *path) {
  nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  free(path);
}

size_t folder_count(const char *path) {
  DIR *d = opendir(path);
  size_t n = 0;
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
  closedir(d);
  return n;
}
