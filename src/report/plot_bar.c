/* Lines of text and the colour bar of a laid out picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "report/plot_layout.h"

static const fv_rgb BLACK = {0, 0, 0};

fv_status fv_lines_draw(fv_canvas *c, double x, double y, fv_font font, bool upright, const char *text, fv_error *err) {
  char *copy = fv_strdup(text);
  if (!copy) return fv_fail(err, FV_ENOMEM, "no memory for labels");
  double step = fv_lines_height(font, "x"), base = font.size;
  char *line = copy;
  for (int i = 0; line; i++) {
    char *next = strchr(line, '\n');
    if (next) *next++ = '\0';
    double along = base + i * step;
    fv_canvas_text(c, upright ? x + along : x, upright ? y : y + along, font, 0.5, upright, BLACK, line);
    line = next;
  }
  free(copy);
  return FV_OK;
}

/* The pointed end of the colour bar that stands for values beyond it; `height` is negative upwards. */
static void draw_arrow(fv_canvas *c, double x, double y, double w, double height, fv_rgb fill) {
  fv_canvas_triangle(c, (double[]){x, y, x + w, y, x + w / 2, y + height}, fill);
  fv_canvas_line(c, x, y, x + w / 2, y + height, FV_FRAME, BLACK);
  fv_canvas_line(c, x + w, y, x + w / 2, y + height, FV_FRAME, BLACK);
}

fv_status fv_bar_draw(fv_canvas *c, const fv_layout *l, const fv_scale *s, fv_error *err) {
  enum { STRIPS = 256 };
  double x = l->bar_x, w = l->bar_w, bottom = l->bar_y + l->bar_h;
  double y0 = l->bar_y + (s->above ? FV_BAR_ARROW : 0), y1 = bottom - (s->below ? FV_BAR_ARROW : 0), h = y1 - y0;
  for (int i = 0; i < STRIPS; i++) { /* from the top; each reaches to the bottom, under those drawn after it */
    double y = y0 + h * i / STRIPS, v = s->vmax + (s->vmin - s->vmax) * (i + 0.5) / STRIPS;
    fv_canvas_rect(c, x, y, w, y1 - y, fv_scale_color(s, v));
  }
  fv_canvas_frame(c, x, y0, w, h, FV_FRAME, BLACK);
  if (s->above) draw_arrow(c, x, y0, w, -FV_BAR_ARROW, fv_scale_color(s, s->vmax));
  if (s->below) draw_arrow(c, x, y1, w, FV_BAR_ARROW, fv_scale_color(s, s->vmin));
  for (int i = 0; i < fv_layout_bar_ticks(l); i++) {
    char text[FV_LABEL_NUMBER];
    double v;
    fv_layout_bar_tick(l, s, i, &v, text);
    double y = y1 - h * (v - s->vmin) / (s->vmax - s->vmin);
    fv_canvas_line(c, x + w, y, x + w + FV_TICK, y, FV_FRAME, BLACK);
    fv_canvas_text(c, x + w + FV_TICK_GAP, y + FV_CENTRE * l->tick.size, l->tick, 0, false, BLACK, text);
  }
  double block = w + FV_TICK_GAP + l->bar_ticks;
  if (l->bar_label_below)
    return fv_lines_draw(c, x + block / 2, bottom + FV_TICK_GAP + 1.5, l->label, false, l->bar_label, err);
  return fv_lines_draw(c, x + block + 4, l->bar_y + fmax(l->bar_h, 60) / 2, l->label, true, l->bar_label, err);
}
