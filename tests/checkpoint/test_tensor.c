/* Widening to float32: every bit pattern of f16 and bf16 against arithmetic with ldexp, and the refusals. */
#include <float.h>
#include <math.h>

#include "checkpoint/craft.h"

/* The value of an IEEE number with the given field widths, by its definition. */
static double decode(uint32_t bits, int exponent_bits, int fraction_bits) {
  uint32_t fraction = bits & ((1u << fraction_bits) - 1),
           exponent = bits >> fraction_bits & ((1u << exponent_bits) - 1);
  double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1;
  int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1u << exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
  return sign * ldexp((1u << fraction_bits) + fraction, (int)exponent - bias - fraction_bits);
}

static void all_16_bit_patterns(fv_dtype dtype, int exponent_bits, int fraction_bits) {
  for (int shift = 0; shift < 2; shift++) {
    uint8_t raw[3];
    for (uint32_t b = 0; b < 65536; b++) {
      raw[shift] = (uint8_t)b;
      raw[shift + 1] = (uint8_t)(b >> 8);
      fv_tensor t = {"w", "f", dtype, "16", 1, {1}, 1, raw + shift, 2};
      double want = decode(b, exponent_bits, fraction_bits);
      float got = -7;
      fv_status st = fv_tensor_read_f32(&t, 0, 1, &got, NULL);
      assert_int_equal(st, isfinite(want) ? FV_OK : FV_ENONFINITE);
      if (st) continue;
      float w = (float)want;
      assert_true((double)w == want);
      assert_memory_equal(&got, &w, 4);
    }
  }
}

static void every_f16(void **state) {
  (void)state;
  all_16_bit_patterns(FV_DTYPE_F16, 5, 10);
}

static void every_bf16(void **state) {
  (void)state;
  all_16_bit_patterns(FV_DTYPE_BF16, 8, 7);
}

/* Vector code and its scalar tail agree with one element at a time. */
static void ranges_agree_with_single_elements(void **state) {
  (void)state;
  enum { N = 9001 };
  uint16_t *h = malloc(N * sizeof *h);
  float *all = malloc(N * sizeof *all);
  uint32_t x = 1;
  for (int i = 0; i < N; i++) {
    x = x * 1664525u + 1013904223u;
    h[i] = (uint16_t)(x >> 16);
    if ((h[i] & 0x7C00) == 0x7C00) h[i] ^= 0x4000;
  }
  fv_tensor t = {"w", "f", FV_DTYPE_F16, "F16", 1, {N}, N, (const uint8_t *)h, 2 * N};
  assert_int_equal(fv_tensor_read_f32(&t, 0, N, all, NULL), FV_OK);
  for (int i = 0; i < N; i++) {
    float one;
    assert_int_equal(fv_tensor_read_f32(&t, i, 1, &one, NULL), FV_OK);
    assert_memory_equal(&one, &all[i], 4);
  }
  free(h);
  free(all);
}

static void nonfinite_is_named(void **state) {
  (void)state;
  enum { N = 3 * 5000 };
  float *v = calloc(N, sizeof *v), *out = malloc(N * sizeof *out);
  fv_tensor t = {"layer.w", "some/file", FV_DTYPE_F32, "F32", 2, {3, 5000}, N, (const uint8_t *)v, 4 * N};
  fv_error e = {0};
  v[2 * 5000 + 17] = NAN;
  assert_int_equal(fv_tensor_read_f32(&t, 0, N, out, &e), FV_ENONFINITE);
  craft_check_text(&e, "some/file", "layer.w holds NaN at [2,17]");
  assert_int_equal(fv_tensor_read_f32(&t, 10000, 5000, out, &e), FV_ENONFINITE);
  craft_check_text(&e, "some/file", "[2,17]");
  assert_int_equal(fv_tensor_read_f32(&t, 0, 10017, out, &e), FV_OK);
  v[1] = -INFINITY;
  assert_int_equal(fv_tensor_read_f32(&t, 0, N, out, &e), FV_ENONFINITE);
  craft_check_text(&e, "some/file", "infinity at [0,1]");
  double big = 1e300;
  fv_tensor d = {"d", "some/file", FV_DTYPE_F64, "F64", 0, {0}, 1, (const uint8_t *)&big, 8};
  assert_int_equal(fv_tensor_read_f32(&d, 0, 1, out, &e), FV_ENONFINITE);
  craft_check_text(&e, "some/file", "f64");
  free(v);
  free(out);
}

static void ranges_and_dtypes_are_checked(void **state) {
  (void)state;
  float v[4] = {1, 2, 3, 4}, out[4];
  fv_error e = {0};
  fv_tensor t = {"w", "some/file", FV_DTYPE_F32, "F32", 1, {4}, 4, (const uint8_t *)v, 16};
  assert_int_equal(fv_tensor_read_f32(&t, 4, 0, out, NULL), FV_OK);
  assert_int_equal(fv_tensor_read_f32(&t, 1, 3, out, NULL), FV_OK);
  assert_true(out[0] == 2 && out[2] == 4);
  assert_int_equal(fv_tensor_read_f32(&t, 1, 4, out, &e), FV_ESHAPE);
  assert_int_equal(fv_tensor_read_f32(&t, -1, 1, out, &e), FV_ESHAPE);
  assert_int_equal(fv_tensor_read_f32(&t, 5, INT64_MAX, out, &e), FV_ESHAPE);
  assert_int_equal(fv_tensor_read_f32(&t, 1, -1, out, &e), FV_ESHAPE);
  assert_ptr_equal(fv_tensor_f32(&t), v);
  t.data++;
  assert_null(fv_tensor_f32(&t));
  t.dtype = FV_DTYPE_OTHER;
  t.stored = "F8_E4M3";
  assert_int_equal(fv_tensor_read_f32(&t, 0, 1, out, &e), FV_EUNSUPPORTED);
  craft_check_text(&e, "some/file", "F8_E4M3");
}

static void shapes_as_text(void **state) {
  (void)state;
  char text[24], tiny[6];
  int64_t shape[3] = {768, 3, -1};
  fv_shape_text(3, shape, text, sizeof text);
  assert_string_equal(text, "[768,3,-1]");
  fv_shape_text(0, shape, text, sizeof text);
  assert_string_equal(text, "[]");
  fv_shape_text(3, shape, tiny, sizeof tiny);
  assert_true(strlen(tiny) < sizeof tiny);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_f16),
                                     cmocka_unit_test(every_bf16),
                                     cmocka_unit_test(ranges_agree_with_single_elements),
                                     cmocka_unit_test(nonfinite_is_named),
                                     cmocka_unit_test(ranges_and_dtypes_are_checked),
                                     cmocka_unit_test(shapes_as_text)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
