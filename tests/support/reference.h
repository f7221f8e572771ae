/* Models against transformers: the numbers of their vectors folders, as tools/reference/README.md describes them.
 *
 *   static reference_folder folders[] = {{"vit", "bare", "vectors", 43, 3}, {0}};
 *   const struct CMUnitTest tests[] = {REFERENCE_TESTS(folders), ...};
 */
#ifndef FOVEA_TESTS_REFERENCE_H
#define FOVEA_TESTS_REFERENCE_H

#include "support/vectors.h"

/* tests/data/FAMILY/NAME/VECTORS, and how many sites and answers it has; the last of a list has no family. */
typedef struct reference_folder {
  const char *family, *name, *vectors;
  size_t sites, answers;
} reference_folder;

void reference_open(const reference_folder *folder, fv_vectors *v);

/* Test cases over a list of folders. Every stored site of every case, and the ids of its text; */
void every_site_equals_transformers(void **folders);
/* the ids, the text and the most probable first ids of every answer; */
void answers_equal_transformers(void **folders);
/* the logits of every intervention (of a model without an answer, two rows of its final states): against hooks, and bit
 * for bit against the run computed alone. */
void interventions_equal_hooks(void **folders);

#define REFERENCE_TESTS(folders)                                      \
  cmocka_unit_test_prestate(every_site_equals_transformers, folders), \
      cmocka_unit_test_prestate(answers_equal_transformers, folders), \
      cmocka_unit_test_prestate(interventions_equal_hooks, folders)

#endif
