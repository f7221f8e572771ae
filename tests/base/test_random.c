/* Random streams against values written by numpy and torch (tests/data/random, tools/reference/make_random_vectors.py)
 * and against printed vectors of other builds of both. Equality of bits everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/json.h"
#include "base/random.h"

static uint32_t float_bits(float x) {
  uint32_t w;
  memcpy(&w, &x, sizeof w);
  return w;
}

static uint64_t double_bits(double x) {
  uint64_t w;
  memcpy(&w, &x, sizeof w);
  return w;
}

static void expect_hex(const json_t *list, const float *got, size_t n, const char *what) {
  assert_int_equal(json_array_size(list), n);
  for (size_t i = 0; i < n; i++) {
    uint32_t want = (uint32_t)strtoul(json_string_value(json_array_get(list, i)), NULL, 16);
    if (float_bits(got[i]) != want) fail_msg("%s: value %zu is %08x, expected %08x", what, i, float_bits(got[i]), want);
  }
}

static void expect_floats(const json_t *call, const float *got, size_t n, const char *what) {
  const char *sha = json_string_value(json_object_get(call, "sha256"));
  if (!sha) {
    expect_hex(json_object_get(call, "hex"), got, n, what);
    return;
  }
  expect_hex(json_object_get(call, "head"), got, 16, what);
  expect_hex(json_object_get(call, "tail"), got + n - 16, 16, what);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  char text[2 * SHA256_DIGEST_LENGTH + 1];
  SHA256((const unsigned char *)got, n * sizeof *got, digest);
  for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
  if (strcmp(text, sha) != 0) fail_msg("%s: SHA-256 of %zu values is %s, expected %s", what, n, text, sha);
}

static void start(fv_rng *r, const json_t *c) {
  const json_t *seed = json_object_get(c, "seed");
  if (strcmp(json_string_value(json_object_get(c, "rng")), "torch") == 0) {
    fv_rng_torch(r, json_integer_value(seed));
  } else if (json_is_array(seed)) {
    uint32_t key[2000];
    size_t n = json_array_size(seed);
    assert_in_range(n, 1, 2000);
    for (size_t i = 0; i < n; i++) key[i] = (uint32_t)json_integer_value(json_array_get(seed, i));
    assert_int_equal(fv_rng_numpy_array(r, key, n, NULL), FV_OK);
  } else {
    assert_int_equal(fv_rng_numpy(r, json_integer_value(seed), NULL), FV_OK);
  }
}

static void check_call(fv_rng *r, const json_t *call, const char *what) {
  const char *fn = json_string_value(json_object_get(call, "fn"));
  size_t n = (size_t)json_integer_value(json_object_get(call, "n"));
  const json_t *args = json_object_get(call, "args"), *hex = json_object_get(call, "hex");
  double a = json_number_value(json_array_get(args, 0)), b = json_number_value(json_array_get(args, 1));
  if (strcmp(fn, "word") == 0 || strcmp(fn, "double") == 0) {
    assert_int_equal(json_array_size(hex), n);
    for (size_t i = 0; i < n; i++) {
      uint64_t want = strtoull(json_string_value(json_array_get(hex, i)), NULL, 16);
      uint64_t got = fn[0] == 'w' ? fv_rng_word(r) : double_bits(fv_rng_double(r));
      if (got != want) fail_msg("%s: %s %zu differs", what, fn, i);
    }
    return;
  }
  float *out = malloc(n * sizeof *out);
  assert_non_null(out);
  if (strcmp(fn, "normal") == 0)
    fv_rng_fill_normal(r, a, b, (int64_t)n, out);
  else if (strcmp(fn, "uniform") == 0)
    fv_rng_fill_uniform(r, a, b, (int64_t)n, out);
  else
    fail_msg("%s: unknown call %s", what, fn);
  expect_floats(call, out, n, what);
  free(out);
}

static void streams_equal_numpy_and_torch(void **state) {
  (void)state;
  json_t *root;
  fv_error err = {0};
  if (fv_json_load(FV_TEST_DATA "/random/vectors.json", (size_t)1 << 24, &root, &err)) fail_msg("%s", err.text);
  const json_t *cases = json_object_get(root, "cases"), *c, *call;
  size_t i, k, calls = 0;
  assert_true(json_array_size(cases) >= 50);
  json_array_foreach(cases, i, c) {
    fv_rng r;
    start(&r, c);
    char *seed = json_dumps(json_object_get(c, "seed"), JSON_ENCODE_ANY);
    json_array_foreach(json_object_get(c, "calls"), k, call) {
      char what[200];
      snprintf(what, sizeof what, "%s, %s, seed %.40s, call %zu", json_string_value(json_object_get(c, "name")),
               json_string_value(json_object_get(c, "rng")), seed, k);
      check_call(&r, call, what);
      calls++;
    }
    free(seed);
  }
  assert_true(calls > 500);
  json_decref(root);
}

static void expect_bits(const float *got, const uint32_t *want, size_t n) {
  for (size_t i = 0; i < n; i++) assert_int_equal(float_bits(got[i]), want[i]);
}

/* torch 1.13, AVX2 build */
static void published_torch_vectors(void **state) {
  (void)state;
  static const uint32_t rand0[] = {0x3efe1558, 0x3f44aa2f, 0x3db533a8, 0x3e073300},
                        randn0_3[] = {0x3fc53f5c, 0xbe963c50, 0xc00b7149},
                        randn0_16[] = {0xbf901b85, 0xbf93808a, 0xbe804bd6, 0xbede255d, 0x3f594515, 0x3f312783,
                                       0xbea1cc6d, 0xc0075fc1, 0x3ea50138, 0xbfa1b4f4, 0x3eb330ff, 0x3e9dc3bb,
                                       0x3df56f77, 0x3f9e6b93, 0x3f8ef28e, 0xbe7d367c},
                        randn0_18_last[] = {0x3f72409c, 0xbf57fb33, 0x3f6e8c30, 0x3fa12737},
                        rand42[] = {0x3f61dc66, 0x3f6a3db3, 0x3ec406b8, 0x3f75950e},
                        randn42_3[] = {0x3eac62ae, 0x3e03e69d, 0x3e7016e7},
                        randn42_16[] = {0x3ff6a529, 0x3fbe5f53, 0x3f669567, 0xc006c0db},
                        randn1_3[] = {0x3f294e60, 0x3e88aa47, 0x3d7ca14b},
                        randn1_16[] = {0xbfc346ba, 0xbf400f31, 0xbf276b4b, 0xbfce0399};
  static const struct {
    int64_t seed;
    bool normal;
    int64_t n, from;
    const uint32_t *want;
    size_t count;
  } table[] = {{0, false, 4, 0, rand0, 4},           {0, true, 3, 0, randn0_3, 3}, {0, true, 16, 0, randn0_16, 16},
               {0, true, 18, 14, randn0_18_last, 4}, {42, false, 4, 0, rand42, 4}, {42, true, 3, 0, randn42_3, 3},
               {42, true, 16, 0, randn42_16, 4},     {1, true, 3, 0, randn1_3, 3}, {1, true, 16, 0, randn1_16, 4}};
  float out[18];
  fv_rng r;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    fv_rng_torch(&r, table[i].seed);
    if (table[i].normal)
      fv_rng_fill_normal(&r, 0, 1, table[i].n, out);
    else
      fv_rng_fill_uniform(&r, 0, 1, table[i].n, out);
    expect_bits(out + table[i].from, table[i].want, table[i].count);
  }
}

/* numpy 1.24 */
static void published_numpy_vectors(void **state) {
  (void)state;
  static const uint32_t words[] = {1791095845u, 4282876139u, 3093770124u, 4005303368u};
  static const uint64_t uniform_1[] = {0xbfc53e0bc0170fe8, 0x3fdc3397ceebc144, 0xbfeffe2046f999e4, 0xbfd94d2a9003ee18},
                        sequence_1_2[] = {0x3fe2b45704626fe0, 0x3fd08bc9db7caa84, 0x3fd99fe7827eb694},
                        randn_1[] = {0x3ff9fd5190657c50, 0xbfe393822fb7d9ad, 0xbfe0e6c872548fd2, 0xbff12ae1255cb80c};
  fv_rng r;
  assert_int_equal(fv_rng_numpy(&r, 1, NULL), FV_OK);
  for (int i = 0; i < 4; i++) assert_int_equal(fv_rng_word(&r), words[i]);
  float out[4];
  fv_rng_numpy(&r, 1, NULL);
  fv_rng_fill_uniform(&r, -1, 1, 4, out);
  for (int i = 0; i < 4; i++) {
    double want;
    memcpy(&want, &uniform_1[i], sizeof want);
    assert_int_equal(float_bits(out[i]), float_bits((float)want));
  }
  fv_rng_numpy(&r, 1, NULL);
  fv_rng_fill_normal(&r, 0, 1, 4, out);
  for (int i = 0; i < 4; i++) {
    double want;
    memcpy(&want, &randn_1[i], sizeof want);
    assert_int_equal(float_bits(out[i]), float_bits((float)want));
  }
  assert_int_equal(fv_rng_numpy_array(&r, (const uint32_t[]){1, 2}, 2, NULL), FV_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(double_bits(fv_rng_double(&r)), sequence_1_2[i]);
  static const float randn_0[] = {1.76405235f, 0.40015721f, 0.97873798f};
  fv_rng_numpy(&r, 0, NULL);
  fv_rng_fill_normal(&r, 0, 1, 3, out);
  for (int i = 0; i < 3; i++) assert_float_equal(out[i], randn_0[i], 1e-7f);
}

/* Anchors of published experiments, printed to six decimals by a build of torch without the vector functions: its
 * normals may differ by 4e-6 at std 5. */
static void expect_near(int64_t seed, double mean, double std, int64_t n, int64_t from, const float *want,
                        size_t count) {
  static float out[577 * 768];
  fv_rng r;
  fv_rng_torch(&r, seed);
  fv_rng_fill_normal(&r, mean, std, n, out);
  for (size_t i = 0; i < count; i++) assert_float_equal(out[from + (int64_t)i], want[i], 4e-6f);
}

static void published_noise_anchors(void **state) {
  (void)state;
  enum { SIZE = 577 * 768 };
  expect_near(1, 1, 5, SIZE, 0, (const float[]){-6.627979f, -2.751159f, -2.269905f, -7.047424f, 0.499164f, -2.045947f},
              6);
  expect_near(1, 1, 5, SIZE, 8, (const float[]){-2.560723f, 2.518610f, -2.886571f, -0.257276f}, 4);
  expect_near(1, 1, 5, SIZE, SIZE - 3, (const float[]){9.374702f, 0.564182f, 2.146260f}, 3);
  expect_near(0, 1, 5, SIZE, 0, (const float[]){-4.629199f, -4.761801f, -0.252893f, -1.169394f}, 4);
  expect_near(0, 1, 5, SIZE, SIZE - 1, (const float[]){-2.498890f}, 1);
  expect_near(1234, 1, 5, SIZE, 0, (const float[]){0.441407f, -1.482951f, 1.815369f, -3.408439f}, 4);
  expect_near(1, 0, 1, 20, 0, (const float[]){-1.525596f, -0.750232f, -0.653981f, -1.609485f, 0.865692f}, 5);
  expect_near(1, 0, 1, 20, 19, (const float[]){1.716303f}, 1);
  expect_near(1, 0, 1, 5, 0, (const float[]){0.661352f, 0.266924f, 0.061677f, 0.621317f, -0.451906f}, 5);
  static const float rand_1[] = {0.757632f, 0.279311f, 0.403069f, 0.734684f},
                     randn_1[] = {1.624345364f, -0.611756414f, -0.528171752f, -1.072968622f};
  fv_rng r;
  float out[4];
  fv_rng_torch(&r, 1);
  fv_rng_fill_uniform(&r, 0, 1, 4, out);
  for (int i = 0; i < 4; i++) assert_float_equal(out[i], rand_1[i], 6e-7f);
  fv_rng_numpy(&r, 1, NULL);
  fv_rng_fill_normal(&r, 0, 1, 4, out);
  for (int i = 0; i < 4; i++) assert_float_equal(out[i], randn_1[i], 1e-7f);
}

/* The words are those on which numpy's choice without replacement and Python's random.sample are built. */
static void samplers_of_other_libraries(void **state) {
  (void)state;
  static const int choice[] = {507, 818, 452, 368, 242, 929}, sample[] = {399, 435, 46, 270, 528};
  fv_rng r;
  int items[1000];
  for (int i = 0; i < 1000; i++) items[i] = i;
  fv_rng_numpy(&r, 1, NULL);
  for (uint32_t i = 999, mask = 1023; i > 0; i--) {
    while (mask >> 1 >= i) mask >>= 1;
    uint32_t j;
    do j = fv_rng_word(&r) & mask;
    while (j > i);
    int swap = items[i];
    items[i] = items[j];
    items[j] = swap;
  }
  for (int i = 0; i < 6; i++) assert_int_equal(items[i], choice[i]);
  fv_rng_numpy_array(&r, (const uint32_t[]){0}, 1, NULL); /* Python: random.seed(0) */
  for (int i = 0; i < 5; i++) {
    uint32_t v;
    do v = fv_rng_word(&r) >> 22;
    while (v >= 576);
    assert_int_equal(5 + v, sample[i]);
  }
}

static void bad_seeds_are_refused(void **state) {
  (void)state;
  fv_rng r;
  fv_error err = {0};
  assert_int_equal(fv_rng_numpy(&r, -1, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "-1"));
  assert_int_equal(fv_rng_numpy(&r, INT64_C(1) << 32, &err), FV_EUSAGE);
  assert_int_equal(fv_rng_numpy_array(&r, NULL, 0, &err), FV_EUSAGE);
  assert_int_equal(fv_rng_numpy(&r, UINT32_MAX, &err), FV_OK);
  fv_rng_fill_normal(&r, 0, 1, 0, NULL); /* nothing asked, nothing drawn */
  assert_int_equal(r.at, FV_RNG_STATE);
}

/* A copy of the value continues the same stream, cached half included. */
static void copies_are_independent(void **state) {
  (void)state;
  fv_rng r, copy;
  float a[7], b[7];
  fv_rng_torch(&r, 9);
  fv_rng_fill_normal(&r, 0, 1, 3, a);
  copy = r;
  fv_rng_fill_normal(&r, 0, 1, 7, a);
  fv_rng_fill_normal(&copy, 0, 1, 7, b);
  assert_memory_equal(a, b, sizeof a);
}

/* Seeds are part of recorded results, so they may never change. Expected values computed in Python. */
static void sample_seeds(void **state) {
  (void)state;
  assert_int_equal(fv_seed_for(0, ""), UINT64_C(0x08035f29acc108b3));
  assert_int_equal(fv_seed_for(1, "a"), UINT64_C(0xbe714aadd7ded67a));
  assert_int_equal(fv_seed_for(UINT64_MAX, "color/13111 \xC3\xA9"), UINT64_C(0xa8c6368879acea2d));
  assert_true(fv_seed_for(1, "ab") != fv_seed_for(1, "ba"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams_equal_numpy_and_torch), cmocka_unit_test(published_torch_vectors),
      cmocka_unit_test(published_numpy_vectors),       cmocka_unit_test(published_noise_anchors),
      cmocka_unit_test(samplers_of_other_libraries),   cmocka_unit_test(bad_seeds_are_refused),
      cmocka_unit_test(copies_are_independent),        cmocka_unit_test(sample_seeds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
