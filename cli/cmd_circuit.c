#include <stdlib.h>
#include <string.h>

#include "circuit_output.h"
#include "maps.h"

static fv_status check_options(cli_session *s) {
  const cli_args *a = s->args;
  if (a->site.count > 1) return fv_fail(&s->err, FV_EUSAGE, "--site is given twice; a circuit is of one site");
  if (a->by_group && a->group) return fv_fail(&s->err, FV_EUSAGE, "--by-group and --group exclude each other");
  if (a->confirm && (a->operands.count > 1 || a->by_group))
    return fv_fail(&s->err, FV_EUSAGE, "--confirm takes one database, and one group at most: --group NAME");
  if (!a->confirm && (a->model_folder || a->ablation || a->random || a->same_layers || a->images))
    return fv_fail(&s->err, FV_EUSAGE, "--model, --ablation, --random, --same-layers and --images belong to --confirm");
  if ((a->row_offset || a->substring) && (!a->rows || strcmp(a->rows, "answer") != 0))
    return fv_fail(&s->err, FV_EUSAGE, "--row-offset and --substring-match belong to --rows answer");
  if (!(a->fdr > 0.0 && a->fdr <= 1.0))
    return fv_fail(&s->err, FV_EUSAGE, "--fdr %g: expected above 0, up to 1", a->fdr);
  if (a->seed < 0 || a->seed > UINT32_MAX)
    return fv_fail(&s->err, FV_EUSAGE, "--seed %lld: expected 0 to 4294967295", (long long)a->seed);
  return maps_check_options(s, "Purples");
}

static void heads_query(const cli_args *a, fv_heads_query *q) {
  static const char *const names[] = {"logit_diff", "effect", "p_diff", "prob"};
  *q = (fv_heads_query){.sweep = a->sweep,
                        .site = a->site.count ? a->site.items[0] : NULL,
                        .rows = a->rows,
                        .row_offset = a->row_offset,
                        .substring = a->substring,
                        .group = a->group};
  for (int i = 0; a->metric && i < 4; i++)
    if (strcmp(a->metric, names[i]) == 0) q->metric = (fv_heads_metric)i;
}

static void circuit_options(const cli_args *a, fv_circuit_options *o) {
  fv_circuit_defaults(o);
  o->threshold = a->threshold, o->bootstrap = a->bootstrap, o->permutations = a->permutations, o->fdr = a->fdr;
  o->seed = a->seed, o->nan_zero = a->nan_zero;
  o->test = strcmp(a->test, "none") == 0   ? FV_TEST_NONE
            : strcmp(a->test, "sign") == 0 ? FV_TEST_SIGN
                                           : FV_TEST_PERMUTATION;
}

/* ---- studies and groups ---- */

static fv_status add_study(circuit_run *r, const char *db, const char *group, circuit_study **out) {
  circuit_study *grown = realloc(r->list, (r->count + 1) * sizeof *grown);
  if (!grown) return fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  r->list = grown;
  *out = &grown[r->count++];
  **out = (circuit_study){.db = db, .group = group ? strdup(group) : NULL};
  if (group && !(*out)->group) return fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  snprintf((*out)->name, sizeof(*out)->name, "%.100s%s%.50s", db, group ? ", group " : "", group ? group : "");
  return FV_OK;
}

static fv_status find(circuit_run *r, const fv_store *store, circuit_study *one) {
  fv_circuit_options o;
  circuit_options(r->s->args, &o);
  fv_status st = fv_store_manifest(store, "model_sha256", &one->model, &r->s->err);
  if (st) return st;
  return fv_circuit_find(one->heads.values, one->heads.samples, one->heads.layers, one->heads.heads, &o, &one->circuit,
                         &r->s->err);
}

static bool first_of_group(const fv_heads *h, int64_t i) {
  for (int64_t k = 0; k < i; k++)
    if (h->groups[k] && strcmp(h->groups[k], h->groups[i]) == 0) return false;
  return true;
}

/* A circuit for each group, in the order of the samples. */
static fv_status add_groups(circuit_run *r, const char *db, const fv_store *store, const fv_heads *all) {
  fv_status st = FV_OK;
  bool any = false;
  for (int64_t i = 0; i < all->samples && !st; i++) {
    circuit_study *one;
    if (!all->groups[i] || !first_of_group(all, i)) continue;
    any = true;
    st = add_study(r, db, all->groups[i], &one);
    if (!st) st = fv_heads_of_group(all, all->groups[i], &one->heads, &r->s->err);
    if (!st) st = find(r, store, one);
  }
  return st || any ? st : fv_fail(&r->s->err, FV_ENOTFOUND, "%s: its samples are in no groups", db);
}

static fv_status read_db(circuit_run *r, const char *db) {
  const cli_args *a = r->s->args;
  fv_store *store = NULL;
  fv_store_counts n = {0};
  fv_heads_query q;
  heads_query(a, &q);
  fv_status st = fv_store_open(db, FV_STORE_READ, &store, &r->s->err);
  if (!st) st = fv_store_count(store, &n, &r->s->err);
  r->several |= !a->sweep && n.sweeps > 1;
  if (!st && a->by_group) {
    fv_heads all = {0};
    st = fv_heads_read(store, &q, &all, &r->s->err);
    if (!st) st = add_groups(r, db, store, &all);
    fv_heads_release(&all);
  } else if (!st) {
    circuit_study *one;
    st = add_study(r, db, a->group, &one);
    if (!st) st = fv_heads_read(store, &q, &one->heads, &r->s->err);
    if (!st) st = find(r, store, one);
  }
  fv_store_close(store);
  return st;
}

static fv_status compare(circuit_run *r) {
  const fv_heads *first = &r->list[0].heads;
  fv_circuit *circuits = calloc(r->count, sizeof *circuits);
  r->common = calloc((size_t)(first->layers * first->heads) + 1, sizeof *r->common);
  fv_status st = circuits && r->common ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < r->count && !st; i++) {
    const fv_heads *h = &r->list[i].heads;
    circuits[i] = r->list[i].circuit;
    if (strcmp(h->stack, first->stack) != 0 || strcmp(h->site, first->site) != 0)
      st = fv_fail(&r->s->err, FV_EUSAGE, "%s is of %s.%s, %s of %s.%s: heads of different sites cannot be compared",
                   r->list[0].db, first->stack, first->site, r->list[i].db, h->stack, h->site);
  }
  if (!st) st = fv_circuit_common(r->count, circuits, r->common, &r->universal, &r->s->err);
  free(circuits);
  return st;
}

/* ---- the second method ---- */

static fv_status confirm_with(circuit_run *r, fv_store *store, const int64_t *heads, int64_t n) {
  const cli_args *a = r->s->args;
  const circuit_study *one = &r->list[0];
  fv_heads_confirm_options o;
  cli_progress p;
  fv_heads_confirm_defaults(&o);
  o.stack = one->heads.stack, o.site = one->heads.site, o.sweep = one->heads.sweep, o.heads = heads, o.n = n;
  o.zero = a->ablation && strcmp(a->ablation, "zero") == 0, o.same_layers = a->same_layers;
  if (a->random) o.random = a->random;
  o.group = a->group, o.images = a->images, o.seed = a->seed, o.memory = a->memory;
  fv_status st = fv_heads_confirm(r->s->model, store, &o, progress_start(&p, "samples", (double)one->circuit.samples),
                                  &r->confirmed, &r->s->err);
  progress_stop(&p);
  return st;
}

/* The model is the one that is named, or the study's. */
static fv_status confirm(circuit_run *r) {
  cli_args *a = (cli_args *)(uintptr_t)r->s->args;
  const fv_circuit *c = &r->list[0].circuit;
  char *own = NULL, *hash = NULL, now[65];
  fv_store *store = NULL;
  int64_t *heads = calloc((size_t)(c->size * 2) + 1, sizeof *heads), n = 0;
  fv_status st = heads ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; heads && i < c->layers * c->heads; i++)
    if (c->list[i].in_circuit) heads[2 * n] = c->list[i].layer, heads[2 * n + 1] = c->list[i].head, n++;
  if (!st && n == 0) st = fv_fail(&r->s->err, FV_ENOTFOUND, "%s: the circuit has no head to switch off", r->list[0].db);
  if (!st && r->list[0].heads.window > 1)
    st =
        fv_fail(&r->s->err, FV_EUSAGE,
                "--confirm switches off single heads, and %s patched windows of %lld layers; use a sweep with window 1",
                r->list[0].heads.sweep, (long long)r->list[0].heads.window);
  if (!st) st = fv_store_open(r->list[0].db, FV_STORE_WRITE, &store, &r->s->err);
  if (!st) st = fv_store_manifest(store, "model", &own, &r->s->err);
  if (!st) st = fv_store_manifest(store, "model_sha256", &hash, &r->s->err);
  a->model = a->model_folder ? a->model_folder : own;
  if (!st && !a->model)
    st = fv_fail(&r->s->err, FV_EUSAGE, "%s does not say which model it is of; name it: --model MODEL", r->list[0].db);
  if (!st) st = session_open(r->s, false);
  if (!st && hash) st = fv_model_sha256(r->s->model, now, &r->s->err);
  if (!st && hash && strcmp(hash, now) != 0)
    st = fv_fail(&r->s->err, FV_EMISMATCH, "%s: its weights are not those of the study %s", r->s->path, r->list[0].db);
  if (!st) st = confirm_with(r, store, heads, n);
  a->model = NULL;
  fv_store_close(store);
  free(own), free(hash), free(heads);
  return st;
}

static void release(circuit_run *r) {
  for (size_t i = 0; i < r->count; i++) {
    free(r->list[i].group), free(r->list[i].model);
    fv_heads_release(&r->list[i].heads);
    fv_circuit_release(&r->list[i].circuit);
  }
  free(r->list), free(r->common);
  fv_heads_confirmed_release(&r->confirmed);
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  circuit_run r = {.s = s, .csv = a->csv};
  fv_status st = check_options(s);
  if (!st && a->csv && strcmp(a->csv, "-") != 0) st = output_stage(s, "csv", a->csv, &r.csv);
  if (!st) st = output_stage(s, "plot", a->plot, &r.plot);
  for (size_t i = 0; i < a->operands.count && !st; i++) {
    st = output_check_input(s, a->operands.items[i]);
    if (!st) st = read_db(&r, a->operands.items[i]);
  }
  if (!st && r.count > 1) st = compare(&r);
  if (!st && a->confirm) st = confirm(&r);
  if (!st) st = circuit_output(&r);
  release(&r);
  return st;
}

const cli_command command_circuit = {
    .name = "circuit",
    .summary = "which heads matter over a study, and which in every study",
    .details =
        "From a sweep with a run per head (`heads: each`): the importance of a head is the mean magnitude, over the "
        "samples, of\n"
        "what patching it changed (--metric) at a row (--rows: max, the row where it changed most; answer, the "
        "correct answer's\n"
        "row in the question; a row's number, piece or name). Heads from mean + K standard deviations on are above "
        "the threshold.\n"
        "Whether a head pushes one way is tested on the signed values, and q is corrected for the number of heads; "
        "the circuit is\n"
        "what is above the threshold and has q up to --fdr. Several databases, or --by-group: a circuit for each, what "
        "all share,\n"
        "and the chance that circuits of these sizes share so much. --confirm asks the model by another method: right "
        "answers\n"
        "with the circuit switched off, and with as many other heads; the numbers go into the database's table "
        "`checks`.",
    .takes_model = false,
    .operand = "DB",
    .more_operands = true,
    .options =
        "sweep site metric rows group by-group threshold test permutations fdr bootstrap seed top csv plot json show "
        "colors "
        "vmin vmax minmax serif row-offset substring-match nan-zero confirm model ablation random same-layers images "
        "threads "
        "memory compute",
    .run = run};
