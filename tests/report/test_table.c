/* The long table: exact CSV and JSON bytes, outputs that appear or do not, the table in memory and its pivot. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/files.h"
#include "fovea/table.h"

#define HEADER                                                                                          \
  "sample,draw,corrupt,stack,site,layer,window,row,piece,head,from,to,op,prob,logit,logit_diff,p_diff," \
  "effect,kl,rank,clean_prob,corrupt_prob,clean_logit_diff,corrupt_logit_diff,answer_id,answer\n"

static void put(fv_sink sink, const fv_row *row) {
  fv_error e = {0};
  if (sink.row(sink.user, row, &e) != FV_OK) fail_msg("%s", e.text);
}

static char *slurp(const char *path) {
  char *text;
  assert_int_equal(fv_file_read(path, 1 << 20, &text, NULL, NULL), FV_OK);
  return text;
}

static fv_row full_row(void) {
  return (fv_row){.sample = "a,b",
                  .draw = 0,
                  .corrupt = "mul-gauss:mean=1,std=5@vision.final",
                  .stack = "text_encoder",
                  .site = "resid_post",
                  .layer = 3,
                  .window = 1,
                  .row = 7,
                  .piece = "say \"hi\"\nnow",
                  .head = 11,
                  .from = "",
                  .to = "last",
                  .op = "replace",
                  .prob = 0.1f,
                  .logit = -7.25f,
                  .logit_diff = -0.0f,
                  .p_diff = 1e-7f,
                  .effect = INFINITY,
                  .kl = NAN,
                  .rank = 0,
                  .clean_prob = 1.0f / 3,
                  .corrupt_prob = 16777216.0f,
                  .clean_logit_diff = 2,
                  .corrupt_logit_diff = NAN,
                  .answer_id = 2417,
                  .answer =
                      "r\xC3\xB8"
                      "d"};
}

static void csv_bytes(void **state) {
  (void)state;
  const char *path = "table_test.csv";
  fv_table_file *file;
  fv_row row, empty;
  assert_int_equal(fv_csv_open(path, &file, NULL), FV_OK);
  row = full_row();
  fv_row_defaults(&empty);
  put(fv_table_file_sink(file), &row);
  put(fv_table_file_sink(file), &empty);
  assert_int_equal(fv_table_file_rows(file), 2);
  assert_int_equal(fv_table_file_commit(file, NULL), FV_OK);
  char *text = slurp(path);
  assert_string_equal(text, HEADER
                      "\"a,b\",0,\"mul-gauss:mean=1,std=5@vision.final\",text_encoder,resid_post,3,1,7,"
                      "\"say \"\"hi\"\"\nnow\",11,\"\",last,replace,0.1,-7.25,-0,1e-7,inf,,0,0.33333334,16777216,2,,"
                      "2417,r\xC3\xB8"
                      "d\n,,,,,,,,,,,,,,,,,,,,,,,,,\n");
  free(text);
  unlink(path);
}

static void json_bytes(void **state) {
  (void)state;
  const char *path = "table_test.json";
  fv_table_file *file;
  fv_row row = full_row(), second;
  row.piece = "a\"\\\n\t\x01";
  fv_row_defaults(&second);
  second.layer = 0;
  assert_int_equal(fv_json_rows_open(path, &file, NULL), FV_OK);
  put(fv_table_file_sink(file), &row);
  put(fv_table_file_sink(file), &second);
  assert_int_equal(fv_table_file_commit(file, NULL), FV_OK);
  char *text = slurp(path);
  assert_non_null(strstr(text, "\"piece\":\"a\\\"\\\\\\n\\t\\u0001\",\"head\":11"));
  assert_non_null(strstr(text, "},\n{\"layer\":0}\n]\n"));
  json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL); /* a parser of somebody else */
  assert_int_equal(json_array_size(all), 2);
  json_t *first = json_array_get(all, 0);
  assert_string_equal(json_string_value(json_object_get(first, "piece")), "a\"\\\n\t\x01");
  assert_string_equal(json_string_value(json_object_get(first, "effect")), "inf");
  assert_null(json_object_get(first, "kl"));
  assert_true((float)json_number_value(json_object_get(first, "clean_prob")) == 1.0f / 3);
  json_decref(all);
  free(text);
  assert_int_equal(fv_json_rows_open(path, &file, NULL), FV_OK);
  assert_int_equal(fv_table_file_commit(file, NULL), FV_OK);
  text = slurp(path);
  assert_string_equal(text, "[\n]\n");
  free(text);
  unlink(path);
}

static void abort_leaves_the_old_file(void **state) {
  (void)state;
  const char *path = "table_old.csv";
  FILE *f = fopen(path, "w");
  fputs("old", f);
  fclose(f);
  fv_table_file *file;
  fv_row row = full_row();
  assert_int_equal(fv_csv_open(path, &file, NULL), FV_OK);
  put(fv_table_file_sink(file), &row);
  fv_table_file_abort(file);
  fv_table_file_abort(NULL);
  char *text = slurp(path);
  assert_string_equal(text, "old");
  free(text);
  unlink(path);
  assert_int_equal(fv_csv_open("no/such/folder/x.csv", &file, NULL), FV_EIO);
}

static void bad_utf8_is_refused(void **state) {
  (void)state;
  fv_table_file *file;
  fv_error e = {0};
  fv_row row = full_row();
  row.piece = "ab\xFF";
  assert_int_equal(fv_csv_open("table_bad.csv", &file, NULL), FV_OK);
  fv_sink sink = fv_table_file_sink(file);
  assert_int_equal(sink.row(sink.user, &row, &e), FV_EFORMAT);
  assert_non_null(strstr(e.text, "table_bad.csv"));
  assert_non_null(strstr(e.text, "piece is not UTF-8 at byte 2"));
  fv_table_file_abort(file);
  assert_false(fv_file_exists("table_bad.csv"));
}

static fv_status refuse(void *user, const fv_row *row, fv_error *err) {
  (void)row;
  ++*(int *)user;
  return fv_fail(err, FV_ECANCELLED, "enough");
}

static void tee_stops_at_the_first_failure(void **state) {
  (void)state;
  fv_table *a, *b;
  int calls = 0;
  assert_int_equal(fv_table_new(&a, NULL), FV_OK);
  assert_int_equal(fv_table_new(&b, NULL), FV_OK);
  fv_sink sinks[] = {fv_table_sink(a), {&calls, refuse}, fv_table_sink(b)};
  fv_tee tee = {3, sinks};
  fv_row row = full_row();
  fv_sink sink = fv_tee_sink(&tee);
  assert_int_equal(sink.row(sink.user, &row, NULL), FV_ECANCELLED);
  assert_int_equal(fv_table_count(a), 1);
  assert_int_equal(calls, 1);
  assert_int_equal(fv_table_count(b), 0);
  fv_table_free(a);
  fv_table_free(b);
  fv_table_free(NULL);
}

static void memory_keeps_its_own_strings(void **state) {
  (void)state;
  fv_table *t;
  assert_int_equal(fv_table_new(&t, NULL), FV_OK);
  for (int i = 0; i < 1000; i++) {
    char piece[16];
    snprintf(piece, sizeof piece, "p%d", i % 200);
    fv_row row = full_row();
    row.piece = piece;
    row.layer = i;
    put(fv_table_sink(t), &row);
  }
  assert_int_equal(fv_table_count(t), 1000);
  for (size_t i = 0; i < 1000; i++) {
    char piece[16];
    snprintf(piece, sizeof piece, "p%zu", i % 200);
    const fv_row *row = fv_table_row(t, i);
    assert_string_equal(row->piece, piece);
    assert_int_equal(row->layer, i);
    assert_ptr_equal(row->piece, fv_table_row(t, i % 200)->piece);
    assert_string_equal(row->answer, full_row().answer);
  }
  fv_table_free(t);
}

/* Two draws, layers 1 and 4, rows 0 to 2; prob = layer + row / 10 + draw. */
static fv_table *trace_table(void) {
  fv_table *t;
  assert_int_equal(fv_table_new(&t, NULL), FV_OK);
  const char *pieces[] = {"[CLS]", "red", "[SEP]"};
  for (int site = 0; site < 2; site++)
    for (int draw = 0; draw < 2; draw++)
      for (int layer = 4; layer >= 1; layer -= 3)
        for (int row = 0; row < 3; row++) {
          fv_row r;
          fv_row_defaults(&r);
          r.site = site ? "mlp.out" : "attn.out";
          r.draw = draw, r.layer = layer, r.row = row, r.piece = pieces[row];
          r.prob = (float)(layer + row / 10.0 + draw + 100 * site);
          if (site == 0 && layer == 4 && row == 2) r.prob = draw ? NAN : 7;
          if (site == 0 && layer == 1 && row == 1) r.prob = NAN;
          put(fv_table_sink(t), &r);
        }
  return t;
}

static void pivot_averages(void **state) {
  (void)state;
  fv_table *t = trace_table();
  fv_row where;
  fv_row_defaults(&where);
  where.site = "attn.out";
  fv_grid g;
  fv_error e = {0};
  assert_int_equal(fv_table_pivot(t, &(fv_pivot){.where = &where, .y = "row", .x = "layer", .metric = "prob"}, &g, &e),
                   FV_OK);
  assert_int_equal(g.rows, 3);
  assert_int_equal(g.cols, 2);
  assert_string_equal(g.row_labels[1], "red");
  assert_string_equal(g.col_labels[0], "1");
  assert_int_equal(g.col_keys[1], 4);
  assert_float_equal(g.values[0], 1.5, 0);
  assert_true(isnan(g.values[2]));
  assert_int_equal(g.counts[2], 0);
  assert_float_equal(g.values[5], 7, 0);
  assert_int_equal(g.counts[5], 1);
  assert_int_equal(g.counts[0], 2);
  fv_grid_release(&g);
  fv_grid_release(&g);

  where.draw = 1;
  assert_int_equal(
      fv_table_pivot(t, &(fv_pivot){.where = &where, .y = "row", .x = "layer", .metric = "prob", .cols = 6}, &g, &e),
      FV_OK);
  assert_int_equal(g.cols, 6);
  assert_true(isnan(g.values[0]));
  assert_float_equal(g.values[1], 2, 0);
  assert_string_equal(g.col_labels[5], "5");
  fv_grid_release(&g);

  assert_int_equal(fv_table_pivot(t, &(fv_pivot){.y = "site", .x = "draw", .metric = "prob"}, &g, &e), FV_OK);
  assert_string_equal(g.row_labels[0], "attn.out");
  assert_string_equal(g.row_labels[1], "mlp.out");
  assert_float_equal(g.values[2], 102.6f, 1e-5);
  fv_grid_release(&g);

  assert_int_equal(fv_table_pivot(t, &(fv_pivot){.y = "row", .x = "layer", .metric = "piece"}, &g, &e), FV_EUSAGE);
  assert_int_equal(fv_table_pivot(t, &(fv_pivot){.y = "rows", .x = "layer", .metric = "prob"}, &g, &e), FV_EUSAGE);
  assert_int_equal(fv_table_pivot(t, &(fv_pivot){.y = "head", .x = "layer", .metric = "prob"}, &g, &e), FV_ENOTFOUND);
  assert_int_equal(g.rows, 0);
  fv_table_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(csv_bytes),
                                     cmocka_unit_test(json_bytes),
                                     cmocka_unit_test(abort_leaves_the_old_file),
                                     cmocka_unit_test(bad_utf8_is_refused),
                                     cmocka_unit_test(tee_stops_at_the_first_failure),
                                     cmocka_unit_test(memory_keeps_its_own_strings),
                                     cmocka_unit_test(pivot_averages)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
