#include "study/ahead.h"

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "experiment/corruption.h"

/* One sample's pictures. */
typedef struct slot {
  fv_input_options *added; /* each with its own copy of the file's name */
  size_t count;
  fv_status status;
  fv_error error;
} slot;

struct fv_ahead {
  const fv_study *study;
  const fv_model *model;
  const size_t *samples;
  size_t count, ready, done; /* samples decoded, and given back */
  bool stop;
  slot slots[FV_AHEAD + 1];
  fv_pictures *pictures;
  pthread_mutex_t lock; /* guards ready, done, stop */
  pthread_cond_t changed;
  pthread_t thread;
  bool started;
};

static slot *slot_of(fv_ahead *a, size_t k) { return &a->slots[k % (FV_AHEAD + 1)]; }

static fv_status add(fv_ahead *a, slot *s, const fv_input_options *o) {
  if (!o->image) return FV_OK;
  fv_input_options *grown = realloc(s->added, (s->count + 1) * sizeof *grown);
  if (grown) s->added = grown;
  char *image = grown ? fv_strdup(o->image) : NULL;
  if (!image) return fv_fail(&s->error, FV_ENOMEM, "no memory");
  fv_status st = fv_pictures_add(a->pictures, o, &s->error);
  if (st) return free(image), st;
  grown[s->count] = *o;
  grown[s->count++].image = image;
  return FV_OK;
}

static fv_status decode(fv_ahead *a, slot *s, size_t sample) {
  fv_status st = FV_OK;
  for (size_t k = 0; k < a->study->nsweeps && !st; k++) {
    fv_sample_options o;
    st = fv_sample_options_make(a->study, &a->study->sweeps[k], sample, &o, &s->error);
    if (!st) st = add(a, s, &o.input);
    for (size_t c = 0; c < o.corrupt.count && !st; c++) {
      fv_corruption corruption = {0};
      st = fv_corruption_parse(o.corrupt.items[c], &o.input, &corruption, &s->error);
      if (!st && !corruption.edit) st = add(a, s, &corruption.input);
      fv_corruption_release(&corruption);
    }
    fv_sample_options_release(&o);
  }
  return st;
}

static void give_back(fv_ahead *a, slot *s) {
  for (size_t i = 0; i < s->count; i++) {
    fv_pictures_drop(a->pictures, &s->added[i]);
    free((char *)(uintptr_t)s->added[i].image);
  }
  free(s->added);
  *s = (slot){0};
}

static void *work(void *user) {
  fv_ahead *a = user;
  omp_set_num_threads(1); /* the cores belong to the sample that is computed */
  for (size_t k = 0; k < a->count; k++) {
    pthread_mutex_lock(&a->lock);
    while (!a->stop && k >= a->done + FV_AHEAD + 1) pthread_cond_wait(&a->changed, &a->lock);
    bool stop = a->stop;
    pthread_mutex_unlock(&a->lock);
    if (stop) break;
    slot *s = slot_of(a, k);
    s->status = decode(a, s, a->samples[k]);
    pthread_mutex_lock(&a->lock);
    a->ready = k + 1;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
  }
  return NULL;
}

fv_status fv_ahead_start(const fv_study *study, const fv_model *model, const size_t *samples, size_t count,
                         fv_ahead **out, fv_error *err) {
  fv_ahead *a = fv_alloc(1, sizeof *a);
  if (!a) return fv_fail(err, FV_ENOMEM, "no memory");
  a->study = study, a->model = model, a->samples = samples, a->count = count;
  pthread_mutex_init(&a->lock, NULL), pthread_cond_init(&a->changed, NULL);
  fv_status st = fv_pictures_new(model, &a->pictures, err);
  if (!st && pthread_create(&a->thread, NULL, work, a) != 0) st = fv_fail(err, FV_ENOMEM, "no thread can be started");
  a->started = !st;
  if (st) return fv_ahead_stop(a), st;
  *out = a;
  return FV_OK;
}

fv_status fv_ahead_wait(fv_ahead *a, size_t k, fv_error *err) {
  pthread_mutex_lock(&a->lock);
  while (a->ready <= k) pthread_cond_wait(&a->changed, &a->lock);
  pthread_mutex_unlock(&a->lock);
  const slot *s = slot_of(a, k);
  return s->status ? fv_fail(err, s->status, "%s", s->error.text) : FV_OK;
}

void fv_ahead_done(fv_ahead *a, size_t k) {
  give_back(a, slot_of(a, k));
  pthread_mutex_lock(&a->lock);
  a->done = k + 1;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

const fv_pictures *fv_ahead_pictures(const fv_ahead *a) { return a->pictures; }

void fv_ahead_stop(fv_ahead *a) {
  if (!a) return;
  pthread_mutex_lock(&a->lock);
  a->stop = true;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
  if (a->started) pthread_join(a->thread, NULL);
  for (size_t i = 0; i < FV_AHEAD + 1; i++) give_back(a, &a->slots[i]);
  fv_pictures_free(a->pictures);
  pthread_mutex_destroy(&a->lock), pthread_cond_destroy(&a->changed);
  free(a);
}
