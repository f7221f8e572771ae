/* --html: the page of a trace and of a patch shows the numbers that the table of the same run has. */
#include "cli/cli_tests.h"
#include "fovea/table.h"
#include "support/browser.h"
#include "support/scratch.h"

static char *text_of(const char *name) {
  char path[512];
  size_t size;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  char *text = file_text(path, &size);
  if (!text) fail_msg("%s: is not there", path);
  return text;
}

/* The cell of a column in the first line that begins so. */
static void cell_of(const char *csv, const char *begin, int column, char out[64]) {
  const char *s = strstr(csv, begin);
  if (!s) fail_msg("no line %s", begin);
  for (; column > 0; s++) column -= *s == ',';
  snprintf(out, 64, "%.*s", (int)strcspn(s, ",\n"), s);
}

/* The page's data, which must be JSON, and what it says of the first sample. */
static json_t *data_of(const char *html) {
  const char *begin = strstr(html, "id=\"data\">");
  assert_non_null(begin);
  begin += strlen("id=\"data\">");
  json_error_t detail;
  json_t *data = json_loadb(begin, (size_t)(strstr(begin, "</script>") - begin), 0, &detail);
  if (!data) fail_msg("the page's data: %s (line %d)", detail.text, detail.line);
  return data;
}

static void run_in_folder(const char *line) {
  const program_variable own[] = {vars[0], vars[1], vars[2], vars[3], {"D", folder}, {NULL, NULL}};
  program_result r;
  program_run(&(program_options){0}, &r, line, own);
  if (r.status != 0) fail_msg("%s\nstatus %d\n%s", line, r.status, r.err);
  program_release(&r);
}

static void expect_in_page(const char *name, const char *fragment, const char *says) {
  char path[512], *console;
  if (!browser_present()) return;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  char *dom = browser_open(path, fragment, &console);
  assert_string_equal(console, "");
  if (!strstr(dom, says)) fail_msg("%s#%s does not say: %s", name, fragment, says);
  free(dom), free(console);
}

static void test_trace(void **state) {
  (void)state;
  char value[64], says[160];
  run_in_folder("fovea trace $M $I $Q --corrupt gray --corrupt blur:2 --html $D/t.html --csv $D/t.csv");
  char *html = text_of("t.html"), *csv = text_of("t.csv");
  json_t *data = data_of(html), *one = json_array_get(json_object_get(data, "samples"), 0);
  assert_string_equal(json_string_value(json_object_get(one, "question")), QUESTION);
  assert_string_equal(json_string_value(json_object_get(one, "answer")), "playing");
  assert_int_equal(json_array_size(json_object_get(data, "pictures")), 1);
  assert_int_equal(json_array_size(json_object_get(data, "maps")), 2 * 2 * 2); /* corruptions, stacks, and pooled */
  cell_of(csv, ",0,gray,text_encoder,resid_post,1,1,5,", 13, value);
  snprintf(says, sizeof says, "text_encoder.1.resid_post@5 (row 5 “shirt”): prob %s<", value);
  expect_in_page("t.html", "cell=text_encoder.1.resid_post@5", says);
  /* Every site and every corruption that was asked, and what was found of each. */
  expect_in_page("t.html", "", "<span class=\"mono\">text_encoder.*.resid_post</span>");
  expect_in_page("t.html", "", "<span class=\"mono\">text_decoder.*.resid_post</span>");
  expect_in_page("t.html", "", "<span class=\"mono\">gray</span>");
  expect_in_page("t.html", "", "</code> (row 0), corrupted: <code>gray</code>");
  expect_in_page("t.html", "", "</code> (row 0), corrupted: <code>blur:2</code>");
  json_decref(data);
  free(html), free(csv);
}

static void test_patch(void **state) {
  (void)state;
  char value[64], says[160];
  run_in_folder(
      "fovea patch $M $I $Q --corrupt-image $V/image1.png --correct playing --incorrect id:7 --site "
      "text_encoder.*.cross.z "
      "--heads each --html $D/p.html --csv $D/p.csv");
  char *html = text_of("p.html"), *csv = text_of("p.csv");
  json_t *data = data_of(html);
  assert_int_equal(json_array_size(json_object_get(data, "pictures")), 2);
  cell_of(csv, "text_encoder,cross.z,1,1,5,shirt,2,", 14, value);
  snprintf(says, sizeof says, "text_encoder.1.cross.z#2@5 (row 5 “shirt”): effect %s<", value);
  expect_in_page("p.html", "cell=text_encoder.1.cross.z%232@5", says);
  json_decref(data);
  free(html), free(csv);
}

/* A table of samples: each has its map, excluded ones their reason. */
static void test_samples(void **state) {
  (void)state;
  run_in_folder("fovea trace " FV_SOURCE_DIR "/models/blip-demo --samples " FV_SOURCE_DIR
                "/examples/scenes.csv --images " FV_SOURCE_DIR
                "/examples/scenes --limit 6 --draws 2 --only-correct --html $D/s.html");
  char *html = text_of("s.html");
  json_t *data = data_of(html), *s;
  size_t i, done = 0;
  assert_int_equal(json_array_size(json_object_get(data, "samples")), 6);
  json_array_foreach(json_object_get(data, "samples"), i, s) {
    bool is_done = strcmp(json_string_value(json_object_get(s, "status")), "done") == 0;
    done += is_done;
    assert_int_equal(json_object_get(s, "values") != NULL, is_done);
    assert_int_equal(json_object_get(s, "reason") != NULL, !is_done);
  }
  assert_in_range(done, 1, 6);
  json_decref(data);
  free(html);
}

/* However many settings there are, all are on the page. */
static void test_many(void **state) {
  (void)state;
  char line[4096] = "fovea trace $M $I $Q --restore text_encoder.embed --html $D/m.html";
  for (int i = 1; i <= 40; i++) snprintf(line + strlen(line), 64, " --corrupt scale:0.%02d@vision.final", i);
  run_in_folder(line);
  char *html = text_of("m.html");
  json_t *data = data_of(html), *fact;
  size_t i, corrupt = 0, last = 0;
  json_array_foreach(json_object_get(data, "manifest"), i, fact) {
    const char *name = json_string_value(json_array_get(fact, 0));
    corrupt += strcmp(name, "corrupt") == 0, last += strcmp(name, "version") == 0;
  }
  assert_true(corrupt == 40 && last == 1);
  json_decref(data);
  free(html);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_trace), cmocka_unit_test(test_patch),
                                     cmocka_unit_test(test_samples), cmocka_unit_test(test_many)};
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
