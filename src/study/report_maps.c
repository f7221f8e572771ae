#include "study/report_maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* ---- cells ---- */

static size_t hash(int64_t row, int64_t layer, int64_t head) {
  uint64_t h = (uint64_t)(row + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t)(layer + 1) * 0xC2B2AE3D27D4EB4Fu ^
               (uint64_t)(head + 1) * 0x165667B19E3779F9u;
  return (size_t)(h ^ h >> 29);
}

static bool is_cell(const fv_report_cell *c, int64_t row, int64_t layer, int64_t head) {
  return c->row == row && c->layer == layer && c->head == head;
}

static uint32_t *slot_of(const fv_report_map *m, int64_t row, int64_t layer, int64_t head) {
  size_t i = hash(row, layer, head) & (m->nslots - 1);
  while (m->slots[i] && !is_cell(&m->cells[m->slots[i] - 1], row, layer, head)) i = (i + 1) & (m->nslots - 1);
  return &m->slots[i];
}

static bool grow_slots(fv_report_map *m) {
  size_t n = m->nslots ? 2 * m->nslots : 64;
  free(m->slots);
  m->slots = fv_alloc(n, sizeof *m->slots);
  m->nslots = m->slots ? n : 0;
  for (size_t i = 0; m->slots && i < m->ncells; i++)
    *slot_of(m, m->cells[i].row, m->cells[i].layer, m->cells[i].head) = (uint32_t)i + 1;
  return m->slots != NULL;
}

/* The index of a cell, made when it is new. Rows come in order, so the next cell is usually the next one. */
static fv_status cell_index(fv_report_map *m, int64_t row, int64_t layer, int64_t head, size_t *out, fv_error *err) {
  size_t next = m->last + 1 < m->ncells ? m->last + 1 : 0;
  if (m->ncells > 0 && is_cell(&m->cells[next], row, layer, head)) return *out = m->last = next, FV_OK;
  if (2 * (m->ncells + 1) > m->nslots && !grow_slots(m)) return fv_fail(err, FV_ENOMEM, "no memory for a map");
  uint32_t *slot = slot_of(m, row, layer, head);
  if (!*slot) {
    if (m->ncells >= UINT32_MAX - 1 || !fv_grow(&m->cells, &m->capacity, m->ncells + 1, sizeof *m->cells))
      return fv_fail(err, FV_ENOMEM, "no memory for a map of %zu cells", m->ncells + 1);
    m->cells[m->ncells] = (fv_report_cell){.row = row, .layer = layer, .head = head, .sample = -1};
    *slot = (uint32_t)++m->ncells;
  }
  *out = m->last = *slot - 1;
  return FV_OK;
}

/* ---- maps ---- */

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool is_map(const fv_report_map *m, const fv_report_row *r, int64_t group, int64_t rows) {
  return m->sweep == r->sweep && m->group == group && m->rows == rows && m->window == r->row->window &&
         same_text(m->site, r->row->site) && same_text(m->stack, r->row->stack) && same_text(m->op, r->row->op) &&
         same_text(m->corrupt, r->corrupt);
}

static fv_status map_index(fv_report_maps *maps, const fv_report_row *r, int64_t group, int64_t rows, size_t *out,
                           fv_error *err) {
  for (size_t i = 0; i < maps->count; i++) {
    size_t at = (maps->last + i) % maps->count;
    if (is_map(&maps->list[at], r, group, rows)) return *out = maps->last = at, FV_OK;
  }
  if (!fv_grow(&maps->list, &maps->capacity, maps->count + 1, sizeof *maps->list))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu maps", maps->count + 1);
  fv_report_map *m = &maps->list[maps->count];
  *m = (fv_report_map){.sweep = r->sweep,
                       .group = group,
                       .rows = rows,
                       .window = r->row->window,
                       .corrupt = r->corrupt,
                       .stack = r->row->stack,
                       .site = r->row->site,
                       .op = r->row->op,
                       .last_sample = -1};
  if (rows > 0 && !(m->labels = fv_alloc((size_t)rows, sizeof *m->labels)))
    return fv_fail(err, FV_ENOMEM, "no memory for %lld labels", (long long)rows);
  *out = maps->last = maps->count++;
  return FV_OK;
}

static void read_metrics(const fv_row *r, float out[FV_REPORT_METRICS]) {
  float span = r->clean_prob - r->corrupt_prob;
  out[FV_REPORT_EFFECT] = r->effect;
  out[FV_REPORT_RESTORED] = span != 0.0f ? (r->prob - r->corrupt_prob) / span : NAN;
  out[FV_REPORT_PROB] = r->prob;
  out[FV_REPORT_P_DIFF] = r->p_diff;
  out[FV_REPORT_LOGIT_DIFF] = r->logit_diff;
  out[FV_REPORT_KL] = r->kl;
  out[FV_REPORT_RANK] = r->rank >= 0 ? (float)r->rank : NAN;
}

static void label_row(fv_report_map *m, const fv_row *row) {
  if (!row->piece || row->row < 0 || row->row >= m->rows) return;
  fv_report_label *l = &m->labels[row->row];
  l->total++;
  for (int i = 0; i < FV_REPORT_PIECES; i++) {
    if (l->pieces[i] && strcmp(l->pieces[i], row->piece) != 0) continue;
    l->pieces[i] = row->piece;
    l->counts[i]++;
    return;
  }
}

static void close_sample(fv_report_cell *c) {
  for (int k = 0; k < FV_REPORT_METRICS; k++) {
    if (c->parts[k] == 0) continue;
    double mean = c->part[k] / c->parts[k];
    c->means[k] += mean, c->squares[k] += mean * mean, c->samples[k]++;
    c->part[k] = 0.0, c->parts[k] = 0;
  }
}

static void add_values(fv_report_cell *c, int64_t sample, const float v[FV_REPORT_METRICS]) {
  if (c->sample != sample) close_sample(c), c->sample = sample;
  for (int k = 0; k < FV_REPORT_METRICS; k++) {
    if (!isfinite(v[k])) continue;
    c->sum[k] += (double)v[k], c->n[k]++;
    c->part[k] += (double)v[k], c->parts[k]++;
  }
}

int64_t fv_report_samples(const fv_report_cell *c, int k) { return c->samples[k] + (c->parts[k] > 0); }

double fv_report_spread(const fv_report_cell *cell, int k) {
  fv_report_cell c = *cell;
  close_sample(&c);
  double n = c.samples[k];
  if (n < 2.0) return NAN;
  double variance = (c.squares[k] - c.means[k] * c.means[k] / n) / (n - 1.0);
  return variance > 0.0 ? sqrt(variance) : 0.0;
}

/* Adds to one map at one of its rows. */
static fv_status add_cell(fv_report_maps *maps, const fv_report_row *r, int64_t group, int64_t rows, int64_t at,
                          const float v[FV_REPORT_METRICS], size_t *map, size_t *cell, fv_error *err) {
  fv_status st = map_index(maps, r, group, rows, map, err);
  if (st) return st;
  fv_report_map *m = &maps->list[*map];
  st = cell_index(m, at, r->row->layer, r->row->head, cell, err);
  if (st) return st;
  add_values(&m->cells[*cell], r->sample, v);
  if (m->last_sample != r->sample) m->last_sample = r->sample, m->samples++;
  m->runs++;
  if (isfinite(r->row->clean_prob)) m->clean_prob += (double)r->row->clean_prob;
  if (isfinite(r->row->corrupt_prob)) m->corrupt_prob += (double)r->row->corrupt_prob;
  return FV_OK;
}

static fv_status keep_values(fv_report_kept *kept, size_t map, size_t cell, const fv_report_row *r,
                             const float v[FV_REPORT_METRICS], fv_error *err) {
  size_t i = kept->count;
  while (i > 0 && kept->list[i - 1].map != map) i--;
  if (i == 0) {
    if (!fv_grow(&kept->list, &kept->capacity, kept->count + 1, sizeof *kept->list))
      return fv_fail(err, FV_ENOMEM, "no memory for a sample's values");
    kept->list[kept->count] = (fv_report_values){.map = map};
    i = ++kept->count;
  }
  fv_report_values *values = &kept->list[i - 1];
  if (cell >= values->n) {
    size_t capacity = values->capacity;
    if (!fv_grow(&values->values, &capacity, cell + 1, sizeof *values->values) ||
        !fv_grow(&values->draws, &values->capacity, cell + 1, sizeof *values->draws))
      return fv_fail(err, FV_ENOMEM, "no memory for a sample's values");
    for (; values->n <= cell; values->n++) values->draws[values->n] = 0;
  }
  const fv_row *row = r->row;
  if (row->piece && row->row >= 0 && row->row < r->rows) {
    if (!fv_grow(&values->pieces, &values->pieces_capacity, (size_t)row->row + 1, sizeof *values->pieces))
      return fv_fail(err, FV_ENOMEM, "no memory for a sample's tokens");
    while (values->npieces <= (size_t)row->row) values->pieces[values->npieces++] = NULL;
    values->pieces[row->row] = row->piece;
  }
  /* One draw is kept as it is, so that the page shows the table's own number. */
  int32_t n = ++values->draws[cell];
  for (int k = 0; k < FV_REPORT_KEPT; k++) {
    float *to = &values->values[cell][k];
    *to = n == 1 ? v[k] : (float)((double)*to + ((double)v[k] - (double)*to) / n);
  }
  return FV_OK;
}

fv_status fv_report_maps_add(fv_report_maps *maps, const fv_report_row *r, fv_report_kept *kept, fv_error *err) {
  float v[FV_REPORT_METRICS];
  read_metrics(r->row, v);
  const int64_t groups[2] = {FV_REPORT_EVERYTHING, r->group};
  fv_status st = FV_OK;
  for (int g = 0; g < (r->group < 0 ? 1 : 2) && !st; g++) {
    size_t map, cell, pool, pooled;
    st = add_cell(maps, r, groups[g], r->rows, r->row->row, v, &map, &cell, err);
    if (!st) label_row(&maps->list[map], r->row);
    if (!st && g == 0 && kept) st = keep_values(kept, map, cell, r, v, err);
    if (!st && r->answer_row) st = add_cell(maps, r, groups[g], FV_REPORT_POOLED, 0, v, &pool, &pooled, err);
    if (!st) st = add_cell(maps, r, groups[g], FV_REPORT_POOLED, 1, v, &pool, &pooled, err);
  }
  return st;
}

void fv_report_maps_release(fv_report_maps *maps) {
  for (size_t i = 0; i < maps->count; i++) {
    free(maps->list[i].cells);
    free(maps->list[i].slots);
    free(maps->list[i].labels);
  }
  free(maps->list);
  *maps = (fv_report_maps){0};
}

void fv_report_kept_release(fv_report_kept *kept) {
  for (size_t i = 0; i < kept->count; i++)
    free(kept->list[i].values), free(kept->list[i].draws), free(kept->list[i].pieces);
  free(kept->list);
  *kept = (fv_report_kept){0};
}
