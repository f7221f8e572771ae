/* --db: what trace and patch add to a database is what they write as CSV. */
#include <unistd.h>

#include "cli/cli_tests.h"
#include "fovea/store.h"
#include "support/scratch.h"

static program_options here;

static int begin(void **state) {
  folder_setup(state);
  here = (program_options){.folder = folder};
  return 0;
}
static void done(const char *line) {
  program_result r = expect_with(&here, 0, line);
  program_release(&r);
}

static void refuses(int status, const char *line, const char *part) {
  program_result r = expect_with(&here, status, line);
  if (!strstr(r.err, part)) fail_msg("%s\nexpected \"%s\", found %s", line, part, r.err);
  program_release(&r);
}

static fv_store_counts counts(const char *name) {
  fv_store *s;
  fv_store_counts n;
  fv_error e;
  if (fv_store_open(in_folder(name), FV_STORE_READ, &s, &e) || fv_store_count(s, &n, &e)) fail_msg("%s", e.text);
  fv_store_close(s);
  return n;
}

/* The rows of a sweep, written as CSV; free it. The sample's name, which the commands leave open, is left out. */
static char *rows_of(const char *name, const char *sweep) {
  fv_store *s;
  fv_table_file *csv;
  fv_error e;
  size_t n;
  if (fv_store_open(in_folder(name), FV_STORE_READ, &s, &e) || fv_csv_open(in_folder("rows.csv"), &csv, &e) ||
      fv_store_rows(s, sweep, fv_table_file_sink(csv), &e) || fv_table_file_commit(csv, &e))
    fail_msg("%s", e.text);
  fv_store_close(s);
  return file_text(in_folder("rows.csv"), &n);
}

/* The lines behind the header, without the first column. */
static void same_rows(const char *a, const char *b) {
  a = strchr(a, '\n') + 1, b = strchr(b, '\n') + 1;
  size_t lines = 0;
  for (; *a && *b; lines++) {
    const char *x = strchr(a, ','), *y = strchr(b, ',');
    size_t n = strcspn(x, "\n"), m = strcspn(y, "\n");
    if (n != m || memcmp(x, y, n) != 0) fail_msg("%.*s\n%.*s", (int)n, x, (int)m, y);
    a = x + n + 1, b = y + m + 1;
  }
  assert_true(lines > 10 && !*a && !*b);
}

#define PATCH \
  "fovea patch $M $I --corrupt-image $V/image1.png $Q --correct red --incorrect blue --site text_encoder.*.cross.z "

static void test_rows(void **state) {
  (void)state;
  size_t n;
  done("fovea trace $M $I $Q --draws 3 --db a.db --csv trace.csv");
  char *csv = file_text(in_folder("trace.csv"), &n), *rows = rows_of("a.db", "trace");
  same_rows(csv, rows);
  free(csv), free(rows);
  done(PATCH "--heads each --db a.db --csv patch.csv --corrupt gray");
  csv = file_text(in_folder("patch.csv"), &n), rows = rows_of("a.db", "patch");
  same_rows(csv, rows);
  free(csv), free(rows);
  fv_store_counts c = counts("a.db");
  assert_true(c.samples == 1 && c.sweeps == 2);
}

static void test_again(void **state) {
  (void)state;
  done("fovea trace $M $I $Q --draws 3 --db a.db");
  fv_store_counts first = counts("a.db");
  done("fovea trace $M $I $Q --draws 3 --db a.db"); /* the same replaces itself */
  fv_store_counts c = counts("a.db");
  assert_true(c.samples == 1 && c.sweeps == 1 && c.cells == first.cells && c.bases == 3);
  done("fovea trace $M --image $V/image1.png $Q --draws 3 --db a.db"); /* another sample of the same sweep */
  c = counts("a.db");
  assert_true(c.samples == 2 && c.sweeps == 1 && c.cells == 2 * first.cells);
  done("fovea trace $M $I $Q --draws 2 --db a.db"); /* another sweep of the same sample */
  c = counts("a.db");
  assert_true(c.samples == 2 && c.sweeps == 2);
  done(PATCH "--db a.db");
  c = counts("a.db");
  assert_true(c.samples == 2 && c.sweeps == 3);
}

static void test_failures(void **state) {
  (void)state;
  refuses(1, "fovea trace $M --image nothing.png $Q --db a.db", "nothing.png");
  assert_int_equal(access(in_folder("a.db"), F_OK), -1);
  refuses(1, PATCH "--heads 0-99 --db a.db", "99");
  assert_int_equal(access(in_folder("a.db"), F_OK), -1);
  done("fovea trace $M $I $Q --draws 1 --db a.db");
  refuses(1, "fovea trace " FV_TEST_DATA "/blip/legacy $I $Q --draws 1 --db a.db", "another model");
  assert_int_equal(counts("a.db").samples, 1);
  file_write(in_folder("b.db"), "this is not a database; it is a text", 36);
  refuses(1, "fovea trace $M $I $Q --draws 1 --db b.db", "not a database");
  refuses(1, "fovea trace $M $I $Q --draws 1 --db nowhere/b.db", "nowhere");
}

/* Results may be added to a study's database, which then still is that study's. */
static void test_with_a_study(void **state) {
  (void)state;
  static const char study[] = "model: " MODEL "\nsamples:\n  - {sample: one, image: " MODEL
                              "/vectors/image0.png, question: what color}\n"
                              "sweeps:\n  - {name: trace, kind: trace, draws: 2}\n";
  file_write(in_folder("s.yaml"), study, sizeof study - 1);
  done("fovea run s.yaml --db a.db");
  done("fovea trace $M $I $Q --draws 2 --db a.db");
  fv_store_counts c = counts("a.db");
  assert_true(c.samples == 2 && c.sweeps == 2);
  done("fovea run s.yaml --db a.db");
  c = counts("a.db");
  assert_true(c.samples == 2 && c.sweeps == 2);
  /* The other way round. */
  done("fovea patch $M $I $Q --corrupt gray --db b.db");
  done("fovea run s.yaml --db b.db");
  c = counts("b.db");
  assert_true(c.samples == 2 && c.sweeps == 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, folder_teardown)
  const struct CMUnitTest tests[] = {TEST(test_rows), TEST(test_again), TEST(test_failures), TEST(test_with_a_study)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
