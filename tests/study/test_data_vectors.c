/* Random choices against numpy and pandas, likeness of words against RapidFuzz, literals against Python. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "study/data_draw.h"
#include "study/data_literal.h"
#include "study/data_pairs.h"
#include "study/data_words.h"

static json_t *vectors;
static fv_error err;

static int load(void **state) {
  (void)state;
  vectors = json_load_file(FV_TEST_DATA "/study/vectors.json", 0, NULL);
  return vectors ? 0 : -1;
}

static int unload(void **state) {
  (void)state;
  json_decref(vectors);
  return 0;
}

static int64_t integer(const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  assert_true(json_is_integer(v));
  return json_integer_value(v);
}

static const char *text(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static void test_randint(void **state) {
  (void)state;
  size_t i, k, n = 0;
  json_t *one, *size;
  json_array_foreach(json_object_get(vectors, "randint"), i, one) {
    fv_rng r;
    assert_int_equal(fv_rng_numpy(&r, integer(one, "seed"), &err), FV_OK);
    json_array_foreach(json_object_get(one, "n"), k, size) {
      int64_t wanted = json_integer_value(json_array_get(json_object_get(one, "values"), k));
      assert_int_equal(fv_draw_below(&r, (size_t)json_integer_value(size)), wanted);
      n++;
    }
  }
  assert_true(n > 50);
}

static void test_sample(void **state) {
  (void)state;
  size_t i, k, got[64];
  json_t *one, *wanted;
  json_array_foreach(json_object_get(vectors, "sample"), i, one) {
    size_t n = (size_t)integer(one, "n"), take = (size_t)integer(one, "k");
    assert_int_equal(fv_draw_sample(n, take, integer(one, "seed"), got, &err), FV_OK);
    json_array_foreach(json_object_get(one, "index"), k, wanted) assert_int_equal(got[k], json_integer_value(wanted));
    assert_int_equal(k, take);
  }
  assert_true(i > 5);
  assert_int_equal(fv_draw_sample(5, 2, -1, got, &err), FV_EUSAGE);
}

/* A sample's stream depends on the seed and on its name. */
static void test_stream(void **state) {
  (void)state;
  fv_rng a, b, c, d;
  fv_draw_stream(&a, 0, "x"), fv_draw_stream(&b, 0, "x"), fv_draw_stream(&c, 1, "x"), fv_draw_stream(&d, 0, "y");
  uint32_t word = fv_rng_word(&a);
  assert_true(word == fv_rng_word(&b) && word != fv_rng_word(&c) && word != fv_rng_word(&d));
}

static void test_alike(void **state) {
  (void)state;
  size_t i, n = 0;
  json_t *one;
  json_array_foreach(json_object_get(vectors, "alike"), i, one) {
    const char *a = json_string_value(json_array_get(one, 0)), *b = json_string_value(json_array_get(one, 1));
    double wanted = json_number_value(json_array_get(one, 2)), got = fv_words_alike(a, b);
    if (fabs(got - wanted) > 1e-9) fail_msg("%s, %s: %.12f, expected %.12f", a, b, got, wanted);
    n++;
  }
  assert_true(n > 800);
  assert_true(fv_words_alike("", "a") == 0.0);
}

static void found(const char *prompt, const char *word, size_t except, int wanted) {
  fv_words w;
  fv_words_cut(prompt, &w);
  int got = (int)fv_words_find(&w, word, except);
  if (got != wanted) fail_msg("\"%s\" in \"%s\": %d, expected %d", word, prompt, got, wanted);
}

static void test_words(void **state) {
  (void)state;
  fv_words w;
  fv_words_cut(" is  the dog? or: a", &w);
  assert_int_equal(w.count, 5);
  assert_true(fv_words_is(&w, 2, "dog") && fv_words_is(&w, 3, "or") && !fv_words_is(&w, 2, "do"));
  assert_true(fv_words_have_or("a or b") && !fv_words_have_or("door for more") && fv_words_have_or("b, or?"));
  found("is man or dog sit grass?", "dog", SIZE_MAX, 3);
  found("Is the man sitting or standing on grass?", "sit", SIZE_MAX, 3);
  found("Is the man sitting or standing on grass?", "stand", 3, 5);
  found("is dog chase cat or dog?", "dog", SIZE_MAX, 5); /* the one beside "or" */
  found("is dog or cat chase dog?", "dog", SIZE_MAX, 1);
  found("is man or dog sit grass?", "xyzzy", SIZE_MAX, -1);
  static const char *const ing[][2] = {
      {"walk", "walking"}, {"run", "running"},    {"ride", "riding"}, {"lie", "lying"},       {"see", "seeing"},
      {"play", "playing"}, {"show", "showing"},   {"sit", "sitting"}, {"eat", "eating"},      {"visit", "visiting"},
      {"dye", "dyeing"},   {"swing", "swinging"}, {"fix", "fixing"},  {"walking", "walking"}, {"jog", "jogging"}};
  for (size_t i = 0; i < sizeof ing / sizeof *ing; i++) {
    char *got = fv_word_ing(ing[i][0]);
    assert_string_equal(got, ing[i][1]);
    free(got);
  }
}

static void test_literals(void **state) {
  (void)state;
  size_t i;
  json_t *one, *got;
  json_array_foreach(json_object_get(vectors, "literals"), i, one) {
    const char *literal = json_string_value(json_array_get(one, 0));
    if (fv_literal_parse(literal, "cell", &got, &err)) fail_msg("%s: %s", literal, err.text);
    if (!json_equal(got, json_array_get(one, 1))) fail_msg("%s: another value than Python's", literal);
    json_decref(got);
  }
  assert_true(i > 10);
}

static void test_bad_literals(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } cases[] = {
      {"", "cell: not a Python literal at character 1: expected a list, dict, string, number, True, False or None"},
      {"['a'", "cell: not a Python literal at character 5: expected a comma or ]"},
      {"('a' 'b')", "at character 6: expected a comma or )"},
      {"{'a' 1}", "at character 6: expected a colon"},
      {"{1: 2}", "at character 2: expected a key in quotes"},
      {"{'a': 1", "expected a comma or }"},
      {"{'a': }", "at character 7: expected a list"},
      {"'abc", "at character 5: expected the end of the string"},
      {"'a\nb'", "expected the end of the string"},
      {"'\\N{DOG}'", "expected one of Python's escapes"},
      {"'\\ud800'", "expected one of Python's escapes"},
      {"'\\0'", "expected one of Python's escapes"},
      {"[1] 2", "at character 5: expected the end of the cell"},
      {"__import__('os')", "at character 1: expected a list"},
      {"1-2", "expected a number of 64 bits"},
      {"99999999999999999999", "expected a number of 64 bits"},
      {"1.5.2", "expected a number"},
      {"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "expected less nesting"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *got;
    fv_status st = fv_literal_parse(cases[i].text, "cell", &got, &err);
    if (st != FV_EFORMAT) fail_msg("accepted: %s", cases[i].text);
    if (!strstr(err.text, cases[i].error)) fail_msg("%s: %s", cases[i].text, err.text);
    assert_null(got);
  }
}

static fv_pairs table_of(const json_t *rows) {
  fv_pairs s = {0};
  size_t i;
  json_t *row;
  json_array_foreach(rows, i, row) {
    fv_pair *p;
    assert_int_equal(fv_pairs_add(&s, text(row, "sample"), &p, &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->group, text(row, "group"), &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->correct, text(row, "correct"), &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->question, "this or that", &err), FV_OK);
    assert_int_equal(fv_pair_set_field(p, "generated", text(row, "generated"), &err), FV_OK);
    assert_int_equal(fv_pair_set_field(p, "picture", text(row, "picture"), &err), FV_OK);
    p->correct_first = (int)integer(row, "correct_first");
  }
  return s;
}

/* The rows that pandas draws, in its order. */
static void test_select(void **state) {
  (void)state;
  static const char *const rules[][2] = {{"fer", "correct_first"}, {"svo", "picture"}};
  const json_t *select = json_object_get(vectors, "select");
  for (size_t k = 0; k < 2; k++) {
    const json_t *wanted = json_object_get(json_object_get(select, "taken"), rules[k][1]);
    fv_pairs s = table_of(json_object_get(select, "rows"));
    size_t all = s.count;
    fv_select_options o = {.rule = rules[k][0], .count = integer(select, "count"), .seed = 1};
    if (fv_data_select(&o, &s, &err)) fail_msg("%s", err.text);
    assert_int_equal(s.count, json_array_size(wanted));
    for (size_t i = 0; i < s.count; i++)
      assert_string_equal(s.list[i].sample, json_string_value(json_array_get(wanted, i)));
    assert_int_equal(s.count + s.nexcluded, all);
    if (k == 1) assert_string_equal(s.list[0].question, "this or that?");
    fv_pairs_release(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_randint),      cmocka_unit_test(test_sample), cmocka_unit_test(test_stream),
      cmocka_unit_test(test_alike),        cmocka_unit_test(test_words),  cmocka_unit_test(test_literals),
      cmocka_unit_test(test_bad_literals), cmocka_unit_test(test_select),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
