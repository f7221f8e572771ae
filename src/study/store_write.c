/* Writing: the manifest, sweeps, and samples with their results. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/store_inside.h"

fv_status fv_store_manifest_set(fv_store *s, const char *key, const char *value, fv_error *err) {
  sqlite3_stmt *q = NULL;
  fv_status st = fv_store_prepare(s, "INSERT OR REPLACE INTO manifest VALUES(?,?)", &q, err);
  if (st) return st;
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 2, value, -1, SQLITE_STATIC);
  st = fv_store_step(s, q, err);
  sqlite3_finalize(q);
  return st;
}

static fv_status same_sweep(const fv_store *s, sqlite3_stmt *q, const fv_store_sweep *sweep, fv_error *err) {
  if (strcmp(fv_store_text(q, 1), sweep->kind) == 0 && strcmp(fv_store_text(q, 2), sweep->spec) == 0) return FV_OK;
  return fv_fail(err, FV_EMISMATCH, "%s: has a sweep \"%s\" with other settings: %s %s, not %s %s", s->path,
                 sweep->name, fv_store_text(q, 1), fv_store_text(q, 2), sweep->kind, sweep->spec);
}

fv_status fv_store_sweep_add(fv_store *s, const fv_store_sweep *sweep, int64_t *id, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(s, "SELECT id, kind, spec FROM sweeps WHERE name = ?", &q, err);
  if (st) return st;
  sqlite3_bind_text(q, 1, sweep->name, -1, SQLITE_STATIC);
  st = fv_store_next(s, q, &more, err);
  if (!st && more) st = same_sweep(s, q, sweep, err), *id = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q), q = NULL;
  if (st || more) return st;
  *id = sweep->id;
  if (*id == 0) {
    st = fv_store_integer(s, "SELECT max(id) FROM sweeps", id, err);
    *id = (*id < FV_STORE_OWN_SWEEPS ? FV_STORE_OWN_SWEEPS : *id) + 1;
  }
  if (!st) st = fv_store_prepare(s, "INSERT INTO sweeps VALUES(?,?,?,?)", &q, err);
  if (st) return st;
  sqlite3_bind_int64(q, 1, *id);
  sqlite3_bind_text(q, 2, sweep->name, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 3, sweep->kind, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 4, sweep->spec, -1, SQLITE_STATIC);
  st = fv_store_step(s, q, err);
  sqlite3_finalize(q);
  return st;
}

void fv_store_sample_defaults(fv_store_sample *sample) {
  *sample = (fv_store_sample){.status = "done",
                              .correct_first = -1,
                              .correct_id = -1,
                              .incorrect_id = -1,
                              .answer_id = -1,
                              .clean_right = -1,
                              .answer_row = -1,
                              .seconds = NAN};
}

/* The statements of one fv_store_put. */
typedef struct writer {
  const fv_store *store;
  sqlite3_stmt *base, *place_find, *place_add, *cell;
  int64_t sample, sweep, base_id, next_base; /* the base that cells now go to; 0: none yet */
  int64_t place_id, next_place, n;
  fv_row last; /* the row before, whose strings live in the table */
} writer;

static fv_status write_sample(const fv_store *s, const fv_store_sample *x, fv_error *err) {
  static const char sql[] =
      "INSERT INTO samples VALUES(?1,?2,?1-1,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,"
      "?23,?24) ON CONFLICT(id) DO UPDATE SET name=?2, status=?3, reason=?4, \"group\"=?5, correct_first=?6, label=?7,"
      " image=?8, image_sha256=?9, corrupt_image=?10, corrupt_image_sha256=?11, question=?12, corrupt_question=?13,"
      " correct=?14, incorrect=?15, correct_id=?16, incorrect_id=?17, answer=?18, answer_id=?19, clean_right=?20,"
      " answer_row=?21, fields=?22, seed=?23, seconds=?24";
  sqlite3_stmt *q = NULL;
  fv_status st = fv_store_prepare(s, sql, &q, err);
  if (st) return st;
  sqlite3_bind_int64(q, 1, x->id);
  sqlite3_bind_text(q, 2, x->name, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 3, x->status, -1, SQLITE_STATIC);
  const char *const texts[] = {x->reason, x->group};
  for (int i = 0; i < 2; i++) fv_store_bind_text(q, 4 + i, texts[i]);
  fv_store_bind_count(q, 6, x->correct_first);
  const char *const more[] = {x->label,
                              x->image,
                              x->image_sha256,
                              x->corrupt_image,
                              x->corrupt_image_sha256,
                              x->question,
                              x->corrupt_question,
                              x->correct,
                              x->incorrect};
  for (int i = 0; i < 9; i++) fv_store_bind_text(q, 7 + i, more[i]);
  fv_store_bind_count(q, 16, x->correct_id), fv_store_bind_count(q, 17, x->incorrect_id);
  fv_store_bind_text(q, 18, x->answer);
  fv_store_bind_count(q, 19, x->answer_id), fv_store_bind_count(q, 20, x->clean_right);
  fv_store_bind_count(q, 21, x->answer_row);
  fv_store_bind_text(q, 22, x->fields);
  sqlite3_bind_int64(q, 23, x->seed);
  fv_store_bind_real(q, 24, x->seconds);
  st = fv_store_step(s, q, err);
  sqlite3_finalize(q);
  return st;
}

static fv_status write_rows(const fv_store *s, const fv_store_sample *x, fv_error *err) {
  sqlite3_stmt *q = NULL;
  fv_status st = fv_store_prepare(s, "INSERT OR REPLACE INTO sample_rows VALUES(?,?,?,?,?,?)", &q, err);
  for (size_t i = 0; i < x->nrows && !st; i++) {
    const fv_store_row *r = &x->rows[i];
    sqlite3_bind_int64(q, 1, x->id);
    sqlite3_bind_text(q, 2, r->stack, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, r->row);
    fv_store_bind_count(q, 4, r->token_id);
    fv_store_bind_text(q, 5, r->piece), fv_store_bind_text(q, 6, r->name);
    st = fv_store_step(s, q, err);
  }
  sqlite3_finalize(q);
  return st;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }
static bool same_number(float a, float b) { return a == b || (isnan(a) && isnan(b)); }

static bool same_base(const fv_row *a, const fv_row *b) {
  return a->draw == b->draw && a->answer_id == b->answer_id && same_number(a->clean_prob, b->clean_prob) &&
         same_number(a->corrupt_prob, b->corrupt_prob) && same_number(a->clean_logit_diff, b->clean_logit_diff) &&
         same_number(a->corrupt_logit_diff, b->corrupt_logit_diff) && same_text(a->corrupt, b->corrupt) &&
         same_text(a->answer, b->answer) && a->incorrect_id == b->incorrect_id;
}

static bool same_place(const fv_row *a, const fv_row *b) {
  return a->layer == b->layer && a->window == b->window && same_text(a->stack, b->stack) &&
         same_text(a->site, b->site) && same_text(a->op, b->op);
}

static fv_status new_base(writer *w, const fv_row *r, fv_error *err) {
  w->base_id = w->next_base++, w->n = 0;
  if (w->base_id >= (w->sample + 1) * FV_STORE_BASES)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: a sample has more than %d corrupted runs", w->store->path,
                   FV_STORE_BASES);
  sqlite3_stmt *q = w->base;
  sqlite3_bind_int64(q, 1, w->base_id), sqlite3_bind_int64(q, 2, w->sample), sqlite3_bind_int64(q, 3, w->sweep);
  fv_store_bind_count(q, 4, r->draw);
  fv_store_bind_text(q, 5, r->corrupt);
  fv_store_bind_real(q, 6, r->clean_prob), fv_store_bind_real(q, 7, r->corrupt_prob);
  fv_store_bind_real(q, 8, r->clean_logit_diff), fv_store_bind_real(q, 9, r->corrupt_logit_diff);
  fv_store_bind_count(q, 10, r->answer_id);
  fv_store_bind_text(q, 11, r->answer);
  fv_store_bind_count(q, 12, r->incorrect_id);
  return fv_store_step(w->store, q, err);
}

static void bind_place(const writer *w, sqlite3_stmt *q, const fv_row *r) {
  sqlite3_bind_int64(q, 1, w->sweep);
  fv_store_bind_text(q, 2, r->stack), fv_store_bind_text(q, 3, r->site);
  fv_store_bind_count(q, 4, r->layer), fv_store_bind_count(q, 5, r->window);
  fv_store_bind_text(q, 6, r->op);
}

static fv_status find_place(writer *w, const fv_row *r, fv_error *err) {
  bool more;
  bind_place(w, w->place_find, r);
  fv_status st = fv_store_next(w->store, w->place_find, &more, err);
  if (!st && more) w->place_id = sqlite3_column_int64(w->place_find, 0);
  sqlite3_reset(w->place_find);
  if (st || more) return st;
  w->place_id = w->next_place++;
  bind_place(w, w->place_add, r);
  sqlite3_bind_int64(w->place_add, 7, w->place_id);
  return fv_store_step(w->store, w->place_add, err);
}

/* An empty text in a cell is not an empty cell: the decoder's start token has the piece "". */
static void bind_cell(sqlite3_stmt *q, int at, const char *text) {
  if (text)
    sqlite3_bind_text(q, at, text, -1, SQLITE_TRANSIENT);
  else
    sqlite3_bind_null(q, at);
}

static fv_status write_cell(writer *w, const fv_row *r, bool first, fv_error *err) {
  fv_status st = FV_OK;
  if (first || !same_base(r, &w->last)) st = new_base(w, r, err);
  if (!st && (first || !same_place(r, &w->last))) st = find_place(w, r, err);
  if (st) return st;
  sqlite3_stmt *q = w->cell;
  sqlite3_bind_int64(q, 1, w->base_id), sqlite3_bind_int64(q, 2, w->n++), sqlite3_bind_int64(q, 3, w->place_id);
  fv_store_bind_count(q, 4, r->row);
  bind_cell(q, 5, r->piece);
  fv_store_bind_count(q, 6, r->head);
  bind_cell(q, 7, r->from), bind_cell(q, 8, r->to);
  const float numbers[] = {r->prob, r->logit, r->logit_diff, r->p_diff, r->effect, r->kl};
  for (int i = 0; i < 6; i++) fv_store_bind_real(q, 9 + i, numbers[i]);
  fv_store_bind_count(q, 15, r->rank);
  w->last = *r;
  return fv_store_step(w->store, q, err);
}

static fv_status forget(const writer *w, int64_t sweep, fv_error *err) {
  char sql[128];
  snprintf(sql, sizeof sql, "DELETE FROM bases WHERE sample_id = %lld AND sweep_id = %lld", (long long)w->sample,
           (long long)sweep);
  return fv_store_exec(w->store, sql, err);
}

static fv_status write_result(writer *w, const fv_store_result *result, fv_error *err) {
  char sql[128];
  w->sweep = result->sweep;
  snprintf(sql, sizeof sql, "SELECT 1 + max(id) FROM bases WHERE sample_id = %lld", (long long)w->sample);
  fv_status st = fv_store_integer(w->store, sql, &w->next_base, err);
  if (w->next_base == 0) w->next_base = w->sample * FV_STORE_BASES;
  snprintf(sql, sizeof sql, "SELECT 1 + max(id) FROM places WHERE sweep_id = %lld", (long long)w->sweep);
  if (!st) st = fv_store_integer(w->store, sql, &w->next_place, err);
  if (w->next_place == 0) w->next_place = w->sweep * FV_STORE_BASES;
  size_t n = result->table ? fv_table_count(result->table) : 0;
  for (size_t i = 0; i < n && !st; i++) st = write_cell(w, fv_table_row(result->table, i), i == 0, err);
  return st;
}

static fv_status write_results(const fv_store *s, int64_t sample, const fv_store_result *results, size_t n,
                               fv_error *err) {
  writer w = {.store = s, .sample = sample};
  fv_status st = fv_store_prepare(s, "INSERT INTO bases VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", &w.base, err);
  if (!st)
    st = fv_store_prepare(s,
                          "SELECT id FROM places WHERE sweep_id = ?1 AND ifnull(stack,'') = ifnull(?2,'') AND"
                          " ifnull(site,'') = ifnull(?3,'') AND ifnull(layer,-1) = ifnull(?4,-1) AND"
                          " ifnull(window,-1) = ifnull(?5,-1) AND ifnull(op,'') = ifnull(?6,'')",
                          &w.place_find, err);
  if (!st) st = fv_store_prepare(s, "INSERT INTO places VALUES(?7,?1,?2,?3,?4,?5,?6)", &w.place_add, err);
  if (!st) st = fv_store_prepare(s, "INSERT INTO cells VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", &w.cell, err);
  for (size_t i = 0; i < n && !st; i++) st = forget(&w, results[i].sweep, err);
  for (size_t i = 0; i < n && !st; i++) st = write_result(&w, &results[i], err);
  sqlite3_finalize(w.base), sqlite3_finalize(w.place_find), sqlite3_finalize(w.place_add), sqlite3_finalize(w.cell);
  return st;
}

/* A sample's name must not belong to another id. */
static fv_status check_name(const fv_store *s, const fv_store_sample *x, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(s, "SELECT id FROM samples WHERE name = ? AND id <> ?", &q, err);
  if (st) return st;
  sqlite3_bind_text(q, 1, x->name, -1, SQLITE_STATIC);
  sqlite3_bind_int64(q, 2, x->id);
  st = fv_store_next(s, q, &more, err);
  if (!st && more)
    st = fv_fail(err, FV_EMISMATCH, "%s: has another sample named \"%s\"; names must be unique", s->path, x->name);
  sqlite3_finalize(q);
  return st;
}

fv_status fv_store_write_sample(const fv_store *s, const fv_store_sample *sample, const fv_store_result *results,
                                size_t nresults, fv_error *err) {
  if (sample->id < 1 || !sample->name || !sample->name[0] || !sample->status)
    return fv_fail(err, FV_EUSAGE, "%s: a sample needs a positive id, a name and a status", s->path);
  fv_status st = check_name(s, sample, err);
  if (!st) st = write_sample(s, sample, err);
  if (!st) st = write_rows(s, sample, err);
  return st ? st : write_results(s, sample->id, results, nresults, err);
}

fv_status fv_store_put(fv_store *s, const fv_store_sample *sample, const fv_store_result *results, size_t nresults,
                       fv_error *err) {
  fv_status st = fv_store_begin(s, err);
  if (st) return st;
  return fv_store_end(s, fv_store_write_sample(s, sample, results, nresults, err), err);
}

fv_status fv_store_put_results(fv_store *s, int64_t id, const fv_store_result *results, size_t nresults,
                               fv_error *err) {
  fv_status st = fv_store_begin(s, err);
  if (st) return st;
  return fv_store_end(s, write_results(s, id, results, nresults, err), err);
}

fv_status fv_store_forget_excluded(fv_store *s, int64_t *count, fv_error *err) {
  *count = 0;
  fv_status st = fv_store_exec(s, "DELETE FROM samples WHERE status = 'excluded'", err);
  if (!st) *count = sqlite3_changes(s->db);
  return st;
}
