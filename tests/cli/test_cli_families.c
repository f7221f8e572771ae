/* The commands on the families that are not visual question answering: against transformers' vectors, and what each
 * family makes of options that assume a question or an answer. */
#include "cli/cli_tests.h"

#define DATA(NAME) FV_TEST_DATA "/" NAME
#define VIT DATA("vit/shards") " --image " DATA("vit/shards/vectors/image0.png")
#define CAPTION DATA("blip_caption/tied") " --image " DATA("blip_caption/tied/vectors/image0.png")
#define CLIP DATA("clip/zip") " --image " DATA("clip/zip/vectors/image0.png")
#define ITM DATA("blip_itm/zip") " --image " DATA("blip_itm/zip/vectors/image0.png")

static const char *const models[] = {"vit/shards",   "vit/bare",        "blip_caption/tied", "blip_caption/shards",
                                     "blip_itm/zip", "blip_itm/shards", "clip/zip",          "clip/shards"};

/* fovea ask gives the case's text, ids and best first answers. */
static void ask_case(const char *model, const json_t *one) {
  char line[1024], question[512] = "";
  const json_t *want = json_object_get(one, "answer"), *top = json_object_get(one, "top");
  const char *text = json_string_value(json_object_get(one, "question"));
  if (text) snprintf(question, sizeof question, "--prompt '%s'", text);
  const json_t *prompts = json_object_get(one, "prompts");
  for (size_t i = 0; i < json_array_size(prompts); i++) {
    const char *said = json_string_value(json_array_get(prompts, i));
    if (strchr(said, '\'')) return; /* the test's command line has no way to write it */
    strcat(strcat(strcat(question, " --prompt '"), said), "'");
  }
  snprintf(line, sizeof line,
           "fovea ask " FV_TEST_DATA "/%s --image " FV_TEST_DATA "/%s/vectors/%s %s --generate %zu --json", model,
           model, json_string_value(json_object_get(one, "image")), question,
           json_array_size(json_object_get(want, "ids")));
  json_t *got = expect_json(line);
  const json_t *answer = json_object_get(got, "answer"), *first = json_array_get(json_object_get(got, "top"), 0);
  if (!json_equal(json_object_get(answer, "ids"), json_object_get(want, "ids")) ||
      !json_equal(json_object_get(answer, "text"), json_object_get(want, "text")))
    fail_msg("%s\nanswers %s", line, json_dumps(answer, 0));
  assert_true(json_equal(json_object_get(first, "id"), json_object_get(json_array_get(top, 0), "id")));
  assert_true(json_equal(json_object_get(first, "piece"), json_object_get(json_array_get(top, 0), "piece")));
  json_decref(got);
}

static void test_ask(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    char path[256];
    json_error_t detail;
    snprintf(path, sizeof path, FV_TEST_DATA "/%s/vectors/cases.json", models[i]);
    json_t *root = json_load_file(path, 0, &detail);
    const json_t *cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) >= 3);
    for (size_t c = 0; c < json_array_size(cases); c++) ask_case(models[i], json_array_get(cases, c));
    json_decref(root);
  }
}

static void test_verify(void **state) {
  (void)state;
  static const char *const all[] = {
      "vit/shards", "blip_caption/shards", "blip_itm/shards", "bert/shards", "bert/legacy", "clip/zip", "clip/shards"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    char line[512];
    snprintf(line, sizeof line, "fovea verify " FV_TEST_DATA "/%s --vectors " FV_TEST_DATA "/%s/vectors", all[i],
             all[i]);
    program_result r = expect(0, line);
    if (!strstr(r.out, ", 0 outside")) fail_msg("%s\n%s", line, r.out);
    program_release(&r);
  }
}

/* Weights read again and again, because they do not fit, give every family the same bits. */
static void test_small_memory(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    char line[512], *out[2];
    for (int small = 0; small < 2; small++) {
      const char *text = strncmp(models[i], "vit", 3) == 0 ? "" : "--prompt 'the dog'";
      snprintf(line, sizeof line, "fovea ask " FV_TEST_DATA "/%s --image " DATA("vit/bare/vectors/image1.png") " %s%s",
               models[i], text, small ? " --memory 60K" : "");
      program_result r = expect(0, line);
      out[small] = strdup(r.out);
      program_release(&r);
    }
    if (strcmp(out[0], out[1]) != 0) fail_msg("%s\n%s\n%s", line, out[0], out[1]);
    free(out[0]), free(out[1]);
  }
}

/* Where a trace corrupts and restores when nothing is said. */
static void test_trace_defaults(void **state) {
  (void)state;
  static const struct {
    const char *line, *corrupt, *stack;
    size_t maps, layers, rows;
  } traces[] = {
      {"fovea trace " VIT " --draws 1 --json --check 10", "mul-gauss:mean=1,std=5@vision.embed", "vision", 1, 2, 17},
      {"fovea trace " CAPTION " --prompt 'a picture of' --draws 1 --json --check 10",
       "mul-gauss:mean=1,std=5@vision.final", "text_decoder", 1, 2, 4},
      {"fovea trace " ITM " --question 'the dog' --draws 1 --json --check 10", "mul-gauss:mean=1,std=5@vision.final",
       "text_encoder", 1, 2, 4},
      {"fovea trace " CLIP " --prompt 'red boat' --prompt 'the dog' --draws 1 --json --check 10",
       "mul-gauss:mean=1,std=5@vision.embed", "vision", 1, 2, 17}};
  for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
    json_t *j = expect_json(traces[i].line);
    const json_t *maps = json_object_get(j, "maps"), *last = json_array_get(maps, json_array_size(maps) - 1);
    assert_string_equal(json_string_value(json_object_get(last, "corrupt")), traces[i].corrupt);
    assert_string_equal(json_string_value(json_object_get(last, "stack")), traces[i].stack);
    assert_int_equal(json_array_size(json_object_get(last, "layers")), traces[i].layers);
    assert_int_equal(json_array_size(json_object_get(last, "prob")), traces[i].rows);
    assert_true(json_integer_value(json_object_get(j, "checked")) > 0);
    json_decref(j);
  }
}

/* A class is followed by its label. */
static void test_target_label(void **state) {
  (void)state;
  json_t *j = expect_json("fovea trace " VIT " --draws 1 --target dog --json");
  const json_t *answer = json_object_get(j, "answer");
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 1);
  assert_string_equal(json_string_value(json_object_get(answer, "piece")), "dog");
  json_decref(j);
}

#define LLAVA DATA("llava/grouped")
#define PAIRS DATA("llava/grouped/pairs")
#define TWO LLAVA " --image " PAIRS "/image0.png --image " PAIRS "/image1.png"

static int64_t number_at(const json_t *list, size_t i) { return json_integer_value(json_array_get(list, i)); }

/* Two pictures: transformers' answer, the map of the rows, saved shapes. */
static void test_pictures(void **state) {
  (void)state;
  json_error_t detail;
  json_t *root = json_load_file(PAIRS "/cases.json", 0, &detail);
  const json_t *one = json_array_get(json_object_get(root, "cases"), 0), *want = json_object_get(one, "answer");
  json_t *j = expect_json("fovea ask " TWO " $Q --generate 24 --json --check 100");
  assert_true(json_equal(json_object_get(json_object_get(j, "answer"), "ids"), json_object_get(want, "ids")));
  assert_int_equal(json_array_size(json_object_get(json_object_get(j, "input"), "rows")), 29);
  json_decref(j);
  json_decref(root);
  j = expect_json("fovea tokens " TWO " --prompt 'what <image> color <image> is' --json");
  const json_t *images = json_object_get(j, "images"), *map = json_object_get(j, "rows");
  assert_int_equal(json_array_size(images), 2);
  for (size_t i = 0; i < 2; i++) {
    const json_t *rows = json_object_get(json_array_get(images, i), "rows");
    assert_true(number_at(rows, 0) == (i ? 12 : 2) && number_at(rows, 1) == (i ? 20 : 10));
  }
  assert_int_equal(number_at(json_object_get(json_object_get(j, "image"), "rows"), 1), 10);
  bool seen = false;
  for (size_t i = 0; i < json_array_size(map); i++) {
    const json_t *row = json_array_get(map, i);
    bool second = strcmp(json_string_value(json_object_get(row, "name")), "image2[0,1]") == 0 &&
                  strcmp(json_string_value(json_object_get(row, "stack")), "language") == 0;
    if (second) assert_int_equal(json_integer_value(json_object_get(row, "row")), 13);
    seen |= second;
  }
  assert_true(seen);
  json_decref(j);
  program_result r = expect(0, "fovea verify " LLAVA " --vectors " PAIRS);
  assert_non_null(strstr(r.out, ", 0 outside"));
  program_release(&r);
}

/* An edit of the second picture's rows, a trace, and what is refused. */
static void test_pictures_in_experiments(void **state) {
  (void)state;
  json_t *j = expect_json("fovea edit " TWO " $Q --do 'zero vision.0.resid_post@image2' --json --check 100"), *k;
  k = expect_json("fovea edit " TWO " $Q --do 'zero vision.0.resid_post@11-19' --json");
  assert_true(json_equal(json_object_get(j, "edit"), json_object_get(k, "edit")));
  assert_false(json_equal(json_object_get(j, "edit"), json_object_get(j, "base")));
  json_decref(j), json_decref(k);
  json_decref(expect_json("fovea trace " TWO " $Q --draws 1 --json --check 20"));
  json_decref(expect_json("fovea patch " TWO " $Q --corrupt gray --json --check 20"));
  json_decref(expect_json("fovea attend " TWO " $Q --keys all --json"));
  static const refusal refused[] = {
      {2, "fovea ask " TWO " --prompt 'what <image>'", "1 place for a picture (<image>), and there are 2 pictures"},
      {2, "fovea ask " TWO " --prompt what", "write where they belong"},
      {2, "fovea ask " TWO " --image " PAIRS "/image0.png --prompt '<image> <image>'", "there are 3 pictures"},
      {2, "fovea ask $M $I $I $Q", "--image is given twice; a blip_vqa model reads one picture"},
      {2, "fovea trace " CLIP " --image " PAIRS "/image0.png --prompt a", "--image is given twice; a clip model"}};
  expect_refusals(refused, sizeof refused / sizeof *refused);
}

/* Several prompts: the texts are what is chosen among, followed and read. */
static void test_texts(void **state) {
  (void)state;
#define TEXTS CLIP " --prompt 'red boat' --prompt 'the dog' --prompt photo"
  json_t *j = expect_json("fovea ask " TEXTS " --json --check 100"), *top = json_object_get(j, "top");
  double sum = 0.0;
  assert_int_equal(json_array_size(top), 3);
  for (size_t i = 0; i < 3; i++) {
    static const char *const texts[] = {"red boat", "the dog", "photo"};
    const json_t *one = json_array_get(top, i);
    assert_string_equal(json_string_value(json_object_get(one, "piece")),
                        texts[json_integer_value(json_object_get(one, "id"))]);
    sum += json_number_value(json_object_get(one, "prob"));
  }
  assert_true(sum > 0.999999 && sum < 1.000001);
  assert_int_equal(json_array_size(json_object_get(json_object_get(j, "input"), "prompts")), 3);
  json_decref(j);
  j = expect_json(
      "fovea trace " TEXTS
      " --corrupt mul-gauss:mean=1,std=5@text_encoder.embed --restore 'text_encoder.*.resid_post' --draws 1 "
      "--target 'the dog' --json --check 100");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "answer"), "id")), 1);
  assert_int_equal(json_array_size(json_object_get(j, "prompts")), 3);
  json_decref(j);
  j = expect_json("fovea patch " TEXTS " --corrupt-image " DATA("clip/zip/vectors/image1.png") " --site "
                  "'vision.*.resid_post' --correct 'red boat' --incorrect photo --check 100 --json");
  assert_string_equal(json_string_value(json_object_get(json_object_get(j, "correct"), "piece")), "red boat");
  assert_string_equal(json_string_value(json_object_get(json_object_get(j, "incorrect"), "piece")), "photo");
  assert_int_equal(json_array_size(json_object_get(j, "prompts")), 3);
  json_decref(j);
  j = expect_json("fovea tokens " TEXTS " --json");
  const json_t *rows = json_object_get(j, "rows"), *last = json_array_get(rows, json_array_size(rows) - 1);
  assert_int_equal(json_integer_value(json_object_get(last, "text")), 2);
  json_decref(j);
  program_result r = expect(0, "fovea edit " TEXTS
                               " --from-prompt 'red boat' --from-prompt 'the cat' --from-prompt photo --do 'replace "
                               "text_encoder.0.resid_post@text[1]' --check 100");
  assert_non_null(strstr(r.out, "2 runs recomputed alone"));
  program_release(&r);
  r = expect(0, "fovea info " TEXTS " --plan");
  assert_non_null(strstr(r.out, "contrast.cosine"));
  program_release(&r);
#undef TEXTS
}

/* States of a model without an answer, and sites that need a pass of their own. */
static void test_edit_reads(void **state) {
  (void)state;
  char *folder = folder_make(), line[1024];
  static const char *const reads[] = {
      "fovea edit " DATA(
          "bert/shards") " --question 'a dog' --read text_encoder.final --do 'zero text_encoder.0.attn.z#1' --check "
                         "100",
      "fovea edit " ITM " --question 'the dog' --read 'contrast.*' --do 'scale vision.0.mlp.out 2' --check 100",
      "fovea edit " VIT " --read head.logits --do 'zero vision.1.attn.z#0' --check 100"};
  for (size_t i = 0; i < 3; i++) {
    snprintf(line, sizeof line, "%s --save %s/%zu.safetensors", reads[i], folder, i);
    program_result r = expect(0, line);
    if (!strstr(r.out, "2 runs recomputed alone: the same bits")) fail_msg("%s\n%s", line, r.out);
    program_release(&r);
  }
  assert_int_equal(folder_count(folder), 3);
  folder_remove(folder);
}

static void test_statuses(void **state) {
  (void)state;
  static const struct {
    const char *line, *says;
    int status;
  } cases[] = {{"fovea ask " VIT " --question hello", "a vit model reads no text", 2},
               {"fovea ask " DATA("vit/shards"), "a picture is missing", 2},
               {"fovea ask " ITM, "a question is missing", 2},
               {"fovea trace " VIT " --target tabby", "is none of the 5 classes", 1},
               {"fovea ask " DATA("bert/legacy") " --question 'a dog'", "a bert model gives no answer", 2},
               {"fovea trace " DATA("bert/legacy") " --question 'a dog'", "a bert model gives no answer", 2},
               {"fovea bench " DATA("bert/legacy") " --question 'a dog'", "a bert model gives no answer", 2},
               {"fovea ask " VIT " --prompt a --prompt b", "a vit model reads one text", 2},
               {"fovea ask " CAPTION " --prompt a --prompt b", "a blip_caption model reads one text", 2},
               {"fovea edit " ITM " --prompt a --from-prompt a --from-prompt b --do 'replace text_encoder.embed'",
                "--from-prompt is given twice", 2},
               {"fovea ask " CLIP, "a question is missing", 2},
               {"fovea ask " DATA("clip/zip") " --prompt a --prompt b", "a picture is missing", 2},
               {"fovea ask " CLIP " --prompt a --prompt ''", "text 1: the question is empty", 1},
               {"fovea ask " CLIP " --prompt a --question b", "exclude each other", 2},
               {"fovea ask " CLIP " --prompt 'a a a a a a a a a a a a a a a a a a a a a a a'",
                "25 tokens; text_encoder has positions for 24", 1},
               {"fovea trace " CLIP " --prompt a --prompt b --target c", "is none of the 2 texts", 1},
               {"fovea trace " CLIP " --prompt a --prompt b --target id:2", "is none of the 2 texts", 1},
               {"fovea trace " CLIP " --prompt a --prompt b --corrupt question:c", "there are 2 texts", 2},
               {"fovea edit " CLIP " --prompt a --do 'zero text_encoder.embed@text[1]'", "no text[1] among 1", 1},
               {"fovea edit " DATA("bert/legacy") " --question 'a dog' --do 'zero text_encoder.embed'",
                "only --read can be asked for", 2}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    program_result r;
    program_run(&(program_options){0}, &r, cases[i].line, vars);
    if (r.status != cases[i].status || r.nout != 0 || !strstr(r.err, cases[i].says))
      fail_msg("%s\nstatus %d, expected %d and \"%s\" in: %s", cases[i].line, r.status, cases[i].status, cases[i].says,
               r.err);
    program_release(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ask),
                                     cmocka_unit_test(test_verify),
                                     cmocka_unit_test(test_small_memory),
                                     cmocka_unit_test(test_trace_defaults),
                                     cmocka_unit_test(test_target_label),
                                     cmocka_unit_test(test_pictures),
                                     cmocka_unit_test(test_pictures_in_experiments),
                                     cmocka_unit_test(test_texts),
                                     cmocka_unit_test(test_edit_reads),
                                     cmocka_unit_test(test_statuses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
