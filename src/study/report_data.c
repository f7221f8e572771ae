#include "study/report_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/store_inside.h"

/* More groups than this are not a grouping. */
enum { GROUPS_MAX = 12 };

void fv_report_defaults(fv_report_options *options) {
  *options = (fv_report_options){
      .listed = 5000, .pictures = 200, .maps = 200, .numbers = 600000, .side = 112, .threshold = 2.0};
}

void fv_report_release(fv_report *r) {
  for (size_t i = 0; i < r->nsamples; i++) fv_report_kept_release(&r->samples[i].kept), free(r->samples[i].pictures);
  free(r->facts), free(r->sweeps), free(r->checks), free(r->samples), free(r->groups);
  fv_report_maps_release(&r->maps);
  fv_text_pool_release(&r->strings);
  *r = (fv_report){0};
}

/* Replaces each of these texts by the pool's copy. */
static fv_status keep_texts(fv_report *r, const char **texts[], size_t n, fv_error *err) {
  fv_status st = FV_OK;
  for (size_t i = 0; i < n && !st; i++) st = fv_text_pool_add(&r->strings, *texts[i], texts[i], err);
  return st;
}
#define KEEP_TEXTS(r, err, ...) \
  keep_texts(r, (const char **[]){__VA_ARGS__}, sizeof((const char **[]){__VA_ARGS__}) / sizeof(const char **), err)

fv_status fv_report_add_fact(fv_report *r, const char *name, const char *value, fv_error *err) {
  fv_report_fact fact = {name, value};
  fv_status st = KEEP_TEXTS(r, err, &fact.name, &fact.value);
  if (st || !value || !*value) return st;
  if (!fv_grow(&r->facts, &r->facts_capacity, r->nfacts + 1, sizeof fact)) return fv_fail(err, FV_ENOMEM, "no memory");
  r->facts[r->nfacts++] = fact;
  return FV_OK;
}

fv_status fv_report_add_sweep(fv_report *r, const char *name, const char *kind, const char *spec, fv_error *err) {
  fv_report_sweep sweep = {name, kind, spec};
  fv_status st = KEEP_TEXTS(r, err, &sweep.name, &sweep.kind, &sweep.spec);
  if (st) return st;
  if (!fv_grow(&r->sweeps, &r->sweeps_capacity, r->nsweeps + 1, sizeof sweep))
    return fv_fail(err, FV_ENOMEM, "no memory");
  r->sweeps[r->nsweeps++] = sweep;
  return FV_OK;
}

fv_status fv_report_add_check(fv_report *r, const fv_report_check *check, fv_error *err) {
  fv_report_check c = *check;
  fv_status st = KEEP_TEXTS(r, err, &c.name, &c.sweep, &c.what, &c.spec, &c.created);
  if (st) return st;
  if (!fv_grow(&r->checks, &r->checks_capacity, r->nchecks + 1, sizeof c)) return fv_fail(err, FV_ENOMEM, "no memory");
  r->checks[r->nchecks++] = c;
  return FV_OK;
}

static fv_status group_index(fv_report *r, const char *group, int64_t *out, fv_error *err) {
  *out = -1;
  if (!group || !*group) return FV_OK;
  for (size_t i = 0; i < r->ngroups; i++)
    if (r->groups[i] == group) return *out = (int64_t)i, FV_OK;
  if (!fv_grow(&r->groups, &r->groups_capacity, r->ngroups + 1, sizeof *r->groups))
    return fv_fail(err, FV_ENOMEM, "no memory");
  r->groups[r->ngroups] = group;
  *out = (int64_t)r->ngroups++;
  return FV_OK;
}

static fv_status keep_pictures(fv_report *r, const fv_report_sample *from, fv_report_picture **out, fv_error *err) {
  fv_report_picture *list = *out = fv_alloc(from->npictures, sizeof *list);
  fv_status st = list ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < from->npictures && !st; i++) {
    fv_report_picture *p = &list[i];
    *p = from->pictures[i];
    st = KEEP_TEXTS(r, err, &p->image, &p->corrupt_image, &p->image_sha256, &p->corrupt_image_sha256);
  }
  if (st) free(list), *out = NULL;
  return st;
}

fv_status fv_report_add_sample(fv_report *r, const fv_report_sample *sample, fv_error *err) {
  fv_report_sample s = *sample;
  fv_status st = KEEP_TEXTS(r, err, &s.name, &s.status, &s.reason, &s.group, &s.label, &s.question, &s.corrupt_question,
                            &s.correct, &s.incorrect, &s.answer);
  if (!st) st = group_index(r, s.group, &s.group_index, err);
  if (!st) st = keep_pictures(r, sample, &s.pictures, err);
  if (st) return st;
  s.prob = s.logit_diff = (fv_report_base){0};
  if (!fv_grow(&r->samples, &r->samples_capacity, r->nsamples + 1, sizeof s))
    return free(s.pictures), fv_fail(err, FV_ENOMEM, "no memory for %zu samples", r->nsamples + 1);
  r->samples[r->nsamples++] = s;
  return FV_OK;
}

static bool is_done(const fv_report_sample *s) { return s->status && strcmp(s->status, "done") == 0; }

void fv_report_choose(fv_report *r, int64_t rows) {
  int64_t done = 0, kept = 0;
  for (size_t i = 0; i < r->nsamples; i++) done += is_done(&r->samples[i]);
  /* effect or prob, and logit_diff, which a sample brings beside it */
  int64_t each = done > 0 ? 3 * (rows / done + 1) : 1, limit = r->options.numbers / each;
  if (limit > r->options.maps) limit = r->options.maps;
  if (limit < 1 && done == 1 && r->options.maps > 0) limit = 1;
  for (size_t i = 0; i < r->nsamples && kept < limit && (int64_t)i < r->options.listed; i++)
    if (is_done(&r->samples[i])) r->samples[i].keep = true, kept++;
  if (r->ngroups < 2 || r->ngroups > GROUPS_MAX) r->ngroups = 0;
}

/* ---- rows ---- */

static bool reads_question(const fv_report *r, const char *stack) {
  if (!stack) return false;
  if (r->question_stack) return strcmp(stack, r->question_stack) == 0;
  return strcmp(stack, "vision") != 0 && strcmp(stack, "text_decoder") != 0 && strcmp(stack, "projector") != 0;
}

/* A corrupted picture has another name in every sample, which is no reason for another map. */
static const char *corruption_name(const fv_report *r, const char *corrupt) {
  if (!corrupt || r->whole_corruptions) return corrupt;
  const char *own = fv_own_corruption(corrupt);
  return own ? own : corrupt;
}

static bool same_name(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* Samples come in the order in which they were announced, so the search starts where it ended. */
static fv_report_sample *find_sample(fv_report *r, const char *name) {
  for (size_t i = 0; i < r->nsamples; i++) {
    size_t at = (r->cursor + i) % r->nsamples;
    if (same_name(r->samples[at].name, name)) return &r->samples[r->cursor = at];
  }
  return NULL;
}

static void add_base(fv_report_base *b, size_t sweep, const char *corrupt, float clean, float corrupted) {
  if (isnan(clean) || isnan(corrupted)) return;
  if (b->n == 0) b->sweep = sweep, b->corrupt = corrupt;
  if (b->sweep != sweep || !same_name(b->corrupt, corrupt)) return;
  b->clean += (double)clean, b->corrupted += (double)corrupted, b->n++;
}

static fv_status add_sample_rows(void *user, const char *name, const fv_row *rows, size_t count, fv_error *err) {
  fv_report_feeder *f = user;
  fv_report *r = f->report;
  fv_report_sample *s = find_sample(r, name);
  if (!s)
    return fv_fail(err, FV_EFORMAT, "the results name a sample \"%s\" that the list of samples does not have",
                   name ? name : "");
  fv_report_row at = {.sweep = (int64_t)f->sweep, .sample = s - r->samples, .group = r->ngroups ? s->group_index : -1};
  fv_status st = FV_OK;
  r->rows += (int64_t)count;
  for (size_t i = 0; i < count && !st; i++) {
    fv_row row = rows[i];
    if (i == 0 || row.stack != rows[i - 1].stack) at.rows = fv_by_sample_rows(rows, count, i);
    at.answer_row = s->answer_row >= 0 && row.row == s->answer_row && reads_question(r, row.stack);
    at.corrupt = corruption_name(r, row.corrupt);
    at.row = &row;
    st = KEEP_TEXTS(r, err, &at.corrupt, &row.stack, &row.site, &row.piece, &row.op);
    if (st) return st;
    add_base(&s->prob, f->sweep, at.corrupt, row.clean_prob, row.corrupt_prob);
    add_base(&s->logit_diff, f->sweep, at.corrupt, row.clean_logit_diff, row.corrupt_logit_diff);
    st = fv_report_maps_add(&r->maps, &at, s->keep ? &s->kept : NULL, err);
  }
  return st;
}

fv_sink fv_report_begin(fv_report_feeder *f, fv_report *r, size_t sweep) {
  *f = (fv_report_feeder){.report = r, .sweep = sweep, .rows = {.user = f, .sample = add_sample_rows}};
  return fv_by_sample_sink(&f->rows);
}

fv_status fv_report_end(fv_report_feeder *f, fv_status st, fv_error *err) {
  if (!st) st = fv_by_sample_end(&f->rows, err);
  fv_by_sample_release(&f->rows);
  return st;
}
