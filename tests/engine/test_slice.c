/* Slicing against a count by hand: for every run, step and row one asks whether it differs from the parent's and
 * whether somebody needs it, by walking the plan one row at a time. Rows that differ must be reached, rows computed
 * must be exactly those reached and needed, and what fv_wave_cost says must be what computing does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/random_wave.h"
#include "support/vectors.h"

enum { MODELS = 10, WAVES = 16, MOST_ROWS = 128 };

typedef struct walk {
  const fv_wave *w;
  const fv_plan *p;
  int8_t *reached, *visited; /* [step][run][row]; reached: 0 not known, 1 no, 2 yes */
  int64_t *computed;         /* per step */
  bool wanted[RANDOM_RUNS];  /* it is read, or a run that is wanted falls back on it or copies from it */
} walk;

static void find_wanted(walk *k) {
  for (int i = 0; i < k->w->nreads; i++) k->wanted[k->w->reads[i].run] = true;
  for (int r = k->w->nruns - 1; r >= 0; r--) {
    const fv_run *run = &k->w->runs[r];
    if (k->wanted[r] && run->parent >= 0) k->wanted[run->parent] = true;
    for (int i = 0; i < run->nchain && k->wanted[r]; i++)
      if (run->chain[i]->source >= 0) k->wanted[run->chain[i]->source] = true;
  }
}

static size_t cell(int step, int run, int64_t row) {
  assert_true(row < MOST_ROWS);
  return ((size_t)step * RANDOM_RUNS + (size_t)run) * MOST_ROWS + (size_t)row;
}

static int64_t rows_of(const walk *k, int step, int run) { return k->w->runs[run].T[k->p->steps[step].space]; }

typedef void (*visit_fn)(walk *k, int step, int run, int64_t row, bool *any);

/* Calls back for every input row that row t of the step is computed from. */
static void each_input(walk *k, int step, int run, int64_t t, visit_fn fn, bool *any) {
  const fv_step *s = &k->p->steps[step];
  switch (fv_kind_rule(s->kind)) {
    case FV_RULE_SOURCE: return;
    case FV_RULE_SAME:
      for (int i = 0; i < fv_kind_inputs(s->kind); i++) fn(k, s->in[i], run, t, any);
      return;
    case FV_RULE_SHIFT: { /* pictures of as many rows, each with a class row before its patches */
      int64_t rows = k->p->spaces[s->space].rows;
      if (t % rows > 0) fn(k, s->in[0], run, t / rows * (rows - 1) + t % rows - 1, any);
      return;
    }
    case FV_RULE_SKIP: {
      int64_t rows = k->p->spaces[s->space].rows;
      fn(k, s->in[0], run, t / rows * (rows + 1) + t % rows + 1, any);
      return;
    }
    case FV_RULE_SPLICE: {
      int64_t at = fv_input_spliced(k->w->runs[run].input, s->space, t);
      fn(k, s->in[at < 0 ? 0 : 1], run, at < 0 ? t : at, any);
      return;
    }
    case FV_RULE_PICK: fn(k, s->in[0], run, s->pick, any); return;
    case FV_RULE_POOL: {
      const fv_input *in = k->w->runs[run].input;
      fn(k, s->in[0], run, in->texts[k->p->spaces[s->space].texts_of].stands[t], any);
      return;
    }
    case FV_RULE_PICTURE: fn(k, s->in[0], run, t / k->p->spaces[s->space].rows, any); return;
    case FV_RULE_ATTEND: {
      fv_span seen = fv_step_sees(s, k->w->runs[run].input, t, rows_of(k, s->in[1], run));
      fn(k, s->in[0], run, t, any);
      for (int64_t r = seen.lo; r < seen.hi; r++) fn(k, s->in[1], run, r, any), fn(k, s->in[2], run, r, any);
    }
  }
}

static bool writes(const fv_edit *e, int step, int64_t t) {
  return e->step == step && t < e->T && fv_rowset_has(e->rows, t);
}

static bool reach(walk *k, int step, int run, int64_t t);

static void or_reach(walk *k, int step, int run, int64_t row, bool *any) { *any |= reach(k, step, run, row); }

static bool source_differs(const walk *k, int step, const fv_run *run, const fv_run *parent, int64_t t) {
  const fv_step *s = &k->p->steps[step];
  if (s->kind == FV_KIND_PIXELS)
    return memcmp(run->pixels + t * s->width, parent->pixels + t * s->width, (size_t)s->width * sizeof(float)) != 0;
  if (s->kind == FV_KIND_POOL) { /* another row stands for the text */
    int texts = k->p->spaces[s->space].texts_of;
    return run->input->texts[texts].stands[t] != parent->input->texts[texts].stands[t];
  }
  const fv_space *space = &k->p->spaces[s->space];
  if (s->kind == FV_KIND_SPLICE) /* another row is in its place */
    return fv_input_spliced(run->input, s->space, t) != fv_input_spliced(parent->input, s->space, t);
  if (s->kind != FV_KIND_TOKENS) return false;
  int64_t mine = fv_input_group(run->input, s->space, t).lo, theirs = fv_input_group(parent->input, s->space, t).lo;
  if (mine != theirs) return true; /* another position, and other rows before it */
  return (!space->causal && run->T[s->space] != parent->T[s->space]) ||
         run->ids[s->space][t] != parent->ids[s->space][t];
}

/* Whether the step itself would give the run another row than its parent's, leaving edits of the output aside. */
static bool computed_anew(walk *k, int step, int run, int64_t t) {
  const fv_run *r = &k->w->runs[run];
  if (r->parent < 0) return true;
  for (int i = r->first_own; i < r->nchain; i++)
    if (r->chain[i]->part != FV_PART_OUT && writes(r->chain[i], step, t)) return true;
  const fv_step *s = &k->p->steps[step];
  const fv_run *parent = &k->w->runs[r->parent];
  if (t >= parent->T[s->space] || source_differs(k, step, r, parent, t)) return true;
  bool grouped = k->p->spaces[s->space].patch_row >= 0; /* a picture's rows see their own picture only */
  if (s->kind == FV_KIND_ATTEND && !s->causal && !grouped &&
      rows_of(k, s->in[1], run) != rows_of(k, s->in[1], r->parent))
    return true;
  bool any = false;
  each_input(k, step, run, t, or_reach, &any);
  return any;
}

static int held_by(walk *k, int step, int run, int64_t t) {
  while (!reach(k, step, run, t)) run = k->w->runs[run].parent;
  return run;
}

/* A copy of what stands there already is no change. */
static bool changes(walk *k, const fv_edit *e, int step, int run, int64_t t) {
  if (!writes(e, step, t)) return false;
  bool copy = strcmp(e->op->name, "replace") == 0 && e->source >= 0 && e->part == FV_PART_OUT;
  if (!copy || e->source_step != step || e->source_row[t] != t || k->w->runs[run].parent < 0) return true;
  if (e->nspans != e->nsource_spans || memcmp(e->spans, e->source_spans, (size_t)e->nspans * sizeof *e->spans) != 0)
    return true;
  return held_by(k, step, k->w->runs[run].parent, t) != held_by(k, step, e->source, t);
}

static bool reach(walk *k, int step, int run, int64_t t) {
  int8_t *known = &k->reached[cell(step, run, t)];
  if (*known) return *known == 2;
  const fv_run *r = &k->w->runs[run];
  bool yes = computed_anew(k, step, run, t);
  for (int i = r->first_own; i < r->nchain && !yes; i++) yes = changes(k, r->chain[i], step, run, t);
  *known = yes ? 2 : 1;
  return yes;
}

/* Scores or patterns of the step are wanted by somebody: then no row of it is skipped. */
static bool inside_wanted(const walk *k, int step) {
  for (int i = 0; i < k->w->nreads; i++)
    if (k->w->reads[i].step == step && k->w->reads[i].part != FV_PART_OUT) return true;
  for (int i = 0; i < k->w->nedits; i++)
    if (k->w->edits[i]->source >= 0 && k->w->edits[i]->part != FV_PART_OUT && k->w->edits[i]->source_step == step &&
        k->wanted[k->w->edits[i]->run])
      return true;
  return false;
}

static int64_t keys_seen(const fv_wave *w, int step, int run, int64_t t) {
  const fv_step *s = &w->model->plan->steps[step];
  if (s->kind != FV_KIND_ATTEND) return 0;
  fv_span seen = fv_step_sees(s, w->runs[run].input, t, fv_wave_keys(w, step, run));
  return seen.hi - seen.lo;
}

static bool inside_edited(const walk *k, int step) {
  for (int i = 0; i < k->w->nedits; i++)
    if (k->w->edits[i]->step == step && k->w->edits[i]->part != FV_PART_OUT && k->wanted[k->w->edits[i]->run])
      return true;
  return false;
}

static void need(walk *k, int step, int run, int64_t t, bool *any) {
  (void)any;
  int8_t *seen = &k->visited[cell(step, run, t)];
  if (*seen) return;
  *seen = 1;
  const fv_run *r = &k->w->runs[run];
  if (!reach(k, step, run, t)) {
    need(k, step, r->parent, t, NULL);
    return;
  }
  bool anew = computed_anew(k, step, run, t), inside = inside_wanted(k, step), computes = anew;
  int from = anew ? 0 : r->first_own;
  for (int i = r->nchain - 1; i >= from; i--) {
    const fv_edit *e = r->chain[i];
    bool whole = e->part == FV_PART_OUT && e->nspans == 1 && e->width == k->p->steps[step].width && e->op->overwrites;
    if (!whole || !writes(e, step, t) || inside) continue;
    from = i, computes = false, anew = true; /* what was there before does not matter */
    break;
  }
  if (computes) k->computed[step]++;
  const fv_step *s = &k->p->steps[step];
  if (computes && keys_seen(k->w, step, run, t) == 1 && !inside && !inside_edited(k, step))
    need(k, s->in[2], run, fv_step_sees(s, r->input, t, fv_wave_keys(k->w, step, run)).lo, NULL);
  else if (computes)
    each_input(k, step, run, t, need, NULL);
  if (!anew) need(k, step, r->parent, t, NULL);
  for (int i = from; i < r->nchain; i++) {
    const fv_edit *e = r->chain[i];
    if (writes(e, step, t) && e->source >= 0 && (computes || e->part == FV_PART_OUT))
      need(k, e->source_step, e->source, e->source_row[t], NULL);
  }
}

static double row_flops(const fv_plan *p, int step, int64_t keys) {
  const fv_step *s = &p->steps[step];
  double N = (double)s->width;
  switch (s->kind) {
    case FV_KIND_LINEAR: return 2.0 * N * (double)p->steps[s->in[0]].width;
    case FV_KIND_ATTEND: return 2.0 * 2.0 * N * (double)keys;
    case FV_KIND_LAYERNORM: return 8.0 * N;
    case FV_KIND_RMSNORM:
    case FV_KIND_ROPE: return 4.0 * N;
    case FV_KIND_UNIT: return 3.0 * N;
    case FV_KIND_DOT: return 2.0 * (double)p->steps[s->in[0]].width;
    case FV_KIND_ACT: return 16.0 * N;
    case FV_KIND_ADD:
    case FV_KIND_MUL:
    case FV_KIND_OFFSET:
    case FV_KIND_GAIN:
    case FV_KIND_POSITION: return N;
    default: return 0.0;
  }
}

/* The rows in the slots that computing used, counted one by one. */
static void count_slots(random_wave *r, fv_cost *out) {
  const fv_wave *w = r->wave;
  const fv_plan *p = w->model->plan;
  for (int s = 0; s < p->nsteps; s++)
    for (int64_t i = 0; i < w->slots[s].nentries; i++) {
      const fv_entry *e = &w->slots[s].entries[i];
      for (int64_t n = 0; n < e->n; n++) {
        if (fv_entry_mode(e, n) != FV_ROW_COMPUTED) continue;
        out->rows++, out->flops += row_flops(p, s, keys_seen(w, s, e->run, e->row[n]));
      }
    }
}

static double flops_alone(const random_wave *r, int run) {
  const fv_plan *p = r->wave->model->plan;
  double sum = 0.0;
  for (int s = 0; s < p->nsteps; s++)
    for (int64_t t = 0; t < r->wave->runs[run].T[p->steps[s].space]; t++)
      sum += row_flops(p, s, keys_seen(r->wave, s, run, t));
  return sum;
}

static void compare_counts(random_wave *r, const fv_cost *cost) {
  const fv_wave *w = r->wave;
  walk k = {.w = w, .p = w->model->plan};
  size_t cells = (size_t)k.p->nsteps * RANDOM_RUNS * MOST_ROWS;
  k.reached = fv_alloc(cells, 1), k.visited = fv_alloc(cells, 1);
  k.computed = fv_alloc((size_t)k.p->nsteps, sizeof *k.computed);
  find_wanted(&k);
  for (int i = 0; i < w->nreads; i++)
    for (int64_t n = 0; n < w->reads[i].nrows; n++)
      need(&k, w->reads[i].step, w->reads[i].run, w->reads[i].rows[n], NULL);
  int64_t rows = 0;
  for (int s = 0; s < k.p->nsteps; s++) {
    rows += k.computed[s];
    if (k.computed[s] != w->slots[s].computed)
      random_wave_fail(r, "step %d (%s.%d.%s): %lld rows are computed, %lld are reached and needed", s,
                       k.p->stacks[k.p->steps[s].stack].name, k.p->steps[s].layer,
                       k.p->steps[s].site ? k.p->steps[s].site : "-", (long long)w->slots[s].computed,
                       (long long)k.computed[s]);
    for (int run = 0; run < w->nruns; run++)
      for (int64_t t = 0; t < rows_of(&k, s, run) && k.wanted[run]; t++)
        if (fv_rowset_has(fv_reach_set(w, s, run), t) != reach(&k, s, run, t))
          random_wave_fail(r, "step %d, run %d, row %lld: reach is not what walking finds", s, run, (long long)t);
  }
  if (rows != cost->rows)
    random_wave_fail(r, "%lld rows, fv_wave_cost says %lld", (long long)rows, (long long)cost->rows);
  free(k.reached), free(k.visited), free(k.computed);
}

static fv_status ignore(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)user, (void)run, (void)logits, (void)V, (void)err;
  return FV_OK;
}

/* Every row of every site, computed alone, against the parent's: where a bit differs, reach must have said so. */
static int compare_values(const fv_model *m, const random_inputs *in, uint64_t seed) {
  random_wave r;
  random_wave_new(m, in, seed, &r);
  fv_wave *w = r.wave;
  const fv_plan *p = m->plan;
  float **data = fv_alloc((size_t)(p->nsites * r.nruns), sizeof *data);
  int differ = 0;
  while (w->nreads > 0) fv_read_release(&w->reads[--w->nreads]);
  for (int run = 0; run < r.nruns; run++) {
    for (int i = 0; i < p->nsites; i++) {
      fv_site_info info;
      fv_selection *s;
      size_t n;
      if (p->sites[i].part != FV_PART_OUT || !w->runs[run].pixels) continue;
      OK(fv_model_site(m, (size_t)i, &info, NULL, 0, ERR));
      strcat(info.address, "@*");
      OK(fv_address_resolve(m, w->runs[run].input, info.address, &s, &n, ERR));
      data[run * p->nsites + i] = fv_alloc((size_t)(s->nrows * s->width), sizeof **data);
      OK(fv_wave_read(w, run, s, data[run * p->nsites + i], ERR));
      fv_selection_release(s), free(s);
    }
    fv_error err;
    if (w->nreads && fv_run_full(w, run, ignore, NULL, &err)) random_wave_fail(&r, "run %d: %s", run, err.text);
    size_t peak;
    OK(fv_layout(w, 0, w->nreads, &peak, ERR));
    int parent = w->runs[run].parent;
    for (int i = 0; i < p->nsites && parent >= 0; i++) {
      const float *a = data[run * p->nsites + i], *b = data[parent * p->nsites + i];
      int step = p->sites[i].step;
      int64_t width = p->steps[step].width, P = w->runs[parent].T[p->steps[step].space];
      for (int64_t t = 0; a && b && t < w->runs[run].T[p->steps[step].space] && t < P; t++) {
        bool other = memcmp(a + t * width, b + t * width, (size_t)width * sizeof *a) != 0;
        differ += other;
        if (other && !fv_rowset_has(fv_reach_set(w, step, run), t))
          random_wave_fail(&r, "%s of run %d, row %lld, differs from its parent's and is not reached", p->sites[i].name,
                           run, (long long)t);
      }
    }
    while (w->nreads > 0) fv_read_release(&w->reads[--w->nreads]);
  }
  for (int i = 0; i < p->nsites * r.nruns; i++) free(data[i]);
  free(data);
  random_wave_release(&r);
  return differ;
}

/* whole: every step of the model is needed for its answer. */
static void one_wave(const fv_model *m, const random_inputs *in, uint64_t seed, bool whole, int64_t *rows) {
  random_wave r;
  random_wave_new(m, in, seed, &r);
  r.wave->options.generate = false;
  for (int i = 0; i < r.nruns; i++) r.wave->runs[i].keep = false;
  fv_cost cost, counted = {0};
  OK(fv_wave_cost(r.wave, &cost, ERR));
  assert_int_equal(cost.parts, r.wave->nreads > 0);
  assert_int_equal(cost.runs, r.nruns);
  if (r.wave->nreads > 0 && random_wave_compute(&r) == FV_OK) {
    count_slots(&r, &counted);
    if (counted.rows != cost.rows || fabs(counted.flops - cost.flops) > 1e-9 * cost.flops)
      random_wave_fail(&r, "computed %lld rows and %g flops, fv_wave_cost says %lld and %g", (long long)counted.rows,
                       counted.flops, (long long)cost.rows, cost.flops);
    compare_counts(&r, &cost);
    double alone = 0.0;
    for (int run = 0; run < r.nruns; run++) {
      bool any = r.readout[run];
      for (int i = 0; i < r.nreads; i++) any |= r.reads[i].run == run;
      if (any) alone += flops_alone(&r, run);
    }
    assert_true(!whole || fabs(alone - cost.full_flops) <= 1e-9 * alone);
    *rows += cost.rows;
  }
  random_wave_release(&r);
}

static void slices_are_what_walking_finds(void **state) {
  (void)state;
  int64_t rows = 0;
  int differ = 0;
  for (int i = 0; i < random_scale(MODELS) + 1; i++) {
    fv_rng rng;
    fv_rng_torch(&rng, 5000 + i);
    tiny_shape shape = tiny_shape_random(&rng);
    tiny_blip b;
    tiny_blip_new(&shape, (uint64_t)i, 1.0, &b);
    tiny_blip_save(&b);
    fv_model *m;
    random_inputs in;
    OK(fv_model_open(b.dir, &(fv_model_options){.threads = 1}, &m, ERR));
    random_inputs_new(m, &b, (uint64_t)i, &in);
    for (int k = 0; k < WAVES; k++) {
      one_wave(m, &in, (uint64_t)(900000 + i * 100 + k), true, &rows);
      differ += compare_values(m, &in, (uint64_t)(900000 + i * 100 + k));
    }
    random_inputs_release(&in);
    fv_model_close(m);
    tiny_blip_release(&b);
  }
  print_message("%lld rows computed as counted, %d rows differ from a parent's\n", (long long)rows, differ);
  assert_true(rows > 10000 && differ > 1000);
}

/* The families with rows that BLIP does not have: spliced, pooled, several texts, windows. */
static void slices_of_other_families(void **state) {
  (void)state;
  static const char *const names[] = {"clip/zip",    "clip/shards",     "llava/phi3", "llava/grouped",
                                      "llava/first", "blip_itm/shards", "vit/bare",   "blip_caption/shards"};
  int64_t rows = 0;
  int differ = 0;
  for (int i = 0; i < 8; i++) {
    fv_vectors v;
    random_inputs in;
    char *dir = fv_format("%s/%s", FV_TEST_DATA, names[i]);
    vectors_open(dir, &v);
    random_inputs_of(&v, &in);
    for (int k = 0; k < random_scale(WAVES); k++) {
      one_wave(v.model, &in, (uint64_t)(800000 + i * 100 + k), false, &rows);
      differ += compare_values(v.model, &in, (uint64_t)(800000 + i * 100 + k));
    }
    random_inputs_release(&in);
    vectors_close(&v);
    free(dir);
  }
  print_message("%lld rows computed as counted, %d rows differ from a parent's\n", (long long)rows, differ);
  assert_true(rows > 10000 && differ > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(slices_are_what_walking_finds),
                                     cmocka_unit_test(slices_of_other_families)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
