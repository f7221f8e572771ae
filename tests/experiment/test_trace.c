/* Maps of a trace, computed again from its rows: every site, corruption and draw, their averages over draws and
 * samples, and draws that cannot be normalised. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/trace.h"
#include "support/vectors.h"

#define MODEL FV_TEST_DATA "/blip/tied"

static const char *const corrupt[] = {"uniform:0.8@vision.final", "scale:1@vision.final", "gray"};
static const char *const restore[] = {"text_encoder.*.resid_post", "text_decoder.*.mlp.out", "text_encoder.embed"};
static const char *const images[] = {MODEL "/vectors/image0.png", MODEL "/vectors/image1.png"};
enum { SAMPLES = 2, DRAWS = 3, ROWS = 8, LAYERS = 2 };

static fv_trace_options options(void) {
  fv_trace_options o;
  fv_trace_defaults(&o);
  o.input.question = "what color is the shirt?";
  o.corrupt = corrupt, o.ncorrupt = 3, o.restore = restore, o.nrestore = 3, o.draws = DRAWS, o.target = "id:20";
  return o;
}

static void near(double a, double b) {
  if (isnan(a) != isnan(b) || fabs(a - b) > 1e-9 * (1.0 + fabs(b))) fail_msg("%.12g, expected %.12g", a, b);
}

/* Whether a row of the table belongs to the map at one of its cells; row and col -1: at any. */
static bool belongs(const fv_row *r, const fv_trace_map *m, int64_t row, int64_t col) {
  return strcmp(r->corrupt, corrupt[m->corrupt]) == 0 && strcmp(r->stack, m->stack) == 0 &&
         strcmp(r->site, m->site) == 0 && (m->draw < 0 || r->draw == m->draw) && (row < 0 || r->row == row) &&
         (col < 0 || r->layer == m->layers[col]);
}

static void check_cell(const fv_table *t, const fv_trace_map *m, int64_t row, int64_t col) {
  double prob = 0.0, share = 0.0, n = 0.0, counted = 0.0;
  for (size_t i = 0; i < fv_table_count(t); i++) {
    const fv_row *r = fv_table_row(t, i);
    if (!belongs(r, m, row, col)) continue;
    double low = r->corrupt_prob, high = r->clean_prob;
    prob += r->prob, n += 1.0;
    if (high != low) share += (r->prob - low) / (high - low), counted += 1.0;
  }
  assert_true(n == (double)m->samples && n - counted == (double)m->flat);
  near(m->prob[row * m->cols + col], prob / n);
  near(m->normalised[row * m->cols + col], counted > 0.0 ? share / counted : NAN);
}

static void check_map(const fv_table *t, const fv_trace_map *m) {
  double low = 0.0, high = 0.0, n = 0.0;
  for (size_t i = 0; i < fv_table_count(t); i++) {
    const fv_row *r = fv_table_row(t, i);
    if (belongs(r, m, 0, 0)) low += r->corrupt_prob, high += r->clean_prob, n += 1.0;
  }
  near(m->low, low / n), near(m->high, high / n);
  for (int64_t row = 0; row < m->rows; row++)
    for (int64_t col = 0; col < m->cols; col++) check_cell(t, m, row, col);
}

static void test_maps(void **state) {
  (void)state;
  fv_model *model;
  fv_table *table;
  fv_trace_result result = {0};
  fv_trace_options o = options();
  OK(fv_model_open(MODEL, NULL, &model, ERR));
  OK(fv_table_new(&table, ERR));
  for (int s = 0; s < SAMPLES; s++) {
    o.input.image = images[s], o.seed = s;
    OK(fv_trace(model, &o, fv_table_sink(table), NULL, &result, ERR));
  }
  const int64_t series = DRAWS + 1 + 1, cells = ROWS * LAYERS + LAYERS + ROWS;
  assert_int_equal(fv_table_count(table), SAMPLES * series * cells);
  assert_int_equal(result.nmaps, 3 * (series + 3)); /* sites; draws, then the averages */
  assert_int_equal(result.flat, SAMPLES);           /* scale:1 */
  for (size_t i = 0; i < result.nmaps; i++) {
    const fv_trace_map *m = &result.maps[i];
    const int64_t rows[] = {ROWS, 1, ROWS}, cols[] = {LAYERS, LAYERS, 1};
    assert_true(m->rows == rows[m->restore] && m->cols == cols[m->restore]);
    assert_int_equal(m->samples, SAMPLES * (m->draw < 0 && m->corrupt == 0 ? DRAWS : 1));
    assert_int_equal(m->flat, m->corrupt == 1 ? m->samples : 0);
    if (m->restore != 1) assert_string_equal(m->labels[5], "shirt");
    check_map(table, m);
  }
  /* Draws are drawn anew for each, and from the sample's own seed. */
  const fv_trace_map *m = result.maps;
  assert_true(m[0].prob[0] != m[3].prob[0] && m[3].prob[0] != m[6].prob[0]);
  fv_trace_release(&result);
  fv_table_free(table);
  fv_model_close(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_maps)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
