/* The oracle: one run computed alone, from its input, every row of every step.
 *
 * It shares the kernels with the wave and none of its row logic: no parents, no reach, no need, no stacking. The runs
 * that its edits read are computed first, the same way.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

typedef struct full {
  fv_wave *w;
  const fv_run *run;
  int index;
  float **slot;         /* per step: all rows, or NULL */
  const bool *wanted;   /* per step: the slot is to be kept for the caller */
  bool deliver;         /* this run's reads are to be filled */
  struct full *sources; /* one per distinct source run */
  int nsources;
  const float **pointers[3];
  int32_t *row;
  void *scratch;
} full;

typedef struct full_row {
  const full *f;
  int step, row;
  int64_t base;
} full_row;

static fv_status run_alone(full *f, fv_error *err);

static void full_release(full *f) {
  int nsteps = f->w->model->plan->nsteps;
  for (int s = 0; f->slot && s < nsteps; s++) free(f->slot[s]);
  for (int i = 0; i < f->nsources; i++) full_release(&f->sources[i]), free((void *)(uintptr_t)f->sources[i].wanted);
  for (int k = 0; k < 3; k++) free(f->pointers[k]);
  free(f->slot), free(f->sources), free(f->row), free(f->scratch);
}

static const full *source_of(const full *f, int run) {
  for (int i = 0; i < f->nsources; i++)
    if (f->sources[i].index == run) return &f->sources[i];
  return NULL;
}

static int64_t rows_of(const full *f, int step) { return f->run->T[f->w->model->plan->steps[step].space]; }

/* Computes the runs that the edits in force read, keeping the steps that are read. */
static fv_status run_sources(full *f, fv_error *err) {
  int nsteps = f->w->model->plan->nsteps;
  f->sources = fv_alloc((size_t)f->run->nchain, sizeof *f->sources);
  if (!f->sources) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < f->run->nchain; i++) {
    const fv_edit *e = f->run->chain[i];
    if (e->source < 0) continue;
    full *s = (full *)(uintptr_t)source_of(f, e->source);
    if (!s) {
      s = &f->sources[f->nsources++];
      *s = (full){.w = f->w,
                  .run = &f->w->runs[e->source],
                  .index = e->source,
                  .wanted = fv_alloc((size_t)nsteps, sizeof(bool))};
      if (!s->wanted) return fv_fail(err, FV_ENOMEM, "no memory");
    }
    ((bool *)(uintptr_t)s->wanted)[e->source_step] = true;
  }
  for (int i = 0; i < f->nsources; i++) {
    fv_status st = run_alone(&f->sources[i], err);
    if (st) return st;
  }
  return FV_OK;
}

static void on_part(void *user, int64_t head, int64_t i, float *keys, int64_t S, fv_part part) {
  const full_row *at = (const full_row *)user + i;
  const full *f = at->f;
  fv_keys part_of_row = {keys, at->base,
                         fv_step_sees(&f->w->model->plan->steps[at->step], f->run->input, at->row, at->base + S)};
  for (int c = 0; c < f->run->nchain; c++)
    if (f->run->chain[c]->step == at->step && f->run->chain[c]->part == part)
      fv_edit_keys(f->run->chain[c], at->row, head, part_of_row);
  for (int k = 0; k < f->w->nreads && f->deliver; k++) {
    fv_read *r = &f->w->reads[k];
    for (int64_t n = 0; r->run == f->index && r->step == at->step && r->part == part && n < r->nrows; n++)
      if (r->rows[n] == at->row) fv_read_keys(r, n, head, part_of_row);
  }
  /* Edits of other runs that copy this run's scores or pattern. */
  for (int k = 0; k < f->w->nedits; k++) {
    const fv_edit *e = f->w->edits[k];
    for (int64_t t = 0; e->source_values && e->source == f->index && e->step == at->step && e->part == part && t < e->T;
         t++)
      if (fv_rowset_has(e->rows, t) && e->source_row[t] == at->row)
        fv_edit_take_keys(e, e->value_row[t], head, part_of_row);
  }
}

static void on_scores(void *user, int64_t head, int64_t i, float *scores, int64_t S) {
  on_part(user, head, i, scores, S, FV_PART_SCORES);
}

static void on_pattern(void *user, int64_t head, int64_t i, float *pattern, int64_t S) {
  on_part(user, head, i, pattern, S, FV_PART_PATTERN);
}

static fv_status attend_alone(full *f, int step, float *y, fv_error *err) {
  const fv_plan *p = f->w->model->plan;
  const fv_step *s = &p->steps[step];
  int64_t T = rows_of(f, step), S = rows_of(f, s->in[1]);
  if (S == 0) return fv_fail(err, FV_EINTERNAL, "%s has nothing to attend to", p->stacks[s->stack].name);
  int64_t *visible = fv_alloc((size_t)T, sizeof *visible), *first = fv_alloc((size_t)T, sizeof *first);
  full_row *rows = fv_alloc((size_t)T, sizeof *rows);
  const float **k = fv_alloc((size_t)S, sizeof *k), **v = fv_alloc((size_t)S, sizeof *v);
  void *scratch = fv_alloc_aligned(1, fv_attend_scratch(f->w->model->kernels, s->H, s->Dh, S));
  fv_status st = visible && first && rows && k && v && scratch ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t t = 0; t < T && !st; t++) {
    fv_span seen = fv_step_sees(s, f->run->input, t, S);
    int64_t base = fv_input_group(f->run->input, s->space, t).lo;
    first[t] = seen.lo - base, visible[t] = seen.hi - base, rows[t] = (full_row){f, step, (int)t, base};
  }
  for (int64_t t = 0; t < S && !st; t++)
    k[t] = f->slot[s->in[1]] + t * p->steps[s->in[1]].width, v[t] = f->slot[s->in[2]] + t * p->steps[s->in[2]].width;
  fv_attend_hook hook = {on_scores, on_pattern};
  for (int64_t t = 0, n; t < T && !st; t += n) { /* one text or picture after the other */
    fv_span text = fv_input_group(f->run->input, s->space, t);
    n = (text.hi < T ? text.hi : T) - t;
    fv_attend_group group = {.n = n,
                             .S = (text.hi < S ? text.hi : S) - text.lo,
                             .q = f->pointers[0] + t,
                             .k = k + text.lo,
                             .v = v + text.lo,
                             .visible = visible + t,
                             .first = first + t,
                             .z = y + t * s->width,
                             .user = rows + t};
    st = fv_attend(f->w->model->kernels, s->H, s->KV, s->Dh, s->scale, 1, &group, &hook, scratch, err);
  }
  free(visible), free(first), free(rows), free(k), free(v), free(scratch);
  return st;
}

static void set_pointers(full *f, int step) {
  const fv_plan *p = f->w->model->plan;
  const fv_step *s = &p->steps[step];
  int64_t T = rows_of(f, step);
  for (int64_t t = 0; t < T; t++) {
    f->row[t] = (int32_t)(t - fv_input_group(f->run->input, s->space, t).lo);
    for (int k = 0; k < fv_kind_inputs(s->kind); k++) {
      fv_rule rule = fv_kind_rule(s->kind);
      int64_t from = rule == FV_RULE_PICK   ? s->pick
                     : rule == FV_RULE_POOL ? f->run->input->texts[p->spaces[s->space].texts_of].stands[t]
                                            : fv_step_from(s, f->run->input, t);
      bool later = (rule == FV_RULE_ATTEND || rule == FV_RULE_SPLICE) && k > 0; /* looked up elsewhere */
      f->pointers[k][t] = from < 0 || later ? NULL : f->slot[s->in[k]] + from * p->steps[s->in[k]].width;
    }
    int64_t spliced = s->kind == FV_KIND_SPLICE ? fv_input_spliced(f->run->input, s->space, t) : -1;
    if (spliced >= 0) f->pointers[0][t] = f->slot[s->in[1]] + spliced * p->steps[s->in[1]].width;
    if (s->kind == FV_KIND_PIXELS) f->pointers[0][t] = f->run->pixels + t * s->width;
  }
}

static fv_status finish_alone(full *f, int step, float *y, fv_error *err) {
  const fv_plan *p = f->w->model->plan;
  int64_t T = rows_of(f, step), width = p->steps[step].width;
  for (int c = 0; c < f->run->nchain; c++) {
    const fv_edit *e = f->run->chain[c];
    if (e->step != step || e->part != FV_PART_OUT) continue;
    for (int64_t t = 0; t < T; t++) {
      const full *source = e->source >= 0 ? source_of(f, e->source) : NULL;
      bool has = source && t < e->T && fv_rowset_has(e->rows, t);
      fv_edit_row(e, t, y + t * width,
                  has ? source->slot[e->source_step] + e->source_row[t] * p->steps[e->source_step].width : NULL);
    }
  }
  for (int i = 0; i < f->w->nreads && f->deliver; i++) {
    fv_read *r = &f->w->reads[i];
    if (r->run != f->index || r->step != step || r->part != FV_PART_OUT) continue;
    for (int64_t k = 0; k < r->nrows; k++) {
      fv_status st = fv_read_row(f->w, r, k, y + r->rows[k] * width, err);
      if (st) return st;
    }
  }
  return FV_OK;
}

static bool splices(const full *f, int space, int64_t T) {
  bool any = false;
  for (int64_t t = 0; t < T; t++) any |= fv_input_spliced(f->run->input, space, t) >= 0;
  return any;
}

static fv_status step_alone(full *f, int step, fv_error *err) {
  const fv_model *m = f->w->model;
  const fv_step *s = &m->plan->steps[step];
  int64_t T = rows_of(f, step);
  bool inputs = true;
  for (int k = 0; k < fv_kind_inputs(s->kind); k++)
    inputs &= f->slot[s->in[k]] != NULL || (s->kind == FV_KIND_SPLICE && k == 1 && !splices(f, s->space, T));
  if (T == 0 || !inputs) return FV_OK; /* no picture, or no text: the stack does not exist for this run */
  float *y = f->slot[step] = fv_alloc_aligned((size_t)(T * s->width), sizeof *y);
  if (!y) return fv_fail(err, FV_ENOMEM, "no memory");
  set_pointers(f, step);
  fv_status st;
  if (s->kind == FV_KIND_ATTEND) {
    st = attend_alone(f, step, y, err);
  } else {
    fv_step_job job = {
        .model = m, .step = step, .n = T, .row = f->row, .id = f->run->ids[s->space], .y = y, .scratch = f->scratch};
    for (int k = 0; k < 3; k++) job.in[k] = f->pointers[k];
    st = fv_step_compute(&job, err);
  }
  return st ? st : finish_alone(f, step, y, err);
}

/* Frees the slots that no later step reads. */
static void drop_slots(full *f, const int *last_use, int step) {
  for (int s = 0; s <= step; s++)
    if (last_use[s] <= step && !(f->wanted && f->wanted[s])) free(f->slot[s]), f->slot[s] = NULL;
}

static fv_status run_alone(full *f, fv_error *err) {
  const fv_model *m = f->w->model;
  int nsteps = m->plan->nsteps;
  int64_t most = 1;
  for (int i = 0; i < m->plan->nspaces; i++)
    if (f->run->T[i] > most) most = f->run->T[i];
  bool *all = fv_alloc((size_t)nsteps, sizeof *all);
  int *last_use = fv_alloc((size_t)nsteps, sizeof *last_use);
  f->slot = fv_alloc((size_t)nsteps, sizeof *f->slot);
  f->row = fv_alloc((size_t)most, sizeof *f->row);
  f->scratch = fv_alloc_aligned(1, fv_step_scratch(m));
  for (int k = 0; k < 3; k++) f->pointers[k] = fv_alloc((size_t)most, sizeof *f->pointers[k]);
  bool good = all && last_use && f->slot && f->row && f->scratch && f->pointers[0] && f->pointers[1] && f->pointers[2];
  fv_status st = good ? run_sources(f, err) : fv_fail(err, FV_ENOMEM, "no memory");
  for (int s = 0; s < nsteps && !st; s++) {
    all[s] = rows_of(f, s) > 0;
    last_use[s] = s;
    for (int k = 0; k < fv_kind_inputs(m->plan->steps[s].kind); k++) last_use[m->plan->steps[s].in[k]] = s;
  }
  if (!st) st = fv_model_bind((fv_model *)(uintptr_t)m, all, err);
  for (int s = 0; s < nsteps && !st; s++) {
    st = step_alone(f, s, err);
    drop_slots(f, last_use, s);
  }
  free(all), free(last_use);
  return st;
}

fv_status fv_run_full(fv_wave *w, int run, fv_logits_fn fn, void *user, fv_error *err) {
  if (run < 0 || run >= w->nruns) return fv_fail(err, FV_EUSAGE, "run %d does not exist", run);
  const fv_plan *p = w->model->plan;
  if (fn && p->output < 0) return fv_fail(err, FV_EUSAGE, "a %s model gives no logits", w->model->family->name);
  bool *wanted = fv_alloc((size_t)p->nsteps, sizeof *wanted);
  if (!wanted) return fv_fail(err, FV_ENOMEM, "no memory");
  if (fn) wanted[p->output] = true;
  for (int i = 0; i < w->nreads; i++)
    if (w->reads[i].run == run) w->reads[i].hash = 0; /* they are filled anew */
  full f = {.w = w, .run = &w->runs[run], .index = run, .wanted = wanted, .deliver = true};
  w->silent = true;
  fv_status st = run_alone(&f, err);
  w->silent = false;
  if (!st && fn && !f.slot[p->output])
    st = fv_fail(err, FV_EUSAGE, "run %d has no logits; is a picture or a question missing?", run);
  if (!st && fn) {
    int64_t T = rows_of(&f, p->output), V = p->steps[p->output].width;
    bool all = fv_plan_answers_texts(p);
    st = fn(user, run, f.slot[p->output] + (all ? 0 : (T - 1) * V), all ? T * V : V, err);
  }
  full_release(&f);
  free(wanted);
  return st;
}

fv_status fv_full_read(fv_wave *w, int run, const fv_selection *what, float *out, fv_error *err) {
  fv_status st = fv_wave_read(w, run, what, out, err);
  if (st) return st;
  /* Only this read, which is then taken back: the wave's own reads stay as they were. */
  fv_read *reads = w->reads, last = w->reads[w->nreads - 1];
  int n = w->nreads - 1;
  w->reads = &last, w->nreads = 1;
  st = fv_run_full(w, run, NULL, NULL, err);
  w->reads = reads, w->nreads = n;
  fv_read_release(&last);
  return st;
}
