#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* One activation to save: a site of the base or of the edited run. */
typedef struct saved {
  char name[256];
  fv_selection *s; /* borrowed */
  float *data;
} saved;

typedef struct edit_run {
  cli_session *s;
  fv_input *input, *from;
  fv_wave *wave;
  int runs[2], nruns, source;
  const char *save;          /* where to write, or NULL */
  fv_selection **selections; /* one list per --read */
  size_t *counts;
  saved *saves;
  size_t nsaves;
} edit_run;

static void release(edit_run *e) {
  const cli_list *read = &e->s->args->read;
  for (size_t i = 0; e->saves && i < e->nsaves; i++) free(e->saves[i].data);
  for (size_t i = 0; e->selections && e->counts && i < read->count; i++) {
    for (size_t k = 0; k < e->counts[i]; k++) fv_selection_release(&e->selections[i][k]);
    free(e->selections[i]);
  }
  free(e->saves), free(e->selections), free(e->counts);
  fv_wave_free(e->wave);
  fv_input_free(e->from);
  fv_input_free(e->input);
}

static fv_status make_inputs(edit_run *e) {
  const cli_args *a = e->s->args;
  if (a->from_question && a->from_prompt)
    return fv_fail(&e->s->err, FV_EUSAGE, "--from-question and --from-prompt exclude each other");
  fv_status st = session_input(e->s, a->image, a->question, a->prompt, &e->input);
  if (st || !(a->from_image || a->from_question || a->from_prompt)) return st;
  bool text = a->from_question || a->from_prompt;
  return session_input(e->s, a->from_image ? a->from_image : a->image, text ? a->from_question : a->question,
                       text ? a->from_prompt : a->prompt, &e->from);
}

static fv_status make_runs(edit_run *e) {
  const cli_args *a = e->s->args;
  fv_error *err = &e->s->err;
  fv_wave_options o = {.memory = a->memory, .in_order = a->in_order, .generate = true, .generated = a->generated};
  fv_status st = fv_wave_new(e->s->model, &o, &e->wave, err);
  if (!st) st = fv_wave_run(e->wave, -1, e->input, &e->runs[0], err);
  e->nruns = 1, e->source = e->runs[0];
  if (!st && e->from) st = fv_wave_run(e->wave, e->runs[0], e->from, &e->source, err);
  if (!st) st = fv_wave_seed(e->wave, strcmp(a->rng, "numpy") == 0 ? FV_STREAM_NUMPY : FV_STREAM_TORCH, a->seed, err);
  if (!st && a->do_.count > 0) st = fv_wave_run(e->wave, e->runs[0], NULL, &e->runs[1], err), e->nruns = 2;
  for (size_t i = 0; i < a->do_.count && !st; i++)
    st = fv_wave_do(e->wave, e->runs[1], a->do_.items[i], e->source, err);
  return st;
}

/* A site's canonical name, with the selectors as they were typed when it is not whole. */
static void saved_name(const fv_selection *s, const char *address, const char *run, char *out, size_t n) {
  bool whole = s->all_rows && s->all_heads && s->all_features;
  snprintf(out, n, "%s/%s%s", run, s->address, whole ? "" : address + strcspn(address, "#@:"));
}

static fv_status plan_reads(edit_run *e) {
  const cli_list *read = &e->s->args->read;
  fv_error *err = &e->s->err;
  size_t total = 0;
  e->selections = calloc(read->count + 1, sizeof *e->selections),
  e->counts = calloc(read->count + 1, sizeof *e->counts);
  if (!e->selections || !e->counts) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < read->count; i++) {
    fv_status st = fv_address_resolve(e->s->model, e->input, read->items[i], &e->selections[i], &e->counts[i], err);
    if (st) return st;
    total += e->counts[i];
  }
  e->saves = calloc(total * (size_t)e->nruns + 1, sizeof *e->saves);
  if (!e->saves) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int r = 0; r < e->nruns; r++)
    for (size_t i = 0; i < read->count; i++)
      for (size_t k = 0; k < e->counts[i]; k++) {
        saved *v = &e->saves[e->nsaves];
        bool known = false;
        v->s = &e->selections[i][k];
        saved_name(v->s, read->items[i], r ? "edit" : "base", v->name, sizeof v->name);
        for (size_t q = 0; q < e->nsaves && !known; q++) known = strcmp(e->saves[q].name, v->name) == 0;
        if (known) continue;
        v->data = malloc((size_t)(v->s->nrows * v->s->width + 1) * sizeof *v->data);
        e->nsaves++;
        if (!v->data) return fv_fail(err, FV_ENOMEM, "no memory for %s", v->name);
        fv_status st = fv_wave_read(e->wave, e->runs[r], v->s, v->data, err);
        if (st) return st;
      }
  return FV_OK;
}

/* Reads hand out [rows, heads, keys]; files hold scores and patterns as [heads, rows, keys]. */
static bool heads_first(const fv_selection *s, float **data) {
  float *out = malloc((size_t)(s->nrows * s->width + 1) * sizeof *out);
  int64_t S = s->width / s->nheads;
  for (int64_t t = 0; out && t < s->nrows; t++)
    for (int64_t h = 0; h < s->nheads; h++)
      memcpy(out + (h * s->nrows + t) * S, *data + (t * s->nheads + h) * S, (size_t)S * sizeof *out);
  if (!out) return false;
  free(*data);
  *data = out;
  return true;
}

/* C x H x W, of several pictures one behind the other. */
static void pixels_shape(int64_t pictures, int64_t channels, int64_t side, fv_named_array *a) {
  if (pictures > 1) a->shape[a->rank++] = pictures;
  a->shape[a->rank++] = channels, a->shape[a->rank++] = side, a->shape[a->rank++] = side;
}

static void array_shape(const edit_run *e, const fv_selection *s, fv_named_array *a) {
  int64_t inner = s->nheads ? s->width / s->nheads : s->width, side = fv_model_image_size(e->s->model);
  if (s->part != 0)
    a->rank = 3, a->shape[0] = s->nheads, a->shape[1] = s->nrows, a->shape[2] = inner;
  else if (strcmp(s->site, "pixels") == 0 && s->all_features)
    pixels_shape(s->nrows, inner / (side * side), side, a);
  else if (strcmp(s->site, "logits") == 0 && s->all_rows && (s->T == 1 || fv_input_texts(e->input) > 0))
    a->rank = 1, a->shape[0] = s->nrows * inner;
  else if (s->nheads)
    a->rank = 3, a->shape[0] = s->nrows, a->shape[1] = s->nheads, a->shape[2] = inner;
  else
    a->rank = 2, a->shape[0] = s->nrows, a->shape[1] = inner;
}

/* Whether there is an answer: without a picture or a question, activations can still be read. */
static bool answers(const edit_run *e) {
  const char *stack = fv_model_answer_stack(e->s->model);
  return stack && fv_input_rows(e->input, stack) > 0 && e->s->args->image;
}

static fv_status save(edit_run *e) {
  fv_named_array *arrays = calloc(e->nsaves + 1, sizeof *arrays);
  const char *metadata[] = {"format", "pt", "family", fv_model_family(e->s->model), "fovea", FV_VERSION, NULL};
  if (!arrays) return fv_fail(&e->s->err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  for (size_t i = 0; i < e->nsaves && !st; i++) {
    saved *v = &e->saves[i];
    if (v->s->part != 0 && !heads_first(v->s, &v->data)) st = fv_fail(&e->s->err, FV_ENOMEM, "no memory");
    arrays[i] = (fv_named_array){.name = v->name, .data = v->data};
    array_shape(e, v->s, &arrays[i]);
  }
  if (!st) st = fv_safetensors_write(e->save, e->nsaves, arrays, metadata, &e->s->err);
  free(arrays);
  return st;
}

static void print_answers(edit_run *e, const fv_answer *a, int64_t checked) {
  FILE *out = e->s->out;
  if (e->s->args->json) {
    fv_json_out j = {.stream = out};
    fv_json_out_begin(&j, NULL, '{');
    for (int r = 0; r < e->nruns; r++) {
      fv_json_out_begin(&j, r ? "edit" : "base", '{');
      json_answer(&j, &a[r]);
      fv_json_out_end(&j, '}');
    }
    if (checked) fv_json_out_int(&j, "checked", checked);
    fv_json_out_end(&j, '}');
    return;
  }
  for (int r = 0; r < e->nruns; r++) fprintf(out, "%-6s%s\n", r ? "edit" : "base", a[r].text);
  fprintf(out, "\n%8s  %-16s %10s %9s", "id", "piece", "logit", "prob");
  if (e->nruns == 2) fprintf(out, "   |%8s  %-16s %10s %9s", "id", "piece", "logit", "prob");
  fputs(e->nruns == 2 ? "   (base | edit)\n" : "\n", out);
  for (int64_t i = 0; i < a[0].ntop; i++) {
    for (int r = 0; r < e->nruns; r++) {
      const fv_top *t = &a[r].top[i];
      fprintf(out, "%s%8d  %-16s %10.5f %9.5f", r ? "   |" : "", t->id, t->piece, (double)t->logit, t->prob);
    }
    fputc('\n', out);
  }
}

/* The JSON of a run that has no answer. */
static void print_saved(edit_run *e) {
  fv_json_out j = {.stream = e->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_json_out_begin(&j, "saved", '[');
  for (size_t i = 0; i < e->nsaves; i++) fv_json_out_text(&j, NULL, e->saves[i].name);
  fv_json_out_end(&j, ']');
  fv_json_out_end(&j, '}');
}

static fv_status compute(edit_run *e) {
  const cli_args *a = e->s->args;
  fv_error *err = &e->s->err;
  fv_answer said[2] = {0};
  cli_progress p;
  int64_t checked = 0;
  bool answered = answers(e);
  const fv_progress *progress = progress_start(&p, "of the runs", 1.0);
  fv_status st = answered ? fv_answers(e->wave, e->runs, e->nruns, a->top, a->generate, progress, said, err)
                          : fv_wave_compute(e->wave, progress, err);
  progress_stop(&p);
  if (!st && a->check > 0.0) st = fv_wave_check(e->wave, a->check, (uint64_t)a->seed, &checked, err);
  if (!st && a->save) st = save(e);
  if (!st && answered) print_answers(e, said, checked);
  if (!st && checked && !a->json)
    fprintf(e->s->out, "\n%lld runs recomputed alone: the same bits\n", (long long)checked);
  if (!st && !answered && a->json) print_saved(e);
  if (!st && a->save && !a->json)
    fprintf(e->s->out, "%s%zu activation%s in %s\n", answered ? "\n" : "", e->nsaves, e->nsaves == 1 ? "" : "s",
            a->save);
  for (int r = 0; r < 2; r++) fv_answer_release(&said[r]);
  return st;
}

static bool replaces(const cli_args *a) {
  for (size_t i = 0; i < a->do_.count; i++)
    if (strncmp(a->do_.items[i] + strspn(a->do_.items[i], " "), "replace ", 8) == 0) return true;
  return false;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  edit_run e = {.s = s};
  if (a->do_.count == 0 && a->read.count == 0)
    return fv_fail(&s->err, FV_EUSAGE, "nothing to do: give --do EDIT, or --read ADDRESS with --save FILE");
  if ((a->read.count > 0) != (a->save != NULL))
    return fv_fail(&s->err, FV_EUSAGE, "--read and --save FILE belong together");
  if ((a->from_image || a->from_question || a->from_prompt) && !replaces(a))
    return fv_fail(&s->err, FV_EUSAGE, "--from-* name the run that `replace` reads; no --do replaces anything");
  session_note_aliases(s);
  fv_status st = a->dry_run ? FV_OK : output_stage(s, "save", a->save, &e.save);
  if (!st) st = make_inputs(&e);
  if (!st && !answers(&e) && a->read.count == 0)
    st = fv_fail(&s->err, FV_EUSAGE,
                 "a picture and a question are needed for an answer; without them only --read can be asked for");
  if (!st) st = make_runs(&e);
  if (!st) st = plan_reads(&e);
  if (!st && a->dry_run) {
    fv_cost cost;
    for (int r = 0; r < e.nruns && !st && answers(&e); r++)
      st = fv_wave_readout(e.wave, e.runs[r], NULL, NULL, &s->err);
    if (!st) st = fv_wave_cost(e.wave, &cost, &s->err);
    if (!st) print_cost(s, &cost);
  } else if (!st) {
    st = compute(&e);
  }
  release(&e);
  return st;
}

const cli_command command_edit = {
    .name = "edit",
    .summary = "the answer with and without a list of interventions; reads and saves activations",
    .details =
        "Runs the model twice in one pass, without and with the edits, and prints both answers. Edits act in the order "
        "of the\n"
        "plan, then of the list, on the prompt's rows. --read ... --save writes every matching activation as "
        "safetensors,\n"
        "named base/ADDRESS and edit/ADDRESS.",
    .takes_model = true,
    .few_waves = true,
    .options =
        "image question prompt do read save from-image from-question from-prompt in-order generated generate top exif "
        "pillow json seed rng "
        "threads memory compute check dry-run",
    .run = run};
