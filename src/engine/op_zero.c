#include <string.h>

#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e, (void)v;
  memset(x, 0, (size_t)n * sizeof *x);
}

const fv_op fv_op_zero = {.name = "zero",
                          .args = "zero A",
                          .help = "sets it to zero",
                          .overwrites = true,
                          .parse = fv_op_no_args,
                          .apply = apply};
