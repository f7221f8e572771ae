#include "report/labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

#include "base/bytes.h"
#include "fovea/table.h"

#define ELLIPSIS "\xE2\x80\xA6"

static size_t escape(uint32_t code, char out[8]) {
  if (code == '\n') return (size_t)snprintf(out, 8, "\\n");
  if (code == '\t') return (size_t)snprintf(out, 8, "\\t");
  if (code == '\r') return (size_t)snprintf(out, 8, "\\r");
  if (code < 0x20 || code == 0x7F) return (size_t)snprintf(out, 8, "\\x%02x", (unsigned)code);
  /* C1 controls, line separators, direction overrides, noncharacters: they would move or hide what follows */
  bool hidden = (code >= 0x80 && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
                (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFFFE ||
                code == 0xFFFF;
  if (hidden) return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)code);
  return fv_utf8_put(code, out);
}

char *fv_label_clean(const char *text, size_t longest) {
  size_t n = text ? strlen(text) : 0, used = 0, codes = 0;
  char *out = fv_alloc(n + 1, 8); /* an escape has at most 6 bytes for a code point of at least 1 */
  if (!out) return NULL;
  for (size_t at = 0; at < n; codes++) {
    uint32_t code;
    if (codes == longest) {
      memcpy(out + used, ELLIPSIS, 3);
      used += 3;
      break;
    }
    at += fv_utf8_next(text + at, n - at, &code);
    used += escape(code, out + used);
  }
  out[used] = '\0';
  return out;
}

/* The length of the longest beginning of s[0..n), a whole number of code points, no wider than `limit`. */
static size_t prefix_within(const char *s, size_t n, double limit, fv_label_width width, void *user, char *scratch) {
  size_t good = 0;
  for (size_t at = 0; at < n;) {
    uint32_t code;
    at += fv_utf8_next(s + at, n - at, &code);
    memcpy(scratch, s, at);
    scratch[at] = '\0';
    if (width(user, scratch) > limit) break;
    good = at;
  }
  return good;
}

char *fv_label_wrap(const char *text, double limit, fv_label_width width, void *user) {
  size_t n = strlen(text), used = 0, line = 0;
  char *out = fv_alloc(2 * n + 2, 1), *scratch = fv_alloc(n + 2, 1);
  for (size_t at = 0; out && scratch && at < n;) {
    size_t spaces = strspn(text + at, " "), word = strcspn(text + at + spaces, " ");
    memcpy(scratch, out + line, used - line);
    memcpy(scratch + (used - line), text + at, spaces + word);
    scratch[used - line + spaces + word] = '\0';
    if (width(user, scratch) <= limit) { /* fits on this line, spaces and all */
      memcpy(out + used, text + at, spaces + word);
      used += spaces + word;
      at += spaces + word;
      continue;
    }
    at += spaces;
    if (used > line) {
      out[used++] = '\n';
      line = used;
    }
    size_t part = prefix_within(text + at, word, limit, width, user, scratch);
    if (part == 0 && word > 0) { /* not even one code point fits */
      uint32_t code;
      part = fv_utf8_next(text + at, word, &code);
    }
    memcpy(out + used, text + at, part);
    used += part;
    at += part;
  }
  free(scratch);
  return out;
}

char *fv_label_fit(const char *text, double limit, fv_label_width width, void *user) {
  if (width(user, text) <= limit) return fv_strdup(text);
  size_t n = strlen(text);
  char *scratch = fv_alloc(n + 4, 1);
  if (!scratch) return NULL;
  size_t part = prefix_within(text, n, limit - width(user, ELLIPSIS), width, user, scratch);
  memcpy(scratch, text, part);
  memcpy(scratch + part, ELLIPSIS, 4);
  return scratch;
}

double fv_label_columns(void *unused, const char *text) {
  (void)unused;
  double columns = 0;
  for (size_t at = 0, n = strlen(text); at < n;) {
    uint32_t code;
    at += fv_utf8_next(text + at, n - at, &code);
    int8_t kind = u_charType((UChar32)code);
    int32_t wide = u_getIntPropertyValue((UChar32)code, UCHAR_EAST_ASIAN_WIDTH);
    bool none = kind == U_NON_SPACING_MARK || kind == U_ENCLOSING_MARK || kind == U_FORMAT_CHAR;
    columns += none ? 0 : wide == U_EA_WIDE || wide == U_EA_FULLWIDTH ? 2 : 1;
  }
  return columns;
}

void fv_label_number(char out[FV_LABEL_NUMBER], double v, int digits) {
  if (v != 0 && isfinite(v)) {
    double unit = pow(10, floor(log10(fabs(v))) - digits + 1);
    double rounded = unit < 1 ? nearbyint(v / unit) / nearbyint(1 / unit) : nearbyint(v / unit) * unit;
    if (isfinite(rounded) && rounded != 0) v = rounded;
  }
  if (v == 0) v = 0; /* no minus sign */
  fv_number_format(out, (float)v);
}

/* By hand, so that the decimal point does not depend on the locale. decimals 0 to 7. */
static void fixed(char out[FV_LABEL_NUMBER], double v, int decimals) {
  static const char MINUS[] = "\xE2\x88\x92"; /* as wide as a plus, unlike a hyphen */
  char digits[32];
  int64_t n = llabs(llrint(v * pow(10, decimals)));
  int length = snprintf(digits, sizeof digits, "%0*lld", (decimals & 7) + 1, (long long)n);
  int whole = length - decimals;
  snprintf(out, FV_LABEL_NUMBER, "%s%.*s%s%s", v < 0 && n > 0 ? MINUS : "", whole, digits, decimals ? "." : "",
           digits + whole);
}

int fv_label_decimals(double lo, double hi) {
  double end = fmax(fabs(lo), fabs(hi)), span = lo < 0 && hi > 0 ? end : hi - lo;
  if (!(end < 1e5) || end < 1e-4 || !(span > 0)) return -1;
  double least = end >= 100 ? 0 : end >= 10 ? 1 : 2;
  return (int)fmin(5, fmax(least, 1 - floor(log10(span))));
}

void fv_label_value(char out[FV_LABEL_NUMBER], double v, int decimals) {
  if (v == 0 || decimals < 0 || !(fabs(v) < 1e9))
    fv_label_number(out, v, 2);
  else
    fixed(out, v, decimals);
}

fv_ticks fv_ticks_choose(double lo, double hi, int most) {
  double power = pow(10, floor(log10((hi - lo) / most)));
  static const double STEPS[] = {1, 2, 5, 10, 20, 50};
  fv_ticks t = {0};
  for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
    double slack = (hi - lo) * 1e-6; /* the ends are float32: 0.1f is a little more than 0.1 */
    t.step = STEPS[i] * power;
    t.first = ceil((lo - slack) / t.step) * t.step;
    t.count = (int)floor((hi + slack - t.first) / t.step) + 1;
    if (t.count <= most) break;
  }
  t.decimals = (int)fmax(0, -floor(log10(t.step) + 1e-9));
  if (t.decimals > 6 || fmax(fabs(lo), fabs(hi)) >= 1e7) t.decimals = -1;
  return t;
}

double fv_ticks_at(const fv_ticks *t, int i) { return (nearbyint(t->first / t->step) + i) * t->step; }

void fv_ticks_label(char out[FV_LABEL_NUMBER], const fv_ticks *t, int i) {
  double v = fv_ticks_at(t, i);
  if (t->decimals < 0) {
    fv_label_number(out, v, 6);
    return;
  }
  fixed(out, v, t->decimals);
}
