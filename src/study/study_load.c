/* Reading a study file into an fv_study. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/random.h"
#include "study/nearest.h"
#include "study/study_inside.h"

#define AT(member) offsetof(fv_study, member)
static const fv_field study_fields[] = {
    {"name", FV_FIELD_TEXT, AT(name), 0, NULL, false},
    {"model", FV_FIELD_TEXT, AT(model), 0, NULL, true},
    {"samples", FV_FIELD_NODE, AT(samples_at), 0, NULL, true},
    {"limit", FV_FIELD_INTEGER, AT(limit), 1, NULL, false},
    {"groups", FV_FIELD_TEXTS, AT(groups), 0, NULL, false},
    {"sweeps", FV_FIELD_NODE, AT(sweeps_at), 0, NULL, true},
    {"metrics", FV_FIELD_TEXTS, AT(metrics), 0, NULL, false},
    {"require_right", FV_FIELD_BOOL, AT(require_right), 0, NULL, false},
    {"keep_degenerate", FV_FIELD_BOOL, AT(keep_degenerate), 0, NULL, false},
    {"seed", FV_FIELD_INTEGER, AT(seed), 0, NULL, false},
    {"rng", FV_FIELD_CHOICE, AT(rng), 0, "torch|numpy", false},
    {"exif", FV_FIELD_BOOL, AT(exif), 0, NULL, false},
    {"pillow", FV_FIELD_CHOICE, AT(pillow), 0, "13|12.2|12", false},
    {"threads", FV_FIELD_INTEGER, AT(threads), 1, NULL, false},
    {"memory", FV_FIELD_SIZE, AT(memory), 0, NULL, false},
    {"check", FV_FIELD_PERCENT, AT(check), 0, NULL, false},
    {"output", FV_FIELD_NODE, AT(output_at), 0, NULL, false},
};
#undef AT
#define AT(member) offsetof(fv_study_sweep, member)
static const fv_field sweep_fields[] = {
    {"name", FV_FIELD_TEXT, AT(name), 0, NULL, false},
    {"kind", FV_FIELD_CHOICE, AT(kind), 0, "patch|trace", true},
    {"site", FV_FIELD_TEXTS, AT(site), 0, NULL, false},
    {"restore", FV_FIELD_TEXTS, AT(site), 0, NULL, false},
    {"corrupt", FV_FIELD_TEXTS, AT(corrupt), 0, NULL, false},
    {"heads", FV_FIELD_JOINED, AT(heads), 0, NULL, false},
    {"rows", FV_FIELD_JOINED, AT(rows), 0, NULL, false},
    {"layers", FV_FIELD_JOINED, AT(layers), 0, NULL, false},
    {"window", FV_FIELD_INTEGER, AT(window), 1, NULL, false},
    {"draws", FV_FIELD_INTEGER, AT(draws), 1, NULL, false},
    {"direction", FV_FIELD_CHOICE, AT(direction), 0, "denoise|noise", false},
    {"answers", FV_FIELD_CHOICE, AT(answers), 0, "own|shuffled", false},
    {"pad_attended", FV_FIELD_BOOL, AT(pad_attended), 0, NULL, false},
    {"llava_hs_into_module", FV_FIELD_BOOL, AT(hs_into_module), 0, NULL, false},
    {"layer_start", FV_FIELD_INTEGER, AT(layer_start), 0, NULL, false},
    {"target", FV_FIELD_CHOICE, AT(target), 0, "own|correct", false},
    {"noise_redraw", FV_FIELD_BOOL, AT(redraw), 0, NULL, false},
};
#undef AT
enum { NSTUDY = sizeof study_fields / sizeof *study_fields, NSWEEP = sizeof sweep_fields / sizeof *sweep_fields };

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the study"); }

static bool has(const fv_study *s, const yaml_node_t *map, const char *key) {
  return fv_yaml_get(s->yaml, map, key) != map;
}

/* Keys of one kind of sweep in another. */
static fv_status check_kind(const fv_study *s, const fv_study_sweep *w, fv_error *err) {
  static const char *const patch_only[] = {
      "heads", "rows", "layers", "direction", "answers", "pad_attended", "llava_hs_into_module"};
  static const char *const trace_only[] = {"layer_start", "target", "noise_redraw"};
  bool trace = w->kind == FV_STUDY_TRACE;
  const char *const *list = trace ? patch_only : trace_only;
  for (size_t i = 0; i < (trace ? 7u : 3u); i++)
    if (has(s, w->at, list[i]))
      return fv_yaml_fail(s->yaml, fv_yaml_get(s->yaml, w->at, list[i]), err, "%s belongs to kind: %s", list[i],
                          trace ? "patch" : "trace");
  if (has(s, w->at, "site") && has(s, w->at, "restore"))
    return fv_yaml_fail(s->yaml, fv_yaml_get(s->yaml, w->at, "restore"), err,
                        "restore is another word for site; keep one of them");
  if (!trace && w->corrupt.count == 0)
    return fv_yaml_fail(s->yaml, w->at, err, "the sweep has no corrupt; expected image, question or a corruption");
  return FV_OK;
}

static void add_list(json_t *j, const char *key, const fv_texts *t) {
  json_t *list = json_array();
  for (size_t i = 0; i < t->count; i++) json_array_append_new(list, json_string(t->items[i]));
  json_object_set_new(j, key, list);
}

static void add_text(json_t *j, const char *key, const char *text) {
  json_object_set_new(j, key, text ? json_string(text) : json_null());
}

static json_t *sweep_json(const fv_study_sweep *w) {
  json_t *j = json_object();
  add_text(j, "kind", w->kind == FV_STUDY_TRACE ? "trace" : "patch");
  add_list(j, "site", &w->site), add_list(j, "corrupt", &w->corrupt);
  json_object_set_new(j, "window", json_integer(w->window));
  json_object_set_new(j, "draws", json_integer(w->draws));
  if (w->kind == FV_STUDY_TRACE) {
    json_object_set_new(j, "layer_start", json_integer(w->layer_start));
    json_object_set_new(j, "noise_redraw", json_boolean(w->redraw));
    add_text(j, "target", w->target ? "correct" : "own");
    return j;
  }
  add_text(j, "heads", w->heads), add_text(j, "rows", w->rows), add_text(j, "layers", w->layers);
  add_text(j, "direction", w->direction ? "noise" : "denoise");
  add_text(j, "answers", w->answers ? "shuffled" : "own");
  json_object_set_new(j, "pad_attended", json_boolean(w->pad_attended));
  if (w->hs_into_module) json_object_set_new(j, "llava_hs_into_module", json_true());
  return j;
}

static fv_status read_sweep(fv_study *s, const yaml_node_t *at, fv_study_sweep *w, fv_error *err) {
  *w = (fv_study_sweep){.at = at, .window = 1, .draws = 10};
  fv_status st = fv_yaml_read(s->yaml, at, "a sweep", sweep_fields, NSWEEP, w, err);
  if (!st) st = check_kind(s, w, err);
  if (st) return st;
  for (size_t i = 0; i < w->site.count; i++)
    if (strchr(w->site.items[i], '@'))
      return fv_yaml_fail(s->yaml,
                          fv_yaml_item(s->yaml, fv_yaml_get(s->yaml, at, has(s, at, "site") ? "site" : "restore"), i),
                          err, "\"%s\" names rows; %s", w->site.items[i],
                          w->kind == FV_STUDY_PATCH ? "they are given by rows" : "every row is a cell");
  if (!w->name && !(w->name = fv_format("%s-%zu", w->kind == FV_STUDY_TRACE ? "trace" : "patch", s->nsweeps + 1)))
    return no_memory(err);
  for (size_t i = 0; i < s->nsweeps; i++)
    if (strcmp(s->sweeps[i].name, w->name) == 0)
      return fv_yaml_fail(s->yaml, fv_yaml_get(s->yaml, at, "name"), err, "two sweeps are named \"%s\"", w->name);
  json_t *j = sweep_json(w);
  w->spec = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
  json_decref(j);
  return w->spec ? FV_OK : no_memory(err);
}

static fv_status read_sweeps(fv_study *s, fv_error *err) {
  const yaml_node_t *at;
  if (s->sweeps_at->type != YAML_SEQUENCE_NODE)
    return fv_yaml_fail(s->yaml, s->sweeps_at, err, "sweeps is no list; expected \"- kind: patch\" and so on");
  size_t n = 0;
  while (fv_yaml_item(s->yaml, s->sweeps_at, n)) n++;
  if (n == 0) return fv_yaml_fail(s->yaml, s->sweeps_at, err, "sweeps is an empty list; there is nothing to compute");
  if (!(s->sweeps = fv_alloc(n, sizeof *s->sweeps))) return no_memory(err);
  fv_status st = FV_OK;
  for (size_t i = 0; i < n && !st; i++) {
    at = fv_yaml_item(s->yaml, s->sweeps_at, i);
    st = read_sweep(s, at, &s->sweeps[i], err), s->nsweeps++;
  }
  return st;
}

/* Whose answers each sample gets in a control: a permutation, of the samples that have answers, made of the study's
 * seed and the sweep's name. */
static fv_status shuffle(fv_study *s, fv_study_sweep *w, fv_error *err) {
  size_t n = s->pairs.count;
  if (!w->answers) return FV_OK;
  if (!(w->pair_of = fv_alloc(n, sizeof *w->pair_of))) return no_memory(err);
  uint64_t seed = fv_seed_for((uint64_t)s->seed, w->name);
  fv_rng rng;
  fv_status st = fv_rng_numpy_array(&rng, (uint32_t[]){(uint32_t)seed, (uint32_t)(seed >> 32)}, 2, err);
  size_t *with = fv_alloc(n, sizeof *with), count = 0;
  if (!with) return no_memory(err);
  for (size_t i = 0; i < n; i++) {
    w->pair_of[i] = i;
    if (s->pairs.list[i].correct) with[count++] = i;
  }
  for (size_t i = count; i-- > 1 && !st;) {
    size_t *a = &w->pair_of[with[i]], *b = &w->pair_of[with[(size_t)(fv_rng_double(&rng) * (double)(i + 1))]], t = *a;
    *a = *b, *b = t;
  }
  free(with);
  return st;
}

/* What the results depend on. Threads and memory change nothing, and the model is compared by its weights. */
static fv_status settings(fv_study *s, fv_error *err) {
  char hex[65];
  fv_status st = fv_study_samples_sha256(s, hex, err);
  if (st) return st;
  json_t *j = json_object(), *samples = json_object(), *sweeps = json_object();
  json_object_set_new(samples, "count", json_integer((json_int_t)s->pairs.count));
  json_object_set_new(samples, "sha256", json_string(hex));
  json_object_set_new(j, "samples", samples);
  for (size_t i = 0; i < s->nsweeps; i++) {
    json_t *w = sweep_json(&s->sweeps[i]);
    json_object_set_new(w, "place", json_integer((json_int_t)i + 1));
    json_object_set_new(sweeps, s->sweeps[i].name, w);
  }
  json_object_set_new(j, "sweeps", sweeps);
  json_object_set_new(j, "seed", json_integer(s->seed));
  add_text(j, "rng", s->rng ? "numpy" : "torch");
  add_text(j, "pillow", s->pillow == 0 ? "13" : s->pillow == 1 ? "12.2" : "12");
  json_object_set_new(j, "exif", json_boolean(s->exif));
  json_object_set_new(j, "require_right", json_boolean(s->require_right));
  if (s->keep_degenerate) json_object_set_new(j, "keep_degenerate", json_true());
  s->settings = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
  json_decref(j);
  return s->settings ? FV_OK : no_memory(err);
}

static fv_status check_metrics(const fv_study *s, fv_error *err) {
  static const char *const names[] = {"effect", "prob", "p_diff", "logit_diff", "kl", "rank"};
  enum { N = sizeof names / sizeof *names };
  const yaml_node_t *at = fv_yaml_get(s->yaml, fv_yaml_root(s->yaml), "metrics");
  for (size_t i = 0; i < s->metrics.count; i++) {
    const char *name = s->metrics.items[i], *near = fv_nearest(name, names, N);
    bool known = false;
    for (size_t k = 0; k < N; k++) known |= strcmp(name, names[k]) == 0;
    const yaml_node_t *item = fv_yaml_item(s->yaml, at, i);
    if (known) continue;
    if (near) return fv_yaml_fail(s->yaml, item, err, "\"%s\" is no metric; did you mean %s?", name, near);
    return fv_yaml_fail(s->yaml, item, err,
                        "\"%s\" is no metric; expected effect, prob, p_diff, logit_diff, kl or rank", name);
  }
  return FV_OK;
}

static fv_status find_folder(fv_study *s, fv_error *err) {
  char real[PATH_MAX], *slash;
  if (!realpath(s->yaml->path, real)) return fv_fail(err, FV_EIO, "%s: cannot be found any more", s->yaml->path);
  slash = strrchr(real, '/');
  *slash = '\0';
  s->folder = fv_strdup(slash == real ? "/" : real);
  return s->folder ? FV_OK : no_memory(err);
}

fv_status fv_study_load(const char *path, fv_study **out, fv_error *err) {
  fv_study *s = fv_alloc(1, sizeof *s);
  *out = NULL;
  if (!s) return no_memory(err);
  fv_status st = fv_yaml_load(path, &s->yaml, err);
  if (!st) st = find_folder(s, err);
  if (!st) st = fv_yaml_read(s->yaml, fv_yaml_root(s->yaml), "the study", study_fields, NSTUDY, s, err);
  if (!st) st = check_metrics(s, err);
  if (!st) st = read_sweeps(s, err);
  if (!st) st = fv_study_read_output(s, err);
  if (!st) st = fv_study_read_samples(s, err);
  if (!st) st = fv_study_check_needs(s, err);
  for (size_t i = 0; i < s->nsweeps && !st; i++) st = shuffle(s, &s->sweeps[i], err);
  if (!st) st = settings(s, err);
  if (st) return fv_study_free(s), st;
  *out = s;
  return FV_OK;
}

void fv_study_free(fv_study *s) {
  if (!s) return;
  for (size_t i = 0; i < s->nsweeps; i++) {
    fv_study_sweep *w = &s->sweeps[i];
    fv_texts_release(&w->site), fv_texts_release(&w->corrupt);
    free(w->name), free(w->heads), free(w->rows), free(w->layers), free(w->spec), free(w->pair_of);
  }
  fv_pairs_release(&s->pairs);
  fv_texts_release(&s->groups), fv_texts_release(&s->metrics);
  fv_yaml_free(s->yaml);
  for (size_t i = 0; i < FV_STUDY_OUTPUTS; i++) free(s->outputs[i]);
  free(s->sweeps), free(s->folder), free(s->name), free(s->model), free(s->db), free(s->table), free(s->settings);
  free(s);
}

fv_status fv_study_blame(const fv_study *s, const char *key, fv_error *err) {
  return fv_yaml_fail_at(s->yaml, fv_yaml_get(s->yaml, fv_yaml_root(s->yaml), key), err);
}

const char *fv_study_address(const fv_study *s, size_t i) {
  for (size_t k = 0; k < s->nsweeps; k++) {
    const fv_study_sweep *w = &s->sweeps[k];
    if (i < w->site.count) return w->site.items[i];
    i -= w->site.count;
    for (size_t c = 0; c < w->corrupt.count; c++) {
      const char *at = strchr(w->corrupt.items[c], '@');
      if (at && i-- == 0) return at + 1;
    }
  }
  return NULL;
}

const char *fv_study_name(const fv_study *s) { return s->name; }
const char *fv_study_model(const fv_study *s) { return s->model; }
const char *fv_study_db(const fv_study *s) { return s->db; }
const char *fv_study_folder(const fv_study *s) { return s->folder; }
int64_t fv_study_threads(const fv_study *s) { return s->threads; }
size_t fv_study_memory(const fv_study *s) { return s->memory; }
int64_t fv_study_samples(const fv_study *s) { return (int64_t)s->pairs.count; }
int64_t fv_study_left_out(const fv_study *s) { return (int64_t)s->pairs.nexcluded; }
