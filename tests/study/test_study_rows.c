/* The rows of a study are those of its sweeps asked one by one, with the options that the file's keys stand for; and
 * what is kept of a sample is its own, whatever its sweeps follow. */
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
#include "fovea/study.h"
#include "study/store_inside.h"
#include "study/study_tests.h"

#define MODEL FV_TEST_DATA "/blip/tied"
#define IMAGE0 MODEL "/vectors/image0.png"
#define IMAGE1 MODEL "/vectors/image1.png"
#define RED "what color is the red shirt?"
#define BIG "what color is the big shirt?"

static fv_model *model;
static const char *model_folder = MODEL;

/* A sample as the study has it, and what the tables must say of it. */
typedef struct one {
  const char *name, *image, *corrupt_image, *question, *corrupt_question, *correct, *incorrect;
  int64_t answer_row; /* -1: none */
  bool excluded;
} one;

static const one answered[] = {{"a", IMAGE0, IMAGE1, RED, BIG, "red", "id:30", 5, false},
                               {"b", IMAGE1, IMAGE0, BIG, RED, "dog", NULL, -1, false},
                               {"same", IMAGE0, IMAGE1, RED, BIG, "shirt", "shirt", -1, true},
                               {"c", IMAGE0, IMAGE1, BIG, RED, "big", "dog", 5, false},
                               {"d", IMAGE1, IMAGE0, RED, BIG, "shirt", "id:20", 6, false}};
static const one unanswered[] = {{"a", IMAGE0, IMAGE1, RED, BIG, "red", "id:30", 5, false},
                                 {"n", IMAGE1, IMAGE0, BIG, RED, NULL, NULL, -1, false}};

/* ---- running ---- */

static fv_store *run(const char *head, const one *list, size_t n, const char *sweeps, fv_study **study) {
  char *text = fv_format("model: %s\n%ssamples:\n", model_folder, head), *path = in_folder("s.yaml"), *longer;
  for (size_t i = 0; i < n; i++, text = longer) {
    const one *x = &list[i];
    longer = fv_format("%s  - {sample: %s, image: %s, corrupt_image: %s, question: %s, corrupt_question: %s%s%s%s%s}\n",
                       text, x->name, x->image, x->corrupt_image, x->question, x->corrupt_question,
                       x->correct ? ", correct: " : "", x->correct ? x->correct : "",
                       x->incorrect ? ", incorrect: " : "", x->incorrect ? x->incorrect : "");
    free(text);
  }
  longer = fv_format("%ssweeps:\n%s", text, sweeps);
  file_write(path, longer, strlen(longer));
  free(text), free(longer);
  fv_study_result result;
  fv_store *store;
  fv_study_options o = {.db = in_folder("s.db")};
  database_remove(o.db);
  OK(fv_study_load(path, study, &e));
  OK(fv_study_run(*study, model, &o, &result, &e));
  OK(fv_store_open(o.db, FV_STORE_READ, &store, &e));
  return store;
}

static int64_t number_of(const fv_store *store, const char *column, const char *sample) {
  sqlite3_stmt *s;
  bool more;
  char *sql = fv_format("SELECT %s FROM samples WHERE name = '%s'", column, sample);
  OK(fv_store_prepare(store, sql, &s, &e));
  OK(fv_store_next(store, s, &more, &e));
  assert_true(more);
  int64_t value = fv_store_whole(s, 0); /* -1: NULL */
  sqlite3_finalize(s);
  free(sql);
  return value;
}

/* ---- rows ---- */

static bool same_number(float a, float b) { return a == b || (a != a && b != b); }

static bool same_row(const fv_row *a, const fv_row *b) {
  return a->draw == b->draw && a->layer == b->layer && a->window == b->window && a->row == b->row &&
         a->head == b->head && a->rank == b->rank && a->answer_id == b->answer_id &&
         strcmp(a->corrupt, b->corrupt) == 0 && strcmp(a->stack, b->stack) == 0 && strcmp(a->site, b->site) == 0 &&
         strcmp(a->piece, b->piece) == 0 && strcmp(a->answer, b->answer) == 0 && same_number(a->prob, b->prob) &&
         same_number(a->logit, b->logit) && same_number(a->logit_diff, b->logit_diff) &&
         same_number(a->p_diff, b->p_diff) && same_number(a->effect, b->effect) && same_number(a->kl, b->kl) &&
         same_number(a->clean_prob, b->clean_prob) && same_number(a->corrupt_prob, b->corrupt_prob) &&
         same_number(a->clean_logit_diff, b->clean_logit_diff) &&
         same_number(a->corrupt_logit_diff, b->corrupt_logit_diff);
}

static fv_table *rows_of(const fv_store *store, const char *sweep) {
  fv_table *t;
  OK(fv_table_new(&t, &e));
  OK(fv_store_rows(store, sweep, fv_table_sink(t), &e));
  return t;
}

/* Whether the sample's rows in the study are those of the table, in its order. */
static bool same_rows(const fv_table *study, const char *sample, const fv_table *alone) {
  size_t n = 0;
  for (size_t i = 0; i < fv_table_count(study); i++) {
    const fv_row *r = fv_table_row(study, i);
    if (strcmp(r->sample, sample) != 0) continue;
    if (n >= fv_table_count(alone) || !same_row(r, fv_table_row(alone, n++))) return false;
  }
  return n > 0 && n == fv_table_count(alone);
}

/* ---- sweeps asked one by one ---- */

static char corrupt_texts[2][256]; /* of the sample that is asked for */
static const char *const corrupt[2] = {corrupt_texts[0], corrupt_texts[1]};

static void set_corrupt(int i, const char *kind, const char *value) {
  snprintf(corrupt_texts[i], sizeof corrupt_texts[i], "%s%s", kind, value);
}

static fv_patch_options patch_of(const fv_store *store, const one *x) {
  fv_patch_options o;
  fv_patch_defaults(&o);
  o.input.image = x->image, o.input.question = x->question, o.correct = x->correct, o.incorrect = x->incorrect;
  o.corrupt = corrupt, o.ncorrupt = 1, o.seed = number_of(store, "seed", x->name);
  set_corrupt(0, "image:", x->corrupt_image);
  return o;
}

static fv_trace_options trace_of(const fv_store *store, const one *x) {
  fv_trace_options o;
  fv_trace_defaults(&o);
  o.input.image = x->image, o.input.question = x->question, o.corrupt = corrupt;
  o.seed = number_of(store, "seed", x->name);
  return o;
}

static bool is_patch(const fv_table *study, const one *x, const fv_patch_options *o, fv_patch_result *result) {
  fv_table *alone;
  OK(fv_table_new(&alone, &e));
  OK(fv_patch(model, o, fv_table_sink(alone), NULL, result, &e));
  bool same = same_rows(study, x->name, alone);
  fv_table_free(alone);
  return same;
}

static bool is_trace(const fv_table *study, const one *x, const fv_trace_options *o) {
  fv_table *alone;
  fv_trace_result result = {0};
  OK(fv_table_new(&alone, &e));
  OK(fv_trace(model, o, fv_table_sink(alone), NULL, &result, &e));
  bool same = same_rows(study, x->name, alone);
  fv_trace_release(&result);
  fv_table_free(alone);
  return same;
}

/* What the table of samples says is the clean run's and the sample's own. */
static void check_sample(const fv_store *store, const one *x, const fv_patch_result *own) {
  assert_int_equal(number_of(store, "answer_id", x->name), own->clean_top);
  assert_int_equal(number_of(store, "clean_right", x->name), x->correct ? own->clean_right : -1);
  assert_int_equal(number_of(store, "answer_row", x->name), x->answer_row);
  assert_int_equal(number_of(store, "correct_id", x->name), x->correct ? own->correct_id : -1);
  assert_int_equal(number_of(store, "incorrect_id", x->name), own->incorrect_id);
}

static const char patches[] =
    "  - {name: noise, kind: patch, site: [text_encoder.*.attn.z, text_decoder.*.mlp.out], direction: noise, window: 2,"
    " corrupt: [image, question]}\n"
    "  - {name: some, kind: patch, site: text_encoder.*.cross.z, heads: '1,3', rows: 'last,0', layers: 1,"
    " corrupt: 'mul-gauss:mean=1,std=2@vision.final', draws: 3}\n"
    "  - {name: padded, kind: patch, pad_attended: true, corrupt: 'question:is the very big shirt red or blue?',"
    " rows: 0}\n";
static const char traces[] =
    "  - {name: late, kind: trace, layer_start: 1, window: 2, draws: 2, target: correct}\n"
    "  - {name: drawn, kind: trace, noise_redraw: true, draws: 2, restore: text_decoder.*.resid_post,"
    " corrupt: 'uniform:0.5@vision.final'}\n";

static void check_patches(const fv_store *store, const one *list, size_t n, bool numpy) {
  static const char *const sites[] = {"text_encoder.*.attn.z", "text_decoder.*.mlp.out"};
  static const char *const cross[] = {"text_encoder.*.cross.z"};
  fv_table *noise = rows_of(store, "noise"), *some = rows_of(store, "some"), *padded = rows_of(store, "padded");
  for (const one *x = list; x < list + n; x++) {
    if (x->excluded) continue;
    fv_patch_result r = {0};
    fv_patch_options o = patch_of(store, x);
    o.site = sites, o.nsite = 2, o.noise = true, o.window = 2, o.ncorrupt = 2;
    o.stream = numpy ? FV_STREAM_NUMPY : FV_STREAM_TORCH;
    set_corrupt(1, "question:", x->corrupt_question);
    assert_true(is_patch(noise, x, &o, &r));
    check_sample(store, x, &r);
    o.site = cross, o.nsite = 1, o.noise = false, o.window = 1, o.ncorrupt = 1;
    o.heads = "1,3", o.rows = "last,0", o.layers = "1", o.draws = 3;
    set_corrupt(0, "mul-gauss:mean=1,std=2@vision.final", "");
    assert_true(is_patch(some, x, &o, &r));
    o.heads = o.layers = NULL, o.nsite = 0, o.rows = "0", o.pad_attended = true;
    set_corrupt(0, "question:", "is the very big shirt red or blue?");
    assert_true(is_patch(padded, x, &o, &r));
    fv_patch_release(&r);
  }
  fv_table_free(noise), fv_table_free(some), fv_table_free(padded);
}

static void check_traces(const fv_store *store, const one *list, size_t n) {
  static const char *const decoder[] = {"text_decoder.*.resid_post"};
  fv_table *late = rows_of(store, "late"), *drawn = rows_of(store, "drawn");
  for (const one *x = list; x < list + n; x++) {
    if (x->excluded) continue;
    fv_trace_options o = trace_of(store, x);
    o.layer_start = 1, o.window = 2, o.draws = 2, o.target = x->correct, o.stream = FV_STREAM_NUMPY;
    assert_true(is_trace(late, x, &o));
    o.layer_start = 0, o.window = 1, o.redraw = true, o.target = NULL, o.restore = decoder, o.nrestore = 1;
    o.ncorrupt = 1;
    set_corrupt(0, "uniform:0.5@vision.final", "");
    assert_true(is_trace(drawn, x, &o));
  }
  fv_table_free(late), fv_table_free(drawn);
}

/* Traces come first, and follow another answer than the clean run's. */
static void test_rows(void **state) {
  (void)state;
  fv_study *study;
  char *sweeps = fv_format("%s%s", traces, patches);
  fv_store *store = run("seed: 9\nrng: numpy\n", answered, 5, sweeps, &study);
  check_traces(store, answered, 5);
  check_patches(store, answered, 5, true);
  assert_int_equal(number_of(store, "status = 'excluded'", "same"), 1);
  fv_store_close(store);
  fv_study_free(study);
  free(sweeps);
}

static void test_no_answer(void **state) {
  (void)state;
  fv_study *study;
  fv_store *store = run("", unanswered, 2, patches, &study);
  check_patches(store, unanswered, 2, false);
  fv_store_close(store);
  fv_study_free(study);
}

/* Of a control every sample has another one's pair, each once; one that the model cannot tell apart gives no rows, and
 * takes nothing from the sample that drew it. */
static void test_control(void **state) {
  (void)state;
  static const char sweeps[] =
      "  - {name: own, kind: patch, corrupt: image, rows: last}\n"
      "  - {name: control, kind: patch, corrupt: image, rows: last, answers: shuffled}\n";
  int without = 0;
  for (int seed = 0; seed < 4; seed++) {
    fv_study *study;
    char head[32];
    bool used[5] = {false};
    snprintf(head, sizeof head, "seed: %d\n", seed);
    fv_store *store = run(head, answered, 5, sweeps, &study);
    fv_table *own = rows_of(store, "own"), *control = rows_of(store, "control");
    for (int i = 0; i < 5; i++) {
      const one *x = &answered[i];
      if (x->excluded) continue;
      fv_patch_result r = {0};
      fv_patch_options o = patch_of(store, x);
      o.rows = "last";
      assert_true(is_patch(own, x, &o, &r));
      check_sample(store, x, &r);
      int found = -1;
      for (int k = 0; k < 5 && found < 0; k++) {
        o.correct = answered[k].correct, o.incorrect = answered[k].incorrect;
        if (!answered[k].excluded && !used[k] && is_patch(control, x, &o, &r)) used[found = k] = true;
      }
      if (found < 0) {
        for (size_t k = 0; k < fv_table_count(control); k++)
          assert_string_not_equal(fv_table_row(control, k)->sample, x->name);
        without++;
      }
      fv_patch_release(&r);
    }
    fv_table_free(own), fv_table_free(control);
    fv_store_close(store);
    fv_study_free(study);
  }
  assert_true(without > 0 && without <= 4);
}

/* A sample's draws are its own: neither its place among the samples nor other samples change them. */
static void test_seeds(void **state) {
  (void)state;
  static const char sweep[] = "  - {name: s, kind: trace, restore: text_decoder.1.mlp.out, draws: 2}\n";
  const one few[] = {answered[4], answered[0]};
  int64_t seeds[2][2], other;
  fv_table *t[2];
  for (int k = 0; k < 2; k++) {
    fv_study *study;
    fv_store *store = run("seed: 3\n", k ? few : answered, k ? 2 : 5, sweep, &study);
    for (int i = 0; i < 2; i++) seeds[k][i] = number_of(store, "seed", few[i].name);
    t[k] = rows_of(store, "s");
    fv_store_close(store);
    fv_study_free(study);
  }
  assert_true(seeds[0][0] == seeds[1][0] && seeds[0][1] == seeds[1][1] && seeds[0][0] != seeds[0][1]);
  for (size_t i = 0, k = 0; i < fv_table_count(t[0]); i++) /* "a" is first there and last here */
    if (strcmp(fv_table_row(t[0], i)->sample, "a") == 0)
      assert_true(same_row(fv_table_row(t[0], i), fv_table_row(t[1], fv_table_count(t[1]) / 2 + k++)));
  fv_table_free(t[0]), fv_table_free(t[1]);
  fv_study *study;
  fv_store *store = run("seed: 4\n", few, 2, sweep, &study);
  other = number_of(store, "seed", "a");
  assert_true(other != seeds[0][1] && other >= 0 && other <= UINT32_MAX);
  fv_store_close(store);
  fv_study_free(study);
}

/* Two answers of one token, which a study takes when it is told to: no difference, and no effect. */
static void test_degenerate(void **state) {
  (void)state;
  one x = answered[2];
  fv_study *study;
  fv_store *store =
      run("keep_degenerate: true\n", &x, 1, "  - {name: own, kind: patch, corrupt: image, rows: last}\n", &study);
  fv_table *own = rows_of(store, "own");
  fv_patch_result r = {0};
  fv_patch_options o = patch_of(store, &x);
  o.rows = "last", o.keep_degenerate = true;
  assert_true(is_patch(own, &x, &o, &r));
  assert_true(fv_table_row(own, 0)->logit_diff == 0.0f && isnan(fv_table_row(own, 0)->effect));
  assert_int_equal(number_of(store, "correct_id = incorrect_id", x.name), 1);
  fv_patch_release(&r);
  fv_table_free(own);
  fv_store_close(store);
  fv_study_free(study);
}

/* States into a module are another sweep's rows than the module's own, though these are computed beside them. */
static void test_modules(void **state) {
  (void)state;
  static const char sweeps[] =
      "  - {name: own, kind: patch, site: language.*.mlp.out, rows: last, corrupt: image}\n"
      "  - {name: states, kind: patch, site: language.*.mlp.out, rows: last, corrupt: image,"
      " llava_hs_into_module: true}\n";
  static const char *const site[] = {"language.*.mlp.out"};
  const one x = {"a", IMAGE0, IMAGE1, RED, BIG, "id:20", "id:30", -1, false};
  fv_model *blip = model;
  fv_study *study;
  model_folder = FV_TEST_DATA "/llava/first";
  OK(fv_model_open(model_folder, NULL, &model, &e));
  fv_store *store = run("", &x, 1, sweeps, &study);
  fv_table *own = rows_of(store, "own"), *states = rows_of(store, "states");
  assert_int_equal(number_of(store, "(SELECT count(*) FROM sample_rows WHERE name LIKE 'image%')", "a"), 0);
  assert_int_equal(number_of(store, "(SELECT count(*) FROM sample_rows WHERE piece LIKE '%shirt')", "a"), 1);
  fv_patch_result r = {0};
  fv_patch_options o = patch_of(store, &x);
  o.site = site, o.nsite = 1, o.rows = "last";
  assert_true(is_patch(own, &x, &o, &r) && !is_patch(states, &x, &o, &r));
  o.llava_hs_into_module = true;
  assert_true(is_patch(states, &x, &o, &r));
  fv_patch_release(&r);
  fv_table_free(own), fv_table_free(states);
  fv_store_close(store);
  fv_study_free(study);
  fv_model_close(model);
  model = blip, model_folder = MODEL;
}

static int setup(void **state) {
  OK(fv_model_open(MODEL, &(fv_model_options){.threads = 2}, &model, &e));
  return folder_setup(state);
}

static int teardown(void **state) {
  fv_model_close(model);
  return folder_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),       cmocka_unit_test(test_no_answer),
                                     cmocka_unit_test(test_control),    cmocka_unit_test(test_seeds),
                                     cmocka_unit_test(test_degenerate), cmocka_unit_test(test_modules)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
