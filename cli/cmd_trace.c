#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_output.h"
#include "maps.h"
#include "page.h"
#include "trace_output.h"

static fv_status check_options(cli_session *s) {
  const cli_args *a = s->args;
  if ((a->samples != NULL) != (a->images != NULL))
    return fv_fail(&s->err, FV_EUSAGE, "--samples CSV and --images DIR belong together");
  if (a->samples && (a->image || a->question || a->prompt))
    return fv_fail(&s->err, FV_EUSAGE, "--samples brings its own pictures and questions");
  if (!a->samples && (a->words || a->limit || a->only_correct || a->avg_divisor))
    return fv_fail(&s->err, FV_EUSAGE, "--words, --limit, --only-correct and --avg-divisor belong to --samples");
  if (a->samples && strcmp(a->facet, "draw") == 0)
    return fv_fail(&s->err, FV_EUSAGE, "--facet draw shows one sample's draws");
  fv_status st = a->samples ? FV_OK : session_check_input(s);
  return st ? st : maps_check_options(s, "Purples");
}

/* --feature-range A:B on every restored site. */
static fv_status restrict_features(cli_session *s, const fv_trace_options *o, const fv_trace_choice *choice,
                                   char ***owned, fv_error *err) {
  long long lo, hi;
  char extra;
  if (sscanf(s->args->feature_range, "%lld:%lld%c", &lo, &hi, &extra) != 2 || lo < 0 || hi <= lo)
    return fv_fail(err, FV_EUSAGE, "--feature-range \"%s\": expected A:B with A < B", s->args->feature_range);
  const char *both[2] = {choice->restore[0], choice->restore[1]};
  const char *const *from = o->nrestore ? o->restore : both;
  size_t n = o->nrestore ? o->nrestore : choice->nrestore;
  *owned = calloc(n + 1, sizeof **owned);
  for (size_t i = 0; *owned && i < n; i++) {
    size_t room = strlen(from[i]) + 64;
    if (strchr(from[i], ':'))
      return fv_fail(err, FV_EUSAGE, "--feature-range and the features of %s exclude each other", from[i]);
    (*owned)[i] = malloc(room);
    if ((*owned)[i]) snprintf((*owned)[i], room, "%s:%lld-%lld", from[i], lo, hi - 1);
  }
  return *owned ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static void trace_options(cli_session *s, fv_trace_options *o) {
  const cli_args *a = s->args;
  fv_trace_defaults(o);
  session_input_options(s, &o->input);
  o->corrupt = a->corrupt.items, o->ncorrupt = a->corrupt.count;
  o->restore = a->restore.items, o->nrestore = a->restore.count;
  o->window = a->window, o->draws = a->draws, o->redraw = a->redraw, o->layer_start = a->layer_start;
  o->stream = strcmp(a->rng, "numpy") == 0 ? FV_STREAM_NUMPY : FV_STREAM_TORCH;
  o->seed = a->seed, o->target = a->target, o->memory = a->memory, o->check = a->check;
}

/* The model's own answer to a sample, compared with the table's. */
static fv_status answers_gold(cli_session *s, const fv_input_options *input, const char *gold, bool *match, char *said,
                              size_t n) {
  fv_wave_options o = {.memory = s->args->memory, .generate = true};
  fv_input *in = NULL;
  fv_wave *w = NULL;
  fv_answer a = {0};
  int run;
  fv_status st = fv_input_new(s->model, input, &in, &s->err);
  if (!st) st = fv_wave_new(s->model, &o, &w, &s->err);
  if (!st) st = fv_wave_run(w, -1, in, &run, &s->err);
  if (!st) st = fv_answers(w, &run, 1, 1, 0, NULL, &a, &s->err);
  if (!st) *match = strcmp(a.text, gold) == 0, snprintf(said, n, "%s", a.text);
  fv_answer_release(&a);
  fv_wave_free(w);
  fv_input_free(in);
  return st;
}

static fv_status trace_sample(cli_session *s, fv_trace_options *o, const fv_sample *one, fv_samples *samples,
                              trace_run *r, fv_sink sink, cli_db *db) {
  bool match = false;
  char said[128] = "", reason[FV_ERROR_TEXT + 32];
  fv_status st = output_check_input(s, one->image);
  if (st) return st;
  o->sample = one->name, o->input.image = one->image, o->input.question = one->question;
  if (s->args->only_correct) st = answers_gold(s, &o->input, one->gold, &match, said, sizeof said);
  if (!st && s->args->only_correct && !match) {
    snprintf(reason, sizeof reason, "answered \"%s\", the table says \"%s\"", said, one->gold);
    return fv_samples_exclude(samples, one->name, reason, &s->err);
  }
  /* The rows of a sample reach the table only when all of them are there. */
  if (!st) st = fv_trace(s->model, o, sink, NULL, &r->result, &s->err);
  if (!st) r->traced++, r->matched += strcmp(r->result.answer, one->gold) == 0;
  if (!st) return db_add_trace(db, o, &r->result);
  if (!session_excludes(st)) return st;
  snprintf(reason, sizeof reason, "%s", s->err.text);
  return fv_samples_exclude(samples, one->name, reason, &s->err);
}

static fv_status trace_samples(cli_session *s, fv_trace_options *o, trace_run *r, fv_sink sink, cli_db *db) {
  cli_progress p;
  fv_status st =
      fv_samples_coco_qa(s->args->samples, s->args->images, s->args->words, s->args->limit, &r->samples, &s->err);
  const fv_progress *progress = progress_start(&p, "samples", (double)r->samples.count);
  for (size_t i = 0; i < r->samples.count && !st; i++) {
    st = trace_sample(s, o, &r->samples.list[i], &r->samples, r, sink, db);
    if (!st && !progress->fn(progress->user, (double)(i + 1) / (double)r->samples.count))
      st = fv_fail(&s->err, FV_ECANCELLED, "stopped on request");
  }
  progress_stop(&p);
  if (!st && r->traced == 0)
    st = fv_fail(&s->err, FV_EFORMAT, "%s: no sample can be used; %zu are excluded, the first: %s", s->args->samples,
                 r->samples.nexcluded, r->samples.nexcluded ? r->samples.excluded[0] : "the table is empty");
  return st;
}

static fv_status trace_one(cli_session *s, fv_trace_options *o, trace_run *r, fv_sink sink) {
  cli_progress p;
  fv_cost cost = {0};
  fv_status st = FV_OK;
  if (isatty(STDERR_FILENO)) st = fv_trace_cost(s->model, o, &cost, &s->err);
  if (!st)
    st = fv_trace(s->model, o, sink, progress_start(&p, "runs", (double)cost.runs), &r->result, &s->err),
    progress_stop(&p);
  r->traced = 1;
  return st;
}

static fv_status dry_run(cli_session *s, fv_trace_options *o) {
  fv_samples samples = {0};
  fv_cost cost;
  fv_status st = FV_OK;
  if (s->args->samples) {
    st = fv_samples_coco_qa(s->args->samples, s->args->images, s->args->words, s->args->limit, &samples, &s->err);
    if (!st && samples.count == 0) st = fv_fail(&s->err, FV_EFORMAT, "%s: no sample can be used", s->args->samples);
    if (!st) o->input.image = samples.list[0].image, o->input.question = samples.list[0].question;
  }
  if (!st) st = fv_trace_cost(s->model, o, &cost, &s->err);
  if (!st && s->args->samples) {
    double n = (double)samples.count;
    cost.runs *= (int64_t)samples.count, cost.parts *= (int64_t)samples.count, cost.rows *= (int64_t)samples.count;
    cost.flops *= n, cost.full_flops *= n;
    if (!s->args->json)
      fprintf(s->out, "samples       %zu, as large as the first; %zu excluded\n", samples.count, samples.nexcluded);
  }
  if (!st) print_cost(s, &cost);
  fv_samples_release(&samples);
  return st;
}

static fv_status write_page(const trace_run *r, const char *path, const fv_table *table) {
  const fv_trace_options *o = r->options;
  const char *corrupt = r->choice.corrupt, *restore[2] = {r->choice.restore[0], r->choice.restore[1]};
  cli_page page = {.kind = "trace",
                   .table = table,
                   .answer = r->result.answer,
                   .answer_row = -1,
                   .corrupt = o->ncorrupt ? o->corrupt : &corrupt,
                   .ncorrupt = o->ncorrupt ? o->ncorrupt : 1,
                   .site = o->nrestore ? o->restore : restore,
                   .nsite = o->nrestore ? o->nrestore : r->choice.nrestore,
                   .samples = r->s->args->samples ? &r->samples : NULL};
  return page_write(r->s, path, &page);
}

static fv_status compute(cli_session *s, fv_trace_options *o, const fv_trace_choice *choice) {
  const cli_args *a = s->args;
  trace_run r = {.s = s, .options = o, .choice = *choice};
  fv_table_file *csv = NULL;
  fv_table *table = NULL;
  fv_sink sinks[3];
  fv_tee tee = {0, sinks};
  cli_db db = {.s = s};
  const char *name = a->csv, *html = NULL;
  fv_status st = FV_OK;
  if (a->csv && strcmp(a->csv, "-") != 0) st = output_stage(s, "csv", a->csv, &name);
  if (!st) st = output_stage(s, "npz", a->npz, &r.npz);
  if (!st) st = output_stage(s, "plot", a->plot, &r.plot);
  if (!st) st = output_stage(s, "html", a->html, &html);
  if (!st && a->csv) st = fv_csv_open(name, &csv, &s->err);
  if (!st && csv) sinks[tee.count++] = fv_table_file_sink(csv);
  if (!st && html) st = fv_table_new(&table, &s->err);
  if (!st && html) sinks[tee.count++] = fv_table_sink(table);
  if (!st) st = db_open(s, &db);
  if (!st && a->db) sinks[tee.count++] = db_sink(&db);
  fv_sink sink = tee.count ? fv_tee_sink(&tee) : (fv_sink){0};
  if (!st) st = a->samples ? trace_samples(s, o, &r, sink, &db) : trace_one(s, o, &r, sink);
  if (!st) st = trace_output(&r);
  if (!st && html) st = write_page(&r, html, table);
  if (!st && !a->samples) st = db_add_trace(&db, o, &r.result);
  /* Last, because on standard output it cannot be taken back. */
  if (!st && csv) st = fv_table_file_commit(csv, &s->err), csv = NULL;
  fv_table_file_abort(csv);
  db_close(&db);
  fv_table_free(table);
  fv_trace_release(&r.result);
  fv_samples_release(&r.samples);
  return st;
}

static fv_status run(cli_session *s) {
  fv_trace_options o;
  fv_trace_choice choice = {0};
  char **restricted = NULL;
  fv_status st = check_options(s);
  if (!st) st = fv_trace_choose(s->model, &choice, &s->err);
  if (!st) session_note_aliases(s);
  trace_options(s, &o);
  if (!st && s->args->feature_range) {
    st = restrict_features(s, &o, &choice, &restricted, &s->err);
    o.nrestore = o.nrestore ? o.nrestore : choice.nrestore, o.restore = (const char *const *)restricted;
  }
  if (!st) st = s->args->dry_run ? dry_run(s, &o) : compute(s, &o, &choice);
  for (size_t i = 0; restricted && i < o.nrestore; i++) free(restricted[i]);
  free(restricted);
  return st;
}

const cli_command command_trace = {
    .name = "trace",
    .summary = "causal tracing: corrupt the input, restore states one at a time",
    .details =
        "For every layer and row of what --restore names: the probability of the answer when the input is corrupted "
        "and the\n"
        "clean state is put back there. Corruptions: mul-gauss:mean=M,std=S@ADDRESS, add-gauss:std=S@ADDRESS, "
        "uniform:S@ADDRESS,\n"
        "scale:F@ADDRESS, image:FILE, question:TEXT, gray, blur:SIGMA, mask:R0,C0,R1,C1. One draw of noise is shared "
        "by the\n"
        "corrupted run and all its cells; --draws of them are averaged in pictures. With --samples, every row of a "
        "COCO-QA\n"
        "style table is traced and the maps are averaged over questions with the same number of tokens.",
    .takes_model = true,
    .few_waves = true,
    .options =
        "image question prompt corrupt restore window draws noise-redraw layer-start feature-range target samples "
        "images words limit "
        "only-correct avg-divisor csv npz plot html db json show value facet colors vmin vmax serif hide-last-tick "
        "labels "
        "exif "
        "pillow seed rng "
        "threads memory compute check dry-run",
    .run = run};
