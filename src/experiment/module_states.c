#include "experiment/module_states.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/loaded.h"

fv_status fv_module_states_check(const fv_sweep *s, const char *given, const fv_sweep_site *site, fv_error *err) {
  const fv_selection *at = &site->cells[0];
  bool module = strcmp(at->site, "mlp.out") == 0 || strcmp(at->site, "attn.z") == 0;
  bool whole = !site->heads && (at->nheads == 0 || at->all_heads) && at->all_features;
  fv_selection *state = NULL;
  size_t n = 0;
  if (s->o.noise)
    return fv_fail(err, FV_EUSAGE, "llava_hs_into_module writes clean states: the direction noise does not go with it");
  if (!module || !whole || strcmp(site->stack, "language") != 0)
    return fv_fail(
        err, FV_EUSAGE,
        "%s \"%s\": llava_hs_into_module writes into whole rows of language.*.mlp.out and language.*.attn.z, "
        "all heads together",
        s->o.option, given);
  fv_status st = fv_address_resolve(s->model, s->clean_input, "language.final", &state, &n, err);
  if (!st && state->width != at->width)
    st = fv_fail(err, FV_EUSAGE, "%s \"%s\": a row has %" PRId64 " numbers and a hidden state %" PRId64, s->o.option,
                 given, at->width, state->width);
  for (size_t i = 0; i < n; i++) fv_selection_release(&state[i]);
  free(state);
  return st;
}

/* Reads what an address means, of layer `layer` and up. */
static fv_status add_reads(const fv_sweep *s, fv_sweep_site *site, fv_wave *w, int run, const char *address,
                           int64_t layer, fv_error *err) {
  fv_selection *list = NULL;
  size_t n = 0;
  fv_status st = fv_address_resolve(s->model, s->clean_input, address, &list, &n, err);
  for (size_t i = 0; i < n && !st; i++) {
    fv_selection rows = list[i];
    rows.rows = site->rows, rows.nrows = site->nrows, rows.all_rows = false;
    st = fv_wave_read(w, run, &rows, site->states + (layer + (int64_t)i) * site->nrows * rows.width, err);
  }
  for (size_t i = 0; i < n; i++) fv_selection_release(&list[i]);
  free(list);
  return st;
}

fv_status fv_module_states_read(fv_sweep *s, bool compute, fv_error *err) {
  fv_wave_options options = {.memory = s->o.memory};
  fv_wave *w = NULL;
  int run = -1;
  fv_status st = fv_wave_new(s->model, &options, &w, err);
  if (!st) st = fv_wave_run(w, -1, s->clean_input, &run, err);
  for (size_t i = 0; i < s->o.nsite && !st; i++) {
    fv_sweep_site *site = &s->sites[i];
    int64_t last = s->model->plan->stacks[site->cells[0].stack].layers - 1;
    char blocks[64];
    site->states = fv_alloc((size_t)((last + 1) * site->nrows), (size_t)site->cells[0].width * sizeof *site->states);
    if (!site->states) st = fv_fail(err, FV_ENOMEM, "no memory for the states that are written");
    snprintf(blocks, sizeof blocks, "language.0-%" PRId64 ".resid_post", last - 1);
    if (!st && last > 0) st = add_reads(s, site, w, run, blocks, 0, err);
    if (!st) st = add_reads(s, site, w, run, "language.final", last, err);
  }
  if (!st && compute) st = fv_wave_compute(w, NULL, err);
  fv_wave_free(w);
  return st;
}

void fv_module_states_forget(fv_sweep *s) {
  for (size_t i = 0; s->sites && i < s->o.nsite; i++) free(s->sites[i].states), s->sites[i].states = NULL;
}
