/* Activation patching: against forward hooks on transformers' models (tools/reference/make_patch.py), and what must
 * hold whatever the weights are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/json.h"
#include "fovea/patch.h"
#include "support/planted.h"
#include "support/vectors.h"

/* docs/numerics.md: a logit after an intervention, relative to the largest. A difference of two errs twice as much. */
#define TOLERANCE 2e-5

/* ---- running ---- */

typedef struct lines {
  fv_table *table;
  fv_patch_result result;
} lines;

static fv_status try_patch(const fv_model *m, const fv_patch_options *o, lines *out, fv_error *err) {
  *out = (lines){0};
  OK(fv_table_new(&out->table, ERR));
  return fv_patch(m, o, fv_table_sink(out->table), NULL, &out->result, err);
}

static void lines_free(lines *l) {
  fv_table_free(l->table);
  fv_patch_release(&l->result);
}

static const char *text_of(const json_t *one, const char *key) { return json_string_value(json_object_get(one, key)); }

/* ---- against transformers ---- */

typedef struct worst {
  double diff, effect, prob; /* diff is relative to the largest logit */
  size_t cells;
} worst;

static double value_at(const json_t *list, size_t i) {
  const json_t *v = json_array_get(list, i);
  return json_is_null(v) ? NAN : json_number_value(v);
}

static void compare_number(const char *where, const char *what, double got, double want, double allowed, double *most) {
  if (isnan(got) && isnan(want)) return;
  double d = fabs(got - want);
  if (d > *most) *most = d;
  if (!(d <= allowed))
    fail_msg("%s: %s is %.9g, transformers' %.9g, allowed difference %g", where, what, got, want, allowed);
}

static void compare_line(const json_t *one, const json_t *cell, const fv_row *line, worst *w) {
  char where[160];
  const json_t *low = json_array_get(json_object_get(one, "corrupted"), (size_t)line->draw),
               *high = json_object_get(one, "clean");
  double scale = json_number_value(json_object_get(one, "scale")), logit = 2.0 * TOLERANCE * scale;
  snprintf(where, sizeof where, "%s: %s.%d.%s row %d head %d", text_of(one, "name"), line->stack, (int)line->layer,
           line->site, (int)line->row, (int)line->head);
  assert_int_equal(line->draw, json_integer_value(json_array_get(cell, 1)));
  int64_t layer = json_is_null(json_array_get(cell, 2)) ? -1 : json_integer_value(json_array_get(cell, 2));
  int64_t head = json_is_null(json_array_get(cell, 4)) ? -1 : json_integer_value(json_array_get(cell, 4));
  if (line->layer != layer || line->row != json_integer_value(json_array_get(cell, 3)) || line->head != head)
    fail_msg("%s: not in the place of %s", where, json_dumps(cell, 0));
  double LD = value_at(cell, 7), effect = value_at(cell, 8), gap = fabs(value_at(high, 1) - value_at(low, 1));
  double diff = 0.0;
  compare_number(where, "logit_diff", (double)line->logit_diff, LD, logit, &diff);
  compare_number(where, "prob", (double)line->prob, value_at(cell, 5), 2.0 * logit, &w->prob);
  compare_number(where, "p_diff", (double)line->p_diff, value_at(cell, 6), 4.0 * logit, &w->prob);
  compare_number(where, "clean_prob", (double)line->clean_prob, value_at(high, 0), 2.0 * logit, &w->prob);
  compare_number(where, "corrupt_prob", (double)line->corrupt_prob, value_at(low, 0), 2.0 * logit, &w->prob);
  compare_number(where, "clean_logit_diff", (double)line->clean_logit_diff, value_at(high, 1), logit, &diff);
  compare_number(where, "corrupt_logit_diff", (double)line->corrupt_logit_diff, value_at(low, 1), logit, &diff);
  w->diff = diff / scale > w->diff ? diff / scale : w->diff;
  compare_number(where, "effect", (double)line->effect, effect, 2.0 * logit * (1.0 + fabs(effect)) / gap, &w->effect);
  w->cells++;
}

static void run_case(const fv_model *m, const json_t *one, worst *w) {
  const char *corrupt = text_of(one, "corrupt"), *sites[16];
  const json_t *list = json_object_get(one, "sites"), *cells = json_object_get(one, "cells");
  fv_patch_options o;
  lines l;
  fv_patch_defaults(&o);
  o.input.image = text_of(one, "image"), o.input.question = text_of(one, "question");
  o.corrupt = &corrupt, o.ncorrupt = 1;
  for (o.nsite = 0; o.nsite < json_array_size(list); o.nsite++)
    sites[o.nsite] = json_string_value(json_array_get(list, o.nsite));
  o.site = sites, o.heads = text_of(one, "heads"), o.rows = text_of(one, "rows"), o.layers = text_of(one, "layers");
  o.window = json_integer_value(json_object_get(one, "window")),
  o.draws = json_integer_value(json_object_get(one, "draws"));
  o.noise = json_is_true(json_object_get(one, "noise")), o.pad_attended = json_is_true(json_object_get(one, "pad"));
  o.correct = text_of(one, "correct"), o.incorrect = text_of(one, "incorrect");
  o.seed = json_integer_value(json_object_get(one, "seed"));
  OK(try_patch(m, &o, &l, ERR));
  assert_int_equal(fv_table_count(l.table), json_array_size(cells));
  for (size_t i = 0; i < json_array_size(cells); i++)
    compare_line(one, json_array_get(cells, i), fv_table_row(l.table, i), w);
  lines_free(&l);
}

static void run_file(const char *name, size_t least) {
  char *path = fv_format("%s/patch/%s.json", FV_TEST_DATA, name), *folder;
  json_t *file;
  worst w = {0};
  fv_model *m;
  OK(fv_json_load(path, 1 << 24, &file, ERR));
  folder = fv_format("%s/%s", FV_TEST_DATA, text_of(file, "model"));
  OK(fv_model_open(folder, NULL, &m, ERR));
  free(path);
  path = fv_format("%s/vectors", folder);
  assert_int_equal(chdir(path), 0); /* pictures are named relative to the folder */
  const json_t *cases = json_object_get(file, "cases");
  for (size_t i = 0; i < json_array_size(cases); i++) run_case(m, json_array_get(cases, i), &w);
  print_message("%s: %zu runs, largest differences: logit_diff %.2g, prob %.2g, effect %.2g\n", name, w.cells, w.diff,
                w.prob, w.effect);
  assert_true(w.cells >= least);
  fv_model_close(m);
  json_decref(file);
  free(path), free(folder);
}

static void blip(void **state) {
  (void)state;
  run_file("blip-tied", 700), run_file("blip-shards", 600);
}

static void vit(void **state) {
  (void)state;
  run_file("vit-shards", 170), run_file("vit-bare", 180);
}

static void llava(void **state) {
  (void)state;
  run_file("llava-grouped", 400), run_file("llava-first", 400);
}

static void captions_and_matching(void **state) {
  (void)state;
  run_file("caption-tied", 80), run_file("itm-shards", 80);
}

/* ---- whatever the weights are ---- */

static const char *const others[] = {"image:image1.png"};

static fv_model *open_tied(fv_patch_options *o) {
  fv_model *m;
  OK(fv_model_open(FV_TEST_DATA "/blip/tied", NULL, &m, ERR));
  assert_int_equal(chdir(FV_TEST_DATA "/blip/tied/vectors"), 0);
  fv_patch_defaults(o);
  o->input.image = "image0.png", o->input.question = "what color is the shirt?";
  o->corrupt = others, o->ncorrupt = 1;
  o->correct = "playing", o->incorrect = "id:70";
  return m;
}

/* The last block of the decoder determines the answer. */
static void the_last_state_is_the_answer(void **state) {
  (void)state;
  static const char *const sites[] = {"text_decoder.1.resid_post"};
  fv_patch_options o;
  lines l;
  fv_model *m = open_tied(&o);
  o.site = sites, o.nsite = 1;
  for (int noise = 0; noise < 2; noise++) {
    o.noise = noise;
    OK(try_patch(m, &o, &l, ERR));
    assert_int_equal(fv_table_count(l.table), 1);
    const fv_row *r = fv_table_row(l.table, 0);
    assert_true(r->effect == 1.0f);
    assert_true(r->prob == (noise ? r->corrupt_prob : r->clean_prob));
    assert_true(r->logit_diff == (noise ? r->corrupt_logit_diff : r->clean_logit_diff));
    if (!noise) assert_true(r->kl < 1e-7f);
    lines_free(&l);
  }
  fv_model_close(m);
}

/* Self-attention of the first layer has not seen the picture yet. */
static void the_first_attention_is_the_same(void **state) {
  (void)state;
  static const char *const sites[] = {"text_encoder.0.attn.z", "text_encoder.0.attn.out", "text_encoder.0.resid_mid",
                                      "text_encoder.0.cross.q"};
  fv_patch_options o;
  lines l;
  fv_model *m = open_tied(&o);
  o.site = sites, o.nsite = 4;
  OK(try_patch(m, &o, &l, ERR));
  assert_int_equal(fv_table_count(l.table), 4 * 8);
  for (size_t i = 0; i < fv_table_count(l.table); i++) {
    const fv_row *r = fv_table_row(l.table, i);
    assert_true(r->effect == 0.0f && r->p_diff == 0.0f && r->logit_diff == r->corrupt_logit_diff);
  }
  lines_free(&l);
  fv_model_close(m);
}

/* All heads one by one at a place, and all together, are different questions; all of them listed is all together. */
static void listed_heads_are_all_heads(void **state) {
  (void)state;
  static const char *const sites[] = {"text_encoder.*.cross.z"}, *const forms[] = {NULL, "all", "0-4", "4,3,2,1,0"};
  static const char *const features[] = {"text_encoder.*.cross.z#0,1,2,3,4:0-6"};
  fv_patch_options o;
  lines l[5];
  fv_model *m = open_tied(&o);
  o.site = sites, o.nsite = 1;
  for (int i = 0; i < 4; i++) {
    o.heads = forms[i];
    OK(try_patch(m, &o, &l[i], ERR));
  }
  o.heads = NULL, o.site = features;
  OK(try_patch(m, &o, &l[4], ERR));
  for (int i = 1; i < 5; i++)
    for (size_t k = 0; k < fv_table_count(l[0].table); k++) {
      const fv_row *a = fv_table_row(l[0].table, k), *b = fv_table_row(l[i].table, k);
      assert_true(a->logit_diff == b->logit_diff && a->effect == b->effect && b->head == -1);
    }
  for (int i = 0; i < 5; i++) lines_free(&l[i]);
  fv_model_close(m);
}

/* Nothing to bring back: differences are 0, effects have no value and are counted. */
static void equal_inputs_have_no_effect(void **state) {
  (void)state;
  static const char *const same[] = {"image:image0.png", "question:what color is the shirt?", "scale:1@vision.final"};
  fv_patch_options o;
  lines l;
  fv_model *m = open_tied(&o);
  o.corrupt = same, o.ncorrupt = 3;
  OK(try_patch(m, &o, &l, ERR));
  assert_int_equal(fv_table_count(l.table), 3 * 2 * 8);
  assert_int_equal(l.result.undefined, 3 * 2 * 8);
  for (size_t i = 0; i < fv_table_count(l.table); i++) {
    const fv_row *r = fv_table_row(l.table, i);
    assert_true(isnan(r->effect) && r->p_diff == 0.0f && r->logit_diff == r->clean_logit_diff && r->kl < 1e-7f);
  }
  lines_free(&l);
  fv_model_close(m);
}

/* Without answers: the clean run's own is followed, and there is no difference of logits. */
static void answers_that_are_not_given(void **state) {
  (void)state;
  fv_patch_options o;
  lines l;
  fv_model *m = open_tied(&o);
  o.correct = o.incorrect = NULL;
  OK(try_patch(m, &o, &l, ERR));
  assert_int_equal(l.result.correct_id, l.result.clean_top);
  assert_int_equal(l.result.incorrect_id, -1);
  assert_int_equal(l.result.undefined, 0);
  assert_true(l.result.clean_right && isnan(l.result.clean_logit_diff));
  const fv_row *r = fv_table_row(l.table, 5);
  assert_true(isnan(r->effect) && isnan(r->logit_diff) && isnan(r->clean_logit_diff) && r->prob >= 0.0f);
  assert_string_equal(r->site, "resid_post"); /* the default */
  assert_string_equal(r->stack, "text_encoder");
  lines_free(&l);
  fv_model_close(m);
}

/* Two answers that are one to the model: probabilities as without the second one, differences of exactly 0, and no
 * effect. */
static void degenerate_pairs(void **state) {
  (void)state;
  fv_patch_options o;
  lines with, without;
  fv_model *m = open_tied(&o);
  o.keep_degenerate = true, o.incorrect = o.correct;
  OK(try_patch(m, &o, &with, ERR));
  o.keep_degenerate = false, o.incorrect = NULL;
  OK(try_patch(m, &o, &without, ERR));
  assert_int_equal(with.result.incorrect_id, with.result.correct_id);
  assert_int_equal(with.result.undefined, fv_table_count(with.table));
  assert_true(with.result.clean_logit_diff == 0.0f);
  for (size_t i = 0; i < fv_table_count(with.table); i++) {
    const fv_row *a = fv_table_row(with.table, i), *b = fv_table_row(without.table, i);
    assert_true(a->prob == b->prob && a->p_diff == b->p_diff && a->kl == b->kl && isnan(b->logit_diff));
    assert_true(a->logit_diff == 0.0f && a->clean_logit_diff == 0.0f && a->corrupt_logit_diff == 0.0f);
    assert_true(isnan(a->effect));
  }
  /* Also where nobody has named the correct answer. */
  char id[24];
  snprintf(id, sizeof id, "id:%d", (int)with.result.clean_top);
  lines_free(&with), lines_free(&without);
  o.correct = NULL, o.incorrect = id;
  assert_int_equal(try_patch(m, &o, &with, NULL), FV_EUSAGE);
  lines_free(&with);
  o.keep_degenerate = true;
  OK(try_patch(m, &o, &with, ERR));
  assert_int_equal(with.result.correct_id, with.result.incorrect_id);
  lines_free(&with);
  fv_model_close(m);
}

/* NOTICE's LLaVA: every cell is a single edit that writes the clean run's block output, in the last layer that behind
 * the final norm, into the module. */
typedef struct seen {
  int32_t correct, incorrect;
  float diff;
  double prob;
} seen;
static fv_status see(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  seen *s = user;
  double sum = 0.0;
  (void)run, (void)err;
  for (int64_t v = 0; v < V; v++) sum += exp((double)(logits[v] - logits[s->correct]));
  s->diff = logits[s->correct] - logits[s->incorrect], s->prob = 1.0 / sum;
  return FV_OK;
}

static fv_model *open_llava(fv_patch_options *o) {
  static const char *const sites[] = {"language.*.mlp.out", "language.*.attn.z"};
  fv_model *m;
  OK(fv_model_open(FV_TEST_DATA "/llava/grouped", NULL, &m, ERR));
  assert_int_equal(chdir(FV_TEST_DATA "/llava/grouped/vectors"), 0);
  fv_patch_defaults(o);
  o->input.image = "image0.png", o->input.question = "what color is the shirt?";
  o->corrupt = others, o->ncorrupt = 1, o->site = sites, o->nsite = 2;
  o->correct = "id:7", o->incorrect = "id:70", o->rows = "text", o->llava_hs_into_module = true;
  return m;
}

static void states_into_modules(void **state) {
  (void)state;
  enum { LAYERS = 2 };
  fv_patch_options o;
  lines l, same_site;
  fv_model *m = open_llava(&o);
  fv_input *clean, *corrupted;
  fv_wave *w;
  int source;
  OK(try_patch(m, &o, &l, ERR));
  o.llava_hs_into_module = false;
  OK(try_patch(m, &o, &same_site, ERR));
  size_t n = fv_table_count(l.table), differ = 0;
  assert_true(n >= 2 * LAYERS * 8 && n == fv_table_count(same_site.table));
  OK(fv_input_new(m, &o.input, &clean, ERR));
  o.input.image = "image1.png";
  OK(fv_input_new(m, &o.input, &corrupted, ERR));
  OK(fv_wave_new(m, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, clean, &source, ERR));
  seen *each = calloc(n, sizeof *each);
  for (size_t i = 0; i < n; i++) {
    const fv_row *r = fv_table_row(l.table, i);
    char edit[128], from[64];
    int run;
    snprintf(from, sizeof from, r->layer == LAYERS - 1 ? "language.final" : "language.%d.resid_post", (int)r->layer);
    snprintf(edit, sizeof edit, "replace language.%d.%s@%d from %s@%d", (int)r->layer, r->site, (int)r->row, from,
             (int)r->row);
    each[i] = (seen){.correct = 7, .incorrect = 70};
    OK(fv_wave_run(w, -1, corrupted, &run, ERR));
    OK(fv_wave_do(w, run, edit, source, ERR));
    OK(fv_wave_readout(w, run, see, &each[i], ERR));
  }
  OK(fv_wave_compute(w, NULL, ERR));
  for (size_t i = 0; i < n; i++) {
    const fv_row *r = fv_table_row(l.table, i), *plain = fv_table_row(same_site.table, i);
    assert_string_equal(r->op, "hs-into-module");
    assert_string_equal(plain->op, "replace");
    if (r->logit_diff != each[i].diff || !(fabs((double)r->prob - each[i].prob) <= 1e-6 * each[i].prob))
      fail_msg("language.%d.%s@%d: %.9g %.9g, an edit gives %.9g %.9g", (int)r->layer, r->site, (int)r->row,
               (double)r->logit_diff, (double)r->prob, (double)each[i].diff, each[i].prob);
    assert_true(r->corrupt_logit_diff == plain->corrupt_logit_diff && r->clean_prob == plain->clean_prob);
    differ += r->logit_diff != plain->logit_diff;
  }
  assert_true(differ > n / 2);
  free(each);
  fv_wave_free(w);
  fv_input_free(clean), fv_input_free(corrupted);
  lines_free(&l), lines_free(&same_site);
  fv_model_close(m);
}

/* Windows write every layer's own state, a wave in parts and --check change nothing, and what it would cost is known
 * without computing. */
static void states_into_modules_in_windows(void **state) {
  (void)state;
  fv_patch_options o;
  lines one, all, pieces;
  fv_cost cost;
  fv_model *m = open_llava(&o);
  o.window = 4, o.check = 100.0, o.nsite = 1;
  OK(fv_patch_cost(m, &o, &cost, ERR));
  OK(try_patch(m, &o, &all, ERR));
  assert_true(all.result.checked > 0 && cost.runs == all.result.runs && cost.flops == all.result.cost.flops);
  o.memory = all.result.cost.memory / 2, o.check = 0.0;
  OK(try_patch(m, &o, &pieces, ERR));
  o.window = 1, o.memory = 0;
  OK(try_patch(m, &o, &one, ERR));
  size_t n = fv_table_count(all.table), differ = 0;
  for (size_t i = 0; i < n; i++) {
    const fv_row *a = fv_table_row(all.table, i), *b = fv_table_row(all.table, (i + n / 2) % n);
    assert_true(a->logit_diff == b->logit_diff); /* both layers are in every window */
    assert_true(a->logit_diff == fv_table_row(pieces.table, i)->logit_diff);
    differ += a->logit_diff != fv_table_row(one.table, i)->logit_diff;
  }
  assert_true(differ > n / 4);
  lines_free(&one), lines_free(&all), lines_free(&pieces);
  fv_model_close(m);
}

static void states_into_modules_refused(void **state) {
  (void)state;
  static const char *const state_site[] = {"language.*.resid_post"}, *const vision[] = {"vision.*.mlp.out"},
                           *const part[] = {"language.*.mlp.out:0-3"}, *const out[] = {"language.*.attn.out"};
  static const struct {
    const char *const *site;
    const char *heads;
    bool noise;
    const char *says;
  } cases[] = {{state_site, NULL, false, "language.*.mlp.out and language.*.attn.z"},
               {vision, NULL, false, "language.*.mlp.out and language.*.attn.z"},
               {out, NULL, false, "language.*.mlp.out and language.*.attn.z"},
               {part, NULL, false, "whole rows"},
               {NULL, "each", false, "all heads together"},
               {NULL, "0,1", false, "all heads together"},
               {NULL, NULL, true, "the direction noise"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    static const char *const z[] = {"language.*.attn.z"};
    fv_patch_options o;
    fv_error err = {0};
    lines l;
    fv_model *m = open_llava(&o);
    o.site = cases[i].site ? cases[i].site : z, o.nsite = 1, o.heads = cases[i].heads, o.noise = cases[i].noise;
    if (cases[i].site == vision) o.rows = NULL;
    assert_int_equal(try_patch(m, &o, &l, &err), FV_EUSAGE);
    if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    lines_free(&l);
    fv_model_close(m);
  }
}

static void the_answer_in_the_question(void **state) {
  (void)state;
  static const struct {
    const char *question, *correct;
    int row;
  } cases[] = {{"what color is the shirt?", "shirt", 5},
               {"what color is the shirt?", "dog", -1},
               {"is the redish shirt red or green?", "red", 6}, /* "red" "##ish" is another word */
               {"is the redish shirt red or green?", "redish", 4},
               {"is it red or red?", "red", 3},
               {"is it red or red?", "id:34", -1}};
  static const char *const gray[] = {"gray"}, *const sites[] = {"text_decoder.1.resid_post"};
  fv_patch_options o;
  lines l;
  fv_model *m = open_tied(&o);
  o.corrupt = gray, o.site = sites, o.nsite = 1, o.incorrect = NULL;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    o.input.question = cases[i].question, o.correct = cases[i].correct;
    OK(try_patch(m, &o, &l, ERR));
    if (l.result.answer_row != cases[i].row)
      fail_msg("%s, %s: row %d", cases[i].question, cases[i].correct, (int)l.result.answer_row);
    lines_free(&l);
  }
  fv_model_close(m);
}

/* As above where the text ends with the question, behind the picture's rows, and pieces say where words begin instead
 * of how they go on. */
static void answer_behind(const char *model, const char *image, const char *prompt, const char *correct, int behind) {
  static const char *const gray[] = {"gray"}, *const sites[] = {"language.0.resid_post"};
  fv_model *m;
  fv_patch_options o;
  lines l;
  OK(fv_model_open(model, NULL, &m, ERR));
  fv_patch_defaults(&o);
  o.input.image = image, o.input.prompt = prompt, o.correct = correct;
  o.corrupt = gray, o.ncorrupt = 1, o.site = sites, o.nsite = 1, o.rows = "last";
  OK(try_patch(m, &o, &l, ERR));
  int64_t rows = fv_table_row(l.table, 0)->row + 1, row = behind ? rows - behind : -1;
  if (l.result.answer_row != row)
    fail_msg("%s, %s: row %d of %d", prompt, correct, (int)l.result.answer_row, (int)rows);
  lines_free(&l);
  fv_model_close(m);
}

static void the_answer_in_the_prompt(void **state) {
  (void)state;
  static const struct {
    const char *prompt, *correct;
    int behind; /* the row, counted from the end; 0: none */
  } cases[] = {{"<image> is the dog red", "red", 1},       {"<image> is the red dog", "red", 2},
               {"<image> is the redish dog", "red", 0},    {"<image> is it redish or red, dog", "red", 3},
               {"<image> is the redish dog", "redish", 2}, {"<image> is it redo or red?", "red", 2}},
    bytes[] = {{"<image> is it red\u00e9", "red", 0}, {"<image> is it red\u201d", "red", 4}};
  const char *image = FV_TEST_DATA "/llava/first/vectors/image0.png";
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    answer_behind(FV_TEST_DATA "/llava/first", image, cases[i].prompt, cases[i].correct, cases[i].behind);
    answer_behind(FV_TEST_DATA "/llava/grouped", image, cases[i].prompt, cases[i].correct, cases[i].behind);
  }
  for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) /* characters in several tokens */
    answer_behind(FV_SOURCE_DIR "/models/llava-demo", image, bytes[i].prompt, bytes[i].correct, bytes[i].behind);
}

/* A wave in pieces, other threads, other neighbours: the same bits. */
static void neighbours_change_nothing(void **state) {
  (void)state;
  static const char *const both[] = {"text_encoder.*.cross.z", "text_encoder.*.attn.z"};
  fv_patch_options o;
  lines all, piece, alone;
  fv_model *m = open_tied(&o);
  o.site = both, o.nsite = 2, o.heads = "each", o.check = 25.0;
  OK(try_patch(m, &o, &all, ERR));
  assert_int_equal(fv_table_count(all.table), 2 * 2 * 8 * 5);
  assert_true(all.result.checked >= 40);
  o.memory = all.result.cost.memory / 3, o.check = 0.0;
  OK(try_patch(m, &o, &piece, ERR));
  assert_true(all.result.cost.parts == 1 && piece.result.cost.parts > 2);
  o.memory = 0, o.rows = "6", o.layers = "1", o.heads = "3";
  OK(try_patch(m, &o, &alone, ERR));
  assert_int_equal(fv_table_count(alone.table), 2);
  size_t found = 0;
  for (size_t i = 0; i < fv_table_count(all.table); i++) {
    const fv_row *a = fv_table_row(all.table, i), *b = fv_table_row(piece.table, i);
    assert_true(a->logit_diff == b->logit_diff && a->prob == b->prob && a->kl == b->kl && a->head == b->head);
    for (size_t k = 0; k < 2; k++) {
      const fv_row *c = fv_table_row(alone.table, k);
      if (a->layer == 1 && a->row == 6 && a->head == 3 && strcmp(a->site, c->site) == 0)
        assert_true(a->logit_diff == c->logit_diff && a->prob == c->prob), found++;
    }
  }
  assert_int_equal(found, 2);
  lines_free(&all), lines_free(&piece), lines_free(&alone);
  fv_model_close(m);
}

/* A head that carries the colour is found at the rows of the colour words, and nowhere else. */
static void the_planted_head(void **state) {
  (void)state;
  static const char *const sites[] = {"text_encoder.*.cross.z", "text_encoder.*.attn.z"};
  for (int head = 0; head < PLANTED_HEADS; head++) {
    int layer = (head + 1) % PLANTED_LAYERS;
    tiny_blip b;
    fv_model *m;
    fv_patch_options o;
    lines l;
    planted_blip_new(layer, head, &b);
    OK(fv_model_open(b.dir, NULL, &m, ERR));
    char *blue = fv_format("image:%s", b.images[1]);
    const char *corrupt = blue;
    fv_patch_defaults(&o);
    o.input.image = b.images[0], o.input.question = "is the car red a blue";
    o.corrupt = &corrupt, o.ncorrupt = 1, o.site = sites, o.nsite = 2, o.heads = "each";
    o.correct = "red", o.incorrect = "blue";
    OK(try_patch(m, &o, &l, ERR));
    assert_true(l.result.clean_right && l.result.answer_row == 4);
    for (size_t i = 0; i < fv_table_count(l.table); i++) {
      const fv_row *r = fv_table_row(l.table, i);
      bool here =
          strcmp(r->site, "cross.z") == 0 && r->layer == layer && r->head == head && (r->row == 4 || r->row == 6);
      if (here ? !(r->effect > 0.2f && r->effect < 0.8f) : r->effect != 0.0f)
        fail_msg("head %d: effect %g at %s layer %d, row %d, head %d", head, (double)r->effect, r->site, (int)r->layer,
                 (int)r->row, (int)r->head);
    }
    lines_free(&l);
    free(blue);
    fv_model_close(m);
    tiny_blip_release(&b);
  }
}

/* ---- what is refused ---- */

static void refused(void **state) {
  (void)state;
  static const char *const odd_question[] = {"question:what color is the small shirt?"},
                           *const two[] = {"text_encoder.*.attn.*"}, *const scores[] = {"text_encoder.*.attn.scores"},
                           *const rows[] = {"text_encoder.*.attn.z@3"}, *const none[] = {"text_encoder.*.nothing"},
                           *const plain[] = {"text_encoder.*.attn.z"}, *const heads[] = {"text_encoder.*.attn.z#1"},
                           *const picture[] = {"image:absent.png"}, *const final[] = {"vision.final"};
  const struct {
    fv_patch_options o;
    fv_status status;
    const char *says;
  } cases[] = {
      {{.incorrect = "playing"}, FV_EUSAGE, "the same to the model"},
      {{.incorrect = "playing id"}, FV_EUSAGE, "begin with"},
      {{.corrupt = odd_question, .ncorrupt = 1}, FV_ESHAPE, "9 rows there and 8 in the clean input"},
      {{.corrupt = picture, .ncorrupt = 1}, FV_ENOTFOUND, "absent.png"},
      {{.ncorrupt = 99}, FV_EUSAGE, "a corrupted input is missing"},
      {{.site = two, .nsite = 1}, FV_EUSAGE, "several sites"},
      {{.site = scores, .nsite = 1}, FV_EUSAGE, "scores and patterns"},
      {{.site = rows, .nsite = 1}, FV_EUSAGE, "rows are not given here"},
      {{.site = none, .nsite = 1}, FV_ENOTFOUND, "has no site"},
      {{.heads = "each"}, FV_EUSAGE, "resid_post has no heads"},
      {{.heads = "0"}, FV_EUSAGE, "has no heads"},
      {{.site = plain, .nsite = 1, .heads = "5"}, FV_ENOTFOUND, "heads"},
      {{.site = plain, .nsite = 1, .heads = "two"}, FV_EUSAGE, "heads"},
      {{.site = heads, .nsite = 1, .heads = "1"}, FV_EUSAGE, "names heads"},
      {{.rows = "8"}, FV_ENOTFOUND, "rows"},
      {{.rows = "\"zebra\""}, FV_ENOTFOUND, "zebra"},
      {{.layers = "2"}, FV_ENOTFOUND, "layers"},
      {{.site = final, .nsite = 1, .layers = "0"}, FV_EUSAGE, "has no layers"},
      {{.window = -1}, FV_EUSAGE, "window is"},
      {{.draws = -1}, FV_EUSAGE, "draws is"},
      {{.check = 101.0}, FV_EUSAGE, "check is"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_patch_options o, c = cases[i].o;
    fv_error err = {0};
    lines l;
    fv_model *m = open_tied(&o);
    if (c.corrupt) o.corrupt = c.corrupt;
    if (c.ncorrupt == 99) o.ncorrupt = 0;
    if (c.incorrect) o.incorrect = c.incorrect;
    o.site = c.site, o.nsite = c.nsite, o.heads = c.heads, o.rows = c.rows, o.layers = c.layers, o.check = c.check;
    if (c.window) o.window = c.window;
    if (c.draws) o.draws = c.draws;
    fv_status st = try_patch(m, &o, &l, &err);
    if (st != cases[i].status || !strstr(err.text, cases[i].says))
      fail_msg("case %zu: status %d, \"%s\"; expected %d, \"%s\"", i, st, err.text, cases[i].status, cases[i].says);
    assert_int_equal(fv_table_count(l.table), 0);
    lines_free(&l);
    fv_model_close(m);
  }
}

/* A model without an answer, and texts that cannot be filled up. */
static void refused_by_other_families(void **state) {
  (void)state;
  static const char *const question[] = {"question:what color is the small dog?"};
  fv_patch_options o;
  fv_error err = {0};
  lines l;
  fv_model *m;
  OK(fv_model_open(FV_TEST_DATA "/bert/shards", NULL, &m, ERR));
  fv_patch_defaults(&o);
  o.input.question = "a cat", o.corrupt = question, o.ncorrupt = 1;
  assert_int_equal(try_patch(m, &o, &l, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "no answer"));
  lines_free(&l);
  fv_model_close(m);
  OK(fv_model_open(FV_TEST_DATA "/llava/grouped", NULL, &m, ERR));
  assert_int_equal(chdir(FV_TEST_DATA "/llava/grouped/vectors"), 0);
  o.input.image = "image0.png", o.input.question = "what color is the shirt?", o.pad_attended = true;
  assert_int_equal(try_patch(m, &o, &l, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "cannot be filled up"));
  lines_free(&l);
  fv_model_close(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_planted_head), /* writes below the current folder */
                                     cmocka_unit_test(blip),
                                     cmocka_unit_test(vit),
                                     cmocka_unit_test(llava),
                                     cmocka_unit_test(captions_and_matching),
                                     cmocka_unit_test(the_last_state_is_the_answer),
                                     cmocka_unit_test(the_first_attention_is_the_same),
                                     cmocka_unit_test(listed_heads_are_all_heads),
                                     cmocka_unit_test(equal_inputs_have_no_effect),
                                     cmocka_unit_test(answers_that_are_not_given),
                                     cmocka_unit_test(degenerate_pairs),
                                     cmocka_unit_test(states_into_modules),
                                     cmocka_unit_test(states_into_modules_in_windows),
                                     cmocka_unit_test(states_into_modules_refused),
                                     cmocka_unit_test(the_answer_in_the_question),
                                     cmocka_unit_test(the_answer_in_the_prompt),
                                     cmocka_unit_test(neighbours_change_nothing),
                                     cmocka_unit_test(refused),
                                     cmocka_unit_test(refused_by_other_families)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
