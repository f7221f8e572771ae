/* How much of a growing answer may be shown: whole characters that two texts in a row agree on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/answer.h"

#define UNFINISHED "\xEF\xBF\xBD" /* what decoders write for bytes that are no character yet */

static void test_settled(void **state) {
  (void)state;
  static const struct {
    const char *before, *now, *settled;
  } cases[] = {
      {NULL, "a", ""},
      {"", "a", ""},
      {"a", "a b", "a"},
      {"a b", "a b", "a b"},
      {"a b", "a", "a"},
      {"do n", "don't", "do"},
      /* a character of four bytes that comes in two, and one in four */
      {"a" UNFINISHED, "a\xF0\x9F\x99\x82", "a"},
      {"a" UNFINISHED, "a" UNFINISHED UNFINISHED, "a"},
      {"a" UNFINISHED UNFINISHED UNFINISHED, "a\xF0\x9F\x99\x82", "a"},
      {UNFINISHED, UNFINISHED, ""},
      /* with something behind it, it is what it is */
      {"a" UNFINISHED "b", "a" UNFINISHED "bc", "a" UNFINISHED "b"},
      /* texts that part within a character: a-umlaut and o-umlaut, U+FFFC and U+FFFD, an emoji and another */
      {"x\xC3\xA4", "x\xC3\xB6", "x"},
      {"x" UNFINISHED, "x\xEF\xBF\xBC", "x"},
      {"x" UNFINISHED UNFINISHED, "x" UNFINISHED "\xEF\xBF\xBC", "x"},
      {"\xF0\x9F\x99\x82!", "\xF0\x9F\x99\x83!", ""},
      {"\xC3\xA4\xC3\xB6", "\xC3\xA4\xC3\xB6\xC3\xBC", "\xC3\xA4\xC3\xB6"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = fv_answer_settled(cases[i].before, cases[i].now);
    if (n != strlen(cases[i].settled) || strncmp(cases[i].now, cases[i].settled, n) != 0)
      fail_msg("case %zu: %zu bytes of \"%s\", expected \"%s\"", i, n, cases[i].now, cases[i].settled);
  }
}

/* Whatever the cut, what is shown of a text is a part of it, never shorter than before, and ends between characters. */
static void test_every_cut(void **state) {
  (void)state;
  const char *text = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x99\x82, end";
  char before[64] = "", now[64] = "";
  size_t shown = 0;
  for (size_t n = 1; n <= strlen(text); n++) {
    /* The first n bytes as a decoder writes them: what is no whole character is U+FFFD. */
    size_t whole = n;
    while (whole > 0 && ((unsigned char)text[whole] & 0xC0) == 0x80) whole--;
    memcpy(now, text, whole);
    strcpy(now + whole, whole < n ? UNFINISHED : "");
    size_t settled = fv_answer_settled(before, now);
    assert_true(settled >= shown && settled <= whole);
    assert_memory_equal(now, text, settled);
    assert_true(((unsigned char)text[settled] & 0xC0) != 0x80);
    shown = settled;
    strcpy(before, now);
  }
  assert_int_equal(fv_answer_settled(text, text), strlen(text));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_settled), cmocka_unit_test(test_every_cut)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
