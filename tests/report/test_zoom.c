/* Enlarged maps against scipy.ndimage.zoom: tools/reference/make_zoom.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "fovea/plot.h"
#include "support/vectors.h"

static double *matrix(const json_t *list, int64_t *rows, int64_t *cols) {
  *rows = (int64_t)json_array_size(list), *cols = (int64_t)json_array_size(json_array_get(list, 0));
  double *out = calloc((size_t)(*rows * *cols), sizeof *out);
  for (int64_t i = 0; i < *rows * *cols; i++)
    out[i] = json_number_value(json_array_get(json_array_get(list, (size_t)(i / *cols)), (size_t)(i % *cols)));
  return out;
}

static void near(double a, double b) {
  if (!(fabs(a - b) <= 1e-12)) fail_msg("%.17g, expected %.17g", a, b);
}

static void test_cubic(void **state) {
  (void)state;
  json_t *file;
  const json_t *one, *s;
  size_t i, k;
  OK(fv_json_load(FV_TEST_DATA "/report/zoom.json", 1 << 20, &file, ERR));
  const json_t *cases = json_object_get(file, "cases");
  assert_true(json_array_size(cases) >= 7);
  json_array_foreach(cases, i, one) {
    int64_t rows, cols, r, c;
    double *in = matrix(json_object_get(one, "in"), &rows, &cols), *all = NULL;
    const json_t *samples = json_object_get(one, "samples");
    if (samples)
      r = json_integer_value(json_object_get(one, "rows")), c = json_integer_value(json_object_get(one, "cols"));
    else
      all = matrix(json_object_get(one, "out"), &r, &c);
    double *out = calloc((size_t)(r * c), sizeof *out);
    OK(fv_zoom(in, rows, cols, FV_UPSAMPLE_CUBIC, out, r, c, ERR));
    for (int64_t j = 0; all && j < r * c; j++) near(out[j], all[j]);
    json_array_foreach(samples, k, s)
        near(out[json_integer_value(json_array_get(s, 0)) * c + json_integer_value(json_array_get(s, 1))],
             json_number_value(json_array_get(s, 2)));
    free(in), free(all), free(out);
  }
  json_decref(file);
}

/* Every pixel has the value of the patch in which its middle lies, and a factor of 1 changes nothing. */
static void test_nearest(void **state) {
  (void)state;
  double in[2 * 3] = {1, 2, 3, 4, 5, 6}, out[12 * 12];
  OK(fv_zoom(in, 2, 3, FV_UPSAMPLE_NEAREST, out, 12, 12, ERR));
  for (int r = 0; r < 12; r++)
    for (int c = 0; c < 12; c++) assert_true(out[r * 12 + c] == in[r / 6 * 3 + c / 4]);
  for (int how = 0; how < 2; how++) {
    OK(fv_zoom(in, 2, 3, (fv_upsample)how, out, 2, 3, ERR));
    for (int i = 0; i < 6; i++) assert_true(out[i] == in[i]);
  }
  assert_int_equal(fv_zoom(in, 0, 3, FV_UPSAMPLE_CUBIC, out, 2, 3, NULL), FV_EUSAGE);
  assert_int_equal(fv_zoom(in, 2, 3, FV_UPSAMPLE_CUBIC, out, 2, 1 << 20, NULL), FV_EUSAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cubic), cmocka_unit_test(test_nearest)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
