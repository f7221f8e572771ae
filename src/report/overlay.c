#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "report/canvas.h"
#include "report/colors.h"
#include "report/plot_layout.h"

enum { MARGIN = 5, GAP = 9, TITLE_GAP = 3, MOST_PANELS = 4096 };

void fv_overlay_defaults(fv_overlay_options *o) {
  *o = (fv_overlay_options){.colors = "Reds", .vmin = NAN, .vmax = NAN, .alpha = 0.5, .dpi = 300, .font_size = 7};
}

/* What drawing needs to know. */
typedef struct page {
  const uint8_t *picture;
  int64_t width, height; /* of the picture */
  size_t panels;
  const fv_overlay *maps;
  const fv_overlay_options *o;
  fv_fonts *fonts;
  fv_scale scale;
  fv_layout l; /* its fonts, head and colour bar; the panels are placed here */
  size_t across, down;
  double w, h, title; /* points: a panel, and the height of its title */
  double top;
} page;

/* ---- maps ---- */

/* The map as it is drawn, before it is enlarged. */
static void prepare(const page *p, const fv_overlay *m, double *out) {
  int64_t n = m->rows * m->cols;
  double lo = INFINITY, hi = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    out[i] = (double)m->values[i];
    if (isfinite(out[i])) lo = fmin(lo, out[i]), hi = fmax(hi, out[i]);
  }
  if (!p->o->minmax) return;
  for (int64_t i = 0; i < n; i++) out[i] = hi > lo ? (out[i] - lo) / (hi - lo) : out[i] - out[i];
}

/* out [rows, cols] in pixels; malloc'ed. */
static fv_status enlarge(const page *p, const fv_overlay *m, int64_t rows, int64_t cols, double **out, fv_error *err) {
  double *small = fv_alloc((size_t)(m->rows * m->cols), sizeof *small);
  *out = fv_alloc((size_t)(rows * cols), sizeof **out);
  fv_status st = small && *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory to enlarge a map");
  if (!st) prepare(p, m, small);
  if (!st) st = fv_zoom(small, m->rows, m->cols, p->o->upsample, *out, rows, cols, err);
  free(small);
  if (st) free(*out), *out = NULL;
  return st;
}

/* A cubic map may leave the range of its values, so the scale is taken from what is drawn. */
static fv_status fit_scale(page *p, fv_error *err) {
  float ends[2] = {INFINITY, -INFINITY};
  fv_status st = FV_OK;
  for (size_t i = 0; i < p->panels && !st; i++) {
    const fv_overlay *m = &p->maps[i];
    double *pixels = NULL;
    int64_t k = p->o->upsample == FV_UPSAMPLE_CUBIC ? 8 : 1, n = m->rows * m->cols * k * k;
    if (!m->values) continue;
    st = enlarge(p, m, m->rows * k, m->cols * k, &pixels, err);
    for (int64_t j = 0; j < n && !st; j++)
      if (isfinite(pixels[j])) ends[0] = fminf(ends[0], (float)pixels[j]), ends[1] = fmaxf(ends[1], (float)pixels[j]);
    free(pixels);
  }
  if (st) return st;
  bool any = ends[0] <= ends[1];
  fv_heatmap range = {.rows = 1, .cols = 2, .values = any ? ends : (float[]){NAN, NAN}};
  st = fv_scale_fit(&p->scale, p->o->colors, p->o->minmax ? 0.0f : p->o->vmin, p->o->minmax ? 1.0f : p->o->vmax, 1,
                    &range, err);
  if (!st && p->o->minmax) {
    p->scale.diverging = p->scale.below = p->scale.above = false;
    p->scale.low = 0.0, p->scale.high = 1.0;
  }
  return st;
}

/* ---- pixels ---- */

/* One channel of the picture where the raster's pixel lies: the mean of what it covers when the raster is coarser,
 * the pixel itself when that is much larger than the raster's, linear between the four next ones else. */
static double covered(const page *p, const uint8_t *picture, int64_t r, int64_t c, int64_t rows, int64_t cols,
                      int channel) {
  double y0 = (double)r * (double)p->height / (double)rows, y1 = (double)(r + 1) * (double)p->height / (double)rows;
  double x0 = (double)c * (double)p->width / (double)cols, x1 = (double)(c + 1) * (double)p->width / (double)cols;
  double sum = 0.0, area = 0.0;
  if (y1 - y0 < 1.0 && y1 - y0 > 0.25) { /* linear: a box of one pixel around the middle */
    double y = (y0 + y1) / 2, x = (x0 + x1) / 2;
    y0 = fmax(y - 0.5, 0.0), y1 = fmin(y + 0.5, (double)p->height);
    x0 = fmax(x - 0.5, 0.0), x1 = fmin(x + 0.5, (double)p->width);
  }
  for (int64_t i = (int64_t)y0; i < p->height && (double)i < y1; i++)
    for (int64_t k = (int64_t)x0; k < p->width && (double)k < x1; k++) {
      double a = (fmin(y1, (double)i + 1) - fmax(y0, (double)i)) * (fmin(x1, (double)k + 1) - fmax(x0, (double)k));
      sum += a * picture[(i * p->width + k) * 3 + channel];
      area += a;
    }
  return area > 0.0 ? sum / area : 255.0;
}

static double luma(const uint8_t *rgb) { return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]; }

static fv_status paint(const page *p, const fv_overlay *m, int64_t rows, int64_t cols, const uint8_t *background,
                       uint8_t *rgb, fv_error *err) {
  double *map = NULL;
  fv_status st = m->values ? enlarge(p, m, rows, cols, &map, err) : FV_OK;
  if (st) return st;
  double alpha = p->picture ? p->o->alpha : 1.0;
  for (int64_t i = 0; i < rows * cols; i++) {
    bool there = map && !isnan(map[i]);
    fv_rgb c = there ? fv_scale_color(&p->scale, map[i]) : (fv_rgb){0, 0, 0};
    double share = there ? alpha : 0.0, color[3] = {c.r, c.g, c.b};
    for (int k = 0; k < 3; k++) {
      double below = p->o->gray && map ? luma(background + i * 3) : background[i * 3 + k];
      rgb[i * 3 + k] = (uint8_t)nearbyint(share * color[k] + (1.0 - share) * below);
    }
  }
  free(map);
  return FV_OK;
}

static const uint8_t *picture_below(const page *p, size_t i) {
  return p->picture && p->maps[i].picture ? p->maps[i].picture : p->picture;
}

/* A picture in the raster's size, or white. */
static void fill_background(const page *p, const uint8_t *picture, int64_t rows, int64_t cols, uint8_t *rgb) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++)
      for (int k = 0; k < 3; k++)
        rgb[(r * cols + c) * 3 + k] = picture ? (uint8_t)nearbyint(covered(p, picture, r, c, rows, cols, k)) : 255;
}

/* ---- the page ---- */

static double width_of(void *user, const char *text) {
  const page *p = user;
  return fv_fonts_width(p->fonts, p->l.title, text);
}

static fv_status place(page *p, fv_error *err) {
  const fv_overlay_options *o = p->o;
  double tall = 1.0, wide = 1.0, longest = 0.0;
  for (size_t i = 0; i < p->panels; i++)
    if (p->maps[i].values) tall = (double)p->maps[i].rows, wide = (double)p->maps[i].cols;
  if (p->picture) tall = (double)p->height, wide = (double)p->width;
  p->across = o->columns > 0 ? (size_t)o->columns : p->panels <= 5 ? p->panels : (size_t)ceil(sqrt((double)p->panels));
  if (p->across > p->panels) p->across = p->panels;
  p->down = (p->panels + p->across - 1) / p->across;
  double size = 72 * (o->size > 0 ? o->size : fmin(2.4, fmax(0.65, 7.0 / (double)p->across)));
  p->w = size * fmin(1.0, wide / tall), p->h = size * fmin(1.0, tall / wide);
  p->l.tick = (fv_font){o->font_size, false}, p->l.label = (fv_font){o->font_size + 0.5, false};
  p->l.title = (fv_font){o->font_size + 1, false}, p->l.head = (fv_font){o->font_size + 2, true};
  for (size_t i = 0; i < p->panels; i++)
    if (p->maps[i].title && *p->maps[i].title) p->title = fv_lines_height(p->l.title, "x") + TITLE_GAP;
  double right = MARGIN + (double)p->across * p->w + (double)(p->across - 1) * GAP;
  double height = (double)p->down * (p->h + p->title) + (double)(p->down - 1) * GAP;
  double top = MARGIN + p->title, bottom = MARGIN + height, end = bottom;
  char *head = fv_label_clean(o->title, 400);
  fv_font title = p->l.title;
  p->l.title = p->l.head; /* width_of measures titles */
  p->l.head_text = head ? fv_label_wrap(head, fmax(right, 120), width_of, p) : NULL;
  p->l.title = title;
  free(head);
  if (!p->l.head_text) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  p->top = MARGIN + (*p->l.head_text ? fv_lines_height(p->l.head, p->l.head_text) + 4 : 0);
  fv_status st = fv_layout_bar(&p->l, &p->scale, o->bar_label, p->fonts, right, top, bottom, &end, &longest, err);
  p->l.bar_y += p->top - MARGIN;
  p->l.width = longest + MARGIN;
  p->l.height = end + p->top;
  return st;
}

static fv_status draw_panel(const page *p, fv_canvas *c, size_t i, int64_t rows, int64_t cols,
                            const uint8_t *background, uint8_t *rgb, fv_error *err) {
  double x = MARGIN + (double)(i % p->across) * (p->w + GAP);
  double y = p->top + (double)(i / p->across) * (p->h + p->title + GAP) + p->title;
  page measure = *p;
  char *clean = fv_label_clean(p->maps[i].title, 400);
  char *title = clean ? fv_label_fit(clean, p->w + GAP - 2, width_of, &measure) : NULL;
  free(clean);
  fv_status st = title ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for labels");
  if (!st) st = paint(p, &p->maps[i], rows, cols, background, rgb, err);
  if (!st) {
    fv_canvas_image(c, x, y, p->w, p->h, cols, rows, rgb);
    fv_canvas_frame(c, x, y, p->w, p->h, FV_FRAME, (fv_rgb){0, 0, 0});
    st = fv_lines_draw(c, x + p->w / 2, y - p->title, p->l.title, false, title, err);
  }
  free(title);
  return st;
}

static fv_status draw(const page *p, fv_canvas *c, fv_error *err) {
  int64_t rows, cols;
  fv_canvas_raster(c, p->w, p->h, &cols, &rows);
  uint8_t *background = fv_alloc((size_t)(rows * cols), 3), *rgb = fv_alloc((size_t)(rows * cols), 3);
  fv_status st = background && rgb ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for a picture");
  if (!st) st = fv_lines_draw(c, p->l.width / 2, MARGIN, p->l.head, false, p->l.head_text, err);
  for (size_t i = 0; i < p->panels && !st; i++) {
    if (i == 0 || picture_below(p, i) != picture_below(p, i - 1))
      fill_background(p, picture_below(p, i), rows, cols, background);
    st = draw_panel(p, c, i, rows, cols, background, rgb, err);
  }
  free(background), free(rgb);
  return st ? st : fv_bar_draw(c, &p->l, &p->scale, err);
}

static fv_status write_page(page *p, const char *path, fv_picture format, fv_error *err) {
  double pixels = p->l.width * p->l.height * p->o->dpi * p->o->dpi / (72 * 72);
  if (format == FV_PICTURE_PNG && (pixels > 2.5e8 || fmax(p->l.width, p->l.height) * p->o->dpi / 72 > 32000))
    return fv_fail(err, FV_EUSAGE, "%s: the picture would have %.0f million pixels; lower the dpi of %g, or draw fewer",
                   path, pixels / 1e6, p->o->dpi);
  if (fmax(p->l.width, p->l.height) > 14400)
    return fv_fail(err, FV_EUSAGE, "%s: the picture is too large for a page; draw fewer panels", path);
  char *title = fv_label_clean(p->o->title ? p->o->title : "attention", 400);
  if (!title) return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  fv_canvas *c;
  fv_status st = fv_canvas_open(path, format, p->l.width, p->l.height, p->o->dpi, p->fonts, title, &c, err);
  free(title);
  if (st) return st;
  st = draw(p, c, err);
  if (!st) return fv_canvas_finish(c, err);
  fv_canvas_abort(c);
  return st;
}

static fv_status check_text(const char *path, const char *text, fv_error *err) {
  size_t bad;
  if (!text || fv_utf8_valid(text, strlen(text), &bad)) return FV_OK;
  return fv_fail(err, FV_EFORMAT, "%s: a label is not UTF-8 at byte %zu", path, bad);
}

static fv_status check(const char *path, const page *p, fv_error *err) {
  const fv_overlay_options *o = p->o;
  if (p->panels < 1 || p->panels > MOST_PANELS)
    return fv_fail(err, FV_EUSAGE, "%s: %zu panels; expected 1 to %d", path, p->panels, MOST_PANELS);
  if (!(o->dpi >= 36 && o->dpi <= 1200))
    return fv_fail(err, FV_EUSAGE, "%s: dpi is %g; expected 36 to 1200", path, o->dpi);
  if (!(o->font_size >= 3 && o->font_size <= 40))
    return fv_fail(err, FV_EUSAGE, "%s: the font size is %g points; expected 3 to 40", path, o->font_size);
  if (!(o->alpha >= 0 && o->alpha <= 1))
    return fv_fail(err, FV_EUSAGE, "%s: alpha is %g; expected 0 to 1", path, o->alpha);
  if (!(o->size >= 0 && o->size <= 50) || o->columns < 0)
    return fv_fail(err, FV_EUSAGE, "%s: panels of %g inches in %" PRId64 " columns", path, o->size, o->columns);
  if (p->picture && (p->width < 1 || p->height < 1 || p->width > 32000 || p->height > 32000))
    return fv_fail(err, FV_EUSAGE, "%s: a picture of %" PRId64 " x %" PRId64, path, p->width, p->height);
  fv_status st = check_text(path, o->title, err);
  if (!st) st = check_text(path, o->bar_label, err);
  for (size_t i = 0; i < p->panels && !st; i++) {
    const fv_overlay *m = &p->maps[i];
    st = check_text(path, m->title, err);
    if (!st && m->values && (m->rows < 1 || m->cols < 1 || m->rows > 4096 || m->cols > 4096))
      st = fv_fail(err, FV_EUSAGE, "%s: a map has %" PRId64 " x %" PRId64 " patches; from 1 to 4096 can be drawn", path,
                   m->rows, m->cols);
    if (!st && !m->values && !p->picture) st = fv_fail(err, FV_EUSAGE, "%s: a panel has neither map nor picture", path);
  }
  return st;
}

fv_status fv_overlay_write(const char *path, const uint8_t *picture, int64_t width, int64_t height, size_t panels,
                           const fv_overlay *maps, const fv_overlay_options *options, fv_error *err) {
  fv_overlay_options defaults;
  fv_overlay_defaults(&defaults);
  page p = {.picture = picture,
            .width = width,
            .height = height,
            .panels = panels,
            .maps = maps,
            .o = options ? options : &defaults};
  fv_picture format;
  fv_status st = fv_picture_of(path, &format, err);
  if (!st) st = check(path, &p, err);
  if (!st) st = fit_scale(&p, err);
  if (!st) st = fv_fonts_new(p.o->serif, &p.fonts, err);
  if (st) return st;
  st = place(&p, err);
  if (!st) st = write_page(&p, path, format, err);
  fv_layout_release(&p.l);
  fv_fonts_free(p.fonts);
  return st;
}
