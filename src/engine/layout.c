/* Layout: every step's rows get a place in one block of memory; places are reused after their last reader, and a step
 * that changes rows one by one writes over rows that nobody reads after it. */
#include <stdlib.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

/* Memory for one slot, or for several one after the other. */
typedef struct place {
  int first, last; /* the steps that write it first and read it last */
  size_t size, offset;
} place;

/* Keys and values that the next wave of a generation reads stay until this wave is freed. */
static bool kept(const fv_wave *w, int step) {
  const fv_plan *p = w->model->plan;
  bool any = false;
  for (int r = 0; r < w->nruns; r++) any |= w->runs[r].keep;
  if (!any) return false;
  for (int i = step + 1; i < p->nsteps; i++) {
    const fv_step *s = &p->steps[i];
    if (s->kind == FV_KIND_ATTEND && p->spaces[s->space].generates && (s->in[1] == step || s->in[2] == step))
      return true;
  }
  return false;
}

static void find_last_uses(fv_wave *w) {
  const fv_plan *p = w->model->plan;
  for (int s = 0; s < p->nsteps; s++) w->slots[s].last_use = s;
  for (int s = 0; s < p->nsteps; s++)
    for (int k = 0; w->slots[s].computed > 0 && k < fv_kind_inputs(p->steps[s].kind); k++)
      if (w->slots[p->steps[s].in[k]].last_use < s) w->slots[p->steps[s].in[k]].last_use = s;
  for (int i = 0; i < w->edit_first[p->nsteps]; i++) {
    const fv_edit *e = w->edits_by_step[i];
    if (e->source >= 0 && w->slots[e->source_step].last_use < e->step) w->slots[e->source_step].last_use = e->step;
  }
  for (int s = 0; s < p->nsteps; s++) {
    fv_slot *slot = &w->slots[s];
    slot->streamed =
        slot->rows > 0 && slot->last_use == s && !fv_wave_edited(w, s) && p->steps[s].kind == FV_KIND_LINEAR;
    if (slot->rows > 0 && kept(w, s)) slot->last_use = p->nsteps, slot->streamed = false;
  }
}

/* Whether two slots hold rows of the same runs with the same numbers in the same order. */
static bool same_rows(const fv_slot *a, const fv_slot *b) {
  bool same = a->nentries == b->nentries && a->rows == b->rows;
  for (int64_t i = 0; i < a->nentries && same; i++) {
    const fv_entry *x = &a->entries[i], *y = &b->entries[i];
    same = x->run == y->run && x->n == y->n;
    for (int64_t k = 0; k < x->n && same; k++) same = x->row[k] == y->row[k] && fv_entry_at(x, k) == fv_entry_at(y, k);
  }
  return same;
}

/* The place of an input that the step's rows may lie in: a copy shares it with what it copies, other operations take it
 * over from an input that is read for the last time. NULL: they need their own. */
static place *shared_place(const fv_wave *w, int step, place *places, const int *place_of) {
  const fv_step *s = &w->model->plan->steps[step];
  bool copy = s->kind == FV_KIND_COPY;
  if (!copy && s->kind != FV_KIND_ACT && s->kind != FV_KIND_ADD && s->kind != FV_KIND_LAYERNORM) return NULL;
  for (int k = 0; k < fv_kind_inputs(s->kind) && !fv_wave_edited(w, step); k++) {
    place *in = &places[place_of[s->in[k]]];
    if ((copy || in->last == step) && same_rows(&w->slots[step], &w->slots[s->in[k]])) return in;
  }
  return NULL;
}

/* Decides which slots share a place: fills places and, per step, the number of its slot's. */
static fv_status find_places(const fv_wave *w, place *places, int *n, int *place_of, fv_error *err) {
  const fv_plan *p = w->model->plan;
  for (int s = 0; s < p->nsteps; s++) {
    const fv_slot *slot = &w->slots[s];
    if (slot->rows == 0) continue;
    place *at = shared_place(w, s, places, place_of);
    if (!at) {
      at = &places[(*n)++];
      *at = (place){.first = s};
      size_t rows = (size_t)(slot->streamed && slot->rows > FV_STREAM_ROWS ? FV_STREAM_ROWS : slot->rows);
      if (!fv_mul_size(rows, (size_t)p->steps[s].width * sizeof(float), &at->size) || at->size > SIZE_MAX / 2)
        return fv_fail(err, FV_ENOMEM, "the activations of %d runs do not fit any memory", w->nruns);
      at->size = (at->size + 63) & ~(size_t)63;
    }
    if (at->last < slot->last_use) at->last = slot->last_use;
    place_of[s] = (int)(at - places);
  }
  return FV_OK;
}

static int larger_first(const void *a, const void *b) {
  const place *const *x = a, *const *y = b;
  if ((*x)->size != (*y)->size) return (*x)->size > (*y)->size ? -1 : 1;
  return ((*x)->first > (*y)->first) - ((*x)->first < (*y)->first);
}

/* The largest places first, each as low as the placed ones that live at the same time allow. Returns the peak. */
static size_t put_places(place *places, int n, place **order) {
  size_t peak = 0;
  for (int i = 0; i < n; i++) order[i] = &places[i];
  qsort(order, (size_t)n, sizeof *order, larger_first);
  for (int placed = 0; placed < n; placed++) { /* order[0..placed-1] ascend in their offsets */
    place *p = order[placed];
    for (int i = 0; i < placed; i++) {
      const place *q = order[i];
      if (q->last < p->first || p->last < q->first) continue;
      if (q->offset >= p->offset && q->offset - p->offset >= p->size) break;
      if (p->offset < q->offset + q->size) p->offset = q->offset + q->size;
    }
    if (peak < p->offset + p->size) peak = p->offset + p->size;
    int at = placed;
    for (; at > 0 && order[at - 1]->offset > p->offset; at--) order[at] = order[at - 1];
    order[at] = p;
  }
  return peak;
}

fv_status fv_layout(fv_wave *w, int first, int last, size_t *peak, fv_error *err) {
  fv_status st = fv_slice(w, first, last, err);
  if (st) return st;
  find_last_uses(w);
  int nsteps = w->model->plan->nsteps, n = 0;
  place *places = fv_alloc((size_t)nsteps, sizeof *places), **order = fv_alloc((size_t)nsteps, sizeof *order);
  int *place_of = fv_alloc((size_t)nsteps, sizeof *place_of);
  st = places && order && place_of ? find_places(w, places, &n, place_of, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) *peak = put_places(places, n, order);
  for (int s = 0; s < nsteps && !st; s++)
    if (w->slots[s].rows > 0) w->slots[s].offset = places[place_of[s]].offset;
  free(places), free(order), free(place_of);
  return st;
}
