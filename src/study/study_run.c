/* Running a study: what is missing, sample by sample, between the thread that reads pictures and the one that writes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "study/store_inside.h"
#include "study/study_sample.h"

/* Samples that took longer than this are on the disk before the next one begins: a commit takes milliseconds. */
#define WORTH_WAITING 0.5
/* Samples share a wave as long as it is no more work than this, a few tenths of a second: a kill loses a wave. Runs of
 * a very small model cost more time and memory than their operations and activations, so they are counted, too. More
 * samples in one wave than FV_AHEAD gain little. */
#define WAVE_FLOPS 12e9
#define WAVE_RUNS 4096.0

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- what is missing ---- */

static fv_status mark_stored(const fv_study *s, const fv_store *store, bool *stored, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(store, "SELECT id FROM samples", &q, err);
  while (!st && !(st = fv_store_next(store, q, &more, err)) && more) {
    int64_t id = sqlite3_column_int64(q, 0);
    if (id >= 1 && id <= (int64_t)s->pairs.count) stored[id - 1] = true;
  }
  sqlite3_finalize(q);
  return st;
}

/* Samples in a database that is only looked at; one that does not exist, or is still empty, holds none. */
static fv_status mark_stored_in(const fv_study *s, const char *path, bool *stored, fv_error *err) {
  fv_store *store;
  fv_error own = {0};
  bool known;
  fv_status st = fv_store_open(path, FV_STORE_READ, &store, &own);
  if (st == FV_ENOTFOUND) return FV_OK;
  if (st) return fv_fail(err, st, "%s", own.text);
  st = fv_study_compare(s, store, &known, err);
  if (!st && known) st = mark_stored(s, store, stored, err);
  fv_store_close(store);
  return st;
}

static char *own_path(const fv_study *s, const fv_study_options *o) {
  const char *db = o->db ? o->db : s->db;
  return o->shards ? fv_study_shard_path(db, o->shard, o->shards) : fv_strdup(db);
}

/* store: this shard's database when it is open already. */
static fv_status find_todo(const fv_study *s, const fv_study_options *o, const fv_store *store, bool *todo,
                           int64_t *mine, int64_t *stored, fv_error *err) {
  size_t n = s->pairs.count;
  *mine = *stored = 0;
  if (o->shards < 0 || (o->shards && (o->shard < 1 || o->shard > o->shards)))
    return fv_fail(err, FV_EUSAGE, "shard %lld of %lld: expected 1 to N of N", (long long)o->shard,
                   (long long)o->shards);
  bool *there = fv_alloc(n, sizeof *there);
  char *path = own_path(s, o);
  fv_status st = there && path ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = store ? mark_stored(s, store, there, err) : mark_stored_in(s, path, there, err);
  if (!st && o->shards) st = mark_stored_in(s, o->db ? o->db : s->db, there, err);
  for (size_t i = 0; i < n && !st; i++) {
    bool is_mine = !o->shards || (int64_t)(i % (size_t)o->shards) == o->shard - 1;
    todo[i] = is_mine && !there[i];
    *mine += is_mine, *stored += is_mine && there[i];
  }
  free(path), free(there);
  return st;
}

fv_status fv_study_todo(const fv_study *s, const fv_study_options *o, bool *todo, int64_t *mine, int64_t *stored,
                        fv_error *err) {
  return find_todo(s, o, NULL, todo, mine, stored, err);
}

/* ---- running ---- */

typedef struct runner {
  const fv_study *s;
  const fv_model *model;
  const fv_study_options *o;
  fv_study_result *result;
  fv_store *store;
  fv_ahead *ahead;
  fv_writer *writer;
  size_t *list, count, at, n; /* samples to compute; those of the wave that is computed: n from `at` on */
  fv_study_sample *samples[FV_AHEAD];
  double flops, runs; /* of one sample of the last wave; 0: not known */
} runner;

static bool on_progress(void *user, double done) {
  const runner *r = user;
  return r->o->progress.fn(r->o->progress.user, ((double)r->at + done * (double)r->n) / (double)r->count);
}

static void keep_reason(runner *r, const fv_record *record) {
  bool done = strcmp(record->sample.status, "done") == 0;
  r->result->done += done, r->result->excluded += !done;
  if (!done && !r->result->reason[0])
    snprintf(r->result->reason, sizeof r->result->reason, "%s: %s", record->sample.name, record->sample.reason);
}

/* How many of the samples that are left share the next wave. */
static size_t choose_count(const runner *r) {
  size_t n = FV_AHEAD, left = r->count - r->at;
  if (r->o->wave_samples > 0 && r->o->wave_samples < FV_AHEAD) n = (size_t)r->o->wave_samples;
  if (r->o->wave_samples == 0) {
    if (r->flops * FV_AHEAD > WAVE_FLOPS) n = (size_t)(WAVE_FLOPS / r->flops);
    if (r->runs * (double)n > WAVE_RUNS) n = (size_t)(WAVE_RUNS / r->runs);
    if (n == 0 || r->runs == 0.0) n = 1;
  }
  return n < left ? n : left;
}

/* Their inputs and sweeps; the pictures decoded ahead are then free for the next. */
static fv_status read_samples(runner *r, fv_bundle *bundle, fv_error *err) {
  fv_status st = FV_OK;
  fv_cost asked;
  const fv_pictures *pictures = fv_ahead_pictures(r->ahead);
  for (size_t k = 0; k < r->n && !st; k++) {
    fv_error unreadable = {0};
    double from = now();
    fv_ahead_wait(r->ahead, r->at + k, &unreadable);
    r->result->waited += now() - from;
    st = fv_study_sample_new(r->s, r->model, r->list[r->at + k], pictures, &unreadable, &r->samples[k], err);
  }
  if (!st) st = fv_study_samples_ask(r->samples, r->n, r->o->memory, false, &asked, err);
  if (!st) r->result->runs += asked.runs;
  for (size_t k = 0; k < r->n && !st; k++) {
    st = fv_study_sample_add(r->samples[k], pictures, bundle, r->o->memory, err);
    fv_ahead_done(r->ahead, r->at + k);
  }
  return st;
}

static fv_status compute_samples(runner *r, fv_bundle *bundle, fv_error *err) {
  fv_progress inner = {r->o->progress.fn ? on_progress : NULL, r};
  fv_cost cost;
  fv_status st = fv_bundle_compute(bundle, &inner, err);
  if (!st) st = fv_bundle_cost(bundle, &cost, err);
  if (!st) r->flops = cost.flops / (double)r->n, r->runs = (double)cost.runs / (double)r->n;
  for (size_t k = 0; k < r->n && !st; k++) {
    int64_t runs, cells;
    fv_study_sample_size(r->samples[k], &runs, &cells);
    r->result->runs += runs;
  }
  return st;
}

static fv_status store_samples(runner *r, double seconds, fv_error *err) {
  fv_status st = FV_OK;
  fv_record *first = NULL, **last = &first;
  for (size_t k = 0; k < r->n && !st; k++) {
    st = fv_study_sample_finish(r->samples[k], last, err);
    if (st) break;
    (*last)->sample.seconds = seconds / (double)r->n;
    last = &(*last)->next;
  }
  if (st) return fv_record_free(first), st;
  for (const fv_record *record = first; record; record = record->next) keep_reason(r, record);
  double from = now();
  st = fv_writer_put(r->writer, first, err);
  if (!st && seconds > WORTH_WAITING) st = fv_writer_wait(r->writer, err);
  r->result->waited += now() - from;
  return st;
}

static fv_status run_wave(runner *r, fv_error *err) {
  fv_bundle *bundle;
  double begun = now(), waited = r->result->waited;
  fv_status st = fv_bundle_new(r->model, r->o->memory, &bundle, err);
  if (st) return st;
  st = read_samples(r, bundle, err);
  if (!st) st = compute_samples(r, bundle, err);
  double seconds = now() - begun - (r->result->waited - waited);
  if (!st) st = store_samples(r, seconds, err);
  fv_bundle_free(bundle);
  for (size_t k = 0; k < r->n; k++) fv_study_sample_free(r->samples[k]), r->samples[k] = NULL;
  return st;
}

static fv_status run_all(runner *r, fv_error *err) {
  fv_status st = fv_writer_start(r->store, &r->writer, err);
  if (!st) st = fv_ahead_start(r->s, r->model, r->list, r->count, &r->ahead, err);
  for (; r->at < r->count && !st; r->at += r->n) {
    r->n = choose_count(r);
    if (r->o->progress.fn && !on_progress(r, 0.0)) st = fv_fail(err, FV_ECANCELLED, "stopped on request");
    if (!st) st = run_wave(r, err);
  }
  fv_ahead_stop(r->ahead);
  fv_error own = {0};
  fv_status written = fv_writer_stop(r->writer, &r->result->writing, &own);
  if (written && (!st || st == FV_ECANCELLED)) st = fv_fail(err, written, "%s", own.text);
  return st;
}

/* A study of which nothing can be used has failed; a shard may be unlucky. */
static fv_status check_usable(const runner *r, fv_error *err) {
  fv_store_counts n;
  fv_status st = fv_store_count(r->store, &n, err);
  if (st || r->o->shards || n.done > 0 || n.excluded == 0) return st;
  return fv_fail(err, FV_EFORMAT, "%s: no sample can be used; all %lld are excluded%s%s", r->s->yaml->path,
                 (long long)n.excluded, r->result->reason[0] ? ", the first: " : "", r->result->reason);
}

fv_status fv_study_run(const fv_study *s, const fv_model *model, const fv_study_options *o, fv_study_result *result,
                       fv_error *err) {
  runner r = {.s = s, .model = model, .o = o, .result = result};
  size_t n = s->pairs.count;
  bool *todo = fv_alloc(n, sizeof *todo);
  char *path = own_path(s, o);
  double from = now();
  *result = (fv_study_result){0};
  r.list = fv_alloc(n, sizeof *r.list);
  fv_status st = todo && path && r.list ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = fv_store_open(path, FV_STORE_CREATE, &r.store, err);
  if (!st) st = fv_study_record(s, model, r.store, result->note, err);
  if (!st) st = find_todo(s, o, r.store, todo, &result->samples, &result->stored, err);
  for (size_t i = 0; i < n && !st; i++)
    if (todo[i]) r.list[r.count++] = i;
  if (!st) st = run_all(&r, err);
  if (st == FV_ECANCELLED)
    fv_fail(err, st, "stopped: %lld of %lld samples are in %s; run the same again to go on",
            (long long)(result->stored + result->done + result->excluded), (long long)result->samples, path);
  if (!st) st = check_usable(&r, err);
  fv_store_close(r.store);
  result->seconds = now() - from;
  free(todo), free(r.list), free(path);
  return st;
}
