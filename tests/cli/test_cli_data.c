/* fovea data: from a folder to a table, to the model's answers, to a selection. */
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "support/scratch.h"

static program_result run(int status, const char *line) {
  return expect_with(&(program_options){.folder = folder}, status, line);
}

static json_t *run_json(const char *line) {
  program_result r = run(0, line);
  json_t *j = json_loadb(r.out, r.nout, 0, NULL);
  if (!j) fail_msg("%s\nis not JSON: %s", line, r.out);
  program_release(&r);
  return j;
}

static void says(int status, const char *line, const char *wanted) {
  program_result r = run(status, line);
  if (!strstr(r.err, wanted)) fail_msg("%s\n%s\nexpected: %s", line, r.err, wanted);
  program_release(&r);
}

static void write_file(const char *name, const char *text, size_t n) { file_write(in_folder(name), text, n); }

static char *read_file(const char *name) {
  size_t n;
  char *text = file_text(in_folder(name), &n);
  if (!text) fail_msg("%s was not written", name);
  return text;
}

static int64_t integer(const json_t *j, const char *key) { return json_integer_value(json_object_get(j, key)); }

static void copy_picture(const char *name) {
  size_t n;
  char *bytes = file_text(MODEL "/vectors/image0.png", &n);
  assert_non_null(bytes);
  write_file(name, bytes, n);
  free(bytes);
}

/* CLEVR's table becomes samples, the model answers them, and those that it answers so are selected. */
static void test_pipeline(void **state) {
  (void)state;
  static const char table[] =
      ",Image_IDs,Questions_Answers\n"
      "0,a,\"[{'question': 'what color is the shirt?', 'answer': 1}, {'question': 'is it small?', 'answer': 0}]\"\n"
      "1,gone,[]\n";
  copy_picture("a.png");
  write_file("clevr.csv", table, sizeof table - 1);
  json_t *j = run_json("fovea data clevr --table clevr.csv --images . --out t.csv --json");
  assert_int_equal(integer(j, "read"), 2);
  assert_int_equal(integer(j, "kept"), 2);
  assert_int_equal(integer(j, "excluded"), 1);
  const json_t *reason = json_array_get(json_object_get(j, "reasons"), 0);
  assert_string_equal(json_string_value(json_object_get(reason, "reason")), "the picture does not exist");
  assert_int_equal(integer(reason, "count"), 1);
  assert_string_equal(json_string_value(json_object_get(j, "excluded_out")), "t.excluded.csv");
  json_decref(j);
  char *text = read_file("t.csv");
  assert_string_equal(text,
                      "sample,image,question,correct,incorrect,label\n"
                      "a/0,a.png,what color is the shirt?,yes,no,yes\na/1,a.png,is it small?,no,yes,no\n");
  free(text);
  text = read_file("t.excluded.csv");
  assert_string_equal(text, "name,reason\nclevr.csv line 3 (gone),the picture does not exist\n");
  free(text);

  program_result r = run(0, "fovea data evaluate $M --samples t.csv --out e.jsonl --excluded x.csv");
  assert_non_null(strstr(r.out, "kept        2\n"));
  program_release(&r);
  text = read_file("e.jsonl");
  json_t *answer = expect_json("fovea ask $M $I --question 'is it small?' --json"), *line = NULL;
  const char *second = strchr(text, '\n');
  assert_non_null(second);
  line = json_loads(second + 1, JSON_DISABLE_EOF_CHECK, NULL);
  assert_string_equal(json_string_value(json_object_get(line, "generated")),
                      json_string_value(json_object_get(json_object_get(answer, "answer"), "text")));
  const char *said = json_string_value(json_object_get(line, "generated"));
  char rows[4000];
  int m = snprintf(rows, sizeof rows,
                   "image,question,correct,label\na.png,is it small?,%s,x\na.png,is it small?,x,%s\n"
                   "a.png,is it small?,,%s\na.png,is it small?,,\n",
                   said, said, said);
  write_file("r.csv", rows, (size_t)m);
  j = run_json("fovea data evaluate $M --samples r.csv --out right.csv --json");
  assert_int_equal(integer(j, "known"), 3);
  assert_int_equal(integer(j, "right"), 2);
  json_decref(j);
  int n = snprintf(rows, sizeof rows,
                   "image,question,correct,incorrect,group,correct_first,generated\n"
                   "a.png,yes or no?,yes,no,g,1,no\na.png,is it %s or other,%s,other,g,1,%s\n",
                   said, said, said);
  write_file("s.csv", rows, (size_t)n);
  json_decref(answer), json_decref(line);
  free(text);

  j = run_json("fovea data select --rule fer --samples s.csv --out sub.csv --json");
  assert_int_equal(integer(j, "kept"), 1);
  const json_t *group = json_array_get(json_object_get(j, "groups"), 0);
  assert_int_equal(integer(group, "correct_first"), 1);
  json_decref(j);
  text = read_file("sub.excluded.csv");
  assert_string_equal(text, "name,reason\n0,the model answers otherwise\n");
  free(text);
}

/* Corrupted inputs go into their own column; samples that cannot be read are excluded. */
static void test_evaluate(void **state) {
  (void)state;
  static const char table[] =
      "sample,image,question,corrupt_question\na,a.png,what?,why is it?\nb,none.png,what?,why?\n"
      "c,a.png,what?,\nd,,what?,why?\ne,a.png,,why?\n";
  copy_picture("a.png");
  write_file("t.csv", table, sizeof table - 1);
  json_t *j = run_json("fovea data evaluate $M --samples t.csv --out e.csv --corrupted --json --generate 3");
  assert_int_equal(integer(j, "kept"), 2);
  json_decref(j);
  write_file("none.csv", "image,question\nnone.png,what?\n", 29);
  says(1, "fovea data evaluate $M --samples none.csv --out n.csv",
       "no sample could be answered; the first: 0 (none.png");
  char *text = read_file("e.excluded.csv");
  assert_non_null(strstr(text, "b (none.png: cannot open"));
  assert_non_null(strstr(text,
                         ",the input cannot be made\nc,the sample has no corrupted picture or text\n"
                         "d,the sample has no picture\n"));
  free(text);
  text = read_file("e.csv");
  assert_non_null(strstr(text, "generated_corrupt\na,a.png,"));
  free(text);
  says(0, "fovea data evaluate $M --samples t.csv --out e.csv", "");
  text = read_file("e.excluded.csv");
  assert_non_null(strstr(text, "e,the sample has no text\n"));
  free(text);
}

/* Interrupted somewhere and run again, an evaluation writes the same table, and nothing else remains. */
static void test_evaluate_goes_on(void **state) {
  (void)state;
  enum { SAMPLES = 400 };
  char *text = malloc(SAMPLES * 64), *at = text + sprintf(text, "image,question\n");
  int stopped = 0;
  for (int i = 0; i < SAMPLES; i++) at += sprintf(at, "a.png,what color is the shirt %d?\n", i);
  copy_picture("a.png");
  write_file("t.csv", text, (size_t)(at - text));
  free(text);
  program_result r = run(0, "fovea data evaluate $M --samples t.csv --out whole.csv --generate 8");
  double wall = r.wall;
  program_release(&r);
  char *whole = read_file("whole.csv");
  /* The machine may be faster than it was during the first run. */
  for (int i = 0; stopped < 3 && i < 30; i++) {
    program_options o = {.folder = folder, .interrupt_after = (int)(1000.0 * wall * (i % 5) / 6) + 1};
    program_run(&o, &r, "fovea data evaluate $M --samples t.csv --out e.csv --generate 8", vars);
    if (r.status == 1 && access(in_folder("e.csv.partial"), F_OK) == 0) {
      stopped++;
      assert_non_null(strstr(r.err, "of 400 samples are done; run the same again to go on"));
      assert_int_equal(folder_count(folder), 5); /* and the partial answers */
      if (stopped == 1)
        says(1, "fovea data evaluate $M --samples t.csv --out e.csv --generate 9",
             "e.csv.partial: holds what an interrup");
    } else if (r.status == 0) {
      wall *= 0.8;
    }
    program_release(&r);
    r = run(0, "fovea data evaluate $M --samples t.csv --out e.csv --generate 8");
    program_release(&r);
    text = read_file("e.csv");
    assert_string_equal(text, whole);
    free(text);
    unlink(in_folder("e.csv")), unlink(in_folder("e.excluded.csv"));
    assert_int_equal(folder_count(folder), 4); /* the table, the picture, whole.csv and its exclusions */
  }
  assert_int_equal(stopped, 3);
  says(2, "fovea data evaluate $M --samples t.csv --out e.csv --excluded e.csv.partial", "two outputs cannot share");
  free(whole);
}

/* Killed, it leaves its answers and nothing else: no unfinished table. */
static void test_evaluate_killed(void **state) {
  (void)state;
  enum { SAMPLES = 50000 }; /* many seconds' work, however late the kill comes */
  char *text = malloc(SAMPLES * 64), *at = text + sprintf(text, "image,question\n");
  for (int i = 0; i < SAMPLES; i++) at += sprintf(at, "a.png,what color is the shirt %d?\n", i);
  copy_picture("a.png");
  write_file("t.csv", text, (size_t)(at - text));
  free(text);
  pid_t pid = fork();
  if (pid == 0) {
    if (chdir(folder) != 0 || !freopen("/dev/null", "w", stdout)) _exit(126);
    execl(FV_BINARY_DIR "/fovea", "fovea", "data", "evaluate", MODEL, "--samples", "t.csv", "--out", "e.csv",
          "--generate", "8", (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 3000 && access(in_folder("e.csv.partial-wal"), F_OK) != 0; i++) usleep(10000);
  kill(pid, SIGKILL);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status));
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *entry; (entry = readdir(dir));)
    if (strstr(entry->d_name, ".part-")) fail_msg("left behind: %s", entry->d_name);
  closedir(dir);
}

static void test_refused(void **state) {
  (void)state;
  copy_picture("a.png");
  write_file("t.csv", "image,question\na.png,what?\n", 27);
  says(2, "fovea data", "an argument is missing: fovea data KIND");
  says(2, "fovea data svo --images .", "--out FILE is missing");
  says(2, "fovea data fer --images . --out o.csv --seed -3", "--seed -3: expected 0 or more");
  says(2, "fovea data select --rule fer --samples t.csv --out o.csv --seed 4294967296", "up to 4294967295");
  static const char coco[] = ",train_image_id_count,question_count,answer_count\n0,1,what is it,red\n";
  write_file("coco.csv", coco, sizeof coco - 1);
  says(1, "fovea data coco-qa --table coco.csv --images . --out o.csv --words 5", "has no question of so many words");
  says(1, "fovea data coco-qa --table coco.csv --images . --out o.csv --words 3", "no sample is left; 1 are excluded");
  says(2, "fovea data nothing --out o.csv", "there is no data set \"nothing\"");
  says(1, "fovea data coco --out o.csv", "COCO instance annotations");
  says(1, "fovea data cifar10 --batches coco.csv --images new --out o.csv", "coco.csv");
  assert_int_equal(access(in_folder("new"), F_OK), -1); /* no empty folder is left */
  says(2, "fovea data fer --images . --out o.csv --gray", "--gray belongs to cifar10");
  says(2, "fovea data fer --images . --out o.csv --rule fer", "--rule does not belong to `fovea data fer`");
  says(2, "fovea data fer more --images . --out o.csv", "unexpected argument \"more\"");
  says(2, "fovea data select --samples t.csv --out o.csv", "--rule is missing");
  says(2, "fovea data select --rule fer --out o.csv", "--samples TABLE is missing");
  says(2, "fovea data evaluate --samples t.csv --out o.csv", "a model folder is missing");
  says(2, "fovea data select --rule fer --samples t.csv --out t.csv", "t.csv: an output cannot be a file that the run");
  says(2, "fovea data clevr --table t.csv --images . --out t.csv", "t.csv: an output cannot be a file that the run");
  says(2, "fovea data clevr --table t.csv --images . --out o.csv --excluded o.csv", "two outputs cannot share a file");
  says(2, "fovea data clevr --table t.csv --images . --out -", "name a file");
  says(1, "fovea data clevr --table t.csv --images . --out o.csv", "t.csv: has no column \"Image_IDs\"");
  says(1, "fovea data select --rule fer --samples t.csv --out o.csv", "there is no generated answer");
  says(2, "fovea data clevr --table t.csv --images . --out o.txt", "a sample table is a .csv or a .jsonl file");
  char path[600];
  size_t n;
  snprintf(path, sizeof path, "%s/o.csv", folder);
  assert_null(file_text(path, &n));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_pipeline, folder_setup, folder_teardown),
      cmocka_unit_test_setup_teardown(test_evaluate, folder_setup, folder_teardown),
      cmocka_unit_test_setup_teardown(test_evaluate_goes_on, folder_setup, folder_teardown),
      cmocka_unit_test_setup_teardown(test_evaluate_killed, folder_setup, folder_teardown),
      cmocka_unit_test_setup_teardown(test_refused, folder_setup, folder_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
