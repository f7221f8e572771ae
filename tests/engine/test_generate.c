/* Generation: the end of the positions, and who follows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

enum { POSITIONS = 12, RUNS = 3 };

typedef struct bench {
  tiny_blip blip;
  fv_model *model;
  fv_input *in[RUNS];
  fv_wave *wave;
  int runs[RUNS];
} bench;

/* Three runs whose answers begin with 1, 4 and 12 rows of 12. */
static void bench_new(bench *b, uint64_t seed) {
  static const int64_t prompts[RUNS] = {0, 3, POSITIONS - 1};
  int32_t prompt[POSITIONS];
  fv_rng rng;
  fv_rng_torch(&rng, 11);
  tiny_shape shape = tiny_shape_random(&rng);
  shape.positions = POSITIONS;
  for (int i = 0; i < POSITIONS; i++) prompt[i] = TINY_FIRST_WORD + i;
  tiny_blip_new(&shape, seed, 1.0, &b->blip);
  tiny_blip_save(&b->blip);
  OK(fv_model_open(b->blip.dir, &(fv_model_options){.threads = 1}, &b->model, ERR));
  OK(fv_wave_new(b->model, &(fv_wave_options){.generate = true}, &b->wave, ERR));
  for (int i = 0; i < RUNS; i++) {
    b->in[i] = tiny_input(b->model, &b->blip, 0, tiny_word(1), prompt, prompts[i]);
    OK(fv_wave_run(b->wave, -1, b->in[i], &b->runs[i], ERR));
    OK(fv_wave_readout(b->wave, b->runs[i], NULL, NULL, ERR));
  }
  OK(fv_wave_compute(b->wave, NULL, ERR));
}

static void bench_free(bench *b) {
  fv_wave_free(b->wave);
  for (int i = 0; i < RUNS; i++) fv_input_free(b->in[i]);
  fv_model_close(b->model);
  tiny_blip_release(&b->blip);
}

/* Each run ends by itself: at the end token, or with the id that no position is left for. */
static void runs_end_at_the_last_position(void **state) {
  (void)state;
  static const int64_t rows[RUNS] = {1, 4, POSITIONS};
  int full = 0;
  for (uint64_t seed = 0; seed < 6; seed++) {
    bench b;
    fv_generation g[RUNS], alone;
    bench_new(&b, seed);
    OK(fv_wave_generate(b.wave, b.runs, RUNS, 1000, g, ERR));
    for (int i = 0; i < RUNS; i++) {
      int64_t most = POSITIONS - rows[i] + 1;
      bool ended = g[i].ids[g[i].count - 1] == TINY_SEP;
      assert_true(g[i].count <= most && (ended || g[i].count == most));
      full += g[i].count == most;
      OK(fv_wave_generate(b.wave, &b.runs[i], 1, 1000, &alone, ERR));
      assert_int_equal(alone.count, g[i].count);
      assert_memory_equal(alone.ids, g[i].ids, (size_t)alone.count * sizeof *alone.ids);
      fv_generation_release(&alone);
      fv_generation_release(&g[i]);
    }
    bench_free(&b);
  }
  print_message("%d runs reached the end\n", full);
  assert_true(full > 8);
}

typedef struct listener {
  int64_t count[RUNS], calls, stop_after;
  int32_t ids[RUNS][POSITIONS];
} listener;

static fv_status listen_to(void *user, int run, const int32_t *ids, int64_t count, fv_error *err) {
  listener *l = user;
  assert_true(run >= 0 && run < RUNS);
  assert_int_equal(count, l->count[run] + 1);
  assert_memory_equal(ids, l->ids[run], (size_t)l->count[run] * sizeof *ids);
  l->ids[run][l->count[run]++] = ids[count - 1];
  return ++l->calls == l->stop_after ? fv_fail(err, FV_ECANCELLED, "enough") : FV_OK;
}

static void every_id_is_told(void **state) {
  (void)state;
  bench b;
  listener l = {0};
  fv_generation g[RUNS];
  fv_error e;
  bench_new(&b, 1);
  fv_wave_follow(b.wave, listen_to, &l);
  OK(fv_wave_generate(b.wave, b.runs, RUNS, 5, g, ERR));
  int64_t all = 0;
  for (int i = 0; i < RUNS; i++) {
    assert_int_equal(l.count[i], g[i].count);
    assert_memory_equal(l.ids[i], g[i].ids, (size_t)g[i].count * sizeof(int32_t));
    all += g[i].count;
    fv_generation_release(&g[i]);
  }
  assert_int_equal(l.calls, all);
  for (int64_t stop = 1; stop <= all; stop++) {
    l = (listener){.stop_after = stop};
    assert_int_equal(fv_wave_generate(b.wave, b.runs, RUNS, 5, g, &e), FV_ECANCELLED);
    assert_string_equal(e.text, "enough");
    assert_int_equal(l.calls, stop);
    for (int i = 0; i < RUNS; i++) assert_null(g[i].ids);
  }
  fv_wave_follow(b.wave, NULL, NULL);
  OK(fv_wave_generate(b.wave, b.runs, RUNS, 5, g, ERR));
  assert_int_equal(l.calls, all);
  for (int i = 0; i < RUNS; i++) fv_generation_release(&g[i]);
  bench_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(runs_end_at_the_last_position),
                                     cmocka_unit_test(every_id_is_told)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
