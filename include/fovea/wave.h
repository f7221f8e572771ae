/* Waves: families of runs of one model, computed together.
 *
 * A run has a parent; until something differs it is its parent and costs nothing. What can differ is its input and its
 * edits (interventions). A run inherits the edits of its parent; its own come after them. A wave computes, for every
 * run, exactly the rows that differ from the parent and that some readout still needs. The values never depend on what
 * else is in the wave, on threads, or on how the wave was split to fit the memory: bit for bit they are those of
 * fv_wave_check, which computes a run alone, from its input, without any of this.
 *
 *   fv_wave_new(model, NULL, &wave, err);
 *   fv_wave_run(wave, -1, input, &clean, err);                                  // a root needs an input
 *   fv_wave_run(wave, clean, NULL, &corrupt, err);
 *   fv_wave_do(wave, corrupt, "mul-gauss vision.final mean=1,std=5", -1, err);
 *   fv_wave_run(wave, corrupt, NULL, &restored, err);
 *   fv_wave_do(wave, restored, "replace text_encoder.3.resid_post@2", clean, err);
 *   fv_wave_readout(wave, restored, on_logits, user, err);
 *   fv_wave_compute(wave, NULL, err);
 *
 * Ownership: the wave copies what it is given, except that inputs and `out` buffers must outlive fv_wave_compute.
 * Threads: a wave belongs to one thread at a time; it uses the model's threads inside.
 */
#ifndef FOVEA_WAVE_H
#define FOVEA_WAVE_H

#include "fovea/address.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_wave fv_wave;

typedef enum fv_rng_stream { FV_STREAM_TORCH, FV_STREAM_NUMPY } fv_rng_stream;

typedef struct fv_wave_options {
  size_t memory;  /* bytes for activations; the wave is split to fit. 0: no limit but the model's */
  bool in_order;  /* edits of one run may write the same element: list order counts */
  bool generate;  /* fv_wave_generate will be called: keys and values of the runs with a readout are kept */
  bool generated; /* edits reach the rows that generation appends, too */
  bool threaded;  /* readouts of runs without children may be called by several threads at once, each for other runs */
} fv_wave_options;

/* An empty wave; NULL options: all zero. Only FV_ENOMEM. */
fv_status fv_wave_new(const fv_model *model, const fv_wave_options *options, fv_wave **out, fv_error *err);
void fv_wave_free(fv_wave *wave); /* NULL is harmless */

/* parent -1: a root, which needs an input. input NULL: the parent's. Runs are numbered from 0 in the order of the
 * calls. An input that gives a site with an inherited edit another number of rows or keys is FV_EUSAGE. */
fv_status fv_wave_run(fv_wave *wave, int parent, const fv_input *input, int *run, fv_error *err);
int fv_wave_runs(const fv_wave *wave); /* how many there are */
const fv_model *fv_wave_model(const fv_wave *wave);
const fv_input *fv_wave_input(const fv_wave *wave, int run); /* NULL: there is no such run */

/* The stream that noise is drawn from, from here on; torch, seed 0 until set. */
fv_status fv_wave_seed(fv_wave *wave, fv_rng_stream stream, int64_t seed, fv_error *err);

/* One edit as text: "zero A", "mean A FILE[:KEY]", "replace A", "replace A from B", "replace A FILE[:KEY]",
 * "add A FILE[:KEY] FACTOR", "scale A F", "mul-gauss A mean=M,std=S", "add-gauss A std=S", "uniform A scale=S",
 * "block A from=ROWS". Noise is drawn when the edit is added: one float32 tensor of the selection's shape.
 * source: the run that "replace A" reads; an earlier run of this wave, at the same or an earlier step (FV_EUSAGE). */
fv_status fv_wave_do(fv_wave *wave, int run, const char *edit, int source, fv_error *err);

/* One edit, already taken apart. */
typedef struct fv_edit_options {
  const char *op;           /* "replace", "zero", "mean", "add", "scale", "mul", "block" */
  const fv_selection *at;   /* what is written */
  int source;               /* replace, add: the run that is read, or -1 */
  const fv_selection *from; /* where it is read; NULL: at the same place */
  const float *values;      /* instead of a source: the selection's shape, or one row of it for every row */
  int64_t values_rows;      /* at->nrows or 1 */
  float factor;             /* add, scale */
} fv_edit_options;
/* Adds it to a run, as fv_wave_do does; what it points to is copied. FV_EUSAGE: an unknown operation, shapes that do
 * not agree, a source that is no earlier run or is read at a later step; FV_ECONFLICT: another edit of the run writes
 * the same element, and the wave is not `in_order`; FV_ENOMEM. */
fv_status fv_wave_edit(fv_wave *wave, int run, const fv_edit_options *edit, fv_error *err);

/* An operation of fv_wave_do. */
typedef struct fv_op_info {
  const char *name, *args, *help;
} fv_op_info;
/* Operation 0, 1, ...; the name is NULL behind the last. Strings are constants. */
fv_op_info fv_op_list(int index);

/* Reads a selection of a run into out: [nrows, width] floats; for scores and pattern a row is [heads, keys].
 * A key that the row does not see has the score -INFINITY and the weight 0, and no edit changes that. */
fv_status fv_wave_read(fv_wave *wave, int run, const fv_selection *what, float *out, fv_error *err);

/* Gets the logits [V] of the answer stack's last row; of a model that chooses among texts, one value per text of the
 * run's input. The pointer is valid during the call only. Returning anything but FV_OK stops the wave with that status.
 */
typedef fv_status (*fv_logits_fn)(void *user, int run, const float *logits, int64_t V, fv_error *err);
/* Asks for a run's logits: fn is called while the wave is computed (NULL: they are computed for fv_wave_generate
 * alone). A run is read before those that descend from it if its readout was asked for first; otherwise the order is
 * not specified. FV_EUSAGE: no such run, or a model without an answer. */
fv_status fv_wave_readout(fv_wave *wave, int run, fv_logits_fn fn, void *user, fv_error *err);

/* What computing will cost. flops count matrix products, attention and norms of exactly the rows that are computed. */
typedef struct fv_cost {
  int64_t runs, parts; /* runs, and passes that the wave is split into to fit the memory */
  int64_t rows;        /* rows computed, over all steps */
  double flops;
  double full_flops; /* the same runs computed one by one from their inputs */
  size_t memory;     /* peak bytes of activations */
  size_t weights;    /* bytes of weights that will be held in memory */
  size_t streamed;   /* bytes of weights that the passes read from the files, all together; 0: the weights are packed */
} fv_cost;
/* Of a wave that generates, ask before computing it. */
fv_status fv_wave_cost(fv_wave *wave, fv_cost *out, fv_error *err);
/* Per step of the plan, with reach and need over all runs; one line each in *text (malloc'ed). */
fv_status fv_wave_explain(fv_wave *wave, char **text, fv_error *err);

/* Called now and then while computing, with the share of the work done (0 to 1). Returning false stops with
 * FV_ECANCELLED. */
typedef bool (*fv_progress_fn)(void *user, double done);
typedef struct fv_progress {
  fv_progress_fn fn;
  void *user;
} fv_progress;

/* Computes what the readouts and reads need, in as few passes as the memory allows. A wave is computed once.
 * FV_ENOMEM: it does not fit, however it is split; FV_ENONFINITE: a weight is NaN or infinite, and is named; FV_EIO: a
 * weight file; FV_ECANCELLED: stopped by `progress`; and what a readout returns. */
fv_status fv_wave_compute(fv_wave *wave, const fv_progress *progress, fv_error *err);

/* Computes one run alone, from its input, every row of every step, and calls fn with its logits (fn may be NULL) and
 * fills the run's reads again. The oracle of fv_wave_compute: the bits must be equal. */
fv_status fv_run_full(fv_wave *wave, int run, fv_logits_fn fn, void *user, fv_error *err);
/* Recomputes `percent` of the runs that have readouts (seeded choice, at least one) with fv_run_full and compares the
 * bits with those of fv_wave_compute; *checked is their number. Differences are FV_EMISMATCH. */
fv_status fv_wave_check(fv_wave *wave, double percent, uint64_t seed, int64_t *checked, fv_error *err);

/* Ids of a run, malloc'ed; the end token is included when it was produced. */
typedef struct fv_generation {
  int32_t *ids;
  int64_t count;
} fv_generation;
/* Greedy generation, after fv_wave_compute on a wave made with options.generate: up to max_new ids (0: the family's
 * limit) for each of the runs, which must have a readout; all runs decode together. A run that has reached the last
 * position of its stack ends there, as its count says (the last id needs no position of its own); others go on. The ids
 * are those of recomputing every prefix from scratch, logits bit for bit. */
fv_status fv_wave_generate(fv_wave *wave, const int *runs, int64_t nruns, int64_t max_new, fv_generation *out,
                           fv_error *err);
void fv_generation_release(fv_generation *g);
/* Gets all ids of a run so far; fv_answer_settled says what of their text can be shown. A status other than FV_OK ends
 * the generation with it. */
typedef fv_status (*fv_token_fn)(void *user, int run, const int32_t *ids, int64_t count, fv_error *err);
/* While fv_wave_generate, or fv_answers, works on this wave, fn is called for every new id. NULL: nobody is told. */
void fv_wave_follow(fv_wave *wave, fv_token_fn fn, void *user);

#ifdef __cplusplus
}
#endif
#endif
