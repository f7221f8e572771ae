/* A study of the planted circuit (support/planted.h): patching of every head of the cross-attention, red against blue
 * pictures, stored in a database. */
#ifndef FOVEA_TESTS_PLANTED_STUDY_H
#define FOVEA_TESTS_PLANTED_STUDY_H

#include "support/planted.h"

/* Writes the database and the pictures (DB-0.ppm, ...) into the current folder. Of the samples, half are red, half
 * blue; the questions name both colours or only that of the picture; groups "cat" and "dog" take turns. shuffled: the
 * pairs of answers are moved to other samples, so that they fit half of the pictures. noise: corrupted states are
 * written into the clean run. Samples have the correct answer's row where their question names it. */
void planted_study_new(const tiny_blip *b, const char *db, int samples, bool shuffled, bool noise);
/* Removes the database and the pictures. */
void planted_study_remove(const char *db, int samples);

#endif
