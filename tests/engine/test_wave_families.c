/* The promise of the same bits on every family's checkpoints: random waves as in test_wave_random, on random inputs of
 * the vectors folders. `test_wave_families FAMILY/NAME [COUNT]` tries one checkpoint only. */
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

enum { WAVES = 120 };

static const char *const checkpoints[] = {"blip/tied",           "vit/shards",   "vit/bare",        "blip_caption/tied",
                                          "blip_caption/shards", "blip_itm/zip", "blip_itm/shards", "bert/shards",
                                          "bert/legacy",         "clip/zip",     "clip/shards",     "llava/grouped",
                                          "llava/first",         "llava/phi3",   "llava/native"};
enum { NCHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

static const char *only;
static int waves;

static void try_checkpoint(const char *name, uint64_t seed, random_counts *n) {
  char *dir = fv_format("%s/%s", FV_TEST_DATA, name);
  fv_vectors v1, v2;
  random_inputs in1, in2;
  vectors_open(dir, &v1), vectors_open(dir, &v2);
  fv_model_close(v1.model), fv_model_close(v2.model);
  OK(fv_model_open(dir, &(fv_model_options){.threads = 1}, &v1.model, ERR));
  OK(fv_model_open(dir, &(fv_model_options){.threads = 2}, &v2.model, ERR));
  random_inputs_of(&v1, &in1), random_inputs_of(&v2, &in2);
  for (int i = 0; i < waves; i++) random_wave_try(v1.model, v2.model, &in1, &in2, seed + (uint64_t)i, n);
  random_inputs_release(&in1), random_inputs_release(&in2);
  vectors_close(&v1), vectors_close(&v2);
  free(dir);
}

static void random_waves_equal_runs_alone(void **state) {
  (void)state;
  random_counts all = {0};
  for (int i = 0; i < NCHECKPOINTS; i++) {
    if (only && strcmp(only, checkpoints[i]) != 0) continue;
    random_counts n = {0};
    try_checkpoint(checkpoints[i], (uint64_t)(i + 1) * 100000, &n);
    print_message(
        "%-20s %d waves (%d split), %d runs compared, %d edits (%d refused), %d not finite, %d ids, %d with 2 "
        "threads\n",
        checkpoints[i], n.waves, n.split, n.runs, n.edits, n.refused, n.nonfinite, n.generated, n.threads);
    if (only) return;
    assert_true(n.runs >= waves * 3 / 2);
    assert_true(n.refused * 2 < n.edits);
    all.split += n.split, all.generated += n.generated, all.threads += n.threads;
  }
  assert_true(all.split > 0 && all.generated > 0 && all.threads > 0);
}

int main(int argc, char **argv) {
  if (argc > 1) only = argv[1];
  waves = argc > 2 ? atoi(argv[2]) : random_scale(WAVES);
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_waves_equal_runs_alone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
