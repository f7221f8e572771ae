/* Mean maps, made by SQLite: it groups and averages, in the order of the stored cells. */
#include "fovea/mean_maps.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/place_choice.h"

/* Most rows and layers of a map. */
enum { MOST_SIDE = 1 << 15, MOST_CELLS = 1 << 24 };

typedef struct reader {
  const fv_store *store;
  const fv_maps_query *query;
  fv_maps *out;
  int64_t sweep_id;
  size_t room;
  char *samples; /* a common table expression: the samples that count, with what tells maps apart */
} reader;

/* g: group, o: order, n: rows of the text (NULL in a stack without one). */
static fv_status write_samples(reader *r, fv_error *err) {
  const fv_maps_query *q = r->query;
  r->samples = fv_format(
      "WITH k AS MATERIALIZED (SELECT s.id AS id, %s AS g, %s AS o, (SELECT max(row) + 1 FROM sample_rows WHERE"
      " sample_id = s.id AND stack = ?2) AS n, s.correct AS correct, s.incorrect AS incorrect, s.answer_row AS at"
      " FROM samples s WHERE s.status = 'done' AND (?4 IS NULL OR s.\"group\" = ?4)) ",
      q->by_group ? "s.\"group\"" : "NULL", q->by_order ? "s.correct_first" : "NULL");
  return r->samples ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* `text` is what follows the samples; %1 to %4 are sweep, stack, site, group. */
static fv_status prepare(const reader *r, const char *text, sqlite3_stmt **s, fv_error *err) {
  char *sql = fv_format("%s%s", r->samples, text);
  fv_status st = sql ? fv_store_prepare(r->store, sql, s, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(sql);
  if (st) return st;
  sqlite3_bind_int64(*s, 1, r->sweep_id);
  fv_store_bind_text(*s, 2, r->out->stack), fv_store_bind_text(*s, 3, r->out->site);
  fv_store_bind_text(*s, 4, r->query->group);
  return FV_OK;
}

#define CELLS                                                                                                   \
  " FROM k CROSS JOIN bases b ON b.sample_id = k.id CROSS JOIN cells c ON c.base_id = b.id CROSS JOIN places p" \
  " ON p.id = c.place_id WHERE b.sweep_id = ?1 AND p.stack = ?2 AND p.site = ?3 AND c.head IS NULL"             \
  " AND p.layer IS NOT NULL AND c.row IS NOT NULL"

/* ---- the maps ---- */

static const char sizes[] =
    "SELECT k.g, k.o, ifnull(k.n, 0), max(c.row) + 1, max(p.layer) + 1, min(min(c.row, p.layer)),"
    " count(DISTINCT k.id)" CELLS " GROUP BY 1, 2, 3 ORDER BY k.g IS NULL, 1, ifnull(1 - k.o, 2), 3";

static fv_status add_map(reader *r, sqlite3_stmt *s, fv_error *err) {
  fv_maps *out = r->out;
  int64_t text = fv_store_whole(s, 2), rows = fv_store_whole(s, 3), layers = fv_store_whole(s, 4), cells;
  if (text > rows) rows = text; /* rows that were not patched are empty, but there */
  if (sqlite3_column_int64(s, 5) < 0 || rows < 1 || layers < 1 || rows > MOST_SIDE || layers > MOST_SIDE ||
      !fv_mul_i64(rows, layers, &cells) || cells > MOST_CELLS)
    return fv_fail(err, FV_EFORMAT, "%s: sweep %s has layers or rows out of range", fv_store_path(r->store),
                   out->sweep);
  if (!fv_grow(&out->list, &r->room, out->count + 1, sizeof *out->list)) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_mean_map *m = &out->list[out->count++];
  const char *group = fv_store_text(s, 0);
  *m = (fv_mean_map){.order = fv_store_whole(s, 1), .samples = fv_store_whole(s, 6), .rows = rows, .layers = layers};
  m->group = *group ? fv_strdup(group) : NULL;
  m->values = fv_alloc((size_t)cells, sizeof *m->values);
  m->labels = fv_alloc((size_t)rows, sizeof *m->labels);
  if ((*group && !m->group) || !m->values || !m->labels) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < cells; i++) m->values[i] = NAN;
  return FV_OK;
}

/* The map that a line of a query belongs to: its first three columns are group, order and rows of the text. */
static fv_mean_map *map_of(const reader *r, sqlite3_stmt *s) {
  const char *group = fv_store_text(s, 0);
  int64_t order = fv_store_whole(s, 1), text = fv_store_whole(s, 2);
  for (size_t i = 0; i < r->out->count; i++) {
    fv_mean_map *m = &r->out->list[i];
    if (strcmp(m->group ? m->group : "", group) == 0 && m->order == order && (text <= 0 || m->rows == text)) return m;
  }
  return NULL;
}

static const char *metric(const reader *r) {
  switch (r->query->metric) {
    case FV_HEADS_PROB: return "c.prob";
    case FV_HEADS_P_DIFF: return r->out->noise ? "(c.prob - b.clean_prob)" : "c.p_diff";
    case FV_HEADS_EFFECT: return "c.effect";
    case FV_HEADS_LOGIT_DIFF: break;
  }
  return r->out->noise ? "(c.logit_diff - b.clean_logit_diff)" : "(c.logit_diff - b.corrupt_logit_diff)";
}

static fv_status read_values(reader *r, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  const char *m = metric(r);
  char *text = fv_format("SELECT k.g, k.o, ifnull(k.n, 0), c.row, p.layer, avg(%s)" CELLS
                         " AND abs(%s) < 1e300 GROUP BY 1, 2, 3, 4, 5",
                         m, m);
  fv_status st = text ? prepare(r, text, &s, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(text);
  while (!st && !(st = fv_store_next(r->store, s, &more, err)) && more) {
    fv_mean_map *map = map_of(r, s);
    int64_t row = fv_store_whole(s, 3), layer = fv_store_whole(s, 4);
    if (map && row < map->rows && layer < map->layers)
      map->values[row * map->layers + layer] = sqlite3_column_double(s, 5);
  }
  sqlite3_finalize(s);
  return st;
}

/* ---- labels ---- */

/* A piece as answers are written: where words begin with a mark, U+2581, without it. */
#define WORD "lower(replace(t.piece, char(9601), ''))"
static const char pieces[] =
    "SELECT k.g, k.o, ifnull(k.n, 0), t.row, min(t.piece), max(t.piece), min(" WORD
    " = lower(k.correct) OR ifnull(k.at, -1) = t.row), min(" WORD
    " = lower(k.incorrect)) FROM k JOIN sample_rows t ON t.sample_id = k.id"
    " AND t.stack = ?2 WHERE k.id IN (SELECT sample_id FROM bases WHERE sweep_id = ?1) AND ?3 IS NOT NULL"
    " GROUP BY 1, 2, 3, 4";

/* A row without a piece: its place in a picture, whose rows make a square, perhaps with a class row before it; else its
 * number. Several pictures make no square. */
static char *place_of(const char *stack, int64_t rows, int64_t row) {
  bool picture = strcmp(stack, "vision") == 0 || strcmp(stack, "projector") == 0;
  for (int64_t first = 1; picture && first >= 0; first--) {
    int64_t side = (int64_t)floor(sqrt((double)(rows - first)) + 0.5);
    if (side < 2 || side * side != rows - first) continue;
    if (row < first) return fv_strdup("cls");
    return fv_format("image[%" PRId64 ",%" PRId64 "]", (row - first) / side, (row - first) % side);
  }
  return fv_format("%" PRId64, row);
}

static fv_status read_labels(reader *r, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  fv_status st = prepare(r, pieces, &s, err);
  while (!st && !(st = fv_store_next(r->store, s, &more, err)) && more) {
    fv_mean_map *m = map_of(r, s);
    int64_t row = fv_store_whole(s, 3);
    if (!m || row < 0 || row >= m->rows || m->labels[row]) continue;
    char *least = fv_strdup(fv_store_text(s, 4));
    bool same = least && strcmp(least, fv_store_text(s, 5)) == 0;
    m->labels[row] = fv_strdup(same                              ? least
                               : sqlite3_column_int64(s, 6) == 1 ? "<correct>"
                               : sqlite3_column_int64(s, 7) == 1 ? "<incorrect>"
                                                                 : "<other>");
    free(least);
    if (!least || !m->labels[row]) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  sqlite3_finalize(s);
  for (size_t i = 0; i < r->out->count && !st; i++) { /* stacks without a text */
    fv_mean_map *m = &r->out->list[i];
    for (int64_t t = 0; t < m->rows && !st; t++)
      if (!m->labels[t] && !(m->labels[t] = place_of(r->out->stack, m->rows, t)))
        st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  return st;
}

/* What maps are told apart by must be there in at least one of them. */
static fv_status check_apart(const reader *r, fv_error *err) {
  bool group = false, order = false;
  for (size_t i = 0; i < r->out->count; i++)
    group |= r->out->list[i].group != NULL, order |= r->out->list[i].order >= 0;
  if (r->query->by_group && !group)
    return fv_fail(err, FV_ENOTFOUND, "%s: its samples are in no groups", fv_store_path(r->store));
  if (r->query->by_order && !order)
    return fv_fail(err, FV_ENOTFOUND, "%s: no sample says whether its question names the correct answer first",
                   fv_store_path(r->store));
  return FV_OK;
}

fv_status fv_maps_read(const fv_store *store, const fv_maps_query *query, fv_maps *out, fv_error *err) {
  reader r = {.store = store, .query = query, .out = out};
  fv_place_choice c;
  sqlite3_stmt *s = NULL;
  bool more = false;
  *out = (fv_maps){0};
  fv_status st = fv_place_choose(store, query->sweep, query->site, false, &c, err);
  if (st) return st;
  out->sweep = c.sweep, out->stack = c.stack, out->site = c.site, out->noise = c.noise, r.sweep_id = c.sweep_id;
  st = write_samples(&r, err);
  if (!st) st = prepare(&r, sizes, &s, err);
  while (!st && !(st = fv_store_next(store, s, &more, err)) && more) st = add_map(&r, s, err);
  sqlite3_finalize(s);
  if (!st && out->count == 0)
    st = fv_fail(err, FV_ENOTFOUND, "%s: sweep %s has no finished sample%s%s", fv_store_path(store), out->sweep,
                 query->group ? " of the group " : "", query->group ? query->group : "");
  if (!st) st = check_apart(&r, err);
  if (!st) st = read_values(&r, err);
  if (!st) st = read_labels(&r, err);
  free(r.samples);
  if (st) fv_maps_release(out);
  return st;
}

void fv_maps_release(fv_maps *maps) {
  for (size_t i = 0; i < maps->count; i++) {
    fv_mean_map *m = &maps->list[i];
    for (int64_t t = 0; m->labels && t < m->rows; t++) free(m->labels[t]);
    free(m->group), free(m->values), free(m->labels);
  }
  free(maps->sweep), free(maps->stack), free(maps->site), free(maps->list);
  *maps = (fv_maps){0};
}
