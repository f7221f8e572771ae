/* The inside of fv_model and fv_input, for the rooms above. See fovea/model.h and fovea/input.h for the contract. */
#ifndef FOVEA_MODEL_LOADED_H
#define FOVEA_MODEL_LOADED_H

#include <pthread.h>

#include "checkpoint/checkpoint.h"
#include "fovea/address.h"
#include "image/image.h"
#include "image/preprocess.h"
#include "kernel/kernel.h"
#include "model/family.h"
#include "text/tokenizer.h"

/* The weights of one step, ready to compute with. Lifetime: the model's. */
typedef struct fv_bound {
  bool ready;
  fv_linear *linear;      /* LINEAR */
  float *gain, *offset;   /* LAYERNORM: [width] each; RMSNORM: gain */
  float *rows;            /* PREPEND: [width]; POSITION: [limit, width] */
  const fv_tensor *table; /* TOKENS: rows widened when they are read; a streamed LINEAR: its weights */
} fv_bound;

/* Rotary tables of a stack, [limit, rope.width / 2] each; NULL until a step needs them. */
typedef struct fv_rope_table {
  float *cos, *sin;
} fv_rope_table;

struct fv_model {
  char *path;
  const fv_family *family;
  fv_plan *plan;
  fv_task task;
  int question_space, answer_space; /* row spaces; -1: none */
  fv_checkpoint *checkpoint;
  fv_tokenizer *tokenizer;
  fv_kernels *kernels;
  bool has_preprocess;
  fv_preprocess preprocess;
  char preprocessing[256], engine[256];
  bool *tensor_used;    /* per tensor of the checkpoint */
  pthread_mutex_t lock; /* guards bound[] while weights are packed */
  fv_bound *bound;      /* per step */
  fv_rope_table *ropes; /* per stack */
  size_t memory;        /* bytes for weights and activations, 0: no limit */
  size_t weight_bytes;  /* of all linear layers, packed */
  bool streamed;        /* linear layers read the checkpoint each time */
};

/* Reads and packs the weights of the steps marked in `need`; those already ready are left alone. Thread-safe. */
fv_status fv_model_bind(fv_model *model, const bool *need, fv_error *err);
/* Bytes that the packed weights of a step take; of a LINEAR step also where the model streams them. */
size_t fv_model_step_bytes(const fv_model *model, int step);
/* Bytes that a streamed LINEAR step reads from its file; 0 for every other step. */
size_t fv_model_stored_bytes(const fv_model *model, int step);
/* Lets the kernel read ahead what a bound, streamed step will read. */
void fv_model_prefetch(const fv_model *model, int step);
/* The error of a streamed step with a weight that is NaN or infinite, which is looked for and named. */
fv_status fv_model_weight_error(const fv_model *model, int step, fv_error *err);
/* A tensor by its name, or by one of those that other releases gave it; NULL when absent. */
const fv_tensor *fv_model_find_tensor(const fv_model *model, const char *name);
/* The tensor of a step's weight (which = 0) or bias (1), following ties; NULL when the kind has none. */
fv_status fv_model_step_tensor(const fv_model *model, int step, int which, const fv_tensor **out, fv_error *err);

/* The token ids that one row space reads: of one text, or of several, one behind the other. */
typedef struct fv_text {
  int32_t *ids;
  int64_t count;
  int64_t *first, *last;  /* byte range in `text` of each token, -1: added by the tokenizer; NULL: no text */
  int64_t ntexts, *start; /* [ntexts + 1] where each text begins, the last is count; NULL: there is one at most */
  int64_t *stands;        /* [ntexts] the row that stands for each text; NULL: texts are not pooled here */
  int32_t *spliced;       /* the row that stands in the token's place, -1: none; NULL: the space splices nothing */
} fv_text;

struct fv_input {
  const fv_model *model;
  float *pixels; /* [npictures, C, H, W], or NULL */
  int64_t npictures;
  fv_text *texts;    /* per row space */
  char *text;        /* several are joined by line ends */
  char **texts_said; /* [nsaid] where the answer is one of them */
  int64_t nsaid;
  fv_image *seen;        /* [npictures] the pictures as the model sees them */
  char image_sha256[65]; /* of the first */
};

/* The input that holds a picture decoded ahead, before the mask; NULL: there is none. */
const fv_input *fv_pictures_find(const fv_pictures *pictures, const fv_input_options *options);

/* FV_EUSAGE unless the text, which `what` names, is UTF-8 without control characters: it will be shown in messages. */
fv_status fv_check_text(const char *what, const char *text, fv_error *err);
/* How many of n bytes of valid UTF-8 to show in a message: whole characters, and not more than say what is meant. */
int fv_shown(const char *text, size_t n);

/* The row of the spliced space that stands at row t, or -1 for a token's own row. Generated rows are tokens. */
static inline int64_t fv_input_spliced(const fv_input *input, int space, int64_t t) {
  const fv_text *text = &input->texts[space];
  return text->spliced && t < text->count ? text->spliced[t] : -1;
}
/* Which picture a row of a picture's row space belongs to, from 0; elsewhere 0. */
static inline int64_t fv_input_picture_of(const fv_input *input, int space, int64_t t) {
  const fv_space *s = &input->model->plan->spaces[space];
  return fv_space_of_picture(s) ? t / s->rows : 0;
}
/* The rows that row t belongs with: those of its text, or of its picture. Rows behind the last text, which generation
 * makes, belong to it. */
static inline fv_span fv_input_group(const fv_input *input, int space, int64_t t) {
  const fv_text *text = &input->texts[space];
  const fv_space *s = &input->model->plan->spaces[space];
  if (fv_space_of_picture(s)) return (fv_span){t - t % s->rows, t - t % s->rows + s->rows};
  if (!text->start) return (fv_span){0, INT64_MAX};
  int64_t lo = 0, hi = text->ntexts;
  while (hi - lo > 1) {
    int64_t mid = (lo + hi) / 2;
    if (text->start[mid] <= t)
      lo = mid;
    else
      hi = mid;
  }
  return (fv_span){text->start[lo], text->start[lo + 1]};
}
/* How many groups there are in a space. */
static inline int64_t fv_input_groups(const fv_input *input, int space) {
  const fv_text *text = &input->texts[space];
  int64_t n = fv_space_of_picture(&input->model->plan->spaces[space]) ? input->npictures
              : text->start                                           ? text->ntexts
                                                                      : 1;
  return n > 1 ? n : 1;
}
/* The picture whose row this is, also where it is spliced into a text, from 0; -1: none. */
int64_t fv_input_picture_shown(const fv_input *input, int space, int64_t row);
/* The image patch of its picture that a row stands for, or -1. */
int64_t fv_input_patch(const fv_input *input, int space, int64_t row);
/* Whether a row is a class row: the one before a picture's patches, or the token that the tokenizer puts before a text.
 */
bool fv_input_is_class(const fv_input *input, int space, int64_t row);
/* Rows of a space that this input gives. */
int64_t fv_input_space_rows(const fv_input *input, int space);

#endif
