#include <stdlib.h>
#include <string.h>

#include "attend_output.h"
#include "maps.h"

static bool minus_average(const cli_args *a) { return a->minus && strcmp(a->minus, "average") == 0; }
static const char *minus_group(const cli_args *a) {
  return a->minus && strncmp(a->minus, "group:", 6) == 0 ? a->minus + 6 : NULL;
}
static const char *minus_table(const cli_args *a) {
  return a->minus && !minus_average(a) && !minus_group(a) ? a->minus : NULL;
}

static fv_status check_options(cli_session *s) {
  const cli_args *a = s->args;
  if (a->samples && (a->image || a->question || a->prompt))
    return fv_fail(&s->err, FV_EUSAGE, "--samples brings its own pictures and questions");
  if (!a->samples && !a->image && !a->question && !a->prompt)
    return fv_fail(&s->err, FV_EUSAGE, "an input is missing: --image FILE, --question TEXT, or --samples FILE");
  if (!a->samples && (a->limit || a->group || minus_group(a)))
    return fv_fail(&s->err, FV_EUSAGE, "--group, --limit and --minus group:NAME belong to --samples");
  const char *table = minus_table(a), *dot = table ? strrchr(table, '.') : NULL;
  if (table && (!dot || (strcmp(dot, ".csv") != 0 && strcmp(dot, ".jsonl") != 0)))
    return fv_fail(&s->err, FV_EUSAGE,
                   "--minus \"%s\": expected average, group:NAME or a sample table (.csv or .jsonl)", table);
  if (a->site.count > 1) return fv_fail(&s->err, FV_EUSAGE, "--site is given twice; the maps of one site are drawn");
  if (a->rows && strcmp(a->rows, "answer") == 0 && !a->samples && !a->correct)
    return fv_fail(&s->err, FV_EUSAGE, "--rows answer needs the answer: --correct TEXT");
  if (!(a->alpha >= 0.0 && a->alpha <= 1.0))
    return fv_fail(&s->err, FV_EUSAGE, "--alpha %g: expected 0 to 1", a->alpha);
  return maps_check_options(s, "Reds");
}

static void attend_options(const cli_session *s, fv_attend_options *o) {
  static const char *const kinds[] = {"auto", "image", "text", "all"};
  const cli_args *a = s->args;
  fv_attend_defaults(o);
  session_input_options(s, &o->input);
  o->site = a->site.count ? a->site.items[0] : NULL;
  o->layers = a->layers, o->heads = a->heads, o->rows = a->rows, o->correct = a->correct;
  for (int i = 0; i < 4; i++)
    if (strcmp(a->keys, kinds[i]) == 0) o->keys = (fv_attend_key_kind)i;
  o->average = minus_average(a), o->memory = a->memory;
}

/* ---- samples ---- */

static bool has_text(const fv_pair *p) { return p->question || p->prompt; }

/* Adds one sample to the sum, or says why not. The site that suits a model is another one where there is no text:
 * `texts`, whether the table has any, keeps a sample that lacks its own from deciding for all. */
static fv_status add_sample(cli_session *s, fv_attend_options o, const fv_pair *pair, bool texts, fv_attend_maps *sum,
                            char *reason, size_t room) {
  fv_attend_maps one = {0};
  o.input.image = pair->image, o.input.question = pair->question, o.input.prompt = pair->prompt;
  if (!o.correct) o.correct = pair->correct;
  *reason = '\0';
  fv_status st = output_check_input(s, pair->image);
  if (st) return st;
  if (o.rows && strcmp(o.rows, "answer") == 0 && !o.correct)
    st = fv_fail(&s->err, FV_EFORMAT, "the table names no correct answer");
  else if (texts && !o.site && !has_text(pair))
    st = fv_fail(&s->err, FV_EFORMAT, "has no question, and other samples have; with --site none may be needed");
  if (!st) st = fv_attend_measure(s->model, &o, &one, &s->err);
  if (!st) st = fv_attend_add(sum, &one, &s->err);
  fv_attend_release(&one);
  if (!session_excludes(st)) return st;
  snprintf(reason, room, "%s", s->err.text);
  return FV_OK;
}

/* Averages the samples of a table that are of a group (or, `other`, of any but this group). */
static fv_status add_table(cli_session *s, const fv_attend_options *o, const char *path, const char *group, bool other,
                           fv_attend_maps *sum, int64_t *excluded) {
  fv_pairs pairs = {0};
  cli_progress p;
  char reason[FV_ERROR_TEXT], first[FV_ERROR_TEXT + 128] = "";
  int64_t used = 0, left = 0;
  fv_status st = fv_pairs_load(path, &pairs, &s->err);
  size_t n = pairs.count;
  bool texts = false;
  for (size_t i = 0; i < n; i++) texts |= has_text(&pairs.list[i]);
  const fv_progress *progress = progress_start(&p, "samples", (double)n);
  for (size_t i = 0; i < n && !st && !(s->args->limit && used + left >= s->args->limit); i++) {
    const fv_pair *pair = &pairs.list[i];
    bool same = group && pair->group && strcmp(pair->group, group) == 0;
    if (group && same == other) continue;
    st = add_sample(s, *o, pair, texts, sum, reason, sizeof reason);
    if (!st && *reason && left++ == 0) snprintf(first, sizeof first, "%s: %s", pair->sample, reason);
    if (!st && !*reason) used++;
    if (!st && !progress->fn(progress->user, (double)(i + 1) / (double)n))
      st = fv_fail(&s->err, FV_ECANCELLED, "stopped on request");
  }
  progress_stop(&p);
  if (!st && used == 0 && left == 0)
    st = fv_fail(&s->err, FV_ENOTFOUND, "%s: no sample is %sof the group \"%s\"", path, other ? "not " : "",
                 group ? group : "");
  if (!st && used == 0)
    st = fv_fail(&s->err, FV_EFORMAT, "%s: no sample can be used; %lld are excluded, the first: %s", path,
                 (long long)left, first);
  if (!st && left)
    fprintf(stderr, "fovea: %s: %lld sample%s excluded, the first: %s\n", path, (long long)left, left == 1 ? "" : "s",
            first);
  *excluded += left;
  fv_pairs_release(&pairs);
  return st;
}

/* ---- one run ---- */

static fv_status subtract(attend_run *r, const fv_attend_options *o) {
  const cli_args *a = r->s->args;
  const char *group = minus_group(a), *table = minus_table(a);
  fv_attend_maps other = {0};
  if (!a->minus) return FV_OK;
  r->difference = true;
  if (minus_average(a)) {
    snprintf(r->minus_text, sizeof r->minus_text, "minus the mean over all heads");
    return fv_attend_minus_average(&r->maps, &r->s->err);
  }
  fv_status st = add_table(r->s, o, group ? a->samples : table, group, false, &other, &r->excluded);
  snprintf(r->minus_text, sizeof r->minus_text, "minus %s%.60s (%lld sample%s)", group ? "group " : "",
           group ? group : table, (long long)other.samples, other.samples == 1 ? "" : "s");
  if (!st) st = fv_attend_subtract(&r->maps, &other, &r->s->err);
  fv_attend_release(&other);
  return st;
}

/* What the maps are of: the question, or how many samples. */
static void set_title(attend_run *r) {
  const cli_args *a = r->s->args;
  const fv_attend_maps *m = &r->maps;
  const char *text = a->question ? a->question : a->prompt ? a->prompt : "";
  char what[160], rows[64] = "";
  if (a->samples)
    snprintf(what, sizeof what, "%lld sample%s%s%.60s", (long long)m->samples, m->samples == 1 ? "" : "s",
             a->group ? " of " : "", a->group ? a->group : "");
  else
    snprintf(what, sizeof what, "%.120s", text);
  const char *first = m->row_labels[0] && !*m->row_labels[0] ? "[decode]" : m->row_labels[0];
  bool class_rows = m->rows == m->pictures && first && strcmp(first, "cls") == 0;
  if (m->picture && class_rows)
    snprintf(rows, sizeof rows, "from cls");
  else if (m->picture && m->rows == 1 && first && !a->samples)
    snprintf(rows, sizeof rows, "from row %lld (%.30s)", (long long)m->row_index[0], first);
  else if (m->picture && m->rows == 1 && first)
    snprintf(rows, sizeof rows, "from \"%.40s\"", first);
  else if (m->picture && m->rows == 1)
    snprintf(rows, sizeof rows, "from one row each");
  else if (m->picture && a->samples)
    snprintf(rows, sizeof rows, "mean over their rows");
  else if (m->picture)
    snprintf(rows, sizeof rows, "mean of %lld rows", (long long)m->rows);
  snprintf(r->title, sizeof r->title, "%s%s%s", what, *what && *rows ? ", " : "", rows);
}

static fv_status measure(attend_run *r) {
  const cli_args *a = r->s->args;
  fv_attend_options o;
  attend_options(r->s, &o);
  fv_status st;
  if (a->samples) {
    bool rest = !a->group && minus_group(a);
    st = add_table(r->s, &o, a->samples, rest ? minus_group(a) : a->group, rest, &r->maps, &r->excluded);
  } else {
    st = fv_attend_measure(r->s->model, &o, &r->maps, &r->s->err);
    if (!st && a->image) st = fv_input_new(r->s->model, &o.input, &r->input, &r->s->err);
  }
  if (!st) st = subtract(r, &o);
  if (!st) set_title(r);
  return st;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  attend_run r = {.s = s, .csv = a->csv};
  fv_status st = check_options(s);
  if (!st && a->csv && strcmp(a->csv, "-") != 0) st = output_stage(s, "csv", a->csv, &r.csv);
  if (!st) st = output_stage(s, "npz", a->npz, &r.npz);
  if (!st) st = output_stage(s, "plot", a->plot, &r.plot);
  if (!st) session_note_aliases(s);
  if (!st) st = measure(&r);
  if (!st) st = attend_output(&r);
  fv_attend_release(&r.maps);
  fv_input_free(r.input);
  return st;
}

const cli_command command_attend = {
    .name = "attend",
    .summary = "where heads look: attention maps over the picture or the text",
    .details =
        "The weights of attention patterns after softmax, for every head of --site (default: the attention that reads "
        "the\n"
        "picture). Over a picture: one map of patches per head, the mean of the query rows in --rows, drawn over the "
        "picture that\n"
        "the model sees; several pictures have a map each. The class row's share and that of all other keys are "
        "numbers of their\n"
        "own; all of them sum to 1. Over a text: one matrix per head, query rows by keys. Heads are lists (--layers "
        "3-5 --heads\n"
        "0,2) or names (--heads L5H3,L3H0). Default rows: the class row in the picture's stack, the last row in a "
        "language model,\n"
        "else all; `answer` is the first row of --correct in the question. --samples averages; texts of different "
        "lengths have no\n"
        "common matrix and are excluded. A patch is drawn as one square; --upsample cubic draws a spline through "
        "the values,\n"
        "corners on corners, which looks sharper than what was measured.",
    .takes_model = true,
    .few_waves = true,
    .options =
        "image question prompt site layers heads rows correct keys samples group limit minus csv npz plot json "
        "show upsample alpha background minmax columns colors vmin vmax serif exif pillow threads memory compute",
    .run = run};
