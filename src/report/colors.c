#include "report/colors.h"

#include <math.h>
#include <string.h>

typedef struct map {
  const char *name;
  bool diverging;
  int n;
  uint32_t anchors[11]; /* evenly spaced */
} map;

/* ColorBrewer 2.0 (Harrower and Brewer 2003): the 9-class sequential and the 11-class diverging schemes. viridis and
 * cividis: ten of their values; straight lines between them stay within 16/255 of the originals. */
static const map MAPS[] = {
    {"Purples", false, 9, {0xfcfbfd, 0xefedf5, 0xdadaeb, 0xbcbddc, 0x9e9ac8, 0x807dba, 0x6a51a3, 0x54278f, 0x3f007d}},
    {"Reds", false, 9, {0xfff5f0, 0xfee0d2, 0xfcbba1, 0xfc9272, 0xfb6a4a, 0xef3b2c, 0xcb181d, 0xa50f15, 0x67000d}},
    {"Greens", false, 9, {0xf7fcf5, 0xe5f5e0, 0xc7e9c0, 0xa1d99b, 0x74c476, 0x41ab5d, 0x238b45, 0x006d2c, 0x00441b}},
    {"Blues", false, 9, {0xf7fbff, 0xdeebf7, 0xc6dbef, 0x9ecae1, 0x6baed6, 0x4292c6, 0x2171b5, 0x08519c, 0x08306b}},
    {"Greys", false, 9, {0xffffff, 0xf0f0f0, 0xd9d9d9, 0xbdbdbd, 0x969696, 0x737373, 0x525252, 0x252525, 0x000000}},
    {"viridis",
     false,
     10,
     {0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725}},
    {"cividis",
     false,
     10,
     {0x00224e, 0x123570, 0x3b496c, 0x575d6d, 0x707173, 0x8a8678, 0xa59c74, 0xc3b369, 0xe1cc55, 0xfee838}},
    {"RdBu",
     true,
     11,
     {0x67001f, 0xb2182b, 0xd6604d, 0xf4a582, 0xfddbc7, 0xf7f7f7, 0xd1e5f0, 0x92c5de, 0x4393c3, 0x2166ac, 0x053061}},
    {"seismic", true, 5, {0x00004d, 0x0000ff, 0xffffff, 0xff0000, 0x800000}},
};
enum { MAP_COUNT = sizeof MAPS / sizeof *MAPS };

static double channel(uint32_t anchor, int c) { return (double)(anchor >> (16 - 8 * c) & 0xFF); }

fv_status fv_colors_table(const char *name, uint8_t rgb[256][3], bool *diverging, fv_error *err) {
  for (size_t m = 0; m < MAP_COUNT; m++) {
    if (!name || strcmp(MAPS[m].name, name) != 0) continue;
    for (int i = 0; i < 256; i++) {
      double at = i / 255.0 * (MAPS[m].n - 1);
      int k = (int)at < MAPS[m].n - 1 ? (int)at : MAPS[m].n - 2;
      for (int c = 0; c < 3; c++) {
        double a = channel(MAPS[m].anchors[k], c), b = channel(MAPS[m].anchors[k + 1], c);
        rgb[i][c] = (uint8_t)(a + (b - a) * (at - k) + 0.5);
      }
    }
    *diverging = MAPS[m].diverging;
    return FV_OK;
  }
  char known[256] = "";
  for (size_t m = 0; m < MAP_COUNT; m++) {
    strcat(known, m ? ", " : "");
    strcat(known, MAPS[m].name);
  }
  return fv_fail(err, FV_EUSAGE, "colours %s: expected one of %s", name ? name : "(none)", known);
}

/* The range of the finite values; lo > hi when there are none. */
static void range(size_t panels, const fv_heatmap *maps, double *lo, double *hi) {
  *lo = INFINITY, *hi = -INFINITY;
  for (size_t p = 0; p < panels; p++)
    for (int64_t i = 0; i < maps[p].rows * maps[p].cols; i++) {
      double v = (double)maps[p].values[i];
      if (isfinite(v)) *lo = fmin(*lo, v), *hi = fmax(*hi, v);
    }
}

static void find_beyond(fv_scale *s, size_t panels, const fv_heatmap *maps) {
  for (size_t p = 0; p < panels; p++)
    for (int64_t i = 0; i < maps[p].rows * maps[p].cols; i++) {
      double v = (double)maps[p].values[i];
      s->below |= v < s->vmin;
      s->above |= v > s->vmax;
    }
}

fv_status fv_scale_fit(fv_scale *s, const char *colors, float vmin, float vmax, size_t panels, const fv_heatmap *maps,
                       fv_error *err) {
  *s = (fv_scale){0};
  fv_status st = fv_colors_table(colors, s->table, &s->diverging, err);
  if (st) return st;
  if (isinf(vmin) || isinf(vmax) || vmin >= vmax)
    return fv_fail(err, FV_EUSAGE,
                   "the colour scale is from %g to %g; expected two finite numbers, the first the smaller",
                   (double)vmin, (double)vmax);
  double lo, hi;
  range(panels, maps, &lo, &hi);
  if (lo > hi) lo = 0, hi = 1;
  if (s->diverging) {
    double m = fmax(fabs(lo), fabs(hi));
    if (!isnan(vmin) && isnan(vmax)) m = fabs((double)vmin);
    if (isnan(vmin) && !isnan(vmax)) m = fabs((double)vmax);
    if (m == 0) m = 1;
    lo = -m, hi = m;
  }
  s->vmin = isnan(vmin) ? lo : (double)vmin;
  s->vmax = isnan(vmax) ? hi : (double)vmax;
  if (s->vmin >= s->vmax) { /* one value only, or a limit beyond all values */
    double step = fmax(fabs(s->vmin) * 1e-3, 1e-6);
    if (isnan(vmax))
      s->vmax = s->vmin + step;
    else
      s->vmin = s->vmax - step;
  }
  s->low = s->vmin, s->high = s->vmax;
  if (s->diverging) {
    s->high = fmax(fabs(s->vmin), fabs(s->vmax));
    s->low = -s->high;
  }
  find_beyond(s, panels, maps);
  return FV_OK;
}

fv_rgb fv_scale_color(const fv_scale *s, double v) {
  v = fmin(fmax(v, s->vmin), s->vmax);
  int i = (int)floor(256 * ((v - s->low) / (s->high - s->low)));
  i = i < 0 ? 0 : i > 255 ? 255 : i;
  return (fv_rgb){s->table[i][0], s->table[i][1], s->table[i][2]};
}

fv_rgb fv_rgb_ink(fv_rgb c) {
  double luminance = 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b;
  return luminance > 125 ? (fv_rgb){0, 0, 0} : (fv_rgb){255, 255, 255};
}
