#include "model/family.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kernel/kernel.h"

static const fv_family *const families[] = {&fv_family_blip_vqa, &fv_family_blip_caption, &fv_family_blip_itm,
                                            &fv_family_vit,      &fv_family_bert,         &fv_family_llava,
                                            &fv_family_clip};
enum { NFAMILIES = sizeof families / sizeof *families };

/* A configuration that names no architecture is taken for its model type's first family. */
static bool names_architecture(const json_t *config, const char *name) {
  const json_t *list = json_object_get(config, "architectures");
  if (json_array_size(list) == 0) return true;
  size_t i;
  json_t *item;
  json_array_foreach((json_t *)(uintptr_t)list, i, item) {
    if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) return true;
  }
  return false;
}

fv_status fv_family_find(const json_t *config, const char *where, const fv_family **out, fv_error *err) {
  const char *type = NULL;
  fv_status st = fv_json_string(config, "model_type", NULL, where, &type, err);
  if (st) return st;
  char known[256] = "";
  for (int i = 0; i < NFAMILIES; i++) {
    const fv_family *f = families[i];
    if (type && strcmp(type, f->model_type) == 0 && (!f->architecture || names_architecture(config, f->architecture)))
      return *out = f, FV_OK;
    size_t n = strlen(known);
    if (n + strlen(f->model_type) + 64 < sizeof known) {
      strcat(known, n ? ", " : "");
      strcat(known, f->architecture ? f->architecture : f->model_type);
    }
  }
  const json_t *first = json_array_get(json_object_get(config, "architectures"), 0);
  return fv_fail(err, FV_EUNSUPPORTED,
                 "%s: model_type \"%s\" with architecture \"%s\" is not supported; this build knows %s", where,
                 type ? type : "(absent)", json_is_string(first) ? json_string_value(first) : "(absent)", known);
}

fv_status fv_config_act(const json_t *config, const char *fallback, const char *where, int *act, fv_error *err) {
  return fv_config_act_at(config, "hidden_act", fallback, where, act, err);
}

fv_status fv_config_act_at(const json_t *config, const char *key, const char *fallback, const char *where, int *act,
                           fv_error *err) {
  static const struct {
    const char *name;
    fv_act act;
  } acts[] = {{"gelu", FV_ACT_GELU},         {"quick_gelu", FV_ACT_QUICK_GELU},
              {"silu", FV_ACT_SILU},         {"swish", FV_ACT_SILU},
              {"gelu_new", FV_ACT_GELU_NEW}, {"gelu_pytorch_tanh", FV_ACT_GELU_NEW},
              {"relu", FV_ACT_RELU},         {"tanh", FV_ACT_TANH}};
  const char *name = NULL;
  fv_status st = fv_json_string(config, key, fallback, where, &name, err);
  if (st) return st;
  for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
    if (strcmp(acts[i].name, name) == 0) return *act = (int)acts[i].act, FV_OK;
  return fv_fail(err, FV_EUNSUPPORTED,
                 "%s: %s \"%s\" is not supported; known are gelu, quick_gelu, silu, gelu_new, relu and tanh", where,
                 key, name);
}

fv_status fv_task_label(fv_task *task, int64_t count, int64_t index, const char *name, fv_error *err) {
  if (!task->labels) {
    task->labels = fv_alloc((size_t)count, sizeof *task->labels);
    if (task->labels) task->nlabels = count;
  }
  if (!task->labels || !(task->labels[index] = fv_strdup(name))) return fv_fail(err, FV_ENOMEM, "no memory");
  return FV_OK;
}

void fv_task_release(fv_task *task) {
  for (int64_t i = 0; i < task->nlabels; i++) free(task->labels[i]);
  free(task->labels);
  task->labels = NULL, task->nlabels = 0;
}

fv_status fv_config_heads(const fv_stack_description *s, const char *where, fv_error *err) {
  if (s->D % s->H == 0) return FV_OK;
  return fv_fail(err, FV_EFORMAT, "%s: %s has hidden_size %lld, not a multiple of its %lld attention heads", where,
                 s->name, (long long)s->D, (long long)s->H);
}

fv_status fv_config_eps(const json_t *config, double fallback, const char *where, float *eps, fv_error *err) {
  double value;
  fv_status st = fv_json_real(config, "layer_norm_eps", fallback, where, &value, err);
  if (st) return st;
  if (!(value >= 0.0 && value < 1.0))
    return fv_fail(err, FV_EFORMAT, "%s: layer_norm_eps is %g, expected a number from 0 to 1", where, value);
  return *eps = (float)value, FV_OK;
}

fv_status fv_config_eos(const json_t *config, const char *where, fv_task *task, fv_error *err) {
  const json_t *value = json_object_get(config, "eos_token_id");
  if (!value || json_is_null(value)) return FV_OK;
  size_t n = json_is_array(value) ? json_array_size(value) : 1;
  if (n > FV_MAX_EOS)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: eos_token_id lists %zu ids; at most %d are supported", where, n,
                   FV_MAX_EOS);
  for (size_t i = 0; i < n; i++) {
    const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
      return fv_fail(err, FV_EFORMAT, "%s: eos_token_id is not a token id or a list of them", where);
    task->eos[i] = (int32_t)json_integer_value(id);
  }
  task->neos = (int)n;
  return FV_OK;
}
