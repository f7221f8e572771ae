#include "study/data_cifar_batch.h"

#include <stdlib.h>

#include "study/data_lists.h"

void fv_cifar_batch_release(fv_cifar_batch *b) {
  fv_map_close(&b->map);
  free(b->labels), free(b->data);
  *b = (fv_cifar_batch){0};
}

fv_status fv_cifar_batch_open(const char *path, fv_cifar_batch *out, fv_error *err) {
  enum { RECORD = 1 + FV_CIFAR_PICTURE };
  *out = (fv_cifar_batch){0};
  fv_status st = fv_map_open(path, &out->map, err);
  if (st) return st;
  const fv_map *m = &out->map;
  /* A pickle begins with its protocol; the first record of a binary batch with a class below 10. */
  if (m->size > 0 && m->data[0] == 0x80) {
    st = fv_cifar_batch_unpickle(out, path, err);
  } else if (m->size == 0 || m->size % RECORD) {
    st = fv_fail(err, FV_EFORMAT,
                 "%s: has %zu bytes, expected a multiple of %d; is this a batch of CIFAR-10's binary version?", path,
                 m->size, (int)RECORD);
  } else {
    out->count = m->size / RECORD, out->first = m->data + 1, out->stride = RECORD;
  }
  for (size_t i = 0; i < out->count && !st; i++)
    if (fv_cifar_label(out, i) >= FV_CIFAR10_CLASSES)
      st = fv_fail(err, FV_EFORMAT, "%s: record %zu has class %d, expected 0 to 9", path, i, fv_cifar_label(out, i));
  if (st) fv_cifar_batch_release(out);
  return st;
}
