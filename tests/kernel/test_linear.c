/* Linear layers: against plain loops, and the same bits whatever the batch, the place, the threads and the tiles. */
#include "kernel/numbers.h"

#include <pthread.h>

#include "kernel/again.h"
#include "kernel/kernels.h"
#include "kernel/plain.h"

typedef struct layer {
  int64_t N, K, rows;
  float *w, *b, *x;
} layer;

static layer layer_new(int64_t N, int64_t K, int64_t rows) {
  layer a = {N, K, rows, random_floats(N * K, 1, 1), random_floats(N, 1, 2), random_floats(rows * K, 1, 3)};
  return a;
}
static void layer_free(layer *a) {
  free(a->w);
  free(a->b);
  free(a->x);
}

static void run(fv_kernels *k, const fv_linear *l, int64_t K, int64_t n, const float *const *x, float *y) {
  fv_error e;
  void *scratch = malloc(fv_linear_scratch(k, K));
  if (fv_linear_rows(k, l, n, x, y, scratch, &e)) fail_msg("%s", e.text);
  free(scratch);
}

static fv_linear *pack(fv_kernels *k, const layer *a, const float *bias) {
  fv_linear *l;
  fv_error e;
  if (fv_linear_pack(k, a->N, a->K, a->w, bias, &l, &e)) fail_msg("%s", e.text);
  return l;
}

static const int64_t SHAPES[][2] = {{37, 51}, {20, 33}, {33, 20}, {1, 7}, {5, 1}, {128, 64}, {129, 64}, {300, 100}};

static void equals_plain(void **state) {
  (void)state;
  fv_kernels *k = kernels(2);
  for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
    for (int with = 0; with < 2; with++) {
      layer a = layer_new(SHAPES[s][0], SHAPES[s][1], 67);
      fv_linear *l = pack(k, &a, with ? a.b : NULL);
      assert_true(fv_linear_bytes(l) >= (size_t)(a.N * a.K) * sizeof(float));
      const float **x = row_pointers(a.x, a.rows, a.K);
      float *y = random_floats(a.rows * a.N, 1, 9), *want = random_floats(a.rows * a.N, 1, 10);
      run(k, l, a.K, a.rows, x, y);
      for (int64_t i = 0; i < a.rows; i++) fv_plain_linear(a.N, a.K, a.w, with ? a.b : NULL, x[i], want + i * a.N);
      assert_close(y, want, a.rows * a.N, 3e-6f, "linear");
      free(y);
      free(want);
      free(x);
      fv_linear_free(l);
      layer_free(&a);
    }
  fv_kernels_free(k);
}

/* Every M from 1 on, rows in place and from random places, against the rows of one large batch. */
static void independent(fv_kernels *one, fv_kernels *two, int64_t N, int64_t K, int64_t rows, int64_t step) {
  layer a = layer_new(N, K, rows);
  fv_linear *l1 = pack(one, &a, a.b), *l2 = pack(two, &a, a.b);
  const float **all = row_pointers(a.x, rows, K), **some = malloc((size_t)rows * sizeof *some);
  float *want = random_floats(rows * N, 1, 9), *y = random_floats(rows * N, 1, 10);
  run(one, l1, K, rows, all, want);
  uint32_t seed = 77;
  for (int64_t n = 1; n <= rows; n += n < 70 ? 1 : step) {
    int64_t from = next_random(&seed) % (uint32_t)(rows - n + 1);
    run(two, l2, K, n, all + from, y);
    assert_same_bits(y, want + from * N, n * N, "rows in place");
    for (int64_t i = 0; i < n; i++) some[i] = all[next_random(&seed) % (uint32_t)rows];
    run(n % 2 ? one : two, n % 2 ? l1 : l2, K, n, some, y);
    for (int64_t i = 0; i < n; i++)
      assert_same_bits(y + i * N, want + (some[i] - a.x) / K * N, N, "rows from anywhere");
  }
  free(y);
  free(want);
  free(some);
  free(all);
  fv_linear_free(l1);
  fv_linear_free(l2);
  layer_free(&a);
}

static void same_bits_in_any_batch(void **state) {
  (void)state;
  fv_kernels *one = kernels(1), *two = kernels(2);
  for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
    independent(one, two, SHAPES[s][0], SHAPES[s][1], 600, 53);
  independent(one, two, 768, 768, 600, 131);
  independent(one, two, 200, 3072, 130, 31);
  fv_kernels_free(one);
  fv_kernels_free(two);
}

/* As on a library whose rows depend on the batch: only tiles of one size may be used. */
static void same_bits_with_fixed_tiles(void **state) {
  (void)state;
  static const int64_t tiles[] = {64, 8, 1};
  for (size_t t = 0; t < 3; t++) {
    fv_kernels *one = kernels(1), *two = kernels(2);
    char want[32];
    snprintf(want, sizeof want, "row tiles of %d)", (int)tiles[t]);
    fv_status forced = fv_kernels_force_tile(one, tiles[t], NULL);
    if (forced || fv_kernels_force_tile(two, tiles[t], NULL)) { /* its own rows differ in this oneDNN */
      print_message("skip: tiles of %d rows\n", (int)tiles[t]);
      assert_true(tiles[t] != 1); /* one row cannot differ from itself */
      fv_kernels_free(one);
      fv_kernels_free(two);
      continue;
    }
    assert_non_null(strstr(fv_kernels_library(one), want));
    independent(one, two, 37, 51, 600, 53);
    independent(one, two, 300, 100, 600, 97);
    fv_kernels_free(one);
    fv_kernels_free(two);
  }
}

/* Two callers on one fv_kernels, while the primitives they need are still being made. */
typedef struct caller {
  fv_kernels *k;
  const fv_linear *l;
  const layer *a;
  const float *want;
  int wrong;
} caller;

static void *call(void *argument) {
  caller *c = argument;
  const layer *a = c->a;
  const float **x = row_pointers(a->x, a->rows, a->K);
  float *y = malloc((size_t)(a->rows * a->N) * sizeof *y);
  void *scratch = malloc(fv_linear_scratch(c->k, a->K));
  for (int64_t n = 1; n <= a->rows; n++) {
    c->wrong += fv_linear_rows(c->k, c->l, n, x, y, scratch, NULL) != FV_OK;
    c->wrong += memcmp(y, c->want, (size_t)(n * a->N) * sizeof *y) != 0;
  }
  free(scratch);
  free(y);
  free(x);
  return NULL;
}

static void callers_share_the_kernels(void **state) {
  (void)state;
  fv_kernels *first = kernels(1), *k = kernels(2);
  layer a = layer_new(150, 70, 40);
  fv_linear *l1 = pack(first, &a, a.b), *l = pack(k, &a, a.b);
  const float **x = row_pointers(a.x, a.rows, a.K);
  float *want = random_floats(a.rows * a.N, 1, 9);
  run(first, l1, a.K, a.rows, x, want);
  caller callers[3] = {{k, l, &a, want, 0}, {k, l, &a, want, 0}, {k, l, &a, want, 0}};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(callers[i].wrong, 0);
  }
  free(want);
  free(x);
  fv_linear_free(l1);
  fv_linear_free(l);
  layer_free(&a);
  fv_kernels_free(first);
  fv_kernels_free(k);
}

static void errors_and_empty(void **state) {
  (void)state;
  fv_kernels *k = NULL;
  fv_error e;
  assert_int_equal(fv_kernels_new(0, &k, &e), FV_EUSAGE);
  assert_null(k);
  k = kernels(2);
  assert_int_equal(fv_kernels_threads(k), 2);
  assert_non_null(strstr(fv_kernels_library(k), "oneDNN"));
  fv_linear *l = NULL;
  assert_int_equal(fv_linear_pack(k, 0, 5, NULL, NULL, &l, &e), FV_ESHAPE);
  assert_int_equal(fv_linear_pack(k, INT64_MAX, INT64_MAX, NULL, NULL, &l, &e), FV_ESHAPE);
  assert_null(l);
  fv_linear_free(NULL);
  fv_kernels_free(NULL);
  layer a = layer_new(4, 4, 1);
  l = pack(k, &a, a.b);
  void *scratch = malloc(fv_linear_scratch(k, 4));
  assert_int_equal(fv_linear_rows(k, l, 0, NULL, NULL, scratch, &e), FV_OK);
  free(scratch);
  fv_linear_free(l);
  layer_free(&a);
  fv_kernels_free(k);
}

int main(int argc, char **argv) {
  void *self = argc == 1 ? argv[0] : NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_plain),
                                     cmocka_unit_test(same_bits_in_any_batch),
                                     cmocka_unit_test(same_bits_with_fixed_tiles),
                                     cmocka_unit_test(callers_share_the_kernels),
                                     cmocka_unit_test(errors_and_empty),
                                     cmocka_unit_test_prestate(older_processors, self)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
