#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/table.h"
#include "report/columns.h"

/* One axis: its keys (integers, or the table's own strings, which are unique pointers) and their labels. */
typedef struct axis {
  const fv_column *column;
  int64_t *keys;
  const char **texts;
  char **labels;
  size_t n, capacity, texts_capacity;
  size_t last; /* the string found last: neighbouring rows tend to share it */
} axis;

static void axis_release(axis *a) {
  for (size_t i = 0; a->labels && i < a->n; i++) free(a->labels[i]);
  free(a->labels);
  free(a->keys);
  free(a->texts);
}

static bool matches(const fv_row *row, const fv_row *where) {
  for (size_t i = 0; where && i < FV_COLUMNS; i++) {
    const fv_column *c = &fv_columns[i];
    if (fv_cell_empty(where, c)) continue;
    if (fv_cell_empty(row, c)) return false;
    switch (c->type) {
      case FV_COLUMN_TEXT:
        if (strcmp(fv_cell_text(row, c), fv_cell_text(where, c)) != 0) return false;
        break;
      case FV_COLUMN_INT:
        if (fv_cell_int(row, c) != fv_cell_int(where, c)) return false;
        break;
      case FV_COLUMN_NUMBER:
        if (!(fv_cell_number(row, c) == fv_cell_number(where, c))) return false;
        break;
    }
  }
  return true;
}

static int by_value(const void *a, const void *b) {
  int64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

/* Index of the row's key on the axis, or -1. */
static int64_t axis_index(axis *a, const fv_row *row) {
  if (fv_cell_empty(row, a->column)) return -1;
  if (a->column->type == FV_COLUMN_TEXT) {
    const char *s = fv_cell_text(row, a->column);
    for (size_t i = 0; i < a->n; i++) {
      size_t j = (a->last + i) % a->n;
      if (a->texts[j] == s) return (int64_t)(a->last = j);
    }
    return -1;
  }
  int64_t key = fv_cell_int(row, a->column);
  int64_t *at = bsearch(&key, a->keys, a->n, sizeof key, by_value);
  return at ? (int64_t)(at - a->keys) : -1;
}

static fv_status axis_add(axis *a, const fv_row *row, fv_error *err) {
  if (fv_cell_empty(row, a->column)) return FV_OK;
  bool text = a->column->type == FV_COLUMN_TEXT;
  if (text && axis_index(a, row) >= 0) return FV_OK;
  int64_t key = text ? -1 : fv_cell_int(row, a->column);
  if (!text && a->n > 0 && a->keys[a->n - 1] == key) return FV_OK; /* the rest of the doubles go after sorting */
  if (!fv_grow(&a->keys, &a->capacity, a->n + 1, sizeof *a->keys) ||
      !fv_grow(&a->texts, &a->texts_capacity, a->n + 1, sizeof *a->texts))
    return fv_fail(err, FV_ENOMEM, "no memory for an axis of %zu keys", a->n + 1);
  a->keys[a->n] = key;
  a->texts[a->n++] = text ? fv_cell_text(row, a->column) : NULL;
  return FV_OK;
}

static void axis_sort(axis *a) {
  if (a->column->type == FV_COLUMN_TEXT || a->n == 0) return;
  qsort(a->keys, a->n, sizeof *a->keys, by_value);
  size_t n = 1;
  for (size_t i = 1; i < a->n; i++)
    if (a->keys[i] != a->keys[n - 1]) a->keys[n++] = a->keys[i];
  a->n = n;
}

/* Finds the keys of an axis; `fixed` > 0 asks for 0..fixed-1. */
static fv_status axis_fill(axis *a, const char *name, int64_t fixed, const fv_table *t, const fv_row *where,
                           fv_error *err) {
  a->column = name ? fv_column_find(name) : NULL;
  if (!a->column || a->column->type == FV_COLUMN_NUMBER)
    return fv_fail(err, FV_EUSAGE, "axis %s: expected a column of the long table that holds integers or names",
                   name ? name : "(none)");
  if (fixed > 0 && a->column->type == FV_COLUMN_INT) {
    if (!(a->keys = fv_alloc((size_t)fixed, sizeof *a->keys)))
      return fv_fail(err, FV_ENOMEM, "no memory for an axis of %" PRId64 " keys", fixed);
    a->n = (size_t)fixed;
    for (size_t i = 0; i < a->n; i++) a->keys[i] = (int64_t)i;
    return FV_OK;
  }
  for (size_t i = 0; i < fv_table_count(t); i++) {
    const fv_row *row = fv_table_row(t, i);
    fv_status st = matches(row, where) ? axis_add(a, row, err) : FV_OK;
    if (st) return st;
  }
  axis_sort(a);
  return a->n ? FV_OK : fv_fail(err, FV_ENOTFOUND, "axis %s: no selected row of the table has a value there", name);
}

static fv_status axis_label(axis *a, const fv_table *t, const fv_row *where, fv_error *err) {
  if (!(a->labels = fv_alloc(a->n, sizeof *a->labels))) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  bool pieces = strcmp(a->column->name, "row") == 0;
  for (size_t i = 0; pieces && i < fv_table_count(t); i++) {
    const fv_row *row = fv_table_row(t, i);
    int64_t k = row->piece && matches(row, where) ? axis_index(a, row) : -1;
    if (k >= 0 && !a->labels[k] && !(a->labels[k] = fv_strdup(row->piece)))
      return fv_fail(err, FV_ENOMEM, "no memory for labels");
  }
  for (size_t i = 0; i < a->n; i++) {
    if (a->labels[i]) continue;
    a->labels[i] = a->column->type == FV_COLUMN_TEXT ? fv_strdup(a->texts[i]) : fv_format("%" PRId64, a->keys[i]);
    if (!a->labels[i]) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  }
  return FV_OK;
}

static fv_status average(axis *y, axis *x, const fv_column *metric, const fv_table *t, const fv_row *where,
                         fv_grid *out, fv_error *err) {
  size_t cells;
  double *sums = NULL;
  if (fv_mul_size(y->n, x->n, &cells)) {
    sums = fv_alloc(cells, sizeof *sums);
    out->values = fv_alloc(cells, sizeof *out->values);
    out->counts = fv_alloc(cells, sizeof *out->counts);
  }
  if (!sums || !out->values || !out->counts) {
    free(sums);
    return fv_fail(err, FV_ENOMEM, "no memory for a grid of %zu x %zu", y->n, x->n);
  }
  for (size_t i = 0; i < fv_table_count(t); i++) {
    const fv_row *row = fv_table_row(t, i);
    double v;
    if (metric->type == FV_COLUMN_INT)
      v = fv_cell_empty(row, metric) ? NAN : (double)fv_cell_int(row, metric);
    else
      v = (double)fv_cell_number(row, metric);
    if (!isfinite(v) || !matches(row, where)) continue;
    int64_t r = axis_index(y, row), c = axis_index(x, row);
    if (r < 0 || c < 0) continue;
    sums[(size_t)r * x->n + (size_t)c] += v;
    out->counts[(size_t)r * x->n + (size_t)c]++;
  }
  for (size_t i = 0; i < cells; i++) out->values[i] = out->counts[i] ? (float)(sums[i] / (double)out->counts[i]) : NAN;
  free(sums);
  return FV_OK;
}

fv_status fv_table_pivot(const fv_table *t, const fv_pivot *p, fv_grid *out, fv_error *err) {
  *out = (fv_grid){0};
  const fv_column *metric = p->metric ? fv_column_find(p->metric) : NULL;
  if (!metric || metric->type == FV_COLUMN_TEXT)
    return fv_fail(err, FV_EUSAGE, "metric %s: expected a column of numbers of the long table, such as prob or effect",
                   p->metric ? p->metric : "(none)");
  axis y = {0}, x = {0};
  fv_status st = axis_fill(&y, p->y, p->rows, t, p->where, err);
  if (!st) st = axis_fill(&x, p->x, p->cols, t, p->where, err);
  if (!st) st = axis_label(&y, t, p->where, err);
  if (!st) st = axis_label(&x, t, p->where, err);
  if (!st) st = average(&y, &x, metric, t, p->where, out, err);
  if (!st) {
    out->rows = (int64_t)y.n, out->cols = (int64_t)x.n;
    out->row_labels = y.labels, out->col_labels = x.labels;
    out->row_keys = y.keys, out->col_keys = x.keys;
    y.labels = x.labels = NULL;
    y.keys = x.keys = NULL;
  } else {
    fv_grid_release(out);
  }
  axis_release(&y);
  axis_release(&x);
  return st;
}

void fv_grid_release(fv_grid *g) {
  for (int64_t i = 0; i < g->rows; i++) free(g->row_labels[i]);
  for (int64_t i = 0; i < g->cols; i++) free(g->col_labels[i]);
  free(g->row_labels);
  free(g->col_labels);
  free(g->row_keys);
  free(g->col_keys);
  free(g->values);
  free(g->counts);
  *g = (fv_grid){0};
}
