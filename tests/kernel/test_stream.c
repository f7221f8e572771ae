/* Streamed linear layers: the bits of packed ones, for every type, shape, number of rows, thread and instruction set,
 * and with every way of streaming forbidden in turn. */
#include "kernel/numbers.h"

#include <math.h>

#include "kernel/again.h"
#include "kernel/kernels.h"
#include "kernel/matmul.h"

static const fv_weight_type TYPES[] = {FV_WEIGHT_F32, FV_WEIGHT_F16, FV_WEIGHT_BF16};
enum { NTYPES = 3, FIRST_ROW = 3 };

/* The number that 16 bits mean, by the definition of the format. */
static float meaning(fv_weight_type type, uint32_t bits) {
  int fraction = type == FV_WEIGHT_F16 ? 10 : 7, exponents = 15 - fraction, bias = (1 << (exponents - 1)) - 1;
  int exponent = (int)(bits >> fraction) & ((1 << exponents) - 1);
  double m = (double)(bits & ((1u << fraction) - 1)) / (1 << fraction);
  double value = exponent == 0 ? ldexp(m, 1 - bias) : ldexp(1 + m, exponent - bias);
  return (float)(bits >> 15 ? -value : value);
}

/* Random numbers as they may lie in a file: subnormals and zeros of both signs among them, at an odd address. */
typedef struct stored {
  uint8_t *file, *w; /* w: row FIRST_ROW of the file's matrix */
  float *wide, *b, *x;
  int64_t N, K, rows;
} stored;

static stored stored_new(fv_weight_type type, int64_t N, int64_t K, int64_t rows) {
  stored s = {.N = N, .K = K, .rows = rows, .b = random_floats(N, 1, 2), .x = random_floats(rows * K, 1, 3)};
  int64_t all = (N + FIRST_ROW) * K, size = type == FV_WEIGHT_F32 ? 4 : 2;
  s.file = malloc((size_t)(all * size) + 1);
  s.wide = random_floats(N * K, 1, 4);
  assert_non_null(s.file);
  uint32_t seed = 5;
  for (int64_t i = 0; i < all; i++) {
    uint32_t bits = next_random(&seed);
    float wide = (float)(int32_t)bits / 2147483648.0f;
    if (type == FV_WEIGHT_F32) {
      memcpy(s.file + 1 + 4 * i, &wide, 4);
    } else {
      /* Exponents around that of 1, but for every 16th number, which may be tiny. */
      bits &= 0xFFFFu;
      if (i % 16 != 0) bits = (bits & 0x83FFu) | (type == FV_WEIGHT_F16 ? 0x3000u : 0x3C00u);
      if (i % 16 == 0) bits &= 0x8FFFu;
      uint16_t half = (uint16_t)bits;
      memcpy(s.file + 1 + 2 * i, &half, 2);
      wide = meaning(type, bits);
    }
    if (i >= FIRST_ROW * K) s.wide[i - FIRST_ROW * K] = wide;
  }
  s.w = s.file + 1 + FIRST_ROW * K * size;
  return s;
}
static void stored_free(stored *s) { free(s->file), free(s->wide), free(s->b), free(s->x); }

static void compare(fv_kernels *k, fv_weight_type type, int64_t N, int64_t K, int64_t rows, int64_t step) {
  fv_error e;
  stored s = stored_new(type, N, K, rows);
  fv_linear *packed = NULL, *streamed = NULL;
  if (fv_linear_pack(k, N, K, s.wide, s.b, &packed, &e)) fail_msg("%s", e.text);
  if (fv_linear_stream(k, N, K, type, s.w, s.b, &streamed, &e)) fail_msg("%s", e.text);
  assert_true(fv_linear_bytes(streamed) == (size_t)N * sizeof(float));
  const float **all = row_pointers(s.x, rows, K), **some = malloc((size_t)rows * sizeof *some);
  float *want = random_floats(rows * N, 1, 9), *y = random_floats(rows * N, 1, 10);
  void *scratch = malloc(fv_linear_stream_scratch(k, K));
  assert_true(some && scratch);
  if (fv_linear_rows(k, packed, rows, all, want, scratch, &e)) fail_msg("%s", e.text);
  uint32_t seed = 77;
  for (int64_t n = 1; n <= rows; n += n < 9 || n == 63 || n == 64 ? 1 : n < 63 && n + step > 63 ? 63 - n : step) {
    int64_t from = next_random(&seed) % (uint32_t)(rows - n + 1);
    if (fv_linear_rows(k, streamed, n, all + from, y, scratch, &e)) fail_msg("%s", e.text);
    assert_same_bits(y, want + from * N, n * N, "streamed rows in place");
    for (int64_t i = 0; i < n; i++) some[i] = all[next_random(&seed) % (uint32_t)rows];
    if (fv_linear_rows(k, streamed, n, some, y, scratch, &e)) fail_msg("%s", e.text);
    for (int64_t i = 0; i < n; i++)
      assert_same_bits(y + i * N, want + (some[i] - s.x) / K * N, N, "streamed rows from anywhere");
  }
  free(scratch), free(y), free(want), free(some), free(all);
  fv_linear_free(packed);
  fv_linear_free(streamed);
  stored_free(&s);
}

static const int64_t SHAPES[][2] = {{37, 51}, {1, 7}, {5, 1}, {128, 64}, {129, 65}, {300, 99}, {64, 33}, {143, 130}};

static void every_shape(fv_kernels *k) {
  for (int t = 0; t < NTYPES; t++) {
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
      compare(k, TYPES[t], SHAPES[s][0], SHAPES[s][1], 130, 29);
    compare(k, TYPES[t], 200, 1601, 70, 23);
    compare(k, TYPES[t], 270, 4100, 66, 31);
  }
}

static void same_bits_as_packed(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; threads++) {
    fv_kernels *k = kernels(threads);
    every_shape(k);
    compare(k, FV_WEIGHT_F16, 257, 768, 600, 89);
    fv_kernels_free(k);
  }
}

static void same_bits_on_every_instruction_set(void **state) {
  (void)state;
  static const char *const isas[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
  int ran = 0;
  for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
    fv_kernels *k = kernels(2);
    if (fv_kernels_force_isa(k, isas[i], NULL) == FV_OK) every_shape(k), ran++;
    fv_kernels_free(k);
  }
  if (!ran) print_message("skip: other instruction sets\n"), skip();
}

/* What a library with another layout, or another order of summation, would need. */
static void same_bits_the_long_way(void **state) {
  (void)state;
  for (int way = 1; way < 4; way++) {
    fv_kernels *k = kernels(2);
    k->no_direct = (way & 1) != 0, k->no_few = (way & 2) != 0;
    every_shape(k);
    fv_kernels_free(k);
  }
}

/* Whether this oneDNN lets weights be read as they are; elsewhere the long way is right, only slower. */
static void usual_shapes_take_the_short_way(void **state) {
  (void)state;
  static const int64_t depths[] = {768, 1024, 3072, 4096};
  fv_kernels *k = kernels(1);
  if (!strstr(fv_kernels_library(k), "2.6.3 (brg:avx512_core")) {
    print_message("skip: %s is not the library that this is known of\n", fv_kernels_library(k));
    fv_kernels_free(k);
    skip();
  }
  for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
    fv_error e;
    fv_matmul_family *f = NULL;
    if (fv_matmul_family_get(k, FV_PANEL, depths[i], &f, &e)) fail_msg("%s", e.text);
    if (fv_matmul_stream_ready(k, f, &e)) fail_msg("%s", e.text);
    assert_true(f->stream.direct);
    assert_true(f->stream.chain > 0);
  }
  fv_kernels_free(k);
}

static void put(uint8_t *w, fv_weight_type type, int64_t i, bool nan) {
  uint32_t bits = type == FV_WEIGHT_F32 ? 0x7F800000u : type == FV_WEIGHT_F16 ? 0x7C00u : 0x7F80u;
  if (nan) bits |= type == FV_WEIGHT_F32 ? 0x400000u : type == FV_WEIGHT_F16 ? 0x200u : 0x40u;
  memcpy(w + i * (type == FV_WEIGHT_F32 ? 4 : 2), &bits, type == FV_WEIGHT_F32 ? 4 : 2);
}

/* Also beside a zero in the row, and where the row itself is not finite. */
static void weights_that_are_not_finite(void **state) {
  (void)state;
  enum { N = 150, K = 70, ROWS = 80 };
  fv_kernels *k = kernels(2);
  fv_error e;
  for (int t = 0; t < NTYPES; t++)
    for (int way = 0; way < 8; way++) {
      stored s = stored_new(TYPES[t], N, K, ROWS);
      int64_t rows = way & 1 ? ROWS : 1, at = (way & 2 ? 149 : 31) * K + 69;
      put(s.w, TYPES[t], at, (way & 4) != 0);
      for (int64_t i = 0; i < ROWS; i++) s.x[i * K + 69] = 0.0f;
      const float **x = row_pointers(s.x, ROWS, K);
      float *y = random_floats(ROWS * N, 1, 10);
      void *scratch = malloc(fv_linear_stream_scratch(k, K));
      fv_linear *l = NULL;
      assert_int_equal(fv_linear_stream(k, N, K, TYPES[t], s.w, NULL, &l, &e), FV_OK);
      assert_int_equal(fv_linear_rows(k, l, rows, x, y, scratch, &e), FV_ENONFINITE);
      assert_non_null(strstr(e.text, "[150,70] is NaN or infinite"));
      s.x[0] = NAN;
      assert_int_equal(fv_linear_rows(k, l, rows, x, y, scratch, &e), FV_ENONFINITE);
      put(s.w, TYPES[t], at, false);
      memset(s.w + at * (TYPES[t] == FV_WEIGHT_F32 ? 4 : 2), 0, TYPES[t] == FV_WEIGHT_F32 ? 4 : 2);
      assert_int_equal(fv_linear_rows(k, l, rows, x, y, scratch, &e), FV_OK);
      assert_true(isnan(y[0]));
      fv_linear_free(l);
      free(scratch), free(y), free(x);
      stored_free(&s);
    }
  fv_kernels_free(k);
}

static void errors(void **state) {
  (void)state;
  fv_kernels *k = kernels(1);
  fv_error e;
  fv_linear *l = NULL;
  assert_int_equal(fv_linear_stream(k, 0, 5, FV_WEIGHT_F16, NULL, NULL, &l, &e), FV_ESHAPE);
  assert_int_equal(fv_linear_stream(k, INT64_MAX, INT64_MAX, FV_WEIGHT_F16, NULL, NULL, &l, &e), FV_ESHAPE);
  assert_null(l);
  fv_kernels_free(k);
}

int main(int argc, char **argv) {
  void *self = argc == 1 ? argv[0] : NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_as_packed),
                                     cmocka_unit_test(same_bits_on_every_instruction_set),
                                     cmocka_unit_test(same_bits_the_long_way),
                                     cmocka_unit_test(usual_shapes_take_the_short_way),
                                     cmocka_unit_test(weights_that_are_not_finite),
                                     cmocka_unit_test(errors),
                                     cmocka_unit_test_prestate(older_processors, self)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
