/* fovea data: samples for studies, from data sets as they come. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* A word and how often it occurs, with the halves of the samples. */
typedef struct tally {
  const char *name;
  size_t count, first, second;
} tally;

static void count_one(tally *list, size_t *n, const char *name, int correct_first) {
  size_t i = 0;
  while (i < *n && strcmp(list[i].name, name) != 0) i++;
  if (i == *n) list[(*n)++] = (tally){.name = name};
  list[i].count++;
  list[i].first += correct_first == 1, list[i].second += correct_first == 0;
}

/* What is said of a table. */
typedef struct summary {
  const fv_pairs *pairs;
  tally *groups, *reasons;
  size_t ngroups, nreasons;
  size_t known, right; /* of an evaluation: answers that can be right or wrong, and those that are right */
  const char *written[2];
} summary;

static void print_text(FILE *out, const summary *s) {
  const fv_pairs *p = s->pairs;
  fprintf(out, "read        %lld\nkept        %zu\nexcluded    %zu\n", (long long)p->nread, p->count, p->nexcluded);
  for (size_t i = 0; i < s->nreasons; i++) fprintf(out, "  %6zu  %s\n", s->reasons[i].count, s->reasons[i].name);
  fprintf(out, "groups\n");
  for (size_t i = 0; i < s->ngroups; i++) {
    const tally *g = &s->groups[i];
    fprintf(out, "  %6zu  %s", g->count, g->name);
    if (g->first + g->second) fprintf(out, ": correct answer first in %zu, second in %zu", g->first, g->second);
    putc('\n', out);
  }
  if (s->known) fprintf(out, "right       %zu of %zu answers\n", s->right, s->known);
  fprintf(out, "written     %s, %s\n", s->written[0], s->written[1]);
}

static void print_json(FILE *out, const summary *s) {
  fv_json_out j = {.stream = out};
  fv_json_out_begin(&j, NULL, '{');
  fv_json_out_int(&j, "read", s->pairs->nread);
  fv_json_out_int(&j, "kept", (int64_t)s->pairs->count);
  fv_json_out_int(&j, "excluded", (int64_t)s->pairs->nexcluded);
  fv_json_out_begin(&j, "reasons", '[');
  for (size_t i = 0; i < s->nreasons; i++) {
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "reason", s->reasons[i].name);
    fv_json_out_int(&j, "count", (int64_t)s->reasons[i].count);
    fv_json_out_end(&j, '}');
  }
  fv_json_out_end(&j, ']');
  fv_json_out_begin(&j, "groups", '[');
  for (size_t i = 0; i < s->ngroups; i++) {
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "group", s->groups[i].name);
    fv_json_out_int(&j, "count", (int64_t)s->groups[i].count);
    fv_json_out_int(&j, "correct_first", (int64_t)s->groups[i].first);
    fv_json_out_int(&j, "correct_second", (int64_t)s->groups[i].second);
    fv_json_out_end(&j, '}');
  }
  fv_json_out_end(&j, ']');
  if (s->known) fv_json_out_int(&j, "known", (int64_t)s->known), fv_json_out_int(&j, "right", (int64_t)s->right);
  fv_json_out_text(&j, "out", s->written[0]);
  fv_json_out_text(&j, "excluded_out", s->written[1]);
  fv_json_out_end(&j, '}');
}

/* Right is what equals the correct answer, or else the label, to the letter: the published criterion. */
static void count_right(summary *s, const char *column) {
  for (size_t i = 0; i < s->pairs->count; i++) {
    const fv_pair *p = &s->pairs->list[i];
    const char *gold = p->correct ? p->correct : p->label, *said = fv_pair_field(p, column);
    s->known += gold != NULL, s->right += gold && said && strcmp(gold, said) == 0;
  }
}

/* column: of the answers, NULL when nothing was asked. */
static fv_status report(cli_session *s, const fv_pairs *p, const char *column, const char *out, const char *excluded) {
  summary sum = {.pairs = p, .written = {out, excluded}};
  sum.groups = calloc(p->count + 1, sizeof *sum.groups), sum.reasons = calloc(p->nexcluded + 1, sizeof *sum.reasons);
  fv_status st = sum.groups && sum.reasons ? FV_OK : fv_fail(&s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < p->count && !st; i++)
    count_one(sum.groups, &sum.ngroups, p->list[i].group ? p->list[i].group : "(none)", p->list[i].correct_first);
  for (size_t i = 0; i < p->nexcluded && !st; i++) count_one(sum.reasons, &sum.nreasons, p->excluded[i].reason, -1);
  if (column) count_right(&sum, column);
  if (!st) (s->args->json ? print_json : print_text)(s->out, &sum);
  free(sum.groups), free(sum.reasons);
  return st;
}

static fv_status open_model(cli_session *s) {
  cli_args *a = (cli_args *)(uintptr_t)s->args;
  if (a->operands.count < 2)
    return fv_fail(&s->err, FV_EUSAGE,
                   "a model folder is missing: fovea data evaluate MODEL --samples TABLE --out FILE");
  a->model = a->operands.items[1];
  return session_open(s, false);
}

static fv_status evaluate(cli_session *s, fv_pairs *pairs) {
  const cli_args *a = s->args;
  char partial[PATH_MAX];
  snprintf(partial, sizeof partial, "%s.partial", a->out);
  fv_status st = output_partial(s, partial);
  if (!st) st = fv_pairs_load(a->samples, pairs, &s->err);
  if (st) return st;
  fv_evaluate_options o = {.memory = a->memory, .max_new = a->generate, .corrupted = a->corrupted, .partial = partial};
  cli_progress p;
  session_input_options(s, &o.input);
  st = fv_data_evaluate(s->model, &o, pairs, progress_start(&p, "samples", (double)pairs->count), &s->err);
  progress_stop(&p);
  return st;
}

static fv_status select_samples(cli_session *s, fv_pairs *pairs) {
  const cli_args *a = s->args;
  if (!a->rule) return fv_fail(&s->err, FV_EUSAGE, "--rule is missing: fer, mit-states, svo or cifar10");
  fv_select_options o = {a->rule, a->count, a->seed == INT64_MIN ? 1 : a->seed, a->svo_dup};
  fv_status st = fv_pairs_load(a->samples, pairs, &s->err);
  if (st) return st;
  st = fv_data_select(&o, pairs, &s->err);
  return st ? fv_fail_prefix(&s->err, st, "%s", a->samples) : FV_OK;
}

static fv_status build(cli_session *s, const char *kind, fv_pairs *pairs) {
  const cli_args *a = s->args;
  fv_data_options o = {.kind = kind,
                       .table = a->table,
                       .images = a->images,
                       .batches = a->batches,
                       .prompts = a->corrected_prompts,
                       .seed = a->seed == INT64_MIN ? 0 : a->seed,
                       .limit = a->limit,
                       .words = a->words,
                       .keep_black = a->keep_black,
                       .gray = a->gray,
                       .train = a->train};
  return fv_data_build(&o, pairs, &s->err);
}

static fv_status check_kind(cli_session *s, const char *kind) {
  char known[256] = "";
  size_t used = 0;
  const fv_data_kind *k;
  for (size_t i = 0; (k = fv_data_kind_at(i)) && used < sizeof known; i++) {
    if (strcmp(k->name, kind) == 0) return FV_OK;
    used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", k->name);
  }
  if (strcmp(kind, "coco") == 0) return FV_OK; /* the library says what to do instead */
  return fv_fail(&s->err, FV_EUSAGE, "there is no data set \"%s\"; %sevaluate and select are known", kind, known);
}

/* Options that only some kinds take; what a builder needs is checked by the library. */
static fv_status check_options(cli_session *s, const char *kind) {
  const cli_args *a = s->args;
  bool ev = strcmp(kind, "evaluate") == 0, sel = strcmp(kind, "select") == 0;
  fv_status st = ev || sel ? FV_OK : check_kind(s, kind);
  if (st) return st;
  const struct {
    const char *name;
    bool given, fits;
  } options[] = {{"samples", a->samples != NULL, ev || sel},
                 {"generate", a->generate != 0, ev},
                 {"corrupted", a->corrupted, ev},
                 {"exif", a->exif, ev},
                 {"memory", a->memory != 0, ev},
                 {"threads", a->threads != 0, ev},
                 {"rule", a->rule != NULL, sel},
                 {"count", a->count != 0, sel},
                 {"svo-dup", a->svo_dup, sel},
                 {"seed", a->seed != INT64_MIN, !ev},
                 {"table", a->table != NULL, !ev && !sel},
                 {"images", a->images != NULL, !ev && !sel},
                 {"batches", a->batches != NULL, !ev && !sel},
                 {"prompts", a->corrected_prompts != NULL, !ev && !sel},
                 {"limit", a->limit != 0, !ev && !sel},
                 {"words", a->words != 0, !ev && !sel},
                 {"gray", a->gray, !ev && !sel},
                 {"train", a->train, !ev && !sel},
                 {"keep-black", a->keep_black, !ev && !sel}};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (options[i].given && !options[i].fits)
      return fv_fail(&s->err, FV_EUSAGE, "--%s does not belong to `fovea data %s`", options[i].name, kind);
  if (a->seed != INT64_MIN && (a->seed < 0 || a->seed > (sel ? UINT32_MAX : INT64_MAX)))
    return fv_fail(&s->err, FV_EUSAGE, "--seed %lld: expected 0 or more%s", (long long)a->seed,
                   sel ? ", up to 4294967295" : "");
  if ((ev || sel) && !a->samples)
    return fv_fail(&s->err, FV_EUSAGE, "--samples TABLE is missing: what `fovea data %s` reads", kind);
  if (a->operands.count > (ev ? 2u : 1u))
    return fv_fail(&s->err, FV_EUSAGE, "unexpected argument \"%s\"", a->operands.items[ev ? 2 : 1]);
  if (!a->out) return fv_fail(&s->err, FV_EUSAGE, "--out FILE is missing: the sample table to write, .csv or .jsonl");
  const char *dot = strrchr(a->out, '.');
  if (strcmp(a->out, "-") != 0 && (!dot || (strcmp(dot, ".csv") != 0 && strcmp(dot, ".jsonl") != 0)))
    return fv_fail(&s->err, FV_EUSAGE, "--out %s: a sample table is a .csv or a .jsonl file", a->out);
  return FV_OK;
}

/* OUT without its extension, with ".excluded.csv". To be freed. */
static char *excluded_name(const char *out) {
  const char *dot = strrchr(out, '.');
  size_t n = dot && !strchr(dot, '/') ? (size_t)(dot - out) : strlen(out);
  char *name = malloc(n + sizeof ".excluded.csv");
  if (name) memcpy(name, out, n), memcpy(name + n, ".excluded.csv", sizeof ".excluded.csv");
  return name;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  const char *kind = a->operands.items[0], *staged[2] = {NULL, NULL};
  fv_pairs pairs = {0};
  fv_status st = check_options(s, kind);
  if (st) return st;
  char *excluded = a->excluded ? strdup(a->excluded) : excluded_name(a->out);
  if (!excluded) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  bool ev = strcmp(kind, "evaluate") == 0, sel = strcmp(kind, "select") == 0;
  if (ev) st = open_model(s);
  if (!st) st = output_stage(s, "out", a->out, &staged[0]);
  if (!st) st = output_stage(s, "excluded", excluded, &staged[1]);
  /* Asking a model takes long enough to be killed; the staged names are known to be writable, and come back with the
   * answers. */
  for (int i = 0; ev && !st && i < 2; i++) unlink(staged[i]);
  if (!st) st = ev ? evaluate(s, &pairs) : sel ? select_samples(s, &pairs) : build(s, kind, &pairs);
  if (!st) st = fv_pairs_save(staged[0], &pairs, &s->err);
  if (!st) st = fv_pairs_save_excluded(staged[1], &pairs, &s->err);
  const char *column = ev ? a->corrupted ? "generated_corrupt" : "generated" : NULL;
  if (!st) st = report(s, &pairs, column, a->out, excluded);
  fv_pairs_release(&pairs);
  free(excluded);
  return st;
}

const cli_command command_data = {
    .name = "data",
    .summary = "samples for studies, from data sets as they come",
    .details =
        "KIND is a data set: fer, mit-states, svo, coco-qa, clevr or cifar10; its pictures and tables become a sample "
        "table\n"
        "(--out), and every picture or row that is left out is listed with the reason. Random choices depend on "
        "--seed\n"
        "(default 0) and the sample alone.\n"
        "`fovea data evaluate MODEL --samples TABLE` adds the model's answer to every sample (column generated), and "
        "goes on\n"
        "where it was stopped when the same is run again.\n"
        "`fovea data select --rule RULE --samples TABLE` keeps samples that were answered correctly, equally many per\n"
        "group; --seed is pandas' random_state there (default 1).",
    .operand = "KIND",
    .more_operands = true,
    .options =
        "table images batches prompts samples out excluded seed limit words keep-black gray train corrupted "
        "generate rule count svo-dup exif pillow threads memory compute json",
    .run = run};
