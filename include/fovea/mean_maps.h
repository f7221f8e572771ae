/* Mean maps of a study: a sweep over layers and rows, averaged over samples with the same number of rows.
 *
 * A map is of one group of samples, of one order of the answers in the question, and of one length of the text, so that
 * a row means the same in all of its samples. Missing numbers are left out of a cell's mean. Ownership: fv_maps_read
 * fills a struct that fv_maps_release empties. Checked by: tests/study/test_maps.c
 */
#ifndef FOVEA_MEAN_MAPS_H
#define FOVEA_MEAN_MAPS_H

#include "fovea/heads.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_maps_query {
  const char *sweep, *site; /* as in fv_heads_query, among runs that are not of single heads */
  fv_heads_metric metric;
  const char *group;       /* only this group; NULL: all samples */
  bool by_group, by_order; /* a map for each group; for the correct answer first and second in the question */
} fv_maps_query;

typedef struct fv_mean_map {
  char *group;   /* NULL: of all, or of those without one */
  int64_t order; /* 1: the correct answer comes first, 0: second, -1: either, or not known */
  int64_t samples, rows, layers;
  double *values; /* [rows, layers]; NaN: no number */
  char **labels;  /* [rows] the piece; where pieces differ, <correct>, <incorrect> or <other>; of a picture's rows cls
                     and image[r,c] */
} fv_mean_map;

typedef struct fv_maps {
  char *sweep, *stack, *site;
  bool noise;
  size_t count;
  fv_mean_map *list; /* by group, order (first before second) and rows */
} fv_maps;

/* Errors: FV_ENOTFOUND (a sweep, a group; groups or orders that no sample has), FV_EUSAGE (several sweeps or sites),
 * FV_EFORMAT (numbers out of range). */
fv_status fv_maps_read(const fv_store *store, const fv_maps_query *query, fv_maps *out, fv_error *err);
void fv_maps_release(fv_maps *maps);

#ifdef __cplusplus
}
#endif
#endif
