/* The real uncased vocabulary of BERT and BLIP, from vocab.txt alone: ids equal to the tokenizers library's, and every
 * piece that is not a special token or a character of its own decodes to itself. tools/reference/make_minilm.py makes
 * the vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "text/tokenizer.h"

static fv_tokenizer *t;

static int open_tokenizer(void **state) {
  (void)state;
  fv_error err = {0};
  if (fv_tokenizer_open(FV_TEST_DATA "/text/bert", &t, &err)) fail_msg("%s", err.text);
  return 0;
}

static int close_tokenizer(void **state) {
  (void)state;
  fv_tokenizer_close(t);
  return 0;
}

static void ids_equal_the_library(void **state) {
  (void)state;
  FILE *f = fopen(FV_TEST_DATA "/text/bert/vectors.jsonl", "r");
  char *line = NULL;
  size_t room = 0, compared = 0;
  assert_non_null(f);
  while (getline(&line, &room, f) > 0) {
    json_error_t detail;
    json_t *row = json_loads(line, JSON_ALLOW_NUL, &detail), *text = json_object_get(row, "t");
    assert_non_null(row);
    if (text) {
      const json_t *ids = json_object_get(row, "i");
      fv_encoding e = {0};
      fv_error err = {0};
      if (fv_tokenizer_encode(t, json_string_value(text), json_string_length(text), true, &e, &err))
        fail_msg("%s", err.text);
      bool same = e.count == json_array_size(ids);
      for (size_t i = 0; same && i < e.count; i++) same = e.ids[i] == json_integer_value(json_array_get(ids, i));
      if (!same) fail_msg("other ids for %s", line);
      fv_encoding_release(&e);
      compared++;
    }
    json_decref(row);
  }
  free(line);
  fclose(f);
  assert_true(compared > 500);
}

static void the_published_ids(void **state) {
  (void)state;
  static const struct {
    const char *piece;
    int32_t id;
  } known[] = {{"[PAD]", 0},    {"[UNK]", 100}, {"[CLS]", 101}, {"[SEP]", 102},
               {"[MASK]", 103}, {"the", 1996},  {"a", 1037},    {"picture", 3861}};
  assert_int_equal(fv_tokenizer_size(t), 30522);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    int32_t id = -1;
    assert_true(fv_tokenizer_id(t, known[i].piece, &id));
    assert_int_equal(id, known[i].id);
  }
  assert_null(fv_tokenizer_piece(t, 30522)); /* [DEC] of BLIP has no piece */
}

/* Every lower-case word of the vocabulary is one token. */
static void words_are_one_token(void **state) {
  (void)state;
  int64_t words = 0;
  for (int32_t id = 1996; id < 30522; id++) {
    const char *piece = fv_tokenizer_piece(t, id);
    assert_non_null(piece);
    if (piece[strspn(piece, "abcdefghijklmnopqrstuvwxyz")] != '\0') continue;
    fv_encoding e = {0};
    fv_error err = {0};
    char *text;
    size_t n;
    assert_int_equal(fv_tokenizer_encode(t, piece, strlen(piece), false, &e, &err), FV_OK);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.ids[0], id);
    assert_int_equal(fv_tokenizer_decode(t, &id, 1, true, &text, &n, &err), FV_OK);
    assert_string_equal(text, piece);
    fv_encoding_release(&e);
    free(text);
    words++;
  }
  assert_true(words > 20000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(ids_equal_the_library), cmocka_unit_test(the_published_ids),
                                     cmocka_unit_test(words_are_one_token)};
  return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
