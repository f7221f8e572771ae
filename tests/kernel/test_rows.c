/* Row operations against plain loops and libm in double precision, for every instruction set this processor has. */
#include "kernel/numbers.h"

#include <math.h>

#include "kernel/kernels.h"
#include "kernel/plain.h"

static const char *const ISAS[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2", "native"};
#define ISA_COUNT 4

/* Calls `test` with the kernels of each instruction set. */
static void on_every_isa(void (*test)(fv_kernels *)) {
  int ran = 0;
  fv_kernels *k = kernels(2);
  for (int i = 0; i < ISA_COUNT; i++)
    if (fv_kernels_force_isa(k, ISAS[i], NULL) == FV_OK) {
      assert_string_equal(fv_kernels_isa(k), ISAS[i]);
      test(k);
      ran++;
    } else {
      print_message("skip: no %s on this processor\n", ISAS[i]);
    }
  assert_true(ran > 0);
  fv_kernels_free(k);
}

/* Largest |f(x) - exact| over [-12, 12] that is accepted, and beyond it relative to |x|. */
static const double ACT_ERROR[FV_ACT_COUNT] = {
    [FV_ACT_GELU] = 5e-7,     [FV_ACT_QUICK_GELU] = 1e-6, [FV_ACT_SILU] = 1.5e-6,
    [FV_ACT_GELU_NEW] = 1e-6, [FV_ACT_RELU] = 0,          [FV_ACT_TANH] = 2e-7};

static void activations(fv_kernels *k) {
  enum { W = 20000 };
  float *x = malloc(W * sizeof *x), *y = malloc(W * sizeof *y);
  for (int i = 0; i < W; i++) x[i] = (float)(24.0 * i / (W - 1) - 12.0);
  const float *rows[] = {x};
  for (int act = 0; act < FV_ACT_COUNT; act++) {
    double worst = 0;
    fv_act_rows(k, (fv_act)act, 1, W, rows, y);
    for (int i = 0; i < W; i++) worst = fmax(worst, fabs(y[i] - fv_plain_act((fv_act)act, x[i])));
    print_message("%s: activation %d: largest error %.3g\n", fv_kernels_isa(k), act, worst);
    assert_true(worst <= ACT_ERROR[act]);
  }
  for (int i = 0; i < W; i++) x[i] = (float)((i % 2 ? 1 : -1) * pow(10, 38.0 * i / W - 19));
  for (int act = 0; act < FV_ACT_COUNT; act++) {
    if (act == FV_ACT_GELU_NEW) continue; /* its cube overflows, in transformers too */
    fv_act_rows(k, (fv_act)act, 1, W, rows, y);
    for (int i = 0; i < W; i++) {
      double want = fv_plain_act((fv_act)act, x[i]);
      if (!(fabs(y[i] - want) <= 1e-6 * fmin(1, fabs(x[i])) + 3e-7 * fabs(want)))
        fail_msg("activation %d of %g: %.9g, expected %.9g", act, x[i], y[i], want);
    }
  }
  free(x);
  free(y);
}

static void activations_of_the_extremes(fv_kernels *k) {
  float x[5] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f}, y[5];
  const float *rows[] = {x};
  for (int act = 0; act < FV_ACT_COUNT; act++) {
    fv_act_rows(k, (fv_act)act, 1, 5, rows, y);
    assert_true(isnan(y[0]));
    assert_true(act == FV_ACT_TANH ? y[1] == 1.0f : y[1] == INFINITY);
    assert_true(y[3] == 0.0f && y[4] == 0.0f);
  }
}

static const int64_t WIDTHS[] = {1, 2, 5, 15, 16, 17, 20, 33, 63, 64, 65, 100, 768, 1023};
#define WIDTH_COUNT (sizeof WIDTHS / sizeof *WIDTHS)

static void norms(fv_kernels *k) {
  enum { n = 7 };
  for (size_t w = 0; w < WIDTH_COUNT; w++) {
    int64_t D = WIDTHS[w];
    float *x = random_floats(n * D, 3, 1), *g = random_floats(D, 1, 2), *b = random_floats(D, 1, 3);
    float *y = random_floats(n * D, 1, 4), *want = random_floats(n * D, 1, 5);
    const float **rows = row_pointers(x, n, D);
    for (int64_t i = 0; i < D; i++) x[i] += 100.0f; /* a mean far from zero */
    fv_layernorm_rows(k, n, D, 1e-5f, g, b, rows, y);
    for (int64_t i = 0; i < n; i++) fv_plain_layernorm(D, 1e-5f, g, b, rows[i], want + i * D);
    if (D > 2) assert_close(y + D, want + D, (n - 1) * D, 2e-6f, "layernorm");
    if (D > 2) assert_close(y, want, D, 5e-5f, "layernorm far from zero");
    fv_rmsnorm_rows(k, n, D, 1e-6f, g, rows, y);
    for (int64_t i = 0; i < n; i++) fv_plain_rmsnorm(D, 1e-6f, g, rows[i], want + i * D);
    assert_close(y, want, n * D, 2e-6f, "rmsnorm");
    free(x);
    free(g);
    free(b);
    free(y);
    free(want);
    free(rows);
  }
}

static void sums_products_copies(fv_kernels *k) {
  enum { n = 5 };
  for (size_t w = 0; w < WIDTH_COUNT; w++) {
    int64_t W = WIDTHS[w];
    float *a = random_floats(n * W, 3, 1), *b = random_floats(n * W, 1, 2), *y = random_floats(n * W, 1, 4);
    float *want = random_floats(n * W, 1, 5);
    const float **ra = row_pointers(a, n, W), **rb = row_pointers(b, n, W);
    fv_add_rows(k, n, W, ra, rb, y);
    for (int64_t i = 0; i < n * W; i++) want[i] = a[i] + b[i];
    assert_same_bits(y, want, n * W, "add");
    fv_mul_rows(k, n, W, ra, rb, y);
    for (int64_t i = 0; i < n * W; i++) want[i] = a[i] * b[i];
    assert_same_bits(y, want, n * W, "mul");
    fv_copy_rows(k, n, W, rb, y);
    assert_same_bits(y, b, n * W, "copy");
    fv_mul_rows(k, n, W, ra, rb, a); /* in place */
    assert_same_bits(a, want, n * W, "mul in place");
    free(a);
    free(b);
    free(y);
    free(want);
    free(ra);
    free(rb);
  }
}

static void rope(fv_kernels *k) {
  static const int64_t shapes[][3] = {{2, 64, 64}, {3, 96, 96}, {1, 20, 12}, {4, 5, 4}, {2, 7, 0}, {1, 128, 32}};
  enum { n = 9, positions = 40 };
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t H = shapes[s][0], Dh = shapes[s][1], rot = shapes[s][2], half = rot / 2, pos[n];
    float *x = random_floats(n * H * Dh, 2, 1), *y = random_floats(n * H * Dh, 1, 2),
          *want = random_floats(H * Dh, 1, 3);
    float *c = random_floats(positions * half, 1, 4), *d = random_floats(positions * half, 1, 5);
    const float **rows = row_pointers(x, n, H * Dh);
    for (int64_t i = 0; i < n; i++) pos[i] = (i * 17 + 3) % positions;
    fv_rope_rows(k, n, H, Dh, rot, c, d, pos, rows, y);
    for (int64_t i = 0; i < n; i++) {
      fv_plain_rope(H, Dh, rot, c + pos[i] * half, d + pos[i] * half, rows[i], want);
      assert_close(y + i * H * Dh, want, H * Dh, 3e-7f, "rope");
    }
    fv_rope_rows(k, n, H, Dh, rot, c, d, pos, rows, x); /* in place */
    assert_same_bits(x, y, n * H * Dh, "rope in place");
    free(x);
    free(y);
    free(want);
    free(c);
    free(d);
    free(rows);
  }
}

/* A row alone, in a batch large enough for several threads, and shifted by a few bytes: the same bits. */
static void independence(fv_kernels *k) {
  enum { n = 300, D = 777 };
  float *room = random_floats(n * D + 3, 2, 1), *x = room + 3, *g = random_floats(D, 1, 2), *b = random_floats(D, 1, 3);
  float *y = random_floats(n * D, 1, 4), *one = random_floats(D, 1, 5), *copy = random_floats(D, 1, 6);
  const float **rows = row_pointers(x, n, D), *alone[] = {copy};
  for (int op = 0; op < FV_ACT_COUNT + 2; op++)
    for (int batch = 1; batch >= 0; batch--)
      for (int64_t i = 0; i < (batch ? 1 : n); i += 7) {
        int64_t m = batch ? n : 1;
        float *to = batch ? y : one;
        memcpy(copy, rows[i], D * sizeof *copy);
        const float *const *from = batch ? rows : alone;
        if (op < FV_ACT_COUNT)
          fv_act_rows(k, (fv_act)op, m, D, from, to);
        else if (op == FV_ACT_COUNT)
          fv_layernorm_rows(k, m, D, 1e-5f, g, b, from, to);
        else
          fv_rmsnorm_rows(k, m, D, 1e-5f, g, from, to);
        if (!batch) assert_same_bits(one, y + i * D, D, "row alone");
      }
  free(room);
  free(g);
  free(b);
  free(y);
  free(one);
  free(copy);
  free(rows);
}

static void readout_softmax(void **state) {
  (void)state;
  float x[4] = {1.0f, 2.0f, -INFINITY, 0.5f};
  double p[4], sum = exp(1) + exp(2) + exp(0.5);
  fv_softmax_f64(4, x, p);
  assert_true(fabs(p[0] - exp(1) / sum) < 1e-15 && fabs(p[1] - exp(2) / sum) < 1e-15 && p[2] == 0);
  x[0] = 1e30f;
  fv_softmax_f64(4, x, p);
  assert_true(p[0] == 1 && p[1] == 0);
  x[1] = x[3] = INFINITY;
  fv_softmax_f64(4, x, p);
  assert_true(p[1] == 0.5 && p[3] == 0.5 && p[0] == 0);
  x[2] = NAN;
  fv_softmax_f64(4, x, p);
  for (int i = 0; i < 4; i++) assert_true(isnan(p[i]));
  for (int i = 0; i < 4; i++) x[i] = -INFINITY;
  fv_softmax_f64(4, x, p);
  for (int i = 0; i < 4; i++) assert_true(p[i] == 0);
}

#define EVERY_ISA(f) \
  static void every_isa_##f(void **state) { (void)state, on_every_isa(f); }
EVERY_ISA(activations)
EVERY_ISA(activations_of_the_extremes)
EVERY_ISA(norms)
EVERY_ISA(sums_products_copies)
EVERY_ISA(rope)
EVERY_ISA(independence)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_isa_activations), cmocka_unit_test(every_isa_activations_of_the_extremes),
      cmocka_unit_test(every_isa_norms),       cmocka_unit_test(every_isa_sums_products_copies),
      cmocka_unit_test(every_isa_rope),        cmocka_unit_test(every_isa_independence),
      cmocka_unit_test(readout_softmax)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
