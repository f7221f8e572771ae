/* From an edit's text or options to an fv_edit of a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for an edit"); }

/* With options.generated an edit of all rows is also one of the rows that generation appends. */
static bool reaches_new_rows(const fv_wave *w, const fv_selection *at) {
  const fv_plan *p = w->model->plan;
  return w->options.generated && at->all_rows && p->spaces[p->steps[at->step].space].generates;
}

/* Place of each of a step's H heads among those that a selection names, or -1. */
static int64_t *head_places(const fv_selection *s, int64_t H) {
  int64_t *place = fv_alloc((size_t)H, sizeof *place);
  for (int64_t h = 0; place && h < H; h++) place[h] = -1;
  for (int64_t h = 0; place && h < s->nheads; h++) place[s->heads[h]] = h;
  return place;
}

static fv_status fill_target(fv_wave *w, fv_edit *e, const fv_selection *at, fv_error *err) {
  const fv_step *s = &w->model->plan->steps[at->step];
  e->step = at->step, e->part = (fv_part)at->part, e->T = at->T, e->width = at->width;
  e->rows = fv_alloc((size_t)fv_rowset_words(at->T), sizeof *e->rows);
  e->before = fv_alloc((size_t)fv_rowset_words(at->T), sizeof *e->before);
  e->value_row = fv_alloc((size_t)at->T, sizeof *e->value_row);
  if (!e->rows || !e->before || !e->value_row || !fv_selection_flatten(at, &e->spans, &e->nspans))
    return no_memory(err);
  for (int64_t i = 0; i < at->nrows; i++) fv_rowset_add(e->rows, at->rows[i]), e->value_row[at->rows[i]] = i;
  e->every_new_row = reaches_new_rows(w, at);
  if (at->part == FV_PART_OUT) return e->whole = e->nspans == 1 && e->width == s->width, FV_OK;
  e->nheads = at->nheads, e->H = s->H, e->S = at->head_width;
  e->every_key = e->every_new_row && s->causal && at->all_features;
  e->head_index = head_places(at, s->H);
  return e->head_index ? FV_OK : no_memory(err);
}

static fv_status fill_source(fv_wave *w, fv_edit *e, const fv_edit_options *o, fv_error *err) {
  const fv_selection *at = o->at, *from = o->from ? o->from : o->at;
  if (o->source >= e->run)
    return fv_fail(err, FV_EUSAGE, "run %d cannot read run %d: a source is an earlier run", e->run, o->source);
  if (from->nrows != at->nrows || from->width != at->width)
    return fv_fail(err, FV_ESHAPE, "%s selects %lld rows x %lld, %s of the source %lld rows x %lld", at->address,
                   (long long)at->nrows, (long long)at->width, from->address, (long long)from->nrows,
                   (long long)from->width);
  if (from->part != at->part || (at->part != FV_PART_OUT && from->step != at->step))
    return fv_fail(err, FV_EUSAGE, "scores and patterns can only be replaced by those of the same site");
  int64_t T = w->runs[o->source].T[w->model->plan->steps[from->step].space];
  if (fv_selection_last_row(from) >= T)
    return fv_fail(err, FV_ESHAPE, "%s: the source run has %lld rows, row %lld is asked for", from->address,
                   (long long)T, (long long)fv_selection_last_row(from));
  if (from->part != FV_PART_OUT && fv_wave_keys(w, from->step, o->source) != from->head_width)
    return fv_fail(err, FV_ESHAPE, "%s: the selection was made for %lld keys, the source run has %lld", from->address,
                   (long long)from->head_width, (long long)fv_wave_keys(w, from->step, o->source));
  e->source = o->source, e->source_step = from->step;
  e->source_row = fv_alloc((size_t)e->T, sizeof *e->source_row);
  if (!e->source_row || !fv_selection_flatten(from, &e->source_spans, &e->nsource_spans)) return no_memory(err);
  for (int64_t i = 0; i < at->nrows; i++) e->source_row[at->rows[i]] = from->rows[i];
  if (at->part == FV_PART_OUT) return FV_OK;
  e->take_head = head_places(from, e->H);
  if (!e->take_head) return no_memory(err);
  e->source_values = fv_alloc((size_t)(at->nrows * at->width), sizeof *e->source_values);
  return e->source_values ? FV_OK : no_memory(err);
}

static fv_status fill_values(fv_edit *e, const fv_edit_options *o, fv_error *err) {
  if (o->values_rows != 1 && o->values_rows != o->at->nrows)
    return fv_fail(err, FV_ESHAPE, "%s: values have %lld rows, expected 1 or %lld", o->at->address,
                   (long long)o->values_rows, (long long)o->at->nrows);
  size_t n = (size_t)(o->values_rows * o->at->width);
  e->values = fv_alloc(n, sizeof *e->values);
  if (!e->values) return no_memory(err);
  memcpy(e->values, o->values, n * sizeof *e->values);
  e->values_rows = o->values_rows;
  bool masks = o->at->part == FV_PART_SCORES; /* scores of masked keys are -INFINITY, as they are read */
  for (size_t i = 0; i < n; i++)
    if (!isfinite(o->values[i]) && !(masks && o->values[i] == -INFINITY))
      return fv_fail(err, FV_ENONFINITE, "%s: a value to write is not finite", o->at->address);
  return FV_OK;
}

/* A source that is computed after the place it is written to cannot come from the same pass: the source run is computed
 * alone, now, and what is read from it becomes the edit's values. */
static fv_status fill_later_source(fv_wave *w, fv_edit *e, const fv_edit_options *o, fv_error *err) {
  if (o->source >= e->run)
    return fv_fail(err, FV_EUSAGE, "run %d cannot read run %d: a source is an earlier run", e->run, o->source);
  if (o->from->nrows != o->at->nrows || o->from->width != o->at->width || o->from->part != o->at->part)
    return fv_fail(err, FV_ESHAPE, "%s selects %lld rows x %lld, %s of the source %lld rows x %lld", o->at->address,
                   (long long)o->at->nrows, (long long)o->at->width, o->from->address, (long long)o->from->nrows,
                   (long long)o->from->width);
  float *values = fv_alloc((size_t)fv_selection_count(o->from), sizeof *values);
  if (!values) return no_memory(err);
  fv_status st = fv_full_read(w, o->source, o->from, values, err);
  w->runs[o->source].read_early = true;
  fv_edit_options known = {.op = o->op, .at = o->at, .source = -1, .values = values, .values_rows = o->at->nrows};
  if (!st) st = fill_values(e, &known, err);
  free(values);
  return st;
}

/* Whether two edits of one run write a common element. */
static bool overlap(const fv_edit *a, const fv_edit *b) {
  if (a->step != b->step || a->part != b->part) return false;
  bool rows = false, columns = false, heads = a->part == FV_PART_OUT;
  for (int64_t i = 0; i < fv_rowset_words(a->T); i++) rows |= (a->rows[i] & b->rows[i]) != 0;
  for (int i = 0; i < a->nspans; i++)
    for (int k = 0; k < b->nspans; k++) columns |= a->spans[i].lo < b->spans[k].hi && b->spans[k].lo < a->spans[i].hi;
  for (int64_t h = 0; h < a->H; h++) heads |= a->head_index[h] >= 0 && b->head_index[h] >= 0;
  return rows && columns && heads;
}

static fv_status add_edit(fv_wave *w, fv_edit *e, const char *address, fv_error *err) {
  fv_run *run = &w->runs[e->run];
  for (int i = run->first_own; i < run->nchain && !w->options.in_order; i++)
    if (overlap(run->chain[i], e))
      return fv_fail(
          err, FV_ECONFLICT,
          "two edits write the same element of %s; say that their order counts (--in-order) or separate them", address);
  if (run->read_early)
    return fv_fail(err, FV_EUSAGE, "run %d has been read by another run's edit already; its own edits come before",
                   e->run);
  for (int r = e->run + 1; r < w->nruns; r++)
    if (w->runs[r].parent == e->run)
      return fv_fail(err, FV_EUSAGE, "run %d already has children; edits of a run come before them", e->run);
  if (!fv_grow(&w->edits, &w->edits_room, (size_t)w->nedits + 1, sizeof *w->edits)) return no_memory(err);
  fv_edit **chain = realloc(run->chain, ((size_t)run->nchain + 1) * sizeof *chain);
  if (!chain) return no_memory(err);
  run->chain = chain;
  run->chain[run->nchain++] = e;
  w->edits[w->nedits++] = e;
  return FV_OK;
}

static fv_status check_site(const fv_op *op, const fv_selection *at, fv_error *err) {
  if (!op->on_scores || at->part == FV_PART_SCORES) return FV_OK;
  return fv_fail(err, FV_EUSAGE, "%s acts on attention scores; %s is not a scores site", op->name, at->address);
}

/* Values are given for the rows and keys that there are; rows that generation appends have none of their own. */
static fv_status check_generated(const fv_wave *w, const fv_op *op, const fv_edit_options *o, fv_error *err) {
  const fv_selection *at = o->at;
  if (!op->wants_values || !reaches_new_rows(w, at)) return FV_OK;
  bool keys = at->part != FV_PART_OUT && at->all_features && w->model->plan->steps[at->step].causal;
  if (o->source < 0 && o->values_rows == 1 && !op->draws && !keys) return FV_OK;
  return fv_fail(err, FV_EUSAGE, "%s on %s cannot reach generated rows: no values are known for them; name the rows",
                 op->name, at->address);
}

static fv_status compile(fv_wave *w, int run, const fv_op *op, const fv_edit_options *o, fv_error *err) {
  const fv_selection *at = o->at;
  fv_status st = check_site(op, at, err);
  if (st) return st;
  if (at->T != w->runs[run].T[w->model->plan->steps[at->step].space])
    return fv_fail(err, FV_EUSAGE, "%s: the selection was made for an input with %lld rows, run %d has %lld",
                   at->address, (long long)at->T, run,
                   (long long)w->runs[run].T[w->model->plan->steps[at->step].space]);
  if (at->part != FV_PART_OUT && at->head_width != fv_wave_keys(w, at->step, run))
    return fv_fail(err, FV_EUSAGE, "%s: the selection was made for an input with %lld keys, run %d has %lld",
                   at->address, (long long)at->head_width, run, (long long)fv_wave_keys(w, at->step, run));
  if (op->wants_values && (o->source < 0) == (o->values == NULL))
    return fv_fail(err, FV_EUSAGE, "%s needs either a source run or values", op->name);
  if ((st = check_generated(w, op, o, err))) return st;
  fv_edit *e = fv_alloc(1, sizeof *e);
  if (!e) return no_memory(err);
  e->op = op, e->run = run, e->source = -1, e->factor = o->factor;
  st = fill_target(w, e, at, err);
  bool later = o->source >= 0 && o->from && o->from->step > at->step;
  if (!st && op->wants_values)
    st = later ? fill_later_source(w, e, o, err) : o->source >= 0 ? fill_source(w, e, o, err) : fill_values(e, o, err);
  if (!st) st = add_edit(w, e, at->address, err);
  if (st) fv_edit_release(e);
  return st;
}

static fv_status check_run(const fv_wave *w, int run, fv_error *err) {
  if (w->computed) return fv_fail(err, FV_EUSAGE, "the wave has been computed; edits are added before");
  return run >= 0 && run < w->nruns ? FV_OK : fv_fail(err, FV_EUSAGE, "run %d does not exist", run);
}

fv_status fv_wave_edit(fv_wave *w, int run, const fv_edit_options *o, fv_error *err) {
  fv_status st = check_run(w, run, err);
  if (st) return st;
  const fv_op *op = fv_op_find(o->op, strlen(o->op));
  return op ? compile(w, run, op, o, err) : fv_fail(err, FV_EUSAGE, "there is no operation \"%s\"", o->op);
}

/* Address and the rest: the address ends at the first space outside quotes. */
static const char *end_of_address(const char *s) {
  for (bool quoted = false; *s && (quoted || *s != ' '); s++) quoted ^= *s == '"';
  return s;
}

/* "from B": B is resolved in the source's rows; it must give as many selections as A, or one for all. */
static fv_status resolve_source(fv_wave *w, int source, const char *args, const char *address, fv_selection **from,
                                size_t *n, fv_error *err) {
  *from = NULL, *n = 0;
  if (source < 0) return FV_OK;
  const char *text = strncmp(args, "from ", 5) == 0 ? args + 5 : address;
  return fv_address_resolve(w->model, w->runs[source].input, text, from, n, err);
}

static fv_status apply_text(fv_wave *w, int run, const fv_op *op, const char *address, const char *args, int source,
                            fv_error *err) {
  fv_selection *at = NULL, *from = NULL;
  size_t n = 0, nfrom = 0;
  const fv_input *input = w->runs[run].input;
  fv_status st = fv_address_resolve(w->model, input, address, &at, &n, err);
  if (!st && op == &fv_op_replace && (args[0] == '\0' || strncmp(args, "from ", 5) == 0))
    st = resolve_source(w, source, args, address, &from, &nfrom, err);
  if (!st && nfrom > 0 && nfrom != n && nfrom != 1)
    st = fv_fail(err, FV_ESHAPE, "%s means %zu places and its source %zu", address, n, nfrom);
  for (size_t i = 0; i < n && !st; i++) {
    fv_edit_options o = {.op = op->name, .at = &at[i], .source = -1, .from = nfrom ? &from[nfrom == 1 ? 0 : i] : NULL};
    fv_op_context c = {w, input, &at[i], args, source, &w->rng};
    float *owned = NULL;
    st = check_site(op, &at[i], err);
    if (!st) st = op->parse(&c, &o, &owned, err);
    if (!st) st = compile(w, run, op, &o, err);
    free(owned);
  }
  for (size_t i = 0; i < n; i++) fv_selection_release(&at[i]);
  for (size_t i = 0; i < nfrom; i++) fv_selection_release(&from[i]);
  free(at), free(from);
  return st;
}

fv_status fv_wave_do(fv_wave *w, int run, const char *edit, int source, fv_error *err) {
  fv_status st = check_run(w, run, err);
  if (!st) st = fv_check_text("edit", edit, err);
  if (st) return st;
  const char *space = edit + strcspn(edit, " ");
  const fv_op *op = fv_op_find(edit, (size_t)(space - edit));
  if (!op) {
    char known[256] = "";
    for (int i = 0; fv_op_list(i).name; i++) {
      if (i) strcat(known, ", ");
      strcat(known, fv_op_list(i).name);
    }
    return fv_fail(err, FV_EUSAGE, "edit \"%s\": there is no operation \"%.*s\"; known are %s", edit,
                   (int)(space - edit), edit, known);
  }
  const char *start = space + strspn(space, " "), *end = end_of_address(start), *args = end + strspn(end, " ");
  char *address = fv_format("%.*s", (int)(end - start), start);
  if (!address) return no_memory(err);
  st = address[0] ? apply_text(w, run, op, address, args, source, err)
                  : fv_fail(err, FV_EUSAGE, "an address is missing; the form is %s", op->args);
  free(address);
  return st ? fv_fail_prefix(err, st, "edit \"%s\"", edit) : FV_OK;
}
