/* Averages of the long table for a report: one map per sweep, corruption, site and number of rows.
 *
 * A map averages over the samples whose stack has the same number of rows, so that a row means the same position in
 * each of them. Beside it stands a pooled map, over all samples, with two rows: the row of the answer's word (the
 * sample's answer_row) and all rows together. Both exist once over everything and once per group of samples. Sums are
 * float64 in the order in which rows are added, so the same table gives the same averages. A mean is over runs; its
 * spread is over samples, whose draws and rows are averaged first, because runs of one sample are not independent.
 *
 * Ownership: strings of rows must live as long as the maps (fv_text_pool). Threads: one owner. Cost: constant time per
 * row; memory about 350 bytes per different cell, plus 24 bytes per cell of each sample whose values are kept.
 */
#ifndef FOVEA_STUDY_REPORT_MAPS_H
#define FOVEA_STUDY_REPORT_MAPS_H

#include "fovea/json_out.h"
#include "fovea/table.h"

typedef enum fv_report_metric {
  FV_REPORT_EFFECT,
  FV_REPORT_RESTORED, /* (prob - corrupt_prob) / (clean_prob - corrupt_prob) */
  FV_REPORT_PROB,
  FV_REPORT_P_DIFF,
  FV_REPORT_LOGIT_DIFF,
  FV_REPORT_KL,
  FV_REPORT_RANK,
  FV_REPORT_METRICS
} fv_report_metric;
/* The first of these are also kept for single samples. */
enum { FV_REPORT_KEPT = 5, FV_REPORT_POOLED = -1, FV_REPORT_EVERYTHING = -1 };

typedef struct fv_report_cell {
  int64_t row, layer, head;
  double sum[FV_REPORT_METRICS]; /* over runs */
  int64_t n[FV_REPORT_METRICS];
  int64_t sample; /* that is being added; its part joins the sums over samples when the next one comes */
  double part[FV_REPORT_METRICS], means[FV_REPORT_METRICS], squares[FV_REPORT_METRICS];
  int32_t parts[FV_REPORT_METRICS], samples[FV_REPORT_METRICS];
} fv_report_cell;

/* What a row is called in the samples of a map: the most frequent pieces with their counts. */
enum { FV_REPORT_PIECES = 6 };
typedef struct fv_report_label {
  const char *pieces[FV_REPORT_PIECES];
  int64_t counts[FV_REPORT_PIECES], total;
} fv_report_label;

typedef struct fv_report_map {
  int64_t sweep, group, window, rows; /* group: FV_REPORT_EVERYTHING or an index; rows: count, or FV_REPORT_POOLED */
  const char *corrupt, *stack, *site, *op;
  fv_report_cell *cells;
  size_t ncells, capacity;
  uint32_t *slots; /* hash table: index + 1 of a cell */
  size_t nslots, last;
  fv_report_label *labels; /* [rows], unless pooled */
  double clean_prob, corrupt_prob;
  int64_t runs, samples, last_sample;
} fv_report_map;

/* The values of one sample in one map, by index of the map's cell. */
typedef struct fv_report_values {
  size_t map, n, capacity;
  float (*values)[FV_REPORT_KEPT]; /* means over draws */
  int32_t *draws;
  const char **pieces; /* [npieces] by row; NULL: none */
  size_t npieces, pieces_capacity;
} fv_report_values;

typedef struct fv_report_kept {
  fv_report_values *list;
  size_t count, capacity;
} fv_report_kept;

typedef struct fv_report_maps {
  fv_report_map *list;
  size_t count, capacity, last;
} fv_report_maps;

/* Where a row belongs. */
typedef struct fv_report_row {
  int64_t sweep, sample, group; /* group < 0: none */
  int64_t rows;                 /* of the row's stack in this sample */
  bool answer_row;              /* the row is the answer's */
  const char *corrupt;          /* the name under which the map goes; may be coarser than the row's own */
  const fv_row *row;
} fv_report_row;

/* kept: where this sample's values go, or NULL. */
fv_status fv_report_maps_add(fv_report_maps *maps, const fv_report_row *row, fv_report_kept *kept, fv_error *err);
/* How many samples have metric k in a cell, and the standard deviation of their means (NaN of fewer than two). */
int64_t fv_report_samples(const fv_report_cell *cell, int k);
double fv_report_spread(const fv_report_cell *cell, int k);
void fv_report_maps_release(fv_report_maps *maps);
void fv_report_kept_release(fv_report_kept *kept);

/* Writes the list of maps, and the values of one sample as a list of {map, effect, prob, ...}. */
fv_status fv_report_maps_write(const fv_report_maps *maps, fv_json_out *j, fv_error *err);
fv_status fv_report_kept_write(const fv_report_maps *maps, const fv_report_kept *kept, fv_json_out *j, fv_error *err);

/* Three significant digits: for what says how far a number is to be trusted. NaN where it is not finite. */
double fv_report_rough(double value);

#endif
