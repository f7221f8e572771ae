/* One archive under ROME's names per sample, site and head. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "study/export_blocks.h"

static fv_status write_head(const char *folder, const fv_export_block *b, int64_t head, fv_error *err) {
  size_t cells = (size_t)(b->T * b->L);
  float *scores = fv_alloc(cells, sizeof *scores);
  const char **tokens = fv_alloc((size_t)b->T, sizeof *tokens);
  char *sample = fv_export_file_name(b->sample), *site = fv_export_file_name(b->site), number[32] = "";
  if (b->heads[head] >= 0) snprintf(number, sizeof number, "_head_%lld", (long long)b->heads[head]);
  char *sweep = fv_export_file_name(b->sweep);
  char *path = sample && site && sweep ? fv_format("%s/knowledge_%s_%s_%s.%s%s.npz", folder, sample, sweep,
                                                   b->stack ? b->stack : "", site, number)
                                       : NULL;
  fv_status st = scores && tokens && path ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && fv_file_exists(path))
    st = fv_fail(err, FV_ECONFLICT,
                 "%s: two samples, corruptions or windows would have this name; choose one sweep "
                 "with --sweep, or take --npz",
                 path);
  if (!st) {
    for (size_t i = 0; i < cells; i++) scores[i] = b->values[FV_EXPORT_PROB][i * (size_t)b->H + (size_t)head];
    for (int64_t i = 0; i < b->T; i++) tokens[i] = b->pieces[i] ? b->pieces[i] : "";
    fv_rome trace = {.tokens = b->T,
                     .layers = b->L,
                     .scores = scores,
                     .low_score = b->corrupt_prob,
                     .high_score = b->clean_prob,
                     .input_ids = b->ids,
                     .input_tokens = tokens,
                     .subject_begin = 0,
                     .subject_end = b->T,
                     .answer = b->answer,
                     .kind = fv_rome_kind(b->site ? b->site : ""),
                     .window = b->window,
                     .correct_prediction = b->right != 0};
    st = fv_rome_write(path, &trace, err);
  }
  free(scores), free(tokens), free(sample), free(site), free(sweep), free(path);
  return st;
}

static fv_status each(void *user, const fv_export_block *b, fv_error *err) {
  fv_status st = FV_OK;
  for (int64_t h = 0; h < b->H && !st; h++) st = write_head(*(const char **)user, b, h, err);
  return st;
}

fv_status fv_export_rome(const char *db, const char *sweep, const char *folder, fv_error *err) {
  return fv_export_blocks(db, sweep, each, &(const char *){folder}, err);
}
