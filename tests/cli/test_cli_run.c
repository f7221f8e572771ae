/* fovea run: what it computes and writes, and what it says of studies and files that are changed or full of mistakes.
 */
#include <unistd.h>

#include "cli/run_tests.h"
#include "fovea/store.h"

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
  /* A sweep added by hand brings a sample of its own. */
  r = expect_with(&here, 0,
                  "fovea patch $M --image a.png --corrupt-image b.png --question what --correct red --incorrect blue "
                  "--site text_encoder.0.cross.z --db s.db");
  program_release(&r);
  r = expect_with(&here, 0, "fovea export s.db --csv e.csv");
  program_release(&r);
  unlink(in_folder("t.csv"));
  r = expect_with(&here, 0, "fovea run s.yaml"); /* nothing is left to compute */
  assert_non_null(strstr(r.out, "written   "));
  assert_non_null(strstr(r.out, "10 of 10: 8 done, 2 excluded\n          and 1 added by a single experiment\n"));
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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, folder_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_as_the_commands), TEST(test_results),        TEST(test_control_pairs),
      TEST(test_outputs),         TEST(test_dry_run),        TEST(test_retry_excluded),
      TEST(test_changed_study),   TEST(test_nothing_usable), TEST(test_bad_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
