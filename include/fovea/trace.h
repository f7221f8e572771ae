/* Causal tracing: corrupt the input, put single states of the clean run back, and see where the answer returns.
 *
 * For every corruption and every draw of its noise there is one corrupted run, and for every cell (site, layer, row) a
 * run that is the corrupted one with the clean state restored there. All of them are one wave. Source: Meng et al. 2022
 * (ROME), Palit et al. 2023 for BLIP. One draw is shared by the corrupted run and all its cells.
 *
 * A corruption is text: mul-gauss:mean=1,std=5@ADDRESS, add-gauss:std=S@ADDRESS, uniform:S@ADDRESS, scale:F@ADDRESS,
 * image:FILE, question:TEXT, gray, blur:SIGMA, mask:R0,C0,R1,C1 (image patches, ends included, set to the mean colour).
 * Of several pictures image2:FILE replaces the second, and "image1:FILE image2:FILE" both.
 * Draw d takes the next tensor from the stream that starts at the seed, anew for every corruption.
 */
#ifndef FOVEA_TRACE_H
#define FOVEA_TRACE_H

#include "fovea/answer.h"
#include "fovea/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_trace_options {
  fv_input_options input;     /* the clean input */
  const char *sample;         /* name in the table, or NULL */
  const char *const *corrupt; /* corruptions; none: the model's, fv_trace_choose */
  size_t ncorrupt;
  const char *const *restore; /* addresses without rows; none: the model's, fv_trace_choose */
  size_t nrestore;
  int64_t window;      /* layers restored together: max(0, l - W/2) up to, excluding, min(L, l + (W+1)/2) */
  int64_t draws;       /* of corruptions with noise; others have one */
  int64_t layer_start; /* cells of lower layers are left out */
  bool redraw;         /* new noise for the corrupted run and for every cell, rows outside, layers inside */
  fv_rng_stream stream;
  int64_t seed;
  const char *target; /* the answer to follow (its first piece, or id:N); NULL: the clean run's own */
  size_t memory;      /* bytes for activations, 0: no limit */
  double check;       /* percent of the runs that are recomputed alone and compared; 0: none */
} fv_trace_options;

/* Window 1, 10 draws, torch's stream with seed 0, all layers, no check. */
void fv_trace_defaults(fv_trace_options *options);

/* What is corrupted and restored when nothing else is said. Noise 1 + 5 N(0,1) multiplies what the other stacks read of
 * the picture, and every layer's output is restored in the stacks of the question and of the answer; a model with a
 * picture stack alone is corrupted at that stack's embeddings and restored there. FV_EUSAGE for a model without an
 * answer. */
typedef struct fv_trace_choice {
  char corrupt[96];
  size_t nrestore;
  char restore[2][96];
} fv_trace_choice;
fv_status fv_trace_choose(const fv_model *model, fv_trace_choice *out, fv_error *err);

/* One map of a trace: a site over its rows and layers. Values are averages over `draws` draws and `samples` samples. */
typedef struct fv_trace_map {
  size_t corrupt, restore; /* indices into the options' lists */
  const char *stack, *site;
  int64_t draw; /* -1: averaged over all */
  int64_t rows, cols;
  int64_t *layers;    /* [cols] */
  char **labels;      /* [rows] */
  double *prob;       /* [rows, cols] probability of the answer */
  double *normalised; /* [rows, cols] mean of (prob - low) / (high - low) over what is not flat; NaN: all is */
  double low, high;   /* probability in the corrupted and in the clean run */
  int64_t samples;
  int64_t flat; /* of these, samples and draws whose clean and corrupted probability are equal */
} fv_trace_map;

typedef struct fv_trace_result {
  int32_t answer_id; /* of the last sample */
  char *answer;      /* its piece */
  int64_t *ids;      /* the question's ids of the last sample */
  int64_t nids;
  size_t nmaps;
  fv_trace_map *maps; /* per corruption, site and draw, then the averages over the draws */
  int64_t runs;
  int64_t checked; /* runs recomputed alone with the same bits */
  fv_cost cost;    /* summed over samples; memory is the largest */
  int64_t flat;    /* samples and draws whose clean and corrupted probability are equal: not normalised */
} fv_trace_result;

/* Frees what it holds and empties it; harmless on an empty one. */
void fv_trace_release(fv_trace_result *result);

/* Computes and hands every run's row to the sink (order: corruption, draw, site, layer, row). `result` starts zeroed
 * and may be given to several calls in a row: the maps then average over the samples with the same number of rows.
 * FV_EUSAGE: options that contradict each other, a corruption that is none; FV_ENOTFOUND: an address or an answer;
 * FV_ESHAPE: a corrupted input that gives a restored site another number of rows; those of fv_input_new and of
 * fv_wave_compute, and what the sink returns. */
fv_status fv_trace(const fv_model *model, const fv_trace_options *options, fv_sink sink, const fv_progress *progress,
                   fv_trace_result *result, fv_error *err);
/* What fv_trace would cost; computes nothing. Errors as there. */
fv_status fv_trace_cost(const fv_model *model, const fv_trace_options *options, fv_cost *out, fv_error *err);

/* The file that a corruption puts in the place of picture i, from 0, in *file, malloc'ed; NULL: it leaves that picture.
 */
fv_status fv_corruption_picture(const char *corruption, size_t i, char **file, fv_error *err);

/* A question to ask of a picture. */
typedef struct fv_sample {
  char *name, *image, *question, *gold; /* gold: the answer the data set gives, or NULL */
} fv_sample;
typedef struct fv_samples {
  size_t count;
  fv_sample *list;
  size_t nexcluded;
  char **excluded; /* "t.csv line 18 (row 17, image 5882): the folder has no such picture" */
} fv_samples;
/* A COCO-QA style CSV: an unnamed running index, the image id, the question, the answer. Images are
 * DIR/<12 digits>.jpg (or .png, .jpeg, .webp). words > 0 keeps questions of that many words; limit > 0 stops after so
 * many. Rows that cannot be used are excluded with the reason; a file without the four columns is an error. */
fv_status fv_samples_coco_qa(const char *csv, const char *images, int64_t words, int64_t limit, fv_samples *out,
                             fv_error *err);
/* Adds to the excluded; name and reason are copied. */
fv_status fv_samples_exclude(fv_samples *samples, const char *name, const char *reason, fv_error *err);
void fv_samples_release(fv_samples *samples);

#ifdef __cplusplus
}
#endif
#endif
