/* Maps over a picture: pixels of the decoded PNG, orientation, parts of SVG and PDF, equal bytes, errors. */
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "fovea/plot.h"
#include "support/vectors.h"

/* fontconfig keeps what it has found until the process ends; a leak checker takes that for a leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfontconfig\n"; }

enum { SIDE = 48, MARGIN = 5, GAP = 9 }; /* pixels at 72 dpi are points; see overlay.c */

static uint8_t picture[SIDE * SIDE * 3];

static int setup(void **state) {
  (void)state;
  for (int r = 0; r < SIDE; r++)
    for (int c = 0; c < SIDE; c++) {
      uint8_t *p = picture + (r * SIDE + c) * 3;
      p[0] = (uint8_t)(r * 5), p[1] = (uint8_t)(c * 5), p[2] = 77;
    }
  return 0;
}

typedef struct decoded {
  png_image info;
  uint8_t *rgb;
} decoded;

static decoded decode(const char *path) {
  decoded p = {.info = {.version = PNG_IMAGE_VERSION}};
  assert_true(png_image_begin_read_from_file(&p.info, path));
  p.info.format = PNG_FORMAT_RGB;
  p.rgb = malloc(PNG_IMAGE_SIZE(p.info));
  assert_true(png_image_finish_read(&p.info, NULL, p.rgb, 0, NULL));
  return p;
}

static void expect_pixel(const decoded *d, int x, int y, double r, double g, double b) {
  const uint8_t *p = d->rgb + 3 * ((size_t)y * d->info.width + (size_t)x);
  double want[3] = {r, g, b};
  for (int k = 0; k < 3; k++)
    if (fabs(p[k] - want[k]) > 1)
      fail_msg("pixel %d,%d is %d %d %d, expected %g %g %g", x, y, p[0], p[1], p[2], r, g, b);
}

/* At 72 dpi and 48/72 inch a pixel of the panel is a pixel of the picture, and a patch has 16 x 12 of them. */
static void test_pixels(void **state) {
  (void)state;
  float v[3 * 4], w[3 * 4];
  for (int i = 0; i < 12; i++) v[i] = (float)i - 4, w[i] = NAN;
  fv_overlay maps[] = {{.rows = 3, .cols = 4, .values = v}, {.rows = 0}, {.rows = 3, .cols = 4, .values = w}};
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  o.dpi = 72, o.size = SIDE / 72.0, o.colors = "seismic";
  uint8_t table[256][3];
  bool diverging;
  OK(fv_colors_table("seismic", table, &diverging, ERR));
  for (int half = 0; half < 3; half++) {
    o.alpha = half ? 0.5 : 1.0, o.gray = half == 2;
    OK(fv_overlay_write("overlay.png", picture, SIDE, SIDE, 3, maps, &o, ERR));
    decoded d = decode("overlay.png");
    for (int r = 1; r < SIDE - 1; r++)
      for (int c = 1; c < SIDE - 1; c++) { /* the frame lies on the rim */
        double value = v[r / 16 * 4 + c / 12];
        const uint8_t *color =
            table[(int)floor(256 * (value + 7) / 14) > 255 ? 255 : (int)floor(256 * (value + 7) / 14)];
        const uint8_t *p = picture + (r * SIDE + c) * 3;
        double gray = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2], want[3];
        for (int k = 0; k < 3; k++) want[k] = o.alpha * color[k] + (1 - o.alpha) * (o.gray ? gray : p[k]);
        expect_pixel(&d, MARGIN + c, MARGIN + r, want[0], want[1], want[2]);
        expect_pixel(&d, MARGIN + SIDE + GAP + c, MARGIN + r, p[0], p[1], p[2]); /* the picture alone */
        for (int k = 0; k < 3; k++) want[k] = o.gray ? gray : p[k];
        expect_pixel(&d, MARGIN + 2 * (SIDE + GAP) + c, MARGIN + r, want[0], want[1], want[2]); /* no values */
      }
    free(d.rgb);
  }
  unlink("overlay.png");
}

/* Panels may lie over pictures of their own. */
static void test_pictures(void **state) {
  (void)state;
  uint8_t *other = malloc(sizeof picture);
  for (size_t i = 0; i < sizeof picture; i++) other[i] = (uint8_t)(255 - picture[i]);
  fv_overlay maps[] = {{.rows = 0}, {.picture = other}, {.picture = other}, {.rows = 0}};
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  o.dpi = 72, o.size = SIDE / 72.0, o.columns = 4;
  OK(fv_overlay_write("pictures.png", picture, SIDE, SIDE, 4, maps, &o, ERR));
  decoded d = decode("pictures.png");
  for (int i = 0; i < 4; i++) {
    const uint8_t *p = (maps[i].picture ? other : picture) + (20 * SIDE + 30) * 3;
    expect_pixel(&d, MARGIN + i * (SIDE + GAP) + 30, MARGIN + 20, p[0], p[1], p[2]);
  }
  free(d.rgb), free(other);
  unlink("pictures.png");
}

/* Each map by its own ends, all of the colours between 0 and 1. */
static void test_minmax(void **state) {
  (void)state;
  float v[2 * 2] = {2, 4, 3, 2.5f}, w[2 * 2] = {-1, -1, -1, -1};
  fv_overlay maps[] = {{2, 2, v, "a", NULL}, {2, 2, w, "b", NULL}};
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  o.dpi = 72, o.size = SIDE / 72.0, o.colors = "seismic", o.minmax = true;
  OK(fv_overlay_write("minmax.png", NULL, 0, 0, 2, maps, &o, ERR));
  decoded d = decode("minmax.png");
  uint8_t table[256][3];
  bool diverging;
  OK(fv_colors_table("seismic", table, &diverging, ERR));
  static const int entry[] = {0, 255, 128, 64};
  int top = (int)d.info.height - MARGIN - SIDE; /* below the titles */
  if (top < MARGIN + 8) fail_msg("no room for titles above %d", top);
  for (int i = 0; i < 4; i++) {
    const uint8_t *c = table[entry[i]];
    int x = MARGIN + 12 + i % 2 * 24, y = 15 + MARGIN + 12 + i / 2 * 24;
    expect_pixel(&d, x, y, c[0], c[1], c[2]);
    expect_pixel(&d, x + SIDE + GAP, y, table[0][0], table[0][1], table[0][2]);
  }
  free(d.rgb);
  unlink("minmax.png");
}

static char *written(const char *path, const fv_overlay_options *o, size_t *size) {
  char *text;
  float v[4] = {0, 1, 2, 3};
  fv_overlay maps[] = {{2, 2, v, "L0 H1 <&>", NULL}, {2, 2, v, "L1 H3", NULL}};
  OK(fv_overlay_write(path, picture, SIDE, SIDE, 2, maps, o, ERR));
  OK(fv_file_read(path, 1 << 24, &text, size, ERR));
  unlink(path);
  return text;
}

static void test_formats(void **state) {
  (void)state;
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  o.title = "what color?", o.bar_label = "attention";
  static const char *const names[] = {"o.svg", "o.pdf", "o.PNG"};
  for (int i = 0; i < 3; i++)
    for (int how = 0; how < 2; how++) {
      size_t n, m;
      o.upsample = (fv_upsample)how;
      char *a = written(names[i], &o, &n), *b = written(names[i], &o, &m);
      assert_int_equal(n, m);
      assert_memory_equal(a, b, n);
      static const char *const parts[] = {"L0 H1 &lt;&amp;&gt;", "L1 H3",       "what color?",
                                          "attention",           "<image x=\"", "data:image/png;base64,iVBORw0KGgo"};
      for (size_t k = 0; i == 0 && k < sizeof parts / sizeof *parts; k++)
        if (!strstr(a, parts[k])) fail_msg("the SVG has no %s", parts[k]);
      free(a), free(b);
    }
}

static void test_errors(void **state) {
  (void)state;
  float v[4] = {0};
  fv_overlay map = {.rows = 2, .cols = 2, .values = v}, none = {0}, bad = map, empty = map;
  bad.title = "\xff", empty.rows = 0;
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  assert_int_equal(fv_overlay_write("o.gif", picture, SIDE, SIDE, 1, &map, &o, NULL), FV_EUSAGE);
  assert_int_equal(fv_overlay_write("o.png", NULL, 0, 0, 1, &none, &o, NULL), FV_EUSAGE);
  assert_int_equal(fv_overlay_write("o.png", picture, SIDE, SIDE, 1, &empty, &o, NULL), FV_EUSAGE);
  assert_int_equal(fv_overlay_write("o.png", picture, SIDE, SIDE, 0, &map, &o, NULL), FV_EUSAGE);
  assert_int_equal(fv_overlay_write("o.png", picture, SIDE, SIDE, 1, &bad, &o, NULL), FV_EFORMAT);
  o.alpha = 1.5;
  assert_int_equal(fv_overlay_write("o.png", picture, SIDE, SIDE, 1, &map, &o, NULL), FV_EUSAGE);
  o.alpha = 0.5, o.colors = "mauve";
  assert_int_equal(fv_overlay_write("o.png", picture, SIDE, SIDE, 1, &map, &o, NULL), FV_EUSAGE);
  o.colors = "viridis";
  assert_int_equal(fv_overlay_write("no/such/folder/o.png", picture, SIDE, SIDE, 1, &map, &o, NULL), FV_EIO);
  assert_int_not_equal(access("o.png", F_OK), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pixels), cmocka_unit_test(test_pictures),
                                     cmocka_unit_test(test_minmax), cmocka_unit_test(test_formats),
                                     cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, setup, NULL);
}
