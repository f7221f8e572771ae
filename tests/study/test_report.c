/* Reports: hostile texts stay texts, numbers are the table's, pages stay small, and a browser shows what they hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "fovea/heads.h"
#include "fovea/report.h"
#include "study/store_inside.h"
#include "study_tests.h"
#include "support/browser.h"

#define PICTURE FV_SOURCE_DIR "/examples/images/red-circle-blue-square.png"
#define HOSTILE "</script><script>alert(1)</script><!-- <s> &lt; \"'\xE2\x80\xA8 \\u003c"

/* Any number, the same for the same place. */
static float number(int sample, int sweep, int layer, int row, int head) {
  uint32_t h = 2166136261u;
  const int parts[] = {sample, sweep, layer, row, head};
  for (int i = 0; i < 5; i++) h = (h ^ (uint32_t)parts[i]) * 16777619u, h ^= h >> 13;
  return (float)(h % 20011) / 20011.0f - 0.25f;
}

static const char *const pieces[] = {"[CLS]", "what", "color", "<s>", "star", "[SEP]", "a", "b", "c"};

/* A sweep over all rows, layers and heads (heads 0: none). */
static fv_table *made_up(int sample, int sweep, int layers, int rows, int heads) {
  fv_table *t;
  OK(fv_table_new(&t, &e));
  fv_sink sink = fv_table_sink(t);
  char corrupt[64];
  snprintf(corrupt, sizeof corrupt, "image:picture-%d.png", sample);
  for (int l = 0; l < layers; l++)
    for (int r = 0; r < rows; r++)
      for (int h = heads ? 0 : -1; h < heads; h++) {
        fv_row row;
        fv_row_defaults(&row);
        row.draw = 0, row.corrupt = corrupt, row.stack = "text_encoder", row.site = heads ? "cross.z" : "resid_post";
        row.layer = l, row.window = 1, row.row = r, row.piece = pieces[r % 9], row.head = h, row.op = "denoise";
        row.effect = number(sample, sweep, l, r, h), row.prob = 0.5f, row.logit_diff = 3.0f * row.effect - 1.0f;
        row.clean_prob = 0.9f, row.corrupt_prob = 0.1f, row.clean_logit_diff = 2.0f, row.corrupt_logit_diff = -1.0f;
        row.answer_id = 4, row.answer = "red";
        OK(sink.row(sink.user, &row, &e));
      }
  return t;
}

typedef struct plan {
  const char *name, *reason, *question;
  int samples, layers, rows, heads;
} plan;

static void make(const char *path, const plan *p) {
  fv_store *s;
  int64_t ids[2];
  OK(fv_store_open(path, FV_STORE_CREATE, &s, &e));
  OK(fv_store_manifest_set(s, "name", p->name, &e));
  OK(fv_store_manifest_set(s, "model", "models/blip-demo", &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.name = "states", .kind = "patch", .spec = "{\"heads\":\"all\"}"}, &ids[0],
                        &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.name = "heads", .kind = "patch", .spec = "{\"heads\":\"each\"}"}, &ids[1],
                        &e));
  for (int i = 0; i < p->samples; i++) {
    char name[32];
    snprintf(name, sizeof name, "sample-%d", i);
    bool out = i > 0 && i % 10 == 0;
    fv_table *t[2] = {made_up(i, 0, p->layers, p->rows, 0), made_up(i, 1, p->layers, p->rows, p->heads)};
    fv_store_sample one;
    fv_store_sample_defaults(&one);
    one.id = i + 1, one.name = name, one.status = out ? "excluded" : "done", one.reason = out ? p->reason : NULL;
    one.group = i % 2 ? "odd" : "even", one.question = p->question, one.correct = "red", one.incorrect = "blue";
    one.image = PICTURE, one.corrupt_image = i == 1 ? "nowhere/at all.png" : PICTURE, one.answer = "red";
    one.clean_right = 1, one.answer_row = 2;
    if (i == 2) one.image_sha256 = "00";
    fv_store_result r[2] = {{ids[0], t[0]}, {ids[1], t[1]}};
    OK(fv_store_put(s, &one, r, out ? 0 : 2, &e));
    fv_table_free(t[0]), fv_table_free(t[1]);
  }
  fv_store_close(s);
}

static void add_check(const char *path, const char *what, double value) {
  fv_store *s;
  char sql[256];
  OK(fv_store_open(path, FV_STORE_WRITE, &s, &e));
  snprintf(sql, sizeof sql,
           "INSERT INTO checks(name, sweep, what, value, low, high, n) VALUES('ablation','heads','%s',%g,%g,%g,20)",
           what, value, value - 0.1, value + 0.1);
  OK(fv_store_exec(s, sql, &e));
  fv_store_close(s);
}

/* The data that a page holds. */
static json_t *page_data(const char *html) {
  const char *begin = strstr(html, "id=\"data\">");
  assert_non_null(begin);
  begin += strlen("id=\"data\">");
  json_error_t detail;
  json_t *data = json_loadb(begin, (size_t)(strstr(begin, "</script>") - begin), JSON_REJECT_DUPLICATES, &detail);
  if (!data) fail_msg("the page's data: %s (line %d)", detail.text, detail.line);
  return data;
}

static size_t times(const char *text, const char *word) {
  size_t n = 0;
  for (const char *s = text; (s = strstr(s, word)); s += strlen(word)) n++;
  return n;
}

/* The map of a sweep over everything, of this length (0: pooled). */
static json_t *map_of(json_t *data, int sweep, int length) {
  size_t i;
  json_t *m;
  json_array_foreach(json_object_get(data, "maps"), i, m) {
    if (json_integer_value(json_object_get(m, "sweep")) != sweep || !json_is_null(json_object_get(m, "group")))
      continue;
    if (json_integer_value(json_object_get(m, "length")) == length) return m;
  }
  fail_msg("no map of sweep %d, length %d", sweep, length);
  return NULL;
}

static double mean_at(const json_t *map, const char *metric, size_t i) {
  return json_number_value(json_array_get(json_object_get(json_object_get(map, "mean"), metric), i));
}

/* Whatever the texts are, the page has one data element and one script, and the texts are read back as they were. */
static void test_hostile(void **state) {
  (void)state;
  plan p = {.name = HOSTILE,
            .reason = HOSTILE "2",
            .question = HOSTILE "3",
            .samples = 12,
            .layers = 2,
            .rows = 4,
            .heads = 2};
  size_t size, i;
  make(in_folder("hostile.db"), &p);
  add_check(in_folder("hostile.db"), "<img src=x onerror=alert(2)>", 0.5);
  OK(fv_report_write(in_folder("hostile.db"), in_folder("hostile.html"), NULL, &e));
  char *html = file_text(in_folder("hostile.html"), &size);
  assert_int_equal(times(html, "<script"), 5);
  assert_int_equal(times(html, "</script"), 5);
  assert_null(strstr(html, "<!--"));
  assert_null(strstr(html, "<s>"));
  assert_null(strstr(html, "<img src=x"));
  assert_int_equal(times(html, "http://"), 1); /* the name of SVG, which is no address to fetch */
  assert_non_null(strstr(html, "http://www.w3.org/2000/svg"));
  assert_null(strstr(html, "https://"));
  assert_non_null(strstr(html, "default-src 'none'"));
  assert_non_null(strstr(html, "<title>&#60;/script&#62;&#60;script&#62;alert(1)"));
  json_t *data = page_data(html), *s;
  assert_string_equal(json_string_value(json_object_get(data, "title")), HOSTILE);
  json_array_foreach(json_object_get(data, "samples"), i, s) {
    assert_string_equal(json_string_value(json_object_get(s, "question")), HOSTILE "3");
    if (i == 10) assert_string_equal(json_string_value(json_object_get(s, "reason")), HOSTILE "2");
  }
  json_t *counts = json_object_get(data, "counts");
  assert_int_equal(json_integer_value(json_object_get(counts, "done")), 11);
  assert_int_equal(json_integer_value(json_object_get(counts, "excluded")), 1);
  assert_int_equal(json_integer_value(json_object_get(counts, "pictures_missing")), 1);
  json_decref(data);
  free(html);
}

/* Bytes that are not UTF-8 become U+FFFD and break nothing. */
static void test_not_utf8(void **state) {
  (void)state;
  plan p = {
      .name = "caf\xE9 \xF0\x9F", .reason = "", .question = "\xFF", .samples = 1, .layers = 1, .rows = 1, .heads = 1};
  size_t size;
  make(in_folder("latin.db"), &p);
  OK(fv_report_write(in_folder("latin.db"), in_folder("latin.html"), NULL, &e));
  char *html = file_text(in_folder("latin.html"), &size);
  json_t *data = page_data(html);
  assert_string_equal(json_string_value(json_object_get(data, "title")), "caf\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD");
  json_decref(data);
  free(html);
}

/* A sample's own map has the table's numbers; means are those of the table, by length, pooled and by group. */
static void test_numbers(void **state) {
  (void)state;
  enum { N = 7, L = 3, T = 4, H = 2 };
  plan p = {.name = "numbers", .reason = "", .question = "what", .samples = N, .layers = L, .rows = T, .heads = H};
  size_t size;
  make(in_folder("numbers.db"), &p);
  OK(fv_report_write(in_folder("numbers.db"), in_folder("numbers.html"), NULL, &e));
  char *html = file_text(in_folder("numbers.html"), &size);
  json_t *data = page_data(html), *lengths = map_of(data, 1, T), *pool = map_of(data, 1, 0);
  assert_int_equal(json_integer_value(json_object_get(lengths, "samples")), N);
  for (int r = 0; r < T; r++)
    for (int l = 0; l < L; l++)
      for (int h = 0; h < H; h++) {
        double sum = 0.0;
        for (int i = 0; i < N; i++) sum += (double)number(i, 1, l, r, h);
        size_t k = (size_t)((r * L + l) * H + h);
        assert_true((float)mean_at(lengths, "effect", k) == (float)(sum / N));
        if (r == 2) assert_true((float)mean_at(pool, "effect", (size_t)(l * H + h)) == (float)(sum / N));
        json_t *own = json_array_get(json_object_get(json_array_get(json_object_get(data, "samples"), 5), "values"), 1);
        float stored = number(5, 1, l, r, h);
        assert_true((float)json_number_value(json_array_get(json_object_get(own, "effect"), k)) == stored);
      }
  for (int l = 0; l < L; l++) {
    double sum = 0.0;
    for (int i = 0; i < N; i++)
      for (int r = 0; r < T; r++) sum += (double)number(i, 1, l, r, 1);
    assert_true(fabs(mean_at(pool, "effect", (size_t)(L * H + l * H + 1)) - sum / (N * T)) < 1e-7);
  }
  assert_string_equal(json_string_value(json_array_get(json_object_get(lengths, "pieces"), 3)), "<s>");
  assert_int_equal(json_array_size(json_object_get(data, "groups")), 2);
  json_decref(data);
  free(html);
}

/* Circuits are those of fv_heads_read and fv_circuit_find, over all samples and by group. */
static void test_circuits(void **state) {
  (void)state;
  plan p = {.name = "circuits", .reason = "", .question = "what", .samples = 9, .layers = 3, .rows = 4, .heads = 3};
  size_t size, i, n = 0;
  fv_report_options o;
  fv_report_defaults(&o);
  o.threshold = 0.5;
  make(in_folder("circuits.db"), &p);
  OK(fv_report_write(in_folder("circuits.db"), in_folder("circuits.html"), &o, &e));
  char *html = file_text(in_folder("circuits.html"), &size);
  json_t *data = page_data(html), *c, *h;
  fv_store *s;
  OK(fv_store_open(in_folder("circuits.db"), FV_STORE_READ, &s, &e));
  assert_int_equal(json_array_size(json_object_get(data, "circuits")), 3);
  json_array_foreach(json_object_get(data, "circuits"), i, c) {
    static const char *const groups[] = {NULL, "even", "odd"};
    fv_heads_query q = {.sweep = "heads", .group = groups[i]};
    fv_circuit_options options;
    fv_circuit found = {0};
    fv_heads heads = {0};
    size_t k;
    fv_circuit_defaults(&options);
    options.threshold = 0.5;
    OK(fv_heads_read(s, &q, &heads, &e));
    OK(fv_circuit_find(heads.values, heads.samples, heads.layers, heads.heads, &options, &found, &e));
    assert_int_equal(json_integer_value(json_object_get(c, "samples")), found.samples);
    assert_int_equal(json_integer_value(json_object_get(c, "size")), found.size);
    json_array_foreach(json_object_get(c, "heads"), k, h) {
      assert_true((float)json_number_value(json_object_get(h, "importance")) == (float)found.list[k].importance);
      assert_true((float)json_number_value(json_object_get(h, "high")) == (float)found.list[k].high);
      assert_int_equal(json_is_true(json_object_get(h, "inside")), found.list[k].in_circuit);
      n += found.list[k].in_circuit;
    }
    assert_int_equal(k, 9);
    fv_circuit_release(&found);
    fv_heads_release(&heads);
  }
  if (n == 0) fail_msg("no head is in a circuit: the test says nothing");
  fv_store_close(s);
  json_decref(data);
  free(html);
}

/* The page's size is bounded by the options; all samples are in the means. */
static void test_size(void **state) {
  (void)state;
  plan p = {.name = "large",
            .reason = "",
            .question = "what color is it",
            .samples = 120,
            .layers = 6,
            .rows = 9,
            .heads = 6};
  size_t size, i, with = 0;
  fv_report_options o;
  fv_report_defaults(&o);
  o.listed = 100, o.pictures = 3, o.numbers = 20000;
  make(in_folder("large.db"), &p);
  OK(fv_report_write(in_folder("large.db"), in_folder("large.html"), &o, &e));
  char *html = file_text(in_folder("large.html"), &size);
  json_t *data = page_data(html), *s;
  assert_int_equal(json_array_size(json_object_get(data, "samples")), 100);
  json_array_foreach(json_object_get(data, "samples"), i, s) with += json_object_get(s, "values") != NULL;
  assert_in_range(with, 1, 20000 / (9 * 6 * 7));
  assert_int_equal(json_integer_value(json_object_get(json_object_get(data, "counts"), "with_maps")), with);
  assert_int_equal(json_array_size(json_object_get(data, "pictures")), 1 + 1); /* one is missing, one changed */
  assert_int_equal(json_integer_value(json_object_get(map_of(data, 0, 9), "samples")), 109);
  if (size > 700000) fail_msg("the page has %zu bytes", size);
  json_decref(data);
  free(html);
}

static char *formatted(float v) {
  static char text[FV_NUMBER_TEXT];
  fv_number_format(text, v);
  return text;
}

/* In a browser: no complaints, the pictures are there, and a cell's readout has the digits of the table. */
static void test_browser(void **state) {
  (void)state;
  if (!browser_present()) skip();
  plan p = {.name = HOSTILE, .reason = HOSTILE, .question = HOSTILE, .samples = 12, .layers = 3, .rows = 5, .heads = 2};
  char *console, *dom, text[256];
  make(in_folder("seen.db"), &p);
  add_check(in_folder("seen.db"), "accuracy without the circuit", 0.25);
  OK(fv_report_write(in_folder("seen.db"), in_folder("seen.html"), NULL, &e));
  dom = browser_open(in_folder("seen.html"), "sample=sample-3&cell=text_encoder.1.cross.z%231@3", &console);
  assert_string_equal(console, "");
  snprintf(text, sizeof text, "text_encoder.1.cross.z#1@3 (row 3 “&lt;s&gt;”): effect %s,",
           formatted(number(3, 1, 1, 3, 1)));
  if (!strstr(dom, text)) fail_msg("the page does not say: %s", text);
  assert_non_null(strstr(dom, "<img src=\"data:image/webp;base64,"));
  assert_non_null(strstr(dom, "accuracy without the circuit"));
  assert_null(strstr(dom, "<script>alert"));
  free(dom), free(console);
  double sum = 0.0;
  for (int i = 0; i < 12; i++) sum += i == 10 ? 0.0 : (double)number(i, 0, 2, 4, -1);
  dom = browser_open(in_folder("seen.html"), "cell=text_encoder.2.resid_post@4", &console);
  assert_string_equal(console, "");
  snprintf(text, sizeof text, "text_encoder.2.resid_post@4 (row 4 “star”): effect %s, mean of 11 runs",
           formatted((float)(sum / 11)));
  if (!strstr(dom, text)) fail_msg("the page does not say: %s", text);
  free(dom), free(console);
  /* The metrics that a study names, the first one first. */
  fv_store *s;
  OK(fv_store_open(in_folder("seen.db"), FV_STORE_WRITE, &s, &e));
  OK(fv_store_manifest_set(s, "options", "{\"metrics\":[\"prob\",\"effect\"]}", &e));
  fv_store_close(s);
  OK(fv_report_write(in_folder("seen.db"), in_folder("seen.html"), NULL, &e));
  dom = browser_open(in_folder("seen.html"), "cell=text_encoder.2.resid_post@4", &console);
  assert_string_equal(console, "");
  assert_non_null(strstr(dom, "text_encoder.2.resid_post@4 (row 4 “star”): prob "));
  free(dom), free(console);
}

/* What `fovea circuit --confirm` stores: the accuracies as dots, and p with them and in short, but not as a share. */
static void test_confirmed(void **state) {
  (void)state;
  if (!browser_present()) skip();
  plan p = {.name = "confirmed", .reason = "", .question = "what", .samples = 3, .layers = 1, .rows = 2, .heads = 2};
  fv_store *s;
  char *console, *dom;
  make(in_folder("confirmed.db"), &p);
  add_check(in_folder("confirmed.db"), "accuracy", 0.875);
  add_check(in_folder("confirmed.db"), "accuracy without the circuit", 0.25);
  add_check(in_folder("confirmed.db"), "accuracy without random heads", 0.75);
  OK(fv_store_open(in_folder("confirmed.db"), FV_STORE_WRITE, &s, &e));
  OK(fv_store_exec(s,
                   "INSERT INTO checks(name, sweep, what, value, n)"
                   " VALUES('ablation', 'heads', 'p against random heads', 3.0 / 16, 15)",
                   &e));
  fv_store_close(s);
  OK(fv_report_write(in_folder("confirmed.db"), in_folder("confirmed.html"), NULL, &e));
  dom = browser_open(in_folder("confirmed.html"), "", &console);
  assert_string_equal(console, "");
  assert_non_null(strstr(dom,
                         "<b class=\"number\">75.0 %</b> [65.0, 85.0] with as many other heads at random"
                         " (15 sets, <i>p</i> = 0.188). "));
  assert_non_null(strstr(dom,
                         "<i>p</i> = 0.188: without 2 of 15 random sets of heads there are as few right answers as"
                         " without the circuit."));
  assert_int_equal(times(dom, "p against random heads</td>"), 1); /* among the numbers, and no dot of the figure */
  assert_null(strstr(dom, "p against random heads</text>"));
  assert_non_null(strstr(dom, "accuracy without random heads</text>"));
  free(dom), free(console);
}

/* The pointer and the keys, moved by a script that is put into a copy of the page without its policy: the tip and the
 * readout have the digits of the table. */
static void test_pointer_and_keys(void **state) {
  (void)state;
  static const char script[] =
      "<script>const s = document.querySelector('figure svg'), box = s.querySelectorAll('rect.grid')[3 * 3 + 1]"
      ".getBoundingClientRect();\n"
      "s.dispatchEvent(new PointerEvent('pointermove', {clientX: box.x + box.width / 2, clientY: box.y + box.height / "
      "2}));\n"
      "const key = k => s.dispatchEvent(new KeyboardEvent('keydown', {key: k}));\n"
      "for (const k of ['Home', 'ArrowDown', 'ArrowRight', 'ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowDown', "
      "'ArrowUp']) key(k);\n"
      "document.body.dataset.tip = document.querySelector('.tip').textContent;\n"
      "document.body.dataset.ticks = [1200, 30000, 0, 0.25, 99999].map(v => tick(v)).join(' ');\n"
      "const scale = makeScale('rank', [[0, 1200, 30000]]), share = makeScale('prob', [[0, 1e-6, 1]]);\n"
      "document.body.dataset.cells = [brief(1200, scale), brief(0, share), brief(1e-6, share), brief(1, share)].join(' "
      "');\n"
      "document.body.dataset.keys = document.querySelector('figure output').textContent;</script></body>";
  if (!browser_present()) skip();
  plan p = {.name = "keys", .reason = "", .question = "what", .samples = 1, .layers = 3, .rows = 5, .heads = 2};
  char *console, *dom, text[256];
  size_t size;
  make(in_folder("keys.db"), &p);
  OK(fv_report_write(in_folder("keys.db"), in_folder("keys.html"), NULL, &e));
  char *html = file_text(in_folder("keys.html"), &size), *moved = calloc(size + sizeof script, 1);
  char *policy = strstr(html, "<meta http-equiv"), *end = strstr(html, "</body>");
  memset(policy, ' ', (size_t)(strchr(policy, '>') - policy) + 1);
  memcpy(moved, html, (size_t)(end - html));
  strcat(strcat(moved, script), end + strlen("</body>"));
  file_write(in_folder("moved.html"), moved, strlen(moved));
  dom = browser_open(in_folder("moved.html"), "", &console);
  assert_string_equal(console, "");
  snprintf(text, sizeof text, "data-tip=\"text_encoder.1.resid_post@3 (row 3 “&lt;s&gt;”): effect %s\"",
           formatted(number(0, 0, 1, 3, -1)));
  char *also = strstr(dom, "data-tip=");
  if (!strstr(dom, text)) fail_msg("expected %s, found %.120s", text, also ? also : "nothing");
  assert_non_null(strstr(dom, "data-ticks=\"1200 30000 0 0.25 100000\""));
  assert_non_null(strstr(dom, "data-cells=\"1200 0 0.00 1.00\""));
  snprintf(text, sizeof text, "data-keys=\"text_encoder.1.resid_post@3 (row 3 “&lt;s&gt;”): effect %s\"",
           formatted(number(0, 0, 1, 3, -1)));
  also = strstr(dom, "data-keys=");
  if (!strstr(dom, text)) fail_msg("expected %s, found %.120s", text, also ? also : "nothing");
  free(dom), free(console), free(html), free(moved);
}

/* A picture's rows within a text have one piece; the page names them by their places, as addresses do. Two draws: what
 * is said of the runs without a patch is their mean. */
static void test_picture_in_a_text(void **state) {
  (void)state;
  fv_table *t;
  OK(fv_table_new(&t, &e));
  fv_sink sink = fv_table_sink(t);
  for (int draw = 0; draw < 2; draw++)
    for (int r = 0; r < 11; r++) {
      fv_row row;
      fv_row_defaults(&row);
      row.draw = draw, row.corrupt = "gray", row.stack = "language", row.site = "resid_post", row.layer = 0;
      row.window = 1, row.row = r, row.piece = r == 0 ? "<s>" : r == 10 ? "what" : "<image>", row.op = "replace";
      row.prob = 0.0625f * (float)r, row.clean_prob = 1.0f, row.corrupt_prob = draw ? 0.5f : 0.25f;
      OK(sink.row(sink.user, &row, &e));
    }
  fv_page_sample sample = {.question = "what", .answer = "red", .answer_row = -1};
  fv_page page = {.title = "trace", .kind = "trace", .samples = &sample, .nsamples = 1};
  OK(fv_page_write(in_folder("places.html"), &page, t, NULL, &e));
  fv_table_free(t);
  if (!browser_present()) skip();
  char *console, *dom = browser_open(in_folder("places.html"), "cell=language.0.resid_post@6", &console);
  assert_string_equal(console, "");
  assert_non_null(strstr(dom, "language.0.resid_post@6 (row 6, image[1,2]): prob 0.375"));
  assert_non_null(strstr(dom, "over the picture's patches, layer 0"));
  assert_non_null(strstr(dom, ", probability <b class=\"number\">1.000</b> clean and <b class=\"number\">0.375</b>"));
  free(dom), free(console);
}

/* Three samples of two draws and other words: a spread is over the samples, whose draws are averaged first, and a
 * sample's own map has its own words. */
static void test_draws_and_words(void **state) {
  (void)state;
  enum { N = 3, DRAWS = 2 };
  static const float prob[N][DRAWS] = {{0.125f, 0.25f}, {0.5f, 0.375f}, {0.875f, 0.875f}};
  static const char *const words[N] = {"circle", "circle", "star"};
  static const char asked[] = "{\"corrupt\":[],\"draws\":2,\"site\":[],\"target\":\"correct\",\"window\":1}";
  fv_store *s;
  int64_t sweep;
  size_t size;
  OK(fv_store_open(in_folder("draws.db"), FV_STORE_CREATE, &s, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.name = "t", .kind = "trace", .spec = asked}, &sweep, &e));
  for (int i = 0; i < N; i++) {
    fv_table *t;
    OK(fv_table_new(&t, &e));
    fv_sink sink = fv_table_sink(t);
    for (int k = 0; k < DRAWS; k++) {
      fv_row row;
      fv_row_defaults(&row);
      row.draw = k, row.corrupt = "gray", row.stack = "text_encoder", row.site = "resid_post", row.layer = 0;
      row.window = 1, row.row = 0, row.piece = words[i], row.op = "replace", row.prob = prob[i][k];
      row.clean_prob = 1.0f, row.corrupt_prob = 0.0f, row.rank = 1200;
      OK(sink.row(sink.user, &row, &e));
    }
    fv_store_sample one;
    fv_store_sample_defaults(&one);
    one.id = i + 1, one.name = i == 2 ? "third" : i ? "second" : "first", one.status = "done";
    OK(fv_store_put(s, &one, &(fv_store_result){sweep, t}, 1, &e));
    fv_table_free(t);
  }
  fv_store_close(s);
  OK(fv_report_write(in_folder("draws.db"), in_folder("draws.html"), NULL, &e));
  char *html = file_text(in_folder("draws.html"), &size);
  json_t *data = page_data(html), *map = map_of(data, 0, 1), *own;
  assert_true((float)mean_at(map, "prob", 0) == 0.5f && (float)mean_at(map, "restored", 0) == 0.5f);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(json_object_get(map, "n"), "prob"), 0)), 6);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(json_object_get(map, "of"), "prob"), 0)), 3);
  /* of 0.1875, 0.4375, 0.875: sqrt(((5/16)^2 + (1/16)^2 + (6/16)^2) / 2) = 0.3480 */
  double sd = json_number_value(json_array_get(json_object_get(json_object_get(map, "sd"), "prob"), 0));
  assert_true(fabs(sd - 0.348) < 1e-6);
  assert_string_equal(json_string_value(json_array_get(json_object_get(map, "pieces"), 0)), "circle");
  own = json_array_get(json_object_get(json_array_get(json_object_get(data, "samples"), 2), "values"), 0);
  assert_string_equal(json_string_value(json_array_get(json_object_get(own, "pieces"), 0)), "star");
  json_decref(data);
  free(html);
  if (!browser_present()) return;
  char *console, *dom = browser_open(in_folder("draws.html"), "cell=text_encoder.0.resid_post@0", &console);
  assert_string_equal(console, "");
  assert_non_null(
      strstr(dom, "(row 0 “circle” in 66.7 % of the runs): prob 0.5, mean of 6 runs of 3 samples, sd 0.348"));
  assert_non_null(
      strstr(dom, "Mean over 3 samples with 1 row, 2 draws each; probability of the answer 1.000 clean, 0 corrupted."));
  /* What the sweep left to the command, and what changes the numbers. */
  assert_non_null(strstr(dom, "<span>text_encoder.<wbr>*.<wbr>resid_post</span>"));
  assert_non_null(strstr(dom, "<span>gray</span>"));
  assert_non_null(strstr(dom, "<span>correct</span>"));
  /* 0.5 - 1.96 * 0.348 / sqrt(3) = 0.106 */
  assert_non_null(strstr(dom, "<b class=\"number\">0.500</b> [0.106, 0.894] over 3 samples"));
  free(dom), free(console);
  dom = browser_open(in_folder("draws.html"), "sample=third&cell=text_encoder.0.resid_post@0", &console);
  assert_non_null(strstr(dom, "(row 0 “star”): prob 0.875 (mean of 2 draws)"));
  free(dom), free(console);
}

/* The row of the answer is one of the question's: in another stack the row of that number is as any other. */
static void test_rows_of_the_picture(void **state) {
  (void)state;
  fv_store *s;
  int64_t sweep;
  size_t size;
  fv_table *t;
  OK(fv_store_open(in_folder("rows.db"), FV_STORE_CREATE, &s, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){.name = "p", .kind = "patch", .spec = "{}"}, &sweep, &e));
  OK(fv_table_new(&t, &e));
  fv_sink sink = fv_table_sink(t);
  for (int k = 0; k < 2; k++)
    for (int r = 0; r < 4; r++) {
      fv_row row;
      fv_row_defaults(&row);
      row.draw = 0, row.corrupt = "gray", row.stack = k ? "vision" : "text_encoder", row.site = "resid_post";
      row.layer = 0, row.window = 1, row.row = r, row.op = "replace", row.prob = 0.125f * (float)r;
      row.clean_prob = 1.0f, row.corrupt_prob = 0.0f;
      OK(sink.row(sink.user, &row, &e));
    }
  fv_store_sample one;
  fv_store_sample_defaults(&one);
  one.id = 1, one.name = "only", one.answer_row = 2;
  OK(fv_store_put(s, &one, &(fv_store_result){sweep, t}, 1, &e));
  fv_table_free(t);
  fv_store_close(s);
  OK(fv_report_write(in_folder("rows.db"), in_folder("rows.html"), NULL, &e));
  char *html = file_text(in_folder("rows.html"), &size);
  json_t *data = page_data(html), *map;
  size_t i, pooled = 0;
  json_array_foreach(json_object_get(data, "maps"), i, map) {
    if (json_integer_value(json_object_get(map, "length")) != 0) continue;
    bool text = strcmp(json_string_value(json_object_get(map, "stack")), "text_encoder") == 0;
    assert_int_equal(json_array_size(json_object_get(map, "rows")), text ? 2 : 1); /* the answer's, and all */
    if (text) assert_true(mean_at(map, "prob", 0) == 0.25);
    assert_true(mean_at(map, "prob", text) == 0.1875);
    pooled++;
  }
  assert_int_equal(pooled, 2);
  json_decref(data);
  free(html);
}

/* One experiment: the table's numbers, two corruptions apart, and the average over draws. */
static void test_single(void **state) {
  (void)state;
  fv_table *t;
  OK(fv_table_new(&t, &e));
  fv_sink sink = fv_table_sink(t);
  for (int corrupt = 0; corrupt < 2; corrupt++)
    for (int draw = 0; draw < 2; draw++)
      for (int r = 0; r < 3; r++) {
        fv_row row;
        fv_row_defaults(&row);
        row.draw = draw, row.corrupt = corrupt ? "image:b.png" : "image:a.png", row.stack = "text_encoder";
        row.site = "resid_post", row.layer = 0, row.window = 1, row.row = r, row.piece = pieces[r], row.op = "replace";
        row.prob = 0.125f * (float)(r + 1) + 0.25f * (float)draw, row.clean_prob = 1.0f;
        row.corrupt_prob = corrupt ? 0.5f : 0.25f * (float)draw;
        OK(sink.row(sink.user, &row, &e));
      }
  fv_page_shot shot = {PICTURE, NULL};
  fv_page_sample sample = {
      .pictures = &shot, .npictures = 1, .question = "</title><b>", .answer = "red", .answer_row = -1};
  fv_page_fact facts[] = {{"model", "models/blip-demo"}, {"seed", "0"}};
  fv_page page = {
      .title = "trace </title>", .kind = "trace", .facts = facts, .nfacts = 2, .samples = &sample, .nsamples = 1};
  size_t size;
  OK(fv_page_write(in_folder("single.html"), &page, t, NULL, &e));
  char *html = file_text(in_folder("single.html"), &size);
  assert_int_equal(times(html, "</title"), 1);
  json_t *data = page_data(html), *map = json_array_get(json_object_get(data, "maps"), 0);
  assert_string_equal(json_string_value(json_object_get(map, "corrupt")), "image:a.png");
  for (size_t r = 0; r < 3; r++) assert_true((float)mean_at(map, "prob", r) == 0.125f * (float)(r + 1) + 0.125f);
  assert_int_equal(json_array_size(json_object_get(data, "maps")), 4); /* by row, and pooled */
  assert_true(json_number_value(json_object_get(map, "corrupt_prob")) == 0.125);
  /* The sample's own numbers are those of the first corruption. */
  const json_t *own = json_array_get(json_object_get(data, "samples"), 0);
  assert_true(json_number_value(json_object_get(own, "clean_prob")) == 1.0);
  assert_true(json_number_value(json_object_get(own, "corrupt_prob")) == 0.125);
  json_decref(data);
  free(html);
  fv_table_free(t);
  OK(fv_table_new(&t, &e));
  assert_int_equal(fv_page_write(in_folder("none.html"), &page, t, NULL, &e), FV_EUSAGE);
  assert_null(file_text(in_folder("none.html"), &size));
  fv_table_free(t);
}

/* What is not a study's database is refused, and no page appears. */
static void test_refused(void **state) {
  (void)state;
  size_t size;
  file_write(in_folder("text.db"), "not a database", 14);
  assert_int_equal(fv_report_write(in_folder("text.db"), in_folder("no.html"), NULL, &e), FV_EFORMAT);
  assert_non_null(strstr(e.text, "text.db"));
  assert_int_equal(fv_report_write(in_folder("missing.db"), in_folder("no.html"), NULL, &e), FV_ENOTFOUND);
  plan p = {.name = "empty", .reason = "", .samples = 0};
  make(in_folder("empty.db"), &p);
  assert_int_equal(fv_report_write(in_folder("empty.db"), in_folder("no.html"), NULL, &e), FV_EFORMAT);
  assert_non_null(strstr(e.text, "no samples"));
  assert_int_not_equal(fv_report_write(in_folder("empty.db"), in_folder("no folder/no.html"), NULL, &e), FV_OK);
  assert_null(file_text(in_folder("no.html"), &size));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile),
                                     cmocka_unit_test(test_not_utf8),
                                     cmocka_unit_test(test_numbers),
                                     cmocka_unit_test(test_circuits),
                                     cmocka_unit_test(test_size),
                                     cmocka_unit_test(test_browser),
                                     cmocka_unit_test(test_confirmed),
                                     cmocka_unit_test(test_pointer_and_keys),
                                     cmocka_unit_test(test_rows_of_the_picture),
                                     cmocka_unit_test(test_single),
                                     cmocka_unit_test(test_draws_and_words),
                                     cmocka_unit_test(test_picture_in_a_text),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
