/* Which sweep and site of a database is meant when not everything is said. */
#ifndef FOVEA_STUDY_PLACE_CHOICE_H
#define FOVEA_STUDY_PLACE_CHOICE_H

#include "study/store_inside.h"

typedef struct fv_place_choice {
  char *sweep, *stack, *site; /* malloc'ed */
  int64_t sweep_id;
  bool noise; /* corrupted states were written into the clean run */
} fv_place_choice;

/* The one sweep and site with layers that `sweep` and `site` (NULL: any; "text_encoder.0-3.cross.z" is
 * text_encoder.cross.z) name, among those with runs of single heads, or without. FV_ENOTFOUND, and FV_EUSAGE when there
 * are several; both list them. Nothing is owned after a failure. */
fv_status fv_place_choose(const fv_store *store, const char *sweep, const char *site, bool heads, fv_place_choice *out,
                          fv_error *err);

#endif
