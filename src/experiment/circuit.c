#include "fovea/circuit.h"

#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"

void fv_circuit_defaults(fv_circuit_options *o) {
  *o = (fv_circuit_options){
      .threshold = 2.0, .bootstrap = 10000, .level = 0.95, .test = FV_TEST_PERMUTATION, .fdr = 0.05};
}

void fv_circuit_release(fv_circuit *c) {
  free(c->list), free(c->profile);
  *c = (fv_circuit){0};
}

static fv_status check(int64_t samples, int64_t layers, int64_t heads, const fv_circuit_options *o, size_t *cells,
                       fv_error *err) {
  int64_t n = 0, all = 0;
  if (samples < 1 || layers < 1 || heads < 1 || !fv_mul_i64(layers, heads, &n) || !fv_mul_i64(n, samples, &all))
    return fv_fail(err, FV_EUSAGE, "%lld samples of %lld layers of %lld heads; each is at least 1", (long long)samples,
                   (long long)layers, (long long)heads);
  if (!isfinite(o->threshold)) return fv_fail(err, FV_EUSAGE, "the threshold is %g standard deviations", o->threshold);
  if (!(o->fdr > 0.0 && o->fdr <= 1.0))
    return fv_fail(err, FV_EUSAGE, "the false discovery rate is %g, expected above 0, up to 1", o->fdr);
  if (o->bootstrap < 0) return fv_fail(err, FV_EUSAGE, "%lld resamples", (long long)o->bootstrap);
  *cells = (size_t)all;
  return FV_OK;
}

/* Means and counts of one head; `kept` receives its finite values. */
static void measure(fv_head_score *h, const double *x, int64_t samples, int64_t stride, double *kept) {
  double magnitude = 0.0, sum = 0.0;
  for (int64_t s = 0; s < samples; s++) {
    double v = x[s * stride];
    if (isnan(v)) continue;
    kept[h->samples++] = v;
    magnitude += fabs(v), sum += v;
  }
  double n = (double)h->samples;
  h->excluded = samples - h->samples;
  h->importance = h->samples ? magnitude / n : NAN;
  h->mean = h->samples ? sum / n : NAN;
  h->low = h->high = h->p = h->q = NAN;
}

/* The smallest p is one in so many; times the number of heads it must stay below the rate, twice over. */
static int64_t choose_permutations(const fv_circuit_options *o, int64_t heads) {
  double enough = 2.0 * (double)heads / o->fdr;
  return o->permutations ? o->permutations : enough < 10000.0 ? 10000 : enough < 1e7 ? (int64_t)enough : 10000000;
}

static fv_status test_head(fv_head_score *h, const double *kept, const fv_circuit_options *o, int64_t permutations,
                           bool *exact, fv_error *err) {
  if (h->samples == 0 || o->test == FV_TEST_NONE) return FV_OK;
  if (o->test == FV_TEST_SIGN) return h->p = fv_sign_test(kept, h->samples), FV_OK;
  bool all = false;
  fv_status st = fv_sign_flip_test(kept, h->samples, permutations, o->seed, &h->p, &all, err);
  *exact = *exact && all;
  return st;
}

/* Mean, population standard deviation and threshold over the heads, and who is above it. */
static void judge(fv_circuit *c, const fv_circuit_options *o) {
  int64_t n = c->layers * c->heads;
  double sum = 0.0, squares = 0.0;
  for (int64_t i = 0; i < n; i++)
    if (c->list[i].samples) sum += c->list[i].importance;
  c->mean = sum / (double)c->measured;
  for (int64_t i = 0; i < n; i++)
    if (c->list[i].samples) squares += (c->list[i].importance - c->mean) * (c->list[i].importance - c->mean);
  c->sd = sqrt(squares / (double)c->measured);
  c->threshold = c->mean + o->threshold * c->sd;
  for (int64_t i = 0; i < n; i++) {
    fv_head_score *h = &c->list[i];
    h->above = h->samples > 0 && h->importance >= c->threshold;
    h->significant = h->q <= o->fdr;
    h->in_circuit = h->above && (h->significant || o->test == FV_TEST_NONE);
    c->size += h->in_circuit;
  }
}

static void profile(fv_circuit *c) {
  for (int64_t l = 0; l < c->layers; l++) {
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t h = 0; h < c->heads; h++) {
      const fv_head_score *one = &c->list[l * c->heads + h];
      if (one->samples) sum += one->importance, n++;
    }
    c->profile[l] = n ? sum / (double)n : NAN;
  }
}

static fv_status correct(fv_circuit *c, fv_error *err) {
  int64_t n = c->layers * c->heads;
  double *p = fv_alloc((size_t)n, sizeof *p);
  if (!p) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < n; i++) p[i] = c->list[i].p;
  fv_status st = fv_fdr(p, n, p, err);
  for (int64_t i = 0; i < n; i++) c->list[i].q = p[i];
  free(p);
  return st;
}

/* Turns `x` into magnitudes and bootstraps their means. */
static fv_status intervals(fv_circuit *c, double *x, size_t cells, const fv_circuit_options *o, fv_error *err) {
  int64_t n = c->layers * c->heads;
  if (o->bootstrap == 0) return FV_OK;
  double *low = fv_alloc((size_t)n, sizeof *low), *high = fv_alloc((size_t)n, sizeof *high);
  fv_status st = low && high ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < cells; i++) x[i] = fabs(x[i]);
  if (!st) st = fv_bootstrap_means(x, c->samples, n, o->bootstrap, o->level, o->seed, low, high, err);
  for (int64_t i = 0; i < n && !st; i++) c->list[i].low = low[i], c->list[i].high = high[i];
  free(low), free(high);
  return st;
}

static fv_status find(fv_circuit *c, double *x, size_t cells, double *kept, const fv_circuit_options *o,
                      fv_error *err) {
  int64_t n = c->layers * c->heads;
  fv_status st = FV_OK;
  int64_t permutations = choose_permutations(o, n);
  c->exact = o->test == FV_TEST_PERMUTATION;
  for (int64_t i = 0; i < n && !st; i++) {
    c->list[i].layer = i / c->heads, c->list[i].head = i % c->heads;
    measure(&c->list[i], x + i, c->samples, n, kept);
    c->measured += c->list[i].samples > 0;
    if (c->list[i].samples) c->excluded += c->list[i].excluded;
    st = test_head(&c->list[i], kept, o, permutations, &c->exact, err);
  }
  if (!st && c->measured == 0)
    st = fv_fail(
        err, FV_ENOTFOUND,
        "no head has a value in any sample; logit_diff and effect need an incorrect answer, prob and p_diff do not");
  if (!st) st = correct(c, err);
  if (st) return st;
  judge(c, o);
  profile(c);
  return intervals(c, x, cells, o, err);
}

fv_status fv_circuit_find(const double *values, int64_t samples, int64_t layers, int64_t heads,
                          const fv_circuit_options *options, fv_circuit *out, fv_error *err) {
  size_t cells = 0;
  *out = (fv_circuit){.samples = samples, .layers = layers, .heads = heads};
  fv_status st = check(samples, layers, heads, options, &cells, err);
  if (st) return st;
  double *x = fv_alloc(cells, sizeof *x), *kept = fv_alloc((size_t)samples, sizeof *kept);
  out->list = fv_alloc((size_t)(layers * heads), sizeof *out->list);
  out->profile = fv_alloc((size_t)layers, sizeof *out->profile);
  if (!x || !kept || !out->list || !out->profile) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < cells && !st; i++) x[i] = isfinite(values[i]) ? values[i] : options->nan_zero ? 0.0 : NAN;
  if (!st) st = find(out, x, cells, kept, options, err);
  free(x), free(kept);
  if (st) fv_circuit_release(out);
  return st;
}

fv_status fv_circuit_common(size_t n, const fv_circuit *circuits, bool *common, fv_universal *out, fv_error *err) {
  *out = (fv_universal){0};
  if (n < 1) return fv_fail(err, FV_EUSAGE, "no circuits to compare");
  int64_t heads = circuits[0].layers * circuits[0].heads, *sizes = fv_alloc(n, sizeof *sizes);
  if (!sizes) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t k = 1; k < n; k++)
    if (circuits[k].layers != circuits[0].layers || circuits[k].heads != circuits[0].heads) {
      free(sizes);
      return fv_fail(err, FV_ESHAPE, "one study has %lld x %lld heads, another %lld x %lld; they are not of one stack",
                     (long long)circuits[0].layers, (long long)circuits[0].heads, (long long)circuits[k].layers,
                     (long long)circuits[k].heads);
    }
  for (int64_t i = 0; i < heads; i++) {
    bool measured = true;
    common[i] = true;
    for (size_t k = 0; k < n; k++) measured &= circuits[k].list[i].samples > 0;
    for (size_t k = 0; k < n; k++) {
      bool in = measured && circuits[k].list[i].in_circuit;
      sizes[k] += in;
      common[i] &= in;
    }
    out->population += measured;
    out->count += common[i];
  }
  fv_status st = FV_OK;
  if (out->population == 0)
    st = fv_fail(err, FV_ENOTFOUND, "the studies have no head in common that all of them measured");
  if (!st) st = fv_overlap_chance(out->population, n, sizes, out->count, &out->p, &out->expected, err);
  free(sizes);
  return st;
}
