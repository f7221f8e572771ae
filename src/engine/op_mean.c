#include <string.h>

#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e;
  memcpy(x, v, (size_t)n * sizeof *x);
}

static fv_status parse(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  if (!c->args[0]) return fv_fail(err, FV_EUSAGE, "mean: a file is missing; the form is %s", fv_op_mean.args);
  return fv_op_load_values(c, c->args, strlen(c->args), FV_OP_VECTOR, o, owned, err);
}

const fv_op fv_op_mean = {.name = "mean",
                          .args = "mean A FILE[:KEY]",
                          .help = "writes one vector, such as a mean, into every selected row",
                          .overwrites = true,
                          .wants_values = true,
                          .parse = parse,
                          .apply = apply};
