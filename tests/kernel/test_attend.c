/* Attention against plain loops, and the same bits whatever stands beside a query: other queries, other groups, other
 * threads, masked keys, absent keys, a hook that only looks. For every instruction set this processor has. */
#include "kernel/numbers.h"

#include <math.h>

#include "kernel/kernels.h"
#include "kernel/plain.h"

typedef struct scene {
  int64_t n, S, H, KV, Dh;
  float scale, *q, *k, *v, *z;
  const float **rq, **rk, **rv;
  int64_t *visible, *first;
} scene;

static scene scene_new(int64_t n, int64_t S, int64_t H, int64_t KV, int64_t Dh) {
  scene a = {.n = n, .S = S, .H = H, .KV = KV, .Dh = Dh, .scale = 1.0f / sqrtf((float)Dh)};
  a.q = random_floats(n * H * Dh, 2, 1);
  a.k = random_floats(S * KV * Dh, 2, 2);
  a.v = random_floats(S * KV * Dh, 1, 3);
  a.z = random_floats(n * H * Dh, 1, 4);
  a.rq = row_pointers(a.q, n, H * Dh);
  a.rk = row_pointers(a.k, S, KV * Dh);
  a.rv = row_pointers(a.v, S, KV * Dh);
  a.visible = malloc((size_t)n * sizeof *a.visible);
  a.first = malloc((size_t)n * sizeof *a.first);
  for (int64_t i = 0; i < n; i++) { /* causal, the last query sees all; a window of a third */
    a.visible[i] = S - n + i + 1 > 0 ? S - n + i + 1 : 0;
    a.first[i] = a.visible[i] > S / 3 + 1 ? a.visible[i] - S / 3 - 1 : 0;
  }
  return a;
}

static void scene_free(scene *a) {
  free(a->q);
  free(a->k);
  free(a->v);
  free(a->z);
  free(a->rq);
  free(a->rk);
  free(a->rv);
  free(a->visible);
  free(a->first);
}

/* mask: 0 none, 1 causal, 2 causal window */
static fv_attend_group group_of(const scene *a, int mask) {
  return (fv_attend_group){.n = a->n,
                           .S = a->S,
                           .q = a->rq,
                           .k = a->rk,
                           .v = a->rv,
                           .visible = mask ? a->visible : NULL,
                           .first = mask == 2 ? a->first : NULL,
                           .z = a->z};
}

static void run(fv_kernels *k, const scene *a, int64_t groups, const fv_attend_group *g, const fv_attend_hook *hook) {
  fv_error e;
  int64_t S = 0;
  for (int64_t i = 0; i < groups; i++) S = g[i].S > S ? g[i].S : S;
  void *scratch = malloc(fv_attend_scratch(k, a->H, a->Dh, S));
  if (fv_attend(k, a->H, a->KV, a->Dh, a->scale, groups, g, hook, scratch, &e)) fail_msg("%s", e.text);
  free(scratch);
}

static const int64_t SHAPES[][5] = {{1, 1, 1, 1, 1},    {3, 5, 2, 1, 5},      {9, 9, 4, 2, 12},   {17, 40, 3, 3, 20},
                                    {70, 70, 2, 2, 64}, {131, 131, 2, 1, 96}, {5, 600, 4, 4, 64}, {1, 1024, 8, 2, 64},
                                    {8, 33, 1, 1, 33},  {40, 17, 2, 2, 16}};
#define SHAPE_COUNT (sizeof SHAPES / sizeof *SHAPES)

static scene shape_scene(size_t s) {
  return scene_new(SHAPES[s][0], SHAPES[s][1], SHAPES[s][2], SHAPES[s][3], SHAPES[s][4]);
}

static void equals_plain(fv_kernels *k) {
  for (size_t s = 0; s < SHAPE_COUNT; s++)
    for (int mask = 0; mask < 3; mask++) {
      scene a = shape_scene(s);
      int64_t size = a.n * a.H * a.Dh;
      float *want = random_floats(size, 1, 9);
      fv_attend_group g = group_of(&a, mask), plain = g;
      plain.z = want;
      assert_int_equal(fv_plain_attend(a.H, a.KV, a.Dh, a.scale, &plain, NULL, NULL), FV_OK);
      run(k, &a, 1, &g, NULL);
      assert_close(a.z, want, size, 3e-6f, "attention");
      free(want);
      scene_free(&a);
    }
}

static void look(void *user, int64_t head, int64_t i, float *row, int64_t S) {
  (void)user, (void)head, (void)i, (void)row, (void)S;
}

/* Each query alone, in random parts, with keys cut off behind the last it sees, with a hook that only looks. */
static void same_bits_alone_and_cut(fv_kernels *k) {
  static const fv_attend_hook looking = {look, look};
  for (size_t s = 0; s < SHAPE_COUNT; s++)
    for (int mask = 0; mask < 3; mask++) {
      scene a = shape_scene(s);
      int64_t width = a.H * a.Dh;
      float *part = random_floats(a.n * width, 1, 8);
      fv_attend_group whole = group_of(&a, mask);
      run(k, &a, 1, &whole, NULL);
      uint32_t seed = 5;
      for (int64_t i = 0; i < a.n;) {
        int64_t m = 1 + next_random(&seed) % 11;
        if (m > a.n - i) m = a.n - i;
        fv_attend_group g = whole;
        g.n = m;
        g.q += i;
        g.z = part;
        if (mask) g.visible += i, g.S = a.visible[i + m - 1]; /* as when later keys do not exist yet */
        if (mask == 2) g.first += i;
        run(k, &a, 1, &g, NULL);
        assert_same_bits(part, a.z + i * width, m * width, "some queries alone");
        i += m;
      }
      whole.z = part;
      run(k, &a, 1, &whole, &looking);
      assert_same_bits(part, a.z, a.n * width, "with a hook that looks");
      free(part);
      scene_free(&a);
    }
}

static void same_bits_in_groups_and_threads(fv_kernels *k) {
  enum { groups = 23 };
  scene a = scene_new(groups * 3, 150, 4, 2, 20);
  int64_t width = a.H * a.Dh;
  fv_attend_group whole = group_of(&a, 1), g[groups];
  run(k, &a, 1, &whole, NULL);
  float *parts = random_floats(a.n * width, 1, 8);
  for (int64_t i = 0, at = 0; i < groups; i++) { /* groups of 0 to 6 rows, 3 on average */
    g[i] = whole;
    g[i].n = i == groups - 1 ? a.n - at : i % 7;
    g[i].q += at;
    g[i].visible += at;
    g[i].z = parts + at * width;
    at += g[i].n;
  }
  run(k, &a, groups, g, NULL);
  assert_same_bits(parts, a.z, a.n * width, "in groups");
  fv_kernels *one = kernels(1);
  assert_int_equal(fv_kernels_force_isa(one, fv_kernels_isa(k), NULL), FV_OK);
  run(one, &a, groups, g, NULL);
  assert_same_bits(parts, a.z, a.n * width, "on one thread");
  fv_kernels_free(one);
  free(parts);
  scene_free(&a);
}

/* Groups as a wave makes them: the parent's keys with a few of the run's own rows among them, in lists that are equal,
 * nearly equal, or shorter, and groups without rows. Each must come out as alone. */
static void same_bits_beside_other_runs(fv_kernels *k) {
  enum { groups = 90, S = 75 };
  static const int64_t widths[] = {16, 20};
  for (int w = 0; w < 2; w++) {
    scene a = scene_new(groups * 4, S, 4, 2, widths[w]), other = scene_new(1, S, 4, 2, widths[w]);
    int64_t width = a.H * a.Dh;
    float *alone = random_floats(4 * width, 1, 8);
    for (int64_t i = 0; i < S * a.KV * a.Dh; i++) other.k[i] *= -0.5f, other.v[i] += 1.0f;
    const float **lists = malloc(2 * groups * S * sizeof *lists);
    fv_attend_group g[groups];
    uint32_t seed = 99;
    for (int64_t i = 0, at = 0; i < groups; i++) {
      const float **keys = lists + 2 * i * S, **values = keys + S;
      memcpy(keys, a.rk, S * sizeof *keys);
      memcpy(values, a.rv, S * sizeof *values);
      for (uint32_t own = next_random(&seed) % 3; own > 0; own--) {
        uint32_t s = next_random(&seed) % S;
        keys[s] = other.rk[s];
        if (next_random(&seed) % 2) values[s] = other.rv[s];
      }
      g[i] = group_of(&a, 1);
      g[i].n = next_random(&seed) % 5;
      g[i].S = next_random(&seed) % 4 ? S : S - 1 - next_random(&seed) % 30;
      g[i].q += at;
      g[i].k = g[i].n ? keys : NULL;
      g[i].v = g[i].n ? values : NULL;
      g[i].z += at * width;
      for (int64_t j = 0; j < g[i].n; j++) a.visible[at + j] = next_random(&seed) % 3 ? S : next_random(&seed) % S;
      g[i].visible = a.visible + at;
      at += g[i].n;
    }
    run(k, &a, groups, g, NULL);
    for (int64_t i = 0; i < groups; i++) {
      fv_attend_group single = g[i];
      single.z = alone;
      run(k, &a, 1, &single, NULL);
      assert_same_bits(alone, g[i].z, g[i].n * width, "beside other runs");
    }
    free(lists);
    free(alone);
    scene_free(&a);
    scene_free(&other);
  }
}

/* z = 1e-20 * -1e-30 rounds to -0; a masked key beside it would turn that into +0. */
static void zero_has_one_sign(fv_kernels *k) {
  float q[2] = {1, 1}, keys[3] = {0, -46, 0}, v[3] = {-0.0f, -1e-30f, 1}, z[2];
  const float *rq[2] = {&q[0], &q[1]}, *rk[3] = {&keys[0], &keys[1], &keys[2]}, *rv[3] = {&v[0], &v[1], &v[2]};
  int64_t visible[2] = {2, 3};
  fv_attend_group g = {.n = 2, .S = 3, .q = rq, .k = rk, .v = rv, .visible = visible, .z = z};
  scene a = {.H = 1, .KV = 1, .Dh = 1, .scale = 1};
  run(k, &a, 1, &g, NULL);
  float beside = z[0], none = 0.0f;
  g.n = 1;
  g.S = 2;
  run(k, &a, 1, &g, NULL);
  assert_same_bits(&beside, &z[0], 1, "a zero beside a masked key");
  assert_same_bits(&none, &z[0], 1, "the sign of zero");
}

/* A row that sees one key gives that key's value: the bits of the long way round, which a hook takes, without a look at
 * the query and the key. */
static void one_key_is_its_value(fv_kernels *k) {
  static const fv_attend_hook looking = {look, look};
  scene a = scene_new(20, 30, 4, 2, 20);
  int64_t width = a.H * a.Dh;
  float *want = random_floats(a.n * width, 1, 8);
  for (int64_t i = 0; i < a.n; i++) a.first[i] = i % 3 ? i : 0, a.visible[i] = i % 3 ? i + 1 : i % 2 ? 30 : 1;
  fv_attend_group g = group_of(&a, 2);
  run(k, &a, 1, &g, &looking);
  memcpy(want, a.z, (size_t)(a.n * width) * sizeof *want);
  for (int64_t h = 0; h < a.H; h++)
    assert_same_bits(want + width + h * a.Dh, a.rv[1] + h / 2 * a.Dh, a.Dh, "the value");
  run(k, &a, 1, &g, NULL);
  assert_same_bits(a.z, want, a.n * width, "one key, not looked at");
  for (int64_t c = 0; c < width; c++) a.q[width + c] = c % 2 ? INFINITY : NAN;
  run(k, &a, 1, &g, &looking);
  assert_same_bits(a.z, want, a.n * width, "one key, a query that is not finite");
  const float *none[30] = {NULL};
  g.q = g.k = none, g.n = 1, g.first = a.first + 1, g.visible = a.visible + 1;
  run(k, &a, 1, &g, NULL);
  assert_same_bits(a.z, want + width, width, "neither query nor key");
  free(want);
  scene_free(&a);
}

static void hidden_rows_may_hold_anything(fv_kernels *k) {
  static const fv_attend_hook looking = {look, look};
  scene a = scene_new(13, 50, 2, 2, 20);
  int64_t width = a.H * a.Dh;
  float *clean = random_floats(a.n * width, 1, 8);
  for (int64_t i = 0; i < a.n; i++) a.visible[i] = i % 2 ? 50 : 33 + i; /* neighbours that see and do not see them */
  fv_attend_group g = group_of(&a, 1);
  run(k, &a, 1, &g, NULL);
  memcpy(clean, a.z, (size_t)(a.n * width) * sizeof *clean);
  for (int64_t s = 45; s < 50; s++)
    for (int64_t c = 0; c < width; c++) a.k[s * width + c] = NAN, a.v[s * width + c] = c % 2 ? INFINITY : NAN;
  for (int hooked = 0; hooked < 2; hooked++) {
    run(k, &a, 1, &g, hooked ? &looking : NULL);
    for (int64_t i = 0; i < a.n; i++) {
      if (a.visible[i] <= 45)
        assert_same_bits(a.z + i * width, clean + i * width, width, "in front of NaN keys");
      else
        assert_true(isnan(a.z[i * width]));
    }
  }
  scene_free(&a);
  free(clean);
}

static void seeing_nothing_gives_zero(fv_kernels *k) {
  scene a = scene_new(10, 20, 2, 1, 5);
  fv_attend_group g = group_of(&a, 1);
  for (int64_t i = 0; i < 10; i += 3) a.visible[i] = 0;
  run(k, &a, 1, &g, NULL);
  for (int64_t i = 0; i < 10; i++)
    for (int64_t c = 0; c < 10; c++) assert_true(i % 3 ? a.z[i * 10 + c] != 0 : a.z[i * 10 + c] == 0);
  scene_free(&a);
}

/* Knocks out two keys before the softmax and moves weight after it; counts its calls in user. */
typedef struct witness {
  int64_t calls;
} witness;
static void knock(void *user, int64_t head, int64_t i, float *scores, int64_t S) {
  witness *w = user;
#pragma omp atomic
  w->calls++;
  scores[0] = -INFINITY;
  scores[(head + i) % S] = -INFINITY;
}
static void push(void *user, int64_t head, int64_t i, float *pattern, int64_t S) {
  (void)user;
  pattern[(3 * head + i) % S] = 0.5f;
}

static void hooks_act(fv_kernels *k) {
  static const fv_attend_hook hook = {knock, push};
  for (size_t s = 0; s < SHAPE_COUNT; s++)
    for (int mask = 0; mask < 3; mask++) {
      scene a = shape_scene(s);
      int64_t size = a.n * a.H * a.Dh;
      float *want = random_floats(size, 1, 9);
      witness count = {0}, plain_count = {0};
      fv_attend_group g = group_of(&a, mask), plain = g;
      g.user = &count;
      plain.user = &plain_count;
      plain.z = want;
      assert_int_equal(fv_plain_attend(a.H, a.KV, a.Dh, a.scale, &plain, &hook, NULL), FV_OK);
      run(k, &a, 1, &g, &hook);
      assert_close(a.z, want, size, 3e-6f, "attention with a hook");
      assert_int_equal(count.calls, a.n * a.H);
      free(want);
      scene_free(&a);
    }
}

/* The pattern that the hook sees sums to one and is zero on masked keys. */
static void check_pattern(void *user, int64_t head, int64_t i, float *pattern, int64_t S) {
  const scene *a = user;
  double sum = 0;
  (void)head;
  for (int64_t s = 0; s < S; s++) {
    sum += pattern[s];
    if (s >= a->visible[i]) assert_true(pattern[s] == 0.0f);
  }
  assert_true(fabs(sum - 1) < 1e-6);
}

static void pattern_is_a_distribution(fv_kernels *k) {
  static const fv_attend_hook hook = {NULL, check_pattern};
  scene a = scene_new(30, 577, 2, 2, 64);
  fv_attend_group g = group_of(&a, 1);
  g.user = &a;
  run(k, &a, 1, &g, &hook);
  scene_free(&a);
}

static void wrong_heads(void **state) {
  (void)state;
  fv_kernels *k = kernels(1);
  fv_error e;
  assert_int_equal(fv_attend(k, 4, 3, 8, 1, 0, NULL, NULL, NULL, &e), FV_ESHAPE);
  assert_non_null(strstr(e.text, "4 heads"));
  assert_int_equal(fv_attend(k, 4, 2, 8, 1, 0, NULL, NULL, NULL, &e), FV_OK);
  fv_kernels_free(k);
}

static void on_every_isa(void (*test)(fv_kernels *)) {
  static const char *const isas[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2", "native"};
  int ran = 0;
  fv_kernels *k = kernels(2);
  for (int i = 0; i < 4; i++)
    if (fv_kernels_force_isa(k, isas[i], NULL) == FV_OK) ran++, test(k);
  assert_true(ran > 0);
  fv_kernels_free(k);
}

#define EVERY_ISA(f) \
  static void every_isa_##f(void **state) { (void)state, on_every_isa(f); }
EVERY_ISA(equals_plain)
EVERY_ISA(same_bits_alone_and_cut)
EVERY_ISA(same_bits_in_groups_and_threads)
EVERY_ISA(same_bits_beside_other_runs)
EVERY_ISA(zero_has_one_sign)
EVERY_ISA(one_key_is_its_value)
EVERY_ISA(hidden_rows_may_hold_anything)
EVERY_ISA(seeing_nothing_gives_zero)
EVERY_ISA(hooks_act)
EVERY_ISA(pattern_is_a_distribution)

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_isa_equals_plain),
                                     cmocka_unit_test(every_isa_same_bits_alone_and_cut),
                                     cmocka_unit_test(every_isa_same_bits_in_groups_and_threads),
                                     cmocka_unit_test(every_isa_same_bits_beside_other_runs),
                                     cmocka_unit_test(every_isa_zero_has_one_sign),
                                     cmocka_unit_test(every_isa_one_key_is_its_value),
                                     cmocka_unit_test(every_isa_hidden_rows_may_hold_anything),
                                     cmocka_unit_test(every_isa_seeing_nothing_gives_zero),
                                     cmocka_unit_test(every_isa_hooks_act),
                                     cmocka_unit_test(every_isa_pattern_is_a_distribution),
                                     cmocka_unit_test(wrong_heads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
