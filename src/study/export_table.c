/* The long table of a study. Rows of several sweeps are told apart by a further column. */
#include <string.h>

#include "study/export_blocks.h"

static fv_status export_table(const char *db, const char *sweep, const char *path, bool json, int64_t *rows,
                              fv_error *err) {
  fv_store *store = NULL;
  fv_table_file *file = NULL;
  fv_store_counts n = {0};
  fv_status st = fv_store_open(db, FV_STORE_READ, &store, err);
  if (!st) st = fv_store_count(store, &n, err);
  bool several = !sweep && n.sweeps > 1;
  if (!st)
    st = json      ? fv_json_rows_open(path, &file, err)
         : several ? fv_csv_open_sweeps(path, &file, err)
                   : fv_csv_open(path, &file, err);
  if (!st) st = fv_store_rows(store, sweep, fv_table_file_sink(file), err);
  if (!st && fv_table_file_rows(file) == 0)
    st = fv_fail(err, FV_ENOTFOUND, "%s: has no results; `fovea run` computes them", db);
  if (!st && rows) *rows = fv_table_file_rows(file);
  if (!st)
    st = fv_table_file_commit(file, err);
  else
    fv_table_file_abort(file);
  fv_store_close(store);
  return st;
}

fv_status fv_export_csv(const char *db, const char *sweep, const char *path, int64_t *rows, fv_error *err) {
  return export_table(db, sweep, path, false, rows, err);
}

fv_status fv_export_json(const char *db, const char *sweep, const char *path, int64_t *rows, fv_error *err) {
  return export_table(db, sweep, path, true, rows, err);
}
