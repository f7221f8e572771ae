#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] += e->factor * v[i];
}

static fv_status parse(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  const char *space = strrchr(c->args, ' ');
  char *end = NULL;
  double factor = space ? strtod(space + 1, &end) : 0.0;
  if (!space || space == c->args || end == space + 1 || *end || !(factor - factor == 0.0))
    return fv_fail(err, FV_EUSAGE, "add: found \"%s\" behind the address; the form is %s", c->args, fv_op_add.args);
  o->factor = (float)factor;
  return fv_op_load_values(c, c->args, (size_t)(space - c->args), FV_OP_EITHER, o, owned, err);
}

const fv_op fv_op_add = {.name = "add",
                         .args = "add A FILE[:KEY] FACTOR",
                         .help = "adds FACTOR times a vector (steering) or a tensor of the selection's shape",
                         .wants_values = true,
                         .parse = parse,
                         .apply = apply};
