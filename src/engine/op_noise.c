/* Noise: one float32 tensor of the selection's shape, drawn when the edit is made, so that every run that is given the
 * same draw sees the same numbers. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/edit.h"

static void multiply(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e;
  for (int64_t i = 0; i < n; i++) x[i] *= v[i];
}

static void add(const fv_edit *e, float *x, const float *v, int64_t n) {
  (void)e;
  for (int64_t i = 0; i < n; i++) x[i] += v[i];
}

static fv_status draw(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  if (c->at->part != FV_PART_OUT)
    return fv_fail(err, FV_EUSAGE, "noise on %s is not supported; draw it into a file and replace", c->at->site);
  *owned = fv_alloc((size_t)fv_selection_count(c->at), sizeof **owned);
  if (!*owned) return fv_fail(err, FV_ENOMEM, "no memory for the noise");
  o->values = *owned, o->values_rows = c->at->nrows;
  return FV_OK;
}

static fv_status positive(const char *op, const char *name, double v, fv_error *err) {
  return v >= 0.0 ? FV_OK : fv_fail(err, FV_EUSAGE, "%s: %s is %g, expected 0 or more", op, name, v);
}

static fv_status parse_mul(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  double mean = 1.0, std = 0.0;
  fv_op_key keys[] = {{"mean", &mean, false, false}, {"std", &std, true, false}};
  fv_status st = fv_op_keys(c, "mul-gauss", keys, 2, err);
  if (!st) st = positive("mul-gauss", "std", std, err);
  if (!st) st = draw(c, o, owned, err);
  if (!st) fv_rng_fill_normal(c->rng, mean, std, fv_selection_count(c->at), *owned);
  return st;
}

static fv_status parse_add(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  double mean = 0.0, std = 0.0;
  fv_op_key keys[] = {{"mean", &mean, false, false}, {"std", &std, true, false}};
  fv_status st = fv_op_keys(c, "add-gauss", keys, 2, err);
  if (!st) st = positive("add-gauss", "std", std, err);
  if (!st) st = draw(c, o, owned, err);
  if (!st) fv_rng_fill_normal(c->rng, mean, std, fv_selection_count(c->at), *owned);
  return st;
}

static fv_status parse_uniform(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  double scale = 0.0;
  fv_op_key keys[] = {{"scale", &scale, true, false}};
  fv_status st = fv_op_keys(c, "uniform", keys, 1, err);
  if (!st) st = positive("uniform", "scale", scale, err);
  if (!st) st = draw(c, o, owned, err);
  if (!st) fv_rng_fill_uniform(c->rng, -scale, scale, fv_selection_count(c->at), *owned);
  return st;
}

static fv_status parse_values(const fv_op_context *c, fv_edit_options *o, float **owned, fv_error *err) {
  return fv_op_load_values(c, c->args, strlen(c->args), FV_OP_EITHER, o, owned, err);
}

const fv_op fv_op_mul_gauss = {.name = "mul-gauss",
                               .args = "mul-gauss A mean=M,std=S",
                               .help = "multiplies by normal noise (mean 1 when not given)",
                               .wants_values = true,
                               .draws = true,
                               .parse = parse_mul,
                               .apply = multiply};
const fv_op fv_op_add_gauss = {.name = "add-gauss",
                               .args = "add-gauss A std=S",
                               .help = "adds normal noise",
                               .wants_values = true,
                               .draws = true,
                               .parse = parse_add,
                               .apply = add};
const fv_op fv_op_uniform = {.name = "uniform",
                             .args = "uniform A scale=S",
                             .help = "adds noise that is uniform between -S and S",
                             .wants_values = true,
                             .draws = true,
                             .parse = parse_uniform,
                             .apply = add};
const fv_op fv_op_mul = {.name = "mul",
                         .args = "mul A FILE[:KEY]",
                         .help = "multiplies by a vector or a tensor of the selection's shape",
                         .wants_values = true,
                         .parse = parse_values,
                         .apply = multiply};
