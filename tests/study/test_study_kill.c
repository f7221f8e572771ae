/* What a kill costs: a process that computes a study says how many samples it has finished, is killed at some moment,
 * and the database holds all of them but, at most, those of the last wave, whose commit was under way. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fovea/study.h"
#include "support/run_program.h"

#define MODEL FV_TEST_DATA "/blip/tied"
enum { SAMPLES = 12, KILLS = 25, SHARED_KILLS = 10 };

static fv_error e;
static char *folder, study_path[512], db[512];
static volatile int *finished; /* shared with the process that computes */

static bool count_samples(void *user, double done) {
  (void)user;
  *finished = (int)(done * SAMPLES - 1e-9); /* the end of a wave is not yet in the writer's hands */
  return true;
}

/* In a process of its own: threads that were started before a fork do not survive it. */
static pid_t start(int64_t wave_samples) {
  *finished = 0;
  pid_t pid = fork();
  if (pid != 0) return pid;
  fv_study *s;
  fv_model *model;
  fv_study_result result;
  fv_study_options o = {.wave_samples = wave_samples, .progress = {count_samples, NULL}};
  fv_status st = fv_study_load(study_path, &s, &e);
  if (!st) st = fv_model_open(MODEL, &(fv_model_options){.threads = 1}, &model, &e);
  if (!st) st = fv_study_run(s, model, &o, &result, &e);
  if (st) fprintf(stderr, "%s\n", e.text);
  _exit(st ? 1 : 0);
}

static int64_t stored(char digest[65]) {
  fv_store *s;
  fv_store_counts n;
  fv_status st = fv_store_open(db, FV_STORE_READ, &s, &e);
  if (st == FV_ENOTFOUND) return 0;
  if (st || fv_store_count(s, &n, &e) || fv_store_digest(s, digest, &e)) fail_msg("%s", e.text);
  fv_store_close(s);
  return n.samples;
}

static void finish(int64_t wave_samples) {
  int status;
  pid_t pid = start(wave_samples);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* `said` counts samples of the wave in flight by its progress: those before it were finished. */
static void check_loss(int kills, int wave, char digest[65]) {
  char after[65];
  double from = now();
  finish(wave);
  double seconds = now() - from;
  assert_int_equal(stored(digest), SAMPLES);
  unlink(db);
  unsigned random = 777;
  int amid = 0, behind = 0;
  for (int i = 0; i < kills || (amid < kills / 4 && i < 6 * kills); i++) {
    random = random * 1664525u + 1013904223u;
    double wait = seconds * ((double)(i % kills) + (double)(random >> 8) / 16777216.0) / kills;
    pid_t pid = start(wave);
    nanosleep(&(struct timespec){.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)}, NULL);
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int done = *finished - *finished % wave;
    int64_t found = stored(after);
    if (found < done - wave || found % wave != 0)
      fail_msg("%d samples were finished, %lld are stored", done, (long long)found);
    amid += found > 0 && found < SAMPLES, behind += found == done - wave;
    /* The machine may have become slower or faster since the first run. */
    if (found == 0) seconds *= 1.1;
    if (WIFEXITED(status)) seconds *= 0.9;
    finish(1 + wave % 4);
    assert_int_equal(stored(after), SAMPLES);
    assert_string_equal(after, digest);
    unlink(db);
  }
  print_message("%d kills fell between waves of %d; %d of them into a commit\n", amid, wave, behind);
  assert_true(amid >= kills / 4);
}

static void test_loss(void **state) {
  (void)state;
  char digest[65], shared[65];
  check_loss(KILLS, 1, digest);
  check_loss(SHARED_KILLS, 3, shared);
  assert_string_equal(shared, digest);
}

int main(void) {
  finished = mmap(NULL, sizeof *finished, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  folder = folder_make();
  snprintf(study_path, sizeof study_path, "%s/s.yaml", folder);
  snprintf(db, sizeof db, "%s/s.db", folder);
  char text[8192] = "model: " MODEL "\nsamples:\n";
  for (int i = 0; i < SAMPLES; i++)
    strcat(text, "  - {image: " MODEL "/vectors/image0.png, question: what color is the shirt?}\n");
  strcat(text, "sweeps:\n  - {kind: trace, draws: 12}\n");
  file_write(study_path, text, strlen(text));
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loss)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  folder_remove(folder);
  return failed;
}
