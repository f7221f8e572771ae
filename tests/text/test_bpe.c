/* Every string of tests/data/text/bpe/vectors.jsonl, under every variant of the three tokenizers there: ids, bytes and
 * decoded text equal to the tokenizers library's. `test_bpe FOLDER` checks another folder that make_bpe_vectors.py
 * wrote. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/bytes.h"
#include "base/files.h"
#include "text/tokenizer.h"

static const char *folder = FV_TEST_DATA "/text/bpe";
static char dir[] = "bpe-XXXXXX";
static int64_t texts, lists;

static void write_json(const char *name, const json_t *value) {
  char *path = fv_path_join(dir, name);
  assert_int_equal(json_dump_file(value, path, JSON_COMPACT), 0);
  free(path);
}

static void remove_file(const char *name) {
  char *path = fv_path_join(dir, name);
  unlink(path);
  free(path);
}

static fv_tokenizer *open_variant(const json_t *spec) {
  char *path = fv_format("%s/%s.json", folder, json_string_value(json_object_get(spec, "base")));
  json_t *root = json_load_file(path, 0, NULL), *config = json_object_get(spec, "config");
  const json_t *rename = json_object_get(spec, "rename");
  assert_non_null(root);
  free(path);
  if (json_object_get(spec, "set")) json_object_update(root, json_object_get(spec, "set"));
  json_t *model = json_object_get(root, "model");
  if (json_object_get(spec, "model")) json_object_update(model, json_object_get(spec, "model"));
  json_t *vocab = json_object_get(model, "vocab");
  for (size_t i = 0; i < json_array_size(rename); i++) {
    const char *piece = json_string_value(json_array_get(rename, i));
    char *renamed = fv_format("%s?", piece);
    json_object_set(vocab, renamed, json_object_get(vocab, piece));
    json_object_del(vocab, piece);
    free(renamed);
  }
  write_json("tokenizer.json", root);
  remove_file("tokenizer_config.json");
  if (config) write_json("tokenizer_config.json", config);
  json_decref(root);
  fv_tokenizer *t = NULL;
  fv_error e = {0};
  if (fv_tokenizer_open(dir, &t, &e)) fail_msg("%s", e.text);
  assert_string_equal(fv_tokenizer_kind(t), "BPE");
  return t;
}

/* The text of a row, as make_bpe_vectors.py describes it. */
static char *text_of(const json_t *t, size_t *n) {
  const json_t *codes = json_object_get(t, "codes"), *repeat = json_object_get(t, "repeat");
  char *text = NULL;
  FILE *f = open_memstream(&text, n);
  if (json_is_string(t)) fwrite(json_string_value(t), 1, json_string_length(t), f);
  for (size_t i = 0; i < json_array_size(repeat); i++) {
    const json_t *unit = json_array_get(json_array_get(repeat, i), 0);
    for (json_int_t k = json_integer_value(json_array_get(json_array_get(repeat, i), 1)); k > 0; k--)
      fwrite(json_string_value(unit), 1, json_string_length(unit), f);
  }
  for (json_int_t c = json_integer_value(json_array_get(codes, 0));
       codes && c <= json_integer_value(json_array_get(codes, 1)); c++) {
    char utf8[4];
    if (c >= 0xD800 && c < 0xE000) continue;
    fputc('a', f);
    fwrite(utf8, 1, fv_utf8_put((uint32_t)c, utf8), f);
    fputc(' ', f);
  }
  fclose(f);
  return text;
}

static uint64_t fnv(uint64_t h, const void *data, size_t n) {
  for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001B3u;
  return h;
}

static void differs(const fv_encoding *e, const json_t *row, const char *variant, const char *got) {
  char *dump = json_dumps(row, JSON_ENSURE_ASCII);
  printf("variant \"%s\": %s\n     got: %s", variant, dump, got ? got : "");
  for (size_t i = 0; e && i < e->count; i++) printf(" %d(%d-%d)", e->ids[i], (int)e->first[i], (int)e->last[i]);
  printf("\n");
  free(dump);
  fail_msg("differs");
}

static void check_encoding(const fv_encoding *e, const json_t *row, const char *variant) {
  const json_t *ids = json_object_get(row, "i"), *spans = json_object_get(row, "o");
  bool same = e->count == json_array_size(ids);
  for (size_t i = 0; same && i < e->count; i++) {
    same = e->ids[i] == json_integer_value(json_array_get(ids, i));
    if (!spans) continue;
    same = same && e->first[i] == json_integer_value(json_array_get(spans, 2 * i));
    same = same && e->last[i] == json_integer_value(json_array_get(spans, 2 * i + 1));
  }
  if (!same) differs(e, row, variant, NULL);
}

static void check_text(const char *got, size_t n, const json_t *expected, const json_t *row, const char *variant) {
  assert_int_equal(got[n], 0);
  if (n != json_string_length(expected) || memcmp(got, json_string_value(expected), n) != 0)
    differs(NULL, row, variant, got);
}

static uint64_t hash(const fv_encoding *e, bool places, char *const back[2], const size_t n[2]) {
  uint64_t h = 0xCBF29CE484222325u;
  for (size_t i = 0; i < e->count; i++) {
    const int32_t first = places ? (int32_t)e->first[i] : 0, last = places ? (int32_t)e->last[i] : 0;
    const int32_t numbers[3] = {e->ids[i], first, last};
    for (int k = 0; k < 3; k++) {
      const uint32_t v = (uint32_t)numbers[k];
      const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
      h = fnv(h, bytes, 4);
    }
  }
  return fnv(fnv(fnv(h, back[0], n[0]), "\xFF", 1), back[1], n[1]);
}

static void check_row(const fv_tokenizer *t, const json_t *row, const json_t *spec) {
  const char *variant = json_string_value(json_object_get(spec, "variant")),
             *want = json_string_value(json_object_get(row, "h"));
  const json_t *text_json = json_object_get(row, "t"), *list = json_object_get(row, "i");
  fv_encoding e = {0};
  fv_error err = {0};
  char *back[2] = {NULL, NULL};
  size_t n[2];
  if (text_json) {
    size_t bytes;
    char *text = text_of(text_json, &bytes);
    if (fv_tokenizer_encode(t, text, bytes, true, &e, &err)) fail_msg("%s", err.text);
    free(text);
    if (!want) check_encoding(&e, row, variant);
    texts++;
  } else {
    e.count = json_array_size(list);
    e.ids = calloc(e.count + 1, sizeof *e.ids);
    for (size_t i = 0; i < e.count; i++) e.ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
  }
  for (int skip = 0; skip < 2; skip++) {
    if (fv_tokenizer_decode(t, e.ids, e.count, skip, &back[skip], &n[skip], &err)) fail_msg("%s", err.text);
    if (!want) check_text(back[skip], n[skip], json_object_get(row, skip ? "s" : "k"), row, variant);
  }
  char got[17];
  if (want) {
    snprintf(got, sizeof got, "%016" PRIx64, hash(&e, !json_is_false(json_object_get(spec, "places")), back, n));
    if (strcmp(got, want) != 0) differs(&e, row, variant, back[0]);
  }
  free(back[0]);
  free(back[1]);
  fv_encoding_release(&e);
  lists++;
}

static void vectors_equal(void **state) {
  (void)state;
  char *path = fv_path_join(folder, "vectors.jsonl"), *line = NULL;
  FILE *f = fopen(path, "rb");
  fv_tokenizer *t = NULL;
  json_t *spec = NULL;
  size_t capacity = 0;
  ssize_t n;
  assert_non_null(f);
  while ((n = getline(&line, &capacity, f)) > 0) {
    json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
    assert_non_null(row);
    if (json_object_get(row, "variant")) {
      fv_tokenizer_close(t);
      json_decref(spec);
      spec = row;
      t = open_variant(spec);
      continue;
    }
    check_row(t, row, spec);
    json_decref(row);
  }
  printf("%lld texts, %lld lists of ids\n", (long long)texts, (long long)lists);
  assert_true(texts > 3000 && lists > 3500);
  fv_tokenizer_close(t);
  json_decref(spec);
  free(line);
  free(path);
  fclose(f);
}

/* Long hostile texts: no part of encoding or decoding may be quadratic. Minutes instead of a blink would show that one
 * is. */
static void long_texts_stay_fast(void **state) {
  (void)state;
  static const char *const units[] = {
      "a",       "ab",           "the ", " ",   "\n", "1", "!", "\xCC\x81", "\xCC\x95\xCC\x80",
      "<|endof", "\xE4\xB8\xAD", "'s",   "\0x", "<s>"};
  static const char *const variants[] = {"llama", "clip"};
  const size_t most = 1u << 20;
  char *text = malloc(most + 8), *path = fv_path_join(folder, "vectors.jsonl"), *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  int opened = 0;
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  while ((length = getline(&line, &capacity, f)) > 0) {
    if (strncmp(line, "{\"variant\"", 10) != 0) continue;
    json_t *spec = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, NULL);
    const char *name = json_string_value(json_object_get(spec, "variant"));
    if (strcmp(name, variants[0]) == 0 || strcmp(name, variants[1]) == 0) {
      fv_tokenizer *t = open_variant(spec);
      opened++;
      for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t unit = units[u][0] ? strlen(units[u]) : 2, bytes = 0, back_n, size = u < 3 ? most : most / 8;
        fv_encoding e;
        char *back;
        for (; bytes + unit <= size; bytes += unit) memcpy(text + bytes, units[u], unit);
        assert_int_equal(fv_tokenizer_encode(t, text, bytes, true, &e, NULL), FV_OK);
        assert_int_equal(fv_tokenizer_decode(t, e.ids, e.count, false, &back, &back_n, NULL), FV_OK);
        free(back);
        fv_encoding_release(&e);
      }
      fv_tokenizer_close(t);
    }
    json_decref(spec);
  }
  assert_int_equal(opened, 2);
  fclose(f);
  free(line);
  free(path);
  free(text);
}

static int setup(void **state) {
  (void)state;
  return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  remove_file("tokenizer.json");
  remove_file("tokenizer_config.json");
  return rmdir(dir);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_equal), cmocka_unit_test(long_texts_stay_fast)};
  if (argc > 1) folder = argv[1];
  return cmocka_run_group_tests(tests, setup, teardown);
}
