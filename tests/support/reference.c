#include "support/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"
#include "fovea/answer.h"

/* docs/numerics.md: float32 activations of these checkpoints, relative to the largest value of the site. */
#define TOLERANCE 2e-5

/* [rows][heads][keys], as reads come, to [heads][rows][keys], as the reference stores scores and patterns. */
static void heads_first(const fv_selection *s, const float *in, float *out) {
  int64_t S = s->width / s->nheads;
  for (int64_t t = 0; t < s->nrows; t++)
    for (int64_t h = 0; h < s->nheads; h++)
      memcpy(out + (h * s->nrows + t) * S, in + (t * s->nheads + h) * S, (size_t)S * sizeof *out);
}

static size_t compare_sites(const fv_vectors *v, const json_t *one, double *worst) {
  char *path = vectors_path(v, json_string_value(json_object_get(one, "tensors")));
  fv_checkpoint *reference;
  OK(fv_checkpoint_open_file(path, &reference, ERR));
  fv_input *in = vectors_input(v, one);
  fv_wave *w;
  int run;
  OK(fv_wave_new(v->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  size_t n = fv_checkpoint_count(reference);
  fv_selection **s = fv_alloc(n, sizeof *s);
  float **got = fv_alloc(n, sizeof *got);
  for (size_t i = 0; i < n; i++) {
    const fv_tensor *t = fv_checkpoint_at(reference, i);
    size_t count;
    OK(fv_address_resolve(v->model, in, t->name, &s[i], &count, ERR));
    assert_int_equal(count, 1);
    if (s[i]->nrows * s[i]->width != t->count)
      fail_msg("%s has %lld values, transformers' %lld", t->name, (long long)(s[i]->nrows * s[i]->width),
               (long long)t->count);
    got[i] = fv_alloc((size_t)t->count, sizeof **got);
    OK(fv_wave_read(w, run, s[i], got[i], ERR));
  }
  OK(fv_wave_compute(w, NULL, ERR));
  for (size_t i = 0; i < n; i++) {
    const fv_tensor *t = fv_checkpoint_at(reference, i);
    const float *want = fv_tensor_f32(t); /* a view: masked scores are infinite, which reading refuses */
    float *mine = got[i], *turned = fv_alloc((size_t)t->count, sizeof *turned);
    assert_non_null(want);
    if (s[i]->part != 0) heads_first(s[i], mine, turned), mine = turned;
    double d = relative_difference(mine, want, t->count);
    if (d > *worst) *worst = d;
    if (!(d <= TOLERANCE))
      fail_msg("%s: %s differs by %g of its largest value", json_string_value(json_object_get(one, "name")), t->name,
               d);
    free(turned);
  }
  for (size_t i = 0; i < n; i++) fv_selection_release(s[i]), free(s[i]), free(got[i]);
  free(s), free(got), free(path);
  fv_wave_free(w);
  fv_input_free(in);
  fv_checkpoint_close(reference);
  return n;
}

/* The ids that the model makes of the case's text. */
static void compare_ids(const fv_vectors *v, const json_t *one) {
  const json_t *ids = json_object_get(one, "ids");
  if (!ids) return;
  fv_input *in = vectors_input(v, one);
  const char *stack = fv_model_question_stack(v->model);
  assert_int_equal(fv_input_rows(in, stack), json_array_size(ids));
  for (size_t i = 0; i < json_array_size(ids); i++) {
    fv_row_info row;
    OK(fv_input_row(in, stack, (int64_t)i, &row, ERR));
    assert_int_equal(row.id, json_integer_value(json_array_get(ids, i)));
  }
  fv_input_free(in);
}

void reference_open(const reference_folder *folder, fv_vectors *v) {
  char *dir = fv_format("%s/%s/%s", FV_TEST_DATA, folder->family, folder->name);
  vectors_open_in(dir, folder->vectors, v);
  free(dir);
}

void every_site_equals_transformers(void **folders) {
  for (const reference_folder *f = *folders; f->family; f++) {
    fv_vectors v;
    double worst = 0.0;
    size_t sites = 0;
    reference_open(f, &v);
    assert_int_equal(strncmp(fv_model_family(v.model), f->family, strlen(f->family)), 0);
    for (size_t c = 0; c < vectors_cases(&v); c++) {
      compare_ids(&v, vectors_case(&v, c));
      sites += compare_sites(&v, vectors_case(&v, c), &worst);
    }
    assert_int_equal(sites, f->sites);
    print_message("%s/%s: %zu sites, largest difference %.2g\n", f->family, f->name, sites, worst);
    vectors_close(&v);
  }
}

static void compare_answer(const fv_vectors *v, const json_t *one) {
  const json_t *answer = json_object_get(one, "answer"), *ids = json_object_get(answer, "ids");
  const json_t *top = json_object_get(one, "top");
  fv_input *in = vectors_input(v, one);
  fv_wave *w;
  int run;
  fv_answer a;
  fv_wave_options o = {.generate = true};
  OK(fv_wave_new(v->model, &o, &w, ERR));
  OK(fv_wave_run(w, -1, in, &run, ERR));
  OK(fv_answers(w, &run, 1, (int64_t)json_array_size(top), (int64_t)json_array_size(ids), NULL, &a, ERR));
  assert_int_equal(a.nids, json_array_size(ids));
  for (int64_t k = 0; k < a.nids; k++) assert_int_equal(a.ids[k], json_integer_value(json_array_get(ids, (size_t)k)));
  assert_string_equal(a.text, json_string_value(json_object_get(answer, "text")));
  assert_int_equal(a.ntop, json_array_size(top));
  for (int64_t k = 0; k < a.ntop; k++) {
    double prob = json_real_value(json_object_get(json_array_get(top, (size_t)k), "prob"));
    assert_true(a.top[k].prob > prob - 1e-4 && a.top[k].prob < prob + 1e-4);
  }
  fv_answer_release(&a);
  fv_wave_free(w);
  fv_input_free(in);
}

void answers_equal_transformers(void **folders) {
  for (const reference_folder *f = *folders; f->family; f++) {
    fv_vectors v;
    size_t answers = 0;
    reference_open(f, &v);
    for (size_t c = 0; c < vectors_cases(&v); c++)
      if (json_object_get(vectors_case(&v, c), "answer")) compare_answer(&v, vectors_case(&v, c)), answers++;
    assert_int_equal(answers, f->answers);
    vectors_close(&v);
  }
}

static fv_status keep_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

static fv_input *numbered_input(const fv_vectors *v, const json_t *item, const char *image, const char *question) {
  char name[64];
  snprintf(name, sizeof name, "image%d-question%d", (int)json_integer_value(json_object_get(item, image)),
           (int)json_integer_value(json_object_get(item, question)));
  return vectors_input(v, vectors_case_named(v, name));
}

/* A model without an answer is judged by the final states of its first two rows. */
static void read_final(const fv_vectors *v, fv_wave *w, const fv_input *in, int run, float *out) {
  fv_selection *s;
  size_t n;
  OK(fv_address_resolve(v->model, in, "text_encoder.final@0,1", &s, &n, ERR));
  OK(fv_wave_read(w, run, s, out, ERR));
  fv_selection_release(s);
  free(s);
}

/* One intervention: wave's logits against the hooks' and, bit for bit, against the run computed alone. */
static double run_intervention(const fv_vectors *v, const json_t *item, const fv_checkpoint *expected) {
  fv_input *in = numbered_input(v, item, "image", "question"), *source = NULL;
  if (json_object_get(item, "source_image")) source = numbered_input(v, item, "source_image", "source_question");
  fv_wave *w;
  int base, from, edited;
  OK(fv_wave_new(v->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, in, &base, ERR));
  from = base;
  if (source) OK(fv_wave_run(w, base, source, &from, ERR));
  OK(fv_wave_run(w, base, NULL, &edited, ERR));
  const json_t *seed = json_object_get(item, "seed"), *list = json_object_get(item, "do");
  OK(fv_wave_seed(w, FV_STREAM_TORCH, json_is_integer(seed) ? json_integer_value(seed) : 0, ERR));
  for (size_t i = 0; i < json_array_size(list); i++)
    OK(fv_wave_do(w, edited, json_string_value(json_array_get(list, i)), from, ERR));
  const fv_tensor *t = fv_checkpoint_find(expected, json_string_value(json_object_get(item, "logits")));
  float *want = fv_alloc((size_t)t->count, sizeof *want), *got = fv_alloc((size_t)t->count, sizeof *got),
        *waved = fv_alloc((size_t)t->count, sizeof *waved);
  OK(fv_tensor_read_f32(t, 0, t->count, want, ERR));
  bool answers = fv_model_answer_stack(v->model) != NULL;
  if (answers)
    OK(fv_wave_readout(w, edited, keep_logits, got, ERR));
  else
    read_final(v, w, in, edited, got);
  OK(fv_wave_compute(w, NULL, ERR));
  memcpy(waved, got, (size_t)t->count * sizeof *got);
  OK(fv_run_full(w, edited, answers ? keep_logits : NULL, got, ERR)); /* reads are filled again */
  if (memcmp(got, waved, (size_t)t->count * sizeof *got) != 0)
    fail_msg("%s: the wave and the run computed alone differ", json_string_value(json_object_get(item, "logits")));
  double d = relative_difference(got, want, t->count);
  free(want), free(got), free(waved);
  fv_wave_free(w);
  fv_input_free(in), fv_input_free(source);
  return d;
}

static void compare_interventions(const fv_vectors *v, const reference_folder *folder) {
  char *list_path = vectors_path(v, "interventions.json"), *logits_path = vectors_path(v, "interventions.safetensors");
  json_t *list;
  fv_checkpoint *expected;
  OK(fv_json_load(list_path, 1 << 24, &list, ERR));
  OK(fv_checkpoint_open_file(logits_path, &expected, ERR));
  assert_int_equal(chdir(v->dir), 0); /* files are named relative to the folder */
  assert_true(json_array_size(list) >= 200);
  double worst = 0.0;
  for (size_t k = 0; k < json_array_size(list); k++) {
    double d = run_intervention(v, json_array_get(list, k), expected);
    if (d > worst) worst = d;
    if (!(d <= TOLERANCE)) {
      char *text = json_dumps(json_array_get(list, k), 0);
      fail_msg("%s/%s %s: logits differ by %g of the largest", folder->family, folder->name, text, d);
    }
  }
  print_message("%s/%s: %zu interventions, largest difference %.2g\n", folder->family, folder->name,
                json_array_size(list), worst);
  json_decref(list);
  fv_checkpoint_close(expected);
  free(list_path), free(logits_path);
}

void interventions_equal_hooks(void **folders) {
  for (const reference_folder *f = *folders; f->family; f++) {
    fv_vectors v;
    reference_open(f, &v);
    compare_interventions(&v, f);
    vectors_close(&v);
  }
}
