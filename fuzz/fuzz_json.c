/* The JSON getters, on the keys of the seeds and on whatever else the object holds. */
#include "base/json.h"
#include "fuzz.h"

static void get_all(const json_t *object, const char *key) {
  fv_error err = {0};
  int64_t n = 0;
  double r = 0;
  bool b = false;
  const char *s = NULL;
  const json_t *o = NULL;
  fv_status st = fv_json_int(object, key, 5, 0, 1000000, "input", &n, &err);
  fuzz_check_error(st, &err);
  FUZZ_PROMISE(st || (n >= 0 && n <= 1000000));
  fuzz_check_error(fv_json_real(object, key, 0, "input", &r, &err), &err);
  fuzz_check_error(fv_json_bool(object, key, false, "input", &b, &err), &err);
  st = fv_json_string(object, key, NULL, "input", &s, &err);
  fuzz_check_error(st, &err);
  if (!st && s) FUZZ_PROMISE(fv_utf8_valid(s, strlen(s), NULL));
  fuzz_check_error(fv_json_object(object, key, "input", &o, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const keys[] = {"hidden_size", "layer_norm_eps", "weight_map", "model_type", "absent"};
  json_t *value = NULL;
  fv_error err = {0};
  fv_status st = fv_json_parse((const char *)data, size, "input", &value, &err);
  fuzz_check_error(st, &err);
  if (st) return 0;
  if (json_is_object(value))
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) get_all(value, keys[i]);
  json_decref(value);
  return 0;
}
