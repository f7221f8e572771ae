/* The shipped study, from its file to its page: it says what the second method says. */
#include "cli/cli_tests.h"
#include "support/browser.h"
#include "support/scratch.h"

#define STUDY FV_SOURCE_DIR "/examples/study"

static program_result run_in_folder(const char *line) {
  const program_variable own[] = {{"D", folder}, {"S", STUDY}, {NULL, NULL}};
  program_result r;
  program_run(&(program_options){.models = FV_SOURCE_DIR "/models", .seconds = 400}, &r, line, own);
  if (r.status != 0) fail_msg("%s\nstatus %d\n%s", line, r.status, r.err);
  return r;
}

/* The file is valid, and no sample of the table is missing. */
static void test_file(void **state) {
  (void)state;
  program_result r = run_in_folder("fovea run $S/study.yaml --db $D/no.db --dry-run --json");
  json_t *j = json_loadb(r.out, r.nout, 0, NULL);
  assert_non_null(j);
  json_decref(j);
  program_release(&r);
  r = run_in_folder("fovea run $S/colour.yaml --db $D/no.db --dry-run");
  assert_non_null(strstr(r.out, "39"));
  program_release(&r);
  size_t pictures = folder_count(STUDY "/pictures"), size;
  char *pairs = file_text(STUDY "/pairs.csv", &size);
  size_t lines = 0;
  for (const char *s = pairs; (s = strchr(s, '\n')); s++) lines++;
  assert_true(lines - 1 >= 200);
  assert_int_equal(pictures, 2 * (lines - 1));
  free(pairs);
}

/* The share that a confirmation printed behind these words, in percent. */
static double share(const char *text, const char *words) {
  const char *s = strstr(text, words);
  if (!s) fail_msg("not printed: %s\n%s", words, text);
  return strtod(s + strlen(words), NULL);
}

/* A part of it, colour questions. Without the heads that were found the model no longer answers
 * them, without as many others it does, and the page says both. */
static void test_part(void **state) {
  (void)state;
  char path[512], line[512], *console;
  snprintf(path, sizeof path, "%s/part.yaml", folder);
  snprintf(line, sizeof line,
           "model: blip-demo\nsamples: %s/pairs.csv\nlimit: 24\nrequire_right: true\nsweeps:\n  - {name: heads, kind: "
           "patch, "
           "site: text_encoder.*.cross.z, heads: each, corrupt: image}\noutput: {db: part.db}\n",
           STUDY);
  file_write(path, line, strlen(line));
  program_result r = run_in_folder("fovea run $D/part.yaml");
  program_release(&r);
  r = run_in_folder("fovea circuit $D/part.db --threshold 0 --group color --confirm --random 10 --show never");
  if (!strstr(r.out, "L1H0 L1H1 L1H3")) fail_msg("expected the heads of layer 1 in the circuit:\n%s", r.out);
  double clean = share(r.out, "the model "), without = share(r.out, "without the circuit "),
         random = share(r.out, "without 10 random sets ");
  assert_true(clean == 100.0);
  if (!(without < 60.0 && random > 90.0)) fail_msg("without the circuit %g %%, without others %g %%", without, random);
  program_release(&r);
  r = run_in_folder("fovea report $D/part.db --threshold 0 --out $D/part.html");
  program_release(&r);
  if (!browser_present()) return;
  snprintf(path, sizeof path, "%s/part.html", folder);
  char *dom = browser_open(path, "", &console), says[64];
  assert_string_equal(console, "");
  snprintf(says, sizeof says, "<b class=\"number\">%.1f %%</b>", without);
  if (!strstr(dom, says)) fail_msg("the page does not say %s", says);
  assert_non_null(strstr(dom, "Second method"));
  assert_non_null(strstr(dom, "\"pictures_missing\":0"));
  free(dom), free(console);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_part)};
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
