/* Sample tables: what is read, what is written, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "study/data_pairs.h"
#include "support/scratch.h"

static fv_error err;

static fv_pairs load(const char *name, const char *text) {
  fv_pairs s;
  const char *path = in_folder(name);
  file_write(path, text, strlen(text));
  if (fv_pairs_load(path, &s, &err)) fail_msg("%s", err.text);
  return s;
}

static void is(const char *got, const char *wanted) {
  if (!wanted)
    assert_null(got);
  else
    assert_string_equal(got, wanted);
}

static void test_csv(void **state) {
  (void)state;
  fv_pairs s = load("t.csv",
                    "sample,image,question,corrupt_image,corrupt_question,correct,incorrect,group,correct_first,label,"
                    "noun\n"
                    "a,pics/1.png,\"Is it, say, red?\",/abs/2.png,is it blue?,red,blue,color,1,red,apple\n"
                    "b,http://x/1.png,q,,,,,,0,,\n");
  assert_int_equal(s.count, 2);
  assert_int_equal(s.nread, 2);
  fv_pair *p = &s.list[0];
  char picture[700];
  snprintf(picture, sizeof picture, "%s/pics/1.png", folder);
  is(p->sample, "a"), is(p->image, picture), is(p->question, "Is it, say, red?"), is(p->prompt, NULL);
  is(p->corrupt_image, "/abs/2.png"), is(p->corrupt_question, "is it blue?");
  is(p->correct, "red"), is(p->incorrect, "blue"), is(p->group, "color"), is(p->label, "red");
  assert_int_equal(p->correct_first, 1);
  assert_int_equal(p->nfields, 1);
  is(fv_pair_field(p, "noun"), "apple"), is(fv_pair_field(p, "verb"), NULL);
  assert_int_equal(p->line, 2);
  p = &s.list[1];
  is(p->image, "http://x/1.png"), is(p->corrupt_image, NULL), is(p->group, NULL);
  assert_int_equal(p->correct_first, 0);
  assert_int_equal(p->nfields, 0);
  fv_pairs_release(&s);
  fv_pairs_release(&s);
}

static void test_notice(void **state) {
  (void)state;
  fv_pairs s =
      load("n.csv",
           ",correct_answer,noun,clean_image_path,clean_prompt,incorrect_answer,state,corrupt_image_path,"
           "corrupt_prompt,generated_text,correct_first\n"
           "17,old,bike,/i/a.jpg,Is this bike old or new?,new,color,/i/b.jpg,Is this bike wet or dry?,old,True\n"
           "17,new,bike,/i/c.jpg,<image> USER: new?,old,color,/i/d.jpg,x,,False\n");
  assert_int_equal(s.count, 2);
  fv_pair *p = &s.list[0];
  is(p->sample, "0"), is(p->image, "/i/a.jpg"), is(p->question, "Is this bike old or new?"), is(p->prompt, NULL);
  is(p->corrupt_image, "/i/b.jpg"), is(p->corrupt_question, "Is this bike wet or dry?");
  is(p->correct, "old"), is(p->incorrect, "new"), is(p->group, "color");
  is(fv_pair_field(p, "generated"), "old"), is(fv_pair_field(p, "noun"), "bike");
  assert_int_equal(p->correct_first, 1);
  p = &s.list[1];
  is(p->sample, "1"), is(p->question, NULL), is(p->prompt, "<image> USER: new?");
  assert_int_equal(p->correct_first, 0);
  is(fv_pair_field(p, "generated"), NULL);
  fv_pairs_release(&s);
  s = load("l.csv", "correct_image_path,incorrect_image_path,clean_prompt,generated_answer\na.png,b.png,q?,yes\n");
  assert_non_null(strstr(s.list[0].image, "/a.png"));
  assert_non_null(strstr(s.list[0].corrupt_image, "/b.png"));
  is(fv_pair_field(&s.list[0], "generated"), "yes");
  assert_int_equal(s.list[0].correct_first, -1);
  fv_pairs_release(&s);
}

static void test_jsonl(void **state) {
  (void)state;
  fv_pairs s =
      load("t.jsonl",
           "{\"sample\":7,\"image\":\"/p.png\",\"prompt\":\"a\\nb\",\"correct_first\":true,\"n\":1.5,\"z\":null}\n"
           "\n"
           "{\"question\":\"what?\",\"label\":\"\xC3\xA9\",\"correct_first\":0,\"yes\":true}");
  assert_int_equal(s.count, 2);
  is(s.list[0].sample, "7"), is(s.list[0].prompt, "a\nb"), is(fv_pair_field(&s.list[0], "n"), "1.5");
  is(fv_pair_field(&s.list[0], "z"), NULL);
  assert_int_equal(s.list[0].correct_first, 1);
  is(s.list[1].sample, "1"), is(s.list[1].label, "\xC3\xA9"), is(fv_pair_field(&s.list[1], "yes"), "1");
  assert_int_equal(s.list[1].line, 3);
  fv_pairs_release(&s);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *name, *text, *error;
  } cases[] = {
      {"x.csv", "image,question\n", "x.csv: has no samples"},
      {"x.jsonl", "\n", "x.jsonl: has no samples"},
      {"x.csv", "image;question\na.png;b\n", "has one column, \"image;question\"; columns are separated by commas"},
      {"x.csv", "image\tquestion\na.png\tb\n", "columns are separated by commas"},
      {"x.csv", "image,clean_image_path\n", "the columns \"image\" and \"clean_image_path\" both mean image"},
      {"x.csv", "image,generated_text,generated\n", "both mean generated"},
      {"x.csv", "image,question,prompt\na,,b\na,b,c\n", "x.csv: line 3: has a question and a prompt"},
      {"x.csv", "image,label\na,b\n,c\n", "x.csv: line 3: has neither a picture nor a text"},
      {"x.csv", "image,correct_first\na,2\n", "x.csv: line 2: correct_first has to be 0 or 1, found \"2\""},
      {"x.csv", "sample,image\nq,1\n\"r\",2\nq,3\n", "x.csv: line 4: the sample \"q\" is already on line 2"},
      {"x.csv", "image\n\xC3\n", "x.csv: line 2: is not valid UTF-8"},
      {"x.jsonl", "{\"image\":\"a\"}\n{\"image\":}\n", "x.jsonl: line 2: value: not valid JSON"},
      {"x.jsonl", "{\"image\":\"a\"}\n[1]\n", "x.jsonl: line 2: expected a JSON object"},
      {"x.jsonl", "{\"image\":[1]}\n",
       "line 1: expected text, a number, true, false or null as the value of \"image\""},
      {"x.jsonl", "{\"image\":\"a\\u0000b\"}\n", "x.jsonl: line 1: a NUL character in \"image\""},
      {"x.jsonl", "{\"image\":\"a\",\"state\":\"x\",\"group\":\"y\"}\n",
       "line 1: two columns give the value of \"group\""},
      {"x.jsonl", "{\"image\":\"\xFF\"}\n", "x.jsonl: line 1: value: not valid JSON"},
      {"x.txt", "image\na\n", "x.txt: a sample table is a .csv or a .jsonl file"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_pairs s;
    const char *path = in_folder(cases[i].name);
    file_write(path, cases[i].text, strlen(cases[i].text));
    if (!fv_pairs_load(path, &s, &err)) fail_msg("accepted: %s", cases[i].text);
    if (!strstr(err.text, cases[i].error)) fail_msg("%s\nexpected: %s", err.text, cases[i].error);
    assert_int_equal(s.count, 0);
  }
}

static void add(fv_pairs *s, const char *name, const char *image, const char *field, const char *value) {
  fv_pair *p;
  assert_int_equal(fv_pairs_add(s, name, &p, &err), FV_OK);
  assert_int_equal(fv_pair_set(&p->image, image, &err), FV_OK);
  if (field) assert_int_equal(fv_pair_set_field(p, field, value, &err), FV_OK);
}

static void save_is(const char *name, const fv_pairs *s, const char *wanted) {
  size_t n;
  if (fv_pairs_save(in_folder(name), s, &err)) fail_msg("%s", err.text);
  char *text = file_text(in_folder(name), &n);
  assert_string_equal(text, wanted);
  free(text);
}

static void test_save(void **state) {
  (void)state;
  fv_pairs s = {0};
  char here[4096], image[4200], wanted[9000];
  assert_non_null(realpath(folder, here));
  mkdir(in_folder("pics"), 0777), mkdir(in_folder("out"), 0777);
  snprintf(image, sizeof image, "%s/pics/1.png", folder); /* relative to the current folder */
  add(&s, "a", image, "noun", "a \"b\", c");
  snprintf(image, sizeof image, "%s/top.png", here); /* absolute */
  add(&s, "b", image, NULL, NULL);
  add(&s, "c", "/no.png", "verb", "\xC3\xA9t\xC3\xA9\nx");
  add(&s, "d", "https://x.org/y.jpg", NULL, NULL);
  add(&s, "e", "/no/such/z.png", NULL, NULL);
  s.list[1].correct_first = 0;
  assert_int_equal(fv_pair_set(&s.list[2].question, "two\nlines", &err), FV_OK);
  save_is("out/t.csv", &s,
          "sample,image,question,correct_first,noun,verb\n"
          "a,../pics/1.png,,,\"a \"\"b\"\", c\",\n"
          "b,../top.png,,0,,\n"
          "c,/no.png,\"two\nlines\",,,\"\xC3\xA9t\xC3\xA9\nx\"\n"
          "d,https://x.org/y.jpg,,,,\n"
          "e,/no/such/z.png,,,,\n");
  save_is("t.jsonl", &s,
          "{\"sample\":\"a\",\"image\":\"pics/1.png\",\"noun\":\"a \\\"b\\\", c\"}\n"
          "{\"sample\":\"b\",\"image\":\"top.png\",\"correct_first\":0}\n"
          "{\"sample\":\"c\",\"image\":\"/no.png\",\"question\":\"two\\nlines\",\"verb\":\"\xC3\xA9t\xC3\xA9\\nx\"}\n"
          "{\"sample\":\"d\",\"image\":\"https://x.org/y.jpg\"}\n"
          "{\"sample\":\"e\",\"image\":\"/no/such/z.png\"}\n");
  fv_pairs back, again;
  assert_int_equal(fv_pairs_load(in_folder("out/t.csv"), &back, &err), FV_OK);
  assert_int_equal(fv_pairs_load(in_folder("t.jsonl"), &again, &err), FV_OK);
  for (size_t i = 0; i < s.count; i++) {
    is(back.list[i].sample, s.list[i].sample), is(again.list[i].sample, s.list[i].sample);
    is(back.list[i].question, s.list[i].question), is(again.list[i].question, s.list[i].question);
    is(fv_pair_field(&back.list[i], "noun"), fv_pair_field(&s.list[i], "noun"));
    is(fv_pair_field(&again.list[i], "verb"), fv_pair_field(&s.list[i], "verb"));
    assert_int_equal(again.list[i].correct_first, s.list[i].correct_first);
  }
  snprintf(wanted, sizeof wanted, "%s/out/../pics/1.png", folder);
  is(back.list[0].image, wanted);
  fv_pairs_release(&back), fv_pairs_release(&again);
  assert_int_equal(fv_pairs_save(in_folder("nothing/t.csv"), &s, &err), FV_ENOTFOUND);
  assert_int_equal(fv_pairs_save(in_folder("t.txt"), &s, &err), FV_EUSAGE);
  assert_int_equal(fv_pair_set(&s.list[0].label, "\xFF", &err), FV_OK);
  assert_int_equal(fv_pairs_save(in_folder("bad.jsonl"), &s, &err), FV_EFORMAT);
  assert_int_equal(access(in_folder("bad.jsonl"), F_OK), -1);
  fv_pairs_release(&s);
}

static void test_list(void **state) {
  (void)state;
  fv_pairs s = {0};
  char name[16];
  bool keep[40];
  for (int i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "s%d", i);
    add(&s, name, "x.png", "k", name);
    keep[i] = i % 13 == 5;
  }
  fv_pair *p = &s.list[3];
  assert_int_equal(fv_pair_set_field(p, "second", "2", &err), FV_OK);
  assert_int_equal(fv_pair_set_field(p, "third", "3", &err), FV_OK);
  assert_int_equal(fv_pair_set_field(p, "second", "", &err), FV_OK);
  assert_int_equal(fv_pair_set_field(p, "k", "new", &err), FV_OK);
  assert_int_equal(p->nfields, 2);
  is(fv_pair_field(p, "k"), "new"), is(fv_pair_field(p, "second"), NULL), is(fv_pair_field(p, "third"), "3");
  fv_pairs_filter(&s, keep);
  assert_int_equal(s.count, 3);
  is(s.list[0].sample, "s5"), is(s.list[2].sample, "s31");
  for (int i = 0; i < 20; i++) add(&s, "more", "y.png", "k", "v");
  is(s.list[1].sample, "s18"), is(fv_pair_field(&s.list[1], "k"), "s18");
  fv_pairs_drop_last(&s);
  assert_int_equal(s.count, 22);
  assert_int_equal(fv_pairs_exclude(&s, "row 1, \"x\"", "no image", &err), FV_OK);
  assert_int_equal(fv_pairs_exclude(&s, "row 2", "black image", &err), FV_OK);
  size_t n;
  assert_int_equal(fv_pairs_save_excluded(in_folder("x.csv"), &s, &err), FV_OK);
  char *text = file_text(in_folder("x.csv"), &n);
  is(text, "name,reason\n\"row 1, \"\"x\"\"\",no image\nrow 2,black image\n");
  free(text);
  fv_pairs_release(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv),     cmocka_unit_test(test_notice), cmocka_unit_test(test_jsonl),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_save),   cmocka_unit_test(test_list),
  };
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
