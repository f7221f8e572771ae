/* Greedy generation: a chain of waves, each one row long.
 *
 * After the prompt's wave, every step of the decoding is a wave whose runs continue those of the wave before: the only
 * rows that differ are the new ones, and keys and values of all others are found in the waves before. So decoding is
 * slicing once more, and its bits are those of recomputing every prefix.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/wave_inside.h"

void fv_generation_release(fv_generation *g) {
  free(g->ids);
  *g = (fv_generation){0};
}

/* How many ids a run may get: what is asked for or what the family allows, and no more than the positions leave (the
 * last id needs no row). A class or a text is one id. */
static int64_t allowance(const fv_wave *w, int run, int64_t max_new) {
  const fv_task *task = &w->model->task;
  int64_t T = w->runs[run].T[w->model->answer_space], limit = w->model->plan->spaces[w->model->answer_space].limit;
  if (task->labels || fv_plan_answers_texts(w->model->plan)) return 1;
  int64_t n = max_new > 0 ? max_new : task->max_rows > 0 ? task->max_rows - T : task->max_new;
  if (limit > 0 && limit - T + 1 < n) n = limit - T + 1;
  return n > 1 ? n : 1;
}

static bool ends(const fv_task *task, int32_t id) {
  for (int i = 0; i < task->neos; i++)
    if (task->eos[i] == id) return true;
  return false;
}

fv_status fv_continue_run(fv_wave *w, int outer, int32_t id, fv_logits_fn fn, void *user, int *run, fv_error *err) {
  const fv_run *from = &w->outer->runs[outer];
  int space = w->model->answer_space;
  int64_t T = from->T[space], limit = w->model->plan->spaces[space].limit;
  if (limit > 0 && T >= limit)
    return fv_fail(err, FV_EUSAGE, "the text has reached the %lld positions of %s", (long long)limit,
                   w->model->plan->spaces[space].name);
  fv_run r = {.parent = -1, .outer = outer, .input = from->input, .nchain = w->options.generated ? from->nchain : 0};
  fv_status st = fv_wave_add_run(w, r, run, err);
  if (st) return st;
  fv_run *added = &w->runs[*run];
  if (r.nchain > 0) memcpy(added->chain, from->chain, (size_t)r.nchain * sizeof *r.chain);
  added->own_ids = fv_alloc((size_t)T + 1, sizeof *added->own_ids);
  if (!added->own_ids) return fv_fail(err, FV_ENOMEM, "no memory");
  memcpy(added->own_ids, from->ids[space], (size_t)T * sizeof *added->own_ids);
  added->own_ids[T] = id;
  added->ids[space] = added->own_ids;
  added->pixels = from->pixels;
  added->T[space] = T + 1;
  return fv_wave_readout(w, *run, fn, user, err);
}

/* One decoding step for the runs that have not ended; at[i] is each one's run in the newest wave, -1 when ended. */
static fv_status decode_step(const fv_wave *before, const fv_generation *out, int *at, int64_t nruns, fv_wave **next,
                             fv_error *err) {
  fv_wave_options options = before->options;
  options.memory = 0; /* one row a run */
  fv_status st = fv_wave_new(before->model, &options, next, err);
  if (st) return st;
  (*next)->outer = before;
  for (int64_t i = 0; i < nruns && !st; i++)
    if (at[i] >= 0) st = fv_continue_run(*next, at[i], out[i].ids[out[i].count - 1], NULL, NULL, &at[i], err);
  return st ? st : fv_wave_compute(*next, NULL, err);
}

void fv_wave_follow(fv_wave *w, fv_token_fn fn, void *user) { w->follow = fn, w->follow_user = user; }

fv_status fv_wave_generate(fv_wave *w, const int *runs, int64_t nruns, int64_t max_new, fv_generation *out,
                           fv_error *err) {
  const fv_task *task = &w->model->task;
  if (!w->finished || !w->options.generate)
    return fv_fail(err, FV_EUSAGE, "generation follows fv_wave_compute of a wave with options.generate");
  if (w->model->answer_space < 0) return fv_fail(err, FV_EUSAGE, "a %s model gives no answer", w->model->family->name);
  int *at = fv_alloc((size_t)nruns, sizeof *at);
  int64_t *most = fv_alloc((size_t)nruns, sizeof *most), longest = 1;
  fv_status st = at && most ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  memset(out, 0, (size_t)nruns * sizeof *out);
  for (int64_t i = 0; i < nruns && !st; i++) {
    if (runs[i] < 0 || runs[i] >= w->nruns || !w->runs[runs[i]].keep) {
      st = fv_fail(err, FV_EUSAGE, "run %d has no readout to generate from", runs[i]);
      break;
    }
    at[i] = runs[i], most[i] = allowance(w, runs[i], max_new);
    if (most[i] > longest) longest = most[i];
    out[i].ids = fv_alloc((size_t)most[i], sizeof *out[i].ids);
    if (!out[i].ids) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  fv_wave **waves = fv_alloc((size_t)longest, sizeof *waves);
  if (!st && !waves) st = fv_fail(err, FV_ENOMEM, "no memory");
  int64_t nwaves = 0, alive = nruns;
  const fv_wave *newest = w;
  while (!st && alive > 0) {
    for (int64_t i = 0; i < nruns && !st; i++) {
      if (at[i] < 0) continue;
      out[i].ids[out[i].count++] = newest->runs[at[i]].best_id;
      if (w->follow) st = w->follow(w->follow_user, runs[i], out[i].ids, out[i].count, err);
      if (ends(task, out[i].ids[out[i].count - 1]) || out[i].count == most[i]) at[i] = -1, alive--;
    }
    if (alive > 0 && !st) st = decode_step(newest, out, at, nruns, &waves[nwaves], err), newest = waves[nwaves++];
  }
  while (nwaves > 0) fv_wave_free(waves[--nwaves]);
  for (int64_t i = 0; i < nruns && st; i++) fv_generation_release(&out[i]);
  free(at), free(most), free(waves);
  return st;
}
