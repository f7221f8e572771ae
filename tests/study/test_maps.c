/* Mean maps of a made-up study against sums made here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fovea/mean_maps.h"
#include "study/store_inside.h"
#include "support/vectors.h"

enum { LAYERS = 2, SAMPLES = 6 };
static const char *const DB = "test_maps.db";
static const int rows_of[SAMPLES] = {3, 3, 4, 3, 3, 4}, order_of[SAMPLES] = {1, 0, 1, 1, 0, -1};
static const char *const group_of[SAMPLES] = {"a", "a", "a", "b", "b", NULL};
static const char *const colors[SAMPLES] = {"red", "blue", "red", "green", "red", "blue"};

static double made(int k, int draw, int l, int t) { return k + 0.5 * draw + 10 * l + 0.125 * t; }

static fv_store *make(void) {
  fv_store *store;
  int64_t id;
  fv_store_sweep sweep = {0, "states", "patch", "{}"};
  unlink(DB);
  OK(fv_store_open(DB, FV_STORE_CREATE, &store, ERR));
  OK(fv_store_sweep_add(store, &sweep, &id, ERR));
  for (int k = 0; k < SAMPLES + 1; k++) {
    bool failed = k == SAMPLES;
    int rows = failed ? 3 : rows_of[k];
    fv_table *t;
    OK(fv_table_new(&t, ERR));
    fv_sink sink = fv_table_sink(t);
    for (int draw = 0; draw < 2; draw++)
      for (int l = 0; l < LAYERS; l++)
        for (int row = 0; row < rows; row++) {
          fv_row r;
          fv_row_defaults(&r);
          r.draw = draw, r.stack = "text_encoder", r.site = "resid_post", r.layer = l, r.row = row, r.op = "replace";
          r.prob = (float)made(k, draw, l, row), r.logit_diff = 2 * r.prob, r.corrupt_logit_diff = 0.25f;
          r.clean_logit_diff = -1.0f, r.clean_prob = 0.75f;
          r.effect = k == 0 || (l == 1 && row == 2) ? NAN : r.prob, r.p_diff = -r.prob;
          OK(sink.row(sink.user, &r, ERR));
        }
    char name[16];
    fv_store_sample s;
    fv_store_sample_defaults(&s);
    snprintf(name, sizeof name, "s%d", k);
    fv_store_row list[] = {{"text_encoder", 0, 2, "[CLS]", "cls"},
                           {"text_encoder", 1, 7, failed ? "x" : colors[k], ""},
                           {"text_encoder", 2, 8, failed || k % 2 ? "cat" : "dog", ""},
                           {"text_encoder", 3, 3, "[SEP]", ""}};
    s.id = k + 1, s.name = name, s.status = failed ? "excluded" : "done", s.rows = list, s.nrows = (size_t)rows;
    s.group = failed ? "a" : group_of[k], s.correct_first = failed ? 1 : order_of[k];
    s.correct = failed || k != 4 ? "red" : "blue", s.incorrect = "blue";
    if (!failed && k != 4 && k != 3) s.correct = colors[k], s.incorrect = "white";
    fv_store_result result = {id, t};
    OK(fv_store_put(store, &s, &result, 1, ERR));
    fv_table_free(t);
  }
  return store;
}

/* The mean over draws and over the samples that `in` names. */
static double mean(const int *in, int l, int t, double scale, double minus) {
  double sum = 0.0;
  int n = 0;
  for (; *in >= 0; in++, n++) sum += scale * (made(*in, 0, l, t) + made(*in, 1, l, t)) / 2 - minus;
  return sum / n;
}

typedef struct expected {
  const char *group;
  int order, rows;
  int in[SAMPLES + 1]; /* ends with -1 */
  const char *second, *third;
} expected;

static void expect_maps(const fv_store *store, fv_maps_query q, const expected *e, size_t n) {
  static const double scale[] = {2, 1, -1, 1};
  fv_maps m;
  OK(fv_maps_read(store, &q, &m, ERR));
  assert_string_equal(m.stack, "text_encoder");
  assert_int_equal(m.count, n);
  for (size_t i = 0; i < n; i++) {
    const fv_mean_map *one = &m.list[i];
    int samples = 0;
    while (e[i].in[samples] >= 0) samples++;
    if (strcmp(one->group ? one->group : "", e[i].group ? e[i].group : "") != 0 || one->order != e[i].order ||
        one->rows != e[i].rows || one->samples != samples)
      fail_msg("map %zu: %s, order %d, %d rows, %d samples", i, one->group, (int)one->order, (int)one->rows,
               (int)one->samples);
    assert_int_equal(one->layers, LAYERS);
    for (int t = 0; t < one->rows; t++)
      for (int l = 0; l < LAYERS; l++) {
        double want = mean(e[i].in, l, t, scale[q.metric], q.metric == FV_HEADS_LOGIT_DIFF ? 0.25 : 0.0);
        if (fabs(one->values[t * LAYERS + l] - want) > 1e-6)
          fail_msg("map %zu, row %d, layer %d: %g, expected %g", i, t, l, one->values[t * LAYERS + l], want);
      }
    assert_string_equal(one->labels[0], "[CLS]");
    assert_string_equal(one->labels[1], e[i].second);
    assert_string_equal(one->labels[2], e[i].third);
  }
  fv_maps_release(&m);
}

/* Rows that were not patched are there, and empty, also behind the last one that was. */
static void test_some_rows(void **state) {
  (void)state;
  fv_store *store;
  fv_maps m;
  int64_t id;
  unlink(DB);
  OK(fv_store_open(DB, FV_STORE_CREATE, &store, ERR));
  OK(fv_store_sweep_add(store, &(fv_store_sweep){0, "states", "patch", "{}"}, &id, ERR));
  for (int k = 0; k < 2; k++) {
    fv_table *t;
    OK(fv_table_new(&t, ERR));
    fv_sink sink = fv_table_sink(t);
    for (int l = 0; l < LAYERS; l++) {
      fv_row r;
      fv_row_defaults(&r);
      r.stack = "text_encoder", r.site = "resid_post", r.layer = l, r.row = 1, r.prob = (float)(k + 10 * l);
      OK(sink.row(sink.user, &r, ERR));
    }
    fv_store_row list[4];
    for (int r = 0; r < 4; r++) list[r] = (fv_store_row){"text_encoder", r, r, r ? "cat" : "[CLS]", ""};
    fv_store_sample s;
    fv_store_sample_defaults(&s);
    s.id = k + 1, s.name = k ? "long" : "short", s.rows = list, s.nrows = k ? 4 : 3;
    OK(fv_store_put(store, &s, &(fv_store_result){id, t}, 1, ERR));
    fv_table_free(t);
  }
  OK(fv_maps_read(store, &(fv_maps_query){.metric = FV_HEADS_PROB}, &m, ERR));
  assert_int_equal(m.count, 2);
  for (int k = 0; k < 2; k++) {
    assert_true(m.list[k].rows == 3 + k && m.list[k].layers == LAYERS && m.list[k].samples == 1);
    for (int t = 0; t < 3 + k; t++)
      for (int l = 0; l < LAYERS; l++) {
        double v = m.list[k].values[t * LAYERS + l];
        assert_true(t == 1 ? v == k + 10 * l : isnan(v));
      }
    assert_string_equal(m.list[k].labels[2 + k], "cat");
  }
  fv_maps_release(&m);
  fv_store_close(store);
}

/* Rows where samples differ are called by what stands there, also where pieces mark the beginnings of words. */
static void test_marked_words(void **state) {
  (void)state;
  static const char *const words[2][4] = {{"\xE2\x96\x81is", "\xE2\x96\x81red",
                                           "\xE2\x96\x81"
                                           "blue",
                                           "it"},
                                          {"\xE2\x96\x81is", "\xE2\x96\x81Old", "new", "he"}};
  fv_store *store;
  fv_maps m;
  int64_t id;
  unlink(DB);
  OK(fv_store_open(DB, FV_STORE_CREATE, &store, ERR));
  OK(fv_store_sweep_add(store, &(fv_store_sweep){0, "states", "patch", "{}"}, &id, ERR));
  for (int k = 0; k < 2; k++) {
    fv_table *t;
    OK(fv_table_new(&t, ERR));
    fv_sink sink = fv_table_sink(t);
    fv_row r;
    fv_row_defaults(&r);
    r.stack = "language", r.site = "resid_post", r.layer = r.row = 0, r.prob = 0.5f;
    OK(sink.row(sink.user, &r, ERR));
    fv_store_row list[4];
    for (int i = 0; i < 4; i++) list[i] = (fv_store_row){"language", i, i, words[k][i], ""};
    fv_store_sample s;
    fv_store_sample_defaults(&s);
    s.id = k + 1, s.name = k ? "b" : "a", s.rows = list, s.nrows = 4;
    s.correct = k ? "old" : "red", s.incorrect = k ? "New" : "blue";
    OK(fv_store_put(store, &s, &(fv_store_result){id, t}, 1, ERR));
    fv_table_free(t);
  }
  OK(fv_maps_read(store, &(fv_maps_query){.metric = FV_HEADS_PROB}, &m, ERR));
  static const char *const labels[] = {"\xE2\x96\x81is", "<correct>", "<incorrect>", "<other>"};
  for (int i = 0; i < 4; i++) assert_string_equal(m.list[0].labels[i], labels[i]);
  fv_maps_release(&m);
  fv_store_close(store);
}

static void test_means(void **state) {
  (void)state;
  fv_store *store = make();
  static const expected all[] = {{NULL, -1, 3, {0, 1, 3, 4, -1}, "<other>", "<other>"},
                                 {NULL, -1, 4, {2, 5, -1}, "<correct>", "<other>"}};
  static const expected groups[] = {{"a", -1, 3, {0, 1, -1}, "<correct>", "<other>"},
                                    {"a", -1, 4, {2, -1}, "red", "dog"},
                                    {"b", -1, 3, {3, 4, -1}, "<other>", "<other>"},
                                    {NULL, -1, 4, {5, -1}, "blue", "cat"}};
  static const expected orders[] = {{"a", 1, 3, {0, -1}, "red", "dog"},  {"a", 1, 4, {2, -1}, "red", "dog"},
                                    {"a", 0, 3, {1, -1}, "blue", "cat"}, {"b", 1, 3, {3, -1}, "green", "cat"},
                                    {"b", 0, 3, {4, -1}, "red", "dog"},  {NULL, -1, 4, {5, -1}, "blue", "cat"}};
  static const expected only[] = {{NULL, -1, 3, {3, 4, -1}, "<other>", "<other>"}};
  for (int metric = 0; metric < 4; metric++) {
    if (metric == FV_HEADS_EFFECT) continue;
    fv_maps_query q = {.metric = (fv_heads_metric)metric};
    expect_maps(store, q, all, 2);
    q.by_group = true;
    expect_maps(store, q, groups, 4);
    q.by_order = true;
    expect_maps(store, q, orders, 6);
  }
  expect_maps(store, (fv_maps_query){.metric = FV_HEADS_PROB, .group = "b", .site = "text_encoder.*.resid_post"}, only,
              1);
  fv_maps m;
  fv_maps_query q = {.metric = FV_HEADS_EFFECT};
  OK(fv_maps_read(store, &q, &m, ERR));
  double want = mean((int[]){1, 3, 4, -1}, 1, 1, 1, 0); /* without the one that has no effect */
  assert_true(fabs(m.list[0].values[1 * LAYERS + 1] - want) < 1e-6);
  assert_true(isnan(m.list[0].values[2 * LAYERS + 1]));
  assert_int_equal(m.list[0].samples, 4);
  fv_maps_release(&m);
  /* Corrupted states in the clean run: changes are counted from there. */
  OK(fv_store_exec(store, "UPDATE sweeps SET spec = '{\"direction\":\"noise\"}'", ERR));
  for (int diff = 0; diff < 2; diff++) {
    q.metric = diff ? FV_HEADS_LOGIT_DIFF : FV_HEADS_P_DIFF;
    OK(fv_maps_read(store, &q, &m, ERR));
    assert_true(m.noise);
    want = mean((int[]){0, 1, 3, 4, -1}, 1, 2, diff ? 2 : 1, diff ? -1.0 : 0.75);
    assert_true(fabs(m.list[0].values[2 * LAYERS + 1] - want) < 1e-6);
    fv_maps_release(&m);
  }
  fv_store_close(store);
  unlink(DB);
}

static void test_errors(void **state) {
  (void)state;
  fv_store *store = make();
  fv_maps m;
  fv_maps_query q = {.group = "z"}, other = {.sweep = "other"}, all = {0};
  assert_int_equal(fv_maps_read(store, &q, &m, NULL), FV_ENOTFOUND);
  assert_int_equal(fv_maps_read(store, &other, &m, NULL), FV_ENOTFOUND);
  fv_maps_query apart[] = {{.by_group = true}, {.by_order = true}};
  OK(fv_store_exec(store, "UPDATE samples SET \"group\" = NULL, correct_first = NULL", ERR));
  for (int i = 0; i < 2; i++) assert_int_equal(fv_maps_read(store, &apart[i], &m, NULL), FV_ENOTFOUND);
  OK(fv_store_exec(store, "UPDATE cells SET row = 1 << 40 WHERE n = 3", ERR));
  assert_int_equal(fv_maps_read(store, &all, &m, NULL), FV_EFORMAT);
  OK(fv_store_exec(store, "UPDATE cells SET row = -2 WHERE n = 3", ERR));
  assert_int_equal(fv_maps_read(store, &all, &m, NULL), FV_EFORMAT);
  OK(fv_store_exec(store, "UPDATE cells SET head = 0", ERR));
  assert_int_equal(fv_maps_read(store, &all, &m, NULL), FV_ENOTFOUND);
  assert_null(m.list);
  fv_store_close(store);
  unlink(DB);
}

/* Rows of a picture are called by their places. */
static void test_places(void **state) {
  (void)state;
  static const struct {
    const char *stack;
    int rows;
    const char *labels[3]; /* of the rows 0, 1 and the last */
  } cases[] = {{"vision", 10, {"cls", "image[0,0]", "image[2,2]"}},
               {"projector", 9, {"image[0,0]", "image[0,1]", "image[2,2]"}},
               {"vision", 20, {"0", "1", "19"}}, /* of two pictures */
               {"text_decoder", 9, {"0", "1", "8"}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_store *store;
    fv_table *t;
    fv_maps m = {0};
    fv_store_result result;
    fv_store_sample s;
    fv_row r;
    unlink(DB);
    OK(fv_store_open(DB, FV_STORE_CREATE, &store, ERR));
    OK(fv_store_sweep_add(store, &(fv_store_sweep){0, "states", "patch", "{}"}, &result.sweep, ERR));
    OK(fv_table_new(&t, ERR));
    fv_sink sink = fv_table_sink(t);
    for (int k = 0; k < cases[i].rows; k++) {
      fv_row_defaults(&r);
      r.stack = cases[i].stack, r.site = "resid_post", r.layer = 0, r.row = k, r.op = "replace", r.prob = 0.5f;
      OK(sink.row(sink.user, &r, ERR));
    }
    fv_store_sample_defaults(&s);
    s.id = 1, s.name = "one", s.status = "done", result.table = t;
    OK(fv_store_put(store, &s, &result, 1, ERR));
    OK(fv_maps_read(store, &(fv_maps_query){.metric = FV_HEADS_PROB}, &m, ERR));
    assert_int_equal(m.list[0].rows, cases[i].rows);
    const int at[] = {0, 1, cases[i].rows - 1};
    for (int k = 0; k < 3; k++) assert_string_equal(m.list[0].labels[at[k]], cases[i].labels[k]);
    fv_maps_release(&m);
    fv_table_free(t);
    fv_store_close(store);
  }
  unlink(DB);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_some_rows), cmocka_unit_test(test_marked_words),
                                     cmocka_unit_test(test_means), cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_places)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
