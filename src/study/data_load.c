/* Reading sample tables: CSV and JSON lines. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "base/files.h"
#include "base/json.h"
#include "study/data_pairs.h"

enum { MAX_BYTES = 1 << 30 };

static const char *const generated_names[] = {"generated", "generated_text", "generated_answer"};

typedef struct reader {
  const char *path;
  char *folder; /* with its slash, "" for the current one */
  fv_pairs *out;
} reader;

/* What a column of the file means: one of fv_pair_columns, or NULL and a name for a further column; a NULL name: none.
 */
typedef struct meaning {
  const fv_pair_column *column;
  const char *name;
} meaning;

static meaning meaning_of(const char *name) {
  if (!*name || strcmp(name, "Unnamed: 0") == 0) return (meaning){NULL, NULL};
  for (size_t i = 0; i < FV_PAIR_COLUMNS; i++) {
    const fv_pair_column *c = &fv_pair_columns[i];
    bool is = strcmp(name, c->name) == 0;
    for (size_t k = 0; !is && k < 3 && c->aliases[k]; k++) is = strcmp(name, c->aliases[k]) == 0;
    if (is) return (meaning){c, c->name};
  }
  for (size_t i = 0; i < 3; i++)
    if (strcmp(name, generated_names[i]) == 0) return (meaning){NULL, generated_names[0]};
  return (meaning){NULL, name};
}

static fv_status fail_at(const reader *r, int64_t line, fv_error *err, const char *what, const char *found) {
  return fv_fail(err, FV_EFORMAT, "%s: line %lld: %s%s%.100s%s", r->path, (long long)line, what, found ? " \"" : "",
                 found ? found : "", found ? "\"" : "");
}

static fv_status set_correct_first(const reader *r, fv_pair *p, const char *text, fv_error *err) {
  static const struct {
    const char *text;
    int value;
  } known[] = {{"1", 1}, {"True", 1}, {"true", 1}, {"1.0", 1}, {"0", 0}, {"False", 0}, {"false", 0}, {"0.0", 0}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(text, known[i].text) == 0) return p->correct_first = known[i].value, FV_OK;
  return fail_at(r, p->line, err, "correct_first has to be 0 or 1, found", text);
}

static fv_status set_picture(const reader *r, char **at, const char *text, fv_error *err) {
  if (text[0] == '/' || strstr(text, "://")) return fv_pair_set(at, text, err);
  char *path = fv_format("%s%s", r->folder, text);
  if (!path) return fv_fail(err, FV_ENOMEM, "no memory");
  free(*at);
  *at = path;
  return FV_OK;
}

/* One non-empty cell. NOTICE's clean_prompt is a question, or a whole template with its place for the picture. */
static fv_status set_cell(const reader *r, fv_pair *p, const char *name, const char *text, fv_error *err) {
  meaning m = meaning_of(name);
  if (!m.name) return FV_OK;
  if (!m.column) {
    if (fv_pair_field(p, m.name)) return fail_at(r, p->line, err, "two columns give the value of", m.name);
    return fv_pair_set_field(p, m.name, text, err);
  }
  if (m.column->offset == SIZE_MAX) {
    if (p->correct_first >= 0) return fail_at(r, p->line, err, "two columns give the value of", m.name);
    return set_correct_first(r, p, text, err);
  }
  char **at = fv_pair_text(p, m.column);
  if (at == &p->question && strcmp(name, "clean_prompt") == 0 && strstr(text, "<image>")) at = &p->prompt;
  if (*at && at != &p->sample) return fail_at(r, p->line, err, "two columns give the value of", m.name);
  return m.column->picture ? set_picture(r, at, text, err) : fv_pair_set(at, text, err);
}

static fv_status begin_row(const reader *r, int64_t line, fv_pair **p, fv_error *err) {
  char number[24];
  snprintf(number, sizeof number, "%zu", r->out->count);
  fv_status st = fv_pairs_add(r->out, number, p, err);
  if (!st) (*p)->line = line;
  return st;
}

static fv_status end_row(const reader *r, const fv_pair *p, fv_error *err) {
  if (p->question && p->prompt)
    return fail_at(r, p->line, err, "has a question and a prompt; a sample has one of them", NULL);
  if (!p->image && !p->question && !p->prompt)
    return fail_at(r, p->line, err, "has neither a picture nor a text (columns image, question, prompt)", NULL);
  return FV_OK;
}

/* Two columns with one meaning are refused in the header, before any row needs both. */
static fv_status check_header(const fv_csv *c, fv_error *err) {
  if (c->ncolumns == 1 && strpbrk(c->columns[0], ";\t"))
    return fv_fail(err, FV_EFORMAT, "%s: the header has one column, \"%.100s\"; columns are separated by commas",
                   c->path, c->columns[0]);
  for (size_t i = 0; i < c->ncolumns; i++)
    for (size_t k = 0; k < i; k++) {
      meaning a = meaning_of(c->columns[i]), b = meaning_of(c->columns[k]);
      if (a.name && b.name && strcmp(a.name, b.name) == 0)
        return fv_fail(err, FV_EFORMAT, "%s: the columns \"%s\" and \"%s\" both mean %s; keep one of them", c->path,
                       c->columns[k], c->columns[i], a.name);
    }
  return FV_OK;
}

static fv_status load_csv(const reader *r, fv_error *err) {
  fv_csv c;
  fv_status st = fv_csv_load(r->path, &c, err);
  if (st) return st;
  st = check_header(&c, err);
  while (!st) {
    bool more;
    fv_pair *p;
    st = fv_csv_next(&c, &more, err);
    if (st || !more) break;
    st = begin_row(r, c.line, &p, err);
    for (size_t i = 0; i < c.ncolumns && !st; i++)
      if (*c.fields[i]) st = set_cell(r, p, c.columns[i], c.fields[i], err);
    if (!st) st = end_row(r, p, err);
  }
  fv_csv_release(&c);
  return st;
}

/* A value of a JSON line as the text that a CSV table would hold. */
static fv_status set_json(const reader *r, fv_pair *p, const char *key, const json_t *value, fv_error *err) {
  char number[40];
  const char *text = number;
  if (json_is_null(value)) return FV_OK;
  if (json_is_string(value)) {
    text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) return fail_at(r, p->line, err, "a NUL character in", key);
  } else if (json_is_boolean(value)) {
    text = json_is_true(value) ? "1" : "0";
  } else if (json_is_integer(value)) {
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
  } else if (json_is_real(value)) {
    snprintf(number, sizeof number, "%.17g", json_real_value(value));
  } else {
    return fail_at(r, p->line, err, "expected text, a number, true, false or null as the value of", key);
  }
  return *text ? set_cell(r, p, key, text, err) : FV_OK;
}

static fv_status load_json_line(const reader *r, const char *text, size_t n, int64_t line, fv_error *err) {
  json_t *object = NULL, *value;
  const char *key;
  fv_pair *p;
  fv_status st = fv_json_parse(text, n, "value", &object, err);
  if (st) return fv_fail_prefix(err, st, "%s: line %lld", r->path, (long long)line);
  if (!json_is_object(object))
    st = fail_at(r, line, err, "expected a JSON object such as {\"image\": \"a.png\", \"question\": \"...\"}", NULL);
  if (!st) st = begin_row(r, line, &p, err);
  if (!st) json_object_foreach(object, key, value) if (!st) st = set_json(r, p, key, value, err);
  if (!st) st = end_row(r, p, err);
  json_decref(object);
  return st;
}

static fv_status load_jsonl(const reader *r, fv_error *err) {
  char *text = NULL;
  size_t size;
  fv_status st = fv_file_read(r->path, MAX_BYTES, &text, &size, err);
  if (st) return st;
  const char *at = text, *end = text + size;
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) at += 3;
  for (int64_t line = 1; at < end && !st; line++) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    size_t n = (size_t)(stop - at), blank = 0;
    while (blank < n && strchr(" \t\r", at[blank]) && at[blank]) blank++;
    if (blank < n) st = load_json_line(r, at, n, line, err);
    at = stop < end ? stop + 1 : end;
  }
  free(text);
  return st;
}

static fv_status check_names(const reader *r, fv_error *err) {
  const fv_pair *first, *second;
  fv_status st = fv_pairs_repeated(r->out, &first, &second, err);
  if (st || !first) return st;
  return fv_fail(err, FV_EFORMAT, "%s: line %lld: the sample \"%.100s\" is already on line %lld; names are unique",
                 r->path, (long long)second->line, second->sample, (long long)first->line);
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && strcmp(s + n - k, end) == 0;
}

fv_status fv_pairs_load(const char *path, fv_pairs *out, fv_error *err) {
  *out = (fv_pairs){0};
  bool csv = ends_with(path, ".csv");
  if (!csv && !ends_with(path, ".jsonl"))
    return fv_fail(err, FV_EUSAGE, "%s: a sample table is a .csv or a .jsonl file", path);
  const char *slash = strrchr(path, '/');
  reader r = {path, fv_format("%.*s", slash ? (int)(slash - path + 1) : 0, path), out};
  fv_status st = r.folder ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = csv ? load_csv(&r, err) : load_jsonl(&r, err);
  if (!st && out->count == 0) st = fv_fail(err, FV_EFORMAT, "%s: has no samples", path);
  if (!st) st = check_names(&r, err);
  out->nread = (int64_t)out->count;
  free(r.folder);
  if (st) fv_pairs_release(out);
  return st;
}
