#include "fovea/attend.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/answer_rows.h"
#include "fovea/wave.h"
#include "model/loaded.h"

void fv_attend_defaults(fv_attend_options *o) {
  *o = (fv_attend_options){0};
  fv_input_defaults(&o->input);
}

/* One call of fv_attend_measure. */
typedef struct gather {
  const fv_model *model;
  const fv_attend_options *o;
  fv_input *input;
  char site[256];     /* the address, with layers */
  fv_selection *sels; /* one per layer that is read, all heads, the chosen rows */
  size_t nsels;
  float **read;             /* per selection [rows, H, S], or NULL */
  bool *named;              /* per selection: the address names it */
  int key_space;            /* of the keys */
  int64_t S, H;             /* keys, heads */
  int64_t *keys, nkeys;     /* those of the map or matrix */
  double *together;         /* per chosen row, how many rows a map that it adds to is the mean of */
  int64_t (*wanted)[2];     /* selection, head */
  size_t nwanted, capacity; /* of `wanted` */
} gather;

static void gather_release(gather *g) {
  for (size_t i = 0; i < g->nsels; i++) {
    if (g->read) free(g->read[i]);
    fv_selection_release(&g->sels[i]);
  }
  free(g->read), free(g->named), free(g->sels), free(g->keys), free(g->wanted), free(g->together);
  fv_input_free(g->input);
}

/* ---- the site ---- */

static bool sees_patches(const gather *g, int space) {
  const fv_plan *p = g->model->plan;
  return p->spaces[space].patch_row >= 0 || p->spaces[space].spliced >= 0;
}

static int key_space_of(const gather *g, const fv_selection *s) {
  const fv_plan *p = g->model->plan;
  return p->steps[p->steps[s->step].in[1]].space;
}

static void release_all(fv_selection *sels, size_t n) {
  for (size_t i = 0; i < n; i++) fv_selection_release(&sels[i]);
  free(sels);
}

/* Whether "STACK.*.SITE" exists and, if asked, has patches as keys. */
static bool offers(gather *g, const char *stack, const char *site, bool patches) {
  fv_selection *sels;
  size_t n;
  if (!stack) return false;
  snprintf(g->site, sizeof g->site, "%s.*.%s", stack, site);
  if (fv_address_resolve(g->model, g->input, g->site, &sels, &n, NULL)) return false;
  bool yes = n > 0 && sels[0].head_width > 0 && (!patches || sees_patches(g, key_space_of(g, &sels[0])));
  release_all(sels, n);
  return yes;
}

static fv_status choose_site(gather *g, fv_error *err) {
  const char *question = fv_model_question_stack(g->model), *picture = fv_model_picture_stack(g->model);
  if (g->o->site) {
    if (strpbrk(g->o->site, "#@:"))
      return fv_fail(err, FV_EUSAGE, "the site \"%s\": heads and rows are chosen by lists of their own", g->o->site);
    const char *tool;
    return fv_address_canonical(g->model, g->o->site, g->site, sizeof g->site, &tool, err);
  }
  if (offers(g, question, "cross.pattern", true) || offers(g, question, "attn.pattern", true) ||
      offers(g, picture, "attn.pattern", false) || offers(g, question, "attn.pattern", false))
    return FV_OK;
  return fv_fail(err, FV_ENOTFOUND, "%s: there is no attention that this input reaches", fv_model_path(g->model));
}

/* The ROWS list of the query rows. */
static fv_status choose_rows(const gather *g, const fv_selection *s, char *out, size_t room, fv_error *err) {
  const fv_plan *p = g->model->plan;
  int space = p->steps[s->step].space;
  if (g->o->rows && strcmp(g->o->rows, "answer") == 0) {
    int64_t first, last;
    const char *question = fv_model_question_stack(g->model);
    if (!g->o->correct) return fv_fail(err, FV_EUSAGE, "rows \"answer\" need the answer, which is not given");
    if (!question || !s->row_stack || g->model->question_space != space)
      return fv_fail(err, FV_EUSAGE, "rows \"answer\" are those of the question; %s has other rows", g->site);
    int32_t id = -1;
    fv_status st =
        strncmp(g->o->correct, "id:", 3) == 0 ? fv_model_answer_id(g->model, g->o->correct, &id, err) : FV_OK;
    if (!st) st = fv_answer_rows(g->input, g->o->correct, id, &first, &last, err);
    if (!st && first < 0)
      st = fv_fail(err, FV_ENOTFOUND, "the answer \"%s\" is not in the question \"%s\"", g->o->correct,
                   fv_input_text(g->input));
    snprintf(out, room, "%" PRId64, first);
    return st;
  }
  if (g->o->rows) return snprintf(out, room, "%s", g->o->rows), FV_OK;
  bool picture = p->spaces[space].patch_row >= 0 && fv_input_is_class(g->input, space, 0);
  snprintf(out, room, "%s", picture ? "cls" : p->spaces[space].spliced >= 0 ? "last" : "");
  for (int64_t i = 1, n = fv_input_pictures(g->input); picture && i < n; i++) {
    size_t used = strlen(out);
    if (room - used < 32)
      return fv_fail(err, FV_EUSAGE, "%" PRId64 " pictures are too many to take the class row of each; choose rows", n);
    snprintf(out + used, room - used, ",cls%" PRId64, i + 1);
  }
  return FV_OK;
}

/* All layers that are read, at the chosen rows: those of the address, or for an average every layer. */
static fv_status find_layers(gather *g, fv_error *err) {
  fv_selection *sels = NULL;
  size_t n = 0;
  char rows[512], address[1024];
  fv_status st = fv_address_resolve(g->model, g->input, g->site, &sels, &n, err);
  if (st) return st;
  const char *stack = g->model->plan->stacks[sels[0].stack].name;
  if (sels[0].part != FV_PART_PATTERN)
    st = fv_fail(err, FV_EUSAGE, "%s is no attention pattern; name one, as %s.*.attn.pattern", g->site, stack);
  if (!st) st = choose_rows(g, &sels[0], rows, sizeof rows, err);
  if (!st) {
    if (g->o->average)
      snprintf(address, sizeof address, "%s.*.%s%s%s", stack, sels[0].site, *rows ? "@" : "", rows);
    else
      snprintf(address, sizeof address, "%s%s%s", g->site, *rows ? "@" : "", rows);
    st = fv_address_resolve(g->model, g->input, address, &g->sels, &g->nsels, err);
  }
  if (!st) {
    g->read = fv_alloc(g->nsels, sizeof *g->read), g->named = fv_alloc(g->nsels, sizeof *g->named);
    if (!g->read || !g->named) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  for (size_t i = 0; i < g->nsels && !st; i++)
    for (size_t k = 0; k < n; k++) g->named[i] |= sels[k].layer == g->sels[i].layer;
  release_all(sels, n);
  if (!st) g->key_space = key_space_of(g, &g->sels[0]), g->S = g->sels[0].head_width, g->H = g->sels[0].nheads;
  return st;
}

/* ---- heads ---- */

static fv_status want(gather *g, int64_t layer, int64_t head, fv_error *err) {
  for (size_t i = 0; i < g->nsels; i++) {
    if (g->sels[i].layer != layer || !g->named[i]) continue;
    if (head < 0 || head >= g->H)
      return fv_fail(err, FV_ENOTFOUND, "L%" PRId64 "H%" PRId64 ": there are heads 0..%" PRId64, layer, head, g->H - 1);
    if (!fv_grow(&g->wanted, &g->capacity, g->nwanted + 1, sizeof *g->wanted))
      return fv_fail(err, FV_ENOMEM, "no memory");
    g->wanted[g->nwanted][0] = (int64_t)i, g->wanted[g->nwanted++][1] = head;
    return FV_OK;
  }
  return fv_fail(err, FV_ENOTFOUND, "L%" PRId64 "H%" PRId64 ": %s has no layer %" PRId64, layer, head, g->site, layer);
}

/* "L5H3,L3H0" */
static fv_status want_named(gather *g, fv_error *err) {
  const char *s = g->o->heads;
  fv_status st = FV_OK;
  if (g->o->layers)
    return fv_fail(err, FV_EUSAGE, "heads named as L5H3 say their layers themselves; leave the list of layers out");
  while (!st) {
    int64_t layer, head;
    int used = 0;
    if (sscanf(s, "L%7" SCNd64 "H%7" SCNd64 "%n", &layer, &head, &used) != 2 || layer < 0 || head < 0 ||
        (s[used] && s[used] != ','))
      return fv_fail(err, FV_EUSAGE, "heads \"%s\": expected names as L5H3,L3H0 or numbers", g->o->heads);
    st = want(g, layer, head, err);
    s += used;
    if (!*s) break;
    s++;
  }
  return st;
}

static fv_status want_lists(gather *g, fv_error *err) {
  const char *layers = g->o->layers ? g->o->layers : "*", *heads = g->o->heads ? g->o->heads : "*";
  int64_t *l = NULL, *h = NULL, nl, nh, L = g->model->plan->stacks[g->sels[0].stack].layers;
  if (L == 0) L = 1;
  fv_status st = fv_numbers_parse(layers, strlen(layers), L, "layers", &l, &nl, err);
  if (!st) st = fv_numbers_parse(heads, strlen(heads), g->H, "heads", &h, &nh, err);
  for (int64_t i = 0; !st && i < nl; i++) {
    bool there = false;
    for (size_t k = 0; k < g->nsels; k++) there |= g->named[k] && g->sels[k].layer == l[i];
    if (!there && !g->o->layers) continue; /* the address names fewer layers */
    for (int64_t k = 0; !st && k < nh; k++) st = want(g, l[i], h[k], err);
  }
  free(l), free(h);
  return st;
}

/* ---- keys ---- */

/* The picture's class row, also where it stands among the rows of a text. */
static bool is_class_key(const gather *g, int64_t s) {
  const fv_space *space = &g->model->plan->spaces[g->key_space];
  if (space->spliced < 0) return fv_input_is_class(g->input, g->key_space, s);
  int64_t row = fv_input_spliced(g->input, g->key_space, s);
  return row >= 0 && fv_input_is_class(g->input, space->spliced, row);
}

/* A map is the mean of all rows; in the pictures' own stack, where no picture sees another, of its picture's rows. */
static fv_status count_rows(gather *g, fv_error *err) {
  const fv_plan *p = g->model->plan;
  const fv_selection *s = &g->sels[0];
  bool apart = fv_space_of_picture(&p->spaces[g->key_space]) && p->steps[s->step].space == g->key_space;
  size_t n = (size_t)fv_input_pictures(g->input);
  int64_t *of = fv_alloc(n, sizeof *of);
  g->together = fv_alloc((size_t)s->nrows, sizeof *g->together);
  if (!of || !g->together) return free(of), fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < s->nrows && apart; i++) of[fv_input_picture_of(g->input, g->key_space, s->rows[i])]++;
  for (int64_t i = 0; i < s->nrows; i++)
    g->together[i] = (double)(apart ? of[fv_input_picture_of(g->input, g->key_space, s->rows[i])] : s->nrows);
  free(of);
  return FV_OK;
}

/* A map's patches, picture by picture, and its class rows. */
static fv_status lay_out_pictures(gather *g, fv_attend_maps *a, fv_error *err) {
  a->pictures = fv_input_pictures(g->input);
  a->cls_keys = fv_alloc((size_t)a->pictures, sizeof *a->cls_keys);
  if (!a->cls_keys) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < a->pictures; i++) a->cls_keys[i] = -1;
  for (int64_t s = 0; s < g->S; s++)
    if (is_class_key(g, s)) a->cls_keys[fv_input_picture_shown(g->input, g->key_space, s)] = s;
  if (!fv_input_grid(g->input, &a->down, &a->across) || a->pictures * a->down * a->across != g->nkeys)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: %" PRId64 " patches are no grid", g->site, g->nkeys);
  return count_rows(g, err);
}

static fv_status choose_keys(gather *g, fv_attend_maps *a, fv_error *err) {
  bool patches = false, texts = !fv_space_of_picture(&g->model->plan->spaces[g->key_space]);
  g->keys = fv_alloc((size_t)g->S, sizeof *g->keys);
  if (!g->keys) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t s = 0; s < g->S; s++) patches |= fv_input_patch(g->input, g->key_space, s) >= 0;
  a->picture = patches && (g->o->keys == FV_KEYS_AUTO || g->o->keys == FV_KEYS_IMAGE);
  if (g->o->keys == FV_KEYS_IMAGE && !patches)
    return fv_fail(err, FV_EUSAGE, "%s: its keys are not image patches", g->site);
  for (int64_t s = 0; s < g->S; s++) {
    bool patch = fv_input_patch(g->input, g->key_space, s) >= 0;
    if (a->picture ? patch : g->o->keys != FV_KEYS_TEXT || (texts && !patch)) g->keys[g->nkeys++] = s;
  }
  if (g->nkeys == 0)
    return fv_fail(err, FV_EUSAGE, "%s: all of its keys are the picture's, there is no text among them", g->site);
  return a->picture ? lay_out_pictures(g, a, err) : FV_OK;
}

/* ---- results ---- */

static char *label_of(const gather *g, const char *stack, int64_t row) {
  fv_row_info info;
  return fv_strdup(stack && fv_input_row(g->input, stack, row, &info, NULL) == FV_OK ? fv_row_label(&info) : "");
}

static fv_status label(const gather *g, fv_attend_maps *a, fv_error *err) {
  const fv_plan *p = g->model->plan;
  const char *key_stack = NULL;
  for (int i = 0; i < p->nstacks && !key_stack; i++)
    if (p->stacks[i].space == g->key_space) key_stack = p->stacks[i].name;
  a->row_index = fv_alloc((size_t)a->rows, sizeof *a->row_index);
  a->row_labels = fv_alloc((size_t)a->rows, sizeof *a->row_labels);
  a->key_index = fv_alloc((size_t)a->keys, sizeof *a->key_index);
  a->key_labels = fv_alloc((size_t)a->keys, sizeof *a->key_labels);
  bool good = a->row_index && a->row_labels && a->key_index && a->key_labels;
  for (int64_t i = 0; good && i < a->rows; i++) {
    a->row_index[i] = g->sels[0].rows[i];
    good = (a->row_labels[i] = label_of(g, g->sels[0].row_stack, a->row_index[i])) != NULL;
  }
  for (int64_t i = 0; good && i < a->keys; i++) {
    a->key_index[i] = g->keys[i];
    good = (a->key_labels[i] = label_of(g, key_stack, a->key_index[i])) != NULL;
  }
  return good ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* Adds `share` of one head of one layer to an entry. */
static void add_head(const gather *g, const fv_attend_maps *a, fv_attend_head *h, size_t sel, int64_t head,
                     double share) {
  for (int64_t t = 0; t < a->rows; t++) {
    const float *w = g->read[sel] + (t * g->H + head) * g->S;
    double other = 0.0, each = share / (a->picture ? g->together[t] : 1.0);
    int64_t to = a->picture ? 0 : t, k = 0, c = 0;
    for (int64_t s = 0; s < g->S; s++) {
      while (c < a->pictures && a->cls_keys[c] < s) c++;
      if (k < g->nkeys && g->keys[k] == s)
        h->weights[to * a->keys + k++] += each * (double)w[s];
      else if (c < a->pictures && a->cls_keys[c] == s)
        h->cls[c] += each * (double)w[s];
      else
        other += (double)w[s];
    }
    h->other[to] += share / (a->picture ? (double)a->rows : 1.0) * other;
    if (!a->picture) h->cls[t] = NAN;
  }
  for (int64_t c = 0; c < a->pictures; c++)
    if (a->cls_keys[c] < 0) h->cls[c] = NAN;
}

static fv_status allot(fv_attend_maps *a, fv_error *err) {
  int64_t out_rows = a->picture ? 1 : a->rows, classes = a->picture ? a->pictures : a->rows;
  size_t one = (size_t)(out_rows * (a->keys + 1) + classes), all;
  a->heads = fv_alloc(a->nheads, sizeof *a->heads);
  a->store = fv_mul_size(one, a->nheads, &all) ? fv_alloc(all, sizeof *a->store) : NULL;
  if (!a->heads || !a->store) return fv_fail(err, FV_ENOMEM, "no memory for %zu attention maps", a->nheads);
  for (size_t i = 0; i < a->nheads; i++) {
    fv_attend_head *h = &a->heads[i];
    h->weights = a->store + i * one;
    h->cls = h->weights + out_rows * a->keys;
    h->other = h->cls + classes;
  }
  return FV_OK;
}

static fv_status collect(const gather *g, fv_attend_maps *a, fv_error *err) {
  const fv_selection *first = &g->sels[0];
  snprintf(a->stack, sizeof a->stack, "%s", g->model->plan->stacks[first->stack].name);
  snprintf(a->site, sizeof a->site, "%s", first->site);
  a->rows = first->nrows, a->keys = g->nkeys, a->samples = 1;
  a->nheads = g->nwanted + g->o->average;
  fv_status st = label(g, a, err);
  if (!st) st = allot(a, err);
  if (st) return st;
  for (size_t i = 0; i < g->nwanted; i++) {
    a->heads[i].layer = g->sels[g->wanted[i][0]].layer, a->heads[i].head = g->wanted[i][1];
    add_head(g, a, &a->heads[i], (size_t)g->wanted[i][0], g->wanted[i][1], 1.0);
  }
  if (!g->o->average) return FV_OK;
  fv_attend_head *mean = &a->heads[a->nheads - 1];
  mean->layer = mean->head = -1;
  for (size_t s = 0; s < g->nsels; s++)
    for (int64_t h = 0; h < g->H; h++) add_head(g, a, mean, s, h, 1.0 / ((double)g->nsels * (double)g->H));
  return FV_OK;
}

static fv_status compute(gather *g, fv_error *err) {
  fv_wave_options o = {.memory = g->o->memory};
  fv_wave *w = NULL;
  int run;
  bool *used = fv_alloc(g->nsels, sizeof *used);
  fv_status st = used ? fv_wave_new(g->model, &o, &w, err) : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; used && i < g->nsels; i++) used[i] = g->o->average;
  for (size_t i = 0; used && i < g->nwanted; i++) used[g->wanted[i][0]] = true;
  if (!st) st = fv_wave_run(w, -1, g->input, &run, err);
  for (size_t i = 0; i < g->nsels && !st; i++) {
    const fv_selection *s = &g->sels[i];
    size_t floats;
    if (!used[i]) continue;
    if (!fv_mul_size((size_t)s->nrows, (size_t)s->width, &floats) || !(g->read[i] = fv_alloc(floats, sizeof **g->read)))
      st = fv_fail(err, FV_ENOMEM, "%s: no memory for its patterns; choose fewer rows", s->address);
    if (!st) st = fv_wave_read(w, run, s, g->read[i], err);
  }
  if (!st) st = fv_wave_compute(w, NULL, err);
  fv_wave_free(w);
  free(used);
  return st;
}

fv_status fv_attend_measure(const fv_model *model, const fv_attend_options *options, fv_attend_maps *out,
                            fv_error *err) {
  gather g = {.model = model, .o = options};
  fv_attend_release(out);
  fv_status st = fv_input_new(model, &options->input, &g.input, err);
  if (!st) st = choose_site(&g, err);
  if (!st) st = find_layers(&g, err);
  if (!st) st = options->heads && options->heads[0] == 'L' ? want_named(&g, err) : want_lists(&g, err);
  if (!st) st = choose_keys(&g, out, err);
  if (!st) st = compute(&g, err);
  if (!st) st = collect(&g, out, err);
  if (st) fv_attend_release(out);
  gather_release(&g);
  return st;
}
