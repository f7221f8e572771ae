/* Builders: made-up data sets become the sample tables that a second implementation makes of them, and bad input is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "image/image.h"
#include "study/data_pairs.h"
#include "support/scratch.h"

static fv_error err;
static char path[4][700];

static const char *at(int i, const char *name) {
  snprintf(path[i], sizeof path[i], "%s/%s", folder, name);
  return path[i];
}

static void write_text(const char *name, const char *text) { file_write(at(3, name), text, strlen(text)); }

/* A picture of two pixels. */
static void write_picture(const char *name, const char *what) {
  static unsigned char number;
  char bytes[32] = "P6 2 1 255\n";
  if (strcmp(what, "good") == 0) bytes[11] = (char)++number, bytes[14] = 1;
  char *slash = strchr(at(2, name), '/');
  for (slash = strchr(slash + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(path[2], 0777);
    *slash = '/';
  }
  file_write(path[2], bytes, strcmp(what, "broken") == 0 ? 14 : 17);
}

static void is(const char *got, const json_t *sample, const char *key, const char *which) {
  const char *wanted = json_string_value(json_object_get(sample, key));
  if ((got != NULL) != (wanted != NULL) || (got && strcmp(got, wanted) != 0))
    fail_msg("%s: %s is %s, expected %s", which, key, got ? got : "empty", wanted ? wanted : "empty");
}

static const char *below(const char *image, const char *root) {
  size_t n = strlen(root);
  return image && strncmp(image, root, n) == 0 && image[n] == '/' ? image + n + 1 : image;
}

static void compare(const fv_pairs *s, const json_t *one, const char *root) {
  const json_t *samples = json_object_get(one, "samples"), *excluded = json_object_get(one, "excluded");
  assert_int_equal(s->count, json_array_size(samples));
  for (size_t i = 0; i < s->count; i++) {
    const fv_pair *p = &s->list[i];
    const json_t *w = json_array_get(samples, i);
    is(p->sample, w, "sample", p->sample), is(below(p->image, root), w, "image", p->sample);
    is(below(p->corrupt_image, root), w, "corrupt_image", p->sample), is(p->question, w, "question", p->sample);
    is(p->corrupt_question, w, "corrupt_question", p->sample), is(p->correct, w, "correct", p->sample);
    is(p->incorrect, w, "incorrect", p->sample), is(p->group, w, "group", p->sample);
    is(p->label, w, "label", p->sample), is(p->prompt, w, "prompt", p->sample);
    assert_int_equal(p->correct_first, json_integer_value(json_object_get(w, "correct_first")));
    assert_int_equal(p->nfields + 10, json_object_size(w));
    for (size_t k = 0; k < p->nfields; k++) is(p->field_values[k], w, p->field_names[k], p->sample);
  }
  assert_int_equal(s->nread, json_integer_value(json_object_get(one, "read")));
  assert_int_equal(s->nexcluded, json_array_size(excluded));
  for (size_t i = 0; i < s->nexcluded; i++) {
    const json_t *w = json_array_get(excluded, i);
    assert_string_equal(below(s->excluded[i].name, root), json_string_value(json_array_get(w, 0)));
    assert_string_equal(s->excluded[i].reason, json_string_value(json_array_get(w, 1)));
  }
}

static void test_cases(void **state) {
  (void)state;
  json_t *cases = json_load_file(FV_TEST_DATA "/study/builders.json", 0, NULL), *one, *text;
  const char *name;
  size_t i;
  assert_non_null(cases);
  json_array_foreach(cases, i, one) {
    char root[32], file[300], images[700];
    snprintf(root, sizeof root, "case%zu", i);
    mkdir(at(0, root), 0777);
    snprintf(images, sizeof images, "%s", path[0]);
    json_object_foreach(json_object_get(one, "files"), name, text) {
      snprintf(file, sizeof file, "%s/%s", root, name);
      write_picture(file, json_string_value(text));
    }
    json_object_foreach(json_object_get(one, "tables"), name, text) {
      snprintf(file, sizeof file, "%s/%s", root, name);
      write_text(file, json_string_value(text));
    }
    const char *table = json_string_value(json_object_get(one, "table"));
    const char *prompts = json_string_value(json_object_get(one, "prompts"));
    char table_path[800], prompts_path[800];
    snprintf(table_path, sizeof table_path, "%s/%s", images, table ? table : "");
    snprintf(prompts_path, sizeof prompts_path, "%s/%s", images, prompts ? prompts : "");
    fv_data_options o = {.kind = json_string_value(json_object_get(one, "kind")),
                         .images = images,
                         .table = table ? table_path : NULL,
                         .prompts = prompts ? prompts_path : NULL,
                         .seed = json_integer_value(json_object_get(one, "seed"))};
    fv_pairs s;
    if (fv_data_build(&o, &s, &err)) fail_msg("%s: %s", o.kind, err.text);
    compare(&s, one, images);
    fv_pairs_release(&s);
    o.keep_black = true;
    size_t black = 0;
    json_object_foreach(json_object_get(one, "files"), name, text) black +=
        strcmp(json_string_value(text), "black") == 0;
    assert_int_equal(fv_data_build(&o, &s, &err), FV_OK);
    for (size_t k = 0; k < s.nexcluded; k++) assert_string_not_equal(s.excluded[k].reason, "the picture is black");
    fv_pairs_release(&s);
    assert_true(black <= 1);
  }
  assert_int_equal(i, 6);
  json_decref(cases);
}

static void test_coco_qa(void **state) {
  (void)state;
  mkdir(at(0, "coco"), 0777);
  write_picture("coco/000000000007.ppm", "good"); /* not a COCO extension */
  write_picture("coco/000000000001.png", "good");
  write_picture("coco/000000000002.jpg", "black");
  write_text("color_coco_qa.csv",
             ",train_image_id_count,question_count,answer_count\n"
             "0,1,what color is the dog,red\n1,2,what color is the dog,red\n2,7,what is it,dog\n"
             "3,1,\"what, color\",\"light \"\"blue\"\"\"\n4,x,what,a\n");
  fv_data_options o = {.kind = "coco-qa", .table = at(1, "color_coco_qa.csv"), .images = path[0]};
  fv_pairs s;
  if (fv_data_build(&o, &s, &err)) fail_msg("%s", err.text);
  assert_int_equal(s.nread, 5);
  assert_int_equal(s.count, 2);
  assert_string_equal(s.list[1].sample, "3"), assert_string_equal(s.list[1].question, "what, color");
  assert_string_equal(s.list[1].label, "light \"blue\""), assert_string_equal(s.list[1].group, "color");
  assert_null(s.list[1].correct);
  assert_int_equal(s.nexcluded, 3);
  assert_non_null(strstr(s.excluded[0].name, "color_coco_qa.csv line 4 (row 2, image 7)"));
  assert_string_equal(s.excluded[0].reason, "the folder has no such picture");
  assert_string_equal(s.excluded[1].reason, "the image id is not a number");
  assert_string_equal(s.excluded[2].reason, "the picture is black");
  fv_pairs_release(&s);
  o.words = 5, o.limit = 1;
  assert_int_equal(fv_data_build(&o, &s, &err), FV_OK);
  assert_int_equal(s.count, 1);
  fv_pairs_release(&s);
  o.words = 2, o.limit = 0; /* no fewer, no more */
  assert_int_equal(fv_data_build(&o, &s, &err), FV_OK);
  assert_int_equal(s.count, 1);
  assert_string_equal(s.list[0].sample, "3");
  fv_pairs_release(&s);
}

static void test_clevr(void **state) {
  (void)state;
  mkdir(at(0, "clevr"), 0777);
  write_picture("clevr/CLEVR_val_000145.png", "good");
  static const char table[] =
      ",Image_IDs,Questions_Answers\n"
      "0,CLEVR_val_000145,\"[{'question': \"\"Is it 'red'?\"\", 'answer': 1}, {'question': 'Blue?', 'answer': 0}]\"\n"
      "1,CLEVR_val_000146,\"[{'question': 'x', 'answer': 1}]\"\n2,,[]\n";
  write_text("clevr.csv", table);
  fv_data_options o = {.kind = "clevr", .table = at(1, "clevr.csv"), .images = path[0]};
  fv_pairs s;
  if (fv_data_build(&o, &s, &err)) fail_msg("%s", err.text);
  assert_int_equal(s.count, 2);
  assert_string_equal(s.list[0].sample, "CLEVR_val_000145/0");
  assert_string_equal(s.list[0].question, "Is it 'red'?");
  assert_string_equal(s.list[0].correct, "yes"), assert_string_equal(s.list[0].incorrect, "no");
  assert_string_equal(s.list[1].label, "no");
  assert_int_equal(s.nexcluded, 2);
  assert_string_equal(s.excluded[0].reason, "the picture does not exist");
  fv_pairs_release(&s);
  write_text("clevr.csv", ",Image_IDs,Questions_Answers\n0,CLEVR_val_000145,\"[{'question': 'x'}]\"\n");
  assert_int_equal(fv_data_build(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "clevr.csv: line 2: Questions_Answers: entry 1 is not {'question'"));
  write_text("clevr.csv", ",Image_IDs,Questions_Answers\n\n0,CLEVR_val_000145,\"[{'question': 'x'}\"\n");
  assert_int_equal(fv_data_build(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "clevr.csv: line 3: Questions_Answers: not a Python literal at character 19"));
  char twice[1000];
  snprintf(twice, sizeof twice, "%s3,CLEVR_val_000145,\"[{'question': 'x', 'answer': 1}]\"\n", table);
  write_text("clevr.csv", twice);
  assert_int_equal(fv_data_build(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "two rows give the sample \"CLEVR_val_000145/0\""));
}

static void test_cifar10(void **state) {
  (void)state;
  enum { RECORD = 3073, N = 3 };
  static char batch[N * RECORD];
  for (int i = 0; i < N; i++) {
    batch[i * RECORD] = (char)(3 * i);
    for (int k = 1; k < RECORD; k++) batch[i * RECORD + k] = (char)(i * 31 + k * 7);
  }
  mkdir(at(0, "batches"), 0777);
  file_write(at(0, "batches/test_batch.bin"), batch, sizeof batch);
  fv_data_options o = {.kind = "cifar10", .batches = at(0, "batches"), .images = at(1, "png"), .gray = true};
  fv_pairs s;
  fv_image colour, gray;
  if (fv_data_build(&o, &s, &err)) fail_msg("%s", err.text);
  assert_int_equal(s.count, N);
  assert_string_equal(s.list[1].sample, "test/00001"), assert_string_equal(s.list[1].label, "cat");
  assert_string_equal(s.list[2].correct, "frog"), assert_string_equal(s.list[0].group, "airplane");
  assert_int_equal(fv_image_load(s.list[1].image, false, &colour, &err), FV_OK);
  assert_int_equal(fv_image_load(s.list[1].corrupt_image, false, &gray, &err), FV_OK);
  assert_int_equal(colour.width, 32), assert_int_equal(colour.height, 32);
  for (int i = 0; i < 1024; i++)
    for (int c = 0; c < 3; c++)
      assert_int_equal(colour.rgb[3 * i + c], (unsigned char)batch[RECORD + 1 + 1024 * c + i]);
  fv_image_gray(&colour);
  assert_memory_equal(colour.rgb, gray.rgb, 3072);
  fv_image_release(&colour), fv_image_release(&gray);
  fv_pairs_release(&s);
  o.gray = false, o.limit = 2;
  assert_int_equal(fv_data_build(&o, &s, &err), FV_OK);
  assert_int_equal(s.count, 2);
  assert_null(s.list[0].corrupt_image);
  fv_pairs_release(&s);
  o.train = true;
  assert_int_equal(fv_data_build(&o, &s, &err), FV_ENOTFOUND);
  o.batches = at(2, "batches/bad.bin");
  file_write(path[2], batch, RECORD + 5);
  assert_int_equal(fv_data_build(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "bad.bin: has 3078 bytes, expected a multiple of 3073"));
  batch[RECORD] = 10;
  file_write(path[2], batch, 2 * RECORD);
  assert_int_equal(fv_data_build(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "record 1 has class 10, expected 0 to 9"));
}

static void refused(const fv_data_options *o, fv_status status, const char *wanted) {
  fv_pairs s;
  fv_status st = fv_data_build(o, &s, &err);
  if (st != status || !strstr(err.text, wanted)) fail_msg("%d: %s\nexpected: %s", st, err.text, wanted);
  assert_int_equal(s.count, 0);
}

static void test_refused(void **state) {
  (void)state;
  mkdir(at(0, "bad"), 0777), mkdir(at(0, "bad/plain"), 0777);
  at(0, "bad"), write_text("bad/map.tsv", "http://a\ta.png\nhttp://b b.png\n");
  at(1, "bad/t.csv");
#define SVO_HEADER "pos_triplet,neg_triplet,pos_url,neg_url\n"
  fv_data_options svo = {.kind = "svo", .table = path[1], .images = path[0]};
  refused(&(fv_data_options){.kind = "coco"}, FV_EUNSUPPORTED, "COCO instance annotations");
  refused(&(fv_data_options){.kind = "imagenet"}, FV_EUSAGE, "there is no data set \"imagenet\"");
  refused(&(fv_data_options){.kind = "svo", .images = "x"}, FV_EUSAGE, "svo needs --table");
  refused(&(fv_data_options){.kind = "fer"}, FV_EUSAGE, "fer needs --images");
  refused(&(fv_data_options){.kind = "fer", .images = "x", .table = "y"}, FV_EUSAGE, "fer takes no --table");
  refused(&(fv_data_options){.kind = "fer", .images = "x", .gray = true}, FV_EUSAGE, "--gray belongs to cifar10");
  refused(&(fv_data_options){.kind = "fer", .images = "x", .limit = 3}, FV_EUSAGE, "--limit would leave whole folders");
  refused(&(fv_data_options){.kind = "fer", .images = "nothing"}, FV_ENOTFOUND, "nothing: cannot list the folder");
  refused(&(fv_data_options){.kind = "fer", .images = path[0]}, FV_EFORMAT, "has none of the folders angry");
  refused(&(fv_data_options){.kind = "mit-states", .images = path[0]}, FV_EFORMAT, "no sample is left; 2 are excluded");
  refused(&svo, FV_ENOTFOUND, "bad/t.csv: cannot open");
  write_text("bad/t.csv", "pos_triplet,neg_triplet,pos_url\n");
  refused(&svo, FV_ENOTFOUND, "has no column \"neg_url\"; its columns are: pos_triplet, neg_triplet, pos_url");
  write_text("bad/t.csv", SVO_HEADER "\"['a,b,c'\",\"a,b,d\",x,y\n");
  refused(&svo, FV_EFORMAT, "t.csv: line 2: pos_triplet: not a Python literal at character 9");
  write_text("bad/t.csv", SVO_HEADER "\"a,b,c\",\"a,b,d\",x,y\n\xFF\n");
  refused(&svo, FV_EFORMAT, "t.csv: line 3: is not valid UTF-8");
  write_text("bad/t.csv", SVO_HEADER "\"a,b,c\",\"a,b,d\",x,y\n");
  refused(&svo, FV_EFORMAT, "bad/map.tsv: line 2 is not URL, tab, file");
  write_text("bad/map.tsv", "http://a\ta.png\n\nhttp://a\tb.png\n");
  refused(&svo, FV_EFORMAT, "bad/map.tsv: line 3: the URL is already on line 1: http://a");
  write_text("bad/map.tsv", "http://a\ta.png\n");
  refused(&svo, FV_EFORMAT, "no sample is left; 1 are excluded, the first: ");
  write_text("bad/p.csv", "GPT-3.5 Prompts\nIs it?\n");
  svo.prompts = at(2, "bad/p.csv");
  refused(&svo, FV_EFORMAT, "p.csv: has no column \"prompt\" with the skeleton");
  write_text("bad/p.csv", "prompt,GPT-3.5 Prompts\nq,x\nq,y\n");
  refused(&svo, FV_EFORMAT, "p.csv: corrects the prompt \"q\" twice");
}

static fv_pairs some(const char *const rows[][5], size_t n) {
  fv_pairs s = {0};
  for (size_t i = 0; i < n; i++) {
    char name[16];
    fv_pair *p;
    snprintf(name, sizeof name, "%zu", i);
    assert_int_equal(fv_pairs_add(&s, name, &p, &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->group, rows[i][0], &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->question, rows[i][1], &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->correct, rows[i][2], &err), FV_OK);
    assert_int_equal(fv_pair_set(&p->incorrect, rows[i][3], &err), FV_OK);
    assert_int_equal(fv_pair_set_field(p, "generated", rows[i][4], &err), FV_OK);
  }
  return s;
}

/* One sample of every adjective, then the halves are filled; nothing is taken twice. */
static void test_select_states(void **state) {
  (void)state;
  static const char *const adjectives[] = {"old", "new", "wet", "dry"};
  const char *rows[44][5];
  char questions[44][64];
  for (size_t i = 0; i < 44; i++) {
    const char *right = i < 40 ? adjectives[i < 4 ? i : i % 2] : "old", *wrong = strcmp(right, "old") ? "old" : "new";
    bool first = i % 3 == 0;
    snprintf(questions[i], sizeof questions[i], "Is this bike %s or %s?", first ? right : wrong, first ? wrong : right);
    const char *row[5] = {"color", questions[i], right, wrong, i == 43 ? NULL : i == 42 ? "blue" : right};
    memcpy(rows[i], row, sizeof row);
  }
  rows[41][1] = "What is it?";
  fv_pairs s = some((const char *const(*)[5])rows, 44);
  fv_select_options o = {.rule = "mit-states", .count = 5, .seed = 1};
  if (fv_data_select(&o, &s, &err)) fail_msg("%s", err.text);
  assert_int_equal(s.count, 10);
  assert_int_equal(s.nexcluded, 34);
  size_t first = 0, seen[4] = {0};
  for (size_t i = 0; i < s.count; i++) {
    first += s.list[i].correct_first == 1;
    assert_int_equal(s.list[i].correct_first,
                     strstr(s.list[i].question, s.list[i].correct) < strstr(s.list[i].question, s.list[i].incorrect));
    for (size_t k = 0; k < 4; k++) seen[k] += strcmp(s.list[i].correct, adjectives[k]) == 0;
    for (size_t k = 0; k < i; k++) assert_string_not_equal(s.list[i].sample, s.list[k].sample);
  }
  assert_int_equal(first, 5);
  for (size_t k = 0; k < 4; k++) assert_true(seen[k] >= 1);
  assert_string_equal(s.excluded[0].reason, "it cannot be seen which answer the text names first");
  assert_string_equal(s.excluded[1].reason, "the model answers otherwise");
  assert_string_equal(s.excluded[2].reason, "there is no generated answer");
  assert_string_equal(s.excluded[3].reason, "not drawn: the group has enough");
  fv_pairs_release(&s);
}

static void test_select_svo(void **state) {
  (void)state;
  const char *const rows[][5] = {{"subj", "is a man or dog here", "man", "dog", "Man"},
                                 {"subj", "is a man or dog here", "dog", "man", "dog"},
                                 {"subj", "is a man here?", "man", "dog", "man"},
                                 {"verb", "is a or b it?", "a", "b", "A"}};
  static const char *const pictures[] = {"positive", "negative", "positive", "positive"};
  for (int dup = 0; dup < 2; dup++) {
    fv_pairs s = some(rows, 4);
    for (size_t i = 0; i < 4; i++) assert_int_equal(fv_pair_set_field(&s.list[i], "picture", pictures[i], &err), FV_OK);
    fv_select_options o = {.rule = "svo", .seed = 1, .svo_dup = dup};
    if (fv_data_select(&o, &s, &err)) fail_msg("%s", err.text);
    static const char *const wanted[2][4] = {{"0", "1", "3"}, {"0", "3", "0#2", "3#2"}};
    assert_int_equal(s.count, dup ? 4 : 3);
    for (size_t i = 0; i < s.count; i++) assert_string_equal(s.list[i].sample, wanted[dup][i]);
    assert_string_equal(s.list[0].question, "is a man or dog here?");
    assert_string_equal(s.list[dup ? 2 : 0].correct, "man");
    assert_string_equal(s.excluded[0].reason, "the text has no \"or\"");
    fv_pairs_release(&s);
  }
}

static void test_select_cifar10(void **state) {
  (void)state;
  const char *const rows[][5] = {{"cat", NULL, "cat", NULL, "cat"},
                                 {NULL, NULL, "dog", NULL, "dog"},
                                 {"cat", NULL, "cat", NULL, "cat"},
                                 {"cat", NULL, "cat", NULL, "dog"},
                                 {"cat", NULL, "cat", NULL, "cat"}};
  static const char *const gray[] = {"dog", "cat", "cat", "dog", NULL};
  fv_pairs s = some(rows, 5);
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(fv_pair_set_field(&s.list[i], "generated_corrupt", gray[i], &err), FV_OK);
  fv_select_options o = {.rule = "cifar10", .seed = 1};
  if (fv_data_select(&o, &s, &err)) fail_msg("%s", err.text);
  assert_int_equal(s.count, 2);
  assert_string_equal(s.list[0].sample, "0"), assert_string_equal(s.list[1].group, "dog");
  assert_string_equal(s.excluded[0].reason, "the corrupted input is answered correctly, too");
  assert_string_equal(s.excluded[1].reason, "the model answers otherwise");
  assert_string_equal(s.excluded[2].reason, "there is no answer to the corrupted input");
  o.svo_dup = true;
  assert_int_equal(fv_data_select(&o, &s, &err), FV_EUSAGE);
  o.svo_dup = false, o.rule = "best";
  assert_int_equal(fv_data_select(&o, &s, &err), FV_EUSAGE);
  o.rule = "svo";
  assert_int_equal(fv_data_select(&o, &s, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "no sample of 2 can be taken"));
  fv_pairs_release(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases),      cmocka_unit_test(test_coco_qa),        cmocka_unit_test(test_clevr),
      cmocka_unit_test(test_cifar10),    cmocka_unit_test(test_refused),        cmocka_unit_test(test_select_states),
      cmocka_unit_test(test_select_svo), cmocka_unit_test(test_select_cifar10),
  };
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
