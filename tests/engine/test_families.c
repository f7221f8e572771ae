/* The other families against transformers, as test_blip.c does for visual question answering, and what is special to
 * each. The reference numbers are made by tools/reference/make_{vit,blip_caption,blip_itm,bert,clip}.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/answer.h"
#include "support/reference.h"

static reference_folder folders[] = {{"vit", "shards", "vectors", 43, 3},
                                     {"vit", "bare", "vectors", 43, 3},
                                     {"blip_caption", "tied", "vectors", 104, 8},
                                     {"blip_caption", "shards", "vectors", 95, 8},
                                     {"blip_itm", "zip", "vectors", 159, 6},
                                     {"blip_itm", "shards", "vectors", 130, 6},
                                     {"bert", "shards", "vectors", 38, 0},
                                     {"bert", "legacy", "vectors", 38, 0},
                                     {"clip", "zip", "vectors", 132, 6},
                                     {"clip", "shards", "vectors", 132, 6},
                                     {0}};

static void open_checkpoint(const char *family, const char *name, fv_vectors *v) {
  reference_open(&(reference_folder){family, name, "vectors", 0, 0}, v);
}

/* Every class is found by its label, which is also its piece; other texts are errors. */
static void classes_have_labels(void **state) {
  (void)state;
  fv_vectors v;
  fv_error err;
  int32_t id;
  open_checkpoint("vit", "shards", &v);
  assert_int_equal(fv_model_classes(v.model), 5);
  for (int32_t i = 0; i < 5; i++) {
    OK(fv_model_answer_id(v.model, fv_model_piece(v.model, i), &id, ERR));
    assert_int_equal(id, i);
  }
  OK(fv_model_answer_id(v.model, "tabby, tabby cat", &id, ERR));
  assert_int_equal(id, 0);
  OK(fv_model_answer_id(v.model, "id:4", &id, ERR));
  assert_int_equal(id, 4);
  assert_int_equal(fv_model_answer_id(v.model, "tabby", &id, &err), FV_ENOTFOUND);
  assert_int_equal(fv_model_answer_id(v.model, "id:5", &id, &err), FV_EUSAGE);
  assert_null(fv_model_piece(v.model, 5));
  vectors_close(&v);
}

/* The rows that a site needs when it is read in a run of one input. */
static int64_t rows_computed(const fv_vectors *v, const fv_input *in, const char *address) {
  fv_wave *w;
  fv_selection *s;
  size_t n;
  int run;
  fv_cost cost;
  float *out;
  OK(fv_wave_new(v->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_address_resolve(v->model, in, address, &s, &n, ERR));
  out = calloc((size_t)(s->nrows * s->width), sizeof *out);
  OK(fv_wave_read(w, run, s, out, ERR));
  OK(fv_wave_cost(w, &cost, ERR));
  fv_selection_release(s);
  free(s), free(out);
  fv_wave_free(w);
  return cost.rows;
}

/* One row is picked, so the final norm is computed for that row and for no other. */
static void a_picked_row_is_all_that_is_needed(void **state) {
  (void)state;
  fv_vectors v;
  open_checkpoint("vit", "shards", &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  int64_t class_row = rows_computed(&v, in, "vision.final@0");
  assert_int_equal(rows_computed(&v, in, "head.logits"), class_row + 2); /* the pick and the classifier */
  assert_true(rows_computed(&v, in, "vision.final") > class_row + 2);
  fv_input_free(in);
  vectors_close(&v);
}

static fv_status keep_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

/* An edit of a row that is not picked, behind the last attention, reaches nothing; of the picked row it does. */
static void only_the_picked_row_reaches_the_answer(void **state) {
  (void)state;
  static const char *const edits[] = {"zero vision.final@1-3", "zero vision.final@cls"};
  fv_vectors v;
  open_checkpoint("vit", "shards", &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  for (int i = 0; i < 2; i++) {
    fv_wave *w;
    int base, edited;
    float before[5], after[5];
    OK(fv_wave_new(v.model, NULL, &w, ERR));
    OK(fv_wave_run(w, -1, in, &base, ERR));
    OK(fv_wave_run(w, base, NULL, &edited, ERR));
    OK(fv_wave_do(w, edited, edits[i], -1, ERR));
    OK(fv_wave_readout(w, base, keep_logits, before, ERR));
    OK(fv_wave_readout(w, edited, keep_logits, after, ERR));
    OK(fv_wave_compute(w, NULL, ERR));
    assert_int_equal(memcmp(before, after, sizeof before) != 0, i);
    fv_wave_free(w);
  }
  fv_input_free(in);
  vectors_close(&v);
}

/* The cosine needs no cross-attention and the score no second pass: neither is computed for the other. */
static void the_cosine_costs_nothing_unless_it_is_read(void **state) {
  (void)state;
  fv_vectors v;
  open_checkpoint("blip_itm", "zip", &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  fv_wave *w;
  int run;
  char *plan;
  float logits[2];
  OK(fv_wave_new(v.model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_wave_readout(w, run, keep_logits, logits, ERR));
  OK(fv_wave_explain(w, &plan, ERR));
  const char *line = strstr(plan, "text_alone.embed");
  long long width, rows;
  assert_non_null(line);
  assert_int_equal(sscanf(line, "text_alone.embed %lld %lld", &width, &rows), 2);
  assert_int_equal(rows, 0);
  free(plan);
  fv_wave_free(w);
  fv_input_free(in);
  vectors_close(&v);
}

/* What an input without its picture or its text is good for. */
static void inputs_may_be_partial(void **state) {
  (void)state;
  fv_vectors v;
  fv_error err;
  fv_input_options o;
  fv_input *in;
  fv_wave *w;
  int run;
  fv_input_defaults(&o);
  o.question = "a picture of";
  open_checkpoint("vit", "bare", &v);
  assert_int_equal(fv_input_new(v.model, &o, &in, &err), FV_EUSAGE); /* it reads no text */
  vectors_close(&v);
  open_checkpoint("blip_itm", "zip", &v);
  OK(fv_input_new(v.model, &o, &in, ERR));
  assert_int_equal(fv_input_rows(in, "head"), 1);
  assert_int_equal(fv_input_rows(in, "contrast"), 0);
  assert_true(rows_computed(&v, in, "text_alone.final") > 0);
  fv_input_free(in);
  vectors_close(&v);
  open_checkpoint("bert", "shards", &v);
  OK(fv_input_new(v.model, &o, &in, ERR));
  OK(fv_wave_new(v.model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  assert_int_equal(fv_wave_readout(w, run, NULL, NULL, &err), FV_EUSAGE); /* it has no answer */
  assert_int_equal(fv_run_full(w, run, keep_logits, NULL, &err), FV_EUSAGE);
  assert_int_equal(fv_model_answer_id(v.model, "red", &run, &err), FV_EUSAGE);
  fv_wave_free(w);
  fv_input_free(in);
  vectors_close(&v);
}

/* max_length counts the prompt: without a limit of its own, a caption ends there. */
static void a_prompt_counts_towards_the_length(void **state) {
  (void)state;
  fv_vectors v;
  open_checkpoint("blip_caption", "tied", &v);
  for (size_t c = 0; c < vectors_cases(&v); c++) {
    const json_t *one = vectors_case(&v, c), *answer = json_object_get(one, "answer");
    fv_wave_options o = {.generate = true};
    fv_input *in = vectors_input(&v, one);
    fv_wave *w;
    fv_answer a;
    int run;
    OK(fv_wave_new(v.model, &o, &w, ERR));
    OK(fv_wave_run(w, -1, in, &run, ERR));
    OK(fv_answers(w, &run, 1, 1, 0, NULL, &a, ERR));
    if (json_is_false(json_object_get(answer, "complete")) && a.ids[a.nids - 1] != 3)
      assert_int_equal(a.nids + fv_input_rows(in, "text_decoder"), 20);
    fv_answer_release(&a);
    fv_wave_free(w);
    fv_input_free(in);
  }
  vectors_close(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {REFERENCE_TESTS(folders),
                                     cmocka_unit_test(classes_have_labels),
                                     cmocka_unit_test(a_picked_row_is_all_that_is_needed),
                                     cmocka_unit_test(only_the_picked_row_reaches_the_answer),
                                     cmocka_unit_test(the_cosine_costs_nothing_unless_it_is_read),
                                     cmocka_unit_test(inputs_may_be_partial),
                                     cmocka_unit_test(a_prompt_counts_towards_the_length)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
