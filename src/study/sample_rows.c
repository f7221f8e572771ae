/* What the rows of a sample's text are. */
#include <string.h>

#include "base/bytes.h"
#include "study/study_inside.h"

fv_status fv_sample_rows(const fv_model *model, const fv_input *in, fv_store_row **rows, fv_row_info **infos, size_t *n,
                         fv_error *err) {
  size_t room = 0;
  *n = 0;
  for (int t = 0; t < fv_model_stacks(model); t++) room += (size_t)fv_input_rows(in, fv_model_stack(model, t).name);
  *rows = fv_alloc(room, sizeof **rows), *infos = fv_alloc(room, sizeof **infos);
  if (!*rows || !*infos) return fv_fail(err, FV_ENOMEM, "no memory for the sample");
  for (int t = 0; t < fv_model_stacks(model); t++) {
    const char *stack = fv_model_stack(model, t).name;
    int64_t T = strcmp(stack, "head") == 0 ? 0 : fv_input_rows(in, stack);
    for (int64_t row = 0; row < T; row++) {
      fv_row_info *info = &(*infos)[*n];
      fv_status st = fv_input_row(in, stack, row, info, err);
      if (st) return st;
      if (info->id < 0 || strncmp(info->name, "image", 5) == 0) continue;
      (*rows)[(*n)++] = (fv_store_row){stack, row, info->id, info->piece, info->name};
    }
  }
  return FV_OK;
}
