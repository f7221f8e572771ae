/* The comparison of a model with its vectors folder, as tools/reference/README.md describes it; failures end the test.
 * `name` is what messages call the checkpoint. */
#ifndef FOVEA_TESTS_REFERENCE_H
#define FOVEA_TESTS_REFERENCE_H

#include "support/vectors.h"

/* Every stored site of every case, and the ids of its text; returns how many sites. */
size_t reference_sites(const fv_vectors *v, const char *name);
/* The ids, the text and the most probable first ids of every case's answer; returns how many have one. */
size_t reference_generation(const fv_vectors *v);
/* The logits of every intervention (of a model without an answer, two rows of its final states): against the reference,
 * and bit for bit against the run computed alone. */
void reference_interventions(const fv_vectors *v, const char *name);

#endif
