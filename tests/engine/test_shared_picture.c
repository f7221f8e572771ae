/* A run with another question about the same picture, read from the file a second time, shares the picture's rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/wave_inside.h"
#include "support/vectors.h"

static void the_same_picture_is_computed_once(void **state) {
  (void)state;
  fv_vectors v;
  vectors_open(FV_TEST_DATA "/blip/tied", &v);
  fv_input *a = vectors_input(&v, vectors_case_named(&v, "image0-question0"));
  fv_input *b = vectors_input(&v, vectors_case_named(&v, "image0-question1"));
  fv_input *c = vectors_input(&v, vectors_case_named(&v, "image1-question1"));
  assert_ptr_not_equal(a->pixels, b->pixels);
  fv_wave_options o = {.generate = true};
  fv_wave *w;
  int base, other, child, third;
  OK(fv_wave_new(v.model, &o, &w, ERR));
  OK(fv_wave_run(w, -1, a, &base, ERR));
  OK(fv_wave_run(w, base, b, &other, ERR));
  OK(fv_wave_run(w, other, NULL, &child, ERR));
  OK(fv_wave_do(w, child, "scale text_encoder.0.resid_post@1 2", -1, ERR));
  OK(fv_wave_run(w, base, c, &third, ERR));
  for (int i = 0; i < 4; i++) OK(fv_wave_readout(w, i, NULL, NULL, ERR));
  OK(fv_wave_compute(w, NULL, ERR));
  const fv_slot *pixels = &w->slots[v.model->plan->pixels];
  assert_int_equal(pixels->entry_of[base], 0);
  assert_int_equal(pixels->entry_of[other], -1);
  assert_int_equal(pixels->entry_of[child], -1);
  assert_true(pixels->entry_of[third] > 0); /* another picture is another picture */
  /* Decoding continues with the shared rows, and gives the ids of the run made alone. */
  fv_generation g[2] = {{0}};
  OK(fv_wave_generate(w, (int[]){other, third}, 2, 0, g, ERR));
  for (int i = 0; i < 2; i++) {
    fv_wave *alone;
    fv_generation want;
    int run;
    OK(fv_wave_new(v.model, &o, &alone, ERR));
    OK(fv_wave_run(alone, -1, i ? c : b, &run, ERR));
    OK(fv_wave_readout(alone, run, NULL, NULL, ERR));
    OK(fv_wave_compute(alone, NULL, ERR));
    OK(fv_wave_generate(alone, &run, 1, 0, &want, ERR));
    assert_int_equal(g[i].count, want.count);
    assert_memory_equal(g[i].ids, want.ids, (size_t)want.count * sizeof *want.ids);
    fv_generation_release(&want);
    fv_generation_release(&g[i]);
    fv_wave_free(alone);
  }
  int64_t checked;
  OK(fv_wave_check(w, 100.0, 0, &checked, ERR));
  assert_int_equal(checked, 4);
  fv_wave_free(w);
  fv_input_free(a), fv_input_free(b), fv_input_free(c);
  vectors_close(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_picture_is_computed_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
