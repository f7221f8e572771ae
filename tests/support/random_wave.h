/* Random waves over a small model: runs with parents and inputs, edits of every operation on every site, reads and
 * readouts. A seed gives the same wave on every machine; the recipe says in words what it is.
 */
#ifndef FOVEA_TESTS_RANDOM_WAVE_H
#define FOVEA_TESTS_RANDOM_WAVE_H

#include "engine/wave_inside.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

enum { RANDOM_RUNS = 8, RANDOM_READS = 6, RANDOM_INPUTS = 7 };

typedef struct random_inputs {
  fv_input *in[RANDOM_INPUTS];
} random_inputs;

/* Another picture, another question of equal and of different length, longer prompts of the answer stack, and one
 * input without a picture. */
void random_inputs_new(const fv_model *m, const tiny_blip *b, uint64_t seed, random_inputs *out);
/* Of a checkpoint with a vectors folder: its cases over and over, and LLaVA's picture at other places. */
void random_inputs_of(const fv_vectors *v, random_inputs *out);
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
  int64_t V[RANDOM_RUNS];     /* 0: the model gives no answer */
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

/* What was tried. */
typedef struct random_counts {
  int waves, runs, edits, refused, split, nonfinite, generated, threads;
} random_counts;
/* One random wave: against its runs computed alone; sometimes split to fit a small memory, sometimes with two threads
 * (`two` is the same model), and, where it generates, every id against its prefix recomputed. */
void random_wave_try(const fv_model *one, const fv_model *two, const random_inputs *in1, const random_inputs *in2,
                     uint64_t seed, random_counts *n);
/* Fails the test with the recipe. */
void random_wave_fail(random_wave *r, const char *format, ...) FV_PRINTF(2, 3);

#endif
