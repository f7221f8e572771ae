#include "experiment/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/metrics.h"
#include "model/loaded.h"

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the runs"); }

static void release_list(fv_selection *list, size_t n) {
  for (size_t i = 0; list && i < n; i++) fv_selection_release(&list[i]);
  free(list);
}

void fv_sweep_release(fv_sweep *s) {
  for (size_t i = 0; s->corruptions && i < s->o.ncorrupt; i++) fv_corruption_release(&s->corruptions[i]);
  for (size_t i = 0; s->inputs && i < s->o.ncorrupt; i++) fv_input_free(s->inputs[i]);
  for (size_t i = 0; s->sites && i < s->o.nsite; i++) {
    fv_sweep_site *site = &s->sites[i];
    release_list(site->cells, site->ncells), release_list(site->all, site->nall);
    free(site->rows), free(site->heads);
  }
  for (size_t i = 0; i < s->nseries; i++) free(s->series[i].cells);
  fv_wave_free(s->wave);
  fv_input_free(s->clean_input);
  free(s->corruptions), free(s->inputs), free(s->sites), free(s->series), free(s->series_of), free(s->cell_of);
  free(s->clean_p), free(s->clean_log_p);
  *s = (fv_sweep){0};
}

/* ---- options to places ---- */

static fv_status check_options(const fv_sweep_options *o, fv_error *err) {
  if (o->draws < 1) return fv_fail(err, FV_EUSAGE, "draws is %lld, expected at least 1", (long long)o->draws);
  if (o->window < 1) return fv_fail(err, FV_EUSAGE, "window is %lld, expected at least 1", (long long)o->window);
  if (!(o->check >= 0.0 && o->check <= 100.0))
    return fv_fail(err, FV_EUSAGE, "check is %g, expected 0 to 100 percent", o->check);
  for (size_t i = 0; i < o->nsite; i++)
    if (strchr(o->site[i], '@'))
      return fv_fail(err, FV_EUSAGE, "%s \"%s\": rows are not given here; %s", o->option, o->site[i],
                     strcmp(o->option, "restore") == 0 ? "every row is a cell" : "the option rows chooses them");
  return FV_OK;
}

/* The address with the heads that move together. */
static fv_status with_heads(const fv_sweep_options *o, const char *address, char **out, fv_error *err) {
  bool list = o->heads && strcmp(o->heads, "each") != 0 && strcmp(o->heads, "all") != 0;
  size_t n = strcspn(address, "#:");
  if (o->heads && address[n] == '#')
    return fv_fail(err, FV_EUSAGE, "%s \"%s\" names heads, and so does the option heads \"%s\"", o->option, address,
                   o->heads);
  *out = list ? fv_format("%.*s#%s%s", (int)n, address, o->heads, address + n) : fv_strdup(address);
  return *out ? FV_OK : no_memory(err);
}

static bool has(const int64_t *list, int64_t n, int64_t value) {
  bool found = false;
  for (int64_t i = 0; i < n; i++) found |= list[i] == value;
  return found;
}

/* Leaves the layers from layer_start on that the list of layers names. */
static fv_status choose_layers(const fv_sweep *s, const char *address, fv_sweep_site *site, fv_error *err) {
  int64_t *list = NULL, n = 0;
  const fv_selection *first = &site->cells[0];
  if (first->layer < 0)
    return s->o.layers ? fv_fail(err, FV_EUSAGE, "%s \"%s\" has no layers to choose from", s->o.option, address)
                       : FV_OK;
  if (s->o.layers) {
    int64_t limit = s->model->plan->stacks[first->stack].layers;
    fv_status st = fv_numbers_parse(s->o.layers, strlen(s->o.layers), limit, "layers", &list, &n, err);
    if (st) return st;
  }
  size_t kept = 0;
  for (size_t i = 0; i < site->ncells; i++) {
    fv_selection *c = &site->cells[i];
    if (c->layer >= s->o.layer_start && (!s->o.layers || has(list, n, c->layer)))
      site->cells[kept++] = *c;
    else
      fv_selection_release(c);
  }
  free(list);
  site->ncells = kept;
  if (kept > 0) return FV_OK;
  return s->o.layers ? fv_fail(err, FV_EUSAGE, "%s \"%s\" has none of the layers %s", s->o.option, address, s->o.layers)
                     : fv_fail(err, FV_EUSAGE, "%s \"%s\" has no layer from %lld on", s->o.option, address,
                               (long long)s->o.layer_start);
}

static int by_number(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static fv_status choose_rows(const fv_sweep *s, fv_sweep_site *site, fv_error *err) {
  const char *rows = s->o.rows ? s->o.rows : "*", *stack = site->cells[0].row_stack;
  fv_status st = !s->o.rows || !stack
                     ? fv_numbers_parse(rows, strlen(rows), site->T, "rows", &site->rows, &site->nrows, err)
                     : fv_rows_parse(s->clean_input, stack, rows, &site->rows, &site->nrows, err);
  if (st) return st;
  qsort(site->rows, (size_t)site->nrows, sizeof *site->rows, by_number);
  return FV_OK;
}

static fv_status choose_heads(const fv_sweep *s, const char *address, fv_sweep_site *site, fv_error *err) {
  const fv_selection *first = &site->cells[0];
  site->nheads = 1;
  if (!s->o.heads || strcmp(s->o.heads, "each") != 0) return FV_OK;
  if (first->nheads == 0)
    return fv_fail(err, FV_EUSAGE, "%s \"%s\": %s has no heads that could be patched one by one", s->o.option, address,
                   first->site);
  site->nheads = first->nheads;
  site->heads = fv_alloc((size_t)site->nheads, sizeof *site->heads);
  if (!site->heads) return no_memory(err);
  memcpy(site->heads, first->heads, (size_t)site->nheads * sizeof *site->heads);
  qsort(site->heads, (size_t)site->nheads, sizeof *site->heads, by_number);
  return FV_OK;
}

static fv_status resolve_site(const fv_sweep *s, const char *given, fv_sweep_site *site, fv_error *err) {
  char *address = NULL;
  fv_status st = with_heads(&s->o, given, &address, err);
  if (!st) st = fv_address_resolve(s->model, s->clean_input, address, &site->cells, &site->ncells, err);
  if (st) return free(address), st;
  const fv_selection *first = &site->cells[0];
  for (size_t i = 0; i < site->ncells && !st; i++)
    if (strcmp(site->cells[i].site, first->site) != 0 || site->cells[i].stack != first->stack)
      st = fv_fail(err, FV_EUSAGE, "%s \"%s\" means several sites; give each its own", s->o.option, given);
  if (!st && first->part != 0)
    st = fv_fail(err, FV_EUSAGE, "%s \"%s\": scores and patterns are not states of rows", s->o.option, given);
  site->T = first->T;
  snprintf(site->stack, sizeof site->stack, "%.*s", (int)strcspn(first->address, "."), first->address);
  if (!st) st = choose_layers(s, given, site, err);
  if (!st) st = choose_rows(s, site, err);
  if (!st) st = choose_heads(s, given, site, err);
  first = &site->cells[0];
  if (!st && first->layer >= 0) {
    char *every = fv_format("%s.*.%s%s", site->stack, first->site, address + strcspn(address, "#:"));
    st = every ? fv_address_resolve(s->model, s->clean_input, every, &site->all, &site->nall, err) : no_memory(err);
    free(every);
  }
  free(address);
  return st;
}

/* ---- inputs ---- */

static fv_status check_pair(const fv_sweep *s, fv_error *err) {
  const char *piece = s->correct < 0 ? NULL : fv_input_piece(s->clean_input, s->correct);
  if (s->correct < 0 || s->correct != s->incorrect) return FV_OK;
  return fv_fail(
      err, FV_EUSAGE,
      "the correct and the incorrect answer are the same to the model: both are \"%s\" (id %d), or begin with "
      "it, so their logit difference is always 0",
      piece ? piece : "", s->correct);
}

/* With pad_attended the texts of all inputs get as many rows as the longest. */
static fv_status pad_inputs(fv_sweep *s, fv_error *err) {
  const char *stack = fv_model_question_stack(s->model);
  if (!s->o.pad_attended || !stack) return FV_OK;
  int64_t most = fv_input_rows(s->clean_input, stack);
  for (size_t i = 0; i < s->o.ncorrupt; i++)
    if (s->inputs[i] && fv_input_rows(s->inputs[i], stack) > most) most = fv_input_rows(s->inputs[i], stack);
  for (size_t i = 0; i <= s->o.ncorrupt; i++) {
    fv_input **in = i < s->o.ncorrupt ? &s->inputs[i] : &s->clean_input, *padded;
    if (!*in || fv_input_rows(*in, stack) == most) continue;
    fv_input_options o = i < s->o.ncorrupt ? s->corruptions[i].input : s->o.input;
    o.pad_rows = most;
    fv_status st = fv_input_new(s->model, &o, &padded, err);
    if (st) return st;
    fv_input_free(*in);
    *in = padded;
  }
  return FV_OK;
}

static fv_status check_rows(const fv_sweep *s, size_t corrupt, const fv_sweep_site *site, fv_error *err) {
  const fv_selection *first = &site->cells[0];
  int64_t T = fv_input_space_rows(s->inputs[corrupt], s->model->plan->steps[first->step].space);
  if (T == site->T) return FV_OK;
  return fv_fail(
      err, FV_ESHAPE,
      "corruption \"%s\": %s has %lld rows there and %lld in the clean input; rows can only be %s one to one",
      s->o.corrupt[corrupt], first->address, (long long)T, (long long)site->T,
      strcmp(s->o.option, "restore") == 0 ? "restored" : "patched");
}

fv_status fv_sweep_prepare(const fv_model *model, const fv_sweep_options *options, fv_sweep *s, fv_error *err) {
  *s = (fv_sweep){.model = model, .o = *options, .correct = -1, .incorrect = -1};
  fv_status st = check_options(&s->o, err);
  if (st) return s->o.ncorrupt = s->o.nsite = 0, st;
  s->corruptions = fv_alloc(s->o.ncorrupt, sizeof *s->corruptions);
  s->inputs = fv_alloc(s->o.ncorrupt, sizeof *s->inputs), s->sites = fv_alloc(s->o.nsite, sizeof *s->sites);
  if (!s->corruptions || !s->inputs || !s->sites) return no_memory(err);
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    st = fv_corruption_parse(s->o.corrupt[i], &s->o.input, &s->corruptions[i], err);
  if (!st) st = fv_input_new(model, &s->o.input, &s->clean_input, err);
  if (!st && s->o.correct) st = fv_input_answer_id(s->clean_input, s->o.correct, &s->correct, err);
  if (!st && s->o.incorrect) st = fv_input_answer_id(s->clean_input, s->o.incorrect, &s->incorrect, err);
  if (!st) st = check_pair(s, err);
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    if (!s->corruptions[i].edit) st = fv_input_new(model, &s->corruptions[i].input, &s->inputs[i], err);
  if (!st) st = pad_inputs(s, err);
  for (size_t i = 0; i < s->o.nsite && !st; i++) {
    fv_sweep_site *site = &s->sites[i];
    st = resolve_site(s, s->o.site[i], site, err);
    s->ncells += (int64_t)site->ncells * site->nrows * site->nheads;
  }
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    for (size_t k = 0; k < s->o.nsite && s->inputs[i] && !st; k++) st = check_rows(s, i, &s->sites[k], err);
  return st;
}

/* ---- runs ---- */

static void read_value(const fv_sweep *s, const float *logits, int64_t V, fv_sweep_value *out) {
  fv_metrics_compute(logits, V, s->correct, s->clean_p, s->clean_log_p, &out->m);
  out->logit_diff = s->incorrect < 0 ? NAN : logits[s->correct] - logits[s->incorrect];
}

/* The clean run, which is read first: its probabilities, and the answers that all runs are judged by. */
static fv_status read_clean(fv_sweep *s, const float *logits, int64_t V, fv_error *err) {
  s->clean_p = fv_alloc((size_t)V, sizeof *s->clean_p), s->clean_log_p = fv_alloc((size_t)V, sizeof *s->clean_log_p);
  if (!s->clean_p || !s->clean_log_p) return no_memory(err);
  s->top = 0;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[s->top]) s->top = (int32_t)v;
  if (s->correct < 0) s->correct = s->top;
  fv_status st = check_pair(s, err);
  if (st) return st;
  fv_probabilities(logits, V, s->clean_p);
  for (int64_t v = 0; v < V; v++) s->clean_log_p[v] = log(s->clean_p[v]);
  read_value(s, logits, V, &s->clean);
  return FV_OK;
}

/* Called by several threads, each for other runs. */
static fv_status read_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  fv_sweep *s = user;
  if (s->series_of[run] < 0) return read_clean(s, logits, V, err);
  fv_sweep_series *series = &s->series[s->series_of[run]];
  read_value(s, logits, V, s->cell_of[run] < 0 ? &series->corrupted : &series->cells[s->cell_of[run]]);
  return FV_OK;
}

static fv_status add_run(fv_sweep *s, int parent, const fv_input *input, int of_series, int cell, int *run,
                         fv_error *err) {
  fv_status st = fv_wave_run(s->wave, parent, input, run, err);
  if (st) return st;
  if (!fv_grow(&s->series_of, &s->series_room, (size_t)*run + 1, sizeof *s->series_of) ||
      !fv_grow(&s->cell_of, &s->cell_room, (size_t)*run + 1, sizeof *s->cell_of))
    return no_memory(err);
  s->series_of[*run] = of_series, s->cell_of[*run] = cell;
  return FV_OK;
}

static fv_status add_corrupted(fv_sweep *s, size_t c, int of_series, int *run, fv_error *err) {
  fv_status st = add_run(s, 0, s->inputs[c], of_series, -1, run, err);
  return st || !s->corruptions[c].edit ? st : fv_wave_do(s->wave, *run, s->corruptions[c].edit, -1, err);
}

/* A cell that is about to become a run: head is an index into the site's list. */
typedef struct place {
  const fv_sweep_site *site;
  size_t layer;
  int64_t row, head;
} place;

static fv_status write_place(fv_sweep *s, int run, int source, const fv_selection *where, const place *p,
                             fv_error *err) {
  fv_selection one = *where;
  int64_t row = p->row, head = p->site->heads ? p->site->heads[p->head] : 0;
  one.rows = &row, one.nrows = 1, one.all_rows = false;
  if (p->site->heads) one.width /= one.nheads, one.heads = &head, one.nheads = 1, one.all_heads = false;
  fv_edit_options edit = {.op = "replace", .at = &one, .source = source};
  return fv_wave_edit(s->wave, run, &edit, err);
}

static fv_status add_cell(fv_sweep *s, int parent, int source, int of_series, const place *p, int cell, fv_error *err) {
  int run;
  fv_status st = add_run(s, parent, NULL, of_series, cell, &run, err);
  const fv_selection *at = &p->site->cells[p->layer];
  if (!st && at->layer < 0) st = write_place(s, run, source, at, p, err);
  for (size_t k = 0; k < p->site->nall && !st; k++) {
    const fv_selection *other = &p->site->all[k];
    int64_t lo = at->layer - s->o.window / 2, hi = at->layer + (s->o.window + 1) / 2;
    if (other->layer >= lo && other->layer < hi) st = write_place(s, run, source, other, p, err);
  }
  return st ? st : fv_wave_readout(s->wave, run, read_logits, s, err);
}

/* All cells of a series. With fresh noise for every cell the order is that of the draws: rows outside, layers inside.
 */
static fv_status add_cells(fv_sweep *s, size_t c, int of_series, int corrupted, fv_error *err) {
  bool fresh = s->o.redraw && s->corruptions[c].noise;
  int64_t base = 0;
  fv_status st = FV_OK;
  for (size_t i = 0; i < s->o.nsite && !st; i++) {
    const fv_sweep_site *site = &s->sites[i];
    for (int64_t row = 0; row < site->nrows; row++)
      for (size_t layer = 0; layer < site->ncells; layer++)
        for (int64_t head = 0; head < site->nheads && !st; head++) {
          place p = {site, layer, site->rows[row], head};
          int from = corrupted;
          int64_t cell = base + ((int64_t)layer * site->nrows + row) * site->nheads + head;
          if (fresh) st = add_corrupted(s, c, of_series, &from, err);
          if (!st) st = add_cell(s, s->o.noise ? 0 : from, s->o.noise ? from : 0, of_series, &p, (int)cell, err);
        }
    base += (int64_t)site->ncells * site->nrows * site->nheads;
  }
  return st;
}

static fv_status add_series(fv_sweep *s, size_t c, int64_t draw, fv_error *err) {
  int corrupted, index = (int)s->nseries;
  fv_sweep_series *grown = realloc(s->series, (s->nseries + 1) * sizeof *grown);
  if (!grown) return no_memory(err);
  s->series = grown;
  s->series[s->nseries++] =
      (fv_sweep_series){.corrupt = c, .draw = draw, .cells = fv_alloc((size_t)s->ncells, sizeof(fv_sweep_value))};
  if (!s->series[index].cells) return no_memory(err);
  fv_status st = add_corrupted(s, c, index, &corrupted, err);
  if (!st) st = fv_wave_readout(s->wave, corrupted, read_logits, s, err);
  return st ? st : add_cells(s, c, index, corrupted, err);
}

fv_status fv_sweep_build(fv_sweep *s, fv_error *err) {
  fv_wave_options options = {.memory = s->o.memory, .threaded = true};
  int clean;
  fv_status st = fv_wave_new(s->model, &options, &s->wave, err);
  if (!st) st = add_run(s, -1, s->clean_input, -1, -1, &clean, err);
  if (!st) st = fv_wave_readout(s->wave, clean, read_logits, s, err);
  for (size_t c = 0; c < s->o.ncorrupt && !st; c++) {
    st = fv_wave_seed(s->wave, s->o.stream, s->o.seed, err);
    int64_t draws = s->corruptions[c].noise ? s->o.draws : 1;
    for (int64_t d = 0; d < draws && !st; d++) st = add_series(s, c, d, err);
  }
  return st;
}

fv_status fv_sweep_run(fv_sweep *s, const fv_progress *progress, fv_cost *cost, int64_t *checked, fv_error *err) {
  *checked = 0;
  fv_status st = fv_wave_compute(s->wave, progress, err);
  if (!st && s->o.check > 0.0) st = fv_wave_check(s->wave, s->o.check, (uint64_t)s->o.seed, checked, err);
  return st ? st : fv_wave_cost(s->wave, cost, err);
}

/* ---- results ---- */

fv_row_info fv_sweep_row(const fv_sweep *s, const fv_sweep_site *site, int64_t row) {
  fv_row_info info = {.piece = ""};
  const char *stack = site->cells[0].row_stack;
  if (stack) (void)fv_input_row(s->clean_input, stack, row, &info, NULL);
  return info;
}

float fv_sweep_effect(const fv_sweep *s, const fv_sweep_series *series, const fv_sweep_value *cell) {
  double from = series->corrupted.logit_diff, to = s->clean.logit_diff;
  if (s->o.noise) from = s->clean.logit_diff, to = series->corrupted.logit_diff;
  return to == from ? NAN : (float)((cell->logit_diff - from) / (to - from));
}

static fv_status emit_site(const fv_sweep *s, const fv_sweep_series *series, const fv_sweep_site *site,
                           const fv_sweep_value *v, fv_row *line, fv_sink sink, fv_error *err) {
  fv_status st = FV_OK;
  line->stack = site->stack, line->site = site->cells[0].site;
  for (size_t layer = 0; layer < site->ncells; layer++)
    for (int64_t row = 0; row < site->nrows; row++)
      for (int64_t head = 0; head < site->nheads && !st; head++, v++) {
        fv_row_info info = fv_sweep_row(s, site, site->rows[row]);
        line->layer = site->cells[layer].layer, line->row = site->rows[row], line->piece = info.piece;
        line->head = site->heads ? site->heads[head] : -1;
        line->prob = v->m.prob, line->logit = v->m.logit, line->kl = v->m.kl, line->rank = v->m.rank;
        line->p_diff = v->m.prob - series->corrupted.m.prob, line->logit_diff = v->logit_diff;
        line->effect = fv_sweep_effect(s, series, v);
        st = sink.row ? sink.row(sink.user, line, err) : FV_OK;
      }
  return st;
}

fv_status fv_sweep_emit(const fv_sweep *s, const char *sample, const char *answer, fv_sink sink, fv_error *err) {
  fv_status st = FV_OK;
  fv_row line;
  fv_row_defaults(&line);
  line.sample = sample, line.window = s->o.window, line.op = "replace", line.answer_id = s->correct,
  line.answer = answer, line.clean_prob = s->clean.m.prob, line.clean_logit_diff = s->clean.logit_diff;
  for (size_t i = 0; i < s->nseries; i++) {
    const fv_sweep_series *series = &s->series[i];
    const fv_sweep_value *v = series->cells;
    line.draw = series->draw, line.corrupt = s->o.corrupt[series->corrupt],
    line.corrupt_prob = series->corrupted.m.prob, line.corrupt_logit_diff = series->corrupted.logit_diff;
    for (size_t k = 0; k < s->o.nsite && !st; k++) {
      st = emit_site(s, series, &s->sites[k], v, &line, sink, err);
      v += (int64_t)s->sites[k].ncells * s->sites[k].nrows * s->sites[k].nheads;
    }
  }
  return st;
}
