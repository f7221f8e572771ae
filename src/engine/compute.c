/* The executor of a wave: every step once, on the live rows of all runs stacked. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

static const fv_entry *entry_of(const fv_wave *w, int step, int run) {
  const fv_slot *slot = &w->slots[step];
  return slot->entry_of && slot->entry_of[run] >= 0 ? &slot->entries[slot->entry_of[run]] : NULL;
}

/* The first of n ascending numbers that is not below `least`. A generation's wave holds one row, far down the list. */
static int64_t first_at_least(const int32_t *rows, int64_t n, int32_t least) {
  int64_t lo = 0;
  while (n > 0) {
    int64_t half = n / 2;
    if (rows[lo + half] < least)
      lo += half + 1, n -= half + 1;
    else
      n = half;
  }
  return lo;
}

void fv_resolve(const fv_wave *w, int step, int run, const int32_t *rows, int64_t n, const float **out) {
  int64_t width = w->model->plan->steps[step].width, left = n;
  memset(out, 0, (size_t)n * sizeof *out);
  while (left > 0) {
    const fv_entry *e = entry_of(w, step, run);
    const float *data = w->slots[step].data;
    int64_t start = e && e->n > 0 ? first_at_least(rows, n, e->row[0]) : 0;
    for (int64_t i = start, k = 0; e && i < n && k < e->n;) {
      if (e->row[k] < rows[i])
        k++;
      else if (e->row[k] > rows[i])
        i++;
      else {
        if (!out[i]) out[i] = data + fv_entry_at(e, k) * width, left--;
        i++, k++;
      }
    }
    const fv_run *r = &w->runs[run];
    if (r->parent >= 0)
      run = r->parent;
    else if (r->outer >= 0)
      run = r->outer, w = w->outer;
    else
      return;
  }
}

static const float *resolve_row(const fv_wave *w, int step, int run, int32_t row) {
  const float *x = NULL;
  fv_resolve(w, step, run, &row, 1, &x);
  return x;
}

/* Fills the pass's row lists and input pointers for the computed rows of a step. */
static void gather_rows(fv_pass *p, int step) {
  fv_wave *w = p->w;
  const fv_step *s = &w->model->plan->steps[step];
  const fv_slot *slot = &w->slots[step];
  fv_rule rule = fv_kind_rule(s->kind);
  int64_t at = 0;
  for (int64_t i = 0; i < slot->nentries; i++) {
    const fv_entry *e = &slot->entries[i];
    const fv_run *run = &w->runs[e->run];
    int64_t n = 0;
    for (int64_t k = 0; k < e->n; k++) {
      if (fv_entry_mode(e, k) != FV_ROW_COMPUTED) continue;
      p->row[at + n] = e->row[k], p->run[at + n] = e->run;
      p->place[at + n] = e->row[k] - (int32_t)fv_input_group(run->input, s->space, e->row[k]).lo;
      if (s->kind == FV_KIND_TOKENS) p->id[at + n] = run->ids[s->space][e->row[k]];
      n++;
    }
    if (s->kind == FV_KIND_PIXELS)
      for (int64_t k = 0; k < n; k++) p->in[0][at + k] = run->pixels + p->row[at + k] * s->width;
    int inputs = rule == FV_RULE_SAME ? fv_kind_inputs(s->kind) : rule == FV_RULE_ATTEND ? 1 : 0;
    for (int k = 0; k < inputs; k++) fv_resolve(w, s->in[k], e->run, p->row + at, n, p->in[k] + at);
    if (rule == FV_RULE_PICK)
      for (int64_t k = 0; k < n; k++) p->in[0][at + k] = resolve_row(w, s->in[0], e->run, (int32_t)s->pick);
    if (rule == FV_RULE_POOL) {
      const int64_t *stands = run->input->texts[w->model->plan->spaces[s->space].texts_of].stands;
      for (int64_t k = 0; k < n; k++)
        p->in[0][at + k] = resolve_row(w, s->in[0], e->run, (int32_t)stands[p->row[at + k]]);
    }
    if (rule == FV_RULE_PICTURE || rule == FV_RULE_SHIFT || rule == FV_RULE_SKIP)
      for (int64_t k = 0; k < n; k++) {
        int64_t from = fv_step_from(s, run->input, p->row[at + k]);
        p->in[0][at + k] = from < 0 ? NULL : resolve_row(w, s->in[0], e->run, (int32_t)from);
      }
    if (rule == FV_RULE_SPLICE)
      for (int64_t k = 0; k < n; k++) {
        int64_t from = fv_input_spliced(run->input, s->space, p->row[at + k]);
        p->in[0][at + k] = from < 0 ? resolve_row(w, s->in[0], e->run, p->row[at + k])
                                    : resolve_row(w, s->in[1], e->run, (int32_t)from);
      }
    at += n;
  }
}

/* Rows that are not computed, and the edits of all rows, in the order of the runs: a parent's rows are final before its
 * children copy them. */
static void finish_rows(fv_wave *w, int step) {
  const fv_step *s = &w->model->plan->steps[step];
  fv_slot *slot = &w->slots[step];
  for (int64_t i = 0; i < slot->nentries; i++) {
    const fv_entry *e = &slot->entries[i];
    const fv_run *run = &w->runs[e->run];
    for (int64_t k = 0; k < e->n; k++) {
      float *x = slot->data + fv_entry_at(e, k) * s->width;
      fv_mode mode = fv_entry_mode(e, k);
      const float *from = NULL;
      if (mode == FV_ROW_COPIED)
        from = run->parent >= 0 ? resolve_row(w, step, run->parent, e->row[k])
                                : resolve_row(w->outer, step, run->outer, e->row[k]);
      if (from) memcpy(x, from, (size_t)s->width * sizeof *x);
      if (mode == FV_ROW_BLANK) memset(x, 0, (size_t)s->width * sizeof *x);
      for (int c = fv_chain_start(run, step, e->row[k], mode); c < run->nchain; c++) {
        const fv_edit *edit = run->chain[c];
        if (edit->step != step || edit->part != FV_PART_OUT) continue;
        const float *source = NULL;
        if (edit->source >= 0 && e->row[k] < edit->T && fv_rowset_has(edit->rows, e->row[k]))
          source = resolve_row(w, edit->source_step, edit->source, (int32_t)edit->source_row[e->row[k]]);
        fv_edit_row(edit, e->row[k], x, source);
      }
    }
  }
}

/* Hands one read its rows; of a streamed slot those that lie in [lo, hi). */
static fv_status deliver_read(const fv_pass *p, int step, fv_read *r, int64_t lo, int64_t hi, fv_error *err) {
  fv_wave *w = p->w;
  const fv_slot *slot = &w->slots[step];
  int64_t width = w->model->plan->steps[step].width;
  for (int64_t k = 0; k < r->nrows; k++) {
    const float *x = resolve_row(w, step, r->run, (int32_t)r->rows[k]);
    if (slot->streamed) {
      int64_t at = (x - slot->data) / width;
      if (at < lo || at >= hi) continue;
      x -= lo * width;
    }
    if (!x) return fv_fail(err, FV_EINTERNAL, "run %d: row %lld was not computed", r->run, (long long)r->rows[k]);
    if (!fv_all_finite(x, width))
      return fv_fail(err, FV_ENONFINITE, "run %d: %s row %lld is not finite; an edit or a weight is too large", r->run,
                     w->model->plan->steps[step].site, (long long)r->rows[k]);
    fv_status st = fv_read_row(w, r, k, x, err);
    if (st) return st;
  }
  return FV_OK;
}

/* Readouts that several threads may call at once. The first of those that fail is the one that is told. */
static fv_status deliver_threaded(const fv_pass *p, int step, int64_t lo, int64_t hi, fv_error *err) {
  fv_wave *w = p->w;
  int first = p->read_first[step], last = p->read_first[step + 1], failed = last;
  fv_status status = FV_OK;
#pragma omp parallel for schedule(dynamic, 8) num_threads(fv_kernels_threads(w->model->kernels))
  for (int i = first; i < last; i++) {
    fv_read *r = &w->reads[p->reads[i]];
    fv_error mine = {0};
    if (r->part != FV_PART_OUT || w->runs[r->run].is_parent) continue;
    fv_status st = deliver_read(p, step, r, lo, hi, &mine);
    if (!st) continue;
#pragma omp critical(fv_deliver)
    if (i < failed) {
      failed = i, status = st;
      if (err) *err = mine;
    }
  }
  return status;
}

/* Hands out the rows of the reads at this step; of a streamed slot those that lie in [lo, hi). */
static fv_status deliver(const fv_pass *p, int step, int64_t lo, int64_t hi, fv_error *err) {
  fv_wave *w = p->w;
  bool threaded = w->options.threaded && step == w->model->plan->output && !w->options.generate;
  fv_status st = FV_OK;
  for (int i = p->read_first[step]; i < p->read_first[step + 1] && !st; i++) {
    fv_read *r = &w->reads[p->reads[i]];
    if (r->part == FV_PART_OUT && (!threaded || w->runs[r->run].is_parent)) st = deliver_read(p, step, r, lo, hi, err);
  }
  return st || !threaded ? st : deliver_threaded(p, step, lo, hi, err);
}

static fv_status compute_step(fv_pass *p, int step, fv_error *err) {
  fv_wave *w = p->w;
  const fv_plan *plan = w->model->plan;
  fv_slot *slot = &w->slots[step];
  if (slot->rows == 0) return FV_OK;
  gather_rows(p, step);
  if (plan->steps[step].kind == FV_KIND_ATTEND) {
    fv_status st = fv_attention_compute(p, step, err);
    if (st) return st;
  }
  int64_t piece = slot->streamed && slot->rows > FV_STREAM_ROWS ? FV_STREAM_ROWS : slot->computed;
  for (int64_t lo = 0; lo < slot->computed && plan->steps[step].kind != FV_KIND_ATTEND; lo += piece) {
    int64_t n = slot->computed - lo < piece ? slot->computed - lo : piece;
    fv_step_job job = {.model = w->model,
                       .step = step,
                       .n = n,
                       .row = p->place + lo,
                       .id = p->id + lo,
                       .y = slot->data,
                       .scratch = p->scratch};
    for (int k = 0; k < 3; k++) job.in[k] = p->in[k] + lo;
    fv_status st = fv_step_compute(&job, err);
    if (!st && slot->streamed) st = deliver(p, step, lo, lo + n, err);
    if (st) return st;
  }
  if (fv_wave_edited(w, step)) finish_rows(w, step);
  return slot->streamed ? FV_OK : deliver(p, step, 0, slot->rows, err);
}

static void pass_release(fv_pass *p) {
  for (int k = 0; k < 3; k++) free(p->in[k]);
  free(p->row), free(p->place), free(p->run), free(p->id), free(p->visible), free(p->first_key), free(p->scratch),
      free(p->read_first), free(p->reads);
  fv_attention_release(p);
}

/* The reads of this pass, grouped by step. */
static bool index_reads(fv_pass *p) {
  const fv_wave *w = p->w;
  int nsteps = w->model->plan->nsteps, n = p->last - p->first;
  p->read_first = fv_alloc((size_t)nsteps + 2, sizeof *p->read_first);
  p->reads = fv_alloc((size_t)n, sizeof *p->reads);
  if (!p->read_first || !p->reads) return false;
  for (int i = p->first; i < p->last; i++) p->read_first[w->reads[i].step + 2]++;
  for (int s = 0; s < nsteps; s++) p->read_first[s + 2] += p->read_first[s + 1];
  for (int i = p->first; i < p->last; i++) p->reads[p->read_first[w->reads[i].step + 1]++] = i;
  return true;
}

static fv_status pass_prepare(fv_pass *p, fv_error *err) {
  fv_wave *w = p->w;
  int64_t most = 1;
  for (int s = 0; s < w->model->plan->nsteps; s++)
    if (w->slots[s].computed > most) most = w->slots[s].computed;
  for (int k = 0; k < 3; k++) p->in[k] = fv_alloc((size_t)most, sizeof *p->in[k]);
  p->place = fv_alloc((size_t)most, sizeof *p->place);
  p->row = fv_alloc((size_t)most, sizeof *p->row), p->run = fv_alloc((size_t)most, sizeof *p->run);
  p->id = fv_alloc((size_t)most, sizeof *p->id), p->visible = fv_alloc((size_t)most, sizeof *p->visible);
  p->first_key = fv_alloc((size_t)most, sizeof *p->first_key);
  p->scratch = fv_alloc_aligned(1, fv_step_scratch(w->model));
  if (!p->in[0] || !p->in[1] || !p->in[2] || !p->row || !p->place || !p->run || !p->id || !p->visible ||
      !p->first_key || !p->scratch || !index_reads(p))
    return fv_fail(err, FV_ENOMEM, "no memory for %lld rows", (long long)most);
  return fv_attention_prepare(p, err);
}

/* Streamed weights of the coming steps are asked for from the disk while this one computes. `next` is the first step
 * that has not been asked for, `ahead` the bytes asked for and not used. */
static void prefetch(const fv_wave *w, int step, int *next, size_t *ahead) {
  const size_t enough = (size_t)256 << 20;
  for (; *next < w->model->plan->nsteps && (*next <= step || *ahead < enough); ++*next) {
    if (w->slots[*next].computed == 0) continue;
    fv_model_prefetch(w->model, *next);
    *ahead += fv_model_stored_bytes(w->model, *next);
  }
  if (w->slots[step].computed > 0) *ahead -= fv_model_stored_bytes(w->model, step);
}

static double step_cost(const fv_wave *w, int step) {
  const fv_plan *plan = w->model->plan;
  int64_t S = plan->steps[step].kind == FV_KIND_ATTEND ? 64 * w->words[plan->steps[plan->steps[step].in[1]].space] : 0;
  return (double)w->slots[step].computed * (fv_step_flops(plan, step, S) + 1.0);
}

fv_status fv_compute(fv_wave *w, int first, int last, const fv_progress *progress, double done, double share,
                     fv_error *err) {
  int nsteps = w->model->plan->nsteps;
  bool *needed = fv_alloc((size_t)nsteps, sizeof *needed);
  fv_pass pass = {.w = w, .first = first, .last = last};
  if (!needed) return fv_fail(err, FV_ENOMEM, "no memory");
  double total = 0.0, at = 0.0;
  int next = 0;
  size_t ahead = 0;
  for (int s = 0; s < nsteps; s++) needed[s] = w->slots[s].computed > 0, total += step_cost(w, s);
  fv_status st = fv_model_bind((fv_model *)(uintptr_t)w->model, needed, err);
  free(needed);
  /* The next pass of a split wave takes the block of the one before: the kernel clears every new page. */
  if (!st && (!w->memory || w->memory_room < w->memory_size)) {
    free(w->memory);
    w->memory = fv_alloc_aligned(w->memory_size, 1);
    w->memory_room = w->memory ? w->memory_size : 0;
  }
  if (!st && !w->memory) st = fv_fail(err, FV_ENOMEM, "no memory for %zu bytes of activations", w->memory_size);
  for (int s = 0; s < nsteps && !st; s++) w->slots[s].data = (float *)(void *)(w->memory + w->slots[s].offset);
  if (!st) st = pass_prepare(&pass, err);
  for (int s = 0; s < nsteps && !st; s++) {
    if (w->model->streamed) prefetch(w, s, &next, &ahead);
    st = compute_step(&pass, s, err);
    at += step_cost(w, s);
    if (!st && progress && progress->fn && w->slots[s].rows > 0 &&
        !progress->fn(progress->user, done + share * at / total))
      st = fv_fail(err, FV_ECANCELLED, "stopped on request");
  }
  pass_release(&pass);
  return st;
}
