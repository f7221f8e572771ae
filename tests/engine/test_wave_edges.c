/* Corners of waves where runs differ in their rows, where edits meet, and where calls come in the wrong order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

static tiny_blip tiny;
static fv_model *model;
static fv_input *plain, *longer, *textual, *prompted, *prefix, *other_tail;

static const int32_t prompt[] = {7, 11, 6, 9}, tail[] = {7, 11, 30, 8};

static int set_up(void **state) {
  (void)state;
  tiny_shape s = {.vision_D = 12,
                  .vision_H = 3,
                  .vision_F = 17,
                  .vision_L = 2,
                  .side = 3,
                  .patch = 2,
                  .text_D = 10,
                  .text_H = 2,
                  .text_F = 13,
                  .text_L = 2,
                  .V = 41,
                  .positions = 15,
                  .tied = true};
  tiny_blip_new(&s, 5, 1.0, &tiny);
  tiny_blip_save(&tiny);
  OK(fv_model_open(tiny.dir, &(fv_model_options){.threads = 2}, &model, ERR));
  plain = tiny_input(model, &tiny, 0, "what color is the shirt", prompt, 0);
  longer = tiny_input(model, &tiny, 1, "what color is the cat on the bus ?", prompt, 0);
  textual = tiny_input(model, &tiny, -1, "what color is the shirt", prompt, 0);
  prompted = tiny_input(model, &tiny, 0, "what color is the shirt", prompt, 4);
  prefix = tiny_input(model, &tiny, 0, "what color is the shirt", prompt, 2);
  other_tail = tiny_input(model, &tiny, 0, "what color is the shirt", tail, 4);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  fv_input *all[] = {plain, longer, textual, prompted, prefix, other_tail};
  for (int i = 0; i < 6; i++) fv_input_free(all[i]);
  fv_model_close(model);
  tiny_blip_release(&tiny);
  return 0;
}

#define FAILS(call, expected, words)                                                                  \
  do {                                                                                                \
    fv_error fails_error = {0};                                                                       \
    fv_status fails_status = (call);                                                                  \
    if (fails_status != (expected) || !strstr(fails_error.text, words))                               \
      fail_msg("%s: status %d, \"%s\"; expected status %d and the words \"%s\"", #call, fails_status, \
               fails_error.text, expected, words);                                                    \
  } while (0)
#define WHY &fails_error

static fv_wave *new_wave(fv_wave_options o) {
  fv_wave *w;
  OK(fv_wave_new(model, &o, &w, ERR));
  return w;
}

static int new_run(fv_wave *w, int parent, const fv_input *in) {
  int run;
  OK(fv_wave_run(w, parent, in, &run, ERR));
  return run;
}

static fv_selection *resolve(const fv_input *in, const char *address) {
  fv_selection *list;
  size_t n;
  OK(fv_address_resolve(model, in, address, &list, &n, ERR));
  assert_int_equal(n, 1);
  return list;
}

static void drop(fv_selection *s) {
  fv_selection_release(s);
  free(s);
}

/* Adds a read and gives its buffer. */
static float *read_at(fv_wave *w, int run, const fv_input *in, const char *address, int64_t *n) {
  fv_selection *s = resolve(in, address);
  float *out = fv_alloc((size_t)fv_selection_count(s), sizeof *out);
  OK(fv_wave_read(w, run, s, out, ERR));
  *n = fv_selection_count(s);
  drop(s);
  return out;
}

static fv_status keep(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

static fv_status count_calls(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)logits, (void)V, (void)err;
  ++*(int *)user;
  return FV_OK;
}

/* Computes the wave and compares a read with the run computed alone. */
static void compute_and_compare(fv_wave *w, int run, float *data, int64_t n) {
  OK(fv_wave_compute(w, NULL, ERR));
  float *kept = malloc((size_t)n * sizeof *kept);
  memcpy(kept, data, (size_t)n * sizeof *kept);
  memset(data, 0xff, (size_t)n * sizeof *data);
  OK(fv_run_full(w, run, NULL, NULL, ERR));
  assert_memory_equal(kept, data, (size_t)n * sizeof *kept);
  free(kept);
}

static void inherited_edits_need_the_same_rows(void **state) {
  (void)state;
  static const char *const edits[] = {"zero text_decoder.0.cross.pattern", "scale text_encoder.1.mlp.out@1 2",
                                      "block text_encoder.0.attn.scores@0 from=1"};
  for (int i = 0; i < 3; i++) {
    fv_wave *w = new_wave((fv_wave_options){0});
    int parent = new_run(w, -1, plain), child;
    OK(fv_wave_do(w, parent, edits[i], -1, ERR));
    FAILS(fv_wave_run(w, parent, longer, &child, WHY), FV_EUSAGE, "inherits");
    assert_int_equal(fv_wave_runs(w), 1);
    fv_wave_free(w);
  }
  fv_wave *w = new_wave((fv_wave_options){0}); /* the picture's rows are the same */
  int parent = new_run(w, -1, plain);
  OK(fv_wave_do(w, parent, "zero vision.0.attn.z#1", -1, ERR));
  assert_int_equal(new_run(w, parent, longer), 1);
  fv_wave_free(w);
}

static void selections_need_the_same_keys(void **state) {
  (void)state;
  float values[64] = {0};
  fv_wave *w = new_wave((fv_wave_options){0});
  int run = new_run(w, -1, plain), source = new_run(w, -1, longer);
  fv_selection *s = resolve(longer, "text_decoder.0.cross.pattern"),
               *mine = resolve(plain, "text_decoder.0.cross.pattern");
  FAILS(fv_wave_read(w, run, s, values, WHY), FV_EUSAGE, "keys");
  fv_edit_options o = {.op = "zero", .at = s, .source = -1};
  FAILS(fv_wave_edit(w, run, &o, WHY), FV_EUSAGE, "keys");
  int edited = new_run(w, run, NULL);
  o = (fv_edit_options){.op = "replace", .at = mine, .source = source};
  FAILS(fv_wave_edit(w, edited, &o, WHY), FV_ESHAPE, "keys");
  drop(s), drop(mine);
  fv_wave_free(w);
}

static void decoding_after_a_sourced_pattern(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){.generate = true, .generated = true});
  int clean = new_run(w, -1, plain), other = new_run(w, -1, longer), run = clean;
  for (int i = 0; i < 5; i++) run = new_run(w, clean, NULL);
  int edited = new_run(w, clean, NULL);
  OK(fv_wave_do(w, edited, "replace text_decoder.0.attn.pattern@0", run, ERR));
  OK(fv_wave_do(w, edited, "replace text_decoder.0.cross.z@0", other, ERR));
  OK(fv_wave_readout(w, edited, NULL, NULL, ERR));
  OK(fv_wave_compute(w, NULL, ERR));
  fv_generation g;
  OK(fv_wave_generate(w, &edited, 1, 3, &g, ERR));
  fv_generation_release(&g);
  fv_wave_free(w);
}

static bool stop(void *user, double done) {
  (void)user, (void)done;
  return false;
}

static void calls_in_the_wrong_order(void **state) {
  (void)state;
  fv_cost cost;
  char *text;
  fv_generation g;
  int64_t checked;
  fv_wave *w = new_wave((fv_wave_options){.generate = true});
  int run = new_run(w, -1, plain);
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  FAILS(fv_wave_generate(w, &run, 1, 2, &g, WHY), FV_EUSAGE, "follows");
  OK(fv_wave_compute(w, NULL, ERR));
  FAILS(fv_wave_cost(w, &cost, WHY), FV_EUSAGE, "before");
  FAILS(fv_wave_explain(w, &text, WHY), FV_EUSAGE, "before");
  FAILS(fv_wave_compute(w, NULL, WHY), FV_EUSAGE, "already");
  FAILS(fv_wave_readout(w, run, NULL, NULL, WHY), FV_EUSAGE, "before");
  FAILS(fv_wave_do(w, run, "zero vision.final", -1, WHY), FV_EUSAGE, "before");
  OK(fv_wave_generate(w, &run, 1, 2, &g, ERR));
  fv_generation_release(&g);
  fv_wave_free(w);
  w = new_wave((fv_wave_options){.generate = true});
  run = new_run(w, -1, plain);
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  fv_progress progress = {stop, NULL};
  FAILS(fv_wave_compute(w, &progress, WHY), FV_ECANCELLED, "stopped");
  FAILS(fv_wave_generate(w, &run, 1, 2, &g, WHY), FV_EUSAGE, "follows");
  FAILS(fv_wave_check(w, 100, 1, &checked, WHY), FV_EUSAGE, "computed");
  fv_wave_free(w);
}

static void a_run_read_early_is_finished(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){0});
  int clean = new_run(w, -1, plain), source = new_run(w, clean, NULL), edited = new_run(w, clean, NULL);
  OK(fv_wave_do(w, edited, "replace text_encoder.0.resid_pre@1 from text_encoder.1.resid_post@2", source, ERR));
  FAILS(fv_wave_do(w, source, "zero vision.final", -1, WHY), FV_EUSAGE, "read");
  fv_wave_free(w);
}

/* The child overwrites what its parent replaced: the parent's source is then needed by nobody. */
static void an_overwritten_replacement(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){.in_order = true});
  int64_t n, m;
  int clean = new_run(w, -1, plain), source = new_run(w, -1, longer), parent = new_run(w, clean, NULL);
  OK(fv_wave_do(w, parent, "replace text_encoder.0.mlp.out@2", source, ERR));
  int child = new_run(w, parent, NULL), twice = new_run(w, parent, NULL);
  OK(fv_wave_do(w, child, "zero text_encoder.0.mlp.out@2", -1, ERR));
  OK(fv_wave_do(w, twice, "replace text_encoder.0.mlp.out@2 from text_encoder.0.attn.out@3", source, ERR));
  OK(fv_wave_do(w, twice, "zero text_encoder.0.mlp.out@2", -1, ERR));
  OK(fv_wave_do(w, twice, "add-gauss text_encoder.0.mlp.out@2 std=1", -1, ERR));
  float *a = read_at(w, child, plain, "text_encoder.final", &n),
        *b = read_at(w, twice, plain, "text_encoder.final", &m);
  compute_and_compare(w, child, a, n);
  for (int step = 0; step < model->plan->nsteps; step++)
    for (int64_t i = 0; i < w->slots[step].nentries; i++) assert_int_not_equal(w->slots[step].entries[i].run, source);
  float *kept = malloc((size_t)m * sizeof *kept);
  memcpy(kept, b, (size_t)m * sizeof *kept);
  OK(fv_run_full(w, twice, NULL, NULL, ERR));
  assert_memory_equal(kept, b, (size_t)m * sizeof *kept);
  free(a), free(b), free(kept);
  fv_wave_free(w);
}

static void a_picture_under_a_parent_without(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){0});
  int64_t n;
  int parent = new_run(w, -1, textual), child = new_run(w, parent, plain);
  float *a = read_at(w, child, plain, "vision.final", &n);
  OK(fv_wave_readout(w, child, NULL, NULL, ERR));
  compute_and_compare(w, child, a, n);
  free(a);
  fv_wave_free(w);
  w = new_wave((fv_wave_options){0}); /* the other way round the text has nothing to attend to */
  parent = new_run(w, -1, plain), child = new_run(w, parent, textual);
  OK(fv_wave_readout(w, child, NULL, NULL, ERR));
  FAILS(fv_wave_compute(w, NULL, WHY), FV_EUSAGE, "picture");
  FAILS(fv_run_full(w, child, keep, NULL, WHY), FV_EUSAGE, "picture");
  fv_wave_free(w);
}

static void operations_check_their_site_first(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){0});
  int run = new_run(w, -1, plain);
  FAILS(fv_wave_do(w, run, "block vision.pixels from=0", -1, WHY), FV_EUSAGE, "scores");
  FAILS(fv_wave_do(w, run, "block vision.0.mlp.out from=0", -1, WHY), FV_EUSAGE, "scores");
  FAILS(fv_wave_do(w, run, "block vision.0.attn.pattern from=0", -1, WHY), FV_EUSAGE, "scores");
  FAILS(fv_wave_do(w, run, "add-gauss vision.final std=1,", -1, WHY), FV_EUSAGE, "add-gauss");
  fv_wave_free(w);
}

/* Only rows 0..1 of five are needed, so later keys are computed by nobody. */
static void patterns_of_early_rows(void **state) {
  (void)state;
  static const char *const reads[] = {"text_decoder.1.attn.pattern@1", "text_decoder.1.attn.scores@1,0",
                                      "text_decoder.0.attn.z@1"};
  for (int i = 0; i < 3; i++) {
    fv_wave *w = new_wave((fv_wave_options){0});
    int64_t n;
    int run = new_run(w, -1, prompted);
    if (i == 2) OK(fv_wave_do(w, run, "scale text_decoder.0.attn.scores 0.5", -1, ERR));
    float *a = read_at(w, run, prompted, reads[i], &n);
    compute_and_compare(w, run, a, n);
    free(a);
    fv_wave_free(w);
  }
}

/* An edit of scores or pattern never lets a row see later rows: what comes behind it does not change its value, and it
 * is what it would be without them. */
static void masked_keys_stay_masked(void **state) {
  (void)state;
  static const char *const edits[] = {"zero text_decoder.0.attn.scores", "scale text_decoder.0.attn.scores -2",
                                      "zero text_decoder.0.attn.pattern", "replace text_decoder.0.attn.pattern",
                                      "scale text_decoder.1.attn.scores@1 0"};
  const fv_input *inputs[] = {prompted, other_tail, prefix};
  for (int e = 0; e < 5; e++) {
    float *got[3];
    int64_t n = 0;
    for (int i = 0; i < 3; i++) {
      fv_wave *w = new_wave((fv_wave_options){0});
      int clean = new_run(w, -1, inputs[i]), run = new_run(w, clean, NULL);
      if (e == 3) { /* values that claim to see everything */
        fv_selection *s = resolve(inputs[i], "text_decoder.0.attn.pattern");
        float ones[256];
        for (int k = 0; k < 256; k++) ones[k] = 0.25f;
        fv_edit_options o = {.op = "replace", .at = s, .source = -1, .values = ones, .values_rows = 1};
        OK(fv_wave_edit(w, run, &o, ERR));
        drop(s);
      } else {
        OK(fv_wave_do(w, run, edits[e], -1, ERR));
      }
      got[i] = read_at(w, run, inputs[i], "text_decoder.final@0-2", &n);
      compute_and_compare(w, run, got[i], n);
      fv_wave_free(w);
    }
    assert_memory_equal(got[0], got[1], (size_t)n * sizeof(float));
    assert_memory_equal(got[0], got[2], (size_t)n * sizeof(float));
    for (int i = 0; i < 3; i++) free(got[i]);
  }
}

/* With options.generated an edit of all rows is the edit of all rows of the longer text, its new keys included. */
static void edits_reach_generated_rows_and_keys(void **state) {
  (void)state;
  static const char *const edits[] = {"zero text_decoder.0.attn.pattern#1",
                                      "scale text_decoder.0.attn.scores 0.3",
                                      "zero text_decoder.1.attn.z#0",
                                      "scale text_decoder.0.mlp.out 1.7",
                                      "block text_decoder.1.cross.scores from=2,3",
                                      "zero text_decoder.0.cross.pattern#0",
                                      "zero text_decoder.0.attn.scores@0",
                                      "scale text_decoder.0.resid_post@0 -1"};
  for (size_t e = 0; e < sizeof edits / sizeof *edits; e++) {
    enum { NEW = 4 };
    fv_wave *w = new_wave((fv_wave_options){.generate = true, .generated = true});
    fv_wave *waves[1 + NEW] = {w};
    float got[64], want[64];
    int run = new_run(w, -1, plain);
    OK(fv_wave_do(w, run, edits[e], -1, ERR));
    OK(fv_wave_readout(w, run, keep, got, ERR));
    OK(fv_wave_compute(w, NULL, ERR));
    for (int64_t k = 0; k <= NEW; k++) {
      fv_input *in = tiny_input(model, &tiny, 0, "what color is the shirt", prompt, k);
      fv_wave *whole = new_wave((fv_wave_options){0});
      int r = new_run(whole, -1, in);
      OK(fv_wave_do(whole, r, edits[e], -1, ERR));
      OK(fv_wave_readout(whole, r, keep, want, ERR));
      OK(fv_wave_compute(whole, NULL, ERR));
      if (memcmp(got, want, 41 * sizeof *got) != 0) fail_msg("%s: other logits at row %d", edits[e], (int)k);
      fv_wave_free(whole);
      fv_input_free(in);
      if (k == NEW) break;
      waves[k + 1] = new_wave(w->options);
      waves[k + 1]->outer = waves[k];
      OK(fv_continue_run(waves[k + 1], run, prompt[k], keep, got, &run, ERR));
      OK(fv_wave_compute(waves[k + 1], NULL, ERR));
    }
    for (int k = NEW; k >= 0; k--) fv_wave_free(waves[k]);
  }
}

static void edits_that_cannot_reach_generated_rows(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){.generate = true, .generated = true});
  int clean = new_run(w, -1, plain), run = new_run(w, clean, NULL);
  FAILS(fv_wave_do(w, run, "replace text_decoder.0.mlp.out", clean, WHY), FV_EUSAGE, "generated");
  FAILS(fv_wave_do(w, run, "add-gauss text_decoder.0.mlp.out std=1", -1, WHY), FV_EUSAGE, "generated");
  fv_selection *s = resolve(plain, "text_decoder.0.attn.pattern");
  float ones[4] = {1, 1, 1, 1};
  fv_edit_options o = {.op = "replace", .at = s, .source = -1, .values = ones, .values_rows = 1};
  FAILS(fv_wave_edit(w, run, &o, WHY), FV_EUSAGE, "generated");
  drop(s);
  OK(fv_wave_do(w, run, "add-gauss vision.0.mlp.out std=1", -1, ERR));
  OK(fv_wave_do(w, run, "replace text_encoder.0.mlp.out", clean, ERR));
  OK(fv_wave_do(w, run, "replace text_decoder.0.mlp.out@0", clean, ERR));
  fv_wave_free(w);
}

/* Scores and patterns copied between heads, rows and keys of one site. */
static void patterns_from_other_heads(void **state) {
  (void)state;
  static const struct {
    const char *to, *from;
  } cases[] = {{"text_encoder.0.attn.pattern#1@2,3", "text_encoder.0.attn.pattern#0@4,1"},
               {"text_encoder.1.cross.scores#0,1@0:2,5", "text_encoder.1.cross.scores#1,0@3:7,1"}};
  for (int i = 0; i < 2; i++) {
    int64_t n, m;
    fv_wave *w = new_wave((fv_wave_options){0});
    int clean = new_run(w, -1, plain), run = new_run(w, clean, NULL);
    char edit[160];
    snprintf(edit, sizeof edit, "replace %s from %s", cases[i].to, cases[i].from);
    OK(fv_wave_do(w, run, edit, clean, ERR));
    float *a = read_at(w, clean, plain, cases[i].from, &n), *b = read_at(w, run, plain, cases[i].to, &m);
    OK(fv_wave_compute(w, NULL, ERR));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    free(a), free(b);
    fv_wave_free(w);
  }
}

static void a_check_is_quiet_and_sees_patterns(void **state) {
  (void)state;
  int calls = 0;
  int64_t n, checked;
  fv_wave *w = new_wave((fv_wave_options){0});
  int run = new_run(w, -1, plain), edited = new_run(w, run, NULL);
  OK(fv_wave_do(w, edited, "scale text_encoder.0.attn.q 1.5", -1, ERR));
  OK(fv_wave_readout(w, run, count_calls, &calls, ERR));
  float *pattern = read_at(w, edited, plain, "text_encoder.0.attn.pattern", &n);
  OK(fv_wave_compute(w, NULL, ERR));
  assert_int_equal(calls, 1);
  OK(fv_wave_check(w, 100, 7, &checked, ERR));
  assert_int_equal(checked, 2);
  assert_int_equal(calls, 1);
  w->edits[0]->factor = 1.25f; /* as if the two executors disagreed */
  FAILS(fv_wave_check(w, 100, 7, &checked, WHY), FV_EMISMATCH, "run 1");
  free(pattern);
  fv_wave_free(w);
}

/* More rows than a streamed slot holds at a time. */
static void many_readouts(void **state) {
  (void)state;
  enum { RUNS = 3 * FV_STREAM_ROWS / 2 };
  float *logits = fv_alloc(RUNS * 64, sizeof *logits), alone[64];
  fv_wave *w = new_wave((fv_wave_options){0});
  int clean = new_run(w, -1, plain);
  for (int i = 1; i < RUNS; i++) {
    char edit[64];
    int run = new_run(w, clean, NULL);
    snprintf(edit, sizeof edit, "scale text_encoder.1.mlp.out@%d 0.%d", i % 5, i);
    OK(fv_wave_do(w, run, edit, -1, ERR));
    OK(fv_wave_readout(w, run, keep, logits + i * 64, ERR));
  }
  OK(fv_wave_compute(w, NULL, ERR));
  for (int i = 1; i < RUNS; i += 37) {
    OK(fv_run_full(w, i, NULL, NULL, ERR));
    memcpy(alone, logits + i * 64, sizeof alone);
    OK(fv_run_full(w, i, keep, alone, ERR));
    assert_memory_equal(alone, logits + i * 64, 41 * sizeof(float));
  }
  free(logits);
  fv_wave_free(w);
}

static void arguments_are_checked(void **state) {
  (void)state;
  int run;
  float x[4];
  int64_t checked;
  fv_wave *w = new_wave((fv_wave_options){0});
  FAILS(fv_wave_run(w, -1, NULL, &run, WHY), FV_EUSAGE, "needs an input");
  FAILS(fv_wave_run(w, 0, NULL, &run, WHY), FV_EUSAGE, "does not exist");
  FAILS(fv_wave_run(w, -2, plain, &run, WHY), FV_EUSAGE, "does not exist");
  run = new_run(w, -1, plain);
  FAILS(fv_wave_do(w, 1, "zero vision.final", -1, WHY), FV_EUSAGE, "does not exist");
  FAILS(fv_wave_do(w, 0, "", -1, WHY), FV_EUSAGE, "known are zero");
  FAILS(fv_wave_do(w, 0, "zer vision.final", -1, WHY), FV_EUSAGE, "known are zero");
  FAILS(fv_wave_do(w, 0, "zero", -1, WHY), FV_EUSAGE, "address");
  FAILS(fv_wave_do(w, 0, "zero vision.final 3", -1, WHY), FV_EUSAGE, "expected nothing");
  FAILS(fv_wave_do(w, 0, "scale vision.final", -1, WHY), FV_EUSAGE, "number");
  FAILS(fv_wave_do(w, 0, "scale vision.final nan", -1, WHY), FV_EUSAGE, "number");
  FAILS(fv_wave_do(w, 0, "replace vision.final", -1, WHY), FV_EUSAGE, "source");
  FAILS(fv_wave_do(w, 0, "replace vision.final", 0, WHY), FV_EUSAGE, "earlier run");
  FAILS(fv_wave_do(w, 0, "add-gauss vision.final", -1, WHY), FV_EUSAGE, "std");
  FAILS(fv_wave_do(w, 0, "add-gauss vision.final std=-1", -1, WHY), FV_EUSAGE, "0 or more");
  FAILS(fv_wave_do(w, 0, "mean vision.final absent.safetensors", -1, WHY), FV_ENOTFOUND, "absent.safetensors");
  OK(fv_wave_do(w, 0, "zero vision.final@1", -1, ERR));
  FAILS(fv_wave_do(w, 0, "scale vision.final@0-2 2", -1, WHY), FV_ECONFLICT, "vision.final");
  OK(fv_wave_do(w, 0, "scale vision.final@2-3 2", -1, ERR));
  new_run(w, run, NULL);
  FAILS(fv_wave_do(w, 0, "zero vision.final@5", -1, WHY), FV_EUSAGE, "children");
  fv_selection *s = resolve(prompted, "text_decoder.0.mlp.out@4:0-3");
  FAILS(fv_wave_read(w, 0, s, x, WHY), FV_EUSAGE, "does not have");
  drop(s);
  FAILS(fv_wave_check(w, 100, 1, &checked, WHY), FV_EUSAGE, "computed");
  FAILS(fv_wave_seed(w, FV_STREAM_NUMPY, -1, WHY), FV_EUSAGE, "");
  fv_wave_free(w);
}

static void a_memory_limit_that_is_too_low(void **state) {
  (void)state;
  fv_wave *w = new_wave((fv_wave_options){.memory = 100});
  int run = new_run(w, -1, plain);
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  FAILS(fv_wave_compute(w, NULL, WHY), FV_ENOMEM, "memory");
  fv_wave_free(w);
}

static fv_status add_up(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)err;
  for (int64_t v = 0; v < V; v++) ((double *)user)[run] += logits[v] * (double)(v + 1);
  return FV_OK;
}

/* Hundreds of runs in a memory that has room for their activations, but not for the lists of their rows. */
static void lists_of_rows_are_limited(void **state) {
  (void)state;
  enum { RUNS = 1500 };
  static const size_t limits[] = {0, 64 << 20, 4 << 20};
  static double sums[3][RUNS + 1];
  for (int i = 0; i < 3; i++) {
    fv_wave *w = new_wave((fv_wave_options){.memory = limits[i]});
    int root = new_run(w, -1, plain);
    for (int r = 1; r <= RUNS; r++) {
      char edit[64];
      int run = new_run(w, root, NULL);
      snprintf(edit, sizeof edit, "scale text_encoder.0.attn.z@%d %g", r % 7, 1.0 + r * 1e-3);
      OK(fv_wave_do(w, run, edit, -1, ERR));
      OK(fv_wave_readout(w, run, add_up, sums[i], ERR));
    }
    fv_cost cost;
    OK(fv_wave_compute(w, NULL, ERR));
    OK(fv_wave_cost(w, &cost, ERR));
    if (i < 2) assert_true(cost.parts == 1 && w->slice_bytes > 1 << 20 && cost.memory < 4 << 20);
    if (i == 2) assert_true(cost.parts > 1 && w->slice_bytes <= 1 << 20);
    fv_wave_free(w);
  }
  assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
  assert_memory_equal(sums[0], sums[2], sizeof sums[0]);
}

int main(int argc, char **argv) {
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(inherited_edits_need_the_same_rows),
                                     cmocka_unit_test(selections_need_the_same_keys),
                                     cmocka_unit_test(decoding_after_a_sourced_pattern),
                                     cmocka_unit_test(calls_in_the_wrong_order),
                                     cmocka_unit_test(a_run_read_early_is_finished),
                                     cmocka_unit_test(an_overwritten_replacement),
                                     cmocka_unit_test(a_picture_under_a_parent_without),
                                     cmocka_unit_test(operations_check_their_site_first),
                                     cmocka_unit_test(patterns_of_early_rows),
                                     cmocka_unit_test(masked_keys_stay_masked),
                                     cmocka_unit_test(edits_reach_generated_rows_and_keys),
                                     cmocka_unit_test(edits_that_cannot_reach_generated_rows),
                                     cmocka_unit_test(patterns_from_other_heads),
                                     cmocka_unit_test(a_check_is_quiet_and_sees_patterns),
                                     cmocka_unit_test(many_readouts),
                                     cmocka_unit_test(arguments_are_checked),
                                     cmocka_unit_test(a_memory_limit_that_is_too_low),
                                     cmocka_unit_test(lists_of_rows_are_limited)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
