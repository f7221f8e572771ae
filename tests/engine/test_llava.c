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

static const char *const checkpoints[] = {"grouped", "first", "phi3", "native"};
enum { NCHECKPOINTS = 4 };

static void open_checkpoint(int i, fv_vectors *v) {
  char *dir = fv_format("%s/llava/%s", FV_TEST_DATA, checkpoints[i]);
  vectors_open(dir, v);
  free(dir);
}

static void every_site_equals_transformers(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_sites(&v, checkpoints[i]);
    vectors_close(&v);
  }
}

static void generated_ids_equal_transformers(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_generation(&v);
    vectors_close(&v);
  }
}

static void interventions_equal_hooks(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_interventions(&v, checkpoints[i]);
    vectors_close(&v);
  }
}

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
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
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

static fv_input *prompt_input(const fv_vectors *v, const char *image, const char *prompt) {
  fv_input *in = NULL;
  char *path = image ? vectors_path(v, image) : NULL;
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = path, o.prompt = prompt;
  OK(fv_input_new(v->model, &o, &in, ERR));
  free(path);
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
               {NULL, "what color is the small dog on it"}};
  enum { NCHILDREN = sizeof child / sizeof *child };
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    fv_input *base = prompt_input(&v, "image0.png", "what <image> color is the"), *in[NCHILDREN];
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
  open_checkpoint(0, &v);
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

static void refuse(const fv_vectors *v, const char *image, const char *prompt, const char *sentence) {
  fv_input *in = NULL;
  fv_error err = {0};
  char *path = image ? vectors_path(v, image) : NULL;
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = path, o.prompt = prompt;
  assert_int_not_equal(fv_input_new(v->model, &o, &in, &err), FV_OK);
  if (!strstr(err.text, sentence)) fail_msg("\"%s\" does not say \"%s\"", err.text, sentence);
  free(path);
}

static void wrong_prompts_are_refused(void **state) {
  (void)state;
  fv_vectors v;
  open_checkpoint(0, &v);
  refuse(&v, "image0.png", "what color", "0 places for a picture (<image>)");
  refuse(&v, "image0.png", "<image> and <image>", "2 places for a picture");
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_site_equals_transformers),  cmocka_unit_test(generated_ids_equal_transformers),
      cmocka_unit_test(interventions_equal_hooks),       cmocka_unit_test(decoded_rows_equal_recomputed),
      cmocka_unit_test(other_inputs_are_sliced_exactly), cmocka_unit_test(rows_have_names),
      cmocka_unit_test(wrong_prompts_are_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
