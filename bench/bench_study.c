/* What a study costs beyond its sweeps, and what several processes gain.
 *
 *   bench_study MODEL [--samples N] [--rows ROWS] [--repeat K]
 *
 * One table, all of it from this run on this machine: a study of N samples through fv_study_run against the same sweeps
 * one by one through fv_patch; the same study with a wave for every sample; the share of the study's time that goes
 * into the store; and mpirun with two processes of one thread each against one process with two threads, as whole
 * programs. The measurements take turns; the fastest of K counts. Seconds are wall time; processor time, which
 * neighbours disturb less, is printed beside.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fovea/fovea.h"

typedef struct setup {
  const char *model_path, *rows;
  int samples, repeat;
  char folder[64], study[128];
  fv_model *model;
  fv_study *s;
} setup;

typedef struct spent {
  double wall, cpu;
} spent;

enum { SITES = 2 };
static const char *const sites[SITES] = {"text_encoder.*.cross.z", "text_encoder.*.attn.z"};
static fv_error err;

static void need(fv_status st) {
  if (!st) return;
  fprintf(stderr, "bench_study: %s\n", err.text);
  exit(1);
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

static spent now(void) {
  struct timespec t;
  struct rusage self;
  clock_gettime(CLOCK_MONOTONIC, &t);
  getrusage(RUSAGE_SELF, &self);
  return (spent){(double)t.tv_sec + (double)t.tv_nsec * 1e-9, seconds_of(self.ru_utime) + seconds_of(self.ru_stime)};
}

static spent since(spent from) {
  spent t = now();
  return (spent){t.wall - from.wall, t.cpu - from.cpu};
}

static void fastest(spent *best, spent one) {
  if (best->wall == 0.0 || one.wall < best->wall) best->wall = one.wall;
  if (best->cpu == 0.0 || one.cpu < best->cpu) best->cpu = one.cpu;
}

/* The two pictures of a pair; there are enough that no two samples have one in common. */
static void picture(int i, char side, char out[512]) {
  snprintf(out, 512, "%s/examples/study/pictures/color-%03d-%c.png", FV_SOURCE_DIR, i % 120, side);
}

static void write_study(setup *b) {
  char clean[512], corrupt[512];
  snprintf(b->folder, sizeof b->folder, "/tmp/fovea-bench-XXXXXX");
  if (!mkdtemp(b->folder)) exit(1);
  snprintf(b->study, sizeof b->study, "%s/study.yaml", b->folder);
  FILE *f = fopen(b->study, "w");
  if (!f) exit(1);
  fprintf(f, "model: %s\nsamples:\n", b->model_path);
  for (int i = 0; i < b->samples; i++) {
    picture(i, 'a', clean), picture(i, 'b', corrupt);
    fprintf(f,
            "  - {image: %s, corrupt_image: %s, question: what color is the circle, correct: green, incorrect: red}\n",
            clean, corrupt);
  }
  fprintf(f, "sweeps:\n");
  for (int k = 0; k < SITES; k++)
    fprintf(f, "  - {kind: patch, site: %s, heads: each, rows: '%s', corrupt: image}\n", sites[k], b->rows);
  if (fclose(f) != 0) exit(1);
}

/* The same sweeps as single commands make them, the model being open and its weights packed. */
static spent sum_of_sweeps(const setup *b) {
  spent from = now();
  for (int i = 0; i < b->samples * SITES; i++) {
    char clean[512], corrupt[512], text[600];
    const char *list[] = {text};
    picture(i / SITES, 'a', clean), picture(i / SITES, 'b', corrupt);
    snprintf(text, sizeof text, "image:%s", corrupt);
    fv_patch_options o;
    fv_patch_result result = {0};
    fv_table *table;
    fv_patch_defaults(&o);
    o.input.image = clean, o.input.question = "what color is the circle";
    o.corrupt = list, o.ncorrupt = 1, o.site = &sites[i % SITES], o.nsite = 1, o.heads = "each", o.rows = b->rows;
    o.correct = "green", o.incorrect = "red";
    need(fv_table_new(&table, &err));
    need(fv_patch(b->model, &o, fv_table_sink(table), NULL, &result, &err));
    fv_patch_release(&result);
    fv_table_free(table);
  }
  return since(from);
}

static void forget_results(const setup *b) {
  char path[128];
  snprintf(path, sizeof path, "%s/study.db", b->folder);
  unlink(path);
}

static spent study(const setup *b, int64_t wave_samples, fv_study_result *result) {
  fv_study_options o = {.wave_samples = wave_samples};
  spent from = now();
  need(fv_study_run(b->s, b->model, &o, result, &err));
  spent t = since(from);
  forget_results(b);
  return t;
}

/* A whole program; children's processor time. */
static spent program(const setup *b, const char *line) {
  struct rusage before, after;
  spent from = now();
  getrusage(RUSAGE_CHILDREN, &before);
  if (system(line) != 0) return (spent){NAN, NAN};
  getrusage(RUSAGE_CHILDREN, &after);
  spent t = since(from);
  t.cpu = seconds_of(after.ru_utime) + seconds_of(after.ru_stime) - seconds_of(before.ru_utime) -
          seconds_of(before.ru_stime);
  forget_results(b);
  return t;
}

static void processes(const setup *b) {
  char one[1024], two[1024];
  spent alone = {0}, both = {0};
  snprintf(one, sizeof one, "%s/fovea run %s --threads 2 >/dev/null", FV_BINARY_DIR, b->study);
  snprintf(two, sizeof two, "mpirun --allow-run-as-root --bind-to core -n 2 %s/fovea run %s --threads 1 >/dev/null",
           FV_BINARY_DIR, b->study);
  for (int k = 0; k < b->repeat; k++) fastest(&alone, program(b, one)), fastest(&both, program(b, two));
  if (isnan(both.wall)) {
    printf("2 processes x 1 thread    could not be run: mpirun is missing, or has fewer than two cores\n");
    return;
  }
  printf("1 process x 2 threads     %8.2f s %8.2f s of a processor\n", alone.wall, alone.cpu);
  printf("2 processes x 1 thread    %8.2f s %8.2f s of a processor   speed %.2f (must 0.9, aim 1.0)\n", both.wall,
         both.cpu, alone.wall / both.wall);
}

int main(int argc, char **argv) {
  setup b = {.samples = 6, .repeat = 3, .rows = "last"};
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] != '-')
      b.model_path = argv[i];
    else if (i + 1 < argc && strcmp(argv[i], "--samples") == 0)
      b.samples = atoi(argv[++i]);
    else if (i + 1 < argc && strcmp(argv[i], "--repeat") == 0)
      b.repeat = atoi(argv[++i]);
    else if (i + 1 < argc && strcmp(argv[i], "--rows") == 0)
      b.rows = argv[++i];
  }
  if (!b.model_path || b.samples < 1 || b.repeat < 1) {
    fprintf(stderr, "usage: bench_study MODEL [--samples N] [--rows ROWS] [--repeat K]\n");
    return 2;
  }
  char absolute[4096];
  if (realpath(b.model_path, absolute)) b.model_path = absolute;
  write_study(&b);
  need(fv_model_open(b.model_path, NULL, &b.model, &err));
  need(fv_study_load(b.study, &b.s, &err));
  spent sweeps = {0}, whole = {0}, waves = {0};
  fv_study_result result, best = {0};
  sum_of_sweeps(&(setup){.model = b.model, .samples = 1, .rows = b.rows}); /* packs the weights */
  for (int k = 0; k < b.repeat; k++) {
    fastest(&sweeps, sum_of_sweeps(&b));
    fastest(&waves, study(&b, 1, &result));
    spent t = study(&b, 0, &result);
    if (whole.wall == 0.0 || t.wall < whole.wall) best = result;
    fastest(&whole, t);
  }
  printf("%s, %d samples, %lld runs; %s, %d threads; fastest of %d\n", fv_model_family(b.model), b.samples,
         (long long)best.runs, fv_model_engine(b.model), fv_model_threads(b.model), b.repeat);
  printf("sweeps one by one         %8.2f s %8.2f s of a processor\n", sweeps.wall, sweeps.cpu);
  printf(
      "the study                 %8.2f s %8.2f s of a processor   ratio %.3f, of processors %.3f (must 1.05, aim "
      "1.00)\n",
      whole.wall, whole.cpu, whole.wall / sweeps.wall, whole.cpu / sweeps.cpu);
  printf("a wave for every sample   %8.2f s %8.2f s of a processor   sharing saves %.0f %%, of processors %.0f %%\n",
         waves.wall, waves.cpu, 100.0 * (1.0 - whole.wall / waves.wall), 100.0 * (1.0 - whole.cpu / waves.cpu));
  printf("store and writer          waited %.3f s, wrote %.3f s      share %.2f %% (must 3, aim 1)\n", best.waited,
         best.writing, 100.0 * (best.waited + best.writing) / best.seconds);
  fv_study_free(b.s);
  fv_model_close(b.model);
  fflush(stdout);
  processes(&b);
  unlink(b.study), rmdir(b.folder);
  return 0;
}
