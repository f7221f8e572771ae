#include <string.h>

#include "cli.h"

static void print_answer(FILE *out, const fv_answer *a) {
  fprintf(out, "%s\n\n%8s  %-16s %10s %9s\n", a->text, "id", "piece", "logit", "prob");
  for (int64_t i = 0; i < a->ntop; i++)
    fprintf(out, "%8d  %-16s %10.5f %9.5f\n", a->top[i].id, a->top[i].piece, (double)a->top[i].logit, a->top[i].prob);
}

static fv_status answer(cli_session *s, const fv_input *in) {
  fv_wave_options o = {.memory = s->args->memory, .generate = true};
  fv_wave *w = NULL;
  fv_answer a = {0};
  int run;
  fv_status st = fv_wave_new(s->model, &o, &w, &s->err);
  if (!st) st = fv_wave_run(w, -1, in, &run, &s->err);
  if (!st && s->args->dry_run) {
    fv_cost cost;
    st = fv_wave_readout(w, run, NULL, NULL, &s->err);
    if (!st) st = fv_wave_cost(w, &cost, &s->err);
    if (!st) print_cost(s, &cost);
    fv_wave_free(w);
    return st;
  }
  cli_progress p;
  if (!st)
    st = fv_answers(w, &run, 1, s->args->top, s->args->generate, progress_start(&p, "of the run", 1.0), &a, &s->err),
    progress_stop(&p);
  int64_t checked = 0;
  if (!st && s->args->check > 0.0) st = fv_wave_check(w, s->args->check, (uint64_t)s->args->seed, &checked, &s->err);
  if (!st && s->args->json) {
    json_out j = {.f = s->out};
    json_begin(&j, NULL, '{');
    st = json_model(&j, s);
    json_input(&j, s, in);
    json_answer(&j, &a);
    if (checked) json_int(&j, "checked", checked);
    json_end(&j, '}');
  } else if (!st) {
    print_answer(s->out, &a);
    if (checked) fprintf(s->out, "\nrecomputed alone: the same bits\n");
  }
  fv_answer_release(&a);
  fv_wave_free(w);
  return st;
}

static fv_status run(cli_session *s) {
  fv_input *in = NULL;
  fv_status st = session_check_input(s);
  if (!st) st = session_input(s, s->args->image, s->args->question, s->args->prompt, &in);
  if (!st) st = answer(s, in);
  fv_input_free(in);
  return st;
}

const cli_command command_ask = {
    .name = "ask",
    .summary = "the answer to a question about a picture, and the most probable ones",
    .details =
        "Prints the generated answer, then the most probable first tokens with logits and probabilities; of a model "
        "that\n"
        "classifies the class, then the most probable ones. Image-text matching has the classes \"no match\" and "
        "\"match\".",
    .takes_model = true,
    .options = "image question prompt exif pillow json generate top seed threads memory compute check dry-run",
    .run = run};
