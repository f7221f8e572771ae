/* Written JSON: its exact text, and what jansson reads of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "fovea/json_out.h"

static const char HOSTILE[] = "</script><!--\"\\\n\t\x01\x7F&\xE2\x80\xA8\xE2\x80\xA9\xC3\xB8\xF0\x9F\x98\x80";

static char *written(bool page, void (*write)(fv_json_out *)) {
  char *text;
  size_t n;
  fv_json_out j = {.stream = open_memstream(&text, &n), .page = page};
  write(&j);
  assert_int_equal(fclose(j.stream), 0);
  return text;
}

static void everything(fv_json_out *j) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_text(j, "text", "a");
  fv_json_out_text(j, "none", NULL);
  fv_json_out_bool(j, "yes", true);
  fv_json_out_begin(j, "numbers", '[');
  fv_json_out_num(j, NULL, 0.1f);
  fv_json_out_num(j, NULL, 0.1); /* rounded to float32, then the fewest digits */
  fv_json_out_num(j, NULL, (double)NAN);
  fv_json_out_num(j, NULL, (double)-INFINITY);
  fv_json_out_int(j, NULL, INT64_MIN);
  fv_json_out_count(j, NULL, 0);
  fv_json_out_count(j, NULL, -1);
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "empty", '{');
  fv_json_out_end(j, '}');
  fv_json_out_begin(j, "list", '[');
  fv_json_out_begin(j, NULL, '[');
  fv_json_out_end(j, ']');
  fv_json_out_text(j, NULL, "b");
  fv_json_out_end(j, ']');
  fv_json_out_end(j, '}');
}

static void layout(void **state) {
  (void)state;
  char *text = written(false, everything);
  assert_string_equal(text,
                      "{\"text\":\"a\",\"none\":null,\"yes\":true,"
                      "\"numbers\":[0.1,0.1,null,null,-9223372036854775808,0,null],"
                      "\"empty\":{},\"list\":[[],\"b\"]}\n");
  free(text);
  text = written(true, everything);
  assert_string_equal(text,
                      "{\"text\":\"a\",\n\"none\":null,\n\"yes\":true,\n"
                      "\"numbers\":[0.1,0.1,null,-1e999,-9223372036854775808,0,null],\n"
                      "\"empty\":{},\n\"list\":[[],\n\"b\"]}\n");
  free(text);
}

static void hostile(fv_json_out *j) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_text(j, HOSTILE, HOSTILE);
  fv_json_out_text(j, "bytes", "a\xC0\xAF\xF0\x9F");
  fv_json_out_end(j, '}');
}

static void texts(void **state) {
  (void)state;
  for (int page = 0; page < 2; page++) {
    char *text = written(page, hostile);
    json_t *json;
    fv_error e = {0};
    if (fv_json_parse(text, strlen(text), "text", &json, &e)) fail_msg("%s", e.text);
    assert_string_equal(json_string_value(json_object_get(json, HOSTILE)), HOSTILE);
    assert_string_equal(json_string_value(json_object_get(json, "bytes")),
                        "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    json_decref(json);
    assert_int_equal(strpbrk(text, "<>&") != NULL, !page);
    assert_int_equal(strstr(text, "\xE2\x80\xA8") != NULL, !page);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(layout), cmocka_unit_test(texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
