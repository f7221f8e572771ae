/* The plan: the forward pass as data.
 *
 * A plan is one flat array of steps in execution order, for all stacks of a model. A step names its operation, the
 * steps whose outputs it reads, how an output row depends on input rows, its weights, and the site under which its
 * output can be read or written. The output of step i is slot i, and every slot is written once, so a slot needs no
 * other name. Everything the engine knows about a model is here: it has no code per family.
 *
 * A plan is built from a family's description (model/describe.h) by fv_plan_build, checked by fv_plan_validate, and
 * never changes afterwards; it may be shared by threads. It owns its arrays and strings; fv_plan_free releases them.
 */
#ifndef FOVEA_MODEL_PLAN_H
#define FOVEA_MODEL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "fovea/status.h"

/* How an output row depends on the rows of the inputs. */
typedef enum fv_rule {
  FV_RULE_SOURCE,  /* on the run's own input (pixels, token ids), not on another slot */
  FV_RULE_SAME,    /* row t on row t of every input */
  FV_RULE_PICTURE, /* every row of a picture on its one row of the input */
  FV_RULE_SHIFT,   /* row t of a picture on row t-1 of it in the input; row 0 on none */
  FV_RULE_SKIP,    /* row t of a picture on row t+1 of it in the input */
  FV_RULE_SPLICE,  /* row t on row t of input 0, or on one row of input 1: the run's token ids say which */
  FV_RULE_PICK,    /* every row on row `pick` of the input */
  FV_RULE_POOL,    /* row k on one row of the input, that stands for the run's text k */
  FV_RULE_ATTEND   /* row t on row t of input 0, and on the rows of inputs 1 and 2 that the mask lets it see */
} fv_rule;

/* X(NAME, text, rule, number of inputs) */
#define FV_KIND_MAP(X)                                                                                              \
  X(PIXELS, "pixels", FV_RULE_SOURCE, 0)    /* [N, C*H*W] the preprocessed images */                                \
  X(PATCHES, "patches", FV_RULE_PICTURE, 1) /* [NP, C*p*p] images to patch rows */                                  \
  X(TOKENS, "tokens", FV_RULE_SOURCE, 0)    /* [T, D] embedding rows by id */                                       \
  X(PREPEND, "prepend", FV_RULE_SHIFT, 1)   /* [N(1+P), D] class row, then the input */                             \
  X(DROP, "drop", FV_RULE_SKIP, 1)          /* the input without its class rows */                                  \
  X(SPLICE, "splice", FV_RULE_SPLICE, 2)    /* [T, D] token rows, image rows in their places */                     \
  X(POSITION, "position", FV_RULE_SAME, 1)  /* x[t] + table[t] */                                                   \
  X(LINEAR, "linear", FV_RULE_SAME, 1)      /* W x + b */                                                           \
  X(LAYERNORM, "layernorm", FV_RULE_SAME, 1)                                                                        \
  X(RMSNORM, "rmsnorm", FV_RULE_SAME, 1)                                                                            \
  X(ROPE, "rope", FV_RULE_SAME, 1) /* heads rotated by the row number */                                            \
  X(ACT, "act", FV_RULE_SAME, 1)                                                                                    \
  X(ADD, "add", FV_RULE_SAME, 2)                                                                                    \
  X(MUL, "mul", FV_RULE_SAME, 2)                                                                                    \
  X(OFFSET, "offset", FV_RULE_SAME, 1)   /* x[t] + c: the first row of a table, the same for every row */           \
  X(UNIT, "unit", FV_RULE_SAME, 1)       /* x / max(|x|, 1e-12) */                                                  \
  X(DOT, "dot", FV_RULE_SAME, 2)         /* [T, 1] inner product of x[t] and y[t] */                                \
  X(PICK, "pick", FV_RULE_PICK, 1)       /* [1, D] one row, in a row space of its own */                            \
  X(POOL, "pool", FV_RULE_POOL, 1)       /* [N, D] of each text the row that stands for it */                       \
  X(SPREAD, "spread", FV_RULE_PICK, 1)   /* [N, D] row `pick` of the input, once per text */                        \
  X(GAIN, "gain", FV_RULE_SAME, 1)       /* exp(c) x: c the one value of a weight */                                \
  X(COPY, "copy", FV_RULE_SAME, 1)       /* its own site: an edit here is not seen by other readers of the input */ \
  X(ATTEND, "attend", FV_RULE_ATTEND, 3) /* q, k, v -> z; scores and pattern are parts of the step */

typedef enum fv_kind {
  FV_KIND_END, /* ends a template table */
#define FV_KIND_ENUM(name, text, rule, inputs) FV_KIND_##name,
  FV_KIND_MAP(FV_KIND_ENUM)
#undef FV_KIND_ENUM
} fv_kind;

const char *fv_kind_text(fv_kind kind);
fv_rule fv_kind_rule(fv_kind kind);
int fv_kind_inputs(fv_kind kind);

/* The part of a step that a site names. */
typedef enum fv_part { FV_PART_OUT, FV_PART_SCORES, FV_PART_PATTERN } fv_part;

/* Rotary embedding of a stack: which channels of a head rotate, and how fast (spec of each type: model/rope.c). */
typedef enum fv_rope_type { FV_ROPE_DEFAULT, FV_ROPE_LINEAR, FV_ROPE_LLAMA3 } fv_rope_type;
typedef struct fv_rope {
  int64_t width; /* channels that rotate, even; 0: the stack has no rotary embedding */
  double theta;
  fv_rope_type type;
  double factor, low, high; /* LINEAR, LLAMA3: factor; LLAMA3: frequency factors */
  int64_t trained;          /* LLAMA3: positions before scaling */
} fv_rope;

/* A row space: rows that share their count and their meaning. Where they are a picture's, a run that has several has
 * them one behind the other, each a group: positions count from its first row, and attention stays within it. */
typedef struct fv_space {
  char *name;     /* "image", "patches", or the name of a stack */
  int64_t rows;   /* fixed count, per picture; or 0: as many as the run has token ids here */
  int64_t limit;  /* most rows (the position table), or 0 */
  int patch_row;  /* the row of the first image patch; -1: no patches, or (SPLICE) where the token ids say */
  int spliced;    /* the space whose rows are spliced in here, or -1 */
  bool texts;     /* a run may have several texts here, one behind the other, each with positions of its own and blind
                     for the others */
  int texts_of;   /* the space of which this one has a row per text, or -1 */
  uint32_t picks; /* spaces that the one row is picked from: it exists when all of them have rows; 0: no such space */
  bool causal;    /* every attention whose keys lie in this space is causal */
  bool generates; /* greedy decoding appends rows here */
} fv_space;

typedef struct fv_stack {
  char *name;
  int space;
  int64_t layers, D, H, KV, Dh, F, V;
  fv_rope rope;
} fv_stack;

typedef struct fv_step {
  fv_kind kind;
  int in[3];        /* step indices; -1 where unused */
  int stack, layer; /* layer -1: outside the blocks */
  int space;
  const char *site; /* NULL: not a site */
  int64_t width;    /* floats per output row */
  int64_t heads;    /* the row is [heads, width/heads]; 0: no head structure */
  /* Weights: tensor names in the checkpoint, owned; NULL where the kind has none. */
  char *weight, *bias;
  const char *weight_tied, *bias_tied; /* used when the tensor is absent; NULL: absent is an error */
  int64_t weight_rows, first_row;      /* LINEAR: rows first_row.. of a [weight_rows, K] matrix (fused projections) */
  float eps;                           /* LAYERNORM, RMSNORM */
  int act;                             /* ACT: an fv_act */
  int64_t H, KV, Dh;                   /* ATTEND */
  float scale;
  bool causal;
  int64_t window;                 /* causal: row t sees the last `window` rows up to itself; 0: all */
  int64_t channels, image, patch; /* PIXELS, PATCHES */
  int64_t pick;                   /* PICK */
} fv_step;

/* One addressable name. Several sites may name the same step (resid_pre of a block is resid_post of the one before). */
typedef struct fv_site {
  int stack, layer; /* layer -1: no layer in the address */
  const char *name; /* "attn.q" */
  int step;
  fv_part part;
} fv_site;

/* Another tool's name for a site. "{}" in the pattern stands for the layer number. */
typedef struct fv_alias {
  const char *pattern, *stack, *site;
  const char *origin; /* "transformers", "pyvene", "NOTICE" */
} fv_alias;

typedef struct fv_plan {
  int nspaces, nstacks, nsteps, nsites;
  fv_space *spaces;
  fv_stack *stacks;
  fv_step *steps;
  fv_site *sites;
  const fv_alias *aliases; /* the family's table, ended by a NULL pattern */
  int output;              /* the step whose rows are the logits, or -1 */
  int pixels;              /* the PIXELS step, or -1 */
} fv_plan;

/* Whether the rows of the output are the values to choose among (one per text), not its columns. */
static inline bool fv_plan_answers_texts(const fv_plan *p) {
  return p->output >= 0 && p->spaces[p->steps[p->output].space].texts_of >= 0;
}
/* Whether a run may have several pictures: its text says where each one's rows stand. */
static inline bool fv_plan_several_pictures(const fv_plan *p) {
  for (int i = 0; i < p->nspaces; i++)
    if (p->spaces[i].spliced >= 0) return true;
  return false;
}
/* Whether the rows of a space are a picture's. */
static inline bool fv_space_of_picture(const fv_space *s) { return s->rows > 0 && !s->picks && s->texts_of < 0; }
/* Floats of one row of a site: the step's width, or heads x keys for scores and pattern (keys = 0: not known). */
int64_t fv_plan_row_width(const fv_plan *p, int step, fv_part part, int64_t keys);
/* Counted floating-point operations of one output row with S key rows (ATTEND). */
double fv_step_flops(const fv_plan *p, int step, int64_t S);
int fv_plan_find_stack(const fv_plan *p, const char *name, size_t n); /* -1 when absent */
/* The first step of a stack and layer that carries the site, or NULL. */
const fv_site *fv_plan_find_site(const fv_plan *p, int stack, int layer, const char *name, size_t n);
/* Slots written before they are read, widths and spaces that agree, sites unique: otherwise FV_EINTERNAL with a
 * sentence. */
fv_status fv_plan_validate(const fv_plan *p, fv_error *err);
void fv_plan_free(fv_plan *p);

#endif
