/* The comparison of a model with its vectors folder, as tools/reference/README.md describes it; failures end the test.
 * `name` is what messages call the checkpoint. */
#ifndef FOVEA_TESTS_REFERENCE_H
#define FOVEA_TESTS_REFERENCE_H

#include "support/vectors.h"

/* Every stored site of every case. */
void reference_sites(const fv_vectors *v, const char *name);
/* The ids and the text of every case's answer. */
void reference_generation(const fv_vectors *v);
/* The logits of every intervention: against the reference, and bit for bit against the run computed alone. */
void reference_interventions(const fv_vectors *v, const char *name);

#endif
