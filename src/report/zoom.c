/* Enlarging a map: by patches, or with a cubic B-spline as scipy.ndimage.zoom does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/plot.h"

/* Spline coefficients of n values in place, mirrored at the ends without repeating them. Unser 1999, box 2. */
static void prefilter(double *c, int64_t n) {
  const double z = sqrt(3.0) - 2.0;
  if (n < 2) return;
  for (int64_t i = 0; i < n; i++) c[i] *= 6.0;
  double end = pow(z, (double)(n - 1)), power = z, first = c[0] + end * c[n - 1];
  for (int64_t i = 1; i < n - 1; i++, power *= z) first += power * (c[i] + end * c[n - 1 - i]);
  c[0] = first / (1.0 - end * end);
  for (int64_t i = 1; i < n; i++) c[i] += z * c[i - 1];
  c[n - 1] = (z * c[n - 2] + c[n - 1]) * z / (z * z - 1.0);
  for (int64_t i = n - 1; i-- > 0;) c[i] = z * (c[i + 1] - c[i]);
}

static int64_t mirrored(int64_t i, int64_t n) {
  if (n == 1) return 0;
  if (i < 0) i = -i;
  int64_t period = 2 * (n - 1);
  i %= period;
  return i < n ? i : period - i;
}

/* One line of `in` (n values, `stride` apart) at `m` places of `out`, corners on corners. c [n] is scratch. */
static void stretch(const double *in, int64_t n, int64_t in_stride, double *out, int64_t m, int64_t out_stride,
                    double *c) {
  for (int64_t i = 0; i < n; i++) c[i] = in[i * in_stride];
  if (n > 1 && m != n) prefilter(c, n);
  for (int64_t i = 0; i < m; i++) {
    if (m == n || n == 1) {
      out[i * out_stride] = c[n == 1 ? 0 : i];
      continue;
    }
    double x = m > 1 ? fmin((double)i * (double)(n - 1) / (double)(m - 1), (double)(n - 1)) : 0.0;
    int64_t at = (int64_t)floor(x);
    double t = x - (double)at, u = 1.0 - t;
    double w[4] = {u * u * u / 6.0, (4.0 - 3.0 * t * t * (2.0 - t)) / 6.0, (4.0 - 3.0 * u * u * (2.0 - u)) / 6.0,
                   t * t * t / 6.0};
    double sum = 0.0;
    for (int64_t k = 0; k < 4; k++) sum += w[k] * c[mirrored(at - 1 + k, n)];
    out[i * out_stride] = sum;
  }
}

static fv_status zoom_cubic(const double *in, int64_t rows, int64_t cols, double *out, int64_t out_rows,
                            int64_t out_cols, fv_error *err) {
  double *across = fv_alloc((size_t)rows * (size_t)out_cols, sizeof *across);
  double *scratch = fv_alloc((size_t)(rows > cols ? rows : cols), sizeof *scratch);
  fv_status st = across && scratch ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory to enlarge a map");
  for (int64_t r = 0; r < rows && !st; r++)
    stretch(in + r * cols, cols, 1, across + r * out_cols, out_cols, 1, scratch);
  for (int64_t c = 0; c < out_cols && !st; c++)
    stretch(across + c, rows, out_cols, out + c, out_rows, out_cols, scratch);
  free(across), free(scratch);
  return st;
}

fv_status fv_zoom(const double *in, int64_t rows, int64_t cols, fv_upsample how, double *out, int64_t out_rows,
                  int64_t out_cols, fv_error *err) {
  int64_t limit = 1 << 15;
  if (rows < 1 || cols < 1 || out_rows < 1 || out_cols < 1 || rows > limit || cols > limit || out_rows > limit ||
      out_cols > limit)
    return fv_fail(err, FV_EUSAGE, "a map of %lld x %lld cannot be enlarged to %lld x %lld; each is 1 to 32768",
                   (long long)rows, (long long)cols, (long long)out_rows, (long long)out_cols);
  if (how == FV_UPSAMPLE_CUBIC) return zoom_cubic(in, rows, cols, out, out_rows, out_cols, err);
  for (int64_t r = 0; r < out_rows; r++)
    for (int64_t c = 0; c < out_cols; c++) out[r * out_cols + c] = in[r * rows / out_rows * cols + c * cols / out_cols];
  return FV_OK;
}
