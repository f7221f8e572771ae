/* fovea patch: its table against fovea edit and against itself, its other outputs, and how it refuses. */
#include <math.h>

#include "cli/sheet.h"

/* $P: the command, on the tiny model, between two pictures. */
#define PATCH "fovea patch $M $I $Q --corrupt-image $V/image1.png --correct playing --incorrect id:70 "

static sheet patch(const char *options) {
  char line[1024];
  sheet t;
  snprintf(line, sizeof line, PATCH "%s --csv -", options);
  program_result r = expect(0, line);
  sheet_parse(&t, r.out);
  program_release(&r);
  return t;
}

static bool empty_at(const sheet *t, size_t row, const char *column) { return text_at(t, row, column)[0] == '\0'; }

/* ---- the table ---- */

/* Order: site, layer, row, head; which cells are filled. */
static void test_order(void **state) {
  (void)state;
  static const char *const sites[] = {"cross.z", "attn.z"};
  sheet t = patch("--site text_encoder.*.cross.z --site text_encoder.*.attn.z --heads each");
  assert_int_equal(t.count, 2 * 2 * 8 * 5);
  size_t i = 0;
  for (int s = 0; s < 2; s++)
    for (int layer = 0; layer < 2; layer++)
      for (int row = 0; row < 8; row++)
        for (int head = 0; head < 5; head++, i++) {
          assert_string_equal(text_at(&t, i, "site"), sites[s]);
          assert_string_equal(text_at(&t, i, "stack"), "text_encoder");
          assert_int_equal(whole_at(&t, i, "layer"), layer);
          assert_int_equal(whole_at(&t, i, "row"), row);
          assert_int_equal(whole_at(&t, i, "head"), head);
          assert_int_equal(whole_at(&t, i, "window"), 1);
          assert_int_equal(whole_at(&t, i, "draw"), 0);
          assert_string_equal(text_at(&t, i, "op"), "replace");
          assert_string_equal(text_at(&t, i, "corrupt"), "image:" MODEL "/vectors/image1.png");
          assert_string_equal(text_at(&t, i, "answer"), "playing");
          assert_int_equal(whole_at(&t, i, "answer_id"), 149);
          assert_true(empty_at(&t, i, "sample") && empty_at(&t, i, "from") && empty_at(&t, i, "to"));
        }
  assert_string_equal(text_at(&t, 5 * 5, "piece"), "shirt");
  sheet_free(&t);
  t = patch("--site text_encoder.*.cross.z --heads 2,0 --layers 1 --rows -1,3 --window 2");
  assert_int_equal(t.count, 2);
  assert_true(whole_at(&t, 0, "row") == 3 && whole_at(&t, 1, "row") == 7); /* sorted, whatever the list's order */
  assert_true(empty_at(&t, 0, "head") && whole_at(&t, 0, "window") == 2 && whole_at(&t, 0, "layer") == 1);
  sheet_free(&t);
}

/* What the columns say of each other. */
static void test_metrics(void **state) {
  (void)state;
  static const char *const ways[] = {"denoise", "noise"};
  for (int w = 0; w < 2; w++) {
    char options[128];
    snprintf(options, sizeof options, "--site text_encoder.*.resid_post --direction %s", ways[w]);
    sheet t = patch(options);
    assert_int_equal(t.count, 16);
    for (size_t i = 0; i < t.count; i++) {
      double LD = number_at(&t, i, "logit_diff"), clean = number_at(&t, i, "clean_logit_diff"),
             corrupt = number_at(&t, i, "corrupt_logit_diff"), from = w ? clean : corrupt, to = w ? corrupt : clean;
      assert_true(number_at(&t, i, "effect") == (float)((LD - from) / (to - from)));
      assert_true(number_at(&t, i, "p_diff") == number_at(&t, i, "prob") - number_at(&t, i, "corrupt_prob"));
      assert_true(number_at(&t, i, "kl") >= 0.0f && whole_at(&t, i, "rank") >= 0);
    }
    sheet_free(&t);
  }
}

/* The probability of an id in one top list of `fovea edit`. */
static double prob_of(const json_t *side, int id, double *logit) {
  size_t i;
  json_t *entry;
  json_array_foreach(json_object_get(side, "top"), i,
                     entry) if (json_integer_value(json_object_get(entry, "id")) ==
                                id) return *logit = json_number_value(json_object_get(entry, "logit")),
                                           json_number_value(json_object_get(entry, "prob"));
  fail_msg("id %d is not in the list", id);
  return 0.0;
}

/* Single cells, as interventions typed by hand. */
static void test_cells(void **state) {
  (void)state;
  static const struct {
    const char *options, *base, *source, *edits;
  } cases[] = {
      {"--site text_encoder.*.cross.z --heads each --layers 1 --rows 6", "--image $V/image1.png",
       "--from-image $V/image0.png", "--do 'replace text_encoder.1.cross.z#0@6'"},
      {"--site text_encoder.*.cross.z --heads 1,4 --layers 0 --rows 2", "--image $V/image1.png",
       "--from-image $V/image0.png", "--do 'replace text_encoder.0.cross.z#1,4@2'"},
      {"--site text_encoder.*.cross.out --layers 1 --rows 5 --direction noise", "$I", "--from-image $V/image1.png",
       "--do 'replace text_encoder.1.cross.out@5'"},
      {"--site text_encoder.*.mlp.post --layers 1 --rows 5 --window 2", "--image $V/image1.png",
       "--from-image $V/image0.png",
       "--do 'replace text_encoder.0.mlp.post@5' --do 'replace text_encoder.1.mlp.post@5'"},
      {"--site vision.0.resid_post --rows 'image[1,2]'", "--image $V/image1.png", "--from-image $V/image0.png",
       "--do 'replace vision.0.resid_post@image[1,2]'"},
      {"--site text_decoder.*.cross.z --heads 3 --layers 1", "--image $V/image1.png", "--from-image $V/image0.png",
       "--do 'replace text_decoder.1.cross.z#3'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[512];
    double logit, other;
    sheet t = patch(cases[i].options);
    snprintf(line, sizeof line, "fovea edit $M %s $Q %s %s --json --top 400 --generate 1", cases[i].base,
             cases[i].source, cases[i].edits);
    json_t *j = expect_json(line), *edit = json_object_get(j, "edit");
    double prob = prob_of(edit, 149, &logit);
    (void)prob_of(edit, 70, &other);
    assert_true(number_at(&t, 0, "logit") == (float)logit);
    assert_true(number_at(&t, 0, "prob") == (float)prob);
    assert_true(number_at(&t, 0, "logit_diff") == (float)logit - (float)other);
    json_decref(j);
    sheet_free(&t);
  }
}

static void same_tables(const char *a, const char *b, bool whole) {
  program_result x = expect(0, a), y = expect(0, b);
  if (whole && strcmp(x.out, y.out) != 0) fail_msg("%s\n%s\nare different", a, b);
  sheet s, t;
  sheet_parse(&s, x.out), sheet_parse(&t, y.out);
  assert_int_equal(s.count, t.count);
  for (size_t i = 0; i < s.count; i++) assert_string_equal(text_at(&s, i, "logit_diff"), text_at(&t, i, "logit_diff"));
  sheet_free(&s), sheet_free(&t);
  program_release(&x), program_release(&y);
}

/* Several ways to say one thing; other tools' names; memory, threads. */
static void test_same(void **state) {
  (void)state;
#define COMMON "fovea patch $M $I $Q --correct playing --incorrect id:70 --csv - "
#define PICTURE "--corrupt-image $V/image1.png "
  same_tables(COMMON PICTURE, COMMON "--corrupt image:$V/image1.png", true);
  same_tables(COMMON PICTURE, COMMON PICTURE "--site text_encoder.*.resid_post --heads all --direction denoise", true);
  same_tables(COMMON "--corrupt-question 'what color is the dog?'",
              COMMON "--corrupt 'question:what color is the dog?'", true);
  same_tables(COMMON PICTURE "--site text_encoder.*.cross.z --heads each",
              COMMON PICTURE "--site text_encoder.*.crossattention_block --heads each", true);
  same_tables(COMMON PICTURE "--site text_encoder.*.attn.z", COMMON PICTURE "--site text_encoder.*.attention_block",
              true);
  same_tables(COMMON PICTURE "--site text_encoder.*.resid_mid",
              COMMON PICTURE "--site text_encoder.encoder.layer.*.attention", true);
  same_tables(COMMON PICTURE "--site text_encoder.*.attn.z --heads each",
              COMMON PICTURE "--site text_encoder.*.attn.z --heads each --memory 300K --threads 1", true);
  same_tables(COMMON PICTURE "--site text_encoder.*.cross.z --heads 0-4",
              COMMON PICTURE "--site text_encoder.*.cross.z#0,1,2,3,4", true);
  same_tables(COMMON PICTURE "--rows '\"shirt\"'", COMMON PICTURE "--rows 5", true);
  program_result r = expect(0, COMMON PICTURE "--site text_encoder.*.crossattention_block");
  assert_non_null(strstr(r.err, "text_encoder.*.crossattention_block is text_encoder.*.cross.z (NOTICE)"));
  program_release(&r);
}

/* ---- other outputs ---- */

static size_t size_of(const json_t *j, const char *key) { return json_array_size(json_object_get(j, key)); }

static void test_json(void **state) {
  (void)state;
  static const char *const keys[] = {"model",      "question",   "answer",
                                     "correct",    "incorrect",  "clean_right",
                                     "answer_row", "clean_prob", "clean_logit_diff",
                                     "direction",  "heads",      "window",
                                     "seed",       "rng",        "runs",
                                     "rows",       "flops",      "checked",
                                     "undefined",  "engine",     "maps"};
  static const char *const map_keys[] = {
      "corrupt", "stack", "site",   "head", "draws",  "corrupt_prob", "corrupt_logit_diff",
      "layers",  "rows",  "pieces", "prob", "p_diff", "logit_diff",   "effect"};
  json_t *j = expect_json(PATCH "--site text_encoder.*.cross.z --heads each --json --check 100");
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_object_get(j, keys[i])) fail_msg("no key %s", keys[i]);
  assert_int_equal(size_of(j, "maps"), 5);
  assert_int_equal(json_integer_value(json_object_get(j, "runs")), 2 + 5 * 16);
  assert_int_equal(json_integer_value(json_object_get(j, "checked")), 2 + 5 * 16);
  assert_true(json_is_null(json_object_get(j, "answer_row")));
  for (size_t h = 0; h < 5; h++) {
    json_t *m = json_array_get(json_object_get(j, "maps"), h);
    for (size_t i = 0; i < sizeof map_keys / sizeof *map_keys; i++)
      if (!json_object_get(m, map_keys[i])) fail_msg("no key %s", map_keys[i]);
    assert_int_equal(json_integer_value(json_object_get(m, "head")), h);
    assert_true(size_of(m, "rows") == 8 && size_of(m, "pieces") == 8 && size_of(m, "layers") == 2 &&
                size_of(m, "effect") == 8);
    assert_int_equal(json_array_size(json_array_get(json_object_get(m, "effect"), 0)), 2);
  }
  json_decref(j);
  j = expect_json("fovea patch $M $I --question 'is the shirt red?' --corrupt gray --correct shirt --json");
  assert_true(json_is_null(json_object_get(j, "incorrect")) && json_is_null(json_object_get(j, "clean_logit_diff")));
  assert_int_equal(json_integer_value(json_object_get(j, "answer_row")), 3);
  assert_true(json_is_false(json_object_get(j, "clean_right")));
  const json_t *m = json_array_get(json_object_get(j, "maps"), 0);
  assert_true(json_is_null(json_object_get(m, "head")));
  assert_true(json_is_null(json_array_get(json_array_get(json_object_get(m, "effect"), 0), 0)));
  json_decref(j);
}

/* Without a difference to bring back: empty cells, counted, and told. */
static void test_equal_inputs(void **state) {
  (void)state;
  const char *line = "fovea patch $M $I $Q --corrupt-image $V/image0.png --correct playing --incorrect id:70 ";
  char full[256];
  sheet t;
  snprintf(full, sizeof full, "%s --csv -", line);
  program_result r = expect(0, full);
  sheet_parse(&t, r.out);
  for (size_t i = 0; i < t.count; i++) {
    assert_true(empty_at(&t, i, "effect"));
    assert_string_equal(text_at(&t, i, "p_diff"), "0");
  }
  sheet_free(&t);
  program_release(&r);
  snprintf(full, sizeof full, "%s --show always", line);
  r = expect(0, full);
  assert_non_null(strstr(r.out, "16 runs have no effect"));
  program_release(&r);
}

static void test_files(void **state) {
  (void)state;
  static const struct {
    const char *name, *begins;
  } files[] = {{"a.csv", "sample,"}, {"a.npz", "PK"}, {"a.png", "\x89PNG"}, {"b.svg", "<?xml"}, {"c.pdf", "%PDF"}};
  char *folder = folder_make(), path[256];
  program_options o = {.folder = folder};
  program_result r =
      expect_with(&o, 0, PATCH "--site text_encoder.*.cross.z --heads each --csv a.csv --npz a.npz --plot a.png");
  assert_non_null(strstr(r.out, "largest effect"));
  program_release(&r);
  r = expect_with(&o, 0, PATCH "--site text_encoder.*.attn.z --heads each --rows 5 --plot b.svg");
  program_release(&r);
  r = expect_with(&o, 0, PATCH "--metric logit_diff --corrupt gray --draws 2 --window 2 --plot c.pdf");
  program_release(&r);
  assert_int_equal(folder_count(folder), 5);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    size_t n;
    snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
    char *text = file_text(path, &n);
    assert_memory_equal(text, files[i].begins, strlen(files[i].begins));
    if (i == 3) assert_non_null(strstr(text, "row 5 (shirt)")); /* layers by heads, of the one row */
    free(text);
  }
  /* What tells panels apart stands above them. */
  r = expect_with(&o, 0,
                  PATCH
                  "--site text_encoder.*.attn.z --heads 0,2-3 --corrupt scale:0.5@vision.final --corrupt "
                  "scale:0.5@text_encoder.embed --show always --rows 0");
  assert_non_null(strstr(r.out, "heads 0,2-3 together, scale:0.5@vision.final\n"));
  assert_non_null(strstr(r.out, "heads 0,2-3 together, scale:0.5@text_encoder.embed\n"));
  program_release(&r);
  /* Nothing is computed, and nothing is written. */
  r = expect_with(&o, 0, PATCH "--csv d.csv --npz d.npz --dry-run");
  assert_int_equal(folder_count(folder), 5);
  program_release(&r);
  /* A failure leaves nothing. */
  r = expect_with(&o, 1, PATCH "--csv d.csv --site text_encoder.*.nothing");
  program_release(&r);
  assert_int_equal(folder_count(folder), 5);
  folder_remove(folder);
}

static void test_dry_run(void **state) {
  (void)state;
  static const char *const options[] = {"--site text_encoder.*.cross.z --heads each",
                                        "--direction noise --window 2 --rows 0-3",
                                        "--site text_decoder.*.cross.z --heads each --memory 300K"};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    char line[512];
    snprintf(line, sizeof line, PATCH "%s --json --dry-run", options[i]);
    json_t *said = expect_json(line);
    snprintf(line, sizeof line, PATCH "%s --json", options[i]);
    json_t *done = expect_json(line);
    static const char *const keys[] = {"runs", "rows", "flops"};
    for (int k = 0; k < 3; k++)
      assert_true(json_number_value(json_object_get(said, keys[k])) ==
                  json_number_value(json_object_get(done, keys[k])));
    json_decref(said), json_decref(done);
  }
}

/* ---- other families ---- */

static void test_families(void **state) {
  (void)state;
  static const struct {
    const char *line;
    size_t rows;
  } cases[] = {
      {"$D/vit/shards --image $D/vit/shards/vectors/image0.png --corrupt gray --correct 'tabby, tabby cat' --incorrect "
       "dog "
       "--site vision.*.attn.z --heads each",
       2 * 17 * 3},
      {"$D/vit/bare --image $D/vit/bare/vectors/image0.png --corrupt-image $D/vit/bare/vectors/image1.png "
       "--correct 'class 10' --incorrect 'class 0'",
       2 * 17},
      {"$D/llava/grouped --image $D/llava/grouped/vectors/image0.png --question 'what color is the shirt?' "
       "--corrupt-question 'what color is the dog?' --correct shirt --incorrect dog --site language.*.attn.z --heads "
       "each "
       "--rows last",
       2 * 9},
      {"$D/llava/grouped --image $D/llava/grouped/vectors/image0.png --prompt '<image> what is it' "
       "--corrupt-question '<image> where is it' --correct id:29 --incorrect id:47 --rows text",
       0},
      {"$D/blip_caption/tied --image $D/blip_caption/tied/vectors/image0.png --question 'the red hat' --corrupt gray "
       "--correct two --incorrect red",
       2 * 4},
      {"$D/blip_itm/shards --image $D/blip_itm/shards/vectors/image0.png --question 'the shirt is big red' --corrupt "
       "blur:3 "
       "--correct match --incorrect 'no match'",
       0},
      {"$D/clip/zip --image $D/clip/zip/vectors/image0.png --prompt 'a dog' --prompt 'a red ball' --corrupt gray "
       "--correct 'a dog' --incorrect 'a red ball' --site vision.1.attn.z --heads each",
       0},
  };
  const program_variable more[] = {{"D", FV_TEST_DATA}, {NULL, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[768];
    program_result r;
    sheet t;
    snprintf(line, sizeof line, "fovea patch %s --check 20 --csv -", cases[i].line);
    program_run(&(program_options){0}, &r, line, more);
    if (r.status != 0) fail_msg("%s\nstatus %d: %s", line, r.status, r.err);
    sheet_parse(&t, r.out);
    if (cases[i].rows ? t.count != cases[i].rows : t.count == 0) fail_msg("%s\n%zu lines", line, t.count);
    for (size_t k = 0; k < t.count; k++) assert_true(isfinite(number_at(&t, k, "effect")));
    sheet_free(&t);
    program_release(&r);
  }
}

/* ---- what is refused ---- */

static void test_statuses(void **state) {
  (void)state;
  static const refusal cases[] = {
      {2, "fovea patch $M $I $Q", "--corrupt-image"},
      {2, "fovea patch $M $Q --corrupt gray", "--image"},
      {2, "fovea patch $M $I --corrupt gray", "--question"},
      {2, "fovea patch $M $I $Q --corrupt-question 'what color is the dog?' --correct red --incorrect red",
       "the same to the model"},
      {2, PATCH "--direction back", "denoise|noise"},
      {2, PATCH "--metric effects", "effect"},
      {2, PATCH "--window 0", "at least 1"},
      {2, PATCH "--draws none", "integer"},
      {2, PATCH "--check 101", "percent"},
      {2, PATCH "--json --csv -", "standard output"},
      {2, PATCH "--plot a.gif", ".png"},
      {2, PATCH "--vmin 1 --vmax 0", "--vmin"},
      {2, PATCH "--site text_encoder.*.resid_post@3", "rows are not given here"},
      {2, PATCH "--heads each", "has no heads"},
      {2, PATCH "--site text_encoder.*.attn.scores", "scores and patterns"},
      {2, PATCH "--site text_encoder.*.*", "several sites"},
      {2, PATCH "--site text_encoder.*.cross.z --site text_encoder.1.cross.z",
       "text_encoder.1.cross.z is in both of site"},
      {2, "fovea patch $M $I $Q --corrupt gray --corrupt blur:1 --corrupt gray", "\"gray\" is there twice"},
      {2, PATCH "--site text_encoder.*.attn.z --heads two", "heads"},
      {2, PATCH "--corrupt nonsense", "expected one of"},
      {2, PATCH "--corrupt mask:9,0,1,1", "mask"},
      {2, "fovea patch $M $I $Q --corrupt gray --metric effect", "--incorrect"},
      {1, PATCH "--site text_encoder.*.attn.z --heads 5", "outside 0..4"},
      {1, PATCH "--site text_encoder.*.nothing", "matches nothing"},
      {1, PATCH "--rows 8", "outside 0..7"},
      {1, PATCH "--layers 2", "outside 0..1"},
      {1, "fovea patch $M $I $Q --corrupt gray --correct \xE4\xB8\x80\xF0\x9F\x90\x88",
       "has no piece of it, only [UNK]"},
      {1, PATCH "--rows '\"zebra\"'", "zebra"},
      {1, PATCH "--corrupt-question 'what color is the small shirt?'", "9 rows there and 8 in the clean input"},
      {1, "fovea patch $M $I $Q --corrupt-image nothing.png", "nothing.png"},
      {1, "fovea patch " FV_TEST_DATA "/vit/shards $I --corrupt gray --correct unicorn", "unicorn"},
      {2, "fovea patch " FV_TEST_DATA "/vit/shards $I --corrupt-question what", "reads no text"},
      {2, PATCH "--csv a.csv --npz a.csv", "share a file"},
      {2, PATCH "--csv $V/image1.png", "cannot be a file that the run reads"},
  };
  expect_refusals(cases, sizeof cases / sizeof *cases);
}

/* Two pictures: each has its corrupted one, or one of them has. The corrupted run is what these pictures alone give. */
static void test_pictures(void **state) {
  (void)state;
#define PAIR FV_TEST_DATA "/llava/first"
#define FIRST PAIR "/pairs/image0.png"
#define SECOND PAIR "/pairs/image1.png"
  static const struct {
    const char *corrupt, *alone;
  } cases[] = {{"--corrupt-image " SECOND " --corrupt-image " FIRST, "--image " SECOND " --image " FIRST},
               {"--corrupt image1:" SECOND, "--image " SECOND " --image " SECOND},
               {"--corrupt 'image2:" FIRST " image1:" SECOND "'", "--image " SECOND " --image " FIRST}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[1024];
    snprintf(line, sizeof line, "fovea ask " PAIR " %s --question what --top 166 --json", cases[i].alone);
    json_t *alone = expect_json(line), *entry;
    double prob = -1.0;
    size_t k;
    json_array_foreach(json_object_get(alone, "top"), k,
                       entry) if (json_integer_value(json_object_get(entry, "id")) == 7) prob =
        json_number_value(json_object_get(entry, "prob"));
    snprintf(line, sizeof line,
             "fovea patch " PAIR " --image " FIRST " --image " SECOND
             " --question what --correct id:7 --rows last --layers 0 --json %s",
             cases[i].corrupt);
    json_t *patch = expect_json(line), *map = json_array_get(json_object_get(patch, "maps"), 0);
    double corrupt = json_number_value(json_object_get(map, "corrupt_prob"));
    if (!(fabs(corrupt - prob) <= 1e-6 * prob)) fail_msg("%s: %g, expected %g", line, corrupt, prob);
    json_decref(alone), json_decref(patch);
  }
  static const refusal refused[] = {
      {2, "fovea patch " PAIR " --image " FIRST " --image " SECOND " --question what --corrupt-image " FIRST,
       "--corrupt-image: 1 of 2 pictures; give it once for each"},
      {2, "fovea patch " PAIR " --image " FIRST " --image " SECOND " --question what --corrupt image:" FIRST,
       "say which, as image2:FILE"},
      {2, "fovea patch " PAIR " --image " FIRST " --question what --corrupt-image " FIRST " --corrupt-image " SECOND,
       "is given 2 times for one picture"}};
  expect_refusals(refused, 3);
  program_result r = expect(0, "fovea patch " PAIR " --image " FIRST
                               " --question what --corrupt gray --rows last --layers 0"
                               " --site language_model.*.mlp_block --site language_model.*.attention_block");
  assert_non_null(strstr(r.err, "language_model.*.mlp_block is language.*.mlp.out (NOTICE)"));
  assert_non_null(strstr(r.err, "language_model.*.attention_block is language.*.attn.z (NOTICE)"));
  program_release(&r);
}

/* Hidden states in the place of a module's output: by the command, and in a study beside the same sweep without that,
 * with which they share a wave. */
static void test_states_into_modules(void **state) {
  (void)state;
#define INTO                                                                       \
  "fovea patch " PAIR " --image " FIRST " --question what --corrupt-image " SECOND \
  " --correct id:7 "                                                               \
  "--incorrect id:8 --llava-hs-into-module --site language.*.%s --rows text --csv -"
  static const char study[] = "model: " PAIR
                              "\nsamples:\n"
                              "  - {sample: x, image: " FIRST ", corrupt_image: " SECOND
                              ", question: what, "
                              "correct: 'id:7', incorrect: 'id:8'}\nsweeps:\n"
                              "  - {name: plain, kind: patch, site: language.*.mlp.out, rows: text, corrupt: image}\n"
                              "  - {name: states, kind: patch, site: language.*.mlp.out, rows: text, corrupt: image, "
                              "llava_hs_into_module: true}\n";
  static const char *const names[] = {"plain", "states"};
  char *folder = folder_make(), line[1024];
  program_options o = {.folder = folder};
  sheet alone, swept[2];
  snprintf(line, sizeof line, INTO, "mlp.out");
  program_result r = expect(0, line);
  sheet_parse(&alone, r.out);
  program_release(&r);
  snprintf(line, sizeof line, "%s/states.yaml", folder);
  file_write(line, study, sizeof study - 1);
  r = expect_with(&o, 0, "fovea run states.yaml");
  program_release(&r);
  for (int k = 0; k < 2; k++) {
    snprintf(line, sizeof line, "fovea export states.db --sweep %s --csv -", names[k]);
    r = expect_with(&o, 0, line);
    sheet_parse(&swept[k], r.out);
    program_release(&r);
    assert_int_equal(swept[k].count, alone.count);
  }
  size_t differ = 0;
  for (size_t i = 0; i < alone.count; i++) {
    assert_string_equal(text_at(&alone, i, "op"), "hs-into-module");
    assert_string_equal(text_at(&swept[0], i, "op"), "replace");
    static const char *const columns[] = {"op", "layer", "row", "prob", "logit_diff", "effect"};
    for (int c = 0; c < 6; c++) assert_string_equal(text_at(&alone, i, columns[c]), text_at(&swept[1], i, columns[c]));
    differ += strcmp(text_at(&alone, i, "prob"), text_at(&swept[0], i, "prob")) != 0;
  }
  assert_true(alone.count >= 4 && differ > alone.count / 2);
  sheet_free(&alone), sheet_free(&swept[0]), sheet_free(&swept[1]);
  folder_remove(folder);
  snprintf(line, sizeof line, INTO, "attn.z");
  r = expect(2, line);
  assert_non_null(strstr(r.err, "a row has 40 numbers and a hidden state 30"));
  program_release(&r);
}

/* Questions of different lengths, filled up. */
static void test_padding(void **state) {
  (void)state;
  const char *line =
      "fovea patch $M $I $Q --corrupt-question 'what color is the small shirt?' --correct playing --incorrect id:70 "
      "--pad-attended --csv -";
  sheet t;
  program_result r = expect(0, line);
  sheet_parse(&t, r.out);
  assert_int_equal(t.count, 2 * 9);
  assert_string_equal(text_at(&t, 8, "piece"), "[PAD]");
  sheet_free(&t);
  program_release(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_metrics),
      cmocka_unit_test(test_cells),
      cmocka_unit_test(test_same),
      cmocka_unit_test(test_json),
      cmocka_unit_test(test_equal_inputs),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_dry_run),
      cmocka_unit_test(test_families),
      cmocka_unit_test(test_statuses),
      cmocka_unit_test(test_padding),
      cmocka_unit_test(test_pictures),
      cmocka_unit_test(test_states_into_modules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
