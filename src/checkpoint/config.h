/* The JSON files of a model folder: config.json, generation_config.json and the like.
 *
 * A loaded file is a JSON object whose keys are read with the getters of base/json.h; their `where` is the path that
 * fv_config_open reports. Ownership: the caller calls fv_config_close. Threads: reading is free of locks, as long as
 * nobody changes the value.
 */
#ifndef FOVEA_CHECKPOINT_CONFIG_H
#define FOVEA_CHECKPOINT_CONFIG_H

#include <jansson.h>

#include "fovea/status.h"

typedef struct fv_config {
  char *path;   /* for messages */
  json_t *json; /* an object; NULL when an optional file is absent, which the getters take as "no keys" */
} fv_config;

/* Loads dir/name. A missing file is FV_ENOTFOUND, or, when optional, an empty config. */
fv_status fv_config_open(const char *dir, const char *name, bool optional, fv_config *out, fv_error *err);
void fv_config_close(fv_config *config); /* harmless on a zeroed or closed one */

#endif
