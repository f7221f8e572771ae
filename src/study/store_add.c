/* Adding one experiment's rows to a database by hand: what `--db` does. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "study/store_inside.h"
#include "study/study_inside.h"

/* An experiment, whichever it was. */
typedef struct addition {
  const char *kind, *sample;
  const fv_input_options *input;
  const char *const *corrupt;
  size_t ncorrupt;
  json_t *spec;
  const char *correct, *incorrect, *answer;
  int64_t correct_id, incorrect_id, answer_id, clean_right, answer_row, seed;
  const fv_table *table;
} addition;

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the results"); }

/* The sample's own picture and question are named by their kind, so that one sweep serves many samples. */
static json_t *corrupt_list(const char *const *corrupt, size_t n) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++)
    json_array_append_new(list, json_string(strncmp(corrupt[i], "image:", 6) == 0      ? "image"
                                            : strncmp(corrupt[i], "question:", 9) == 0 ? "question"
                                                                                       : corrupt[i]));
  return list;
}

static json_t *text_list(const char *const *texts, size_t n) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) json_array_append_new(list, json_string(texts[i]));
  return list;
}

static void add_text(json_t *j, const char *key, const char *text) {
  json_object_set_new(j, key, text ? json_string(text) : json_null());
}

/* ---- the sweep ---- */

/* The sweep of this kind with these settings, or a new one: "trace", "trace-2", ... */
static fv_status find_sweep(fv_store *s, const addition *a, int64_t *id, fv_error *err) {
  char *spec = json_dumps(a->spec, JSON_SORT_KEYS | JSON_COMPACT);
  sqlite3_stmt *q = NULL;
  bool more = false;
  if (!spec) return no_memory(err);
  fv_status st = fv_store_prepare(s, "SELECT id FROM sweeps WHERE kind = ? AND spec = ?", &q, err);
  if (!st) {
    sqlite3_bind_text(q, 1, a->kind, -1, SQLITE_STATIC), sqlite3_bind_text(q, 2, spec, -1, SQLITE_STATIC);
    st = fv_store_next(s, q, &more, err);
    if (!st && more) *id = sqlite3_column_int64(q, 0);
  }
  sqlite3_finalize(q);
  for (int n = 1; !st && !more; n++) {
    char name[64], sql[160];
    int64_t taken;
    snprintf(name, sizeof name, n > 1 ? "%s-%d" : "%s", a->kind, n);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM sweeps WHERE name = '%s'", name);
    st = fv_store_integer(s, sql, &taken, err);
    if (st || taken) continue;
    st = fv_store_sweep_add(s, &(fv_store_sweep){0, name, a->kind, spec}, id, err);
    break;
  }
  free(spec);
  return st;
}

/* ---- the sample ---- */

/* "STEM: question" unless it has a name. */
static char *name_of(const addition *a) {
  if (a->sample && a->sample[0]) return fv_strdup(a->sample);
  const char *image = a->input->image ? a->input->image : "", *slash = strrchr(image, '/');
  const char *text = a->input->prompt ? a->input->prompt : a->input->question ? a->input->question : "";
  const char *stem = slash ? slash + 1 : image, *dot = strrchr(stem, '.');
  int n = dot && dot > stem ? (int)(dot - stem) : (int)strlen(stem);
  return fv_format("%.*s%s%s", n, stem, n && text[0] ? ": " : "", n || text[0] ? text : "sample");
}

/* A sample with this name, picture and text; another that has the name makes it "NAME (2)". *id 0: none yet. */
static fv_status find_sample(fv_store *s, char **name, const char *sha256, const char *text, int64_t *id,
                             fv_error *err) {
  sqlite3_stmt *q = NULL;
  char *first = *name;
  *id = 0;
  fv_status st = fv_store_prepare(s, "SELECT id, image_sha256, question FROM samples WHERE name = ?", &q, err);
  for (int n = 2; !st; n++) {
    bool more = false;
    sqlite3_bind_text(q, 1, *name, -1, SQLITE_TRANSIENT);
    st = fv_store_next(s, q, &more, err);
    if (!st && more && strcmp(fv_store_text(q, 1), sha256) == 0 && strcmp(fv_store_text(q, 2), text ? text : "") == 0)
      *id = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (st || !more || *id) break;
    if (*name != first) free(*name);
    if (!(*name = fv_format("%s (%d)", first, n))) st = no_memory(err), *name = first;
  }
  sqlite3_finalize(q);
  if (*name != first) free(first);
  return st;
}

/* The first corruption of a kind: the sample's own. */
static const char *own(const addition *a, const char *kind) {
  for (size_t i = 0; i < a->ncorrupt; i++)
    if (strncmp(a->corrupt[i], kind, strlen(kind)) == 0) return a->corrupt[i] + strlen(kind);
  return NULL;
}

/* A file's absolute name in `out`; files that cannot be found keep theirs. */
static const char *absolute(const char *path, char out[PATH_MAX]) { return path && realpath(path, out) ? out : path; }

static fv_status put_new(fv_store *s, const fv_model *model, const addition *a, const char *name, const fv_input *in,
                         const fv_store_result *result, fv_error *err) {
  char image[PATH_MAX], corrupt[PATH_MAX], hex[65];
  fv_store_row *rows = NULL;
  fv_row_info *infos = NULL;
  fv_store_sample x;
  fv_store_sample_defaults(&x);
  fv_status st = fv_store_integer(s, "SELECT max(id) FROM samples", &x.id, err);
  x.id = (x.id < FV_STORE_OWN_SAMPLES ? FV_STORE_OWN_SAMPLES : x.id) + 1;
  x.name = name, x.seed = a->seed;
  x.image = absolute(a->input->image, image), x.image_sha256 = fv_input_image_sha256(in);
  x.question = a->input->prompt ? a->input->prompt : a->input->question;
  x.corrupt_image = absolute(own(a, "image:"), corrupt), x.corrupt_question = own(a, "question:");
  if (x.corrupt_image && fv_sha256_file(x.corrupt_image, hex, NULL) == FV_OK) x.corrupt_image_sha256 = hex;
  x.correct = a->correct, x.incorrect = a->incorrect, x.correct_id = a->correct_id, x.incorrect_id = a->incorrect_id;
  x.answer = a->answer, x.answer_id = a->answer_id, x.clean_right = a->clean_right, x.answer_row = a->answer_row;
  if (!st) st = fv_sample_rows(model, in, &rows, &infos, &x.nrows, err);
  x.rows = rows;
  if (!st) st = fv_store_put(s, &x, result, 1, err);
  free(rows), free(infos);
  return st;
}

static fv_status add(fv_store *s, const fv_model *model, const addition *a, fv_error *err) {
  char note[512], *name = name_of(a);
  fv_input *in = NULL;
  fv_store_result result = {.table = a->table};
  int64_t id = 0;
  fv_status st = a->spec && name ? FV_OK : no_memory(err);
  if (!st && a->input->nimages > 1)
    st = fv_fail(err, FV_EUSAGE, "a database keeps one picture per sample, and there are %zu", a->input->nimages);
  if (!st) st = fv_store_record_model(s, model, a->seed, note, err);
  if (!st) st = find_sweep(s, a, &result.sweep, err);
  if (!st) st = fv_input_new(model, a->input, &in, err);
  if (!st)
    st = find_sample(s, &name, fv_input_image_sha256(in), a->input->prompt ? a->input->prompt : a->input->question, &id,
                     err);
  if (!st) st = id ? fv_store_put_results(s, id, &result, 1, err) : put_new(s, model, a, name, in, &result, err);
  fv_input_free(in);
  free(name);
  json_decref(a->spec);
  return st;
}

fv_status fv_store_add_trace(fv_store *s, const fv_model *model, const fv_trace_options *o, const fv_trace_result *r,
                             const fv_table *table, fv_error *err) {
  addition a = {.kind = "trace",
                .sample = o->sample,
                .input = &o->input,
                .corrupt = o->corrupt,
                .ncorrupt = o->ncorrupt,
                .spec = json_object(),
                .correct = o->target,
                .correct_id = o->target ? r->answer_id : -1,
                .incorrect_id = -1,
                .answer = o->target ? NULL : r->answer,
                .answer_id = o->target ? -1 : r->answer_id,
                .clean_right = -1,
                .answer_row = -1,
                .seed = o->seed,
                .table = table};
  json_object_set_new(a.spec, "corrupt", corrupt_list(o->corrupt, o->ncorrupt));
  json_object_set_new(a.spec, "site", text_list(o->restore, o->nrestore));
  json_object_set_new(a.spec, "window", json_integer(o->window));
  json_object_set_new(a.spec, "draws", json_integer(o->draws));
  json_object_set_new(a.spec, "layer_start", json_integer(o->layer_start));
  json_object_set_new(a.spec, "noise_redraw", json_boolean(o->redraw));
  add_text(a.spec, "target", o->target);
  add_text(a.spec, "rng", o->stream == FV_STREAM_NUMPY ? "numpy" : "torch");
  json_object_set_new(a.spec, "seed", json_integer(o->seed));
  return add(s, model, &a, err);
}

fv_status fv_store_add_patch(fv_store *s, const fv_model *model, const fv_patch_options *o, const fv_patch_result *r,
                             const fv_table *table, fv_error *err) {
  addition a = {.kind = "patch",
                .sample = o->sample,
                .input = &o->input,
                .corrupt = o->corrupt,
                .ncorrupt = o->ncorrupt,
                .spec = json_object(),
                .correct = o->correct,
                .incorrect = o->incorrect,
                .correct_id = r->correct_id,
                .incorrect_id = r->incorrect_id,
                .answer = r->clean_answer,
                .answer_id = r->clean_top,
                .clean_right = o->correct ? r->clean_right : -1,
                .answer_row = r->answer_row,
                .seed = o->seed,
                .table = table};
  json_object_set_new(a.spec, "corrupt", corrupt_list(o->corrupt, o->ncorrupt));
  json_object_set_new(a.spec, "site", text_list(o->site, o->nsite));
  add_text(a.spec, "heads", o->heads), add_text(a.spec, "rows", o->rows), add_text(a.spec, "layers", o->layers);
  json_object_set_new(a.spec, "window", json_integer(o->window));
  json_object_set_new(a.spec, "draws", json_integer(o->draws));
  add_text(a.spec, "direction", o->noise ? "noise" : "denoise");
  add_text(a.spec, "answers", "own");
  json_object_set_new(a.spec, "pad_attended", json_boolean(o->pad_attended));
  add_text(a.spec, "rng", o->stream == FV_STREAM_NUMPY ? "numpy" : "torch");
  json_object_set_new(a.spec, "seed", json_integer(o->seed));
  return add(s, model, &a, err);
}
