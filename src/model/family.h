/* Families: what a checkpoint folder of one architecture means, as data.
 *
 * A family recognises a config.json and turns it into a description (stacks and templates, see model/describe.h) and a
 * task (how a picture and a text become the inputs, and how an answer ends). It has no arithmetic and touches no
 * weights. A new family is one file family_NAME.c and one line in the registry in families.c.
 */
#ifndef FOVEA_MODEL_FAMILY_H
#define FOVEA_MODEL_FAMILY_H

#include "base/json.h"
#include "model/describe.h"

#define FV_MAX_EOS 8

/* The form of a question: before + question + after. */
typedef struct fv_prompt_form {
  const char *piece;           /* used when the tokenizer has this piece; NULL: always */
  const char *before;          /* NULL ends a list */
  const char *picture, *after; /* `picture` stands once per picture, and once where there is none; NULL: not at all */
} fv_prompt_form;

/* Which row of a text stands for it, where one row per text is pooled: that of `pool_id` (the first row when it does
 * not occur), or of the highest id; the first of several. */
typedef enum fv_pool { FV_POOL_NONE, FV_POOL_FIRST, FV_POOL_HIGHEST } fv_pool;

typedef struct fv_task {
  const char *question_stack; /* the stack whose rows are the question's tokens */
  const char *answer_stack;   /* the stack in whose last row the logits are read; NULL: there is no answer */
  bool text_optional;         /* a picture alone has an answer */
  int32_t start[4];           /* ids that the answer stack starts with; where it is also the question stack, they
                                 overwrite the text's first ids, and are all there is without a text */
  int nstart;
  int drop_last; /* ids at the end of a tokenized text (a closing special token) that the question goes without */
  int32_t eos[FV_MAX_EOS];
  int neos;
  bool generation_config;      /* generation_config.json's eos_token_id wins over `eos` */
  const fv_prompt_form *forms; /* NULL: a question is tokenized as it is */
  int32_t splice_id;           /* the token that stands for the picture, where the question stack splices rows in */
  int64_t max_new;             /* generated ids at most, the end included, when nothing else is asked */
  int64_t max_rows; /* the same limit as a count of the answer stack's ids, prompt included; 0: max_new counts */
  fv_pool pool;
  int32_t pool_id;
  char **labels; /* owned. The answer is one of these classes, and nothing is generated; NULL: it is text */
  int64_t nlabels;
} fv_task;

/* Sets class `index` of `count`; the first call makes the list. */
fv_status fv_task_label(fv_task *task, int64_t count, int64_t index, const char *name, fv_error *err);
void fv_task_release(fv_task *task);

/* Another spelling of weight names: `prefix` may also be written `other`. */
typedef struct fv_rename {
  const char *prefix, *other;
} fv_rename;

typedef struct fv_family {
  const char *name;         /* "blip_vqa" */
  const char *model_type;   /* config.json's model_type */
  const char *architecture; /* config.json's architectures[0]; NULL: any */
  fv_status (*describe)(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err);
  const fv_rename *renames; /* ended by a NULL prefix; NULL: none */
} fv_family;

/* The family of a config.json, or an error that lists the families there are. */
fv_status fv_family_find(const json_t *config, const char *where, const fv_family **out, fv_error *err);

/* Helpers for the family files. */
/* hidden_act, or the activation function under another key. */
fv_status fv_config_act(const json_t *config, const char *fallback, const char *where, int *act, fv_error *err);
fv_status fv_config_act_at(const json_t *config, const char *key, const char *fallback, const char *where, int *act,
                           fv_error *err);
fv_status fv_config_heads(const fv_stack_description *s, const char *where, fv_error *err); /* D divides into heads */
/* layer_norm_eps: a small number that is not negative. */
fv_status fv_config_eps(const json_t *config, double fallback, const char *where, float *eps, fv_error *err);

/* eos_token_id: one id, or a list; absent or null leaves what is there. */
fv_status fv_config_eos(const json_t *config, const char *where, fv_task *task, fv_error *err);

extern const fv_family fv_family_blip_vqa, fv_family_blip_caption, fv_family_blip_itm, fv_family_vit, fv_family_bert;
extern const fv_family fv_family_llava, fv_family_clip;

#endif
