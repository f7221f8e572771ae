/* The valid word that a mistyped one most likely meant. */
#ifndef FOVEA_STUDY_NEAREST_H
#define FOVEA_STUDY_NEAREST_H

#include <stddef.h>

/* How many characters must be inserted, removed, replaced or swapped with their neighbour to turn a into b (optimal
 * string alignment). Words longer than 95 bytes count as entirely different. Cost: |a| |b|. */
size_t fv_edit_distance(const char *a, const char *b);
/* The nearest of the words, the first of several; NULL when none is near enough to be meant: at most a third of the
 * word's letters, and at least one, may differ. */
const char *fv_nearest(const char *word, const char *const *words, size_t n);

#endif
