#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* The answer on the terminal while it is generated. */
typedef struct live {
  cli_progress *progress;
  const fv_input *input;
  bool terminal;
  char *before;   /* the text one token ago */
  char *shown;    /* a text of which the first `printed` bytes are on the terminal */
  size_t printed; /* 0: nothing is */
} live;

/* Whether what is on the terminal is how this text begins. */
static bool continues(const live *l, const char *text) {
  return l->printed == 0 || strncmp(text, l->shown, l->printed) == 0;
}

static fv_status follow(void *user, int run, const int32_t *ids, int64_t count, fv_error *err) {
  live *l = user;
  char *text = NULL;
  (void)run;
  if (session_interrupted()) return fv_fail(err, FV_ECANCELLED, "stopped on request");
  if (!l->terminal) return FV_OK;
  fv_status st = fv_input_answer_text(l->input, ids, (size_t)count, &text, err);
  if (st) return st;
  size_t settled = fv_answer_settled(l->before, text);
  if (settled > l->printed && continues(l, text)) {
    progress_stop(l->progress);
    fwrite(text + l->printed, 1, settled - l->printed, stdout);
    fflush(stdout);
    free(l->shown);
    l->shown = l->before;
    l->printed = settled;
  } else {
    free(l->before);
  }
  l->before = text;
  return FV_OK;
}

/* What of the answer has not been printed; all of it where the end changed what came before. */
static const char *rest_of_answer(const live *l, const fv_answer *a) {
  if (continues(l, a->text)) return a->text + l->printed;
  fputc('\n', stdout);
  return a->text;
}

static void print_answer(FILE *out, const char *text, const fv_answer *a) {
  fprintf(out, "%s\n\n%8s  %-16s %10s %9s\n", text, "id", "piece", "logit", "prob");
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
  live l = {&p, in, !s->args->json && isatty(STDOUT_FILENO), NULL, NULL, 0};
  if (!st) {
    fv_wave_follow(w, follow, &l);
    st = fv_answers(w, &run, 1, s->args->top, s->args->generate, progress_start(&p, "of the run", 1.0), &a, &s->err);
    progress_stop(&p);
  }
  int64_t checked = 0;
  if (!st && s->args->check > 0.0) st = fv_wave_check(w, s->args->check, (uint64_t)s->args->seed, &checked, &s->err);
  if (!st && s->args->json) {
    fv_json_out j = {.stream = s->out};
    fv_json_out_begin(&j, NULL, '{');
    st = json_model(&j, s);
    json_input(&j, s, in);
    json_answer(&j, &a);
    if (checked) fv_json_out_int(&j, "checked", checked);
    fv_json_out_end(&j, '}');
  } else if (!st) {
    print_answer(s->out, rest_of_answer(&l, &a), &a);
    if (checked) fprintf(s->out, "\nrecomputed alone: the same bits\n");
  }
  if (st && l.printed) putchar('\n'), fflush(stdout); /* the error comes on a line of its own */
  free(l.before), free(l.shown);
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
        "Prints the generated answer, on a terminal as it comes, then the most probable first tokens with logits and\n"
        "probabilities; of a model that classifies the class, then the most probable ones. Image-text matching has "
        "the\n"
        "classes \"no match\" and \"match\"; CLIP tells which --prompt describes the picture best.",
    .takes_model = true,
    .few_waves = true,
    .options = "image question prompt exif pillow json generate top seed threads memory compute check dry-run",
    .run = run};
