/* The command line: options, sessions, and what the commands share. Uses the public headers only.
 *
 * Options have one definition each, in options.c; a command names those it takes. Help, the man page and the checks
 * come from the same tables. Results are collected in memory and reach standard output only when the whole run
 * succeeded.
 */
#ifndef FOVEA_CLI_H
#define FOVEA_CLI_H

#include <stdio.h>

#include "fovea/fovea.h"

typedef struct cli_list {
  const char **items;
  size_t count;
} cli_list;

typedef struct cli_args {
  const char *model; /* the first positional argument, resolved by session_open; NULL when the command takes none */
  const char *topic; /* of help */
  cli_list operands; /* the positional arguments of a command that takes no model */
  /* input */
  const char *image, *question, *prompt, *from_image, *from_question, *from_prompt, *pillow;
  /* Every --image, --prompt and --from-prompt; `image`, `prompt` and `from_prompt` are the first. */
  cli_list pictures, prompts, from_prompts;
  bool exif;
  /* output */
  bool json;
  const char *csv, *npz, *plot, *html, *save, *show, *out, *sweep, *rome, *notice;
  /* engine */
  int64_t seed, threads;
  const char *rng, *compute;
  size_t memory;
  double check;
  bool dry_run;
  /* ask, edit */
  int64_t generate, top;
  cli_list do_, read;
  bool in_order, generated;
  /* info */
  bool sites, plan, tensors;
  /* tokens */
  const char *jsonl;
  bool decode, keep_special;
  /* trace */
  cli_list corrupt, restore;
  int64_t window, draws, layer_start, words, limit, avg_divisor;
  bool redraw, only_correct, serif, hide_last_tick;
  const char *target, *value, *facet, *colors, *samples, *images, *labels, *feature_range;
  double vmin, vmax;
  /* patch, attend, circuit */
  cli_list site, corrupt_images;
  const char *corrupt_question, *heads, *rows, *layers, *direction, *correct, *incorrect, *metric;
  bool pad_attended, keep_degenerate, hs_into_module;
  /* circuit */
  const char *test, *ablation, *model_folder;
  bool by_group, by_order, substring, nan_zero, confirm, same_layers;
  int64_t row_offset, bootstrap, permutations, random;
  double threshold, fdr;
  /* attend, circuit */
  const char *keys, *minus, *upsample, *background, *group;
  double alpha;
  bool minmax;
  int64_t columns;
  /* data */
  const char *table, *excluded, *corrected_prompts, *batches, *rule;
  int64_t count;
  bool gray, train, keep_black, svo_dup, corrupted;
  /* run */
  const char *db, *shard;
  bool merge, retry_excluded;
  /* verify, bench */
  const char *vectors;
  double tolerance;
} cli_args;

/* What a command runs in. */
typedef struct cli_session {
  const cli_args *args;
  FILE *out; /* becomes standard output at the end of a successful run */
  fv_model *model;
  char path[4096];
  struct cli_output *outputs; /* outputs.c */
  size_t noutputs;
  fv_error err;
} cli_session;

typedef struct cli_command {
  const char *name, *summary, *details;
  bool takes_model;
  bool few_waves;            /* of the model: its weights are not worth packing, unless there are many samples */
  const char *default_model; /* NULL: the model must be named */
  const char *operand;       /* without a model: what its positional argument is, such as "DB"; NULL: it has none */
  bool more_operands;        /* it may be given several times */
  const char *options;       /* names, separated by spaces */
  fv_status (*run)(cli_session *s);
} cli_command;

extern const cli_command command_info, command_ask, command_tokens, command_trace, command_patch, command_attend,
    command_circuit, command_maps, command_edit, command_verify, command_bench, command_data, command_report,
    command_export, command_run, command_help;
const cli_command *command_at(int i); /* NULL behind the last */
const cli_command *command_find(const char *name);

/* closest.c: of the names that are tried, the one that differs from what was typed by the fewest letters, and by two at
 * the most; NULL: none. */
typedef struct cli_closest {
  const char *typed;
  size_t size;
  const char *name;
  int changes;
} cli_closest;
void closest_try(cli_closest *c, const char *name);
fv_status no_such_command(const char *name, fv_error *err); /* FV_EUSAGE */

/* options.c: fills args; FV_EUSAGE with a sentence. */
fv_status options_parse(const cli_command *c, int argc, char **argv, cli_args *out, fv_error *err);
void options_release(cli_args *a);
/* Writes one line per option of the command; roff for the man page. */
void options_describe(const cli_command *c, FILE *out, bool roff);
/* cmd_help.c: text of the manual page, in which dashes can be searched and copied as they are typed. */
void roff_text(FILE *out, const char *text);

/* threads.c: starts the program over with an environment in which waiting threads do not spin for long; before anything
 * else. */
void threads_wait_briefly(char **argv);

/* session.c */
fv_status session_open(cli_session *s, bool stream);
double session_seconds(void); /* of a clock that only goes forward */
size_t session_free_memory(void);
fv_status session_input(cli_session *s, const char *image, const char *question, const char *prompt, fv_input **out);
/* Whether the options hold the picture and the text that this model's answer needs; FV_EUSAGE names what is missing. */
fv_status session_check_input(cli_session *s);
void session_input_options(const cli_session *s, fv_input_options *o);
/* Bad data of one sample excludes it; everything else ends the run. */
bool session_excludes(fv_status st);
/* Other tools' names are accepted; these say on standard error which address they mean. */
void session_note_alias(const cli_session *s, const char *address);
void session_note_aliases(const cli_session *s); /* of all options that hold addresses */
bool session_interrupted(void);
void session_catch_interrupts(void);
/* Progress on the terminal; `p` must live as long as the computation. */
typedef struct cli_progress {
  fv_progress progress;
  const char *what;
  double total, started, drawn;
  bool terminal, shown;
} cli_progress;
const fv_progress *progress_start(cli_progress *p, const char *what, double total);
void progress_stop(cli_progress *p);
void print_weights(cli_session *s, const fv_cost *cost);
void print_cost(cli_session *s, const fv_cost *cost);

/* outputs.c. *staged is the name to write to, NULL when path is: outputs_publish gives the files their own names. */
typedef struct cli_output cli_output;
fv_status output_stage(cli_session *s, const char *option, const char *path, const char **staged);
/* The same for a folder, which must be new or empty; the run puts files into it. */
fv_status output_stage_folder(cli_session *s, const char *option, const char *path, const char **staged);
/* A file that the run keeps what is finished in: it stays after a failure, and goes when the outputs are there. */
fv_status output_partial(cli_session *s, const char *path);
/* Refuses when an output is this file. */
fv_status output_check_input(cli_session *s, const char *input);
fv_status outputs_publish(cli_session *s);
void outputs_release(cli_session *s); /* what has not been published is removed */

/* csv_out.c: cells of a table, and the file (staged, or "-") that `lines` fills. */
void csv_text(FILE *f, const char *text);
void csv_number(FILE *f, double v); /* fewest digits of the float32; NaN: nothing */
fv_status csv_write(cli_session *s, const char *path, void (*lines)(FILE *f, const void *user), const void *user);

/* json_parts.c: what several commands write. */
void json_piece(fv_json_out *j, const char *key, int32_t id, const char *piece); /* {id, piece}; negative: null */
void json_matrix(fv_json_out *j, const char *key, const double *v, int64_t rows, int64_t cols);
fv_status json_model(fv_json_out *j, cli_session *s);
void json_answer(fv_json_out *j, const fv_answer *a);
void json_question(fv_json_out *j, const fv_input_options *o); /* as it was typed */
void json_input(fv_json_out *j, const cli_session *s, const fv_input *in);

#endif
