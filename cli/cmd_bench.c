#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Computes one wave of the kind twice, the first time to pack the weights, and reports the second. */
typedef fv_status (*build_fn)(cli_session *s, const fv_input *in, fv_wave **w);

static fv_status plain(cli_session *s, const fv_input *in, fv_wave **w) {
  int run;
  fv_status st = fv_wave_new(s->model, NULL, w, &s->err);
  if (!st) st = fv_wave_run(*w, -1, in, &run, &s->err);
  return st ? st : fv_wave_readout(*w, run, NULL, NULL, &s->err);
}

/* The corruption as an edit: "mul-gauss:mean=1,std=5@vision.final" is "mul-gauss vision.final mean=1,std=5". */
static void corruption_edit(const char *corrupt, char *out, size_t n) {
  int op = (int)strcspn(corrupt, ":"), args = (int)strcspn(corrupt + op + 1, "@");
  snprintf(out, n, "%.*s %s %.*s", op, corrupt, corrupt + op + 1 + args + 1, args, corrupt + op + 1);
}

/* A clean run, a corrupted one, and every row of every layer of the first stack that `fovea trace` restores. */
static fv_status sweep(cli_session *s, const fv_input *in, fv_wave **w) {
  int clean, corrupt, run;
  char edit_text[160];
  fv_trace_choice choice;
  fv_selection *sites = NULL;
  size_t n = 0;
  fv_status st = fv_trace_choose(s->model, &choice, &s->err);
  if (!st) corruption_edit(choice.corrupt, edit_text, sizeof edit_text);
  if (!st) st = fv_wave_new(s->model, NULL, w, &s->err);
  if (!st) st = fv_wave_run(*w, -1, in, &clean, &s->err);
  if (!st) st = fv_wave_run(*w, clean, NULL, &corrupt, &s->err);
  if (!st) st = fv_wave_do(*w, corrupt, edit_text, -1, &s->err);
  if (!st) st = fv_address_resolve(s->model, in, choice.restore[0], &sites, &n, &s->err);
  for (size_t i = 0; i < n && !st; i++)
    for (int64_t row = 0; row < sites[i].T && !st; row++) {
      fv_selection one = sites[i];
      one.rows = &row, one.nrows = 1, one.all_rows = false;
      fv_edit_options edit = {.op = "replace", .at = &one, .source = clean};
      st = fv_wave_run(*w, corrupt, NULL, &run, &s->err);
      if (!st) st = fv_wave_edit(*w, run, &edit, &s->err);
      if (!st) st = fv_wave_readout(*w, run, NULL, NULL, &s->err);
    }
  for (size_t i = 0; i < n; i++) fv_selection_release(&sites[i]);
  free(sites);
  return st;
}

static fv_status measure(cli_session *s, const char *name, build_fn build, const fv_input *in,
                         const fv_machine *machine, fv_json_out *j) {
  double best = 1e9;
  fv_cost cost = {0};
  for (int i = 0; i < 4; i++) {
    fv_wave *w = NULL;
    fv_status st = build(s, in, &w);
    double t = now();
    if (!st) st = fv_wave_compute(w, NULL, &s->err);
    t = now() - t;
    if (!st && i == 0) st = fv_wave_cost(w, &cost, &s->err);
    fv_wave_free(w);
    if (st) return st;
    if (session_interrupted()) return fv_fail(&s->err, FV_ECANCELLED, "stopped on request");
    if (i > 0 && t < best) best = t;
  }
  double rate = cost.flops / best;
  if (s->args->json) {
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_text(j, "name", name);
    fv_json_out_int(j, "runs", cost.runs);
    fv_json_out_num(j, "seconds", best);
    fv_json_out_num(j, "flops", cost.flops);
    fv_json_out_num(j, "share_of_peak", rate / machine->matmul);
    fv_json_out_num(j, "times_fewer_flops", cost.full_flops / cost.flops);
    fv_json_out_end(j, '}');
  } else {
    fprintf(s->out,
            "%-22s %5lld runs %9.4f s %9.2f Gflop %8.1f Gflop/s %5.0f%% of peak; run by run %.1f times the work\n",
            name, (long long)cost.runs, best, cost.flops / 1e9, rate / 1e9, 100.0 * rate / machine->matmul,
            cost.full_flops / cost.flops);
  }
  return FV_OK;
}

static fv_status run(cli_session *s) {
  fv_machine machine;
  fv_input *in = NULL;
  const char *image = s->args->image, *question = s->args->question, *prompt = s->args->prompt;
  char shipped[sizeof s->path + 16];
  /* The shipped model comes with a picture of its own. */
  snprintf(shipped, sizeof shipped, "%s/example.png", s->path);
  if (!image && !question && !prompt && !fv_model_text_optional(s->model))
    image = shipped, question = "what color is the star";
  fv_status st = image == shipped ? FV_OK : session_check_input(s);
  if (!st) st = session_input(s, image, question, prompt, &in);
  if (!st) st = fv_machine_measure(s->model, 0.5, &machine, &s->err);
  fv_json_out j = {.stream = s->out};
  if (!st && s->args->json) {
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "engine", fv_model_engine(s->model));
    fv_json_out_int(&j, "threads", fv_model_threads(s->model));
    fv_json_out_num(&j, "matmul_flops", machine.matmul);
    fv_json_out_num(&j, "memory_bytes", machine.memory);
    fv_json_out_begin(&j, "workloads", '[');
  } else if (!st) {
    fprintf(s->out, "%s, %d threads\nmatrix product %.0f Gflop/s, of 16 rows %.0f; memory %.1f GB/s\n",
            fv_model_engine(s->model), fv_model_threads(s->model), machine.matmul / 1e9, machine.small / 1e9,
            machine.memory / 1e9);
  }
  if (!st) st = measure(s, "one forward pass", plain, in, &machine, &j);
  if (!st) st = measure(s, "causal trace", sweep, in, &machine, &j);
  if (!st && s->args->json) fv_json_out_end(&j, ']'), fv_json_out_end(&j, '}');
  fv_input_free(in);
  return st;
}

const cli_command command_bench = {.name = "bench",
                                   .summary = "speed of this machine against its own measured peak",
                                   .details =
                                       "Times one forward pass and one causal trace of --image and --question, after "
                                       "the weights are packed, and says what\n"
                                       "share of this machine's matrix product rate they reach. Without them it is "
                                       "the shipped model's own picture.",
                                   .takes_model = true,
                                   .default_model = "blip-demo",
                                   .options = "image question prompt exif pillow json threads memory",
                                   .run = run};
