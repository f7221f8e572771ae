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

typedef struct fv_task {
  const char *question_stack; /* the stack whose rows are the question's tokens */
  const char *answer_stack;   /* the stack whose rows are the answer's tokens; the logits are read here */
  int32_t start[4];           /* ids that the answer stack starts with */
  int nstart;
  int32_t eos[FV_MAX_EOS];
  int neos;
  int64_t max_new; /* generated ids at most, the end included, when nothing else is asked */
} fv_task;

typedef struct fv_family {
  const char *name;         /* "blip_vqa" */
  const char *model_type;   /* config.json's model_type */
  const char *architecture; /* config.json's architectures[0]; NULL: any */
  fv_status (*describe)(const json_t *config, const char *where, fv_description *d, fv_task *task, fv_error *err);
} fv_family;

/* The family of a config.json, or an error that lists the families there are. */
fv_status fv_family_find(const json_t *config, const char *where, const fv_family **out, fv_error *err);

/* Helpers for the family files. */
fv_status fv_config_act(const json_t *config, const char *fallback, const char *where, int *act, fv_error *err);
fv_status fv_config_heads(const fv_stack_description *s, const char *where, fv_error *err); /* D divides into heads */
/* layer_norm_eps: a small number that is not negative. */
fv_status fv_config_eps(const json_t *config, double fallback, const char *where, float *eps, fv_error *err);

extern const fv_family fv_family_blip_vqa;

#endif
