/* The word lists of the published data sets: facts, nothing is decided here.
 *
 * Emotions and their replacements: facial expressions. Adjectives by kind, near-synonyms: MIT-States. Classes:
 * CIFAR-10. Lists of words end with NULL.
 */
#ifndef FOVEA_STUDY_DATA_LISTS_H
#define FOVEA_STUDY_DATA_LISTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fv_emotion {
  const char *folder, *adjective;
  bool positive;
  const char *const *words; /* adjectives that replace one of this kind */
} fv_emotion;
enum { FV_EMOTIONS = 7 };
extern const fv_emotion fv_emotions[FV_EMOTIONS];

typedef struct fv_adjective_kind {
  const char *name;
  const char *const *words;
} fv_adjective_kind;
enum { FV_ADJECTIVE_KINDS = 3 };
extern const fv_adjective_kind fv_adjective_kinds[FV_ADJECTIVE_KINDS];

/* The kind of an adjective, NULL when it is in no list. */
const fv_adjective_kind *fv_adjective_find(const char *adjective);
/* Whether `word` may not be the wrong answer where `adjective` is right. The table is not symmetric. */
bool fv_adjective_near(const char *adjective, const char *word);

enum { FV_CIFAR10_CLASSES = 10 };
extern const char *const fv_cifar10_classes[FV_CIFAR10_CLASSES];

#endif
