/* The samples of a study: from a table, from the study file itself, or from a data set; and how a sample starts a run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "base/sha256.h"
#include "study/data_pairs.h"
#include "study/nearest.h"
#include "study/study_inside.h"

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the samples"); }

char *fv_study_opened_from(const fv_study *s, const char *path) {
  return path[0] == '/' || strstr(path, "://") ? fv_strdup(path) : fv_format("%s/%s", s->folder, path);
}

/* ---- samples in the study file ---- */

static const fv_pair_column *column_of(const char *name) {
  for (size_t i = 0; i < FV_PAIR_COLUMNS; i++)
    if (strcmp(fv_pair_columns[i].name, name) == 0) return &fv_pair_columns[i];
  return NULL;
}

static fv_status set_correct_first(const fv_study *s, fv_pair *p, const yaml_node_t *at, fv_error *err) {
  const char *text = fv_yaml_text(at);
  bool yes = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
  if (!yes && strcmp(text, "0") != 0 && strcmp(text, "false") != 0)
    return fv_yaml_fail(s->yaml, at, err, "correct_first is \"%s\"; expected 0 or 1", text);
  return p->correct_first = yes, FV_OK;
}

/* A misspelt column would be a further column without a word; one letter off is taken for a mistake. */
static fv_status further(const fv_study *s, fv_pair *p, const yaml_node_t *key, const char *text, fv_error *err) {
  const char *names[FV_PAIR_COLUMNS], *name = fv_yaml_text(key);
  for (size_t i = 0; i < FV_PAIR_COLUMNS; i++) names[i] = fv_pair_columns[i].name;
  const char *near = fv_nearest(name, names, FV_PAIR_COLUMNS);
  if (near && fv_edit_distance(name, near) <= 1)
    return fv_yaml_fail(s->yaml, key, err, "a sample has no \"%s\"; did you mean %s?", name, near);
  if (fv_pair_field(p, name)) return fv_yaml_fail(s->yaml, key, err, "%s is there twice", name);
  return fv_pair_set_field(p, name, text, err);
}

static fv_status set_key(const fv_study *s, fv_pair *p, const yaml_node_t *key, const yaml_node_t *value,
                         fv_error *err) {
  const char *name = fv_yaml_text(key), *text;
  if (!name) return fv_yaml_fail(s->yaml, key, err, "a key of a sample is no word");
  fv_status st = fv_yaml_need_text(s->yaml, name, value, &text, err);
  if (st) return st;
  const fv_pair_column *c = column_of(name);
  if (!c) return further(s, p, key, text, err);
  if (c->offset == SIZE_MAX) return set_correct_first(s, p, value, err);
  char **at = fv_pair_text(p, c);
  if (*at && at != &p->sample) return fv_yaml_fail(s->yaml, key, err, "%s is there twice", name);
  if (!c->picture) return fv_pair_set(at, text, err);
  *at = fv_study_opened_from(s, text);
  return *at ? FV_OK : no_memory(err);
}

static fv_status read_inline(fv_study *s, const yaml_node_t *at, fv_error *err) {
  const yaml_node_t *key, *value;
  char number[24];
  fv_pair *p;
  if (at->type != YAML_MAPPING_NODE)
    return fv_yaml_fail(s->yaml, at, err, "a sample is no map; expected image, question and so on");
  snprintf(number, sizeof number, "%zu", s->pairs.count);
  fv_status st = fv_pairs_add(&s->pairs, number, &p, err);
  for (size_t i = 0; !st && fv_yaml_pair(s->yaml, at, i, &key, &value); i++) st = set_key(s, p, key, value, err);
  if (st) return st;
  p->line = (int64_t)at->start_mark.line + 1;
  if (p->question && p->prompt)
    return fv_yaml_fail(s->yaml, at, err, "the sample has a question and a prompt; it can have one of them");
  if (!p->image && !p->question && !p->prompt)
    return fv_yaml_fail(s->yaml, at, err, "the sample has neither image nor question nor prompt");
  for (size_t i = 0; i + 1 < s->pairs.count; i++)
    if (strcmp(s->pairs.list[i].sample, p->sample) == 0)
      return fv_yaml_fail(s->yaml, at, err, "two samples are named \"%s\"", p->sample);
  return FV_OK;
}

/* ---- samples made from a data set ---- */

typedef struct data_set {
  char *kind, *table, *images, *prompts;
  int64_t seed, words;
  bool keep_black;
} data_set;

static void data_set_release(data_set *d) { free(d->kind), free(d->table), free(d->images), free(d->prompts); }

static fv_status check_data_kind(const fv_study *s, const yaml_node_t *at, const char *kind, fv_error *err) {
  const char *names[16], *near;
  size_t n = 0;
  for (const fv_data_kind *k; n < 16 && (k = fv_data_kind_at(n)); n++) {
    names[n] = k->name;
    if (strcmp(k->name, kind) == 0 && strcmp(kind, "cifar10") != 0) return FV_OK;
  }
  if (strcmp(kind, "cifar10") == 0)
    return fv_yaml_fail(s->yaml, at, err,
                        "cifar10 writes pictures; make the table once with `fovea data cifar10` and name it");
  near = fv_nearest(kind, names, n);
  if (near) return fv_yaml_fail(s->yaml, at, err, "there is no data set \"%s\"; did you mean %s?", kind, near);
  return fv_yaml_fail(s->yaml, at, err, "there is no data set \"%s\"; `fovea help data` lists them", kind);
}

/* As `fovea data` makes them. What writes pictures is no part of reading a study. */
static fv_status read_data_set(fv_study *s, const yaml_node_t *at, fv_error *err) {
#define AT(member) offsetof(data_set, member)
  static const fv_field fields[] = {
      {"data", FV_FIELD_TEXT, AT(kind), 0, NULL, true},
      {"table", FV_FIELD_TEXT, AT(table), 0, NULL, false},
      {"images", FV_FIELD_TEXT, AT(images), 0, NULL, true},
      {"prompts", FV_FIELD_TEXT, AT(prompts), 0, NULL, false},
      {"seed", FV_FIELD_INTEGER, AT(seed), 0, NULL, false},
      {"words", FV_FIELD_INTEGER, AT(words), 1, NULL, false},
      {"keep_black", FV_FIELD_BOOL, AT(keep_black), 0, NULL, false},
  };
#undef AT
  data_set d = {0};
  fv_status st = fv_yaml_read(s->yaml, at, "samples", fields, sizeof fields / sizeof *fields, &d, err);
  if (!st) st = check_data_kind(s, fv_yaml_get(s->yaml, at, "data"), d.kind, err);
  char **const paths[] = {&d.table, &d.images, &d.prompts};
  for (int i = 0; i < 3 && !st; i++) {
    char *from_here = *paths[i] ? fv_study_opened_from(s, *paths[i]) : NULL;
    if (*paths[i] && !from_here) st = no_memory(err);
    free(*paths[i]);
    *paths[i] = from_here;
  }
  if (!st) {
    fv_data_options o = {.kind = d.kind,
                         .table = d.table,
                         .images = d.images,
                         .prompts = d.prompts,
                         .seed = d.seed,
                         .words = d.words,
                         .keep_black = d.keep_black};
    st = fv_data_build(&o, &s->pairs, err);
    if (st && st != FV_ENOMEM) st = fv_yaml_fail_at(s->yaml, at, err);
  }
  data_set_release(&d);
  return st;
}

/* ---- all of them ---- */

static bool in_groups(const fv_study *s, const fv_pair *p) {
  for (size_t i = 0; i < s->groups.count; i++)
    if (p->group && strcmp(p->group, s->groups.items[i]) == 0) return true;
  return s->groups.count == 0;
}

static fv_status choose(fv_study *s, fv_error *err) {
  const yaml_node_t *root = fv_yaml_root(s->yaml);
  for (size_t g = 0; g < s->groups.count; g++) {
    const char *names[32];
    size_t n = 0, known = 0;
    for (size_t i = 0; i < s->pairs.count; i++) {
      const char *group = s->pairs.list[i].group;
      known += group && strcmp(group, s->groups.items[g]) == 0;
      if (group && n < 32 && (n == 0 || strcmp(names[n - 1], group) != 0)) names[n++] = group;
    }
    const char *near = fv_nearest(s->groups.items[g], names, n);
    if (!known)
      return fv_yaml_fail(s->yaml, fv_yaml_item(s->yaml, fv_yaml_get(s->yaml, root, "groups"), g), err,
                          "no sample has the group \"%s\"%s%s%s", s->groups.items[g], near ? "; did you mean " : "",
                          near ? near : "", near ? "?" : "");
  }
  bool *keep = fv_alloc(s->pairs.count, sizeof *keep);
  int64_t kept = 0;
  if (!keep) return no_memory(err);
  for (size_t i = 0; i < s->pairs.count; i++) {
    keep[i] = in_groups(s, &s->pairs.list[i]) && (s->limit == 0 || kept < s->limit);
    kept += keep[i];
  }
  fv_pairs_filter(&s->pairs, keep);
  free(keep);
  return FV_OK;
}

fv_status fv_study_read_samples(fv_study *s, fv_error *err) {
  const yaml_node_t *at = s->samples_at, *item;
  const char *file = fv_yaml_text(at);
  fv_status st = FV_OK;
  if (file) {
    if (!file[0]) return fv_yaml_fail(s->yaml, at, err, "samples has no value; expected a table or a list");
    if (!(s->table = fv_study_opened_from(s, file))) return no_memory(err);
    st = fv_pairs_load(s->table, &s->pairs, err);
    if (st) return fv_yaml_fail_at(s->yaml, at, err), st;
  } else if (at->type == YAML_MAPPING_NODE) {
    st = read_data_set(s, at, err);
    return st ? st : choose(s, err);
  }
  for (size_t i = 0; !file && !st && (item = fv_yaml_item(s->yaml, at, i)); i++) st = read_inline(s, item, err);
  if (!st && s->pairs.count == 0) return fv_yaml_fail(s->yaml, at, err, "samples is an empty list");
  return st ? st : choose(s, err);
}

const char *fv_study_inner_path(const fv_study *s, const char *path) {
  size_t n = strlen(s->folder);
  if (!path || strncmp(path, s->folder, n) != 0 || path[n] != '/') return path;
  while (path[n] == '/') n++;
  return path + n;
}

static char *add_line(char *text, size_t *used, size_t *room, const char *key, const char *value) {
  size_t more = strlen(key) + strlen(value) + 32;
  if (!fv_grow(&text, room, *used + more, 1)) return free(text), NULL;
  *used += (size_t)sprintf(text + *used, "%s %zu:%s\n", key, strlen(value), value);
  return text;
}

fv_status fv_study_samples_sha256(const fv_study *s, char hex[65], fv_error *err) {
  size_t used = 0, room = 0;
  char *text = NULL;
  for (size_t i = 0; i < s->pairs.count; i++) {
    fv_pair *p = &s->pairs.list[i];
    const char first[2] = {p->correct_first < 0 ? '-' : (char)('0' + p->correct_first), 0};
    text = add_line(text, &used, &room, "correct_first", first);
    for (size_t k = 0; k < FV_PAIR_COLUMNS && text; k++) {
      const fv_pair_column *c = &fv_pair_columns[k];
      const char *value = c->offset == SIZE_MAX ? NULL : *fv_pair_text(p, c);
      if (value) text = add_line(text, &used, &room, c->name, c->picture ? fv_study_inner_path(s, value) : value);
    }
    for (size_t k = 0; k < p->nfields && text; k++)
      text = add_line(text, &used, &room, p->field_names[k], p->field_values[k]);
    if (!text) return no_memory(err);
  }
  fv_status st = fv_sha256_bytes(text, used, hex, err);
  free(text);
  return st;
}

/* ---- one sample in one sweep ---- */

int64_t fv_study_seed(const fv_study *s, size_t i) {
  return (int64_t)(fv_seed_for((uint64_t)s->seed, s->pairs.list[i].sample) & 0xffffffffu);
}

bool fv_study_excludes(fv_status st) {
  return st == FV_EFORMAT || st == FV_ESHAPE || st == FV_EIO || st == FV_ENOTFOUND || st == FV_EUNSUPPORTED ||
         st == FV_EUSAGE;
}

/* What a sweep needs and a sample lacks. */
static const char *missing(const fv_study_sweep *w, const fv_pair *p, const fv_pair *answers) {
  for (size_t k = 0; k < w->corrupt.count; k++) {
    if (strcmp(w->corrupt.items[k], "image") == 0 && !p->corrupt_image) return "corrupt_image";
    if (strcmp(w->corrupt.items[k], "question") == 0 && !p->corrupt_question) return "corrupt_question";
  }
  return (w->answers || w->target) && !answers->correct ? "correct answer" : NULL;
}

/* A sweep that no sample can be used in, and a selection that leaves none. */
static fv_status check_needs(const fv_study *s, const fv_study_sweep *w, fv_error *err) {
  const char *lacks = NULL;
  for (size_t i = 0; i < s->pairs.count; i++)
    if (!(lacks = missing(w, &s->pairs.list[i], &s->pairs.list[i]))) return FV_OK;
  const yaml_node_t *at = fv_yaml_get(s->yaml, w->at,
                                      strncmp(lacks, "corrupt", 7) == 0 ? "corrupt"
                                      : w->target                       ? "target"
                                                                        : "answers");
  return fv_yaml_fail(s->yaml, at, err, "no sample has a %s, which the sweep \"%s\" needs", lacks, w->name);
}

fv_status fv_study_check_needs(const fv_study *s, fv_error *err) {
  fv_status st = FV_OK;
  bool any = !s->require_right;
  for (size_t i = 0; i < s->pairs.count; i++) any |= s->pairs.list[i].correct != NULL;
  if (!any)
    st = fv_yaml_fail(s->yaml, fv_yaml_get(s->yaml, fv_yaml_root(s->yaml), "require_right"), err,
                      "no sample has a correct answer, which require_right needs");
  for (size_t i = 0; i < s->nsweeps && !st; i++) st = check_needs(s, &s->sweeps[i], err);
  return st;
}

void fv_sample_options_release(fv_sample_options *o) {
  fv_texts_release(&o->corrupt);
  *o = (fv_sample_options){0};
}

fv_status fv_sample_options_make(const fv_study *s, const fv_study_sweep *w, size_t i, fv_sample_options *out,
                                 fv_error *err) {
  const fv_pair *p = &s->pairs.list[i], *answers = w && w->pair_of ? &s->pairs.list[w->pair_of[i]] : p;
  static const fv_pillow versions[] = {FV_PILLOW_13, FV_PILLOW_12_2, FV_PILLOW_12};
  *out = (fv_sample_options){.correct = answers->correct, .incorrect = answers->incorrect};
  fv_input_defaults(&out->input);
  out->input.image = p->image, out->input.question = p->question, out->input.prompt = p->prompt;
  out->input.exif = s->exif, out->input.pillow = versions[s->pillow];
  size_t n = w ? w->corrupt.count : 0;
  if (!w || (out->missing = missing(w, p, answers))) return FV_OK;
  if (!(out->corrupt.items = fv_alloc(n, sizeof *out->corrupt.items))) return no_memory(err);
  for (size_t k = 0; k < n; k++) {
    const char *kind = w->corrupt.items[k];
    bool image = strcmp(kind, "image") == 0, question = strcmp(kind, "question") == 0;
    const char *value = image ? p->corrupt_image : p->corrupt_question;
    char *text = image || question ? fv_format("%s:%s", kind, value) : fv_strdup(kind);
    if (!text) return no_memory(err);
    out->corrupt.items[out->corrupt.count++] = text;
  }
  return FV_OK;
}

void fv_study_patch_options(const fv_study *s, const fv_study_sweep *w, const fv_sample_options *o, size_t i,
                            size_t memory, fv_patch_options *out) {
  fv_patch_defaults(out);
  out->input = o->input, out->sample = s->pairs.list[i].sample;
  out->corrupt = (const char *const *)o->corrupt.items, out->ncorrupt = o->corrupt.count;
  out->site = (const char *const *)w->site.items, out->nsite = w->site.count;
  out->heads = w->heads, out->rows = w->rows, out->layers = w->layers;
  out->window = w->window, out->draws = w->draws, out->noise = w->direction == 1, out->pad_attended = w->pad_attended;
  out->llava_hs_into_module = w->hs_into_module, out->keep_degenerate = s->keep_degenerate;
  out->correct = o->correct, out->incorrect = o->incorrect;
  out->stream = s->rng ? FV_STREAM_NUMPY : FV_STREAM_TORCH, out->seed = fv_study_seed(s, i);
  out->memory = memory, out->check = s->check;
}

void fv_study_trace_options(const fv_study *s, const fv_study_sweep *w, const fv_sample_options *o, size_t i,
                            size_t memory, fv_trace_options *out) {
  fv_trace_defaults(out);
  out->input = o->input, out->sample = s->pairs.list[i].sample;
  out->corrupt = (const char *const *)o->corrupt.items, out->ncorrupt = o->corrupt.count;
  out->restore = (const char *const *)w->site.items, out->nrestore = w->site.count;
  out->window = w->window, out->draws = w->draws, out->layer_start = w->layer_start, out->redraw = w->redraw;
  out->target = w->target ? o->correct : NULL;
  out->stream = s->rng ? FV_STREAM_NUMPY : FV_STREAM_TORCH, out->seed = fv_study_seed(s, i);
  out->memory = memory, out->check = s->check;
}

fv_status fv_study_sweep_cost(const fv_study *s, const fv_model *model, const fv_study_sweep *w, size_t i,
                              size_t memory, fv_cost *cost, fv_error *err) {
  fv_sample_options o;
  *cost = (fv_cost){0};
  fv_status st = fv_sample_options_make(s, w, i, &o, err);
  if (!st && o.missing) st = fv_fail(err, FV_EFORMAT, "sample \"%s\" has no %s", s->pairs.list[i].sample, o.missing);
  if (!st && w->kind == FV_STUDY_PATCH) {
    fv_patch_options p;
    fv_study_patch_options(s, w, &o, i, memory, &p);
    st = fv_patch_cost(model, &p, cost, err);
  } else if (!st) {
    fv_trace_options t;
    fv_study_trace_options(s, w, &o, i, memory, &t);
    st = fv_trace_cost(model, &t, cost, err);
  }
  fv_sample_options_release(&o);
  return st;
}
