/* BLIP against transformers: every site of every layer, generated ids, and random interventions done with hooks.
 * The reference numbers are made by tools/reference/make_blip.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/reference.h"

static reference_folder folders[] = {{"blip", "tied", "vectors", 181, 5},
                                     {"blip", "shards", "vectors", 181, 5},
                                     {"blip", "zip", "vectors", 125, 5},
                                     {"blip", "legacy", "vectors", 162, 5},
                                     {0}};

int main(void) {
  const struct CMUnitTest tests[] = {REFERENCE_TESTS(folders)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
