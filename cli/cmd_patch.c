#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db_output.h"
#include "maps.h"
#include "page.h"
#include "patch_output.h"

static fv_status check_options(cli_session *s) {
  const cli_args *a = s->args;
  fv_status st = session_check_input(s);
  if (!st && a->corrupt_images.count == 0 && !a->corrupt_question && a->corrupt.count == 0)
    st = fv_fail(&s->err, FV_EUSAGE,
                 "a corrupted input is missing: --corrupt-image FILE, --corrupt-question TEXT or --corrupt");
  if (!st && a->metric && !a->incorrect && strcmp(a->metric, "prob") != 0 && strcmp(a->metric, "p_diff") != 0)
    st = fv_fail(&s->err, FV_EUSAGE, "--metric %s needs two answers: --correct TEXT --incorrect TEXT", a->metric);
  return st ? st : maps_check_options(s, "RdBu");
}

/* "image:FILE"; of several pictures "image1:FILE image2:FILE". NULL: none is given. */
static fv_status corrupt_pictures(cli_session *s, char **out) {
  const cli_list *files = &s->args->corrupt_images;
  size_t pictures = s->args->pictures.count, room = 1;
  if (files->count == 0) return FV_OK;
  if (files->count != pictures && pictures > 1)
    return fv_fail(&s->err, FV_EUSAGE,
                   "--corrupt-image: %zu of %zu pictures; give it once for each, in order, or replace one by --corrupt "
                   "image%zu:FILE",
                   files->count, pictures, pictures);
  if (files->count > 1 && pictures == 1)
    return fv_fail(&s->err, FV_EUSAGE,
                   "--corrupt-image is given %zu times for one picture; several corruptions are --corrupt image:FILE "
                   "each",
                   files->count);
  for (size_t i = 0; i < files->count; i++) room += strlen(files->items[i]) + 32;
  char *text = *out = calloc(room, 1);
  if (!text) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < files->count; i++) {
    size_t used = strlen(text);
    if (files->count == 1)
      snprintf(text, room, "image:%s", files->items[i]);
    else
      snprintf(text + used, room - used, "%simage%zu:%s", i ? " " : "", i + 1, files->items[i]);
  }
  return FV_OK;
}

/* --corrupt-image and --corrupt-question are corruptions, and come first. *owned is freed with its first two texts. */
static fv_status corruptions(cli_session *s, fv_patch_options *o, char *texts[2], const char ***owned) {
  const cli_args *a = s->args;
  const char **list = *owned = calloc(a->corrupt.count + 2, sizeof *list);
  size_t n = 0, room = a->corrupt_question ? strlen(a->corrupt_question) + 16 : 0;
  if (!list || (room && !(texts[1] = malloc(room)))) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  if (room) snprintf(texts[1], room, "question:%s", a->corrupt_question);
  fv_status st = corrupt_pictures(s, &texts[0]);
  for (int i = 0; i < 2; i++)
    if (texts[i]) list[n++] = texts[i];
  for (size_t i = 0; i < a->corrupt.count; i++) list[n++] = a->corrupt.items[i];
  o->corrupt = list, o->ncorrupt = n;
  return st;
}

static void patch_options(cli_session *s, fv_patch_options *o) {
  const cli_args *a = s->args;
  fv_patch_defaults(o);
  session_input_options(s, &o->input);
  o->site = a->site.items, o->nsite = a->site.count;
  o->heads = a->heads, o->rows = a->rows, o->layers = a->layers;
  o->window = a->window, o->draws = a->draws;
  o->noise = strcmp(a->direction, "noise") == 0, o->pad_attended = a->pad_attended;
  o->keep_degenerate = a->keep_degenerate, o->llava_hs_into_module = a->hs_into_module;
  o->correct = a->correct, o->incorrect = a->incorrect;
  o->stream = strcmp(a->rng, "numpy") == 0 ? FV_STREAM_NUMPY : FV_STREAM_TORCH;
  o->seed = a->seed, o->memory = a->memory, o->check = a->check;
}

static fv_status patch(cli_session *s, const fv_patch_options *o, patch_run *r, fv_sink sink) {
  cli_progress p;
  fv_cost cost = {0};
  fv_status st = FV_OK;
  if (isatty(STDERR_FILENO)) st = fv_patch_cost(s->model, o, &cost, &s->err);
  if (st) return st;
  st = fv_patch(s->model, o, sink, progress_start(&p, "runs", (double)cost.runs), &r->result, &s->err);
  progress_stop(&p);
  return st;
}

static fv_status write_page(const patch_run *r, const char *path) {
  cli_page page = {.kind = "patch",
                   .table = r->table,
                   .answer = r->result.clean_answer,
                   .correct = r->result.correct,
                   .incorrect = r->options->incorrect,
                   .answer_row = r->result.answer_row,
                   .corrupt = r->options->corrupt,
                   .ncorrupt = r->options->ncorrupt,
                   .site = r->options->site,
                   .nsite = r->options->nsite};
  return page_write(r->s, path, &page);
}

static fv_status compute(cli_session *s, const fv_patch_options *o) {
  const cli_args *a = s->args;
  patch_run r = {.s = s, .options = o};
  fv_table_file *csv = NULL;
  const char *table = a->csv, *html = NULL;
  cli_db db = {.s = s};
  fv_status st = fv_table_new(&r.table, &s->err);
  if (!st && a->csv && strcmp(a->csv, "-") != 0) st = output_stage(s, "csv", a->csv, &table);
  if (!st) st = output_stage(s, "npz", a->npz, &r.npz);
  if (!st) st = output_stage(s, "plot", a->plot, &r.plot);
  if (!st) st = output_stage(s, "html", a->html, &html);
  if (!st && a->csv) st = fv_csv_open(table, &csv, &s->err);
  if (!st) st = db_open(s, &db);
  if (!st) {
    fv_sink sinks[3] = {fv_table_sink(r.table)};
    fv_tee tee = {1, sinks};
    if (csv) sinks[tee.count++] = fv_table_file_sink(csv);
    if (a->db) sinks[tee.count++] = db_sink(&db);
    st = patch(s, o, &r, fv_tee_sink(&tee));
  }
  if (!st) st = patch_maps_make(&r);
  if (!st) st = patch_output(&r);
  if (!st && html) st = write_page(&r, html);
  if (!st) st = db_add_patch(&db, o, &r.result);
  /* Last, because on standard output it cannot be taken back. */
  if (!st && csv) st = fv_table_file_commit(csv, &s->err), csv = NULL;
  fv_table_file_abort(csv);
  db_close(&db);
  patch_maps_release(&r);
  fv_patch_release(&r.result);
  fv_table_free(r.table);
  return st;
}

static fv_status run(cli_session *s) {
  fv_patch_options o;
  char *texts[2] = {0};
  const char **list = NULL;
  fv_status st = check_options(s);
  patch_options(s, &o);
  if (!st) st = corruptions(s, &o, texts, &list);
  if (!st) session_note_aliases(s);
  if (!st && s->args->dry_run) {
    fv_cost cost;
    st = fv_patch_cost(s->model, &o, &cost, &s->err);
    if (!st) print_cost(s, &cost);
  } else if (!st) {
    st = compute(s, &o);
  }
  free(texts[0]), free(texts[1]), free(list);
  return st;
}

const cli_command command_patch = {
    .name = "patch",
    .summary = "activation patching between a clean and a corrupted input",
    .details =
        "For every layer and row (and head, with --heads each) of what --site names: the answer of the corrupted input "
        "with the\n"
        "clean state put there, or with --direction noise the clean input with the corrupted state. Default site: the "
        "blocks'\n"
        "outputs where the question is read; default rows: all. The corrupted input is --corrupt-image, "
        "--corrupt-question (as\n"
        "many tokens as the question), or any --corrupt. Four numbers per run: prob of the correct answer, p_diff "
        "(against the\n"
        "corrupted run), logit_diff (correct minus incorrect), and effect, 0 where nothing came back (or went) and 1 "
        "where\n"
        "everything did. Attention: cross.z and attn.z are the heads before the output projection, cross.out and "
        "attn.out what\n"
        "they add, resid_cross and resid_mid the state behind them.",
    .takes_model = true,
    .few_waves = true,
    .options =
        "image question prompt corrupt-image corrupt-question corrupt site heads rows layers window direction "
        "correct incorrect draws pad-attended keep-degenerate llava-hs-into-module csv npz plot html db json show "
        "metric colors vmin vmax "
        "serif "
        "hide-last-tick exif pillow seed rng threads memory compute check dry-run",
    .run = run};
