/* fovea trace: its table against runs computed alone through the library, and what must hold between runs. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "cli/sheet.h"
#include "fovea/answer.h"
#include "support/vectors.h"

static sheet trace(const char *options) {
  char line[1024];
  sheet t;
  snprintf(line, sizeof line, "fovea trace $M %s --csv -", options);
  program_result r = expect(0, line);
  sheet_parse(&t, r.out);
  program_release(&r);
  return t;
}

static size_t find_row(const sheet *t, int draw, const char *stack, int layer, int row) {
  for (size_t i = 0; i < t->count; i++)
    if (whole_at(t, i, "draw") == draw && strcmp(text_at(t, i, "stack"), stack) == 0 &&
        whole_at(t, i, "layer") == layer && whole_at(t, i, "row") == row)
      return i;
  fail_msg("no row for draw %d, %s, layer %d, row %d", draw, stack, layer, row);
  return 0;
}

/* ---- against the library ---- */

typedef struct reading {
  const double *clean;
  int answer;
  fv_metrics m;
  double *probabilities;
} reading;

static fv_status keep(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  reading *r = user;
  (void)run, (void)err;
  double *scratch = calloc((size_t)V, sizeof *scratch);
  if (!r->clean) {
    r->probabilities = calloc((size_t)V, sizeof *r->probabilities);
    fv_probabilities(logits, V, r->probabilities);
    for (int64_t v = 1; v < V; v++)
      if (logits[v] > logits[r->answer]) r->answer = (int)v;
  }
  fv_metrics_read(logits, V, r->answer, r->clean, scratch, &r->m);
  free(scratch);
  return FV_OK;
}

/* Cells of the default trace, each computed alone from its input. */
static void test_cells(void **state) {
  (void)state;
  static const char *const streams[] = {"torch", "numpy"};
  static const struct {
    int draw;
    const char *stack;
    int layer, row;
  } cells[] = {{0, "text_encoder", 0, 0}, {0, "text_encoder", 1, 5}, {1, "text_encoder", 0, 5},
               {2, "text_encoder", 1, 7}, {2, "text_decoder", 0, 0}, {1, "text_decoder", 1, 0}};
  fv_vectors v;
  vectors_open(MODEL, &v);
  fv_input *in = vectors_input(&v, vectors_case(&v, 0));
  for (int s = 0; s < 2; s++) {
    char options[128];
    snprintf(options, sizeof options, "$I $Q --draws 3 --seed 12 --rng %s", streams[s]);
    sheet t = trace(options);
    assert_int_equal(t.count, 3 * (2 * 8 + 2));
    fv_wave *w = NULL;
    int clean, corrupt[3];
    reading base = {0}, low[3], one;
    OK(fv_wave_new(v.model, NULL, &w, ERR));
    OK(fv_wave_run(w, -1, in, &clean, ERR));
    OK(fv_wave_readout(w, clean, NULL, NULL, ERR));
    OK(fv_wave_seed(w, s ? FV_STREAM_NUMPY : FV_STREAM_TORCH, 12, ERR));
    for (int d = 0; d < 3; d++) {
      OK(fv_wave_run(w, clean, NULL, &corrupt[d], ERR));
      OK(fv_wave_do(w, corrupt[d], "mul-gauss vision.final mean=1,std=5", -1, ERR));
      OK(fv_wave_readout(w, corrupt[d], NULL, NULL, ERR));
    }
    OK(fv_run_full(w, clean, keep, &base, ERR));
    for (int d = 0; d < 3; d++) {
      low[d] = (reading){.clean = base.probabilities, .answer = base.answer};
      OK(fv_run_full(w, corrupt[d], keep, &low[d], ERR));
    }
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
      int run, d = cells[i].draw;
      char edit[128];
      snprintf(edit, sizeof edit, "replace %s.%d.resid_post@%d", cells[i].stack, cells[i].layer, cells[i].row);
      OK(fv_wave_run(w, corrupt[d], NULL, &run, ERR));
      OK(fv_wave_do(w, run, edit, clean, ERR));
      OK(fv_wave_readout(w, run, NULL, NULL, ERR));
      one = (reading){.clean = base.probabilities, .answer = base.answer};
      OK(fv_run_full(w, run, keep, &one, ERR));
      size_t row = find_row(&t, d, cells[i].stack, cells[i].layer, cells[i].row);
      assert_true(number_at(&t, row, "prob") == one.m.prob);
      assert_true(number_at(&t, row, "logit") == one.m.logit);
      assert_true(number_at(&t, row, "kl") == one.m.kl);
      assert_int_equal(whole_at(&t, row, "rank"), one.m.rank);
      assert_true(number_at(&t, row, "clean_prob") == (float)base.probabilities[base.answer]);
      assert_true(number_at(&t, row, "corrupt_prob") == low[d].m.prob);
      assert_int_equal(whole_at(&t, row, "answer_id"), base.answer);
      assert_true(fabsf(number_at(&t, row, "p_diff") - (one.m.prob - low[d].m.prob)) <= 1e-7f);
    }
    free(base.probabilities);
    fv_wave_free(w);
    sheet_free(&t);
  }
  fv_input_free(in);
  vectors_close(&v);
}

/* ---- the table ---- */

/* Order: draw, site, layer, row; the constants and the empty cells; the last decoder layer gives the clean answer. */
static void test_table(void **state) {
  (void)state;
  sheet t = trace("$I $Q --draws 2");
  size_t i = 0;
  for (int draw = 0; draw < 2; draw++)
    for (int site = 0; site < 2; site++)
      for (int layer = 0; layer < 2; layer++)
        for (int row = 0; row < (site ? 1 : 8); row++, i++) {
          assert_int_equal(whole_at(&t, i, "draw"), draw);
          assert_string_equal(text_at(&t, i, "stack"), site ? "text_decoder" : "text_encoder");
          assert_string_equal(text_at(&t, i, "site"), "resid_post");
          assert_int_equal(whole_at(&t, i, "layer"), layer);
          assert_int_equal(whole_at(&t, i, "row"), row);
          assert_int_equal(whole_at(&t, i, "window"), 1);
          assert_string_equal(text_at(&t, i, "corrupt"), "mul-gauss:mean=1,std=5@vision.final");
          assert_string_equal(text_at(&t, i, "op"), "replace");
          assert_string_equal(text_at(&t, i, "answer"), "playing");
          static const char *const empty[] = {
              "sample", "head", "from", "to", "logit_diff", "effect", "clean_logit_diff", "corrupt_logit_diff"};
          for (size_t k = 0; k < 8; k++) assert_string_equal(text_at(&t, i, empty[k]), "");
          float p = number_at(&t, i, "prob");
          assert_true(isfinite(p) && p >= 0.0f && p <= 1.0f);
          if (site == 1 && layer == 1) {
            assert_string_equal(text_at(&t, i, "prob"), text_at(&t, i, "clean_prob"));
            assert_int_equal(whole_at(&t, i, "rank"), 0);
          }
        }
  assert_int_equal(t.count, i);
  assert_string_equal(text_at(&t, 5, "piece"), "shirt");
  assert_string_not_equal(text_at(&t, 0, "corrupt_prob"), text_at(&t, t.count - 1, "corrupt_prob")); /* draws differ */
  sheet_free(&t);
}

static void same_text(const char *a, const char *b, bool same) {
  program_result x = expect(0, a), y = expect(0, b);
  if ((strcmp(x.out, y.out) == 0) != same) fail_msg("%s\n%s\n%s", a, b, same ? "differ" : "are equal");
  program_release(&x), program_release(&y);
}

#define TRACE "fovea trace $M $I $Q --csv - "
static void test_same_bits(void **state) {
  (void)state;
  same_text(TRACE "--draws 3", TRACE "--draws 3 --threads 1", true);
  same_text(TRACE "--draws 3 --threads 1", TRACE "--draws 3 --threads 2", true);
  same_text(TRACE "--draws 3", TRACE "--draws 3 --memory 70K", true);
  same_text(TRACE "--draws 3", TRACE "--draws 3 --check 100", true);
  same_text(TRACE, TRACE "--draws 10 --seed 0 --rng torch --window 1 --layer-start 0", true); /* defaults */
  same_text(TRACE, TRACE "--corrupt mul-gauss:mean=1,std=5@vision.final", true);
  same_text(TRACE "--restore text_encoder.*.resid_post --restore text_decoder.*.resid_post", TRACE, true);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --seed 1", false);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --rng numpy", false);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --noise-redraw", false);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --target white", false);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --target playing", true);
  same_text(TRACE "--draws 1", TRACE "--draws 1 --target id:149", true);
  same_text(TRACE "--draws 1 --corrupt gray", TRACE "--draws 7 --corrupt gray", true); /* no noise: one draw */
  same_text("fovea trace $M $I --prompt '" QUESTION "' --csv - --draws 1", TRACE "--draws 1", true);
}

/* With fresh noise in every run only the first corrupted run is that of the shared noise, and every cell differs. */
static void test_redraw(void **state) {
  (void)state;
  sheet shared = trace("$I $Q --draws 1"), fresh = trace("$I $Q --draws 1 --noise-redraw");
  assert_int_equal(shared.count, fresh.count);
  assert_string_equal(text_at(&shared, 0, "corrupt_prob"), text_at(&fresh, 0, "corrupt_prob"));
  size_t differ = 0;
  for (size_t i = 0; i < shared.count; i++) differ += number_at(&shared, i, "prob") != number_at(&fresh, i, "prob");
  assert_int_equal(differ, shared.count - 1); /* all but the decoder's last layer */
  sheet_free(&shared), sheet_free(&fresh);
}

/* ---- against edits made by hand ---- */

/* The probability of the trace's answer (id 149) in `fovea edit` with these edits. */
static float edited(const char *edits) {
  char line[1024];
  snprintf(line, sizeof line, "fovea edit $M $I $Q --json --top 166 %s", edits);
  json_t *j = expect_json(line), *entry;
  size_t i;
  float p = NAN;
  json_array_foreach(json_object_get(json_object_get(j, "edit"), "top"), i,
                     entry) if (json_integer_value(json_object_get(entry, "id")) == 149) p =
      (float)json_number_value(json_object_get(entry, "prob"));
  json_decref(j);
  return p;
}

#define NOISE "--seed 3 --do 'mul-gauss vision.final mean=1,std=5' "
#define BACK(LAYER) "--do 'replace text_encoder." LAYER ".resid_post@2' "
static void test_windows(void **state) {
  (void)state;
  /* Two layers: W = 2 restores {0} at 0 and {0, 1} at 1; W = 3 both at both. */
  float first = edited(NOISE BACK("0")), second = edited(NOISE BACK("1")), both = edited(NOISE BACK("0") BACK("1"));
  assert_true(first != both && second != both);
  const float expected[3][2] = {{first, second}, {first, both}, {both, both}};
  for (int w = 1; w <= 3; w++) {
    char options[128];
    snprintf(options, sizeof options, "$I $Q --draws 1 --seed 3 --restore text_encoder.*.resid_post --window %d", w);
    sheet t = trace(options);
    for (int layer = 0; layer < 2; layer++) {
      size_t row = find_row(&t, 0, "text_encoder", layer, 2);
      if (number_at(&t, row, "prob") != expected[w - 1][layer])
        fail_msg("window %d, layer %d: %s, expected %.9g", w, layer, text_at(&t, row, "prob"),
                 (double)expected[w - 1][layer]);
      assert_int_equal(whole_at(&t, row, "window"), w);
    }
    sheet_free(&t);
  }
  /* The window reaches below --layer-start, which only says which layers are cells. */
  sheet t = trace("$I $Q --draws 1 --seed 3 --restore text_encoder.*.resid_post --window 2 --layer-start 1");
  assert_int_equal(t.count, 8);
  assert_true(number_at(&t, 2, "prob") == both);
  assert_int_equal(whole_at(&t, 2, "layer"), 1);
  sheet_free(&t);
}

static void test_parts(void **state) {
  (void)state;
  static const struct {
    const char *options, *edits;
    int layer;
  } cases[] = {
      {"--restore text_encoder.*.resid_post --feature-range 3:9",
       NOISE "--do 'replace text_encoder.1.resid_post@2:3-8'", 1},
      {"--restore text_encoder.*.resid_post:3-8", NOISE "--do 'replace text_encoder.1.resid_post@2:3-8'", 1},
      {"--restore text_encoder.*.cross.z#1,3", NOISE "--do 'replace text_encoder.0.cross.z#1,3@2'", 0},
      {"--restore text_encoder.1.mlp.post", NOISE "--do 'replace text_encoder.1.mlp.post@2'", 1},
      {"--restore text_encoder.*.resid_post --corrupt scale:0.5@vision.final",
       "--do 'scale vision.final 0.5' " BACK("1"), 1},
      {"--restore text_encoder.*.resid_post --corrupt uniform:0.7@text_encoder.embed",
       "--seed 3 --do 'uniform text_encoder.embed scale=0.7' " BACK("1"), 1},
      {"--restore text_encoder.*.resid_post --corrupt add-gauss:std=0.3@vision.1.resid_post@image",
       "--seed 3 --do 'add-gauss vision.1.resid_post@image std=0.3' " BACK("1"), 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char options[256];
    snprintf(options, sizeof options, "$I $Q --draws 1 --seed 3 %s", cases[i].options);
    sheet t = trace(options);
    size_t row = find_row(&t, 0, "text_encoder", cases[i].layer, 2);
    float expected = edited(cases[i].edits);
    if (number_at(&t, row, "prob") != expected)
      fail_msg("%s: %s, expected %.9g", cases[i].options, text_at(&t, row, "prob"), (double)expected);
    sheet_free(&t);
  }
  /* Another picture as the corruption: the corrupted run is that picture's own. */
  sheet t = trace("$I $Q --corrupt image:$V/image1.png --target id:40");
  json_t *j = expect_json("fovea ask $M --image $V/image1.png $Q --json"),
         *top = json_array_get(json_object_get(j, "top"), 0);
  assert_int_equal(json_integer_value(json_object_get(top, "id")), 40);
  assert_true(number_at(&t, 0, "corrupt_prob") == (float)json_number_value(json_object_get(top, "prob")));
  json_decref(j);
  sheet_free(&t);
}

/* ---- averages ---- */

/* The map of JSON output that averages over the draws. */
static json_t *average_of(json_t *j, const char *stack) {
  size_t i;
  json_t *m;
  json_array_foreach(json_object_get(j, "maps"), i,
                     m) if (json_is_null(json_object_get(m, "draw")) &&
                            strcmp(json_string_value(json_object_get(m, "stack")), stack) == 0) return m;
  fail_msg("no average of %s", stack);
  return NULL;
}

static double cell_of(json_t *map, const char *key, size_t row, size_t col) {
  const json_t *v = json_array_get(json_array_get(json_object_get(map, key), row), col);
  return json_is_null(v) ? NAN : json_number_value(v);
}

static void near(double a, double b, const char *what) {
  if (!(fabs(a - b) <= 1e-5 * (1.0 + fabs(b)))) fail_msg("%s: %.9g, expected %.9g", what, a, b);
}

static void test_averages(void **state) {
  (void)state;
  sheet t = trace("$I $Q --draws 4");
  json_t *j = expect_json("fovea trace $M $I $Q --draws 4 --json"), *map = average_of(j, "text_encoder");
  assert_int_equal(json_integer_value(json_object_get(map, "samples")), 4);
  for (int layer = 0; layer < 2; layer++)
    for (int row = 0; row < 8; row++) {
      double prob = 0.0, share = 0.0;
      for (int d = 0; d < 4; d++) {
        size_t i = find_row(&t, d, "text_encoder", layer, row);
        double p = number_at(&t, i, "prob"), low = number_at(&t, i, "corrupt_prob"),
               high = number_at(&t, i, "clean_prob");
        prob += p / 4.0, share += (p - low) / (high - low) / 4.0;
      }
      near(cell_of(map, "prob", (size_t)row, (size_t)layer), prob, "prob");
      near(cell_of(map, "normalised", (size_t)row, (size_t)layer), share, "normalised");
    }
  json_decref(j);
  sheet_free(&t);
}

/* Rows are named by what they are, also where they are no tokens, and where a site of one stack has another's rows. */
static void test_row_names(void **state) {
  (void)state;
  json_t *j = expect_json("fovea trace $M $I $Q --draws 1 --json --restore vision.1.resid_post"),
         *names = json_object_get(average_of(j, "vision"), "pieces");
  assert_int_equal(json_array_size(names), 26);
  assert_string_equal(json_string_value(json_array_get(names, 0)), "cls");
  assert_string_equal(json_string_value(json_array_get(names, 9)), "image[1,3]");
  json_decref(j);
  /* A site without layers has one column, of none. */
  j = expect_json("fovea trace $M $I $Q --draws 1 --json --restore vision.final");
  const json_t *layers = json_object_get(average_of(j, "vision"), "layers");
  assert_int_equal(json_array_size(layers), 1);
  assert_true(json_is_null(json_array_get(layers, 0)));
  json_decref(j);
  sheet t = trace("$I $Q --draws 1 --restore text_encoder.0.cross.k");
  assert_int_equal(t.count, 26); /* keys are the picture's rows */
  assert_string_equal(text_at(&t, 5, "piece"), "");
  sheet_free(&t);
  program_result r = expect(0, "fovea trace $M $I $Q --draws 1 --restore vision.final");
  assert_non_null(strstr(r.out, " (image["));
  program_release(&r);
}

/* A COCO-QA style table; bad rows are excluded by name, and flat draws from the normalised average only. */
/* Sums over three questions, divided by ten: of single draws, and of the mean of two. */
static void test_divisor(const program_options *o) {
  static const char line[] =
      "fovea trace $M --samples table.csv --images . --words 5 --json --draws 2 --show never "
      "--restore text_encoder.*.resid_post";
  char divided[256];
  json_t *j[2], *map;
  size_t i;
  snprintf(divided, sizeof divided, "%s --avg-divisor 10", line);
  for (int k = 0; k < 2; k++) {
    program_result r = expect_with(o, 0, k ? divided : line);
    json_error_t detail;
    assert_non_null(j[k] = json_loadb(r.out, r.nout, 0, &detail));
    program_release(&r);
  }
  assert_int_equal(json_array_size(json_object_get(j[0], "maps")), 3);
  json_array_foreach(json_object_get(j[0], "maps"), i, map) {
    json_t *other = json_array_get(json_object_get(j[1], "maps"), i);
    static const char *const keys[] = {"clean_prob", "corrupt_prob"};
    for (int k = 0; k < 2; k++)
      near(json_number_value(json_object_get(other, keys[k])), 0.3 * json_number_value(json_object_get(map, keys[k])),
           keys[k]);
    near(cell_of(other, "prob", 3, 1), 0.3 * cell_of(map, "prob", 3, 1), "prob");
    near(cell_of(other, "normalised", 3, 1), 0.3 * cell_of(map, "normalised", 3, 1), "normalised");
  }
  json_decref(j[0]), json_decref(j[1]);
}

static void test_samples(void **state) {
  (void)state;
  char *folder = folder_make(), path[256];
  size_t n;
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, MODEL "/vectors/image%d.png", i);
    char *text = file_text(path, &n);
    snprintf(path, sizeof path, "%s/00000000000%d.png", folder, i + 1);
    file_write(path, text, n);
    free(text);
  }
  snprintf(path, sizeof path, "%s/000000000003.png", folder);
  file_write(path, "not a picture", 13);
  static const char table[] =
      ",train_image_id_count,question_count,answer_count\n"
      "0,1,what color is the shirt,red\n"
      "1,2,what color is the shirt,2\n"
      "2,9,what color is the shirt,red\n"
      "3,3,what color is the shirt,red\n"
      "4,1,where is the small dog,red\n"
      "5,1,what color,red\n";
  snprintf(path, sizeof path, "%s/table.csv", folder);
  file_write(path, table, sizeof table - 1);
  program_options o = {.folder = folder};
  /* The second sample's corruption is its own picture: there nothing is lost, and nothing can come back. */
  program_result r = expect_with(&o, 0,
                                 "fovea trace $M --samples table.csv --images . --words 5 --json --csv out.csv "
                                 "--restore text_encoder.*.resid_post --corrupt image:000000000002.png");
  json_error_t detail;
  json_t *j = json_loadb(r.out, r.nout, 0, &detail), *map = average_of(j, "text_encoder");
  assert_int_equal(json_integer_value(json_object_get(j, "samples")), 3);
  json_t *excluded = json_object_get(j, "excluded");
  assert_int_equal(json_array_size(excluded), 2);
  assert_non_null(strstr(json_string_value(json_array_get(excluded, 0)), "9"));
  assert_non_null(strstr(json_string_value(json_array_get(excluded, 1)), "000000000003.png"));
  assert_int_equal(json_integer_value(json_object_get(j, "flat")), 1);
  snprintf(path, sizeof path, "%s/out.csv", folder);
  char *csv = file_text(path, &n);
  sheet t;
  sheet_parse(&t, csv);
  free(csv);
  assert_int_equal(t.count, 3 * 14); /* three samples of seven tokens */
  for (int layer = 0; layer < 2; layer++)
    for (int row = 0; row < 7; row++) {
      double prob = 0.0, share = 0.0;
      for (int s = 0; s < 3; s++) {
        size_t i = (size_t)(s * 14 + layer * 7 + row);
        double p = number_at(&t, i, "prob"), low = number_at(&t, i, "corrupt_prob"),
               high = number_at(&t, i, "clean_prob");
        prob += p / 3.0;
        if (s != 1) share += (p - low) / (high - low) / 2.0;
      }
      near(cell_of(map, "prob", (size_t)row, (size_t)layer), prob, "prob");
      near(cell_of(map, "normalised", (size_t)row, (size_t)layer), share, "normalised");
    }
  assert_string_not_equal(text_at(&t, 0, "sample"), text_at(&t, 14, "sample"));
  sheet_free(&t);
  json_decref(j);
  program_release(&r);
  test_divisor(&o);
  r = expect_with(&o, 0, "fovea trace $M --samples table.csv --images . --words 5 --limit 2 --only-correct --draws 1");
  assert_non_null(strstr(r.err, "excluded: ")); /* the model says something else than "red" */
  program_release(&r);
  r = expect_with(&o, 1, "fovea trace $M --samples table.csv --images . --words 9");
  program_release(&r);
  r = expect_with(&o, 1, "fovea trace $M --samples nothing.csv --images .");
  program_release(&r);
  r = expect_with(&o, 2, "fovea trace $M --samples table.csv --images . --csv table.csv");
  program_release(&r);
  r = expect_with(&o, 2, "fovea trace $M --samples table.csv --images . --csv 000000000001.png");
  program_release(&r);
  folder_remove(folder);
}

/* ---- predictions ---- */

static void test_dry_run(void **state) {
  (void)state;
  static const char *const options[] = {"$I $Q --draws 3", "$I $Q --draws 2 --window 2 --layer-start 1",
                                        "$I $Q --draws 2 --noise-redraw", "$I $Q --corrupt gray --corrupt blur:1",
                                        "$I $Q --draws 4 --memory 70K"};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    char line[256];
    snprintf(line, sizeof line, "fovea trace $M %s --json --dry-run", options[i]);
    json_t *said = expect_json(line);
    snprintf(line, sizeof line, "fovea trace $M %s --json", options[i]);
    json_t *done = expect_json(line);
    static const char *const keys[] = {"runs", "rows", "flops"};
    for (int k = 0; k < 3; k++)
      assert_true(json_number_value(json_object_get(said, keys[k])) ==
                  json_number_value(json_object_get(done, keys[k])));
    assert_true(json_number_value(json_object_get(said, "seconds")) > 0.0);
    assert_true(json_number_value(json_object_get(said, "memory")) > 0.0);
    json_decref(said), json_decref(done);
  }
  char *folder = folder_make(); /* nothing is computed, and nothing is written */
  program_result r =
      expect_with(&(program_options){.folder = folder}, 0, "fovea trace $M $I $Q --csv a.csv --npz a.npz --dry-run");
  assert_int_equal(folder_count(folder), 0);
  program_release(&r);
  folder_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cells),    cmocka_unit_test(test_table),     cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_redraw),   cmocka_unit_test(test_windows),   cmocka_unit_test(test_parts),
      cmocka_unit_test(test_averages), cmocka_unit_test(test_row_names), cmocka_unit_test(test_samples),
      cmocka_unit_test(test_dry_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
