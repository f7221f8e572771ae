/* The attention step of a wave: groups of query rows that share keys, and the taps and edits inside them. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

/* The nearest run in the chain whose keys or values differ from its parent's: runs with the same one share a table. */
static int key_run(const fv_wave *w, const fv_step *s, int run) {
  const fv_slot *k = &w->slots[s->in[1]], *v = &w->slots[s->in[2]];
  while (w->runs[run].parent >= 0 && !(k->entry_of && k->entry_of[run] >= 0) && !(v->entry_of && v->entry_of[run] >= 0))
    run = w->runs[run].parent;
  return run;
}

/* The run of the chain that computes this row, and so sees its scores. */
static int computing_run(const fv_wave *w, int step, int run, int64_t row) {
  const fv_slot *slot = &w->slots[step];
  for (; run >= 0; run = w->runs[run].parent) {
    const fv_entry *e = slot->entry_of && slot->entry_of[run] >= 0 ? &slot->entries[slot->entry_of[run]] : NULL;
    for (int64_t i = 0; e && i < e->n; i++)
      if (e->row[i] == row && fv_entry_mode(e, i) == FV_ROW_COMPUTED) return run;
  }
  return -1;
}

static bool add_tap(fv_pass *p, fv_tap tap) {
  if (!fv_grow(&p->taps, &p->taps_room, (size_t)p->ntaps + 1, sizeof *p->taps)) return false;
  p->taps[p->ntaps++] = tap;
  return true;
}

static int compare_taps(const void *a, const void *b) {
  const fv_tap *x = a, *y = b;
  return x->run != y->run ? (x->run < y->run ? -1 : 1) : x->row != y->row ? (x->row < y->row ? -1 : 1) : 0;
}

/* Collects the step's taps into p->taps, sorted by run and row. */
static fv_status find_taps(fv_pass *p, int step, fv_error *err) {
  fv_wave *w = p->w;
  p->ntaps = 0;
  for (int i = p->read_first[step]; i < p->read_first[step + 1]; i++) {
    fv_read *r = &w->reads[p->reads[i]];
    for (int64_t k = 0; k < r->nrows && r->part != FV_PART_OUT; k++)
      if (!add_tap(p, (fv_tap){computing_run(w, step, r->run, r->rows[k]), (int)r->rows[k], r->part, r, NULL, k}))
        return fv_fail(err, FV_ENOMEM, "no memory");
  }
  /* Continuations hold rows of which no source has a counterpart, and their runs have other numbers. */
  for (int i = w->edit_first[step]; i < w->edit_first[step + 1] && !w->outer; i++) {
    fv_edit *e = w->edits_by_step[i];
    for (int64_t t = 0; t < e->T && e->source_values; t++)
      if (fv_rowset_has(e->rows, t) && !add_tap(p, (fv_tap){computing_run(w, step, e->source, e->source_row[t]),
                                                            (int)e->source_row[t], e->part, NULL, e, e->value_row[t]}))
        return fv_fail(err, FV_ENOMEM, "no memory");
  }
  if (p->ntaps > 1) qsort(p->taps, (size_t)p->ntaps, sizeof *p->taps, compare_taps);
  return FV_OK;
}

static void on_part(void *user, int64_t head, int64_t i, float *keys, int64_t S, fv_part part) {
  const fv_attend_row *at = (const fv_attend_row *)user + i;
  const fv_pass *p = at->pass;
  const fv_run *run = &p->w->runs[at->run];
  fv_keys part_of_row = {keys, at->base,
                         fv_step_sees(&p->w->model->plan->steps[at->step], run->input, at->row, at->base + S)};
  for (int c = 0; c < run->nchain; c++)
    if (run->chain[c]->step == at->step && run->chain[c]->part == part)
      fv_edit_keys(run->chain[c], at->row, head, part_of_row);
  int64_t lo = 0, hi = p->ntaps;
  while (lo < hi) {
    int64_t mid = (lo + hi) / 2;
    const fv_tap *t = &p->taps[mid];
    if (t->run < at->run || (t->run == at->run && t->row < at->row))
      lo = mid + 1;
    else
      hi = mid;
  }
  for (; lo < p->ntaps && p->taps[lo].run == at->run && p->taps[lo].row == at->row; lo++) {
    const fv_tap *t = &p->taps[lo];
    if (t->part != part) continue;
    if (t->read)
      fv_read_keys(t->read, t->index, head, part_of_row);
    else
      fv_edit_take_keys(t->edit, t->index, head, part_of_row);
  }
}

static void on_scores(void *user, int64_t head, int64_t i, float *scores, int64_t S) {
  on_part(user, head, i, scores, S, FV_PART_SCORES);
}

static void on_pattern(void *user, int64_t head, int64_t i, float *pattern, int64_t S) {
  on_part(user, head, i, pattern, S, FV_PART_PATTERN);
}

static bool part_edits(const fv_wave *w, int step, bool *sourced) {
  bool any = false;
  for (int i = w->edit_first[step]; i < w->edit_first[step + 1]; i++) {
    any |= w->edits_by_step[i]->part != FV_PART_OUT;
    *sourced |= w->edits_by_step[i]->source_values != NULL;
  }
  return any;
}

fv_status fv_attention_prepare(fv_pass *p, fv_error *err) {
  fv_wave *w = p->w;
  const fv_plan *plan = w->model->plan;
  int64_t most_rows = 1, most_groups = 1, most_keys = 1;
  size_t scratch = 64;
  for (int step = 0; step < plan->nsteps; step++) {
    const fv_step *s = &plan->steps[step];
    const fv_slot *slot = &w->slots[step];
    if (s->kind != FV_KIND_ATTEND || slot->computed == 0) continue;
    int space = plan->steps[s->in[1]].space, before = -1;
    int64_t keys = 0, groups = 0, most_S = 1;
    for (int64_t i = 0; i < slot->nentries; i++) {
      int run = key_run(w, s, slot->entries[i].run);
      int64_t S = w->runs[run].T[space];
      if (run != before) keys += S; /* an upper bound: a table may be found again later */
      if (S > most_S) most_S = S;
      groups += fv_input_groups(w->runs[slot->entries[i].run].input, s->space);
      before = run;
    }
    size_t bytes = fv_attend_scratch(w->model->kernels, s->H, s->Dh, most_S);
    if (bytes > scratch) scratch = bytes;
    if (slot->computed > most_rows) most_rows = slot->computed;
    if (groups > most_groups) most_groups = groups;
    if (keys > most_keys) most_keys = keys;
  }
  p->keys = fv_alloc((size_t)most_keys, sizeof *p->keys), p->values = fv_alloc((size_t)most_keys, sizeof *p->values);
  p->table_of = fv_alloc((size_t)w->nruns, sizeof *p->table_of);
  p->groups = fv_alloc((size_t)most_groups, sizeof *p->groups);
  p->rows = fv_alloc((size_t)most_rows, sizeof *p->rows);
  p->attend_scratch = fv_alloc_aligned(1, scratch);
  if (!p->keys || !p->values || !p->table_of || !p->groups || !p->rows || !p->attend_scratch)
    return fv_fail(err, FV_ENOMEM, "no memory for %lld attention rows", (long long)most_rows);
  return FV_OK;
}

void fv_attention_release(fv_pass *p) {
  free(p->keys), free(p->values), free(p->table_of), free(p->groups), free(p->rows), free(p->attend_scratch),
      free(p->taps);
}

/* Pointers to all key and value rows of a run; 0..S-1 are looked up in pieces, so no list of them is needed. Rows that
 * nobody sees were not computed; where scores are looked at, the kernel multiplies them by 0, so any row will do. */
static void fill_table(const fv_pass *p, const fv_step *s, int run, int64_t S, int64_t at) {
  enum { PIECE = 256 };
  int32_t rows[PIECE];
  for (int64_t t = 0; t < S; t += PIECE) {
    int64_t n = S - t < PIECE ? S - t : PIECE;
    for (int64_t i = 0; i < n; i++) rows[i] = (int32_t)(t + i);
    fv_resolve(p->w, s->in[1], run, rows, n, p->keys + at + t);
    fv_resolve(p->w, s->in[2], run, rows, n, p->values + at + t);
  }
  int64_t some_key = at, some_value = at;
  while (some_key < at + S - 1 && !p->keys[some_key]) some_key++;
  while (some_value < at + S - 1 && !p->values[some_value]) some_value++;
  for (int64_t i = at; i < at + S; i++) {
    if (!p->keys[i]) p->keys[i] = p->keys[some_key];
    if (!p->values[i]) p->values[i] = p->values[some_value];
  }
}

fv_status fv_attention_compute(fv_pass *p, int step, fv_error *err) {
  fv_wave *w = p->w;
  const fv_plan *plan = w->model->plan;
  const fv_step *s = &plan->steps[step];
  fv_slot *slot = &w->slots[step];
  int space = plan->steps[s->in[1]].space;
  bool sourced = false, edited = part_edits(w, step, &sourced);
  fv_status st = find_taps(p, step, err);
  bool hooked = edited || p->ntaps > 0;
  for (int r = 0; r < w->nruns; r++) p->table_of[r] = -1;
  int64_t ngroups = 0, at = 0, used = 0;
  for (int64_t i = 0; i < slot->nentries; i++) {
    const fv_entry *e = &slot->entries[i];
    if (e->computed == 0) continue;
    int run = key_run(w, s, e->run);
    int64_t S = w->runs[run].T[space];
    if (p->table_of[run] < 0) {
      p->table_of[run] = used;
      fill_table(p, s, run, S, used);
      used += S;
    }
    /* The rows of one text or picture are a group of their own: what they compute does not depend on where they lie. */
    for (int64_t end = at + e->computed, n; at < end; at += n) {
      fv_span text = fv_input_group(w->runs[e->run].input, s->space, p->row[at]);
      for (n = 0; at + n < end && p->row[at + n] < text.hi; n++) {
        fv_span seen = fv_step_sees(s, w->runs[e->run].input, p->row[at + n], S);
        p->first_key[at + n] = seen.lo - text.lo, p->visible[at + n] = seen.hi - text.lo;
        p->rows[at + n] = (fv_attend_row){p, step, e->run, p->row[at + n], text.lo};
      }
      fv_attend_group *before = ngroups > 0 && !sourced ? &p->groups[ngroups - 1] : NULL;
      const float **k = p->keys + p->table_of[run] + text.lo, **v = p->values + p->table_of[run] + text.lo;
      if (before && before->k == k && before->v == v) {
        before->n += n;
        continue;
      }
      p->groups[ngroups++] = (fv_attend_group){.n = n,
                                               .S = (text.hi < S ? text.hi : S) - text.lo,
                                               .q = p->in[0] + at,
                                               .k = k,
                                               .v = v,
                                               .visible = p->visible + at,
                                               .first = s->window > 0 ? p->first_key + at : NULL,
                                               .z = slot->data + at * s->width,
                                               .user = p->rows + at};
    }
  }
  fv_attend_hook hook = {on_scores, on_pattern};
  /* An edit that copies another run's scores needs that run first: then one group after the other. */
  int64_t piece = sourced ? 1 : ngroups;
  for (int64_t g = 0; g < ngroups && !st; g += piece)
    st = fv_attend(w->model->kernels, s->H, s->KV, s->Dh, s->scale, piece, p->groups + g, hooked ? &hook : NULL,
                   p->attend_scratch, err);
  return st;
}
