#include "report/fonts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "report/labels.h"

/* Tried in order for characters that the main face lacks. A family that is not installed gives fontconfig's default,
 * which lacks them as well. */
static const char *const SUBSTITUTES[] = {"DejaVu Sans",       "Noto Sans CJK SC", "Noto Sans",
                                          "WenQuanYi Zen Hei", "Noto Color Emoji", "Noto Emoji",
                                          "Noto Sans Math",    "Symbola",          "Unifont"};
enum { FACES = 1 + sizeof SUBSTITUTES / sizeof *SUBSTITUTES };

struct fv_fonts {
  bool serif;
  cairo_surface_t *surface;
  cairo_t *cr;                       /* for measuring */
  cairo_scaled_font_t *probe[FACES]; /* made when first asked */
};

static const char *family(const fv_fonts *f, int face) {
  return face > 0 ? SUBSTITUTES[face - 1] : f->serif ? "serif" : "sans-serif";
}

fv_status fv_fonts_new(bool serif, fv_fonts **out, fv_error *err) {
  fv_fonts *f = fv_alloc(1, sizeof *f);
  if (!f) return fv_fail(err, FV_ENOMEM, "no memory for fonts");
  f->serif = serif;
  f->surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
  f->cr = cairo_create(f->surface);
  if (cairo_status(f->cr) != CAIRO_STATUS_SUCCESS) {
    fv_fonts_free(f);
    return fv_fail(err, FV_ENOMEM, "no memory for fonts");
  }
  cairo_font_options_t *options = cairo_font_options_create();
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(f->cr, options);
  cairo_font_options_destroy(options);
  *out = f;
  return FV_OK;
}

void fv_fonts_free(fv_fonts *f) {
  if (!f) return;
  for (int i = 0; i < FACES; i++)
    if (f->probe[i]) cairo_scaled_font_destroy(f->probe[i]);
  cairo_destroy(f->cr);
  cairo_surface_destroy(f->surface);
  free(f);
}

bool fv_fonts_serif(const fv_fonts *f) { return f->serif; }

static void select_face(const fv_fonts *f, cairo_t *cr, int face, fv_font font) {
  cairo_select_font_face(cr, family(f, face), CAIRO_FONT_SLANT_NORMAL,
                         font.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cr, font.size);
}

/* True when the face has a glyph for the n bytes of one code point. */
static bool has_glyph(fv_fonts *f, int face, const char *s, size_t n) {
  if (!f->probe[face]) {
    select_face(f, f->cr, face, (fv_font){10, false});
    f->probe[face] = cairo_scaled_font_reference(cairo_get_scaled_font(f->cr));
  }
  cairo_glyph_t *glyphs = NULL;
  int count = 0;
  cairo_status_t st =
      cairo_scaled_font_text_to_glyphs(f->probe[face], 0, 0, s, (int)n, &glyphs, &count, NULL, NULL, NULL);
  bool has = st == CAIRO_STATUS_SUCCESS && count > 0 && glyphs[0].index != 0;
  cairo_glyph_free(glyphs);
  return has;
}

/* FACES when no face has it. */
static int face_of(fv_fonts *f, const char *s, size_t n) {
  if (n == 1) return 0; /* every face has ASCII */
  int face = 0;
  while (face < FACES && !has_glyph(f, face, s, n)) face++;
  return face;
}

/* Cuts off the next run: returns its length and face. */
static size_t next_run(fv_fonts *f, const char *s, size_t n, int *face) {
  size_t at = 0;
  *face = -1;
  while (at < n) {
    uint32_t code;
    size_t k = fv_utf8_next(s + at, n - at, &code);
    int now = face_of(f, s + at, k);
    if (*face >= 0 && now != *face) break;
    *face = now;
    at += k;
  }
  return at;
}

/* Walks over the runs; draws them where `draw` is not NULL; returns the advance width. */
static double walk(fv_fonts *f, cairo_t *draw, fv_font font, const char *text) {
  size_t n = strlen(text);
  char *run = fv_alloc(n + 1, 1);
  double x = 0;
  for (size_t at = 0; run && at < n;) {
    int face;
    size_t k = next_run(f, text + at, n - at, &face);
    memcpy(run, text + at, k);
    run[k] = '\0';
    cairo_text_extents_t extents;
    bool missing = face == FACES;
    if (missing) face = 0;
    select_face(f, f->cr, face, font);
    cairo_text_extents(f->cr, run, &extents);
    if (draw) {
      select_face(f, draw, face, font);
      cairo_move_to(draw, x, 0);
      cairo_show_text(draw, run);
    }
    /* A viewer of the SVG may have the font that is missing here: leave room for half a square per column. */
    x += missing ? fmax(extents.x_advance, fv_label_columns(NULL, run) * font.size / 2) : extents.x_advance;
    at += k;
  }
  free(run);
  return x;
}

double fv_fonts_width(fv_fonts *f, fv_font font, const char *text) { return walk(f, NULL, font, text); }

void fv_fonts_show(fv_fonts *f, cairo_t *cr, fv_font font, const char *text) { walk(f, cr, font, text); }
