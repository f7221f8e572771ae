#include "study/study_sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/answer.h"

/* One sweep of the sample. */
typedef struct part {
  const fv_study_sweep *how;
  fv_sample_options o;
  fv_patch_options patch; /* these borrow from `o` */
  fv_trace_options trace;
  fv_table *table; /* owned by the record */
  fv_sweep sweep;
  bool computed; /* together with the others of its bundle */
} part;

struct fv_study_sample {
  const fv_study *s;
  const fv_model *model;
  size_t i;
  const fv_pair *pair;
  fv_record *r;
  fv_input *clean;
  int32_t top; /* the clean run's own answer, when it was asked for */
  part *parts; /* per sweep */
};

typedef fv_study_sample job;

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

static fv_status read_inputs(job *j, const fv_pictures *pictures, fv_error *err) {
  fv_sample_options o;
  fv_error own = {0};
  fv_status st = fv_sample_options_make(j->s, NULL, j->i, &o, err);
  if (st) return st;
  o.input.pictures = pictures;
  st = fv_input_new(j->model, &o.input, &j->clean, &own);
  if (st) return exclude_by(j, st, "", &own, err);
  snprintf(j->r->image_sha256, sizeof j->r->image_sha256, "%s", fv_input_image_sha256(j->clean));
  j->r->sample.image_sha256 = j->r->image_sha256;
  fv_input_options other = o.input;
  other.image = j->pair->corrupt_image;
  if (other.image && pictures && fv_pictures_sha256(pictures, &other, j->r->corrupt_sha256))
    j->r->sample.corrupt_image_sha256 = j->r->corrupt_sha256;
  st = fv_sample_rows(j->model, j->clean, &j->r->rows, &j->r->infos, &j->r->sample.nrows, err);
  j->r->sample.rows = j->r->rows;
  return st;
}

static fv_status read_answers(job *j, fv_error *err) {
  fv_error own = {0};
  int32_t correct = -1, incorrect = -1;
  fv_status st = j->pair->correct ? fv_input_answer_id(j->clean, j->pair->correct, &correct, &own) : FV_OK;
  if (!st && j->pair->incorrect) st = fv_input_answer_id(j->clean, j->pair->incorrect, &incorrect, &own);
  if (st) return exclude_by(j, st, "", &own, err);
  j->r->sample.correct_id = correct, j->r->sample.incorrect_id = incorrect;
  if (correct < 0 || correct != incorrect || j->s->keep_degenerate) return FV_OK;
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

static fv_status ask_clean(job *j, fv_wave *w, fv_error *err) {
  fv_error own = {0};
  int run;
  if (!j->pair->correct) return exclude(j, "has no correct answer, which require_right needs", err);
  fv_status st = fv_wave_run(w, -1, j->clean, &run, &own);
  if (!st) st = fv_wave_readout(w, run, find_top, &j->top, &own);
  return st ? exclude_by(j, st, "", &own, err) : FV_OK;
}

static fv_status judge_clean(job *j, fv_error *err) {
  const char *said = fv_input_piece(j->clean, j->top);
  j->r->sample.answer_id = j->top, j->r->sample.clean_right = j->top == j->r->sample.correct_id;
  if (!(j->r->answer = fv_strdup(said ? said : ""))) return no_memory(err);
  j->r->sample.answer = j->r->answer;
  if (j->r->sample.clean_right) return FV_OK;
  fv_error own = {0};
  fv_fail(&own, FV_EMISMATCH, "the clean run answers \"%s\", not \"%s\"", said ? said : "", j->pair->correct);
  return exclude(j, own.text, err);
}

fv_status fv_study_samples_ask(fv_study_sample *const *samples, size_t n, size_t memory, bool only_cost, fv_cost *cost,
                               fv_error *err) {
  fv_wave_options o = {.memory = memory};
  fv_wave *w = NULL;
  *cost = (fv_cost){0};
  if (n == 0 || !samples[0]->s->require_right) return FV_OK;
  fv_status st = fv_wave_new(samples[0]->model, &o, &w, err);
  for (size_t k = 0; k < n && !st; k++)
    if (!excluded(samples[k])) st = ask_clean(samples[k], w, err);
  if (!st && !only_cost) st = fv_wave_compute(w, NULL, err);
  if (!st) st = fv_wave_cost(w, cost, err);
  fv_wave_free(w);
  for (size_t k = 0; k < n && !st && !only_cost; k++)
    if (!excluded(samples[k])) st = judge_clean(samples[k], err);
  return st;
}

/* ---- sweeps ---- */

static fv_status keep_answer(job *j, int32_t id, const char *answer, fv_error *err) {
  if (j->r->answer) return FV_OK;
  j->r->sample.answer_id = id;
  j->r->sample.answer = j->r->answer = fv_strdup(answer ? answer : "");
  if (j->r->sample.correct_id >= 0) j->r->sample.clean_right = id == j->r->sample.correct_id;
  return j->r->answer ? FV_OK : no_memory(err);
}

/* What a sweep's own failure means for its sample. */
static fv_status part_fails(job *j, part *p, fv_status st, const fv_error *own, fv_error *err) {
  /* A control may draw a pair of answers that cannot be told apart; it then has no rows of this sample. */
  p->computed = false;
  if (st == FV_EUSAGE && p->how->answers) return FV_OK;
  char *prefix = fv_format("sweep \"%s\": ", p->how->name);
  st = prefix ? exclude_by(j, st, prefix, own, err) : no_memory(err);
  free(prefix);
  return st;
}

static fv_status prepare_part(job *j, part *p, const fv_pictures *pictures, size_t memory, fv_error *err) {
  fv_error own = {0};
  fv_status st = fv_sample_options_make(j->s, p->how, j->i, &p->o, err);
  if (st) return st;
  p->o.input.pictures = pictures;
  bool patch = p->how->kind == FV_STUDY_PATCH, needs_target = !patch && p->how->target && !p->o.correct;
  if (p->o.missing || needs_target) {
    fv_fail(&own, FV_EFORMAT, "the sample has no %s", p->o.missing ? p->o.missing : "correct answer");
    return part_fails(j, p, FV_EFORMAT, &own, err);
  }
  st = fv_table_new(&p->table, err);
  if (st) return st;
  j->r->results[j->r->nresults++] = (fv_store_result){p - j->parts + 1, p->table};
  if (patch) {
    fv_study_patch_options(j->s, p->how, &p->o, j->i, memory, &p->patch);
    st = fv_patch_prepare(j->model, &p->patch, &p->sweep, &own);
  } else {
    fv_study_trace_options(j->s, p->how, &p->o, j->i, memory, &p->trace);
    st = fv_trace_prepare(j->model, &p->trace, &p->sweep, &own);
  }
  p->computed = !st;
  return st ? part_fails(j, p, st, &own, err) : FV_OK;
}

fv_status fv_study_sample_add(fv_study_sample *j, const fv_pictures *pictures, fv_bundle *bundle, size_t memory,
                              fv_error *err) {
  fv_status st = FV_OK;
  for (size_t k = 0; k < j->s->nsweeps && !st && !excluded(j); k++)
    st = prepare_part(j, &j->parts[k], pictures, memory, err);
  for (size_t k = 0; k < j->s->nsweeps && !st && !excluded(j); k++) {
    fv_error own = {0};
    part *p = &j->parts[k];
    fv_status fails = p->computed ? fv_bundle_add(bundle, &p->sweep, &own) : FV_OK;
    if (fails) st = part_fails(j, p, fails, &own, err);
  }
  return st;
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

static fv_status finish_patch(job *j, const part *p, fv_sink sink, fv_error *err) {
  fv_patch_result result = {0};
  fv_status st = fv_patch_finish(&p->sweep, &p->patch, sink, &result, err);
  if (!st) st = keep_answer(j, result.clean_top, result.clean_answer, err);
  if (!st && !p->how->answers) j->r->sample.answer_row = result.answer_row;
  fv_patch_release(&result);
  return st;
}

static fv_status finish_trace(job *j, const part *p, fv_sink sink, fv_error *err) {
  fv_trace_result result = {0};
  fv_status st = fv_trace_finish(&p->sweep, &p->trace, sink, &result, err);
  if (!st && !p->trace.target) st = keep_answer(j, result.answer_id, result.answer, err);
  fv_trace_release(&result);
  return st;
}

static fv_status finish_part(job *j, part *p, fv_error *err) {
  fv_error own = {0};
  renaming r = {j->s, &p->o, NULL, fv_table_sink(p->table)};
  fv_sink sink = {&r, rename_row};
  if (p->sweep.failure.status) return part_fails(j, p, p->sweep.failure.status, &p->sweep.failure, err);
  fv_status st = start_renaming(&r, &own);
  if (!st && p->how->kind == FV_STUDY_PATCH) st = finish_patch(j, p, sink, &own);
  if (!st && p->how->kind == FV_STUDY_TRACE) st = finish_trace(j, p, sink, &own);
  end_renaming(&r);
  return st ? part_fails(j, p, st, &own, err) : FV_OK;
}

/* ---- the whole ---- */

fv_status fv_study_sample_new(const fv_study *s, const fv_model *model, size_t i, const fv_pictures *pictures,
                              const fv_error *unreadable, fv_study_sample **out, fv_error *err) {
  job *j = *out = fv_alloc(1, sizeof *j);
  if (!j) return no_memory(err);
  *j = (job){.s = s, .model = model, .i = i, .pair = &s->pairs.list[i], .top = -1};
  j->r = fv_alloc(1, sizeof *j->r), j->parts = fv_alloc(s->nsweeps, sizeof *j->parts);
  if (j->r) j->r->results = fv_alloc(s->nsweeps, sizeof *j->r->results);
  fv_status st = j->r && j->r->results && j->parts ? describe(j, err) : no_memory(err);
  for (size_t k = 0; k < s->nsweeps && !st; k++) j->parts[k].how = &s->sweeps[k];
  if (!st && unreadable && unreadable->status) st = exclude_by(j, unreadable->status, "", unreadable, err);
  if (!st && !excluded(j)) st = read_inputs(j, pictures, err);
  if (!st && !excluded(j)) st = read_answers(j, err);
  if (st) fv_study_sample_free(j), *out = NULL;
  return st;
}

fv_status fv_study_sample_finish(fv_study_sample *j, fv_record **out, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t k = 0; k < j->s->nsweeps && !st && !excluded(j); k++)
    if (j->parts[k].computed) st = finish_part(j, &j->parts[k], err);
  if (st) return st;
  *out = j->r;
  j->r = NULL;
  return FV_OK;
}

void fv_study_sample_size(const fv_study_sample *j, int64_t *runs, int64_t *cells) {
  *runs = *cells = 0;
  for (size_t k = 0; k < j->s->nsweeps; k++) {
    const fv_sweep *sweep = &j->parts[k].sweep;
    *runs += sweep->runs, *cells += (int64_t)sweep->nseries * sweep->ncells;
  }
}

const char *fv_study_sample_reason(const fv_study_sample *j) { return j->r->reason; }

void fv_study_sample_free(fv_study_sample *j) {
  if (!j) return;
  for (size_t k = 0; j->parts && k < j->s->nsweeps; k++) {
    fv_sweep_release(&j->parts[k].sweep);
    fv_sample_options_release(&j->parts[k].o);
  }
  fv_input_free(j->clean);
  fv_record_free(j->r);
  free(j->parts), free(j);
}
