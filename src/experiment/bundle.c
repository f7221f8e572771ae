#include "experiment/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/module_states.h"
#include "model/loaded.h"

/* Who wants a run's logits. series -1: as the clean run; cell -1: as the corrupted run of the series. */
typedef struct reader {
  fv_sweep *sweep;
  int series;
  int64_t cell;
  int next; /* of the same run, -1: the last */
} reader;

/* A run that nothing is written into, and the one before it in its line of descent, or -1. */
typedef struct known_input {
  const fv_input *input;
  int run, parent;
} known_input;

/* A corrupted run: of another input when edit is NULL. */
typedef struct known_corrupted {
  int clean, run;
  const char *edit;
  fv_rng_stream stream;
  int64_t seed, draw;
} known_corrupted;

/* A patched run: what is written, from where, into what. */
typedef struct known_cell {
  int parent, source, run; /* source: of states into a module, ~source. run -1: this place of the table is free */
  int place;               /* in `places` */
  int64_t row, head, window;
} known_cell;

struct fv_bundle {
  const fv_model *model;
  bool only_cost;
  fv_wave *wave;
  fv_sweep **sweeps;
  int *first; /* per run: its first reader, or -1 */
  reader *readers;
  known_input *inputs;
  known_corrupted *corrupted;
  const fv_selection **places; /* distinct ones, but for their rows */
  known_cell *cells;           /* open addressing; cells_room is a power of two, or 0 */
  size_t nsweeps, sweeps_room, first_room, nreaders, readers_room, ninputs, inputs_room, ncorrupted, corrupted_room;
  size_t nplaces, places_room, ncells, cells_room;
  int64_t checked;
};

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the runs"); }

fv_status fv_bundle_new(const fv_model *model, size_t memory, fv_bundle **out, fv_error *err) {
  fv_wave_options options = {.memory = memory, .threaded = true};
  fv_bundle *b = *out = fv_alloc(1, sizeof *b);
  if (!b) return no_memory(err);
  b->model = model;
  fv_status st = fv_wave_new(model, &options, &b->wave, err);
  if (st) fv_bundle_free(b), *out = NULL;
  return st;
}

void fv_bundle_free(fv_bundle *b) {
  if (!b) return;
  fv_wave_free(b->wave);
  free(b->sweeps), free(b->first), free(b->readers), free(b->inputs), free(b->corrupted), free(b->places);
  free(b->cells), free(b);
}

void fv_bundle_only_cost(fv_bundle *b) { b->only_cost = true; }

/* ---- reading ---- */

/* Called by several threads for runs without children, after all others. */
static fv_status read_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  fv_bundle *b = user;
  (void)err;
  for (int i = b->first[run]; i >= 0; i = b->readers[i].next) {
    const reader *r = &b->readers[i];
    fv_sweep *s = r->sweep;
    if (s->failure.status) continue;
    if (r->series < 0) {
      (void)fv_sweep_read_clean(s, logits, V, &s->failure);
      continue;
    }
    fv_sweep_series *series = &s->series[r->series];
    fv_sweep_read(s, logits, V, r->cell < 0 ? &series->corrupted : &series->cells[r->cell]);
  }
  return FV_OK;
}

static fv_status add_run(fv_bundle *b, int parent, const fv_input *input, int *run, fv_error *err) {
  fv_status st = fv_wave_run(b->wave, parent, input, run, err);
  if (st) return st;
  if (!fv_grow(&b->first, &b->first_room, (size_t)*run + 1, sizeof *b->first)) return no_memory(err);
  b->first[*run] = -1;
  return FV_OK;
}

static fv_status add_reader(fv_bundle *b, int run, fv_sweep *s, int series, int64_t cell, fv_error *err) {
  if (!fv_grow(&b->readers, &b->readers_room, b->nreaders + 1, sizeof *b->readers)) return no_memory(err);
  int *last = &b->first[run], here = (int)b->nreaders++;
  bool alone = *last < 0;
  while (*last >= 0) last = &b->readers[*last].next; /* a clean run may be the corrupted one, too: clean comes first */
  *last = here, s->runs++;
  b->readers[here] = (reader){s, series, cell, -1};
  return alone ? fv_wave_readout(b->wave, run, read_logits, b, err) : FV_OK;
}

/* ---- what is there already ---- */

static bool same_numbers(const int64_t *a, const int64_t *b, int64_t n) {
  return (!a && !b) || (a && b && memcmp(a, b, (size_t)n * sizeof *a) == 0);
}

static bool same_pictures(const fv_model *m, const fv_input *a, const fv_input *b) {
  if (a->npictures != b->npictures || !a->pixels != !b->pixels) return false;
  if (a->pixels == b->pixels) return true;
  size_t bytes = (size_t)(a->npictures * m->plan->steps[m->plan->pixels].width) * sizeof *a->pixels;
  return memcmp(a->pixels, b->pixels, bytes) == 0;
}

static bool same_text(const fv_text *a, const fv_text *b) {
  size_t n = (size_t)a->count;
  if (a->count != b->count || a->ntexts != b->ntexts || !a->spliced != !b->spliced) return false;
  if (n > 0 && memcmp(a->ids, b->ids, n * sizeof *a->ids) != 0) return false;
  if (n > 0 && a->spliced && memcmp(a->spliced, b->spliced, n * sizeof *a->spliced) != 0) return false;
  return same_numbers(a->start, b->start, a->ntexts + 1) && same_numbers(a->stands, b->stands, a->ntexts);
}

static bool same_input(const fv_model *m, const fv_input *a, const fv_input *b) {
  bool same = same_pictures(m, a, b);
  for (int i = 0; i < m->plan->nspaces && same; i++) same = same_text(&a->texts[i], &b->texts[i]);
  return same;
}

/* Whether a run of an input is `of`, or descends from it; all do from -1. Parents come before their children. */
static bool descends(const fv_bundle *b, int run, int of) {
  for (size_t i = b->ninputs; i-- > 0 && run > of;)
    if (b->inputs[i].run == run) run = b->inputs[i].parent;
  return run == of;
}

/* The run of an input: one that is there, or a new child of one with the same picture, or else of `parent`. It is or
 * descends from `parent`, so that a clean run is read before all that is compared with it. */
static fv_status run_of_input(fv_bundle *b, const fv_input *input, int parent, int *run, fv_error *err) {
  int nearest = parent;
  for (size_t i = 0; i < b->ninputs; i++)
    if (descends(b, b->inputs[i].run, parent) && same_input(b->model, b->inputs[i].input, input))
      return *run = b->inputs[i].run, FV_OK;
  for (size_t i = 0; i < b->ninputs && nearest == parent && input->pixels; i++)
    if (descends(b, b->inputs[i].run, parent) && same_pictures(b->model, b->inputs[i].input, input))
      nearest = b->inputs[i].run;
  if (!fv_grow(&b->inputs, &b->inputs_room, b->ninputs + 1, sizeof *b->inputs)) return no_memory(err);
  fv_status st = add_run(b, nearest, input, run, err);
  if (!st) b->inputs[b->ninputs++] = (known_input){input, *run, nearest};
  return st;
}

static const known_corrupted *find_corrupted(const fv_bundle *b, const known_corrupted *like) {
  for (size_t i = 0; i < b->ncorrupted; i++) {
    const known_corrupted *k = &b->corrupted[i];
    if (k->clean == like->clean && k->draw == like->draw && k->stream == like->stream && k->seed == like->seed &&
        strcmp(k->edit, like->edit) == 0)
      return k;
  }
  return NULL;
}

static bool same_place(const fv_selection *a, const fv_selection *b) {
  return a->step == b->step && a->part == b->part && a->nheads == b->nheads && a->nspans == b->nspans &&
         (a->nheads == 0 || same_numbers(a->heads, b->heads, a->nheads)) &&
         (a->nspans == 0 || memcmp(a->spans, b->spans, (size_t)a->nspans * sizeof *a->spans) == 0);
}

static fv_status place_of(fv_bundle *b, const fv_selection *where, int *place, fv_error *err) {
  for (size_t i = 0; i < b->nplaces; i++)
    if (same_place(b->places[i], where)) return *place = (int)i, FV_OK;
  if (!fv_grow(&b->places, &b->places_room, b->nplaces + 1, sizeof *b->places)) return no_memory(err);
  *place = (int)b->nplaces;
  b->places[b->nplaces++] = where;
  return FV_OK;
}

static size_t hash_cell(const known_cell *c) {
  const int64_t parts[] = {c->parent, c->source, c->place, c->row, c->head, c->window};
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    h = (h ^ (uint64_t)parts[i]) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return (size_t)h;
}

/* Where the cell is in the table, or would be. */
static known_cell *find_cell(const fv_bundle *b, const known_cell *c) {
  size_t mask = b->cells_room - 1, i = hash_cell(c) & mask;
  for (;; i = (i + 1) & mask) {
    known_cell *k = &b->cells[i];
    if (k->run < 0 || (k->parent == c->parent && k->source == c->source && k->place == c->place && k->row == c->row &&
                       k->head == c->head && k->window == c->window))
      return k;
  }
}

/* At most half of the table is full. */
static bool make_room(fv_bundle *b) {
  if (b->cells_room >= 2 * (b->ncells + 1)) return true;
  fv_bundle larger = {.cells_room = b->cells_room ? 2 * b->cells_room : 1024};
  larger.cells = fv_alloc(larger.cells_room, sizeof *larger.cells);
  if (!larger.cells) return false;
  for (size_t i = 0; i < larger.cells_room; i++) larger.cells[i].run = -1;
  for (size_t i = 0; i < b->cells_room; i++)
    if (b->cells[i].run >= 0) *find_cell(&larger, &b->cells[i]) = b->cells[i];
  free(b->cells);
  b->cells = larger.cells, b->cells_room = larger.cells_room;
  return true;
}

/* ---- the runs of a sweep ---- */

/* The sweep that is being added. */
typedef struct adding {
  fv_bundle *b;
  fv_sweep *s;
  int clean;
} adding;

/* A cell that is about to become a run: row and head are indices into the site's lists. */
typedef struct cell_at {
  const fv_sweep_site *site;
  size_t layer;
  int64_t row, head;
  int place;
} cell_at;

static fv_status add_corrupted(const adding *a, size_t c, int *run, fv_error *err) {
  const fv_corruption *how = &a->s->corruptions[c];
  if (!how->edit) return run_of_input(a->b, a->s->inputs[c], a->clean, run, err);
  fv_status st = add_run(a->b, a->clean, NULL, run, err);
  return st ? st : fv_wave_do(a->b->wave, *run, how->edit, -1, err);
}

static fv_status write_cell(const adding *a, int run, int source, const fv_selection *where, const cell_at *p,
                            fv_error *err) {
  fv_selection one = *where;
  int64_t row = p->site->rows[p->row], head = p->site->heads ? p->site->heads[p->head] : 0;
  one.rows = &row, one.nrows = 1, one.all_rows = false;
  if (p->site->heads) one.width /= one.nheads, one.heads = &head, one.nheads = 1, one.all_heads = false;
  fv_edit_options edit = {.op = "replace", .at = &one, .source = source};
  if (p->site->states) {
    edit.source = -1, edit.values_rows = 1;
    edit.values = p->site->states + (where->layer * p->site->nrows + p->row) * one.width;
  }
  return fv_wave_edit(a->b->wave, run, &edit, err);
}

static fv_status write_window(const adding *a, int run, int source, const cell_at *p, fv_error *err) {
  const fv_selection *at = &p->site->cells[p->layer];
  if (at->layer < 0) return write_cell(a, run, source, at, p, err);
  int64_t lo = at->layer - a->s->o.window / 2, hi = at->layer + (a->s->o.window + 1) / 2;
  fv_status st = FV_OK;
  for (size_t k = 0; k < p->site->nall && !st; k++) {
    const fv_selection *other = &p->site->all[k];
    if (other->layer >= lo && other->layer < hi) st = write_cell(a, run, source, other, p, err);
  }
  return st;
}

static fv_status add_cell(const adding *a, int parent, int source, int series, const cell_at *p, int64_t cell,
                          fv_error *err) {
  known_cell like = {.parent = parent,
                     .source = a->s->o.llava_hs_into_module ? ~source : source,
                     .place = p->place,
                     .row = p->site->rows[p->row],
                     .head = p->site->heads ? p->site->heads[p->head] : -1,
                     .window = a->s->o.window};
  if (!make_room(a->b)) return no_memory(err);
  known_cell *known = find_cell(a->b, &like);
  int run = known->run;
  fv_status st = FV_OK;
  if (run < 0) {
    st = add_run(a->b, parent, NULL, &run, err);
    if (!st) st = write_window(a, run, source, p, err);
    if (!st) like.run = run, *known = like, a->b->ncells++;
  }
  return st ? st : add_reader(a->b, run, a->s, series, cell, err);
}

/* All cells of a series. With fresh noise for every cell the order is that of the draws: rows outside, layers inside.
 */
static fv_status add_cells(const adding *a, size_t c, int series, int corrupted, fv_error *err) {
  fv_sweep *s = a->s;
  bool fresh = s->o.redraw && s->corruptions[c].noise;
  int64_t base = 0;
  fv_status st = FV_OK;
  for (size_t i = 0; i < s->o.nsite && !st; i++) {
    const fv_sweep_site *site = &s->sites[i];
    int *places = fv_alloc(site->ncells, sizeof *places);
    if (!places) return no_memory(err);
    for (size_t layer = 0; layer < site->ncells && !st; layer++)
      st = place_of(a->b, &site->cells[layer], &places[layer], err);
    for (int64_t row = 0; row < site->nrows; row++)
      for (size_t layer = 0; layer < site->ncells; layer++)
        for (int64_t head = 0; head < site->nheads && !st; head++) {
          cell_at p = {site, layer, row, head, places[layer]};
          int from = corrupted;
          int64_t cell = base + ((int64_t)layer * site->nrows + row) * site->nheads + head;
          if (fresh) st = add_corrupted(a, c, &from, err), s->runs++;
          if (!st) st = add_cell(a, s->o.noise ? a->clean : from, s->o.noise ? from : a->clean, series, &p, cell, err);
        }
    free(places);
    base += (int64_t)site->ncells * site->nrows * site->nheads;
  }
  return st;
}

static fv_status add_series(const adding *a, size_t c, int64_t draw, int corrupted, fv_error *err) {
  fv_sweep *s = a->s;
  int index = (int)s->nseries;
  fv_sweep_series *grown = realloc(s->series, (s->nseries + 1) * sizeof *grown);
  if (!grown) return no_memory(err);
  s->series = grown;
  s->series[s->nseries++] =
      (fv_sweep_series){.corrupt = c, .draw = draw, .cells = fv_alloc((size_t)s->ncells, sizeof(fv_sweep_value))};
  if (!s->series[index].cells) return no_memory(err);
  fv_status st = add_reader(a->b, corrupted, s, index, -1, err);
  return st ? st : add_cells(a, c, index, corrupted, err);
}

/* All draws of a corruption. Those of an edit are shared with another sweep if it has drawn as many, and in the same
 * order: noise depends on what was drawn before it. */
static fv_status add_corruption(const adding *a, size_t c, fv_error *err) {
  fv_bundle *b = a->b;
  const fv_sweep *s = a->s;
  const fv_corruption *how = &s->corruptions[c];
  bool fresh = s->o.redraw && how->noise;
  known_corrupted like = {a->clean, -1, how->edit, s->o.stream, s->o.seed, (how->noise ? s->o.draws : 1) - 1};
  bool shared = how->edit && !fresh && find_corrupted(b, &like);
  fv_status st = fv_wave_seed(b->wave, s->o.stream, s->o.seed, err);
  for (int64_t d = 0, draws = like.draw + 1; d < draws && !st; d++) {
    like.draw = d;
    if (shared)
      like.run = find_corrupted(b, &like)->run;
    else
      st = add_corrupted(a, c, &like.run, err);
    if (!st && !shared && how->edit && !fresh) {
      if (!fv_grow(&b->corrupted, &b->corrupted_room, b->ncorrupted + 1, sizeof *b->corrupted)) return no_memory(err);
      b->corrupted[b->ncorrupted++] = like;
    }
    if (!st) st = add_series(a, c, d, like.run, err);
  }
  return st;
}

fv_status fv_bundle_add(fv_bundle *b, fv_sweep *s, fv_error *err) {
  adding a = {b, s, -1};
  fv_error own = {0};
  if (!fv_grow(&b->sweeps, &b->sweeps_room, b->nsweeps + 1, sizeof *b->sweeps)) return no_memory(err);
  b->sweeps[b->nsweeps++] = s;
  fv_status st = run_of_input(b, s->clean_input, -1, &a.clean, &own);
  if (!st) st = add_reader(b, a.clean, s, -1, -1, &own);
  if (!st && s->o.llava_hs_into_module) st = fv_module_states_read(s, !b->only_cost, &own);
  for (size_t c = 0; c < s->o.ncorrupt && !st; c++) st = add_corruption(&a, c, &own);
  fv_module_states_forget(s); /* the edits have their own copies */
  s->failure = own;
  return st ? fv_fail(err, st, "%s", own.text) : FV_OK;
}

/* ---- computing ---- */

fv_status fv_bundle_cost(fv_bundle *b, fv_cost *out, fv_error *err) { return fv_wave_cost(b->wave, out, err); }

fv_status fv_bundle_compute(fv_bundle *b, const fv_progress *progress, fv_error *err) {
  const fv_sweep *strictest = NULL;
  for (size_t i = 0; i < b->nsweeps; i++)
    if (b->sweeps[i]->o.check > (strictest ? strictest->o.check : 0.0)) strictest = b->sweeps[i];
  fv_status st = fv_wave_compute(b->wave, progress, err);
  if (st || !strictest) return st;
  return fv_wave_check(b->wave, strictest->o.check, (uint64_t)strictest->o.seed, &b->checked, err);
}

int64_t fv_bundle_checked(const fv_bundle *b) { return b->checked; }

fv_status fv_sweep_alone(const fv_model *model, fv_sweep *s, const fv_progress *progress, fv_cost *cost,
                         int64_t *checked, fv_error *err) {
  fv_bundle *b;
  fv_status st = fv_bundle_new(model, s->o.memory, &b, err);
  if (st) return st;
  if (!checked) fv_bundle_only_cost(b);
  st = fv_bundle_add(b, s, err);
  if (!st && checked) st = fv_bundle_compute(b, progress, err);
  if (!st && s->failure.status) st = fv_fail(err, s->failure.status, "%s", s->failure.text);
  if (!st) st = fv_bundle_cost(b, cost, err);
  cost->runs = s->runs;
  if (!st && checked) *checked = b->checked;
  fv_bundle_free(b);
  return st;
}
