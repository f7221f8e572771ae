/* Attention maps against transformers' patterns (tests/data/FAMILY/NAME/vectors), sums, differences, errors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/attend.h"
#include "support/vectors.h"

/* A model with its first case, and transformers' patterns of it. */
typedef struct bench {
  fv_vectors v;
  fv_checkpoint *reference;
  char *images[2];
  fv_attend_options o;
} bench;

static void bench_open_in(bench *b, const char *dir, const char *vectors) {
  *b = (bench){0};
  vectors_open_in(dir, vectors, &b->v);
  const json_t *one = vectors_case(&b->v, 0);
  char *path = vectors_path(&b->v, json_string_value(json_object_get(one, "tensors")));
  OK(fv_checkpoint_open_file(path, &b->reference, ERR));
  free(path);
  fv_attend_defaults(&b->o);
  b->o.input.question = json_string_value(json_object_get(one, "question"));
  const json_t *images = json_object_get(one, "images");
  for (size_t i = 0; i < 2 && images; i++)
    b->images[i] = vectors_path(&b->v, json_string_value(json_array_get(images, i)));
  if (images) {
    b->o.input.images = (const char *const *)b->images, b->o.input.nimages = 2;
    return;
  }
  b->images[0] = vectors_path(&b->v, json_string_value(json_object_get(one, "image")));
  b->o.input.image = b->images[0];
}

static void bench_open(bench *b, const char *dir) { bench_open_in(b, dir, "vectors"); }

static void bench_close(bench *b) {
  fv_checkpoint_close(b->reference);
  vectors_close(&b->v);
  free(b->images[0]), free(b->images[1]);
}

/* transformers' weight; patterns are [H, T, S]. */
static double weight(const bench *b, const char *stack, const char *site, int64_t layer, int64_t head, int64_t row,
                     int64_t key) {
  char name[128];
  snprintf(name, sizeof name, "%s.%lld.%s", stack, (long long)layer, site);
  const fv_tensor *t = fv_checkpoint_find(b->reference, name);
  if (!t) fail_msg("the reference has no %s", name);
  assert_true(head < t->shape[0] && row < t->shape[1] && key < t->shape[2]);
  return fv_tensor_f32(t)[(head * t->shape[1] + row) * t->shape[2] + key];
}

static void within(double a, double b, double tolerance) {
  if (!(fabs(a - b) <= tolerance)) fail_msg("%.9g, expected %.9g", a, b);
}
static void near(double a, double b) { within(a, b, 1e-6); }

/* Cross-attention over the picture: the mean of all rows, one row, the answer's row; class key and patches. */
static void test_cross(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_string_equal(a.stack, "text_encoder");
  assert_string_equal(a.site, "cross.pattern");
  assert_true(a.picture && a.down == 5 && a.across == 5 && a.rows == 8 && a.keys == 25 && a.samples == 1);
  assert_int_equal(a.nheads, 10);
  assert_int_equal(a.cls_keys[0], 0);
  assert_string_equal(a.row_labels[5], "shirt");
  assert_string_equal(a.key_labels[7], "image[1,2]");
  assert_int_equal(a.key_index[7], 8);
  for (size_t i = 0; i < a.nheads; i++) {
    const fv_attend_head *h = &a.heads[i];
    assert_int_equal(h->layer * 5 + h->head, i);
    double sum = *h->cls + *h->other;
    for (int64_t k = 0; k < 26; k++) {
      double mean = 0.0;
      for (int64_t t = 0; t < 8; t++) mean += weight(&b, a.stack, a.site, h->layer, h->head, t, k) / 8;
      near(k ? h->weights[k - 1] : *h->cls, mean);
    }
    for (int64_t k = 0; k < 25; k++) sum += h->weights[k];
    near(sum, 1.0);
    near(*h->other, 0.0);
  }
  static const char *const rows[] = {"5", "\"shirt\"", "answer"};
  b.o.correct = "shirt", b.o.heads = "L1H4,L0H2";
  for (int i = 0; i < 3; i++) {
    b.o.rows = rows[i];
    OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
    assert_true(a.nheads == 2 && a.rows == 1 && a.row_index[0] == 5);
    assert_true(a.heads[0].layer == 1 && a.heads[0].head == 4 && a.heads[1].layer == 0 && a.heads[1].head == 2);
    for (int64_t k = 0; k < 25; k++) near(a.heads[0].weights[k], weight(&b, a.stack, a.site, 1, 4, 5, k + 1));
    near(*a.heads[1].cls, weight(&b, a.stack, a.site, 0, 2, 5, 0));
  }
  fv_attend_release(&a);
  bench_close(&b);
}

/* The mean over all heads of all layers does not depend on which are chosen, and can be taken from them. */
static void test_average(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  b.o.average = true, b.o.rows = "3", b.o.layers = "1", b.o.heads = "0,2";
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_int_equal(a.nheads, 3);
  assert_int_equal(a.heads[2].layer, -1);
  double mean[26] = {0}, before = a.heads[1].weights[6];
  for (int64_t i = 0; i < 10; i++)
    for (int64_t k = 0; k < 26; k++) mean[k] += weight(&b, a.stack, a.site, i / 5, i % 5, 3, k) / 10;
  for (int64_t k = 0; k < 25; k++) near(a.heads[2].weights[k], mean[k + 1]);
  near(*a.heads[2].cls, mean[0]);
  OK(fv_attend_minus_average(&a, ERR));
  near(a.heads[1].weights[6], before - mean[7]);
  near(*a.heads[0].cls, weight(&b, a.stack, a.site, 1, 0, 3, 0) - mean[0]);
  near(a.heads[2].weights[6], mean[7]);
  b.o.average = false;
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_int_equal(fv_attend_minus_average(&a, NULL), FV_EUSAGE);
  fv_attend_release(&a);
  bench_close(&b);
}

/* Text looks at text: a matrix of rows and keys. */
static void test_matrix(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  b.o.site = "text_encoder.*.attn.pattern", b.o.rows = "2,0";
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_true(!a.picture && a.rows == 2 && a.keys == 8 && a.nheads == 10);
  assert_string_equal(a.key_labels[7], "[SEP]");
  for (size_t i = 0; i < a.nheads; i++)
    for (int64_t k = 0; k < 8; k++) {
      near(a.heads[i].weights[k], weight(&b, a.stack, a.site, a.heads[i].layer, a.heads[i].head, 2, k));
      near(a.heads[i].weights[8 + k], weight(&b, a.stack, a.site, a.heads[i].layer, a.heads[i].head, 0, k));
    }
  b.o.site = "text_encoder.0.cross.pattern", b.o.keys = FV_KEYS_ALL; /* a picture's keys as a matrix */
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_true(!a.picture && a.rows == 2 && a.keys == 26 && a.nheads == 5);
  near(a.heads[3].weights[26 + 4], weight(&b, a.stack, a.site, 0, 3, 0, 4));
  fv_attend_release(&a);
  bench_close(&b);
}

/* The picture's own stack: what the class row looks at. The class row's share is key 0, not the first patch. */
static void test_vision(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/vit/bare");
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_string_equal(a.stack, "vision");
  assert_true(a.picture && a.rows == 1 && a.down == 4 && a.across == 4 && a.nheads == 14);
  assert_string_equal(a.row_labels[0], "cls");
  for (size_t i = 0; i < a.nheads; i++) {
    near(*a.heads[i].cls, weight(&b, a.stack, a.site, a.heads[i].layer, a.heads[i].head, 0, 0));
    for (int64_t k = 0; k < 16; k++)
      near(a.heads[i].weights[k], weight(&b, a.stack, a.site, a.heads[i].layer, a.heads[i].head, 0, k + 1));
  }
  fv_attend_release(&a);
  bench_close(&b);
}

/* A language model that holds the picture among its rows: patches are 5..8 here, their class row is 4. */
static void test_language(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/llava/first");
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_string_equal(a.stack, "language");
  assert_true(a.picture && a.down == 2 && a.across == 2 && a.rows == 1 && a.row_index[0] == 21);
  int64_t patch = a.key_index[0];
  assert_int_equal(patch, 5);
  assert_int_equal(a.cls_keys[0], 4);
  for (size_t i = 0; i < a.nheads; i++) {
    double other = 0.0;
    for (int64_t k = 0; k < 22; k++) {
      double w = weight(&b, a.stack, a.site, a.heads[i].layer, a.heads[i].head, 21, k);
      if (k >= patch && k < patch + 4)
        near(a.heads[i].weights[k - patch], w);
      else if (k == patch - 1)
        near(*a.heads[i].cls, w);
      else
        other += w;
    }
    near(*a.heads[i].other, other);
  }
  b.o.keys = FV_KEYS_TEXT, b.o.rows = "-1,-2", b.o.layers = "0";
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_true(!a.picture && a.rows == 2 && a.keys == 18 && a.nheads == 5);
  near(a.heads[1].weights[3], weight(&b, a.stack, a.site, 0, 1, 21, 3));
  near(a.heads[1].weights[18 + 17], 0.0); /* the last row is not seen by the one before it */
  double rest = 1.0;
  for (int k = 0; k < 18; k++) rest -= a.heads[1].weights[18 + k];
  near(a.heads[1].other[1], rest);
  fv_attend_release(&a);
  bench_close(&b);
}

/* Two pictures in one prompt: a map for each, at its own rows of the language model. */
static void test_pictures(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0}, sum = {0};
  bench_open_in(&b, FV_TEST_DATA "/llava/grouped", "pairs");
  b.o.rows = "-1,15"; /* the last, and one of the second picture */
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_true(a.picture && a.pictures == 2 && a.down == 3 && a.across == 3 && a.keys == 18 && a.rows == 2);
  assert_string_equal(a.key_labels[5], "image[1,2]");
  assert_string_equal(a.key_labels[9], "image2[0,0]");
  for (size_t i = 0; i < a.nheads; i++) {
    const fv_attend_head *h = &a.heads[i];
    double all = *h->other;
    for (int64_t k = 0; k < 18; k++) {
      int64_t key = 3 + k;
      assert_int_equal(a.key_index[k], key);
      double last = weight(&b, a.stack, a.site, h->layer, h->head, 28, key);
      within(h->weights[k], (last + weight(&b, a.stack, a.site, h->layer, h->head, 15, key)) / 2, 5e-6);
      all += h->weights[k];
    }
    near(all, 1.0);
    assert_true(isnan(h->cls[0]) && isnan(h->cls[1]));
  }
  OK(fv_attend_add(&sum, &a, ERR));
  OK(fv_attend_add(&sum, &a, ERR));
  assert_true(sum.samples == 2 && sum.pictures == 2 && sum.cls_keys[1] == -1);
  near(sum.heads[3].weights[17], a.heads[3].weights[17]);
  b.o.input.nimages = 1, b.o.rows = "-1";
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_int_equal(fv_attend_add(&sum, &a, NULL), FV_ESHAPE);
  fv_attend_release(&a), fv_attend_release(&sum);
  bench_close(&b);
}

/* In the pictures' own stack none sees another: every map is the mean over its own picture's rows, by default its class
 * row. */
static void test_own_stack(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open_in(&b, FV_TEST_DATA "/llava/first", "pairs");
  b.o.site = "vision.*.attn.pattern";
  for (int rows = 0; rows < 2; rows++) {
    b.o.rows = rows ? "cls,7,9" : NULL; /* two of the second picture */
    OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
    assert_true(a.pictures == 2 && a.down == 2 && a.keys == 8 && a.rows == (rows ? 3 : 2));
    assert_true(a.row_index[0] == 0 && a.row_index[1] == (rows ? 7 : 5));
    assert_true(a.cls_keys[0] == 0 && a.cls_keys[1] == 5);
    for (size_t i = 0; i < a.nheads; i++) {
      const fv_attend_head *h = &a.heads[i];
      for (int64_t k = 0; k < 10; k++) {
        int64_t first = k < 5 ? 0 : rows ? 7 : 5, second = k < 5 || !rows ? first : 9;
        double want = (weight(&b, a.stack, a.site, h->layer, h->head, first, k) +
                       weight(&b, a.stack, a.site, h->layer, h->head, second, k)) /
                      2;
        near(k % 5 ? h->weights[k / 5 * 4 + k % 5 - 1] : h->cls[k / 5], want);
      }
      near(*h->other, 0.0);
    }
  }
  fv_attend_release(&a);
  bench_close(&b);
}

/* An answer of several pieces is looked at where it begins. */
static void test_answer_of_pieces(void **state) {
  (void)state;
  bench b;
  fv_attend_maps a = {0};
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  b.o.input.question = "is the shirt redish or green?", b.o.rows = "answer", b.o.correct = "redish";
  OK(fv_attend_measure(b.v.model, &b.o, &a, ERR));
  assert_true(a.rows == 1 && a.row_index[0] == 4);
  assert_string_equal(a.row_labels[0], "red");
  fv_attend_release(&a);
  bench_close(&b);
}

static void test_sums(void **state) {
  (void)state;
  bench b;
  fv_attend_maps sum = {0}, one = {0}, two = {0}, other = {0}, twos = {0}, parts = {0};
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  char *second = vectors_path(&b.v, "image1.png");
  OK(fv_attend_measure(b.v.model, &b.o, &one, ERR));
  b.o.input.image = second, b.o.input.question = "where is the small dog on the beach?";
  OK(fv_attend_measure(b.v.model, &b.o, &two, ERR));
  OK(fv_attend_add(&sum, &one, ERR));
  OK(fv_attend_add(&sum, &two, ERR));
  OK(fv_attend_add(&sum, &two, ERR));
  assert_int_equal(sum.samples, 3);
  for (size_t i = 0; i < sum.nheads; i++)
    for (int k = 0; k < 25; k++) {
      double mean = (one.heads[i].weights[k] + 2 * two.heads[i].weights[k]) / 3;
      assert_true(fabs(sum.heads[i].weights[k] - mean) < 1e-15);
    }
  /* In parts: an average counts as many samples as are in it. */
  OK(fv_attend_add(&twos, &two, ERR));
  OK(fv_attend_add(&twos, &two, ERR));
  OK(fv_attend_add(&parts, &one, ERR));
  OK(fv_attend_add(&parts, &twos, ERR));
  assert_int_equal(parts.samples, 3);
  for (int k = 0; k < 25; k++) assert_true(fabs(parts.heads[3].weights[k] - sum.heads[3].weights[k]) < 1e-15);
  fv_attend_release(&twos), fv_attend_release(&parts);
  assert_string_equal(sum.key_labels[3], "image[0,3]");
  assert_null(sum.row_labels[0]); /* texts of other lengths */
  OK(fv_attend_subtract(&sum, &sum, ERR));
  assert_true(sum.heads[4].weights[9] == 0.0);
  b.o.heads = "0";
  OK(fv_attend_measure(b.v.model, &b.o, &other, ERR));
  assert_int_equal(fv_attend_add(&sum, &other, NULL), FV_ESHAPE);
  assert_int_equal(fv_attend_subtract(&sum, &other, NULL), FV_ESHAPE);
  b.o.site = "text_encoder.*.attn.pattern";
  fv_attend_release(&sum);
  OK(fv_attend_measure(b.v.model, &b.o, &other, ERR));
  OK(fv_attend_add(&sum, &other, ERR));
  b.o.input.question = "what color?";
  OK(fv_attend_measure(b.v.model, &b.o, &other, ERR));
  assert_int_equal(fv_attend_add(&sum, &other, NULL), FV_ESHAPE); /* matrices of other lengths */
  assert_int_equal(sum.samples, 1);
  fv_attend_release(&sum), fv_attend_release(&one), fv_attend_release(&two), fv_attend_release(&other);
  free(second);
  bench_close(&b);
}

static void test_errors(void **state) {
  (void)state;
  static const struct {
    fv_attend_options o;
    fv_status status;
    const char *says;
  } cases[] = {
      {{.site = "text_encoder.*.cross.z"}, FV_EUSAGE, "no attention pattern"},
      {{.site = "text_encoder.*.cross.pattern#1"}, FV_EUSAGE, "lists of their own"},
      {{.site = "text_encoder.7.cross.pattern"}, FV_ENOTFOUND, "7"},
      {{.heads = "9"}, FV_ENOTFOUND, "9"},
      {{.heads = "L0H9"}, FV_ENOTFOUND, "heads 0..4"},
      {{.heads = "L2H0"}, FV_ENOTFOUND, "no layer 2"},
      {{.heads = "L0H0,"}, FV_EUSAGE, "L5H3"},
      {{.heads = "L0H0", .layers = "1"}, FV_EUSAGE, "layers"},
      {{.site = "text_encoder.0.cross.pattern", .layers = "1"}, FV_ENOTFOUND, "no layer 1"},
      {{.rows = "answer"}, FV_EUSAGE, "the answer"},
      {{.rows = "answer", .correct = "dog"}, FV_ENOTFOUND, "is not in the question"},
      {{.site = "vision.*.attn.pattern", .rows = "answer", .correct = "shirt"}, FV_EUSAGE, "question"},
      {{.site = "text_encoder.*.attn.pattern", .keys = FV_KEYS_IMAGE}, FV_EUSAGE, "not image patches"},
  };
  bench b;
  bench_open(&b, FV_TEST_DATA "/blip/tied");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_attend_options o = cases[i].o;
    fv_attend_maps a = {0};
    fv_error err = {0};
    o.input = b.o.input;
    fv_status st = fv_attend_measure(b.v.model, &o, &a, &err);
    if (st != cases[i].status || !strstr(err.text, cases[i].says))
      fail_msg("case %zu: status %d, \"%s\"; expected %d, \"%s\"", i, st, err.text, cases[i].status, cases[i].says);
    assert_null(a.heads);
  }
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cross),     cmocka_unit_test(test_average),  cmocka_unit_test(test_matrix),
      cmocka_unit_test(test_vision),    cmocka_unit_test(test_language), cmocka_unit_test(test_answer_of_pieces),
      cmocka_unit_test(test_sums),      cmocka_unit_test(test_errors),   cmocka_unit_test(test_pictures),
      cmocka_unit_test(test_own_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
