/* What `fovea patch` writes besides the table: text, JSON, NumPy archive, pictures, the map in the terminal. */
#ifndef FOVEA_CLI_PATCH_OUTPUT_H
#define FOVEA_CLI_PATCH_OUTPUT_H

#include "cli.h"

enum { PATCH_METRICS = 4 };
extern const char *const patch_metrics[PATCH_METRICS]; /* prob, p_diff, logit_diff, effect */

/* One site of one corruption, averaged over its draws; with heads "each", one head of it. */
typedef struct patch_map {
  const char *corrupt, *stack, *site; /* the table's */
  int64_t head;                       /* -1: all, or a list */
  int64_t nrows, *rows, ncols, *layers, draws;
  char **labels;                 /* [nrows] */
  double *values[PATCH_METRICS]; /* [nrows, ncols]; NaN: empty */
  double corrupt_prob, corrupt_logit_diff;
} patch_map;

typedef struct patch_run {
  cli_session *s;
  const fv_patch_options *options;
  fv_patch_result result;
  fv_table *table;
  size_t nmaps;
  patch_map *maps;
  const char *npz, *plot; /* where to write them, or NULL */
} patch_run;

/* patch_maps.c: the table as maps, in its order. */
fv_status patch_maps_make(patch_run *r);
void patch_maps_release(patch_run *r);
/* patch_output.c */
fv_status patch_output(patch_run *r);

#endif
