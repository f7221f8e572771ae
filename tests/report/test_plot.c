/* Heat map files: colours in decoded PNGs, text in SVGs, layout without overlaps, equal bytes, errors. */
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fovea/plot.h"
#include "report/plot_layout.h"

/* fontconfig keeps what it has found until the process ends; a leak checker takes that for a leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfontconfig\n"; }

typedef struct picture {
  png_image info;
  uint8_t *rgb;
} picture;

static picture decode(const char *path) {
  picture p = {.info = {.version = PNG_IMAGE_VERSION}};
  assert_true(png_image_begin_read_from_file(&p.info, path));
  p.info.format = PNG_FORMAT_RGB;
  p.rgb = malloc(PNG_IMAGE_SIZE(p.info));
  assert_true(png_image_finish_read(&p.info, NULL, p.rgb, 0, NULL));
  return p;
}

/* The layout that fv_plot_write makes for a PNG. */
static fv_layout layout(size_t n, const fv_heatmap *maps, const fv_plot_options *o, fv_fonts **fonts) {
  fv_layout l;
  fv_scale scale;
  fv_error e = {0};
  assert_int_equal(fv_scale_fit(&scale, o->colors, o->vmin, o->vmax, n, maps, &e), FV_OK);
  assert_int_equal(fv_fonts_new(o->serif, fonts, &e), FV_OK);
  if (fv_layout_make(&l, n, maps, o, &scale, FV_PICTURE_PNG, *fonts, &e)) fail_msg("%s", e.text);
  return l;
}

/* The colour in the middle of a cell of a written PNG. */
static uint32_t center(const picture *p, const fv_layout *l, size_t panel, int64_t row, int64_t col, double dpi) {
  int x = (int)((l->panels[panel].x + ((double)col + 0.5) * l->cell_w) * dpi / 72);
  int y = (int)((l->panels[panel].y + ((double)row + 0.5) * l->cell_h) * dpi / 72);
  assert_in_range(x, 0, p->info.width - 1);
  assert_in_range(y, 0, p->info.height - 1);
  const uint8_t *c = p->rgb + 3 * ((size_t)y * p->info.width + (size_t)x);
  return (uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2];
}

static const char *const TOKENS[] = {"[CLS]", "what", "<color>", "&", "[SEP]"};

static void png_has_the_colors(void **state) {
  (void)state;
  float v[5 * 8];
  for (int i = 0; i < 40; i++) v[i] = (float)i / 39;
  v[7] = NAN;
  v[8] = INFINITY;
  v[9] = -INFINITY;
  fv_heatmap m = {5, 8, v, TOKENS, NULL, "title", "layer", NULL, "p(red)"};
  fv_plot_options o;
  fv_plot_defaults(&o);
  o.dpi = 200;
  fv_error e = {0};
  if (fv_plot_write("plot_test.png", 1, &m, &o, &e)) fail_msg("%s", e.text);
  picture p = decode("plot_test.png");
  fv_fonts *fonts;
  fv_layout l = layout(1, &m, &o, &fonts);
  assert_int_equal(p.info.width, (int)ceil(l.width * 200 / 72));
  assert_int_equal(p.info.height, (int)ceil(l.height * 200 / 72));
  assert_true(l.width <= 3.5 * 72 + 20);
  /* ColorBrewer Purples by name: the ends, and the middle of the nine */
  assert_int_equal(center(&p, &l, 0, 0, 0, 200), 0xfcfbfd);
  assert_int_equal(center(&p, &l, 0, 4, 7, 200), 0x3f007d);
  assert_int_equal(center(&p, &l, 0, 1, 0, 200), 0x3f007d);
  assert_int_equal(center(&p, &l, 0, 1, 1, 200), 0xfcfbfd);
  uint8_t table[256][3];
  bool diverging;
  assert_int_equal(fv_colors_table("Purples", table, &diverging, NULL), FV_OK);
  for (int i = 10; i < 40; i++) {
    int k = (int)floor(256 * (double)v[i]);
    k = k > 255 ? 255 : k;
    uint32_t expected = (uint32_t)table[k][0] << 16 | (uint32_t)table[k][1] << 8 | table[k][2];
    assert_int_equal(center(&p, &l, 0, i / 8, i % 8, 200), expected);
  }
  uint32_t none = center(&p, &l, 0, 0, 7, 200); /* grey, perhaps hatched */
  assert_int_equal(none >> 16, none & 0xFF);
  assert_true((none & 0xFF) < 0xF0);
  free(p.rgb);
  fv_layout_release(&l);
  fv_fonts_free(fonts);

  char *bytes;
  size_t size;
  assert_int_equal(fv_file_read("plot_test.png", 1 << 24, &bytes, &size, NULL), FV_OK);
  assert_memory_equal(bytes + 33, "\0\0\0\x09pHYs\0\0\x1E\xC2\0\0\x1E\xC2\x01", 17); /* 7874 pixels per metre */
  free(bytes);
  unlink("plot_test.png");
}

static void limits_and_facets(void **state) {
  (void)state;
  float a[4] = {0, 0.25f, 0.5f, 2}, b[4] = {0.5f, 1, -1, 0.25f};
  fv_heatmap maps[2] = {{2, 2, a, NULL, NULL, "a", NULL, NULL, NULL}, {2, 2, b, NULL, NULL, "b", NULL, NULL, "effect"}};
  fv_plot_options o;
  fv_plot_defaults(&o);
  o.dpi = 72;
  o.annotate = 0;
  o.vmin = 0, o.vmax = 1;
  assert_int_equal(fv_plot_write("plot_facets.png", 2, maps, &o, NULL), FV_OK);
  picture p = decode("plot_facets.png");
  fv_fonts *fonts;
  fv_layout l = layout(2, maps, &o, &fonts);
  assert_int_equal(center(&p, &l, 0, 1, 0, 72), center(&p, &l, 1, 0, 0, 72));
  assert_int_equal(center(&p, &l, 0, 0, 1, 72), center(&p, &l, 1, 1, 1, 72));
  assert_int_equal(center(&p, &l, 0, 1, 1, 72), 0x3f007d); /* 2, beyond the end */
  assert_int_equal(center(&p, &l, 1, 1, 0, 72), 0xfcfbfd); /* -1 */
  assert_float_equal(l.panels[0].y, l.panels[1].y, 0);
  assert_true(l.panels[0].show_rows && !l.panels[1].show_rows);
  free(p.rgb);
  fv_layout_release(&l);
  fv_fonts_free(fonts);
  unlink("plot_facets.png");
}

/* Where the SVG has this text: its y. */
static double text_y(const char *svg, const char *text) {
  char *mark = fv_format(">%s</text>", text);
  const char *at = strstr(svg, mark);
  if (!at) fail_msg("the SVG lacks %s", mark);
  free(mark);
  while (strncmp(at, "<text ", 6) != 0) at--;
  return strtod(strstr(at, " y=\"") + 4, NULL);
}

/* The colour bar says what the colours mean: from the bottom up they are those of the values beside them, also between
 * the arrows for values beyond, and of a scale whose middle is 0. */
static void the_bar(void **state) {
  (void)state;
  static const struct {
    const char *colors;
    float vmin, vmax;
    double lo, hi; /* of the bar */
  } cases[] = {{"Purples", NAN, NAN, 0, 4}, {"viridis", 1, 3, 1, 3}, {"RdBu", NAN, NAN, -4, 4}, {"RdBu", -2, 4, -2, 4}};
  float v[4] = {0, 2.5f, 4, 1};
  const char *rows[] = {"a", "b"}, *cols[] = {"c", "d"};
  fv_heatmap m = {2, 2, v, rows, cols, NULL, NULL, NULL, "p"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_plot_options o;
    fv_scale scale;
    fv_plot_defaults(&o);
    o.dpi = 288, o.annotate = 0, o.colors = cases[i].colors, o.vmin = cases[i].vmin, o.vmax = cases[i].vmax;
    assert_int_equal(fv_plot_write("plot_bar.png", 1, &m, &o, NULL), FV_OK);
    assert_int_equal(fv_scale_fit(&scale, o.colors, o.vmin, o.vmax, 1, &m, NULL), FV_OK);
    assert_true(scale.vmin == cases[i].lo && scale.vmax == cases[i].hi);
    picture p = decode("plot_bar.png");
    fv_fonts *fonts;
    fv_layout l = layout(1, &m, &o, &fonts);
    double top = l.bar_y + (scale.above ? FV_BAR_ARROW : 0);
    double bottom = l.bar_y + l.bar_h - (scale.below ? FV_BAR_ARROW : 0);
    assert_true(scale.below == (i == 1) && scale.above == (i == 1));
    for (double share = 0.05; share < 1; share += 0.1) {
      int x = (int)((l.bar_x + l.bar_w / 2) * 4), y = (int)((bottom + share * (top - bottom)) * 4);
      const uint8_t *c = p.rgb + 3 * ((size_t)y * p.info.width + (size_t)x);
      fv_rgb want = fv_scale_color(&scale, cases[i].lo + share * (cases[i].hi - cases[i].lo));
      if (abs(c[0] - want.r) > 8 || abs(c[1] - want.g) > 8 || abs(c[2] - want.b) > 8)
        fail_msg("case %zu at %g: %d %d %d, expected %d %d %d", i, share, c[0], c[1], c[2], want.r, want.g, want.b);
    }
    free(p.rgb);
    char *svg;
    assert_int_equal(fv_plot_write("plot_bar.svg", 1, &m, &o, NULL), FV_OK);
    assert_int_equal(fv_file_read("plot_bar.svg", 1 << 24, &svg, NULL, NULL), FV_OK);
    assert_true(fv_layout_bar_ticks(&l) >= 2);
    for (int k = 0; k < fv_layout_bar_ticks(&l); k++) {
      char text[FV_LABEL_NUMBER];
      double value;
      fv_layout_bar_tick(&l, &scale, k, &value, text);
      double share = (value - cases[i].lo) / (cases[i].hi - cases[i].lo), y = bottom + share * (top - bottom);
      if (fabs(text_y(svg, text) - FV_CENTRE * l.tick.size - y) > 0.1) fail_msg("case %zu: %s", i, text);
    }
    free(svg);
    fv_layout_release(&l);
    fv_fonts_free(fonts);
    unlink("plot_bar.png"), unlink("plot_bar.svg");
  }
}

/* Whole numbers are written without decimals, others with as many as tell them apart. */
static void annotations(void **state) {
  (void)state;
  float whole[4] = {0, 12, 3, NAN}, parts[4] = {0, 0.125f, 0.5f, NAN};
  const char *names[] = {"a", "b"};
  for (int i = 0; i < 2; i++) {
    fv_heatmap m = {2, 2, i ? parts : whole, names, names, NULL, NULL, NULL, NULL};
    char *svg;
    assert_int_equal(fv_plot_write("plot_cells.svg", 1, &m, NULL, NULL), FV_OK);
    assert_int_equal(fv_file_read("plot_cells.svg", 1 << 24, &svg, NULL, NULL), FV_OK);
    (void)text_y(svg, i ? "0.12" : "12"), (void)text_y(svg, i ? "0.50" : "3");
    free(svg);
    unlink("plot_cells.svg");
  }
}

static void scales(void **state) {
  (void)state;
  float v[4] = {-1, 0, 3, NAN};
  fv_heatmap m = {1, 4, v, NULL, NULL, NULL, NULL, NULL, NULL};
  fv_scale s;
  fv_error e = {0};
  assert_int_equal(fv_scale_fit(&s, "RdBu", NAN, NAN, 1, &m, &e), FV_OK);
  assert_true(s.vmin == -3 && s.vmax == 3 && !s.above && !s.below);
  const float below[2] = {-5, 2};
  assert_int_equal(fv_scale_fit(&s, "RdBu", NAN, NAN, 1, &(fv_heatmap){.rows = 1, .cols = 2, .values = below}, &e),
                   FV_OK);
  assert_true(s.vmin == -5 && s.vmax == 5);
  uint8_t grey[256][3]; /* between two anchors the nearest value, not the one below: 254.53 */
  bool diverging;
  assert_int_equal(fv_colors_table("Greys", grey, &diverging, &e), FV_OK);
  assert_true(grey[0][0] == 255 && grey[1][0] == 255 && grey[2][0] == 254 && grey[255][0] == 0 && !diverging);
  assert_int_equal(fv_scale_fit(&s, "RdBu", -5, 2, 1, &m, &e), FV_OK);
  assert_true(s.vmin == -5 && s.vmax == 2 && s.low == -5 && s.high == 5);
  assert_int_equal(fv_scale_fit(&s, "RdBu", NAN, NAN, 1, &m, &e), FV_OK);
  fv_rgb c = fv_scale_color(&s, 0);
  assert_true(c.r > 240 && c.g > 240 && c.b > 240);
  c = fv_scale_color(&s, -3);
  assert_true(c.r == 0x67 && c.g == 0 && c.b == 0x1f);
  assert_int_equal(fv_scale_fit(&s, "seismic", -1, 3, 1, &m, &e), FV_OK);
  c = fv_scale_color(&s, 0);
  assert_true(c.r == 255 && c.g > 250 && c.b > 250);
  assert_int_equal(fv_scale_fit(&s, "Reds", NAN, 2, 1, &m, &e), FV_OK);
  assert_true(s.vmin == -1 && s.vmax == 2 && s.above && !s.below);
  assert_int_equal(fv_scale_fit(&s, "Reds", 5, NAN, 1, &m, &e), FV_OK);
  assert_true(s.vmin == 5 && s.vmax > 5 && s.below);
  assert_int_equal(fv_scale_fit(&s, "Reds", 1, 1, 1, &m, &e), FV_EUSAGE);
  assert_int_equal(fv_scale_fit(&s, "Reds", -INFINITY, 1, 1, &m, &e), FV_EUSAGE);
  assert_int_equal(fv_scale_fit(&s, "Pinks", NAN, NAN, 1, &m, &e), FV_EUSAGE);
  assert_non_null(strstr(e.text, "Purples, Reds, Greens, Blues, Greys, viridis, cividis, RdBu, seismic"));
}

static void svg_has_text(void **state) {
  (void)state;
  float v[5 * 2] = {0, 1, 2, 3, 4, 5, 6, 7, NAN, 9};
  const char *layers[] = {"\n", "\xE4\xB8\xAD\xF0\x9F\x98\x80"};
  fv_heatmap m = {5,       2,       v,       TOKENS, layers, "A \"title\" of many words that is longer than the map",
                  "layer", "token", "p(red)"};
  fv_error e = {0};
  if (fv_plot_write("plot_test.SVG", 1, &m, NULL, &e)) fail_msg("%s", e.text);
  char *svg;
  assert_int_equal(fv_file_read("plot_test.SVG", 1 << 24, &svg, NULL, NULL), FV_OK);
  const char *expected[] = {">[CLS]</text>",
                            ">&lt;color&gt;</text>",
                            ">&amp;</text>",
                            ">\\n</text>",
                            ">\xE4\xB8\xAD\xF0\x9F\x98\x80</text>",
                            ">p(red)</text>",
                            ">layer</text>",
                            ">token</text>",
                            ">A &quot;title&quot; of",
                            "fill=\"#3f007d\"",
                            "fill=\"#fcfbfd\"",
                            ">9</text>",
                            "</svg>\n"};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    if (!strstr(svg, expected[i])) fail_msg("the SVG lacks %s", expected[i]);
  assert_null(strstr(svg, "nan"));
  free(svg);
  unlink("plot_test.SVG");
}

static char *written(const char *path, const fv_heatmap *m, size_t *size) {
  char *bytes;
  assert_int_equal(fv_plot_write(path, 1, m, NULL, NULL), FV_OK);
  assert_int_equal(fv_file_read(path, 1 << 24, &bytes, size, NULL), FV_OK);
  unlink(path);
  return bytes;
}

static void same_bytes_again(void **state) {
  (void)state;
  float v[6] = {0, 1, 2, 3, NAN, 5};
  fv_heatmap m = {3, 2, v, NULL, NULL, "t", NULL, NULL, "x"};
  const char *paths[] = {"plot_same.pdf", "plot_same.png", "plot_same.svg"};
  char *first[3], *second;
  size_t n[3], k;
  for (int i = 0; i < 3; i++) first[i] = written(paths[i], &m, &n[i]);
  sleep(1); /* a time of writing would show */
  for (int i = 0; i < 3; i++) {
    second = written(paths[i], &m, &k);
    assert_int_equal(k, n[i]);
    assert_memory_equal(first[i], second, k);
    free(second);
  }
  assert_memory_equal(first[0], "%PDF", 4);
  assert_null(memmem(first[0], n[0], "Date", 4));
  for (int i = 0; i < 3; i++) free(first[i]);
}

/* Everything lies on the page, ticks have room, panels do not touch: for many shapes. */
static void nothing_overlaps(void **state) {
  (void)state;
  enum { R = 3000, C = 40 };
  static float v[R * C];
  for (int i = 0; i < R * C; i++) v[i] = (float)(i % 97);
  static const struct {
    int64_t rows, cols;
    size_t panels;
    int64_t across;
  } shapes[] = {{1, 1, 1, 0},    {1, 12, 1, 0},    {9, 12, 1, 0},  {9, 12, 7, 0},   {12, 12, 2, 1},
                {577, 24, 1, 0}, {3000, 32, 1, 0}, {20, 40, 4, 4}, {600, 32, 12, 3}};
  const char *words[C];
  for (int j = 0; j < C; j++) words[j] = j % 2 ? "texture of something" : "a";
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int long_labels = 0; long_labels < 2; long_labels++) {
      fv_heatmap maps[12];
      for (size_t k = 0; k < shapes[s].panels; k++)
        maps[k] = (fv_heatmap){shapes[s].rows,
                               shapes[s].cols,
                               v,
                               NULL,
                               long_labels ? words : NULL,
                               "a title of some length",
                               "x label",
                               "y label",
                               "a long name of a metric with its unit"};
      fv_plot_options o;
      fv_plot_defaults(&o);
      o.facet_columns = shapes[s].across;
      o.title = "head";
      fv_fonts *fonts;
      fv_layout l = layout(shapes[s].panels, maps, &o, &fonts);
      assert_true(l.width * o.dpi / 72 < 32767 && l.height * o.dpi / 72 < 32767);
      assert_true(l.cell_h * (double)l.row_step >= l.tick.size);
      double need = l.upright ? l.tick.size : l.panels[0].col_width + 1;
      assert_true(l.cell_w * (double)l.col_step >= need);
      if (shapes[s].rows <= 600 && shapes[s].panels == 1) assert_int_equal(l.row_step, 1);
      for (size_t k = 0; k < l.count; k++) {
        const fv_panel *a = &l.panels[k];
        double right = a->x + (double)a->map->cols * l.cell_w, low = a->y + (double)a->map->rows * l.cell_h;
        assert_true(a->x > a->row_width * a->show_rows && right < l.bar_x && low + l.depth * a->show_cols < l.height);
        if (k % l.across > 0) {
          const fv_panel *left = a - 1;
          assert_true(left->x + (double)left->map->cols * l.cell_w < a->x - (a->show_rows ? a->row_width : 0));
        }
        if (k >= l.across) {
          const fv_panel *up = a - l.across;
          assert_true(up->y + (double)up->map->rows * l.cell_h + (up->show_cols ? l.depth : 0) <
                      a->y - fv_lines_height(l.title, a->title));
        }
      }
      assert_true(l.bar_x + l.bar_w + l.bar_ticks < l.width && l.bar_y + l.bar_h < l.height);
      fv_layout_release(&l);
      fv_fonts_free(fonts);
    }
}

static void mistakes_are_errors(void **state) {
  (void)state;
  float v[1] = {1};
  fv_heatmap m = {1, 1, v, NULL, NULL, NULL, NULL, NULL, NULL}, bad = m;
  fv_plot_options o;
  fv_error e = {0};
  const char *names[] = {"x.jpg", "x", "png", "dir.png/x", ""};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(fv_plot_write(names[i], 1, &m, NULL, &e), FV_EUSAGE);
    assert_non_null(strstr(e.text, ".png, .svg or .pdf"));
  }
  assert_int_equal(fv_plot_write("no/such/folder/x.png", 1, &m, NULL, &e), FV_EIO);
  const char *label[] = {"a\xFF"};
  bad.row_labels = label;
  assert_int_equal(fv_plot_write("x.png", 1, &bad, NULL, &e), FV_EFORMAT);
  bad = m, bad.rows = 0;
  assert_int_equal(fv_plot_write("x.png", 1, &bad, NULL, &e), FV_EUSAGE);
  bad = m, bad.rows = bad.cols = INT64_MAX;
  assert_int_equal(fv_plot_write("x.png", 1, &bad, NULL, &e), FV_EUSAGE);
  assert_int_equal(fv_plot_write("x.png", 0, &m, NULL, &e), FV_EUSAGE);
  fv_plot_defaults(&o), o.dpi = 1e9;
  assert_int_equal(fv_plot_write("x.png", 1, &m, &o, &e), FV_EUSAGE);
  fv_heatmap wide[225];
  for (int i = 0; i < 225; i++) wide[i] = m;
  fv_plot_defaults(&o), o.dpi = 1200, o.font_size = 30;
  assert_int_equal(fv_plot_write("x.png", 225, wide, &o, &e), FV_EUSAGE);
  assert_non_null(strstr(e.text, "lower the dpi"));
  fv_plot_defaults(&o), o.font_size = NAN;
  assert_int_equal(fv_plot_write("x.png", 1, &m, &o, &e), FV_EUSAGE);
  fv_plot_defaults(&o), o.colors = NULL;
  assert_int_equal(fv_plot_write("x.png", 1, &m, &o, &e), FV_EUSAGE);
  assert_false(fv_file_exists("x.png"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(png_has_the_colors),
                                     cmocka_unit_test(limits_and_facets),
                                     cmocka_unit_test(scales),
                                     cmocka_unit_test(the_bar),
                                     cmocka_unit_test(annotations),
                                     cmocka_unit_test(svg_has_text),
                                     cmocka_unit_test(same_bytes_again),
                                     cmocka_unit_test(nothing_overlaps),
                                     cmocka_unit_test(mistakes_are_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
