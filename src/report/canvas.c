#include "report/canvas.h"

#include <cairo-pdf.h>
#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fovea/table.h"
#include "report/fonts.h"

struct fv_canvas {
  fv_picture format;
  char *path;
  fv_outfile *file;
  fv_fonts *fonts;
  double dpi, scale; /* pixels per point in PNG, else 1 */
  cairo_surface_t *surface;
  cairo_t *cr; /* NULL in SVG */
  cairo_status_t failed;
};

fv_status fv_picture_of(const char *path, fv_picture *out, fv_error *err) {
  static const char *const NAMES[] = {[FV_PICTURE_PNG] = ".png", [FV_PICTURE_SVG] = ".svg", [FV_PICTURE_PDF] = ".pdf"};
  const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
  for (int i = 0; dot && i < 3; i++)
    if (strcasecmp(dot, NAMES[i]) == 0) {
      *out = (fv_picture)i;
      return FV_OK;
    }
  return fv_fail(err, FV_EUSAGE, "%s: the extension of a plot must be .png, .svg or .pdf", path);
}

/* ---- SVG ---- */

static FILE *svg(const fv_canvas *c) { return fv_outfile_stream(c->file); }

/* A number to 1/1000 point, whatever the locale. */
static void svg_number(const fv_canvas *c, const char *before, double v) {
  char text[FV_NUMBER_TEXT];
  fv_number_format(text, (float)(nearbyint(v * 1000) / 1000));
  fprintf(svg(c), "%s%s", before, strcmp(text, "-0") == 0 ? "0" : text);
}

static void svg_color(const fv_canvas *c, const char *before, fv_rgb color) {
  fprintf(svg(c), "%s#%02x%02x%02x\"", before, color.r, color.g, color.b);
}

static void svg_escaped(const fv_canvas *c, const char *text) {
  for (; *text; text++) {
    switch (*text) {
      case '&': fputs("&amp;", svg(c)); break;
      case '<': fputs("&lt;", svg(c)); break;
      case '>': fputs("&gt;", svg(c)); break;
      case '"': fputs("&quot;", svg(c)); break;
      default: putc(*text, svg(c));
    }
  }
}

static void svg_begin(const fv_canvas *c, double width, double height, const char *title) {
  fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"", svg(c));
  svg_number(c, " width=\"", width);
  svg_number(c, "pt\" height=\"", height);
  svg_number(c, "pt\" viewBox=\"0 0 ", width);
  svg_number(c, " ", height);
  fprintf(svg(c), "\" font-family=\"%s\">\n<title>",
          fv_fonts_serif(c->fonts) ? "DejaVu Serif, Times New Roman, serif"
                                   : "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif");
  svg_escaped(c, title);
  /* rectangles without soft edges: neighbouring cells would show a seam */
  fputs("</title>\n<style>rect{shape-rendering:crispEdges}</style>\n", svg(c));
}

static void svg_box(const fv_canvas *c, double x, double y, double w, double h) {
  svg_number(c, "<rect x=\"", x);
  svg_number(c, "\" y=\"", y);
  svg_number(c, "\" width=\"", w);
  svg_number(c, "\" height=\"", h);
}

static void svg_text(const fv_canvas *c, double x, double y, fv_font font, double align, bool upright, fv_rgb color,
                     const char *text) {
  if (upright) {
    svg_number(c, "<text transform=\"translate(", x);
    svg_number(c, ",", y);
    fputs(") rotate(-90)", svg(c));
  } else {
    svg_number(c, "<text x=\"", x);
    svg_number(c, "\" y=\"", y);
  }
  svg_number(c, "\" font-size=\"", font.size);
  fprintf(svg(c), "\"%s%s", font.bold ? " font-weight=\"bold\"" : "",
          align == 0   ? ""
          : align == 1 ? " text-anchor=\"end\""
                       : " text-anchor=\"middle\"");
  svg_color(c, " fill=\"", color);
  fputs(" xml:space=\"preserve\">", svg(c)); /* spaces of a token are part of it */
  svg_escaped(c, text);
  fputs("</text>\n", svg(c));
}

/* ---- cairo ---- */

typedef struct buffer {
  unsigned char *data;
  size_t size, capacity;
} buffer;

static cairo_status_t to_buffer(void *user, const unsigned char *data, unsigned n) {
  buffer *b = user;
  if (!fv_grow(&b->data, &b->capacity, b->size + n, 1)) return CAIRO_STATUS_NO_MEMORY;
  memcpy(b->data + b->size, data, n);
  b->size += n;
  return CAIRO_STATUS_SUCCESS;
}

static cairo_status_t to_stream(void *user, const unsigned char *data, unsigned n) {
  return fwrite(data, 1, n, user) == n ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static void big_endian(unsigned char *to, uint32_t v) {
  for (int i = 0; i < 4; i++) to[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* cairo's PNG with the resolution put after the header chunk, so that the picture has its size in print. */
static cairo_status_t write_png(fv_canvas *c) {
  enum { AFTER_IHDR = 8 + 25 };
  buffer b = {0};
  cairo_status_t st = cairo_surface_write_to_png_stream(c->surface, to_buffer, &b);
  if (st == CAIRO_STATUS_SUCCESS) {
    unsigned char phys[21] = {0, 0, 0, 9, 'p', 'H', 'Y', 's'};
    uint32_t per_metre = (uint32_t)nearbyint(c->dpi / 0.0254);
    big_endian(phys + 8, per_metre);
    big_endian(phys + 12, per_metre);
    phys[16] = 1; /* the unit is the metre */
    big_endian(phys + 17, (uint32_t)crc32(0, phys + 4, 13));
    FILE *f = fv_outfile_stream(c->file);
    fwrite(b.data, 1, AFTER_IHDR, f);
    fwrite(phys, 1, sizeof phys, f);
    fwrite(b.data + AFTER_IHDR, 1, b.size - AFTER_IHDR, f);
  }
  free(b.data);
  return st;
}

static void set_color(const fv_canvas *c, fv_rgb color) {
  cairo_set_source_rgb(c->cr, color.r / 255.0, color.g / 255.0, color.b / 255.0);
}

static void open_cairo(fv_canvas *c, double width, double height, const char *title) {
  if (c->format == FV_PICTURE_PDF) {
    c->surface = cairo_pdf_surface_create_for_stream(to_stream, fv_outfile_stream(c->file), width, height);
    cairo_pdf_surface_set_metadata(c->surface, CAIRO_PDF_METADATA_TITLE, title);
    /* The time of writing would make equal pictures differ; an empty date leaves it out. */
    cairo_pdf_surface_set_metadata(c->surface, CAIRO_PDF_METADATA_CREATE_DATE, "");
  } else {
    c->scale = c->dpi / 72;
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(width * c->scale - 1e-6),
                                            (int)ceil(height * c->scale - 1e-6));
  }
  c->cr = cairo_create(c->surface);
  cairo_scale(c->cr, c->scale, c->scale);
  cairo_font_options_t *options = cairo_font_options_create();
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(c->cr, options);
  cairo_font_options_destroy(options);
}

static void canvas_free(fv_canvas *c) {
  if (c->cr) cairo_destroy(c->cr);
  if (c->surface) cairo_surface_destroy(c->surface);
  free(c->path);
  free(c);
}

fv_status fv_canvas_open(const char *path, fv_picture format, double width, double height, double dpi, fv_fonts *fonts,
                         const char *title, fv_canvas **out, fv_error *err) {
  fv_canvas *c = fv_alloc(1, sizeof *c);
  if (!c || !(c->path = fv_strdup(path))) {
    free(c);
    return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  }
  c->format = format;
  c->fonts = fonts;
  c->dpi = dpi;
  c->scale = 1;
  fv_status st = fv_outfile_open(path, &c->file, err);
  if (st) {
    canvas_free(c);
    return st;
  }
  if (format == FV_PICTURE_SVG)
    svg_begin(c, width, height, title);
  else
    open_cairo(c, width, height, title);
  fv_canvas_rect(c, 0, 0, width + 1, height + 1, (fv_rgb){255, 255, 255});
  *out = c;
  return FV_OK;
}

fv_status fv_canvas_finish(fv_canvas *c, fv_error *err) {
  cairo_status_t st = CAIRO_STATUS_SUCCESS;
  if (c->format == FV_PICTURE_SVG) {
    fputs("</svg>\n", svg(c));
    st = c->failed;
  } else {
    st = c->failed ? c->failed : cairo_status(c->cr);
    cairo_surface_flush(c->surface);
    if (st == CAIRO_STATUS_SUCCESS && c->format == FV_PICTURE_PNG) st = write_png(c);
    cairo_surface_finish(c->surface);
    if (st == CAIRO_STATUS_SUCCESS) st = cairo_surface_status(c->surface);
  }
  fv_status result = FV_OK;
  if (st != CAIRO_STATUS_SUCCESS) {
    result = fv_fail(err, st == CAIRO_STATUS_NO_MEMORY ? FV_ENOMEM : FV_EIO, "%s: cannot draw: %s", c->path,
                     cairo_status_to_string(st));
    fv_outfile_abort(c->file);
  } else {
    result = fv_outfile_commit(c->file, err);
  }
  canvas_free(c);
  return result;
}

void fv_canvas_abort(fv_canvas *c) {
  if (!c) return;
  if (c->surface) cairo_surface_finish(c->surface);
  fv_outfile_abort(c->file);
  canvas_free(c);
}

void fv_canvas_rect(fv_canvas *c, double x, double y, double w, double h, fv_rgb fill) {
  if (!c->cr) {
    svg_box(c, x, y, w, h);
    svg_color(c, "\" fill=\"", fill);
    fputs("/>\n", svg(c));
    return;
  }
  double x1 = x + w, y1 = y + h;
  if (c->format == FV_PICTURE_PNG) {
    x = nearbyint(x * c->scale) / c->scale, x1 = nearbyint(x1 * c->scale) / c->scale;
    y = nearbyint(y * c->scale) / c->scale, y1 = nearbyint(y1 * c->scale) / c->scale;
    cairo_set_antialias(c->cr, CAIRO_ANTIALIAS_NONE);
  }
  set_color(c, fill);
  cairo_rectangle(c->cr, x, y, x1 - x, y1 - y);
  cairo_fill(c->cr);
  cairo_set_antialias(c->cr, CAIRO_ANTIALIAS_DEFAULT);
}

void fv_canvas_frame(fv_canvas *c, double x, double y, double w, double h, double line, fv_rgb color) {
  if (!c->cr) {
    svg_box(c, x, y, w, h);
    svg_number(c, "\" fill=\"none\" stroke-width=\"", line);
    svg_color(c, "\" stroke=\"", color);
    fputs("/>\n", svg(c));
    return;
  }
  set_color(c, color);
  cairo_set_line_width(c->cr, line);
  cairo_rectangle(c->cr, x, y, w, h);
  cairo_stroke(c->cr);
}

void fv_canvas_line(fv_canvas *c, double x0, double y0, double x1, double y1, double line, fv_rgb color) {
  if (!c->cr) {
    svg_number(c, "<line x1=\"", x0);
    svg_number(c, "\" y1=\"", y0);
    svg_number(c, "\" x2=\"", x1);
    svg_number(c, "\" y2=\"", y1);
    svg_number(c, "\" stroke-width=\"", line);
    svg_color(c, "\" stroke=\"", color);
    fputs("/>\n", svg(c));
    return;
  }
  set_color(c, color);
  cairo_set_line_width(c->cr, line);
  cairo_move_to(c->cr, x0, y0);
  cairo_line_to(c->cr, x1, y1);
  cairo_stroke(c->cr);
}

void fv_canvas_triangle(fv_canvas *c, const double xy[6], fv_rgb fill) {
  if (!c->cr) {
    for (int i = 0; i < 6; i++) svg_number(c, i == 0 ? "<polygon points=\"" : i % 2 ? "," : " ", xy[i]);
    svg_color(c, "\" fill=\"", fill);
    fputs("/>\n", svg(c));
    return;
  }
  set_color(c, fill);
  cairo_move_to(c->cr, xy[0], xy[1]);
  cairo_line_to(c->cr, xy[2], xy[3]);
  cairo_line_to(c->cr, xy[4], xy[5]);
  cairo_close_path(c->cr);
  cairo_fill(c->cr);
}

void fv_canvas_text(fv_canvas *c, double x, double y, fv_font font, double align, bool upright, fv_rgb color,
                    const char *text) {
  if (!*text) return;
  if (!c->cr) {
    svg_text(c, x, y, font, align, upright, color, text);
    return;
  }
  cairo_save(c->cr);
  set_color(c, color);
  cairo_translate(c->cr, x, y);
  if (upright) cairo_rotate(c->cr, -acos(0.0));
  if (align > 0) cairo_translate(c->cr, -align * fv_fonts_width(c->fonts, font, text), 0);
  fv_fonts_show(c->fonts, c->cr, font, text);
  cairo_restore(c->cr);
}

void fv_canvas_raster(const fv_canvas *c, double w, double h, int64_t *cols, int64_t *rows) {
  double scale = c->format == FV_PICTURE_PNG ? c->scale : 4; /* 288 dpi in vector formats */
  *cols = (int64_t)fmax(1, nearbyint(w * scale));
  *rows = (int64_t)fmax(1, nearbyint(h * scale));
}

static cairo_surface_t *image_surface(int64_t cols, int64_t rows, const uint8_t *rgb) {
  cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)cols, (int)rows);
  if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS) return s;
  unsigned char *data = cairo_image_surface_get_data(s);
  int64_t stride = cairo_image_surface_get_stride(s);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = 0; k < cols; k++) {
      const uint8_t *p = rgb + (r * cols + k) * 3;
      uint32_t pixel = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
      memcpy(data + r * stride + k * 4, &pixel, 4);
    }
  cairo_surface_mark_dirty(s);
  return s;
}

static void svg_base64(const fv_canvas *c, const unsigned char *data, size_t n) {
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)data[i] << 16;
    if (i + 1 < n) v |= (uint32_t)data[i + 1] << 8;
    if (i + 2 < n) v |= data[i + 2];
    putc(DIGITS[v >> 18], svg(c));
    putc(DIGITS[v >> 12 & 63], svg(c));
    putc(i + 1 < n ? DIGITS[v >> 6 & 63] : '=', svg(c));
    putc(i + 2 < n ? DIGITS[v & 63] : '=', svg(c));
  }
}

static cairo_status_t svg_image(const fv_canvas *c, double x, double y, double w, double h, cairo_surface_t *image) {
  buffer b = {0};
  cairo_status_t st = cairo_surface_write_to_png_stream(image, to_buffer, &b);
  if (st == CAIRO_STATUS_SUCCESS) {
    svg_number(c, "<image x=\"", x);
    svg_number(c, "\" y=\"", y);
    svg_number(c, "\" width=\"", w);
    svg_number(c, "\" height=\"", h);
    fputs("\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,", svg(c));
    svg_base64(c, b.data, b.size);
    fputs("\"/>\n", svg(c));
  }
  free(b.data);
  return st;
}

/* In PNG the box is moved to whole pixels, so that a raster of its size is copied and not resampled. */
static void cairo_draw_image(fv_canvas *c, double x, double y, double w, double h, int64_t cols, int64_t rows,
                             cairo_surface_t *image) {
  cairo_save(c->cr);
  if (c->format == FV_PICTURE_PNG) {
    x = nearbyint(x * c->scale) / c->scale, y = nearbyint(y * c->scale) / c->scale;
    w = nearbyint(w * c->scale) / c->scale, h = nearbyint(h * c->scale) / c->scale;
  }
  cairo_translate(c->cr, x, y);
  cairo_scale(c->cr, w / (double)cols, h / (double)rows);
  cairo_set_source_surface(c->cr, image, 0, 0);
  cairo_pattern_set_filter(cairo_get_source(c->cr), CAIRO_FILTER_NEAREST);
  cairo_paint(c->cr);
  cairo_restore(c->cr);
}

void fv_canvas_image(fv_canvas *c, double x, double y, double w, double h, int64_t cols, int64_t rows,
                     const uint8_t *rgb) {
  cairo_surface_t *image = image_surface(cols, rows, rgb);
  cairo_status_t st = cairo_surface_status(image);
  if (st == CAIRO_STATUS_SUCCESS && !c->cr)
    st = svg_image(c, x, y, w, h, image);
  else if (st == CAIRO_STATUS_SUCCESS)
    cairo_draw_image(c, x, y, w, h, cols, rows, image);
  if (st != CAIRO_STATUS_SUCCESS && !c->failed) c->failed = st;
  cairo_surface_destroy(image);
}
