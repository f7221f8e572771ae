/* fovea attend: its table against patterns of transformers, its outputs against each other, and what it refuses. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "support/vectors.h"

#define ATTEND "fovea attend $M $I $Q "

static double number(const json_t *j, const char *key) {
  const json_t *v = json_object_get(j, key);
  return json_is_null(v) ? NAN : json_number_value(v);
}

static const json_t *head_of(const json_t *all, size_t i) { return json_array_get(json_object_get(all, "heads"), i); }

static double cell(const json_t *head, size_t r, size_t c) {
  return json_number_value(json_array_get(json_array_get(json_object_get(head, "weights"), r), c));
}

static double reference(const fv_checkpoint *file, const char *name, int64_t head, int64_t row, int64_t key) {
  const fv_tensor *t = fv_checkpoint_find(file, name);
  assert_non_null(t);
  return fv_tensor_f32(t)[(head * t->shape[1] + row) * t->shape[2] + key];
}

static fv_checkpoint *open_reference(void) {
  fv_checkpoint *file;
  OK(fv_checkpoint_open_file(MODEL "/vectors/image0-question0.safetensors", &file, ERR));
  return file;
}

/* Every line of the table: its columns, the class row, 25 patches and the rest, with transformers' weights. */
static void test_table(void **state) {
  (void)state;
  fv_checkpoint *file = open_reference();
  program_result r = expect(0, ATTEND "--rows 5 --heads L1H3 --csv -");
  const char *line = r.out;
  assert_memory_equal(line, "stack,site,layer,head,row,piece,key,name,weight\n", 48);
  line = strchr(line, '\n') + 1;
  for (int key = 0; key <= 26; key++) {
    char start[128], name[32];
    snprintf(name, sizeof name, key ? "image[%d,%d]" : "cls", (key - 1) / 5, (key - 1) % 5);
    int n = snprintf(start, sizeof start, "text_encoder,cross.pattern,1,3,5,shirt,%d,", key);
    if (key == 26) n = snprintf(start, sizeof start, "text_encoder,cross.pattern,1,3,5,shirt,,other,");
    if (key && key < 26) n += snprintf(start + n, sizeof start - (size_t)n, "\"%s\",", name);
    if (key == 0) n += snprintf(start + n, sizeof start - (size_t)n, "cls,");
    if (strncmp(line, start, (size_t)n) != 0) fail_msg("expected %s, found %.60s", start, line);
    double weight = strtod(line + n, NULL);
    assert_true(fabs(weight - (key < 26 ? reference(file, "text_encoder.1.cross.pattern", 3, 5, key) : 0.0)) < 1e-6);
    line = strchr(line, '\n') + 1;
  }
  assert_int_equal(*line, '\0');
  program_release(&r);
  fv_checkpoint_close(file);
}

static void test_json(void **state) {
  (void)state;
  fv_checkpoint *file = open_reference();
  json_t *all = expect_json(ATTEND "--rows 2,4 --layers 1 --heads 0,2 --minus average --json");
  assert_int_equal(json_array_size(json_object_get(all, "heads")), 3);
  double mean[26] = {0};
  for (int64_t l = 0; l < 2; l++)
    for (int64_t h = 0; h < 5; h++)
      for (int64_t k = 0; k < 26; k++) {
        const char *name = l ? "text_encoder.1.cross.pattern" : "text_encoder.0.cross.pattern";
        mean[k] += (reference(file, name, h, 2, k) + reference(file, name, h, 4, k)) / 20;
      }
  const json_t *two = head_of(all, 1), *average = head_of(all, 2);
  assert_int_equal(json_integer_value(json_object_get(two, "head")), 2);
  assert_true(json_is_null(json_object_get(average, "layer")));
  for (int64_t k = 0; k < 25; k++) {
    double own = (reference(file, "text_encoder.1.cross.pattern", 2, 2, k + 1) +
                  reference(file, "text_encoder.1.cross.pattern", 2, 4, k + 1)) /
                 2;
    assert_true(fabs(cell(two, k / 5, k % 5) - (own - mean[k + 1])) < 1e-6);
    assert_true(fabs(cell(average, k / 5, k % 5) - mean[k + 1]) < 1e-6);
  }
  assert_true(fabs(number(average, "cls") - mean[0]) < 1e-6);
  assert_int_equal(json_array_size(json_object_get(all, "rows")), 2);
  json_decref(all);
  all = expect_json(ATTEND "--site text_encoder.0.attn.pattern --json"); /* a matrix */
  assert_int_equal(json_array_size(json_object_get(all, "keys")), 8);
  assert_true(fabs(cell(head_of(all, 4), 3, 6) - reference(file, "text_encoder.0.attn.pattern", 4, 3, 6)) < 1e-6);
  json_decref(all);
  fv_checkpoint_close(file);
}

/* Averages and differences of tables of samples, and who is left out. */
static void test_samples(void **state) {
  (void)state;
  FILE *f = fopen("attend_samples.csv", "w");
  fprintf(f,
          "sample,image,question,correct,group\n"
          "a,%s/vectors/image0.png,what color is the shirt?,shirt,x\n"
          "b,%s/vectors/image1.png,where is the small dog on the beach?,dog,y\n"
          "c,none.png,what color?,red,y\n",
          MODEL, MODEL);
  fclose(f);
  static const char *const one[] = {
      "--image $V/image0.png --question 'what color is the shirt?' --rows answer --correct shirt",
      "--image $V/image1.png --question 'where is the small dog on the beach?' --rows answer --correct dog"};
  json_t *parts[2];
  for (int i = 0; i < 2; i++) {
    char line[256];
    snprintf(line, sizeof line, "fovea attend $M --json %s", one[i]);
    parts[i] = expect_json(line);
  }
  static const struct {
    const char *options;
    double a, b;
    int samples, excluded;
  } cases[] = {{"", 0.5, 0.5, 2, 1},
               {"--group x", 1, 0, 1, 0},
               {"--group x --minus group:y", 1, -1, 1, 1},
               {"--minus group:y", 1, -1, 1, 1},
               {"--limit 1", 1, 0, 1, 0},
               {"--minus attend_samples.csv --limit 1", 0, 0, 1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[256];
    snprintf(line, sizeof line, "fovea attend $M --samples attend_samples.csv --rows answer --json %s",
             cases[i].options);
    json_t *all = expect_json(line);
    assert_int_equal(json_integer_value(json_object_get(all, "samples")), cases[i].samples);
    assert_int_equal(json_integer_value(json_object_get(all, "excluded")), cases[i].excluded);
    for (size_t h = 0; h < 10; h++)
      for (size_t k = 0; k < 25; k++) {
        double want = cases[i].a * cell(head_of(parts[0], h), k / 5, k % 5) +
                      cases[i].b * cell(head_of(parts[1], h), k / 5, k % 5);
        if (fabs(cell(head_of(all, h), k / 5, k % 5) - want) > 1e-6) fail_msg("%s: head %zu, patch %zu", line, h, k);
      }
    json_decref(all);
  }
  program_result r = expect(0, "fovea attend $M --samples attend_samples.csv");
  assert_non_null(strstr(r.err, "1 sample excluded, the first: c:"));
  program_release(&r);
  r = expect(0, "fovea attend $M --samples attend_samples.csv --group x --minus group:y");
  assert_non_null(strstr(r.out, "\nminus group y (1 sample)\n"));
  program_release(&r);
  r = expect(1, "fovea attend $M --samples attend_samples.csv --group z");
  program_release(&r);
  /* A first sample without a question does not decide for the others. */
  f = fopen("attend_samples.csv", "w");
  fprintf(f, "sample,image,question\na,%s/vectors/image0.png,\nb,%s/vectors/image0.png,what color?\n", MODEL, MODEL);
  fclose(f);
  r = expect(0, "fovea attend $M --samples attend_samples.csv");
  assert_non_null(strstr(r.out, "text_encoder cross.pattern")), assert_non_null(strstr(r.out, "1 sample excluded"));
  assert_non_null(strstr(r.err, "a: has no question"));
  program_release(&r);
  json_decref(parts[0]), json_decref(parts[1]);
  unlink("attend_samples.csv");
}

#define PAIRS FV_TEST_DATA "/llava/first/pairs"
#define PAIR                                                                              \
  "fovea attend " FV_TEST_DATA "/llava/first --image " PAIRS "/image0.png --image " PAIRS \
  "/image1.png --question 'what color is the shirt?' --heads L0H1 "

/* Two pictures: what the whole row says, as a map for each with its class row. */
static void test_pictures(void **state) {
  (void)state;
  json_t *maps = expect_json(PAIR "--json"), *row = expect_json(PAIR "--keys all --rows last --json");
  const json_t *head = head_of(maps, 0), *weights = json_object_get(head, "weights");
  assert_int_equal(json_integer_value(json_object_get(maps, "pictures")), 2);
  double rest = 1.0;
  for (size_t p = 0; p < 2; p++) {
    size_t first = p ? 11 : 4;
    const json_t *map = json_array_get(weights, p), *cls = json_array_get(json_object_get(head, "cls"), p);
    assert_true(json_number_value(cls) == cell(head_of(row, 0), 0, first));
    for (size_t k = 0; k < 4; k++) {
      double w = json_number_value(json_array_get(json_array_get(map, k / 2), k % 2));
      assert_true(w == cell(head_of(row, 0), 0, first + 1 + k));
      rest -= w;
    }
    rest -= json_number_value(cls);
  }
  assert_true(fabs(number(head, "other") - rest) < 1e-6);
  json_decref(maps), json_decref(row);
  program_result r = expect(0, PAIR "--csv - --plot two.png --npz two.npz");
  static const char *const names[] = {"cls",         "image[0,0]",  "image[0,1]",  "image[1,0]",  "image[1,1]", "cls2",
                                      "image2[0,0]", "image2[0,1]", "image2[1,0]", "image2[1,1]", "other"};
  const char *line = strchr(r.out, '\n') + 1;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *end = strchr(line, '\n'), *name = strstr(line, names[i]);
    if (!name || name > end) fail_msg("line %zu is not of %s: %.*s", i, names[i], (int)(end - line), line);
    line = end + 1;
  }
  assert_int_equal(*line, '\0');
  program_release(&r);
  assert_int_equal(access("two.png", R_OK) | access("two.npz", R_OK), 0);
  unlink("two.png"), unlink("two.npz");
  r = expect(0, PAIR "--show always --minmax");
  assert_non_null(strstr(r.out, "L0H1 image1\n"));
  assert_non_null(strstr(r.out, "L0H1 image2\n"));
  assert_non_null(strstr(r.out, "\n0 [")), assert_non_null(strstr(r.out, "] 1  each map"));
  program_release(&r);
}

static void test_files(void **state) {
  (void)state;
  static const char *const options[] = {"--plot a.png", "--plot a.svg --minus average --minmax --upsample cubic",
                                        "--plot a.pdf --heads L0H1,L1H4 --background color --alpha 0.3 --columns 1",
                                        "--plot a.png --site text_encoder.*.attn.pattern --heads 0",
                                        "--plot a.png --npz a.npz --csv a.csv --keys all --serif"};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    char line[256];
    snprintf(line, sizeof line, ATTEND "%s", options[i]);
    program_result r = expect(0, line);
    assert_non_null(strstr(r.out, "text_encoder"));
    program_release(&r);
  }
  static const char *const files[] = {"a.png", "a.svg", "a.pdf", "a.npz", "a.csv"};
  mode_t mask = umask(0);
  umask(mask);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct stat st;
    assert_int_equal(stat(files[i], &st), 0);
    if ((st.st_mode & 0777) != (0666 & ~mask)) fail_msg("%s has the mode %o", files[i], st.st_mode & 0777);
    unlink(files[i]);
  }
  program_result r = expect(0, ATTEND "--show always --heads L0H0");
  assert_non_null(strstr(r.out, "L0H0\n"));
  program_release(&r);
}

/* The start of an answer is no piece of the tokenizer, and not the piece "0". */
static void test_start(void **state) {
  (void)state;
  program_result r = expect(0, ATTEND "--site text_decoder.*.cross.pattern --heads L0H0 --csv -");
  assert_non_null(strstr(r.out, "\ntext_decoder,cross.pattern,0,0,0,,0,[CLS],"));
  program_release(&r);
  r = expect(0, ATTEND "--site text_decoder.*.cross.pattern --heads L0H0");
  assert_non_null(strstr(r.out, " from [decode] to "));
  program_release(&r);
}

static void test_refused(void **state) {
  (void)state;
  static const refusal cases[] = {
      {2, "fovea attend $M", "an input is missing"},
      {2, ATTEND "--samples x.csv", "--samples brings"},
      {2, ATTEND "--group g", "belong to --samples"},
      {2, ATTEND "--minus group:g", "belong to --samples"},
      {2, ATTEND "--rows answer", "--correct"},
      {2, ATTEND "--heads H3", "heads"},
      {1, ATTEND "--heads L0H7", "heads 0..4"},
      {1, ATTEND "--layers 5", "layers"},
      {1, ATTEND "--site text_encoder.*.nothing", "nothing"},
      {2, ATTEND "--site text_encoder.*.cross.out", "no attention pattern"},
      {2, ATTEND "--site text_encoder.*.cross.pattern@2", "lists of their own"},
      {2, ATTEND "--site a --site b", "--site is given twice"},
      {2, ATTEND "--alpha 1.5", "--alpha"},
      {2, ATTEND "--upsample bicubic", "nearest|cubic"},
      {2, ATTEND "--minmax --vmin 0", "--minmax"},
      {2, ATTEND "--plot a.gif", ".png"},
      {2, ATTEND "--colors mauve --plot a.png", "mauve"},
      {2, ATTEND "--colors mauve", "mauve"},
      {2, ATTEND "--json --csv -", "standard output"},
      {1, ATTEND "--minus none.csv", "none.csv"},
      {2, ATTEND "--minus avg", "expected average, group:NAME"},
      {2, ATTEND "--keys text", "there is no text among them"},
      {2, ATTEND "--keys text --site vision.*.attn.pattern", "there is no text among them"},
      {1, ATTEND "--rows answer --correct dog", "is not in the question"},
      {2, "fovea attend $M $Q", "is a picture or a question missing?"},
      {1, "fovea attend $M --image none.png $Q", "none.png"},
      {1, ATTEND "--plot no/such/folder/a.png", "no/such/folder"},
  };
  expect_refusals(cases, sizeof cases / sizeof *cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table),    cmocka_unit_test(test_json),
                                     cmocka_unit_test(test_samples),  cmocka_unit_test(test_files),
                                     cmocka_unit_test(test_pictures), cmocka_unit_test(test_start),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
