/* Attention: where heads look, over the picture or over the rows of a text.
 *
 * An fv_attend_maps holds, for a list of heads of one site (`cross.pattern`, `attn.pattern`), either a map over the
 * image patches - the weights of the chosen query rows, averaged - or a matrix, query rows by keys. It is an average
 * over samples as soon as several are added up. Weights are those of the model, after softmax, never scaled: over all
 * keys of one query row they sum to 1. The class token of a picture is a key, too; it is not part of a map and has its
 * own number (key 0, which NOTICE's code loses), and so has the sum over everything else that is not a patch. Of
 * several pictures each has its own map and class row.
 *
 *   fv_attend_maps all = {0}, one = {0};
 *   for each sample: fv_attend_measure(model, &options, &one, err); fv_attend_add(&all, &one, err);
 *
 * Ownership: an fv_attend_maps is a caller's struct that fv_attend_release empties; each function that fills one
 * empties it first. Threads: one owner. Cost: one run without corruption, and 8 bytes per weight that is kept.
 * Checked by: tests/experiment/test_attend_maps.c
 */
#ifndef FOVEA_ATTEND_H
#define FOVEA_ATTEND_H

#include "fovea/input.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which keys: image patches as a map when there are any (auto), else all as a matrix. */
typedef enum fv_attend_key_kind { FV_KEYS_AUTO, FV_KEYS_IMAGE, FV_KEYS_TEXT, FV_KEYS_ALL } fv_attend_key_kind;

typedef struct fv_attend_options {
  fv_input_options input;
  const char *site;    /* address of patterns without heads and rows; other tools' names too. NULL: of the stack that
                          reads the question, if it looks at the picture, else of the picture's stack */
  const char *layers;  /* a LAYERS list within those of the address; NULL: all */
  const char *heads;   /* a HEADS list, or heads by name: "L5H3,L3H0" (then without layers); NULL: all */
  const char *rows;    /* a ROWS list of query rows, or "answer": the first row of `correct` in the question. NULL: the
                          class row in the picture's stack (of each picture), the last row where the answer is read,
                          else all */
  const char *correct; /* a text whose pieces are looked for */
  fv_attend_key_kind keys;
  bool average;  /* also the mean over all heads of all layers of the site, chosen or not */
  size_t memory; /* bytes for activations, 0: no limit */
} fv_attend_options;

/* All heads, the site, rows and keys that suit the model; no picture and no text yet. */
void fv_attend_defaults(fv_attend_options *options);

typedef struct fv_attend_head {
  int64_t layer, head; /* -1, -1: the mean over all heads */
  double *weights;     /* [pictures, down, across] or [rows, keys] */
  double *cls;         /* [pictures] or [rows]: on the class row. NaN: none among those keys */
  double *other;       /* [1] or [rows]: on all other keys that are not in `weights` */
} fv_attend_head;

typedef struct fv_attend_maps {
  char stack[48], site[48];
  bool picture; /* weights are maps over patches, of the mean of `rows` query rows (a picture's own, where no other row
                   can see it) */
  int64_t pictures, down, across; /* of a map; patches of each picture */
  int64_t rows, keys;             /* query rows; keys of a matrix, or patches of all pictures */
  int64_t *row_index, *key_index;
  char **row_labels, **key_labels; /* pieces, or names, "" for neither; NULL where averaged samples differ */
  size_t nheads;                   /* the mean over all heads, if wanted, is the last */
  fv_attend_head *heads;
  int64_t *cls_keys; /* [pictures] the class rows among the keys; -1: none */
  int64_t samples;
  double *store; /* owns the weights */
} fv_attend_maps;

/* Errors: FV_EUSAGE (lists, a site that is no pattern, image or text keys where there are none), FV_ENOTFOUND
 * (addresses, heads, an answer that is not in the question). */
fv_status fv_attend_measure(const fv_model *model, const fv_attend_options *options, fv_attend_maps *out,
                            fv_error *err);
void fv_attend_release(fv_attend_maps *a);

/* Makes `sum` the mean over its samples and the one of `one`; an empty sum takes the shape of `one`. FV_ESHAPE, with
 * `sum` as it was, when the heads, patches, or the rows and keys of matrices differ. */
fv_status fv_attend_add(fv_attend_maps *sum, const fv_attend_maps *one, fv_error *err);
/* a - b, in a. FV_ESHAPE as above. */
fv_status fv_attend_subtract(fv_attend_maps *a, const fv_attend_maps *b, fv_error *err);
/* Takes the mean over all heads, which must be there (FV_EUSAGE), from all others. */
fv_status fv_attend_minus_average(fv_attend_maps *a, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
