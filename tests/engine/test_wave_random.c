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

static void try_model(int index, int waves, random_counts *n) {
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
  for (int i = 0; i < waves; i++) random_wave_try(one, two, &in1, &in2, (uint64_t)(index * 1000 + i), n);
  random_inputs_release(&in1), random_inputs_release(&in2);
  fv_model_close(one), fv_model_close(two);
  tiny_blip_release(&b);
}

static void random_waves_equal_runs_alone(void **state) {
  (void)state;
  random_counts n = {0};
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
