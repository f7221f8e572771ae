/* Reading CSV: quoting, line ends, line numbers, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/csv.h"
#include "support/run_program.h"

#define FILE_NAME "test_csv.csv"

static fv_csv csv;
static fv_error err;

static void load_bytes(const char *text, size_t n) {
  file_write(FILE_NAME, text, n);
  assert_int_equal(fv_csv_load(FILE_NAME, &csv, &err), FV_OK);
}

static void load(const char *text) { load_bytes(text, strlen(text)); }

/* The next record is on this line and has these fields, joined by bars. */
static void next_is(int64_t line, const char *fields) {
  char joined[400] = "";
  bool more;
  if (fv_csv_next(&csv, &more, &err)) fail_msg("%s", err.text);
  assert_true(more);
  for (size_t i = 0; i < csv.ncolumns; i++) {
    if (i) strcat(joined, "|");
    strcat(joined, csv.fields[i]);
  }
  assert_string_equal(joined, fields);
  assert_int_equal(csv.line, line);
}

static void ends(void) {
  bool more = true;
  assert_int_equal(fv_csv_next(&csv, &more, &err), FV_OK);
  assert_false(more);
  fv_csv_release(&csv);
}

static void test_fields(void **state) {
  (void)state;
  load("a,b,c\n1,2,3\n\"x, y\",\"say \"\"hi\"\"\",\n,,\n\"\",z\"q,\" \"");
  assert_int_equal(csv.ncolumns, 3);
  assert_string_equal(csv.columns[2], "c");
  next_is(2, "1|2|3");
  next_is(3, "x, y|say \"hi\"|");
  next_is(4, "||");
  next_is(5, "|z\"q| ");
  ends();
}

static void test_line_ends(void **state) {
  (void)state;
  load(
      "\xEF\xBB\xBF"
      "a,b\r\n1,\"two\r\nlines\"\r\n\r\n\n3,\"x\ny\n\"\r4,5\n\n");
  assert_string_equal(csv.columns[0], "a");
  next_is(2, "1|two\r\nlines");
  next_is(6, "3|x\ny\n");
  next_is(9, "4|5");
  ends();
}

static void test_columns(void **state) {
  (void)state;
  size_t at;
  load(",id,answer\n0,1,2\n");
  assert_int_equal(fv_csv_column(&csv, "answer", &at, &err), FV_OK);
  assert_int_equal(at, 2);
  assert_int_equal(fv_csv_find(&csv, "nothing"), -1);
  assert_int_equal(fv_csv_column(&csv, "nothing", &at, &err), FV_ENOTFOUND);
  assert_string_equal(err.text, FILE_NAME ": has no column \"nothing\"; its columns are: , id, answer");
  fv_csv_release(&csv);
  fv_csv_release(&csv);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t n;
    const char *error;
  } cases[] = {
      {"", 0, FILE_NAME ": is empty, expected a header line with column names"},
      {"\n\n", 0, FILE_NAME ": is empty, expected a header line with column names"},
      {"a,b,a\n", 0, FILE_NAME ": line 1: the header names the column \"a\" twice"},
      {"a\n\xFF\n", 0, FILE_NAME ": line 2: is not valid UTF-8; convert the table to UTF-8"},
      {"a\nb\0c\n", 6, FILE_NAME ": line 2: a NUL byte, expected text"},
      {"a,b\n1,2\n\"x\ny\",3\n1\n", 0, FILE_NAME ": line 5 has 1 fields, expected 2 as in the header"},
      {"a,b\n1,2,3\n", 0, FILE_NAME ": line 2 has more than 2 fields, expected as many as the header has"},
      {"a,b\n1,\"2\n3,4\n", 0, FILE_NAME ": line 2: a quote is opened and never closed"},
      {"a,b\n\"1\"x,2\n", 0, FILE_NAME ": line 2: text follows a closing quote, expected a comma or a line end"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bool more = true;
    file_write(FILE_NAME, cases[i].text, cases[i].n ? cases[i].n : strlen(cases[i].text));
    fv_status st = fv_csv_load(FILE_NAME, &csv, &err);
    while (!st && more) st = fv_csv_next(&csv, &more, &err);
    assert_int_equal(st, FV_EFORMAT);
    assert_string_equal(err.text, cases[i].error);
    fv_csv_release(&csv);
  }
  assert_int_equal(fv_csv_load("nothing.csv", &csv, &err), FV_ENOTFOUND);
}

static void test_write(void **state) {
  (void)state;
  static const char *const in[] = {"plain", NULL, "", "a,b", "say \"hi\"", "two\nlines", "caf\xC3\xA9"};
  char *text = NULL;
  size_t n;
  FILE *f = open_memstream(&text, &n);
  for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
    if (i) putc(',', f);
    fv_csv_write(f, in[i]);
  }
  fclose(f);
  assert_string_equal(text, "plain,,\"\",\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",caf\xC3\xA9");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fields),  cmocka_unit_test(test_line_ends), cmocka_unit_test(test_columns),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
