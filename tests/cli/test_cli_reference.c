/* ask, tokens, edit, info and verify, as typed, against what transformers computed (tests/data/blip/... /vectors). */
#include <math.h>

#include "checkpoint/checkpoint.h"
#include "cli/cli_tests.h"
#include "support/vectors.h"

static const char *const folders[] = {"tied", "shards", "zip", "legacy"};
enum { NFOLDERS = 4 };
static const double TOLERANCE = 1e-4; /* of the largest value, as `fovea verify` has it */

static json_t *load(const char *folder, const char *name) {
  char path[512];
  json_error_t detail;
  snprintf(path, sizeof path, FV_TEST_DATA "/blip/%s/vectors/%s", folder, name);
  json_t *j = json_load_file(path, 0, &detail);
  if (!j) fail_msg("%s: %s", path, detail.text);
  return j;
}

/* Runs with $D the folder and the given case's picture and question. */
static json_t *run_json(const char *folder, const json_t *one, const char *line) {
  char dir[512], image[600], question[512];
  snprintf(dir, sizeof dir, FV_TEST_DATA "/blip/%s", folder);
  snprintf(image, sizeof image, "'%s/vectors/%s'", dir, json_string_value(json_object_get(one, "image")));
  snprintf(question, sizeof question, "'%s'", json_string_value(json_object_get(one, "question")));
  const program_variable v[] = {{"D", dir}, {"P", image}, {"Q", question}, {NULL, NULL}};
  program_result r;
  json_error_t detail;
  program_run(&(program_options){0}, &r, line, v);
  if (r.status != 0) fail_msg("%s in %s\nstatus %d: %s", line, folder, r.status, r.err);
  json_t *j = json_loadb(r.out, r.nout, JSON_REJECT_DUPLICATES, &detail);
  if (!j) fail_msg("%s: %s\n%s", line, detail.text, r.out);
  program_release(&r);
  return j;
}

static void equal_json(const json_t *got, const json_t *expected, const char *what) {
  if (json_equal(got, expected)) return;
  char *a = json_dumps(got, JSON_ENCODE_ANY), *b = json_dumps(expected, JSON_ENCODE_ANY);
  fail_msg("%s: found %s, expected %s", what, a, b);
}

/* {"a","b",...} and nothing else. */
static void keys(const json_t *object, const char *list) {
  char found[256] = "";
  const char *key;
  json_t *value;
  assert_true(json_is_object(object));
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    if (found[0]) strcat(found, " ");
    strcat(found, key);
  }
  assert_string_equal(found, list);
}

static void near_json(const json_t *got, const json_t *expected, double tolerance, const char *what) {
  double a = json_number_value(got), b = json_number_value(expected);
  if (!json_is_number(got) || !(fabs(a - b) <= tolerance)) fail_msg("%s: found %.9g, expected %.9g", what, a, b);
}

/* The ids in "rows" of input or tokens: those of one stack. */
static void check_rows(const json_t *rows, const json_t *ids, const json_t *pieces, const char *stack) {
  size_t n = 0, i;
  json_t *row;
  json_array_foreach(rows, i, row) {
    const json_t *where = json_object_get(row, "stack");
    if (where && strcmp(json_string_value(where), stack) != 0) continue;
    assert_int_equal(json_integer_value(json_object_get(row, "row")), n);
    equal_json(json_object_get(row, "id"), json_array_get(ids, n), "id");
    equal_json(json_object_get(row, "piece"), json_array_get(pieces, n), "piece");
    n++;
  }
  assert_int_equal(n, json_array_size(ids));
}

static void test_ask(void **state) {
  (void)state;
  for (int f = 0; f < NFOLDERS; f++) {
    json_t *cases = load(folders[f], "cases.json"), *one;
    size_t i, k;
    json_array_foreach(json_object_get(cases, "cases"), i, one) {
      json_t *j = run_json(folders[f], one, "fovea ask $D --image $P --question $Q --json");
      keys(j, "model input answer top");
      keys(json_object_get(j, "model"), "family sha256");
      assert_string_equal(json_string_value(json_object_get(json_object_get(j, "model"), "family")), "blip_vqa");
      json_t *input = json_object_get(j, "input"), *answer = json_object_get(j, "answer");
      keys(input, "question rows");
      equal_json(json_object_get(input, "question"), json_object_get(one, "question"), "question");
      keys(json_array_get(json_object_get(input, "rows"), 0), "row id piece");
      check_rows(json_object_get(input, "rows"), json_object_get(one, "ids"), json_object_get(one, "pieces"), "");
      keys(answer, "text ids");
      json_t *said = json_object_get(one, "answer");
      if (json_is_true(json_object_get(said, "complete"))) {
        equal_json(json_object_get(answer, "text"), json_object_get(said, "text"), "answer.text");
        equal_json(json_object_get(answer, "ids"), json_object_get(said, "ids"), "answer.ids");
      }
      json_t *top = json_object_get(j, "top"), *expected = json_object_get(one, "top"), *line;
      assert_int_equal(json_array_size(top), 10);
      double largest = json_number_value(json_object_get(json_array_get(expected, 0), "logit"));
      json_array_foreach(expected, k, line) {
        json_t *got = json_array_get(top, k);
        keys(got, "id piece logit prob");
        equal_json(json_object_get(got, "id"), json_object_get(line, "id"), "top.id");
        equal_json(json_object_get(got, "piece"), json_object_get(line, "piece"), "top.piece");
        near_json(json_object_get(got, "logit"), json_object_get(line, "logit"), TOLERANCE * largest, "top.logit");
        near_json(json_object_get(got, "prob"), json_object_get(line, "prob"), TOLERANCE, "top.prob");
      }
      json_decref(j);
    }
    json_decref(cases);
  }
}

static void test_tokens(void **state) {
  (void)state;
  for (int f = 0; f < NFOLDERS; f++) {
    json_t *cases = load(folders[f], "cases.json"), *one;
    size_t i;
    json_array_foreach(json_object_get(cases, "cases"), i, one) {
      json_t *j = run_json(folders[f], one, "fovea tokens $D --image $P --question $Q --json");
      keys(j, "ids rows image");
      equal_json(json_object_get(j, "ids"), json_object_get(one, "ids"), "ids");
      keys(json_array_get(json_object_get(j, "rows"), 0), "row stack id piece name");
      check_rows(json_object_get(j, "rows"), json_object_get(one, "ids"), json_object_get(one, "pieces"),
                 "text_encoder");
      json_t *image = json_object_get(j, "image"), *grid = json_object_get(image, "grid");
      keys(image, "grid rows");
      json_int_t down = json_integer_value(json_array_get(grid, 0)),
                 across = json_integer_value(json_array_get(grid, 1));
      json_int_t first = json_integer_value(json_array_get(json_object_get(image, "rows"), 0)),
                 last = json_integer_value(json_array_get(json_object_get(image, "rows"), 1));
      assert_int_equal(first, 1); /* behind the class row */
      assert_int_equal(last - first + 1, down * across);
      char name[48];
      snprintf(name, sizeof name, "image[%d,%d]", (int)(down - 1), 1);
      json_t *row = json_array_get(json_object_get(j, "rows"), (size_t)(first + (down - 1) * across + 1));
      assert_string_equal(json_string_value(json_object_get(row, "name")), name);
      json_decref(j);
      j = run_json(folders[f], one, "fovea tokens $D --question $Q --json");
      assert_true(json_is_null(json_object_get(j, "image")));
      json_decref(j);
    }
    json_decref(cases);
  }
}

/* Random interventions that were done with hooks in transformers: logits of the edited run. */
static void test_edit(void **state) {
  (void)state;
  double worst = 0.0;
  for (int f = 0; f < NFOLDERS; f++) {
    char path[512], line[16384];
    json_t *cases = load(folders[f], "cases.json"), *list = load(folders[f], "interventions.json"), *one, *edit;
    fv_checkpoint *logits = NULL;
    snprintf(path, sizeof path, FV_TEST_DATA "/blip/%s/vectors", folders[f]);
    char file[600];
    snprintf(file, sizeof file, "%s/interventions.safetensors", path);
    OK(fv_checkpoint_open_file(file, &logits, ERR));
    size_t i, k;
    json_array_foreach(list, i, one) {
      if (i % 5 != (size_t)f) continue; /* tests/engine/test_blip.c has them all */
      int image = (int)json_integer_value(json_object_get(one, "image")),
          question = (int)json_integer_value(json_object_get(one, "question"));
      const json_t *first =
          json_object_get(json_array_get(json_object_get(cases, "cases"), (size_t)question), "question");
      int n = snprintf(line, sizeof line,
                       "fovea edit .. --json --in-order --top 100000 --image image%d.png --question '%s' --seed %lld",
                       image, json_string_value(first), (long long)json_integer_value(json_object_get(one, "seed")));
      json_array_foreach(json_object_get(one, "do"), k, edit) n +=
          snprintf(line + n, sizeof line - (size_t)n, " --do '%s'", json_string_value(edit));
      if (json_object_get(one, "source_image")) {
        int from = (int)json_integer_value(json_object_get(one, "source_image")),
            asked = (int)json_integer_value(json_object_get(one, "source_question"));
        const json_t *other =
            json_object_get(json_array_get(json_object_get(cases, "cases"), (size_t)asked), "question");
        snprintf(line + n, sizeof line - (size_t)n, " --from-image image%d.png --from-question '%s'", from,
                 json_string_value(other));
      }
      program_result r;
      json_error_t detail;
      program_run(&(program_options){.folder = path}, &r, line, NULL);
      if (r.status) fail_msg("%s\nstatus %d: %s", line, r.status, r.err);
      json_t *j = json_loadb(r.out, r.nout, 0, &detail), *entry;
      keys(j, "base edit");
      keys(json_object_get(j, "edit"), "answer top");
      json_t *top = json_object_get(json_object_get(j, "edit"), "top");
      const fv_tensor *expected = fv_checkpoint_find(logits, json_string_value(json_object_get(one, "logits")));
      assert_non_null(expected);
      assert_int_equal(json_array_size(top), expected->count);
      float *a = calloc((size_t)expected->count, sizeof *a), *b = calloc((size_t)expected->count, sizeof *b);
      OK(fv_tensor_read_f32(expected, 0, expected->count, b, ERR));
      json_array_foreach(top, k, entry) a[json_integer_value(json_object_get(entry, "id"))] =
          (float)json_number_value(json_object_get(entry, "logit"));
      double d = relative_difference(a, b, expected->count);
      if (d > worst) worst = d;
      if (!(d <= TOLERANCE)) fail_msg("%s\nlogits differ by %.3g", line, d);
      free(a), free(b);
      json_decref(j);
      program_release(&r);
    }
    fv_checkpoint_close(logits);
    json_decref(cases), json_decref(list);
  }
  print_message("largest difference %.2g\n", worst);
}

/* Every site of a run in one file: names, shapes and values are the reference's. */
static void test_read(void **state) {
  (void)state;
  char *folder = folder_make(), path[600];
  fv_checkpoint *got = NULL, *expected = NULL;
  program_result r = expect_with(&(program_options){.folder = folder}, 0,
                                 "fovea edit $M $I $Q --read *.*.* --read *.* --save all.safetensors");
  program_release(&r);
  snprintf(path, sizeof path, "%s/all.safetensors", folder);
  OK(fv_checkpoint_open_file(path, &got, ERR));
  OK(fv_checkpoint_open_file(MODEL "/vectors/image0-question0.safetensors", &expected, ERR));
  for (size_t i = 0; i < fv_checkpoint_count(expected); i++) {
    const fv_tensor *want = fv_checkpoint_at(expected, i);
    snprintf(path, sizeof path, "base/%s", want->name);
    const fv_tensor *have = fv_checkpoint_find(got, path);
    if (!have) fail_msg("%s was not saved", path);
    assert_int_equal(have->dtype, FV_DTYPE_F32);
    char a[64], b[64];
    fv_shape_text(have->rank, have->shape, a, sizeof a), fv_shape_text(want->rank, want->shape, b, sizeof b);
    if (strcmp(a, b) != 0) fail_msg("%s has shape %s, expected %s", path, a, b);
    float *x = calloc((size_t)want->count, sizeof *x), *y = calloc((size_t)want->count, sizeof *y);
    OK(fv_tensor_read_f32(want, 0, want->count, y, ERR));
    memcpy(x, have->data, (size_t)want->count * sizeof *x); /* masked scores are -inf */
    double d = relative_difference(x, y, want->count);
    if (!(d <= TOLERANCE)) fail_msg("%s differs by %.3g", path, d);
    free(x), free(y);
  }
  program_result sites = expect(0, "fovea info $M --sites");
  size_t lines = 0;
  for (const char *s = sites.out; (s = strchr(s, '\n')); s++) lines++;
  assert_int_equal(lines, fv_checkpoint_count(got));
  program_release(&sites);
  fv_checkpoint_close(got), fv_checkpoint_close(expected);
  folder_remove(folder);
}

/* Selections: the name says what was typed, the rank stays, and the numbers are that part of the whole. */
static void test_read_selections(void **state) {
  (void)state;
  static const struct {
    const char *read, *name;
    int rank;
    int64_t shape[3], first; /* first: place of its first number in the whole */
  } reads[] = {
      {"vision.pixels", "vision.pixels", 3, {3, 40, 40}, 0},
      {"text_encoder.1.attn.scores", "text_encoder.1.attn.scores", 3, {5, 8, 8}, 0},
      {"text_encoder.1.cross.pattern#2@1", "text_encoder.1.cross.pattern#2@1", 3, {1, 1, 26}, (2 * 8 + 1) * 26},
      {"text_encoder.1.attn.z#3@2-4", "text_encoder.1.attn.z#3@2-4", 3, {3, 1, 7}, 2 * 35 + 21},
      {"text_encoder.-1.attn.z@-1", "text_encoder.1.attn.z@-1", 3, {1, 5, 7}, 7 * 35},
      {"text_encoder.1.cross.k#4@\"shirt\"", NULL, 0, {0}, 0},
      {"text_encoder.0.resid_post@\"shirt\"", "text_encoder.0.resid_post@\"shirt\"", 2, {1, 35}, 5 * 35},
      {"text_encoder.0.resid_post@last:3-9", "text_encoder.0.resid_post@last:3-9", 2, {1, 7}, 7 * 35 + 3},
      {"vision.0.resid_post@image[1,2]", "vision.0.resid_post@image[1,2]", 2, {1, 35}, 8 * 35},
      {"vision.0.resid_post@cls", "vision.0.resid_post@cls", 2, {1, 35}, 0},
      {"head.logits", "head.logits", 1, {166}, 0},
      {"text_encoder.encoder.layer.1.output", "text_encoder.1.resid_post", 2, {8, 35}, 0},
      {"text_encoder.0.crossattention_block#1", "text_encoder.0.cross.z#1", 3, {8, 1, 7}, 7},
  };
  char *folder = folder_make(), path[600], line[600];
  fv_checkpoint *whole = NULL;
  OK(fv_checkpoint_open_file(MODEL "/vectors/image0-question0.safetensors", &whole, ERR));
  for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
    snprintf(line, sizeof line, "fovea edit $M $I $Q --read '%s' --save one.safetensors", reads[i].read);
    program_result r = expect_with(&(program_options){.folder = folder}, reads[i].name ? 0 : 1, line);
    program_release(&r);
    if (!reads[i].name) continue;
    fv_checkpoint *got = NULL;
    snprintf(path, sizeof path, "%s/one.safetensors", folder);
    OK(fv_checkpoint_open_file(path, &got, ERR));
    assert_int_equal(fv_checkpoint_count(got), 1);
    const fv_tensor *have = fv_checkpoint_at(got, 0);
    snprintf(line, sizeof line, "base/%s", reads[i].name);
    assert_string_equal(have->name, line);
    assert_int_equal(have->rank, reads[i].rank);
    for (int d = 0; d < have->rank; d++) assert_int_equal(have->shape[d], reads[i].shape[d]);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(reads[i].name, "#@:"), reads[i].name);
    const fv_tensor *want = fv_checkpoint_find(whole, line);
    if (!want) fail_msg("the reference has no %s", line);
    float a, b;
    OK(fv_tensor_read_f32(have, 0, 1, &a, ERR));
    OK(fv_tensor_read_f32(want, reads[i].first, 1, &b, ERR));
    if (!(fabsf(a - b) <= 1e-3f)) fail_msg("%s begins with %g, expected %g", reads[i].name, (double)a, (double)b);
    fv_checkpoint_close(got);
  }
  fv_checkpoint_close(whole);
  folder_remove(folder);
}

/* Both runs are saved when there is an edit; a picture alone is enough for the vision tower. */
static void test_read_runs(void **state) {
  (void)state;
  char *folder = folder_make(), path[600];
  program_options o = {.folder = folder};
  fv_checkpoint *got = NULL;
  float a[2], b[2];
  program_result r = expect_with(&o, 0,
                                 "fovea edit $M $I $Q --do 'scale text_encoder.0.mlp.out@1 2' "
                                 "--read text_encoder.0.mlp.out --save a.safetensors");
  program_release(&r);
  snprintf(path, sizeof path, "%s/a.safetensors", folder);
  OK(fv_checkpoint_open_file(path, &got, ERR));
  assert_int_equal(fv_checkpoint_count(got), 2);
  const fv_tensor *base = fv_checkpoint_find(got, "base/text_encoder.0.mlp.out"),
                  *edit = fv_checkpoint_find(got, "edit/text_encoder.0.mlp.out");
  assert_non_null(base), assert_non_null(edit);
  for (int row = 0; row < 2; row++) {
    OK(fv_tensor_read_f32(base, row * 35 + 3, 1, &a[row], ERR));
    OK(fv_tensor_read_f32(edit, row * 35 + 3, 1, &b[row], ERR));
  }
  assert_true(a[0] == b[0] && b[1] == 2.0f * a[1]);
  fv_checkpoint_close(got);
  r = expect_with(&o, 0, "fovea edit $M $I --read vision.*.resid_post --save b.safetensors --json");
  assert_string_equal(r.out, "{\"saved\":[\"base/vision.0.resid_post\",\"base/vision.1.resid_post\"]}\n");
  program_release(&r);
  r = expect_with(&o, 1, "fovea edit $M $I --read text_encoder.0.attn.z --save c.safetensors");
  program_release(&r);
  assert_int_equal(folder_count(folder), 2);
  folder_remove(folder);
}

static void test_verify(void **state) {
  (void)state;
  for (int f = 0; f < NFOLDERS; f++) {
    char dir[512];
    snprintf(dir, sizeof dir, FV_TEST_DATA "/blip/%s", folders[f]);
    const program_variable v[] = {{"D", dir}, {NULL, NULL}};
    program_result r;
    program_run(&(program_options){0}, &r, "fovea verify $D --vectors $D/vectors", v);
    if (r.status) fail_msg("%s: %s", dir, r.err);
    assert_non_null(strstr(r.out, ", 0 outside 0.0001;"));
    program_release(&r);
    program_run(&(program_options){0}, &r, "fovea verify $D --vectors $D/vectors --tolerance 0", v);
    assert_int_equal(r.status, 1);
    assert_int_equal(r.nout, 0);
    assert_non_null(strstr(r.err, "comparisons failed; the first: image0-question0"));
    program_release(&r);
  }
}

/* A site is known by the names of other tools, and fovea says which it is. */
static void test_aliases(void **state) {
  (void)state;
  static const char *const names[][3] = {
      {"text_encoder.encoder.layer.1.attention.self", "text_encoder.1.attn.z", "transformers"},
      {"text_encoder.encoder.layer.1.crossattention.self", "text_encoder.1.cross.z", "transformers"},
      {"text_encoder.encoder.layer.*.output", "text_encoder.*.resid_post", "transformers"},
      {"text_encoder.encoder.layer.0", "text_encoder.0.resid_post", "transformers"},
      {"text_decoder.bert.encoder.layer.1.crossattention.output", "text_decoder.1.resid_cross", "transformers"},
      {"vision_model.encoder.layers.0-1.self_attn", "vision.0-1.attn.out", "transformers"},
      {"vision_model.encoder.layers.1", "vision.1.resid_post", "transformers"},
      {"text_encoder.1.block_output", "text_encoder.1.resid_post", "pyvene"},
      {"text_encoder.1.mlp_output", "text_encoder.1.resid_post", "pyvene"},
      {"text_encoder.1.head_attention_value_output", "text_encoder.1.attn.z", "pyvene"},
      {"text_encoder.1.attention_block", "text_encoder.1.attn.z", "NOTICE"},
      {"text_encoder.1.crossattention_block", "text_encoder.1.cross.z", "NOTICE"},
      {"text_encoder.1.crossattention_layernorm", "text_encoder.1.resid_cross", "NOTICE"},
      {"text_encoder.1.output", "text_encoder.1.resid_post", "NOTICE"},
      {"text_encoder.1.attention", "text_encoder.1.resid_mid", "NOTICE"},
      {"text_encoder.1.crossattention", "text_encoder.1.resid_cross", "NOTICE"},
      {"text_encoder.1.intermediate", "text_encoder.1.mlp.post", "NOTICE"},
  };
  char line[512], said[512];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(line, sizeof line, "fovea edit $M $I $Q --json --do 'scale %s 1.5'", names[i][1]);
    program_result own = expect(0, line);
    assert_string_equal(own.err, "");
    snprintf(line, sizeof line, "fovea edit $M $I $Q --json --do 'scale %s 1.5'", names[i][0]);
    program_result other = expect(0, line);
    assert_string_equal(own.out, other.out);
    snprintf(said, sizeof said, "fovea: %s is %s (%s)\n", names[i][0], names[i][1], names[i][2]);
    assert_string_equal(other.err, said);
    program_release(&own), program_release(&other);
  }
  program_result r = expect(0,
                            "fovea edit $M $I $Q --do 'replace text_encoder.1.attention_block#0@1 from "
                            "text_encoder.encoder.layer.0.attention.self#1@\"shirt\"' --json");
  assert_string_equal(r.err,
                      "fovea: text_encoder.1.attention_block is text_encoder.1.attn.z (NOTICE)\n"
                      "fovea: text_encoder.encoder.layer.0.attention.self is text_encoder.0.attn.z "
                      "(transformers)\n");
  program_release(&r);
  r = expect(1, "fovea edit $M $I $Q --do 'zero text_encoder.1.mlp_nonsense'");
  program_release(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ask),    cmocka_unit_test(test_tokens),          cmocka_unit_test(test_edit),
      cmocka_unit_test(test_read),   cmocka_unit_test(test_read_selections), cmocka_unit_test(test_read_runs),
      cmocka_unit_test(test_verify), cmocka_unit_test(test_aliases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
