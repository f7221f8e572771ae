/* Every string of tests/data/text/vectors.jsonl, under every variant of the tokenizer: ids, bytes and decoded text
 * equal to the tokenizers library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/bytes.h"
#include "base/files.h"
#include "text/tokenizer.h"

static void write_file(const char *dir, const char *name, const char *text, size_t n) {
  char *path = fv_path_join(dir, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  free(path);
}

static void write_json(const char *dir, const char *name, const json_t *value) {
  char *text = json_dumps(value, JSON_COMPACT);
  assert_non_null(text);
  write_file(dir, name, text, strlen(text));
  free(text);
}

/* vocab.txt from the pieces of tokenizer.json, with the lines that the variant inserts. */
static void write_vocab(const char *dir, const json_t *base, const json_t *how) {
  const json_t *vocab = json_object_get(json_object_get(base, "model"), "vocab"),
               *insert = json_object_get(how, "insert");
  size_t at = (size_t)json_integer_value(json_object_get(how, "at")), n = json_object_size(vocab);
  const char **lines = calloc(n, sizeof *lines), *newline = json_string_value(json_object_get(how, "newline")), *piece;
  json_t *id;
  json_object_foreach((json_t *)(uintptr_t)vocab, piece, id) lines[json_integer_value(id)] = piece;
  char *text = NULL;
  size_t bytes = 0;
  FILE *f = open_memstream(&text, &bytes);
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; i == at && k < json_array_size(insert); k++)
      fprintf(f, "%s%s", json_string_value(json_array_get(insert, k)), newline);
    fprintf(f, "%s%s", lines[i], i + 1 < n || json_is_true(json_object_get(how, "final")) ? newline : "");
  }
  fclose(f);
  write_file(dir, "vocab.txt", text, bytes);
  free(text);
  free(lines);
}

static void empty_folder(const char *dir) {
  static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = fv_path_join(dir, names[i]);
    unlink(path);
    free(path);
  }
}

static fv_tokenizer *open_variant(const char *dir, const json_t *base, const json_t *spec) {
  const char *name;
  json_t *content, *how = json_object_get(spec, "vocab_txt");
  empty_folder(dir);
  json_object_foreach(json_object_get(spec, "files"), name, content) write_json(dir, name, content);
  if (how) {
    write_vocab(dir, base, how);
  } else {
    json_t *root = json_copy((json_t *)(uintptr_t)base);
    if (json_object_get(spec, "set")) json_object_update(root, json_object_get(spec, "set"));
    write_json(dir, "tokenizer.json", root);
    json_decref(root);
  }
  fv_tokenizer *t = NULL;
  fv_error e = {0};
  if (fv_tokenizer_open(dir, &t, &e)) fail_msg("%s", e.text);
  return t;
}

static void check_encode(const fv_tokenizer *t, const json_t *row, const char *variant) {
  const json_t *text = json_object_get(row, "t"), *ids = json_object_get(row, "i"), *spans = json_object_get(row, "o");
  fv_encoding e, inner;
  fv_error err = {0};
  if (fv_tokenizer_encode(t, json_string_value(text), json_string_length(text), true, &e, &err))
    fail_msg("%s", err.text);
  bool same = e.count == json_array_size(ids);
  for (size_t i = 0; same && i < e.count; i++) {
    same = e.ids[i] == json_integer_value(json_array_get(ids, i));
    if (!spans) continue;
    same = same && e.first[i] == json_integer_value(json_array_get(spans, 2 * i));
    same = same && e.last[i] == json_integer_value(json_array_get(spans, 2 * i + 1));
  }
  if (!same) {
    char *dump = json_dumps(row, JSON_ENSURE_ASCII);
    printf("variant \"%s\": %s\n     got:", variant, dump);
    for (size_t i = 0; i < e.count; i++) printf(" %d(%d-%d)", e.ids[i], (int)e.first[i], (int)e.last[i]);
    printf("\n");
    free(dump);
    fail_msg("ids or bytes differ");
  }
  /* Without special tokens: the same, less those of the post-processor. */
  assert_int_equal(fv_tokenizer_encode(t, json_string_value(text), json_string_length(text), false, &inner, &err),
                   FV_OK);
  size_t k = 0;
  for (size_t i = 0; i < e.count; i++) {
    if (e.first[i] < 0) continue;
    assert_true(k < inner.count && inner.ids[k] == e.ids[i] && inner.first[k] == e.first[i]);
    k++;
  }
  assert_int_equal(k, inner.count);
  fv_encoding_release(&inner);
  fv_encoding_release(&e);
}

static void check_decode(const fv_tokenizer *t, const json_t *row, bool skip, const char *variant) {
  const json_t *list = json_object_get(row, "i"), *expected = json_object_get(row, skip ? "s" : "k");
  size_t n = json_array_size(list), bytes = 0;
  int32_t *ids = calloc(n + 1, sizeof *ids);
  for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
  char *text = NULL;
  assert_int_equal(fv_tokenizer_decode(t, ids, n, skip, &text, &bytes, NULL), FV_OK);
  assert_int_equal(text[bytes], 0);
  if (bytes != json_string_length(expected) || memcmp(text, json_string_value(expected), bytes) != 0) {
    char *dump = json_dumps(row, JSON_ENSURE_ASCII);
    fail_msg("variant \"%s\", skip %d: %s\n     got: %s", variant, skip, dump, text);
  }
  free(text);
  free(ids);
}

static void vectors_equal(void **state) {
  (void)state;
  char dir[] = "tokenizer-XXXXXX";
  assert_non_null(mkdtemp(dir));
  json_t *base = json_load_file(FV_TEST_DATA "/text/tokenizer.json", 0, NULL);
  FILE *f = fopen(FV_TEST_DATA "/text/vectors.jsonl", "rb");
  assert_true(base && f);
  fv_tokenizer *t = NULL;
  json_t *spec = NULL;
  char *line = NULL;
  size_t capacity = 0, texts = 0, lists = 0;
  ssize_t n;
  while ((n = getline(&line, &capacity, f)) > 0) {
    json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
    assert_non_null(row);
    if (json_object_get(row, "variant")) {
      fv_tokenizer_close(t);
      json_decref(spec);
      spec = row;
      t = open_variant(dir, base, spec);
      continue;
    }
    const char *variant = json_string_value(json_object_get(spec, "variant"));
    if (json_object_get(row, "t")) check_encode(t, row, variant), texts++;
    check_decode(t, row, false, variant);
    check_decode(t, row, true, variant);
    lists++;
    json_decref(row);
  }
  assert_true(texts > 500 && lists > 600);
  fv_tokenizer_close(t);
  json_decref(spec);
  json_decref(base);
  free(line);
  fclose(f);
  empty_folder(dir);
  rmdir(dir);
}

static void pieces_and_ids(void **state) {
  (void)state;
  fv_tokenizer *t = NULL;
  int32_t id = -1;
  assert_int_equal(fv_tokenizer_open(FV_TEST_DATA "/text", &t, NULL), FV_OK);
  assert_string_equal(fv_tokenizer_kind(t), "WordPiece");
  assert_int_equal(fv_tokenizer_size(t), 3000);
  assert_string_equal(fv_tokenizer_piece(t, 2), "[CLS]");
  assert_null(fv_tokenizer_piece(t, 3000));
  assert_null(fv_tokenizer_piece(t, -1));
  assert_true(fv_tokenizer_id(t, "[MASK]", &id) && id == 4);
  assert_true(fv_tokenizer_is_special(t, 4));
  assert_false(fv_tokenizer_id(t, "no such piece", &id));
  for (int32_t i = 0; i < 3000; i++) {
    assert_non_null(fv_tokenizer_piece(t, i));
    assert_true(fv_tokenizer_id(t, fv_tokenizer_piece(t, i), &id) && id == i);
    assert_true(fv_tokenizer_is_special(t, i) == (i < 5));
  }
  fv_tokenizer_close(t);
  fv_tokenizer_close(NULL);
}

static void invalid_text_is_refused(void **state) {
  (void)state;
  fv_tokenizer *t = NULL;
  fv_encoding e;
  fv_error err = {0};
  char *text = NULL;
  size_t n;
  assert_int_equal(fv_tokenizer_open(FV_TEST_DATA "/text", &t, NULL), FV_OK);
  assert_int_equal(fv_tokenizer_encode(t, "abc \xC3( d", 8, true, &e, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "byte 4"));
  assert_int_equal(fv_tokenizer_encode(t, "\xED\xA0\x80", 3, true, &e, &err), FV_EFORMAT);
  assert_int_equal(fv_tokenizer_decode(t, (int32_t[]){5, -7}, 2, false, &text, &n, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "-7"));
  fv_tokenizer_close(t);
}

/* Long hostile texts: no part of encoding may be quadratic. Minutes instead of a blink would show that one is. */
static void long_texts_stay_linear(void **state) {
  (void)state;
  static const char *const units[] = {"a",  "a ",           ".", "\xCC\x81", "\xCC\x95\xCC\x80", "[MASK",
                                      "  ", "\xE4\xB8\xAD", "##"};
  size_t n = 1u << 20;
  char *text = malloc(n + 8);
  fv_tokenizer *t = NULL;
  assert_int_equal(fv_tokenizer_open(FV_TEST_DATA "/text", &t, NULL), FV_OK);
  for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
    size_t unit = strlen(units[u]), bytes = 0;
    fv_encoding e;
    for (; bytes + unit <= n; bytes += unit) memcpy(text + bytes, units[u], unit);
    assert_int_equal(fv_tokenizer_encode(t, text, bytes, true, &e, NULL), FV_OK);
    assert_true(e.count >= 2);
    fv_encoding_release(&e);
  }
  fv_tokenizer_close(t);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_equal), cmocka_unit_test(pieces_and_ids),
                                     cmocka_unit_test(invalid_text_is_refused),
                                     cmocka_unit_test(long_texts_stay_linear)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
