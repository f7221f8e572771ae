/* Checking a study against its model, and saying what running it would cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/corruption.h"
#include "study/nearest.h"
#include "study/store_inside.h"
#include "study/study_sample.h"

/* Bytes of the database per row of the long table, indices and all: of patching with two answers; others take a tenth
 * less. */
enum { CELL_BYTES = 90, SAMPLE_BYTES = 2048, PROBES = 4, TRIES = 256 };

/* ---- addresses ---- */

/* "text_encoder.3.cross.z" without its layer: what is usually mistyped is the stack or the site. */
static void without_layer(const char *address, char out[96]) {
  size_t n = 0;
  for (const char *c = address; *c && n < 90; c++) {
    if (strchr("#@:", *c)) break;
    if (*c == '.' && (c[1] == '*' || c[1] == '-' || (c[1] >= '0' && c[1] <= '9'))) {
      out[n++] = '.', out[n++] = '*';
      c += 1 + strspn(c + 1, "*-,0123456789") - 1;
    } else {
      out[n++] = *c;
    }
  }
  out[n] = '\0';
}

/* Puts the nearest address before the end of an error about `address`. */
static void suggest(const fv_model *model, const char *address, fv_error *err) {
  char typed[96], best[96] = "";
  size_t least = strlen(address) / 3 + 1;
  without_layer(address, typed);
  for (size_t i = 0; i < fv_model_sites(model); i++) {
    fv_site_info info;
    char form[96];
    if (fv_model_site(model, i, &info, NULL, 0, NULL)) return;
    without_layer(info.address, form);
    size_t d = fv_edit_distance(typed, form);
    if (d > 0 && d < least) least = d, memcpy(best, form, sizeof best);
  }
  size_t used = err ? strlen(err->text) : 0;
  if (best[0] && used) snprintf(err->text + used, sizeof err->text - used, "; did you mean %s?", best);
}

static fv_status check_address(const fv_study *s, const fv_model *model, const yaml_node_t *at, const char *address,
                               fv_error *err) {
  char name[256];
  const char *tool;
  fv_error own = {0};
  if (fv_address_canonical(model, address, name, sizeof name, &tool, &own) == FV_OK) return FV_OK;
  suggest(model, address, &own);
  return fv_yaml_fail(s->yaml, at, err, "%s", own.text);
}

/* image and question are the sample's own; everything else is a corruption as it is typed. */
static fv_status check_corruption(const fv_study *s, const fv_model *model, const yaml_node_t *at, const char *text,
                                  fv_error *err) {
  static const char *const words[] = {"image", "question", "gray"};
  if (strcmp(text, "image") == 0 || strcmp(text, "question") == 0) return FV_OK;
  fv_corruption c = {0};
  fv_input_options none;
  fv_error own = {0};
  fv_input_defaults(&none);
  none.question = "";
  fv_status st = fv_corruption_parse(text, &none, &c, &own);
  const char *address = strchr(text, '@'), *near = fv_nearest(text, words, 3);
  if (st && !address && near)
    st = fv_yaml_fail(s->yaml, at, err, "\"%s\" is no corruption; did you mean %s?", text, near);
  else if (st)
    st = fv_yaml_fail(s->yaml, at, err, "%s; or image or question for the sample's own", own.text);
  else if (c.edit && address)
    st = check_address(s, model, at, address + 1, err);
  fv_corruption_release(&c);
  return st;
}

/* Whether this sample has what every sweep needs, so that a failure of its cost is the study's fault. */
static bool is_sound(const fv_study *s, const fv_model *model, const fv_study_sweep *w, size_t i) {
  const fv_pair *p = &s->pairs.list[i];
  fv_sample_options o;
  fv_input *clean = NULL, *other = NULL;
  int32_t a = -1, b = -2;
  bool good = fv_sample_options_make(s, w, i, &o, NULL) == FV_OK && !o.missing;
  good = good && (p->image || !fv_model_picture_stack(model));
  good = good && (p->question || p->prompt || fv_model_text_optional(model));
  good = good && fv_input_new(model, &o.input, &clean, NULL) == FV_OK;
  for (size_t k = 0; good && k < o.corrupt.count; k++) {
    fv_corruption c = {0};
    good = fv_corruption_parse(o.corrupt.items[k], &o.input, &c, NULL) == FV_OK;
    if (good && !c.edit) good = fv_input_new(model, &c.input, &other, NULL) == FV_OK;
    for (int t = 0; good && other && t < fv_model_stacks(model); t++) {
      const char *stack = fv_model_stack(model, t).name;
      good = w->pad_attended || fv_input_rows(clean, stack) == fv_input_rows(other, stack);
    }
    fv_input_free(other), other = NULL;
    fv_corruption_release(&c);
  }
  if (good && o.correct) good = fv_input_answer_id(clean, o.correct, &a, NULL) == FV_OK;
  if (good && o.incorrect)
    good = fv_input_answer_id(clean, o.incorrect, &b, NULL) == FV_OK && (a != b || s->keep_degenerate);
  fv_input_free(clean);
  fv_sample_options_release(&o);
  return good;
}

/* Whether the sample is refused for what stands under this key: without it, it is not. */
static bool blames(const fv_study *s, const fv_model *model, const fv_study_sweep *w, size_t i, const char *key) {
  fv_study_sweep without = *w;
  fv_cost cost;
  char *gray[] = {(char[]){"gray"}};
  if (strcmp(key, "heads") == 0) without.heads = NULL;
  if (strcmp(key, "rows") == 0) without.rows = NULL;
  if (strcmp(key, "layers") == 0) without.layers = NULL;
  if (strcmp(key, "corrupt") == 0) without.corrupt = (fv_texts){gray, 1};
  return fv_study_sweep_cost(s, model, &without, i, s->memory, &cost, NULL) == FV_OK;
}

/* Which key of a sweep the refusal of a sound sample is about: an address that this input does not have, a list, a
 * corruption, or else the sweep as a whole. */
static const yaml_node_t *culprit(const fv_study *s, const fv_model *model, const fv_study_sweep *w,
                                  const yaml_node_t *sites, size_t i) {
  fv_sample_options o;
  fv_input *clean = NULL;
  const yaml_node_t *at = w->at;
  fv_status st = fv_sample_options_make(s, w, i, &o, NULL);
  if (!st) st = fv_input_new(model, &o.input, &clean, NULL);
  for (size_t k = 0; !st && k < w->site.count && at == w->at; k++) {
    fv_selection *list;
    size_t n;
    if (fv_address_resolve(model, clean, w->site.items[k], &list, &n, NULL)) {
      at = fv_yaml_item(s->yaml, sites, k);
      break;
    }
    for (size_t x = 0; x < n; x++) fv_selection_release(&list[x]);
    free(list);
  }
  fv_input_free(clean);
  fv_sample_options_release(&o);
  static const char *const lists[] = {"heads", "rows", "layers", "corrupt"};
  for (int k = 0; k < 4 && at == w->at; k++)
    if (blames(s, model, w, i, lists[k])) at = fv_yaml_get(s->yaml, w->at, lists[k]);
  return at;
}

static fv_status check_sweep(const fv_study *s, const fv_model *model, const fv_study_sweep *w, fv_error *err) {
  const yaml_node_t *sites = fv_yaml_get(s->yaml, w->at, "site"), *corrupt = fv_yaml_get(s->yaml, w->at, "corrupt");
  if (sites == w->at) sites = fv_yaml_get(s->yaml, w->at, "restore");
  fv_status st = FV_OK;
  for (size_t i = 0; i < w->site.count && !st; i++)
    st = check_address(s, model, fv_yaml_item(s->yaml, sites, i), w->site.items[i], err);
  for (size_t i = 0; i < w->corrupt.count && !st; i++)
    st = check_corruption(s, model, fv_yaml_item(s->yaml, corrupt, i), w->corrupt.items[i], err);
  for (size_t i = 0, tried = 0; i < s->pairs.count && tried < 8 && !st; i++, tried++) {
    fv_cost cost;
    if (!is_sound(s, model, w, i)) continue;
    st = fv_study_sweep_cost(s, model, w, i, s->memory, &cost, err);
    if (!st) break;
    fv_fail_prefix(err, st, "sweep \"%s\", sample \"%s\"", w->name, s->pairs.list[i].sample);
    return fv_yaml_fail_at(s->yaml, culprit(s, model, w, sites, i), err);
  }
  return st;
}

fv_status fv_study_check(const fv_study *s, const fv_model *model, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t i = 0; i < s->nsweeps && !st; i++) st = check_sweep(s, model, &s->sweeps[i], err);
  return st;
}

/* ---- cost ---- */

static void add_cost(fv_cost *sum, const fv_cost *one) {
  sum->runs += one->runs, sum->parts += one->parts, sum->rows += one->rows;
  sum->flops += one->flops, sum->full_flops += one->full_flops, sum->streamed += one->streamed;
  if (one->memory > sum->memory) sum->memory = one->memory;
  if (one->weights > sum->weights) sum->weights = one->weights;
}

/* Samples whose cost was found: their number, the sum, and their rows of the long table. */
typedef struct probes {
  int64_t count, cells;
  fv_cost sum;
} probes;

static fv_status probe(const fv_study *s, const fv_model *model, size_t i, size_t memory, probes *p, fv_error *err) {
  fv_study_sample *x = NULL;
  fv_bundle *bundle;
  fv_cost asked = {0}, one = {0};
  int64_t cells;
  fv_status st = fv_bundle_new(model, memory, &bundle, err);
  if (st) return st;
  fv_bundle_only_cost(bundle);
  st = fv_study_sample_new(s, model, i, NULL, NULL, &x, err);
  if (!st) st = fv_study_samples_ask(&x, 1, memory, true, &asked, err);
  if (!st) st = fv_study_sample_add(x, NULL, bundle, memory, err);
  if (!st && fv_study_sample_reason(x)) st = fv_fail(err, FV_EFORMAT, "%s", fv_study_sample_reason(x));
  if (!st) st = fv_bundle_cost(bundle, &one, err);
  if (!st) {
    fv_study_sample_size(x, &one.runs, &cells);
    add_cost(&p->sum, &one), add_cost(&p->sum, &asked);
    p->cells += cells, p->count++;
  }
  fv_bundle_free(bundle);
  fv_study_sample_free(x);
  return st;
}

static fv_status lacks(const fv_study *s, size_t i, bool *yes, fv_error *err) {
  fv_status st = FV_OK;
  *yes = s->require_right && !s->pairs.list[i].correct;
  for (size_t k = 0; k < s->nsweeps && !st && !*yes; k++) {
    fv_sample_options o;
    st = fv_sample_options_make(s, &s->sweeps[k], i, &o, err);
    *yes = o.missing != NULL;
    fv_sample_options_release(&o);
  }
  return st;
}

/* The cost of up to PROBES of the samples still to come, spread over them; where none of these can be used, of any. */
static fv_status probe_some(const fv_study *s, const fv_model *model, size_t memory, const bool *todo, int64_t left,
                            fv_study_cost *out, probes *p, fv_error *err) {
  int64_t every = left > PROBES ? left / PROBES : 1;
  fv_status st = FV_OK;
  for (int others = 0; others < 2 && p->count == 0; others++) {
    int64_t seen = 0, tries = 0;
    for (size_t i = 0; i < s->pairs.count && !st && p->count < PROBES && tries < TRIES; i++) {
      fv_error own = {0};
      if (!todo[i] || (seen++ % every == 0) == (others == 1)) continue;
      fv_status fails = probe(s, model, i, memory, p, &own);
      tries++;
      if (fails && !fv_study_excludes(fails)) st = fv_fail(err, fails, "%s", own.text);
      if (fails && !out->reason[0])
        snprintf(out->reason, sizeof out->reason, "%.60s: %.440s", s->pairs.list[i].sample, own.text);
    }
  }
  return st;
}

fv_status fv_study_plan(const fv_study *s, const fv_model *model, const fv_study_options *o, fv_study_cost *out,
                        fv_error *err) {
  int64_t mine = 0, stored = 0;
  bool *todo = fv_alloc(s->pairs.count, sizeof *todo);
  *out = (fv_study_cost){0};
  if (!todo) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = fv_study_todo(s, o, todo, &mine, &stored, err);
  out->samples = mine, out->stored = stored;
  for (size_t i = 0; i < s->pairs.count && !st; i++) {
    bool yes = false;
    if (todo[i]) st = lacks(s, i, &yes, err);
    if (yes) todo[i] = false, out->lacking++;
  }
  int64_t left = mine - stored - out->lacking;
  probes p = {0};
  if (!st) st = probe_some(s, model, o->memory, todo, left, out, &p, err);
  free(todo);
  if (st || p.count == 0) return st;
  out->probed = p.count;
  out->cost = (fv_cost){.memory = p.sum.memory, .weights = p.sum.weights};
  double share = (double)left / (double)p.count;
  out->cost.runs = (int64_t)((double)p.sum.runs * share), out->cost.parts = (int64_t)((double)p.sum.parts * share);
  out->cost.rows = (int64_t)((double)p.sum.rows * share);
  out->cost.flops = p.sum.flops * share, out->cost.full_flops = p.sum.full_flops * share;
  out->cost.streamed = (size_t)((double)p.sum.streamed * share);
  out->cells = (int64_t)((double)p.cells * share);
  out->bytes = (double)out->cells * CELL_BYTES + (double)left * SAMPLE_BYTES;
  return FV_OK;
}
