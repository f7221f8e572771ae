/* Random waves over a tiny model: runs with parents and inputs, edits of every operation on every site, reads and
 * readouts. A seed gives the same wave on every machine; the recipe says in words what it is.
 */
#ifndef FOVEA_TESTS_RANDOM_WAVE_H
#define FOVEA_TESTS_RANDOM_WAVE_H

#include "engine/wave_inside.h"
#include "support/tiny_blip.h"

enum { RANDOM_RUNS = 8, RANDOM_READS = 6, RANDOM_INPUTS = 7 };

typedef struct random_inputs {
  fv_input *in[RANDOM_INPUTS];
} random_inputs;

/* Another picture, another question of equal and of different length, longer prompts of the answer stack, and one
 * input without a picture. */
void random_inputs_new(const fv_model *m, const tiny_blip *b, uint64_t seed, random_inputs *out);
void random_inputs_release(random_inputs *inputs);

typedef struct random_read {
  int run;
  char address[160];
  int64_t count;
  float *data;
} random_read;

typedef struct random_wave {
  fv_wave *wave;
  int nruns, nreads, edits, refused;
  random_read reads[RANDOM_READS];
  bool readout[RANDOM_RUNS];
  float *logits[RANDOM_RUNS]; /* [V], filled by the readouts */
  int64_t V;
  char *recipe;
  size_t recipe_size;
  FILE *recipe_stream;
} random_wave;

/* How many waves to try: fewer where a sanitizer makes each one slow. */
int random_scale(int count);

void random_wave_new(const fv_model *m, const random_inputs *inputs, uint64_t seed, random_wave *out);
/* The largest memory that a pass of a single read takes: with this limit the wave is split, and can be computed. */
size_t random_wave_smallest_memory(random_wave *r);
/* FV_OK, or FV_ENONFINITE when the random edits overflow; anything else fails the test with the recipe. */
fv_status random_wave_compute(random_wave *r);
/* Recomputes every run with fv_run_full and compares the bits of logits and reads; the number of runs compared. */
int random_wave_compare_full(random_wave *r);
/* Compares the bits of all logits and reads of two waves of the same seed. */
void random_wave_compare(random_wave *a, random_wave *b, const char *what);
void random_wave_release(random_wave *r);
/* Fails the test with the recipe. */
void random_wave_fail(random_wave *r, const char *format, ...) FV_PRINTF(2, 3);

#endif
