/* The inside of fv_study: a study file as it was read, for the files of this room. See fovea/study.h. */
#ifndef FOVEA_STUDY_STUDY_INSIDE_H
#define FOVEA_STUDY_STUDY_INSIDE_H

#include <jansson.h>

#include "fovea/data.h"
#include "fovea/patch.h"
#include "fovea/study.h"
#include "fovea/trace.h"
#include "study/yaml_file.h"

typedef enum fv_study_sweep_kind { FV_STUDY_PATCH, FV_STUDY_TRACE } fv_study_sweep_kind;

typedef struct fv_study_sweep {
  char *name;
  int kind;      /* fv_study_sweep_kind */
  fv_texts site; /* addresses without rows; none: the model's */
  fv_texts corrupt;
  char *heads, *rows, *layers;
  int64_t window, draws, layer_start;
  int direction; /* 0 denoise, 1 noise */
  int answers;   /* 0 own, 1 shuffled */
  int target;    /* of a trace: 0 the model's own answer, 1 the sample's correct one */
  bool pad_attended, hs_into_module, redraw;
  const yaml_node_t *at; /* where it stands */
  char *spec;            /* all of this as JSON */
  size_t *pair_of;       /* shuffled: whose answers each sample gets */
} fv_study_sweep;

/* Files that a study may ask for beside its database: csv, json, npz, report. */
enum { FV_STUDY_OUTPUTS = 4 };

struct fv_study {
  fv_yaml *yaml;
  char *folder; /* of the file, absolute, without a slash at its end */
  char *name, *model, *db;
  int64_t seed, threads, limit;
  int rng, pillow;
  size_t memory;
  double check;
  bool require_right, keep_degenerate, exif;
  fv_texts groups, metrics;
  const yaml_node_t *samples_at, *sweeps_at, *output_at;
  char *outputs[FV_STUDY_OUTPUTS]; /* as paths that can be opened here; NULL: not asked for */
  char *table;                     /* the file of samples; NULL: they are in the study, or made from a data set */
  fv_pairs pairs;
  size_t nsweeps;
  fv_study_sweep *sweeps;
  char *settings; /* what results depend on, as JSON */
};

/* study_samples.c: fills pairs, with pictures as paths that can be opened here. */
fv_status fv_study_read_samples(fv_study *s, fv_error *err);
/* Refuses sweeps that need a column which no sample has. */
fv_status fv_study_check_needs(const fv_study *s, fv_error *err);
/* SHA-256 over all samples, pictures by their paths within the study's folder. */
fv_status fv_study_samples_sha256(const fv_study *s, char hex[65], fv_error *err);
/* study_outputs.c: fills name and db, if need be with the file's name, and outputs. */
fv_status fv_study_read_output(fv_study *s, fv_error *err);
/* A path of the file as one that can be opened here, malloc'ed. */
char *fv_study_opened_from(const fv_study *s, const char *path);
/* A path within the study's folder without it; others as they are. */
const char *fv_study_inner_path(const fv_study *s, const char *path);

/* Which samples this shard has still to compute: todo[i], their sum being *mine - *stored. Databases are only read. */
fv_status fv_study_todo(const fv_study *s, const fv_study_options *o, bool *todo, int64_t *mine, int64_t *stored,
                        fv_error *err);

/* What a sample's run is started with; strings point into the study, or are in `own`. */
typedef struct fv_sample_options {
  fv_input_options input;
  fv_texts corrupt; /* of this sample */
  const char *correct, *incorrect;
  const char *missing; /* what the sweep needs and the sample lacks; NULL: nothing */
} fv_sample_options;
fv_status fv_sample_options_make(const fv_study *s, const fv_study_sweep *w, size_t sample, fv_sample_options *out,
                                 fv_error *err);
void fv_sample_options_release(fv_sample_options *o);
/* The options of the experiment, which borrow from `o`. */
void fv_study_patch_options(const fv_study *s, const fv_study_sweep *w, const fv_sample_options *o, size_t sample,
                            size_t memory, fv_patch_options *out);
void fv_study_trace_options(const fv_study *s, const fv_study_sweep *w, const fv_sample_options *o, size_t sample,
                            size_t memory, fv_trace_options *out);
/* The cost of one sample in one sweep. */
fv_status fv_study_sweep_cost(const fv_study *s, const fv_model *model, const fv_study_sweep *w, size_t sample,
                              size_t memory, fv_cost *cost, fv_error *err);
/* 32 bits made of the study's seed and the sample's name. */
int64_t fv_study_seed(const fv_study *s, size_t sample);
/* Whether an error is the sample's fault and not the study's, the machine's or the program's. */
bool fv_study_excludes(fv_status st);

/* The model's part of the manifest: written when it is missing, else compared (FV_EMISMATCH). note: "" or a sentence
 * for the user. */
fv_status fv_store_record_model(fv_store *store, const fv_model *model, int64_t seed, char note[512], fv_error *err);
/* The note that the results so far come from one engine or compiler, and others from another one: "here it is" WITH. */
void fv_digits_note(const char *there, const char *other, const char *with, char note[512]);
/* Rows of the stacks that read text, without those of a picture spliced into it; the names live in *infos. Both are
 * malloc'ed, also after a failure. */
fv_status fv_sample_rows(const fv_model *model, const fv_input *input, fv_store_row **rows, fv_row_info **infos,
                         size_t *count, fv_error *err);

/* study_record.c: the study's part of the manifest, written into a new database and compared with an old one. */
fv_status fv_study_record(const fv_study *s, const fv_model *model, fv_store *store, char note[512], fv_error *err);
/* Whether the database holds a study, which is this one (otherwise FV_EMISMATCH). */
fv_status fv_study_compare(const fv_study *s, const fv_store *store, bool *known, fv_error *err);
/* FV_EMISMATCH with the differences of two values of settings, "seed: 1 there, 2 here; ...". */
fv_status fv_settings_compare(const char *path, const char *there, const char *here, fv_error *err);

#endif
