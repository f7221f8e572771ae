#include "experiment/sweep.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/metrics.h"
#include "experiment/module_states.h"
#include "model/loaded.h"

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the runs"); }

static void release_list(fv_selection *list, size_t n) {
  for (size_t i = 0; list && i < n; i++) fv_selection_release(&list[i]);
  free(list);
}

static void release_texts(char **list, size_t n) {
  for (size_t i = 0; list && i < n; i++) free(list[i]);
  free(list);
}

static char **copy_texts(const char *const *list, size_t n) {
  char **copy = fv_alloc(n, sizeof *copy);
  for (size_t i = 0; copy && i < n; i++)
    if (!(copy[i] = fv_strdup(list[i]))) return release_texts(copy, n), NULL;
  return copy;
}

void fv_sweep_release(fv_sweep *s) {
  fv_module_states_forget(s);
  for (size_t i = 0; s->corruptions && i < s->o.ncorrupt; i++) fv_corruption_release(&s->corruptions[i]);
  for (size_t i = 0; s->inputs && i < s->o.ncorrupt; i++) fv_input_free(s->inputs[i]);
  for (size_t i = 0; s->sites && i < s->o.nsite; i++) {
    fv_sweep_site *site = &s->sites[i];
    release_list(site->cells, site->ncells), release_list(site->all, site->nall);
    free(site->rows), free(site->heads);
  }
  for (size_t i = 0; i < s->nseries; i++) free(s->series[i].cells);
  release_texts(s->corrupt, s->o.ncorrupt), release_texts(s->site, s->o.nsite);
  fv_input_free(s->clean_input);
  free(s->corruptions), free(s->inputs), free(s->sites), free(s->series);
  free(s->clean_p), free(s->clean_log_p);
  *s = (fv_sweep){0};
}

/* ---- options to places ---- */

static fv_status check_options(const fv_sweep_options *o, fv_error *err) {
  if (o->draws < 1) return fv_fail(err, FV_EUSAGE, "draws is %lld, expected at least 1", (long long)o->draws);
  if (o->window < 1) return fv_fail(err, FV_EUSAGE, "window is %lld, expected at least 1", (long long)o->window);
  if (!(o->check >= 0.0 && o->check <= 100.0))
    return fv_fail(err, FV_EUSAGE, "check is %g, expected 0 to 100 percent", o->check);
  for (size_t i = 0; i < o->nsite; i++)
    if (strchr(o->site[i], '@'))
      return fv_fail(err, FV_EUSAGE, "%s \"%s\": rows are not given here; %s", o->option, o->site[i],
                     strcmp(o->option, "restore") == 0 ? "every row is a cell" : "the option rows chooses them");
  return FV_OK;
}

/* The address with the heads that move together. */
static fv_status with_heads(const fv_sweep_options *o, const char *address, char **out, fv_error *err) {
  bool list = o->heads && strcmp(o->heads, "each") != 0 && strcmp(o->heads, "all") != 0;
  size_t n = strcspn(address, "#:");
  if (list && isalpha((unsigned char)o->heads[0]))
    return fv_fail(err, FV_EUSAGE, "heads \"%s\": expected each, all or a list such as 0,3-5", o->heads);
  if (o->heads && address[n] == '#')
    return fv_fail(err, FV_EUSAGE, "%s \"%s\" names heads, and so does the option heads \"%s\"", o->option, address,
                   o->heads);
  *out = list ? fv_format("%.*s#%s%s", (int)n, address, o->heads, address + n) : fv_strdup(address);
  return *out ? FV_OK : no_memory(err);
}

static bool has(const int64_t *list, int64_t n, int64_t value) {
  bool found = false;
  for (int64_t i = 0; i < n; i++) found |= list[i] == value;
  return found;
}

/* Leaves the layers from layer_start on that the list of layers names. */
static fv_status choose_layers(const fv_sweep *s, const char *address, fv_sweep_site *site, fv_error *err) {
  int64_t *list = NULL, n = 0;
  const fv_selection *first = &site->cells[0];
  if (first->layer < 0)
    return s->o.layers ? fv_fail(err, FV_EUSAGE, "%s \"%s\" has no layers to choose from", s->o.option, address)
                       : FV_OK;
  if (s->o.layers) {
    int64_t limit = s->model->plan->stacks[first->stack].layers;
    fv_status st = fv_numbers_parse(s->o.layers, strlen(s->o.layers), limit, "layers", &list, &n, err);
    if (st) return st;
  }
  size_t kept = 0;
  for (size_t i = 0; i < site->ncells; i++) {
    fv_selection *c = &site->cells[i];
    if (c->layer >= s->o.layer_start && (!s->o.layers || has(list, n, c->layer)))
      site->cells[kept++] = *c;
    else
      fv_selection_release(c);
  }
  free(list);
  site->ncells = kept;
  if (kept > 0) return FV_OK;
  return s->o.layers ? fv_fail(err, FV_EUSAGE, "%s \"%s\" has none of the layers %s", s->o.option, address, s->o.layers)
                     : fv_fail(err, FV_EUSAGE, "%s \"%s\" has no layer from %lld on", s->o.option, address,
                               (long long)s->o.layer_start);
}

static int by_number(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static fv_status choose_rows(const fv_sweep *s, fv_sweep_site *site, fv_error *err) {
  const char *rows = s->o.rows ? s->o.rows : "*", *stack = site->cells[0].row_stack;
  fv_status st = !s->o.rows || !stack
                     ? fv_numbers_parse(rows, strlen(rows), site->T, "rows", &site->rows, &site->nrows, err)
                     : fv_rows_parse(s->clean_input, stack, rows, &site->rows, &site->nrows, err);
  if (st) return st;
  qsort(site->rows, (size_t)site->nrows, sizeof *site->rows, by_number);
  return FV_OK;
}

static fv_status choose_heads(const fv_sweep *s, const char *address, fv_sweep_site *site, fv_error *err) {
  const fv_selection *first = &site->cells[0];
  site->nheads = 1;
  if (!s->o.heads || strcmp(s->o.heads, "each") != 0) return FV_OK;
  if (first->nheads == 0)
    return fv_fail(err, FV_EUSAGE, "%s \"%s\": %s has no heads that could be patched one by one; attn.z has",
                   s->o.option, address, first->site);
  site->nheads = first->nheads;
  site->heads = fv_alloc((size_t)site->nheads, sizeof *site->heads);
  if (!site->heads) return no_memory(err);
  memcpy(site->heads, first->heads, (size_t)site->nheads * sizeof *site->heads);
  qsort(site->heads, (size_t)site->nheads, sizeof *site->heads, by_number);
  return FV_OK;
}

static fv_status resolve_site(const fv_sweep *s, const char *given, fv_sweep_site *site, fv_error *err) {
  char *address = NULL;
  fv_status st = with_heads(&s->o, given, &address, err);
  if (!st) st = fv_address_resolve(s->model, s->clean_input, address, &site->cells, &site->ncells, err);
  if (st) return free(address), st;
  const fv_selection *first = &site->cells[0];
  for (size_t i = 0; i < site->ncells && !st; i++)
    if (strcmp(site->cells[i].site, first->site) != 0 || site->cells[i].stack != first->stack)
      st = fv_fail(err, FV_EUSAGE, "%s \"%s\" means several sites; give each its own", s->o.option, given);
  if (!st && first->part != 0)
    st = fv_fail(err, FV_EUSAGE, "%s \"%s\": scores and patterns are not states of rows", s->o.option, given);
  site->T = first->T;
  snprintf(site->stack, sizeof site->stack, "%.*s", (int)strcspn(first->address, "."), first->address);
  if (!st) st = choose_layers(s, given, site, err);
  if (!st) st = choose_rows(s, site, err);
  if (!st) st = choose_heads(s, given, site, err);
  if (!st && s->o.llava_hs_into_module) st = fv_module_states_check(s, given, site, err);
  first = &site->cells[0];
  if (!st && first->layer >= 0) {
    char *every = fv_format("%s.*.%s%s", site->stack, first->site, address + strcspn(address, "#:"));
    st = every ? fv_address_resolve(s->model, s->clean_input, every, &site->all, &site->nall, err) : no_memory(err);
    free(every);
  }
  free(address);
  return st;
}

/* ---- inputs ---- */

static fv_status check_pair(const fv_sweep *s, fv_error *err) {
  const char *piece = s->correct < 0 ? NULL : fv_input_piece(s->clean_input, s->correct);
  if (s->correct < 0 || s->correct != s->incorrect || s->o.keep_degenerate) return FV_OK;
  return fv_fail(
      err, FV_EUSAGE,
      "the correct and the incorrect answer are the same to the model: both are \"%s\" (id %d), or begin with "
      "it, so their logit difference is always 0",
      piece ? piece : "", s->correct);
}

/* With pad_attended the texts of all inputs get as many rows as the longest. */
static fv_status pad_inputs(fv_sweep *s, fv_error *err) {
  const char *stack = fv_model_question_stack(s->model);
  if (!s->o.pad_attended || !stack) return FV_OK;
  int64_t most = fv_input_rows(s->clean_input, stack);
  for (size_t i = 0; i < s->o.ncorrupt; i++)
    if (s->inputs[i] && fv_input_rows(s->inputs[i], stack) > most) most = fv_input_rows(s->inputs[i], stack);
  for (size_t i = 0; i <= s->o.ncorrupt; i++) {
    fv_input **in = i < s->o.ncorrupt ? &s->inputs[i] : &s->clean_input, *padded;
    if (!*in || fv_input_rows(*in, stack) == most) continue;
    fv_input_options o = i < s->o.ncorrupt ? s->corruptions[i].input : s->o.input;
    o.pad_rows = most;
    fv_status st = fv_input_new(s->model, &o, &padded, err);
    if (st) return st;
    fv_input_free(*in);
    *in = padded;
  }
  return FV_OK;
}

static fv_status check_rows(const fv_sweep *s, size_t corrupt, const fv_sweep_site *site, fv_error *err) {
  const fv_selection *first = &site->cells[0];
  int64_t T = fv_input_space_rows(s->inputs[corrupt], s->model->plan->steps[first->step].space);
  if (T == site->T) return FV_OK;
  return fv_fail(err, FV_ESHAPE,
                 "corruption \"%s\": %s has %lld rows there and %lld in the clean input; rows can only be %s",
                 s->o.corrupt[corrupt], first->address, (long long)T, (long long)site->T,
                 strcmp(s->o.option, "restore") == 0 ? "restored one to one"
                                                     : "patched one to one (pad_attended fills the shorter text up)");
}

static bool same_place(const fv_selection *a, const fv_selection *b) {
  return a->step == b->step && a->nheads == b->nheads && a->nspans == b->nspans &&
         (a->nheads == 0 || memcmp(a->heads, b->heads, (size_t)a->nheads * sizeof *a->heads) == 0) &&
         (a->nspans == 0 || memcmp(a->spans, b->spans, (size_t)a->nspans * sizeof *a->spans) == 0);
}

/* What is named twice would be computed twice, and would count twice in every mean. */
static fv_status check_once(const fv_sweep *s, fv_error *err) {
  for (size_t i = 0; i < s->o.ncorrupt; i++)
    for (size_t k = 0; k < i; k++)
      if (strcmp(s->o.corrupt[i], s->o.corrupt[k]) == 0)
        return fv_fail(err, FV_EUSAGE, "corruption \"%s\" is there twice", s->o.corrupt[i]);
  for (size_t i = 0; i < s->o.nsite; i++)
    for (size_t k = 0; k < i; k++)
      for (size_t x = 0; x < s->sites[i].ncells; x++)
        for (size_t y = 0; y < s->sites[k].ncells; y++)
          if (same_place(&s->sites[i].cells[x], &s->sites[k].cells[y]))
            return fv_fail(err, FV_EUSAGE, "%s is in both of %s \"%s\" and \"%s\"", s->sites[i].cells[x].address,
                           s->o.option, s->o.site[k], s->o.site[i]);
  return FV_OK;
}

fv_status fv_sweep_prepare(const fv_model *model, const fv_sweep_options *options, fv_sweep *s, fv_error *err) {
  *s = (fv_sweep){.model = model, .o = *options, .correct = -1, .incorrect = -1};
  fv_status st = check_options(&s->o, err);
  if (st) return st;
  s->corrupt = copy_texts(s->o.corrupt, s->o.ncorrupt), s->site = copy_texts(s->o.site, s->o.nsite);
  s->o.corrupt = (const char *const *)s->corrupt, s->o.site = (const char *const *)s->site;
  s->corruptions = fv_alloc(s->o.ncorrupt, sizeof *s->corruptions);
  s->inputs = fv_alloc(s->o.ncorrupt, sizeof *s->inputs), s->sites = fv_alloc(s->o.nsite, sizeof *s->sites);
  if (!s->corrupt || !s->site || !s->corruptions || !s->inputs || !s->sites) return no_memory(err);
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    st = fv_corruption_parse(s->o.corrupt[i], &s->o.input, &s->corruptions[i], err);
  if (!st) st = fv_input_new(model, &s->o.input, &s->clean_input, err);
  if (!st && s->o.correct) st = fv_input_answer_id(s->clean_input, s->o.correct, &s->correct, err);
  if (!st && s->o.incorrect) st = fv_input_answer_id(s->clean_input, s->o.incorrect, &s->incorrect, err);
  if (!st) st = check_pair(s, err);
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    if (!s->corruptions[i].edit) st = fv_input_new(model, &s->corruptions[i].input, &s->inputs[i], err);
  if (!st) st = pad_inputs(s, err);
  for (size_t i = 0; i < s->o.nsite && !st; i++) {
    fv_sweep_site *site = &s->sites[i];
    st = resolve_site(s, s->o.site[i], site, err);
    s->ncells += (int64_t)site->ncells * site->nrows * site->nheads;
  }
  if (!st) st = check_once(s, err);
  for (size_t i = 0; i < s->o.ncorrupt && !st; i++)
    for (size_t k = 0; k < s->o.nsite && s->inputs[i] && !st; k++) st = check_rows(s, i, &s->sites[k], err);
  return st;
}

/* ---- values ---- */

void fv_sweep_read(const fv_sweep *s, const float *logits, int64_t V, fv_sweep_value *out) {
  fv_metrics_compute(logits, V, s->correct, s->clean_p, s->clean_log_p, &out->m);
  out->logit_diff = s->incorrect < 0 ? NAN : logits[s->correct] - logits[s->incorrect];
}

fv_status fv_sweep_read_clean(fv_sweep *s, const float *logits, int64_t V, fv_error *err) {
  s->clean_p = fv_alloc((size_t)V, sizeof *s->clean_p), s->clean_log_p = fv_alloc((size_t)V, sizeof *s->clean_log_p);
  if (!s->clean_p || !s->clean_log_p) return no_memory(err);
  s->top = 0;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[s->top]) s->top = (int32_t)v;
  if (s->correct < 0) s->correct = s->top;
  fv_status st = check_pair(s, err);
  if (st) return st;
  fv_probabilities(logits, V, s->clean_p);
  for (int64_t v = 0; v < V; v++) s->clean_log_p[v] = log(s->clean_p[v]);
  fv_sweep_read(s, logits, V, &s->clean);
  return FV_OK;
}

/* ---- results ---- */

fv_row_info fv_sweep_row(const fv_sweep *s, const fv_sweep_site *site, int64_t row) {
  fv_row_info info = {.piece = ""};
  const char *stack = site->cells[0].row_stack;
  if (stack) (void)fv_input_row(s->clean_input, stack, row, &info, NULL);
  return info;
}

float fv_sweep_effect(const fv_sweep *s, const fv_sweep_series *series, const fv_sweep_value *cell) {
  double from = series->corrupted.logit_diff, to = s->clean.logit_diff;
  if (s->o.noise) from = s->clean.logit_diff, to = series->corrupted.logit_diff;
  return to == from ? NAN : (float)((cell->logit_diff - from) / (to - from));
}

static fv_status emit_site(const fv_sweep *s, const fv_sweep_series *series, const fv_sweep_site *site,
                           const fv_sweep_value *v, fv_row *line, fv_sink sink, fv_error *err) {
  fv_status st = FV_OK;
  line->stack = site->stack, line->site = site->cells[0].site;
  for (size_t layer = 0; layer < site->ncells; layer++)
    for (int64_t row = 0; row < site->nrows; row++)
      for (int64_t head = 0; head < site->nheads && !st; head++, v++) {
        fv_row_info info = fv_sweep_row(s, site, site->rows[row]);
        line->layer = site->cells[layer].layer, line->row = site->rows[row], line->piece = info.piece;
        line->head = site->heads ? site->heads[head] : -1;
        line->prob = v->m.prob, line->logit = v->m.logit, line->kl = v->m.kl, line->rank = v->m.rank;
        line->p_diff = v->m.prob - series->corrupted.m.prob, line->logit_diff = v->logit_diff;
        line->effect = fv_sweep_effect(s, series, v);
        st = sink.row ? sink.row(sink.user, line, err) : FV_OK;
      }
  return st;
}

fv_status fv_sweep_emit(const fv_sweep *s, const char *sample, const char *answer, fv_sink sink, fv_error *err) {
  fv_status st = FV_OK;
  fv_row line;
  fv_row_defaults(&line);
  line.sample = sample, line.window = s->o.window, line.op = s->o.llava_hs_into_module ? "hs-into-module" : "replace",
  line.answer_id = s->correct, line.answer = answer, line.incorrect_id = s->incorrect,
  line.clean_prob = s->clean.m.prob, line.clean_logit_diff = s->clean.logit_diff;
  for (size_t i = 0; i < s->nseries; i++) {
    const fv_sweep_series *series = &s->series[i];
    const fv_sweep_value *v = series->cells;
    line.draw = series->draw, line.corrupt = s->o.corrupt[series->corrupt],
    line.corrupt_prob = series->corrupted.m.prob, line.corrupt_logit_diff = series->corrupted.logit_diff;
    for (size_t k = 0; k < s->o.nsite && !st; k++) {
      st = emit_site(s, series, &s->sites[k], v, &line, sink, err);
      v += (int64_t)s->sites[k].ncells * s->sites[k].nrows * s->sites[k].nheads;
    }
  }
  return st;
}
