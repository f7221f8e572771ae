/* The pictures of SVO-Probes: a folder with map.tsv, whose lines are URL, tab, file.
 *
 * Files are relative to the folder. Every file is looked at once, when the map is read. A URL that is there twice is an
 * error. Ownership: release with fv_svo_map_release; paths live as long.
 */
#ifndef FOVEA_STUDY_DATA_SVO_MAP_H
#define FOVEA_STUDY_DATA_SVO_MAP_H

#include <stddef.h>

#include "fovea/status.h"

typedef struct fv_svo_map {
  size_t count;
  char *text, **urls, **paths; /* urls point into text and are sorted; paths are in their order */
  const char **reasons;        /* why a picture cannot be used, or NULL */
} fv_svo_map;

fv_status fv_svo_map_load(const char *folder, bool keep_black, fv_svo_map *out, fv_error *err);
/* The picture of a URL, or NULL and the reason why there is none. */
const char *fv_svo_map_find(const fv_svo_map *map, const char *url, const char **reason);
void fv_svo_map_release(fv_svo_map *map);

#endif
