/* LLaVA against transformers: every site of every layer, generated ids, and random interventions done with hooks.
 * The reference numbers are made by tools/reference/make_llava.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"
#include "support/reference.h"

/* Behind the checkpoints' own vectors those with two pictures, by tools/reference/make_llava_pairs.py. */
static reference_folder folders[] = {{"llava", "grouped", "vectors", 107, 4}, {"llava", "first", "vectors", 92, 4},
                                     {"llava", "phi3", "vectors", 107, 4},    {"llava", "native", "vectors", 128, 4},
                                     {"llava", "grouped", "pairs", 107, 4},   {"llava", "first", "pairs", 39, 4},
                                     {"llava", "phi3", "pairs", 40, 4},       {0}};
enum { NCHECKPOINTS = 4, NFOLDERS = 7 };

static fv_status keep_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

/* A run that continues run `outer` of the wave before with one id, as generation makes it. */
static void continue_with(fv_wave *w, const fv_wave *before, int outer, int32_t id, int *run) {
  const fv_run *from = &before->runs[outer];
  int space = before->model->answer_space;
  int64_t T = from->T[space];
  w->outer = before;
  OK(fv_wave_add_run(w, (fv_run){.parent = -1, .outer = outer, .input = from->input}, run, ERR));
  fv_run *r = &w->runs[*run];
  r->own_ids = fv_alloc((size_t)T + 1, sizeof *r->own_ids);
  assert_non_null(r->own_ids);
  memcpy(r->own_ids, from->ids[space], (size_t)T * sizeof *r->own_ids);
  r->own_ids[T] = id;
  r->ids[space] = r->own_ids, r->T[space] = T + 1;
}

/* A row decoded with the keys of the rows before it has the bits of its whole prefix computed again; the picture's own
 * token, generated, is a token like others. */
static void decoded_rows_equal_recomputed(void **state) {
  (void)state;
  enum { STEPS = 4 };
  for (int i = 0; i < NFOLDERS; i++) {
    fv_vectors v;
    reference_open(&folders[i], &v);
    fv_input *in = vectors_input(&v, vectors_case(&v, 0));
    fv_wave_options o = {.generate = true};
    fv_wave *w[STEPS + 1];
    int run[STEPS + 1];
    int64_t V = v.model->plan->steps[v.model->plan->output].width;
    float *decoded = fv_alloc((size_t)V, sizeof *decoded), *alone = fv_alloc((size_t)V, sizeof *alone);
    for (int k = 0; k <= STEPS; k++) {
      OK(fv_wave_new(v.model, &o, &w[k], ERR));
      if (k == 0)
        OK(fv_wave_run(w[0], -1, in, &run[0], ERR));
      else
        continue_with(w[k], w[k - 1], run[k - 1], k == 2 ? v.model->task.splice_id : 5 + 7 * k, &run[k]);
      OK(fv_wave_readout(w[k], run[k], keep_logits, decoded, ERR));
      OK(fv_wave_compute(w[k], NULL, ERR));
      OK(fv_run_full(w[k], run[k], keep_logits, alone, ERR));
      assert_memory_equal(decoded, alone, (size_t)V * sizeof *alone);
    }
    for (int k = STEPS; k >= 0; k--) fv_wave_free(w[k]);
    free(decoded), free(alone);
    fv_input_free(in);
    vectors_close(&v);
  }
}

/* `images`: names with a space between, or NULL. */
static fv_status make_input(const fv_vectors *v, const char *images, const char *prompt, fv_input **in, fv_error *err) {
  char *paths[4] = {0};
  size_t n = 0;
  for (const char *s = images; s && *s && n < 4; s += strcspn(s, " "), s += strspn(s, " ")) {
    char *name = fv_format("%.*s", (int)strcspn(s, " "), s);
    paths[n++] = vectors_path(v, name);
    free(name);
  }
  fv_input_options o;
  fv_input_defaults(&o);
  o.prompt = prompt;
  if (n == 1)
    o.image = paths[0];
  else
    o.images = (const char *const *)paths, o.nimages = n;
  fv_status st = fv_input_new(v->model, &o, in, err);
  for (size_t i = 0; i < n; i++) free(paths[i]);
  return st;
}

static fv_input *prompt_input(const fv_vectors *v, const char *images, const char *prompt) {
  fv_input *in = NULL;
  OK(make_input(v, images, prompt, &in, ERR));
  return in;
}

/* Children with other texts, other places of the picture, other pictures and none: every row that slicing takes from
 * the parent, and every one that it computes, has the bits of the run computed alone. */
static void other_inputs_are_sliced_exactly(void **state) {
  (void)state;
  static const struct {
    const char *image, *prompt;
  } child[] = {{"image0.png", "what <image> color where the"},
               {"image1.png", "what <image> color is the"},
               {"image0.png", "what <image> color is the shirt there on it"},
               {"image0.png", "<image> what color"},
               {"image1.png", "what color <image>"},
               {"image0.png image1.png", "what <image> color is <image> the"},
               {"image1.png image1.png", "what <image> color <image> it"},
               {"image1.png image0.png image0.png", "<image><image> what <image>"},
               {NULL, "what color is the small dog on it"}};
  enum { NCHILDREN = sizeof child / sizeof *child };
  for (int i = 0; i < NFOLDERS; i++) {
    fv_vectors v;
    reference_open(&folders[i], &v);
    bool two = i >= NCHECKPOINTS; /* the parent's pictures */
    fv_input *base = prompt_input(&v, two ? "image0.png image1.png" : "image0.png",
                                  two ? "what <image> color <image> is the" : "what <image> color is the");
    fv_input *in[NCHILDREN];
    fv_wave *w;
    int parent, run[NCHILDREN];
    float *got[NCHILDREN];
    size_t bytes[NCHILDREN];
    OK(fv_wave_new(v.model, NULL, &w, ERR));
    OK(fv_wave_run(w, -1, base, &parent, ERR));
    OK(fv_wave_readout(w, parent, NULL, NULL, ERR));
    for (int k = 0; k < NCHILDREN; k++) {
      fv_selection *s;
      size_t n;
      in[k] = prompt_input(&v, child[k].image, child[k].prompt);
      OK(fv_wave_run(w, parent, in[k], &run[k], ERR));
      OK(fv_address_resolve(v.model, in[k], "language.1.resid_post", &s, &n, ERR));
      bytes[k] = (size_t)(s->nrows * s->width) * sizeof(float);
      got[k] = fv_alloc(bytes[k], 1);
      OK(fv_wave_read(w, run[k], s, got[k], ERR));
      fv_selection_release(s), free(s);
    }
    OK(fv_wave_compute(w, NULL, ERR));
    for (int k = 0; k < NCHILDREN; k++) {
      float *first = fv_alloc(bytes[k], 1);
      memcpy(first, got[k], bytes[k]);
      OK(fv_run_full(w, run[k], NULL, NULL, ERR)); /* fills the read again */
      assert_memory_equal(first, got[k], bytes[k]);
      free(first);
    }
    fv_wave_free(w);
    for (int k = 0; k < NCHILDREN; k++) free(got[k]), fv_input_free(in[k]);
    fv_input_free(base);
    vectors_close(&v);
  }
}

static void expect_rows(const fv_input *in, const char *stack, const char *text, const int64_t *want, int64_t n) {
  int64_t *rows, count;
  OK(fv_rows_parse(in, stack, text, &rows, &count, ERR));
  assert_int_equal(count, n);
  for (int64_t i = 0; i < n; i++) assert_int_equal(rows[i], want[i]);
  free(rows);
}

/* <s> user : <image> x 9 what color is the shirt ? assistant : */
static void rows_have_names(void **state) {
  (void)state;
  fv_vectors v;
  reference_open(&folders[0], &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  assert_int_equal(fv_input_rows(in, "language"), 20);
  expect_rows(in, "language", "image", (const int64_t[]){3, 4, 5, 6, 7, 8, 9, 10, 11}, 9);
  expect_rows(in, "language", "image[1,2],last", (const int64_t[]){8, 19}, 2);
  expect_rows(in, "language", "\"shirt\",\"USER\"", (const int64_t[]){16, 1}, 2);
  expect_rows(in, "language", "text", (const int64_t[]){1, 2, 12, 13, 14, 15, 16, 17, 18, 19}, 10);
  expect_rows(in, "projector", "image[0,0]", (const int64_t[]){0}, 1);
  expect_rows(in, "vision", "cls,image[0,0]", (const int64_t[]){0, 1}, 2);
  int64_t *rows, count;
  assert_int_equal(fv_rows_parse(in, "language", "cls", &rows, &count, NULL), FV_ENOTFOUND);
  fv_selection *s;
  size_t n;
  OK(fv_address_resolve(v.model, in, "head.logits", &s, &n, ERR));
  assert_true(s->nrows == 1 && s->rows[0] == 19);
  fv_selection_release(s), free(s);
  fv_input_free(in);
  vectors_close(&v);
}

/* <s> user : <image> x 9 <image> x 9 what color is the shirt ? assistant : */
static void rows_of_several_pictures_have_names(void **state) {
  (void)state;
  fv_vectors v;
  fv_row_info row;
  reference_open(&folders[NCHECKPOINTS], &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  assert_true(fv_input_pictures(in) == 2 && fv_input_rows(in, "language") == 29 && fv_input_rows(in, "vision") == 20);
  int64_t *rows, count, first[9], second[9];
  for (int i = 0; i < 9; i++) first[i] = 3 + i, second[i] = 12 + i;
  expect_rows(in, "language", "image1", first, 9);
  expect_rows(in, "language", "image2", second, 9);
  OK(fv_rows_parse(in, "language", "image", &rows, &count, ERR));
  assert_int_equal(count, 18);
  free(rows);
  expect_rows(in, "language", "image[1,2],image2[1,2],image1[0,0]", (const int64_t[]){8, 17, 3}, 3);
  expect_rows(in, "vision", "cls,cls2,image[0,0],image2[2,2]", (const int64_t[]){0, 10, 1, 19}, 4);
  expect_rows(in, "projector", "image2[0,0]", (const int64_t[]){9}, 1);
  expect_rows(in, "language", "\"shirt\"", (const int64_t[]){25}, 1);
  static const char *const wrong[] = {"image3", "image3[0,0]", "image0", "image02", "image2[3,0]", "cls2", "image2x"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_not_equal(fv_rows_parse(in, "language", wrong[i], &rows, &count, NULL), FV_OK);
  assert_int_equal(fv_rows_parse(in, "vision", "cls3", &rows, &count, NULL), FV_ENOTFOUND);
  /* What the map says is what the parser takes. */
  for (int64_t t = 0; t < 20; t++) {
    OK(fv_input_row(in, "vision", t, &row, ERR));
    assert_int_equal(row.picture, t / 10);
    expect_rows(in, "vision", row.name, &t, 1);
  }
  OK(fv_input_row(in, "language", 17, &row, ERR));
  assert_string_equal(row.name, "image2[1,2]");
  OK(fv_input_row(in, "language", 25, &row, ERR));
  assert_int_equal(row.picture, -1);
  fv_input_free(in);
  vectors_close(&v);
}

/* Of two pictures, a run with another second one computes the second's rows only. */
static void the_same_picture_is_not_computed_again(void **state) {
  (void)state;
  fv_vectors v;
  reference_open(&folders[NCHECKPOINTS], &v);
  fv_input *a = prompt_input(&v, "image0.png image1.png", "what <image> color <image>");
  fv_input *b = prompt_input(&v, "image0.png image0.png", "what <image> color <image>");
  fv_wave *w;
  int runs[2];
  OK(fv_wave_new(v.model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, a, &runs[0], ERR));
  OK(fv_wave_run(w, runs[0], b, &runs[1], ERR));
  for (int i = 0; i < 2; i++) OK(fv_wave_readout(w, runs[i], NULL, NULL, ERR));
  OK(fv_wave_compute(w, NULL, ERR));
  const fv_site *s = fv_plan_find_site(v.model->plan, 0, 0, "attn.z", 6);
  assert_int_equal(w->slots[s->step].computed, 30);
  fv_wave_free(w);
  fv_input_free(a), fv_input_free(b);
  vectors_close(&v);
}

static void refuse(const fv_vectors *v, const char *image, const char *prompt, const char *sentence) {
  fv_input *in = NULL;
  fv_error err = {0};
  assert_int_not_equal(make_input(v, image, prompt, &in, &err), FV_OK);
  if (!strstr(err.text, sentence)) fail_msg("\"%s\" does not say \"%s\"", err.text, sentence);
}

static void wrong_prompts_are_refused(void **state) {
  (void)state;
  fv_vectors v;
  reference_open(&folders[0], &v);
  refuse(&v, "image0.png", "what color", "0 places for a picture (<image>)");
  refuse(&v, "image0.png", "<image> and <image>", "2 places for a picture (<image>), and there is 1 picture");
  refuse(&v, "image0.png image1.png", "what <image>", "1 place for a picture (<image>), and there are 2 pictures");
  refuse(&v, "image0.png image1.png", "what color", "0 places for a picture (<image>), and there are 2 pictures");
  refuse(&v, "image0.png image1.png", "<image><image><image>", "3 places for a picture");
  refuse(&v, "image0.png none.png", "<image> and <image>", "none.png");
  char text[1024] = "<image>";
  for (int i = 0; i < 130; i++) strcat(text, " dog");
  refuse(&v, "image0.png", text, "language has positions for 128");
  /* The picture's token once per row already is as good as once. */
  fv_input *once = prompt_input(&v, "image0.png", "what <image> color"), *each;
  strcpy(text, "what ");
  for (int i = 0; i < 9; i++) strcat(text, "<image>");
  each = prompt_input(&v, "image0.png", strcat(text, " color"));
  assert_int_equal(fv_input_rows(once, "language"), fv_input_rows(each, "language"));
  fv_input_free(once), fv_input_free(each);
  /* A place without a picture is found when the row is needed. */
  fv_input *empty = prompt_input(&v, NULL, "what <image> color");
  fv_wave *w;
  int run;
  fv_error err = {0};
  OK(fv_wave_new(v.model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, empty, &run, ERR));
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  assert_int_equal(fv_wave_compute(w, NULL, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "there is no picture"));
  fv_wave_free(w);
  fv_input_free(empty);
  vectors_close(&v);
}

static void lists_of_pictures_are_for_some(void **state) {
  (void)state;
  const char *const two[] = {FV_TEST_DATA "/llava/grouped/pairs/image0.png",
                             FV_TEST_DATA "/llava/grouped/pairs/image1.png"};
  fv_model *m;
  fv_input *in = NULL;
  fv_input_options o;
  fv_error err = {0};
  fv_input_defaults(&o);
  o.images = two, o.nimages = 2, o.question = "what";
  OK(fv_model_open(FV_TEST_DATA "/blip/tied", NULL, &m, ERR));
  assert_false(fv_model_several_pictures(m));
  assert_int_equal(fv_input_new(m, &o, &in, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "reads one picture, and there are 2"));
  o.nimages = 1; /* a list of one is one */
  OK(fv_input_new(m, &o, &in, ERR));
  assert_true(fv_input_pictures(in) == 1 && *fv_input_image_sha256(in));
  fv_input_free(in), fv_model_close(m);
  OK(fv_model_open(FV_TEST_DATA "/llava/grouped", NULL, &m, ERR));
  assert_true(fv_model_several_pictures(m));
  o.image = two[0];
  assert_int_equal(fv_input_new(m, &o, &in, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "exclude each other"));
  fv_model_close(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {REFERENCE_TESTS(folders),
                                     cmocka_unit_test(decoded_rows_equal_recomputed),
                                     cmocka_unit_test(other_inputs_are_sliced_exactly),
                                     cmocka_unit_test(rows_have_names),
                                     cmocka_unit_test(rows_of_several_pictures_have_names),
                                     cmocka_unit_test(the_same_picture_is_not_computed_again),
                                     cmocka_unit_test(wrong_prompts_are_refused),
                                     cmocka_unit_test(lists_of_pictures_are_for_some)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
