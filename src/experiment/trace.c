#include "fovea/trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/corruption.h"
#include "experiment/trace_maps.h"
#include "model/loaded.h"

void fv_trace_defaults(fv_trace_options *o) {
  *o = (fv_trace_options){.window = 1, .draws = 10};
  fv_input_defaults(&o->input);
}

/* What the other stacks read of the picture: the last site outside the layers of the last stack of image rows. */
static const char *picture_output(const fv_model *model, const char **stack) {
  const fv_plan *p = model->plan;
  const char *site = "";
  *stack = "";
  for (int i = 0; i < p->nsites; i++) {
    const fv_stack *s = &p->stacks[p->sites[i].stack];
    if (p->sites[i].layer < 0 && p->spaces[s->space].patch_row >= 0) *stack = s->name, site = p->sites[i].name;
  }
  return site;
}

fv_status fv_trace_choose(const fv_model *model, fv_trace_choice *out, fv_error *err) {
  const char *question = fv_model_question_stack(model), *answer = fv_model_answer_stack(model);
  const char *picture = fv_model_picture_stack(model);
  *out = (fv_trace_choice){0};
  if (!answer || !picture)
    return fv_fail(err, FV_EUSAGE, "%s: a %s model has no %s, so there is nothing to trace", fv_model_path(model),
                   fv_model_family(model), answer ? "picture" : "answer");
  for (int i = 0; i < fv_model_stacks(model) && out->nrestore < 2; i++) {
    fv_stack_info s = fv_model_stack(model, i);
    bool text = (question && strcmp(s.name, question) == 0) || strcmp(s.name, answer) == 0;
    if (text && s.layers > 0)
      snprintf(out->restore[out->nrestore++], sizeof out->restore[0], "%s.*.resid_post", s.name);
  }
  const char *stack, *site = picture_output(model, &stack);
  snprintf(out->corrupt, sizeof out->corrupt, "mul-gauss:mean=1,std=5@%s.%s", out->nrestore ? stack : picture,
           out->nrestore ? site : "embed");
  if (out->nrestore == 0) snprintf(out->restore[out->nrestore++], sizeof out->restore[0], "%s.*.resid_post", picture);
  return FV_OK;
}

/* One --restore: its cells, and the same site in every layer for windows. */
typedef struct restore {
  fv_selection *cells, *all;
  size_t ncells, nall;
  int64_t T;
} restore;

/* One corrupted run and its cells. */
typedef struct series {
  size_t corrupt;
  int64_t draw;
  double low;
  fv_metrics *cells; /* per restore, layer and row, in the order of the table */
} series;

typedef struct tracer {
  const fv_model *model;
  fv_trace_options o;
  fv_trace_choice choice; /* of the model, for what the options leave open */
  const char *chosen_corrupt[1], *chosen_restore[2];
  fv_input *clean_input;
  fv_corruption *corruptions;
  fv_input **inputs; /* per corruption; NULL: an edit */
  restore *restores;
  int64_t ncells; /* of one series */
  series *series;
  size_t nseries;
  fv_wave *wave;
  int *series_of, *cell_of; /* per run; cell -1: the corrupted run, -2: nothing is read */
  size_t series_room, cell_room;
  int32_t answer;
  double *clean_p, *scratch, high;
} tracer;

static void tracer_release(tracer *t) {
  for (size_t i = 0; t->corruptions && i < t->o.ncorrupt; i++) {
    fv_corruption_release(&t->corruptions[i]);
    if (t->inputs) fv_input_free(t->inputs[i]);
  }
  for (size_t i = 0; t->restores && i < t->o.nrestore; i++) {
    for (size_t k = 0; k < t->restores[i].ncells; k++) fv_selection_release(&t->restores[i].cells[k]);
    for (size_t k = 0; k < t->restores[i].nall; k++) fv_selection_release(&t->restores[i].all[k]);
    free(t->restores[i].cells), free(t->restores[i].all);
  }
  for (size_t i = 0; i < t->nseries; i++) free(t->series[i].cells);
  fv_wave_free(t->wave);
  fv_input_free(t->clean_input);
  free(t->corruptions), free(t->inputs), free(t->restores), free(t->series), free(t->series_of), free(t->cell_of);
  free(t->clean_p), free(t->scratch);
}

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the trace"); }

static fv_status check_options(const fv_trace_options *o, fv_error *err) {
  if (o->draws < 1) return fv_fail(err, FV_EUSAGE, "draws is %lld, expected at least 1", (long long)o->draws);
  if (o->window < 1) return fv_fail(err, FV_EUSAGE, "window is %lld, expected at least 1", (long long)o->window);
  if (!(o->check >= 0.0 && o->check <= 100.0))
    return fv_fail(err, FV_EUSAGE, "check is %g, expected 0 to 100 percent", o->check);
  return FV_OK;
}

static void drop_lower_layers(restore *r, int64_t start) {
  size_t kept = 0;
  for (size_t i = 0; i < r->ncells; i++) {
    if (r->cells[i].layer >= start)
      r->cells[kept++] = r->cells[i];
    else
      fv_selection_release(&r->cells[i]);
  }
  r->ncells = kept;
}

static fv_status resolve_restore(tracer *t, const char *address, restore *r, fv_error *err) {
  if (strchr(address, '@'))
    return fv_fail(err, FV_EUSAGE, "restore \"%s\": rows are not given here; every row is a cell", address);
  fv_status st = fv_address_resolve(t->model, t->clean_input, address, &r->cells, &r->ncells, err);
  if (st) return st;
  const fv_selection *first = &r->cells[0];
  for (size_t i = 0; i < r->ncells; i++)
    if (strcmp(r->cells[i].site, first->site) != 0 || r->cells[i].stack != first->stack)
      return fv_fail(err, FV_EUSAGE, "restore \"%s\" means several sites; give each its own", address);
  if (first->part != 0)
    return fv_fail(err, FV_EUSAGE, "restore \"%s\": scores and patterns are not states of rows", address);
  r->T = first->T;
  if (first->layer < 0) return FV_OK;
  drop_lower_layers(r, t->o.layer_start);
  if (r->ncells == 0)
    return fv_fail(err, FV_EUSAGE, "restore \"%s\" has no layer from %lld on", address, (long long)t->o.layer_start);
  first = &r->cells[0];
  char *every = fv_format("%.*s*.%s%s", (int)(strchr(first->address, '.') + 1 - first->address), first->address,
                          first->site, address + strcspn(address, "#:"));
  st = every ? fv_address_resolve(t->model, t->clean_input, every, &r->all, &r->nall, err) : no_memory(err);
  free(every);
  return st;
}

static fv_status prepare(tracer *t, fv_error *err) {
  fv_status st = check_options(&t->o, err);
  if (!st) st = fv_trace_choose(t->model, &t->choice, err);
  if (st) return st;
  t->chosen_corrupt[0] = t->choice.corrupt;
  for (size_t i = 0; i < t->choice.nrestore; i++) t->chosen_restore[i] = t->choice.restore[i];
  if (t->o.ncorrupt == 0) t->o.corrupt = t->chosen_corrupt, t->o.ncorrupt = 1;
  if (t->o.nrestore == 0) t->o.restore = t->chosen_restore, t->o.nrestore = t->choice.nrestore;
  t->corruptions = fv_alloc(t->o.ncorrupt, sizeof *t->corruptions),
  t->inputs = fv_alloc(t->o.ncorrupt, sizeof *t->inputs);
  t->restores = fv_alloc(t->o.nrestore, sizeof *t->restores);
  if (!t->corruptions || !t->inputs || !t->restores) return no_memory(err);
  for (size_t i = 0; i < t->o.ncorrupt && !st; i++)
    st = fv_corruption_parse(t->o.corrupt[i], &t->o.input, &t->corruptions[i], err);
  for (size_t i = 0; i < t->o.nrestore && !st; i++)
    if (strchr(t->o.restore[i], '@'))
      st = fv_fail(err, FV_EUSAGE, "restore \"%s\": rows are not given here; every row is a cell", t->o.restore[i]);
  if (!st) st = fv_input_new(t->model, &t->o.input, &t->clean_input, err);
  for (size_t i = 0; i < t->o.nrestore && !st; i++) {
    st = resolve_restore(t, t->o.restore[i], &t->restores[i], err);
    t->ncells += (int64_t)t->restores[i].ncells * t->restores[i].T;
  }
  for (size_t i = 0; i < t->o.ncorrupt && !st; i++) {
    if (t->corruptions[i].edit) continue;
    st = fv_input_new(t->model, &t->corruptions[i].input, &t->inputs[i], err);
    for (size_t k = 0; k < t->o.nrestore && !st; k++) {
      fv_selection *s;
      size_t n;
      st = fv_address_resolve(t->model, t->inputs[i], t->o.restore[k], &s, &n, err);
      if (st) break;
      if (s->T != t->restores[k].T)
        st = fv_fail(err, FV_ESHAPE,
                     "corruption \"%s\": %s has %lld rows there and %lld in the clean input; rows can only be restored "
                     "one to one",
                     t->o.corrupt[i], s->address, (long long)s->T, (long long)t->restores[k].T);
      for (size_t j = 0; j < n; j++) fv_selection_release(&s[j]);
      free(s);
    }
  }
  if (!st && t->o.target) st = fv_model_answer_id(t->model, t->o.target, &t->answer, err);
  return st;
}

static fv_status read_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  tracer *t = user;
  if (!t->clean_p) {
    t->clean_p = fv_alloc((size_t)V, sizeof *t->clean_p), t->scratch = fv_alloc((size_t)V, sizeof *t->scratch);
    if (!t->clean_p || !t->scratch) return no_memory(err);
  }
  if (t->series_of[run] < 0) { /* the clean run, which is read first */
    if (t->answer < 0) {
      t->answer = 0;
      for (int64_t v = 1; v < V; v++)
        if (logits[v] > logits[t->answer]) t->answer = (int32_t)v;
    }
    fv_probabilities(logits, V, t->clean_p);
    t->high = (float)t->clean_p[t->answer]; /* float32 as every cell is, so that equal runs have equal numbers */
    return FV_OK;
  }
  fv_metrics m;
  fv_metrics_read(logits, V, t->answer, t->clean_p, t->scratch, &m);
  series *s = &t->series[t->series_of[run]];
  if (t->cell_of[run] < 0)
    s->low = m.prob;
  else
    s->cells[t->cell_of[run]] = m;
  return FV_OK;
}

static fv_status add_run(tracer *t, int parent, const fv_input *input, int of_series, int cell, int *run,
                         fv_error *err) {
  fv_status st = fv_wave_run(t->wave, parent, input, run, err);
  if (st) return st;
  if (!fv_grow(&t->series_of, &t->series_room, (size_t)*run + 1, sizeof *t->series_of) ||
      !fv_grow(&t->cell_of, &t->cell_room, (size_t)*run + 1, sizeof *t->cell_of))
    return no_memory(err);
  t->series_of[*run] = of_series, t->cell_of[*run] = cell;
  return FV_OK;
}

static fv_status add_corrupted(tracer *t, size_t c, int of_series, int *run, fv_error *err) {
  fv_status st = add_run(t, 0, t->inputs[c], of_series, -1, run, err);
  return st || !t->corruptions[c].edit ? st : fv_wave_do(t->wave, *run, t->corruptions[c].edit, -1, err);
}

static fv_status restore_row(tracer *t, int run, const fv_selection *where, int64_t row, fv_error *err) {
  fv_selection one = *where;
  one.rows = &row, one.nrows = 1, one.all_rows = false;
  fv_edit_options edit = {.op = "replace", .at = &one, .source = 0};
  return fv_wave_edit(t->wave, run, &edit, err);
}

static fv_status add_cell(tracer *t, int parent, int of_series, const restore *r, size_t layer, int64_t row, int cell,
                          fv_error *err) {
  int run;
  fv_status st = add_run(t, parent, NULL, of_series, cell, &run, err);
  const fv_selection *s = &r->cells[layer];
  if (!st && s->layer < 0) st = restore_row(t, run, s, row, err);
  for (size_t k = 0; k < r->nall && !st; k++) {
    int64_t lo = s->layer - t->o.window / 2, hi = s->layer + (t->o.window + 1) / 2;
    if (r->all[k].layer >= lo && r->all[k].layer < hi) st = restore_row(t, run, &r->all[k], row, err);
  }
  return st ? st : fv_wave_readout(t->wave, run, read_logits, t, err);
}

/* All cells of a series. With fresh noise for every cell the order is that of the draws: rows outside, layers inside.
 */
static fv_status add_cells(tracer *t, size_t c, int of_series, int corrupted, fv_error *err) {
  bool fresh = t->o.redraw && t->corruptions[c].noise;
  int64_t base = 0;
  fv_status st = FV_OK;
  for (size_t i = 0; i < t->o.nrestore && !st; i++) {
    const restore *r = &t->restores[i];
    for (int64_t row = 0; row < r->T; row++)
      for (size_t layer = 0; layer < r->ncells && !st; layer++) {
        int parent = corrupted;
        if (fresh) st = add_corrupted(t, c, of_series, &parent, err);
        if (!st) st = add_cell(t, parent, of_series, r, layer, row, (int)(base + (int64_t)layer * r->T + row), err);
      }
    base += (int64_t)r->ncells * r->T;
  }
  return st;
}

static fv_status add_series(tracer *t, size_t c, int64_t draw, fv_error *err) {
  int corrupted, index = (int)t->nseries;
  series *grown = realloc(t->series, (t->nseries + 1) * sizeof *grown);
  if (!grown) return no_memory(err);
  t->series = grown;
  t->series[t->nseries++] =
      (series){.corrupt = c, .draw = draw, .cells = fv_alloc((size_t)t->ncells, sizeof(fv_metrics))};
  if (!t->series[index].cells) return no_memory(err);
  fv_status st = add_corrupted(t, c, index, &corrupted, err);
  if (!st) st = fv_wave_readout(t->wave, corrupted, read_logits, t, err);
  return st ? st : add_cells(t, c, index, corrupted, err);
}

static fv_status build_wave(tracer *t, fv_error *err) {
  fv_wave_options options = {.memory = t->o.memory};
  int clean;
  fv_status st = fv_wave_new(t->model, &options, &t->wave, err);
  if (!st) st = add_run(t, -1, t->clean_input, -1, -1, &clean, err);
  if (!st) st = fv_wave_readout(t->wave, clean, read_logits, t, err);
  for (size_t c = 0; c < t->o.ncorrupt && !st; c++) {
    st = fv_wave_seed(t->wave, t->o.stream, t->o.seed, err);
    int64_t draws = t->corruptions[c].noise ? t->o.draws : 1;
    for (int64_t d = 0; d < draws && !st; d++) st = add_series(t, c, d, err);
  }
  return st;
}

/* What a row is; a row that is no token has a name instead of a piece. */
static fv_row_info row_of(const tracer *t, const restore *r, int64_t row) {
  fv_row_info info = {.piece = ""};
  const char *stack = r->cells[0].row_stack;
  if (stack) (void)fv_input_row(t->clean_input, stack, row, &info, NULL);
  return info;
}

static fv_status emit(tracer *t, fv_sink sink, const char *answer, fv_error *err) {
  for (size_t i = 0; i < t->nseries; i++) {
    const series *s = &t->series[i];
    int64_t cell = 0;
    for (size_t k = 0; k < t->o.nrestore; k++) {
      const restore *r = &t->restores[k];
      for (size_t layer = 0; layer < r->ncells; layer++)
        for (int64_t row = 0; row < r->T; row++, cell++) {
          const fv_metrics *m = &s->cells[cell];
          char stack[96];
          size_t n = strcspn(r->cells[layer].address, ".");
          memcpy(stack, r->cells[layer].address, n), stack[n] = '\0';
          fv_row line;
          fv_row_defaults(&line);
          line.sample = t->o.sample, line.draw = s->draw, line.corrupt = t->o.corrupt[s->corrupt], line.stack = stack;
          line.site = r->cells[layer].site, line.layer = r->cells[layer].layer, line.window = t->o.window,
          line.row = row;
          line.piece = row_of(t, r, row).piece, line.op = "replace";
          line.prob = m->prob, line.logit = m->logit, line.p_diff = m->prob - (float)s->low, line.kl = m->kl,
          line.rank = m->rank;
          line.clean_prob = (float)t->high, line.corrupt_prob = (float)s->low, line.answer_id = t->answer,
          line.answer = answer;
          fv_status st = sink.row ? sink.row(sink.user, &line, err) : FV_OK;
          if (st) return st;
        }
    }
  }
  return FV_OK;
}

/* One series' values of one site, as a map of rows by layers. */
static fv_status add_maps(tracer *t, const series *s, size_t k, int64_t base, int64_t draw, fv_trace_result *result,
                          fv_error *err) {
  const restore *r = &t->restores[k];
  int64_t cols = (int64_t)r->ncells;
  char *address = t->restores[k].cells[0].address;
  size_t n = strcspn(address, ".");
  fv_trace_map like = {.corrupt = s->corrupt, .restore = k, .draw = draw, .rows = r->T, .cols = cols};
  int stacks = fv_model_stacks(t->model);
  for (int i = 0; i < stacks; i++) {
    const char *name = fv_model_stack(t->model, i).name;
    if (strlen(name) == n && memcmp(name, address, n) == 0) like.stack = name;
  }
  like.site = r->cells[0].site;
  like.layers = fv_alloc((size_t)cols, sizeof *like.layers);
  const char **labels = fv_alloc((size_t)r->T, sizeof *labels);
  fv_row_info *rows = fv_alloc((size_t)r->T, sizeof *rows);
  float *prob = fv_alloc((size_t)(r->T * cols), sizeof *prob);
  fv_status st = like.layers && labels && rows && prob ? FV_OK : no_memory(err);
  for (int64_t row = 0; row < r->T && !st; row++) {
    rows[row] = row_of(t, r, row);
    labels[row] = rows[row].piece[0] ? rows[row].piece : rows[row].name;
    for (int64_t c = 0; c < cols; c++)
      like.layers[c] = r->cells[c].layer, prob[row * cols + c] = s->cells[base + c * r->T + row].prob;
  }
  fv_trace_map *map = NULL;
  if (!st) st = fv_trace_map_find(result, &like, labels, &map, err);
  if (!st) fv_trace_map_add(map, prob, s->low, t->high);
  free(like.layers), free(labels), free(rows), free(prob);
  return st;
}

static fv_status collect(tracer *t, fv_trace_result *result, fv_error *err) {
  fv_status st = FV_OK;
  for (int average = 0; average < 2; average++)
    for (size_t i = 0; i < t->nseries && !st; i++) {
      int64_t base = 0;
      for (size_t k = 0; k < t->o.nrestore && !st; k++) {
        st = add_maps(t, &t->series[i], k, base, average ? -1 : t->series[i].draw, result, err);
        base += (int64_t)t->restores[k].ncells * t->restores[k].T;
      }
      if (average && t->series[i].low == t->high) result->flat++;
    }
  return st;
}

static fv_status describe_answer(tracer *t, fv_trace_result *result, fv_error *err) {
  const char *piece = fv_model_piece(t->model, t->answer), *stack = fv_model_question_stack(t->model);
  free(result->answer), free(result->ids);
  result->answer = fv_strdup(piece ? piece : "");
  result->answer_id = t->answer;
  result->nids = stack ? fv_input_rows(t->clean_input, stack) : 0;
  result->ids = fv_alloc((size_t)result->nids, sizeof *result->ids);
  if (!result->answer || !result->ids) return no_memory(err);
  for (int64_t i = 0; i < result->nids; i++) {
    fv_row_info info;
    fv_status st = fv_input_row(t->clean_input, stack, i, &info, err);
    if (st) return st;
    result->ids[i] = info.id;
  }
  return FV_OK;
}

static void add_cost(fv_cost *sum, const fv_cost *one) {
  sum->runs += one->runs, sum->parts += one->parts, sum->rows += one->rows;
  sum->flops += one->flops, sum->full_flops += one->full_flops;
  if (one->memory > sum->memory) sum->memory = one->memory;
  if (one->weights > sum->weights) sum->weights = one->weights;
}

fv_status fv_trace(const fv_model *model, const fv_trace_options *options, fv_sink sink, const fv_progress *progress,
                   fv_trace_result *result, fv_error *err) {
  tracer t = {.model = model, .o = *options, .answer = -1};
  fv_cost cost = {0};
  int64_t checked = 0;
  fv_status st = prepare(&t, err);
  if (!st) st = build_wave(&t, err);
  if (!st) st = fv_wave_compute(t.wave, progress, err);
  if (!st && options->check > 0.0) st = fv_wave_check(t.wave, options->check, (uint64_t)options->seed, &checked, err);
  if (!st) st = describe_answer(&t, result, err);
  if (!st) st = emit(&t, sink, result->answer, err);
  if (!st) st = collect(&t, result, err);
  if (!st) st = fv_wave_cost(t.wave, &cost, err);
  if (!st) add_cost(&result->cost, &cost), result->runs += cost.runs, result->checked += checked;
  tracer_release(&t);
  return st;
}

fv_status fv_trace_cost(const fv_model *model, const fv_trace_options *options, fv_cost *out, fv_error *err) {
  tracer t = {.model = model, .o = *options, .answer = -1};
  fv_status st = prepare(&t, err);
  if (!st) st = build_wave(&t, err);
  if (!st) st = fv_wave_cost(t.wave, out, err);
  tracer_release(&t);
  return st;
}
