/* The promise of the same bits, on random models, interventions and readouts: a wave's values are those of each run
 * computed alone, with a memory limit that splits the wave, with one thread and with two, and generated ids are those
 * of recomputing every prefix. `test_wave_random MODEL` tries the waves of one model only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/random_wave.h"
#include "support/vectors.h"

enum { MODELS = 40, WAVES = 20, ONLY_ALL = -1 };

static int only = ONLY_ALL;

typedef struct counts {
  int waves, runs, edits, refused, split, nonfinite, generated, threads;
} counts;

static fv_status last_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  int32_t *best = user;
  (void)run, (void)err;
  *best = 0;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[*best]) *best = (int32_t)v;
  return FV_OK;
}

/* Every prefix from scratch: the run alone, with its answer ids made longer by hand. */
static void compare_generation(random_wave *r, int run, const fv_generation *g) {
  fv_wave *w = r->wave;
  int space = w->model->answer_space;
  fv_run *at = &w->runs[run];
  const int32_t *ids = at->ids[space];
  int64_t T = at->T[space];
  int32_t *longer = fv_alloc((size_t)(T + g->count), sizeof *longer);
  memcpy(longer, ids, (size_t)T * sizeof *longer);
  at->ids[space] = longer;
  int nreads = w->nreads;
  w->nreads = 0; /* the reads are of the prompt */
  for (int64_t i = 0; i < g->count; i++) {
    int32_t best;
    fv_error err;
    at->T[space] = T + i;
    if (fv_run_full(w, run, last_logits, &best, &err)) random_wave_fail(r, "prefix of run %d: %s", run, err.text);
    if (best != g->ids[i])
      random_wave_fail(r, "run %d: generated id %lld is %d, and %d from the whole prefix", run, (long long)i, g->ids[i],
                       best);
    longer[T + i] = g->ids[i];
  }
  w->nreads = nreads;
  at->ids[space] = ids, at->T[space] = T;
  free(longer);
}

static void try_generation(random_wave *r, fv_rng *rng, counts *n) {
  int runs[RANDOM_RUNS], count = 0;
  fv_generation out[RANDOM_RUNS];
  fv_error err;
  for (int i = 0; i < r->nruns; i++)
    if (r->readout[i] && tiny_random(rng, 4) > 0) runs[count++] = i;
  if (fv_wave_generate(r->wave, runs, count, 1 + tiny_random(rng, 5), out, &err)) {
    if (err.status == FV_ENONFINITE) return;
    random_wave_fail(r, "generating failed: %s", err.text);
  }
  for (int i = 0; i < count; i++) {
    compare_generation(r, runs[i], &out[i]);
    n->generated += (int)out[i].count;
    fv_generation_release(&out[i]);
  }
}

static void try_wave(const fv_model *one, const fv_model *two, const random_inputs *in1, const random_inputs *in2,
                     uint64_t seed, counts *n) {
  random_wave r, other;
  fv_rng rng;
  fv_rng_torch(&rng, (int64_t)seed + 1);
  random_wave_new(one, in1, seed, &r);
  n->waves++, n->edits += r.edits, n->refused += r.refused;
  bool split = !r.wave->options.generate && tiny_random(&rng, 3) == 0;
  if (split) {
    r.wave->options.memory = random_wave_smallest_memory(&r);
    fv_cost cost;
    OK(fv_wave_cost(r.wave, &cost, ERR));
    n->split += cost.parts > 1;
  }
  fv_status st = random_wave_compute(&r);
  n->nonfinite += st != FV_OK;
  if (!st && r.wave->options.generate) try_generation(&r, &rng, n);
  if (!st && tiny_random(&rng, 4) == 0) {
    random_wave_new(two, in2, seed, &other);
    assert_int_equal(random_wave_compute(&other), FV_OK);
    random_wave_compare(&r, &other, split ? "two threads, not split" : "two threads");
    random_wave_release(&other);
    n->threads++;
  }
  if (!st) n->runs += random_wave_compare_full(&r);
  random_wave_release(&r);
}

static void try_model(int index, int waves, counts *n) {
  fv_rng rng;
  fv_rng_torch(&rng, 1000 + index);
  tiny_shape shape = tiny_shape_random(&rng);
  tiny_blip b;
  tiny_blip_new(&shape, (uint64_t)index, 1.0, &b);
  tiny_blip_save(&b);
  fv_model *one, *two;
  OK(fv_model_open(b.dir, &(fv_model_options){.threads = 1}, &one, ERR));
  OK(fv_model_open(b.dir, &(fv_model_options){.threads = 2}, &two, ERR));
  random_inputs in1, in2;
  random_inputs_new(one, &b, (uint64_t)index, &in1);
  random_inputs_new(two, &b, (uint64_t)index, &in2);
  for (int i = 0; i < waves; i++) try_wave(one, two, &in1, &in2, (uint64_t)(index * 1000 + i), n);
  random_inputs_release(&in1), random_inputs_release(&in2);
  fv_model_close(one), fv_model_close(two);
  tiny_blip_release(&b);
}

static void random_waves_equal_runs_alone(void **state) {
  (void)state;
  counts n = {0};
  for (int i = 0; i < random_scale(MODELS); i++)
    if (only == ONLY_ALL || only == i) try_model(i, WAVES, &n);
  print_message(
      "%d waves (%d split), %d runs compared, %d edits (%d refused), %d not finite, %d ids, %d with 2 threads\n",
      n.waves, n.split, n.runs, n.edits, n.refused, n.nonfinite, n.generated, n.threads);
  if (only != ONLY_ALL) return;
  assert_true(n.runs >= random_scale(2000));
  assert_true(n.refused * 3 < n.edits);
  assert_true(n.nonfinite * 20 < n.waves);
  assert_true(n.split > 0 && n.generated > 0 && n.threads > 0);
}

int main(int argc, char **argv) {
  if (argc > 1) only = atoi(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_waves_equal_runs_alone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
