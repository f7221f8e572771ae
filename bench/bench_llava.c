/* Weights larger than memory: LLaVA-1.5-7B shapes, streamed, against this machine's own rates. One table, with what is
 * required and what is aimed at.
 *
 *   make_random llava-1.5-7b /tmp/llava-random
 *   bench_llava /tmp/llava-random --image FILE [--threads N] [--memory GIB] [--tokens N] [--no-sweep]
 *
 * The yardsticks, measured first, in the same run: the rate of one large oneDNN product, and that of reading 512 MiB of
 * memory, with as many threads. A first pass over two rows of text binds the weights and fills the file cache. Then one
 * prompt of 600 rows together with twenty runs that differ from it in one state of the last row (their few rows are
 * counted), generation by one run and by the twenty, and the sweep over all heads of the last row. Memory is RssAnon of
 * /proc/self/status, watched by a thread. About six minutes with two cores; --tokens 20 halves it.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

enum { RUNS = 20, ROWS = 600, RUN_TOKENS = 6, MOST_TOKENS = 512 };

typedef struct options {
  const char *model, *image;
  int threads;
  double memory_gib;
  int64_t tokens;
  bool sweep;
} options;

static double memory_rate(int threads) {
  const int64_t n = (int64_t)512 << 20 >> 3;
  int64_t *data = malloc((size_t)n * sizeof *data), total = 0;
  double best = 1e9;
  if (!data) exit(1);
  for (int64_t i = 0; i < n; i++) data[i] = i;
  for (int i = 0; i < 8; i++) {
    double t = now();
    int64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (int64_t k = 0; k < n; k++) sum += data[k];
    t = now() - t;
    total += sum;
    if (t < best) best = t;
  }
  free(data);
  return total == 1 ? 0.0 : (double)(n * 8) / best;
}

static long anonymous_kib(void) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  long kib = 0;
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "RssAnon: %ld", &kib) == 1) break;
  if (f) fclose(f);
  return kib;
}

static atomic_long most_kib;
static atomic_bool finished;
static void *watch_memory(void *unused) {
  struct timespec pause = {.tv_nsec = 50000000};
  for (; !finished; nanosleep(&pause, NULL)) {
    long kib = anonymous_kib();
    if (kib > most_kib) most_kib = kib;
  }
  return unused;
}

/* When each token of the run that is followed came. */
typedef struct clocked {
  int run;
  int64_t n;
  double at[MOST_TOKENS];
} clocked;
static fv_status on_token(void *user, int run, const int32_t *ids, int64_t count, fv_error *err) {
  clocked *c = user;
  (void)ids, (void)err;
  if (run == c->run && count <= MOST_TOKENS) c->at[c->n++] = now();
  return FV_OK;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median time between two tokens; the first comes from the prompt. */
static double step_time(const clocked *c) {
  double d[MOST_TOKENS];
  int64_t n = 0;
  for (int64_t i = 1; i < c->n; i++) d[n++] = c->at[i] - c->at[i - 1];
  if (n == 0) return 0.0;
  qsort(d, (size_t)n, sizeof *d, by_size);
  return d[n / 2];
}

static void row(const char *what, double value, const char *unit, const char *against, double reference, double must,
                double aim) {
  double ratio = value / reference;
  printf("%-34s %9.3f %-5s %-38s %9.3f %7.2f %7.2f %6.2f  %s\n", what, value, unit, against, reference, ratio, must,
         aim,
         ratio <= aim    ? "good"
         : ratio <= must ? "enough"
                         : "MISSED");
  fflush(stdout);
}

/* An input of exactly ROWS rows in the language stack: a character is a token. */
static fv_input *long_input(const fv_model *m, const char *image) {
  char text[ROWS];
  int n = 1;
  for (;;) {
    for (int i = 0; i < n; i++) text[i] = (char)('a' + i % 26);
    text[n] = '\0';
    fv_input_options o;
    fv_input *in = NULL;
    fv_input_defaults(&o);
    o.image = image, o.question = text;
    DO(fv_input_new(m, &o, &in, ERR));
    int64_t rows = fv_input_rows(in, "language");
    if (rows == ROWS) return in;
    fv_input_free(in);
    if (rows > ROWS || n + ROWS - rows >= ROWS) {
      fprintf(stderr, "bench_llava: a question of %d characters gives %lld rows; is this make_random's model?\n", n,
              (long long)rows);
      exit(1);
    }
    n += (int)(ROWS - rows);
  }
}

/* Binds the language model's weights and brings them into the file cache; returns the bytes that one row reads. */
static size_t warm_up(const fv_model *m) {
  fv_input_options o;
  fv_input *in;
  fv_wave *w;
  fv_cost cost;
  int run;
  fv_input_defaults(&o);
  o.prompt = "a";
  DO(fv_input_new(m, &o, &in, ERR));
  DO(fv_wave_new(m, NULL, &w, ERR));
  DO(fv_wave_run(w, -1, in, &run, ERR));
  DO(fv_wave_readout(w, run, NULL, NULL, ERR));
  double t = now();
  DO(fv_wave_compute(w, NULL, ERR));
  t = now() - t;
  DO(fv_wave_cost(w, &cost, ERR));
  printf("first pass, of two rows: %.1f s for %.2f GB from disk or cache\n", t, (double)cost.streamed / 1e9);
  fv_wave_free(w);
  fv_input_free(in);
  return cost.streamed;
}

static void generate(fv_wave *w, const int *runs, int64_t n, int64_t tokens, clocked *c) {
  fv_generation *g = calloc((size_t)n, sizeof *g);
  if (!g) exit(1);
  c->n = 0, c->run = runs[0];
  fv_wave_follow(w, on_token, c);
  DO(fv_wave_generate(w, runs, n, tokens, g, ERR));
  for (int64_t i = 0; i < n; i++) fv_generation_release(&g[i]);
  free(g);
}

/* The prompt with its twenty neighbours, then decoding; returns the seconds of the prompt. */
static double prompt_and_tokens(const options *o, const fv_model *m, const fv_input *in, double product, double memory,
                                size_t row_bytes) {
  fv_wave *w;
  fv_cost cost;
  static clocked c;
  int clean, runs[RUNS];
  DO(fv_wave_new(m, &(fv_wave_options){.generate = true}, &w, ERR));
  DO(fv_wave_run(w, -1, in, &clean, ERR));
  DO(fv_wave_readout(w, clean, NULL, NULL, ERR));
  for (int i = 0; i < RUNS; i++) {
    char edit[64];
    snprintf(edit, sizeof edit, "scale language.0.attn.z@last %g", 0.5 + 0.01 * i);
    DO(fv_wave_run(w, clean, NULL, &runs[i], ERR));
    DO(fv_wave_do(w, runs[i], edit, -1, ERR));
    DO(fv_wave_readout(w, runs[i], NULL, NULL, ERR));
  }
  DO(fv_wave_cost(w, &cost, ERR));
  double t = now();
  DO(fv_wave_compute(w, NULL, ERR));
  t = now() - t;
  double work = cost.flops / product, reading = (double)cost.streamed / memory;
  row("prompt of 600 rows", t, "s", work > reading ? "counted operations / product rate" : "bytes / memory rate",
      work > reading ? work : reading, 1.4, 1.15);
  generate(w, &clean, 1, o->tokens, &c);
  double one = step_time(&c);
  row("one token", one, "s", "bytes of the weights / memory rate", (double)row_bytes / memory, 3.0, 1.5);
  generate(w, runs, RUNS, RUN_TOKENS, &c);
  row("one step of twenty runs", step_time(&c), "s", "one step of one run", one, 2.5, 1.5);
  /* Of float16 weights: two operations per weight and run, two bytes per weight. Nothing is required here. */
  row("one step of twenty runs", step_time(&c), "s", "its operations / product rate",
      (double)RUNS * (double)row_bytes / product, INFINITY, 1.25);
  fv_wave_free(w);
  char what[64];
  snprintf(what, sizeof what, "memory, prompt and %lld tokens", (long long)o->tokens);
  row(what, (double)most_kib / 1048576.0, "GiB", "1 GiB", 1.0, 6.0, 3.0);
  return t;
}

/* Every head of every layer set to zero at the last row, one run each. */
static void head_sweep(const fv_model *m, const fv_input *in, double product, double forward) {
  fv_stack_info language = {0};
  for (int i = 0; i < fv_model_stacks(m); i++)
    if (strcmp(fv_model_stack(m, i).name, "language") == 0) language = fv_model_stack(m, i);
  fv_wave *w;
  fv_cost clean_cost, cost;
  int clean, run;
  DO(fv_wave_new(m, NULL, &w, ERR));
  DO(fv_wave_run(w, -1, in, &clean, ERR));
  DO(fv_wave_readout(w, clean, NULL, NULL, ERR));
  DO(fv_wave_cost(w, &clean_cost, ERR));
  for (int64_t l = 0; l < language.layers; l++)
    for (int64_t h = 0; h < language.heads; h++) {
      char edit[96];
      snprintf(edit, sizeof edit, "zero language.%lld.attn.z#%lld@last", (long long)l, (long long)h);
      DO(fv_wave_run(w, clean, NULL, &run, ERR));
      DO(fv_wave_do(w, run, edit, -1, ERR));
      DO(fv_wave_readout(w, run, NULL, NULL, ERR));
    }
  double t = now();
  DO(fv_wave_compute(w, NULL, ERR));
  t = now() - t;
  DO(fv_wave_cost(w, &cost, ERR));
  fv_wave_free(w);
  char what[64];
  snprintf(what, sizeof what, "sweep of %lld heads, last row", (long long)(language.layers * language.heads));
  row(what, t, "s", "the prompt + the cells' operations / rate", forward + (cost.flops - clean_cost.flops) / product,
      1.5, 1.15);
}

static options parse(int argc, char **argv) {
  options o = {.threads = omp_get_max_threads(), .memory_gib = 9.0, .tokens = 200, .sweep = true};
  for (int i = 1; i < argc; i++) {
    const char *next = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--image") == 0)
      o.image = next, i++;
    else if (strcmp(argv[i], "--threads") == 0)
      o.threads = atoi(next), i++;
    else if (strcmp(argv[i], "--memory") == 0)
      o.memory_gib = atof(next), i++;
    else if (strcmp(argv[i], "--tokens") == 0)
      o.tokens = atoll(next), i++;
    else if (strcmp(argv[i], "--no-sweep") == 0)
      o.sweep = false;
    else
      o.model = argv[i];
  }
  return o;
}

int main(int argc, char **argv) {
  options o = parse(argc, argv);
  if (!o.model || !o.image || o.tokens < 2 || o.tokens > MOST_TOKENS) {
    puts(
        "usage: bench_llava MODEL --image FILE [--threads N] [--memory GIB] [--tokens N] [--no-sweep]\n"
        "MODEL is what `make_random llava-1.5-7b DIR` writes (14 GB)");
    return 0; /* of scripts/run-bench, which has no such model */
  }
  fv_model *m;
  fv_model_options mo = {.threads = o.threads, .memory = (size_t)(o.memory_gib * 1073741824.0)};
  DO(fv_model_open(o.model, &mo, &m, ERR));
  double load[3] = {0};
  if (getloadavg(load, 3) < 1) load[0] = -1.0;
  double product = product_rate(o.threads), memory = memory_rate(o.threads);
  printf("%s, %d threads, load %.1f; product %.1f Gflop/s, memory %.1f GB/s\n", fv_model_engine(m), o.threads, load[0],
         product / 1e9, memory / 1e9);
  printf("%.1f GiB of packed weights, %.1f GiB allowed: %s\n", (double)fv_model_weight_bytes(m) / 1073741824.0,
         o.memory_gib, fv_model_streamed(m) ? "streamed" : "packed");
  pthread_t watcher;
  if (pthread_create(&watcher, NULL, watch_memory, NULL) != 0) return 1;
  size_t row_bytes = warm_up(m);
  fv_input *in = long_input(m, o.image);
  printf("%-34s %9s %-5s %-38s %9s %7s %7s %6s\n", "", "measured", "", "against", "", "ratio", "must <=", "aim");
  double forward = prompt_and_tokens(&o, m, in, product, memory, row_bytes);
  if (o.sweep) head_sweep(m, in, product, forward);
  finished = true;
  pthread_join(watcher, NULL);
  printf("most anonymous memory of the whole run: %.2f GiB\n", (double)most_kib / 1048576.0);
  fv_input_free(in);
  fv_model_close(m);
  return 0;
}
