/* Exports: the same bytes in whatever order a study was stored, and arrays that hold the table's numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "fovea/export.h"
#include "fovea/report.h"
#include "study/store_inside.h"
#include "study_tests.h"

enum { N = 5, L = 2, H = 3 };
static int rows_of(int sample) { return sample == 3 ? 4 : 3; }
static float number(int sample, int layer, int row, int head) {
  return 1.0f / (float)(1 + sample + 7 * layer + 31 * row + 101 * (head + 1));
}

/* The rows of a sample: a trace without heads and two draws, or a patch of single heads. */
static void rows(int sample, bool heads, fv_sink sink) {
  char name[32], corrupt[64];
  snprintf(name, sizeof name, "s, \"%d\"", sample);
  snprintf(corrupt, sizeof corrupt, "image:%d.png", sample);
  for (int draw = 0; draw < (heads ? 1 : 2); draw++)
    for (int l = 0; l < L; l++)
      for (int t = 0; t < rows_of(sample); t++)
        for (int h = heads ? 0 : -1; h < (heads ? H : 0); h++) {
          fv_row r;
          fv_row_defaults(&r);
          r.sample = name, r.draw = draw, r.corrupt = heads ? corrupt : "gray", r.stack = "text_encoder";
          r.site = heads ? "cross.z" : "resid_post", r.layer = l, r.window = 1, r.row = t, r.piece = t ? "star" : "";
          r.head = h, r.op = heads ? "denoise" : "replace", r.prob = number(sample, l, t, h) + 0.25f * (float)draw;
          r.kl = 1e-7f * r.prob, r.rank = t, r.clean_prob = 0.75f, r.corrupt_prob = 0.125f, r.p_diff = r.prob - 0.125f;
          r.answer_id = 11, r.answer = "red", r.logit = -3.0f;
          if (heads) {
            r.incorrect_id = 12, r.logit_diff = 2.0f * r.prob, r.corrupt_logit_diff = -2.0f;
            r.clean_logit_diff = sample == 2 ? -2.0f : 4.0f;
            r.effect = sample == 2 ? NAN : (r.logit_diff + 2.0f) / 6.0f;
          }
          OK(sink.row(sink.user, &r, &e));
        }
}

/* A control's rows of a sample: those of single heads, but of another sample's answers. */
typedef struct relabelling {
  fv_sink sink;
  int sample;
} relabelling;
static fv_status relabel(void *user, const fv_row *row, fv_error *err) {
  const relabelling *to = user;
  fv_row r = *row;
  r.answer_id = 20 + to->sample, r.incorrect_id = 30 + to->sample;
  return to->sink.row(to->sink.user, &r, err);
}

static void make(const char *path, const int order[N]) {
  fv_store *s;
  int64_t ids[2];
  OK(fv_store_open(path, FV_STORE_CREATE, &s, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.id = 1, .name = "states", .kind = "trace", .spec = "{}"}, &ids[0], &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.id = 2, .name = "heads", .kind = "patch", .spec = "{}"}, &ids[1], &e));
  for (int k = 0; k < N; k++) {
    int i = order[k];
    char name[32];
    fv_table *t[2];
    snprintf(name, sizeof name, "s, \"%d\"", i);
    for (int w = 0; w < 2; w++) {
      OK(fv_table_new(&t[w], &e));
      rows(i, w == 1, fv_table_sink(t[w]));
    }
    fv_store_row tokens[4];
    for (int r = 0; r < 4; r++) tokens[r] = (fv_store_row){"text_encoder", r, 100 + r, r ? "star" : NULL, NULL};
    fv_store_sample one;
    fv_store_sample_defaults(&one);
    one.id = i + 1, one.name = name, one.status = "done", one.question = "what is it", one.correct_id = 11;
    one.incorrect_id = 12, one.clean_right = i != 1, one.rows = tokens, one.nrows = (size_t)rows_of(i);
    fv_store_result r[2] = {{ids[0], t[0]}, {ids[1], t[1]}};
    OK(fv_store_put(s, &one, r, 2, &e));
    fv_table_free(t[0]), fv_table_free(t[1]);
  }
  fv_store_close(s);
}

static char *bytes_of(const char *path, size_t *size) {
  char *text = file_text(path, size);
  if (!text) fail_msg("%s: is not there", path);
  return text;
}

/* CSV and archives have the same bytes for every order of storing, and the CSV is the experiment's own. */
static void test_same_bytes(void **state) {
  (void)state;
  static const int orders[2][N] = {{0, 1, 2, 3, 4}, {4, 2, 0, 3, 1}};
  int64_t count = 0;
  size_t n[2], m;
  char *csv[2], *npz[2], *own;
  for (int k = 0; k < 2; k++) {
    char *db = in_folder(k ? "b.db" : "a.db");
    make(db, orders[k]);
    OK(fv_export_csv(db, NULL, in_folder("all.csv"), &count, &e));
    OK(fv_export_csv(db, "heads", in_folder("heads.csv"), NULL, &e));
    OK(fv_export_npz(db, NULL, in_folder("all.npz"), &e));
    csv[k] = bytes_of(in_folder("all.csv"), &n[k]);
    npz[k] = bytes_of(in_folder("all.npz"), &m);
    if (k) assert_memory_equal(npz[0], npz[1], m);
  }
  assert_int_equal(n[0], n[1]);
  assert_memory_equal(csv[0], csv[1], n[0]);
  assert_int_equal(count, (4 * 3 + 4) * L * (2 + H));
  fv_table_file *f;
  OK(fv_csv_open(in_folder("own.csv"), &f, &e));
  for (int i = 0; i < N; i++) rows(i, true, fv_table_file_sink(f));
  OK(fv_table_file_commit(f, &e));
  own = bytes_of(in_folder("own.csv"), &m);
  free(csv[1]);
  csv[1] = bytes_of(in_folder("heads.csv"), &n[1]);
  assert_int_equal(n[1], m);
  assert_memory_equal(csv[1], own, m);
  free(csv[0]), free(csv[1]), free(npz[0]), free(npz[1]), free(own);
  OK(fv_export_json(in_folder("a.db"), "heads", in_folder("heads.json"), &count, &e));
  json_t *j = json_load_file(in_folder("heads.json"), 0, NULL);
  assert_int_equal(json_array_size(j), count);
  assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "sample")), "s, \"0\"");
  json_decref(j);
}

/* Of several sweeps every line says which it is of; without that column it is the line of that sweep's own table. */
static void test_sweeps_apart(void **state) {
  (void)state;
  static const char *const names[2] = {"states", "heads"};
  size_t n;
  char *own[2], *all, *at[2];
  make(in_folder("a.db"), (const int[N]){0, 1, 2, 3, 4});
  OK(fv_export_csv(in_folder("a.db"), NULL, in_folder("all.csv"), NULL, &e));
  all = bytes_of(in_folder("all.csv"), &n);
  for (int k = 0; k < 2; k++) {
    OK(fv_export_csv(in_folder("a.db"), names[k], in_folder("own.csv"), NULL, &e));
    at[k] = own[k] = bytes_of(in_folder("own.csv"), &n);
    if (k) assert_memory_equal(own[0], own[1], strcspn(own[0], "\n"));
  }
  char *line = strtok(all, "\n");
  assert_non_null(strstr(line, ",answer,sweep"));
  for (size_t lines = 0; line; line = strtok(NULL, "\n"), lines++) {
    char *last = strrchr(line, ',');
    int k = strcmp(last + 1, "heads") == 0;
    if (lines && !k) assert_string_equal(last + 1, "states");
    *last = '\0';
    for (int i = lines ? k : 0; i <= (lines ? k : 1); i++) { /* the header is in both */
      size_t length = strcspn(at[i], "\n");
      assert_int_equal(length, strlen(line));
      assert_memory_equal(at[i], line, length);
      at[i] += length + 1;
    }
  }
  assert_true(*at[0] == '\0' && *at[1] == '\0');
  free(all), free(own[0]), free(own[1]);
}

/* One array of an archive of stored members: its data, and its shape as NumPy writes it. */
static const void *array(const char *archive, size_t size, const char *name, char shape[64]) {
  size_t length = strlen(name);
  for (size_t i = 0; i + 30 < size; i++) {
    const unsigned char *h = (const unsigned char *)archive + i;
    if (memcmp(h, "PK\3\4", 4) != 0 || (size_t)(h[26] | h[27] << 8) != length + 4) continue;
    if (memcmp(h + 30, name, length) != 0 || memcmp(h + 30 + length, ".npy", 4) != 0) continue;
    const unsigned char *npy = h + 30 + length + 4 + (h[28] | h[29] << 8);
    assert_memory_equal(npy, "\x93NUMPY", 6);
    const char *text = strstr((const char *)npy + 10, "'shape': ") + 9;
    snprintf(shape, 64, "%.*s", (int)(strchr(text, ')') - text + 1), text);
    return npy + 10 + (npy[8] | npy[9] << 8);
  }
  fail_msg("no array %s", name);
  return NULL;
}
static float float_at(const void *data, size_t i) {
  float v;
  memcpy(&v, (const char *)data + 4 * i, sizeof v);
  return v;
}
static int64_t whole_at(const void *data, size_t i) {
  int64_t v;
  memcpy(&v, (const char *)data + 8 * i, sizeof v);
  return v;
}

static void test_npz(void **state) {
  (void)state;
  static const int samples[4] = {0, 1, 2, 4};
  size_t size;
  char shape[64];
  OK(fv_export_npz(in_folder("a.db"), NULL, in_folder("n.npz"), &e));
  char *z = bytes_of(in_folder("n.npz"), &size);
  const void *scores = array(z, size, "heads/text_encoder.cross.z.3/scores", shape);
  assert_string_equal(shape, "(4, 3, 2, 3)");
  for (size_t n = 0; n < 4; n++)
    for (int t = 0; t < 3; t++)
      for (int l = 0; l < L; l++)
        for (int h = 0; h < H; h++)
          assert_true(float_at(scores, ((n * 3 + (size_t)t) * L + (size_t)l) * H + (size_t)h) ==
                      number(samples[n], l, t, h));
  assert_true(isnan(float_at(array(z, size, "heads/text_encoder.cross.z.3/effect", shape), 2 * 3 * L * H)));
  scores = array(z, size, "states/text_encoder.resid_post.4/scores", shape);
  assert_string_equal(shape, "(1, 4, 2)");
  for (int t = 0; t < 4; t++)
    for (int l = 0; l < L; l++) {
      float a = number(3, l, t, -1), b = a + 0.25f;
      assert_true(float_at(scores, (size_t)(t * L + l)) == (float)(((double)a + (double)b) / 2.0));
    }
  const void *ids = array(z, size, "states/text_encoder.resid_post.3/input_ids", shape);
  assert_string_equal(shape, "(4, 3)");
  assert_int_equal(whole_at(ids, 2), 102);
  const char *right = array(z, size, "heads/text_encoder.cross.z.3/correct_prediction", shape);
  assert_memory_equal(right, "\1\0\1\1", 4);
  free(z);
}

static void test_rome_and_notice(void **state) {
  (void)state;
  size_t size;
  char shape[64];
  mkdir(in_folder("rome"), 0777), mkdir(in_folder("notice"), 0777);
  OK(fv_export_rome(in_folder("a.db"), NULL, in_folder("rome"), &e));
  assert_int_equal(folder_count(in_folder("rome")), N * (1 + H));
  char *z = bytes_of(in_folder("rome/knowledge_s___3__heads_text_encoder.cross.z_head_1.npz"), &size);
  assert_memory_equal(array(z, size, "kind", shape), "a\0\0\0t\0\0\0t\0\0\0n\0\0\0", 16); /* cross.z, in ROME's word */
  const void *scores = array(z, size, "scores", shape);
  assert_string_equal(shape, "(4, 2)");
  assert_true(float_at(scores, 2 * L + 1) == number(3, 1, 2, 1));
  assert_memory_equal(array(z, size, "correct_prediction", shape), "\1", 1);
  free(z);
  z = bytes_of(in_folder("rome/knowledge_s___1__heads_text_encoder.cross.z_head_1.npz"), &size);
  assert_memory_equal(array(z, size, "correct_prediction", shape), "\0", 1);
  free(z);
  OK(fv_export_notice(in_folder("a.db"), NULL, in_folder("notice"), &e));
  assert_int_equal(folder_count(in_folder("notice")), H); /* the trace has no incorrect answer */
  z = bytes_of(in_folder("notice/BLIP_temp_list_heads_image_corruption_text_encoder_crossattention_block_head_2_5.npz"),
               &size);
  scores = array(z, size, "3/scores", shape);
  assert_string_equal(shape, "(4, 2, 4)");
  float p = number(3, 1, 2, 2);
  const float expected[4] = {p, p - 0.125f, 2.0f * p + 2.0f, (2.0f * p + 2.0f) / 6.0f};
  for (size_t k = 0; k < 4; k++) assert_true(float_at(scores, (size_t)(2 * L + 1) * 4 + k) == expected[k]);
  assert_true(isnan(float_at(array(z, size, "2/scores", shape), 3)));
  for (int k = 2; k < 4; k++) { /* without a patch nothing has changed; where nothing could, the effect has no value */
    const void *low = array(z, size, k == 2 ? "2/low_score" : "3/low_score", shape);
    for (size_t i = 0; i < 3; i++) assert_true(float_at(low, i) == (i ? 0.0f : 0.125f));
    assert_true(k == 2 ? isnan(float_at(low, 3)) : float_at(low, 3) == 0.0f);
  }
  assert_int_equal(whole_at(array(z, size, "3/incorrect_token", shape), 0), 12);
  assert_int_equal(whole_at(array(z, size, "0/attn_head", shape), 0), 2);
  assert_int_equal(whole_at(array(z, size, "count", shape), 0), N);
  free(z);
}

static void make_control(const char *path) {
  fv_store *s;
  int64_t id;
  make(path, (const int[N]){0, 1, 2, 3, 4});
  OK(fv_store_open(path, FV_STORE_WRITE, &s, &e));
  OK(fv_store_exec(s, "UPDATE samples SET answer_id = CASE id WHEN 4 THEN 23 ELSE 11 END", &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){3, "control", "patch", "{\"answers\":\"shuffled\"}"}, &id, &e));
  for (int i = 0; i < N; i++) {
    relabelling r = {.sample = i};
    fv_table *t;
    OK(fv_table_new(&t, &e));
    r.sink = fv_table_sink(t);
    rows(i, true, (fv_sink){&r, relabel});
    OK(fv_store_put_results(s, i + 1, &(fv_store_result){id, t}, 1, &e));
    fv_table_free(t);
  }
  fv_store_close(s);
}

static void expect_token(const char *archive, const char *name, size_t at, int64_t expected) {
  size_t size;
  char shape[64], *z = bytes_of(in_folder(archive), &size);
  int64_t found = whole_at(array(z, size, name, shape), at);
  if (found != expected) fail_msg("%s %s: %lld, expected %lld", archive, name, (long long)found, (long long)expected);
  free(z);
}

/* A control's tokens are the pair that was scored. A database of version 1 does not say the second of it, neither when
 * it is read nor when it has been brought up to date; of other sweeps it says both. */
static void test_control(void **state) {
  (void)state;
  fv_store *s;
  size_t size;
  make_control(in_folder("control.db"));
  for (int way = 0; way < 3; way++) { /* as it is, of version 1, brought up to date */
    int64_t version;
    char folder_name[16], notice[160], shape[64];
    if (way) OK(fv_store_open(in_folder("control.db"), FV_STORE_WRITE, &s, &e));
    if (way == 1) OK(fv_store_exec(s, "ALTER TABLE bases DROP COLUMN incorrect_id; PRAGMA user_version = 1", &e));
    if (way) fv_store_close(s);
    OK(fv_store_open(in_folder("control.db"), FV_STORE_READ, &s, &e));
    OK(fv_store_integer(s, "PRAGMA user_version", &version, &e));
    assert_int_equal(version, way == 1 ? 1 : 2);
    fv_store_close(s);
    OK(fv_export_npz(in_folder("control.db"), NULL, in_folder("control.npz"), &e));
    expect_token("control.npz", "states/text_encoder.resid_post.3/correct_token", 3, 11);
    expect_token("control.npz", "states/text_encoder.resid_post.3/incorrect_token", 3, 12);
    expect_token("control.npz", "heads/text_encoder.cross.z.3/correct_token", 3, 11);
    expect_token("control.npz", "heads/text_encoder.cross.z.3/incorrect_token", 3, 12);
    expect_token("control.npz", "control/text_encoder.cross.z.3/correct_token", 3, 24);
    expect_token("control.npz", "control/text_encoder.cross.z.3/incorrect_token", 3, way ? -1 : 34);
    char *z = bytes_of(in_folder("control.npz"), &size);
    assert_memory_equal(array(z, size, "control/text_encoder.cross.z.3/correct_prediction", shape), "\0\0\0\0", 4);
    assert_memory_equal(array(z, size, "control/text_encoder.cross.z.4/correct_prediction", shape), "\1", 1);
    free(z);
    snprintf(folder_name, sizeof folder_name, "notice-%d", way);
    mkdir(in_folder(folder_name), 0777);
    OK(fv_export_notice(in_folder("control.db"), "control", in_folder(folder_name), &e));
    snprintf(notice, sizeof notice,
             "%s/BLIP_temp_list_control_image_corruption_text_encoder_crossattention_block_head_2_5.npz", folder_name);
    expect_token(notice, "1/correct_token", 0, 21);
    expect_token(notice, "1/incorrect_token", 0, way ? -1 : 31);
  }
}

static void test_refused(void **state) {
  (void)state;
  fv_store *s;
  size_t size;
  FAILS(FV_ENOTFOUND, "it has: states, heads", fv_export_csv(in_folder("a.db"), "head", in_folder("x"), NULL, &e));
  FAILS(FV_ENOTFOUND, "it has: states, heads", fv_export_npz(in_folder("a.db"), "head", in_folder("x"), &e));
  FAILS(FV_ENOTFOUND, "correct and an incorrect", fv_export_notice(in_folder("a.db"), "states", folder, &e));
  FAILS(FV_ENOTFOUND, "none.db", fv_export_rome(in_folder("none.db"), NULL, folder, &e));
  file_write(in_folder("text.db"), "not a database", 14);
  FAILS(FV_EFORMAT, "text.db", fv_export_json(in_folder("text.db"), NULL, in_folder("x"), NULL, &e));
  OK(fv_store_open(in_folder("empty.db"), FV_STORE_CREATE, &s, &e));
  fv_store_close(s);
  FAILS(FV_ENOTFOUND, "no results", fv_export_csv(in_folder("empty.db"), NULL, in_folder("x"), NULL, &e));
  FAILS(FV_ENOTFOUND, "no results", fv_export_npz(in_folder("empty.db"), NULL, in_folder("x"), &e));
  assert_null(file_text(in_folder("x"), &size));
  /* Numbers that no model has ask for no memory. */
  make(in_folder("damaged.db"), (const int[N]){0, 1, 2, 3, 4});
  OK(fv_store_open(in_folder("damaged.db"), FV_STORE_WRITE, &s, &e));
  OK(fv_store_exec(s, "UPDATE cells SET row = 1099511627776 WHERE n = 3", &e));
  fv_store_close(s);
  FAILS(FV_EFORMAT, "out of range", fv_export_npz(in_folder("damaged.db"), NULL, in_folder("x"), &e));
  FAILS(FV_EFORMAT, "out of range", fv_report_write(in_folder("damaged.db"), in_folder("x"), NULL, &e));
}

static void expect_run(int status, const char *says, const char *line) {
  const program_variable vars[] = {{"D", folder}, {NULL, NULL}};
  program_result r;
  program_run(&(program_options){0}, &r, line, vars);
  if (r.status != status || !strstr(r.err, says)) fail_msg("%s\nstatus %d\n%s", line, r.status, r.err);
  program_release(&r);
}

/* The command: folders are new or empty, nothing stays behind a failure, tables go to standard output or a file. */
static void test_command(void **state) {
  (void)state;
  expect_run(2, "say what to write", "fovea export $D/a.db");
  expect_run(2, "unexpected argument", "fovea export $D/a.db $D/b.db --csv -");
  expect_run(2, "both want the standard output", "fovea export $D/a.db --json --csv -");
  expect_run(2, "cannot be a file that the run reads", "fovea export $D/a.db --csv $D/a.db");
  size_t before = folder_count(folder), size;
  expect_run(1, "has no sweep",
             "fovea export $D/a.db --sweep x --csv $D/c.csv --npz $D/c.npz --rome $D/c --notice $D/d");
  assert_int_equal(folder_count(folder), before);
  expect_run(1, "not an empty folder", "fovea export $D/a.db --rome $D/rome");
  expect_run(0, "rows",
             "fovea export $D/a.db --sweep heads --csv $D/c.csv --json $D/c.json --rome $D/c --notice $D/d/");
  assert_int_equal(folder_count(folder), before + 4);
  assert_int_equal(folder_count(in_folder("c")), N * H);
  char *a = bytes_of(in_folder("c.csv"), &size), *b = bytes_of(in_folder("heads.csv"), &size);
  assert_string_equal(a, b);
  free(a), free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_sweeps_apart),
                                     cmocka_unit_test(test_npz),        cmocka_unit_test(test_rome_and_notice),
                                     cmocka_unit_test(test_control),    cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_command)};
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
