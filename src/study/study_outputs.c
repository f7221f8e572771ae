/* The files of a study: its database, and what is made of it when all samples are there. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fovea/export.h"
#include "fovea/report.h"
#include "study/study_inside.h"

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the study's outputs"); }

static fv_status write_csv(const char *db, const char *path, fv_error *err) {
  return fv_export_csv(db, NULL, path, NULL, err);
}
static fv_status write_json(const char *db, const char *path, fv_error *err) {
  return fv_export_json(db, NULL, path, NULL, err);
}
static fv_status write_npz(const char *db, const char *path, fv_error *err) {
  return fv_export_npz(db, NULL, path, err);
}
static fv_status write_report(const char *db, const char *path, fv_error *err) {
  return fv_report_write(db, path, NULL, err);
}

static const struct kind {
  const char *key;
  fv_status (*write)(const char *db, const char *path, fv_error *err);
} kinds[FV_STUDY_OUTPUTS] = {{"csv", write_csv}, {"json", write_json}, {"npz", write_npz}, {"report", write_report}};

/* ---- reading ---- */

fv_status fv_study_read_output(fv_study *s, fv_error *err) {
  struct output {
    char *db, *paths[FV_STUDY_OUTPUTS];
  } o = {0};
  fv_field fields[1 + FV_STUDY_OUTPUTS] = {{"db", FV_FIELD_TEXT, offsetof(struct output, db), 0, NULL, false}};
  for (size_t i = 0; i < FV_STUDY_OUTPUTS; i++)
    fields[1 + i] =
        (fv_field){kinds[i].key, FV_FIELD_TEXT, offsetof(struct output, paths) + i * sizeof *o.paths, 0, NULL, false};
  fv_status st = FV_OK;
  if (s->output_at) st = fv_yaml_read(s->yaml, s->output_at, "output", fields, 1 + FV_STUDY_OUTPUTS, &o, err);
  const char *file = strrchr(s->yaml->path, '/'), *name = file ? file + 1 : s->yaml->path, *dot = strrchr(name, '.');
  int stem = (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name));
  if (!st && !o.db && !(o.db = fv_format("%.*s.db", stem, name))) st = no_memory(err);
  if (!st && !s->name && !(s->name = fv_format("%.*s", stem, name))) st = no_memory(err);
  if (!st && !(s->db = fv_study_opened_from(s, o.db))) st = no_memory(err);
  for (size_t i = 0; i < FV_STUDY_OUTPUTS && !st; i++)
    if (o.paths[i] && !(s->outputs[i] = fv_study_opened_from(s, o.paths[i]))) st = no_memory(err);
  free(o.db);
  for (size_t i = 0; i < FV_STUDY_OUTPUTS; i++) free(o.paths[i]);
  return st;
}

const char *fv_study_output(const fv_study *s, size_t i) {
  for (size_t k = 0; k < FV_STUDY_OUTPUTS; k++)
    if (s->outputs[k] && i-- == 0) return s->outputs[k];
  return NULL;
}

/* ---- checking ---- */

/* The one name of a file, or of the place for one that does not exist yet; NULL: its folder does not exist, either. */
static char *resolved(const char *path) {
  char real[PATH_MAX];
  if (realpath(path, real)) return fv_strdup(real);
  const char *slash = strrchr(path, '/');
  char *folder = slash ? fv_format("%.*s", (int)(slash == path ? 1 : slash - path), path) : fv_strdup(".");
  char *whole = folder && realpath(folder, real) ? fv_path_join(real, slash ? slash + 1 : path) : NULL;
  free(folder);
  return whole;
}

static bool is_same(const char *one, const char *path) {
  char *other = path ? resolved(path) : NULL;
  bool same = other && strcmp(one, other) == 0;
  free(other);
  return same;
}

static bool is_read(const fv_study *s, const char *one) {
  bool read = is_same(one, s->yaml->path) || is_same(one, s->table);
  for (size_t i = 0; i < s->pairs.count && !read; i++)
    read = is_same(one, s->pairs.list[i].image) || is_same(one, s->pairs.list[i].corrupt_image);
  return read;
}

static fv_status check_writable(const char *one, fv_error *err) {
  const char *slash = strrchr(one, '/');
  char *folder = fv_format("%.*s", (int)(slash == one ? 1 : slash - one), one);
  if (!folder) return no_memory(err);
  fv_status st = FV_OK;
  if (access(one, F_OK) == 0 && access(one, W_OK) != 0) st = fv_fail(err, FV_EIO, "cannot write: %s", strerror(errno));
  if (!st && access(folder, W_OK) != 0) st = fv_fail(err, FV_EIO, "cannot write there: %s", strerror(errno));
  free(folder);
  return st;
}

static fv_status check_one(const fv_study *s, size_t i, const char *db, fv_error *err) {
  char *one = resolved(s->outputs[i]);
  if (!one) return fv_fail(err, FV_ENOTFOUND, "there is no such folder");
  fv_status st = check_writable(one, err);
  if (!st && is_same(one, db)) st = fv_fail(err, FV_EUSAGE, "that is the database; give it another name");
  for (size_t k = 0; k < i && !st; k++)
    if (is_same(one, s->outputs[k])) st = fv_fail(err, FV_EUSAGE, "two outputs cannot share a file");
  if (!st && is_read(s, one))
    st = fv_fail(err, FV_EUSAGE, "an output cannot be a file that the study reads; give it another name");
  free(one);
  return st;
}

fv_status fv_study_check_outputs(const fv_study *s, const char *db, fv_error *err) {
  for (size_t i = 0; i < FV_STUDY_OUTPUTS; i++) {
    fv_error why = {0};
    if (s->outputs[i] && check_one(s, i, db ? db : s->db, &why))
      return fv_yaml_fail(s->yaml, fv_yaml_get(s->yaml, s->output_at, kinds[i].key), err, "%s: %s", s->outputs[i],
                          why.text);
  }
  return FV_OK;
}

/* ---- writing ---- */

fv_status fv_study_write_outputs(const fv_study *s, const char *db, bool *written, fv_error *err) {
  int64_t all = 0, stored = 0;
  bool *todo = fv_alloc(s->pairs.count, sizeof *todo);
  *written = false;
  if (!todo) return no_memory(err);
  /* By what is missing, not by a number: samples that were added by hand are none of the study's. */
  fv_status st = fv_study_todo(s, &(fv_study_options){.db = db}, todo, &all, &stored, err);
  free(todo);
  if (st || stored < all) return st;
  for (size_t i = 0; i < FV_STUDY_OUTPUTS && !st; i++)
    if (s->outputs[i]) st = kinds[i].write(db ? db : s->db, s->outputs[i], err);
  *written = !st;
  return st;
}
