#include "study/study_sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/answer.h"

typedef struct job {
  const fv_study *s;
  const fv_model *model;
  size_t i;
  const fv_pair *pair;
  const fv_pictures *pictures;
  size_t memory;
  const fv_progress *progress;
  size_t sweep; /* that is computed */
  fv_record *r;
  int64_t *runs;
} job;

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the sample"); }

/* ---- what is known before computing ---- */

static fv_status describe(job *j, fv_error *err) {
  fv_record *r = j->r;
  const fv_pair *p = j->pair;
  fv_store_sample *x = &r->sample;
  fv_store_sample_defaults(x);
  x->id = (int64_t)j->i + 1, x->name = p->sample, x->group = p->group, x->label = p->label;
  x->correct_first = p->correct_first, x->seed = fv_study_seed(j->s, j->i);
  x->image = fv_study_inner_path(j->s, p->image), x->corrupt_image = fv_study_inner_path(j->s, p->corrupt_image);
  x->question = p->prompt ? p->prompt : p->question, x->corrupt_question = p->corrupt_question;
  x->correct = p->correct, x->incorrect = p->incorrect;
  if (p->nfields) {
    json_t *fields = json_object();
    for (size_t k = 0; k < p->nfields; k++)
      json_object_set_new(fields, p->field_names[k], json_string(p->field_values[k]));
    r->fields = json_dumps(fields, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(fields);
    if (!r->fields) return no_memory(err);
    x->fields = r->fields;
  }
  return FV_OK;
}

static void drop_results(fv_record *r) {
  for (size_t i = 0; i < r->nresults; i++) fv_table_free((fv_table *)(uintptr_t)r->results[i].table);
  r->nresults = 0;
}

static fv_status exclude(job *j, const char *reason, fv_error *err) {
  drop_results(j->r);
  free(j->r->reason);
  j->r->sample.status = "excluded";
  j->r->sample.reason = j->r->reason = fv_strdup(reason);
  return j->r->reason ? FV_OK : no_memory(err);
}

static bool excluded(const job *j) { return j->r->reason != NULL; }

/* Reasons are read on other machines, too: files within the study's folder are named without it. */
static fv_status exclude_by(job *j, fv_status st, const char *prefix, const fv_error *own, fv_error *err) {
  if (!fv_study_excludes(st)) return fv_fail(err, st, "sample \"%s\": %s", j->pair->sample, own->text);
  char *folder = fv_format("%s/", j->s->folder), *text = fv_format("%s%s", prefix, own->text), *at;
  fv_status result = folder && text ? FV_OK : no_memory(err);
  size_t n = folder ? strlen(folder) : 0;
  for (char *from = text; !result && (at = strstr(from, folder)); from = at) memmove(at, at + n, strlen(at + n) + 1);
  if (!result) result = exclude(j, text, err);
  free(folder), free(text);
  return result;
}

static fv_status read_inputs(job *j, fv_input **clean, fv_error *err) {
  fv_sample_options o;
  fv_error own = {0};
  fv_status st = fv_sample_options_make(j->s, NULL, j->i, &o, err);
  if (st) return st;
  o.input.pictures = j->pictures;
  st = fv_input_new(j->model, &o.input, clean, &own);
  if (st) return exclude_by(j, st, "", &own, err);
  snprintf(j->r->image_sha256, sizeof j->r->image_sha256, "%s", fv_input_image_sha256(*clean));
  j->r->sample.image_sha256 = j->r->image_sha256;
  fv_input_options other = o.input;
  other.image = j->pair->corrupt_image;
  if (other.image && fv_pictures_sha256(j->pictures, &other, j->r->corrupt_sha256))
    j->r->sample.corrupt_image_sha256 = j->r->corrupt_sha256;
  st = fv_sample_rows(j->model, *clean, &j->r->rows, &j->r->infos, &j->r->sample.nrows, err);
  j->r->sample.rows = j->r->rows;
  return st;
}

static fv_status read_answers(job *j, const fv_input *clean, fv_error *err) {
  fv_error own = {0};
  int32_t correct = -1, incorrect = -1;
  fv_status st = j->pair->correct ? fv_input_answer_id(clean, j->pair->correct, &correct, &own) : FV_OK;
  if (!st && j->pair->incorrect) st = fv_input_answer_id(clean, j->pair->incorrect, &incorrect, &own);
  if (st) return exclude_by(j, st, "", &own, err);
  j->r->sample.correct_id = correct, j->r->sample.incorrect_id = incorrect;
  if (correct < 0 || correct != incorrect) return FV_OK;
  fv_fail(&own, FV_EUSAGE, "the answers \"%s\" and \"%s\" begin with the same token", j->pair->correct,
          j->pair->incorrect);
  return exclude(j, own.text, err);
}

/* ---- the clean run's own answer, for studies that want it to be right ---- */

static fv_status find_top(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  int32_t *id = user;
  *id = 0;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[*id]) *id = (int32_t)v;
  return FV_OK;
}

static fv_status require_right(job *j, const fv_input *clean, fv_error *err) {
  fv_wave_options o = {.memory = j->memory};
  fv_wave *w = NULL;
  fv_error own = {0};
  int32_t top = -1;
  int run;
  if (!j->pair->correct) return exclude(j, "has no correct answer, which require_right needs", err);
  fv_status st = fv_wave_new(j->model, &o, &w, &own);
  if (!st) st = fv_wave_run(w, -1, clean, &run, &own);
  if (!st) st = fv_wave_readout(w, run, find_top, &top, &own);
  if (!st) st = fv_wave_compute(w, NULL, &own);
  fv_wave_free(w);
  if (st) return exclude_by(j, st, "", &own, err);
  ++*j->runs;
  const char *said = fv_input_piece(clean, top);
  j->r->sample.answer_id = top, j->r->sample.clean_right = top == j->r->sample.correct_id;
  if (!(j->r->answer = fv_strdup(said ? said : ""))) return no_memory(err);
  j->r->sample.answer = j->r->answer;
  if (j->r->sample.clean_right) return FV_OK;
  fv_fail(&own, FV_EMISMATCH, "the clean run answers \"%s\", not \"%s\"", said ? said : "", j->pair->correct);
  return exclude(j, own.text, err);
}

/* ---- sweeps ---- */

static bool on_progress(void *user, double done) {
  const job *j = user;
  return j->progress->fn(j->progress->user, ((double)j->sweep + done) / (double)j->s->nsweeps);
}

static fv_status keep_answer(job *j, int32_t id, const char *answer, fv_error *err) {
  if (j->r->answer) return FV_OK;
  j->r->sample.answer_id = id;
  j->r->sample.answer = j->r->answer = fv_strdup(answer ? answer : "");
  if (j->r->sample.correct_id >= 0) j->r->sample.clean_right = id == j->r->sample.correct_id;
  return j->r->answer ? FV_OK : no_memory(err);
}

static fv_status run_patch(job *j, const fv_study_sweep *w, const fv_sample_options *o, fv_sink sink,
                           const fv_progress *progress, fv_error *own, fv_error *err) {
  fv_patch_options options;
  fv_patch_result result = {0};
  fv_study_patch_options(j->s, w, o, j->i, j->memory, &options);
  fv_status st = fv_patch(j->model, &options, sink, progress, &result, own), kept = FV_OK;
  if (!st) {
    *j->runs += result.runs;
    kept = keep_answer(j, result.clean_top, result.clean_answer, err);
    if (!w->answers) j->r->sample.answer_row = result.answer_row;
  }
  fv_patch_release(&result);
  return st ? st : kept;
}

static fv_status run_trace(job *j, const fv_study_sweep *w, const fv_sample_options *o, fv_sink sink,
                           const fv_progress *progress, fv_error *own, fv_error *err) {
  fv_trace_options options;
  fv_trace_result result = {0};
  fv_study_trace_options(j->s, w, o, j->i, j->memory, &options);
  fv_status st = fv_trace(j->model, &options, sink, progress, &result, own), kept = FV_OK;
  if (!st) *j->runs += result.runs;
  if (!st && !options.target) kept = keep_answer(j, result.answer_id, result.answer, err);
  fv_trace_release(&result);
  return st ? st : kept;
}

/* A picture's corruption says which file, for the experiment as it is opened here, and for the rows as the study names
 * it: results do not depend on where a study lies. */
typedef struct renaming {
  const fv_study *s;
  const fv_sample_options *o;
  char **names; /* per corruption */
  fv_sink sink;
} renaming;

static fv_status rename_row(void *user, const fv_row *row, fv_error *err) {
  const renaming *r = user;
  fv_row renamed = *row;
  for (size_t i = 0; row->corrupt && i < r->o->corrupt.count; i++)
    if (strcmp(row->corrupt, r->o->corrupt.items[i]) == 0) renamed.corrupt = r->names[i];
  return r->sink.row(r->sink.user, &renamed, err);
}

static fv_status start_renaming(renaming *r, fv_error *err) {
  if (!(r->names = fv_alloc(r->o->corrupt.count, sizeof *r->names))) return no_memory(err);
  for (size_t i = 0; i < r->o->corrupt.count; i++) {
    const char *text = r->o->corrupt.items[i];
    bool image = strncmp(text, "image:", 6) == 0;
    r->names[i] = image ? fv_format("image:%s", fv_study_inner_path(r->s, text + 6)) : fv_strdup(text);
    if (!r->names[i]) return no_memory(err);
  }
  return FV_OK;
}

static void end_renaming(renaming *r) {
  for (size_t i = 0; r->names && i < r->o->corrupt.count; i++) free(r->names[i]);
  free(r->names);
}

/* The experiment itself; *own is its failure, err that of keeping its results. */
static fv_status run_kind(job *j, const fv_study_sweep *w, const fv_sample_options *o, fv_table *table, fv_error *own,
                          fv_error *err) {
  fv_progress progress = {on_progress, j};
  const fv_progress *inner = j->progress->fn ? &progress : NULL;
  renaming r = {j->s, o, NULL, fv_table_sink(table)};
  fv_sink sink = {&r, rename_row};
  fv_status st = start_renaming(&r, err);
  if (!st)
    st = w->kind == FV_STUDY_PATCH ? run_patch(j, w, o, sink, inner, own, err)
                                   : run_trace(j, w, o, sink, inner, own, err);
  end_renaming(&r);
  return st;
}

static fv_status run_sweep(job *j, const fv_study_sweep *w, fv_error *err) {
  fv_sample_options o;
  fv_error own = {0};
  fv_table *table = NULL;
  char *prefix = fv_format("sweep \"%s\": ", w->name);
  fv_status st = fv_sample_options_make(j->s, w, j->i, &o, err);
  if (st || !prefix) return free(prefix), st ? st : no_memory(err);
  o.input.pictures = j->pictures;
  bool needs_target = w->kind == FV_STUDY_TRACE && w->target && !o.correct;
  if (o.missing || needs_target) {
    fv_fail(&own, FV_EFORMAT, "the sample has no %s", o.missing ? o.missing : "correct answer");
    st = exclude_by(j, FV_EFORMAT, prefix, &own, err);
  } else if (!(st = fv_table_new(&table, err))) {
    j->r->results[j->r->nresults++] = (fv_store_result){(int64_t)j->sweep + 1, table};
    st = run_kind(j, w, &o, table, &own, err);
    /* A control may draw a pair of answers that cannot be told apart; it then has no rows of this sample. */
    if (st == FV_EUSAGE && w->answers)
      st = FV_OK;
    else if (st && own.text[0])
      st = exclude_by(j, st, prefix, &own, err);
  }
  fv_sample_options_release(&o);
  free(prefix);
  return st;
}

static fv_status compute(job *j, fv_error *err) {
  fv_input *clean = NULL;
  fv_status st = read_inputs(j, &clean, err);
  if (!st && !excluded(j)) st = read_answers(j, clean, err);
  if (!st && !excluded(j) && j->s->require_right) st = require_right(j, clean, err);
  for (j->sweep = 0; j->sweep < j->s->nsweeps && !st && !excluded(j); j->sweep++)
    st = run_sweep(j, &j->s->sweeps[j->sweep], err);
  fv_input_free(clean);
  return st;
}

fv_status fv_study_sample(const fv_study *s, const fv_model *model, size_t i, const fv_pictures *pictures,
                          size_t memory, const fv_error *unreadable, const fv_progress *progress, fv_record **out,
                          int64_t *runs, fv_error *err) {
  job j = {.s = s,
           .model = model,
           .i = i,
           .pair = &s->pairs.list[i],
           .pictures = pictures,
           .memory = memory,
           .progress = progress,
           .runs = runs};
  j.r = fv_alloc(1, sizeof *j.r);
  if (!j.r || !(j.r->results = fv_alloc(s->nsweeps, sizeof *j.r->results))) return free(j.r), no_memory(err);
  fv_status st = describe(&j, err);
  if (!st && unreadable->status) st = exclude_by(&j, unreadable->status, "", unreadable, err);
  if (!st && !excluded(&j)) st = compute(&j, err);
  if (st) return fv_record_free(j.r), st;
  *out = j.r;
  return FV_OK;
}
