/* What the tests on reference vectors share: reading a vectors folder and comparing numbers with it. */
#ifndef FOVEA_TESTS_VECTORS_H
#define FOVEA_TESTS_VECTORS_H

#include <jansson.h>

#include "checkpoint/checkpoint.h"
#include "fovea/wave.h"

/* Fails the test with the error's text. */
#define OK(call)                                                   \
  do {                                                             \
    fv_error ok_error = {0};                                       \
    if ((call) != FV_OK) fail_msg("%s: %s", #call, ok_error.text); \
  } while (0)
#define ERR &ok_error

typedef struct fv_vectors {
  char *dir; /* .../vectors */
  json_t *cases;
  fv_model *model;
} fv_vectors;

void vectors_open(const char *model_dir, fv_vectors *v);                      /* MODEL/vectors */
void vectors_open_in(const char *model_dir, const char *name, fv_vectors *v); /* another folder of the model's */
void vectors_close(fv_vectors *v);
size_t vectors_cases(const fv_vectors *v);
const json_t *vectors_case(const fv_vectors *v, size_t i);
const json_t *vectors_case_named(const fv_vectors *v, const char *name);
fv_input *vectors_input(const fv_vectors *v, const json_t *one);
char *vectors_path(const fv_vectors *v, const char *name);

/* Largest |a - b| over the largest |b|; masked scores (-inf) must be equal. */
double relative_difference(const float *a, const float *b, int64_t n);

#endif
