#include "study/data_lists.h"

#include <string.h>

#define WORDS(...) \
  (const char *const[]) { __VA_ARGS__, NULL }

/* In the order of their folders. "positive" is what the corrupted text turns into its opposite. */
const fv_emotion fv_emotions[FV_EMOTIONS] = {
    {"angry", "angry", false, WORDS("envious", "grumpy", "jealous")},
    {"disgust", "disgusted", false, WORDS("scornful", "uncomfortable")},
    {"fear", "fearful", false, WORDS("flustered", "horrified", "insecure", "overwhelmed", "stressed")},
    {"happy", "happy", true,
     WORDS("amused", "confident", "content", "giggly", "grateful", "hopeful", "pleased", "relaxed", "relieved",
           "satisfied")},
    {"neutral", "neutral", false,
     WORDS("bored", "calm", "confused", "curious", "disoriented", "distracted", "puzzled", "restless", "shy", "sincere",
           "thoughtful", "apathetic", "sympathetic")},
    {"sad", "sad", false, WORDS("ashamed", "embarrassed", "lonely", "nostalgic", "guilty", "humiliated")},
    {"surprise", "surprised", false, WORDS("awed", "shocked", "startled", "impressed")},
};

const fv_adjective_kind fv_adjective_kinds[FV_ADJECTIVE_KINDS] = {
    {"shape", WORDS("small", "large", "thick", "thin", "coiled", "cracked", "folded", "sliced", "dented", "chipped",
                    "shattered", "diced", "straight", "empty", "cut", "pressed", "torn", "broken", "tiny", "huge",
                    "melted", "draped", "scratched")},
    {"color",
     WORDS("caramelized", "painted", "bright", "dark", "unpainted", "engraved", "wet", "burnt", "weathered", "rusty",
           "old", "new", "dry", "verdant", "clean", "frozen", "thawed", "ancient", "moldy", "muddy", "fresh")},
    {"texture", WORDS("crushed", "crumpled", "splintered", "wrinkled", "ruffled", "mossy", "molten", "windblown",
                      "eroded", "pureed", "crinkled", "frayed", "brushed", "barren")},
};

static const struct {
  const char *word;
  const char *const *near;
} near_synonyms[] = {
    {"small", WORDS("tiny", "little")},
    {"large", WORDS("huge", "massive", "thick")},
    {"thick", WORDS("large", "huge", "massive")},
    {"thin", WORDS("slim")},
    {"cracked", WORDS("broken", "chipped", "shattered", "splintered")},
    {"sliced", WORDS("diced")},
    {"diced", WORDS("sliced")},
    {"chipped", WORDS("broken", "cracked", "shattered", "splintered")},
    {"shattered", WORDS("broken", "cracked", "chipped", "splintered")},
    {"cut", WORDS("torn")},
    {"torn", WORDS("cut")},
    {"broken", WORDS("cracked", "chipped", "shattered", "splintered")},
    {"tiny", WORDS("small", "little")},
    {"huge", WORDS("large", "massive", "thick")},
    {"scratched", WORDS("cracked", "chipped", "shattered", "broken", "splintered")},
    {"wet", WORDS("moist")},
    {"weathered", WORDS("rusty", "ancient", "old")},
    {"rusty", WORDS("ancient", "weathered", "old")},
    {"old", WORDS("ancient", "weathered", "rusty")},
    {"new", WORDS("fresh", "clean")},
    {"clean", WORDS("new", "fresh")},
    {"ancient", WORDS("old", "weathered", "rusty")},
    {"fresh", WORDS("clean", "new")},
    {"crushed", WORDS("cracked", "chipped", "shattered", "broken", "splintered")},
    {"crumpled", WORDS("wrinkled", "crinkled")},
    {"splintered", WORDS("cracked", "chipped", "shattered", "broken", "crushed")},
    {"wrinkled", WORDS("crumpled", "crinkled")},
    {"ruffled", WORDS("frayed")},
    {"windblown", WORDS("barren")},
    {"crinkled", WORDS("crumpled", "wrinkled")},
    {"frayed", WORDS("ruffled")},
    {"barren", WORDS("windblown")},
};

const char *const fv_cifar10_classes[FV_CIFAR10_CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                            "dog",      "frog",       "horse", "ship", "truck"};

static bool listed(const char *const *words, const char *word) {
  for (; *words; words++)
    if (strcmp(*words, word) == 0) return true;
  return false;
}

const fv_adjective_kind *fv_adjective_find(const char *adjective) {
  for (size_t i = 0; i < FV_ADJECTIVE_KINDS; i++)
    if (listed(fv_adjective_kinds[i].words, adjective)) return &fv_adjective_kinds[i];
  return NULL;
}

bool fv_adjective_near(const char *adjective, const char *word) {
  for (size_t i = 0; i < sizeof near_synonyms / sizeof *near_synonyms; i++)
    if (strcmp(near_synonyms[i].word, adjective) == 0) return listed(near_synonyms[i].near, word);
  return false;
}
