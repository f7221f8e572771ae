#include <string.h>

#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e;
  memcpy(x, v, (size_t)n * sizeof *x);
}

/* "", "from B" or "FILE[:KEY]". */
static fv_status parse(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  bool from = strncmp(c->args, "from ", 5) == 0;
  if (strcmp(c->args, "from") == 0)
    return fv_fail(err, FV_EUSAGE, "replace: an address is missing behind \"from\"; the form is replace A from B");
  if (c->args[0] && !from) return fv_op_load_values(c, c->args, strlen(c->args), FV_OP_SELECTION, o, owned, err);
  if (c->source < 0) return fv_fail(err, FV_EUSAGE, "replace: there is no source run to read from");
  o->source = c->source; /* "from B" is resolved by the wave, in the source's own rows */
  return FV_OK;
}

const fv_op fv_op_replace = {.name = "replace",
                             .args = "replace A | replace A from B | replace A FILE[:KEY]",
                             .help = "writes the source run's activation, or a file's",
                             .overwrites = true,
                             .wants_values = true,
                             .parse = parse,
                             .apply = apply};
