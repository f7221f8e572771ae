#include "study/data_partial.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "study/data_pairs.h"
#include "study/store_inside.h"
#include "study/study_inside.h"

static const char key[] = "evaluation";

static fv_status refuse(const fv_partial *p, fv_error *err) {
  return fv_fail(err, FV_EMISMATCH,
                 "%s: holds what an interrupted run was told by another model, or about other samples, or with other "
                 "options; run that one again, or remove the file",
                 p->path);
}

/* A file without a word about what it is has no answers either, or is not ours. */
static fv_status check(const fv_partial *p, fv_error *err) {
  char *there = NULL, note[512];
  fv_store_counts n;
  fv_status st = fv_store_manifest(p->store, key, &there, err);
  if (!st && !there) st = fv_store_count(p->store, &n, err);
  if (!st && (there ? strcmp(there, p->what) != 0 : n.samples > 0 || n.sweeps > 0)) st = refuse(p, err);
  if (!st) st = fv_store_begin(p->store, err);
  free(there);
  if (st) return st;
  st = fv_store_record_model(p->store, p->model, 0, note, err);
  if (st == FV_EMISMATCH) st = refuse(p, err);
  if (!st) st = fv_store_manifest_set(p->store, key, p->what, err);
  return fv_store_end(p->store, st, err);
}

fv_status fv_partial_open(fv_partial *p, fv_error *err) {
  p->store = NULL;
  if (!p->path || !fv_file_exists(p->path)) return FV_OK;
  fv_status st = fv_store_open(p->path, FV_STORE_WRITE, &p->store, err);
  return st ? st : check(p, err);
}

fv_status fv_partial_take(const fv_partial *p, fv_pairs *pairs, const char *column, bool *answered, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  if (!p->store) return FV_OK;
  fv_status st = fv_store_prepare(p->store, "SELECT id, answer FROM samples", &q, err);
  while (!st && !(st = fv_store_next(p->store, q, &more, err)) && more) {
    int64_t id = sqlite3_column_int64(q, 0);
    if (id < 1 || id > (int64_t)pairs->count) continue;
    answered[id - 1] = true;
    st = fv_pair_set_field(&pairs->list[id - 1], column, fv_store_text(q, 1), err);
  }
  sqlite3_finalize(q);
  return st;
}

fv_status fv_partial_put(fv_partial *p, const fv_pairs *pairs, const char *column, const size_t *samples, size_t n,
                         fv_error *err) {
  sqlite3_stmt *q = NULL;
  fv_status st = FV_OK;
  if (!p->path || n == 0) return FV_OK;
  if (!p->store) {
    st = fv_store_open(p->path, FV_STORE_CREATE, &p->store, err);
    if (!st) st = check(p, err);
  }
  if (!st) st = fv_store_begin(p->store, err);
  if (st) return st;
  st = fv_store_prepare(
      p->store, "INSERT INTO samples(id, name, position, status, answer) VALUES(?1, ?2, ?1 - 1, 'done', ?3)", &q, err);
  for (size_t k = 0; k < n && !st; k++) {
    const fv_pair *pair = &pairs->list[samples[k]];
    sqlite3_bind_int64(q, 1, (int64_t)samples[k] + 1);
    fv_store_bind_text(q, 2, pair->sample);
    fv_store_bind_text(q, 3, fv_pair_field(pair, column));
    st = fv_store_step(p->store, q, err);
  }
  sqlite3_finalize(q);
  return fv_store_end(p->store, st, err);
}

void fv_partial_close(fv_partial *p) {
  fv_store_close(p->store);
  p->store = NULL;
}
