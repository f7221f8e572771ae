/* The page of a study's database. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/report_data.h"
#include "study/store_inside.h"

/* Runs a query and hands every row to `each`. */
static fv_status for_rows(const fv_store *store, const char *sql, fv_report *r,
                          fv_status (*each)(fv_report *r, sqlite3_stmt *row, fv_error *err), fv_error *err) {
  sqlite3_stmt *stmt = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(store, sql, &stmt, err);
  while (!st && !(st = fv_store_next(store, stmt, &more, err)) && more) st = each(r, stmt, err);
  sqlite3_finalize(stmt);
  return st;
}

static fv_status add_fact(fv_report *r, sqlite3_stmt *row, fv_error *err) {
  return fv_report_add_fact(r, fv_store_text(row, 0), fv_store_text(row, 1), err);
}

static fv_status add_sweep(fv_report *r, sqlite3_stmt *row, fv_error *err) {
  return fv_report_add_sweep(r, fv_store_text(row, 0), fv_store_text(row, 1), fv_store_text(row, 2), err);
}

static double real_at(sqlite3_stmt *row, int column) {
  return sqlite3_column_type(row, column) == SQLITE_NULL ? NAN : sqlite3_column_double(row, column);
}

static fv_status add_check(fv_report *r, sqlite3_stmt *row, fv_error *err) {
  fv_report_check c = {.name = fv_store_text(row, 0),
                       .sweep = fv_store_text(row, 1),
                       .what = fv_store_text(row, 2),
                       .spec = fv_store_text(row, 3),
                       .value = real_at(row, 4),
                       .low = real_at(row, 5),
                       .high = real_at(row, 6),
                       .n = fv_store_whole(row, 7),
                       .created = fv_store_text(row, 8)};
  return fv_report_add_check(r, &c, err);
}

static const char *field(const json_t *fields, const char *before, size_t number, const char *behind) {
  char key[64];
  snprintf(key, sizeof key, "%simage%zu%s", before, number, behind);
  return json_string_value(json_object_get(fields, key));
}

/* The pictures: the first in columns of their own, those behind it among the fields (store_add.c). *out is freed by the
 * caller before `fields`, whose strings it has. */
static fv_status read_pictures(sqlite3_stmt *row, const json_t *fields, fv_report_picture **out, size_t *n,
                               fv_error *err) {
  for (*n = 1; field(fields, "", *n + 1, "");) ++*n;
  fv_report_picture *list = *out = fv_alloc(*n, sizeof *list);
  if (!list) return fv_fail(err, FV_ENOMEM, "no memory");
  list[0] = (fv_report_picture){.image = fv_store_text(row, 5),
                                .image_sha256 = fv_store_text(row, 6),
                                .corrupt_image = fv_store_text(row, 7),
                                .corrupt_image_sha256 = fv_store_text(row, 8)};
  for (size_t i = 1; i < *n; i++)
    list[i] = (fv_report_picture){.image = field(fields, "", i + 1, ""),
                                  .image_sha256 = field(fields, "", i + 1, "_sha256"),
                                  .corrupt_image = field(fields, "corrupt_", i + 1, ""),
                                  .corrupt_image_sha256 = field(fields, "corrupt_", i + 1, "_sha256")};
  return FV_OK;
}

static fv_status add_sample(fv_report *r, sqlite3_stmt *row, fv_error *err) {
  json_t *fields = json_loads(fv_store_text(row, 16), 0, NULL);
  fv_report_picture *pictures;
  size_t npictures;
  fv_status st = read_pictures(row, fields, &pictures, &npictures, err);
  fv_report_sample s = {.name = fv_store_text(row, 0),
                        .status = fv_store_text(row, 1),
                        .reason = fv_store_text(row, 2),
                        .group = fv_store_text(row, 3),
                        .label = fv_store_text(row, 4),
                        .pictures = pictures,
                        .npictures = npictures,
                        .question = fv_store_text(row, 9),
                        .corrupt_question = fv_store_text(row, 10),
                        .correct = fv_store_text(row, 11),
                        .incorrect = fv_store_text(row, 12),
                        .answer = fv_store_text(row, 13),
                        .right = fv_store_whole(row, 14),
                        .answer_row = fv_store_whole(row, 15)};
  if (!st) st = fv_report_add_sample(r, &s, err);
  free(pictures);
  json_decref(fields);
  return st;
}

static fv_status fill(fv_report *r, const fv_store *store, fv_error *err) {
  fv_status st = for_rows(store, "SELECT key, value FROM manifest ORDER BY key", r, add_fact, err);
  if (!st) st = for_rows(store, "SELECT name, kind, spec FROM sweeps ORDER BY id", r, add_sweep, err);
  if (!st)
    st = for_rows(store, "SELECT name, sweep, what, spec, value, low, high, n, created FROM checks ORDER BY id", r,
                  add_check, err);
  if (!st)
    st = for_rows(store,
                  "SELECT name, status, reason, \"group\", label, image, image_sha256, corrupt_image,"
                  " corrupt_image_sha256, question, corrupt_question, correct, incorrect, answer, clean_right,"
                  " answer_row, fields FROM samples ORDER BY position, id",
                  r, add_sample, err);
  return st;
}

static fv_status feed_all(fv_report *r, const fv_store *store, fv_error *err) {
  int64_t cells = 0;
  fv_status st = fv_store_integer(store, "SELECT count(*) FROM cells", &cells, err);
  if (!st) fv_report_choose(r, cells);
  for (size_t i = 0; i < r->nsweeps && !st; i++) {
    fv_report_feeder feeder;
    fv_sink sink = fv_report_begin(&feeder, r, i);
    st = fv_report_end(&feeder, fv_store_rows(store, r->sweeps[i].name, sink, err), err);
  }
  return st;
}

/* The name that the study has: in its settings, or the file's. */
static fv_status choose_title(fv_report *r, const char *db, fv_error *err) {
  const char *slash = strrchr(db, '/'), *name = slash ? slash + 1 : db, *dot = strrchr(name, '.');
  for (size_t i = 0; i < r->nfacts; i++)
    if (strcmp(r->facts[i].name, "name") == 0) return r->title = r->facts[i].value, FV_OK;
  char *stem = fv_format("%.*s", (int)(dot && dot > name ? dot - name : (ptrdiff_t)strlen(name)), name);
  fv_status st = stem ? fv_text_pool_add(&r->strings, stem, &r->title, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(stem);
  return st;
}

fv_status fv_report_write(const char *db, const char *path, const fv_report_options *options, fv_error *err) {
  fv_report r = {.kind = "study"};
  fv_store *store = NULL;
  if (options)
    r.options = *options;
  else
    fv_report_defaults(&r.options);
  char *folder = NULL;
  fv_status st = fv_store_open(db, FV_STORE_READ, &store, err);
  if (!st) st = fv_store_folder(store, &folder, err);
  r.folder = folder, r.store = store;
  if (!st) st = fill(&r, store, err);
  if (!st) st = choose_title(&r, db, err);
  if (!st && r.nsamples == 0)
    st = fv_fail(err, FV_EFORMAT, "%s: the study has no samples yet; `fovea run` computes them", db);
  if (!st) st = feed_all(&r, store, err);
  if (!st) st = fv_report_page(&r, path, err);
  fv_store_close(store);
  fv_report_release(&r);
  free(folder);
  return st;
}
