/* Samples that share a wave: the same database, bit for bit, as when each has its own, whatever becomes of some of
 * them; and what a plan says before is what is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "fovea/study.h"
#include "study/study_tests.h"

#define MODEL FV_TEST_DATA "/blip/tied"
#define IMAGE0 MODEL "/vectors/image0.png"
#define IMAGE1 MODEL "/vectors/image1.png"

static fv_model *model;

/* Good samples, with pictures and questions in common, among bad ones of each kind. */
static const char samples[] =
    "samples:\n"
    "  - {sample: a, image: " IMAGE0 ", corrupt_image: " IMAGE1
    ", question: what color is the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:20, incorrect: id:30}\n"
    "  - {sample: b, image: " IMAGE1 ", corrupt_image: " IMAGE0
    ", question: what color is the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:21, incorrect: id:30}\n"
    "  - {sample: broken, image: broken.png, corrupt_image: " IMAGE0
    ", question: what color is the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:20, incorrect: id:30}\n"
    "  - {sample: longer, image: " IMAGE0 ", corrupt_image: " IMAGE1
    ", question: what color is the shirt?,"
    " corrupt_question: is the very color what the shirt?, correct: id:20, incorrect: id:30}\n"
    "  - {sample: twin, image: " IMAGE0 ", corrupt_image: " IMAGE0
    ", question: is color what the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:20, incorrect: id:31}\n"
    "  - {sample: same, image: " IMAGE0 ", corrupt_image: " IMAGE1
    ", question: what color is the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:20, incorrect: id:20}\n"
    "  - {sample: none, image: " IMAGE1
    ", question: what color is the shirt?}\n"
    "  - {sample: c, image: " IMAGE0 ", corrupt_image: " IMAGE1
    ", question: is color what the shirt?,"
    " corrupt_question: what color is the shirt?, correct: id:41, incorrect: id:20}\n"
    "  - {sample: d, image: " IMAGE0 ", corrupt_image: " IMAGE1
    ", question: what color is the shirt?,"
    " corrupt_question: is color what the shirt?, correct: id:20, incorrect: id:41}\n";

static const char sweeps[] =
    "sweeps:\n"
    "  - {name: heads, kind: patch, site: text_encoder.*.cross.z, heads: each, corrupt: image}\n"
    "  - {name: control, kind: patch, site: text_encoder.*.cross.z, heads: each, corrupt: image, answers: shuffled}\n"
    "  - {name: texts, kind: patch, corrupt: [question, image], direction: noise, rows: last}\n"
    "  - {name: noise, kind: trace, draws: 3}\n"
    "  - {name: redrawn, kind: trace, draws: 2, noise_redraw: true, target: correct}\n";

static fv_study *load(const char *head) {
  fv_study *s;
  char *path = in_folder("s.yaml"), *text = fv_format("model: %s\n%s%s%s", MODEL, head, samples, sweeps);
  file_write(path, text, strlen(text));
  free(text);
  OK(fv_study_load(path, &s, &e));
  return s;
}

static void run(const fv_study *s, int64_t wave_samples, fv_study_result *result, char digest[65],
                fv_store_counts *counts) {
  fv_store *store;
  fv_study_options o = {.db = in_folder("w.db"), .wave_samples = wave_samples};
  database_remove(o.db);
  OK(fv_study_run(s, model, &o, result, &e));
  OK(fv_store_open(o.db, FV_STORE_READ, &store, &e));
  OK(fv_store_count(store, counts, &e));
  OK(fv_store_digest(store, digest, &e));
  fv_store_close(store);
}

static void compare(const char *head, int64_t done) {
  fv_study *s = load(head);
  fv_study_result first, other;
  fv_store_counts n, m;
  char want[65], got[65];
  run(s, 1, &first, want, &n);
  assert_int_equal(first.done, done);
  assert_int_equal(first.done + first.excluded, fv_study_samples(s));
  for (int64_t together = 0; together <= 9; together++) {
    run(s, together, &other, got, &m);
    if (strcmp(got, want) != 0) fail_msg("%lld samples in a wave: %s, one: %s", (long long)together, got, want);
    assert_true(other.runs == first.runs && other.excluded == first.excluded && m.cells == n.cells);
    assert_string_equal(other.reason, first.reason);
  }
  fv_study_free(s);
}

static void test_same_bits(void **state) {
  (void)state;
  compare("seed: 3\n", 5);
}

/* The clean runs are asked first, in a wave of their own: of this model's answers none is right. */
static void test_asked(void **state) {
  (void)state;
  fv_study *s = load("require_right: true\n");
  fv_study_result result;
  for (int64_t together = 1; together <= 4; together += 3) {
    fv_study_options o = {.db = in_folder("w.db"), .wave_samples = together};
    database_remove(o.db);
    FAILS(FV_EFORMAT, "no sample can be used", fv_study_run(s, model, &o, &result, &e));
    assert_int_equal(result.runs, 6); /* those with answers and pictures that can be read */
  }
  fv_study_free(s);
}

static void test_plan(void **state) {
  (void)state;
  fv_study *s = load("limit: 2\n");
  fv_study_cost cost;
  fv_study_result result;
  fv_store_counts n;
  char digest[65];
  fv_study_options o = {.db = in_folder("none.db")};
  OK(fv_study_plan(s, model, &o, &cost, &e));
  run(s, 2, &result, digest, &n);
  assert_int_equal(cost.cost.runs, result.runs);
  assert_int_equal(cost.cells, n.cells);
  fv_study_free(s);
}

static bool stop_amid(void *user, double done) {
  double *at = user;
  return done < *at;
}

static void test_stopped(void **state) {
  (void)state;
  fv_study *s = load("");
  fv_study_result result;
  fv_store_counts n;
  char want[65], got[65];
  double at = 0.5;
  run(s, 1, &result, want, &n);
  fv_study_options o = {.db = in_folder("w.db"), .wave_samples = 3, .progress = {stop_amid, &at}};
  database_remove(o.db);
  FAILS(FV_ECANCELLED, "3 of 9 samples are in", fv_study_run(s, model, &o, &result, &e));
  o.wave_samples = 2, o.progress.fn = NULL;
  OK(fv_study_run(s, model, &o, &result, &e));
  assert_int_equal(result.stored, 3);
  fv_store *store;
  OK(fv_store_open(o.db, FV_STORE_READ, &store, &e));
  OK(fv_store_digest(store, got, &e));
  fv_store_close(store);
  assert_string_equal(got, want);
  fv_study_free(s);
}

static int setup(void **state) {
  OK(fv_model_open(MODEL, &(fv_model_options){.threads = 2}, &model, &e));
  return folder_setup(state);
}

static int teardown(void **state) {
  fv_model_close(model);
  return folder_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_asked),
      cmocka_unit_test(test_plan),
      cmocka_unit_test(test_stopped),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
