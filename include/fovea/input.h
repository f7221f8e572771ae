/* Inputs: pictures and a text, turned into what the model reads, and the names of the resulting rows.
 *
 * An fv_input belongs to its model, which must outlive it; it is immutable once made. It holds the preprocessed
 * pictures, the token ids of every stack that reads tokens, and the position map: what each row of each stack is.
 */
#ifndef FOVEA_INPUT_H
#define FOVEA_INPUT_H

#include "fovea/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_input fv_input;

/* How Pillow orders the two passes of a resize: it changed between releases, and with it some pixels. */
typedef enum fv_pillow { FV_PILLOW_13, FV_PILLOW_12_2, FV_PILLOW_12 } fv_pillow;

typedef struct fv_pictures fv_pictures;

typedef struct fv_input_options {
  const char *image;         /* file, or NULL: only token stacks can be read */
  const char *const *images; /* or several files, for a model whose prompt says where each belongs; not together */
  size_t nimages;
  const char *question;       /* put into the family's template; NULL: none */
  const char *prompt;         /* the raw text instead; not together with question */
  const char *const *prompts; /* or several raw texts, for a model that chooses among texts; not together with those */
  size_t nprompts;
  bool exif; /* apply the EXIF orientation, which transformers does not */
  fv_pillow pillow;
  bool gray;        /* Pillow's convert('L') back to RGB on the decoded picture */
  double blur;      /* Gaussian blur of the decoded picture, radius in pixels; 0: none */
  int64_t pad_rows; /* the question is filled up with [PAD] to so many rows, which all rows attend to; 0: none */
  const int64_t
      *mask; /* {r0, c0, r1, c1}: these patches of every picture, ends included, get the mean colour; NULL: none */
  const fv_pictures *pictures; /* decoded ahead; NULL: none. Decides about time only */
} fv_input_options;

/* No picture, no text, no change to either; resizing as Pillow 13 does. */
void fv_input_defaults(fv_input_options *options);
/* Reads and preprocesses the pictures and tokenizes the text. What neither a picture nor a text is given for has no
 * rows. FV_EUSAGE: options that exclude each other, or that this model does not take; FV_ENOTFOUND, FV_EIO: a file;
 * FV_EFORMAT: one that is not a whole picture, a text that is empty or not UTF-8; FV_EUNSUPPORTED: a kind of picture
 * that is not decoded; FV_ESHAPE: more tokens than the model has positions; FV_ENOMEM. */
fv_status fv_input_new(const fv_model *model, const fv_input_options *options, fv_input **out, fv_error *err);
void fv_input_free(fv_input *input); /* NULL is harmless */

/* Pictures decoded and resized ahead, so that inputs made from the same files with the same options need not. Counted:
 * what was added twice is there until it was dropped twice. Of the options only those of the picture count, without the
 * mask. The pictures belong to their model. Threads: any may add, drop and make inputs at the same time; an input that
 * is being made from a picture needs it until fv_input_new returns. */
fv_status fv_pictures_new(const fv_model *model, fv_pictures **out, fv_error *err);
void fv_pictures_free(fv_pictures *pictures); /* NULL is harmless */
fv_status fv_pictures_add(fv_pictures *pictures, const fv_input_options *options, fv_error *err);
void fv_pictures_drop(fv_pictures *pictures, const fv_input_options *options);
/* SHA-256 of a picture's file; false when the picture is not there. */
bool fv_pictures_sha256(const fv_pictures *pictures, const fv_input_options *options, char hex[65]);

/* The number of rows that this input gives a stack, 0 when it gives it none (no picture, no text). */
int64_t fv_input_rows(const fv_input *input, const char *stack);

/* What a row is. Strings live as long as the input and its model. */
typedef struct fv_row_info {
  int64_t row;
  int32_t id;        /* -1: not a token */
  const char *piece; /* "" when there is none */
  char name[48];     /* "cls", "image[3,4]"; of pictures behind the first "cls2", "image2[3,4]"; "" */
  int64_t text;      /* which of several texts it belongs to, from 0 */
  int64_t picture;   /* which picture's row it is, from 0; -1: none's */
} fv_row_info;
/* Row 0 <= row < fv_input_rows(stack) of a stack; FV_ENOTFOUND: there is no such stack or row. */
fv_status fv_input_row(const fv_input *input, const char *stack, int64_t row, fv_row_info *out, fv_error *err);
/* What stands beside the row in a map: a patch's place ("image[3,4]"), else the piece, else the name; "" without any.
 */
const char *fv_row_label(const fv_row_info *row);

/* The image grid of each picture (patches down, patches across); false without a picture. */
bool fv_input_grid(const fv_input *input, int64_t *down, int64_t *across);
int64_t fv_input_pictures(const fv_input *input);
/* Picture i, from 0, decoded, resized and cropped, as the model sees it: [height, width, 3] bytes; NULL: there is none.
 * All have one size. */
const uint8_t *fv_input_picture(const fv_input *input, int64_t i, int64_t *width, int64_t *height);
/* SHA-256 of the first picture's file as it is on disk; "" without one. */
const char *fv_input_image_sha256(const fv_input *input);
/* The text that was tokenized; "" without one. Several are joined by line ends. */
const char *fv_input_text(const fv_input *input);
/* The texts that a model chooses among, which are its answers; 0: the model does something else. */
int64_t fv_input_texts(const fv_input *input);
/* What fv_model_piece, fv_model_answer_text and fv_model_answer_id say, of any model: where it chooses among texts, an
 * id is the index of a text, the piece and the text are that text. The piece lives as long as the input. */
const char *fv_input_piece(const fv_input *input, int32_t id);
fv_status fv_input_answer_text(const fv_input *input, const int32_t *ids, size_t count, char **text, fv_error *err);
fv_status fv_input_answer_id(const fv_input *input, const char *text, int32_t *id, fv_error *err);
/* Names of the stack that reads the text and of the stack in whose last row the answer is read; NULL: none. */
const char *fv_model_question_stack(const fv_model *model);
const char *fv_model_answer_stack(const fv_model *model);
/* The stack whose rows are image patches; NULL: none. */
const char *fv_model_picture_stack(const fv_model *model);
/* Whether it chooses among several texts. */
bool fv_model_several_texts(const fv_model *model);
/* Whether it reads several pictures: its prompt says where each one belongs. */
bool fv_model_several_pictures(const fv_model *model);
/* Whether a picture alone has an answer: the model reads no text, or can go without. */
bool fv_model_text_optional(const fv_model *model);

#ifdef __cplusplus
}
#endif
#endif
