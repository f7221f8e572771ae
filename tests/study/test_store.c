/* The store: what goes in comes out, whatever the order; and everything that a file may be instead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "study/store_inside.h"
#include "study_tests.h"

/* Rows as a patching sweep makes them: two corrupted runs, two layers, two rows, two heads. */
static fv_table *made_up(int sample) {
  fv_table *t;
  OK(fv_table_new(&t, &e));
  fv_sink sink = fv_table_sink(t);
  for (int draw = 0; draw < 2; draw++)
    for (int i = 0; i < 8; i++) {
      fv_row r;
      fv_row_defaults(&r);
      r.sample = "another name", r.draw = draw, r.corrupt = "gray", r.stack = "text_encoder", r.site = "cross.z";
      r.layer = i / 4, r.window = 1, r.row = i / 2 % 2, r.piece = i / 2 % 2 ? "shirt" : "", r.head = i % 2;
      r.op = "replace", r.prob = 0.1f * (float)(i + 1) + (float)sample, r.logit = -7.25f / 3.0f;
      r.logit_diff = 1e-42f, r.effect = i == 3 ? NAN : INFINITY, r.kl = 1.0f / 3.0f, r.rank = i;
      r.clean_prob = 0.7f, r.corrupt_prob = 0.01f * (float)draw, r.clean_logit_diff = 2.5f, r.answer_id = 17;
      r.incorrect_id = draw ? 0 : 18;
      r.answer =
          "r\xC3\xB8"
          "d";
      OK(sink.row(sink.user, &r, &e));
    }
  return t;
}

static fv_store_sample sample_of(int i, char name[32]) {
  static const fv_store_row rows[] = {{"text_encoder", 0, 2, "[CLS]", "cls"}, {"text_encoder", 1, 7, "shirt", ""}};
  fv_store_sample s;
  fv_store_sample_defaults(&s);
  snprintf(name, 32, "sample %d", i);
  s.id = i, s.name = name, s.question = "what colour?", s.image = "a.png", s.image_sha256 = "00ff", s.correct_first = 1;
  s.correct = "red", s.incorrect = "blue", s.correct_id = 3, s.seed = INT64_MIN + i, s.seconds = 0.25 * i;
  s.fields = "{\"verb\":\"run\"}", s.group = i % 2 ? "odd" : "even", s.nrows = 2, s.rows = rows;
  return s;
}

static void put(fv_store *store, int i) {
  char name[32];
  fv_store_sample s = sample_of(i, name);
  fv_table *t = made_up(i);
  fv_store_result results[2] = {{.sweep = 1, .table = t}, {.sweep = 2, .table = t}};
  OK(fv_store_put(store, &s, results, 2, &e));
  fv_table_free(t);
}

static fv_store *create(const char *path) {
  fv_store *s;
  int64_t id;
  OK(fv_store_open(path, FV_STORE_CREATE, &s, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){1, "heads", "patch", "{\"site\":\"x\"}"}, &id, &e));
  assert_int_equal(id, 1);
  OK(fv_store_sweep_add(s, &(fv_store_sweep){2, "control", "patch", "{}"}, &id, &e));
  return s;
}

static void digest(const char *path, char hex[65]) {
  fv_store *s;
  OK(fv_store_open(path, FV_STORE_READ, &s, &e));
  OK(fv_store_digest(s, hex, &e));
  fv_store_close(s);
}

static void same_row(const fv_row *a, const fv_row *b) {
#define SAME_TEXT(x) assert_true(a->x && b->x ? strcmp(a->x, b->x) == 0 : a->x == b->x)
#define SAME_NUMBER(x) assert_true(memcmp(&a->x, &b->x, sizeof a->x) == 0 || (isnan(a->x) && isnan(b->x)))
  SAME_TEXT(corrupt), SAME_TEXT(stack), SAME_TEXT(site), SAME_TEXT(piece), SAME_TEXT(from), SAME_TEXT(to);
  SAME_TEXT(op), SAME_TEXT(answer);
  SAME_NUMBER(prob), SAME_NUMBER(logit), SAME_NUMBER(logit_diff), SAME_NUMBER(p_diff), SAME_NUMBER(effect);
  SAME_NUMBER(kl), SAME_NUMBER(clean_prob), SAME_NUMBER(corrupt_prob), SAME_NUMBER(clean_logit_diff);
  SAME_NUMBER(corrupt_logit_diff);
  assert_true(a->draw == b->draw && a->layer == b->layer && a->window == b->window && a->row == b->row &&
              a->head == b->head && a->rank == b->rank && a->answer_id == b->answer_id &&
              a->incorrect_id == b->incorrect_id);
}

static void test_rows_come_back(void **state) {
  (void)state;
  fv_store *s = create(in_folder("a.db"));
  put(s, 2), put(s, 1);
  fv_table *got, *expected;
  OK(fv_table_new(&got, &e));
  OK(fv_store_rows(s, "control", fv_table_sink(got), &e));
  assert_int_equal(fv_table_count(got), 32);
  for (int i = 1; i <= 2; i++) {
    expected = made_up(i);
    char name[32];
    sample_of(i, name);
    for (size_t k = 0; k < 16; k++) {
      const fv_row *row = fv_table_row(got, (size_t)(i - 1) * 16 + k);
      same_row(row, fv_table_row(expected, k));
      assert_string_equal(row->sample, name);
    }
    fv_table_free(expected);
  }
  fv_table_free(got);
  OK(fv_table_new(&got, &e));
  OK(fv_store_rows(s, NULL, fv_table_sink(got), &e));
  assert_int_equal(fv_table_count(got), 64);
  FAILS(FV_ENOTFOUND, "heads, control", fv_store_rows(s, "head", fv_table_sink(got), &e));
  fv_table_free(got);
  fv_store_counts n;
  OK(fv_store_count(s, &n, &e));
  assert_true(n.samples == 2 && n.done == 2 && n.sweeps == 2 && n.bases == 8 && n.cells == 64);
  int64_t v;
  OK(fv_store_integer(s, "SELECT count(*) FROM results WHERE \"group\" = 'odd' AND sweep = 'heads' AND head = 1", &v,
                      &e));
  assert_int_equal(v, 8);
  OK(fv_store_integer(s, "SELECT count(*) FROM results WHERE effect IS NULL", &v, &e));
  assert_int_equal(v, 8);
  fv_store_close(s);
  assert_int_equal(folder_count(folder), 1); /* neither lock nor log remain */
}

static void test_order_changes_nothing(void **state) {
  (void)state;
  char a[65], b[65], c[65];
  fv_store *s = create(in_folder("a.db"));
  for (int i = 1; i <= 5; i++) put(s, i);
  fv_store_close(s);
  s = create(in_folder("b.db"));
  for (int i = 5; i >= 1; i--) put(s, i);
  put(s, 3); /* replaced by the same */
  fv_store_close(s);
  s = create(in_folder("c.db"));
  for (int i = 1; i <= 5; i++) put(s, i);
  OK(fv_store_exec(s, "UPDATE cells SET prob = prob * 1.0000001 WHERE base_id = (SELECT max(id) FROM bases) AND n = 7",
                   &e));
  fv_store_close(s);
  digest(in_folder("a.db"), a), digest(in_folder("b.db"), b), digest(in_folder("c.db"), c);
  assert_string_equal(a, b);
  assert_string_not_equal(a, c);
}

static void test_names_and_sweeps(void **state) {
  (void)state;
  fv_store *s = create(in_folder("a.db"));
  int64_t id;
  char name[32], *value;
  put(s, 1);
  fv_store_sample x = sample_of(1, name);
  x.id = 2;
  FAILS(FV_EMISMATCH, "sample 1", fv_store_put(s, &x, NULL, 0, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){0, "heads", "patch", "{\"site\":\"x\"}"}, &id, &e));
  assert_int_equal(id, 1);
  FAILS(FV_EMISMATCH, "heads", fv_store_sweep_add(s, &(fv_store_sweep){0, "heads", "patch", "{}"}, &id, &e));
  OK(fv_store_sweep_add(s, &(fv_store_sweep){0, "mine", "trace", "{}"}, &id, &e));
  assert_int_equal(id, FV_STORE_OWN_SWEEPS + 1);
  OK(fv_store_manifest_set(s, "model", "a \"model\"", &e));
  OK(fv_store_manifest_set(s, "model", "b", &e));
  OK(fv_store_manifest(s, "model", &value, &e));
  assert_string_equal(value, "b");
  free(value);
  OK(fv_store_manifest(s, "study", &value, &e));
  assert_null(value);
  bool yes;
  OK(fv_store_has(s, 1, &yes, &e));
  assert_true(yes);
  OK(fv_store_has(s, 2, &yes, &e));
  assert_false(yes);
  fv_store_close(s);
}

/* ---- files that are something else ---- */

static void test_other_files(void **state) {
  (void)state;
  fv_store *s;
  sqlite3 *db;
  FAILS(FV_ENOTFOUND, "no such database", fv_store_open(in_folder("a.db"), FV_STORE_READ, &s, &e));
  FAILS(FV_ENOTFOUND, "no such database", fv_store_open(in_folder("a.db"), FV_STORE_WRITE, &s, &e));
  FAILS(FV_EIO, "not a file", fv_store_open(folder, FV_STORE_CREATE, &s, &e));
  FAILS(FV_EIO, "No such file", fv_store_open(in_folder("nowhere/a.db"), FV_STORE_CREATE, &s, &e));
  file_write(in_folder("a.db"), "a text of some length, so that it is no header", 46);
  FAILS(FV_EFORMAT, "is not a database", fv_store_open(in_folder("a.db"), FV_STORE_READ, &s, &e));
  FAILS(FV_EFORMAT, "is not a database", fv_store_open(in_folder("a.db"), FV_STORE_CREATE, &s, &e));
  assert_int_equal(sqlite3_open(in_folder("b.db"), &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
  FAILS(FV_EFORMAT, "another program", fv_store_open(in_folder("b.db"), FV_STORE_READ, &s, &e));
  FAILS(FV_EFORMAT, "another program", fv_store_open(in_folder("b.db"), FV_STORE_WRITE, &s, &e));
  sqlite3_close(db);
  s = create(in_folder("c.db"));
  OK(fv_store_exec(s, "PRAGMA user_version=99", &e));
  fv_store_close(s);
  FAILS(FV_EUNSUPPORTED, "newer", fv_store_open(in_folder("c.db"), FV_STORE_READ, &s, &e));
  FAILS(FV_EUNSUPPORTED, "schema 99", fv_store_open(in_folder("c.db"), FV_STORE_WRITE, &s, &e));
  file_write(in_folder("d.db"), "", 0); /* as a crash at the very beginning leaves it */
  FAILS(FV_ENOTFOUND, "empty", fv_store_open(in_folder("d.db"), FV_STORE_READ, &s, &e));
  s = create(in_folder("d.db"));
  put(s, 1);
  fv_store_close(s);
}

/* Every page of a database damaged in turn is found, or nothing of it is read. */
static void test_damage(void **state) {
  (void)state;
  fv_store *s = create(in_folder("a.db"));
  for (int i = 1; i <= 20; i++) put(s, i);
  fv_store_close(s);
  char before[65], after[65];
  size_t n;
  digest(in_folder("a.db"), before);
  char *bytes = file_text(in_folder("a.db"), &n);
  int found = 0, pages = (int)(n / 4096);
  assert_true(pages > 8);
  for (int page = 0; page < pages; page++) {
    char *copy = malloc(n);
    memcpy(copy, bytes, n);
    memset(copy + (size_t)page * 4096 + (page ? 0 : 100), 0xff, 64);
    file_write(in_folder("b.db"), copy, n);
    free(copy);
    fv_status st = fv_store_open(in_folder("b.db"), FV_STORE_WRITE, &s, &e);
    if (!st) fv_store_close(s);
    found += st == FV_EFORMAT && strstr(e.text, "damaged") != NULL;
    if (st != FV_OK && st != FV_EFORMAT) fail_msg("page %d: %s", page, e.text);
  }
  assert_true(found >= pages - 2);
  file_write(in_folder("c.db"), bytes, n / 2 / 4096 * 4096); /* cut off */
  FAILS(FV_EFORMAT, "damaged", fv_store_open(in_folder("c.db"), FV_STORE_WRITE, &s, &e));
  free(bytes);
  digest(in_folder("a.db"), after);
  assert_string_equal(before, after);
}

static void test_migrations(void **state) {
  (void)state;
  fv_store *s = create(in_folder("a.db"));
  put(s, 1);
  int64_t v;
  static const char *const next[] = {"", "", "ALTER TABLE samples ADD COLUMN more TEXT",
                                     "CREATE TABLE extra(x); INSERT INTO extra VALUES(5)"};
  OK(fv_store_migrate(s, next, 4, &e));
  OK(fv_store_integer(s, "PRAGMA user_version", &v, &e));
  assert_int_equal(v, 4);
  OK(fv_store_integer(s, "SELECT x FROM extra", &v, &e));
  assert_int_equal(v, 5);
  /* A step that fails leaves the step before. */
  static const char *const broken[] = {
      "", "", "", "", "CREATE TABLE y(x)", "CREATE TABLE z(x); INSERT INTO nothing VALUES(1)"};
  assert_int_equal(fv_store_migrate(s, broken, 6, &e), FV_EIO);
  OK(fv_store_integer(s, "PRAGMA user_version", &v, &e));
  assert_int_equal(v, 5);
  OK(fv_store_integer(s, "SELECT count(*) FROM sqlite_schema WHERE name = 'z'", &v, &e));
  assert_int_equal(v, 0);
  fv_store_close(s);
}

/* ---- others ---- */

static void test_second_writer(void **state) {
  (void)state;
  fv_store *s = create(in_folder("a.db")), *other;
  put(s, 1);
  char process[32];
  snprintf(process, sizeof process, "process %ld", (long)getpid());
  FAILS(FV_EIO, process, fv_store_open(in_folder("a.db"), FV_STORE_WRITE, &other, &e));
  OK(fv_store_open(in_folder("a.db"), FV_STORE_READ, &other, &e)); /* readers are welcome, and hold nobody up */
  fv_store_counts n;
  OK(fv_store_count(other, &n, &e));
  assert_int_equal(n.samples, 1);
  put(s, 2);
  OK(fv_store_count(other, &n, &e));
  assert_int_equal(n.samples, 2);
  fv_store_close(other);
  fv_store_close(s);
  /* A writer that dies leaves no lock. */
  pid_t child = fork();
  if (child == 0) {
    fv_store *mine;
    _exit(fv_store_open(in_folder("a.db"), FV_STORE_WRITE, &mine, &e) == FV_OK ? 7 : 8);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(WEXITSTATUS(status), 7);
  assert_int_equal(access(in_folder("a.db-lock"), F_OK), 0);
  OK(fv_store_open(in_folder("a.db"), FV_STORE_WRITE, &s, &e));
  fv_store_close(s);
}

static bool mounted(const char *path, const char *size) {
  char options[64];
  mkdir(path, 0777);
  snprintf(options, sizeof options, "size=%s", size);
  if (mount("tmpfs", path, "tmpfs", 0, options) == 0) return true;
  printf("skip: no tmpfs can be mounted here\n");
  return false;
}

static void test_full_disk(void **state) {
  (void)state;
  char disk[512], path[600], before[65], after[65];
  snprintf(disk, sizeof disk, "%s/disk", folder);
  if (!mounted(disk, "512k")) skip();
  snprintf(path, sizeof path, "%s/a.db", disk);
  fv_store *s = create(path);
  int stored = 0;
  fv_status st = FV_OK;
  while (!st && stored < 10000) {
    char name[32];
    fv_store_sample x = sample_of(stored + 1, name);
    fv_table *t = made_up(stored + 1);
    st = fv_store_put(s, &x, &(fv_store_result){.sweep = 1, .table = t}, 1, &e);
    fv_table_free(t);
    stored += st == FV_OK;
  }
  assert_int_equal(st, FV_EIO);
  assert_non_null(strstr(e.text, "disk is full"));
  assert_true(stored > 3);
  fv_store_counts n;
  OK(fv_store_count(s, &n, &e));
  assert_int_equal(n.samples, stored);
  OK(fv_store_digest(s, before, &e));
  fv_store_close(s);
  assert_int_equal(mount("tmpfs", disk, "tmpfs", MS_REMOUNT, "size=4m"), 0); /* room was made */
  OK(fv_store_open(path, FV_STORE_WRITE, &s, &e));
  OK(fv_store_digest(s, after, &e));
  assert_string_equal(before, after);
  put(s, stored + 1);
  fv_store_close(s);
  /* Read-only: reading works, writing says why not. */
  assert_int_equal(mount("tmpfs", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
  OK(fv_store_open(path, FV_STORE_READ, &s, &e));
  OK(fv_store_count(s, &n, &e));
  assert_int_equal(n.samples, stored + 1);
  fv_store_close(s);
  FAILS(FV_EIO, "Read-only", fv_store_open(path, FV_STORE_WRITE, &s, &e));
  snprintf(path, sizeof path, "%s/new.db", disk);
  FAILS(FV_EIO, "Read-only", fv_store_open(path, FV_STORE_CREATE, &s, &e));
  assert_int_equal(umount(disk), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_rows_come_back),   TEST(test_order_changes_nothing),
      TEST(test_names_and_sweeps), TEST(test_other_files),
      TEST(test_damage),           TEST(test_migrations),
      TEST(test_second_writer),    TEST(test_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
