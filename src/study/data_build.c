/* The table of builders, and what they share. */
#include "study/data_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"

static const struct {
  fv_data_kind kind;
  fv_data_builder *build;
} builders[] = {
    {{"fer", "facial expressions: a folder per emotion", "images"}, fv_data_fer},
    {{"mit-states", "MIT-States: a folder per adjective and noun", "images"}, fv_data_mit_states},
    {{"svo", "SVO-Probes: a table of triplets and a folder with map.tsv", "table images"}, fv_data_svo},
    {{"coco-qa", "COCO-QA: a table of questions and the COCO pictures", "table images"}, fv_data_coco_qa},
    {{"clevr", "CLEVR: a table of question lists and the pictures", "table images"}, fv_data_clevr},
    {{"cifar10", "CIFAR-10: batches, written as PNG files", "batches images"}, fv_data_cifar10},
};
enum { NBUILDERS = sizeof builders / sizeof *builders };

const fv_data_kind *fv_data_kind_at(size_t i) { return i < NBUILDERS ? &builders[i].kind : NULL; }

static fv_status check_needs(const fv_data_options *o, const fv_data_kind *k, fv_error *err) {
  const struct {
    const char *name, *value;
  } options[] = {{"table", o->table}, {"images", o->images}, {"batches", o->batches}};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    bool needed = strstr(k->needs, options[i].name) != NULL;
    if (needed && !options[i].value)
      return fv_fail(err, FV_EUSAGE, "%s needs --%s (%s)", k->name, options[i].name, k->summary);
    if (!needed && options[i].value) return fv_fail(err, FV_EUSAGE, "%s takes no --%s", k->name, options[i].name);
  }
  const struct {
    const char *option, *kind;
    bool given;
  } only[] = {{"prompts", "svo", o->prompts != NULL},
              {"words", "coco-qa", o->words > 0},
              {"gray", "cifar10", o->gray},
              {"train", "cifar10", o->train}};
  for (size_t i = 0; i < sizeof only / sizeof *only; i++)
    if (only[i].given && strcmp(only[i].kind, k->name) != 0)
      return fv_fail(err, FV_EUSAGE, "--%s belongs to %s, not to %s", only[i].option, only[i].kind, k->name);
  if (o->limit > 0 && strcmp(k->needs, "images") == 0)
    return fv_fail(err, FV_EUSAGE, "--limit would leave whole folders out of %s; `fovea data select` takes parts",
                   k->name);
  return FV_OK;
}

fv_status fv_data_build(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  size_t k = 0;
  *out = (fv_pairs){0};
  while (k < NBUILDERS && strcmp(builders[k].kind.name, o->kind) != 0) k++;
  if (strcmp(o->kind, "coco") == 0)
    return fv_fail(err, FV_EUNSUPPORTED,
                   "coco (samples from COCO instance annotations) is not available in this version; coco-qa is");
  if (k == NBUILDERS)
    return fv_fail(err, FV_EUSAGE,
                   "there is no data set \"%s\"; fer, mit-states, svo, coco-qa, clevr, cifar10 are known", o->kind);
  fv_status st = check_needs(o, &builders[k].kind, err);
  if (!st) st = builders[k].build(o, out, err);
  if (!st && out->count == 0 && out->nexcluded == 0)
    st = fv_fail(err, FV_EFORMAT, "%s: %s has no %s", o->kind, o->table ? o->table : o->images,
                 o->words > 0 ? "question of so many words" : "sample");
  if (!st && out->count == 0)
    st = fv_fail(err, FV_EFORMAT, "%s: no sample is left; %zu are excluded, the first: %s: %s", o->kind, out->nexcluded,
                 out->excluded[0].name, out->excluded[0].reason);
  const fv_pair *first = NULL, *second;
  if (!st) st = fv_pairs_repeated(out, &first, &second, err);
  if (!st && first)
    st = fv_fail(err, FV_EFORMAT, "%s: two rows give the sample \"%.200s\"; names are unique", o->kind, first->sample);
  if (st) fv_pairs_release(out);
  return st;
}

fv_status fv_pairs_add_cells(fv_pairs *out, const char *sample, const fv_pair_cells *c, fv_pair **pair, fv_error *err) {
  fv_pair *p;
  fv_status st = fv_pairs_add(out, sample, &p, err);
  if (st) return st;
  const struct {
    char **at;
    const char *text;
  } cells[] = {{&p->image, c->image},
               {&p->question, c->question},
               {&p->corrupt_image, c->corrupt_image},
               {&p->corrupt_question, c->corrupt_question},
               {&p->correct, c->correct},
               {&p->incorrect, c->incorrect},
               {&p->group, c->group},
               {&p->label, c->label}};
  for (size_t i = 0; i < sizeof cells / sizeof *cells && !st; i++) st = fv_pair_set(cells[i].at, cells[i].text, err);
  p->correct_first = c->correct_first;
  if (pair) *pair = p;
  return st;
}

fv_status fv_folder_exclude(const fv_folder *f, const char *name, fv_pairs *out, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t i = 0; i < f->count && !st; i++) {
    out->nread++;
    if (!f->reasons[i]) continue;
    char *where = fv_format("%s/%s", name, f->names[i]);
    st = where ? fv_pairs_exclude(out, where, f->reasons[i], err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(where);
  }
  return st;
}

fv_status fv_exclude_line(fv_pairs *out, const char *table, int64_t line, const char *detail, const char *reason,
                          fv_error *err) {
  char *where = fv_format("%s line %lld%s%s%s", table, (long long)line, detail ? " (" : "", detail ? detail : "",
                          detail ? ")" : "");
  fv_status st = where ? fv_pairs_exclude(out, where, reason, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(where);
  return st;
}
