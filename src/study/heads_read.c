/* From the cells of a sweep to one number per sample and head. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/heads.h"
#include "study/place_choice.h"

/* Most numbers of one sample that are held: layers x heads x rows. */
enum { MOST_CELLS = 1 << 26 };

typedef enum row_kind { ROW_MAX, ROW_ANSWER, ROW_NUMBER, ROW_NAMED } row_kind;

typedef struct reader {
  const fv_store *store;
  const fv_heads_query *query;
  fv_heads *out;
  int64_t sweep_id;
  row_kind kind;
  int64_t number; /* ROW_NUMBER */
  int64_t rows;   /* per head: all of them (ROW_MAX), or 1 */
  double *sum;    /* [layers, heads, rows] of the sample that is being read */
  int64_t *count;
  int64_t sample, target; /* its id, and the row that counts: -1, none */
  bool any;               /* it has runs there */
  size_t room, names_room, groups_room;
} reader;

/* ---- what to read ---- */

static fv_status parse_rows(reader *r, fv_error *err) {
  const char *rows = r->query->rows ? r->query->rows : "max";
  char *end;
  r->kind = strcmp(rows, "max") == 0 ? ROW_MAX : strcmp(rows, "answer") == 0 ? ROW_ANSWER : ROW_NAMED;
  if (r->kind == ROW_NAMED && *rows && strspn(rows, "-0123456789") == strlen(rows)) {
    r->number = strtoll(rows, &end, 10);
    if (*end)
      return fv_fail(err, FV_EUSAGE, "rows \"%s\": expected max, answer, one row's number, piece or name", rows);
    r->kind = ROW_NUMBER;
  }
  if (r->kind != ROW_ANSWER && (r->query->row_offset || r->query->substring))
    return fv_fail(err, FV_EUSAGE, "the offset and the substring belong to the row of the answer: rows \"answer\"");
  return FV_OK;
}

/* How large the arrays are. */
static fv_status measure(reader *r, fv_error *err) {
  fv_heads *out = r->out;
  sqlite3_stmt *s = NULL;
  bool more = false;
  int64_t cells, least = 0;
  fv_status st = fv_store_prepare(
      r->store,
      "SELECT max(p.layer), max(c.head), max(c.row), min(min(p.layer, c.head, ifnull(c.row, 0))), max(p.window)"
      " FROM bases b CROSS JOIN cells c ON c.base_id = b.id CROSS JOIN places p ON p.id = c.place_id"
      " WHERE b.sweep_id = ? AND p.stack = ? AND p.site = ? AND c.head IS NOT NULL",
      &s, err);
  if (st) return st;
  sqlite3_bind_int64(s, 1, r->sweep_id);
  fv_store_bind_text(s, 2, out->stack), fv_store_bind_text(s, 3, out->site);
  st = fv_store_next(r->store, s, &more, err);
  if (!st && more) {
    out->layers = sqlite3_column_int64(s, 0), out->heads = sqlite3_column_int64(s, 1);
    r->rows = r->kind == ROW_MAX ? sqlite3_column_int64(s, 2) : 0;
    least = sqlite3_column_int64(s, 3), out->window = sqlite3_column_int64(s, 4);
  }
  sqlite3_finalize(s);
  if (st) return st;
  bool good = more && least >= 0 && out->layers < 1 << 20 && out->heads < 1 << 20 && r->rows < 1 << 20;
  if (good) out->layers++, out->heads++, r->rows++;
  if (!good || !fv_mul_i64(out->layers, out->heads, &cells) || !fv_mul_i64(cells, r->rows, &cells) ||
      cells > MOST_CELLS) {
    out->layers = out->heads = 0;
    return fv_fail(err, FV_EFORMAT, "%s: sweep %s has layers, heads or rows out of range", fv_store_path(r->store),
                   out->sweep);
  }
  r->sum = fv_alloc((size_t)cells, sizeof *r->sum), r->count = fv_alloc((size_t)cells, sizeof *r->count);
  return r->sum && r->count ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* ---- the row that counts ---- */

/* The first row of the sample's text for which `where` (a condition on sample_rows with ?3) holds. */
static fv_status find_row(const reader *r, const char *where, const char *text, int64_t *row, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  char *sql = fv_format("SELECT row FROM sample_rows WHERE sample_id = ?1 AND stack = ?2 AND %s ORDER BY row", where);
  fv_status st = sql ? fv_store_prepare(r->store, sql, &s, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(sql);
  if (st) return st;
  sqlite3_bind_int64(s, 1, r->sample);
  fv_store_bind_text(s, 2, r->out->stack);
  if (text) sqlite3_bind_text(s, 3, text, -1, SQLITE_TRANSIENT);
  st = fv_store_next(r->store, s, &more, err);
  *row = !st && more ? fv_store_whole(s, 0) : -1;
  sqlite3_finalize(s);
  return st;
}

static fv_status one_text(const reader *r, const char *sql, char **out, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  *out = NULL;
  fv_status st = fv_store_prepare(r->store, sql, &s, err);
  if (st) return st;
  sqlite3_bind_int64(s, 1, r->sample);
  st = fv_store_next(r->store, s, &more, err);
  if (!st && more && !(*out = fv_strdup(fv_store_text(s, 0)))) st = fv_fail(err, FV_ENOMEM, "no memory");
  sqlite3_finalize(s);
  return st;
}

static fv_status answer_row(reader *r, fv_error *err) {
  char *text = NULL;
  /* Runs of a sample may follow other answers than its own: those of a control, or the clean run's. */
  const char *sql = r->query->substring ? "SELECT b.answer FROM bases b JOIN samples s ON s.id = b.sample_id"
                                          " WHERE s.id = ? AND b.answer_id = s.correct_id AND b.answer IS NOT NULL"
                                        : "SELECT answer_row FROM samples WHERE id = ? AND answer_row IS NOT NULL";
  fv_status st = one_text(r, sql, &text, err);
  r->target = -1;
  if (!st && text && *text && r->query->substring)
    st = find_row(r, "instr(piece, ?3) > 0", text, &r->target, err);
  else if (!st && text && *text)
    r->target = strtoll(text, NULL, 10);
  if (r->target >= 0) r->target += r->query->row_offset;
  free(text);
  return st;
}

static fv_status choose_row(reader *r, fv_error *err) {
  const char *name = r->query->rows;
  size_t n = name ? strlen(name) : 0;
  switch (r->kind) {
    case ROW_MAX: r->target = 0; return FV_OK;
    case ROW_ANSWER: return answer_row(r, err);
    case ROW_NUMBER: {
      int64_t last = -1;
      r->target = r->number;
      if (r->number >= 0) return FV_OK;
      fv_status st =
          find_row(r, "row = (SELECT max(row) FROM sample_rows WHERE sample_id = ?1 AND stack = ?2)", NULL, &last, err);
      r->target = last + 1 + r->number;
      return st;
    }
    case ROW_NAMED: break;
  }
  bool quoted = n > 2 && name[0] == '"' && name[n - 1] == '"';
  char *bare = quoted ? fv_format("%.*s", (int)(n - 2), name + 1) : fv_strdup(name);
  fv_status st =
      bare ? find_row(r, "(piece = ?3 OR name = ?3)", bare, &r->target, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(bare);
  return st;
}

/* Names of rows, the answer's place and numbers from the end need the table of the sample's rows. */
static fv_status check_stack(const reader *r, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  if (r->kind == ROW_MAX || (r->kind == ROW_NUMBER && r->number >= 0)) return FV_OK;
  fv_status st = fv_store_prepare(r->store, "SELECT 1 FROM sample_rows WHERE stack = ? LIMIT 1", &s, err);
  if (st) return st;
  fv_store_bind_text(s, 1, r->out->stack);
  st = fv_store_next(r->store, s, &more, err);
  sqlite3_finalize(s);
  if (!st && !more)
    st = fv_fail(err, FV_EUSAGE, "%s: the rows of %s are not those of a text; choose max or a row's number",
                 fv_store_path(r->store), r->out->stack);
  return st;
}

/* ---- the numbers ---- */

static fv_status sample_add(reader *r, const char *name, const char *group, fv_error *err) {
  fv_heads *out = r->out;
  size_t n = (size_t)out->samples, one = (size_t)(out->layers * out->heads), want;
  if (!fv_mul_size(n + 1, one, &want) || !fv_grow(&out->values, &r->room, want, sizeof *out->values) ||
      !fv_grow(&out->names, &r->names_room, n + 1, sizeof *out->names) ||
      !fv_grow(&out->groups, &r->groups_room, n + 1, sizeof *out->groups))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu samples", n + 1);
  out->names[n] = fv_strdup(name), out->groups[n] = *group ? fv_strdup(group) : NULL;
  out->samples++;
  return out->names[n] && (!*group || out->groups[n]) ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* The sample that has been read becomes a line of values, or is dropped. */
static void sample_end(reader *r) {
  fv_heads *out = r->out;
  int64_t one = out->layers * out->heads;
  if (r->sample < 0) return;
  if (!r->any) {
    char **last = &out->names[--out->samples];
    out->dropped++;
    if (!out->first_dropped)
      out->first_dropped = *last;
    else
      free(*last);
    free(out->groups[out->samples]);
  }
  for (int64_t i = 0; i < one; i++) {
    double best = NAN;
    for (int64_t t = 0; t < r->rows; t++) {
      int64_t at = i * r->rows + t;
      double v = r->count[at] ? r->sum[at] / (double)r->count[at] : NAN;
      if (!isnan(v) && !(fabs(v) <= fabs(best))) best = v;
      r->sum[at] = 0.0, r->count[at] = 0;
    }
    if (r->any) out->values[(out->samples - 1) * one + i] = best;
  }
}

enum { ID, NAME, GROUP, LAYER, ROW, HEAD, PROB, P_DIFF, LOGIT_DIFF, EFFECT, CORRUPT_DIFF, CLEAN_DIFF, CLEAN_PROB };
static const char cells[] =
    "SELECT s.id, s.name, s.\"group\", p.layer, c.row, c.head, c.prob, c.p_diff, c.logit_diff, c.effect,"
    " b.corrupt_logit_diff, b.clean_logit_diff, b.clean_prob"
    " FROM samples s CROSS JOIN bases b ON b.sample_id = s.id CROSS JOIN cells c ON c.base_id = b.id"
    " CROSS JOIN places p ON p.id = c.place_id"
    " WHERE s.status = 'done' AND b.sweep_id = ?1 AND p.stack = ?2 AND p.site = ?3 AND c.head IS NOT NULL"
    " AND (?4 IS NULL OR s.\"group\" = ?4) ORDER BY s.id, b.id, c.n";

/* What patching changed: differences are those to the run that was patched. */
static double value_of(const reader *r, sqlite3_stmt *s) {
  bool noise = r->out->noise;
  switch (r->query->metric) {
    case FV_HEADS_PROB: return (double)fv_store_number(s, PROB);
    case FV_HEADS_P_DIFF:
      return noise ? (double)fv_store_number(s, PROB) - (double)fv_store_number(s, CLEAN_PROB)
                   : (double)fv_store_number(s, P_DIFF);
    case FV_HEADS_EFFECT: return (double)fv_store_number(s, EFFECT);
    case FV_HEADS_LOGIT_DIFF: break;
  }
  return (double)fv_store_number(s, LOGIT_DIFF) - (double)fv_store_number(s, noise ? CLEAN_DIFF : CORRUPT_DIFF);
}

static fv_status take_cell(reader *r, sqlite3_stmt *s, fv_error *err) {
  fv_status st = FV_OK;
  int64_t id = fv_store_whole(s, ID), row = fv_store_whole(s, ROW);
  if (id != r->sample) {
    sample_end(r);
    r->sample = id, r->any = false;
    st = sample_add(r, fv_store_text(s, NAME), fv_store_text(s, GROUP), err);
    if (!st) st = choose_row(r, err);
  }
  double v = value_of(r, s);
  int64_t at = r->kind == ROW_MAX ? row < 0 ? 0 : row : 0;
  if (st || (r->kind != ROW_MAX && row != r->target)) return st;
  r->any = true;
  if (!isfinite(v)) return FV_OK;
  at += (fv_store_whole(s, LAYER) * r->out->heads + fv_store_whole(s, HEAD)) * r->rows;
  r->sum[at] += v, r->count[at]++;
  return FV_OK;
}

static fv_status read_cells(reader *r, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(r->store, cells, &s, err);
  if (st) return st;
  sqlite3_bind_int64(s, 1, r->sweep_id);
  fv_store_bind_text(s, 2, r->out->stack), fv_store_bind_text(s, 3, r->out->site);
  fv_store_bind_text(s, 4, r->query->group);
  r->sample = -1;
  while (!st && !(st = fv_store_next(r->store, s, &more, err)) && more) st = take_cell(r, s, err);
  if (!st) sample_end(r);
  sqlite3_finalize(s);
  return st;
}

/* Why no sample is left. */
static fv_status nothing_left(const reader *r, fv_error *err) {
  const fv_heads_query *q = r->query;
  const char *path = fv_store_path(r->store);
  if (r->out->dropped == 0)
    return fv_fail(err, FV_ENOTFOUND, "%s: sweep %s has no sample%s%s with runs of single heads", path, r->out->sweep,
                   q->group ? " of the group " : "", q->group ? q->group : "");
  if (r->kind == ROW_ANSWER)
    return fv_fail(err, FV_ENOTFOUND,
                   "%s: sweep %s: none of the %" PRId64
                   " samples has its correct answer at a row of its text that was "
                   "patched; choose other rows, such as max",
                   path, r->out->sweep, r->out->dropped);
  return fv_fail(err, FV_ENOTFOUND,
                 "%s: sweep %s: none of the %" PRId64 " samples has the row %s, or it was not patched", path,
                 r->out->sweep, r->out->dropped, q->rows);
}

fv_status fv_heads_read(const fv_store *store, const fv_heads_query *query, fv_heads *out, fv_error *err) {
  reader r = {.store = store, .query = query, .out = out};
  *out = (fv_heads){0};
  fv_status st = parse_rows(&r, err);
  if (!st) {
    fv_place_choice c;
    st = fv_place_choose(store, query->sweep, query->site, true, &c, err);
    out->sweep = c.sweep, out->stack = c.stack, out->site = c.site, out->noise = c.noise, r.sweep_id = c.sweep_id;
  }
  if (!st) st = check_stack(&r, err);
  if (!st) st = measure(&r, err);
  if (!st) st = read_cells(&r, err);
  if (!st && out->samples == 0) st = nothing_left(&r, err);
  free(r.sum), free(r.count);
  if (st) fv_heads_release(out);
  return st;
}

void fv_heads_release(fv_heads *h) {
  for (int64_t i = 0; i < h->samples; i++) {
    if (h->names) free(h->names[i]);
    if (h->groups) free(h->groups[i]);
  }
  free(h->sweep), free(h->stack), free(h->site), free(h->values), free(h->names), free(h->groups);
  free(h->first_dropped);
  *h = (fv_heads){0};
}

fv_status fv_heads_of_group(const fv_heads *all, const char *group, fv_heads *out, fv_error *err) {
  int64_t one = all->layers * all->heads;
  *out = (fv_heads){.noise = all->noise, .window = all->window, .layers = all->layers, .heads = all->heads};
  out->sweep = fv_strdup(all->sweep), out->stack = fv_strdup(all->stack), out->site = fv_strdup(all->site);
  out->values = fv_alloc((size_t)(all->samples * one), sizeof *out->values);
  out->names = fv_alloc((size_t)all->samples, sizeof *out->names);
  out->groups = fv_alloc((size_t)all->samples, sizeof *out->groups);
  bool good = out->sweep && out->stack && out->site && out->values && out->names && out->groups;
  for (int64_t i = 0; good && i < all->samples; i++) {
    const char *own = all->groups[i];
    if (own != group && (!own || !group || strcmp(own, group) != 0)) continue;
    int64_t n = out->samples++;
    memcpy(out->values + n * one, all->values + i * one, (size_t)one * sizeof *out->values);
    out->names[n] = fv_strdup(all->names[i]), out->groups[n] = own ? fv_strdup(own) : NULL;
    good = out->names[n] && (!own || out->groups[n]);
  }
  if (good) return FV_OK;
  fv_heads_release(out);
  return fv_fail(err, FV_ENOMEM, "no memory");
}
