/* What is read of one run's logits: rank and KL where they are decided by the last digits, the answer nobody named, and
 * effects without a denominator. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "experiment/bundle.h"
#include "experiment/metrics.h"
#include "support/vectors.h"

#define MODEL FV_TEST_DATA "/blip/tied"

enum { V = 7 };

static void test_rank(void **state) {
  (void)state;
  static const float logits[V] = {2.0f, 5.0f, 5.0f, -1.0f, 2.0f, 5.0f, 0.0f};
  static const int64_t ranks[V] = {3, 0, 0, 6, 3, 0, 5};
  double scratch[V];
  fv_metrics m;
  for (int32_t id = 0; id < V; id++) {
    fv_metrics_read(logits, V, id, NULL, scratch, &m);
    assert_int_equal(m.rank, ranks[id]);
    assert_true(m.logit == logits[id] && isnan(m.kl));
  }
  const float masked[V] = {2.0f, -INFINITY, 5.0f, 2.0f, -INFINITY, 1.0f, 5.0f};
  fv_metrics_read(masked, V, 3, NULL, scratch, &m);
  assert_true(m.rank == 2 && isnan(m.kl));
}

/* Of two, ln(2) less the entropy; of a run and itself nothing, and never less than nothing. */
static void test_kl(void **state) {
  (void)state;
  static const float even[2] = {0.0f, 0.0f}, odd[2] = {0.0f, 1.0986123f};
  double clean[64], logs[64];
  fv_metrics m;
  fv_probabilities(odd, 2, clean);
  fv_metrics_read(even, 2, 0, clean, logs, &m);
  assert_true(fabs((double)m.kl - (log(2.0) + 0.25 * log(0.25) + 0.75 * log(0.75))) < 1e-7);
  fv_rng rng;
  fv_rng_torch(&rng, 1);
  for (int round = 0; round < 500; round++) {
    float logits[64];
    for (int i = 0; i < 64; i++) logits[i] = (float)(20.0 * fv_rng_double(&rng) - 10.0);
    fv_probabilities(logits, 64, clean);
    for (int i = 0; i < 64; i++) logs[i] = log(clean[i]);
    fv_metrics_compute(logits, 64, 5, clean, logs, &m);
    assert_true(m.kl >= 0.0f && m.kl < 1e-14f);
  }
}

static fv_sweep prepare(const fv_model *model, const char *incorrect) {
  static const char *const corrupt[] = {"gray"};
  fv_patch_options o;
  fv_sweep s;
  fv_patch_defaults(&o);
  o.input.image = MODEL "/vectors/image0.png", o.input.question = "what color is the shirt?";
  o.corrupt = corrupt, o.ncorrupt = 1, o.incorrect = incorrect;
  OK(fv_patch_prepare(model, &o, &s, ERR));
  return s;
}

/* Of equal logits the lowest id is the answer, as of torch.argmax. */
static void test_answer(void **state) {
  (void)state;
  static const float logits[V] = {2.0f, 5.0f, 4.0f, 5.0f, 5.0f, 1.0f, 0.0f};
  fv_model *model;
  OK(fv_model_open(MODEL, NULL, &model, ERR));
  fv_sweep s = prepare(model, "id:5");
  OK(fv_sweep_read_clean(&s, logits, V, ERR));
  assert_true(s.top == 1 && s.correct == 1 && s.clean.m.rank == 0 && s.clean.logit_diff == 4.0f);
  fv_sweep_release(&s);
  s = prepare(model, "id:1");
  assert_int_equal(fv_sweep_read_clean(&s, logits, V, NULL), FV_EUSAGE);
  fv_sweep_release(&s);
  fv_model_close(model);
}

/* The same of the most probable answers, where more are equal than are asked for. */
static void test_top(void **state) {
  (void)state;
  fv_model *model;
  fv_input *in;
  fv_wave *w;
  fv_answer a;
  int run;
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = MODEL "/vectors/image0.png", o.question = "what color is the shirt?";
  OK(fv_model_open(MODEL, NULL, &model, ERR));
  OK(fv_input_new(model, &o, &in, ERR));
  OK(fv_wave_new(model, &(fv_wave_options){.generate = true}, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_wave_do(w, run, "zero head.logits", -1, ERR));
  OK(fv_answers(w, &run, 1, 5, 1, NULL, &a, ERR));
  assert_int_equal(a.ntop, 5);
  for (int i = 0; i < 5; i++) assert_true(a.top[i].id == i && a.top[i].logit == 0.0f);
  fv_answer_release(&a);
  fv_wave_free(w);
  fv_input_free(in);
  fv_model_close(model);
}

static void test_effect(void **state) {
  (void)state;
  fv_sweep s = {.clean = {.logit_diff = 3.0f}};
  fv_sweep_series series = {.corrupted = {.logit_diff = -1.0f}};
  const fv_sweep_value cell = {.logit_diff = 2.0f};
  assert_true(fv_sweep_effect(&s, &series, &cell) == 0.75f);
  s.o.noise = true;
  assert_true(fv_sweep_effect(&s, &series, &cell) == 0.25f);
  s.clean.logit_diff = -2.0f; /* the corruption made it better */
  assert_true(fv_sweep_effect(&s, &series, &cell) == 4.0f);
  s.clean.logit_diff = -1.0f; /* x / 0 has no value, neither has 0 / 0 */
  for (int noise = 0; noise < 2; noise++) {
    s.o.noise = noise;
    assert_true(isnan(fv_sweep_effect(&s, &series, &cell)));
    assert_true(isnan(fv_sweep_effect(&s, &series, &series.corrupted)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rank), cmocka_unit_test(test_kl),
                                     cmocka_unit_test(test_answer), cmocka_unit_test(test_top),
                                     cmocka_unit_test(test_effect)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
