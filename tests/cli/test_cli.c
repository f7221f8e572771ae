/* The command line's manners: statuses, what goes where, and outputs that appear complete or not at all. */
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_tests.h"

/* 2 is what was typed wrongly, 1 what is wrong with data, addresses and files. */
static const refusal cases[] = {
    {2, "fovea frobnicate", "there is no command \"frobnicate\""},
    {2, "fovea patchwork $M", "no command"},
    {2, "fovea trcae $M", "did you mean trace?"},
    {2, "fovea help aks", "did you mean ask?"},
    {2, "fovea ask $M --imgae x", "did you mean --image?"},
    {2, "fovea ask $M --promtps x", "did you mean --prompt?"},
    {2, "fovea ask $M --tpo x", "unknown option --tpo; did you mean --top?"},
    {2, "fovea ask $M --averyveryverylongoptionname x", "name; `fovea help ask` lists the options"},
    {2, "fovea ask '' $I $Q", "a model folder is missing"},
    {2, "fovea ask $M --image '' $Q", "--image needs the name of a file"},
    {2, "fovea verify $M --vectors ''", "--vectors needs the name of a folder"},
    {2, "fovea $T --db ''", "--db needs the name of a file"},
    {2, "fovea circuit ''", "an argument is missing: fovea circuit DB"},
    {2, "fovea lens $M", "no command"},
    {2, "fovea ablate $M", "no command"},
    {2, "fovea block $M", "no command"},
    {2, "fovea attribute $M", "no command"},
    {2, "fovea cache $M", "no command"},
    {2, "fovea mean $M", "no command"},
    {2, "fovea data coco-qa", "--out FILE is missing"},
    {1, "fovea run study.yaml", "study.yaml"},
    {2, "fovea run", "an argument is missing: fovea run STUDY"},
    {2, "fovea export x.db", "say what to write"},
    {2, "fovea export x.db --rome -", "--rome -: a folder cannot be standard output"},
    {1, "fovea export x.db --csv -", "x.db"},
    {2, "fovea report", "an argument is missing: fovea report DB"},
    {2, "fovea report x.db", "name the page"},
    {1, "fovea report x.db --out x.html", "x.db"},
    {1, "fovea report $M/config.json --out x.html", "not a database"},
    {2, "fovea report $M/config.json --out $M/config.json", "cannot be a file that the run reads"},
    {2, "fovea help frobnicate", "there is no command \"frobnicate\""},
    {2, "fovea help trace edit", "unexpected argument \"edit\""},
    {2, "fovea $T --html -", "only --csv and --json can be standard output"},
    {1, "fovea $T --html /no/where.html", "/no/where.html: cannot write"},
    {2, "fovea ask", "a model folder is missing"},
    {2, "fovea ask $M $M", "unexpected argument"},
    {2, "fovea ask $M -x", "unknown option -x"},
    {2, "fovea ask $M --nope", "unknown option --nope"},
    {2, "fovea ask $M $I $Q --csv x.csv", "unknown option --csv"},
    {2, "fovea ask $M $Q", "--image FILE"},
    {2, "fovea ask $M $I", "--question TEXT"},
    {2, "fovea ask $M $I --question", "--question needs a value"},
    {2, "fovea ask $M $I $Q $Q", "--question is given twice"},
    {2, "fovea ask $M $I $Q --prompt x", "exclude each other"},
    {2, "fovea ask $M $I $Q --json=1", "--json takes no value"},
    {2, "fovea ask $M $I $Q --top 0", "expected an integer of at least 1"},
    {2, "fovea ask $M $I $Q --top 1e3", "expected an integer"},
    {2, "fovea ask $M $I $Q --top 99999999999999999999", "the number is too large"},
    {2, "fovea ask $M $I $Q --top ''", "expected an integer"},
    {2, "fovea ask $M $I $Q --generate 0", "at least 1"},
    {2, "fovea ask $M $I $Q --threads 0", "at least 1"},
    {2, "fovea ask $M $I $Q --threads 1000000", "1024"},
    {2, "fovea ask $M $I $Q --seed 0x10", "expected an integer"},
    {2, "fovea ask $M $I $Q --seed ' 1'", "expected an integer"},
    {2, "fovea ask $M $I $Q --memory 2X", "expected a size such as"},
    {2, "fovea ask $M $I $Q --memory G", "expected a size such as"},
    {2, "fovea ask $M $I $Q --memory -1", "expected a size such as"},
    {2, "fovea ask $M $I $Q --memory 0", "expected a size such as"},
    {2, "fovea ask $M $I $Q --memory 1GB", "expected a size such as"},
    {2, "fovea ask $M $I $Q --check -5", "0 to 100"},
    {2, "fovea ask $M $I $Q --check 101", "0 to 100"},
    {2, "fovea ask $M $I $Q --check nan", "0 to 100"},
    {2, "fovea ask $M $I $Q --compute f64", "f32|bf16"},
    {1, "fovea ask $M $I $Q --compute bf16", "not available"},
    {1, "fovea ask $M $I $Q --memory 1", "raise --memory"},
    {1, "fovea ask $M $I --question ''", "the question is empty"},
    {1, "fovea ask nothing-here $I $Q", "no such model folder"},
    {1, "fovea ask /dev $I $Q", "no config.json"},
    {1, "fovea ask $M/config.json $I $Q", "is a file"},
    {1, "fovea ask $M --image /nothing.png $Q", "/nothing.png: cannot open"},
    {1, "fovea ask $M --image /dev/null $Q", "not a regular file"},
    {1, "fovea ask $M --image $M $Q", "not a regular file"},
    {1, "fovea ask $M --image $M/config.json $Q", "is not a picture"},
    {2, "fovea info $M --sites --plan", "exclude each other"},
    {2, "fovea info $M $I", "belong to --plan"},
    {2, "fovea info $M --plan", "--plan depends on the rows of one input: a picture is missing"},
    {2, "fovea tokens $M", "--question TEXT"},
    {2, "fovea tokens $M --jsonl - --json", "stands alone"},
    {2, "fovea tokens $M --decode", "--decode needs --jsonl"},
    {2, "fovea tokens $M --jsonl - --keep-special", "--keep-special needs --decode"},
    {1, "fovea tokens $M --jsonl /nothing", "cannot open"},
    {1, "fovea tokens $M --jsonl $M", "--jsonl - reads standard input"},
    {2, "fovea trace $M $I $Q --draws 0", "at least 1"},
    {2, "fovea $T --window 0", "at least 1"},
    {2, "fovea $T --layer-start -1", "at least 0"},
    {2, "fovea $T --rng mt19937", "torch|numpy"},
    {2, "fovea $T --value other", "raw|normalised|difference"},
    {2, "fovea $T --feature-range 3", "A:B"},
    {2, "fovea $T --feature-range 3:3", "A:B"},
    {2, "fovea $T --feature-range 0:2 --restore text_encoder.*.attn.z:1", "exclude each other"},
    {1, "fovea $T --feature-range 0:36", "outside 0..34"},
    {2, "fovea $T --vmin 1 --vmax 0", "not below"},
    {2, "fovea $T --plot x.gif", ".png, .svg or .pdf"},
    {2, "fovea $T --plot x.png --colors Pink", "Purples"},
    {2, "fovea $T --npz -", "name a file"},
    {2, "fovea $T --json --csv -", "standard output"},
    {2, "fovea $T --samples x.csv --images x", "brings its own"},
    {2, "fovea trace $M --samples x.csv", "belong together"},
    {2, "fovea $T --words 3", "belong to --samples"},
    {2, "fovea $T --restore text_encoder.*.resid_post@1", "rows are not given here"},
    {2, "fovea $T --restore text_encoder.*.attn.pattern", "not states of rows"},
    {2, "fovea $T --restore text_encoder.*.attn*", "several sites"},
    {2, "fovea $T --restore encoder", "no dot"},
    {1, "fovea $T --restore lang.*.resid_post", "no stack \"lang\""},
    {1, "fovea $T --restore text_encoder.*.resid", "no site \"resid\""},
    {1, "fovea $T --restore text_encoder.2.resid_post", "outside 0..1"},
    {1, "fovea $T --restore text_encoder.0.attn.z#5", "outside 0..4"},
    {2, "fovea $T --corrupt sepia", "expected one of"},
    {2, "fovea $T --corrupt blur:0", "radius"},
    {2, "fovea $T --corrupt mask:0,0,1", "expected one of"},
    {2, "fovea $T --corrupt mask:0,0,5,5", "0..4"},
    {2, "fovea $T --corrupt mul-gauss:std=x@vision.final", "not a finite number"},
    {1, "fovea $T --corrupt image:/nothing", "cannot open"},
    {1, "fovea $T --corrupt 'question:what is that'", "one to one"},
    {1, "fovea $T --target red --corrupt mul-gauss:std=1@nothing.final", "no stack"},
    {1, "fovea $T --target ☃☃☃", "has no piece of it, only [UNK]"},
    {2, "fovea $T --target id:166", "0 to 165"},
    {2, "fovea edit $M $I $Q", "nothing to do"},
    {2, "fovea $E --read text_encoder.0.attn.z", "belong together"},
    {2, "fovea $E --do 'scale text_encoder.0.attn.z 2' --save x", "belong together"},
    {2, "fovea edit $M $I --do 'zero vision.final'", "needed for an answer"},
    {2, "fovea $E --do ''", "there is no operation"},
    {2, "fovea $E --do frob", "there is no operation \"frob\""},
    {2, "fovea $E --do zero", "an address is missing"},
    {2, "fovea $E --do 'zero text_encoder.0.attn.z 1'", "expected nothing"},
    {2, "fovea $E --do 'scale text_encoder.0.attn.z inf'", "finite number"},
    {2, "fovea $E --do 'replace text_encoder.0.attn.z from'", "the form is replace A from B"},
    {2, "fovea $E --do 'block text_encoder.0.attn.z from=1'", "not a scores site"},
    {2, "fovea $E --do 'zero text_encoder.0.attn.z#0' --do 'scale text_encoder.0.attn.z#0,1 2'", "--in-order"},
    {1, "fovea $E --do 'zero text_encoder.0.attn.z@2-1'", "ends before it begins"},
    {2, "fovea $E --do 'zero text_encoder.0.attn.z@1,,2'", "expected rows"},
    {2, "fovea $E --do 'zero text_encoder.0.attn.z:0@1'", "expected"},
    {2, "fovea $E --do 'zero text_encoder.0.resid_post#0'", "has no heads"},
    {1, "fovea $E --do 'zero text_encoder.0.attn.z@3'", "outside 0..2"},
    {1, "fovea $E --do 'zero text_encoder.0.attn.z@\"whom\"'", "no row for \"whom\""},
    {1, "fovea $E --do 'zero vision.0.attn.z@image[5,0]'", "5 x 5 patches"},
    {1, "fovea $E --do 'mean text_encoder.0.attn.z /nothing.pt'", "/nothing.pt: cannot open"},
    {2, "fovea $E --do 'mean text_encoder.0.attn.z $V/directions.safetensors'", "FILE:KEY"},
    {1, "fovea $E --do 'mean text_encoder.0.attn.z $V/directions.safetensors:x'", "no tensor \"x\""},
    {1, "fovea $E --do 'mean text_encoder.0.mlp.pre $V/directions.safetensors:width_35_1'", "expected a vector of 77"},
    {1, "fovea $E --do 'replace text_encoder.0.attn.z' --from-question 'what is that'", "3 rows x 35"},
    {2, "fovea $E --do 'replace text_encoder.0.attn.z' --from-question a --from-prompt b", "exclude each other"},
    {2, "fovea $E --from-question a --read text_encoder.0.attn.z --save x", "no --do replaces"},
    {2, "fovea $E --do 'zero text_encoder.0.attn.z' --from-image $V/image1.png", "no --do replaces anything"},
    {2, "fovea verify $M", "--vectors DIR"},
    {2, "fovea verify $M --vectors $V --tolerance -1", "0 or more"},
    {1, "fovea verify $M --vectors $M", "cases.json"},
    {2, "fovea bench $M $I", "a question is missing"},
    {1, "fovea bench $M", "example.png: cannot open"},
};

static void test_statuses(void **state) {
  (void)state;
  expect_refusals(cases, sizeof cases / sizeof *cases);
}

static void test_help(void **state) {
  (void)state;
  static const char *const commands[] = {"info", "ask", "tokens", "trace", "edit", "verify", "bench", "help"};
  size_t n;
  char *golden = file_text(FV_SOURCE_DIR "/tests/cli/golden/help.txt", &n), line[64];
  assert_non_null(golden);
  const char *const forms[] = {"fovea", "fovea help", "fovea --help", "fovea -h"};
  for (size_t i = 0; i < 4; i++) {
    program_result r = expect(0, forms[i]);
    assert_string_equal(r.out, golden);
    assert_string_equal(r.err, "");
    program_release(&r);
  }
  free(golden);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    snprintf(line, sizeof line, "fovea help %s", commands[i]);
    program_result a = expect(0, line);
    snprintf(line, sizeof line, "fovea %s --help", commands[i]);
    program_result b = expect(0, line);
    if (strcmp(commands[i], "help") != 0) assert_string_equal(a.out, b.out);
    program_release(&a), program_release(&b);
  }
  /* A value is a value, whatever it looks like. */
  program_result r = expect(0, "fovea ask $M $I --question --help --top 1");
  assert_null(strstr(r.out, "options:"));
  program_release(&r);
}

static void test_manual(void **state) {
  (void)state;
  program_result r = expect(0, "fovea help man");
  assert_memory_equal(r.out, ".TH FOVEA 1", 11);
  assert_non_null(strstr(r.out, "\\-\\-noise\\-redraw"));
  program_release(&r);
}

/* A model that chooses among texts is timed with several. */
static void test_bench(void **state) {
  (void)state;
  program_result r =
      expect(0, "fovea bench " FV_TEST_DATA "/clip/zip $I --prompt 'red boat' --prompt photo --memory 1G");
  assert_non_null(strstr(r.out, "causal trace"));
  program_release(&r);
}

/* Standard output that is full or closed is a failure, and nothing else appears. */
static void test_standard_output(void **state) {
  (void)state;
  char *folder = folder_make();
  const char *const lines[] = {"fovea help",
                               "fovea --version",
                               "fovea ask $M $I $Q",
                               "fovea info $M --sites",
                               "fovea tokens $M --jsonl -",
                               "fovea $T --csv a.csv --npz a.npz --plot a.svg",
                               "fovea $T --csv - --npz a.npz",
                               "fovea $T --json --csv a.csv",
                               "fovea $E --read text_encoder.*.resid_post --save a.safetensors"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    for (int pipe = 0; pipe < 2; pipe++) {
      program_options o = {.folder = folder, .input = "\"what\"\n"};
      if (pipe)
        o.closed_pipe = true;
      else
        o.output = "/dev/full";
      program_result r = {0};
      program_run(&o, &r, lines[i], vars);
      if (r.status != 1) fail_msg("%s\nstatus %d, expected 1: %s", lines[i], r.status, r.err);
      if (!strstr(r.err, "standard output")) fail_msg("%s\ndoes not say why: %s", lines[i], r.err);
      if (folder_count(folder) != 0) fail_msg("%s\nleft files behind", lines[i]);
      program_release(&r);
    }
  folder_remove(folder);
}

static const char old_text[] = "what was there before";

static void expect_old(const char *folder, const char *name) {
  char path[256];
  size_t n;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  char *text = file_text(path, &n);
  assert_non_null(text);
  assert_string_equal(text, old_text);
  free(text);
}

/* After a failure old files are as they were and no new name exists. */
static void test_outputs_after_failure(void **state) {
  (void)state;
  char *folder = folder_make();
  static const char *const names[] = {"a.csv", "a.npz", "a.png", "a.safetensors"};
  char path[256];
  for (size_t i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    file_write(path, old_text, strlen(old_text));
  }
  snprintf(path, sizeof path, "%s/fifo", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  const struct {
    int status;
    long file_bytes;
    const char *line;
  } failures[] = {
      {1, 0, "fovea $T --csv a.csv --npz a.npz --plot nowhere/a.png"},
      {1, 0, "fovea $T --csv a.csv --npz /dev/full"},
      {1, 0, "fovea $T --csv fifo --npz a.npz"},
      {1, 0, "fovea $T --csv a.csv --npz a.npz --plot a.png --corrupt image:nothing"},
      {1, 600, "fovea $T --csv a.csv"},
      {1, 2000, "fovea $T --csv a.csv --npz a.npz --plot a.png"},
      {1, 2000, "fovea $E --read vision.*.mlp.post --save a.safetensors"},
      {2, 0, "fovea $T --csv a.csv --npz ./a.csv"},
      {2, 0, "fovea $T --csv a.csv --npz ../$F/a.csv"},
      {1, 0, "fovea $E --read text_encoder.*.nothing --save a.safetensors"},
      {1, 0, "fovea $E --read text_encoder.*.resid_post --save fifo"},
      {2, 0, "fovea $E --read text_encoder.*.resid_post --save -"},
      {1, 0, "fovea ask $M --image fifo --question what"},
      {1, 0, "fovea tokens $M --jsonl fifo"},
      {1, 0, "fovea trace $M --samples fifo --images ."},
  };
  program_variable more[16] = {{"F", folder}};
  memcpy(more + 1, vars, sizeof vars);
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    program_options o = {.folder = folder, .file_bytes = failures[i].file_bytes, .seconds = 60};
    program_result r;
    program_run(&o, &r, failures[i].line, more);
    if (r.status != failures[i].status)
      fail_msg("%s\nstatus %d, expected %d: %s", failures[i].line, r.status, failures[i].status, r.err);
    if (r.nout) fail_msg("%s\nwrote to standard output: %s", failures[i].line, r.out);
    if (strstr(r.err, ".part-")) fail_msg("%s\nnames a temporary file: %s", failures[i].line, r.err);
    for (size_t k = 0; k < 4; k++) expect_old(folder, names[k]);
    if (folder_count(folder) != 5) fail_msg("%s\nleft files behind", failures[i].line);
    program_release(&r);
  }
  folder_remove(folder);
}

/* An output may not be a file that the run reads, under any name. */
static void test_outputs_are_no_inputs(void **state) {
  (void)state;
  char *folder = folder_make(), path[256];
  size_t n;
  snprintf(path, sizeof path, "%s/m", folder);
  assert_int_equal(mkdir(path, 0700), 0);
  static const char *const files[] = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"};
  for (size_t i = 0; i < 4; i++) {
    snprintf(path, sizeof path, MODEL "/%s", files[i]);
    char *text = file_text(path, &n);
    snprintf(path, sizeof path, "%s/m/%s", folder, files[i]);
    file_write(path, text, n);
    free(text);
  }
  const char *const copies[][2] = {{MODEL "/vectors/image0.png", "a.png"},
                                   {MODEL "/vectors/image1.png", "b.png"},
                                   {MODEL "/vectors/directions.safetensors", "d.safetensors"}};
  for (size_t i = 0; i < 3; i++) {
    char *text = file_text(copies[i][0], &n);
    snprintf(path, sizeof path, "%s/%s", folder, copies[i][1]);
    file_write(path, text, n);
    free(text);
  }
  snprintf(path, sizeof path, "%s/link.png", folder);
  assert_int_equal(symlink("a.png", path), 0);
  const char *const lines[] = {
      "fovea trace m --image a.png --question what --csv a.png",
      "fovea trace m --image a.png --question what --csv ./m/../a.png",
      "fovea trace m --image a.png --question what --csv link.png",
      "fovea trace m --image a.png --question what --corrupt image:b.png --npz b.png",
      "fovea trace m --image a.png --question what --npz m/model.safetensors",
      "fovea trace m --image a.png --question what --csv m/config.json",
      "fovea edit m --image a.png --question what --read vision.final --save m/tokenizer.json",
      "fovea edit m --image a.png --question what --do 'replace vision.final' --from-image b.png --read vision.final "
      "--save b.png",
      "fovea edit m --image a.png --question what --do 'mean text_encoder.0.attn.z d.safetensors:width_35_1' --read "
      "vision.final --save d.safetensors"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    program_result r = expect_with(&(program_options){.folder = folder}, 2, lines[i]);
    if (!strstr(r.err, "cannot be a file that the run reads")) fail_msg("%s\n%s", lines[i], r.err);
    program_release(&r);
  }
  assert_int_equal(folder_count(folder), 5);
  folder_remove(folder);
}

/* Outputs of a run that succeeds are published under their own names, with the permissions of any new file. */
static void test_outputs(void **state) {
  (void)state;
  char *folder = folder_make(), path[256];
  snprintf(path, sizeof path, "%s/a.csv", folder);
  file_write(path, old_text, strlen(old_text));
  program_result r =
      expect_with(&(program_options){.folder = folder}, 0, "fovea $T --csv a.csv --npz a.npz --plot a.PNG");
  assert_string_equal(r.err, "");
  assert_int_equal(folder_count(folder), 3);
  size_t n;
  char *csv = file_text(path, &n);
  assert_memory_equal(csv, "sample,draw,corrupt,", 20);
  struct stat st;
  mode_t mask = umask(0);
  umask(mask);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
  program_release(&r);
  r = expect(0, "fovea $T --csv -");
  assert_string_equal(r.out, csv);
  free(csv);
  program_release(&r);
  folder_remove(folder);
}

/* An interrupt ends a long run with status 1 and without a trace of it. */
static void test_interrupt(void **state) {
  (void)state;
  char *folder = folder_make();
  program_options o = {.folder = folder, .interrupt_after = 400, .seconds = 60};
  program_result r;
  program_run(&o, &r, "fovea trace $M $I $Q --draws 3000 --csv a.csv --npz a.npz", vars);
  assert_int_equal(r.status, 1);
  assert_int_equal(r.nout, 0);
  assert_non_null(strstr(r.err, "stopped on request"));
  assert_int_equal(folder_count(folder), 0);
  program_release(&r);
  folder_remove(folder);
}

/* A model by name. */
static void test_model_name(void **state) {
  (void)state;
  program_options o = {.models = FV_TEST_DATA "/blip"};
  program_result a, b;
  program_run(&o, &a, "fovea info tied --json", vars);
  program_run(&(program_options){0}, &b, "fovea info $M/ --json", vars);
  assert_int_equal(a.status, 0);
  assert_int_equal(b.status, 0);
  assert_non_null(strstr(a.out, "\"parameters\":103546,"));
  assert_string_equal(strstr(a.out, "\"sha256\""), strstr(b.out, "\"sha256\""));
  program_release(&a), program_release(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_statuses),
      cmocka_unit_test(test_help),
      cmocka_unit_test(test_manual),
      cmocka_unit_test(test_bench),
      cmocka_unit_test(test_standard_output),
      cmocka_unit_test(test_outputs_after_failure),
      cmocka_unit_test(test_outputs_are_no_inputs),
      cmocka_unit_test(test_outputs),
      cmocka_unit_test(test_interrupt),
      cmocka_unit_test(test_model_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
