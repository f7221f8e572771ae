#include "fovea/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"

enum { MAX_JSON = 256 << 20 };

typedef struct verifier {
  const fv_model *model;
  const char *dir, *sample;
  double tolerance;
  fv_verdict_fn fn;
  void *user;
  int64_t failed;
} verifier;

static fv_status judge(verifier *v, const char *what, double relative, double mean, double tolerance, fv_error *err) {
  fv_verdict one = {v->sample, what, relative, mean, relative <= tolerance};
  v->failed += !one.good;
  return v->fn ? v->fn(v->user, &one, err) : FV_OK;
}

/* [rows][heads][keys], as reads come, to [heads][rows][keys], as files hold scores and patterns. */
static float *heads_first(const fv_selection *s, float *in) {
  float *out = fv_alloc((size_t)(s->nrows * s->width), sizeof *out);
  int64_t S = s->width / s->nheads;
  for (int64_t t = 0; out && t < s->nrows; t++)
    for (int64_t h = 0; h < s->nheads; h++)
      memcpy(out + (h * s->nrows + t) * S, in + (t * s->nheads + h) * S, (size_t)S * sizeof *out);
  free(in);
  return out;
}

static fv_status compare(verifier *v, const fv_tensor *t, const float *got, fv_error *err) {
  float *want = fv_alloc((size_t)t->count, sizeof *want);
  if (!want) return fv_fail(err, FV_ENOMEM, "no memory");
  /* Masked scores are -inf in both, so the reader's check for finite values cannot be used here. */
  memcpy(want, t->data, (size_t)t->count * sizeof *want);
  double largest = 0.0, worst = 0.0, sum = 0.0;
  for (int64_t i = 0; i < t->count; i++) {
    double a = got[i], b = want[i];
    if (a == b) continue;
    double d = fabs(a - b);
    if (isnan(d) || d > worst) worst = d; /* NaN stays: nothing is larger */
    sum += d;
  }
  for (int64_t i = 0; i < t->count; i++)
    if (isfinite(want[i]) && fabs(want[i]) > largest) largest = fabs(want[i]);
  free(want);
  double relative = worst == 0.0 ? 0.0 : isfinite(worst) ? worst / (largest > 0.0 ? largest : 1.0) : INFINITY;
  return judge(v, t->name, relative, sum / (double)(t->count ? t->count : 1), v->tolerance, err);
}

typedef struct site {
  const fv_tensor *t;
  fv_selection *s;
  float *got;
} site;

static int by_plan(const void *a, const void *b) {
  const site *x = a, *y = b;
  return x->s->step != y->s->step ? x->s->step - y->s->step : x->s->part - y->s->part;
}

static fv_status compare_sites(verifier *v, const fv_input *in, const fv_checkpoint *file, fv_error *err) {
  size_t n = fv_checkpoint_count(file);
  site *sites = fv_alloc(n, sizeof *sites);
  fv_wave *w = NULL;
  int run;
  fv_status st = sites ? fv_wave_new(v->model, NULL, &w, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = fv_wave_run(w, -1, in, &run, err);
  for (size_t i = 0; i < n && !st; i++) {
    size_t count;
    sites[i].t = fv_checkpoint_at(file, i);
    st = fv_address_resolve(v->model, in, sites[i].t->name, &sites[i].s, &count, err);
    if (st) break;
    int64_t values = sites[i].s->nrows * sites[i].s->width;
    if (sites[i].t->dtype != FV_DTYPE_F32 || values != sites[i].t->count)
      st = fv_fail(err, FV_ESHAPE, "%s: tensor %s holds %lld %s values, the site has %lld F32", sites[i].t->file,
                   sites[i].t->name, (long long)sites[i].t->count, fv_dtype_name(sites[i].t->dtype), (long long)values);
    else if (!(sites[i].got = fv_alloc((size_t)values, sizeof(float))))
      st = fv_fail(err, FV_ENOMEM, "no memory");
    else
      st = fv_wave_read(w, run, sites[i].s, sites[i].got, err);
  }
  if (!st) st = fv_wave_compute(w, NULL, err);
  if (!st) qsort(sites, n, sizeof *sites, by_plan);
  for (size_t i = 0; i < n && !st; i++) {
    if (sites[i].s->part != 0) sites[i].got = heads_first(sites[i].s, sites[i].got);
    st = sites[i].got ? compare(v, sites[i].t, sites[i].got, err) : fv_fail(err, FV_ENOMEM, "no memory");
  }
  for (size_t i = 0; sites && i < n; i++) {
    if (sites[i].s) fv_selection_release(sites[i].s), free(sites[i].s);
    free(sites[i].got);
  }
  free(sites);
  fv_wave_free(w);
  return st;
}

/* Whether two lists of ids agree: 0 or 1. */
static double ids_differ(const json_t *want, const int32_t *got, int64_t n) {
  if ((int64_t)json_array_size(want) != n) return 1.0;
  for (int64_t i = 0; i < n; i++)
    if (json_integer_value(json_array_get(want, (size_t)i)) != got[i]) return 1.0;
  return 0.0;
}

static fv_status compare_ids(verifier *v, const fv_input *in, const json_t *want, fv_error *err) {
  const char *stack = fv_model_question_stack(v->model);
  int64_t n = stack ? fv_input_rows(in, stack) : 0;
  int32_t *ids = fv_alloc((size_t)n, sizeof *ids);
  fv_status st = ids ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < n && !st; i++) {
    fv_row_info row;
    st = fv_input_row(in, stack, i, &row, err);
    if (!st) ids[i] = row.id;
  }
  if (!st) st = judge(v, "ids", ids_differ(want, ids, n), 0.0, 0.0, err);
  free(ids);
  return st;
}

/* The reference may have stopped at another limit: as many ids are generated as it has. */
static fv_status compare_answer(verifier *v, const fv_input *in, const json_t *want, fv_error *err) {
  fv_wave_options o = {.generate = true};
  fv_wave *w = NULL;
  int run;
  fv_answer a = {0};
  fv_status st = fv_wave_new(v->model, &o, &w, err);
  if (!st) st = fv_wave_run(w, -1, in, &run, err);
  if (!st) st = fv_answers(w, &run, 1, 1, (int64_t)json_array_size(want), NULL, &a, err);
  if (!st) st = judge(v, "answer", ids_differ(want, a.ids, a.nids), 0.0, 0.0, err);
  fv_answer_release(&a);
  fv_wave_free(w);
  return st;
}

/* "prompts": several texts, of which one is chosen. The list is malloc'ed, its strings belong to the case. */
static fv_status case_prompts(const json_t *one, const char *where, fv_input_options *o, fv_error *err) {
  const json_t *list = json_object_get(one, "prompts");
  size_t n = json_array_size(list);
  if (n == 0) return FV_OK;
  const char **prompts = fv_alloc(n, sizeof *prompts);
  if (!prompts) return fv_fail(err, FV_ENOMEM, "no memory");
  o->prompts = prompts, o->nprompts = n;
  for (size_t i = 0; i < n; i++)
    if (!(prompts[i] = json_string_value(json_array_get(list, i))))
      return fv_fail(err, FV_EFORMAT, "%s: \"prompts\" holds something that is no text", where);
  return FV_OK;
}

/* "images": several pictures, in the order of their places. The list and its strings are malloc'ed. */
static fv_status case_images(const verifier *v, const json_t *one, const char *where, char ***out, fv_input_options *o,
                             fv_error *err) {
  const json_t *list = json_object_get(one, "images");
  size_t n = json_array_size(list);
  if (n == 0) return FV_OK;
  char **images = *out = fv_alloc(n + 1, sizeof *images);
  if (!images) return fv_fail(err, FV_ENOMEM, "no memory");
  o->images = (const char *const *)images, o->nimages = n;
  for (size_t i = 0; i < n; i++) {
    const char *name = json_string_value(json_array_get(list, i));
    if (!name) return fv_fail(err, FV_EFORMAT, "%s: \"images\" holds something that is no file", where);
    if (!(images[i] = fv_path_join(v->dir, name))) return fv_fail(err, FV_ENOMEM, "no memory");
  }
  return FV_OK;
}

static fv_status verify_case(verifier *v, const json_t *one, const char *where, fv_error *err) {
  const char *image, *question, *prompt, *tensors;
  fv_status st;
  if ((st = fv_json_string(one, "name", "?", where, &v->sample, err)) ||
      (st = fv_json_string(one, "image", NULL, where, &image, err)) ||
      (st = fv_json_string(one, "question", NULL, where, &question, err)) ||
      (st = fv_json_string(one, "prompt", NULL, where, &prompt, err)) ||
      (st = fv_json_string(one, "tensors", NULL, where, &tensors, err)))
    return st;
  char *image_path = image ? fv_path_join(v->dir, image) : NULL,
       *tensors_path = tensors ? fv_path_join(v->dir, tensors) : NULL;
  fv_input_options o;
  fv_input *in = NULL;
  fv_checkpoint *file = NULL;
  fv_input_defaults(&o);
  o.image = image_path, o.question = question, o.prompt = prompt;
  char **images = NULL;
  st = case_prompts(one, where, &o, err);
  if (!st) st = case_images(v, one, where, &images, &o, err);
  if (!st) st = fv_input_new(v->model, &o, &in, err);
  free((void *)(uintptr_t)o.prompts);
  for (size_t i = 0; images && images[i]; i++) free(images[i]);
  free(images);
  const json_t *ids = json_object_get(one, "ids"), *answer = json_object_get(json_object_get(one, "answer"), "ids");
  if (!st && json_is_array(ids)) st = compare_ids(v, in, ids, err);
  if (!st && tensors_path) st = fv_checkpoint_open_file(tensors_path, &file, err);
  if (!st && file) st = compare_sites(v, in, file, err);
  if (!st && json_array_size(answer) > 0) st = compare_answer(v, in, answer, err);
  if (file) fv_checkpoint_close(file);
  fv_input_free(in);
  free(image_path), free(tensors_path);
  return st;
}

fv_status fv_verify(const fv_model *model, const char *dir, double tolerance, fv_verdict_fn fn, void *user,
                    int64_t *failed, fv_error *err) {
  verifier v = {.model = model, .dir = dir, .tolerance = tolerance, .fn = fn, .user = user};
  char *path = fv_path_join(dir, "cases.json");
  json_t *root = NULL;
  if (!(tolerance >= 0.0)) return free(path), fv_fail(err, FV_EUSAGE, "tolerance is %g, expected 0 or more", tolerance);
  fv_status st = path ? fv_json_load(path, MAX_JSON, &root, err) : fv_fail(err, FV_ENOMEM, "no memory");
  const json_t *cases = json_object_get(root, "cases");
  if (!st && json_array_size(cases) == 0) st = fv_fail(err, FV_EFORMAT, "%s: has no \"cases\"", path);
  for (size_t i = 0; i < json_array_size(cases) && !st; i++) {
    st = verify_case(&v, json_array_get(cases, i), path, err);
    if (st) fv_fail_prefix(err, st, "case %zu", i);
  }
  json_decref(root);
  free(path);
  *failed = v.failed;
  return st;
}
