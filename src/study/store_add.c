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

const char *fv_own_corruption(const char *corrupt) {
  if (strncmp(corrupt, "image", 5) == 0 && corrupt[5 + strspn(corrupt + 5, "0123456789")] == ':') return "image";
  return strncmp(corrupt, "question:", 9) == 0 ? "question" : NULL;
}

/* The sample's own pictures and question are named by their kind, so that one sweep serves many samples. */
static json_t *corrupt_list(const char *const *corrupt, size_t n) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++)
    json_array_append_new(list,
                          json_string(fv_own_corruption(corrupt[i]) ? fv_own_corruption(corrupt[i]) : corrupt[i]));
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

/* The sample as it would be stored. Pictures behind the first are in `fields`: image2, image2_sha256, corrupt_image2,
 * corrupt_image2_sha256, image3, ... */
typedef struct draft {
  fv_store_sample x;
  json_t *fields;
  char image[PATH_MAX], corrupt[PATH_MAX], corrupt_sha256[65], *corrupt_file, *fields_text;
} draft;

static void draft_release(draft *d) {
  json_decref(d->fields);
  free(d->corrupt_file), free(d->fields_text);
}

static const char *picture_file(const addition *a, size_t i) {
  return a->input->nimages ? a->input->images[i] : a->input->image;
}

/* "STEM: question" unless it has a name; of several pictures "STEM, STEM: question". */
static char *name_of(const addition *a, const char *text) {
  if (a->sample && a->sample[0]) return fv_strdup(a->sample);
  size_t n = a->input->nimages ? a->input->nimages : 1;
  char *name = fv_strdup("");
  for (size_t i = 0; i < n && name && picture_file(a, i); i++) {
    const char *image = picture_file(a, i), *slash = strrchr(image, '/'), *stem = slash ? slash + 1 : image;
    const char *dot = strrchr(stem, '.');
    int length = dot && dot > stem ? (int)(dot - stem) : (int)strlen(stem);
    char *longer = fv_format("%s%s%.*s", name, i ? ", " : "", length, stem);
    free(name), name = longer;
  }
  if (!name) return NULL;
  char *whole = fv_format("%s%s%s", name, name[0] && text[0] ? ": " : "", name[0] || text[0] ? text : "sample");
  free(name);
  return whole;
}

/* What the first corruption that replaces picture i puts there, or NULL. */
static fv_status corrupt_file(const addition *a, size_t i, char **file, fv_error *err) {
  fv_status st = FV_OK;
  *file = NULL;
  for (size_t k = 0; k < a->ncorrupt && !*file && !st; k++) st = fv_corruption_picture(a->corrupt[k], i, file, err);
  return st;
}

/* A file's absolute name in `out`; files that cannot be found keep theirs. */
static const char *absolute(const char *path, char out[PATH_MAX]) { return path && realpath(path, out) ? out : path; }

static fv_status add_field(draft *d, const char *kind, size_t number, const char *file, fv_error *err) {
  char path[PATH_MAX], hex[65], key[64];
  if (!file) return FV_OK;
  fv_status st = fv_sha256_file(file, hex, err);
  if (st) return st;
  snprintf(key, sizeof key, "%s%zu", kind, number);
  int bad = json_object_set_new(d->fields, key, json_string(absolute(file, path)));
  snprintf(key, sizeof key, "%s%zu_sha256", kind, number);
  bad |= json_object_set_new(d->fields, key, json_string(hex));
  return bad ? no_memory(err) : FV_OK;
}

static fv_status draft_make(const addition *a, const fv_input *in, draft *d, fv_error *err) {
  const fv_input_options *o = a->input;
  fv_store_sample *x = &d->x;
  fv_store_sample_defaults(x);
  x->image = absolute(picture_file(a, 0), d->image), x->image_sha256 = fv_input_image_sha256(in);
  x->question = o->nprompts > 0 ? fv_input_text(in) : o->prompt ? o->prompt : o->question;
  x->seed = a->seed;
  x->correct = a->correct, x->incorrect = a->incorrect, x->correct_id = a->correct_id;
  x->incorrect_id = a->incorrect_id, x->answer = a->answer, x->answer_id = a->answer_id;
  x->clean_right = a->clean_right, x->answer_row = a->answer_row;
  for (size_t i = 0; i < a->ncorrupt && !x->corrupt_question; i++)
    if (strncmp(a->corrupt[i], "question:", 9) == 0) x->corrupt_question = a->corrupt[i] + 9;
  fv_status st = corrupt_file(a, 0, &d->corrupt_file, err);
  if (!st && d->corrupt_file) {
    x->corrupt_image = absolute(d->corrupt_file, d->corrupt), x->corrupt_image_sha256 = d->corrupt_sha256;
    st = fv_sha256_file(d->corrupt_file, d->corrupt_sha256, err);
  }
  if (st || o->nimages < 2) return st;
  if (!(d->fields = json_object())) return no_memory(err);
  for (size_t i = 1; i < o->nimages && !st; i++) {
    char *file;
    st = corrupt_file(a, i, &file, err);
    if (!st) st = add_field(d, "image", i + 1, o->images[i], err);
    if (!st) st = add_field(d, "corrupt_image", i + 1, file, err);
    free(file);
  }
  if (!st) x->fields = d->fields_text = json_dumps(d->fields, JSON_COMPACT | JSON_SORT_KEYS);
  return st || x->fields ? st : no_memory(err);
}

/* ---- whether a stored sample is this one ---- */

static bool same(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }
/* What only one of two experiments says does not part their samples. */
static bool agree(const char *a, const char *b) { return !a || !*a || !b || !*b || strcmp(a, b) == 0; }

static const char *field(const json_t *fields, const char *kind, size_t number) {
  char key[64];
  snprintf(key, sizeof key, "%s%zu_sha256", kind, number);
  return json_string_value(json_object_get(fields, key));
}

static bool same_pictures(const json_t *have, const json_t *want) {
  for (size_t i = 2;; i++) {
    const char *a = field(have, "image", i), *b = field(want, "image", i);
    if (!a && !b) return true;
    if (!same(a, b) || !agree(field(have, "corrupt_image", i), field(want, "corrupt_image", i))) return false;
  }
}

static bool replaces(const char *corruption, size_t i) {
  char *file = NULL;
  (void)fv_corruption_picture(corruption, i, &file, NULL);
  free(file);
  return file != NULL;
}

/* Whether a stored corruption is one of the command's. The only one of its kind has the sample's files or text, which
 * agree, however they are spelled. */
static bool given(const addition *a, const char *stored) {
  const char *kind = fv_own_corruption(stored);
  size_t of_kind = 0, last = 0;
  for (size_t i = 0; i < a->ncorrupt; i++) {
    const char *own = fv_own_corruption(a->corrupt[i]);
    if (same(stored, a->corrupt[i])) return true;
    if (kind && own && strcmp(kind, own) == 0) of_kind++, last = i;
  }
  bool alike = of_kind == 1;
  for (size_t k = 0; alike && k < a->input->nimages; k++) alike = replaces(stored, k) == replaces(a->corrupt[last], k);
  return alike || a->ncorrupt == 0; /* none given: the model's own */
}

/* Whether what the sample has of this sweep is the same experiment, which is replaced: other corruptions or answers
 * make it another sample. */
static fv_status same_results(fv_store *s, const addition *a, int64_t sample, int64_t sweep, bool *yes, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(
      s, "SELECT corrupt, answer_id, clean_logit_diff IS NOT NULL FROM bases WHERE sample_id = ? AND sweep_id = ?", &q,
      err);
  if (!st) sqlite3_bind_int64(q, 1, sample), sqlite3_bind_int64(q, 2, sweep);
  int64_t followed = a->correct_id >= 0 ? a->correct_id : a->answer_id;
  while (!st && *yes && !(st = fv_store_next(s, q, &more, err)) && more) {
    *yes = given(a, fv_store_text(q, 0)) && sqlite3_column_int64(q, 1) == followed &&
           sqlite3_column_int(q, 2) == (a->incorrect_id >= 0);
  }
  sqlite3_finalize(q);
  return st;
}

/* A sample with this name that is this one; another that has the name makes it "NAME (2)". *id 0: none yet. */
static fv_status find_sample(fv_store *s, const addition *a, int64_t sweep, draft *d, char **name, int64_t *id,
                             fv_error *err) {
  sqlite3_stmt *q = NULL;
  char *first = *name;
  *id = 0;
  fv_status st = fv_store_prepare(s,
                                  "SELECT id, image_sha256, question, corrupt_image_sha256, corrupt_question, correct,"
                                  " incorrect, fields FROM samples WHERE name = ?",
                                  &q, err);
  for (int n = 2; !st; n++) {
    bool more = false, fits = false;
    sqlite3_bind_text(q, 1, *name, -1, SQLITE_TRANSIENT);
    st = fv_store_next(s, q, &more, err);
    if (!st && more) {
      json_t *fields = json_loads(fv_store_text(q, 7), 0, NULL);
      fits = same(fv_store_text(q, 1), d->x.image_sha256) && same(fv_store_text(q, 2), d->x.question) &&
             agree(fv_store_text(q, 3), d->x.corrupt_image_sha256) &&
             agree(fv_store_text(q, 4), d->x.corrupt_question) && agree(fv_store_text(q, 5), d->x.correct) &&
             agree(fv_store_text(q, 6), d->x.incorrect) && same_pictures(fields, d->fields);
      *id = sqlite3_column_int64(q, 0);
      json_decref(fields);
    }
    sqlite3_reset(q);
    if (!st && fits) st = same_results(s, a, *id, sweep, &fits, err);
    if (st || !more || fits) break;
    *id = 0;
    if (*name != first) free(*name);
    if (!(*name = fv_format("%s (%d)", first, n))) st = no_memory(err), *name = first;
  }
  sqlite3_finalize(q);
  if (*name != first) free(first);
  return st;
}

/* Adds what the sample does not have yet; a study's own samples stay as they are. */
static fv_status complete(fv_store *s, int64_t id, const draft *d, fv_error *err) {
  const fv_store_sample *x = &d->x;
  sqlite3_stmt *q = NULL;
  if (id <= FV_STORE_OWN_SAMPLES) return FV_OK;
  fv_status st = fv_store_prepare(
      s,
      "UPDATE samples SET corrupt_image = coalesce(corrupt_image, ?2),"
      " corrupt_image_sha256 = coalesce(corrupt_image_sha256, ?3), corrupt_question = coalesce(corrupt_question, ?4),"
      " correct = coalesce(correct, ?5), incorrect = coalesce(incorrect, ?6), answer = coalesce(answer, ?7),"
      " fields = CASE WHEN ?8 IS NULL THEN fields ELSE json_patch(coalesce(fields, '{}'), ?8) END,"
      " correct_id = coalesce(correct_id, ?9), incorrect_id = coalesce(incorrect_id, ?10),"
      " answer_id = coalesce(answer_id, ?11), clean_right = coalesce(clean_right, ?12),"
      " answer_row = coalesce(answer_row, ?13) WHERE id = ?1",
      &q, err);
  if (st) return st;
  const char *const texts[] = {
      x->corrupt_image, x->corrupt_image_sha256, x->corrupt_question, x->correct, x->incorrect, x->answer, x->fields};
  const int64_t numbers[] = {x->correct_id, x->incorrect_id, x->answer_id, x->clean_right, x->answer_row};
  sqlite3_bind_int64(q, 1, id);
  for (int i = 0; i < 7; i++) fv_store_bind_text(q, 2 + i, texts[i]);
  for (int i = 0; i < 5; i++) fv_store_bind_count(q, 9 + i, numbers[i]);
  st = fv_store_step(s, q, err);
  sqlite3_finalize(q);
  return st;
}

static fv_status put_new(fv_store *s, const fv_model *model, draft *d, const char *name, const fv_input *in,
                         const fv_store_result *result, fv_error *err) {
  fv_store_row *rows = NULL;
  fv_row_info *infos = NULL;
  fv_store_sample *x = &d->x;
  fv_status st = fv_store_integer(s, "SELECT max(id) FROM samples", &x->id, err);
  x->id = (x->id < FV_STORE_OWN_SAMPLES ? FV_STORE_OWN_SAMPLES : x->id) + 1;
  x->name = name;
  if (!st) st = fv_sample_rows(model, in, &rows, &infos, &x->nrows, err);
  x->rows = rows;
  if (!st) st = fv_store_put(s, x, result, 1, err);
  free(rows), free(infos);
  return st;
}

static fv_status add(fv_store *s, const fv_model *model, const addition *a, fv_error *err) {
  char note[512], *name = NULL;
  fv_input *in = NULL;
  fv_store_result result = {.table = a->table};
  draft d = {0};
  int64_t id = 0;
  fv_status st = a->spec ? FV_OK : no_memory(err);
  if (!st) st = fv_store_record_model(s, model, a->seed, note, err);
  if (!st) st = find_sweep(s, a, &result.sweep, err);
  if (!st) st = fv_input_new(model, a->input, &in, err);
  if (!st) st = draft_make(a, in, &d, err);
  if (!st && !(name = name_of(a, d.x.question ? d.x.question : ""))) st = no_memory(err);
  if (!st) st = find_sample(s, a, result.sweep, &d, &name, &id, err);
  if (!st && id) st = complete(s, id, &d, err);
  if (!st) st = id ? fv_store_put_results(s, id, &result, 1, err) : put_new(s, model, &d, name, in, &result, err);
  fv_input_free(in);
  draft_release(&d);
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
  if (o->llava_hs_into_module) json_object_set_new(a.spec, "llava_hs_into_module", json_true());
  if (o->keep_degenerate) json_object_set_new(a.spec, "keep_degenerate", json_true());
  add_text(a.spec, "rng", o->stream == FV_STREAM_NUMPY ? "numpy" : "torch");
  json_object_set_new(a.spec, "seed", json_integer(o->seed));
  return add(s, model, &a, err);
}
