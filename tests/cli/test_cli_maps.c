/* fovea maps: its outputs on a made-up study, and what is refused. */
#include <math.h>
#include <unistd.h>

#include "cli/cli_tests.h"
#include "fovea/store.h"
#include "support/scratch.h"
#include "support/vectors.h"

/* Two samples of different groups: 2 layers, 3 rows, values k + layer + row / 4; and a sweep of heads in another file.
 */
static void make(const char *db, int64_t head) {
  fv_store *store;
  int64_t id;
  fv_store_sweep sweep = {0, "states", "patch", "{}"};
  OK(fv_store_open(db, FV_STORE_CREATE, &store, ERR));
  OK(fv_store_sweep_add(store, &sweep, &id, ERR));
  for (int k = 0; k < 2; k++) {
    fv_store_row rows[] = {{"text_encoder", 0, 2, "[CLS]", "cls"},
                           {"text_encoder", 1, 7, k ? "red" : "a,b", ""},
                           {"text_encoder", 2, 3, "[SEP]", ""}};
    fv_store_sample s;
    fv_table *t;
    fv_row r;
    OK(fv_table_new(&t, ERR));
    for (int i = 0; i < 6; i++) {
      fv_row_defaults(&r);
      r.stack = "text_encoder", r.site = "resid_post", r.layer = i / 3, r.row = i % 3, r.op = "denoise", r.head = head;
      r.prob = (float)(k + i / 3) + (float)(i % 3) / 4, r.effect = i == 5 ? NAN : -r.prob;
      fv_sink sink = fv_table_sink(t);
      OK(sink.row(sink.user, &r, ERR));
    }
    fv_store_sample_defaults(&s);
    s.id = k + 1, s.name = k ? "two" : "one", s.status = "done", s.group = k ? "y" : "x", s.rows = rows, s.nrows = 3;
    s.correct_first = k;
    fv_store_result result = {id, t};
    OK(fv_store_put(store, &s, &result, 1, ERR));
    fv_table_free(t);
  }
  fv_store_close(store);
}

static int setup(void **state) {
  (void)state;
  make("maps.db", -1), make("heads.db", 1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  database_remove("maps.db"), database_remove("heads.db");
  return 0;
}

static void test_outputs(void **state) {
  (void)state;
  program_result r = expect(0, "fovea maps maps.db --csv - --by-group --by-order");
  assert_string_equal(r.out,
                      "group,order,samples,stack,site,row,piece,layer,value\n"
                      "x,second,1,text_encoder,resid_post,0,[CLS],0,0\n"
                      "x,second,1,text_encoder,resid_post,0,[CLS],1,1\n"
                      "x,second,1,text_encoder,resid_post,1,\"a,b\",0,0.25\n"
                      "x,second,1,text_encoder,resid_post,1,\"a,b\",1,1.25\n"
                      "x,second,1,text_encoder,resid_post,2,[SEP],0,0.5\n"
                      "x,second,1,text_encoder,resid_post,2,[SEP],1,1.5\n"
                      "y,first,1,text_encoder,resid_post,0,[CLS],0,1\n"
                      "y,first,1,text_encoder,resid_post,0,[CLS],1,2\n"
                      "y,first,1,text_encoder,resid_post,1,red,0,1.25\n"
                      "y,first,1,text_encoder,resid_post,1,red,1,2.25\n"
                      "y,first,1,text_encoder,resid_post,2,[SEP],0,1.5\n"
                      "y,first,1,text_encoder,resid_post,2,[SEP],1,2.5\n");
  program_release(&r);
  json_t *all = expect_json("fovea maps maps.db --json --metric effect --sweep states");
  const json_t *one = json_array_get(json_object_get(all, "maps"), 0), *values = json_object_get(one, "values");
  assert_int_equal(json_integer_value(json_object_get(one, "samples")), 2);
  assert_true(json_number_value(json_array_get(json_array_get(values, 1), 1)) == -1.75);
  assert_true(json_is_null(json_array_get(json_array_get(values, 2), 1)));
  assert_string_equal(json_string_value(json_array_get(json_object_get(one, "pieces"), 1)), "<other>");
  json_decref(all);
  r = expect(0, "fovea maps maps.db --group y --minmax --plot m.png --csv m.csv --show always");
  assert_non_null(strstr(r.out, "all, 1 sample, 3 rows: largest 2.5000 at layer 1, row 2 ([SEP])"));
  program_release(&r);
  assert_int_equal(access("m.png", R_OK) | access("m.csv", R_OK), 0);
  unlink("m.png"), unlink("m.csv");
}

static void test_refused(void **state) {
  (void)state;
  static const refusal cases[] = {
      {2, "fovea maps", "fovea maps DB"},
      {1, "fovea maps none.db", "none.db"},
      {1, "fovea maps heads.db", "fovea circuit"},
      {1, "fovea maps maps.db --sweep other", "there are: states"},
      {1, "fovea maps maps.db --group z", "group z"},
      {2, "fovea maps maps.db --by-group --group x", "exclude each other"},
      {2, "fovea maps maps.db --minmax --vmax 1", "--minmax"},
      {2, "fovea maps maps.db --metric kl", "logit_diff"},
      {2, "fovea maps maps.db --plot m.gif", ".png"},
      {2, "fovea maps maps.db --json --csv -", "standard output"},
      {2, "fovea maps maps.db --csv maps.db", "maps.db"},
  };
  expect_refusals(cases, sizeof cases / sizeof *cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_outputs), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
