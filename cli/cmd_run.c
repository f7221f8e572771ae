/* fovea run: a study file into a database, alone, as one shard, or as one of mpirun's processes. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "ranks.h"

typedef struct run_job {
  cli_session *s;
  fv_study *study;
  fv_study_options options;
  const char *db;
  cli_ranks ranks;
} run_job;

/* ---- before computing ---- */

static fv_status read_shard(const char *text, fv_study_options *o, fv_error *err) {
  long long i, n;
  char extra;
  if (sscanf(text, "%lld/%lld%c", &i, &n, &extra) != 2 || i < 1 || i > n || n > 1000000)
    return fv_fail(err, FV_EUSAGE, "--shard \"%s\": expected I/N with 1 <= I <= N, such as 1/4", text);
  o->shard = i, o->shards = n;
  return FV_OK;
}

/* A model is looked for beside the study first, then as on the command line. */
static fv_status open_model(run_job *j) {
  cli_args *a = (cli_args *)(uintptr_t)j->s->args;
  static char beside[PATH_MAX];
  struct stat info;
  a->model = fv_study_model(j->study);
  if (a->model[0] != '/') {
    snprintf(beside, sizeof beside, "%s/%s", fv_study_folder(j->study), a->model);
    if (stat(beside, &info) == 0 && S_ISDIR(info.st_mode)) a->model = beside;
  }
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (a->threads == 0) a->threads = fv_study_threads(j->study);
  /* Processes that share a machine share its cores, unless mpirun has bound them already. */
  if (a->threads == 0 && j->ranks.local > 1) a->threads = cores / j->ranks.local > 1 ? cores / j->ranks.local : 1;
  if (a->memory == 0) a->memory = fv_study_memory(j->study);
  if (a->memory == 0) a->memory = session_free_memory() / 4 * 3 / (size_t)j->ranks.local;
  fv_status st = session_open(j->s, false);
  if (st && st != FV_ENOMEM) st = fv_study_blame(j->study, "model", &j->s->err);
  j->options.memory = a->memory;
  return st;
}

/* ---- what is said ---- */

static const char *bytes_text(double bytes, char out[32]) {
  snprintf(out, 32, bytes < 1048576.0 ? "%.0f KiB" : "%.1f MiB",
           bytes < 1048576.0 ? bytes / 1024.0 : bytes / 1048576.0);
  return out;
}

/* Of a study that makes its samples from a data set; `fovea data` lists them. */
static void print_left_out(const run_job *j, int width) {
  long long n = (long long)fv_study_left_out(j->study);
  if (n)
    fprintf(j->s->out, "%-*s%lld entr%s of the data set; `fovea data` lists what\n", width, "left out", n,
            n == 1 ? "y" : "ies");
}

static fv_status dry_run(run_job *j) {
  fv_study_cost plan;
  fv_machine machine;
  cli_session *s = j->s;
  char size[32];
  fv_status st = fv_study_plan(j->study, s->model, &j->options, &plan, &s->err);
  if (!st) st = fv_machine_measure(s->model, 0.0, &machine, &s->err);
  if (st) return st;
  double seconds = fv_machine_predict(&machine, &plan.cost);
  if (s->args->json) {
    fv_json_out o = {.stream = s->out};
    fv_json_out_begin(&o, NULL, '{');
    fv_json_out_int(&o, "samples", plan.samples), fv_json_out_int(&o, "stored", plan.stored);
    fv_json_out_int(&o, "lacking", plan.lacking), fv_json_out_int(&o, "left_out", fv_study_left_out(j->study));
    fv_json_out_int(&o, "probed", plan.probed);
    fv_json_out_int(&o, "runs", plan.cost.runs), fv_json_out_int(&o, "rows", plan.cost.rows),
        fv_json_out_num(&o, "flops", plan.cost.flops);
    fv_json_out_int(&o, "memory", (int64_t)plan.cost.memory),
        fv_json_out_int(&o, "weights", (int64_t)plan.cost.weights);
    fv_json_out_num(&o, "bytes", plan.bytes), fv_json_out_num(&o, "seconds", seconds);
    fv_json_out_end(&o, '}');
    return FV_OK;
  }
  fprintf(s->out, "samples       %lld; %lld are in the database already\n", (long long)plan.samples,
          (long long)plan.stored);
  if (plan.lacking)
    fprintf(s->out, "              %lld lack%s something that a sweep needs, and will be excluded\n",
            (long long)plan.lacking, plan.lacking == 1 ? "s" : "");
  if (plan.reason[0]) fprintf(s->out, "              to be excluded: %s\n", plan.reason);
  if (plan.probed > 0 && plan.probed < plan.samples - plan.stored - plan.lacking)
    fprintf(s->out, "              what follows is estimated from %lld samples\n", (long long)plan.probed);
  print_left_out(j, 14);
  fprintf(s->out, "database      %s, about %s more\n", j->db, bytes_text(plan.bytes, size));
  fprintf(s->out, "runs          %lld\n", (long long)plan.cost.runs);
  fprintf(s->out, "rows          %lld\n", (long long)plan.cost.rows);
  fprintf(s->out, "operations    %.4g Gflop (every run alone: %.4g)\n", plan.cost.flops / 1e9,
          plan.cost.full_flops / 1e9);
  fprintf(s->out, "activations   %.1f MiB at most\n", (double)plan.cost.memory / 1048576.0);
  print_weights(s, &plan.cost);
  fprintf(s->out, "time          %.2g s predicted (%.0f Gflop/s measured)\n", seconds, machine.matmul / 1e9);
  return FV_OK;
}

/* What the database holds now, and whether that is the whole study. */
static fv_status report(run_job *j, const char *path, const fv_study_result *r) {
  cli_session *s = j->s;
  fv_store *store;
  fv_store_counts n;
  char digest[65], size[32];
  struct stat info;
  fv_status st = fv_store_open(path, FV_STORE_READ, &store, &s->err);
  if (st) return st;
  st = fv_store_count(store, &n, &s->err);
  if (!st) st = fv_store_digest(store, digest, &s->err);
  fv_store_close(store);
  if (st) return st;
  if (n.done == 0 && n.excluded > 0 && j->options.shards == 0)
    return fv_fail(&s->err, FV_EFORMAT, "%s: no sample can be used; all %lld are excluded", path,
                   (long long)n.excluded);
  bool whole;
  st = fv_study_write_outputs(j->study, path, &whole, &s->err);
  if (st) return st;
  double bytes = stat(path, &info) == 0 ? (double)info.st_size : 0.0;
  if (s->args->json) {
    fv_json_out o = {.stream = s->out};
    fv_json_out_begin(&o, NULL, '{');
    fv_json_out_text(&o, "db", path), fv_json_out_int(&o, "samples", n.samples), fv_json_out_int(&o, "done", n.done);
    fv_json_out_int(&o, "excluded", n.excluded), fv_json_out_int(&o, "left_out", fv_study_left_out(j->study));
    fv_json_out_int(&o, "rows", n.cells), fv_json_out_num(&o, "bytes", bytes);
    fv_json_out_int(&o, "runs", r->runs), fv_json_out_num(&o, "seconds", r->seconds);
    fv_json_out_num(&o, "waited", r->waited), fv_json_out_num(&o, "writing", r->writing);
    fv_json_out_text(&o, "digest", digest);
    fv_json_out_begin(&o, "outputs", '[');
    for (size_t i = 0; whole && fv_study_output(j->study, i); i++)
      fv_json_out_text(&o, NULL, fv_study_output(j->study, i));
    fv_json_out_end(&o, ']');
    fv_json_out_end(&o, '}');
    return FV_OK;
  }
  fprintf(s->out, "samples   %lld of %lld: %lld done, %lld excluded\n", (long long)n.samples,
          (long long)fv_study_samples(j->study), (long long)n.done, (long long)n.excluded);
  if (n.added)
    fprintf(s->out, "          and %lld added by %s\n", (long long)n.added,
            n.added == 1 ? "a single experiment" : "single experiments");
  if (r->reason[0]) fprintf(s->out, "          excluded: %s%s\n", r->reason, r->excluded > 1 ? "; and more" : "");
  print_left_out(j, 10);
  fprintf(s->out, "rows      %lld, in %s (%s)\n", (long long)n.cells, path, bytes_text(bytes, size));
  if (r->seconds > 0.0) fprintf(s->out, "time      %.1f s, %lld runs\n", r->seconds, (long long)r->runs);
  fprintf(s->out, "digest    %s\n", digest);
  for (size_t i = 0; fv_study_output(j->study, i); i++)
    fprintf(s->out, "%s%s\n", whole ? "written   " : "not yet   ", fv_study_output(j->study, i));
  return FV_OK;
}

/* ---- shards ---- */

static fv_status merge_all(run_job *j, const char *const *paths, size_t count) {
  char note[512];
  fv_status st = fv_study_merge(j->db, paths, count, note, &j->s->err);
  if (!st && note[0]) fprintf(stderr, "fovea: %s\n", note);
  return st;
}

/* A merged shard has nothing that the database has not. */
static void remove_shard(const char *path) {
  static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
  char name[PATH_MAX];
  for (int i = 0; i < 4; i++)
    if (snprintf(name, sizeof name, "%s%s", path, ends[i]) < (int)sizeof name) unlink(name);
}

/* Takes in what lies beside the database: shards that an interrupted mpirun has left, or its finished ones. */
static fv_status take_in_shards(run_job *j) {
  char **paths;
  size_t count;
  fv_status st = fv_study_shards_found(j->db, &paths, &count, &j->s->err);
  if (!st && count) st = merge_all(j, (const char *const *)paths, count);
  for (size_t i = 0; i < count; i++) {
    if (!st) remove_shard(paths[i]);
    free(paths[i]);
  }
  free(paths);
  return st;
}

static fv_status merge(run_job *j) {
  const cli_list *given = &j->s->args->operands;
  fv_study_result none = {0};
  char **paths = NULL;
  size_t count = given->count - 1;
  const char *const *from = given->items + 1;
  fv_status st = FV_OK;
  if (count == 0) st = fv_study_shards_found(j->db, &paths, &count, &j->s->err), from = (const char *const *)paths;
  if (!st && count == 0)
    st = fv_fail(&j->s->err, FV_ENOTFOUND,
                 "%s: no shards lie beside it; name the databases: fovea run STUDY --merge DB...", j->db);
  for (size_t i = 0; i < count && !st; i++) st = fv_study_matches(j->study, from[i], &j->s->err);
  if (!st) st = merge_all(j, from, count);
  for (size_t i = 0; paths && i < count; i++) free(paths[i]);
  free(paths);
  if (st) return st;
  return report(j, j->db, &none);
}

/* ---- computing ---- */

/* What must have happened before anybody looks which samples are missing. */
static fv_status prepare(run_job *j) {
  fv_store *store = NULL;
  fv_error *err = &j->s->err;
  int64_t count;
  fv_status st = take_in_shards(j);
  if (st || !j->s->args->retry_excluded || access(j->db, F_OK) != 0) return st;
  st = fv_study_matches(j->study, j->db, err);
  if (!st) st = fv_store_open(j->db, FV_STORE_WRITE, &store, err);
  if (!st) st = fv_store_forget_excluded(store, &count, err);
  fv_store_close(store);
  if (!st) fprintf(stderr, "fovea: %lld excluded sample%s tried again\n", (long long)count, count == 1 ? "" : "s");
  return st;
}

static fv_status compute(run_job *j, fv_study_result *result) {
  cli_session *s = j->s;
  cli_progress p;
  fv_study_cost plan = {0};
  double samples = (double)fv_study_samples(j->study) / (double)(j->options.shards ? j->options.shards : 1);
  if (isatty(STDERR_FILENO) && fv_study_plan(j->study, s->model, &j->options, &plan, NULL) == FV_OK)
    samples = (double)(plan.samples - plan.stored);
  j->options.progress = *progress_start(&p, "samples", samples);
  if (j->ranks.rank > 0) p.terminal = false;
  fv_status st = fv_study_run(j->study, s->model, &j->options, result, &s->err);
  progress_stop(&p);
  /* Nothing was tried, so what is wrong may have been mended since. */
  size_t used = strlen(s->err.text);
  if (st == FV_EFORMAT && result->stored == result->samples)
    snprintf(s->err.text + used, sizeof s->err.text - used, "; --retry-excluded tries them again");
  if (result->note[0] && j->ranks.rank == 0) fprintf(stderr, "fovea: %s\n", result->note);
  return st;
}

/* Every process comes to both meetings, whatever happened to it. */
static fv_status compute_together(run_job *j) {
  fv_study_result result = {0};
  cli_session *s = j->s;
  fv_status st = j->ranks.rank == 0 ? prepare(j) : FV_OK;
  bool go = ranks_agree(&j->ranks, st);
  j->options.shard = j->ranks.rank + 1, j->options.shards = j->ranks.size;
  if (go) st = compute(j, &result);
  bool good = go && ranks_agree(&j->ranks, st);
  if (!st && !good)
    st =
        fv_fail(&s->err, FV_ECANCELLED, "process %d of %d is done, but another one failed; run the same again to go on",
                j->ranks.rank + 1, j->ranks.size);
  j->options.shard = j->options.shards = 0;
  if (!st && j->ranks.rank == 0) st = take_in_shards(j);
  if (!st && j->ranks.rank == 0) st = report(j, j->db, &result);
  return st;
}

static fv_status compute_alone(run_job *j) {
  fv_study_result result = {0};
  fv_status st = j->options.shards ? FV_OK : prepare(j);
  if (!st) st = compute(j, &result);
  char *path = j->options.shards ? fv_study_shard_path(j->db, j->options.shard, j->options.shards) : NULL;
  if (!st) st = report(j, path ? path : j->db, &result);
  free(path);
  return st;
}

static fv_status check_options(run_job *j) {
  const cli_args *a = j->s->args;
  fv_error *err = &j->s->err;
  if (a->operands.count > 1 && !a->merge)
    return fv_fail(err, FV_EUSAGE, "unexpected argument \"%s\"; databases are named with --merge",
                   a->operands.items[1]);
  if (a->merge && (a->shard || a->dry_run)) return fv_fail(err, FV_EUSAGE, "--merge computes nothing; it stands alone");
  if (a->retry_excluded && (a->merge || a->shard || a->dry_run))
    return fv_fail(err, FV_EUSAGE, "--retry-excluded computes what is missing in the whole study; without --%s",
                   a->merge   ? "merge"
                   : a->shard ? "shard"
                              : "dry-run");
  return a->shard ? read_shard(a->shard, &j->options, err) : FV_OK;
}

/* What other tools' names mean, once each. */
static void note_aliases(const run_job *j) {
  const char *address, *other;
  for (size_t i = 0; (address = fv_study_address(j->study, i)); i++) {
    size_t k = 0;
    while (k < i && (other = fv_study_address(j->study, k)) && strcmp(other, address) != 0) k++;
    if (k == i) session_note_alias(j->s, address);
  }
}

static fv_status run_study(run_job *j) {
  cli_session *s = j->s;
  fv_status st = fv_study_load(s->args->operands.items[0], &j->study, &s->err);
  if (st) return st;
  j->db = j->options.db = s->args->db ? s->args->db : fv_study_db(j->study);
  st = fv_study_check_outputs(j->study, j->db, &s->err);
  if (st) return st;
  if (s->args->merge) return merge(j);
  st = open_model(j);
  if (!st) st = fv_study_check(j->study, s->model, &s->err);
  if (!st && j->ranks.rank == 0) note_aliases(j);
  if (!st && s->args->dry_run) return dry_run(j);
  return st;
}

static fv_status run(cli_session *s) {
  run_job j = {.s = s};
  fv_status st = check_options(&j);
  if (!st) st = ranks_join(&j.ranks, &s->err);
  if (st) return st;
  bool alone = j.ranks.size == 1 || s->args->merge || s->args->dry_run;
  if (!alone && s->args->shard)
    st = fv_fail(&s->err, FV_EUSAGE, "--shard and mpirun exclude each other; mpirun makes its own shards");
  bool first = j.ranks.rank == 0;
  if (!st && (first || !alone)) st = run_study(&j);
  /* A study that cannot be read is said once, not by every process. */
  bool computes = !s->args->merge && !s->args->dry_run, agreed = ranks_agree(&j.ranks, st);
  if (computes && agreed) st = alone ? compute_alone(&j) : compute_together(&j);
  if (!st && !agreed) st = fv_fail(&s->err, FV_ECANCELLED, "another process failed");
  ranks_leave(&j.ranks);
  fv_study_free(j.study);
  return st;
}

const cli_command command_run = {
    .name = "run",
    .summary = "a study: all samples and sweeps of a file into a database, resumable",
    .details =
        "STUDY is a YAML file (docs/studies.md): a model, samples (a table or a list), sweeps. All of it is checked "
        "before\n"
        "anything is computed. Results go into one SQLite file (docs/results.md), one transaction per sample: a run "
        "that was\n"
        "stopped, killed or cut off goes on where it was when the same is run again, and ends with the same bits; "
        "`digest`\n"
        "is the same exactly when the results are. Samples that cannot be used are stored with the reason.\n"
        "`mpirun -n N fovea run STUDY` divides the samples among N processes. Without MPI, --shard I/N computes one "
        "part, and\n"
        "`fovea run STUDY --merge` puts the parts together.",
    .operand = "STUDY",
    .more_operands = true,
    .options = "db retry-excluded shard merge dry-run threads memory compute json",
    .run = run};
