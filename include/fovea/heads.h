/* Heads of a study: from its database to one number per sample and head, and from a circuit back to the model.
 *
 * A sweep with heads "each" has one run per head, layer and row. fv_heads_read makes of it what fv_circuit_find wants:
 * one number per sample, layer and head. fv_heads_confirm asks the model again with another method: how many of the
 * study's samples are still answered correctly when the heads of a circuit, or as many others, are switched off.
 *
 * Checked by: tests/study/test_heads.c
 */
#ifndef FOVEA_HEADS_H
#define FOVEA_HEADS_H

#include "fovea/circuit.h"
#include "fovea/store.h"
#include "fovea/wave.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_heads_metric {
  FV_HEADS_LOGIT_DIFF, /* logit[correct] - logit[incorrect], minus that of the run that is patched */
  FV_HEADS_EFFECT,     /* 0: nothing changed, 1: all of it */
  FV_HEADS_P_DIFF,     /* probability of the correct answer, minus that in the run that is patched */
  FV_HEADS_PROB        /* the probability itself, as NOTICE's code takes */
} fv_heads_metric;

typedef struct fv_heads_query {
  const char *sweep; /* NULL: the only one with heads */
  const char *site;  /* "text_encoder.cross.z", layers in between do not matter; NULL: the only one of the sweep */
  fv_heads_metric metric;
  const char *rows;   /* "max": per head the row where the magnitude is largest; "answer": the last row of the correct
                         answer in the question; a number, -1 being the last; or a row's piece or name. NULL: max */
  int64_t row_offset; /* added to the row of "answer" */
  bool substring;     /* "answer" is the first row whose piece contains the answer's first piece, as in NOTICE's code */
  const char *group;  /* only samples of this group; NULL: all */
} fv_heads_query;

typedef struct fv_heads {
  char *sweep, *stack, *site;
  bool noise;     /* corrupted states were written into the clean run */
  int64_t window; /* layers that were patched together, around the one that a value stands at */
  int64_t samples, layers, heads;
  double *values;         /* [samples, layers, heads]; the mean over corruptions and draws; NaN: no value */
  char **names, **groups; /* [samples]; a group may be NULL */
  int64_t dropped;        /* samples without the row that was asked for */
  char *first_dropped;    /* the first one's name, or NULL */
} fv_heads;

/* Errors: FV_ENOTFOUND (a sweep, site or group that is not there; no run with a head), FV_EUSAGE (several to choose
 * from, which are listed; rows of the answer where the stack has no text), FV_EFORMAT (numbers out of range). */
fv_status fv_heads_read(const fv_store *store, const fv_heads_query *query, fv_heads *out, fv_error *err);
void fv_heads_release(fv_heads *heads);
/* The samples of one group (NULL: those without one), copied. */
fv_status fv_heads_of_group(const fv_heads *all, const char *group, fv_heads *out, fv_error *err);

/* ---- the second method ---- */

typedef struct fv_heads_confirm_options {
  const char *stack, *site; /* of the circuit: an address of heads, such as text_encoder and cross.z */
  const int64_t *heads;     /* [n, 2]: layer, head */
  int64_t n;
  bool zero;          /* the heads' output is set to zero; else to its mean over all samples and rows */
  int64_t random;     /* different random sets of n heads outside the circuit; fewer where there are no more */
  bool same_layers;   /* these have as many heads in each layer as the circuit */
  const char *group;  /* only samples of this group; NULL: all */
  const char *images; /* the folder that relative pictures are in; NULL: the database's */
  int64_t seed;       /* of the random sets, 0 to 2^32 - 1: each swaps the i-th of the other heads, which begin in their
                         order, with the one int(u (others - i)) behind it, i = 0 .. n - 1, takes the first n, and is
                         dropped when it was there; u is RandomState(seed).random_sample() */
  size_t memory;      /* bytes for activations, 0: no limit */
  const char *name;   /* of the rows written to the table `checks` */
  const char *sweep;  /* which the circuit comes from */
} fv_heads_confirm_options;

/* mean ablation, 20 random sets, seed 0, name "circuit". */
void fv_heads_confirm_defaults(fv_heads_confirm_options *options);

typedef struct fv_share {
  double value, low, high; /* share of the samples whose most probable answer is the correct one; 95 % Wilson interval
                              for so many samples (of random sets: of the mean share) */
} fv_share;

typedef struct fv_heads_confirmed {
  int64_t samples, excluded;
  char *first_excluded; /* "name: reason", or NULL */
  fv_share clean, circuit, random;
  int64_t sets;      /* random ones, all different */
  double *set_share; /* [sets] */
  double p;          /* (1 + random sets that are as low as the circuit) / (1 + sets); NaN: no sets */
} fv_heads_confirmed;

/* Computes all of it and writes four rows into the table `checks` of the database (opened for writing): "accuracy",
 * "accuracy without the circuit", "accuracy without random heads", each of n samples, and "p against random heads" of n
 * sets. Rows of the same name, sweep and settings are replaced. Every sample is one wave: the clean run and all its
 * ablations.
 * Errors: FV_EUSAGE (no heads, more heads than there are others, a site without heads), FV_EMISMATCH (a picture is not
 * the one of the study), FV_ENOTFOUND (no sample can be used). */
fv_status fv_heads_confirm(const fv_model *model, fv_store *store, const fv_heads_confirm_options *options,
                           const fv_progress *progress, fv_heads_confirmed *out, fv_error *err);
void fv_heads_confirmed_release(fv_heads_confirmed *result);

#ifdef __cplusplus
}
#endif
#endif
