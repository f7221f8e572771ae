/* What the exports of whole arrays share: a sweep's rows as blocks, one per sample, corrupted input and site.
 *
 * A block is dense: [T, L, H], H = 1 when all heads move together; NaN where the table has no cell. Values are means
 * over draws. Ownership: a block and what it points to last for the call that gets it. Threads: one owner.
 */
#ifndef FOVEA_STUDY_EXPORT_BLOCKS_H
#define FOVEA_STUDY_EXPORT_BLOCKS_H

#include "fovea/export.h"
#include "study/store_inside.h"
#include "study/text_pool.h"

typedef enum fv_export_metric {
  FV_EXPORT_PROB,
  FV_EXPORT_P_DIFF,
  FV_EXPORT_LOGIT_DIFF,
  FV_EXPORT_EFFECT,
  FV_EXPORT_KL,
  FV_EXPORT_RANK,
  FV_EXPORT_LOGIT,
  FV_EXPORT_METRICS
} fv_export_metric;
extern const char *const fv_export_metrics[FV_EXPORT_METRICS];

typedef struct fv_export_block {
  const char *sweep, *sample, *corrupt, *stack, *site, *op; /* corrupt: image and question without their argument */
  const char *question, *answer;
  int64_t window, answer_id, correct_id, incorrect_id, right, position;
  int64_t T, L, H;
  int64_t *layers, *heads; /* heads[0] is -1 when all move together */
  float *values[FV_EXPORT_METRICS];
  double clean_prob, corrupt_prob, clean_logit_diff, corrupt_logit_diff; /* means over draws */
  int64_t *ids;                                                          /* [T], -1: unknown */
  const char **pieces;                                                   /* [T] */
} fv_export_block;

typedef fv_status (*fv_export_each)(void *user, const fv_export_block *block, fv_error *err);

/* Opens the database and hands every block of the sweep (NULL: of all sweeps) to `each`, sweep by sweep, sample by
 * sample. FV_ENOTFOUND when there is none. */
fv_status fv_export_blocks(const char *db, const char *sweep, fv_export_each each, void *user, fv_error *err);

/* A name as part of a file's: what is no letter, digit, dot, dash or underscore becomes an underscore. malloc'ed. */
char *fv_export_file_name(const char *name);

#endif
