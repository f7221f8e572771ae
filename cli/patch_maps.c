/* The long table of a patching run as maps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "patch_output.h"

const char *const patch_metrics[PATCH_METRICS] = {"prob", "p_diff", "logit_diff", "effect"};

void patch_maps_release(patch_run *r) {
  for (size_t i = 0; i < r->nmaps; i++) {
    patch_map *m = &r->maps[i];
    for (int64_t k = 0; m->labels && k < m->nrows; k++) free(m->labels[k]);
    for (int k = 0; k < PATCH_METRICS; k++) free(m->values[k]);
    free(m->rows), free(m->layers), free(m->labels);
  }
  free(r->maps);
}

static bool belongs(const patch_map *m, const fv_row *line) {
  return m->head == line->head && strcmp(m->site, line->site) == 0 && strcmp(m->stack, line->stack) == 0 &&
         strcmp(m->corrupt, line->corrupt) == 0;
}

/* The map of a line; the lines of one map stand together but for its heads, so the search begins at the last one. */
static patch_map *find_map(patch_run *r, const fv_row *line, size_t *last) {
  for (size_t i = 0; i < r->nmaps; i++) {
    size_t at = (*last + i) % r->nmaps;
    if (belongs(&r->maps[at], line)) return *last = at, &r->maps[at];
  }
  return NULL;
}

static fv_status add_map(patch_run *r, const fv_row *line, size_t *last) {
  patch_map *grown = realloc(r->maps, (r->nmaps + 1) * sizeof *grown);
  if (!grown) return fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  r->maps = grown;
  *last = r->nmaps;
  r->maps[r->nmaps++] =
      (patch_map){.corrupt = line->corrupt, .stack = line->stack, .site = line->site, .head = line->head};
  return FV_OK;
}

static int64_t place_of(const int64_t *list, int64_t n, int64_t value) {
  for (int64_t i = n - 1; i >= 0; i--)
    if (list[i] == value) return i;
  return -1;
}

static fv_status add_key(patch_run *r, int64_t **list, int64_t *n, int64_t value) {
  if (place_of(*list, *n, value) >= 0) return FV_OK;
  int64_t *grown = realloc(*list, (size_t)(*n + 1) * sizeof *grown);
  if (!grown) return fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  grown[(*n)++] = value;
  *list = grown;
  return FV_OK;
}

static fv_status collect_axes(patch_run *r) {
  size_t last = 0;
  fv_status st = FV_OK;
  for (size_t i = 0; i < fv_table_count(r->table) && !st; i++) {
    const fv_row *line = fv_table_row(r->table, i);
    if (!find_map(r, line, &last)) st = add_map(r, line, &last);
    if (st) break;
    patch_map *m = &r->maps[last];
    st = add_key(r, &m->rows, &m->nrows, line->row);
    if (!st) st = add_key(r, &m->layers, &m->ncols, line->layer);
    if (line->draw >= m->draws) m->draws = line->draw + 1;
  }
  return st;
}

/* What a row is called: its piece, its place in the picture, or its number. */
static char *row_label(const patch_run *r, const fv_input *in, const patch_map *m, int64_t row) {
  char address[192], number[32];
  fv_selection *s = NULL;
  size_t n = 0;
  fv_row_info info = {.piece = ""};
  if (m->layers[0] < 0)
    snprintf(address, sizeof address, "%s.%s", m->stack, m->site);
  else
    snprintf(address, sizeof address, "%s.%lld.%s", m->stack, (long long)m->layers[0], m->site);
  if (fv_address_resolve(r->s->model, in, address, &s, &n, NULL) == FV_OK && s->row_stack)
    (void)fv_input_row(in, s->row_stack, row, &info, NULL);
  for (size_t i = 0; i < n; i++) fv_selection_release(&s[i]);
  free(s);
  const char *answer = fv_model_answer_stack(r->s->model);
  snprintf(number, sizeof number, "%lld", (long long)row);
  const char *label = fv_row_label(&info);
  bool start = !label[0] && info.id >= 0 && answer && strcmp(m->stack, answer) == 0;
  return strdup(label[0] ? label : start ? "[decode]" : number);
}

static fv_status fill_values(patch_run *r, patch_map *m) {
  size_t cells = (size_t)(m->nrows * m->ncols), last = (size_t)(m - r->maps);
  int64_t *counts[PATCH_METRICS] = {0};
  fv_status st = FV_OK;
  for (int k = 0; k < PATCH_METRICS; k++) {
    m->values[k] = calloc(cells + 1, sizeof *m->values[k]), counts[k] = calloc(cells + 1, sizeof *counts[k]);
    if (!m->values[k] || !counts[k]) st = fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  }
  double lines = 0.0;
  for (size_t i = 0; i < fv_table_count(r->table) && !st; i++) {
    const fv_row *line = fv_table_row(r->table, i);
    if (!belongs(&r->maps[last], line)) continue;
    const float v[PATCH_METRICS] = {line->prob, line->p_diff, line->logit_diff, line->effect};
    int64_t at = place_of(m->rows, m->nrows, line->row) * m->ncols + place_of(m->layers, m->ncols, line->layer);
    for (int k = 0; k < PATCH_METRICS; k++)
      if (isfinite(v[k])) m->values[k][at] += v[k], counts[k][at]++;
    m->corrupt_prob += line->corrupt_prob, m->corrupt_logit_diff += line->corrupt_logit_diff;
    lines++;
  }
  m->corrupt_prob /= lines, m->corrupt_logit_diff /= lines;
  for (int k = 0; k < PATCH_METRICS; k++) {
    for (size_t i = 0; i < cells && !st; i++)
      m->values[k][i] = counts[k][i] ? m->values[k][i] / (double)counts[k][i] : NAN;
    free(counts[k]);
  }
  return st;
}

fv_status patch_maps_make(patch_run *r) {
  fv_input *in = NULL;
  fv_status st = collect_axes(r);
  if (!st) st = fv_input_new(r->s->model, &r->options->input, &in, &r->s->err);
  for (size_t i = 0; i < r->nmaps && !st; i++) {
    patch_map *m = &r->maps[i];
    st = fill_values(r, m);
    m->labels = calloc((size_t)m->nrows + 1, sizeof *m->labels);
    if (!st && !m->labels) st = fv_fail(&r->s->err, FV_ENOMEM, "no memory");
    for (int64_t k = 0; k < m->nrows && !st; k++) {
      m->labels[k] = row_label(r, in, m, m->rows[k]);
      if (!m->labels[k]) st = fv_fail(&r->s->err, FV_ENOMEM, "no memory");
    }
  }
  fv_input_free(in);
  return st;
}
