/* Study files: every mistake is found before anything is computed, at its line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "study/nearest.h"
#include "study/study_inside.h"
#include "support/scratch.h"

#define DEMO FV_SOURCE_DIR "/models/blip-demo"
#define PICTURE FV_SOURCE_DIR "/examples/images/red-circle-blue-square.png"

static fv_error e;
static char path[512];
static fv_model *model;

static int begin(void **state) {
  folder_setup(state);
  snprintf(path, sizeof path, "%s/s.yaml", folder);
  return fv_model_open(DEMO, NULL, &model, &e);
}
static int end(void **state) {
  fv_model_close(model);
  return folder_teardown(state);
}

static fv_status load(const char *text, fv_study **s) {
  file_write(path, text, strlen(text));
  memset(&e, 0, sizeof e);
  return fv_study_load(path, s, &e);
}

/* The place in the message, "3:5", and a part of the sentence behind it. */
static void expect_at(const char *text, const char *place, const char *part) {
  char prefix[600];
  snprintf(prefix, sizeof prefix, "%s:%s: ", path, place);
  if (strncmp(e.text, prefix, strlen(prefix)) != 0 || !strstr(e.text + strlen(prefix), part))
    fail_msg("%s\nexpected %s ... %s\nfound %s", text, place, part, e.text);
}

#define S "samples:\n  - image: " PICTURE "\n    question: what color is the circle\n    corrupt_image: " PICTURE "\n"
#define W "sweeps:\n  - kind: trace\n"

typedef struct mistake {
  const char *text, *place, *part;
} mistake;

static void test_mistakes(void **state) {
  (void)state;
  static const mistake list[] = {
      {"", "1:1", "is empty"},
      {"model: [a\n", "2:1", "is not YAML"},
      {"a: b: c\n", "1:5", "is not YAML"},
      {"model: x\n\tname: y\n", "2:1", "is not YAML"},
      {"- a\n", "1:1", "the study is a list; expected keys and values"},
      {"model: a\n---\nmodel: b\n", "2:1", "a second document"},
      {"modle: a\n", "1:1", "the study has no \"modle\"; did you mean model?"},
      {"model: a\nwhatever: 1\n", "2:1", "it has name, model, samples"},
      {"model: a\nmodel: b\n", "2:1", "model is there twice"},
      {"model:\n" S W, "1:7", "model has no value"},
      {"model: [a, b]\n" S W, "1:8", "model is a list; expected a value"},
      {S W, "1:1", "the study has no model"},
      {"model: a\n" W, "1:1", "the study has no samples"},
      {"model: a\n" S, "1:1", "the study has no sweeps"},
      {"model: a\nseed: five\n" S W, "2:7", "seed is \"five\"; expected an integer"},
      {"model: a\nseed: -1\n" S W, "2:7", "seed is -1; expected at least 0"},
      {"model: a\nseed: \"5\"\n" S W, "2:7", "expected an integer"},
      {"model: a\nseed: 0x10\n" S W, "2:7", "expected an integer"},
      {"model: a\nseed: 99999999999999999999\n" S W, "2:7", "expected an integer"},
      {"model: a\nthreads: 0\n" S W, "2:10", "threads is 0; expected at least 1"},
      {"model: a\nmemory: lots\n" S W, "2:9", "expected a size such as 800M"},
      {"model: a\ncheck: 101\n" S W, "2:8", "expected 0 to 100 percent"},
      {"model: a\nrng: torsh\n" S W, "2:6", "rng is \"torsh\"; did you mean torch?"},
      {"model: a\nrng: xyzzy\n" S W, "2:6", "expected torch|numpy"},
      {"model: a\nrequire_right: yes\n" S W, "2:16", "expected true or false"},
      {"model: a\nsamples: {images: a, dta: fer}\n" W, "2:22", "did you mean data?"},
      {"model: a\nsamples: {images: a}\n" W, "2:10", "samples has no data"},
      {"model: a\nsamples: {data: fre, images: a}\n" W, "2:17", "there is no data set \"fre\"; did you mean fer?"},
      {"model: a\nsamples: {data: imagenet, images: a}\n" W, "2:17", "`fovea help data` lists them"},
      {"model: a\nsamples: {data: cifar10, images: a}\n" W, "2:17", "make the table once with `fovea data cifar10`"},
      {"model: a\nsamples: {data: fer, images: none}\n" W, "2:10", "/none"},
      {"model: a\nsamples:\n  - {question: x}\nsweeps:\n  - {kind: patch, corrupt: [gray, question]}\n", "5:28",
       "no sample has a corrupt_question, which the sweep \"patch-1\" needs"},
      {"model: a\nsamples:\n  - {question: x}\nsweeps:\n  - {kind: patch, corrupt: gray, answers: shuffled}\n", "5:43",
       "no sample has a correct answer"},
      {"model: a\nsamples:\n  - {question: x}\nsweeps:\n  - {kind: trace, target: correct}\n", "5:27",
       "no sample has a correct answer"},
      {"model: a\nrequire_right: true\nsamples:\n  - {question: x}\n" W, "2:16", "which require_right needs"},
      {"model: a\nsamples: nothing.csv\n" W, "2:10", "nothing.csv"},
      {"model: a\nsamples: []\n" W, "2:10", "samples is an empty list"},
      {"model: a\nsamples:\n  - a.png\n" W, "3:5", "a sample is no map"},
      {"model: a\nsamples:\n  - {imgae: a.png}\n" W, "3:6", "a sample has no \"imgae\"; did you mean image?"},
      {"model: a\nsamples:\n  - {image: }\n" W, "3:13", "image has no value"},
      {"model: a\nsamples:\n  - {question: [x]}\n" W, "3:16", "question is a list; expected a value"},
      {"model: a\nsamples:\n  - {question: ~}\n" W, "3:16", "question has no value"},
      {"model: a\nsamples:\n  - {question: \"a\\0b\"}\n" W, "3:16", "a NUL character"},
      {"model: a\nsamples:\n  - {label: x}\n" W, "3:5", "neither image nor question"},
      {"model: a\nsamples:\n  - {question: x, prompt: y}\n" W, "3:5", "a question and a prompt"},
      {"model: a\nsamples:\n  - {question: x, question: y}\n" W, "3:19", "question is there twice"},
      {"model: a\nsamples:\n  - {question: x, correct_first: 2}\n" W, "3:34", "expected 0 or 1"},
      {"model: a\nsamples:\n  - {sample: a, question: x}\n  - {sample: a, question: y}\n" W, "4:5",
       "two samples are named \"a\""},
      {"model: a\ngroups: [one]\nsamples:\n  - {question: x, group: once}\n" W, "2:10", "did you mean once?"},
      {"model: a\nlimit: 0\n" S W, "2:8", "limit is 0; expected at least 1"},
      {"model: a\n" S "sweeps: {kind: trace}\n", "6:9", "sweeps is no list"},
      {"model: a\n" S "sweeps: []\n", "6:9", "an empty list"},
      {"model: a\n" S "sweeps:\n  - name: x\n", "7:5", "a sweep has no kind"},
      {"model: a\n" S "sweeps:\n  - kind: trce\n", "7:11", "did you mean trace?"},
      {"model: a\n" S "sweeps:\n  - kind: patch\n", "7:5", "the sweep has no corrupt"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    heads: each\n", "8:12", "heads belongs to kind: patch"},
      {"model: a\n" S "sweeps:\n  - kind: patch\n    corrupt: image\n    target: own\n", "9:13",
       "target belongs to kind: trace"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    widnow: 2\n", "8:5", "did you mean window?"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    window: 0\n", "8:13", "expected at least 1"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    site: a\n    restore: b\n", "9:14", "another word for site"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    site: []\n", "8:11", "site is an empty list"},
      {"model: a\n" S "sweeps:\n  - kind: trace\n    site: [a, b@3]\n", "8:15", "\"b@3\" names rows"},
      {"model: a\n" S "sweeps:\n  - {name: x, kind: trace}\n  - {name: x, kind: trace}\n", "8:12",
       "two sweeps are named \"x\""},
      {"model: a\n" S W "output: a.db\n", "8:9", "output is a value; expected keys and values"},
      {"model: a\n" S W "output: {bd: a.db}\n", "8:10", "did you mean db?"},
      {"model: a\n" S W "metrics: [prob, logitdiff]\n", "8:17", "did you mean logit_diff?"},
      {"model: a\n" S W "metrics: accuracy\n", "8:10", "expected effect, prob"},
  };
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    fv_study *s;
    if (load(list[i].text, &s) == FV_OK) fail_msg("accepted:\n%s", list[i].text);
    expect_at(list[i].text, list[i].place, list[i].part);
  }
}

/* What only the model can tell. */
static void test_mistakes_about_the_model(void **state) {
  (void)state;
  static const mistake list[] = {
      {"    site: text_encoder.*.crss.z\n    corrupt: image\n", "8:11", "did you mean text_encoder.*.cross.z?"},
      {"    site: [text_encoder.*.cross.z, text_encodr.*.attn.z]\n    corrupt: image\n", "8:36",
       "did you mean text_encoder.*.attn.z?"},
      {"    site: text_encoder.9.cross.z\n    corrupt: image\n", "8:11", "text_encoder"},
      {"    corrupt: grey\n", "8:14", "did you mean gray?"},
      {"    corrupt: [image, blur]\n", "8:22", "blur"},
      {"    corrupt: mul-gauss:mean=1,std=5@vision.finl\n", "8:14", "did you mean vision.final?"},
      {"    corrupt: gray\n    heads: 0-99\n    site: text_encoder.*.cross.z\n", "9:12", "sweep \"patch-1\""},
      {"    corrupt: gray\n    heads: each\n    site: text_encoder.*.cross.out\n", "9:12", "no heads"},
      {"    corrupt: gray\n    heads: eech\n    site: text_encoder.*.cross.z\n", "9:12",
       "expected each, all or a list"},
      {"    corrupt: [gray, 'add-gauss:std=x@vision.final']\n", "8:14", "not a finite number"},
      {"    corrupt: gray\n    rows: 77\n", "9:11", "77"},
      {"    corrupt: gray\n    layers: 3\n", "9:13", "layer"},
  };
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    char text[1024];
    fv_study *s;
    snprintf(text, sizeof text, "model: a\n" S "sweeps:\n  - kind: patch\n%s", list[i].text);
    if (load(text, &s)) fail_msg("%s\n%s", text, e.text);
    if (fv_study_check(s, model, &e) == FV_OK) fail_msg("accepted:\n%s", text);
    expect_at(text, list[i].place, list[i].part);
    fv_study_free(s);
  }
}

static void test_what_is_read(void **state) {
  (void)state;
  fv_study *s;
  static const char text[] =
      "model: ../model\nname: a study\nseed: 7\nrng: numpy\nmemory: 2G\nthreads: 3\ncheck: 12.5\nrequire_right: true\n"
      "limit: 2\ngroups: [x]\noutput: {db: out/a.db}\n"
      "samples:\n  - {sample: one, image: a.png, corrupt_image: c.png, question: q, correct: a, incorrect: b, group: "
      "x, correct_first: 1, "
      "verb: run}\n"
      "  - {image: /b.png, prompt: p, corrupt_question: c, group: y}\n  - {question: 5, group: x}\n  - {question: r, "
      "group: x}\n"
      "sweeps:\n  - {kind: patch, heads: [0, 2-3], rows: last, layers: 1, corrupt: [image, gray], direction: noise}\n"
      "  - {kind: trace, name: t, restore: vision.*.resid_post, target: correct, noise_redraw: true}\n";
  if (load(text, &s)) fail_msg("%s", e.text);
  assert_string_equal(fv_study_model(s), "../model");
  assert_string_equal(fv_study_name(s), "a study");
  assert_true(fv_study_memory(s) == (size_t)2 << 30 && fv_study_threads(s) == 3 && fv_study_samples(s) == 2);
  assert_true(s->seed == 7 && s->rng == 1 && s->check == 12.5 && s->require_right && s->nsweeps == 2);
  char file[600];
  snprintf(file, sizeof file, "%s/a.png", s->folder);
  assert_string_equal(s->pairs.list[0].image, file);
  assert_string_equal(fv_study_inner_path(s, file), "a.png");
  assert_string_equal(s->pairs.list[0].sample, "one");
  assert_string_equal(fv_pair_field(&s->pairs.list[0], "verb"), "run");
  assert_string_equal(s->pairs.list[1].sample, "2");
  assert_string_equal(s->pairs.list[1].question, "5");
  snprintf(file, sizeof file, "%s/out/a.db", s->folder);
  assert_string_equal(fv_study_db(s), file);
  const fv_study_sweep *w = s->sweeps;
  assert_string_equal(w[0].heads, "0,2-3");
  assert_string_equal(w[0].name, "patch-1");
  assert_true(w[0].direction == 1 && w[0].corrupt.count == 2 && w[0].draws == 10 && w[0].window == 1);
  assert_true(w[1].target == 1 && w[1].redraw && w[1].site.count == 1);
  fv_study_free(s);
}

/* The answers of a control are a permutation that depends on the seed. */
static void test_shuffled(void **state) {
  (void)state;
  char text[4096] = "model: a\nsamples:\n";
  for (int i = 0; i < 20; i++) strcat(text, "  - {question: q, correct: a, incorrect: b}\n");
  strcat(text, "sweeps:\n  - {kind: patch, corrupt: gray, answers: shuffled}\n  - {kind: patch, corrupt: gray}\n");
  /* NumPy's RandomState, of the two halves of the seed made of study seed 0 and "patch-1", from the last one down. */
  static const size_t expected[20] = {16, 0, 6, 9, 17, 3, 7, 5, 13, 2, 12, 15, 4, 14, 10, 18, 11, 1, 19, 8};
  size_t first[20], moved = 0, differ = 0;
  for (int seed = 0; seed < 2; seed++) {
    char file[4200];
    fv_study *s;
    snprintf(file, sizeof file, "seed: %d\n%s", seed, text);
    if (load(file, &s)) fail_msg("%s", e.text);
    assert_null(s->sweeps[1].pair_of);
    bool seen[20] = {0};
    for (size_t i = 0; i < 20; i++) {
      size_t k = s->sweeps[0].pair_of[i];
      assert_true(k < 20 && !seen[k]);
      seen[k] = true;
      if (seed == 0) assert_int_equal(k, expected[i]);
      if (seed == 0) first[i] = k, moved += k != i;
      if (seed == 1) differ += first[i] != k;
    }
    fv_study_free(s);
  }
  assert_true(moved > 10 && differ > 10);
}

/* Samples without answers keep out of the permutation, and of the control. */
static void test_shuffled_without(void **state) {
  (void)state;
  fv_study *s;
  char text[2048] = "model: a\nsamples:\n";
  for (int i = 0; i < 20; i++)
    strcat(text, i % 4 ? "  - {question: q, correct: a, incorrect: b}\n" : "  - {question: q}\n");
  strcat(text, "sweeps:\n  - {kind: patch, corrupt: gray, answers: shuffled}\n");
  if (load(text, &s)) fail_msg("%s", e.text);
  for (size_t i = 0; i < 20; i++) {
    fv_sample_options o;
    assert_int_equal(fv_sample_options_make(s, s->sweeps, i, &o, &e), FV_OK);
    if (i % 4)
      assert_true(o.correct && !o.missing);
    else
      assert_string_equal(o.missing, "correct answer");
    fv_sample_options_release(&o);
  }
  fv_study_free(s);
}

/* A data set in the study file gives the samples that its table would. */
static void test_data_set(void **state) {
  (void)state;
  char text[2048], images[600];
  size_t n;
  char *picture = file_text(PICTURE, &n);
  static const char *const names[] = {"happy", "sad"};
  for (int i = 0; i < 2; i++) {
    snprintf(images, sizeof images, "%s/faces/%s", folder, names[i]);
    if (i == 0) assert_int_equal(mkdir(in_folder("faces"), 0777), 0);
    assert_int_equal(mkdir(images, 0777), 0);
    for (int k = 0; k < 3; k++) {
      snprintf(images, sizeof images, "%s/faces/%s/%d.%s", folder, names[i], k, k == 2 ? "txt" : "png");
      file_write(images, picture, n);
    }
  }
  free(picture);
  fv_study *s, *t;
  fv_pairs pairs;
  snprintf(text, sizeof text, "model: a\nsamples: {data: fer, images: faces, seed: 3}\n" W);
  if (load(text, &s)) fail_msg("%s", e.text);
  assert_int_equal(fv_study_samples(s), 4);
  assert_int_equal(fv_study_left_out(s), 2);
  snprintf(images, sizeof images, "%s/faces", folder);
  assert_int_equal(fv_data_build(&(fv_data_options){.kind = "fer", .images = images, .seed = 3}, &pairs, &e), FV_OK);
  assert_int_equal(fv_pairs_save(in_folder("t.csv"), &pairs, &e), FV_OK);
  fv_pairs_release(&pairs);
  snprintf(text, sizeof text, "model: a\nsamples: t.csv\n" W);
  if (load(text, &t)) fail_msg("%s", e.text);
  assert_int_equal(fv_study_left_out(t), 0);
  assert_string_equal(s->settings, t->settings);
  fv_study_free(s), fv_study_free(t);
}

/* A sample without the text or the picture that the model needs is to be excluded; it says nothing about the study. */
static void test_unsound_samples(void **state) {
  (void)state;
  fv_study *s;
  static const char *const texts[] = {"model: a\nsamples:\n  - {image: " PICTURE "}\n  - {image: " PICTURE
                                      ", question: what}\nsweeps:\n  - {kind: patch, corrupt: gray}\n",
                                      "model: a\nsamples:\n  - {question: what}\n  - {image: " PICTURE
                                      ", question: what}\nsweeps:\n  - {kind: patch, corrupt: gray}\n"};
  for (int i = 0; i < 2; i++) {
    if (load(texts[i], &s) || fv_study_check(s, model, &e)) fail_msg("%s\n%s", texts[i], e.text);
    fv_study_free(s);
  }
}

/* What a dry run says of samples that lack a column. */
static void test_lacking(void **state) {
  (void)state;
  fv_study *s;
  fv_study_cost plan;
  fv_study_options o = {0};
  static const char text[] = "model: a\n" S "  - {image: " PICTURE ", question: what}\n  - {image: " PICTURE
                             ", question: what is}\nsweeps:\n  - {kind: patch, corrupt: image}\n";
  if (load(text, &s)) fail_msg("%s", e.text);
  assert_int_equal(fv_study_plan(s, model, &o, &plan, &e), FV_OK);
  assert_true(plan.samples == 3 && plan.lacking == 2 && plan.stored == 0);
  fv_cost one;
  assert_int_equal(fv_study_sweep_cost(s, model, s->sweeps, 0, 0, &one, &e), FV_OK);
  assert_int_equal(plan.cost.runs, one.runs);
  assert_string_equal(plan.reason, "");
  fv_study_free(s);
  /* Where the samples that are looked at first cannot be used, others are. */
  char many[2048] = "model: a\nsamples:\n";
  for (int i = 0; i < 8; i++)
    strcat(many, i == 5 ? "  - {image: " PICTURE ", question: what}\n" : "  - {image: none.png, question: what}\n");
  strcat(many, "sweeps:\n  - {kind: patch, corrupt: gray}\n");
  if (load(many, &s)) fail_msg("%s", e.text);
  assert_int_equal(fv_study_plan(s, model, &o, &plan, &e), FV_OK);
  assert_int_equal(fv_study_sweep_cost(s, model, s->sweeps, 5, 0, &one, &e), FV_OK);
  assert_true(plan.cost.runs == 8 * one.runs && strncmp(plan.reason, "0: ", 3) == 0);
  fv_study_free(s);
  if (load("model: a\nsamples:\n  - {sample: x, image: none.png, question: what}\n" W, &s)) fail_msg("%s", e.text);
  assert_int_equal(fv_study_plan(s, model, &o, &plan, &e), FV_OK);
  assert_true(plan.cost.runs == 0 && strncmp(plan.reason, "x: ", 3) == 0 &&
              strstr(plan.reason, "none.png: cannot open"));
  fv_study_free(s);
  /* A long reason is said to its end. */
  if (load("model: a\nsamples:\n  - {image: " PICTURE ", question: what, corrupt_question: what color is it}\n"
           "sweeps:\n  - {kind: patch, corrupt: question}\n",
           &s))
    fail_msg("%s", e.text);
  assert_int_equal(fv_study_plan(s, model, &o, &plan, &e), FV_OK);
  assert_non_null(strstr(plan.reason, "(pad_attended fills the shorter text up)"));
  fv_study_free(s);
}

static void test_nearest(void **state) {
  (void)state;
  assert_int_equal(fv_edit_distance("", "abc"), 3);
  assert_int_equal(fv_edit_distance("kitten", "sitting"), 3);
  assert_int_equal(fv_edit_distance("modle", "model"), 1); /* neighbours swapped */
  assert_int_equal(fv_edit_distance("same", "same"), 0);
  static const char *const words[] = {"model", "name", "samples"};
  assert_string_equal(fv_nearest("nmae", words, 3), "name");
  assert_string_equal(fv_nearest("sample", words, 3), "samples");
  assert_null(fv_nearest("zzzz", words, 3));
  assert_null(fv_nearest("anything", words, 0));
}

static void test_differences(void **state) {
  (void)state;
  assert_int_equal(fv_settings_compare("a.db", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}", &e), FV_OK);
  assert_int_equal(fv_settings_compare("a.db", "{\"seed\":1,\"sweeps\":{\"x\":{\"window\":1},\"y\":{}}}",
                                       "{\"seed\":2,\"sweeps\":{\"x\":{\"window\":3},\"z\":{}}}", &e),
                   FV_EMISMATCH);
  assert_non_null(strstr(e.text,
                         "seed is 1 there and 2 here; sweeps.x.window is 1 there and 3 here; "
                         "sweeps.y is {} there and nothing here; sweeps.z is nothing there and {} here"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistakes),         cmocka_unit_test(test_mistakes_about_the_model),
      cmocka_unit_test(test_what_is_read),     cmocka_unit_test(test_shuffled),
      cmocka_unit_test(test_shuffled_without), cmocka_unit_test(test_data_set),
      cmocka_unit_test(test_unsound_samples),  cmocka_unit_test(test_lacking),
      cmocka_unit_test(test_nearest),          cmocka_unit_test(test_differences),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
