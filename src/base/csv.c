#include "base/csv.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"

enum { MAX_BYTES = 1 << 30, MAX_COLUMNS = 4096 };

static fv_status bad(const fv_csv *c, fv_error *err, const char *what) {
  return fv_fail(err, FV_EFORMAT, "%s: line %lld: %s", c->path, (long long)c->line, what);
}

static bool at_break(const fv_csv *c) { return c->at >= c->end || *c->at == '\n' || *c->at == '\r'; }

/* Steps over one line end. */
static void skip_break(fv_csv *c) {
  if (c->at >= c->end) return;
  if (*c->at == '\r' && c->at + 1 < c->end && c->at[1] == '\n') c->at++;
  c->at++;
  c->next_line++;
}

/* Unquotes one field in place; c->at is left behind it, on the separator. */
static fv_status read_field(fv_csv *c, char **begin, char **end, fv_error *err) {
  char *out = c->at;
  *begin = out;
  if (c->at >= c->end || *c->at != '"') {
    while (!at_break(c) && *c->at != ',') c->at++;
    *end = c->at;
    return FV_OK;
  }
  for (c->at++;; c->at++) {
    if (c->at >= c->end) return bad(c, err, "a quote is opened and never closed");
    if (*c->at == '"') {
      if (c->at + 1 >= c->end || c->at[1] != '"') break;
      c->at++;
    }
    if (*c->at == '\n' || (*c->at == '\r' && (c->at + 1 >= c->end || c->at[1] != '\n'))) c->next_line++;
    *out++ = *c->at;
  }
  c->at++;
  if (!at_break(c) && *c->at != ',') return bad(c, err, "text follows a closing quote, expected a comma or a line end");
  *end = out;
  return FV_OK;
}

/* One record into c->fields; *n is 0 behind the last. */
static fv_status read_record(fv_csv *c, size_t *n, fv_error *err) {
  *n = 0;
  while (c->at < c->end && at_break(c)) skip_break(c);
  c->line = c->next_line;
  if (c->at >= c->end) return FV_OK;
  for (bool more = true; more;) {
    char *begin, *end = c->at;
    if (*n == MAX_COLUMNS || (c->ncolumns && *n == c->ncolumns))
      return fv_fail(err, FV_EFORMAT, "%s: line %lld has more than %zu fields, expected as many as the header has",
                     c->path, (long long)c->line, *n);
    fv_status st = read_field(c, &begin, &end, err);
    if (st) return st;
    if (!fv_grow(&c->fields, &c->capacity, *n + 1, sizeof *c->fields)) return fv_fail(err, FV_ENOMEM, "no memory");
    c->fields[(*n)++] = begin;
    more = c->at < c->end && *c->at == ',';
    if (more)
      c->at++;
    else
      skip_break(c);
    *end = '\0'; /* the separator has been read, so its place is free */
  }
  return FV_OK;
}

static fv_status read_header(fv_csv *c, fv_error *err) {
  size_t n;
  fv_status st = read_record(c, &n, err);
  if (st) return st;
  if (n == 0) return fv_fail(err, FV_EFORMAT, "%s: is empty, expected a header line with column names", c->path);
  c->columns = c->fields, c->fields = NULL, c->capacity = 0;
  c->ncolumns = n;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++)
      if (*c->columns[i] && strcmp(c->columns[i], c->columns[j]) == 0)
        return fv_fail(err, FV_EFORMAT, "%s: line %lld: the header names the column \"%.100s\" twice", c->path,
                       (long long)c->line, c->columns[i]);
  return FV_OK;
}

fv_status fv_csv_load(const char *path, fv_csv *out, fv_error *err) {
  size_t size, where;
  *out = (fv_csv){.path = path, .line = 1, .next_line = 1};
  fv_status st = fv_file_read(path, MAX_BYTES, &out->text, &size, err);
  if (st) return st;
  out->at = out->text, out->end = out->text + size;
  bool utf8 = fv_utf8_valid(out->text, size, &where);
  const char *nul = utf8 ? memchr(out->text, '\0', size) : NULL;
  if (!utf8 || nul) {
    if (nul) where = (size_t)(nul - out->text);
    for (size_t i = 0; i < where; i++) out->line += out->text[i] == '\n';
    st = bad(out, err, nul ? "a NUL byte, expected text" : "is not valid UTF-8; convert the table to UTF-8");
  }
  if (size >= 3 && memcmp(out->text, "\xEF\xBB\xBF", 3) == 0) out->at += 3;
  if (!st) st = read_header(out, err);
  if (st) fv_csv_release(out);
  return st;
}

fv_status fv_csv_next(fv_csv *c, bool *more, fv_error *err) {
  size_t n;
  *more = false;
  fv_status st = read_record(c, &n, err);
  if (st || n == 0) return st;
  if (n != c->ncolumns)
    return fv_fail(err, FV_EFORMAT, "%s: line %lld has %zu fields, expected %zu as in the header", c->path,
                   (long long)c->line, n, c->ncolumns);
  *more = true;
  return FV_OK;
}

int64_t fv_csv_find(const fv_csv *c, const char *column) {
  for (size_t i = 0; i < c->ncolumns; i++)
    if (strcmp(c->columns[i], column) == 0) return (int64_t)i;
  return -1;
}

fv_status fv_csv_column(const fv_csv *c, const char *column, size_t *out, fv_error *err) {
  char names[400] = "";
  int64_t i = fv_csv_find(c, column);
  if (i >= 0) return *out = (size_t)i, FV_OK;
  for (size_t k = 0, n = 0; k < c->ncolumns && n + 1 < sizeof names; k++) {
    int put = snprintf(names + n, sizeof names - n, "%s%s", k ? ", " : "", c->columns[k]);
    n += put > 0 ? (size_t)put : 0;
  }
  return fv_fail(err, FV_ENOTFOUND, "%s: has no column \"%s\"; its columns are: %s", c->path, column, names);
}

void fv_csv_release(fv_csv *c) {
  free(c->text), free(c->columns), free(c->fields);
  *c = (fv_csv){0};
}

void fv_csv_write(FILE *out, const char *s) {
  if (!s) return;
  if (*s && !strpbrk(s, ",\"\r\n")) {
    fputs(s, out);
    return;
  }
  putc('"', out);
  for (; *s; s++) {
    if (*s == '"') putc('"', out);
    putc(*s, out);
  }
  putc('"', out);
}
