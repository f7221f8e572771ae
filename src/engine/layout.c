/* Layout: every step's rows get a place in one block of memory; places are reused after their last reader. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

typedef struct place {
  size_t offset, size;
  int last_use;
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

static bool place_slot(place **places, size_t *n, size_t *room, size_t size, int last_use, size_t *offset) {
  /* Lowest gap among the live places, which are kept in order of offset. */
  size_t at = 0, i = 0;
  for (; i < *n && (*places)[i].offset - at < size; i++) at = (*places)[i].offset + (*places)[i].size;
  if (!fv_grow(places, room, *n + 1, sizeof **places)) return false;
  memmove(*places + i + 1, *places + i, (*n - i) * sizeof **places);
  (*places)[i] = (place){at, size, last_use};
  (*n)++;
  *offset = at;
  return true;
}

fv_status fv_layout(fv_wave *w, int first, int last, size_t *peak, fv_error *err) {
  const fv_plan *p = w->model->plan;
  place *places = NULL;
  size_t n = 0, room = 0;
  fv_status st = fv_slice(w, first, last, err);
  if (st) return st;
  find_last_uses(w);
  *peak = 0;
  for (int s = 0; s < p->nsteps && !st; s++) {
    size_t live = 0;
    for (size_t i = 0; i < n; i++)
      if (places[i].last_use >= s) places[live++] = places[i];
    n = live;
    fv_slot *slot = &w->slots[s];
    if (slot->rows == 0) continue;
    size_t rows = (size_t)(slot->streamed && slot->rows > FV_STREAM_ROWS ? FV_STREAM_ROWS : slot->rows), size;
    if (!fv_mul_size(rows, (size_t)p->steps[s].width * sizeof(float), &size) || size > SIZE_MAX - 64)
      st = fv_fail(err, FV_ENOMEM, "the activations of %d runs do not fit any memory", w->nruns);
    size = (size + 63) & ~(size_t)63;
    if (!st && !place_slot(&places, &n, &room, size, slot->last_use, &slot->offset))
      st = fv_fail(err, FV_ENOMEM, "no memory");
    if (slot->offset + size > *peak) *peak = slot->offset + size;
  }
  free(places);
  return st;
}
