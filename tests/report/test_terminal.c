/* Heat maps as text, and the text helpers of pictures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/plot.h"
#include "report/labels.h"

#define L "\xE2\x96\x91"
#define M "\xE2\x96\x92"
#define D "\xE2\x96\x93"
#define F "\xE2\x96\x88"
#define DOT "\xC2\xB7"
#define BAR "\xE2\x94\x82"
#define H "\xE2\x94\x80"

static void plain_map(void **state) {
  (void)state;
  float v[] = {0, 0.25f, 0.5f, 0.75f, 1, NAN};
  const char *rows[] = {"[CLS]", "\xE4\xB8\xAD\n"};
  fv_heatmap m = {2, 3, v, rows, NULL, "Trace", "layer", NULL, "p(red)"};
  char *text;
  fv_error e = {0};
  if (fv_plot_terminal(&text, &m, NULL, &e)) fail_msg("%s", e.text);
  assert_string_equal(text,
                      "Trace\n"
                      "[CLS] " BAR "   " L L L M M M
                      "\n"
                      " \xE4\xB8\xAD\\n " BAR D D D F F F DOT DOT DOT
                      "\n"
                      "      \xE2\x94\x94" H H H H H H H H H
                      "\n"
                      "        0  1  2\n"
                      "       layer\n"
                      "0 [    " L L L L M M M M D D D D F F F F "] 1  p(red)  " DOT " none\n");
  free(text);
}

static void colors_and_limits(void **state) {
  (void)state;
  float v[] = {0, 2};
  fv_heatmap m = {1, 2, v, NULL, NULL, NULL, NULL, NULL, NULL};
  fv_terminal_options o;
  char *text;
  fv_terminal_defaults(&o);
  o.depth = FV_TERMINAL_TRUE;
  o.vmin = 0, o.vmax = 1;
  assert_int_equal(fv_plot_terminal(&text, &m, &o, NULL), FV_OK);
  assert_non_null(strstr(text, "0 " BAR "\x1b[48;2;252;251;253m   \x1b[0m\x1b[48;2;63;0;125m   \x1b[0m\n"));
  assert_non_null(strstr(text, "] >= 1\n"));
  free(text);
  o.depth = FV_TERMINAL_256;
  o.colors = "seismic"; /* pure blue is 21 in the cube, the dark red (128, 0, 0) 88 */
  o.vmin = NAN, o.vmax = NAN;
  v[0] = -1;
  assert_int_equal(fv_plot_terminal(&text, &m, &o, NULL), FV_OK);
  assert_non_null(strstr(text, "0 " BAR "\x1b[48;5;21m   \x1b[0m\x1b[48;5;88m   \x1b[0m\n"));
  free(text);
}

static void wide_maps_go_on_below(void **state) {
  (void)state;
  float v[50];
  for (int i = 0; i < 50; i++) v[i] = (float)i;
  fv_heatmap m = {1, 50, v, NULL, NULL, NULL, NULL, NULL, NULL};
  fv_terminal_options o;
  char *text;
  fv_terminal_defaults(&o);
  o.width = 23;
  assert_int_equal(fv_plot_terminal(&text, &m, &o, NULL), FV_OK);
  int bands = 0;
  for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
    char copy[400];
    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
    if (!strchr(copy, '[')) assert_true(fv_label_columns(NULL, copy) <= 23);
    bands += strncmp(line, "0 " BAR, 5) == 0;
  }
  assert_int_equal(bands, 3);
  assert_non_null(strstr(text, "\n   0    5    10   15\n"));
  assert_non_null(strstr(text, "\n   20   25   30   35\n"));
  free(text);
  o.width = 5;
  assert_int_equal(fv_plot_terminal(&text, &m, &o, NULL), FV_EUSAGE);
  assert_null(text);
  fv_terminal_defaults(&o);
  const char *bad[] = {"\xC3"};
  m.row_labels = bad;
  assert_int_equal(fv_plot_terminal(&text, &m, &o, NULL), FV_EFORMAT);
}

static void check_wrap(const char *text, double limit, const char *expected) {
  char *out = fv_label_wrap(text, limit, fv_label_columns, NULL);
  assert_string_equal(out, expected);
  free(out);
}

static void labels(void **state) {
  (void)state;
  char *out = fv_label_clean("a\n\t\x1b\x7f\xC2\x85\xE2\x80\xAE\xEF\xBF\xBE\xC3\xA9", 100);
  assert_string_equal(out, "a\\n\\t\\x1b\\x7f\\u0085\\u202e\\ufffe\xC3\xA9");
  free(out);
  out = fv_label_clean("\xC3\xA9\xC3\xA9\xC3\xA9", 2);
  assert_string_equal(out, "\xC3\xA9\xC3\xA9\xE2\x80\xA6");
  free(out);
  check_wrap("impact of restoring", 9, "impact of\nrestoring");
  check_wrap("restoring", 4, "rest\norin\ng");
  check_wrap("a restoring b", 4, "a\nrest\norin\ng b");
  check_wrap("", 4, "");
  check_wrap("\xE4\xB8\xAD\xE6\x96\x87", 1, "\xE4\xB8\xAD\n\xE6\x96\x87");
  check_wrap("a   b", 2, "a\nb");
  out = fv_label_fit("\xE4\xB8\xAD\xE6\x96\x87\xE5\xAD\x97", 5, fv_label_columns, NULL);
  assert_string_equal(out, "\xE4\xB8\xAD\xE6\x96\x87\xE2\x80\xA6");
  free(out);
  assert_true(fv_label_columns(NULL, "a\xCC\x81\xF0\x9F\x98\x80\xE2\x80\x8B") == 3);
}

static void check_number(double v, const char *expected) {
  char out[FV_LABEL_NUMBER];
  fv_label_number(out, v, 3);
  assert_string_equal(out, expected);
}

static void check_value(double lo, double hi, double v, const char *expected) {
  char out[FV_LABEL_NUMBER];
  fv_label_value(out, v, fv_label_decimals(lo, hi));
  assert_string_equal(out, expected);
}

#define MINUS "\xE2\x88\x92"

static void check_ticks(double lo, double hi, int most, const char *expected) {
  fv_ticks t = fv_ticks_choose(lo, hi, most);
  char all[400] = "", one[FV_LABEL_NUMBER];
  for (int i = 0; i < t.count; i++) {
    fv_ticks_label(one, &t, i);
    strcat(strcat(all, one), " ");
  }
  assert_string_equal(all, expected);
}

static void numbers(void **state) {
  (void)state;
  check_number(0.12345, "0.123");
  check_number(-2.5, "-2.5");
  check_number(12345, "12300");
  check_number(0.9996, "1");
  check_number(1.2345e-7, "1.23e-7");
  check_number(-0.0, "0");
  check_value(0, 1, 0.9996, "1.00");
  check_value(0, 1, 1.4e-6, "0.00");
  check_value(0, 1, -1.4e-6, "0.00");
  check_value(0, 1, 0, "0");
  check_value(-0.0077, 0.0077, -0.00516, MINUS "0.0052");
  check_value(0.9996, 0.9999, 0.99964, "0.99964");
  check_value(0, 30522, 1200, "1200");
  check_value(-14.4, 14.4, -11.84, MINUS "11.8");
  check_value(0, 2e-5, 1.56e-5, "0.000016");
  check_value(0, 1e9, 123456789, "120000000");
  check_value(0, 1, INFINITY, "inf");
  check_ticks(0, 1, 6, "0.0 0.2 0.4 0.6 0.8 1.0 ");
  check_ticks(-3, 3, 4, MINUS "2 0 2 ");
  check_ticks(0.70001, 0.70099, 5, "0.7002 0.7004 0.7006 0.7008 ");
  check_ticks(-0.05, 0.05, 6, MINUS "0.04 " MINUS "0.02 0.00 0.02 0.04 ");
  check_ticks((double)0.1f, (double)0.3f, 5, "0.10 0.15 0.20 0.25 0.30 ");
  check_ticks(0, 30, 4, "0 10 20 30 ");
  check_ticks(0, 1e-8, 3, "0 5e-9 1e-8 ");
  check_ticks(0, 5e8, 3, "0 200000000 400000000 ");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(plain_map), cmocka_unit_test(colors_and_limits),
                                     cmocka_unit_test(wide_maps_go_on_below), cmocka_unit_test(labels),
                                     cmocka_unit_test(numbers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
