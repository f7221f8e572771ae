/* Waves: building them. Runs, reads and readouts; computing is in pass.c, edits in compile.c. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

fv_status fv_wave_new(const fv_model *model, const fv_wave_options *options, fv_wave **out, fv_error *err) {
  fv_wave *w = fv_alloc(1, sizeof *w);
  if (!w) return fv_fail(err, FV_ENOMEM, "no memory");
  w->model = model;
  if (options) w->options = *options;
  fv_rng_torch(&w->rng, 0);
  *out = w;
  return FV_OK;
}

void fv_read_release(fv_read *r) { free(r->rows), free(r->spans), free(r->heads), free(r->gathered); }

void fv_wave_free(fv_wave *w) {
  if (!w) return;
  fv_slice_release(w);
  free(w->memory);
  free(w->blocks);
  for (int i = 0; i < w->nruns; i++)
    free(w->runs[i].T), free(w->runs[i].ids), free(w->runs[i].chain), free(w->runs[i].own_ids);
  for (int i = 0; i < w->nedits; i++) fv_edit_release(w->edits[i]);
  for (int i = 0; i < w->nreads; i++) fv_read_release(&w->reads[i]);
  free(w->runs), free(w->edits), free(w->reads);
  free(w);
}

int fv_wave_runs(const fv_wave *w) { return w->nruns; }
const fv_input *fv_wave_input(const fv_wave *w, int run) {
  return run >= 0 && run < w->nruns ? w->runs[run].input : NULL;
}
const fv_model *fv_wave_model(const fv_wave *w) { return w->model; }

fv_status fv_wave_seed(fv_wave *w, fv_rng_stream stream, int64_t seed, fv_error *err) {
  if (stream == FV_STREAM_NUMPY) return fv_rng_numpy(&w->rng, seed, err);
  fv_rng_torch(&w->rng, seed);
  return FV_OK;
}

fv_status fv_wave_add_run(fv_wave *w, fv_run run, int *index, fv_error *err) {
  const fv_plan *p = w->model->plan;
  if (!fv_grow(&w->runs, &w->runs_room, (size_t)w->nruns + 1, sizeof *w->runs))
    return fv_fail(err, FV_ENOMEM, "no memory");
  run.T = fv_alloc((size_t)p->nspaces, sizeof *run.T);
  run.ids = fv_alloc((size_t)p->nspaces, sizeof *run.ids);
  run.chain = fv_alloc((size_t)run.nchain, sizeof *run.chain);
  if (!run.T || !run.ids || !run.chain) {
    free(run.T), free(run.ids), free(run.chain);
    return fv_fail(err, FV_ENOMEM, "no memory");
  }
  for (int i = 0; i < p->nspaces; i++) {
    run.T[i] = fv_input_space_rows(run.input, i);
    run.ids[i] = run.input->texts[i].ids;
  }
  run.pixels = run.input->pixels;
  run.first_own = run.nchain;
  w->runs[w->nruns] = run;
  *index = w->nruns++;
  return FV_OK;
}

int64_t fv_wave_keys(const fv_wave *w, int step, int run) {
  const fv_plan *p = w->model->plan;
  return w->runs[run].T[p->steps[p->steps[step].in[1]].space];
}

/* Inherited edits name rows and keys by number: they mean something only where the new input has as many. */
static fv_status check_inherited(const fv_wave *w, int parent, const fv_input *input, fv_error *err) {
  const fv_plan *p = w->model->plan;
  for (int i = 0; i < w->runs[parent].nchain; i++) {
    const fv_edit *e = w->runs[parent].chain[i];
    const fv_step *s = &p->steps[e->step];
    int64_t T = fv_input_space_rows(input, s->space), had = e->T;
    if (T == had && e->part != FV_PART_OUT) T = fv_input_space_rows(input, p->steps[s->in[1]].space), had = e->S;
    if (T != had)
      return fv_fail(
          err, FV_EUSAGE,
          "a run with this input inherits an edit of run %d at %s.%d.%s, made for %lld rows where this input "
          "has %lld; give it a parent without that edit",
          e->run, p->stacks[s->stack].name, s->layer, s->site, (long long)had, (long long)T);
  }
  return FV_OK;
}

/* Runs share a picture by its address. The same picture read twice is made the same one, so that a run with another
 * question shares its parent's image rows. */
static void share_picture(const fv_wave *w, fv_run *run, bool own_input) {
  const fv_run *parent = &w->runs[run->parent];
  int step = w->model->plan->pixels;
  if (!own_input) run->pixels = parent->pixels;
  if (step < 0 || !run->pixels || !parent->pixels || run->pixels == parent->pixels) return;
  if (run->input->npictures != parent->input->npictures) return;
  size_t bytes = (size_t)(run->input->npictures * w->model->plan->steps[step].width) * sizeof *run->pixels;
  if (memcmp(run->pixels, parent->pixels, bytes) == 0) run->pixels = parent->pixels;
}

fv_status fv_wave_run(fv_wave *w, int parent, const fv_input *input, int *run, fv_error *err) {
  if (parent < -1 || parent >= w->nruns) return fv_fail(err, FV_EUSAGE, "run %d does not exist", parent);
  if (parent < 0 && !input) return fv_fail(err, FV_EUSAGE, "a run without a parent needs an input");
  if (input && input->model != w->model) return fv_fail(err, FV_EUSAGE, "the input belongs to another model");
  fv_run r = {.parent = parent, .outer = -1, .input = input ? input : w->runs[parent].input};
  if (parent >= 0) r.nchain = w->runs[parent].nchain;
  fv_status st = parent >= 0 && input ? check_inherited(w, parent, input, err) : FV_OK;
  if (!st) st = fv_wave_add_run(w, r, run, err);
  if (!st && parent >= 0) w->runs[parent].is_parent = true, share_picture(w, &w->runs[*run], input != NULL);
  if (!st && parent >= 0 && r.nchain > 0)
    memcpy(w->runs[*run].chain, w->runs[parent].chain, (size_t)r.nchain * sizeof *r.chain);
  return st;
}

static fv_status copy_numbers(const int64_t *list, int64_t n, int64_t **out) {
  *out = fv_alloc((size_t)n, sizeof **out);
  if (!*out) return FV_ENOMEM;
  if (n > 0) memcpy(*out, list, (size_t)n * sizeof **out);
  return FV_OK;
}

static fv_status add_read(fv_wave *w, fv_read r, fv_error *err) {
  if (w->computed) {
    fv_read_release(&r);
    return fv_fail(err, FV_EUSAGE, "the wave has been computed; reads are added before");
  }
  if (!fv_grow(&w->reads, &w->reads_room, (size_t)w->nreads + 1, sizeof *w->reads)) {
    fv_read_release(&r);
    return fv_fail(err, FV_ENOMEM, "no memory");
  }
  w->reads[w->nreads++] = r;
  return FV_OK;
}

fv_status fv_wave_read(fv_wave *w, int run, const fv_selection *s, float *out, fv_error *err) {
  if (run < 0 || run >= w->nruns) return fv_fail(err, FV_EUSAGE, "run %d does not exist", run);
  int64_t T = w->runs[run].T[w->model->plan->steps[s->step].space];
  if (s->nrows == 0 || fv_selection_last_row(s) >= T)
    return fv_fail(err, FV_EUSAGE, "%s: the selection has rows that run %d does not have", s->address, run);
  if (s->part != FV_PART_OUT && s->head_width != fv_wave_keys(w, s->step, run))
    return fv_fail(err, FV_EUSAGE, "%s: the selection was made for an input with %lld keys, run %d has %lld",
                   s->address, (long long)s->head_width, run, (long long)fv_wave_keys(w, s->step, run));
  fv_read r = {.run = run,
               .step = s->step,
               .part = (fv_part)s->part,
               .nrows = s->nrows,
               .T = T,
               .nheads = s->nheads,
               .width = s->width,
               .out = out};
  if (copy_numbers(s->rows, s->nrows, &r.rows) || copy_numbers(s->heads, s->nheads, &r.heads) ||
      !fv_selection_flatten(s, &r.spans, &r.nspans)) {
    fv_read_release(&r);
    return fv_fail(err, FV_ENOMEM, "no memory");
  }
  return add_read(w, r, err);
}

fv_status fv_wave_readout(fv_wave *w, int run, fv_logits_fn fn, void *user, fv_error *err) {
  if (run < 0 || run >= w->nruns) return fv_fail(err, FV_EUSAGE, "run %d does not exist", run);
  if (w->model->plan->output < 0)
    return fv_fail(err, FV_EUSAGE, "a %s model gives no answer; its sites can be read", w->model->family->name);
  const fv_step *s = &w->model->plan->steps[w->model->plan->output];
  /* The last row is the answer's; where there is a row per text, they all are. */
  int64_t T = w->runs[run].T[s->space], n = fv_plan_answers_texts(w->model->plan) ? T : 1;
  if (T == 0) return fv_fail(err, FV_EUSAGE, "the input gives no answer row; is a picture or a question missing?");
  fv_read r = {.run = run,
               .step = w->model->plan->output,
               .nrows = n,
               .T = T,
               .nspans = 1,
               .width = s->width,
               .fn = fn,
               .user = user};
  r.rows = fv_alloc((size_t)n, sizeof *r.rows), r.spans = fv_alloc(1, sizeof *r.spans);
  if (n > 1) r.gathered = fv_alloc((size_t)(n * s->width), sizeof *r.gathered);
  if (!r.rows || !r.spans || (n > 1 && !r.gathered)) {
    fv_read_release(&r);
    return fv_fail(err, FV_ENOMEM, "no memory");
  }
  for (int64_t k = 0; k < n; k++) r.rows[k] = T - n + k;
  r.spans[0] = (fv_span){0, s->width};
  if (w->options.generate) w->runs[run].keep = true;
  return add_read(w, r, err);
}

/* FNV-1a over the bit patterns: equal hashes stand for equal bits. */
static uint64_t hash_floats(uint64_t h, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    h = (h ^ bits) * 0x100000001b3u;
    h ^= h >> 29;
  }
  return h;
}

fv_status fv_read_row(fv_wave *w, fv_read *r, int64_t index, const float *x, fv_error *err) {
  float *out = r->out ? r->out + index * r->width : NULL;
  for (int i = 0; i < r->nspans; i++) {
    int64_t n = r->spans[i].hi - r->spans[i].lo;
    r->hash ^= hash_floats(0xcbf29ce484222325u + (uint64_t)index, x + r->spans[i].lo, n);
    if (out) memcpy(out, x + r->spans[i].lo, (size_t)n * sizeof *out), out += n;
  }
  if (r->out) return FV_OK;
  if (r->gathered) {
    memcpy(r->gathered + index * r->width, x, (size_t)r->width * sizeof *x);
    if (++r->delivered < r->nrows) return FV_OK;
    r->delivered = 0, x = r->gathered;
  }
  fv_run *run = &w->runs[r->run];
  int64_t V = r->nrows * r->width;
  run->best_id = 0;
  for (int64_t v = 1; run->keep && v < V; v++)
    if (x[v] > x[run->best_id]) run->best_id = (int32_t)v;
  return r->fn && !w->silent ? r->fn(r->user, r->run, x, V, err) : FV_OK;
}

void fv_read_keys(fv_read *r, int64_t index, int64_t head, fv_keys keys) {
  int64_t per_head = r->width / r->nheads;
  for (int64_t h = 0; h < r->nheads; h++) {
    if (r->heads[h] != head) continue;
    float *out = r->out + index * r->width + h * per_head;
    fv_keys_copy(r->spans, r->nspans, r->part, keys, out);
    uint64_t hash = hash_floats(0xcbf29ce484222325u + (uint64_t)(index * r->nheads + h), out, per_head);
#pragma omp atomic
    r->hash ^= hash;
  }
}
