/* Attention knock-out: the edges from some keys to the selected queries are cut before the softmax. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/edit.h"

static void apply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e, (void)v;
  for (int64_t i = 0; i < n; i++) x[i] = -INFINITY;
}

/* "from=ROWS": the keys, which are rows of the stack that the site attends to. They become the selection's features. */
static fv_status parse(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  (void)owned;
  if (strncmp(c->args, "from=", 5) != 0)
    return fv_fail(err, FV_EUSAGE, "block: found \"%s\" behind the address; the form is %s", c->args, fv_op_block.args);
  if (!c->at->all_features) return fv_fail(err, FV_EUSAGE, "block: the keys are given by from=, not by :FEATURES");
  const fv_plan *p = c->input->model->plan;
  int space = p->steps[p->steps[c->at->step].in[1]].space, stack = -1;
  for (int i = 0; i < p->nstacks && stack < 0; i++)
    if (p->stacks[i].space == space) stack = i;
  int64_t *keys, n;
  fv_status st = fv_rows_parse(c->input, p->stacks[stack].name, c->args + 5, &keys, &n, err);
  if (st) return st;
  fv_selection *at = (fv_selection *)(uintptr_t)o->at;
  free(at->spans);
  at->nspans = 0;
  at->spans = fv_alloc((size_t)n, sizeof *at->spans);
  for (int64_t i = 0; at->spans && i < n; i++) {
    if (at->nspans > 0 && at->spans[at->nspans - 1].hi == keys[i])
      at->spans[at->nspans - 1].hi++;
    else
      at->spans[at->nspans++] = (fv_span){keys[i], keys[i] + 1};
  }
  at->width = n * at->nheads, at->all_features = n == at->head_width;
  free(keys);
  return at->spans ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

const fv_op fv_op_block = {
    .name = "block",
    .args = "block A from=ROWS",
    .help = "cuts the attention edges from the keys ROWS to the selected queries; A is a scores site",
    .overwrites = true,
    .on_scores = true,
    .parse = parse,
    .apply = apply};
