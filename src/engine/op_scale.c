#include <stdlib.h>

#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)v;
  for (int64_t i = 0; i < n; i++) x[i] *= e->factor;
}

static fv_status parse(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  (void)owned;
  char *end;
  double factor = strtod(c->args, &end);
  if (end == c->args || *end || !(factor - factor == 0.0))
    return fv_fail(err, FV_EUSAGE, "scale: found \"%s\" behind the address, expected a finite number", c->args);
  o->factor = (float)factor;
  return FV_OK;
}

const fv_op fv_op_scale = {
    .name = "scale", .args = "scale A F", .help = "multiplies by a number", .parse = parse, .apply = apply};
