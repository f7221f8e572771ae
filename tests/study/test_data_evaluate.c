/* Evaluations: what is asked; and when they are stopped, the same call goes on, with the answers of one that was not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fovea/answer.h"
#include "fovea/data.h"
#include "study/store_inside.h"
#include "study_tests.h"

#define MODEL FV_TEST_DATA "/blip/tied"
enum { N = 7, BROKEN = 2 };

static fv_model *model;

static int setup(void **state) {
  OK(fv_model_open(MODEL, NULL, &model, &e));
  return folder_setup(state);
}

static int teardown(void **state) {
  fv_model_close(model);
  return folder_teardown(state);
}

static void load(fv_pairs *pairs) {
  char text[8192], *at = text;
  for (int i = 0; i < N; i++)
    at += i == BROKEN
              ? sprintf(at, "{\"image\":\"no.png\",\"question\":\"what?\"}\n")
              : sprintf(at, "{\"image\":\"%s/vectors/image%d.png\",\"question\":\"what color is the %s %d?\"}\n", MODEL,
                        i % 2, i % 3 ? "shirt" : "dog", i);
  file_write(in_folder("t.jsonl"), text, (size_t)(at - text));
  OK(fv_pairs_load(in_folder("t.jsonl"), pairs, &e));
}

/* Lets so many calls pass, and keeps the last share. */
typedef struct stopper {
  int left;
  double share;
} stopper;

static bool go_on(void *user, double share) {
  stopper *s = user;
  s->share = share;
  return s->left-- > 0;
}

static fv_status evaluate(fv_pairs *pairs, const char *partial, int64_t generate, stopper *s) {
  fv_evaluate_options o = {.batch = 2, .max_new = generate, .partial = partial};
  fv_progress progress = {go_on, s};
  fv_input_defaults(&o.input);
  return fv_data_evaluate(model, &o, pairs, &progress, &e);
}

static void same(const fv_pairs *a, const fv_pairs *b) {
  assert_int_equal(a->count, N - 1);
  assert_int_equal(a->count, b->count);
  for (size_t i = 0; i < a->count; i++) {
    assert_string_equal(a->list[i].sample, b->list[i].sample);
    const char *x = fv_pair_field(&a->list[i], "generated"), *y = fv_pair_field(&b->list[i], "generated");
    assert_string_equal(x ? x : "", y ? y : "");
  }
  assert_int_equal(a->nexcluded, 1);
  assert_int_equal(b->nexcluded, 1);
  assert_string_equal(a->excluded[0].name, b->excluded[0].name);
}

/* Stopped after every number of waves, once and after every wave again. */
static void test_goes_on(void **state) {
  (void)state;
  fv_pairs whole, part;
  char *partial = strdup(in_folder("x.partial"));
  stopper s = {100, 0};
  load(&whole);
  OK(evaluate(&whole, NULL, 3, &s));
  assert_int_equal(folder_count(folder), 1);
  for (int waves = 0; waves < 4; waves++)
    for (int again = 0; again < 2; again++) {
      int stops = 0;
      fv_status st;
      do {
        s = (stopper){stops == 0 ? waves : again ? 0 : 100, 0};
        load(&part);
        st = evaluate(&part, partial, 3, &s);
        if (!st) break;
        FAILS(FV_ECANCELLED, "run the same again to go on", st);
        fv_pairs_release(&part);
      } while (++stops < 20);
      assert_true(stops == 0 ? waves == 3 : stops < 8);
      same(&whole, &part);
      assert_int_equal(access(partial, F_OK), 0); /* the caller's to remove, when the table is saved */
      assert_int_equal(folder_count(folder), 2);  /* neither lock nor log */
      unlink(partial);
      fv_pairs_release(&part);
    }
  fv_pairs_release(&whole);
  free(partial);
}

/* An answer that is there is not asked for again. */
static void test_kept(void **state) {
  (void)state;
  fv_pairs part;
  fv_store *store;
  stopper s = {1, 0};
  load(&part);
  FAILS(FV_ECANCELLED, "stopped: 4 of 7", evaluate(&part, in_folder("x.partial"), 3, &s));
  fv_pairs_release(&part);
  OK(fv_store_open(in_folder("x.partial"), FV_STORE_WRITE, &store, &e));
  OK(fv_store_exec(store, "UPDATE samples SET answer = 'changed' WHERE id = 2", &e));
  fv_store_close(store);
  s = (stopper){100, 0};
  load(&part);
  OK(evaluate(&part, in_folder("x.partial"), 3, &s));
  assert_int_equal(s.left, 98); /* the broken one, and the last three: two waves */
  assert_string_equal(fv_pair_field(&part.list[1], "generated"), "changed");
  fv_pairs_release(&part);
}

/* What the model says to one picture and text. */
static char *said(const fv_model *m, const char *image, const char *question, const char *prompt) {
  fv_input_options o;
  fv_input *in;
  fv_wave *w;
  fv_answer a;
  int run;
  fv_input_defaults(&o);
  o.image = image, o.question = question, o.prompt = prompt;
  OK(fv_input_new(m, &o, &in, &e));
  OK(fv_wave_new(m, &(fv_wave_options){.generate = true}, &w, &e));
  OK(fv_wave_run(w, -1, in, &run, &e));
  OK(fv_answers(w, &run, 1, 1, 4, NULL, &a, &e));
  char *text = a.text;
  a.text = NULL;
  while (*text && text[strlen(text) - 1] == ' ') text[strlen(text) - 1] = '\0';
  memmove(text, text + strspn(text, " "), strlen(text + strspn(text, " ")) + 1);
  fv_answer_release(&a);
  fv_wave_free(w);
  fv_input_free(in);
  return text;
}

/* A question goes into the template and a prompt does not; the corrupted picture, the corrupted text, or both take the
 * place of the sample's own. */
static void test_what_is_asked(void **state) {
  (void)state;
#define DIR FV_TEST_DATA "/llava/first"
#define IMAGES "\"image\":\"" DIR "/vectors/image0.png\",\"corrupt_image\":\"" DIR "/vectors/image1.png\""
#define IMAGE "\"image\":\"" DIR "/vectors/image0.png\""
#define SHIRT "what color is the shirt?"
#define DOG "is the dog red"
  static const char table[] =
      "{" IMAGES ",\"question\":\"" SHIRT "\"}\n{" IMAGE ",\"question\":\"" SHIRT "\",\"corrupt_question\":\"" DOG
      "\"}\n{" IMAGE ",\"prompt\":\"<image> " SHIRT "\",\"corrupt_question\":\"<image> " DOG "\"}\n";
  static const struct {
    const char *image, *question, *prompt;
  } asked[2][3] = {{{DIR "/vectors/image0.png", SHIRT, NULL},
                    {DIR "/vectors/image0.png", SHIRT, NULL},
                    {DIR "/vectors/image0.png", NULL, "<image> " SHIRT}},
                   {{DIR "/vectors/image1.png", SHIRT, NULL},
                    {DIR "/vectors/image0.png", DOG, NULL},
                    {DIR "/vectors/image0.png", NULL, "<image> " DOG}}};
  fv_model *m;
  fv_pairs pairs;
  char *answers[2][3];
  OK(fv_model_open(DIR, NULL, &m, &e));
  file_write(in_folder("asked.jsonl"), table, sizeof table - 1);
  OK(fv_pairs_load(in_folder("asked.jsonl"), &pairs, &e));
  for (int corrupted = 0; corrupted < 2; corrupted++) {
    fv_evaluate_options o = {.corrupted = corrupted, .max_new = 4};
    fv_input_defaults(&o.input);
    OK(fv_data_evaluate(m, &o, &pairs, NULL, &e));
    assert_int_equal(pairs.count, 3);
    for (size_t i = 0; i < 3; i++) {
      const char *got = fv_pair_field(&pairs.list[i], corrupted ? "generated_corrupt" : "generated");
      answers[corrupted][i] =
          said(m, asked[corrupted][i].image, asked[corrupted][i].question, asked[corrupted][i].prompt);
      assert_string_equal(got ? got : "", answers[corrupted][i]);
    }
  }
  for (int i = 0; i < 3; i++) assert_string_not_equal(answers[0][i], answers[1][i]);
  assert_string_not_equal(answers[0][0], answers[0][2]);
  for (int i = 0; i < 6; i++) free(answers[i / 3][i % 3]);
  fv_pairs_release(&pairs);
  fv_model_close(m);
}

static void test_refused(void **state) {
  (void)state;
  fv_pairs part;
  stopper s = {0, 0};
  char *partial = strdup(in_folder("x.partial"));
  load(&part);
  FAILS(FV_ECANCELLED, "", evaluate(&part, partial, 3, &s));
  s.left = 100;
  FAILS(FV_EMISMATCH, "x.partial: holds what an interrupted run", evaluate(&part, partial, 4, &s));
  strcpy(part.list[N - 1].question, "why?");
  FAILS(FV_EMISMATCH, "other samples", evaluate(&part, partial, 3, &s));
  fv_pairs_release(&part);
  load(&part);
  fv_store *store;
  OK(fv_store_open(partial, FV_STORE_WRITE, &store, &e));
  OK(fv_store_manifest_set(store, "model_sha256", "00", &e));
  fv_store_close(store);
  FAILS(FV_EMISMATCH, "another model", evaluate(&part, partial, 3, &s));
  file_write(partial, "no database at all", 18);
  FAILS(FV_EFORMAT, "is not a database", evaluate(&part, partial, 3, &s));
  unlink(partial);
  OK(fv_store_open(partial, FV_STORE_CREATE, &store, &e)); /* killed before it was said what it is */
  fv_store_close(store);
  OK(evaluate(&part, partial, 3, &s));
  fv_pairs_release(&part);
  free(partial);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_goes_on, setup, teardown),
      cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_is_asked, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
