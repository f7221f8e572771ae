/* fovea run: studies that are stopped, killed, divided or run out of disk end with the same results. */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/run_tests.h"
#include "fovea/store.h"

static void test_interrupt(void **state) {
  (void)state;
  char digest[65];
  double seconds;
  write_table(MANY);
  json_int_t all = undisturbed(digest, &seconds);
  int stopped = 0;
  /* As in test_kill, the speed of the machine may change. */
  for (int i = 0; stopped < 5 && i < 50; i++) {
    program_options o = here;
    o.interrupt_after = (int)(seconds * 1000.0 * (i % 6) / 6) + 1;
    program_result r;
    program_run(&o, &r, "fovea run s.yaml --json", vars);
    if (r.status == 1) {
      stopped++;
      assert_non_null(strstr(r.err, "run the same again to go on"));
      assert_int_equal(r.nout, 0);
    } else {
      assert_int_equal(r.status, 0);
      seconds *= 0.8;
    }
    program_release(&r);
    assert_true(same_as(digest, "fovea run s.yaml --json") <= all);
    unlink(in_folder("out.db"));
  }
  assert_int_equal(stopped, 5);
  write_table(FEW);
}

/* Starts the program, kills it after some seconds, and says whether that came in time. */
static bool killed_after(double seconds, char *const words[]) {
  char program[512];
  snprintf(program, sizeof program, "%s/%s", FV_BINARY_DIR, words[0]);
  pid_t pid = fork();
  if (pid == 0) {
    if (chdir(folder) != 0 || !freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
    setpgid(0, 0);
    if (strchr(words[0], '/')) execv(words[0], words);
    execv(program, words);
    _exit(127);
  }
  nanosleep(&(struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)},
            NULL);
  kill(pid, SIGKILL);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status);
}

static void test_kill(void **state) {
  (void)state;
  char digest[65];
  double seconds;
  write_table(MANY);
  json_int_t all = undisturbed(digest, &seconds), again;
  unsigned random = 12345;
  int killed = 0, resumed = 0, partly = 0;
  /* The machine may be faster than it was during the first run, so that the program was done before the kill, or
   * slower, so that it had not begun. */
  for (int i = 0; killed < 50 && i < 150; i++) {
    random = random * 1664525u + 1013904223u;
    double share = ((double)(i % 25) + (double)(random >> 8) / 16777216.0) / 25.0;
    int before = killed;
    killed += killed_after(share * seconds, (char *[]){"fovea", "run", "s.yaml", NULL});
    if (killed == before) seconds *= 0.9;
    random = random * 1664525u + 1013904223u;
    if (i % 5 == 0) /* twice in a row */
      killed += killed_after((double)(random >> 8) / 16777216.0 * seconds, (char *[]){"fovea", "run", "s.yaml", NULL});
    again = same_as(digest, "fovea run s.yaml --json");
    resumed += again<all, partly += again> 0 && again < all;
    if (again == all) seconds *= 1.1;
    unlink(in_folder("out.db"));
  }
  print_message("killed %d times, gone on from something %d times, from the middle %d times\n", killed, resumed,
                partly);
  assert_true(killed >= 50);
  assert_true(partly >= 5);
  write_table(FEW);
}

/* ---- dividing ---- */

static void test_shards(void **state) {
  (void)state;
  char digest[65];
  json_int_t all = undisturbed(digest, NULL), sum = 0;
  for (int i = 3; i >= 1; i--) {
    char line[64];
    snprintf(line, sizeof line, "fovea run s.yaml --shard %d/3 --json", i);
    json_t *j = run_json(line);
    assert_int_equal(whole(j, "samples"), i == 1 ? 4 : 3);
    sum += whole(j, "runs");
    json_decref(j);
  }
  assert_int_equal(sum, all);
  assert_int_equal(same_as(digest, "fovea run s.yaml --merge --json"), 0);
  assert_int_equal(same_as(digest, "fovea run s.yaml --merge --json"), 0); /* once more changes nothing */
  assert_int_equal(same_as(digest, "fovea run s.yaml --json"), 0);
  assert_int_equal(access(in_folder("out.db.shard-1-of-3"), F_OK), -1); /* taken in */
  /* Named, into another database; and what is missing is computed. */
  program_result r = expect_with(&here, 0, "fovea run s.yaml --shard 2/2 --db other.db");
  program_release(&r);
  r = expect_with(&here, 0, "fovea run s.yaml --db third.db --merge other.db.shard-2-of-2");
  assert_non_null(strstr(r.out, "5 of 10"));
  program_release(&r);
  json_int_t rest = same_as(digest, "fovea run s.yaml --db third.db --json");
  assert_true(rest > 0 && rest < all);
  /* A process killed at its first step has made its database and put nothing in. */
  write_text("out.db.shard-2-of-3", "");
  r = expect_with(&here, 0, "fovea run s.yaml --merge");
  program_release(&r);
  assert_int_equal(same_as(digest, "fovea run s.yaml --json"), 0);
  assert_int_equal(access(in_folder("out.db.shard-2-of-3"), F_OK), -1);
  write_text("empty.db", "");
  assert_int_equal(same_as(digest, "fovea run s.yaml --db empty.db --retry-excluded --json"), all);
  r = expect_with(&here, 1, "fovea run s.yaml --db none.db --merge nothing.db");
  assert_int_equal(access(in_folder("none.db"), F_OK), -1);
  program_release(&r);
  changed("seed: 5", "seed: 6"); /* parts of another study */
  refuses(1, "fovea run s.yaml --db none.db --merge other.db.shard-2-of-2", "seed is 5 there and 6 here");
  assert_int_equal(access(in_folder("none.db"), F_OK), -1);
  write_text("s.yaml", study);
  static const char *const wrong[] = {"--shard 4/3", "--shard 0/3", "--shard 1", "--shard 1/2x", "--shard a/b"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char line[64];
    snprintf(line, sizeof line, "fovea run s.yaml %s", wrong[i]);
    r = expect_with(&here, 2, line);
    program_release(&r);
  }
}

static void set_fact(const char *db, const char *key, const char *value) {
  fv_store *s;
  assert_int_equal(fv_store_open(in_folder(db), FV_STORE_WRITE, &s, NULL), FV_OK);
  assert_int_equal(fv_store_manifest_set(s, key, value, NULL), FV_OK);
  fv_store_close(s);
}

static void expect_note(const char *line, const char *note) {
  program_result r = expect_with(&here, 0, line);
  if (strcmp(r.err, note) != 0) fail_msg("%s\nexpected: %s\nfound: %s", line, note, r.err);
  program_release(&r);
}

/* Parts of different engines or compilers are put together with a note, which going on with such a part gives, too. */
static void test_parts_of_other_machines(void **state) {
  (void)state;
  static const char *const facts[][2] = {{"engine", "an abacus"}, {"build", "compiler 0"}};
  char line[128], note[600];
  for (int i = 1; i <= 2; i++) {
    snprintf(line, sizeof line, "fovea run s.yaml --shard %d/2", i);
    expect_note(line, "");
  }
  static const char merge[] = "fovea run s.yaml --db all.db --merge out.db.shard-1-of-2 out.db.shard-2-of-2";
  expect_note(merge, "");
  database_remove(in_folder("all.db"));
  for (int k = 1; k >= 0; k--) {
    fv_store *s;
    char *own;
    assert_int_equal(fv_store_open(in_folder("out.db.shard-1-of-2"), FV_STORE_READ, &s, NULL), FV_OK);
    assert_int_equal(fv_store_manifest(s, facts[k][0], &own, NULL), FV_OK);
    fv_store_close(s);
    set_fact("out.db.shard-2-of-2", facts[k][0], facts[k][1]); /* the engine goes first, where both are others */
    snprintf(note, sizeof note,
             "fovea: the results so far were computed with %s, and those of out.db.shard-2-of-2 with %s: last digits "
             "may differ between them\n",
             own, facts[k][1]);
    expect_note(merge, note);
    database_remove(in_folder("all.db"));
    snprintf(note, sizeof note,
             "fovea: the results so far were computed with %s, and here it is %s: last digits may differ between "
             "them\n",
             facts[k][1], own);
    expect_note("fovea run s.yaml --shard 2/2", note);
    free(own);
  }
}

static const char *find_mpirun(void) {
  static const char *const places[] = {"/usr/bin/mpirun", "/usr/local/bin/mpirun"};
  for (int i = 0; i < 2; i++)
    if (access(places[i], X_OK) == 0) return places[i];
  return NULL;
}

/* Whether the program was built with MPI: without, it refuses to be started as one of several. */
static bool built_with_mpi(void) {
  program_result r;
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  write_text("empty.yaml", "");
  program_run(&here, &r, "fovea run empty.yaml", vars);
  unsetenv("OMPI_COMM_WORLD_SIZE");
  bool without = strstr(r.err, "built without MPI") != NULL;
  program_release(&r);
  return !without;
}

static int mpirun(int n, const char *db) {
  char count[16];
  snprintf(count, sizeof count, "%d", n);
  char program[512];
  snprintf(program, sizeof program, "%s/fovea", FV_BINARY_DIR);
  pid_t pid = fork();
  if (pid == 0) {
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* OpenMPI's own */
    if (chdir(folder) != 0 || !freopen("out.txt", "w", stdout) || !freopen("err.txt", "w", stderr)) _exit(126);
    execl(find_mpirun(), "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", count, program,
          "run", "s.yaml", "--db", db, "--json", NULL);
    _exit(127);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* mpirun's processes may outlive it; they are those whose folder is this test's own. */
static void kill_those_in_folder(void) {
  char mine[PATH_MAX], link[64], cwd[PATH_MAX];
  assert_non_null(realpath(folder, mine));
  for (int quiet = 0; quiet < 3;) {
    DIR *dir = opendir("/proc");
    bool any = false;
    for (struct dirent *entry; (entry = readdir(dir));) {
      long pid = atol(entry->d_name);
      snprintf(link, sizeof link, "/proc/%ld/cwd", pid);
      ssize_t n = pid > 1 && pid != getpid() ? readlink(link, cwd, sizeof cwd - 1) : -1;
      if (n < 0) continue;
      cwd[n] = '\0';
      if (strcmp(cwd, mine) == 0) kill((pid_t)pid, SIGKILL), any = true;
    }
    closedir(dir);
    quiet = any ? 0 : quiet + 1;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
  }
}

static void test_mpi(void **state) {
  (void)state;
  if (!built_with_mpi()) {
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    program_result r = expect_with(&here, 1, "fovea run s.yaml");
    unsetenv("OMPI_COMM_WORLD_SIZE");
    assert_non_null(strstr(r.err, "--shard"));
    program_release(&r);
    printf("skip: this program was built without MPI\n");
    skip();
  }
  if (!find_mpirun()) {
    printf("skip: there is no mpirun\n");
    skip();
  }
  char digest[65], found[65] = "";
  double seconds;
  size_t n;
  undisturbed(digest, &seconds);
  for (int ranks = 1; ranks <= 3; ranks += 2) {
    if (mpirun(ranks, "mpi.db") != 0) fail_msg("%s", file_text(in_folder("err.txt"), &n));
    char *out = file_text(in_folder("out.txt"), &n);
    json_error_t detail;
    json_t *j = json_loadb(out, n, 0, &detail);
    if (!j) fail_msg("not one JSON object: %s", out);
    snprintf(found, sizeof found, "%s", json_string_value(json_object_get(j, "digest")));
    assert_string_equal(found, digest);
    json_decref(j), free(out);
    unlink(in_folder("mpi.db"));
  }
  /* Killed with all its processes at some moments, then finished by other numbers of processes. */
  for (int i = 1; i <= 5; i++) {
    char program[512];
    snprintf(program, sizeof program, "%s/fovea", FV_BINARY_DIR);
    char *words[] = {(char *)find_mpirun(),
                     "--allow-run-as-root",
                     "--oversubscribe",
                     "--bind-to",
                     "none",
                     "-n",
                     "3",
                     program,
                     "run",
                     "s.yaml",
                     "--db",
                     "mpi.db",
                     NULL};
    killed_after((0.3 + seconds) * i / 5, words);
    kill_those_in_folder();
    if (i % 2) {
      same_as(digest, "fovea run s.yaml --db mpi.db --json");
    } else {
      if (mpirun(2, "mpi.db") != 0) fail_msg("%s", file_text(in_folder("err.txt"), &n));
      same_as(digest, "fovea run s.yaml --db mpi.db --json");
    }
    unlink(in_folder("mpi.db"));
  }
  /* A mistake is said. */
  write_text("s.yaml", "modle: x\n");
  assert_int_equal(mpirun(2, "mpi.db"), 1);
  char *said = file_text(in_folder("err.txt"), &n);
  assert_non_null(strstr(said, "did you mean model?"));
  free(said);
}

/* ---- what else may stop a study ---- */

static void test_second_writer(void **state) {
  (void)state;
  write_table(10);
  bool seen = false;
  /* A process that is done before it has been looked at says nothing; then another one starts. */
  for (int tries = 0; tries < 20 && !seen; tries++) {
    unlink(in_folder("out.db"));
    pid_t pid = fork();
    if (pid == 0) {
      char program[512];
      snprintf(program, sizeof program, "%s/fovea", FV_BINARY_DIR);
      if (chdir(folder) != 0 || !freopen("/dev/null", "w", stdout)) _exit(126);
      execl(program, "fovea", "run", "s.yaml", NULL);
      _exit(127);
    }
    char word[64];
    int status;
    snprintf(word, sizeof word, "process %ld", (long)pid);
    while (!seen && waitpid(pid, &status, WNOHANG) == 0) {
      if (access(in_folder("out.db-lock"), F_OK) != 0) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        continue;
      }
      kill(pid, SIGSTOP); /* it holds the lock for as long as this takes */
      program_result r;
      program_run(&here, &r, "fovea run s.yaml", vars);
      seen = r.status == 1 && strstr(r.err, "another process is writing") && strstr(r.err, word);
      kill(pid, SIGCONT);
      if (!seen && r.status != 0) fail_msg("%d: %s", r.status, r.err);
      program_release(&r);
    }
    if (seen) assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  assert_true(seen);
}

/* A disk that fills up in the middle, and is then made larger; and one that is read-only. */
static void test_full_disk(void **state) {
  (void)state;
  char digest[65];
  mkdir(in_folder("disk"), 0777);
  if (mount("tmpfs", in_folder("disk"), "tmpfs", 0, "size=128k") != 0) {
    printf("skip: no tmpfs can be mounted here\n");
    skip();
  }
  undisturbed(digest, NULL);
  refuses(1, "fovea run s.yaml --db disk/a.db", "disk is full");
  assert_int_equal(mount("tmpfs", in_folder("disk"), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=8m"), 0);
  refuses(1, "fovea run s.yaml --db disk/a.db", "Read-only");
  refuses(1, "fovea run s.yaml --db disk/b.db", "Read-only");
  assert_int_equal(mount("tmpfs", in_folder("disk"), "tmpfs", MS_REMOUNT, "size=8m"), 0);
  json_int_t rest = same_as(digest, "fovea run s.yaml --db disk/a.db --json");
  print_message("went on after a full disk with %lld runs\n", (long long)rest);
  assert_int_equal(umount(in_folder("disk")), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, folder_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_interrupt), TEST(test_kill),          TEST(test_shards),    TEST(test_parts_of_other_machines),
      TEST(test_mpi),       TEST(test_second_writer), TEST(test_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
