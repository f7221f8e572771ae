/* Tiny BLIP-VQA checkpoint folders made in C: random awkward shapes, random or hand-written weights.
 *
 * tiny_blip_new fills config, preprocessor and weights in memory; a test may change any of them (tiny_tensor, config,
 * preprocess) before tiny_blip_save writes the folder. tiny_blip_release removes the folder and frees the rest. Random
 * numbers come from base/random, so a seed gives the same folder on every machine.
 */
#ifndef FOVEA_TESTS_TINY_BLIP_H
#define FOVEA_TESTS_TINY_BLIP_H

#include <jansson.h>

#include "base/random.h"
#include "fovea/tensors.h"
#include "fovea/wave.h"

typedef struct tiny_shape {
  int64_t vision_D, vision_H, vision_F, vision_L, side, patch; /* side: patches down and across */
  int64_t text_D, text_H, text_F, text_L, V, positions;
  int act; /* index into tiny_acts */
  bool tied;
} tiny_shape;

enum { TINY_IMAGES = 3, TINY_WORDS = 34, TINY_CLS = 2, TINY_SEP = 3, TINY_FIRST_WORD = 5 };

typedef struct tiny_blip {
  char *dir, *images[TINY_IMAGES];
  tiny_shape shape;
  json_t *config, *preprocess;
  size_t ntensors;
  fv_named_array *tensors;
  char *broken_vocab; /* written instead of the word list; NULL: the list */
  bool no_vocab;
} tiny_blip;

/* A number 0..n-1. */
int64_t tiny_random(fv_rng *rng, int64_t n);
tiny_shape tiny_shape_random(fv_rng *rng);
/* Weights: random where scale > 0, otherwise zero with unit norm gains. */
void tiny_blip_new(const tiny_shape *shape, uint64_t seed, double scale, tiny_blip *out);
/* The data of a tensor, which a test may change; fails the test when there is none. */
float *tiny_tensor(const tiny_blip *b, const char *name);
fv_named_array *tiny_array(const tiny_blip *b, const char *name);
void tiny_drop(tiny_blip *b, const char *name);
void tiny_blip_save(tiny_blip *b);
void tiny_blip_release(tiny_blip *b);

/* The word with token id TINY_FIRST_WORD + i. */
const char *tiny_word(int64_t i);
/* n random words; free() it. */
char *tiny_question(fv_rng *rng, int64_t n);
/* An input whose answer stack holds `nprompt` more ids than the start token (so that causal rows can be tested).
 * image -1: none; question NULL: none. */
fv_input *tiny_input(const fv_model *m, const tiny_blip *b, int image, const char *question, const int32_t *prompt,
                     int64_t nprompt);

#endif
