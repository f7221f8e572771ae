#include "db_output.h"

#include <unistd.h>

fv_status db_open(cli_session *s, cli_db *db) {
  const char *path = s->args->db;
  *db = (cli_db){.s = s};
  if (!path) return FV_OK;
  fv_status st = output_check_input(s, path);
  db->made = access(path, F_OK) != 0;
  if (!st) st = fv_store_open(path, FV_STORE_CREATE, &db->store, &s->err);
  return st ? st : fv_table_new(&db->table, &s->err);
}

fv_sink db_sink(const cli_db *db) { return db->table ? fv_table_sink(db->table) : (fv_sink){0}; }

static fv_status next_table(cli_db *db, fv_status st) {
  if (st) return st;
  db->added++;
  fv_table_free(db->table);
  db->table = NULL;
  return fv_table_new(&db->table, &db->s->err);
}

fv_status db_add_trace(cli_db *db, const fv_trace_options *o, const fv_trace_result *r) {
  if (!db->store) return FV_OK;
  return next_table(db, fv_store_add_trace(db->store, db->s->model, o, r, db->table, &db->s->err));
}

fv_status db_add_patch(cli_db *db, const fv_patch_options *o, const fv_patch_result *r) {
  if (!db->store) return FV_OK;
  return next_table(db, fv_store_add_patch(db->store, db->s->model, o, r, db->table, &db->s->err));
}

void db_close(cli_db *db) {
  bool unused = db->store && db->made && db->added == 0;
  fv_store_close(db->store);
  if (unused) unlink(db->s->args->db);
  fv_table_free(db->table);
  *db = (cli_db){0};
}
