/* Maps as JSON: axes, then one list of numbers per metric, rows outside, then layers, then heads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/report_maps.h"

static const char *const names[FV_REPORT_METRICS] = {"effect",     "restored", "prob", "p_diff",
                                                     "logit_diff", "kl",       "rank"};

/* Above this many cells only the first metric is written, without its spread. */
enum { LARGE_MAP = 20000 };
/* No model has maps of more cells. */
#define CELLS_MAX ((size_t)1 << 28)

typedef struct axes {
  int64_t *rows, *layers, *heads;
  size_t nrows, nlayers, nheads;
  size_t *order; /* [rows * layers * heads]: index + 1 of the cell, 0 where there is none */
  size_t total;
} axes;

static int by_value(const void *a, const void *b) {
  int64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static size_t sort_unique(int64_t *keys, size_t n) {
  if (n == 0) return 0;
  qsort(keys, n, sizeof *keys, by_value);
  size_t count = 1;
  for (size_t i = 1; i < n; i++)
    if (keys[i] != keys[count - 1]) keys[count++] = keys[i];
  return count;
}

static size_t place(const int64_t *keys, size_t n, int64_t key) {
  const int64_t *at = bsearch(&key, keys, n, sizeof key, by_value);
  return (size_t)(at - keys);
}

static void axes_release(axes *a) { free(a->rows), free(a->layers), free(a->heads), free(a->order); }

static fv_status axes_fill(axes *a, const fv_report_map *m, fv_error *err) {
  *a = (axes){.rows = fv_alloc(m->ncells, sizeof(int64_t)),
              .layers = fv_alloc(m->ncells, sizeof(int64_t)),
              .heads = fv_alloc(m->ncells, sizeof(int64_t))};
  if (!a->rows || !a->layers || !a->heads) return fv_fail(err, FV_ENOMEM, "no memory for the axes of a map");
  for (size_t i = 0; i < m->ncells; i++)
    a->rows[i] = m->cells[i].row, a->layers[i] = m->cells[i].layer, a->heads[i] = m->cells[i].head;
  a->nrows = sort_unique(a->rows, m->ncells);
  a->nlayers = sort_unique(a->layers, m->ncells);
  a->nheads = sort_unique(a->heads, m->ncells);
  if (m->ncells > 0 && a->nrows * a->nlayers > CELLS_MAX / a->nheads)
    return fv_fail(err, FV_EFORMAT, "a map has %zu rows, %zu layers and %zu heads; the database is damaged", a->nrows,
                   a->nlayers, a->nheads);
  if (!fv_mul_size(a->nrows, a->nlayers, &a->total) || !fv_mul_size(a->total, a->nheads, &a->total) ||
      !(a->order = fv_alloc(a->total, sizeof *a->order)))
    return fv_fail(err, FV_ENOMEM, "no memory for a map of %zu rows", a->nrows);
  for (size_t i = 0; i < m->ncells; i++) {
    const fv_report_cell *c = &m->cells[i];
    size_t r = place(a->rows, a->nrows, c->row), l = place(a->layers, a->nlayers, c->layer);
    a->order[(r * a->nlayers + l) * a->nheads + place(a->heads, a->nheads, c->head)] = i + 1;
  }
  return FV_OK;
}

double fv_report_rough(double value) {
  if (!isfinite(value) || value == 0.0) return isfinite(value) ? value : NAN;
  double unit = pow(10.0, floor(log10(fabs(value))) - 2.0);
  return nearbyint(value / unit) * unit;
}

static void write_keys(fv_json_out *j, const char *name, const int64_t *keys, size_t n) {
  fv_json_out_begin(j, name, '[');
  for (size_t i = 0; i < n; i++) fv_json_out_count(j, NULL, keys[i]);
  fv_json_out_end(j, ']');
}

/* The most frequent piece of every row, and in which share of the samples it stands there. */
static void write_labels(fv_json_out *j, const fv_report_map *m, const axes *a) {
  fv_json_out_begin(j, "pieces", '[');
  for (size_t pass = 0; pass < 2; pass++) {
    if (pass == 1) fv_json_out_end(j, ']'), fv_json_out_begin(j, "share", '[');
    for (size_t i = 0; i < a->nrows; i++) {
      const fv_report_label *l = a->rows[i] >= 0 && m->labels ? &m->labels[a->rows[i]] : NULL;
      int best = 0;
      for (int k = 1; l && k < FV_REPORT_PIECES; k++)
        if (l->counts[k] > l->counts[best]) best = k;
      if (pass == 0)
        fv_json_out_text(j, NULL, l ? l->pieces[best] : NULL);
      else
        fv_json_out_num(j, NULL, fv_report_rough(l && l->total ? (double)l->counts[best] / (double)l->total : NAN));
    }
  }
  fv_json_out_end(j, ']');
}

static bool has_metric(const fv_report_map *m, int k) {
  for (size_t i = 0; i < m->ncells; i++)
    if (m->cells[i].n[k] > 0) return true;
  return false;
}

static void write_means(fv_json_out *j, const fv_report_map *m, const axes *a, int k) {
  fv_json_out_begin(j, names[k], '[');
  for (size_t i = 0; i < a->total; i++) {
    const fv_report_cell *c = a->order[i] ? &m->cells[a->order[i] - 1] : NULL;
    fv_json_out_num(j, NULL, c && c->n[k] ? (float)(c->sum[k] / (double)c->n[k]) : NAN);
  }
  fv_json_out_end(j, ']');
}

static void write_spreads(fv_json_out *j, const fv_report_map *m, const axes *a, int k) {
  fv_json_out_begin(j, names[k], '[');
  for (size_t i = 0; i < a->total; i++)
    fv_json_out_num(j, NULL, fv_report_rough(a->order[i] ? fv_report_spread(&m->cells[a->order[i] - 1], k) : NAN));
  fv_json_out_end(j, ']');
}

/* One number when all cells have the same. */
static void write_whole(fv_json_out *j, const fv_report_map *m, const axes *a, int k,
                        int64_t (*count)(const fv_report_cell *, int)) {
  bool same = true;
  for (size_t i = 1; i < m->ncells; i++) same &= count(&m->cells[i], k) == count(&m->cells[0], k);
  fv_json_out_begin(j, names[k], '[');
  for (size_t i = 0; i < (same ? 1 : a->total); i++) {
    const fv_report_cell *c = same ? &m->cells[0] : a->order[i] ? &m->cells[a->order[i] - 1] : NULL;
    fv_json_out_int(j, NULL, c ? count(c, k) : 0);
  }
  fv_json_out_end(j, ']');
}

static int64_t runs_of(const fv_report_cell *c, int k) { return c->n[k]; }

/* How many runs, and how many samples, are behind a mean. */
static void write_runs(fv_json_out *j, const fv_report_map *m, const axes *a, int k) {
  write_whole(j, m, a, k, runs_of);
}

static void write_samples(fv_json_out *j, const fv_report_map *m, const axes *a, int k) {
  write_whole(j, m, a, k, fv_report_samples);
}

static void write_metrics(fv_json_out *j, const fv_report_map *m, const axes *a, const char *key,
                          void (*write)(fv_json_out *, const fv_report_map *, const axes *, int)) {
  bool effect = has_metric(m, FV_REPORT_EFFECT), large = m->ncells > LARGE_MAP;
  fv_json_out_begin(j, key, '{');
  for (int k = 0; k < FV_REPORT_METRICS; k++) {
    if (!has_metric(m, k) || (k == FV_REPORT_RESTORED && effect)) continue;
    if (large && k != (effect ? FV_REPORT_EFFECT : FV_REPORT_PROB)) continue;
    if (!large || write != write_spreads) write(j, m, a, k);
  }
  fv_json_out_end(j, '}');
}

static fv_status write_map(const fv_report_map *m, fv_json_out *j, fv_error *err) {
  axes a;
  fv_status st = axes_fill(&a, m, err);
  if (!st) {
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_int(j, "sweep", m->sweep);
    fv_json_out_count(j, "group", m->group);
    fv_json_out_text(j, "corrupt", m->corrupt);
    fv_json_out_text(j, "stack", m->stack);
    fv_json_out_text(j, "site", m->site);
    fv_json_out_text(j, "op", m->op);
    fv_json_out_count(j, "window", m->window);
    fv_json_out_count(j, "length", m->rows);
    fv_json_out_int(j, "samples", m->samples);
    fv_json_out_int(j, "runs", m->runs);
    fv_json_out_num(j, "clean_prob", (float)(m->clean_prob / (double)m->runs));
    fv_json_out_num(j, "corrupt_prob", (float)(m->corrupt_prob / (double)m->runs));
    write_keys(j, "rows", a.rows, a.nrows);
    if (m->rows > 0) write_labels(j, m, &a);
    write_keys(j, "layers", a.layers, a.nlayers);
    write_keys(j, "heads", a.heads, a.nheads);
    write_metrics(j, m, &a, "mean", write_means);
    write_metrics(j, m, &a, "sd", write_spreads);
    write_metrics(j, m, &a, "n", write_runs);
    write_metrics(j, m, &a, "of", write_samples);
    fv_json_out_end(j, '}');
  }
  axes_release(&a);
  return st;
}

fv_status fv_report_maps_write(const fv_report_maps *maps, fv_json_out *j, fv_error *err) {
  fv_status st = FV_OK;
  fv_json_out_begin(j, "maps", '[');
  for (size_t i = 0; i < maps->count && !st; i++) st = write_map(&maps->list[i], j, err);
  fv_json_out_end(j, ']');
  return st;
}

static void write_kept(const fv_report_values *v, const axes *a, int k, fv_json_out *j) {
  bool any = false;
  for (size_t i = 0; i < v->n; i++) any |= v->draws[i] > 0 && !isnan(v->values[i][k]);
  if (!any) return;
  fv_json_out_begin(j, names[k], '[');
  for (size_t i = 0; i < a->total; i++) {
    size_t at = a->order[i];
    fv_json_out_num(j, NULL, at && at <= v->n && v->draws[at - 1] > 0 ? v->values[at - 1][k] : NAN);
  }
  fv_json_out_end(j, ']');
}

/* The sample's own tokens, which may not be the most frequent ones of the map. */
static void write_pieces(const fv_report_values *v, const axes *a, fv_json_out *j) {
  if (v->npieces == 0) return;
  fv_json_out_begin(j, "pieces", '[');
  for (size_t i = 0; i < a->nrows; i++) {
    int64_t row = a->rows[i];
    fv_json_out_text(j, NULL, row >= 0 && row < (int64_t)v->npieces ? v->pieces[row] : NULL);
  }
  fv_json_out_end(j, ']');
}

fv_status fv_report_kept_write(const fv_report_maps *maps, const fv_report_kept *kept, fv_json_out *j, fv_error *err) {
  fv_status st = FV_OK;
  fv_json_out_begin(j, "values", '[');
  for (size_t i = 0; i < kept->count && !st; i++) {
    const fv_report_map *m = &maps->list[kept->list[i].map];
    axes a;
    st = axes_fill(&a, m, err);
    if (!st) {
      bool effect = has_metric(m, FV_REPORT_EFFECT);
      fv_json_out_begin(j, NULL, '{');
      fv_json_out_int(j, "map", (int64_t)kept->list[i].map);
      fv_json_out_int(j, "draws", kept->list[i].n ? kept->list[i].draws[0] : 0);
      write_pieces(&kept->list[i], &a, j);
      for (int k = 0; k < FV_REPORT_KEPT; k++)
        if (k != FV_REPORT_P_DIFF && (k != FV_REPORT_RESTORED || !effect)) write_kept(&kept->list[i], &a, k, j);
      fv_json_out_end(j, '}');
    }
    axes_release(&a);
  }
  fv_json_out_end(j, ']');
  return st;
}
