/* Slicing: which rows of which run are live at which step.
 *
 * reach goes forward over the row rules: the rows in which a run may differ from its parent. need goes backward from
 * the reads: the rows whose value somebody wants. A run holds reach and need; what it needs but does not reach it finds
 * in its parent, whose need grows by it. Both are exact for the row rules, so what is computed is a program slice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

enum { BLOCK_BYTES = 1 << 20 };

/* Memory of the slice's lists, released all at once. */
static void *take(fv_wave *w, size_t bytes) {
  bytes = (bytes + 7) & ~(size_t)7;
  w->slice_bytes += bytes;
  if (w->slice_limit && w->slice_bytes > w->slice_limit) return NULL;
  if (w->nblocks == 0 || w->block_size - w->block_used < bytes) {
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    if (!fv_grow(&w->blocks, &w->blocks_room, w->nblocks + 1, sizeof *w->blocks)) return NULL;
    void *block = malloc(size);
    if (!block) return NULL;
    w->blocks[w->nblocks++] = block;
    w->block_size = size, w->block_used = 0;
  }
  char *at = (char *)w->blocks[w->nblocks - 1] + w->block_used;
  w->block_used += bytes;
  return at;
}

void fv_slice_release(fv_wave *w) {
  for (size_t i = 0; i < w->nblocks; i++) free(w->blocks[i]);
  w->nblocks = 0, w->slice_bytes = 0;
  for (int s = 0; w->slots && s < w->nsets_steps; s++) free(w->slots[s].entries), free(w->slots[s].entry_of);
  free(w->slots), free(w->words), free(w->set_base), free(w->reach), free(w->need), free(w->edit_first),
      free(w->edits_by_step), free(w->first), free(w->rank), free(w->nothing), free(w->parts_wanted),
      free(w->parts_met);
  w->slots = NULL, w->words = NULL, w->set_base = NULL, w->reach = w->need = w->nothing = NULL;
  w->edit_first = w->first = w->rank = NULL, w->edits_by_step = NULL, w->parts_wanted = w->parts_met = NULL;
  w->memory_size = 0;
}

static int by_step(const void *a, const void *b) {
  const fv_edit *const *x = a, *const *y = b;
  return (*x)->step != (*y)->step ? ((*x)->step < (*y)->step ? -1 : 1) : (*x)->run - (*y)->run;
}

bool fv_wave_edited(const fv_wave *w, int step) { return w->edit_first[step] < w->edit_first[step + 1]; }

/* The runs that the reads first..last-1 depend on: their own, and what these fall back on or copy from. For each of
 * them the first step at which it may differ from its parent; nsteps for all others. */
static fv_status find_first_steps(fv_wave *w, int first, int last) {
  int nsteps = w->model->plan->nsteps, nspaces = w->model->plan->nspaces;
  w->first = fv_alloc((size_t)w->nruns, sizeof *w->first);
  if (!w->first) return FV_ENOMEM;
  for (int r = 0; r < w->nruns; r++) w->first[r] = w->runs[r].keep ? 0 : nsteps;
  for (int i = first; i < last; i++) w->first[w->reads[i].run] = 0;
  for (int r = w->nruns - 1; r >= 0; r--) { /* parents and sources come before the runs that need them */
    const fv_run *run = &w->runs[r];
    if (w->first[r] == nsteps) continue;
    if (run->parent >= 0) w->first[run->parent] = 0;
    for (int i = 0; i < run->nchain; i++)
      if (run->chain[i]->source >= 0 && run->outer < 0) w->first[run->chain[i]->source] = 0;
  }
  for (int r = 0; r < w->nruns; r++) {
    const fv_run *run = &w->runs[r], *parent = run->parent >= 0 ? &w->runs[run->parent] : NULL;
    bool same = w->first[r] == 0 && parent && run->input == parent->input && run->pixels == parent->pixels;
    for (int i = 0; same && i < nspaces; i++) same = run->T[i] == parent->T[i] && run->ids[i] == parent->ids[i];
    if (!same) continue;
    w->first[r] = nsteps;
    for (int i = run->first_own; i < run->nchain; i++)
      if (run->chain[i]->step < w->first[r]) w->first[r] = run->chain[i]->step;
  }
  return FV_OK;
}

/* Continuations keep the edits of the waves before, so the index goes over the chains, not over this wave's own edits.
 */
static fv_status index_edits(fv_wave *w) {
  int nsteps = w->model->plan->nsteps;
  size_t n = 0, room = 0;
  for (int r = 0; r < w->nruns; r++) {
    const fv_run *run = &w->runs[r];
    for (int i = run->parent >= 0 ? run->first_own : 0; i < run->nchain && w->first[r] < nsteps; i++) {
      if (!fv_grow(&w->edits_by_step, &room, n + 1, sizeof *w->edits_by_step)) return FV_ENOMEM;
      w->edits_by_step[n++] = run->chain[i];
    }
  }
  w->edit_first = fv_alloc((size_t)nsteps + 1, sizeof *w->edit_first);
  w->parts_wanted = fv_alloc((size_t)nsteps, sizeof *w->parts_wanted);
  w->parts_met = fv_alloc((size_t)nsteps, sizeof *w->parts_met);
  if (!w->edit_first || !w->parts_wanted || !w->parts_met) return FV_ENOMEM;
  if (n > 1) qsort(w->edits_by_step, n, sizeof *w->edits_by_step, by_step);
  size_t at = 0;
  for (int s = 0; s <= nsteps; s++) {
    while (at < n && w->edits_by_step[at]->step < s) at++;
    w->edit_first[s] = (int)at;
  }
  /* A scores or pattern row exists only while its step computes the row; then overwriting z must not skip the step. */
  for (int i = 0; i < w->nreads; i++)
    if (w->reads[i].part != FV_PART_OUT) w->parts_wanted[w->reads[i].step] = true;
  for (size_t i = 0; i < n; i++)
    if (w->edits_by_step[i]->source_values) w->parts_wanted[w->edits_by_step[i]->source_step] = true;
  memcpy(w->parts_met, w->parts_wanted, (size_t)nsteps * sizeof *w->parts_met);
  for (size_t i = 0; i < n; i++)
    if (w->edits_by_step[i]->part != FV_PART_OUT) w->parts_met[w->edits_by_step[i]->step] = true;
  return FV_OK;
}

/* Runs in the order of their first steps: at a step only those before a certain place have sets. */
static fv_status rank_runs(fv_wave *w, int *below) {
  int nsteps = w->model->plan->nsteps;
  w->rank = fv_alloc((size_t)w->nruns, sizeof *w->rank);
  int *next = fv_alloc((size_t)nsteps + 1, sizeof *next);
  if (!w->rank || !next) return free(next), FV_ENOMEM;
  for (int r = 0; r < w->nruns; r++)
    if (w->first[r] < nsteps) below[w->first[r]]++;
  for (int s = 0, n = 0; s < nsteps; s++) next[s] = n, n += below[s], below[s] = n;
  for (int r = 0; r < w->nruns; r++)
    if (w->first[r] < nsteps) w->rank[r] = next[w->first[r]]++;
  free(next);
  return FV_OK;
}

static fv_status allocate_sets(fv_wave *w) {
  const fv_plan *p = w->model->plan;
  int64_t widest = 1;
  w->words = fv_alloc((size_t)p->nspaces, sizeof *w->words);
  w->set_base = fv_alloc((size_t)p->nsteps + 1, sizeof *w->set_base);
  w->slots = fv_alloc((size_t)p->nsteps, sizeof *w->slots);
  w->nsets_steps = p->nsteps;
  int *below = fv_alloc((size_t)p->nsteps + 1, sizeof *below); /* per step: runs that may differ there */
  fv_status st = w->words && w->set_base && w->slots && below ? rank_runs(w, below) : FV_ENOMEM;
  for (int i = 0; i < p->nspaces && !st; i++) {
    int64_t most = 1;
    for (int r = 0; r < w->nruns; r++)
      if (w->runs[r].T[i] > most) most = w->runs[r].T[i];
    w->words[i] = fv_rowset_words(most);
    if (w->words[i] > widest) widest = w->words[i];
  }
  for (int s = 0; s < p->nsteps && !st; s++)
    w->set_base[s + 1] = w->set_base[s] + (size_t)w->words[p->steps[s].space] * (size_t)below[s];
  free(below);
  if (st) return st;
  w->slice_bytes = 2 * w->set_base[p->nsteps] * sizeof *w->reach;
  if (w->slice_limit && w->slice_bytes > w->slice_limit) return FV_ENOMEM;
  w->reach = fv_alloc(w->set_base[p->nsteps], sizeof *w->reach);
  w->need = fv_alloc(w->set_base[p->nsteps], sizeof *w->need);
  w->nothing = fv_alloc((size_t)widest, sizeof *w->nothing);
  return w->reach && w->need && w->nothing ? FV_OK : FV_ENOMEM;
}

/* The run that a run falls back on, in this wave or in the one before. */
static const fv_run *parent_of(const fv_wave *w, const fv_run *run) {
  if (run->parent >= 0) return &w->runs[run->parent];
  return run->outer >= 0 ? &w->outer->runs[run->outer] : NULL;
}

/* Rows of a token source that differ from the parent's. Where row counts differ, rows can only be told apart one by one
 * if nothing in the space looks at later rows. */
static void reach_tokens(const fv_space *space, int index, const fv_run *run, const fv_run *parent, fv_word *set) {
  int64_t T = run->T[index], P = parent->T[index];
  if (T != P && !space->causal) {
    fv_rowset_add_range(set, 0, T);
    return;
  }
  for (int64_t t = 0; t < T; t++)
    if (t >= P || run->ids[index][t] != parent->ids[index][t] ||
        fv_input_group(run->input, index, t).lo != fv_input_group(parent->input, index, t).lo)
      fv_rowset_add(set, t);
}

static void reach_attend(const fv_wave *w, const fv_step *s, int r, const fv_run *parent, fv_word *set, int64_t words,
                         int64_t T) {
  const fv_word *q = fv_reach_set(w, s->in[0], r), *k = fv_reach_set(w, s->in[1], r), *v = fv_reach_set(w, s->in[2], r);
  int key_space = w->model->plan->steps[s->in[1]].space;
  int64_t key_words = w->words[key_space];
  fv_rowset_or(set, q, words);
  bool grouped = fv_space_of_picture(&w->model->plan->spaces[s->space]); /* each picture's rows see their own only */
  if (!s->causal && !grouped && w->runs[r].T[key_space] != parent->T[key_space]) fv_rowset_add_range(set, 0, T);
  for (int64_t t = 0; t >= 0;) { /* key t is seen by the rows t..t+window-1 of its text, or by all behind it */
    int64_t a = fv_rowset_next(k, key_words, t), b = fv_rowset_next(v, key_words, t);
    t = a < 0 ? b : b < 0 ? a : a < b ? a : b;
    if (t < 0) break;
    fv_span group = fv_input_group(w->runs[r].input, s->space, t);
    int64_t end = group.hi < T ? group.hi : T;
    fv_rowset_add_range(set, s->causal ? t : group.lo, s->window > 0 && t + s->window < end ? t + s->window : end);
    t = s->window > 0 ? t + 1 : end;
    if (t >= T) break;
  }
}

/* A row may differ where another row stands in its place, or where the row that stands there differs. */
static void reach_splice(const fv_wave *w, const fv_step *s, int r, const fv_run *run, const fv_run *parent,
                         fv_word *set) {
  const fv_plan *p = w->model->plan;
  const fv_word *own = fv_reach_set(w, s->in[0], r), *other = fv_reach_set(w, s->in[1], r);
  int64_t T = run->T[s->space], P = parent->T[s->space], rows = run->T[p->steps[s->in[1]].space];
  bool moved = T != P && !p->spaces[s->space].causal;
  for (int64_t t = 0; t < T; t++) {
    int64_t mine = fv_input_spliced(run->input, s->space, t);
    bool same = !moved && t < P && mine == fv_input_spliced(parent->input, s->space, t) && mine < rows;
    if (!same || fv_rowset_has(mine < 0 ? own : other, mine < 0 ? t : mine)) fv_rowset_add(set, t);
  }
}

/* A text's row may differ where another row stands for the text, or where the row that does differs. */
static void reach_pool(const fv_wave *w, const fv_step *s, int r, const fv_run *run, const fv_run *parent,
                       fv_word *set) {
  int texts = w->model->plan->spaces[s->space].texts_of;
  const int64_t *mine = run->input->texts[texts].stands, *theirs = parent->input->texts[texts].stands;
  const fv_word *in = fv_reach_set(w, s->in[0], r);
  for (int64_t k = 0; k < run->T[s->space] && k < parent->T[s->space]; k++)
    if (mine[k] != theirs[k] || fv_rowset_has(in, mine[k])) fv_rowset_add(set, k);
}

/* Runs share their pictures by address; of several, some may be the parent's. */
static void reach_pixels(const fv_step *s, const fv_run *run, const fv_run *parent, fv_word *set) {
  if (run->pixels == parent->pixels) return;
  for (int64_t k = 0; k < run->T[s->space] && k < parent->T[s->space]; k++)
    if (memcmp(run->pixels + k * s->width, parent->pixels + k * s->width, (size_t)s->width * sizeof(float)) != 0)
      fv_rowset_add(set, k);
}

/* Rows of a PICTURE, SHIFT or SKIP step. */
static void reach_moved(const fv_wave *w, const fv_step *s, int r, const fv_run *run, fv_word *set) {
  const fv_word *in = fv_reach_set(w, s->in[0], r);
  for (int64_t t = 0; t < run->T[s->space]; t++) {
    int64_t from = fv_step_from(s, run->input, t);
    if (from >= 0 && fv_rowset_has(in, from)) fv_rowset_add(set, t);
  }
}

/* The run that holds a row which `run` sees at a step. */
static int holder(const fv_wave *w, int step, int run, int64_t t) {
  while (run >= 0 && !fv_rowset_has(fv_reach_set(w, step, run), t)) run = w->runs[run].parent;
  return run;
}

static bool same_columns(const fv_edit *e) {
  bool same = e->nspans == e->nsource_spans;
  for (int i = 0; i < e->nspans && same; i++)
    same = e->spans[i].lo == e->source_spans[i].lo && e->spans[i].hi == e->source_spans[i].hi;
  return same;
}

/* A copy from another run changes nothing in a row that both runs see in the same place: self-attention before the
 * picture has been looked at, for example. */
static void reach_replaced(const fv_wave *w, const fv_edit *e, int r, fv_word *set) {
  bool may_be_same = strcmp(e->op->name, "replace") == 0 && same_columns(e);
  FV_ROWSET_EACH(t, e->rows, fv_rowset_words(e->T)) {
    int held = holder(w, e->step, w->runs[r].parent, t);
    if (!may_be_same || e->source_row[t] != t || held < 0 || held != holder(w, e->step, e->source, t))
      fv_rowset_add(set, t);
  }
}

static void reach_step(fv_wave *w, int step, int r) {
  const fv_plan *p = w->model->plan;
  const fv_step *s = &p->steps[step];
  const fv_run *run = &w->runs[r], *parent = parent_of(w, run);
  fv_word *set = fv_own_set(w, w->reach, step, r);
  int64_t words = w->words[s->space], T = run->T[s->space];
  if (!parent) {
    fv_rowset_add_range(set, 0, T);
  } else {
    switch (fv_kind_rule(s->kind)) {
      case FV_RULE_SOURCE:
        if (s->kind == FV_KIND_TOKENS)
          reach_tokens(&p->spaces[s->space], s->space, run, parent, set);
        else
          reach_pixels(s, run, parent, set);
        break;
      case FV_RULE_SAME:
        for (int k = 0; k < fv_kind_inputs(s->kind); k++) fv_rowset_or(set, fv_reach_set(w, s->in[k], r), words);
        break;
      case FV_RULE_PICTURE:
      case FV_RULE_SHIFT:
      case FV_RULE_SKIP: reach_moved(w, s, r, run, set); break;
      case FV_RULE_SPLICE: reach_splice(w, s, r, run, parent, set); break;
      case FV_RULE_PICK:
        if (fv_rowset_has(fv_reach_set(w, s->in[0], r), s->pick)) fv_rowset_add_range(set, 0, T);
        break;
      case FV_RULE_POOL: reach_pool(w, s, r, run, parent, set); break;
      case FV_RULE_ATTEND: reach_attend(w, s, r, parent, set, words, T); break;
    }
    fv_rowset_add_range(set, parent->T[s->space], T); /* rows that the parent does not have */
  }
  if (!fv_wave_edited(w, step)) return;
  for (int i = run->first_own; i < run->nchain; i++) { /* inside the step: the row is computed anew */
    const fv_edit *e = run->chain[i];
    if (e->step == step && e->part != FV_PART_OUT) fv_rowset_or(set, e->rows, fv_rowset_words(e->T));
  }
  for (int i = run->first_own; i < run->nchain; i++)
    if (run->chain[i]->step == step) memcpy(run->chain[i]->before, set, (size_t)fv_rowset_words(T) * sizeof *set);
  for (int i = run->first_own; i < run->nchain; i++) {
    const fv_edit *e = run->chain[i];
    if (e->step != step || e->part != FV_PART_OUT) continue;
    if (e->source < 0 || e->source_step != step || !parent || run->outer >= 0)
      fv_rowset_or(set, e->rows, fv_rowset_words(e->T));
    else
      reach_replaced(w, e, r, set);
  }
}

static bool reached_without_edits(const fv_run *run, int step, int64_t t) {
  for (int i = run->first_own; i < run->nchain; i++)
    if (run->chain[i]->step == step) return fv_rowset_has(run->chain[i]->before, t);
  return true;
}

static bool overwrites_row(const fv_edit *e, int step, int64_t t) {
  return e->step == step && e->part == FV_PART_OUT && e->whole && e->op->overwrites && t < e->T &&
         fv_rowset_has(e->rows, t);
}

int fv_chain_start(const fv_run *run, int step, int64_t t, fv_mode mode) {
  if (mode == FV_ROW_COMPUTED) return 0;
  for (int i = run->nchain - 1; mode == FV_ROW_BLANK && i >= 0; i--)
    if (overwrites_row(run->chain[i], step, t)) return i;
  return run->first_own;
}

/* What happens to row t: overwritten rows need nothing below, rows only edited here start as a copy of the parent's. */
static fv_mode row_mode(const fv_wave *w, const fv_run *run, int step, int64_t t) {
  bool computed = reached_without_edits(run, step, t), wanted = w->parts_wanted[step];
  for (int i = computed ? 0 : run->first_own; i < run->nchain && !wanted; i++)
    if (overwrites_row(run->chain[i], step, t)) return FV_ROW_BLANK;
  return computed ? FV_ROW_COMPUTED : FV_ROW_COPIED;
}

/* Rows that edits in force read from source runs. */
static void need_sources(fv_wave *w, const fv_run *run, int step, int64_t t, fv_mode mode) {
  for (int i = fv_chain_start(run, step, t, mode); i < run->nchain; i++) {
    const fv_edit *e = run->chain[i];
    bool inside = e->part != FV_PART_OUT; /* acts only where the step computes the row */
    if (e->step == step && e->source >= 0 && (mode == FV_ROW_COMPUTED || !inside) && t < e->T &&
        fv_rowset_has(e->rows, t))
      fv_rowset_add(fv_need_set(w, e->source_step, e->source), e->source_row[t]);
  }
}

/* Of a row that sees one key only that key's value counts, unless somebody looks inside the step. */
static void need_attended(fv_wave *w, int step, int r, const int32_t *rows, int64_t n) {
  const fv_plan *p = w->model->plan;
  const fv_step *s = &p->steps[step];
  const fv_input *input = w->runs[r].input;
  fv_word *q = fv_need_set(w, s->in[0], r), *k = fv_need_set(w, s->in[1], r), *v = fv_need_set(w, s->in[2], r);
  int64_t S = s->causal ? rows[n - 1] + 1 : w->runs[r].T[p->steps[s->in[1]].space];
  bool all = s->window == 0 && fv_input_groups(input, s->space) <= 1, any = false;
  for (int64_t i = 0; i < n; i++) {
    fv_span seen = fv_step_sees(s, input, rows[i], S);
    if (!all) fv_rowset_add_range(v, seen.lo, seen.hi);
    if (seen.hi - seen.lo == 1 && !w->parts_met[step]) continue;
    if (!all) fv_rowset_add_range(k, seen.lo, seen.hi);
    fv_rowset_add(q, rows[i]);
    any = true;
  }
  if (all) fv_rowset_add_range(v, 0, S);
  if (all && any) fv_rowset_add_range(k, 0, S);
}

static void need_inputs(fv_wave *w, int step, int r, const int32_t *rows, int64_t n) {
  const fv_plan *p = w->model->plan;
  const fv_step *s = &p->steps[step];
  fv_rule rule = fv_kind_rule(s->kind);
  if (n == 0 || rule == FV_RULE_SOURCE) return;
  if (rule == FV_RULE_PICK) {
    fv_rowset_add(fv_need_set(w, s->in[0], r), s->pick);
    return;
  }
  if (rule == FV_RULE_POOL) {
    const int64_t *stands = w->runs[r].input->texts[p->spaces[s->space].texts_of].stands;
    for (int64_t i = 0; i < n; i++) fv_rowset_add(fv_need_set(w, s->in[0], r), stands[rows[i]]);
    return;
  }
  if (rule == FV_RULE_ATTEND) {
    need_attended(w, step, r, rows, n);
    return;
  }
  if (rule == FV_RULE_SPLICE) {
    fv_word *own = fv_need_set(w, s->in[0], r), *other = fv_need_set(w, s->in[1], r);
    for (int64_t i = 0; i < n; i++) {
      int64_t at = fv_input_spliced(w->runs[r].input, s->space, rows[i]);
      fv_rowset_add(at < 0 ? own : other, at < 0 ? rows[i] : at);
    }
    return;
  }
  for (int k = 0; k < fv_kind_inputs(s->kind); k++) {
    fv_word *in = fv_need_set(w, s->in[k], r);
    for (int64_t i = 0; i < n; i++) {
      int64_t from = fv_step_from(s, w->runs[r].input, rows[i]);
      if (from >= 0) fv_rowset_add(in, from);
    }
  }
}

/* Whether the rows that the text asks for exist. */
static bool has_spliced(const fv_wave *w, const fv_step *s, const fv_run *run, const int32_t *rows, int64_t n) {
  int64_t have = run->T[w->model->plan->steps[s->in[1]].space];
  bool good = true;
  for (int64_t i = 0; i < n; i++) good &= fv_input_spliced(run->input, s->space, rows[i]) < have;
  return good;
}

/* What happens to the rows of an entry at a step with edits. Returns those that are computed; NULL: no memory. */
static const int32_t *find_modes(fv_wave *w, int step, fv_word *parent, fv_entry *e) {
  const fv_run *run = &w->runs[e->run];
  int32_t *computed = take(w, (size_t)e->n * sizeof *computed);
  e->at = take(w, (size_t)e->n * sizeof *e->at), e->mode = take(w, (size_t)e->n);
  if (!computed || !e->at || !e->mode) return NULL;
  e->computed = 0;
  for (int64_t i = 0; i < e->n; i++) {
    fv_mode mode = row_mode(w, run, step, e->row[i]);
    e->mode[i] = (uint8_t)mode;
    if (mode == FV_ROW_COMPUTED) computed[e->computed++] = e->row[i];
    if (mode == FV_ROW_COPIED && parent) fv_rowset_add(parent, e->row[i]);
    need_sources(w, run, step, e->row[i], mode);
  }
  return computed;
}

/* Turns need into an entry, and passes on what the run itself does not hold. */
static fv_status need_step(fv_wave *w, int step, int r, fv_error *err) {
  const fv_step *s = &w->model->plan->steps[step];
  fv_run *run = &w->runs[r];
  int64_t words = w->words[s->space];
  fv_word *need = fv_need_set(w, step, r);
  const fv_word *reach = fv_reach_set(w, step, r);
  if (fv_rowset_empty(need, words)) return FV_OK;
  fv_word *parent = run->parent >= 0 ? fv_need_set(w, step, run->parent) : NULL;
  int64_t n = 0;
  for (int64_t i = 0; i < words; i++) {
    if (parent) parent[i] |= need[i] & ~reach[i];
    n += __builtin_popcountll(need[i] & reach[i]);
  }
  if (n == 0) return FV_OK;
  fv_slot *slot = &w->slots[step];
  if (!slot->entry_of) {
    slot->entry_of = malloc((size_t)w->nruns * sizeof *slot->entry_of);
    if (!slot->entry_of) return FV_ENOMEM;
    for (int i = 0; i < w->nruns; i++) slot->entry_of[i] = -1;
  }
  fv_entry e = {.run = r, .n = n, .computed = n, .row = take(w, (size_t)n * sizeof *e.row)};
  if (!e.row) return FV_ENOMEM;
  n = 0;
  FV_ROWSET_EACH(t, need, words) if (fv_rowset_has(reach, t)) e.row[n++] = (int32_t)t;
  if (e.row[n - 1] >= run->T[s->space])
    return fv_fail(err, FV_EINTERNAL, "row %d of run %d is needed and does not exist", (int)e.row[n - 1], r);
  const int32_t *computed = e.row;
  if (fv_wave_edited(w, step) && !(computed = find_modes(w, step, parent, &e))) return FV_ENOMEM;
  if (s->kind == FV_KIND_ATTEND && e.computed > 0 && run->T[w->model->plan->steps[s->in[1]].space] == 0)
    return fv_fail(err, FV_EUSAGE, "run %d has no rows for %s to attend to; is a picture or a question missing?", r,
                   w->model->plan->stacks[s->stack].name);
  if (fv_kind_rule(s->kind) == FV_RULE_PICK && e.computed > 0 &&
      run->T[w->model->plan->steps[s->in[0]].space] <= s->pick)
    return fv_fail(err, FV_EUSAGE, "run %d has no rows of %s to take one from; is a picture missing?", r,
                   w->model->plan->stacks[s->stack].name);
  if (s->kind == FV_KIND_SPLICE && !has_spliced(w, s, run, computed, e.computed))
    return fv_fail(err, FV_EUSAGE, "the text of run %d has a place for a picture, and there is no picture", r);
  slot->entry_of[r] = (int32_t)slot->nentries; /* counted from the last run; turned round by order_entries */
  size_t room = (size_t)slot->nentries;
  if ((room & (room - 1)) == 0) { /* capacity is the next power of two */
    fv_entry *grown = realloc(slot->entries, (room ? room * 2 : 1) * sizeof *grown);
    if (!grown) return FV_ENOMEM;
    slot->entries = grown;
  }
  slot->entries[slot->nentries++] = e;
  slot->computed += e.computed;
  slot->rows += e.n;
  need_inputs(w, step, r, computed, e.computed);
  return FV_OK;
}

/* Entries in run order, and each row's place: computed rows first. */
static void order_entries(fv_slot *slot) {
  for (int64_t i = 0; i < slot->nentries / 2; i++) {
    fv_entry e = slot->entries[i];
    slot->entries[i] = slot->entries[slot->nentries - 1 - i];
    slot->entries[slot->nentries - 1 - i] = e;
  }
  int64_t computed = 0, other = slot->computed;
  for (int64_t i = 0; i < slot->nentries; i++) {
    fv_entry *e = &slot->entries[i];
    slot->entry_of[e->run] = (int32_t)i;
    e->first = (int32_t)computed;
    if (!e->mode) computed += e->n;
    for (int64_t k = 0; k < e->n && e->mode; k++)
      e->at[k] = (int32_t)(e->mode[k] == FV_ROW_COMPUTED ? computed++ : other++);
  }
}

/* Keys and values of a run that generation will continue are needed whole. */
static void need_kept(fv_wave *w) {
  const fv_plan *p = w->model->plan;
  for (int i = 0; i < p->nsteps; i++) {
    const fv_step *s = &p->steps[i];
    if (s->kind != FV_KIND_ATTEND || !p->spaces[s->space].generates) continue;
    for (int r = 0; r < w->nruns; r++)
      for (int k = 1; k < 3 && w->runs[r].keep; k++)
        fv_rowset_add_range(fv_need_set(w, s->in[k], r), 0, w->runs[r].T[p->steps[s->in[k]].space]);
  }
}

static fv_status slice(fv_wave *w, int first, int last, fv_error *err) {
  const fv_plan *p = w->model->plan;
  fv_status st = find_first_steps(w, first, last);
  if (!st) st = allocate_sets(w);
  if (!st) st = index_edits(w);
  if (st) return st;
  for (int s = 0; s < p->nsteps; s++)
    for (int r = 0; r < w->nruns; r++)
      if (w->first[r] <= s) reach_step(w, s, r);
  for (int i = first; i < last; i++)
    for (int64_t k = 0; k < w->reads[i].nrows; k++)
      fv_rowset_add(fv_need_set(w, w->reads[i].step, w->reads[i].run), w->reads[i].rows[k]);
  need_kept(w);
  for (int s = p->nsteps - 1; s >= 0 && !st; s--) {
    for (int r = w->nruns - 1; r >= 0 && !st; r--)
      if (w->first[r] <= s) st = need_step(w, s, r, err);
    if (!st) order_entries(&w->slots[s]);
  }
  return st;
}

fv_status fv_slice(fv_wave *w, int first, int last, fv_error *err) {
  fv_slice_release(w);
  fv_error detail = {0};
  fv_status st = slice(w, first, last, &detail);
  if (st == FV_ENOMEM) return fv_fail(err, st, "no memory for the slice of %d runs", w->nruns);
  return st ? fv_fail(err, st, "%s", detail.text) : FV_OK;
}
