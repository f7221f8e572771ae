#include "experiment/trace_maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static void map_release(fv_trace_map *m) {
  for (int64_t i = 0; m->labels && i < m->rows; i++) free(m->labels[i]);
  free(m->labels), free(m->layers), free(m->prob), free(m->normalised);
}

void fv_trace_release(fv_trace_result *r) {
  for (size_t i = 0; i < r->nmaps; i++) map_release(&r->maps[i]);
  free(r->maps), free(r->answer), free(r->ids);
  *r = (fv_trace_result){0};
}

static bool same(const fv_trace_map *a, const fv_trace_map *b) {
  return a->corrupt == b->corrupt && a->restore == b->restore && a->draw == b->draw && a->rows == b->rows &&
         a->cols == b->cols && strcmp(a->stack, b->stack) == 0 && strcmp(a->site, b->site) == 0;
}

static fv_status map_new(const fv_trace_map *like, const char *const *labels, fv_trace_map *m, fv_error *err) {
  size_t cells = (size_t)(like->rows * like->cols);
  *m = *like;
  m->samples = m->flat = 0, m->low = m->high = 0.0;
  m->layers = fv_alloc((size_t)m->cols, sizeof *m->layers), m->labels = fv_alloc((size_t)m->rows, sizeof *m->labels);
  m->prob = fv_alloc(cells, sizeof *m->prob), m->normalised = fv_alloc(cells, sizeof *m->normalised);
  bool good = m->layers && m->labels && m->prob && m->normalised;
  if (good) memcpy(m->layers, like->layers, (size_t)m->cols * sizeof *m->layers);
  for (int64_t i = 0; good && i < m->rows; i++) good = (m->labels[i] = fv_strdup(labels[i])) != NULL;
  if (good) return FV_OK;
  map_release(m);
  return fv_fail(err, FV_ENOMEM, "no memory for a map of %lld x %lld", (long long)like->rows, (long long)like->cols);
}

/* Rows whose pieces differ between samples are named by their place. */
static fv_status merge_labels(fv_trace_map *m, const char *const *labels, fv_error *err) {
  for (int64_t i = 0; i < m->rows; i++) {
    if (strcmp(m->labels[i], labels[i]) == 0) continue;
    char *place = fv_format("token %lld", (long long)i);
    if (!place) return fv_fail(err, FV_ENOMEM, "no memory");
    free(m->labels[i]);
    m->labels[i] = place;
  }
  return FV_OK;
}

fv_status fv_trace_map_find(fv_trace_result *r, const fv_trace_map *like, const char *const *labels, fv_trace_map **out,
                            fv_error *err) {
  for (size_t i = 0; i < r->nmaps; i++)
    if (same(&r->maps[i], like)) return *out = &r->maps[i], merge_labels(&r->maps[i], labels, err);
  fv_trace_map *grown = realloc(r->maps, (r->nmaps + 1) * sizeof *grown);
  if (!grown) return fv_fail(err, FV_ENOMEM, "no memory");
  r->maps = grown;
  fv_status st = map_new(like, labels, &r->maps[r->nmaps], err);
  if (st) return st;
  *out = &r->maps[r->nmaps++];
  return FV_OK;
}

void fv_trace_map_add(fv_trace_map *m, const float *prob, double low, double high) {
  double old = (double)m->samples, now = old + 1.0, counted = (double)(m->samples - m->flat);
  bool flat = high == low;
  for (int64_t i = 0; i < m->rows * m->cols; i++) {
    double share = (prob[i] - low) / (high - low);
    m->prob[i] = (m->prob[i] * old + prob[i]) / now;
    if (!flat)
      m->normalised[i] = counted > 0.0 ? (m->normalised[i] * counted + share) / (counted + 1.0) : share;
    else if (m->samples == m->flat)
      m->normalised[i] = NAN;
  }
  m->low = (m->low * old + low) / now;
  m->high = (m->high * old + high) / now;
  m->samples++;
  m->flat += flat;
}
