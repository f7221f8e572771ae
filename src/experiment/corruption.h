/* Corruptions: from text to an edit, or to another input. */
#ifndef FOVEA_EXPERIMENT_CORRUPTION_H
#define FOVEA_EXPERIMENT_CORRUPTION_H

#include "fovea/wave.h"

typedef struct fv_corruption {
  const char *text;       /* as given, borrowed */
  char *edit;             /* "mul-gauss vision.final mean=1,std=5", or NULL: the input differs */
  bool noise;             /* every draw is another */
  fv_input_options input; /* when edit is NULL */
  char *value;            /* owned texts of `input` */
  const char **images;    /* owned list of `input`, where there are several pictures */
  int64_t mask[4];
} fv_corruption;

/* `clean` is the clean run's input options, which the corruption changes. */
fv_status fv_corruption_parse(const char *text, const fv_input_options *clean, fv_corruption *out, fv_error *err);
void fv_corruption_release(fv_corruption *c);

#endif
