/* Computing a wave: passes that fit the memory, their cost, and the comparison with the oracle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

/* What the wave's activations may take: its own limit, and what the model's limit leaves besides packed weights. */
static size_t activation_limit(const fv_wave *w) {
  const fv_model *m = w->model;
  size_t own = w->options.memory, left = m->memory;
  if (m->memory && !m->streamed) left -= m->weight_bytes;
  if (w->outer || left == 0) return own; /* of a wave that continues another: its one row a run is not in the way */
  return own && own < left ? own : left;
}

/* A large number of reads from `first` on whose pass fits the memory, found by halving from what fitted before (0: not
 * known); lays that pass out. */
static fv_status fit(fv_wave *w, int first, int before, int *last, fv_error *err) {
  enum { SLICE_BYTES = 1 << 20 }; /* what the lists of a slice may take in any case */
  size_t limit = activation_limit(w), lists = limit / 4 > SLICE_BYTES ? limit / 4 : SLICE_BYTES;
  int left = w->nreads - first;
  for (int n = before > 0 && before < left ? before : left;; n = (n + 1) / 2) {
    size_t peak;
    w->slice_limit = limit && n > 1 && !w->options.generate ? lists : 0;
    fv_status st = fv_layout(w, first, first + n, &peak, err);
    if (st == FV_ENOMEM && w->slice_limit && w->slice_bytes > w->slice_limit) continue;
    if (st) return st;
    if (!limit || peak <= limit) return w->memory_size = peak, *last = first + n, FV_OK;
    if (n == 1 || w->options.generate)
      return fv_fail(err, FV_ENOMEM, "%s needs %zu MiB of activations and may use %zu MiB; raise --memory",
                     n == 1 ? "one run" : "the wave", (peak >> 20) + 1, limit >> 20);
  }
}

/* Slicing anew frees the keys and values that generation continues from. */
static fv_status check_planning(const fv_wave *w, fv_error *err) {
  if (!w->computed || !w->options.generate) return FV_OK;
  return fv_fail(err, FV_EUSAGE, "what a wave that generates costs is asked before it is computed");
}

/* Key rows that a computed row of this run attends to. */
static int64_t keys_of(const fv_wave *w, const fv_step *s, const fv_entry *e, int64_t k) {
  if (s->kind != FV_KIND_ATTEND) return 0;
  fv_span seen =
      fv_step_sees(s, w->runs[e->run].input, e->row[k], w->runs[e->run].T[w->model->plan->steps[s->in[1]].space]);
  return seen.hi - seen.lo;
}

static double slot_flops(const fv_wave *w, int step) {
  const fv_plan *p = w->model->plan;
  const fv_step *s = &p->steps[step];
  const fv_slot *slot = &w->slots[step];
  if (s->kind != FV_KIND_ATTEND) return (double)slot->computed * fv_step_flops(p, step, 0);
  double flops = 0.0;
  for (int64_t i = 0; i < slot->nentries; i++)
    for (int64_t k = 0; k < slot->entries[i].n; k++)
      if (fv_entry_mode(&slot->entries[i], k) == FV_ROW_COMPUTED)
        flops += fv_step_flops(p, step, keys_of(w, s, &slot->entries[i], k));
  return flops;
}

/* The steps that some read of the wave depends on: a run computed alone needs these and no others. */
static void mark_used(const fv_wave *w, bool *used) {
  const fv_plan *p = w->model->plan;
  for (int i = 0; i < w->nreads; i++) used[w->reads[i].step] = true;
  for (int s = p->nsteps - 1; s >= 0; s--)
    for (int k = 0; used[s] && k < fv_kind_inputs(p->steps[s].kind); k++) used[p->steps[s].in[k]] = true;
}

static double full_flops(const fv_wave *w, const bool *used, int run) {
  const fv_plan *p = w->model->plan;
  double flops = 0.0;
  for (int i = 0; i < p->nsteps; i++) {
    const fv_step *s = &p->steps[i];
    if (!used[i]) continue;
    int64_t T = w->runs[run].T[s->space], S = s->kind == FV_KIND_ATTEND ? fv_wave_keys(w, i, run) : 0;
    if (s->kind != FV_KIND_ATTEND) flops += (double)T * fv_step_flops(p, i, S);
    for (int64_t t = 0, n; s->kind == FV_KIND_ATTEND && t < T; t += n) {
      fv_span group = fv_input_group(w->runs[run].input, s->space, t), seen = fv_step_sees(s, w->runs[run].input, t, S);
      n = (group.hi < T ? group.hi : T) - t;
      double keys = s->causal ? (double)(n + 1) / 2.0 : (double)(seen.hi - seen.lo);
      flops += fv_step_flops(p, i, 1) * (double)n * keys;
    }
  }
  return flops;
}

static size_t held_weights(const fv_model *m, int step) {
  const fv_step *s = &m->plan->steps[step];
  return m->streamed && s->kind == FV_KIND_LINEAR ? (size_t)s->width * sizeof(float) : fv_model_step_bytes(m, step);
}

/* Adds the pass that is laid out; `used` collects the steps whose weights are counted already. */
static void add_pass_cost(const fv_wave *w, bool *used, fv_cost *out) {
  for (int s = 0; s < w->model->plan->nsteps; s++) {
    if (w->slots[s].computed == 0) continue;
    out->rows += w->slots[s].computed;
    out->flops += slot_flops(w, s);
    if (!used[s]) used[s] = true, out->weights += held_weights(w->model, s);
    out->streamed += fv_model_stored_bytes(w->model, s);
  }
  if (w->memory_size > out->memory) out->memory = w->memory_size;
  out->parts++;
}

fv_status fv_wave_compute(fv_wave *w, const fv_progress *progress, fv_error *err) {
  if (w->computed) return fv_fail(err, FV_EUSAGE, "the wave has been computed already");
  bool *used = fv_alloc((size_t)w->model->plan->nsteps, sizeof *used);
  fv_status st = used ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  double n = (double)w->nreads;
  w->computed = true;
  for (int first = 0, last = 0, before = 0; first < w->nreads && !st; before = last - first, first = last) {
    st = fit(w, first, before, &last, err);
    if (!st) add_pass_cost(w, used, &w->cost);
    if (!st) st = fv_compute(w, first, last, progress, first / n, (last - first) / n, err);
  }
  free(used);
  w->finished = st == FV_OK;
  return st;
}

fv_status fv_wave_cost(fv_wave *w, fv_cost *out, fv_error *err) {
  int nsteps = w->model->plan->nsteps;
  fv_status st = check_planning(w, err);
  if (st) return st;
  bool *used = fv_alloc((size_t)nsteps, sizeof *used), *seen = fv_alloc((size_t)w->nruns, sizeof *seen);
  st = used && seen ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  *out = w->finished ? w->cost : (fv_cost){0}; /* known from computing it */
  out->runs = w->nruns;
  for (int first = 0, last = 0, before = 0; first < w->nreads && !w->finished && !st;
       before = last - first, first = last) {
    st = fit(w, first, before, &last, err);
    if (!st) add_pass_cost(w, used, out);
  }
  if (!st) memset(used, 0, (size_t)nsteps * sizeof *used), mark_used(w, used);
  for (int i = 0; i < w->nreads && !st; i++)
    if (!seen[w->reads[i].run]) seen[w->reads[i].run] = true, out->full_flops += full_flops(w, used, w->reads[i].run);
  free(used), free(seen);
  return st;
}

fv_status fv_wave_explain(fv_wave *w, char **text, fv_error *err) {
  const fv_plan *p = w->model->plan;
  int last;
  fv_status st = check_planning(w, err);
  if (!st) st = fit(w, 0, 0, &last, err);
  if (st) return st;
  size_t size;
  FILE *f = open_memstream(text, &size);
  if (!f) return fv_fail(err, FV_ENOMEM, "no memory");
  fprintf(f, "%-5s %-10s %-30s %8s %10s %10s %10s %12s %10s\n", "step", "op", "site", "width", "rows", "reach", "need",
          "Mflop", "KiB");
  for (int i = 0; i < p->nsteps; i++) {
    const fv_step *s = &p->steps[i];
    char site[80] = "";
    if (s->site && s->layer >= 0)
      snprintf(site, sizeof site, "%s.%d.%s", p->stacks[s->stack].name, s->layer, s->site);
    else if (s->site)
      snprintf(site, sizeof site, "%s.%s", p->stacks[s->stack].name, s->site);
    int64_t reach = 0, need = 0;
    for (int r = 0; r < w->nruns; r++) {
      if (w->first[r] > i) continue;
      reach += fv_rowset_count(fv_reach_set(w, i, r), w->words[s->space]);
      need += fv_rowset_count(fv_need_set(w, i, r), w->words[s->space]);
    }
    const fv_slot *slot = &w->slots[i];
    fprintf(f, "%-5d %-10s %-30s %8lld %10lld %10lld %10lld %12.3f %10zu\n", i, fv_kind_text(s->kind), site,
            (long long)s->width, (long long)slot->computed, (long long)reach, (long long)need, slot_flops(w, i) / 1e6,
            (size_t)(slot->rows * s->width) * sizeof(float) >> 10);
  }
  return fclose(f) == 0 ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Computes one run alone and compares the hashes of its reads. */
static fv_status check_one(fv_wave *w, int run, fv_error *err) {
  uint64_t *hash = fv_alloc((size_t)w->nreads, sizeof *hash);
  if (!hash) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < w->nreads; i++) hash[i] = w->reads[i].hash;
  fv_status st = fv_run_full(w, run, NULL, NULL, err);
  bool equal = true;
  for (int i = 0; i < w->nreads; i++) equal &= w->reads[i].hash == hash[i];
  free(hash);
  if (st || equal) return st;
  return fv_fail(err, FV_EMISMATCH, "run %d computed alone has other bits than in the wave", run);
}

fv_status fv_wave_check(fv_wave *w, double percent, uint64_t seed, int64_t *checked, fv_error *err) {
  *checked = 0;
  if (!(percent > 0.0 && percent <= 100.0))
    return fv_fail(err, FV_EUSAGE, "check %g: expected more than 0 and at most 100 percent", percent);
  if (!w->finished) return fv_fail(err, FV_EUSAGE, "a wave is checked after it has been computed");
  int *runs = fv_alloc((size_t)w->nreads, sizeof *runs), n = 0;
  if (!runs) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < w->nreads; i++) {
    bool known = false;
    for (int k = n - 1; k >= 0 && !known; k--) known = runs[k] == w->reads[i].run;
    if (!known) runs[n++] = w->reads[i].run;
  }
  int want = (int)((double)n * percent / 100.0 + 0.999999);
  fv_status st = FV_OK;
  for (int i = 0; i < want && i < n && !st; i++) {
    int k = i + (int)(next_random(&seed) % (uint64_t)(n - i)), run = runs[k];
    runs[k] = runs[i];
    st = check_one(w, run, err);
    if (!st) ++*checked;
  }
  free(runs);
  return st;
}
