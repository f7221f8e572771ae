#include "study/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"
#include "study/store_inside.h"

struct fv_writer {
  fv_store *store;
  fv_record *waiting; /* or being written; NULL: nothing is */
  bool stop;
  fv_status status;
  fv_error error;
  double seconds;
  pthread_mutex_t lock; /* guards all of the above but the store */
  pthread_cond_t changed;
  pthread_t thread;
};

void fv_record_free(fv_record *r) {
  for (fv_record *next; r; r = next) {
    next = r->next;
    for (size_t i = 0; i < r->nresults; i++) fv_table_free((fv_table *)(uintptr_t)r->results[i].table);
    free(r->results), free(r->rows), free(r->infos), free(r->reason), free(r->answer), free(r->fields);
    free(r);
  }
}

static fv_status write_all(const fv_store *store, const fv_record *first, fv_error *err) {
  fv_status st = fv_store_begin(store, err);
  if (st) return st;
  for (const fv_record *r = first; r && !st; r = r->next)
    st = fv_store_write_sample(store, &r->sample, r->results, r->nresults, err);
  return fv_store_end(store, st, err);
}

/* Of this thread's processor: waiting for the disk costs the computation nothing. */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *work(void *user) {
  fv_writer *w = user;
  pthread_mutex_lock(&w->lock);
  for (;;) {
    while (!w->stop && !w->waiting) pthread_cond_wait(&w->changed, &w->lock);
    if (!w->waiting) break;
    fv_record *r = w->waiting;
    fv_status st = w->status;
    pthread_mutex_unlock(&w->lock);
    fv_error error = {0};
    double from = now();
    bool tried = !st;
    if (tried) st = write_all(w->store, r, &error);
    fv_record_free(r);
    pthread_mutex_lock(&w->lock);
    w->waiting = NULL, w->seconds += now() - from;
    if (tried && st) w->status = st, w->error = error;
    pthread_cond_broadcast(&w->changed);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

fv_status fv_writer_start(fv_store *store, fv_writer **out, fv_error *err) {
  fv_writer *w = fv_alloc(1, sizeof *w);
  if (!w) return fv_fail(err, FV_ENOMEM, "no memory");
  w->store = store;
  pthread_mutex_init(&w->lock, NULL), pthread_cond_init(&w->changed, NULL);
  if (pthread_create(&w->thread, NULL, work, w) != 0) {
    pthread_mutex_destroy(&w->lock), pthread_cond_destroy(&w->changed);
    return free(w), fv_fail(err, FV_ENOMEM, "no thread can be started");
  }
  *out = w;
  return FV_OK;
}

/* With the lock held: waits for the writer, and says how it went. */
static fv_status settle(fv_writer *w, fv_error *err) {
  while (w->waiting) pthread_cond_wait(&w->changed, &w->lock);
  return w->status ? fv_fail(err, w->status, "%s", w->error.text) : FV_OK;
}

fv_status fv_writer_put(fv_writer *w, fv_record *first, fv_error *err) {
  pthread_mutex_lock(&w->lock);
  fv_status st = settle(w, err);
  if (!st) w->waiting = first;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  if (st) fv_record_free(first);
  return st;
}

fv_status fv_writer_wait(fv_writer *w, fv_error *err) {
  pthread_mutex_lock(&w->lock);
  fv_status st = settle(w, err);
  pthread_mutex_unlock(&w->lock);
  return st;
}

fv_status fv_writer_stop(fv_writer *w, double *seconds, fv_error *err) {
  if (!w) return FV_OK;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  fv_status st = w->status ? fv_fail(err, w->status, "%s", w->error.text) : FV_OK;
  *seconds = w->seconds;
  pthread_mutex_destroy(&w->lock), pthread_cond_destroy(&w->changed);
  free(w);
  return st;
}
