/* Heads of a study: which numbers are read from a made-up database, and the circuit of a planted one. */
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

#include "fovea/heads.h"
#include "study/store_inside.h"
#include "support/planted_study.h"
#include "support/vectors.h"

enum { LAYERS = 2, HEADS = 3, ROWS = 4, SAMPLES = 3 };
static const char *const DB = "test_heads.db";

/* The logit difference of a patched run; where the corrupted run's is `low`. */
static double made(int sample, int draw, int layer, int head, int row) {
  return sample + 10 * layer + 0.25 * head + (row == sample + 1 ? 3 : 0) * (head == 2 ? -1 : 1) - 0.5 * draw;
}

/* `other`: the runs follow another answer than the sample's own. */
static void fill(fv_table *t, int sample, bool other) {
  fv_sink sink = fv_table_sink(t);
  for (int draw = 0; draw < 2; draw++)
    for (int l = 0; l < LAYERS; l++)
      for (int row = 0; row < ROWS; row++)
        for (int h = 0; h < HEADS; h++) {
          fv_row r;
          fv_row_defaults(&r);
          r.draw = draw, r.corrupt = "gray", r.stack = "text_encoder", r.site = "cross.z", r.layer = l, r.row = row;
          r.head = h, r.op = "replace";
          r.answer = other ? "a" : "shirt", r.answer_id = other ? 7 : 9;
          r.logit_diff = (float)made(sample, draw, l, h, row), r.corrupt_logit_diff = 0.5f, r.clean_logit_diff = -1.0f;
          r.effect = l == 1 && h == 1 ? NAN : 0.125f * (float)row, r.prob = 0.5f, r.p_diff = -0.25f;
          r.clean_prob = 0.875f, r.corrupt_prob = 0.75f;
          OK(sink.row(sink.user, &r, ERR));
        }
}

static fv_store *make(void) {
  static const fv_store_row rows[][ROWS] = {{{"text_encoder", 0, 2, "[CLS]", "cls"},
                                             {"text_encoder", 1, 7, "a", ""},
                                             {"text_encoder", 2, 8, "tshirts", ""},
                                             {"text_encoder", 3, 3, "[SEP]", ""}}};
  static const char *const groups[] = {"x", "y", "x"};
  fv_store *store;
  unlink(DB);
  OK(fv_store_open(DB, FV_STORE_CREATE, &store, ERR));
  int64_t ids[3];
  static const char *const names[] = {"one", "two", "none"};
  for (int i = 0; i < 3; i++) {
    fv_store_sweep sweep = {0, names[i], "patch", i == 1 ? "{\"direction\":\"noise\"}" : "{\"direction\":\"denoise\"}"};
    OK(fv_store_sweep_add(store, &sweep, &ids[i], ERR));
  }
  for (int k = 0; k < SAMPLES + 1; k++) {
    fv_store_sample s;
    fv_table *t[2];
    char name[16];
    snprintf(name, sizeof name, "s%d", k);
    fv_store_sample_defaults(&s);
    s.id = k + 1, s.name = name, s.group = k < SAMPLES ? groups[k] : "x", s.status = k < SAMPLES ? "done" : "excluded";
    s.correct_id = 9, s.answer_row = k == 1 ? -1 : k + 1;
    s.rows = rows[0], s.nrows = ROWS;
    for (int i = 0; i < 2; i++) {
      OK(fv_table_new(&t[i], ERR));
      fill(t[i], k, i == 1);
    }
    fv_store_result results[] = {{ids[1], t[1]}, {ids[0], t[0]}};
    OK(fv_store_put(store, &s, results, 2, ERR));
    fv_table_free(t[0]), fv_table_free(t[1]);
  }
  return store;
}

static void near(double a, double b) {
  if (isnan(a) && isnan(b)) return;
  if (!(fabs(a - b) < 1e-6)) fail_msg("%.9g, expected %.9g", a, b);
}

/* The mean of both draws at one row; low: of the run that is patched. */
static double at_row(int sample, int layer, int head, int row, double low) {
  return (made(sample, 0, layer, head, row) + made(sample, 1, layer, head, row)) / 2 - low;
}

static void test_numbers(void **state) {
  (void)state;
  fv_store *store = make();
  static const struct {
    fv_heads_query q;
    double low;
    int row[SAMPLES]; /* -1: no such row, the sample is dropped; -2: the largest magnitude */
  } cases[] = {
      {{.sweep = "one"}, 0.5, {-2, -2, -2}},
      {{.sweep = "one", .site = "text_encoder.*.cross.z", .rows = "max"}, 0.5, {-2, -2, -2}},
      {{.sweep = "one", .site = "text_encoder.0-1.cross.z", .rows = "answer"}, 0.5, {1, -1, 3}},
      {{.sweep = "two", .site = "text_encoder.cross.z", .rows = "answer"}, -1.0, {1, -1, 3}},
      {{.sweep = "one", .rows = "answer", .row_offset = -1}, 0.5, {0, -1, 2}},
      {{.sweep = "one", .rows = "answer", .row_offset = 2}, 0.5, {3, -1, -1}},
      {{.sweep = "one", .rows = "answer", .substring = true}, 0.5, {2, 2, 2}},
      {{.sweep = "one", .rows = "answer", .substring = true, .row_offset = -1}, 0.5, {1, 1, 1}},
      {{.sweep = "one", .rows = "2"}, 0.5, {2, 2, 2}},
      {{.sweep = "one", .rows = "-1"}, 0.5, {3, 3, 3}},
      {{.sweep = "one", .rows = "\"a\""}, 0.5, {1, 1, 1}},
      {{.sweep = "one", .rows = "cls"}, 0.5, {0, 0, 0}},
      {{.sweep = "one", .rows = "2", .group = "x"}, 0.5, {2, -3, 2}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_heads h;
    OK(fv_heads_read(store, &cases[i].q, &h, ERR));
    assert_int_equal(h.layers, LAYERS);
    assert_int_equal(h.heads, HEADS);
    assert_string_equal(h.stack, "text_encoder");
    assert_string_equal(h.site, "cross.z");
    assert_int_equal(h.noise, strcmp(h.sweep, "two") == 0);
    int64_t s = 0, dropped = 0;
    for (int k = 0; k < SAMPLES; k++) {
      dropped += cases[i].row[k] == -1;
      if (cases[i].row[k] == -1 || cases[i].row[k] == -3) continue;
      char name[16];
      snprintf(name, sizeof name, "s%d", k);
      assert_true(s < h.samples);
      assert_string_equal(h.names[s], name);
      for (int l = 0; l < LAYERS; l++)
        for (int n = 0; n < HEADS; n++) {
          double want = at_row(k, l, n, cases[i].row[k] < 0 ? 0 : cases[i].row[k], cases[i].low);
          for (int row = 0; row < ROWS && cases[i].row[k] == -2; row++)
            if (fabs(at_row(k, l, n, row, cases[i].low)) > fabs(want)) want = at_row(k, l, n, row, cases[i].low);
          near(h.values[(s * LAYERS + l) * HEADS + n], want);
        }
      s++;
    }
    assert_int_equal(h.samples, s);
    assert_int_equal(h.dropped, dropped);
    if (dropped) assert_string_equal(h.first_dropped, cases[i].row[1] == -1 ? "s1" : "s2");
    fv_heads_release(&h);
  }
  fv_heads h, x;
  fv_heads_query q = {.sweep = "one", .metric = FV_HEADS_EFFECT, .rows = "2"};
  OK(fv_heads_read(store, &q, &h, ERR));
  near(h.values[0], 0.25), near(h.values[4], NAN);
  OK(fv_heads_of_group(&h, "x", &x, ERR));
  assert_int_equal(x.samples, 2);
  assert_string_equal(x.names[1], "s2");
  fv_heads_release(&h), fv_heads_release(&x);
  /* A sample without any number is one of missing values, which an average may count as 0. */
  OK(fv_store_exec(store,
                   "UPDATE cells SET effect = NULL WHERE base_id IN (SELECT id FROM bases WHERE sample_id ="
                   " (SELECT id FROM samples WHERE name = 's1'))",
                   ERR));
  OK(fv_heads_read(store, &q, &h, ERR));
  assert_int_equal(h.samples, SAMPLES);
  assert_int_equal(h.dropped, 0);
  for (int i = 0; i < LAYERS * HEADS; i++) near(h.values[LAYERS * HEADS + i], NAN);
  fv_circuit_options o;
  fv_circuit c;
  fv_circuit_defaults(&o);
  for (int zero = 0; zero < 2; zero++) {
    o.nan_zero = zero;
    OK(fv_circuit_find(h.values, h.samples, h.layers, h.heads, &o, &c, ERR));
    near(c.list[0].importance, zero ? 2 * 0.25 / 3 : 0.25);
    assert_int_equal(c.list[0].samples, zero ? 3 : 2);
    fv_circuit_release(&c);
  }
  fv_heads_release(&h);
  q.metric = FV_HEADS_P_DIFF;
  OK(fv_heads_read(store, &q, &h, ERR));
  near(h.values[1], -0.25);
  fv_heads_release(&h);
  q.sweep = "two"; /* corrupted states in the clean run: the change is counted from there */
  OK(fv_heads_read(store, &q, &h, ERR));
  near(h.values[1], 0.5 - 0.875);
  fv_heads_release(&h);
  fv_store_close(store);
  unlink(DB);
}

static void test_errors(void **state) {
  (void)state;
  fv_store *store = make();
  static const struct {
    fv_heads_query q;
    fv_status status;
    const char *says;
  } cases[] = {
      {{.rows = "max"}, FV_EUSAGE, "one text_encoder.cross.z, two text_encoder.cross.z"},
      {{.sweep = "none"}, FV_ENOTFOUND, "there are: one"},
      {{.sweep = "one", .site = "vision.attn.z"}, FV_ENOTFOUND, "at vision.attn.z"},
      {{.sweep = "one", .rows = "nothing"}, FV_ENOTFOUND, "nothing"},
      {{.sweep = "one", .group = "z"}, FV_ENOTFOUND, "group z"},
      {{.sweep = "one", .rows = "9"}, FV_ENOTFOUND, "row 9"},
      {{.sweep = "one", .row_offset = 1}, FV_EUSAGE, "answer"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_heads h;
    fv_error err = {0};
    fv_status st = fv_heads_read(store, &cases[i].q, &h, &err);
    if (st != cases[i].status || !strstr(err.text, cases[i].says)) fail_msg("case %zu: %d, %s", i, st, err.text);
    assert_null(h.values);
  }
  /* Numbers that a file may hold and a study cannot. */
  fv_heads h;
  fv_heads_query q = {.sweep = "one"};
  OK(fv_store_exec(store, "UPDATE cells SET head = 1 << 40 WHERE n = 3", ERR));
  assert_int_equal(fv_heads_read(store, &q, &h, NULL), FV_EFORMAT);
  OK(fv_store_exec(store, "UPDATE cells SET head = -1 WHERE n = 3", ERR));
  assert_int_equal(fv_heads_read(store, &q, &h, NULL), FV_EFORMAT);
  OK(fv_store_exec(store, "UPDATE cells SET head = NULL", ERR));
  assert_int_equal(fv_heads_read(store, &q, &h, NULL), FV_ENOTFOUND);
  fv_store_close(store);
  unlink(DB);
}

/* The planted head is the whole circuit at every place and in both directions; with shuffled answers there is none.
 * Switched off, it takes all right answers away, and other heads none. */
/* Two heads that do nothing, against ten pairs of others: those with the planted head, L1H2, are where NumPy's stream
 * puts them, and as low is counted with lower. */
static void confirm_other_heads(const fv_model *model, fv_store *store, const fv_heads_confirm_options *like) {
  static const bool planted[10] = {true, false, false, true, false, false, false, false, false, true};
  const int64_t idle[] = {0, 0, 0, 1};
  fv_heads_confirm_options o = *like;
  fv_heads_confirmed r;
  o.heads = idle, o.n = 2, o.random = 10, o.name = "idle";
  OK(fv_heads_confirm(model, store, &o, NULL, &r, ERR));
  assert_int_equal(r.sets, 10);
  for (int i = 0; i < 10; i++) assert_true(planted[i] ? r.set_share[i] <= 0.5 : r.set_share[i] == 1.0);
  assert_true(r.circuit.value == 1.0 && r.p == 1.0 && r.random.value < 1.0);
  fv_heads_confirmed_release(&r);
  OK(fv_store_exec(store, "DELETE FROM checks WHERE name = 'idle'", ERR));
}

static void test_planted(void **state) {
  (void)state;
  static const int places[][2] = {{1, 2}, {2, 0}, {0, 1}};
  enum { N = 16 };
  for (int i = 0; i < 3; i++)
    for (int way = 0; way < 3; way++) {
      bool shuffled = way == 1, noise = way == 2;
      tiny_blip b;
      fv_store *store;
      fv_heads h;
      fv_circuit c;
      fv_heads_query q = {0};
      fv_circuit_options o;
      planted_blip_new(places[i][0], places[i][1], &b);
      planted_study_new(&b, DB, N, shuffled, noise);
      OK(fv_store_open(DB, FV_STORE_WRITE, &store, ERR));
      fv_circuit_defaults(&o);
      OK(fv_heads_read(store, &q, &h, ERR));
      assert_int_equal(h.samples, N);
      assert_int_equal(h.noise, noise);
      OK(fv_circuit_find(h.values, h.samples, h.layers, h.heads, &o, &c, ERR));
      assert_int_equal(c.size, !shuffled);
      int64_t planted = places[i][0] * c.heads + places[i][1];
      assert_int_equal(c.list[planted].in_circuit, !shuffled);
      for (int64_t k = 0; k < c.layers * c.heads; k++)
        if (k != planted) assert_true(c.list[k].importance == 0.0);
      for (int zero = 0; zero < 2 && way == 0 && i == 0; zero++) {
        fv_model *model;
        fv_heads_confirm_options p;
        fv_heads_confirmed r;
        int64_t heads[] = {places[i][0], places[i][1]}, n;
        OK(fv_model_open(b.dir, NULL, &model, ERR));
        fv_heads_confirm_defaults(&p);
        p.stack = "text_encoder", p.site = "cross.z", p.sweep = "heads", p.heads = heads, p.n = 1, p.zero = zero;
        for (int again = 0; again < 2; again++) {
          OK(fv_heads_confirm(model, store, &p, NULL, &r, ERR));
          assert_int_equal(r.samples, N);
          assert_true(r.clean.value == 1.0 && r.random.value == 1.0 && r.random.high == 1.0 && r.random.low > 0.8 &&
                      r.random.low < 0.81);
          assert_true(zero ? r.circuit.value == 0.0 : r.circuit.value <= 0.5);
          assert_int_equal(r.sets, h.layers * h.heads - 1); /* each other head once, though 20 are asked for */
          assert_true(r.p == 1.0 / (double)(h.layers * h.heads));
          fv_heads_confirmed_release(&r);
        }
        OK(fv_store_integer(store, "SELECT count(*) FROM checks", &n, ERR)); /* a repetition replaces */
        assert_int_equal(n, zero ? 8 : 4);
        OK(fv_store_integer(store, "SELECT count(*) FROM checks WHERE what = 'accuracy' AND value = 1 AND n = 16", &n,
                            ERR));
        assert_int_equal(n, zero ? 2 : 1);
        OK(fv_store_integer(store,
                            "SELECT count(*) FROM checks WHERE what = 'p against random heads' AND value = 1.0 / 9"
                            " AND n = 8 AND low IS NULL AND high IS NULL",
                            &n, ERR));
        assert_int_equal(n, zero ? 2 : 1);
        confirm_other_heads(model, store, &p);
        heads[1] = 7;
        assert_int_equal(fv_heads_confirm(model, store, &p, NULL, &r, NULL), FV_ENOTFOUND);
        heads[1] = 2, p.site = "cross.out";
        assert_int_equal(fv_heads_confirm(model, store, &p, NULL, &r, NULL), FV_EUSAGE);
        fv_model_close(model);
      }
      fv_circuit_release(&c);
      fv_heads_release(&h);
      fv_store_close(store);
      planted_study_remove(DB, N);
      tiny_blip_release(&b);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_planted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
