#include "fovea/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "report/canvas.h"
#include "report/colors.h"
#include "report/plot_layout.h"

static const fv_rgb BLACK = {0, 0, 0}, NO_CELL = {0xee, 0xee, 0xee}, HATCH = {0xaa, 0xaa, 0xaa};
static const double HATCH_STEP = 4;

void fv_plot_defaults(fv_plot_options *o) {
  *o = (fv_plot_options){.colors = "Purples",
                         .vmin = NAN,
                         .vmax = NAN,
                         .dpi = 300,
                         .width = 3.5,
                         .height = 2,
                         .font_size = 7,
                         .annotate = 24};
}

/* Diagonals x + y = k * step inside the box, so that the hatching runs on through neighbouring cells. */
static void hatch(fv_canvas *c, double x, double y, double w, double h) {
  for (double k = ceil((x + y) / HATCH_STEP) * HATCH_STEP; k < x + w + y + h; k += HATCH_STEP) {
    double x0 = fmin(x + w, k - y), x1 = fmax(x, k - y - h);
    fv_canvas_line(c, x0, k - x0, x1, k - x1, 0.4, HATCH);
  }
}

static void draw_cells(fv_canvas *c, const fv_layout *l, const fv_panel *a, const fv_scale *scale) {
  const fv_heatmap *m = a->map;
  for (int64_t i = 0; i < m->rows; i++)
    for (int64_t j = 0; j < m->cols; j++) {
      float v = m->values[i * m->cols + j];
      /* each cell reaches a little under the next ones, which are drawn over it: no seams in PDF and SVG */
      double w = l->cell_w + (j + 1 < m->cols ? fmin(0.4, l->cell_w / 2) : 0);
      double h = l->cell_h + (i + 1 < m->rows ? fmin(0.4, l->cell_h / 2) : 0);
      fv_canvas_rect(c, a->x + (double)j * l->cell_w, a->y + (double)i * l->cell_h, w, h,
                     isnan(v) ? NO_CELL : fv_scale_color(scale, (double)v));
    }
  for (int64_t i = 0; i < m->rows; i++)
    for (int64_t j = 0; j < m->cols && fmin(l->cell_w, l->cell_h) > 1.5; j++)
      if (isnan(m->values[i * m->cols + j]))
        hatch(c, a->x + (double)j * l->cell_w, a->y + (double)i * l->cell_h, l->cell_w, l->cell_h);
  for (int64_t i = 0; a->annotate && i < m->rows * m->cols; i++) {
    char text[FV_LABEL_NUMBER];
    if (isnan(m->values[i])) continue;
    fv_label_value(text, (double)m->values[i], l->decimals);
    fv_canvas_text(c, a->x + ((double)(i % m->cols) + 0.5) * l->cell_w,
                   a->y + ((double)(i / m->cols) + 0.5) * l->cell_h + FV_CENTRE * l->tick.size, l->tick, 0.5, false,
                   fv_rgb_ink(fv_scale_color(scale, (double)m->values[i])), text);
  }
}

static void draw_ticks(fv_canvas *c, const fv_layout *l, const fv_panel *a) {
  const fv_heatmap *m = a->map;
  double bottom = a->y + (double)m->rows * l->cell_h;
  for (int64_t i = 0; i < m->rows; i += l->row_step) {
    double y = a->y + ((double)i + 0.5) * l->cell_h;
    fv_canvas_line(c, a->x - FV_TICK, y, a->x, y, FV_FRAME, BLACK);
    if (a->show_rows)
      fv_canvas_text(c, a->x - FV_TICK_GAP, y + FV_CENTRE * l->tick.size, l->tick, 1, false, BLACK, a->rows[i]);
  }
  for (int64_t j = 0; j < m->cols; j += l->col_step) {
    double x = a->x + ((double)j + 0.5) * l->cell_w;
    fv_canvas_line(c, x, bottom, x, bottom + FV_TICK, FV_FRAME, BLACK);
    if (!a->show_cols) continue;
    if (l->upright)
      fv_canvas_text(c, x + FV_CENTRE * l->tick.size, bottom + FV_TICK_GAP, l->tick, 1, true, BLACK, a->cols[j]);
    else
      fv_canvas_text(c, x, bottom + FV_TICK_GAP + 0.8 * l->tick.size, l->tick, 0.5, false, BLACK, a->cols[j]);
  }
}

static fv_status draw_panel(fv_canvas *c, const fv_layout *l, const fv_panel *a, const fv_scale *scale, fv_error *err) {
  double w = (double)a->map->cols * l->cell_w, h = (double)a->map->rows * l->cell_h;
  draw_cells(c, l, a, scale);
  fv_canvas_frame(c, a->x, a->y, w, h, FV_FRAME, BLACK);
  draw_ticks(c, l, a);
  fv_status st =
      fv_lines_draw(c, a->x + w / 2, a->y - 3 - fv_lines_height(l->title, a->title), l->title, false, a->title, err);
  double below = a->y + h + (a->show_cols ? FV_TICK_GAP + l->depth + 2 : 0) + 1;
  if (!st) st = fv_lines_draw(c, a->x + w / 2, below, l->label, false, a->x_label, err);
  double left = a->x - (a->show_rows ? a->row_width + FV_TICK_GAP : 0) - 3 - fv_lines_height(l->label, a->y_label);
  if (!st) st = fv_lines_draw(c, left, a->y + h / 2, l->label, true, a->y_label, err);
  return st;
}

static fv_status draw(fv_canvas *c, const fv_layout *l, const fv_scale *scale, fv_error *err) {
  fv_status st = fv_lines_draw(c, l->width / 2, 5, l->head, false, l->head_text, err);
  for (size_t p = 0; p < l->count && !st; p++) st = draw_panel(c, l, &l->panels[p], scale, err);
  return st ? st : fv_bar_draw(c, l, scale, err);
}

static fv_status check_text(const char *path, const char *what, const char *text, fv_error *err) {
  size_t bad;
  if (!text || fv_utf8_valid(text, strlen(text), &bad)) return FV_OK;
  return fv_fail(err, FV_EFORMAT, "%s: a %s is not UTF-8 at byte %zu", path, what, bad);
}

static fv_status check_map(const char *path, const fv_heatmap *m, fv_error *err) {
  int64_t cells;
  if (m->rows < 1 || m->cols < 1 || !fv_mul_i64(m->rows, m->cols, &cells) || cells > 16000000 || !m->values)
    return fv_fail(err, FV_EUSAGE,
                   "%s: a heat map has %" PRId64 " x %" PRId64 " cells; from 1 to 16 million can be drawn", path,
                   m->rows, m->cols);
  fv_status st = check_text(path, "title", m->title, err);
  if (!st) st = check_text(path, "axis label", m->x_label, err);
  if (!st) st = check_text(path, "axis label", m->y_label, err);
  if (!st) st = check_text(path, "label of the colour bar", m->bar_label, err);
  for (int64_t i = 0; m->row_labels && i < m->rows && !st; i++)
    st = check_text(path, "row label", m->row_labels[i], err);
  for (int64_t i = 0; m->col_labels && i < m->cols && !st; i++)
    st = check_text(path, "column label", m->col_labels[i], err);
  return st;
}

static fv_status check(const char *path, size_t panels, const fv_heatmap *maps, const fv_plot_options *o,
                       fv_error *err) {
  if (panels < 1 || panels > 1000) return fv_fail(err, FV_EUSAGE, "%s: %zu panels; expected 1 to 1000", path, panels);
  if (!(o->dpi >= 36 && o->dpi <= 1200))
    return fv_fail(err, FV_EUSAGE, "%s: dpi is %g; expected 36 to 1200", path, o->dpi);
  if (!(o->font_size >= 3 && o->font_size <= 40))
    return fv_fail(err, FV_EUSAGE, "%s: the font size is %g points; expected 3 to 40", path, o->font_size);
  if (!(o->width >= 1 && o->width <= 100 && o->height >= 0.5 && o->height <= 100))
    return fv_fail(err, FV_EUSAGE, "%s: the size is %g x %g inches; expected 1 x 0.5 to 100 x 100", path, o->width,
                   o->height);
  if (o->facet_columns < 0) return fv_fail(err, FV_EUSAGE, "%s: %" PRId64 " facet columns", path, o->facet_columns);
  fv_status st = check_text(path, "title", o->title, err);
  for (size_t p = 0; p < panels && !st; p++) st = check_map(path, &maps[p], err);
  return st;
}

/* Draws the laid out picture into its file. */
static fv_status write_picture(const char *path, fv_picture format, const fv_layout *l, const fv_scale *scale,
                               const fv_plot_options *o, fv_fonts *fonts, fv_error *err) {
  double pixels = l->width * l->height * o->dpi * o->dpi / (72 * 72);
  if (format == FV_PICTURE_PNG && pixels > 2.5e8)
    return fv_fail(err, FV_EUSAGE, "%s: the picture would have %.0f million pixels, more than 250; lower the dpi of %g",
                   path, pixels / 1e6, o->dpi);
  const char *title = o->title ? o->title : l->panels[0].map->title ? l->panels[0].map->title : "heat map";
  char *clean = fv_label_clean(title, 400);
  if (!clean) return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  fv_canvas *c;
  fv_status st = fv_canvas_open(path, format, l->width, l->height, o->dpi, fonts, clean, &c, err);
  free(clean);
  if (st) return st;
  st = draw(c, l, scale, err);
  if (!st) return fv_canvas_finish(c, err);
  fv_canvas_abort(c);
  return st;
}

fv_status fv_plot_write(const char *path, size_t panels, const fv_heatmap *maps, const fv_plot_options *options,
                        fv_error *err) {
  fv_plot_options defaults;
  fv_plot_defaults(&defaults);
  const fv_plot_options *o = options ? options : &defaults;
  fv_picture format;
  fv_scale scale;
  fv_status st = fv_picture_of(path, &format, err);
  if (!st) st = check(path, panels, maps, o, err);
  if (!st) st = fv_scale_fit(&scale, o->colors, o->vmin, o->vmax, panels, maps, err);
  if (st) return st;
  fv_fonts *fonts;
  if ((st = fv_fonts_new(o->serif, &fonts, err))) return st;
  fv_layout l;
  st = fv_layout_make(&l, panels, maps, o, &scale, format, fonts, err);
  if (!st) {
    st = write_picture(path, format, &l, &scale, o, fonts, err);
    fv_layout_release(&l);
  }
  fv_fonts_free(fonts);
  return st;
}

fv_status fv_plot_check(const char *path, const char *colors, fv_error *err) {
  fv_picture format;
  uint8_t table[256][3];
  bool diverging;
  fv_status st = fv_picture_of(path, &format, err);
  return st ? st : fv_colors_table(colors, table, &diverging, err);
}
