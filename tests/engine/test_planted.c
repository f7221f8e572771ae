/* A planted circuit (support/planted.h): restoring every head of every layer at every row, all runs in one wave, must
 * find exactly the place where it is, and nothing else may change a single bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/planted.h"
#include "support/vectors.h"

enum {
  H = PLANTED_HEADS,
  LAYERS = PLANTED_LAYERS,
  V = PLANTED_V,
  YES = PLANTED_RED,
  NO = PLANTED_BLUE,
  LAYER = 1,
  HEAD = 2,
  ROWS = 6,
  ROW = 4 /* [CLS] is the sky blue [SEP] */
};

static fv_status keep(void *user, int run, const float *logits, int64_t n, fv_error *err) {
  (void)err;
  memcpy((float *)user + run * V, logits, (size_t)n * sizeof *logits);
  return FV_OK;
}

static int answer(const float *logits) {
  int best = 0;
  for (int v = 1; v < V; v++) best = logits[v] > logits[best] ? v : best;
  return best;
}

typedef struct planted {
  tiny_blip tiny;
  fv_model *model;
  fv_input *red, *blue;
  fv_wave *wave;
  int clean, corrupt;
  float logits[(2 + LAYERS * H * ROWS) * V];
} planted;

static void open_planted(planted *p) {
  planted_blip_new(LAYER, HEAD, &p->tiny);
  OK(fv_model_open(p->tiny.dir, NULL, &p->model, ERR));
  p->red = tiny_input(p->model, &p->tiny, 0, "is the sky blue", NULL, 0);
  p->blue = tiny_input(p->model, &p->tiny, 1, "is the sky blue", NULL, 0);
  assert_int_equal(fv_input_rows(p->red, "text_encoder"), ROWS);
  OK(fv_wave_new(p->model, NULL, &p->wave, ERR));
  OK(fv_wave_run(p->wave, -1, p->red, &p->clean, ERR));
  OK(fv_wave_run(p->wave, p->clean, p->blue, &p->corrupt, ERR));
  OK(fv_wave_readout(p->wave, p->clean, keep, p->logits, ERR));
  OK(fv_wave_readout(p->wave, p->corrupt, keep, p->logits, ERR));
}

static void close_planted(planted *p) {
  fv_wave_free(p->wave);
  fv_input_free(p->red), fv_input_free(p->blue);
  fv_model_close(p->model);
  tiny_blip_release(&p->tiny);
}

static int restore(planted *p, const char *what) {
  int run;
  char *edit = fv_format("replace %s", what);
  OK(fv_wave_run(p->wave, p->corrupt, NULL, &run, ERR));
  OK(fv_wave_do(p->wave, run, edit, p->clean, ERR));
  OK(fv_wave_readout(p->wave, run, keep, p->logits, ERR));
  free(edit);
  return run;
}

static void check_cell(const planted *p, int run, bool found, const char *what) {
  const float *got = p->logits + run * V, *want = p->logits + (found ? p->clean : p->corrupt) * V;
  if (answer(got) != (found ? YES : NO)) fail_msg("%s: the answer is %d", what, answer(got));
  if (memcmp(got, want, V * sizeof *got) != 0)
    fail_msg("%s: not the bits of the %s run", what, found ? "clean" : "corrupted");
}

static void one_head_at_one_row_and_layer(void **state) {
  (void)state;
  static planted p;
  char what[64];
  open_planted(&p);
  for (int l = 0; l < LAYERS; l++)
    for (int h = 0; h < H; h++)
      for (int t = 0; t < ROWS; t++) {
        snprintf(what, sizeof what, "text_encoder.%d.cross.z#%d@%d", l, h, t);
        restore(&p, what);
      }
  OK(fv_wave_compute(p.wave, NULL, ERR));
  assert_int_equal(answer(p.logits + p.clean * V), YES);
  assert_int_equal(answer(p.logits + p.corrupt * V), NO);
  int run = p.corrupt, found = 0;
  for (int l = 0; l < LAYERS; l++)
    for (int h = 0; h < H; h++)
      for (int t = 0; t < ROWS; t++) {
        bool cell = l == LAYER && h == HEAD && t == ROW;
        snprintf(what, sizeof what, "text_encoder.%d.cross.z#%d@%d", l, h, t);
        check_cell(&p, ++run, cell, what);
        found += cell;
      }
  assert_int_equal(found, 1);
  close_planted(&p);
}

/* The same fact seen from the residual stream, the values of the head, and the decoder. */
static void other_views_of_the_same_circuit(void **state) {
  (void)state;
  static const struct {
    const char *what;
    bool found;
  } cases[] = {{"text_encoder.0.resid_post@4", false},
               {"text_encoder.1.resid_mid@4", false},
               {"text_encoder.1.cross.out@4", true},
               {"text_encoder.1.cross.out@0-3,5", false},
               {"text_encoder.1.cross.out@4:9-10", true},
               {"text_encoder.1.cross.out@4:0-8,11-14", false},
               {"text_encoder.1.resid_cross@4", true},
               {"text_encoder.1.resid_post@4", true},
               {"text_encoder.2.resid_post@4", true},
               {"text_encoder.2.resid_post@0-3,5", false},
               {"text_encoder.1.cross.v#2", true},
               {"text_encoder.1.cross.v#0-1", false},
               {"text_encoder.1.cross.pattern", false},
               {"text_encoder.1.mlp.pre", false},
               {"vision.final", true},
               {"text_decoder.0.cross.v#0@4", true},
               {"text_decoder.0.cross.v#1,2", false},
               {"text_decoder.0.cross.z#0", true},
               {"text_decoder.0.cross.pattern", false},
               {"text_decoder.1.cross.z", false},
               {"text_decoder.2.resid_post", true}};
  static planted p;
  open_planted(&p);
  int n = sizeof cases / sizeof *cases;
  for (int i = 0; i < n; i++) restore(&p, cases[i].what);
  OK(fv_wave_compute(p.wave, NULL, ERR));
  for (int i = 0; i < n; i++) check_cell(&p, p.corrupt + 1 + i, cases[i].found, cases[i].what);
  close_planted(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_head_at_one_row_and_layer),
                                     cmocka_unit_test(other_views_of_the_same_circuit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
