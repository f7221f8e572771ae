#include "fovea/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/bundle.h"
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

/* Whether some state of a stack's blocks is computed from the picture. */
static bool sees_picture(const fv_model *model, int stack) {
  const fv_plan *p = model->plan;
  bool *from = fv_alloc((size_t)p->nsteps, sizeof *from), any = false;
  for (int i = 0; from && i < p->nsteps; i++) {
    from[i] = i == p->pixels;
    for (int k = 0; k < fv_kind_inputs(p->steps[i].kind); k++) from[i] |= from[p->steps[i].in[k]];
    any |= from[i] && p->steps[i].stack == stack && p->steps[i].layer >= 0;
  }
  free(from);
  return any;
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
    if (text && s.layers > 0 && sees_picture(model, i))
      snprintf(out->restore[out->nrestore++], sizeof out->restore[0], "%s.*.resid_post", s.name);
  }
  const char *stack, *site = picture_output(model, &stack);
  snprintf(out->corrupt, sizeof out->corrupt, "mul-gauss:mean=1,std=5@%s.%s", out->nrestore ? stack : picture,
           out->nrestore ? site : "embed");
  if (out->nrestore == 0) snprintf(out->restore[out->nrestore++], sizeof out->restore[0], "%s.*.resid_post", picture);
  return FV_OK;
}

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the trace"); }

fv_status fv_trace_prepare(const fv_model *model, const fv_trace_options *o, fv_sweep *s, fv_error *err) {
  fv_trace_choice choice;
  *s = (fv_sweep){0};
  fv_status st = fv_trace_choose(model, &choice, err);
  if (st) return st;
  const char *corrupt[1] = {choice.corrupt}, *restore[2] = {choice.restore[0], choice.restore[1]};
  fv_sweep_options sweep = {.input = o->input,
                            .corrupt = o->ncorrupt ? o->corrupt : corrupt,
                            .ncorrupt = o->ncorrupt ? o->ncorrupt : 1,
                            .site = o->nrestore ? o->restore : restore,
                            .nsite = o->nrestore ? o->nrestore : choice.nrestore,
                            .option = "restore",
                            .layer_start = o->layer_start,
                            .window = o->window,
                            .draws = o->draws,
                            .redraw = o->redraw,
                            .correct = o->target,
                            .stream = o->stream,
                            .seed = o->seed,
                            .memory = o->memory,
                            .check = o->check};
  return fv_sweep_prepare(model, &sweep, s, err);
}

/* One series' values of one site, as a map of rows by layers. */
static fv_status add_maps(const fv_sweep *s, const fv_sweep_series *series, size_t k, const fv_sweep_value *cells,
                          int64_t draw, fv_trace_result *result, fv_error *err) {
  const fv_sweep_site *site = &s->sites[k];
  int64_t cols = (int64_t)site->ncells;
  fv_trace_map like = {.corrupt = series->corrupt, .restore = k, .draw = draw, .rows = site->nrows, .cols = cols};
  like.stack = fv_model_stack(s->model, site->cells[0].stack).name, like.site = site->cells[0].site;
  like.layers = fv_alloc((size_t)cols, sizeof *like.layers);
  const char **labels = fv_alloc((size_t)site->nrows, sizeof *labels);
  fv_row_info *rows = fv_alloc((size_t)site->nrows, sizeof *rows);
  float *prob = fv_alloc((size_t)(site->nrows * cols), sizeof *prob);
  fv_status st = like.layers && labels && rows && prob ? FV_OK : no_memory(err);
  for (int64_t row = 0; row < site->nrows && !st; row++) {
    rows[row] = fv_sweep_row(s, site, site->rows[row]);
    labels[row] = fv_row_label(&rows[row]);
    for (int64_t c = 0; c < cols; c++)
      like.layers[c] = site->cells[c].layer, prob[row * cols + c] = cells[c * site->nrows + row].m.prob;
  }
  fv_trace_map *map = NULL;
  if (!st) st = fv_trace_map_find(result, &like, labels, &map, err);
  if (!st) fv_trace_map_add(map, prob, series->corrupted.m.prob, s->clean.m.prob);
  free(like.layers), free(labels), free(rows), free(prob);
  return st;
}

static fv_status collect(const fv_sweep *s, fv_trace_result *result, fv_error *err) {
  fv_status st = FV_OK;
  for (int average = 0; average < 2; average++)
    for (size_t i = 0; i < s->nseries && !st; i++) {
      const fv_sweep_series *series = &s->series[i];
      const fv_sweep_value *cells = series->cells;
      for (size_t k = 0; k < s->o.nsite && !st; k++) {
        st = add_maps(s, series, k, cells, average ? -1 : series->draw, result, err);
        cells += (int64_t)s->sites[k].ncells * s->sites[k].nrows;
      }
      if (average && series->corrupted.m.prob == s->clean.m.prob) result->flat++;
    }
  return st;
}

static fv_status describe_answer(const fv_sweep *s, fv_trace_result *result, fv_error *err) {
  const char *piece = fv_input_piece(s->clean_input, s->correct), *stack = fv_model_question_stack(s->model);
  free(result->answer), free(result->ids);
  result->answer = fv_strdup(piece ? piece : "");
  result->answer_id = s->correct;
  result->nids = stack ? fv_input_rows(s->clean_input, stack) : 0;
  result->ids = fv_alloc((size_t)result->nids, sizeof *result->ids);
  if (!result->answer || !result->ids) return no_memory(err);
  for (int64_t i = 0; i < result->nids; i++) {
    fv_row_info info;
    fv_status st = fv_input_row(s->clean_input, stack, i, &info, err);
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
  sum->streamed += one->streamed;
}

fv_status fv_trace_finish(const fv_sweep *s, const fv_trace_options *options, fv_sink sink, fv_trace_result *result,
                          fv_error *err) {
  fv_status st = describe_answer(s, result, err);
  if (!st) st = fv_sweep_emit(s, options->sample, result->answer, sink, err);
  return st ? st : collect(s, result, err);
}

fv_status fv_trace(const fv_model *model, const fv_trace_options *options, fv_sink sink, const fv_progress *progress,
                   fv_trace_result *result, fv_error *err) {
  fv_sweep s;
  fv_cost cost;
  int64_t checked;
  fv_status st = fv_trace_prepare(model, options, &s, err);
  if (!st) st = fv_sweep_alone(model, &s, progress, &cost, &checked, err);
  if (!st) st = fv_trace_finish(&s, options, sink, result, err);
  if (!st) add_cost(&result->cost, &cost), result->runs += cost.runs, result->checked += checked;
  fv_sweep_release(&s);
  return st;
}

fv_status fv_trace_cost(const fv_model *model, const fv_trace_options *options, fv_cost *out, fv_error *err) {
  fv_sweep s;
  fv_status st = fv_trace_prepare(model, options, &s, err);
  if (!st) st = fv_sweep_alone(model, &s, NULL, out, NULL, err);
  fv_sweep_release(&s);
  return st;
}
