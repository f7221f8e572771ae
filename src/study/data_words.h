/* Words of a prompt: how alike two are, where the alternatives around "or" stand, -ing forms.
 *
 * fv_words_alike is the WRatio of RapidFuzz without preprocessing, for strings without blanks (0 to 100). Checked by:
 * tests/study/test_data_vectors.c against RapidFuzz.
 */
#ifndef FOVEA_STUDY_DATA_WORDS_H
#define FOVEA_STUDY_DATA_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "fovea/status.h"

/* a and b: UTF-8; strings of more than 256 code points are alike 0. Cost: |a| |b| times the length of the longer. */
double fv_words_alike(const char *a, const char *b);

/* A prompt cut at its blanks. A word is [begin, begin + length) of the text, closing punctuation not counted. */
enum { FV_WORDS = 64 };
typedef struct fv_words {
  size_t count;
  const char *begin[FV_WORDS];
  size_t length[FV_WORDS];
} fv_words;

/* Points into text, which must outlive it. Words beyond FV_WORDS are left out. */
void fv_words_cut(const char *text, fv_words *out);
bool fv_words_is(const fv_words *w, size_t i, const char *word);
/* Whether "or" is one of the words. */
bool fv_words_have_or(const char *text);
/* The index of the word that is most like `word`, more than 60; equally alike: the nearest to the first "or", then the
 * first. `except` is passed over (SIZE_MAX: none). SIZE_MAX when there is none. */
size_t fv_words_find(const fv_words *w, const char *word, size_t except);

/* "walk" to "walking", "run" to "running", "ride" to "riding", "lie" to "lying". To be freed; NULL: no memory. */
char *fv_word_ing(const char *verb);

#endif
