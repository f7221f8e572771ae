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
  assert_true(c.added == 1 && c.sweeps == 2);
}

static void test_again(void **state) {
  (void)state;
  done("fovea trace $M $I $Q --draws 3 --db a.db");
  fv_store_counts first = counts("a.db");
  done("fovea trace $M $I $Q --draws 3 --db a.db"); /* the same replaces itself */
  fv_store_counts c = counts("a.db");
  assert_true(c.added == 1 && c.sweeps == 1 && c.cells == first.cells && c.bases == 3);
  done("fovea trace $M --image $V/image1.png $Q --draws 3 --db a.db"); /* another sample of the same sweep */
  c = counts("a.db");
  assert_true(c.added == 2 && c.sweeps == 1 && c.cells == 2 * first.cells);
  done("fovea trace $M $I $Q --draws 2 --db a.db"); /* another sweep of the same sample */
  c = counts("a.db");
  assert_true(c.added == 2 && c.sweeps == 2);
  done(PATCH "--db a.db");
  c = counts("a.db");
  assert_true(c.added == 2 && c.sweeps == 3);
}

/* What is another experiment does not replace the first one: another corrupted picture or text, other answers. What
 * only adds something to a sample belongs to it. */
static void test_other_experiments(void **state) {
  (void)state;
#define BASE "fovea patch $M $I $Q --site text_encoder.*.resid_post --db a.db "
  static const struct {
    const char *line;
    int64_t samples;
  } cases[] = {{BASE "--corrupt-image $V/image1.png --correct red --incorrect blue", 1},
               {BASE "--corrupt-image $V/image0.png --correct red --incorrect blue", 2},
               {BASE "--corrupt-image $V/image1.png --correct red --incorrect id:7", 3},
               {BASE "--corrupt-image $V/image1.png --correct id:9 --incorrect blue", 4},
               {BASE "--corrupt-image $V/image1.png --correct red", 5},
               {BASE "--corrupt-question 'what color is the dog?' --correct red --incorrect blue", 5},
               {BASE "--corrupt-question 'what color is the beach?' --correct red --incorrect blue", 5},
               {"fovea trace $M $I $Q --draws 1 --db a.db", 5},
               {"fovea trace $M $I $Q --draws 1 --db a.db --target red", 5},
               {"fovea trace $M $I $Q --draws 1 --db a.db --target blue", 6}};
  int64_t bases[10];
  for (int again = 0; again < 2; again++)
    for (size_t i = 0; i < 10; i++) {
      done(cases[i].line);
      fv_store_counts c = counts("a.db");
      if (!again && c.added != cases[i].samples) fail_msg("%s\n%lld samples", cases[i].line, (long long)c.added);
      if (again) assert_true(c.added == 6 && c.bases == bases[9]);
      if (!again) assert_true((bases[i] = c.bases) == (int64_t)i + 1);
    }
}

/* Nor does another answer replace the model's own. */
static void test_own_answer(void **state) {
  (void)state;
  for (int again = 0; again < 2; again++) {
    done(BASE "--corrupt-image $V/image1.png");
    fv_store_counts c = counts("a.db");
    assert_true(again ? c.added == 2 && c.bases == 2 : c.added == 1 && c.bases == 1);
    done(BASE "--corrupt-image $V/image1.png --correct red");
    c = counts("a.db");
    assert_true(c.added == 2 && c.bases == 2);
  }
}

/* The texts that a model chooses among are part of its input. */
static void test_texts(void **state) {
  (void)state;
#define CLIP \
  "fovea trace " FV_TEST_DATA "/clip/zip --image " FV_TEST_DATA "/clip/zip/vectors/image0.png --corrupt gray "
  done(CLIP "--prompt 'a dog' --prompt 'a beach' --layer-start 1 --db a.db");
  done(CLIP "--prompt 'a dog' --prompt 'a shirt' --layer-start 1 --db a.db");
  assert_int_equal(counts("a.db").added, 2);
}

/* Several pictures: all of them are kept, shown, and part of what a sample is. */
static void test_pictures(void **state) {
  (void)state;
#define PAIR FV_TEST_DATA "/llava/first"
#define PICTURES "--image " PAIR "/pairs/image0.png --image " PAIR "/pairs/image1.png --question what "
#define TWO "fovea patch " PAIR " " PICTURES "--rows last --layers 0 --correct id:7 "
  done(TWO "--corrupt image2:" PAIR "/pairs/image0.png --db a.db --html p.html");
  done(TWO "--corrupt image2:" PAIR "/pairs/image0.png --db a.db");
  assert_int_equal(counts("a.db").added, 1);
  done("fovea trace " PAIR " " PICTURES "--draws 1 --layer-start 1 --db a.db");
  assert_int_equal(counts("a.db").added, 1);
  done(TWO "--corrupt image1:" PAIR "/pairs/image1.png --db a.db"); /* the corruption of another picture */
  done("fovea trace " PAIR " --image " PAIR "/pairs/image0.png --question what --draws 1 --layer-start 1 --db a.db");
  done("fovea report a.db --out r.html");
  static const char *const pages[] = {"p.html", "r.html"};
  for (int i = 0; i < 2; i++) {
    size_t n, k;
    char *html = file_text(in_folder(pages[i]), &n), *begin = strstr(html, "id=\"data\">") + strlen("id=\"data\">");
    json_t *data = json_loadb(begin, (size_t)(strstr(begin, "</script>") - begin), 0, NULL), *sample;
    assert_non_null(data);
    json_array_foreach(json_object_get(data, "samples"), k, sample) {
      const json_t *pictures = json_object_get(sample, "pictures"), *second = json_array_get(pictures, 1);
      bool alone = i == 1 && k + 1 == json_array_size(json_object_get(data, "samples"));
      assert_int_equal(json_array_size(pictures), alone ? 1 : 2);
      assert_non_null(json_object_get(json_array_get(pictures, 0), "picture"));
      if (!alone) assert_non_null(json_object_get(second, "picture"));
      if (k == 0) assert_non_null(json_object_get(second, "corrupt_picture"));
      if (k == 0) assert_null(json_object_get(json_array_get(pictures, 0), "corrupt_picture"));
    }
    json_decref(data);
    free(html);
  }
  assert_int_equal(counts("a.db").added, 3);
}

static void test_failures(void **state) {
  (void)state;
  refuses(1, "fovea trace $M --image nothing.png $Q --db a.db", "nothing.png");
  assert_int_equal(access(in_folder("a.db"), F_OK), -1);
  refuses(1, PATCH "--heads 0-99 --db a.db", "99");
  assert_int_equal(access(in_folder("a.db"), F_OK), -1);
  done("fovea trace $M $I $Q --draws 1 --db a.db");
  refuses(1, "fovea trace " FV_TEST_DATA "/blip/legacy $I $Q --draws 1 --db a.db", "another model");
  assert_int_equal(counts("a.db").added, 1);
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
  assert_true(c.samples == 1 && c.added == 1 && c.sweeps == 2);
  done("fovea run s.yaml --db a.db");
  c = counts("a.db");
  assert_true(c.samples == 1 && c.added == 1 && c.sweeps == 2);
  /* The other way round. */
  done("fovea patch $M $I $Q --corrupt gray --db b.db");
  done("fovea run s.yaml --db b.db");
  c = counts("b.db");
  assert_true(c.samples == 1 && c.added == 1 && c.sweeps == 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, folder_teardown)
  const struct CMUnitTest tests[] = {TEST(test_rows),       TEST(test_again),       TEST(test_other_experiments),
                                     TEST(test_own_answer), TEST(test_texts),       TEST(test_pictures),
                                     TEST(test_failures),   TEST(test_with_a_study)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
