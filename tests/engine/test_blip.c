/* BLIP against transformers: every site of every layer, generated ids, and random interventions done with hooks.
 * The reference numbers are made by tools/reference/make_blip.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/reference.h"

static const char *const checkpoints[] = {"tied", "shards", "zip", "legacy"};
enum { NCHECKPOINTS = 4 };

static void open_checkpoint(int i, fv_vectors *v) {
  char *dir = fv_format("%s/blip/%s", FV_TEST_DATA, checkpoints[i]);
  vectors_open(dir, v);
  free(dir);
}

static void every_site_equals_transformers(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_sites(&v, checkpoints[i]);
    vectors_close(&v);
  }
}

static void generated_ids_equal_transformers(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_generation(&v);
    vectors_close(&v);
  }
}

static void interventions_equal_hooks(void **state) {
  (void)state;
  for (int i = 0; i < NCHECKPOINTS; i++) {
    fv_vectors v;
    open_checkpoint(i, &v);
    reference_interventions(&v, checkpoints[i]);
    vectors_close(&v);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_site_equals_transformers),
                                     cmocka_unit_test(generated_ids_equal_transformers),
                                     cmocka_unit_test(interventions_equal_hooks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
