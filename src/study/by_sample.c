#include "study/by_sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

fv_status fv_by_sample_end(fv_by_sample *b, fv_error *err) {
  size_t n = b->count;
  b->count = 0;
  return n ? b->sample(b->user, b->rows[0].sample, b->rows, n, err) : FV_OK;
}

/* No stack has so many rows, layers or heads; a damaged table must not ask for the memory. */
enum { NUMBERS_END = 1 << 20 };

static fv_status add(void *user, const fv_row *row, fv_error *err) {
  fv_by_sample *b = user;
  fv_row kept = *row;
  const char **texts[] = {&kept.sample, &kept.corrupt, &kept.stack, &kept.site,  &kept.piece,
                          &kept.from,   &kept.to,      &kept.op,    &kept.answer};
  fv_status st = FV_OK;
  if (row->row >= NUMBERS_END || row->layer >= NUMBERS_END || row->head >= NUMBERS_END)
    return fv_fail(err, FV_EFORMAT,
                   "sample %s: layer %lld, row %lld, head %lld are out of range; the database is damaged",
                   row->sample ? row->sample : "", (long long)row->layer, (long long)row->row, (long long)row->head);
  for (size_t i = 0; i < sizeof texts / sizeof *texts && !st; i++)
    st = fv_text_pool_add(&b->texts, *texts[i], texts[i], err);
  if (!st && b->count > 0 && b->rows[0].sample != kept.sample) st = fv_by_sample_end(b, err);
  if (st) return st;
  if (!fv_grow(&b->rows, &b->capacity, b->count + 1, sizeof kept))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu rows of a sample", b->count + 1);
  b->rows[b->count++] = kept;
  return FV_OK;
}

fv_sink fv_by_sample_sink(fv_by_sample *b) { return (fv_sink){b, add}; }

void fv_by_sample_release(fv_by_sample *b) {
  free(b->rows);
  fv_text_pool_release(&b->texts);
  b->rows = NULL, b->count = b->capacity = 0;
}

int64_t fv_by_sample_rows(const fv_row *rows, size_t count, size_t i) {
  int64_t n = 1;
  for (size_t k = 0; k < count; k++)
    if (rows[k].row >= n && rows[k].stack == rows[i].stack) n = rows[k].row + 1;
  return n;
}
