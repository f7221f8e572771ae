/* Whole checkpoints written by torch and safetensors: names, dtypes, shapes and values equal what Python reads; and
 * what is said when a model folder, a shard or a tensor is not as expected. */
#include <jansson.h>
#include <math.h>

#include "checkpoint/config.h"
#include "checkpoint/craft.h"

#define DATA FV_TEST_DATA "/checkpoint/"

static void check_tensor(const char *where, const char *name, const fv_tensor *t, const json_t *want) {
  const json_t *shape = json_object_get(want, "shape"), *values = json_object_get(want, "values");
  if (!t) fail_msg("%s: %s is missing", where, name);
  assert_string_equal(fv_dtype_name(t->dtype), json_string_value(json_object_get(want, "dtype")));
  assert_int_equal(t->rank, json_array_size(shape));
  for (int d = 0; d < t->rank; d++) assert_int_equal(t->shape[d], json_integer_value(json_array_get(shape, (size_t)d)));
  if (!values) return;
  assert_int_equal(t->count, json_array_size(values));
  float *got = malloc(4 * (size_t)t->count + 4);
  fv_error e = {0};
  if (fv_tensor_read_f32(t, 0, t->count, got, &e)) fail_msg("%s", e.text);
  for (int64_t i = 0; i < t->count; i++) {
    float w = (float)json_number_value(json_array_get(values, (size_t)i));
    if (memcmp(&w, &got[i], 4) != 0)
      fail_msg("%s: %s[%lld] is %.9g, expected %.9g", where, name, (long long)i, got[i], w);
  }
  free(got);
}

static bool is_folder(const char *path) {
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  return S_ISDIR(st.st_mode);
}

static void equal_to_python(void **state) {
  (void)state;
  json_t *all = json_load_file(DATA "expected.json", 0, NULL);
  json_t *checkpoints = json_object_get(all, "checkpoints"), *tensors;
  const char *where, *name;
  json_t *want;
  assert_true(json_object_size(checkpoints) >= 10);
  json_object_foreach(checkpoints, where, tensors) {
    if (json_object_size(tensors) == 0) continue;
    char *path = fv_path_join(DATA, where);
    fv_checkpoint *c = NULL;
    fv_error e = {0};
    fv_status st = is_folder(path) ? fv_checkpoint_open(path, &c, &e) : fv_checkpoint_open_file(path, &c, &e);
    if (st) fail_msg("%s", e.text);
    assert_int_equal(fv_checkpoint_count(c), json_object_size(tensors));
    json_object_foreach(tensors, name, want) check_tensor(where, name, fv_checkpoint_find(c, name), want);
    for (size_t i = 1; i < fv_checkpoint_count(c); i++)
      assert_true(strcmp(fv_checkpoint_at(c, i - 1)->name, fv_checkpoint_at(c, i)->name) < 0);
    assert_null(fv_checkpoint_find(c, "no such tensor"));
    for (size_t i = 0; i < fv_checkpoint_count(c); i++) fv_checkpoint_drop(c, fv_checkpoint_at(c, i));
    json_object_foreach(tensors, name, want) check_tensor(where, name, fv_checkpoint_find(c, name), want);
    fv_checkpoint_close(c);
    free(path);
  }
  json_decref(all);
}

static fv_checkpoint *open_data(const char *name) {
  fv_checkpoint *c = NULL;
  fv_error e = {0};
  char *path = fv_path_join(DATA, name);
  if (fv_checkpoint_open(path, &c, &e)) fail_msg("%s", e.text);
  free(path);
  return c;
}

static void what_a_need_says(void **state) {
  (void)state;
  fv_checkpoint *c = open_data("safetensors_sharded");
  const fv_tensor *t;
  fv_error e = {0};
  assert_int_equal(fv_checkpoint_need(c, "a.weight", 2, (int64_t[]){4, 4}, NULL, &t, &e), FV_OK);
  assert_non_null(t);
  assert_int_equal(fv_checkpoint_need(c, "a.weight", 2, (int64_t[]){-1, 4}, NULL, &t, &e), FV_OK);
  assert_int_equal(fv_checkpoint_need(c, "a.weight", 2, (int64_t[]){4, 8}, "config hidden_size 8", &t, &e), FV_ESHAPE);
  assert_null(t);
  craft_check_text(&e, "model-00001-of-00003.safetensors",
                   "tensor a.weight has shape [4,4], expected [4,8] (config hidden_size 8)");
  assert_int_equal(fv_checkpoint_need(c, "a.weight", 1, (int64_t[]){4}, NULL, &t, &e), FV_ESHAPE);
  craft_check_text(&e, "model-00001-of-00003.safetensors", "expected [4]; is this the matching config.json?");
  assert_int_equal(fv_checkpoint_need(c, "model.a.weight", 2, (int64_t[]){4, 4}, NULL, &t, &e), FV_ENOTFOUND);
  craft_check_text(&e, "safetensors_sharded",
                   "model.a.weight is missing among the 4 of this checkpoint, which has a.weight");
  assert_int_equal(fv_checkpoint_need(c, "zzz", 0, NULL, NULL, &t, &e), FV_ENOTFOUND);
  craft_check_text(&e, "safetensors_sharded", "belong to this config.json");
  fv_checkpoint_close(c);
  c = open_data("safetensors");
  assert_int_equal(fv_checkpoint_need(c, "position_ids", 2, (int64_t[]){1, 6}, NULL, &t, &e), FV_EUNSUPPORTED);
  craft_check_text(&e, "model.safetensors", "position_ids has dtype I64");
  fv_checkpoint_close(c);
}

static void hash_of_all_files(void **state) {
  (void)state;
  fv_checkpoint *c = open_data("safetensors_sharded");
  char got[65], want[65] = "";
  assert_int_equal(fv_checkpoint_files(c), 3);
  assert_non_null(strstr(fv_checkpoint_file(c, 1), "model-00002-of-00003.safetensors"));
  assert_int_equal(fv_checkpoint_sha256(c, got, NULL), FV_OK);
  FILE *f =
      popen("cd '" DATA "safetensors_sharded' && sha256sum *.safetensors | cut -c1-64 | tr -d '\\n' | sha256sum", "r");
  assert_non_null(f);
  assert_int_equal(fread(want, 1, 64, f), 64);
  pclose(f);
  assert_string_equal(got, want);
  fv_checkpoint_close(c);
}

static void folder_refused(const char *dir, fv_status status, const char *file, const char *word) {
  fv_checkpoint *c = NULL;
  fv_error e = {0};
  fv_status st = fv_checkpoint_open(dir, &c, &e);
  if (st != status) fail_msg("status %d, expected %d for \"%s\": %s", (int)st, (int)status, word, e.text);
  assert_null(c);
  craft_check_text(&e, file, word);
}

static void folders_without_weights(void **state) {
  char *dir = *state;
  folder_refused(dir, FV_ENOTFOUND, dir,
                 "looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin");
  folder_refused("no/such/folder", FV_ENOTFOUND, "no/such/folder", "no such model folder");
  folder_refused(DATA "expected.json", FV_EUSAGE, "expected.json", "not a folder");
}

#define INDEX "model.safetensors.index.json"

static void index_refused(char *dir, const char *json, fv_status status, const char *word) {
  craft_file(dir, INDEX, json, strlen(json));
  folder_refused(dir, status, INDEX, word);
}

static void indices_that_lie(void **state) {
  char *dir = *state;
  static const char good[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
  uint8_t bytes[8 + sizeof good] = {sizeof good - 1};
  memcpy(bytes + 8, good, sizeof good);
  craft_file(dir, "s.safetensors", bytes, sizeof bytes);
  index_refused(dir, "{}", FV_EFORMAT, "weight_map");
  index_refused(dir, "[]", FV_EFORMAT, "not a JSON object");
  index_refused(dir, "{\"weight_map\":[]}", FV_EFORMAT, "weight_map");
  index_refused(dir, "{\"weight_map\":{}}", FV_EFORMAT, "weight_map");
  index_refused(dir, "{\"weight_map\":{\"a\":\"s.safetensors\",\"a\":\"s.safetensors\"}}", FV_EFORMAT, "uplicate");
  index_refused(dir, "{\"weight_map\":{\"a\":1}}", FV_EFORMAT, "not a string");
  index_refused(dir, "{\"weight_map\":{\"a\":\"gone.safetensors\"}}", FV_ENOTFOUND,
                "gone.safetensors, which is not in");
  index_refused(dir, "{\"weight_map\":{\"a\":\"s.safetensors\",\"b\":\"s.safetensors\"}}", FV_ENOTFOUND,
                "maps tensor b to s.safetensors, which does not hold it");
  index_refused(dir, "{\"weight_map\":{\"b\":\"s.safetensors\"}}", FV_ENOTFOUND, "does not hold it");
  static const char *const names[] = {"",       "..",         ".",    "../s.safetensors", "/etc/passwd",
                                      "a\\\\b", "s\\u0000.x", "a\\nb"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *json = fv_format("{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
    index_refused(dir, json, FV_EFORMAT, names[i][0] == 's' ? "s?.x" : "plain name");
    free(json);
  }
  craft_file(dir, INDEX, "{\"weight_map\":{\"a\":\"s.safetensors\"}}", 36);
  fv_checkpoint *c = NULL;
  assert_int_equal(fv_checkpoint_open(dir, &c, NULL), FV_OK);
  assert_int_equal(fv_checkpoint_count(c), 1);
  fv_checkpoint_close(c);
}

static void old_and_new_norm_names_together(void **state) {
  char *dir = *state, *path = fv_path_join(dir, "norm.safetensors");
  float v = 1;
  const fv_named_array arrays[] = {{"x.LayerNorm.gamma", 0, {0}, &v}, {"x.LayerNorm.weight", 0, {0}, &v}};
  assert_int_equal(fv_safetensors_write(path, 2, arrays, NULL, NULL), FV_OK);
  craft_refused(dir, "norm.safetensors", FV_EFORMAT, "x.LayerNorm.weight is there twice");
  free(path);
}

static void configs(void **state) {
  char *dir = *state;
  fv_config c;
  fv_error e = {0};
  assert_int_equal(fv_config_open(dir, "config.json", false, &c, &e), FV_ENOTFOUND);
  craft_check_text(&e, dir, "has no config.json");
  assert_int_equal(fv_config_open(dir, "config.json", true, &c, &e), FV_OK);
  assert_null(c.json);
  fv_config_close(&c);
  craft_file(dir, "config.json", "[1]", 3);
  assert_int_equal(fv_config_open(dir, "config.json", true, &c, &e), FV_EFORMAT);
  craft_check_text(&e, "config.json", "not a JSON object");
  craft_file(dir, "config.json", "{\"a\":}", 6);
  assert_int_equal(fv_config_open(dir, "config.json", false, &c, &e), FV_EFORMAT);
  craft_check_text(&e, "config.json", "line 1");
  craft_file(dir, "config.json", "version https://git-lfs.github.com/spec/v1\n", 43);
  assert_int_equal(fv_config_open(dir, "config.json", false, &c, &e), FV_EFORMAT);
  craft_check_text(&e, "config.json", "git lfs pull");
  craft_file(dir, "config.json", "{\"a\":1}", 7);
  assert_int_equal(fv_config_open(dir, "config.json", false, &c, &e), FV_OK);
  assert_int_equal(json_object_size(c.json), 1);
  fv_config_close(&c);
  fv_config_close(&c);
}

static int setup(void **state) { return (*state = craft_folder()) == NULL; }
static int teardown(void **state) {
  craft_remove(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equal_to_python),
                                     cmocka_unit_test(what_a_need_says),
                                     cmocka_unit_test(hash_of_all_files),
                                     cmocka_unit_test_setup_teardown(folders_without_weights, setup, teardown),
                                     cmocka_unit_test_setup_teardown(indices_that_lie, setup, teardown),
                                     cmocka_unit_test_setup_teardown(old_and_new_norm_names_together, setup, teardown),
                                     cmocka_unit_test_setup_teardown(configs, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
