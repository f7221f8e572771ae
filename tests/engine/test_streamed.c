/* Models whose weights do not fit into the memory that is allowed: the same bits as with packed weights, in every
 * family, at every site, in generation and in random waves; the limit, the cost and the errors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"
#include "fovea/answer.h"
#include "support/random_wave.h"
#include "support/vectors.h"

static const char *const folders[] = {
    "blip/legacy", "blip/shards",   "blip/tied",  "blip/zip", "blip_caption/tied", "blip_itm/shards", "bert/shards",
    "llava/first", "llava/grouped", "llava/phi3", "vit/bare", "vit/shards",        "clip/shards",     "clip/zip"};
enum { NFOLDERS = sizeof folders / sizeof *folders };

/* Streams whatever the size, without a limit for activations. */
static fv_model *open_streamed(const char *dir, int threads) {
  fv_model *m;
  OK(fv_model_open(dir, &(fv_model_options){.threads = threads, .memory = 1}, &m, ERR));
  assert_true(fv_model_streamed(m));
  m->memory = 0;
  return m;
}

/* Every site that the reference names, of one case. */
static size_t read_case(const fv_vectors *v, const json_t *one, float ***out, int64_t **counts) {
  char *path = vectors_path(v, json_string_value(json_object_get(one, "tensors")));
  fv_checkpoint *reference;
  OK(fv_checkpoint_open_file(path, &reference, ERR));
  fv_input *in = vectors_input(v, one);
  fv_wave *w;
  int run;
  OK(fv_wave_new(v->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  size_t n = fv_checkpoint_count(reference), count;
  *out = fv_alloc(n, sizeof **out), *counts = fv_alloc(n, sizeof **counts);
  for (size_t i = 0; i < n; i++) {
    fv_selection *s;
    OK(fv_address_resolve(v->model, in, fv_checkpoint_at(reference, i)->name, &s, &count, ERR));
    (*counts)[i] = s->nrows * s->width;
    (*out)[i] = fv_alloc((size_t)(*counts)[i], sizeof ***out);
    OK(fv_wave_read(w, run, s, (*out)[i], ERR));
    fv_selection_release(s), free(s);
  }
  OK(fv_wave_compute(w, NULL, ERR));
  fv_wave_free(w);
  fv_input_free(in);
  fv_checkpoint_close(reference);
  free(path);
  return n;
}

static void compare_answers(const fv_vectors *packed, const fv_vectors *streamed, const json_t *one) {
  fv_answer a[2];
  const fv_vectors *both[] = {packed, streamed};
  for (int i = 0; i < 2; i++) {
    fv_input *in = vectors_input(both[i], one);
    fv_wave *w;
    int runs[2];
    fv_answer other[2];
    OK(fv_wave_new(both[i]->model, &(fv_wave_options){.generate = true}, &w, ERR));
    for (int k = 0; k < 2; k++) OK(fv_wave_run(w, -1, in, &runs[k], ERR));
    OK(fv_answers(w, runs, 2, 4, 6, NULL, other, ERR));
    a[i] = other[0];
    fv_answer_release(&other[1]);
    fv_wave_free(w);
    fv_input_free(in);
  }
  assert_int_equal(a[0].nids, a[1].nids);
  assert_memory_equal(a[0].ids, a[1].ids, (size_t)a[0].nids * sizeof *a[0].ids);
  for (int64_t k = 0; k < a[0].ntop; k++) {
    assert_int_equal(a[0].top[k].id, a[1].top[k].id);
    assert_memory_equal(&a[0].top[k].logit, &a[1].top[k].logit, sizeof(float));
  }
  fv_answer_release(&a[0]);
  fv_answer_release(&a[1]);
}

static void compare_folder(const char *dir, const char *name, size_t *sites, size_t *answers) {
  fv_vectors packed, streamed;
  vectors_open_in(dir, name, &packed);
  streamed = packed;
  streamed.model = open_streamed(dir, 2);
  for (size_t c = 0; c < vectors_cases(&packed) && c < 2; c++) {
    const json_t *one = vectors_case(&packed, c);
    float **x, **y;
    int64_t *nx, *ny;
    size_t n = read_case(&packed, one, &x, &nx);
    assert_int_equal(read_case(&streamed, one, &y, &ny), n);
    for (size_t i = 0; i < n; i++) {
      if (memcmp(x[i], y[i], (size_t)nx[i] * sizeof(float)) != 0) fail_msg("%s: site %zu has other bits", dir, i);
      free(x[i]), free(y[i]);
    }
    free(x), free(y), free(nx), free(ny);
    *sites += n;
    if (json_object_get(one, "answer")) compare_answers(&packed, &streamed, one), ++*answers;
  }
  for (int i = 0; i < packed.model->plan->nsteps; i++)
    if (streamed.model->bound[i].linear)
      assert_true(fv_linear_bytes(streamed.model->bound[i].linear) ==
                  (size_t)streamed.model->plan->steps[i].width * sizeof(float));
  fv_model_close(streamed.model);
  vectors_close(&packed);
}

static void every_family(void **state) {
  (void)state;
  size_t sites = 0, answers = 0;
  for (int f = 0; f < NFOLDERS; f++) {
    char *dir = fv_format("%s/%s", FV_TEST_DATA, folders[f]);
    compare_folder(dir, "vectors", &sites, &answers);
    if (strcmp(folders[f], "llava/grouped") == 0) compare_folder(dir, "pairs", &sites, &answers);
    free(dir);
  }
  print_message("%zu sites, %zu answers\n", sites, answers);
  assert_true(sites > 1000 && answers > 10);
}

/* Edits, parents, several inputs; and the run computed alone. */
static void random_waves(void **state) {
  (void)state;
  fv_rng rng;
  fv_rng_torch(&rng, 5);
  for (int i = 0; i < random_scale(6); i++) {
    tiny_shape shape = tiny_shape_random(&rng);
    tiny_blip b;
    fv_model *m;
    tiny_blip_new(&shape, (uint64_t)i, 0.1, &b);
    tiny_blip_save(&b);
    OK(fv_model_open(b.dir, &(fv_model_options){.threads = 1}, &m, ERR));
    fv_model *s = open_streamed(b.dir, 2);
    random_inputs in, is;
    random_inputs_new(m, &b, (uint64_t)i, &in);
    random_inputs_new(s, &b, (uint64_t)i, &is);
    for (uint64_t seed = 0; seed < 8; seed++) {
      random_wave x, y;
      random_wave_new(m, &in, seed, &x);
      random_wave_new(s, &is, seed, &y);
      fv_status st = random_wave_compute(&x);
      assert_int_equal(random_wave_compute(&y), st);
      if (!st) {
        random_wave_compare(&x, &y, "streamed");
        random_wave_compare_full(&y);
      }
      random_wave_release(&x);
      random_wave_release(&y);
    }
    random_inputs_release(&in);
    random_inputs_release(&is);
    fv_model_close(s);
    fv_model_close(m);
    tiny_blip_release(&b);
  }
}

static fv_status run_once(fv_model *m, const tiny_blip *b, fv_cost *cost, fv_error *err) {
  fv_input *in = tiny_input(m, b, 0, tiny_word(0), NULL, 0);
  fv_wave *w;
  int run;
  OK(fv_wave_new(m, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_wave_readout(w, run, NULL, NULL, ERR));
  fv_status st = fv_wave_compute(w, NULL, err);
  if (!st && cost) OK(fv_wave_cost(w, cost, ERR));
  fv_wave_free(w);
  fv_input_free(in);
  return st;
}

static tiny_blip plain_blip(void) {
  tiny_blip b;
  fv_rng rng;
  fv_rng_torch(&rng, 3);
  tiny_shape shape = tiny_shape_random(&rng);
  tiny_blip_new(&shape, 1, 0.1, &b);
  return b;
}

/* On request, where the panels keep the threads busy. */
static void on_request(void **state) {
  (void)state;
  static const struct {
    int threads;
    size_t memory;
    bool stream, streamed;
  } list[] = {{1, 0, true, true}, {2, 0, true, false}, {1, 0, false, false}, {2, 1, true, true}, {2, 1, false, true}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    fv_model *m;
    OK(fv_model_open(
        FV_TEST_DATA "/blip/tied",
        &(fv_model_options){.threads = list[i].threads, .memory = list[i].memory, .stream = list[i].stream}, &m, ERR));
    assert_int_equal(fv_model_streamed(m), list[i].streamed);
    fv_model_close(m);
  }
  static const struct {
    int64_t N;
    int threads;
    double wait;
  } waits[] = {{768, 1, 1.0}, {768, 2, 1.0}, {768, 4, 8.0 / 6.0}, {3072, 16, 32.0 / 24.0}, {35, 2, 2.0}, {129, 2, 1.0}};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
    assert_true(fabs(fv_linear_stream_wait(waits[i].N, waits[i].threads) - waits[i].wait) < 1e-12);
}

static void limits_and_costs(void **state) {
  (void)state;
  tiny_blip b = plain_blip();
  fv_model *m;
  fv_error e;
  fv_cost packed, streamed;
  tiny_blip_save(&b);
  OK(fv_model_open(b.dir, NULL, &m, ERR));
  size_t W = fv_model_weight_bytes(m);
  assert_false(fv_model_streamed(m));
  OK(run_once(m, &b, &packed, ERR));
  assert_int_equal(packed.streamed, 0);
  assert_true(packed.weights >= W); /* norms, too; all weights are read by a readout */
  /* What packed weights leave is for activations. */
  m->memory = W + 100;
  assert_int_equal(run_once(m, &b, NULL, &e), FV_ENOMEM);
  m->memory = W + packed.memory;
  OK(run_once(m, &b, NULL, ERR));
  fv_model_close(m);
  OK(fv_model_open(b.dir, &(fv_model_options){.memory = W / 3 * 4 + 16}, &m, ERR));
  assert_false(fv_model_streamed(m));
  fv_model_close(m);
  OK(fv_model_open(b.dir, &(fv_model_options){.memory = W / 3 * 4 - 16}, &m, ERR));
  assert_true(fv_model_streamed(m));
  m->memory = packed.memory;
  OK(run_once(m, &b, &streamed, ERR));
  assert_true(streamed.weights < packed.weights);
  assert_true(streamed.streamed > 0 && streamed.streamed <= W);
  m->memory = packed.memory - 64;
  assert_int_equal(run_once(m, &b, NULL, &e), FV_ENOMEM);
  fv_model_close(m);
  tiny_blip_release(&b);
}

/* The sentence is the one that packing gives. */
static void weights_that_are_not_finite(void **state) {
  (void)state;
  tiny_blip b = plain_blip();
  size_t i = 0;
  while (!strstr(b.tensors[i].name, "attention.self.value.weight")) i++;
  tiny_tensor(&b, b.tensors[i].name)[5] = NAN;
  tiny_blip_save(&b);
  fv_model *m;
  fv_error packed, streamed;
  OK(fv_model_open(b.dir, NULL, &m, ERR));
  assert_int_equal(run_once(m, &b, NULL, &packed), FV_ENONFINITE);
  fv_model_close(m);
  m = open_streamed(b.dir, 2);
  assert_int_equal(run_once(m, &b, NULL, &streamed), FV_ENONFINITE);
  assert_string_equal(streamed.text, packed.text);
  assert_non_null(strstr(streamed.text, b.tensors[i].name));
  fv_model_close(m);
  tiny_blip_release(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_family), cmocka_unit_test(random_waves),
                                     cmocka_unit_test(on_request), cmocka_unit_test(limits_and_costs),
                                     cmocka_unit_test(weights_that_are_not_finite)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
