/* A page to draw on: rectangles, lines, polygons and text, to PNG, PDF (both cairo) or SVG.
 *
 * Coordinates are points (1/72 inch) from the top left corner. SVG is written here, because cairo turns text into
 * outlines there; widths are always measured with cairo's font, so that all three formats have one layout. In PNG the
 * edges of rectangles lie on pixels, so that neighbours neither overlap nor leave a seam; in PDF and SVG the caller
 * lets neighbours overlap a little. Code points that the main font lacks are taken from the first of a list of common
 * fonts that has them.
 *
 * Ownership: open gives a canvas that finish or abort frees. Strings are borrowed for the call. Errors while drawing
 * are kept and reported by finish. Threads: one owner.
 */
#ifndef FOVEA_REPORT_CANVAS_H
#define FOVEA_REPORT_CANVAS_H

#include "fovea/status.h"
#include "report/colors.h"

typedef enum fv_picture { FV_PICTURE_PNG, FV_PICTURE_SVG, FV_PICTURE_PDF } fv_picture;

typedef struct fv_font {
  double size; /* points */
  bool bold;
} fv_font;

/* Text measures without a page; also the fonts of a canvas. */
typedef struct fv_fonts fv_fonts;

fv_status fv_fonts_new(bool serif, fv_fonts **out, fv_error *err);
void fv_fonts_free(fv_fonts *fonts);
/* The advance width of one line of valid UTF-8. */
double fv_fonts_width(fv_fonts *fonts, fv_font font, const char *text);

/* By extension; FV_EUSAGE names the three. */
fv_status fv_picture_of(const char *path, fv_picture *out, fv_error *err);

typedef struct fv_canvas fv_canvas;

/* `fonts` must outlive the canvas. dpi matters for PNG only. `title` goes into the file's metadata. */
fv_status fv_canvas_open(const char *path, fv_picture format, double width, double height, double dpi, fv_fonts *fonts,
                         const char *title, fv_canvas **out, fv_error *err);
void fv_canvas_rect(fv_canvas *c, double x, double y, double w, double h, fv_rgb fill);
void fv_canvas_frame(fv_canvas *c, double x, double y, double w, double h, double line, fv_rgb color);
void fv_canvas_line(fv_canvas *c, double x0, double y0, double x1, double y1, double line, fv_rgb color);
void fv_canvas_triangle(fv_canvas *c, const double xy[6], fv_rgb fill);
/* Text with its baseline at y; align 0 begins, 0.5 is centred, 1 ends at x. Upright text is turned a quarter to the
 * left: it runs upwards, and (x, y) is the point of its baseline that align names. */
void fv_canvas_text(fv_canvas *c, double x, double y, fv_font font, double align, bool upright, fv_rgb color,
                    const char *text);
/* The size in pixels that a raster for a box of w x h points should have. */
void fv_canvas_raster(const fv_canvas *c, double w, double h, int64_t *cols, int64_t *rows);
/* A picture [rows, cols, 3] in a box. */
void fv_canvas_image(fv_canvas *c, double x, double y, double w, double h, int64_t cols, int64_t rows,
                     const uint8_t *rgb);
fv_status fv_canvas_finish(fv_canvas *c, fv_error *err); /* frees in every case */
void fv_canvas_abort(fv_canvas *c);

#endif
