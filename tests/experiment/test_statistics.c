/* Statistics against numpy, scipy and statsmodels: tools/reference/make_statistics.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "fovea/statistics.h"
#include "support/vectors.h"

static json_t *file;

static int setup(void **state) {
  (void)state;
  return fv_json_load(FV_TEST_DATA "/experiment/statistics.json", 1 << 20, &file, NULL) != FV_OK;
}

static int teardown(void **state) {
  (void)state;
  json_decref(file);
  return 0;
}

static double *numbers(const json_t *list, int64_t *n) {
  *n = (int64_t)json_array_size(list);
  assert_true(*n > 0);
  double *out = calloc((size_t)*n, sizeof *out);
  for (int64_t i = 0; i < *n; i++) {
    const json_t *v = json_array_get(list, (size_t)i);
    out[i] = json_is_null(v) ? NAN : json_number_value(v);
  }
  return out;
}

static int64_t whole(const json_t *one, const char *key) {
  const json_t *v = json_object_get(one, key);
  assert_true(json_is_integer(v));
  return json_integer_value(v);
}

static double real(const json_t *one, const char *key) {
  const json_t *v = json_object_get(one, key);
  assert_true(json_is_number(v));
  return json_number_value(v);
}

static void near(double a, double b, double relative) {
  if (isnan(a) && isnan(b)) return;
  if (!(fabs(a - b) <= relative * fabs(b) + 1e-300)) fail_msg("%.17g, expected %.17g", a, b);
}

static const json_t *cases(const char *name) {
  const json_t *list = json_object_get(file, name);
  assert_true(json_array_size(list) > 2);
  return list;
}

static void test_quantile(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  json_array_foreach(cases("quantile"), i, one) {
    int64_t n, m;
    double *x = numbers(json_object_get(one, "values"), &n), *q = numbers(json_object_get(one, "q"), &m);
    for (int64_t k = 0; k < m; k++)
      near(fv_quantile(x, n, q[k]), json_number_value(json_array_get(json_object_get(one, "is"), (size_t)k)), 1e-15);
    free(x), free(q);
  }
}

static void test_bootstrap(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  json_array_foreach(cases("bootstrap"), i, one) {
    int64_t n, columns = whole(one, "columns"), samples = whole(one, "samples");
    double *x = numbers(json_object_get(one, "values"), &n), *low = numbers(json_object_get(one, "low"), &n),
           *high = numbers(json_object_get(one, "high"), &n);
    double *a = calloc((size_t)columns, sizeof *a), *b = calloc((size_t)columns, sizeof *b);
    OK(fv_bootstrap_means(x, samples, columns, whole(one, "resamples"), real(one, "level"), whole(one, "seed"), a, b,
                          ERR));
    assert_int_equal(n, columns);
    for (int64_t k = 0; k < columns; k++) near(a[k], low[k], 1e-13), near(b[k], high[k], 1e-13);
    free(x), free(low), free(high), free(a), free(b);
  }
  double x = 1, low, high;
  assert_int_equal(fv_bootstrap_means(&x, 0, 1, 10, 0.95, 0, &low, &high, NULL), FV_EUSAGE);
  assert_int_equal(fv_bootstrap_means(&x, 1, 1, 0, 0.95, 0, &low, &high, NULL), FV_EUSAGE);
  assert_int_equal(fv_bootstrap_means(&x, 1, 1, 10, 1.0, 0, &low, &high, NULL), FV_EUSAGE);
  assert_int_equal(fv_bootstrap_means(&x, 1, 1, 10, 0.95, -1, &low, &high, NULL), FV_EUSAGE);
}

/* Neither the columns beside it nor values that they miss change a column's interval. */
static void test_bootstrap_beside(void **state) {
  (void)state;
  enum { SAMPLES = 37, COLUMNS = 300 };
  static double x[SAMPLES * COLUMNS], one[SAMPLES], low[COLUMNS], high[COLUMNS];
  for (int s = 0; s < SAMPLES; s++) {
    one[s] = fabs(sin(1.0 + s)) / 3.0;
    for (int j = 0; j < COLUMNS; j++) x[s * COLUMNS + j] = one[s];
  }
  double a, b;
  OK(fv_bootstrap_means(one, SAMPLES, 1, 200, 0.9, 3, &a, &b, ERR));
  assert_true(a < b);
  for (int missing = 0; missing < 2; missing++) {
    if (missing) x[5 * COLUMNS + 2] = NAN;
    OK(fv_bootstrap_means(x, SAMPLES, COLUMNS, 200, 0.9, 3, low, high, ERR));
    for (int j = 0; j < COLUMNS; j++) {
      bool own = missing && j == 2;
      if ((low[j] != a || high[j] != b) != own)
        fail_msg("column %d: %.17g to %.17g, not %.17g to %.17g", j, low[j], high[j], a, b);
    }
  }
}

static void test_sign_flips(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  double p;
  bool exact;
  json_array_foreach(cases("flips"), i, one) {
    int64_t n;
    double *x = numbers(json_object_get(one, "values"), &n);
    OK(fv_sign_flip_test(x, n, whole(one, "permutations"), whole(one, "seed"), &p, &exact, ERR));
    near(p, real(one, "p"), 1e-14);
    assert_int_equal(exact, json_is_true(json_object_get(one, "exact")));
    free(x);
  }
  double x[] = {2.5, NAN};
  OK(fv_sign_flip_test(x, 1, 10, 0, &p, &exact, ERR));
  assert_true(p == 1.0 && exact);
  OK(fv_sign_flip_test(x, 0, 10, 0, &p, &exact, ERR));
  assert_true(isnan(p));
  assert_int_equal(fv_sign_flip_test(x, 2, 10, 0, &p, &exact, NULL), FV_EUSAGE);
  assert_int_equal(fv_sign_flip_test(x, 1, 0, 0, &p, &exact, NULL), FV_EUSAGE);
  assert_int_equal(fv_sign_flip_test(x, 1, 10, INT64_C(1) << 32, &p, &exact, NULL), FV_EUSAGE);
}

static void test_sign(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  json_array_foreach(cases("sign"), i, one) {
    int64_t up = whole(one, "up"), down = whole(one, "down"), zero = whole(one, "zero"), n = 0;
    double *x = calloc((size_t)(up + down + zero + 1), sizeof *x);
    for (int64_t k = 0; k < up; k++) x[n++] = 0.5 + (double)k;
    for (int64_t k = 0; k < zero; k++) x[n++] = 0.0;
    for (int64_t k = 0; k < down; k++) x[n++] = -3.0;
    x[n++] = NAN;
    near(fv_sign_test(x, n), real(one, "p"), 1e-11);
    free(x);
  }
}

static void test_wilson(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  json_array_foreach(cases("wilson"), i, one) {
    double low, high;
    fv_wilson_interval(real(one, "share"), whole(one, "n"), &low, &high);
    assert_true(fabs(low - real(one, "low")) < 1e-14 && fabs(high - real(one, "high")) < 1e-14);
  }
  for (int64_t n = 1; n < 500; n++) { /* none and all end at 0 and 1, not beside them */
    double low, high;
    fv_wilson_interval(0.0, n, &low, &high);
    assert_true(low == 0.0 && high > 0.0 && high < 1.0);
    fv_wilson_interval(1.0, n, &low, &high);
    assert_true(high == 1.0 && low > 0.0 && low < 1.0);
  }
}

static void test_fdr(void **state) {
  (void)state;
  const json_t *one;
  size_t i;
  json_array_foreach(cases("fdr"), i, one) {
    int64_t n, m;
    double *p = numbers(json_object_get(one, "p"), &n), *q = numbers(json_object_get(one, "q"), &m);
    OK(fv_fdr(p, n, p, ERR));
    assert_int_equal(n, m);
    for (int64_t k = 0; k < n; k++) near(p[k], q[k], 1e-15);
    free(p), free(q);
  }
  double bad[] = {0.5, 1.5};
  assert_int_equal(fv_fdr(bad, 2, bad, NULL), FV_EUSAGE);
}

static void test_overlap(void **state) {
  (void)state;
  const json_t *one, *size;
  size_t i, k;
  json_array_foreach(cases("overlap"), i, one) {
    int64_t sizes[8];
    double p, expected, product = (double)whole(one, "population");
    json_array_foreach(json_object_get(one, "sizes"), k, size) {
      sizes[k] = json_integer_value(size);
      product *= (double)sizes[k] / (double)whole(one, "population");
    }
    OK(fv_overlap_chance(whole(one, "population"), json_array_size(json_object_get(one, "sizes")), sizes,
                         whole(one, "overlap"), &p, &expected, ERR));
    near(p, real(one, "p"), 1e-10);
    near(expected, product, 1e-14);
  }
  int64_t sizes[] = {5, 11};
  double p, expected;
  assert_int_equal(fv_overlap_chance(10, 2, sizes, 1, &p, &expected, NULL), FV_EUSAGE);
  assert_int_equal(fv_overlap_chance(10, 0, sizes, 1, &p, &expected, NULL), FV_EUSAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_quantile),   cmocka_unit_test(test_bootstrap), cmocka_unit_test(test_bootstrap_beside),
      cmocka_unit_test(test_sign_flips), cmocka_unit_test(test_sign),      cmocka_unit_test(test_fdr),
      cmocka_unit_test(test_wilson),     cmocka_unit_test(test_overlap),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
