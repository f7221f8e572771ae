/* Sweeps computed together: the rows of each are those of the sweep alone, bit for bit, whatever else is in its bundle;
 * what they have in common is computed once; and one that fails takes no other one with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "experiment/bundle.h"
#include "support/vectors.h"

#define MODEL FV_TEST_DATA "/blip/tied"
#define IMAGE0 MODEL "/vectors/image0.png"
#define IMAGE1 MODEL "/vectors/image1.png"

enum { MOST = 8, ROUNDS = 24 };

/* ---- rows as text ---- */

typedef struct text {
  char *at;
  size_t used, room;
} text;

static const char *shown(const char *s) { return s ? s : "-"; }

static fv_status add_row(void *user, const fv_row *r, fv_error *err) {
  text *t = user;
  char *line = fv_format("%s|%d|%s|%s|%d.%s|%d|%d|%s|%d|%a %a %a %a %a %a|%d|%a %a %a %a|%d|%s\n", shown(r->sample),
                         (int)r->draw, shown(r->corrupt), r->stack, (int)r->layer, r->site, (int)r->window, (int)r->row,
                         shown(r->piece), (int)r->head, (double)r->prob, (double)r->logit, (double)r->logit_diff,
                         (double)r->p_diff, (double)r->effect, (double)r->kl, (int)r->rank, (double)r->clean_prob,
                         (double)r->corrupt_prob, (double)r->clean_logit_diff, (double)r->corrupt_logit_diff,
                         (int)r->answer_id, shown(r->answer));
  if (!line || !fv_grow(&t->at, &t->room, t->used + strlen(line) + 1, 1)) return fv_fail(err, FV_ENOMEM, "no memory");
  strcpy(t->at + t->used, line);
  t->used += strlen(line);
  free(line);
  return FV_OK;
}

/* ---- sweeps ---- */

/* A trace is a trace where `patch` says so; otherwise the two share what they can. */
typedef struct one {
  bool is_trace;
  fv_patch_options patch;
  fv_trace_options trace;
  const char *corrupt[2], *site[2];
  fv_sweep sweep;
} one;

static void define(one *x, const char *image, const char *question) {
  *x = (one){0};
  fv_patch_defaults(&x->patch);
  x->patch.input.image = image, x->patch.input.question = question, x->patch.sample = "s";
  x->patch.corrupt = x->corrupt, x->patch.site = x->site, x->patch.draws = 2;
}

static void finish_definition(one *x) {
  x->patch.ncorrupt = x->corrupt[1] ? 2 : 1, x->patch.nsite = x->site[1] ? 2 : x->site[0] ? 1 : 0;
  if (!x->is_trace) return;
  const fv_patch_options *p = &x->patch;
  fv_trace_defaults(&x->trace);
  x->trace.input = p->input, x->trace.sample = p->sample, x->trace.corrupt = p->corrupt;
  x->trace.ncorrupt = p->ncorrupt, x->trace.restore = p->site, x->trace.nrestore = p->nsite;
  x->trace.window = p->window, x->trace.draws = p->draws, x->trace.target = p->correct;
  x->trace.seed = p->seed, x->trace.stream = p->stream, x->trace.redraw = p->pad_attended;
}

static fv_status prepare(const fv_model *m, one *x, fv_error *err) {
  return x->is_trace ? fv_trace_prepare(m, &x->trace, &x->sweep, err) : fv_patch_prepare(m, &x->patch, &x->sweep, err);
}

/* The rows of the computed sweep. */
static text finish(const one *x) {
  text t = {0};
  fv_sink sink = {&t, add_row};
  fv_patch_result patched = {0};
  fv_trace_result traced = {0};
  if (x->is_trace)
    OK(fv_trace_finish(&x->sweep, &x->trace, sink, &traced, ERR));
  else
    OK(fv_patch_finish(&x->sweep, &x->patch, sink, &patched, ERR));
  fv_patch_release(&patched), fv_trace_release(&traced);
  return t;
}

static text alone(const fv_model *m, one *x, fv_cost *cost) {
  int64_t checked;
  OK(prepare(m, x, ERR));
  OK(fv_sweep_alone(m, &x->sweep, NULL, cost, &checked, ERR));
  text t = finish(x);
  fv_sweep_release(&x->sweep);
  return t;
}

static fv_model *open_model(int threads) {
  fv_model *m;
  OK(fv_model_open(MODEL, &(fv_model_options){.threads = threads}, &m, ERR));
  return m;
}

/* ---- random bundles ---- */

static unsigned next(unsigned *state, unsigned n) {
  *state = *state * 1664525u + 1013904223u;
  return (*state >> 16) % n;
}

/* Few choices, so that much is in common: also pairs that are swapped, and pictures shared by several texts. */
static void choose(one *x, unsigned *r) {
  static const char *const images[] = {IMAGE0, IMAGE1};
  static const char *const questions[] = {"what color is the shirt?", "is color what the shirt?"};
  static const char *const corrupt[] = {"image:" IMAGE0,
                                        "image:" IMAGE1,
                                        "question:is color what the shirt?",
                                        "question:what color is the shirt?",
                                        "gray",
                                        "mul-gauss:mean=1,std=5@vision.final",
                                        "add-gauss:std=1@text_encoder.embed",
                                        "scale:0.5@vision.final"};
  static const char *const sites[] = {"text_encoder.*.resid_post", "text_encoder.*.cross.z", "text_encoder.*.attn.z",
                                      "text_decoder.*.mlp.out", "text_encoder.embed"};
  static const char *const heads[] = {NULL, "each", "1", "3,0"};
  static const char *const rows[] = {NULL, "last", "0-2"};
  define(x, images[next(r, 2)], questions[next(r, 2)]);
  x->corrupt[0] = corrupt[next(r, 8)];
  if (next(r, 3) == 0) x->corrupt[1] = corrupt[next(r, 8)];
  if (x->corrupt[1] == x->corrupt[0]) x->corrupt[1] = NULL;
  x->site[0] = sites[next(r, 5)];
  x->is_trace = next(r, 4) == 0;
  x->patch.window = 1 + next(r, 2), x->patch.draws = 1 + next(r, 3), x->patch.seed = next(r, 2);
  x->patch.stream = next(r, 4) == 0 ? FV_STREAM_NUMPY : FV_STREAM_TORCH;
  if (next(r, 2)) x->patch.correct = next(r, 2) ? "id:20" : "id:30";
  if (x->is_trace) {
    x->patch.pad_attended = next(r, 3) == 0; /* stands for redraw */
  } else {
    if (strstr(x->site[0], ".z")) x->patch.heads = heads[next(r, 4)];
    x->patch.noise = next(r, 3) == 0;
    if (!strstr(x->site[0], "decoder")) x->patch.rows = rows[next(r, 3)];
    if (next(r, 2)) x->patch.incorrect = "id:41";
  }
  finish_definition(x);
}

/* Returns the passes that the bundle was split into. */
static int64_t random_bundle(const fv_model *m, unsigned seed, size_t memory, double *together, double *apart) {
  one list[MOST];
  text want[MOST];
  fv_bundle *b;
  fv_cost cost;
  unsigned r = seed;
  size_t n = 2 + next(&r, MOST - 1);
  for (size_t i = 0; i < n; i++) {
    choose(&list[i], &r);
    want[i] = alone(m, &list[i], &cost);
    *apart += cost.flops;
  }
  OK(fv_bundle_new(m, memory, &b, ERR));
  for (size_t i = 0; i < n; i++) {
    OK(prepare(m, &list[i], ERR));
    OK(fv_bundle_add(b, &list[i].sweep, ERR));
  }
  OK(fv_bundle_compute(b, NULL, ERR));
  OK(fv_bundle_cost(b, &cost, ERR));
  *together += cost.flops;
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(list[i].sweep.failure.status, FV_OK);
    text got = finish(&list[i]);
    if (strcmp(got.at, want[i].at) != 0) fail_msg("bundle %u, sweep %zu:\n%s\nalone:\n%s", seed, i, got.at, want[i].at);
    free(got.at), free(want[i].at);
  }
  fv_bundle_free(b);
  for (size_t i = 0; i < n; i++) fv_sweep_release(&list[i].sweep);
  return cost.parts;
}

static void test_random(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; threads++) {
    fv_model *m = open_model(threads);
    double together = 0.0, apart = 0.0;
    for (unsigned i = 0; i < ROUNDS; i++) random_bundle(m, i, 0, &together, &apart);
    print_message("%d threads: %d bundles take %.0f %% of the operations of their sweeps alone\n", threads, ROUNDS,
                  100.0 * together / apart);
    assert_true(together < 0.9 * apart);
    fv_model_close(m);
  }
}

/* Split into passes that fit the memory. */
static void test_split(void **state) {
  (void)state;
  fv_model *m = open_model(2);
  double together = 0.0, apart = 0.0;
  int64_t parts = 0;
  for (unsigned i = 100; i < 112; i++) parts += random_bundle(m, i, 100000, &together, &apart);
  print_message("12 bundles in %d passes\n", (int)parts);
  assert_true(parts > 18);
  fv_model_close(m);
}

/* ---- what is shared ---- */

static fv_cost cost_of(const fv_model *m, one *list, size_t n) {
  fv_bundle *b;
  fv_cost cost;
  OK(fv_bundle_new(m, 0, &b, ERR));
  for (size_t i = 0; i < n; i++) {
    finish_definition(&list[i]);
    OK(prepare(m, &list[i], ERR));
    OK(fv_bundle_add(b, &list[i].sweep, ERR));
  }
  OK(fv_bundle_cost(b, &cost, ERR));
  fv_bundle_free(b);
  for (size_t i = 0; i < n; i++) fv_sweep_release(&list[i].sweep);
  return cost;
}

static void test_common(void **state) {
  (void)state;
  fv_model *m = open_model(1);
  one x[3];
  for (int i = 0; i < 3; i++) {
    define(&x[i], IMAGE0, "what color is the shirt?");
    x[i].corrupt[0] = "image:" IMAGE1, x[i].site[0] = "text_encoder.*.cross.z", x[i].patch.heads = "each";
  }
  fv_cost single = cost_of(m, x, 1);

  /* Other answers, as in a control: nothing is left to compute. */
  x[1].patch.correct = "id:20", x[1].patch.incorrect = "id:30";
  fv_cost both = cost_of(m, x, 2);
  assert_true(both.runs == single.runs && both.flops == single.flops && both.rows == single.rows);

  /* Some of the rows and layers: nothing either. */
  x[1].patch.rows = "1,last", x[1].patch.layers = "1";
  both = cost_of(m, x, 2);
  assert_true(both.runs == single.runs && both.flops == single.flops);

  /* Another window, another direction: their own cells, between the same two runs. */
  x[1].patch.rows = x[1].patch.layers = NULL, x[1].patch.window = 2;
  x[2].patch.noise = true;
  fv_cost three = cost_of(m, x, 3);
  assert_int_equal(three.runs, 3 * single.runs - 4);
  assert_true(three.flops < single.flops + cost_of(m, &x[1], 1).flops + cost_of(m, &x[2], 1).flops);

  /* The pair the other way round: the pictures are the same two, but each text run is its own. */
  define(&x[1], IMAGE1, "what color is the shirt?");
  x[1].corrupt[0] = "image:" IMAGE0, x[1].site[0] = "text_encoder.*.cross.z", x[1].patch.heads = "each";
  both = cost_of(m, x, 2);
  fv_cost swapped = cost_of(m, &x[1], 1);
  assert_true(both.flops < single.flops + swapped.flops);

  /* Another question about the same picture costs its text alone; about another one, all of it. */
  define(&x[0], IMAGE0, "what color is the shirt?"), define(&x[1], IMAGE0, "is color what the shirt?");
  define(&x[2], IMAGE1, "is color what the shirt?");
  for (int i = 0; i < 3; i++) x[i].corrupt[0] = "scale:0.5@vision.final";
  double first = cost_of(m, x, 1).flops, second = cost_of(m, x, 2).flops - first;
  fv_cost third = cost_of(m, x, 3);
  assert_true(second < 0.9 * first);
  assert_true(third.flops - first - second > 0.99 * first);

  /* Noise: as many draws of the same seed are the same; more are drawn anew, from the first. */
  for (int i = 0; i < 2; i++) {
    define(&x[i], IMAGE0, "what color is the shirt?");
    x[i].corrupt[0] = "mul-gauss:mean=1,std=5@vision.final", x[i].patch.draws = 3;
  }
  single = cost_of(m, x, 1);
  assert_true(cost_of(m, x, 2).runs == single.runs);
  x[1].patch.draws = 2;
  assert_true(cost_of(m, x, 2).runs == single.runs);
  x[1].patch.draws = 4;
  assert_true(cost_of(m, x, 2).runs == single.runs + 4 * (single.runs - 1) / 3);
  x[1].patch.draws = 3, x[1].patch.seed = 1;
  assert_true(cost_of(m, x, 2).runs == 2 * single.runs - 1);
  fv_model_close(m);
}

/* ---- what is not ---- */

/* Sweeps that differ from the first in one thing each are in one bundle, and have the rows that they have alone. */
static void test_distinct(void **state) {
  (void)state;
  static const char *const noise = "mul-gauss:mean=1,std=5@vision.final";
  enum { N = 12 };
  fv_model *m = open_model(2);
  fv_cost cost;
  fv_bundle *b;
  one x[N];
  text want[N];
  for (int i = 0; i < N; i++) {
    define(&x[i], i == 1 ? IMAGE1 : IMAGE0, i == 2 ? "is color what the shirt?" : "what color is the shirt?");
    x[i].corrupt[0] = i == 3 ? "add-gauss:std=1@vision.final" : noise, x[i].site[0] = "text_encoder.*.cross.z";
    x[i].patch.heads = "1", x[i].patch.incorrect = "id:41";
  }
  x[4].patch.stream = FV_STREAM_NUMPY, x[5].patch.seed = 7, x[6].patch.heads = "2", x[7].patch.window = 2;
  x[8].patch.noise = true, x[9].site[0] = "text_encoder.*.cross.z:0-3", x[10].site[0] = "text_encoder.*.cross.z:1-4";
  x[11].site[0] = "text_encoder.*.attn.z";
  OK(fv_bundle_new(m, 0, &b, ERR));
  for (int i = 0; i < N; i++) {
    finish_definition(&x[i]);
    want[i] = alone(m, &x[i], &cost);
    for (int k = 0; k < i; k++) assert_string_not_equal(want[i].at, want[k].at);
    OK(prepare(m, &x[i], ERR));
    OK(fv_bundle_add(b, &x[i].sweep, ERR));
  }
  OK(fv_bundle_compute(b, NULL, ERR));
  for (int i = 0; i < N; i++) {
    text got = finish(&x[i]);
    if (strcmp(got.at, want[i].at) != 0) fail_msg("sweep %d:\n%s\nalone:\n%s", i, got.at, want[i].at);
    free(got.at), free(want[i].at);
  }
  fv_bundle_free(b);
  for (int i = 0; i < N; i++) fv_sweep_release(&x[i].sweep);
  fv_model_close(m);
}

/* A sweep's clean run is read before its others, though these could do with another sweep's run of their picture: a
 * trace follows the answer it reads there, and kl is that to it. Of the patching it is the eighth readout: threads take
 * eight at a time, so that one of them would begin with the cells. */
static void test_clean_first(void **state) {
  (void)state;
  fv_model *m = open_model(2);
  fv_cost cost;
  one x[3];
  define(&x[0], IMAGE0, "what color is the shirt?");
  x[0].corrupt[0] = "gray", x[0].site[0] = "text_encoder.embed", x[0].patch.rows = "0-4";
  for (int i = 1; i < 3; i++) {
    define(&x[i], IMAGE1, "is color what the shirt?");
    x[i].corrupt[0] = "image:" IMAGE0, x[i].site[0] = "text_encoder.*.cross.z", x[i].is_trace = i == 2;
  }
  x[1].patch.correct = "id:41", x[1].patch.heads = "each";
  text want[3];
  for (int i = 0; i < 3; i++) finish_definition(&x[i]), want[i] = alone(m, &x[i], &cost);
  for (int round = 0; round < 200; round++) {
    fv_bundle *b;
    OK(fv_bundle_new(m, 0, &b, ERR));
    for (int i = 0; i < 3; i++) OK(prepare(m, &x[i], ERR));
    for (int i = 0; i < 3; i++) OK(fv_bundle_add(b, &x[i].sweep, ERR));
    OK(fv_bundle_compute(b, NULL, ERR));
    for (int i = 0; i < 3; i++) {
      text got = finish(&x[i]);
      if (strcmp(got.at, want[i].at) != 0)
        fail_msg("sweep %d, alone:\n%s\nin round %d:\n%s", i, want[i].at, round, got.at);
      free(got.at);
    }
    fv_bundle_free(b);
    for (int i = 0; i < 3; i++) fv_sweep_release(&x[i].sweep);
  }
  for (int i = 0; i < 3; i++) free(want[i].at);
  fv_model_close(m);
}

/* ---- several corruptions of one sweep ---- */

/* The rows of corruption c of x, among n. */
static text rows_of(const fv_model *m, one *x, const char *first, const char *second, const char *which) {
  fv_cost cost;
  text kept = {0};
  x->corrupt[0] = first, x->corrupt[1] = second;
  finish_definition(x);
  text all = alone(m, x, &cost);
  for (char *line = all.at, *end; *line; line = end) {
    end = strchr(line, '\n') + 1;
    const char *corrupt = strchr(strchr(line, '|') + 1, '|') + 1;
    if (strncmp(corrupt, which, strlen(which)) != 0) continue;
    assert_true(fv_grow(&kept.at, &kept.room, kept.used + (size_t)(end - line) + 1, 1));
    memcpy(kept.at + kept.used, line, (size_t)(end - line));
    kept.used += (size_t)(end - line), kept.at[kept.used] = '\0';
  }
  free(all.at);
  return kept;
}

/* In either order each has its own rows: every one draws from the seed and counts its draws from 0, and all texts are
 * as long as the longest, wherever it stands. */
static void test_order(void **state) {
  (void)state;
  static const struct {
    const char *a, *b;
    int rows; /* of a */
  } pairs[] = {{"mul-gauss:mean=1,std=5@vision.final", "add-gauss:std=1@vision.final", 2 * 3},
               {"question:what color is the big red shirt?", "image:" IMAGE1, 3}};
  fv_model *m = open_model(1);
  for (size_t i = 0; i < 2; i++) {
    one x;
    define(&x, IMAGE0, "what color is the shirt?");
    x.site[0] = "text_encoder.1.cross.z", x.patch.rows = "0,2,-1", x.patch.pad_attended = i == 1;
    text forward = rows_of(m, &x, pairs[i].a, pairs[i].b, pairs[i].a);
    text backward = rows_of(m, &x, pairs[i].b, pairs[i].a, pairs[i].a);
    assert_string_equal(forward.at, backward.at);
    int lines = 0, draws[2] = {0};
    for (const char *line = forward.at; *line; line = strchr(line, '\n') + 1)
      lines++, draws[strncmp(line, "s|1|", 4) == 0] += 1;
    assert_int_equal(lines, pairs[i].rows);
    assert_int_equal(draws[1], i == 0 ? 3 : 0);
    free(forward.at), free(backward.at);
  }
  fv_model_close(m);
}

/* ---- failures ---- */

static void test_failures(void **state) {
  (void)state;
  fv_model *m = open_model(2);
  fv_cost cost;
  fv_bundle *b;
  one x[3];
  for (int i = 0; i < 3; i++) {
    define(&x[i], IMAGE0, "what color is the shirt?");
    x[i].corrupt[0] = "gray";
    finish_definition(&x[i]);
  }
  text want = alone(m, &x[0], &cost);
  /* The model's own answer, which nobody named, is the incorrect one: only the clean run tells. */
  OK(prepare(m, &x[1], ERR));
  int64_t checked;
  OK(fv_sweep_alone(m, &x[1].sweep, NULL, &cost, &checked, ERR));
  char incorrect[32];
  snprintf(incorrect, sizeof incorrect, "id:%d", (int)x[1].sweep.top);
  fv_sweep_release(&x[1].sweep);
  x[1].patch.incorrect = incorrect;
  /* Fails while its runs are added: after the clean run and the first corrupted ones. */
  x[2].corrupt[1] = "scale:0.5@text_encoder.embed#1";
  finish_definition(&x[2]);

  OK(fv_bundle_new(m, 0, &b, ERR));
  for (int i = 2; i >= 0; i--) OK(prepare(m, &x[i], ERR));
  fv_error failed = {0};
  assert_int_not_equal(fv_bundle_add(b, &x[2].sweep, &failed), FV_OK);
  assert_true(failed.text[0] && x[2].sweep.failure.status == failed.status);
  OK(fv_bundle_add(b, &x[1].sweep, ERR));
  OK(fv_bundle_add(b, &x[0].sweep, ERR));
  OK(fv_bundle_compute(b, NULL, ERR));
  assert_int_equal(x[1].sweep.failure.status, FV_EUSAGE);
  assert_non_null(strstr(x[1].sweep.failure.text, "the same to the model"));
  assert_int_equal(x[0].sweep.failure.status, FV_OK);
  text got = finish(&x[0]);
  assert_string_equal(got.at, want.at);
  fv_bundle_free(b);
  for (int i = 0; i < 3; i++) fv_sweep_release(&x[i].sweep);
  free(got.at), free(want.at);
  fv_model_close(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),   cmocka_unit_test(test_split),       cmocka_unit_test(test_common),
      cmocka_unit_test(test_distinct), cmocka_unit_test(test_clean_first), cmocka_unit_test(test_order),
      cmocka_unit_test(test_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
