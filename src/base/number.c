#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/table.h"

/* Powers of ten that are exact in float64. */
static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT = 22 };

/* True when digits * 10^exponent, correctly rounded, is v (v > 0). */
static bool reads_back(uint64_t digits, int exponent, float v) {
  if (exponent >= -EXACT && exponent <= EXACT) {
    double d = exponent < 0 ? (double)digits / POWERS[-exponent] : (double)digits * POWERS[exponent];
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    /* One correctly rounded float64 operation; rounding it again to float32 is right unless it lies exactly halfway
     * between two normal float32 numbers. */
    if ((bits & 0x1FFFFFFF) != 0x10000000 && d > 1e-37 && d < 3e38) return (float)d == v;
  }
  char text[48]; /* no decimal point, so the locale does not matter */
  snprintf(text, sizeof text, "%llue%d", (unsigned long long)digits, exponent);
  return strtof(text, NULL) == v;
}

/* The p-digit decimal nearest to v > 0: *digits * 10^*exponent; `ten` is floor(log10(v)). */
static void nearest(float v, int p, int ten, uint64_t *digits, int *exponent) {
  int shift = p - 1 - ten;
  if (shift >= -EXACT && shift <= EXACT) {
    double d = shift < 0 ? (double)v / POWERS[-shift] : (double)v * POWERS[shift];
    *digits = (uint64_t)nearbyint(d);
    *exponent = -shift;
    return;
  }
  char text[48];
  snprintf(text, sizeof text, "%.*e", p - 1, (double)v);
  char *e = strchr(text, 'e');
  *digits = 0;
  for (const char *c = text; c < e; c++)
    if (*c >= '0' && *c <= '9') *digits = *digits * 10 + (uint64_t)(*c - '0');
  *exponent = (int)strtol(e + 1, NULL, 10) - (p - 1);
}

/* The shortest decimal; at a power of two the nearest one may fail where its neighbour succeeds, because the gap
 * below is half the gap above. */
static void shortest(float v, uint64_t *digits, int *exponent) {
  int ten = (int)floor(log10((double)v));
  for (int p = 1; p <= 9; p++) {
    nearest(v, p, ten, digits, exponent);
    if (reads_back(*digits, *exponent, v)) break;
    if (reads_back(*digits + 1, *exponent, v)) {
      ++*digits;
      break;
    }
  }
  while (*digits % 10 == 0) *digits /= 10, ++*exponent;
}

static char *put(char *at, const char *text, int n) {
  memcpy(at, text, (size_t)n);
  return at + n;
}

/* Without printf, which takes most of the time of a table of millions of numbers. */
size_t fv_number_format(char out[FV_NUMBER_TEXT], float value) {
  static const char zeros[] = "0000000000000000";
  if (isnan(value)) return out[0] = '\0', (size_t)0;
  const char *sign = signbit(value) ? "-" : "";
  if (isinf(value)) return (size_t)snprintf(out, FV_NUMBER_TEXT, "%sinf", sign);
  if (value == 0) return (size_t)snprintf(out, FV_NUMBER_TEXT, "%s0", sign);
  uint64_t digits;
  int exponent;
  shortest(fabsf(value), &digits, &exponent);
  char text[FV_WHOLE_TEXT], *at = out;
  int n = (int)fv_whole_put(text, (int64_t)digits), point = n + exponent;
  if (point > 16 || point < -4) {
    const char *dot = n > 1 ? "." : "";
    return (size_t)snprintf(out, FV_NUMBER_TEXT, "%s%c%s%se%d", sign, text[0], dot, text + 1, point - 1);
  }
  at = put(at, sign, sign[0] ? 1 : 0);
  if (exponent >= 0) {
    at = put(put(at, text, n), zeros, exponent);
  } else if (point <= 0) {
    at = put(put(put(at, "0.", 2), zeros, -point), text, n);
  } else {
    at = put(put(put(at, text, point), ".", 1), text + point, n - point);
  }
  *at = '\0';
  return (size_t)(at - out);
}
