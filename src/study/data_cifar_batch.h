/* One batch of CIFAR-10, in the binary version or the Python version.
 *
 * The binary version is records of one byte for the class and 3072 for the picture. The Python version is a pickle of a
 * dict with "labels" and "data", as it is published (by Python 2) or pickled anew by Python 3; its reader knows the
 * opcodes of protocols 2 to 5 that such a file needs and the names of NumPy's arrays, and refuses everything else by
 * name: nothing is executed. Ownership: pictures point into the map, or into `data`; release with
 * fv_cifar_batch_release. Cost: linear; the binary version takes no memory.
 * Checked by: tests/study/test_data_cifar.c, fuzz/fuzz_cifar.c
 */
#ifndef FOVEA_STUDY_DATA_CIFAR_BATCH_H
#define FOVEA_STUDY_DATA_CIFAR_BATCH_H

#include "base/files.h"

enum { FV_CIFAR_SIDE = 32, FV_CIFAR_PLANE = 32 * 32, FV_CIFAR_PICTURE = 3 * FV_CIFAR_PLANE };

typedef struct fv_cifar_batch {
  fv_map map;
  size_t count;
  const uint8_t *first; /* the first picture: red, green, blue plane */
  size_t stride;        /* bytes from one picture to the next */
  uint8_t *labels;      /* Python version; NULL: the byte before each picture */
  uint8_t *data;        /* the pictures, where the file does not have them as bytes; or NULL */
} fv_cifar_batch;

/* Every class is 0 to 9. Errors: those of opening, FV_EFORMAT, FV_EUNSUPPORTED (a pickle with other names). */
fv_status fv_cifar_batch_open(const char *path, fv_cifar_batch *out, fv_error *err);
void fv_cifar_batch_release(fv_cifar_batch *batch);

static inline const uint8_t *fv_cifar_picture(const fv_cifar_batch *b, size_t i) { return b->first + i * b->stride; }
static inline int fv_cifar_label(const fv_cifar_batch *b, size_t i) {
  return b->labels ? b->labels[i] : fv_cifar_picture(b, i)[-1];
}

/* The Python version: fills count, first, stride and labels from the map. */
fv_status fv_cifar_batch_unpickle(fv_cifar_batch *batch, const char *path, fv_error *err);

#endif
