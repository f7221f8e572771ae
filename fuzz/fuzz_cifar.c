/* Batches of CIFAR-10 as pickles. */
#include "fuzz.h"
#include "study/data_cifar_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fv_cifar_batch b = {.map = {data, size}};
  fv_error err = {0};
  fv_status st = fv_cifar_batch_unpickle(&b, "input", &err);
  fuzz_check_error(st, &err);
  volatile uint8_t sum = 0; /* touches the bytes, so that a sanitizer sees those that are not ours */
  for (size_t i = 0; !st && i < b.count; i++) {
    sum = (uint8_t)(sum + fv_cifar_label(&b, i));
    for (size_t k = 0; k < FV_CIFAR_PICTURE; k++) sum = (uint8_t)(sum + fv_cifar_picture(&b, i)[k]);
  }
  free(b.labels), free(b.data); /* the map is the caller's */
  return 0;
}
