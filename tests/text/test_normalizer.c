/* Every code point between two letters, under four settings of the normalizer, against hashes of what the tokenizers
 * library makes of it (tests/data/text/code_points.txt); and which of them are word characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"

enum { SETTINGS = 4, COLUMNS = SETTINGS + 1 };

static const uint64_t START = 0xCBF29CE484222325u;

static uint64_t fnv(uint64_t h, const char *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)bytes[i]) * 0x100000001B3u;
  return h;
}

static uint64_t hash_words(uint64_t h, const fv_bert_normalizer *normalizer, const fv_pretokenizer *pre,
                           uint32_t code) {
  const fv_char in[3] = {{.code = 'a'}, {.code = code}, {.code = 'b'}};
  fv_chars out = {0};
  fv_words words = {0};
  assert_true(fv_bert_normalize(normalizer, in, 3, &out));
  assert_int_equal(fv_pretokenizer_apply(pre, out.items, out.count, &words, NULL), FV_OK);
  for (size_t i = 0; i < words.count; i++) {
    size_t first = fv_words_start(&words, i), bytes;
    char *word = fv_chars_utf8(words.chars.items + first, words.ends[i] - first, &bytes);
    h = fnv(fnv(h, word, bytes), "", 1);
    free(word);
  }
  fv_words_release(&words);
  fv_chars_release(&out);
  return fnv(h, "\xFF", 1);
}

static void every_code_point(void **state) {
  (void)state;
  static const fv_bert_normalizer settings[SETTINGS] = {
      {true, true, true, true}, {true, true, false, false}, {true, false, false, true}, {false, false, true, false}};
  static const char *const names[COLUMNS] = {"uncased", "cased", "accents kept", "accents stripped only", "word"};
  json_t *root = json_pack("{s:{s:s}}", "pre_tokenizer", "type", "BertPreTokenizer");
  fv_pretokenizer pre;
  assert_int_equal(fv_pretokenizer_parse(root, "", &pre, NULL), FV_OK);
  FILE *f = fopen(FV_TEST_DATA "/text/code_points.txt", "r");
  char line[256];
  uint32_t next = 0;
  int wrong = 0;
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    unsigned first, last;
    unsigned long long want[COLUMNS];
    uint64_t got[COLUMNS] = {START, START, START, START, START};
    if (line[0] == '#') continue;
    assert_int_equal(
        sscanf(line, "%x %x %llx %llx %llx %llx %llx", &first, &last, &want[0], &want[1], &want[2], &want[3], &want[4]),
        7);
    assert_true(first == next || (next == 0xD800 && first == 0xE000));
    next = last + 1;
    for (uint32_t c = first; c <= last; c++) {
      for (int k = 0; k < SETTINGS; k++) got[k] = hash_words(got[k], &settings[k], &pre, c);
      got[SETTINGS] = fnv(got[SETTINGS], fv_unicode_word(c) ? "1" : "0", 1);
    }
    for (int k = 0; k < COLUMNS; k++)
      if (got[k] != want[k]) wrong++, printf("U+%X to U+%X differ: %s\n", first, last, names[k]);
  }
  fclose(f);
  fv_pretokenizer_release(&pre);
  json_decref(root);
  assert_int_equal(next, 0x110000);
  assert_int_equal(wrong, 0);
}

static void marks_are_ordered(void **state) {
  (void)state;
  /* U+1D165 (class 216) and U+302E (224) are kept by accent stripping, U+0301 (230) is not. A run of more than 64 takes
   * the other sort. Expected: by class, equals in the order they came, each with its own place. */
  const fv_bert_normalizer normalizer = {false, false, true, false};
  for (size_t n = 3; n <= 300; n += 99) {
    fv_chars in = {0}, out = {0};
    for (size_t i = 0; i < n; i++) {
      const uint32_t marks[3] = {0x301, 0x302E, 0x1D165};
      assert_true(fv_chars_add(&in, marks[i % 3], &(fv_char){.at = (int64_t)i, .bytes = 1}));
    }
    assert_true(fv_bert_normalize(&normalizer, in.items, in.count, &out));
    assert_int_equal(out.count, 2 * (n / 3));
    for (size_t i = 0; i < out.count; i++) {
      bool low = i < n / 3;
      assert_int_equal(out.items[i].code, low ? 0x1D165 : 0x302E);
      assert_int_equal(out.items[i].at, low ? 3 * i + 2 : 3 * (i - n / 3) + 1);
    }
    fv_chars_release(&in);
    fv_chars_release(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_code_point), cmocka_unit_test(marks_are_ordered)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
