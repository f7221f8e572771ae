#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/plot.h"
#include "report/colors.h"
#include "report/labels.h"

/* Shades of the plain map, from low to high, and the sign for no cell. */
static const char *const SHADES[] = {" ", "\xE2\x96\x91", "\xE2\x96\x92", "\xE2\x96\x93", "\xE2\x96\x88"};
static const char *const NO_CELL = "\xC2\xB7";
enum { SHADE_COUNT = 5 };
static const char *const RULE = "\xE2\x94\x82", *const CORNER = "\xE2\x94\x94", *const LINE = "\xE2\x94\x80";

void fv_terminal_defaults(fv_terminal_options *o) {
  *o = (fv_terminal_options){.colors = "Purples", .vmin = NAN, .vmax = NAN, .depth = FV_TERMINAL_PLAIN, .width = 80};
}

typedef struct screen {
  FILE *f;
  const fv_heatmap *map;
  const fv_terminal_options *o;
  fv_scale scale;
  char **rows, **cols;
  int64_t label_width, cell, band; /* characters of a cell; columns of a band */
} screen;

/* ---- cells ---- */

/* The nearest colour of the 6 x 6 x 6 cube of 256-colour terminals; its levels are 0, 95, 135, 175, 215, 255. */
static int cube(uint8_t v) { return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40; }

static void background(const screen *s, fv_rgb c) {
  if (s->o->depth == FV_TERMINAL_TRUE)
    fprintf(s->f, "\x1b[48;2;%d;%d;%dm", c.r, c.g, c.b);
  else
    fprintf(s->f, "\x1b[48;5;%dm", 16 + 36 * cube(c.r) + 6 * cube(c.g) + cube(c.b));
}

static int shade(const fv_scale *s, double v) {
  int i = (int)floor(SHADE_COUNT * (v - s->vmin) / (s->vmax - s->vmin));
  return i < 0 ? 0 : i >= SHADE_COUNT ? SHADE_COUNT - 1 : i;
}

static void repeat(FILE *f, const char *text, int64_t n) {
  while (n-- > 0) fputs(text, f);
}

static void cell(const screen *s, float v) {
  if (isnan(v)) {
    repeat(s->f, NO_CELL, s->cell);
  } else if (s->o->depth == FV_TERMINAL_PLAIN) {
    double clamped = fmin(fmax((double)v, s->scale.vmin), s->scale.vmax);
    repeat(s->f, SHADES[shade(&s->scale, clamped)], s->cell);
  } else {
    background(s, fv_scale_color(&s->scale, (double)v));
    repeat(s->f, " ", s->cell);
    fputs("\x1b[0m", s->f);
  }
}

/* ---- text around them ---- */

static int64_t columns(const char *text) { return (int64_t)fv_label_columns(NULL, text); }

/* Column labels under the middle of their cells, every step-th so that two blanks or a blank stay between. */
static void ticks(const screen *s, int64_t from, int64_t to) {
  int64_t widest = 0, at = 0;
  for (int64_t j = from; j < to; j++) widest = columns(s->cols[j]) > widest ? columns(s->cols[j]) : widest;
  static const int64_t STEPS[] = {1, 2, 5, 10, 20, 50, 100};
  int64_t step = 1;
  for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS && s->cell * (step = STEPS[i]) < widest + 1; i++) continue;
  repeat(s->f, " ", s->label_width + 2);
  for (int64_t j = from; j < to; j++) {
    if (j % step != 0) continue;
    int64_t start = (j - from) * s->cell + (s->cell - columns(s->cols[j])) / 2;
    if (start < at) start = at;
    repeat(s->f, " ", start - at);
    fputs(s->cols[j], s->f);
    at = start + columns(s->cols[j]) + 1;
    if (j + step < to) putc(' ', s->f);
  }
  putc('\n', s->f);
}

static void band(const screen *s, int64_t from, int64_t to) {
  for (int64_t i = 0; i < s->map->rows; i++) {
    repeat(s->f, " ", s->label_width - columns(s->rows[i]));
    fprintf(s->f, "%s %s", s->rows[i], RULE);
    for (int64_t j = from; j < to; j++) cell(s, s->map->values[i * s->map->cols + j]);
    putc('\n', s->f);
  }
  repeat(s->f, " ", s->label_width + 1);
  fputs(CORNER, s->f);
  repeat(s->f, LINE, (to - from) * s->cell);
  putc('\n', s->f);
  ticks(s, from, to);
}

static void legend(const screen *s, const char *bar_label) {
  char low[FV_LABEL_NUMBER], high[FV_LABEL_NUMBER];
  fv_label_number(low, s->scale.vmin, 4);
  fv_label_number(high, s->scale.vmax, 4);
  fprintf(s->f, "%s%s [", s->scale.below ? "<= " : "", low);
  enum { STEPS = 20 };
  for (int i = 0; i < STEPS; i++) {
    double v = s->scale.vmin + (s->scale.vmax - s->scale.vmin) * (i + 0.5) / STEPS;
    if (s->o->depth == FV_TERMINAL_PLAIN) {
      fputs(SHADES[shade(&s->scale, v)], s->f);
    } else {
      background(s, fv_scale_color(&s->scale, v));
      putc(' ', s->f);
    }
  }
  fprintf(s->f, "%s] %s%s%s%s", s->o->depth == FV_TERMINAL_PLAIN ? "" : "\x1b[0m", s->scale.above ? ">= " : "", high,
          *bar_label ? "  " : "", bar_label);
  for (int64_t i = 0; i < s->map->rows * s->map->cols; i++)
    if (isnan(s->map->values[i])) {
      fprintf(s->f, "  %s none", NO_CELL);
      break;
    }
  putc('\n', s->f);
}

/* ---- the whole ---- */

static void free_labels(char **labels, int64_t n) {
  for (int64_t i = 0; labels && i < n; i++) free(labels[i]);
  free(labels);
}

static fv_status make_labels(const char *const *from, int64_t n, int64_t limit, char ***out, int64_t *widest,
                             fv_error *err) {
  if (!(*out = fv_alloc((size_t)n, sizeof **out))) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  for (int64_t i = 0; i < n; i++) {
    size_t bad;
    if (from && from[i] && !fv_utf8_valid(from[i], strlen(from[i]), &bad))
      return fv_fail(err, FV_EFORMAT, "label %" PRId64 " of the heat map is not UTF-8 at byte %zu", i, bad);
    char *clean = from && from[i] ? fv_label_clean(from[i], 400) : fv_format("%" PRId64, i);
    (*out)[i] = clean ? fv_label_fit(clean, (double)limit, fv_label_columns, NULL) : NULL;
    free(clean);
    if (!(*out)[i]) return fv_fail(err, FV_ENOMEM, "no memory for labels");
    *widest = columns((*out)[i]) > *widest ? columns((*out)[i]) : *widest;
  }
  return FV_OK;
}

/* A line of its own, broken where it is wider than the terminal. */
static fv_status line(const screen *s, const char *text, fv_error *err) {
  if (!text) return FV_OK;
  char *clean = fv_label_clean(text, 400);
  char *lines = clean ? fv_label_wrap(clean, (double)s->o->width, fv_label_columns, NULL) : NULL;
  if (lines) fprintf(s->f, "%s\n", lines);
  free(clean);
  free(lines);
  return lines ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for labels");
}

static fv_status draw(screen *s, fv_error *err) {
  const fv_heatmap *m = s->map;
  char *bar = fv_label_clean(m->bar_label, 400);
  if (!bar) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  fv_status st = line(s, m->title, err);
  for (int64_t from = 0; from < m->cols && !st; from += s->band)
    band(s, from, from + s->band < m->cols ? from + s->band : m->cols);
  if (!st && m->x_label) {
    if (s->label_width + 2 + columns(m->x_label) <= s->o->width) repeat(s->f, " ", s->label_width + 2);
    st = line(s, m->x_label, err);
  }
  if (!st) legend(s, bar);
  free(bar);
  return st;
}

static fv_status check(const fv_heatmap *m, const fv_terminal_options *o, fv_error *err) {
  int64_t cells;
  if (m->rows < 1 || m->cols < 1 || !fv_mul_i64(m->rows, m->cols, &cells) || cells > 16000000 || !m->values)
    return fv_fail(err, FV_EUSAGE, "a heat map has %" PRId64 " x %" PRId64 " cells; from 1 to 16 million can be drawn",
                   m->rows, m->cols);
  if (o->width < 20)
    return fv_fail(err, FV_EUSAGE, "the terminal is %" PRId64 " columns wide; at least 20 are needed", o->width);
  const char *const texts[] = {m->title, m->x_label, m->bar_label};
  for (size_t i = 0; i < 3; i++)
    if (texts[i] && !fv_utf8_valid(texts[i], strlen(texts[i]), NULL))
      return fv_fail(err, FV_EFORMAT, "a title or axis label of the heat map is not UTF-8");
  return FV_OK;
}

fv_status fv_plot_terminal(char **out, const fv_heatmap *map, const fv_terminal_options *options, fv_error *err) {
  fv_terminal_options defaults;
  fv_terminal_defaults(&defaults);
  screen s = {.map = map, .o = options ? options : &defaults};
  *out = NULL;
  fv_status st = check(map, s.o, err);
  if (!st) st = fv_scale_fit(&s.scale, s.o->colors, s.o->vmin, s.o->vmax, 1, map, err);
  if (st) return st;
  int64_t ignored = 0;
  st = make_labels(map->row_labels, map->rows, s.o->width / 3, &s.rows, &s.label_width, err);
  if (!st) st = make_labels(map->col_labels, map->cols, 12, &s.cols, &ignored, err);
  char *text = NULL;
  size_t size = 0;
  if (!st && !(s.f = open_memstream(&text, &size))) st = fv_fail(err, FV_ENOMEM, "no memory for the heat map");
  if (!st) {
    int64_t room = s.o->width - s.label_width - 2;
    s.cell = room / map->cols < 1 ? 1 : room / map->cols > 3 ? 3 : room / map->cols;
    s.band = room / s.cell;
    st = draw(&s, err);
    if (fclose(s.f) != 0 && !st) st = fv_fail(err, FV_ENOMEM, "no memory for the heat map");
    if (!st)
      *out = text;
    else
      free(text);
  }
  free_labels(s.rows, map->rows);
  free_labels(s.cols, map->cols);
  return st;
}
