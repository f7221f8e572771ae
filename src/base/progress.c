#include "fovea/progress.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* 7 s, 4 min 05 s, 3 h 20 min, 2 d 04 h. */
static void duration(char out[48], double seconds) {
  double s = ceil(seconds);
  if (s < 60)
    snprintf(out, 48, "%.0f s", s);
  else if (s < 3600)
    snprintf(out, 48, "%.0f min %02.0f s", floor(s / 60), fmod(s, 60));
  else if (s < 86400)
    snprintf(out, 48, "%.0f h %02.0f min", floor(s / 3600), floor(fmod(s, 3600) / 60));
  else if (s < 1e9)
    snprintf(out, 48, "%.0f d %02.0f h", floor(s / 86400), floor(fmod(s, 86400) / 3600));
  else
    snprintf(out, 48, "years");
}

/* Three significant digits without an exponent in the usual range, and never a decimal point that a locale chose. */
static void rate_text(char out[48], double r) {
  if (r >= 99.95 && r < 1e9) {
    snprintf(out, 48, "%.0f", r);
    return;
  }
  if (r < 0.01 || r >= 1e9) {
    snprintf(out, 48, "%.0e", r);
    return;
  }
  int decimals = r < 0.9995 ? 3 : r < 9.995 ? 2 : 1;
  double scale = decimals == 3   ? 1000
                 : decimals == 2 ? 100
                                 : 10,
         whole = floor(r), part = nearbyint((r - whole) * scale);
  if (part == scale) whole += 1, part = 0;
  snprintf(out, 48, "%.0f.%0*.0f", whole, decimals, part);
}

size_t fv_progress_format(char *out, size_t n, double done, double total, double seconds, const char *unit) {
  char head[128], rate[48], left[48], tail[128] = "";
  done = done > 0 ? done : 0;
  bool known = total > 0;
  if (known)
    snprintf(head, sizeof head, "%.0f%% %.0f/%.0f", floor(100 * fmin(done / total, 1)), done, total);
  else
    snprintf(head, sizeof head, "%.0f", done);
  if (done > 0 && seconds > 0) {
    double r = done / seconds;
    rate_text(rate, r);
    duration(left, known && done < total ? (total - done) / r : seconds);
    const char *what = !known ? NULL : done < total ? "left" : "taken";
    if (what)
      snprintf(tail, sizeof tail, "/s, %s %s", left, what);
    else
      snprintf(tail, sizeof tail, "/s");
    return (size_t)snprintf(out, n, "%s %s, %s %s%s", head, unit, rate, unit, tail);
  }
  return (size_t)snprintf(out, n, "%s %s", head, unit);
}
