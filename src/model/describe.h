/* Descriptions: a family as tables, and their expansion into a plan.
 *
 * A stack is described by three template tables: the steps before its blocks, the steps of one block, the steps after.
 * A template names its output and inputs by site names. Within a block "resid_pre" is the block's input, and the step
 * called "resid_post" becomes the next block's; a name starting with "_" is an intermediate that is no site;
 * "vision:final" reads a site of another stack. Weight names are relative to the stack's prefix ("{}" in the block
 * prefix is the layer number), or absolute with a leading "/"; ".weight" and ".bias" are appended unless the flag
 * FV_T_BARE says that the name is whole. The tables are constants; a description borrows them.
 */
#ifndef FOVEA_MODEL_DESCRIBE_H
#define FOVEA_MODEL_DESCRIBE_H

#include "model/plan.h"

typedef enum fv_width { FV_W_IN, FV_W_D, FV_W_F, FV_W_Q, FV_W_KV, FV_W_V, FV_W_ONE } fv_width; /* IN: as input 0 */

enum {
  FV_T_NO_BIAS = 1,   /* LINEAR without bias */
  FV_T_CAUSAL = 2,    /* ATTEND */
  FV_T_BARE = 4,      /* the weight name is used as it is */
  FV_T_ATTN_BIAS = 8, /* LINEAR: a bias only if the stack's `biases` has the same bit */
  FV_T_MLP_BIAS = 16
};

typedef struct fv_template {
  fv_kind kind;
  const char *out;
  const char *in[3];
  const char *weight;
  fv_width width;
  int part, parts; /* LINEAR: this part of a fused matrix: of q, k, v (parts 3), or of two equal ones (parts 2) */
  unsigned flags;
  const char *weight_tied, *bias_tied; /* absolute names */
  int pick;                            /* PICK, SPREAD: the row */
  const char *space;                   /* PICK: the row space that it makes; NULL: the stack's */
} fv_template;

/* Ends a template table. */
#define FV_T_END \
  { .kind = FV_KIND_END }

typedef struct fv_stack_description {
  const char *name;
  const char *space;                         /* NULL: a space of its own, named as the stack */
  const char *prefix;                        /* of `before` and `after` */
  const char *block_prefix;                  /* with "{}" */
  const fv_template *before, *block, *after; /* ended by FV_KIND_END; NULL: none */
  int64_t layers, D, H, KV, Dh, F, V;
  int64_t types; /* OFFSET: rows of its table */
  int64_t rows;  /* fixed row count of its space; 0: by token ids */
  int64_t limit; /* most rows of a text */
  float eps;
  int act;
  bool causal, generates;
  bool texts;           /* several texts may be in the rows */
  const char *texts_of; /* a row per text of this stack; NULL: no such rows */
  unsigned biases;      /* FV_T_ATTN_BIAS, FV_T_MLP_BIAS: those layers have biases */
  int64_t window;       /* causal ATTEND: see fv_step */
  int64_t features;     /* 1 + the block whose input is also called "features"; 0: none */
  fv_rope rope;
} fv_stack_description;

#define FV_MAX_STACKS 6

typedef struct fv_description {
  int nstacks;
  fv_stack_description stacks[FV_MAX_STACKS];
  int64_t channels, image, patch; /* picture side and patch side in pixels; 0: no picture */
  const fv_alias *aliases;
  const char *output_stack, *output_site; /* where the logits are; NULL: there are none */
} fv_description;

fv_status fv_plan_build(const fv_description *d, fv_plan **out, fv_error *err);

#endif
