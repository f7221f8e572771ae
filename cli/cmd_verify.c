#include <string.h>

#include "cli.h"

typedef struct report {
  cli_session *s;
  fv_json_out j;
  int64_t compared;
  double worst;
  char first[256];
} report;

static fv_status on_verdict(void *user, const fv_verdict *v, fv_error *err) {
  report *r = user;
  r->compared++;
  if (v->relative > r->worst) r->worst = v->relative;
  if (!v->good && !r->first[0])
    snprintf(r->first, sizeof r->first, "%s: %s differs by %.3g of its largest value (mean %.3g)", v->sample, v->what,
             v->relative, v->mean);
  if (r->s->args->json) {
    fv_json_out_begin(&r->j, NULL, '{');
    fv_json_out_text(&r->j, "sample", v->sample);
    fv_json_out_text(&r->j, "what", v->what);
    fv_json_out_num(&r->j, "relative", v->relative);
    fv_json_out_num(&r->j, "mean", v->mean);
    fv_json_out_bool(&r->j, "good", v->good);
    fv_json_out_end(&r->j, '}');
  } else if (!v->good) {
    fprintf(stderr, "%s %-36s %10.3g %10.3g\n", v->sample, v->what, v->relative, v->mean);
  }
  return session_interrupted() ? fv_fail(err, FV_ECANCELLED, "stopped on request") : FV_OK;
}

static fv_status run(cli_session *s) {
  report r = {.s = s, .j = {.stream = s->out}};
  int64_t failed = 0;
  if (!s->args->vectors)
    return fv_fail(&s->err, FV_EUSAGE, "a folder of reference activations is missing: --vectors DIR");
  if (s->args->tolerance < 0.0) return fv_fail(&s->err, FV_EUSAGE, "--tolerance is negative; expected 0 or more");
  if (s->args->json) fv_json_out_begin(&r.j, NULL, '{'), fv_json_out_begin(&r.j, "compared", '[');
  fv_status st = fv_verify(s->model, s->args->vectors, s->args->tolerance, on_verdict, &r, &failed, &s->err);
  if (st) return st;
  if (s->args->json) {
    fv_json_out_end(&r.j, ']');
    fv_json_out_int(&r.j, "failed", failed);
    fv_json_out_num(&r.j, "worst", r.worst);
    fv_json_out_end(&r.j, '}');
  } else {
    fprintf(s->out, "%lld comparisons, %lld outside %g; largest difference %.3g of the largest value\n",
            (long long)r.compared, (long long)failed, s->args->tolerance, r.worst);
  }
  if (failed == 0) return FV_OK;
  return fv_fail(&s->err, FV_EMISMATCH, "%lld of %lld comparisons failed; the first: %s", (long long)failed,
                 (long long)r.compared, r.first);
}

const cli_command command_verify = {
    .name = "verify",
    .summary = "compares stored reference activations with this build on this machine",
    .details =
        "Reads a vectors folder (tools/reference says how transformers writes one) and compares every activation in "
        "it, the ids\n"
        "and the generated answers. Exit status 1 when something is outside the tolerance.",
    .takes_model = true,
    .options = "vectors tolerance json threads memory",
    .run = run};
