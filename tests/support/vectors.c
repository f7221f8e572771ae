#include "support/vectors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"

void vectors_open(const char *model_dir, fv_vectors *v) { vectors_open_in(model_dir, "vectors", v); }

void vectors_open_in(const char *model_dir, const char *name, fv_vectors *v) {
  v->dir = fv_path_join(model_dir, name);
  char *path = vectors_path(v, "cases.json");
  OK(fv_json_load(path, 1 << 24, &v->cases, ERR));
  free(path);
  OK(fv_model_open(model_dir, NULL, &v->model, ERR));
}

void vectors_close(fv_vectors *v) {
  fv_model_close(v->model);
  json_decref(v->cases);
  free(v->dir);
}

size_t vectors_cases(const fv_vectors *v) { return json_array_size(json_object_get(v->cases, "cases")); }
const json_t *vectors_case(const fv_vectors *v, size_t i) {
  return json_array_get(json_object_get(v->cases, "cases"), i);
}

const json_t *vectors_case_named(const fv_vectors *v, const char *name) {
  for (size_t i = 0; i < vectors_cases(v); i++)
    if (strcmp(json_string_value(json_object_get(vectors_case(v, i), "name")), name) == 0) return vectors_case(v, i);
  fail_msg("no case %s", name);
  return NULL;
}

char *vectors_path(const fv_vectors *v, const char *name) { return fv_path_join(v->dir, name); }

fv_input *vectors_input(const fv_vectors *v, const json_t *one) {
  fv_input *in = NULL;
  const char *name = json_string_value(json_object_get(one, "image"));
  char *image = name ? vectors_path(v, name) : NULL;
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = image, o.question = json_string_value(json_object_get(one, "question"));
  o.prompt = json_string_value(json_object_get(one, "prompt"));
  const json_t *prompts = json_object_get(one, "prompts");
  const char *said[16];
  for (size_t i = 0; i < json_array_size(prompts) && i < 16; i++)
    said[i] = json_string_value(json_array_get(prompts, i)), o.prompts = said, o.nprompts = i + 1;
  const json_t *images = json_object_get(one, "images");
  char *files[16] = {0};
  size_t n = json_array_size(images);
  assert_true(n <= 16);
  for (size_t i = 0; i < n; i++) files[i] = vectors_path(v, json_string_value(json_array_get(images, i)));
  if (n > 0) o.images = (const char *const *)files, o.nimages = n;
  OK(fv_input_new(v->model, &o, &in, ERR));
  for (size_t i = 0; i < n; i++) free(files[i]);
  free(image);
  return in;
}

double relative_difference(const float *a, const float *b, int64_t n) {
  double largest = 0.0, difference = 0.0;
  for (int64_t i = 0; i < n; i++) {
    if (isinf(b[i]) || isinf(a[i])) {
      if (a[i] != b[i]) return INFINITY;
      continue;
    }
    if (!(fabs((double)a[i] - b[i]) <= difference)) difference = fabs((double)a[i] - b[i]);
    if (fabs(b[i]) > largest) largest = fabs(b[i]);
  }
  return difference == 0.0 ? 0.0 : difference / (largest > 0.0 ? largest : 1.0);
}
