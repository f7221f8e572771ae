/* fovea run: studies that are stopped, killed, divided, changed or full of mistakes end with the same results or with
 * one clear sentence. */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "fovea/store.h"
#include "support/scratch.h"

static program_options here;

static const char study[] =
    "model: " MODEL
    "\n"
    "seed: 5\n"
    "samples: table.csv\n"
    "sweeps:\n"
    "  - {name: noise, kind: trace, draws: 3}\n"
    "  - {name: heads, kind: patch, site: 'text_encoder.*.cross.z', heads: each, corrupt: image}\n"
    "  - {name: control, kind: patch, site: 'text_encoder.*.cross.z', corrupt: image, answers: shuffled}\n"
    "output: {db: out.db}\n";

enum { FEW = 10, MANY = 42 }; /* samples; eight of them share a wave */

static void write_text(const char *name, const char *text) { file_write(in_folder(name), text, strlen(text)); }

static void write_table(int samples) {
  static const char *const colors[] = {"red", "blue", "white", "black"};
  char text[8192] = "sample,image,corrupt_image,question,correct,incorrect\n";
  for (int i = 0; i < samples; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "s%d,%s,%s,what color is the %s?,%s,%s\n", i,
             i == 3  ? "broken.png"
             : i % 2 ? "a.png"
                     : "b.png",
             i % 2 ? "b.png" : "a.png", i % 3 ? "shirt" : "dog", colors[i % 4],
             i == 4 ? colors[i % 4] : colors[(i + 1) % 4]);
  write_text("table.csv", text);
}

static int begin(void **state) {
  size_t n;
  folder_setup(state);
  here = (program_options){.folder = folder};
  for (int i = 0; i < 2; i++) {
    char *bytes = file_text(i ? MODEL "/vectors/image1.png" : MODEL "/vectors/image0.png", &n);
    file_write(in_folder(i ? "b.png" : "a.png"), bytes, n);
    free(bytes);
  }
  write_text("broken.png", "not a picture");
  write_text("s.yaml", study);
  write_table(FEW);
  return 0;
}
static json_t *run_json(const char *line) {
  program_result r = expect_with(&here, 0, line);
  json_error_t detail;
  json_t *j = json_loadb(r.out, r.nout, 0, &detail);
  if (!j) fail_msg("%s\nis not JSON: %s\n%s", line, detail.text, r.out);
  program_release(&r);
  return j;
}

static json_int_t whole(const json_t *j, const char *key) { return json_integer_value(json_object_get(j, key)); }

/* Runs and compares the digest with the undisturbed run's; returns how many runs of the model it took. */
static json_int_t same_as(const char *digest, const char *line) {
  json_t *j = run_json(line);
  const char *found = json_string_value(json_object_get(j, "digest"));
  if (strcmp(found, digest) != 0) fail_msg("%s\nends with %s, expected %s", line, found, digest);
  json_int_t runs = whole(j, "runs");
  json_decref(j);
  return runs;
}

/* The undisturbed run. */
static json_int_t undisturbed(char digest[65], double *seconds) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  json_t *j = run_json("fovea run s.yaml --db whole.db --json");
  clock_gettime(CLOCK_MONOTONIC, &b);
  if (seconds) *seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
  snprintf(digest, 65, "%s", json_string_value(json_object_get(j, "digest")));
  json_int_t runs = whole(j, "runs");
  json_decref(j);
  return runs;
}

static json_int_t whole_of(const char *line, const char *key) {
  json_t *j = run_json(line);
  json_int_t n = whole(j, key);
  json_decref(j);
  return n;
}

static void refuses(int status, const char *line, const char *part) {
  program_result r = expect_with(&here, status, line);
  if (!strstr(r.err, part)) fail_msg("%s\nexpected \"%s\", found %s", line, part, r.err);
  program_release(&r);
}

/* The study with one text replaced by another. */
static void changed(const char *from, const char *to) {
  char text[4096];
  const char *where = strstr(study, from);
  assert_non_null(where);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(where - study), study, to, where + strlen(from));
  write_text("s.yaml", text);
}

/* What a sweep of a study gives for a sample is what the command gives. */
static void test_as_the_commands(void **state) {
  (void)state;
  write_text(
      "one.yaml",
      "model: " MODEL
      "\nsamples:\n"
      "  - {sample: s, image: a.png, corrupt_image: b.png, question: what color, correct: red, incorrect: blue}\n"
      "sweeps:\n  - {kind: patch, site: 'text_encoder.*.cross.z', heads: each, corrupt: image}\n");
  program_result r = expect_with(&here, 0, "fovea run one.yaml");
  program_release(&r);
  r = expect_with(&here, 0, "fovea export one.db --csv study.csv");
  program_release(&r);
  r = expect_with(
      &here, 0,
      "fovea patch $M --image a.png --corrupt-image b.png --question 'what color' --correct red --incorrect "
      "blue --site text_encoder.*.cross.z --heads each --csv command.csv");
  program_release(&r);
  size_t n, m;
  char *a = file_text(in_folder("study.csv"), &n), *b = file_text(in_folder("command.csv"), &m);
  size_t lines = 0;
  for (char *x = a, *y = b; (x = strstr(x, "\ns,")) && (y = strstr(y, "\n,")); lines++) {
    x += 3, y += 2;
    size_t k = strcspn(x, "\n");
    if (k != strcspn(y, "\n") || memcmp(x, y, k) != 0) fail_msg("%.*s\n%.*s", (int)k, x, (int)k, y);
  }
  assert_int_equal(lines, 2 * 5 * 4); /* layers, heads, rows */
  free(a), free(b);
}

static void test_results(void **state) {
  (void)state;
  json_t *j = run_json("fovea run s.yaml --json");
  assert_int_equal(whole(j, "samples"), 10);
  assert_int_equal(whole(j, "done"), 8);
  assert_int_equal(whole(j, "excluded"), 2);
  /* noise: 3 draws x 2 layers x (8 + 1) rows; heads: 2 layers x 5 heads x 8 rows; control: 2 layers x 8 rows, but for
   * the one sample that gets the pair of answers that cannot be told apart. */
  assert_int_equal(whole(j, "rows"), 8 * (54 + 80) + 7 * 16);
  json_decref(j);
  assert_int_equal(access(in_folder("out.db-wal"), F_OK), -1); /* one file is left */
  program_result r = expect_with(&here, 0, "fovea run s.yaml");
  assert_non_null(strstr(r.out, "10 of 10: 8 done, 2 excluded"));
  program_release(&r);
}

/* The rows of a control have the pair of answers of another sample: the one that a red answer is compared with is blue
 * there, too. */
static void test_control_pairs(void **state) {
  (void)state;
  fv_store *s;
  fv_table *own, *control;
  program_result r = expect_with(&here, 0, "fovea run s.yaml");
  program_release(&r);
  assert_int_equal(fv_table_new(&own, NULL), FV_OK);
  assert_int_equal(fv_table_new(&control, NULL), FV_OK);
  assert_int_equal(fv_store_open(in_folder("out.db"), FV_STORE_READ, &s, NULL), FV_OK);
  assert_int_equal(fv_store_rows(s, "heads", fv_table_sink(own), NULL), FV_OK);
  assert_int_equal(fv_store_rows(s, "control", fv_table_sink(control), NULL), FV_OK);
  fv_store_close(s);
  size_t moved = 0;
  for (size_t i = 0; i < fv_table_count(control); i++) {
    const fv_row *c = fv_table_row(control, i);
    size_t pairs = 0;
    assert_true(c->incorrect_id >= 0);
    for (size_t k = 0; k < fv_table_count(own); k++) {
      const fv_row *o = fv_table_row(own, k);
      if (o->answer_id == c->answer_id) assert_int_equal(o->incorrect_id, c->incorrect_id), pairs++;
      if (strcmp(o->sample, c->sample) == 0) moved += o->incorrect_id != c->incorrect_id;
    }
    assert_true(pairs > 0);
  }
  assert_true(moved > 0);
  fv_table_free(own), fv_table_free(control);
}

static void same_file(const char *a, const char *b) {
  size_t n = 0, m = 0;
  char *x = file_text(in_folder(a), &n), *y = file_text(in_folder(b), &m);
  if (!x || !y || n == 0 || n != m || memcmp(x, y, n) != 0) fail_msg("%s (%zu) is not %s (%zu)", a, n, b, m);
  free(x), free(y);
}

/* What the study file asks for beside the database is what the other commands write, once all samples are there. */
static void test_outputs(void **state) {
  (void)state;
  changed("output: {db: out.db}", "output: {csv: t.csv, json: t.json, npz: t.npz, report: t.html}");
  program_result r = expect_with(&here, 0, "fovea run s.yaml --shard 1/2");
  assert_non_null(strstr(r.out, "not yet   "));
  assert_int_equal(access(in_folder("t.csv"), F_OK), -1);
  program_release(&r);
  json_t *j = run_json("fovea run s.yaml --json"), *names = json_object_get(j, "outputs");
  assert_int_equal(json_array_size(names), 4);
  assert_non_null(strstr(json_string_value(json_array_get(names, 3)), "/t.html"));
  json_decref(j);
  r = expect_with(&here, 0, "fovea export s.db --csv e.csv --npz e.npz --json e.json");
  program_release(&r);
  r = expect_with(&here, 0, "fovea report s.db --out e.html");
  program_release(&r);
  same_file("t.csv", "e.csv"), same_file("t.json", "e.json"), same_file("t.npz", "e.npz"),
      same_file("t.html", "e.html");
  unlink(in_folder("t.csv"));
  r = expect_with(&here, 0, "fovea run s.yaml"); /* nothing is left to compute */
  assert_non_null(strstr(r.out, "written   "));
  program_release(&r);
  same_file("t.csv", "e.csv");
  unlink(in_folder("s.db"));
  static const char *const wrong[][2] = {
      {"{csv: table.csv}", "s.yaml:8:15: "},
      {"{csv: table.csv}", "table.csv: an output cannot be a file that the study reads"},
      {"{npz: s.yaml}", "s.yaml: an output cannot be a file that the study reads"},
      {"{report: ./b.png}", "b.png: an output cannot be a file that the study reads"},
      {"{csv: u.csv, json: ../%s/u.csv}", "u.csv: two outputs cannot share a file"},
      {"{csv: s.db}", "s.db: that is the database"},
      {"{csv: gone/u.csv}", "gone/u.csv: there is no such folder"},
      {"{cvs: u.csv}", "did you mean csv?"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char output[256] = "output: ", *at = output + 8;
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder, *hole = strstr(wrong[i][0], "%s");
    if (hole)
      sprintf(at, "%.*s%s%s", (int)(hole - wrong[i][0]), wrong[i][0], name, hole + 2);
    else
      strcpy(at, wrong[i][0]);
    changed("output: {db: out.db}", output);
    refuses(1, "fovea run s.yaml", wrong[i][1]);
    assert_int_equal(access(in_folder("s.db"), F_OK), -1); /* before anything is computed */
  }
  changed("output: {db: out.db}", "output: {csv: u.csv}");
  refuses(1, "fovea run s.yaml --db u.csv", "u.csv: that is the database");
  write_text("s.yaml", study);
}

static void test_dry_run(void **state) {
  (void)state;
  write_table(3);
  json_t *said = run_json("fovea run s.yaml --dry-run --json");
  assert_int_equal(access(in_folder("out.db"), F_OK), -1);
  json_t *done = run_json("fovea run s.yaml --json");
  assert_int_equal(whole(said, "samples"), 3);
  assert_int_equal(whole(said, "probed"), 3);
  assert_int_equal(whole(said, "runs"), whole(done, "runs"));
  double bytes = json_number_value(json_object_get(said, "bytes")),
         really = json_number_value(json_object_get(done, "bytes"));
  if (bytes < really / 3 || bytes > really * 3) fail_msg("%g bytes predicted, %g used", bytes, really);
  json_decref(said), json_decref(done);
  said = run_json("fovea run s.yaml --dry-run --json");
  assert_int_equal(whole(said, "stored"), 3);
  assert_int_equal(whole(said, "runs"), 0);
  json_decref(said);
  write_table(12);
  program_result r = expect_with(&here, 0, "fovea run s.yaml --db more.db --dry-run");
  assert_non_null(strstr(r.out, "what follows is estimated from 3 samples"));
  program_release(&r);
  /* Other tools' names say once what they are here. */
  write_text("alias.yaml",
             "model: " MODEL
             "\nsamples: table.csv\nsweeps:\n"
             "  - {name: a, kind: patch, site: 'text_encoder.*.crossattention_block', heads: each, corrupt: image}\n"
             "  - {name: b, kind: patch, site: 'text_encoder.*.crossattention_block', corrupt: image}\n");
  r = expect_with(&here, 0, "fovea run alias.yaml --dry-run");
  assert_string_equal(r.err, "fovea: text_encoder.*.crossattention_block is text_encoder.*.cross.z (NOTICE)\n");
  program_release(&r);
  write_text("none.yaml", "model: nothing-here\nsamples:\n  - {question: what}\nsweeps: [{kind: trace}]\n");
  refuses(1, "fovea run none.yaml", "none.yaml:1:8: nothing-here: no such model folder");
}

/* After its picture has been mended, a study ends where it would have with the good picture from the start. */
static void test_retry_excluded(void **state) {
  (void)state;
  char digest[65];
  program_result r = expect_with(&here, 0, "fovea run s.yaml --retry-excluded");
  program_release(&r);
  size_t n;
  char *good = file_text(in_folder("a.png"), &n);
  file_write(in_folder("broken.png"), good, n);
  free(good);
  json_int_t all = undisturbed(digest, NULL);
  assert_int_equal(0, whole_of("fovea run s.yaml --json", "runs")); /* not by itself */
  r = expect_with(&here, 0, "fovea run s.yaml --retry-excluded --json");
  assert_non_null(strstr(r.err, "2 excluded samples tried again"));
  assert_non_null(strstr(r.out, digest));
  program_release(&r);
  json_int_t runs = same_as(digest, "fovea run s.yaml --retry-excluded --json"); /* the pair that is no pair */
  assert_true(runs < all / 4);
  assert_int_equal(8 + 1, whole_of("fovea run s.yaml --json", "done"));
  write_text("none.yaml",
             "model: " MODEL "\nsamples:\n  - {image: gone.png, question: what}\nsweeps: [{kind: trace}]\n");
  refuses(1, "fovea run none.yaml", "no sample can be used; all 1 are excluded, the first: 0: ");
  refuses(1, "fovea run none.yaml", "all 1 are excluded; --retry-excluded tries them again");
  changed("seed: 5", "seed: 6");
  refuses(1, "fovea run s.yaml --retry-excluded", "seed is 5 there and 6 here");
  write_text("s.yaml", study);
  assert_int_equal(1, whole_of("fovea run s.yaml --json", "excluded"));
  refuses(2, "fovea run s.yaml --retry-excluded --shard 1/2", "without --shard");
  refuses(2, "fovea run s.yaml --retry-excluded --merge", "without --merge");
  refuses(2, "fovea run s.yaml --retry-excluded --dry-run", "without --dry-run");
}

/* ---- stopping ---- */

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

/* ---- what may be wrong ---- */

static void test_changed_study(void **state) {
  (void)state;
  char digest[65];
  json_t *j = run_json("fovea run s.yaml --json");
  snprintf(digest, sizeof digest, "%s", json_string_value(json_object_get(j, "digest")));
  json_decref(j);
  static const char *const changes[][3] = {
      {"seed: 5", "seed: 6", "seed is 5 there and 6 here"},
      {"draws: 3", "draws: 4", "sweeps.noise.draws is 3 there and 4 here"},
      {"heads: each", "heads: '0'", "sweeps.heads.heads is \"each\" there and \"0\" here"},
      {"name: control", "name: other", "sweeps.other"},
      {"answers: shuffled", "answers: own", "sweeps.control.answers is \"shuffled\" there and \"own\" here"},
      {"seed: 5", "seed: 5\nrequire_right: true", "require_right is false there and true here"},
      {"seed: 5", "seed: 5\nlimit: 4", "samples.count is 10 there and 4 here"},
  };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    changed(changes[i][0], changes[i][1]);
    refuses(1, "fovea run s.yaml", changes[i][2]);
  }
  changed("seed: 5", "seed: 5\nlimit: 4");
  program_result r = expect_with(&here, 1, "fovea run s.yaml");
  const char *hash = strstr(r.err, "samples.sha256 is \"");
  assert_non_null(hash);
  assert_int_equal(strspn(hash + 19, "0123456789abcdef"), 64); /* whole, in its quotes */
  assert_int_equal(hash[19 + 64], '"');
  program_release(&r);
  changed("seed: 5", "seed: 5\nthreads: 1\nmemory: 1G\nname: another");
  same_as(digest, "fovea run s.yaml --json"); /* these change no result */
  write_text("s.yaml", study);
  write_table(9);
  refuses(1, "fovea run s.yaml", "samples.count is 10 there and 9 here");
  write_table(10);
  char *table, *word;
  size_t n;
  table = file_text(in_folder("table.csv"), &n);
  word = strstr(table, "the shirt?");
  memcpy(word, "the horse?", 10);
  write_text("table.csv", table);
  free(table);
  refuses(1, "fovea run s.yaml",
          "question of sample 2 is \"what color is the shirt?\" there and \"what color is the horse?\"");
  write_table(10);
  changed(MODEL, FV_TEST_DATA "/blip/untied");
  if (access(FV_TEST_DATA "/blip/untied/config.json", F_OK) == 0)
    refuses(1, "fovea run s.yaml", "another model: the weights' SHA-256");
  write_text("s.yaml", study);
  same_as(digest, "fovea run s.yaml --json");
}

static void test_nothing_usable(void **state) {
  (void)state;
  unlink(in_folder("a.png"));
  refuses(1, "fovea run s.yaml", "no sample can be used; all 10 are excluded, the first: s0: a.png");
  refuses(1, "fovea run s.yaml", "no sample can be used");
}

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

static void test_bad_files(void **state) {
  (void)state;
  write_text("out.db", "this is a text and not a database, not at all");
  refuses(1, "fovea run s.yaml", "is not a database");
  unlink(in_folder("out.db"));
  json_t *j = run_json("fovea run s.yaml --json");
  json_decref(j);
  size_t n;
  char *bytes = file_text(in_folder("out.db"), &n);
  memset(bytes + n / 2 / 4096 * 4096, 0x55, 4096);
  file_write(in_folder("out.db"), bytes, n);
  refuses(1, "fovea run s.yaml", "the database is damaged");
  char *now = file_text(in_folder("out.db"), &n);
  assert_memory_equal(bytes, now, n); /* nothing is made worse */
  free(bytes), free(now);
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
      TEST(test_results),
      TEST(test_as_the_commands),
      TEST(test_control_pairs),
      TEST(test_dry_run),
      TEST(test_retry_excluded),
      TEST(test_interrupt),
      TEST(test_kill),
      TEST(test_outputs),
      TEST(test_shards),
      TEST(test_parts_of_other_machines),
      TEST(test_mpi),
      TEST(test_changed_study),
      TEST(test_nothing_usable),
      TEST(test_second_writer),
      TEST(test_bad_files),
      TEST(test_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
