/* Sweeps: what a causal trace and activation patching share.
 *
 * A sweep is a clean run, per corruption and draw a corrupted run, and per cell (site, layer, row, head) a patched run:
 * one of the two with the other's state written at the cell. fv_sweep_prepare resolves everything, fv_bundle_add
 * (experiment/bundle.h) adds the runs to a wave; after fv_bundle_compute the values are in `series`. Cells are numbered
 * in the order of the long table: site, layer, row, head. A sweep belongs to one thread; it is a caller's struct that
 * fv_sweep_release empties, also after a failure. Cost: a few dozen bytes per run besides what the wave takes.
 */
#ifndef FOVEA_EXPERIMENT_SWEEP_H
#define FOVEA_EXPERIMENT_SWEEP_H

#include "experiment/corruption.h"
#include "fovea/answer.h"
#include "fovea/table.h"

/* Borrowed from the caller's options, but for the lists of texts, which are copied. */
typedef struct fv_sweep_options {
  fv_input_options input;
  const char *const *corrupt;
  size_t ncorrupt; /* at least one */
  const char *const *site;
  size_t nsite;                      /* at least one */
  const char *option;                /* what messages call a site: "restore", "site" */
  const char *heads, *rows, *layers; /* as in fv_patch_options */
  int64_t layer_start;               /* cells of lower layers are left out */
  int64_t window, draws;
  bool redraw; /* new noise for every cell, rows outside, layers inside */
  bool noise;  /* corrupted states into the clean run */
  bool pad_attended, keep_degenerate, llava_hs_into_module;
  const char *correct, *incorrect;
  fv_rng_stream stream;
  int64_t seed;
  size_t memory;
  double check;
} fv_sweep_options;

/* What is read of one run. */
typedef struct fv_sweep_value {
  fv_metrics m;
  float logit_diff; /* NaN without an incorrect answer */
} fv_sweep_value;

/* One site: its cells, and the same site in every layer for windows. */
typedef struct fv_sweep_site {
  fv_selection *cells, *all;
  size_t ncells, nall;
  char stack[48];
  int64_t T;              /* rows of the site */
  int64_t nrows, *rows;   /* those that are cells, ascending */
  int64_t nheads, *heads; /* "each": one cell per head. Otherwise nheads is 1 and heads NULL */
  float *states;          /* llava_hs_into_module, while it is added: [layers, nrows, width], what is written */
} fv_sweep_site;

/* One corrupted run and its cells. */
typedef struct fv_sweep_series {
  size_t corrupt;
  int64_t draw;
  fv_sweep_value corrupted, *cells; /* [ncells] */
} fv_sweep_series;

typedef struct fv_sweep {
  const fv_model *model;
  fv_sweep_options o;
  char **corrupt, **site; /* owned; o's lists are these */
  fv_input *clean_input;
  fv_corruption *corruptions;
  fv_input **inputs; /* per corruption; NULL: an edit */
  fv_sweep_site *sites;
  int64_t ncells, runs; /* of one series; that it takes alone */
  fv_sweep_series *series;
  size_t nseries;
  int32_t correct, incorrect, top; /* top: the clean run's own answer. incorrect -1: none */
  fv_sweep_value clean;
  double *clean_p, *clean_log_p; /* [V] */
  fv_error failure;              /* of this sweep alone, while its bundle was computed */
} fv_sweep;

fv_status fv_sweep_prepare(const fv_model *model, const fv_sweep_options *options, fv_sweep *out, fv_error *err);
void fv_sweep_release(fv_sweep *s);

/* The clean run's logits, to be read before all others: its probabilities, and the answers that every run is judged by.
 * FV_EUSAGE: the answer that nobody named is the incorrect one. */
fv_status fv_sweep_read_clean(fv_sweep *s, const float *logits, int64_t V, fv_error *err);
/* Any thread. */
void fv_sweep_read(const fv_sweep *s, const float *logits, int64_t V, fv_sweep_value *out);

/* What a row is; a row that is no token has a name instead of a piece. */
fv_row_info fv_sweep_row(const fv_sweep *s, const fv_sweep_site *site, int64_t row);
/* (LD - LD of the unpatched run) / (LD of the source run - LD of the unpatched run); NaN when that is 0 / 0 or x / 0.
 */
float fv_sweep_effect(const fv_sweep *s, const fv_sweep_series *series, const fv_sweep_value *cell);
/* Hands every cell of every series to the sink; `answer` is the text of the column of that name. */
fv_status fv_sweep_emit(const fv_sweep *s, const char *sample, const char *answer, fv_sink sink, fv_error *err);

#endif
