/* The inside of a wave: runs, slices, slots, and the functions of the engine's files on them.
 *
 *   wave.c      runs, reads, readouts; splitting to fit the memory; the public functions
 *   slice.c     reach (forward) and need (backward): which rows of which run are live at which step
 *   layout.c    where each step's rows lie in one block of memory
 *   compute.c   the executor of a wave
 *   attention.c its attention step
 *   step.c      one step on some rows: shared by the executor and the oracle
 *   full.c      the oracle: one run alone, all rows
 *   generate.c  greedy decoding as a chain of waves
 *
 * Lifetimes: runs, edits, reads and memory live as long as the wave; the slice and the slots from fv_slice to the
 * next fv_slice or the wave's end. Nothing is allocated between the first and the last step of a pass.
 */
#ifndef FOVEA_ENGINE_WAVE_INSIDE_H
#define FOVEA_ENGINE_WAVE_INSIDE_H

#include "engine/edit.h"

typedef struct fv_run {
  int parent; /* in this wave; -1: a root, or a continuation */
  int outer;  /* run of the wave before, which this one continues; -1: none */
  const fv_input *input;
  const float *pixels;
  const int32_t **ids; /* per space */
  int64_t *T;          /* per space */
  int32_t *own_ids;    /* the answer space's ids when generation made them; owned */
  int nchain;          /* edits in force: inherited first, then own */
  fv_edit **chain;
  int first_own;
  bool keep;       /* its keys and values outlive the pass, for generation */
  bool is_parent;  /* of some run: its readouts come before those of its children */
  bool read_early; /* computed alone already for an edit that reads it at a later step: it must not change */
  int32_t best_id; /* the highest logit of its last row, when keep */
} fv_run;

typedef enum fv_mode { FV_ROW_COMPUTED, FV_ROW_COPIED, FV_ROW_BLANK } fv_mode;

/* The live rows of one run at one step. A wave has as many of these as steps times runs, so they are kept small. */
typedef struct fv_entry {
  int run;
  int32_t first; /* where the rows lie in the slot, one after the other, when there are no modes */
  int64_t n, computed;
  int32_t *row;  /* ascending */
  int32_t *at;   /* where each row lies in the slot; NULL when there are no modes */
  uint8_t *mode; /* NULL: all rows are computed */
} fv_entry;
static inline int64_t fv_entry_at(const fv_entry *e, int64_t k) { return e->at ? e->at[k] : e->first + k; }
static inline fv_mode fv_entry_mode(const fv_entry *e, int64_t k) {
  return e->mode ? (fv_mode)e->mode[k] : FV_ROW_COMPUTED;
}

typedef struct fv_slot {
  int64_t nentries;
  fv_entry *entries;      /* by run, ascending */
  int32_t *entry_of;      /* per run, -1: none; NULL when there are no entries */
  int64_t rows, computed; /* computed rows lie first */
  size_t offset;          /* in the wave's memory */
  float *data;            /* [rows, width] */
  int last_use;
  bool streamed; /* nobody reads the slot: it is computed in pieces */
} fv_slot;

typedef struct fv_read {
  int run, step;
  fv_part part;
  int64_t nrows, *rows, T;
  int nspans;
  fv_span *spans;
  int64_t nheads, *heads; /* scores and pattern */
  int64_t width;
  float *out;
  fv_logits_fn fn; /* a readout: out is NULL, spans are the whole row; several rows are one list of values */
  float *gathered; /* [nrows, width] of a readout of several rows; owned */
  int64_t delivered;
  void *user;
  uint64_t hash; /* of the values last delivered */
} fv_read;

struct fv_wave {
  const fv_model *model;
  const fv_wave *outer; /* the wave that this one continues, or NULL */
  fv_wave_options options;
  int nruns;
  fv_run *runs;
  size_t runs_room;
  int nedits;
  fv_edit **edits;
  size_t edits_room;
  int nreads;
  fv_read *reads;
  size_t reads_room;
  fv_rng rng;
  bool computed;      /* computing has begun: nothing is added any more */
  bool finished;      /* and has succeeded */
  fv_cost cost;       /* of the passes computed so far, but for runs and full_flops */
  bool silent;        /* a run is recomputed: its readouts are not called again */
  fv_token_fn follow; /* told of generated ids, or NULL */
  void *follow_user;
  /* The slice of the current pass. */
  int *first;     /* per run: the first step at which it may differ from its parent; nsteps: nothing is wanted of it */
  int *rank;      /* per run: its place in the order of the first steps */
  int64_t *words; /* per space: words of the widest run */
  size_t *set_base; /* per step: first word of its sets, one per run whose first step is not later, by rank */
  fv_word *reach, *need, *nothing;
  bool *parts_wanted; /* per step: somebody reads scores or patterns inside it */
  bool *parts_met;    /* per step: somebody reads or edits them */
  fv_slot *slots;
  int nsets_steps;
  void **blocks; /* memory of entries */
  size_t nblocks, blocks_room, block_used, block_size;
  size_t slice_bytes, slice_limit; /* of sets and entries; a slice that would exceed the limit (0: none) is given up */
  char *memory;                    /* of the slots; kept from pass to pass */
  size_t memory_size, memory_room;
  int *edit_first; /* per step: index of the first edit in edits_by_step, nsteps + 1 entries */
  fv_edit **edits_by_step;
};

/* The set of a run at a step from its first on. */
static inline fv_word *fv_own_set(const fv_wave *w, fv_word *pool, int step, int run) {
  int space = w->model->plan->steps[step].space;
  return pool + w->set_base[step] + (size_t)w->words[space] * (size_t)w->rank[run];
}
/* Before its first step a run reaches nothing, and what it needs its parent has. */
static inline const fv_word *fv_reach_set(const fv_wave *w, int step, int run) {
  return w->first[run] <= step ? fv_own_set(w, w->reach, step, run) : w->nothing;
}
static inline fv_word *fv_need_set(const fv_wave *w, int step, int run) {
  while (w->first[run] > step) run = w->runs[run].parent;
  return fv_own_set(w, w->need, step, run);
}

/* slice.c: sets reach, need and the slots' entries for the reads first..last-1. */
fv_status fv_slice(fv_wave *w, int first, int last, fv_error *err);
void fv_slice_release(fv_wave *w);
bool fv_wave_edited(const fv_wave *w, int step); /* some edit writes at this step */
/* The first edit of the run's chain that a live row in this mode still has to go through. */
int fv_chain_start(const fv_run *run, int step, int64_t t, fv_mode mode);

/* The keys that row t of an attention step sees, of the input's S. */
static inline fv_span fv_step_sees(const fv_step *s, const fv_input *input, int64_t t, int64_t S) {
  fv_span group = fv_input_group(input, s->space, t);
  if (!s->causal) return (fv_span){group.lo, group.hi < S ? group.hi : S};
  return (fv_span){s->window > 0 && t - group.lo >= s->window ? t - s->window + 1 : group.lo, t + 1};
}
/* Where row t of a PICTURE, SHIFT or SKIP step comes from; -1: from no row. */
static inline int64_t fv_step_from(const fv_step *s, const fv_input *input, int64_t t) {
  int64_t picture = fv_input_picture_of(input, s->space, t);
  switch (fv_kind_rule(s->kind)) {
    case FV_RULE_PICTURE: return picture;
    case FV_RULE_SHIFT: return t == fv_input_group(input, s->space, t).lo ? -1 : t - 1 - picture;
    case FV_RULE_SKIP: return t + 1 + picture;
    default: return t;
  }
}

enum { FV_STREAM_ROWS = 256 }; /* rows of a streamed slot held at a time */

/* layout.c: offsets of the slots and the peak. */
fv_status fv_layout(fv_wave *w, int first, int last, size_t *peak, fv_error *err);

/* Where rows of a run lie: out[i] is row rows[i] of the step's output for this run, found in the run or its parents. */
void fv_resolve(const fv_wave *w, int step, int run, const int32_t *rows, int64_t n, const float **out);

/* step.c */
typedef struct fv_step_job {
  const fv_model *model;
  int step;
  int64_t n;
  const float *const *in[3];
  const int32_t *row; /* number of each output row in its text or picture */
  const int32_t *id;  /* TOKENS: its token id */
  float *y;           /* [n, width] */
  void *scratch;
} fv_step_job;
fv_status fv_step_compute(const fv_step_job *job, fv_error *err); /* every kind but ATTEND */
size_t fv_step_scratch(const fv_model *m);

/* compute.c: computes the sliced and laid-out reads first..last-1. `done` and `share` scale the progress. */
fv_status fv_compute(fv_wave *w, int first, int last, const fv_progress *progress, double done, double share,
                     fv_error *err);

/* attention.c. A tap hands a row of scores or pattern to a read, or to an edit of another run that copies it. */
typedef struct fv_tap {
  int run, row;
  fv_part part;
  fv_read *read;
  fv_edit *edit;
  int64_t index; /* the row's place in the read or in the edit's values */
} fv_tap;

/* What a pass needs besides the slots; sized before the first step. */
typedef struct fv_pass {
  fv_wave *w;
  int first, last;                 /* reads of this pass */
  const float **in[3];             /* per computed row of the step at hand */
  int32_t *row, *run, *id, *place; /* place: the row's number in its text or picture */
  int64_t *visible, *first_key;
  void *scratch, *attend_scratch;
  const float **keys, **values; /* key tables, one after the other */
  int64_t *table_of;            /* per run: its table's place in keys, or -1 */
  fv_attend_group *groups;
  struct fv_attend_row *rows;
  fv_tap *taps;
  int64_t ntaps;
  size_t taps_room;
  int *read_first, *reads; /* reads of this pass by step */
} fv_pass;
typedef struct fv_attend_row {
  const fv_pass *pass;
  int step, run, row;
  int64_t base; /* the group's first key */
} fv_attend_row;
fv_status fv_attention_prepare(fv_pass *p, fv_error *err);
void fv_attention_release(fv_pass *p);
/* Computes the step's computed rows; p->in[0], row and run are filled. */
fv_status fv_attention_compute(fv_pass *p, int step, fv_error *err);

/* generate.c: adds to `w` a run that continues run `outer` of the wave before (w->outer) with one more id, and its
 * readout. */
fv_status fv_continue_run(fv_wave *w, int outer, int32_t id, fv_logits_fn fn, void *user, int *run, fv_error *err);

/* full.c: reads a selection of a run of an unfinished wave by computing that run alone. */
fv_status fv_full_read(fv_wave *w, int run, const fv_selection *what, float *out, fv_error *err);

/* wave.c */
fv_status fv_wave_add_run(fv_wave *w, fv_run run, int *index, fv_error *err);
void fv_read_release(fv_read *r);
int64_t fv_wave_keys(const fv_wave *w, int step,
                     int run); /* rows that an attention step's queries of a run attend to */
/* Hands a read its row: the whole row at x (or one head's keys; from any thread). A readout's callback may fail. */
fv_status fv_read_row(fv_wave *w, fv_read *r, int64_t index, const float *x, fv_error *err);
void fv_read_keys(fv_read *r, int64_t index, int64_t head, fv_keys keys);

#endif
