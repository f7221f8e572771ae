/* Circuits of arrays against numpy, and what must hold of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/random.h"
#include "fovea/circuit.h"
#include "support/vectors.h"

static void near(double a, double b) {
  if (isnan(a) && isnan(b)) return;
  if (!(fabs(a - b) <= 1e-14 * fabs(b) + 1e-15)) fail_msg("%.17g, expected %.17g", a, b);
}

static double number(const json_t *list, size_t i) {
  const json_t *v = json_array_get(list, i);
  return json_is_null(v) ? NAN : json_number_value(v);
}

/* Importance, threshold and circuit are numpy's, with missing values left out and counted as 0. */
static void test_reference(void **state) {
  (void)state;
  json_t *file;
  OK(fv_json_load(FV_TEST_DATA "/experiment/statistics.json", 1 << 20, &file, ERR));
  const json_t *one = json_object_get(file, "heads"), *list = json_object_get(one, "values");
  int64_t samples = json_integer_value(json_object_get(one, "samples")),
          layers = json_integer_value(json_object_get(one, "layers")),
          heads = json_integer_value(json_object_get(one, "heads"));
  size_t n = json_array_size(list);
  assert_int_equal(n, samples * layers * heads);
  double *x = calloc(n, sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = number(list, i);
  x[n - 1] = INFINITY; /* no more a value than NaN, which is there */
  for (int zero = 0; zero < 2; zero++) {
    const json_t *expected = json_object_get(one, zero ? "nan_zero" : "excluded");
    fv_circuit_options o;
    fv_circuit c;
    fv_circuit_defaults(&o);
    o.nan_zero = zero, o.bootstrap = 200, o.test = FV_TEST_NONE;
    OK(fv_circuit_find(x, samples, layers, heads, &o, &c, ERR));
    near(c.mean, json_number_value(json_object_get(expected, "mean")));
    near(c.sd, json_number_value(json_object_get(expected, "sd")));
    near(c.threshold, json_number_value(json_object_get(expected, "threshold")));
    const json_t *circuit = json_object_get(expected, "circuit");
    assert_int_equal(c.size, json_array_size(circuit));
    for (size_t i = 0; i < json_array_size(circuit); i++)
      assert_true(c.list[json_integer_value(json_array_get(circuit, i))].in_circuit);
    for (int64_t i = 0; i < layers * heads; i++) {
      near(c.list[i].importance, number(json_object_get(expected, "importance"), (size_t)i));
      if (!zero) near(c.list[i].mean, number(json_object_get(one, "signed_mean"), (size_t)i));
      assert_int_equal(c.list[i].layer * heads + c.list[i].head, i);
      if (c.list[i].samples) assert_true(c.list[i].low <= c.list[i].importance);
      if (c.list[i].samples) assert_true(c.list[i].high >= c.list[i].importance);
    }
    assert_int_equal(c.excluded, zero ? 0 : 2);
    assert_int_equal(c.measured, zero ? 12 : 11);
    fv_circuit_release(&c);
  }
  free(x);
  json_decref(file);
}

/* Noise everywhere, and one head that pushes one way: it alone is the circuit. A head that pushes as strongly, but to
 * either side, is above the threshold and not significant. */
static void test_direction(void **state) {
  (void)state;
  enum { S = 40, L = 6, H = 8, PUSHES = 21, WAVERS = 30 };
  static double x[S][L * H];
  fv_rng rng;
  fv_rng_torch(&rng, 3);
  for (int s = 0; s < S; s++)
    for (int i = 0; i < L * H; i++) x[s][i] = fv_rng_double(&rng) - 0.5;
  for (int s = 0; s < S; s++) x[s][PUSHES] += 4.0, x[s][WAVERS] += s % 2 ? 4.0 : -4.0;
  static const fv_circuit_test tests[] = {FV_TEST_PERMUTATION, FV_TEST_SIGN};
  for (int t = 0; t < 2; t++) {
    fv_circuit_options o;
    fv_circuit c;
    fv_circuit_defaults(&o);
    o.bootstrap = 0, o.test = tests[t];
    OK(fv_circuit_find(x[0], S, L, H, &o, &c, ERR));
    assert_int_equal(c.size, 1);
    assert_true(c.list[PUSHES].in_circuit);
    assert_true(c.list[WAVERS].above && !c.list[WAVERS].significant);
    assert_true(!c.exact && isnan(c.list[PUSHES].low));
    near(c.profile[PUSHES / H] * H - c.list[PUSHES].importance,
         c.list[16].importance + c.list[17].importance + c.list[18].importance + c.list[19].importance +
             c.list[20].importance + c.list[22].importance + c.list[23].importance);
    o.test = FV_TEST_NONE;
    fv_circuit_release(&c);
    OK(fv_circuit_find(x[0], S, L, H, &o, &c, ERR));
    assert_int_equal(c.size, 2);
    fv_circuit_release(&c);
  }
  fv_circuit_options o;
  fv_circuit c;
  fv_circuit_defaults(&o);
  OK(fv_circuit_find(x[0], 3, L, H, &o, &c, ERR)); /* 3 samples: p is at least 1/4 */
  assert_true(c.exact && c.size == 0 && c.list[PUSHES].above);
  near(c.list[PUSHES].p, 0.25);
  fv_circuit_release(&c);
}

/* Of 1200 heads one matters: p must be able to become small enough. */
static void test_many_heads(void **state) {
  (void)state;
  enum { S = 20, L = 30, H = 40 };
  double *x = calloc((size_t)S * L * H, sizeof *x);
  fv_rng rng;
  fv_rng_torch(&rng, 5);
  for (int i = 0; i < S * L * H; i++) x[i] = fv_rng_double(&rng) - 0.5;
  for (int s = 0; s < S; s++) x[s * L * H + 700] += 3.0;
  fv_circuit_options o;
  fv_circuit c;
  fv_circuit_defaults(&o);
  o.bootstrap = 0;
  OK(fv_circuit_find(x, S, L, H, &o, &c, ERR));
  assert_true(c.size == 1 && c.list[700].in_circuit);
  fv_circuit_release(&c);
  o.permutations = 10000;
  OK(fv_circuit_find(x, S, L, H, &o, &c, ERR));
  assert_int_equal(c.size, 0);
  fv_circuit_release(&c);
  free(x);
}

/* What is decided at the edge: a head on the threshold is above it, a head without a value is in no mean, and the test
 * is exact only where it is for every head. */
static void test_edges(void **state) {
  (void)state;
  enum { S = 20 };
  fv_circuit_options o;
  fv_circuit c;
  fv_circuit_defaults(&o);
  o.bootstrap = 0, o.test = FV_TEST_NONE;
  const double equal[2][4] = {{1.5, -1.5, 1.5, 1.5}, {-1.5, 1.5, 1.5, -1.5}};
  OK(fv_circuit_find(equal[0], 2, 2, 2, &o, &c, ERR));
  assert_true(c.sd == 0.0 && c.threshold == 1.5 && c.size == 4);
  fv_circuit_release(&c);

  const double lacking[2][4] = {{3.0, NAN, NAN, NAN}, {1.0, NAN, -4.0, NAN}};
  OK(fv_circuit_find(lacking[0], 2, 2, 2, &o, &c, ERR));
  assert_true(c.measured == 2 && c.mean == 3.0 && c.sd == 1.0 && c.profile[0] == 2.0 && c.profile[1] == 4.0);
  assert_int_equal(c.excluded, 1);
  assert_false(c.list[1].above || c.list[3].above);
  fv_circuit_release(&c);

  double unequal[S][2];
  for (int s = 0; s < S; s++) unequal[s][0] = s + 1.0, unequal[s][1] = s < 3 ? 1.0 : NAN;
  o.test = FV_TEST_PERMUTATION, o.permutations = 1000;
  OK(fv_circuit_find(unequal[0], S, 1, 2, &o, &c, ERR));
  assert_true(!c.exact && c.list[1].p == 0.25);
  fv_circuit_release(&c);
  o.permutations = 0; /* so many as are usual, of which none goes as far */
  OK(fv_circuit_find(unequal[0], S, 1, 2, &o, &c, ERR));
  assert_true(c.list[0].p == 1.0 / 10001.0);
  fv_circuit_release(&c);
}

static void test_common(void **state) {
  (void)state;
  enum { L = 3, H = 4, N = L * H };
  static const int in[3][4] = {{1, 5, 7, 11}, {5, 7, 9, 11}, {0, 5, 11, -1}};
  fv_head_score heads[3][N] = {0};
  fv_circuit circuits[3];
  bool common[N];
  fv_universal u;
  for (int k = 0; k < 3; k++) {
    circuits[k] = (fv_circuit){.layers = L, .heads = H, .list = heads[k]};
    for (int i = 0; i < N; i++) heads[k][i].samples = 5;
    for (int i = 0; i < 4 && in[k][i] >= 0; i++) heads[k][in[k][i]].in_circuit = true;
  }
  OK(fv_circuit_common(2, circuits, common, &u, ERR));
  assert_int_equal(u.count, 3);
  assert_int_equal(u.population, N);
  near(u.expected, 16.0 / 12);
  near(u.p, (4.0 * 8 + 1) / 495); /* (C(4,3) C(8,1) + C(4,4)) / C(12,4) */
  for (int i = 0; i < N; i++) assert_int_equal(common[i], i == 5 || i == 7 || i == 11);
  OK(fv_circuit_common(3, circuits, common, &u, ERR));
  assert_int_equal(u.count, 2);
  heads[2][5].samples = 0; /* not measured there: not counted anywhere */
  OK(fv_circuit_common(3, circuits, common, &u, ERR));
  assert_int_equal(u.count, 1);
  assert_int_equal(u.population, N - 1);
  near(u.expected, 3.0 * 3 * 2 / (11.0 * 11));
  circuits[1].heads = 3;
  assert_int_equal(fv_circuit_common(2, circuits, common, &u, NULL), FV_ESHAPE);
}

static void test_errors(void **state) {
  (void)state;
  double x[] = {NAN, NAN}, y[] = {1, 2};
  fv_circuit_options o;
  fv_circuit c;
  fv_circuit_defaults(&o);
  assert_int_equal(fv_circuit_find(x, 1, 1, 2, &o, &c, NULL), FV_ENOTFOUND);
  assert_int_equal(fv_circuit_find(y, 0, 1, 2, &o, &c, NULL), FV_EUSAGE);
  assert_int_equal(fv_circuit_find(y, 1, INT64_MAX, 2, &o, &c, NULL), FV_EUSAGE);
  o.fdr = 0;
  assert_int_equal(fv_circuit_find(y, 1, 1, 2, &o, &c, NULL), FV_EUSAGE);
  o.fdr = 0.05, o.seed = -4;
  assert_int_equal(fv_circuit_find(y, 1, 1, 2, &o, &c, NULL), FV_EUSAGE);
  o.seed = 0, o.threshold = NAN;
  assert_int_equal(fv_circuit_find(y, 1, 1, 2, &o, &c, NULL), FV_EUSAGE);
  assert_null(c.list);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference),  cmocka_unit_test(test_direction),
                                     cmocka_unit_test(test_many_heads), cmocka_unit_test(test_edges),
                                     cmocka_unit_test(test_common),     cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
