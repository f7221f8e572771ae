/* Where everything of a heat map picture goes: sizes and positions in points, labels cleaned and broken into lines.
 *
 *      margin
 *             head (over all)
 *             title             title
 *      y row  +--------+   row  +--------+   bar
 *        row  |  cells |        |        |   |#| tick   (bar label: below, or upwards at the right)
 *        row  +--------+        +--------+   |#| tick
 *              col col           col col
 *               x label
 *
 * All panels have cells of one size. Row labels are drawn once per line of panels and column labels once per column of
 * panels where neighbours have the same ones. A layout owns its strings; release frees them. Maps are borrowed.
 */
#ifndef FOVEA_REPORT_PLOT_LAYOUT_H
#define FOVEA_REPORT_PLOT_LAYOUT_H

#include "report/canvas.h"
#include "report/labels.h"

typedef struct fv_panel {
  const fv_heatmap *map;
  char **rows, **cols;             /* labels of the ticks */
  char *title, *x_label, *y_label; /* broken into lines; "" = none */
  bool show_rows, show_cols, annotate;
  double row_width, col_width; /* of the widest label */
  double x, y;                 /* top left corner of the cells */
} fv_panel;

typedef struct fv_layout {
  size_t count;
  fv_panel *panels;
  size_t across, down; /* of the grid of panels */
  fv_font tick, label, title, head;
  double cell_w, cell_h;
  int decimals;               /* of the values written into cells, as fv_label_value takes them */
  int64_t row_step, col_step; /* every so many-th tick has a label */
  bool upright;               /* column labels run upwards */
  double depth;               /* of the column labels below the cells */
  char *head_text, *bar_label;
  bool bar_label_below;
  double bar_x, bar_y, bar_w, bar_h, bar_ticks; /* bar_ticks: width of its tick labels */
  fv_ticks ticks;                               /* of the bar; fewer than 2: the ends are labelled instead */
  double width, height;
} fv_layout;

enum { FV_BAR_ARROW = 5, FV_TICK = 2, FV_TICK_GAP = 4 }; /* points: arrow, tick mark, from the cells to tick labels */

/* Height of the lines of a text broken by line feeds; 0 for "". */
double fv_lines_height(fv_font font, const char *text);
/* The bar's label i: a tick, or one of the ends. */
void fv_layout_bar_tick(const fv_layout *l, const fv_scale *scale, int i, double *value, char out[FV_LABEL_NUMBER]);
int fv_layout_bar_ticks(const fv_layout *l);

/* Places the colour bar at the right of `right`, beside what lies between top and bottom; *out is its right edge, and
 * *end, the bottom of everything, may move. Uses and sets the parts of the layout that name the bar, and its fonts. */
fv_status fv_layout_bar(fv_layout *l, const fv_scale *scale, const char *label, fv_fonts *fonts, double right,
                        double top, double bottom, double *end, double *out, fv_error *err);

fv_status fv_layout_make(fv_layout *l, size_t panels, const fv_heatmap *maps, const fv_plot_options *o,
                         const fv_scale *scale, fv_picture format, fv_fonts *fonts, fv_error *err);
void fv_layout_release(fv_layout *l);

#define FV_FRAME 0.6   /* points: width of lines */
#define FV_CENTRE 0.36 /* half the height of digits, in font sizes */

/* Lines below each other, centred on x; or, upright, beside each other, centred on y. */
fv_status fv_lines_draw(fv_canvas *c, double x, double y, fv_font font, bool upright, const char *text, fv_error *err);
/* The colour bar where fv_layout_bar has put it. */
fv_status fv_bar_draw(fv_canvas *c, const fv_layout *l, const fv_scale *scale, fv_error *err);

#endif
