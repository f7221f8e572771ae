#include "fovea/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double fv_quantile(const double *sorted, int64_t n, double q) {
  double at = q * (double)(n - 1), below = floor(at), t = at - below;
  int64_t i = (int64_t)below, k = i + 1 < n ? i + 1 : i;
  double step = sorted[k] - sorted[i];
  /* From the nearer end, as numpy does, so that t = 0 and t = 1 are exact. */
  return t >= 0.5 ? sorted[k] - step * (1.0 - t) : sorted[i] + step * t;
}

/* ---- bootstrap ---- */

/* RandomState.randint(0, n): words cut to the bits of n - 1, until one is small enough. */
static int64_t below(fv_rng *r, uint32_t n, uint32_t mask) {
  uint32_t v;
  if (n == 1) return 0;
  do v = fv_rng_word(r) & mask;
  while (v >= n);
  return v;
}

static uint32_t mask_of(uint32_t n) {
  uint32_t mask = n - 1;
  for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  return mask;
}

/* The interval of one column from the means of its resamples, which are sorted on the way. */
static void interval(double *means, int64_t n, double level, double *low, double *high) {
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (!isnan(means[i])) means[kept++] = means[i];
  *low = *high = NAN;
  if (kept == 0) return;
  qsort(means, (size_t)kept, sizeof *means, ascending);
  *low = fv_quantile(means, kept, (1.0 - level) / 2.0);
  *high = fv_quantile(means, kept, 1.0 - (1.0 - level) / 2.0);
}

/* Columns are taken in blocks, so that memory stays small; every block draws the same resamples again. The 144 heads of
 * a stack of twelve layers are one block. */
enum { BLOCK = 256 };

typedef struct bootstrap {
  const double *values;
  int64_t samples, columns, resamples;
  double *means; /* [columns up to BLOCK, resamples] */
} bootstrap;

/* Adds a sample to sums of `width` columns; NaN is no value. */
static void add_present(double *restrict sum, int64_t *restrict count, const double *restrict row, int64_t width) {
  for (int64_t j = 0; j < width; j++) {
    bool there = !isnan(row[j]);
    sum[j] += there ? row[j] : 0.0;
    count[j] += there;
  }
}

/* The same where every sample has every value, which is usual and takes a third of the time. */
static void add_all(double *restrict sum, const double *restrict row, int64_t width) {
  for (int64_t j = 0; j < width; j++) sum[j] += row[j];
}

static bool any_missing(const bootstrap *b) {
  for (int64_t i = 0; i < b->samples * b->columns; i++)
    if (isnan(b->values[i])) return true;
  return false;
}

static void resample_block(const bootstrap *b, int64_t from, int64_t width, bool missing, fv_rng rng) {
  double sum[BLOCK];
  int64_t count[BLOCK];
  uint32_t n = (uint32_t)b->samples, mask = mask_of(n);
  for (int64_t r = 0; r < b->resamples; r++) {
    memset(sum, 0, sizeof sum);
    for (int64_t j = 0; j < width; j++) count[j] = missing ? 0 : b->samples;
    for (int64_t s = 0; s < b->samples; s++) {
      const double *row = b->values + below(&rng, n, mask) * b->columns + from;
      if (missing)
        add_present(sum, count, row, width);
      else
        add_all(sum, row, width);
    }
    for (int64_t j = 0; j < width; j++) b->means[j * b->resamples + r] = count[j] ? sum[j] / (double)count[j] : NAN;
  }
}

fv_status fv_bootstrap_means(const double *values, int64_t samples, int64_t columns, int64_t resamples, double level,
                             int64_t seed, double *low, double *high, fv_error *err) {
  if (samples < 1 || samples >= INT32_MAX || columns < 1 || resamples < 1)
    return fv_fail(err, FV_EUSAGE, "a bootstrap of %lld samples, %lld columns and %lld resamples; each is at least 1",
                   (long long)samples, (long long)columns, (long long)resamples);
  if (!(level > 0.0 && level < 1.0))
    return fv_fail(err, FV_EUSAGE, "the confidence level is %g, expected between 0 and 1", level);
  fv_rng rng;
  fv_status st = fv_rng_numpy(&rng, seed, err);
  if (st) return st;
  size_t cells;
  bootstrap b = {values, samples, columns, resamples, NULL};
  if (fv_mul_size(columns < BLOCK ? (size_t)columns : BLOCK, (size_t)resamples, &cells))
    b.means = fv_alloc(cells, sizeof *b.means);
  if (!b.means) return fv_fail(err, FV_ENOMEM, "no memory for %lld resamples", (long long)resamples);
  bool missing = any_missing(&b);
  for (int64_t from = 0; from < columns; from += BLOCK) {
    int64_t width = columns - from < BLOCK ? columns - from : BLOCK;
    resample_block(&b, from, width, missing, rng);
    for (int64_t j = 0; j < width; j++)
      interval(b.means + j * resamples, resamples, level, &low[from + j], &high[from + j]);
  }
  free(b.means);
  return FV_OK;
}

/* ---- tests ---- */

/* Sums of +-x over groups of 8 numbers for every choice of 8 signs, so that one choice of all signs costs n / 8
 * additions. */
typedef struct flips {
  int64_t groups;
  double *sums; /* [groups, 256] */
} flips;

static double flipped(const flips *f, const uint8_t *bits) {
  double sum = 0.0;
  for (int64_t g = 0; g < f->groups; g++) sum += f->sums[g * 256 + bits[g]];
  return sum;
}

static bool flips_make(flips *f, const double *x, int64_t n) {
  f->groups = (n + 7) / 8;
  f->sums = fv_alloc((size_t)f->groups, 256 * sizeof *f->sums);
  for (int64_t g = 0; f->sums && g < f->groups; g++)
    for (int bits = 0; bits < 256; bits++) {
      double sum = 0.0;
      for (int64_t i = g * 8; i < n && i < g * 8 + 8; i++) sum += bits >> (i - g * 8) & 1 ? -x[i] : x[i];
      f->sums[g * 256 + bits] = sum;
    }
  return f->sums != NULL;
}

/* How many of the choices reach the observed sum. */
static int64_t count_flips(const flips *f, double limit, int64_t choices, bool all, fv_rng *rng, uint8_t *bits) {
  int64_t hits = 0;
  for (int64_t c = 0; c < choices; c++) {
    for (int64_t g = 0; g < f->groups && all; g++) bits[g] = (uint8_t)(c >> (8 * g));
    for (int64_t g = 0; g < f->groups && !all; g += 4) {
      uint32_t word = fv_rng_word(rng);
      for (int64_t k = 0; k < 4; k++) bits[g + k] = (uint8_t)(word >> (8 * k));
    }
    hits += fabs(flipped(f, bits)) >= limit;
  }
  return hits;
}

fv_status fv_sign_flip_test(const double *x, int64_t n, int64_t permutations, int64_t seed, double *p, bool *exact,
                            fv_error *err) {
  fv_rng rng;
  double size = 0.0;
  if (permutations < 1)
    return fv_fail(err, FV_EUSAGE, "%lld permutations; at least 1 is needed", (long long)permutations);
  fv_status st = fv_rng_numpy(&rng, seed, err);
  if (st) return st;
  for (int64_t i = 0; i < n; i++) size += fabs(x[i]);
  if (!isfinite(size)) return fv_fail(err, FV_EUSAGE, "a permutation test needs finite numbers");
  *p = NAN;
  *exact = n < 62 && (int64_t)1 << n <= permutations;
  if (n < 1) return FV_OK;
  flips f = {0};
  uint8_t *bits = fv_alloc((size_t)n / 8 + 8, 1);
  if (bits && flips_make(&f, x, n)) {
    int64_t choices = *exact ? (int64_t)1 << n : permutations;
    double limit = fabs(flipped(&f, bits)) - 1e-12 * size; /* bits are still 0: nothing turned */
    int64_t hits = count_flips(&f, limit, choices, *exact, &rng, bits);
    *p = *exact ? (double)hits / (double)choices : (double)(hits + 1) / (double)(choices + 1);
  } else {
    st = fv_fail(err, FV_ENOMEM, "no memory for a test of %lld samples", (long long)n);
  }
  free(f.sums), free(bits);
  return st;
}

/* lgamma writes a global; this form does not. */
static double log_factorial(int64_t n) {
  int sign;
  return lgamma_r((double)n + 1.0, &sign);
}

static double log_choose(int64_t n, int64_t k) { return log_factorial(n) - log_factorial(k) - log_factorial(n - k); }

double fv_sign_test(const double *x, int64_t n) {
  int64_t up = 0, down = 0;
  for (int64_t i = 0; i < n; i++) up += x[i] > 0.0, down += x[i] < 0.0;
  int64_t m = up + down, k = up < down ? up : down;
  if (2 * k == m) return 1.0;
  /* P(X <= k) from its largest term downwards. */
  double ratio = 1.0, sum = 0.0;
  for (int64_t i = k; i >= 0 && ratio > 1e-20 * sum; i--) {
    sum += ratio;
    ratio *= (double)i / (double)(m - i + 1);
  }
  return fmin(1.0, 2.0 * sum * exp(log_choose(m, k) - (double)m * log(2.0)));
}

void fv_wilson_interval(double share, int64_t n, double *low, double *high) {
  const double z = 1.959963984540054; /* the 0.975 quantile of the normal distribution */
  double m = (double)n, scale = 1.0 + z * z / m, centre = (share + z * z / (2.0 * m)) / scale;
  double half = z / scale * sqrt(share * (1.0 - share) / m + z * z / (4.0 * m * m));
  *low = share == 0.0 ? 0.0 : centre - half;
  *high = share == 1.0 ? 1.0 : centre + half;
}

/* ---- many tests ---- */

typedef struct ranked {
  double p;
  int64_t index;
} ranked;

static int by_p(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return x->p != y->p ? (x->p > y->p) - (x->p < y->p) : (x->index > y->index) - (x->index < y->index);
}

fv_status fv_fdr(const double *p, int64_t n, double *q, fv_error *err) {
  ranked *list = fv_alloc((size_t)(n > 0 ? n : 0), sizeof *list);
  if (!list) return fv_fail(err, FV_ENOMEM, "no memory for %lld tests", (long long)n);
  int64_t m = 0;
  for (int64_t i = 0; i < n; i++) {
    if (p[i] < 0.0 || p[i] > 1.0) {
      free(list);
      return fv_fail(err, FV_EUSAGE, "%g is not a probability", p[i]);
    }
    if (!isnan(p[i])) list[m++] = (ranked){p[i], i};
    q[i] = p[i];
  }
  qsort(list, (size_t)m, sizeof *list, by_p);
  double least = 1.0;
  for (int64_t i = m; i-- > 0;) {
    least = fmin(least, list[i].p * (double)m / (double)(i + 1));
    q[list[i].index] = least;
  }
  free(list);
  return FV_OK;
}

/* ---- overlaps ---- */

/* now[x]: the chance that x things are in all sets so far; then the next set takes each of them or not. */
static void next_set(double *now, double *next, int64_t most, int64_t population, int64_t size) {
  memset(next, 0, (size_t)(most + 1) * sizeof *next);
  double all = log_choose(population, size);
  for (int64_t x = 0; x <= most; x++) {
    if (now[x] == 0.0) continue;
    int64_t least = size - (population - x);
    for (int64_t k = least > 0 ? least : 0; k <= x && k <= size; k++)
      next[k] += now[x] * exp(log_choose(x, k) + log_choose(population - x, size - k) - all);
  }
  memcpy(now, next, (size_t)(most + 1) * sizeof *now);
}

fv_status fv_overlap_chance(int64_t population, size_t sets, const int64_t *sizes, int64_t overlap, double *p,
                            double *expected, fv_error *err) {
  if (sets < 1 || population < 1 || population > 100000)
    return fv_fail(err, FV_EUSAGE, "%zu sets from %lld things; expected at least one set, from 1 to 100000 things",
                   sets, (long long)population);
  int64_t least = population;
  *expected = (double)population;
  for (size_t i = 0; i < sets; i++) {
    if (sizes[i] < 0 || sizes[i] > population)
      return fv_fail(err, FV_EUSAGE, "a set of %lld from %lld things", (long long)sizes[i], (long long)population);
    if (sizes[i] < least) least = sizes[i];
    *expected *= (double)sizes[i] / (double)population;
  }
  int64_t most = sizes[0]; /* the smallest set would do, but the first is what the recursion starts from */
  double *now = fv_alloc((size_t)most + 1, sizeof *now), *next = fv_alloc((size_t)most + 1, sizeof *next);
  fv_status st = now && next ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) {
    now[most] = 1.0;
    for (size_t i = 1; i < sets; i++) next_set(now, next, most, population, sizes[i]);
    double tail = 0.0; /* the smallest terms first */
    for (int64_t x = least; x >= overlap && x >= 0; x--) tail += now[x];
    *p = overlap <= 0 ? 1.0 : fmin(1.0, tail);
  }
  free(now), free(next);
  return st;
}
