/* Pictures decoded ahead: a list of inputs without text. See fovea/input.h. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/loaded.h"

typedef struct ready {
  char *image;
  fv_input_options options; /* of these the picture's own count */
  int64_t uses;
  fv_input *input;
} ready;

struct fv_pictures {
  const fv_model *model;
  pthread_mutex_t lock; /* guards the list; the inputs never change */
  ready *list;
  size_t count, room;
};

fv_status fv_pictures_new(const fv_model *model, fv_pictures **out, fv_error *err) {
  fv_pictures *p = fv_alloc(1, sizeof *p);
  if (!p) return fv_fail(err, FV_ENOMEM, "no memory for the pictures");
  p->model = model;
  pthread_mutex_init(&p->lock, NULL);
  *out = p;
  return FV_OK;
}

static void release(ready *r) { free(r->image), fv_input_free(r->input); }

void fv_pictures_free(fv_pictures *p) {
  if (!p) return;
  for (size_t i = 0; i < p->count; i++) release(&p->list[i]);
  pthread_mutex_destroy(&p->lock);
  free(p->list), free(p);
}

/* With the lock held. */
static ready *find(const fv_pictures *p, const fv_input_options *o) {
  for (size_t i = 0; o->image && i < p->count; i++) {
    const fv_input_options *x = &p->list[i].options;
    if (x->exif == o->exif && x->pillow == o->pillow && x->gray == o->gray && x->blur == o->blur &&
        strcmp(p->list[i].image, o->image) == 0)
      return &p->list[i];
  }
  return NULL;
}

static pthread_mutex_t *lock_of(const fv_pictures *p) { return &((fv_pictures *)(uintptr_t)p)->lock; }

const fv_input *fv_pictures_find(const fv_pictures *p, const fv_input_options *o) {
  pthread_mutex_lock(lock_of(p));
  const ready *r = find(p, o);
  const fv_input *input = r ? r->input : NULL;
  pthread_mutex_unlock(lock_of(p));
  return input;
}

bool fv_pictures_sha256(const fv_pictures *p, const fv_input_options *o, char hex[65]) {
  const fv_input *input = fv_pictures_find(p, o);
  if (input) memcpy(hex, input->image_sha256, 65);
  return input != NULL;
}

static bool use_again(fv_pictures *p, const fv_input_options *o) {
  ready *r = find(p, o);
  if (r) r->uses++;
  return r != NULL;
}

fv_status fv_pictures_add(fv_pictures *p, const fv_input_options *o, fv_error *err) {
  if (!o->image) return FV_OK;
  pthread_mutex_lock(&p->lock);
  bool there = use_again(p, o);
  pthread_mutex_unlock(&p->lock);
  if (there) return FV_OK;
  ready r = {.image = fv_strdup(o->image), .uses = 1};
  fv_input_defaults(&r.options);
  r.options.image = r.image, r.options.exif = o->exif, r.options.pillow = o->pillow, r.options.gray = o->gray,
  r.options.blur = o->blur;
  fv_status st = r.image ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for the pictures");
  if (!st) st = fv_input_new(p->model, &r.options, &r.input, err);
  if (st) return free(r.image), st;
  pthread_mutex_lock(&p->lock);
  there = use_again(p, o); /* another thread was faster */
  if (!there && fv_grow(&p->list, &p->room, p->count + 1, sizeof *p->list))
    p->list[p->count++] = r;
  else if (!there)
    st = fv_fail(err, FV_ENOMEM, "no memory for the pictures");
  pthread_mutex_unlock(&p->lock);
  if (there || st) release(&r);
  return st;
}

void fv_pictures_drop(fv_pictures *p, const fv_input_options *o) {
  pthread_mutex_lock(&p->lock);
  ready *r = find(p, o), last = {0};
  if (r && --r->uses == 0) {
    last = *r;
    *r = p->list[--p->count];
  }
  pthread_mutex_unlock(&p->lock);
  release(&last);
}
