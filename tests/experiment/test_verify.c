/* What a comparison with reference vectors notices: a value that is far off, one that is no number, other ids; and how
 * far off it says that it is. */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "fovea/verify.h"
#include "support/scratch.h"
#include "support/vectors.h"

/* Masked scores are -inf, here and there. */
static const struct {
  const char *model, *names[2];
} models[] = {{FV_TEST_DATA "/blip/tied", {"text_encoder.1.mlp.out", "text_encoder.0.cross.pattern"}},
              {FV_TEST_DATA "/llava/grouped", {"language.1.resid_post", "language.0.attn.scores"}}};

static fv_model *model;

/* The first case's tensors, to be changed: its file, and where a tensor's numbers begin. */
static char *file;
static size_t file_size;
static json_t *header, *one_case;

static float *values(const char *name, size_t *n) {
  uint64_t length;
  memcpy(&length, file, 8);
  const json_t *at = json_object_get(json_object_get(header, name), "data_offsets");
  size_t from = (size_t)json_integer_value(json_array_get(at, 0)),
         to = (size_t)json_integer_value(json_array_get(at, 1));
  *n = (to - from) / 4;
  float *v = malloc(to - from);
  memcpy(v, file + 8 + length + from, to - from);
  return v;
}

static void set(const char *name, size_t i, float v) {
  uint64_t length;
  memcpy(&length, file, 8);
  const json_t *at = json_object_get(json_object_get(header, name), "data_offsets");
  memcpy(file + 8 + length + json_integer_value(json_array_get(at, 0)) + 4 * i, &v, 4);
}

typedef struct seen {
  const char *what;
  fv_verdict found;
  int64_t others; /* that are not good */
} seen;

static fv_status on_verdict(void *user, const fv_verdict *v, fv_error *err) {
  seen *s = user;
  (void)err;
  if (strcmp(v->what, s->what) == 0)
    s->found = *v;
  else
    s->others += !v->good;
  return FV_OK;
}

static seen verify(const char *what) {
  seen s = {.what = what};
  int64_t failed;
  char *text;
  json_t *root = json_pack("{s:[O]}", "cases", one_case);
  text = json_dumps(root, 0);
  file_write(in_folder("cases.json"), text, strlen(text));
  file_write(in_folder("t.safetensors"), file, file_size);
  OK(fv_verify(model, in_folder("."), 1e-4, on_verdict, &s, &failed, ERR));
  assert_true(s.found.what && s.others == 0 && failed == !s.found.good);
  json_decref(root), free(text);
  return s;
}

static void open_case(const char *dir) {
  size_t n;
  char *path = fv_format("%s/vectors/cases.json", dir);
  json_t *cases = json_load_file(path, 0, NULL);
  one_case = json_incref(json_array_get(json_object_get(cases, "cases"), 0));
  json_decref(cases), free(path);
  path = fv_format("%s/vectors/%s", dir, json_string_value(json_object_get(one_case, "tensors")));
  file = file_text(path, &file_size);
  free(path);
  path = fv_format("%s/vectors/%s", dir, json_string_value(json_object_get(one_case, "image")));
  char *picture = file_text(path, &n);
  file_write(in_folder("image.png"), picture, n);
  free(path), free(picture);
  json_object_set_new(one_case, "image", json_string("image.png"));
  json_object_set_new(one_case, "tensors", json_string("t.safetensors"));
  uint64_t length;
  memcpy(&length, file, 8);
  header = json_loadb(file + 8, length, 0, NULL);
  assert_non_null(header);
  OK(fv_model_open(dir, NULL, &model, ERR));
}

static void close_case(void) {
  fv_model_close(model);
  json_decref(header), json_decref(one_case);
  free(file);
}

static void check_tensor(const char *name) {
  size_t n;
  float *v = values(name, &n);
  double largest = 0.0;
  for (size_t i = 0; i < n; i++)
    if (isfinite(v[i])) largest = fmax(largest, fabs((double)v[i]));
  seen s = verify(name);
  assert_true(s.found.good && s.found.relative < 1e-5 && s.found.mean < 1e-5 * largest);
  for (size_t at = 0; at < n; at += n - 1) { /* the first, the last */
    const float off = (float)(v[at] < 0.0f ? v[at] + 0.25 * largest : v[at] - 0.25 * largest);
    set(name, at, off);
    s = verify(name);
    assert_true(!s.found.good && fabs(s.found.relative - 0.25) < 1e-3);
    assert_true(fabs(s.found.mean - 0.25 * largest / (double)n) < 1e-4 * largest);
    set(name, at, NAN);
    s = verify(name);
    assert_true(!s.found.good && isinf(s.found.relative));
    set(name, at, -INFINITY);
    s = verify(name);
    assert_true(!s.found.good && isinf(s.found.relative));
    set(name, at, v[at]);
  }
  free(v);
}

static void test_tensors(void **state) {
  (void)state;
  for (int m = 0; m < 2; m++) {
    open_case(models[m].model);
    for (int k = 0; k < 2; k++) check_tensor(models[m].names[k]);
    close_case();
  }
}

static void test_ids(void **state) {
  (void)state;
  open_case(models[0].model);
  json_t *ids = json_object_get(one_case, "ids");
  assert_true(verify("ids").found.good);
  json_int_t third = json_integer_value(json_array_get(ids, 2));
  json_array_set_new(ids, 2, json_integer(third + 1));
  assert_false(verify("ids").found.good);
  json_array_set_new(ids, 2, json_integer(third));
  json_array_append_new(ids, json_integer(3));
  assert_false(verify("ids").found.good);
  close_case();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tensors), cmocka_unit_test(test_ids)};
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
