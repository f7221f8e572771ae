/* fovea circuit: the planted head is found, alone, by every way of typing it; and what is refused. */
#include <math.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "fovea/store.h"
#include "support/planted_study.h"
#include "support/scratch.h"

enum { N = 24, LAYER = 1, HEAD = 2 };
static tiny_blip planted;

static int setup(void **state) {
  (void)state;
  planted_blip_new(LAYER, HEAD, &planted);
  planted_study_new(&planted, "own.db", N, false, false);
  planted_study_new(&planted, "shuffled.db", N, true, false);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  planted_study_remove("own.db", N);
  planted_study_remove("shuffled.db", N);
  tiny_blip_release(&planted);
  return 0;
}

static const json_t *study(const json_t *all, size_t i) { return json_array_get(json_object_get(all, "studies"), i); }
static const json_t *head(const json_t *one, int layer, int h) {
  return json_array_get(json_object_get(one, "heads"), (size_t)(layer * PLANTED_HEADS + h));
}
static double number(const json_t *j, const char *key) {
  const json_t *v = json_object_get(j, key);
  return json_is_null(v) ? NAN : json_number_value(v);
}
static void expect_list(const json_t *list, const char *only) {
  assert_int_equal(json_array_size(list), only != NULL);
  if (only) assert_string_equal(json_string_value(json_array_get(list, 0)), only);
}

/* The circuit is L1H2, whatever counts and wherever; with shuffled answers nothing is. */
static void test_found(void **state) {
  (void)state;
  static const struct {
    const char *options;
    int samples, dropped;
  } cases[] = {{"", N, 0},
               {"--rows max --metric logit_diff --seed 7", N, 0},
               {"--rows answer", 20, 4},
               {"--metric effect --test sign", N, 0},
               {"--metric p_diff --test none --bootstrap 0", N, 0},
               {"--sweep heads --site 'text_encoder.*.cross.z' --rows '\"red\"' --fdr 0.01", N, 0},
               {"--group cat --threshold 1", N / 2, 0},
               {"--rows answer --nan-zero", 20, 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[256];
    snprintf(line, sizeof line, "fovea circuit own.db --json %s", cases[i].options);
    json_t *all = expect_json(line);
    const json_t *one = study(all, 0);
    expect_list(json_object_get(one, "circuit"), "L1H2");
    if (number(one, "samples") != cases[i].samples || number(one, "dropped") != cases[i].dropped)
      fail_msg("%s: %g samples, %g dropped", line, number(one, "samples"), number(one, "dropped"));
    for (int k = 0; k < PLANTED_LAYERS * PLANTED_HEADS; k++) {
      const json_t *h = head(one, k / PLANTED_HEADS, k % PLANTED_HEADS);
      bool is = k == LAYER * PLANTED_HEADS + HEAD;
      assert_true(is ? number(h, "importance") > 0.0 : number(h, "importance") == 0.0);
      assert_int_equal(json_is_true(json_object_get(h, "circuit")), is);
      if (is && !strstr(line, "--bootstrap 0"))
        assert_true(number(h, "low") <= number(h, "importance") && number(h, "high") >= number(h, "importance"));
      if (!strstr(line, "none")) assert_true(is ? number(h, "q") < 0.01 : number(h, "p") == 1.0);
    }
    json_decref(all);
  }
  json_t *all = expect_json("fovea circuit shuffled.db --json");
  expect_list(json_object_get(study(all, 0), "circuit"), NULL);
  assert_true(json_is_true(json_object_get(head(study(all, 0), LAYER, HEAD), "above")));
  json_decref(all);
}

static void test_common(void **state) {
  (void)state;
  json_t *all = expect_json("fovea circuit own.db --by-group --json");
  assert_int_equal(json_array_size(json_object_get(all, "studies")), 2);
  assert_string_equal(json_string_value(json_object_get(study(all, 1), "group")), "dog");
  const json_t *common = json_object_get(all, "common");
  expect_list(json_object_get(common, "heads"), "L1H2");
  assert_true(number(common, "population") == 9.0);
  assert_true(fabs(number(common, "p") - 1.0 / 9) < 1e-7 && fabs(number(common, "expected") - 1.0 / 9) < 1e-7);
  json_decref(all);
  all = expect_json("fovea circuit own.db shuffled.db own.db --json");
  assert_int_equal(json_array_size(json_object_get(all, "studies")), 3);
  expect_list(json_object_get(json_object_get(all, "common"), "heads"), NULL);
  assert_true(number(json_object_get(all, "common"), "p") == 1.0);
  json_decref(all);
  program_result r = expect(0, "fovea circuit own.db own.db");
  assert_non_null(strstr(r.out, "in all 2 circuits: L1H2\n1 of 9 heads; 0.111 expected by chance"));
  assert_null(strstr(r.out, "different models"));
  program_release(&r);
  size_t n;
  fv_store *store;
  char *bytes = file_text("own.db", &n);
  file_write("other.db", bytes, n);
  free(bytes);
  assert_int_equal(fv_store_open("other.db", FV_STORE_WRITE, &store, NULL), FV_OK);
  assert_int_equal(fv_store_manifest_set(store, "model_sha256", "00", NULL), FV_OK);
  fv_store_close(store);
  r = expect(0, "fovea circuit own.db other.db");
  assert_non_null(strstr(r.out, "note: the studies are of different models\n"));
  program_release(&r);
  unlink("other.db");
}

static void test_table(void **state) {
  (void)state;
  program_result r = expect(0, "fovea circuit own.db --csv -");
  static const char header[] =
      "study,group,stack,site,layer,head,samples,excluded,importance,low,high,mean,p,q,above,significant,circuit\n";
  assert_memory_equal(r.out, header, sizeof header - 1);
  size_t lines = 0;
  for (const char *p = r.out; (p = strchr(p, '\n')); p++) lines++;
  assert_int_equal(lines, 1 + 9);
  assert_non_null(strstr(r.out, "\nown.db,,text_encoder,cross.z,0,1,24,0,0,0,0,0,1,1,0,0,0\n"));
  assert_non_null(strstr(r.out, "\nown.db,,text_encoder,cross.z,1,2,24,0,"));
  program_release(&r);
  r = expect(0, "fovea circuit own.db --plot circuit.png --csv circuit.csv --show always");
  assert_non_null(strstr(r.out, "circuit   L1H2\n"));
  assert_non_null(strstr(r.out, "threshold "));
  program_release(&r);
  assert_int_equal(access("circuit.png", R_OK), 0);
  assert_int_equal(access("circuit.csv", R_OK), 0);
  unlink("circuit.png"), unlink("circuit.csv");
  r = expect(0, "fovea circuit own.db --permutations 50 --minmax --plot circuit.svg");
  assert_non_null(strstr(r.out, "note: with 50 permutations no p is below 0.02"));
  program_release(&r);
  unlink("circuit.svg");
  program_result a = expect(0, "fovea circuit own.db --json"), b = expect(0, "fovea circuit own.db --json");
  assert_string_equal(a.out, b.out);
  program_release(&a), program_release(&b);
}

/* The table says which sweep a line is of exactly where a study has several and none is named. */
static void test_several_sweeps(void **state) {
  (void)state;
  static const char header[] = ",above,significant,circuit,sweep\n";
  char line[512];
  size_t n;
  char *copy = file_text("own.db", &n);
  file_write("several.db", copy, n);
  free(copy);
  snprintf(line, sizeof line,
           "fovea patch %s --image own.db-0.ppm --corrupt-image own.db-2.ppm --question 'is the cat red' --correct red "
           "--incorrect blue --site 'text_encoder.*.attn.z' --db several.db",
           planted.dir);
  program_result r = expect(0, line);
  program_release(&r);
  r = expect(0, "fovea circuit several.db --csv -");
  assert_non_null(strstr(r.out, header));
  assert_non_null(strstr(r.out, "\nseveral.db,,text_encoder,cross.z,0,1,24,0,0,0,0,0,1,1,0,0,0,heads\n"));
  program_release(&r);
  r = expect(0, "fovea circuit own.db several.db --csv -");
  assert_non_null(strstr(r.out, header));
  assert_non_null(strstr(r.out, "\nown.db,,text_encoder,cross.z,0,1,24,0,0,0,0,0,1,1,0,0,0,heads\n"));
  program_release(&r);
  r = expect(0, "fovea circuit several.db --sweep heads --csv -");
  assert_null(strstr(r.out, ",sweep"));
  assert_non_null(strstr(r.out, "\nseveral.db,,text_encoder,cross.z,0,1,24,0,0,0,0,0,1,1,0,0,0\n"));
  program_release(&r);
  database_remove("several.db");
}

/* NOTICE's mean over two samples, one of which has a pair of answers that is one to the model: the other's number,
 * halved. By default that sample is left out as a whole. */
static float importance(const char *db, const char *options, int samples, int missing) {
  char line[256];
  snprintf(line, sizeof line, "fovea circuit %s --test none --bootstrap 0 --json %s", db, options);
  json_t *all = expect_json(line);
  const json_t *h = head(study(all, 0), LAYER, HEAD);
  assert_int_equal(json_array_size(json_object_get(study(all, 0), "heads")), PLANTED_LAYERS * PLANTED_HEADS);
  if (number(h, "samples") != samples || number(h, "excluded") != missing)
    fail_msg("%s: %g samples, %g missing", line, number(h, "samples"), number(h, "excluded"));
  float found = (float)number(h, "importance");
  json_decref(all);
  return found;
}

static void test_degenerate(void **state) {
  (void)state;
  for (int keep = 0; keep < 2; keep++) {
    char text[1024], *line = keep ? "fovea run keep.yaml" : "fovea run leave.yaml";
    snprintf(
        text, sizeof text,
        "model: %s\nkeep_degenerate: %s\nsamples:\n"
        "  - {image: own.db-0.ppm, corrupt_image: own.db-2.ppm, question: is it red, correct: red, incorrect: blue}\n"
        "  - {image: own.db-0.ppm, corrupt_image: own.db-2.ppm, question: is it red, correct: red, incorrect: red}\n"
        "sweeps:\n  - {name: heads, kind: patch, site: text_encoder.*.cross.z, heads: each, corrupt: image}\n",
        planted.dir, keep ? "true" : "false");
    file_write(keep ? "keep.yaml" : "leave.yaml", text, strlen(text));
    program_result r = expect(0, line);
    assert_non_null(strstr(r.out, keep ? "2 of 2: 2 done, 0 excluded" : "2 of 2: 1 done, 1 excluded"));
    program_release(&r);
  }
  float effect = importance("leave.db", "--metric effect", 1, 0), diff = importance("leave.db", "", 1, 0);
  assert_true(effect > 0.0f && diff > 0.0f);
  assert_true(importance("keep.db", "--metric effect", 1, 1) == effect);
  assert_true(importance("keep.db", "--metric effect --nan-zero", 2, 0) == effect / 2.0f);
  assert_true(importance("keep.db", "", 2, 0) == diff / 2.0f);
  database_remove("keep.db"), database_remove("leave.db");
  unlink("keep.yaml"), unlink("leave.yaml");
}

/* A head's number is of windows around its layer where the sweep patched such. */
static void test_window(void **state) {
  (void)state;
  char text[1024];
  snprintf(
      text, sizeof text,
      "model: %s\nsamples:\n"
      "  - {image: own.db-0.ppm, corrupt_image: own.db-2.ppm, question: is it red, correct: red, incorrect: blue}\n"
      "sweeps:\n  - {kind: patch, site: text_encoder.*.cross.z, heads: each, corrupt: image, window: 3}\n",
      planted.dir);
  file_write("wide.yaml", text, strlen(text));
  program_result r = expect(0, "fovea run wide.yaml");
  program_release(&r);
  r = expect(0, "fovea circuit wide.db --test none");
  assert_non_null(strstr(r.out, "1 sample, windows of 3 layers\n"));
  program_release(&r);
  json_t *all = expect_json("fovea circuit wide.db --test none --json");
  assert_true(number(study(all, 0), "window") == 3.0);
  json_decref(all);
  r = expect(2, "fovea circuit wide.db --test none --threshold -9 --confirm");
  assert_non_null(strstr(r.err, "patched windows of 3 layers"));
  program_release(&r);
  database_remove("wide.db");
  unlink("wide.yaml");
}

static void test_confirm(void **state) {
  (void)state;
  char line[512];
  json_t *all = expect_json("fovea circuit own.db --confirm --random 7 --json");
  const json_t *c = json_object_get(all, "confirm");
  assert_true(number(json_object_get(c, "clean"), "accuracy") == 1.0);
  assert_true(number(json_object_get(c, "circuit"), "accuracy") <= 0.5);
  assert_true(number(json_object_get(c, "random"), "accuracy") == 1.0);
  assert_int_equal(json_array_size(json_object_get(c, "sets")), 7);
  assert_true(number(c, "p") == 0.125);
  json_decref(all);
  snprintf(line, sizeof line, "fovea circuit own.db --confirm --model %s --ablation zero --same-layers", planted.dir);
  program_result r = expect(0, line);
  assert_non_null(strstr(r.out, "right answers of 24 samples, zero ablation\n"));
  assert_non_null(strstr(r.out, "without the circuit             0.0 %   0.0 .. 13.8\n"));
  program_release(&r);
  r = expect(1, "fovea circuit shuffled.db --confirm");
  assert_non_null(strstr(r.err, "no head to switch off"));
  program_release(&r);
  snprintf(line, sizeof line, "fovea circuit own.db --confirm --model %s", MODEL);
  r = expect(1, line);
  assert_non_null(strstr(r.err, "not those of the study"));
  program_release(&r);
  assert_int_equal(rename("own.db-3.ppm", "moved.ppm"), 0); /* one picture less */
  all = expect_json("fovea circuit own.db --confirm --json");
  assert_true(number(json_object_get(all, "confirm"), "excluded") == 1.0);
  json_decref(all);
  planted_picture("own.db-3.ppm", 200, 0, 0); /* and another in its place */
  r = expect(1, "fovea circuit own.db --confirm");
  assert_non_null(strstr(r.err, "is not the picture that the study was made with"));
  program_release(&r);
  assert_int_equal(rename("moved.ppm", "own.db-3.ppm"), 0);
}

static void test_refused(void **state) {
  (void)state;
  static const refusal cases[] = {
      {2, "fovea circuit", "fovea circuit DB"},
      {1, "fovea circuit none.db", "none.db"},
      {1, "fovea circuit $M/config.json", "config.json"},
      {1, "fovea circuit own.db --sweep other", "there are: heads"},
      {1, "fovea circuit own.db --site vision.attn.z", "at vision.attn.z"},
      {1, "fovea circuit own.db --group bird", "bird"},
      {1, "fovea circuit own.db --rows purple", "purple"},
      {2, "fovea circuit own.db --rows max --row-offset -1", "answer"},
      {2, "fovea circuit own.db --fdr 0", "--fdr"},
      {2, "fovea circuit own.db --seed -1", "--seed"},
      {2, "fovea circuit own.db --test t", "permutation|sign|none"},
      {2, "fovea circuit own.db --metric kl", "logit_diff"},
      {2, "fovea circuit own.db --by-group --group cat", "exclude each other"},
      {2, "fovea circuit own.db --model x", "--confirm"},
      {2, "fovea circuit own.db --random 5", "belong to --confirm"},
      {2, "fovea circuit own.db --ablation mean", "belong to --confirm"},
      {2, "fovea circuit own.db --images .", "belong to --confirm"},
      {2, "fovea circuit own.db --rows last --substring-match", "belong to --rows answer"},
      {1, "fovea circuit own.db --rows answer --row-offset 99", "none of the 24 samples has its correct answer"},
      {2, "fovea circuit own.db own.db --confirm", "one database"},
      {2, "fovea circuit own.db --json --csv -", "standard output"},
      {2, "fovea circuit own.db --plot a.gif", ".png"},
      {2, "fovea circuit own.db --minmax --vmin 0", "--minmax"},
      {2, "fovea circuit own.db --csv own.db", "own.db"},
      {1, "fovea circuit own.db --confirm --images no/such/folder", "no sample can be used"},
  };
  expect_refusals(cases, sizeof cases / sizeof *cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_found),      cmocka_unit_test(test_common),
                                     cmocka_unit_test(test_table),      cmocka_unit_test(test_several_sweeps),
                                     cmocka_unit_test(test_degenerate), cmocka_unit_test(test_window),
                                     cmocka_unit_test(test_confirm),    cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
