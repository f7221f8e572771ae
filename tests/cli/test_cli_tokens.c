/* fovea tokens --jsonl against the tokenizers library's ids and texts (tests/data/text/vectors.jsonl), and its manners
 * with lines that are bad. */
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_tests.h"

/* A model folder with some of the files of tests/data/blip/tied and another tokenizer. */
static char *make_model(const char *tokenizer, const char *vocab) {
  static const char *const parts[] = {"config.json", "model.safetensors", "preprocessor_config.json"};
  char *folder = folder_make(), path[256];
  for (size_t i = 0; i < 3; i++) {
    char target[512];
    snprintf(target, sizeof target, MODEL "/%s", parts[i]);
    snprintf(path, sizeof path, "%s/%s", folder, parts[i]);
    assert_int_equal(symlink(target, path), 0);
  }
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  if (tokenizer) assert_int_equal(symlink(tokenizer, path), 0);
  snprintf(path, sizeof path, "%s/vocab.txt", folder);
  if (vocab) assert_int_equal(symlink(vocab, path), 0);
  return folder;
}

static program_result jsonl(const char *model, const char *options, const char *input) {
  char line[512];
  program_result r;
  snprintf(line, sizeof line, "fovea tokens %s --jsonl - %s", model, options);
  program_run(&(program_options){.input = input}, &r, line, vars);
  return r;
}

static void add_line(FILE *f, const json_t *value) {
  char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  fprintf(f, "%s\n", text);
  free(text);
}

/* Equal as JSON, line by line. */
static void same_lines(const char *got, const char *expected, const char *what) {
  json_error_t detail;
  for (size_t number = 1; *got || *expected; number++) {
    size_t n = strcspn(got, "\n"), m = strcspn(expected, "\n");
    json_t *a = json_loadb(got, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &detail),
           *b = json_loadb(expected, m, JSON_DECODE_ANY | JSON_ALLOW_NUL, &detail);
    if (!a || !b || !json_equal(a, b))
      fail_msg("%s: line %zu is %.*s, expected %.*s", what, number, (int)n, got, (int)m, expected);
    json_decref(a), json_decref(b);
    got += n + (got[n] == '\n'), expected += m + (expected[m] == '\n');
  }
}

static void test_vectors(void **state) {
  (void)state;
  char *model = make_model(FV_TEST_DATA "/text/tokenizer.json", NULL);
  char *text[5] = {0}, *line = NULL; /* strings, their ids; ids, their text with special tokens, and without */
  static const char *const names[] = {"t", "i", "i", "k", "s"};
  size_t sizes[5], room = 0, count = 0;
  FILE *out[5], *f = fopen(FV_TEST_DATA "/text/vectors.jsonl", "r");
  assert_non_null(f);
  for (int i = 0; i < 5; i++) out[i] = open_memstream(&text[i], &sizes[i]);
  for (bool first = true; getline(&line, &room, f) > 0; first = false) {
    json_error_t detail;
    json_t *row = json_loads(line, JSON_ALLOW_NUL, &detail);
    assert_non_null(row);
    bool variant = json_object_get(row, "variant") != NULL;
    for (int i = 0; i < 5 && !variant; i++)
      if (i >= 2 || json_object_get(row, "t")) add_line(out[i], json_object_get(row, names[i]));
    json_decref(row);
    if (variant && !first) break; /* later variants have other tokenizer files */
    count++;
  }
  fclose(f);
  for (int i = 0; i < 5; i++) fclose(out[i]);
  assert_true(count > 300);
  static const char *const options[] = {"", "--decode --keep-special", "--decode"};
  const char *const pairs[3][2] = {{text[0], text[1]}, {text[2], text[3]}, {text[2], text[4]}};
  for (int i = 0; i < 3; i++) {
    program_result r = jsonl(model, options[i], pairs[i][0]);
    if (r.status) fail_msg("%s", r.err);
    same_lines(r.out, pairs[i][1], options[i]);
    program_release(&r);
  }
  for (int i = 0; i < 5; i++) free(text[i]);
  free(line);
  folder_remove(model);
}

/* tokenizer.json alone and vocab.txt alone are the same tokenizer. */
static void test_single_files(void **state) {
  (void)state;
  static const char text[] =
      "\"what color is the shirt?\"\n\"\"\n\"how many redish boats, on the BEACH? \\u00dcn\"\n"
      "\"a\\u0000b\"\n";
  char *a = make_model(MODEL "/tokenizer.json", NULL), *b = make_model(NULL, MODEL "/vocab.txt");
  program_result x = jsonl(a, "", text), y = jsonl(b, "", text), z = jsonl("$M", "", text);
  assert_int_equal(x.status, 0);
  assert_memory_equal(x.out, "[2,88,138,86,82,121,5,3]\n[2,3]\n", 31);
  assert_string_equal(x.out, y.out);
  assert_string_equal(x.out, z.out);
  program_release(&x), program_release(&y), program_release(&z);
  folder_remove(a);
  a = make_model(NULL, NULL);
  char line[128];
  snprintf(line, sizeof line, "fovea tokens %s --question x", a);
  x = expect(1, line);
  program_release(&x);
  folder_remove(a), folder_remove(b);
}

/* A bad line ends the run; the lines before it stay. */
static void test_bad_lines(void **state) {
  (void)state;
  static const struct {
    const char *options, *input, *out, *says;
  } cases[] = {
      {"", "\"what\"\n7\n\"what\"\n", "[2,88,3]\n", "line 2 is not a JSON string"},
      {"", "\"what\"\n\"what\n", "[2,88,3]\n", "line 2 is not JSON"},
      {"", "\"what\"\n\n", "[2,88,3]\n", "line 2 is not JSON"},
      {"", "\"what\" \"what\"\n", "", "line 1 is not JSON"},
      {"", "\"\\ud800\"\n", "", "line 1 is not JSON"},
      {"", "\"\xff\"\n", "", "line 1 is not JSON"},
      {"--decode", "[2,88,3]\n\"what\"\n", "\"what\"\n", "line 2 is not a JSON array"},
      {"--decode", "[2,88,3]\n[-1]\n", "\"what\"\n", "line 2"},
      {"--decode", "[2,88,3]\n[1.5]\n", "\"what\"\n", "line 2"},
      {"--decode", "[2,88,3]\n[99999999999]\n", "\"what\"\n", "line 2"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    program_result r = jsonl("$M", cases[i].options, cases[i].input);
    if (r.status != 1) fail_msg("%s: status %d", cases[i].input, r.status);
    assert_string_equal(r.out, cases[i].out);
    if (!strstr(r.err, cases[i].says)) fail_msg("%s: %s", cases[i].input, r.err);
    program_release(&r);
  }
  /* Windows line ends, and a last line without one. */
  program_result r = jsonl("$M", "", "\"what\"\r\n\"what\"");
  assert_int_equal(r.status, 0);
  assert_string_equal(r.out, "[2,88,3]\n[2,88,3]\n");
  program_release(&r);
  r = jsonl("$M", "", "");
  assert_int_equal(r.status, 0);
  assert_int_equal(r.nout, 0);
  program_release(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_single_files),
                                     cmocka_unit_test(test_bad_lines)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
