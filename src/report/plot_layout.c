#include "report/plot_layout.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { MARGIN = 5, PANEL_GAP = 12, BAR_GAP = 10, BAR_WIDTH = 8 };
enum { LONGEST_LABEL = 400, ROW_LABEL_LIMIT = 170, COL_LABEL_LIMIT = 110, CELL_W_LIMIT = 44, CELL_H_LIMIT = 40 };
static const double LINE = 1.25; /* line height in font sizes */

typedef struct measure {
  fv_fonts *fonts;
  fv_font font;
} measure;

static double width_of(void *user, const char *text) {
  const measure *m = user;
  return fv_fonts_width(m->fonts, m->font, text);
}

double fv_lines_height(fv_font font, const char *text) {
  if (!*text) return 0;
  int lines = 1;
  for (; *text; text++) lines += *text == '\n';
  return lines * LINE * font.size;
}

/* ---- labels ---- */

static void free_labels(char **labels, int64_t n) {
  for (int64_t i = 0; labels && i < n; i++) free(labels[i]);
  free(labels);
}

static fv_status clean_labels(const char *const *from, int64_t n, double limit, measure m, char ***out, double *widest,
                              fv_error *err) {
  char **labels = fv_alloc((size_t)n, sizeof *labels);
  if (!labels) return fv_fail(err, FV_ENOMEM, "no memory for %" PRId64 " labels", n);
  *out = labels;
  *widest = 0;
  for (int64_t i = 0; i < n; i++) {
    char *clean = from && from[i] ? fv_label_clean(from[i], LONGEST_LABEL) : fv_format("%" PRId64, i);
    labels[i] = clean ? fv_label_fit(clean, limit, width_of, &m) : NULL;
    free(clean);
    if (!labels[i]) return fv_fail(err, FV_ENOMEM, "no memory for %" PRId64 " labels", n);
    *widest = fmax(*widest, width_of(&m, labels[i]));
  }
  return FV_OK;
}

static bool same_labels(char **a, char **b, int64_t n, int64_t m) {
  if (n != m) return false;
  for (int64_t i = 0; i < n; i++)
    if (strcmp(a[i], b[i]) != 0) return false;
  return true;
}

static fv_status label_panels(fv_layout *l, const fv_plot_options *o, fv_fonts *fonts, fv_error *err) {
  measure m = {fonts, l->tick};
  for (size_t p = 0; p < l->count; p++) {
    fv_panel *a = &l->panels[p];
    fv_status st = clean_labels(a->map->row_labels, a->map->rows, ROW_LABEL_LIMIT, m, &a->rows, &a->row_width, err);
    if (!st) st = clean_labels(a->map->col_labels, a->map->cols, COL_LABEL_LIMIT, m, &a->cols, &a->col_width, err);
    if (st) return st;
    a->annotate = a->map->rows * a->map->cols <= o->annotate;
  }
  for (size_t p = 0; p < l->count; p++) {
    fv_panel *a = &l->panels[p], *left = p % l->across ? a - 1 : NULL;
    fv_panel *below = p + l->across < l->count ? a + l->across : NULL;
    a->show_rows = !left || !same_labels(a->rows, left->rows, a->map->rows, left->map->rows);
    a->show_cols = !below || !same_labels(a->cols, below->cols, a->map->cols, below->map->cols);
  }
  return FV_OK;
}

/* ---- sizes ---- */

/* The width that the values written into cells need; 0 when no panel has them. */
static double annotation_width(const fv_layout *l, fv_fonts *fonts) {
  double widest = 0;
  char text[FV_LABEL_NUMBER];
  for (size_t p = 0; p < l->count; p++)
    for (int64_t i = 0; l->panels[p].annotate && i < l->panels[p].map->rows * l->panels[p].map->cols; i++) {
      float v = l->panels[p].map->values[i];
      if (isnan(v)) continue;
      fv_label_value(text, (double)v, l->decimals);
      widest = fmax(widest, fv_fonts_width(fonts, l->tick, text));
    }
  return widest;
}

static int64_t thin(double *cell, double least, int64_t n, double limit) {
  static const int64_t STEPS[] = {1, 2, 5, 10, 20, 50, 100};
  int64_t step = 1;
  for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
    step = STEPS[i];
    if ((double)n * least / (double)step <= limit) break;
  }
  if ((double)n * *cell > limit) *cell = limit / (double)n;
  return step;
}

static fv_status choose_cells(fv_layout *l, const fv_plot_options *o, fv_picture format, fv_fonts *fonts,
                              fv_error *err) {
  int64_t rows = 1, cols = 1;
  double row_width = 0, col_width = 0, line = LINE * l->tick.size;
  for (size_t p = 0; p < l->count; p++) {
    const fv_panel *a = &l->panels[p];
    rows = a->map->rows > rows ? a->map->rows : rows;
    cols = a->map->cols > cols ? a->map->cols : cols;
    row_width = fmax(row_width, a->row_width);
    col_width = fmax(col_width, a->col_width);
  }
  /* what is left of the wished size beside labels and bar (about 50 points); panels in a grid share two widths */
  double across = (double)l->across, wish = fmin(across, 2) * 72 * o->width - row_width - 50;
  double w = fmin(wish / across / (double)cols, CELL_W_LIMIT);
  w = fmax(w, 90.0 / (double)cols); /* room for a title */
  l->upright = col_width + 3 > fmax(1.3 * w, 3.5 * l->tick.size);
  double least_w = l->upright ? line : col_width + 3, values = annotation_width(l, fonts);
  l->cell_w = fmax(fmax(w, least_w), values > 0 ? values + 4 : 0);
  l->depth = l->upright ? col_width : l->tick.size;
  l->cell_h = fmax(fmin((72 * o->height - 50) / (double)rows, CELL_H_LIMIT), line);
  /* cairo's images end at 32767 pixels, PDF pages at 14400 points */
  double limit = (format == FV_PICTURE_PNG ? fmin(14400, 32000 * 72 / o->dpi) : 14400) - 400;
  l->col_step = thin(&l->cell_w, least_w, cols, limit / across - row_width);
  l->row_step = thin(&l->cell_h, line, rows, limit / (double)l->down);
  if (l->cell_w < 0.1 || l->cell_h < 0.1)
    return fv_fail(err, FV_EUSAGE,
                   "a picture of %zu panels of %" PRId64 " x %" PRId64
                   " cells is too large for its format; draw a part of it, or lower the dpi",
                   l->count, rows, cols);
  return FV_OK;
}

/* ---- positions ---- */

static char *wrapped(const char *text, double limit, fv_font font, fv_fonts *fonts) {
  measure m = {fonts, font};
  char *clean = fv_label_clean(text, LONGEST_LABEL);
  char *lines = clean ? fv_label_wrap(clean, limit, width_of, &m) : NULL;
  free(clean);
  return lines;
}

static fv_status break_texts(fv_layout *l, fv_fonts *fonts, fv_error *err) {
  for (size_t p = 0; p < l->count; p++) {
    fv_panel *a = &l->panels[p];
    double w = (double)a->map->cols * l->cell_w, h = (double)a->map->rows * l->cell_h;
    a->title = wrapped(a->map->title, fmax(w, 90), l->title, fonts);
    a->x_label = wrapped(a->show_cols ? a->map->x_label : NULL, fmax(w, 90), l->label, fonts);
    a->y_label = wrapped(a->show_rows ? a->map->y_label : NULL, fmax(h, 60), l->label, fonts);
    if (!a->title || !a->x_label || !a->y_label) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  }
  return FV_OK;
}

/* Space that a panel needs around its cells. */
static double left_of(const fv_layout *l, const fv_panel *a) {
  double ticks = a->show_rows ? a->row_width + FV_TICK_GAP : 0, y = fv_lines_height(l->label, a->y_label);
  return ticks + (y > 0 ? y + 3 : 0);
}

static double above(const fv_layout *l, const fv_panel *a) {
  double h = fv_lines_height(l->title, a->title);
  return h > 0 ? h + 3 : 0;
}

static double below(const fv_layout *l, const fv_panel *a) {
  double ticks = a->show_cols ? FV_TICK_GAP + l->depth + 2 : 0, x = fv_lines_height(l->label, a->x_label);
  return ticks + (x > 0 ? x + 1 : 0);
}

/* Places the panels; returns the right edge and sets the top and bottom of the cells of the grid. */
static double place_panels(fv_layout *l, double y, double *top, double *bottom, double *end) {
  double right = MARGIN;
  for (size_t i = 0; i < l->down; i++) {
    double up = 0, high = 0, low = 0;
    for (size_t p = i * l->across; p < l->count && p < (i + 1) * l->across; p++) {
      const fv_panel *a = &l->panels[p];
      up = fmax(up, above(l, a));
      high = fmax(high, (double)a->map->rows * l->cell_h);
      low = fmax(low, below(l, a));
    }
    for (size_t p = i * l->across; p < l->count && p < (i + 1) * l->across; p++) l->panels[p].y = y + up;
    if (i == 0) *top = y + up;
    *bottom = y + up + high;
    *end = *bottom + low;
    y = *end + PANEL_GAP / 2.0;
  }
  for (size_t j = 0; j < l->across; j++) {
    double left = 0, wide = 0;
    for (size_t p = j; p < l->count; p += l->across) {
      const fv_panel *a = &l->panels[p];
      left = fmax(left, left_of(l, a));
      wide = fmax(wide, fmax((double)a->map->cols * l->cell_w, 90));
    }
    double x = right + (j > 0 ? PANEL_GAP : 0) + left;
    for (size_t p = j; p < l->count; p += l->across) l->panels[p].x = x;
    right = x + wide;
  }
  return right;
}

int fv_layout_bar_ticks(const fv_layout *l) { return l->ticks.count < 2 ? 2 : l->ticks.count; }

void fv_layout_bar_tick(const fv_layout *l, const fv_scale *scale, int i, double *value, char out[FV_LABEL_NUMBER]) {
  if (l->ticks.count < 2) {
    *value = i == 0 ? scale->vmin : scale->vmax;
    fv_label_number(out, *value, 4);
  } else {
    *value = fv_ticks_at(&l->ticks, i);
    fv_ticks_label(out, &l->ticks, i);
  }
}

fv_status fv_layout_bar(fv_layout *l, const fv_scale *scale, const char *label, fv_fonts *fonts, double right,
                        double top, double bottom, double *end, double *out, fv_error *err) {
  l->bar_x = right + BAR_GAP;
  l->bar_y = top;
  l->bar_w = BAR_WIDTH;
  l->bar_h = fmin(fmax(bottom - top, 40), 220);
  int most = (int)(l->bar_h / (3 * l->tick.size));
  l->ticks = fv_ticks_choose(scale->vmin, scale->vmax, most < 2 ? 2 : most > 6 ? 6 : most);
  l->bar_ticks = 0;
  for (int i = 0; i < fv_layout_bar_ticks(l); i++) {
    char text[FV_LABEL_NUMBER];
    double value;
    fv_layout_bar_tick(l, scale, i, &value, text);
    l->bar_ticks = fmax(l->bar_ticks, fv_fonts_width(fonts, l->tick, text));
  }
  double block = l->bar_w + FV_TICK_GAP + l->bar_ticks, below_width = 0;
  measure m = {fonts, l->label};
  char *clean = fv_label_clean(label, LONGEST_LABEL);
  if (clean) below_width = width_of(&m, clean);
  l->bar_label_below = clean && below_width <= fmax(block, 45);
  l->bar_label = !clean               ? NULL
                 : l->bar_label_below ? fv_strdup(clean)
                                      : fv_label_wrap(clean, fmax(l->bar_h, 60), width_of, &m);
  free(clean);
  if (!l->bar_label) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  double lines = fv_lines_height(l->label, l->bar_label);
  if (l->bar_label_below) {
    *out = l->bar_x + fmax(block, below_width);
    *end = fmax(*end, l->bar_y + l->bar_h + (lines > 0 ? FV_TICK_GAP + 1.5 + lines : l->tick.size / 2));
  } else {
    *out = l->bar_x + block + 4 + lines;
    *end = fmax(*end, l->bar_y + fmax(l->bar_h, 60) + 2);
  }
  return FV_OK;
}

static fv_status place(fv_layout *l, const fv_plot_options *o, const fv_scale *scale, fv_fonts *fonts, fv_error *err) {
  double top = 0, bottom = 0, end = 0, right = 0, start = MARGIN;
  const char *label = NULL;
  for (size_t p = 0; p < l->count && !label; p++) label = l->panels[p].map->bar_label;
  /* the head is as wide as the picture, which is known only after a first placing */
  double edge = place_panels(l, start, &top, &bottom, &end);
  fv_status st = fv_layout_bar(l, scale, label, fonts, edge, top, bottom, &end, &right, err);
  if (st) return st;
  if (!(l->head_text = wrapped(o->title, right - MARGIN, l->head, fonts)))
    return fv_fail(err, FV_ENOMEM, "no memory for labels");
  if (*l->head_text) {
    start += fv_lines_height(l->head, l->head_text) + 4;
    double shift = start - MARGIN;
    for (size_t p = 0; p < l->count; p++) l->panels[p].y += shift;
    l->bar_y += shift;
    end += shift;
  }
  l->width = right + MARGIN;
  l->height = end + MARGIN;
  return FV_OK;
}

/* Counts and ranks have no decimals. */
static int cell_decimals(size_t panels, const fv_heatmap *maps, const fv_scale *scale) {
  for (size_t p = 0; p < panels; p++)
    for (int64_t i = 0; i < maps[p].rows * maps[p].cols; i++) {
      float v = maps[p].values[i];
      if (isfinite(v) && v != nearbyintf(v)) return fv_label_decimals(scale->vmin, scale->vmax);
    }
  return 0;
}

fv_status fv_layout_make(fv_layout *l, size_t panels, const fv_heatmap *maps, const fv_plot_options *o,
                         const fv_scale *scale, fv_picture format, fv_fonts *fonts, fv_error *err) {
  *l = (fv_layout){.count = panels, .decimals = cell_decimals(panels, maps, scale)};
  if (!(l->panels = fv_alloc(panels, sizeof *l->panels)))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu panels", panels);
  for (size_t p = 0; p < panels; p++) l->panels[p].map = &maps[p];
  l->across = o->facet_columns > 0 ? (size_t)o->facet_columns
              : panels <= 3        ? panels
                                   : (size_t)ceil(sqrt((double)panels));
  if (l->across > panels) l->across = panels;
  l->down = (panels + l->across - 1) / l->across;
  l->tick = (fv_font){o->font_size, false};
  l->label = (fv_font){o->font_size + 0.5, false};
  l->title = (fv_font){o->font_size + 1, false};
  l->head = (fv_font){o->font_size + 2, true};
  fv_status st = label_panels(l, o, fonts, err);
  if (!st) st = choose_cells(l, o, format, fonts, err);
  if (!st) st = break_texts(l, fonts, err);
  if (!st) st = place(l, o, scale, fonts, err);
  if (st) fv_layout_release(l);
  return st;
}

void fv_layout_release(fv_layout *l) {
  for (size_t p = 0; l->panels && p < l->count; p++) {
    fv_panel *a = &l->panels[p];
    free_labels(a->rows, a->map->rows);
    free_labels(a->cols, a->map->cols);
    free(a->title);
    free(a->x_label);
    free(a->y_label);
  }
  free(l->panels);
  free(l->head_text);
  free(l->bar_label);
  *l = (fv_layout){0};
}
