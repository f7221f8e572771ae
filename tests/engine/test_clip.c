/* What several texts in one run promise, on the CLIP checkpoints; their numbers are compared with transformers' in
 * test_families.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "fovea/answer.h"
#include "model/loaded.h"
#include "support/vectors.h"

static const char *const names[] = {"zip", "shards"};
enum { NAMES = 2 };

static void open_clip(const char *name, fv_vectors *v) {
  char *dir = fv_format("%s/clip/%s", FV_TEST_DATA, name);
  vectors_open(dir, v);
  free(dir);
}

static fv_input *input_of(const fv_vectors *v, bool picture, const char *const *texts, size_t n) {
  fv_input *in;
  fv_input_options o;
  char *image = vectors_path(v, "image1.png");
  fv_input_defaults(&o);
  o.image = picture ? image : NULL, o.prompts = texts, o.nprompts = n;
  OK(fv_input_new(v->model, &o, &in, ERR));
  free(image);
  return in;
}

static fv_status keep_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

static void logits_of(const fv_vectors *v, const fv_input *in, const char *edit, float *out) {
  fv_wave *w;
  int run;
  OK(fv_wave_new(v->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  if (edit) OK(fv_wave_do(w, run, edit, -1, ERR));
  OK(fv_wave_readout(w, run, keep_logits, out, ERR));
  OK(fv_wave_compute(w, NULL, ERR));
  fv_wave_free(w);
}

/* The logit of a text is the same bits alone, first, or behind others of any length. */
static void a_text_does_not_see_the_others(void **state) {
  (void)state;
  static const char *const texts[] = {"red boat", "a photo of the small dog, big", "cat", "two cats on the boat"};
  for (int c = 0; c < NAMES; c++) {
    fv_vectors v;
    float alone[4], together[4];
    open_clip(names[c], &v);
    for (int i = 0; i < 4; i++) {
      fv_input *in = input_of(&v, true, &texts[i], 1);
      assert_int_equal(fv_input_texts(in), 1);
      logits_of(&v, in, NULL, &alone[i]);
      fv_input_free(in);
    }
    for (int first = 0; first < 4; first++) {
      const char *order[4];
      for (int i = 0; i < 4; i++) order[i] = texts[(first + 3 * i) % 4];
      fv_input *in = input_of(&v, true, order, 4);
      logits_of(&v, in, NULL, together);
      for (int i = 0; i < 4; i++) assert_memory_equal(&together[i], &alone[(first + 3 * i) % 4], sizeof(float));
      fv_input_free(in);
    }
    vectors_close(&v);
  }
}

/* An edit of one text's rows moves its own logit only; of the picture, all. */
static void an_edit_reaches_its_own_text(void **state) {
  (void)state;
  static const char *const texts[] = {"red boat", "a photo of the dog", "cat"};
  for (int c = 0; c < NAMES; c++) {
    fv_vectors v;
    float before[3], after[3];
    open_clip(names[c], &v);
    fv_input *in = input_of(&v, true, texts, 3);
    logits_of(&v, in, NULL, before);
    for (int k = 0; k < 3; k++) {
      char edit[64];
      snprintf(edit, sizeof edit, "scale text_encoder.0.resid_pre@text[%d] 1.5", k);
      logits_of(&v, in, edit, after);
      for (int i = 0; i < 3; i++) assert_int_equal(memcmp(&before[i], &after[i], sizeof(float)) != 0, i == k);
    }
    logits_of(&v, in, "scale vision.0.mlp.out 2", after);
    for (int i = 0; i < 3; i++) assert_memory_not_equal(&before[i], &after[i], sizeof(float));
    /* Cutting edges between two texts cuts nothing. */
    logits_of(&v, in, "block text_encoder.*.attn.scores@text[1] from=text[0],text[2]", after);
    assert_memory_equal(before, after, sizeof before);
    fv_input_free(in);
    vectors_close(&v);
  }
}

/* Runs with other texts on the same picture compute the picture once; rows in another text's place are not shared. */
static void runs_share_what_is_equal(void **state) {
  (void)state;
  const char *const texts[] = {"red boat", "a photo of the dog"}, *const turned[] = {texts[1], texts[0]},
                    *const longer[] = {texts[0], texts[1], "cat"};
  fv_vectors v;
  open_clip("zip", &v);
  fv_input *in[3] = {input_of(&v, true, texts, 2), input_of(&v, true, turned, 2), input_of(&v, true, longer, 3)};
  fv_wave *w;
  fv_cost one, all;
  float logits[3][3];
  for (int n = 1; n <= 3; n += 2) {
    int run[3];
    OK(fv_wave_new(v.model, NULL, &w, ERR));
    for (int i = 0; i < n; i++) {
      OK(fv_wave_run(w, i ? run[0] : -1, in[i], &run[i], ERR));
      OK(fv_wave_readout(w, run[i], keep_logits, logits[i], ERR));
    }
    OK(fv_wave_cost(w, n == 1 ? &one : &all, ERR));
    OK(fv_wave_compute(w, NULL, ERR));
    int64_t checked;
    OK(fv_wave_check(w, 100.0, 0, &checked, ERR));
    assert_int_equal(checked, n);
    fv_wave_free(w);
  }
  assert_true(all.flops < 2.2 * one.flops); /* three times the texts, once the picture */
  assert_memory_equal(&logits[0][0], &logits[1][1], sizeof(float));
  assert_memory_equal(&logits[0][1], &logits[1][0], sizeof(float));
  assert_memory_equal(logits[0], logits[2], 2 * sizeof(float));
  for (int i = 0; i < 3; i++) fv_input_free(in[i]);
  vectors_close(&v);
}

/* The row that stands for a text: of the first end, or of the highest id. */
static void the_end_stands_for_a_text(void **state) {
  (void)state;
  static const char *const texts[] = {"red boat", "the \xe2\x98\x83 cat<|endoftext|> dog"};
  for (int c = 0; c < NAMES; c++) {
    fv_vectors v;
    open_clip(names[c], &v);
    fv_input *in = input_of(&v, false, texts, 2);
    const fv_text *t = &in->texts[v.model->question_space];
    assert_int_equal(t->ntexts, 2);
    assert_int_equal(t->start[1], 4);
    assert_int_equal(t->stands[0], 3);
    assert_int_equal(t->stands[1], 4 + 2); /* characters without a token have the end's */
    assert_int_equal(t->ids[6], t->ids[3]);
    fv_input_free(in);
    vectors_close(&v);
  }
}

/* Each side can be read without the other. */
static void one_side_alone(void **state) {
  (void)state;
  static const char *const texts[] = {"red boat", "cat"};
  fv_vectors v;
  fv_error err;
  fv_selection *s;
  size_t n;
  fv_input_options o;
  fv_input *in;
  open_clip("shards", &v);
  in = input_of(&v, false, texts, 2);
  OK(fv_address_resolve(v.model, in, "contrast.*", &s, &n, ERR));
  assert_int_equal(n, 2); /* text_projection, text */
  for (size_t i = 0; i < n; i++) fv_selection_release(&s[i]);
  free(s);
  assert_int_equal(fv_address_resolve(v.model, in, "contrast.cosine", &s, &n, &err), FV_ENOTFOUND);
  assert_int_equal(fv_address_resolve(v.model, in, "contrast.image", &s, &n, &err), FV_ENOTFOUND);
  assert_int_equal(fv_address_resolve(v.model, in, "text_encoder.embed@text[2]", &s, &n, &err), FV_ENOTFOUND);
  fv_wave *w;
  int run;
  float logits[2];
  OK(fv_wave_new(v.model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_wave_readout(w, run, keep_logits, logits, ERR));
  assert_int_equal(fv_wave_compute(w, NULL, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "is a picture missing?"));
  fv_wave_free(w);
  fv_input_free(in);
  char *image = vectors_path(&v, "image0.png");
  fv_input_defaults(&o);
  o.image = image;
  OK(fv_input_new(v.model, &o, &in, ERR));
  OK(fv_address_resolve(v.model, in, "contrast.*", &s, &n, ERR));
  assert_int_equal(n, 2); /* image_projection, image */
  for (size_t i = 0; i < n; i++) fv_selection_release(&s[i]);
  free(s), free(image);
  fv_input_free(in);
  vectors_close(&v);
}

/* Positions are counted for each text alone; more than there are is an error that says whose. */
static void a_text_may_be_too_long(void **state) {
  (void)state;
  char longest[80] = "";
  fv_vectors v;
  fv_error err;
  fv_input_options o;
  fv_input *in;
  open_clip("zip", &v);
  for (int i = 0; i < 22; i++) strcat(longest, "a ");
  const char *texts[3] = {longest, longest, "a cat"};
  in = input_of(&v, true, texts, 3);
  assert_int_equal(fv_input_rows(in, "text_encoder"), 2 * 24 + 4);
  fv_input_free(in);
  strcat(longest, "a");
  fv_input_defaults(&o);
  o.prompts = texts, o.nprompts = 3;
  assert_int_equal(fv_input_new(v.model, &o, &in, &err), FV_ESHAPE);
  assert_non_null(strstr(err.text, "25 tokens"));
  vectors_close(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_text_does_not_see_the_others),
                                     cmocka_unit_test(an_edit_reaches_its_own_text),
                                     cmocka_unit_test(runs_share_what_is_equal),
                                     cmocka_unit_test(the_end_stands_for_a_text),
                                     cmocka_unit_test(one_side_alone),
                                     cmocka_unit_test(a_text_may_be_too_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
