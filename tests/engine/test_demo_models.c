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
    snprintf(path, sizeof path, EXAMPLES "%s", line);
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

typedef struct asked {
  const char *image, *question, *answer;
} asked;

static void expect_answers(const char *name, size_t n, const asked *list) {
  fv_model *model = open_model(name);
  for (size_t i = 0; i < n; i++) {
    char path[512];
    snprintf(path, sizeof path, EXAMPLES "images/%s", list[i].image);
    char *text = ask(model, path, list[i].question, false);
    if (strcmp(text, list[i].answer) != 0)
      fail_msg("%s, %s: %s\n\"%s\", expected \"%s\"", name, list[i].image, list[i].question, text, list[i].answer);
    free(text);
  }
  fv_model_close(model);
}

#define TWO "red-circle-blue-square.png"
#define THREE "green-star-yellow-cross-purple-circle.png"
#define SIDE_BY_SIDE "green-square-yellow-circle.png"
#define UNSEEN "red-star-green-circle.png" /* combinations that no training picture had */
#define FOUR "orange-star-black-cross-blue-circle-red-triangle.jpg"

static void llava_answers_in_sentences(void **state) {
  (void)state;
  static const asked list[] = {
      {TWO, "Describe the picture.", "a red circle left of a blue square"},
      {TWO, "What is in the picture?", "a red circle left of a blue square"},
      {TWO, "What is left of the blue square?", "a red circle"},
      {TWO, "What is right of the red circle?", "a blue square"},
      {TWO, "What color is the square?", "blue"},
      {TWO, "What shape is the red object?", "a circle"},
      {TWO, "Is the circle red or blue?", "red"},
      {TWO, "Is the circle blue or red?", "red"},
      {TWO, "Is the blue object a circle or a square?", "a square"},
      {TWO, "Is there a star?", "no"},
      {TWO, "Is there a blue square?", "yes"},
      {TWO, "Is there a red square?", "no"},
      {TWO, "Is there a blue object?", "yes"},
      {TWO, "How many objects are there?", "two"},
      {THREE, "Describe the picture.", "a yellow cross, a green star and a purple circle"},
      {THREE, "What is above the yellow cross?", "a green star"},
      {THREE, "What is right of the yellow cross?", "a purple circle"},
      {THREE, "What color is the star?", "green"},
      {THREE, "Is the cross yellow or purple?", "yellow"},
      {THREE, "How many objects are in the picture?", "three"},
      {SIDE_BY_SIDE, "Describe the picture.", "a green square left of a yellow circle"},
      {SIDE_BY_SIDE, "What is left of the yellow circle?", "a green square"},
      {UNSEEN, "Describe the picture.", "a red star left of a green circle"},
      {UNSEEN, "What is right of the red star?", "a green circle"},
      {UNSEEN, "Is there a red circle?", "no"},
      {FOUR, "What color is the star?", "orange"},
      {FOUR, "What shape is the blue object?", "a circle"},
      {FOUR, "How many objects are there?", "four"},
  };
  expect_answers("llava-demo", sizeof list / sizeof *list, list);
}

static void blip_answers_in_words(void **state) {
  (void)state;
  static const asked list[] = {
      {TWO, "what color is the circle", "red"},          {TWO, "what shape is the blue object", "square"},
      {THREE, "what color is the star?", "green"},       {THREE, "how many objects are there", "3"},
      {SIDE_BY_SIDE, "where is the square?", "left"},    {UNSEEN, "what color is the star", "red"},
      {FOUR, "what shape is the black object", "cross"}, {FOUR, "how many objects are in the picture", "4"},
  };
  expect_answers("blip-demo", sizeof list / sizeof *list, list);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(vit_names_every_object),
                                     cmocka_unit_test(llava_answers_in_sentences),
                                     cmocka_unit_test(blip_answers_in_words)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
