/* Weights are packed where they are used again and again, and streamed for a wave or two, or where they do not fit into
 * --memory: this changes nothing but what --dry-run says. */
#include "cli/cli_tests.h"

#define SCENES                                                              \
  "fovea trace " FV_SOURCE_DIR "/models/blip-demo --samples " FV_SOURCE_DIR \
  "/examples/scenes.csv --images " FV_SOURCE_DIR "/examples/scenes --limit 2 --draws 1 "
#define LLAVA "fovea ask " FV_TEST_DATA "/llava/grouped --image " FV_TEST_DATA "/llava/grouped/vectors/image0.png "

/* Both command lines print the same. */
static void same(const char *line, const char *limited) {
  program_result a = expect(0, line), b = expect(0, limited);
  if (strcmp(a.out, b.out) != 0) fail_msg("%s\nprints %s\nand without a limit %s", limited, b.out, a.out);
  program_release(&a);
  program_release(&b);
}

static void test_same_results(void **state) {
  (void)state;
  same("fovea ask $M $I $Q --json", "fovea ask $M $I $Q --json --memory 300K");
  same("fovea ask $M $I $Q --check 100", "fovea ask $M $I $Q --check 100 --memory 300K");
  same("fovea $T --csv - --show never", "fovea $T --csv - --show never --memory 300K");
  same("fovea $E --do 'zero vision.0.attn.z#0'", "fovea $E --do 'zero vision.0.attn.z#0' --memory 300K");
  same(SCENES "--csv - --show never", SCENES "--csv - --show never --memory 6M"); /* packed, and streamed */
  same(LLAVA "--question what --generate 20 --json", LLAVA "--question what --generate 20 --json --memory 200K");
}

static void test_dry_run(void **state) {
  (void)state;
  json_t *packed = expect_json(SCENES "--dry-run --json --memory 1G");
  json_t *streamed = expect_json(SCENES "--dry-run --json --memory 6M");
  assert_int_equal(json_integer_value(json_object_get(packed, "streamed")), 0);
  assert_true(json_integer_value(json_object_get(packed, "weights")) > 4 << 20);
  assert_true(json_integer_value(json_object_get(streamed, "streamed")) > 4 << 20);
  assert_true(json_integer_value(json_object_get(streamed, "weights")) < 1 << 20);
  json_decref(packed);
  json_decref(streamed);
  program_result r = expect(0, "fovea ask $M $I $Q --dry-run --memory 300K");
  assert_non_null(strstr(r.out, "MiB read from the files; packed they would take"));
  program_release(&r);
  r = expect(0, "fovea ask $M $I $Q --dry-run --memory 1G --threads 1");
  assert_non_null(strstr(r.out, "MiB read from the files as they are used"));
  program_release(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_results), cmocka_unit_test(test_dry_run)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
