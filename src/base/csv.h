/* Reading CSV tables, and writing single fields.
 *
 * RFC 4180 with what spreadsheets and pandas add: a UTF-8 byte order mark, LF, CRLF or CR line ends, quoted fields with
 * line breaks, empty lines between records. The first record is the header. Every record has as many fields as the
 * header; anything else is an error that names the line, as are invalid UTF-8, NUL bytes, a quote that is never closed
 * and text behind a closing quote. Two columns of one name are an error; several unnamed ones are not.
 *
 * Ownership: fv_csv owns the text and all strings that it hands out; the fields of a record live until the release,
 * the array `fields` until the next record. Threads: one owner at a time. Cost: the file in memory, one pass.
 * Checked by: tests/base/test_csv.c
 */
#ifndef FOVEA_BASE_CSV_H
#define FOVEA_BASE_CSV_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fovea/status.h"

typedef struct fv_csv {
  const char *path; /* borrowed, for messages */
  char *text, *at, *end;
  int64_t line, next_line; /* 1-based: of the record read last, of what follows it */
  size_t ncolumns, capacity;
  char **columns, **fields; /* [ncolumns] */
} fv_csv;

/* Opens a file and reads its header. Errors: those of fv_file_read, FV_EFORMAT, FV_ENOMEM. */
fv_status fv_csv_load(const char *path, fv_csv *out, fv_error *err);
/* The next record; *more is false behind the last one. */
fv_status fv_csv_next(fv_csv *csv, bool *more, fv_error *err);
/* The index of a column, or -1. */
int64_t fv_csv_find(const fv_csv *csv, const char *column);
/* The same; FV_ENOTFOUND names the columns that there are. */
fv_status fv_csv_column(const fv_csv *csv, const char *column, size_t *out, fv_error *err);
void fv_csv_release(fv_csv *csv);

/* One field, quoted where it must be. NULL is an empty cell; an empty string is "". */
void fv_csv_write(FILE *out, const char *s);

#endif
