#include "page.h"

#include <stdlib.h>
#include <string.h>

/* There is room for all: those of which there is one each, and every picture, corruption and site. */
enum { SINGLE = 20, NUMBERS = 3 };
typedef struct facts {
  fv_page_fact *list;
  size_t n, ntexts;
  char texts[NUMBERS][24];
} facts;

static void add(facts *f, const char *name, const char *value) {
  if (value && *value) f->list[f->n++] = (fv_page_fact){name, value};
}

static void add_count(facts *f, const char *name, int64_t value) {
  char *text = f->texts[f->ntexts++];
  snprintf(text, sizeof f->texts[0], "%lld", (long long)value);
  add(f, name, text);
}

static void add_list(facts *f, const char *name, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++) add(f, name, list[i]);
}

/* The samples of a table; what is excluded says why. *out is freed by the caller, pictures[] and names[] with it. */
static fv_status list_samples(cli_session *s, const fv_samples *samples, fv_page_sample **out, size_t *n,
                              fv_page_shot **pictures, char ***names) {
  *n = samples->count;
  *out = calloc(samples->count + samples->nexcluded + 1, sizeof **out);
  *pictures = calloc(samples->count + 1, sizeof **pictures);
  *names = calloc(samples->nexcluded + 1, sizeof **names);
  if (!*out || !*pictures || !*names) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < samples->count; i++) {
    const fv_sample *one = &samples->list[i];
    (*pictures)[i].image = one->image;
    (*out)[i] = (fv_page_sample){.name = one->name,
                                 .pictures = &(*pictures)[i],
                                 .npictures = 1,
                                 .question = one->question,
                                 .correct = one->gold,
                                 .answer_row = -1};
  }
  for (size_t i = 0; i < samples->nexcluded; i++) {
    const char *text = samples->excluded[i], *colon = strstr(text, ": ");
    char *name = (*names)[i] = strndup(text, colon ? (size_t)(colon - text) : strlen(text));
    if (!name) return fv_fail(&s->err, FV_ENOMEM, "no memory");
    size_t k = 0;
    while (k < samples->count && strcmp(samples->list[k].name, name) != 0) k++;
    if (k == samples->count) (*out)[k = (*n)++] = (fv_page_sample){.name = name, .answer_row = -1};
    (*out)[k].excluded = colon ? colon + 2 : text;
  }
  return FV_OK;
}

static void settings(const cli_session *s, const cli_page *p, facts *f) {
  const cli_args *a = s->args;
  add(f, "question", a->question ? a->question : a->prompt);
  add_list(f, "image", a->pictures.items, a->pictures.count);
  add_list(f, "corrupt", p->corrupt, p->ncorrupt);
  add_list(f, strcmp(p->kind, "trace") == 0 ? "restore" : "site", p->site, p->nsite);
  add(f, "heads", a->heads), add(f, "rows", a->rows), add(f, "layers", a->layers);
  add(f, "direction", strcmp(p->kind, "patch") == 0 ? a->direction : NULL);
  add(f, "target", a->target), add(f, "feature range", a->feature_range);
  add(f, "samples", a->samples), add(f, "images", a->images);
  add_count(f, "window", a->window);
  add_count(f, "draws", a->draws);
  add_count(f, "seed", a->seed);
  add(f, "rng", a->rng), add(f, "compute", a->compute), add(f, "pillow", a->pillow);
}

/* The pictures that were given, and what the first corruption that replaces each puts there, which is owned. */
static fv_status list_pictures(cli_session *s, const cli_page *p, fv_page_shot **out) {
  const cli_list *files = &s->args->pictures;
  if (!(*out = calloc(files->count + 1, sizeof **out))) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  for (size_t i = 0; i < files->count && !st; i++) {
    char *file = NULL;
    for (size_t k = 0; k < p->ncorrupt && !st && !file; k++)
      st = fv_corruption_picture(p->corrupt[k], i, &file, &s->err);
    (*out)[i] = (fv_page_shot){files->items[i], file};
  }
  return st;
}

fv_status page_write(cli_session *s, const char *path, const cli_page *p) {
  const cli_args *a = s->args;
  char sha256[65];
  facts f = {.list = calloc(SINGLE + a->pictures.count + p->ncorrupt + p->nsite, sizeof *f.list)};
  if (!f.list) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  const char *question = NULL;
  for (size_t i = 0; i < p->ncorrupt && !question; i++)
    if (strncmp(p->corrupt[i], "question:", 9) == 0) question = p->corrupt[i] + 9;
  fv_page_shot *pictures = NULL;
  fv_page_sample *list = NULL, one = {.npictures = a->pictures.count,
                                      .question = a->question ? a->question : a->prompt,
                                      .corrupt_question = question,
                                      .correct = p->correct,
                                      .incorrect = p->incorrect,
                                      .answer = p->answer,
                                      .answer_row = p->answer_row};
  char **names = NULL;
  size_t n = 1;
  fv_status st = fv_model_sha256(s->model, sha256, &s->err);
  if (!st) st = p->samples ? list_samples(s, p->samples, &list, &n, &pictures, &names) : list_pictures(s, p, &pictures);
  one.pictures = pictures;
  add(&f, "model", fv_model_path(s->model)), add(&f, "family", fv_model_family(s->model));
  add(&f, "model_sha256", sha256);
  settings(s, p, &f);
  add(&f, "engine", fv_model_engine(s->model)), add(&f, "version", FV_VERSION);
  fv_page page = {.title = strcmp(p->kind, "trace") == 0 ? "Causal trace" : "Activation patching",
                  .kind = p->kind,
                  .question_stack = fv_model_question_stack(s->model),
                  .facts = f.list,
                  .nfacts = f.n,
                  .samples = p->samples ? list : &one,
                  .nsamples = n};
  if (!st) st = fv_page_write(path, &page, p->table, NULL, &s->err);
  for (size_t i = 0; p->samples && names && i < p->samples->nexcluded; i++) free(names[i]);
  for (size_t i = 0; !p->samples && pictures && i < a->pictures.count; i++)
    free((char *)(uintptr_t)pictures[i].corrupt_image);
  free(pictures), free(names), free(list), free(f.list);
  return st;
}
