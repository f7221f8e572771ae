/* From values to colours: one scale for all panels of a picture.
 *
 * A scale is plain data, filled once by fv_scale_fit from the values and the wishes of the caller.
 */
#ifndef FOVEA_REPORT_COLORS_H
#define FOVEA_REPORT_COLORS_H

#include "fovea/plot.h"

typedef struct fv_rgb {
  uint8_t r, g, b;
} fv_rgb;

typedef struct fv_scale {
  uint8_t table[256][3];
  bool diverging;
  bool below, above; /* some value lies beyond that end */
  double vmin, vmax; /* the ends of the colour bar, vmin < vmax */
  double low, high;  /* what the first and the last colour stand for; differ from the ends only when diverging */
} fv_scale;

/* vmin and vmax NaN: from the finite values. Errors: FV_EUSAGE (unknown colours, vmin >= vmax, infinite limits). */
fv_status fv_scale_fit(fv_scale *scale, const char *colors, float vmin, float vmax, size_t panels,
                       const fv_heatmap *maps, fv_error *err);
/* v is not NaN. */
fv_rgb fv_scale_color(const fv_scale *scale, double v);
/* Black or white, whichever reads better on the colour. */
fv_rgb fv_rgb_ink(fv_rgb background);

#endif
