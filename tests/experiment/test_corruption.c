/* Corruptions that name pictures: which of several they replace, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "experiment/corruption.h"
#include "fovea/trace.h"
#include "support/vectors.h"

static const char *const two[] = {"a.png", "b.png"};

static void test_pictures(void **state) {
  (void)state;
  static const struct {
    size_t pictures;
    const char *text, *first, *second; /* second NULL: there is none */
  } cases[] = {{1, "image:c d.png", "c d.png", NULL},
               {1, "image1:c.png", "c.png", NULL},
               {2, "image2:c.png", "a.png", "c.png"},
               {2, "image1:my image.png", "my image.png", "b.png"},
               {2, "image2:c:d.png image1:image 3.png", "image 3.png", "c:d.png"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_input_options clean;
    fv_corruption c;
    fv_input_defaults(&clean);
    if (cases[i].pictures == 1)
      clean.image = "a.png";
    else
      clean.images = two, clean.nimages = 2;
    OK(fv_corruption_parse(cases[i].text, &clean, &c, ERR));
    assert_null(c.edit);
    assert_string_equal(cases[i].pictures == 1 ? c.input.image : c.input.images[0], cases[i].first);
    if (cases[i].second) assert_string_equal(c.input.images[1], cases[i].second);
    for (size_t k = 0; k < 3; k++) { /* what it says of itself: a picture that it leaves has no file */
      const char *want = k == 0 ? cases[i].first : k == 1 ? cases[i].second : NULL;
      char *file;
      OK(fv_corruption_picture(cases[i].text, k, &file, ERR));
      if (want && strcmp(want, two[k]) != 0) assert_string_equal(file, want);
      if (!want || strcmp(want, two[k]) == 0) assert_null(file);
      free(file);
    }
    fv_corruption_release(&c);
  }
  char *file;
  OK(fv_corruption_picture("gray", 0, &file, ERR));
  assert_null(file);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    size_t pictures;
    const char *text, *says;
  } cases[] = {{2, "image:c.png", "there are 2 pictures; say which, as image2:FILE"},
               {2, "image3:c.png", "there is no picture 3; there are 2"},
               {1, "image2:c.png", "there is no picture 2; there is 1"},
               {2, "image0:c.png", "expected one of"},
               {2, "image2:", "expected one of"},
               {2, "image2: image1:c.png", "expected one of"},
               {2, "image2", "expected one of"},
               {2, "image99999999999999999999:c.png", "there is no picture"},
               {2, "image2:c.png image2:d.png", "replaces picture 2 twice"},
               {1, "images:c.png", "expected one of"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_input_options clean;
    fv_corruption c;
    fv_error err = {0};
    fv_input_defaults(&clean);
    clean.image = cases[i].pictures == 1 ? "a.png" : NULL;
    if (cases[i].pictures == 2) clean.images = two, clean.nimages = 2;
    assert_int_equal(fv_corruption_parse(cases[i].text, &clean, &c, &err), FV_EUSAGE);
    if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pictures), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
