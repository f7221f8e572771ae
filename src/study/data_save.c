/* Writing sample tables. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "base/files.h"
#include "base/json.h"
#include "study/data_pairs.h"

typedef struct writer {
  char folder[PATH_MAX]; /* of the table, resolved */
  bool used[FV_PAIR_COLUMNS];
  size_t nfields, capacity;
  const char **fields; /* names of further columns, in order of appearance; borrowed */
} writer;

/* The resolved folder of a path; false when it does not exist or its name is too long. */
static bool resolve_folder(const char *path, char out[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? fv_format("%.*s", slash == path ? 1 : (int)(slash - path), path) : fv_strdup(".");
  bool found = folder && realpath(folder, out);
  free(folder);
  return found;
}

/* A picture's path as it is written: relative to the table's folder when both lie below one that is not the root. The
 * last name is kept as it is, so that links keep their names. NULL when memory is short. */
static char *picture_path(const writer *w, const char *image) {
  char folder[PATH_MAX];
  if (strstr(image, "://")) return fv_strdup(image);
  if (!resolve_folder(image, folder)) /* nothing there: the name is kept, and independent of the current folder */
    return image[0] == '/' || !realpath(".", folder) ? fv_strdup(image) : fv_format("%s/%s", folder, image);
  const char *slash = strrchr(image, '/'), *name = slash ? slash + 1 : image;
  size_t common = 0, i = 0;
  for (;; i++) {
    bool a = !folder[i] || folder[i] == '/', b = !w->folder[i] || w->folder[i] == '/';
    if (a && b) common = i;
    if (!folder[i] || folder[i] != w->folder[i]) break;
  }
  if (common == 0) return fv_format("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
  char *up = fv_strdup("");
  for (const char *s = w->folder + common; up && *s; s++)
    if (*s == '/') {
      char *more = fv_format("%s../", up);
      free(up);
      up = more;
    }
  const char *below = folder[common] == '/' ? folder + common + 1 : "";
  char *path = up ? fv_format("%s%s%s%s", up, below, *below ? "/" : "", name) : NULL;
  free(up);
  return path;
}

static fv_status collect_columns(writer *w, const fv_pairs *s, fv_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    fv_pair *p = &s->list[i];
    for (size_t c = 0; c < FV_PAIR_COLUMNS; c++)
      w->used[c] |=
          fv_pair_columns[c].offset == SIZE_MAX ? p->correct_first >= 0 : *fv_pair_text(p, &fv_pair_columns[c]) != NULL;
    for (size_t k = 0; k < p->nfields; k++) {
      size_t at = 0;
      while (at < w->nfields && strcmp(w->fields[at], p->field_names[k]) != 0) at++;
      if (at < w->nfields) continue;
      if (!fv_grow(&w->fields, &w->capacity, w->nfields + 1, sizeof *w->fields))
        return fv_fail(err, FV_ENOMEM, "no memory");
      w->fields[w->nfields++] = p->field_names[k];
    }
  }
  return FV_OK;
}

/* The text of one of the fixed columns in *out (to be freed), NULL when the cell is empty. */
static fv_status column_text(const writer *w, fv_pair *p, const fv_pair_column *c, char **out, fv_error *err) {
  *out = NULL;
  if (c->offset == SIZE_MAX) {
    if (p->correct_first < 0) return FV_OK;
    *out = fv_format("%d", p->correct_first);
  } else {
    const char *text = *fv_pair_text(p, c);
    if (!text) return FV_OK;
    *out = c->picture ? picture_path(w, text) : fv_strdup(text);
  }
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static fv_status write_csv(const writer *w, const fv_pairs *s, FILE *f, fv_error *err) {
  fv_status st = FV_OK;
  const char *between = "";
  for (size_t c = 0; c < FV_PAIR_COLUMNS; c++)
    if (w->used[c]) fprintf(f, "%s%s", between, fv_pair_columns[c].name), between = ",";
  for (size_t k = 0; k < w->nfields; k++) putc(',', f), fv_csv_write(f, w->fields[k]);
  putc('\n', f);
  for (size_t i = 0; i < s->count && !st; i++) {
    fv_pair *p = &s->list[i];
    for (size_t c = 0; c < FV_PAIR_COLUMNS && !st; c++) {
      if (!w->used[c]) continue;
      char *text;
      st = column_text(w, p, &fv_pair_columns[c], &text, err);
      if (c > 0) putc(',', f); /* the first column is the sample, which every row has */
      if (!st) fv_csv_write(f, text);
      free(text);
    }
    for (size_t k = 0; k < w->nfields; k++) putc(',', f), fv_csv_write(f, fv_pair_field(p, w->fields[k]));
    putc('\n', f);
  }
  return st;
}

static fv_status write_json_line(const writer *w, fv_pair *p, FILE *f, fv_error *err) {
  json_t *object = json_object();
  fv_status st = object ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t c = 0; c < FV_PAIR_COLUMNS && !st; c++) {
    char *text;
    st = column_text(w, p, &fv_pair_columns[c], &text, err);
    if (text) {
      json_t *value = fv_pair_columns[c].offset == SIZE_MAX ? json_integer(p->correct_first) : json_string(text);
      if (json_object_set_new(object, fv_pair_columns[c].name, value) != 0)
        st = fv_fail(err, FV_EFORMAT, "sample %.100s: %s is not UTF-8", p->sample, fv_pair_columns[c].name);
    }
    free(text);
  }
  for (size_t k = 0; k < p->nfields && !st; k++)
    if (json_object_set_new(object, p->field_names[k], json_string(p->field_values[k])) != 0)
      st = fv_fail(err, FV_EFORMAT, "sample %.100s: %.100s is not UTF-8", p->sample, p->field_names[k]);
  if (!st) json_dumpf(object, f, JSON_COMPACT), putc('\n', f);
  json_decref(object);
  return st;
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && strcmp(s + n - k, end) == 0;
}

fv_status fv_pairs_save(const char *path, const fv_pairs *pairs, fv_error *err) {
  writer w = {0};
  fv_outfile *file = NULL;
  bool csv = ends_with(path, ".csv");
  if (!csv && !ends_with(path, ".jsonl"))
    return fv_fail(err, FV_EUSAGE, "%s: a sample table is a .csv or a .jsonl file", path);
  if (!resolve_folder(path, w.folder)) return fv_fail(err, FV_ENOTFOUND, "%s: its folder does not exist", path);
  fv_status st = collect_columns(&w, pairs, err);
  if (!st) st = fv_outfile_open(path, &file, err);
  if (!st) {
    FILE *f = fv_outfile_stream(file);
    if (csv) st = write_csv(&w, pairs, f, err);
    for (size_t i = 0; i < pairs->count && !csv && !st; i++) st = write_json_line(&w, &pairs->list[i], f, err);
    if (st)
      fv_outfile_abort(file);
    else
      st = fv_outfile_commit(file, err);
  }
  free(w.fields);
  return st;
}

fv_status fv_pairs_save_excluded(const char *path, const fv_pairs *pairs, fv_error *err) {
  fv_outfile *file;
  fv_status st = fv_outfile_open(path, &file, err);
  if (st) return st;
  FILE *f = fv_outfile_stream(file);
  fputs("name,reason\n", f);
  for (size_t i = 0; i < pairs->nexcluded; i++) {
    fv_csv_write(f, pairs->excluded[i].name), putc(',', f);
    fv_csv_write(f, pairs->excluded[i].reason), putc('\n', f);
  }
  return fv_outfile_commit(file, err);
}
