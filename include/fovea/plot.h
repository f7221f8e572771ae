/* Heat maps, also over a picture: to PNG, SVG and PDF files, and to a terminal.
 *
 * A heat map is a matrix with labels: rows from the top (token pieces, or layers), columns from the left (layers, or
 * heads). Several maps are drawn as panels in a grid that share one colour scale and one colour bar. The picture aims
 * at a size for print (3.5 x 2 in for one panel) and grows until every tick label fits; only where it would exceed
 * what the format can hold are labels left out. NaN is "no cell" and is drawn hatched; infinite values get the colour
 * of the end of the scale. Values beyond vmin..vmax too; the colour bar then ends in an arrow.
 *
 * Colours: the sequential ColorBrewer maps Purples, Reds, Greens, Blues, Greys; viridis and cividis (even in
 * lightness, safe for the colour-blind); the diverging RdBu (red negative, blue positive) and seismic (blue negative,
 * red positive), whose middle is always 0.
 *
 * SVG and PDF hold text as text. The same input gives the same bytes on one machine (fonts come from fontconfig).
 * Files appear complete or not at all. Labels are UTF-8; control characters are shown escaped (\n). Ownership: all
 * input is borrowed for the call. Threads: any, each call on its own.
 */
#ifndef FOVEA_PLOT_H
#define FOVEA_PLOT_H

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_heatmap {
  int64_t rows, cols;
  const float *values;           /* [rows, cols]; NaN = no cell */
  const char *const *row_labels; /* [rows], or NULL for 0, 1, ... */
  const char *const *col_labels; /* [cols], or NULL for 0, 1, ... */
  const char *title, *x_label, *y_label;
  const char *bar_label; /* what the colour means, with its unit: "p(red)". The first panel's that has one is used */
} fv_heatmap;

typedef struct fv_plot_options {
  const char *colors;
  float vmin, vmax;      /* NaN: from the data of all panels (diverging maps: as far below 0 as above) */
  bool serif;            /* default sans */
  double dpi;            /* PNG only; 36 to 1200 */
  double width, height;  /* inches that one panel with its labels aims at; it grows when they are too small */
  double font_size;      /* points, of the tick labels; 3 to 40 */
  int64_t facet_columns; /* panels side by side; 0 = chosen */
  int64_t annotate;      /* panels with at most this many cells show the values in them */
  const char *title;     /* over all panels; NULL = none */
} fv_plot_options;

/* Purples, scale from the data, sans, 300 dpi, 3.5 x 2 in, 7 points, annotate 24. */
void fv_plot_defaults(fv_plot_options *options);

/* Writes the panels to a file whose extension is .png, .svg or .pdf (any case). NULL options are the defaults.
 * Errors: FV_EUSAGE (extension, colours, options, empty or too large maps), FV_EFORMAT (a label is not UTF-8),
 * FV_EIO, FV_ENOMEM. */
fv_status fv_plot_write(const char *path, size_t panels, const fv_heatmap *maps, const fv_plot_options *options,
                        fv_error *err);

/* Says before the numbers are there whether fv_plot_write will take this name and these colours: its FV_EUSAGE. */
fv_status fv_plot_check(const char *path, const char *colors, fv_error *err);

/* How a map of patches becomes a map of pixels. NEAREST: every pixel has the value of the patch it lies in; nothing is
 * added. CUBIC: a cubic B-spline through the values, corners on corners (scipy.ndimage.zoom, order 3): smooth, moved by
 * up to half a patch at the rim, and it may leave the range of the values. */
typedef enum fv_upsample { FV_UPSAMPLE_NEAREST, FV_UPSAMPLE_CUBIC } fv_upsample;

/* in [rows, cols] to out [out_rows, out_cols], sizes 1 to 32768. Errors: FV_EUSAGE, FV_ENOMEM.
 * Checked by: tests/report/test_zoom.c against scipy. */
fv_status fv_zoom(const double *in, int64_t rows, int64_t cols, fv_upsample how, double *out, int64_t out_rows,
                  int64_t out_cols, fv_error *err);

/* A map over the patches of a picture; values[r * cols + c] belongs to image[r,c], counted from the top left. */
typedef struct fv_overlay {
  int64_t rows, cols;
  const float *values;    /* [rows, cols]; NULL: the picture alone */
  const char *title;      /* "L5 H3" */
  const uint8_t *picture; /* below this one, of the same size; NULL: the picture of all */
} fv_overlay;

typedef struct fv_overlay_options {
  const char *colors;
  float vmin, vmax; /* NaN: from the data of all panels (diverging maps: as far below 0 as above) */
  bool minmax;      /* every map is first scaled to 0..1 by its own ends, and the colours span 0..1 */
  double alpha;     /* share of the colour, 0 to 1; the rest is the picture */
  bool gray;        /* the picture below maps is drawn in shades of gray, so that all colour is the map's */
  fv_upsample upsample;
  bool serif;
  double dpi;            /* PNG only; 36 to 1200 */
  double size;           /* inches of the longer side of one panel; 0: chosen by the number of columns */
  double font_size;      /* points; 3 to 40 */
  int64_t columns;       /* panels side by side; 0: chosen */
  const char *title;     /* over all panels; NULL = none */
  const char *bar_label; /* what the colour means; NULL = nothing is said */
} fv_overlay_options;

/* Reds, scale from the data, alpha 0.5, the picture in colour, nearest, sans, 300 dpi, 7 points. */
void fv_overlay_defaults(fv_overlay_options *options);

/* Draws maps over a picture [height, width, 3], or, where picture is NULL, alone, as panels in a grid with one colour
 * bar. Files, errors and bytes as for fv_plot_write; NaN has no colour. */
fv_status fv_overlay_write(const char *path, const uint8_t *picture, int64_t width, int64_t height, size_t panels,
                           const fv_overlay *maps, const fv_overlay_options *options, fv_error *err);

typedef enum fv_terminal_depth { FV_TERMINAL_PLAIN, FV_TERMINAL_256, FV_TERMINAL_TRUE } fv_terminal_depth;

typedef struct fv_terminal_options {
  const char *colors;
  float vmin, vmax; /* as above */
  fv_terminal_depth depth;
  int64_t width; /* columns of the terminal; at least 20 */
} fv_terminal_options;

/* Purples, scale from the data, plain, 80. */
void fv_terminal_defaults(fv_terminal_options *options);

/* The map as text: row labels at the right of their column, one to three characters per cell, column ticks below, and
 * a legend with the ends of the scale. Plain: shades of block characters, a dot for no cell. A map wider than the
 * terminal goes on below in further bands. *out is released with free(). NULL options are the defaults. */
fv_status fv_plot_terminal(char **out, const fv_heatmap *map, const fv_terminal_options *options, fv_error *err);

/* The 256 colours of a map, from low to high; *diverging says whether its middle means 0. Value v has the colour
 * min(255, floor(256 (v - vmin) / (vmax - vmin))). Unknown names are FV_EUSAGE and the message lists the known ones. */
fv_status fv_colors_table(const char *name, uint8_t rgb[256][3], bool *diverging, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
