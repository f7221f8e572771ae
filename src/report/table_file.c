#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "base/files.h"
#include "fovea/json_out.h"
#include "fovea/table.h"
#include "report/columns.h"

struct fv_table_file {
  fv_outfile *file;
  char *path;
  bool json;
  size_t columns; /* of CSV */
  int64_t rows;
};

static void csv_cell(FILE *f, const fv_row *row, const fv_column *column) {
  char whole[FV_WHOLE_TEXT], number[FV_NUMBER_TEXT];
  switch (column->type) {
    case FV_COLUMN_TEXT: fv_csv_write(f, fv_cell_text(row, column)); return;
    case FV_COLUMN_INT: fwrite(whole, 1, fv_whole_put(whole, fv_cell_int(row, column)), f); return;
    case FV_COLUMN_NUMBER: fwrite(number, 1, fv_number_format(number, fv_cell_number(row, column)), f); return;
  }
}

/* Infinities are texts: JSON has no other way to say them. */
static void json_cell(fv_json_out *j, const fv_row *row, const fv_column *column) {
  char number[FV_NUMBER_TEXT];
  switch (column->type) {
    case FV_COLUMN_TEXT: fv_json_out_text(j, column->name, fv_cell_text(row, column)); return;
    case FV_COLUMN_INT: fv_json_out_int(j, column->name, fv_cell_int(row, column)); return;
    case FV_COLUMN_NUMBER:
      if (!isinf(fv_cell_number(row, column))) {
        fv_json_out_num(j, column->name, fv_cell_number(row, column));
        return;
      }
      fv_number_format(number, fv_cell_number(row, column));
      fv_json_out_text(j, column->name, number);
      return;
  }
}

static void csv_row(FILE *f, const fv_row *row, size_t columns) {
  for (size_t i = 0; i < columns; i++) {
    if (i > 0) putc(',', f);
    if (!fv_cell_empty(row, &fv_columns[i])) csv_cell(f, row, &fv_columns[i]);
  }
  putc('\n', f);
}

/* A line of its own within the list. */
static void json_row(FILE *f, const fv_row *row, bool first) {
  fv_json_out j = {.stream = f, .depth = 1};
  if (!first) fputs(",\n", f);
  fv_json_out_begin(&j, NULL, '{');
  for (size_t i = 0; i < FV_COLUMNS; i++)
    if (!fv_cell_empty(row, &fv_columns[i])) json_cell(&j, row, &fv_columns[i]);
  fv_json_out_end(&j, '}');
}

static fv_status open_file(const char *path, bool json, size_t columns, fv_table_file **out, fv_error *err) {
  fv_table_file *t = fv_alloc(1, sizeof *t);
  if (!t || !(t->path = fv_strdup(path))) {
    free(t);
    return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  }
  fv_status st = fv_outfile_open(path, &t->file, err);
  if (st) {
    free(t->path);
    free(t);
    return st;
  }
  t->json = json, t->columns = columns;
  FILE *f = fv_outfile_stream(t->file);
  if (json)
    fputs("[\n", f);
  else
    for (size_t i = 0; i < columns; i++) fprintf(f, "%s%c", fv_columns[i].name, i + 1 < columns ? ',' : '\n');
  *out = t;
  return FV_OK;
}

fv_status fv_csv_open(const char *path, fv_table_file **out, fv_error *err) {
  return open_file(path, false, FV_COLUMNS - 1, out, err);
}

fv_status fv_csv_open_sweeps(const char *path, fv_table_file **out, fv_error *err) {
  return open_file(path, false, FV_COLUMNS, out, err);
}

fv_status fv_json_rows_open(const char *path, fv_table_file **out, fv_error *err) {
  return open_file(path, true, FV_COLUMNS, out, err);
}

static fv_status file_row(void *user, const fv_row *row, fv_error *err) {
  fv_table_file *t = user;
  FILE *f = fv_outfile_stream(t->file);
  for (size_t i = 0; i < FV_COLUMNS; i++) {
    if (fv_columns[i].type != FV_COLUMN_TEXT) continue;
    const char *s = fv_cell_text(row, &fv_columns[i]);
    size_t bad;
    if (s && !fv_utf8_valid(s, strlen(s), &bad))
      return fv_fail(err, FV_EFORMAT,
                     "%s: row %" PRId64 ": the cell %s is not UTF-8 at byte %zu; the table holds UTF-8", t->path,
                     t->rows, fv_columns[i].name, bad);
  }
  if (t->json)
    json_row(f, row, t->rows == 0);
  else
    csv_row(f, row, t->columns);
  t->rows++;
  if (ferror(f))
    return fv_fail(err, FV_EIO, "%s: cannot write row %" PRId64 "; is the disk full?", t->path, t->rows - 1);
  return FV_OK;
}

fv_sink fv_table_file_sink(fv_table_file *file) { return (fv_sink){file, file_row}; }

int64_t fv_table_file_rows(const fv_table_file *file) { return file->rows; }

fv_status fv_table_file_commit(fv_table_file *t, fv_error *err) {
  if (t->json) fputs(t->rows ? "\n]\n" : "]\n", fv_outfile_stream(t->file));
  fv_status st = fv_outfile_commit(t->file, err);
  free(t->path);
  free(t);
  return st;
}

void fv_table_file_abort(fv_table_file *t) {
  if (!t) return;
  fv_outfile_abort(t->file);
  free(t->path);
  free(t);
}

static fv_status tee_row(void *user, const fv_row *row, fv_error *err) {
  const fv_tee *tee = user;
  for (size_t i = 0; i < tee->count; i++) {
    fv_status st = tee->sinks[i].row(tee->sinks[i].user, row, err);
    if (st) return st;
  }
  return FV_OK;
}

fv_sink fv_tee_sink(fv_tee *tee) { return (fv_sink){tee, tee_row}; }
