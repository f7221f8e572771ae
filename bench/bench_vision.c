/* Forward passes and a restore sweep of a vision model, one at a time on request, for bench/compare_vision.py.
 *
 *   bench_vision MODEL --image FILE [--prompt TEXT] [--threads N]
 *
 * Reads commands from standard input, one per line, and answers each with one line of numbers:
 *   forward   seconds of pixels (and text) to logits, counted operations
 *   sweep     the same for a clean run, a corrupted one, and a restore of every row of every layer of what `fovea
 * trace` restores by default; then the number of runs rate      operations per second of one large oneDNN product The
 * first wave of all packs the weights and is not reported.
 */
#include <string.h>

#include "measure.h"

/* For the activations of the sweep's thousands of runs. */
#define SWEEP_MEMORY ((size_t)4 << 30)

static void forward(const fv_model *m, const fv_input *in, fv_wave **w) {
  int run;
  DO(fv_wave_new(m, NULL, w, ERR));
  DO(fv_wave_run(*w, -1, in, &run, ERR));
  DO(fv_wave_readout(*w, run, NULL, NULL, ERR));
}

static void sweep(const fv_model *m, const fv_input *in, fv_wave **w) {
  int clean, corrupt, run;
  char edit[160];
  fv_trace_choice choice;
  fv_selection *sites = NULL;
  size_t n = 0;
  DO(fv_trace_choose(m, &choice, ERR));
  /* "mul-gauss:mean=1,std=5@vision.embed" is the edit "mul-gauss vision.embed mean=1,std=5" */
  int op = (int)strcspn(choice.corrupt, ":"), args = (int)strcspn(choice.corrupt + op + 1, "@");
  snprintf(edit, sizeof edit, "%.*s %s %.*s", op, choice.corrupt, choice.corrupt + op + 1 + args + 1, args,
           choice.corrupt + op + 1);
  DO(fv_wave_new(m, &(fv_wave_options){.memory = SWEEP_MEMORY}, w, ERR));
  DO(fv_wave_run(*w, -1, in, &clean, ERR));
  DO(fv_wave_run(*w, clean, NULL, &corrupt, ERR));
  DO(fv_wave_do(*w, corrupt, edit, -1, ERR));
  DO(fv_address_resolve(m, in, choice.restore[0], &sites, &n, ERR));
  for (size_t i = 0; i < n; i++)
    for (int64_t row = 0; row < sites[i].T; row++) {
      fv_selection one = sites[i];
      one.rows = &row, one.nrows = 1, one.all_rows = false;
      fv_edit_options restore = {.op = "replace", .at = &one, .source = clean};
      DO(fv_wave_run(*w, corrupt, NULL, &run, ERR));
      DO(fv_wave_edit(*w, run, &restore, ERR));
      DO(fv_wave_readout(*w, run, NULL, NULL, ERR));
    }
  for (size_t i = 0; i < n; i++) fv_selection_release(&sites[i]);
  free(sites);
}

static void timed(const fv_model *m, const fv_input *in,
                  void (*build)(const fv_model *, const fv_input *, fv_wave **)) {
  fv_wave *w;
  fv_cost cost;
  double t = now();
  build(m, in, &w);
  DO(fv_wave_compute(w, NULL, ERR));
  t = now() - t;
  DO(fv_wave_cost(w, &cost, ERR));
  printf("%.6f %.6g %lld\n", t, cost.flops, (long long)cost.runs);
  fv_wave_free(w);
}

int main(int argc, char **argv) {
  const char *model = NULL;
  fv_input_options o;
  fv_model_options mo = {.threads = omp_get_max_threads()};
  fv_input_defaults(&o);
  for (int i = 1; i < argc; i++) {
    const char *next = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--image") == 0)
      o.image = next, i++;
    else if (strcmp(argv[i], "--prompt") == 0)
      o.prompt = next, i++;
    else if (strcmp(argv[i], "--threads") == 0)
      mo.threads = atoi(next), i++;
    else
      model = argv[i];
  }
  if (!model || !o.image) {
    puts("usage: bench_vision MODEL --image FILE [--prompt TEXT] [--threads N]; see bench/compare_vision.py");
    return 0; /* of scripts/run-bench, which has no such model */
  }
  fv_model *m;
  fv_input *in;
  fv_wave *w;
  char line[64];
  DO(fv_model_open(model, &mo, &m, ERR));
  DO(fv_input_new(m, &o, &in, ERR));
  forward(m, in, &w);
  DO(fv_wave_compute(w, NULL, ERR));
  fv_wave_free(w);
  printf("ready %s\n", fv_model_engine(m));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "forward\n") == 0) timed(m, in, forward);
    if (strcmp(line, "sweep\n") == 0) timed(m, in, sweep);
    if (strcmp(line, "rate\n") == 0) printf("%.6g\n", product_rate(mo.threads));
    fflush(stdout);
  }
  fv_input_free(in);
  fv_model_close(m);
  return 0;
}
