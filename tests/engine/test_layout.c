/* Layout, on random waves: rows that are still to be read lie where nothing is written but a copy of them; operations
 * on single rows write over an input that nobody reads after them. That the values are right is for test_wave_random.
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
#include "support/random_wave.h"

enum { MODELS = 8, WAVES = 16 };

typedef struct layout_counts {
  int pairs, copies, taken_over, waves;
} layout_counts;

static size_t bytes_of(const fv_wave *w, int step) {
  const fv_slot *slot = &w->slots[step];
  int64_t rows = slot->streamed && slot->rows > FV_STREAM_ROWS ? FV_STREAM_ROWS : slot->rows;
  return (size_t)(rows * w->model->plan->steps[step].width) * sizeof(float);
}

static bool row_by_row(fv_kind kind) {
  return kind == FV_KIND_COPY || kind == FV_KIND_ACT || kind == FV_KIND_ADD || kind == FV_KIND_LAYERNORM;
}

/* Step `b` is computed while the rows of step `a` are still wanted, by b at the least, and they have common bytes. */
static void check_shared(random_wave *r, int a, int b, layout_counts *n) {
  const fv_wave *w = r->wave;
  const fv_step *s = &w->model->plan->steps[b];
  const fv_slot *x = &w->slots[a], *y = &w->slots[b];
  bool same = x->offset == y->offset && bytes_of(w, a) == bytes_of(w, b) && x->nentries == y->nentries;
  for (int64_t i = 0; same && i < x->nentries; i++) {
    const fv_entry *e = &x->entries[i], *f = &y->entries[i];
    same = e->run == f->run && e->n == f->n;
    for (int64_t k = 0; same && k < e->n; k++) same = e->row[k] == f->row[k] && fv_entry_at(e, k) == fv_entry_at(f, k);
  }
  bool copied = s->kind == FV_KIND_COPY && w->slots[s->in[0]].offset == y->offset;
  if (!same || !row_by_row(s->kind) || fv_wave_edited(w, b) || (!copied && x->last_use != b))
    random_wave_fail(r, "step %d writes over step %d, which is read until %d", b, a, x->last_use);
  copied ? n->copies++ : n->taken_over++;
}

static void check_layout(random_wave *r, size_t peak, layout_counts *n) {
  const fv_wave *w = r->wave;
  int nsteps = w->model->plan->nsteps;
  size_t end = 0;
  for (int b = 0; b < nsteps; b++) {
    if (w->slots[b].rows == 0) continue;
    size_t lo = w->slots[b].offset, hi = lo + bytes_of(w, b);
    assert_true(lo % 64 == 0);
    if (hi > end) end = hi;
    for (int a = 0; a < b; a++) {
      const fv_slot *slot = &w->slots[a];
      if (slot->rows == 0 || slot->last_use < b) continue;
      n->pairs++;
      if (slot->offset < hi && lo < slot->offset + bytes_of(w, a)) check_shared(r, a, b, n);
    }
  }
  if (peak < end || peak - end >= 64) random_wave_fail(r, "the block has %zu bytes, %zu are used", peak, end);
}

static void slots_do_not_disturb_each_other(void **state) {
  (void)state;
  layout_counts n = {0};
  for (int i = 0; i < random_scale(MODELS) + 1; i++) {
    fv_rng rng;
    fv_rng_torch(&rng, 7000 + i);
    tiny_shape shape = tiny_shape_random(&rng);
    tiny_blip b;
    tiny_blip_new(&shape, (uint64_t)i, 1.0, &b);
    tiny_blip_save(&b);
    fv_model *m;
    random_inputs in;
    OK(fv_model_open(b.dir, &(fv_model_options){.threads = 1}, &m, ERR));
    random_inputs_new(m, &b, (uint64_t)i, &in);
    for (int k = 0; k < WAVES; k++) {
      random_wave r;
      size_t peak;
      random_wave_new(m, &in, (uint64_t)(700000 + i * 100 + k), &r);
      OK(fv_layout(r.wave, 0, r.wave->nreads, &peak, ERR));
      check_layout(&r, peak, &n);
      n.waves++;
      random_wave_release(&r);
    }
    random_inputs_release(&in);
    fv_model_close(m);
    tiny_blip_release(&b);
  }
  print_message("%d waves, %d pairs of living slots; %d copies in place, %d slots taken over\n", n.waves, n.pairs,
                n.copies, n.taken_over);
  assert_true(n.copies > n.waves && n.taken_over > n.waves);
}

/* A run alone: what an MLP's activation, the largest slot of all, needs besides is the residual stream. */
static void a_run_alone_holds_its_activations_once(void **state) {
  (void)state;
  fv_model *m;
  fv_wave *w;
  fv_input *in;
  int run;
  size_t peak, largest = 0, next = 0;
  char *picture = fv_format("%s/examples/images/red-circle-blue-square.png", FV_SOURCE_DIR);
  char *dir = fv_format("%s/models/blip-demo", FV_SOURCE_DIR);
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = picture, o.question = "what color is the circle?";
  OK(fv_model_open(dir, &(fv_model_options){.threads = 1}, &m, ERR));
  OK(fv_input_new(m, &o, &in, ERR));
  OK(fv_wave_new(m, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  OK(fv_layout(w, 0, 1, &peak, ERR));
  for (int s = 0; s < m->plan->nsteps; s++) {
    size_t bytes = bytes_of(w, s);
    if (bytes > largest) largest = bytes;
    if (m->plan->steps[s].kind == FV_KIND_LAYERNORM && bytes > next) next = bytes;
  }
  assert_true(largest > 2 * next);
  assert_int_equal(peak, largest + 2 * next); /* besides, what the MLP gives */
  fv_wave_free(w);
  fv_input_free(in);
  fv_model_close(m);
  free(picture), free(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(slots_do_not_disturb_each_other),
                                     cmocka_unit_test(a_run_alone_holds_its_activations_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
