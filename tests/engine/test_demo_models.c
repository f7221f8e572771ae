/* The shipped demo models answer what they were trained for: every example picture of one object has its class, and
 * only in colour; questions about the example pictures have the answers that a look at them gives. The expected answers
 * come from examples/objects.csv and from the pictures' own names, not from a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/answer.h"
#include "support/run_program.h"

#define MODELS FV_SOURCE_DIR "/models/"
#define EXAMPLES FV_SOURCE_DIR "/examples/"

static fv_model *open_model(const char *name) {
  char path[512];
  fv_error err;
  fv_model *model = NULL;
  snprintf(path, sizeof path, MODELS "%s", name);
  if (fv_model_open(path, NULL, &model, &err)) fail_msg("%s", err.text);
  return model;
}

/* The answer's text; the caller frees it. */
static char *ask(const fv_model *model, const char *image, const char *question, bool gray) {
  fv_error err;
  fv_input_options o;
  fv_input *input = NULL;
  fv_wave *wave = NULL;
  fv_answer answer = {0};
  int run;
  fv_input_defaults(&o);
  o.image = image, o.question = question, o.gray = gray;
  fv_status st = fv_input_new(model, &o, &input, &err);
  if (!st) st = fv_wave_new(model, &(fv_wave_options){.generate = true}, &wave, &err);
  if (!st) st = fv_wave_run(wave, -1, input, &run, &err);
  if (!st) st = fv_answers(wave, &run, 1, 1, 0, NULL, &answer, &err);
  if (st) fail_msg("%s: %s", image, err.text);
  char *text = strdup(answer.text);
  fv_answer_release(&answer);
  fv_wave_free(wave);
  fv_input_free(input);
  return text;
}

static void vit_names_every_object(void **state) {
  (void)state;
  fv_model *model = open_model("vit-demo");
  size_t size;
  char *table = file_text(EXAMPLES "objects.csv", &size), *next = NULL;
  assert_non_null(table);
  int rows = 0, misread = 0;
  for (char *line = strtok_r(table, "\n", &next); (line = strtok_r(NULL, "\n", &next)) != NULL; rows++) {
    char *label = strchr(line, ','), path[512];
    assert_non_null(label);
    *label++ = '\0';
    snprintf(path, sizeof path, EXAMPLES "objects/%s", line);
    char *color = ask(model, path, NULL, false), *gray = ask(model, path, NULL, true);
    if (strcmp(color, label) != 0) fail_msg("%s: \"%s\", expected \"%s\"", path, color, label);
    misread += strcmp(gray, label) != 0;
    free(color);
    free(gray);
  }
  assert_int_equal(rows, 48);
  assert_true(misread >= rows / 2); /* what the colour-against-greyscale experiment needs */
  free(table);
  fv_model_close(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(vit_names_every_object)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
