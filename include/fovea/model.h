/* Models: opening a checkpoint folder and asking what is in it.
 *
 * An fv_model is a Hugging Face folder (config.json, weights, tokenizer, preprocessor) turned into a plan. It is
 * immutable after fv_model_open and may be shared by threads and by any number of waves. Weights are read and packed
 * when a wave first needs them; NaN or infinite weights are then an error. Opening reads no weights and costs
 * milliseconds.
 *
 * Weights larger than memory, and those of a model opened with `stream`, are not packed: every pass reads them from the
 * mapped files, as far as they are not in the system's file cache still, and widens a piece of a matrix at a time. The
 * results are the same bits. A run of many rows takes a few percent longer, generating one token less than with packed
 * float32 weights where the files hold 16 bits.
 *
 * Waves compute with OpenMP. While one thread works alone the others spin, by libgomp's default for many milliseconds,
 * and on a machine with other work take the cores from it: everything is several times slower. Start your program with
 * GOMP_SPINCOUNT=10000 in its environment, half a millisecond, which costs nothing measurable where it is quiet.
 * libgomp reads it when it is loaded, so setenv() in main() is too late; the program `fovea` executes itself anew with
 * it (cli/threads.c). OMP_WAIT_POLICY=passive does without spinning, a tenth of a pass slower on a quiet machine.
 *
 *   fv_model *model;
 *   fv_error err;
 *   if (fv_model_open("blip-vqa-base", NULL, &model, &err)) fprintf(stderr, "%s\n", err.text);
 */
#ifndef FOVEA_MODEL_H
#define FOVEA_MODEL_H

#include <stdbool.h>

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_model fv_model;

typedef struct fv_model_options {
  int threads; /* that a wave uses; 0: all cores */
  /* Bytes for weights and activations together; 0: no limit. Linear layers are packed, all of them, when that takes at
   * most three quarters of it, and streamed otherwise. Waves may use for activations what packed weights leave, or all
   * of it; not counted are norms, biases and position tables, two panels (256 columns of the widest layer) per thread,
   * and pages of the weight files, which the system takes back when it needs them. */
  size_t memory;
  /* Stream the weights whatever they take: each is packed when it is used, and not kept. For a program that computes a
   * wave or two, which would pack every weight to use it once. Left undone where the layers are too narrow to keep all
   * threads busy so. The values are the same. */
  bool stream;
} fv_model_options;

/* Opens the folder `path`; NULL options: all cores, no limit of memory. Close it when no wave and no input needs it.
 * FV_EIO, FV_ENOTFOUND: the folder or a file in it; FV_EFORMAT: a file is not what it should be, or truncated;
 * FV_EUNSUPPORTED: an architecture or an option of one that is not implemented; FV_ESHAPE: weights that do not fit
 * config.json; FV_EUSAGE: options; FV_ENOMEM. */
fv_status fv_model_open(const char *path, const fv_model_options *options, fv_model **out, fv_error *err);
void fv_model_close(fv_model *model); /* NULL is harmless */

/* "blip_vqa". Strings that these functions return live as long as the model. */
const char *fv_model_family(const fv_model *model);
const char *fv_model_path(const fv_model *model); /* as it was opened */
int fv_model_threads(const fv_model *model);      /* in use, at least 1 */
/* Instruction set and matrix library in use, e.g. "x86-64-v4, oneDNN 2.6.3". */
const char *fv_model_engine(const fv_model *model);
/* Whether the weights are streamed, for lack of memory or because fv_model_options.stream said so. */
bool fv_model_streamed(const fv_model *model);
/* Bytes that the packed weights take when all are in use. */
size_t fv_model_weight_bytes(const fv_model *model);
/* SHA-256 over the lower-case hex SHA-256s of the weight files, in the order of their names. Reads every weight file.
 */
fv_status fv_model_sha256(const fv_model *model, char hex[65], fv_error *err);

/* Sizes of one stack; 0 where a stack has no such size. */
typedef struct fv_stack_info {
  const char *name;      /* "text_encoder" */
  int64_t layers, width; /* L, D */
  int64_t heads, kv_heads, head_width, mlp_width, vocabulary;
  int64_t rows;     /* fixed row count, or 0: as many as there are tokens */
  int64_t max_rows; /* the position table's length, or 0 */
} fv_stack_info;
/* Stacks in the order of the plan, 0 <= index < fv_model_stacks. */
int fv_model_stacks(const fv_model *model);
fv_stack_info fv_model_stack(const fv_model *model, int index);

/* Every address without a selector. `shape` is in the letters of the documentation, e.g. "T x H x Dh = ? x 12 x 64". */
typedef struct fv_site_info {
  char address[96]; /* "text_encoder.3.cross.z" */
  char shape[96];
} fv_site_info;
size_t fv_model_sites(const fv_model *model);
/* Site 0 <= index < fv_model_sites, in the order of the plan (FV_ENOTFOUND behind them).
 * aliases: other tools' names, separated by ", "; those that do not fit are left out. */
fv_status fv_model_site(const fv_model *model, size_t index, fv_site_info *out, char *aliases, size_t aliases_size,
                        fv_error *err);

/* A tensor of the checkpoint, as the file has it. */
typedef struct fv_tensor_info {
  const char *name, *dtype, *file;
  int rank;
  const int64_t *shape;
  bool used;     /* some step of the plan reads it */
  bool harmless; /* a buffer that older checkpoints carry: position_ids, inv_freq */
} fv_tensor_info;
/* Tensors, 0 <= index < fv_model_tensors. */
size_t fv_model_tensors(const fv_model *model);
fv_tensor_info fv_model_tensor(const fv_model *model, size_t index);
/* Tensors that nothing reads and that are not known to be harmless buffers (position_ids, inv_freq). */
size_t fv_model_unused(const fv_model *model);

const char *fv_model_tokenizer_kind(const fv_model *model); /* "WordPiece", "BPE" or "none" */
int64_t fv_model_vocabulary(const fv_model *model);         /* 1 + highest id of the tokenizer */
/* The side, in pixels, of the picture that the model reads, and of one patch of it; 0 without pictures. */
int64_t fv_model_image_size(const fv_model *model);
int64_t fv_model_patch_size(const fv_model *model);
/* One sentence about resizing and normalisation. */
const char *fv_model_preprocessing(const fv_model *model);

/* The tokenizer alone: ids of a text with the special tokens that its post-processor adds. Release *ids with free(). */
fv_status fv_model_encode(const fv_model *model, const char *text, size_t n, int32_t **ids, size_t *count,
                          fv_error *err);
/* The text of some ids, as transformers' decode gives it. Release *text with free(). */
fv_status fv_model_decode(const fv_model *model, const int32_t *ids, size_t count, bool skip_special, char **text,
                          size_t *length, fv_error *err);
/* The piece of an id of the answer, or NULL when there is none: the tokenizer's, or the label of a class. */
const char *fv_model_piece(const fv_model *model, int32_t id);
/* Classes that a model which answers with a class tells apart; 0: it answers with text, or not at all. */
int64_t fv_model_classes(const fv_model *model);
/* What some ids of an answer say: the decoded text, or the label of the class. Release *text with free(). */
fv_status fv_model_answer_text(const fv_model *model, const int32_t *ids, size_t count, char **text, fv_error *err);
/* The class with this label, the first piece of a text encoded alone, or the N of "id:N". Errors: FV_ENOTFOUND for
 * another class and for a text that is the unknown token to the tokenizer, FV_EUSAGE for an id or text of no token. */
fv_status fv_model_answer_id(const fv_model *model, const char *text, int32_t *id, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
