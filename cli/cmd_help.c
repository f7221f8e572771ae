#include <string.h>

#include "cli.h"

/* What a command's first argument is, after a blank. */
static const char *argument(const cli_command *c, char text[32]) {
  snprintf(text, 32, "%s%s", c->takes_model || c->operand ? " " : "",
           c->takes_model ? "MODEL"
           : c->operand   ? c->operand
                          : "");
  return text;
}

static void overview(FILE *out) {
  fputs("fovea: what a vision-language model's answer hangs on\n\nusage: fovea COMMAND ... [options]\n\n", out);
  for (int i = 0; command_at(i); i++) {
    char what[32], left[64];
    snprintf(left, sizeof left, "%s%s", command_at(i)->name, argument(command_at(i), what));
    fprintf(out, "  %-13s %s\n", left, command_at(i)->summary);
  }
  fputs(
      "\nMODEL is a Hugging Face checkpoint folder, or the name of one under $FOVEA_MODELS or of an installed demo "
      "model.\n"
      "`fovea help COMMAND` describes a command. `fovea help man` prints the manual page.\n",
      out);
}

static void one_command(const cli_command *c, FILE *out) {
  char what[32];
  fprintf(out, "fovea %s%s: %s\n\n%s\n", c->name, argument(c, what), c->summary, c->details);
  if (c->options && c->options[0]) fputs("\noptions:\n", out), options_describe(c, out, false);
  if (c != &command_edit) return;
  fputs("\nedits:\n", out);
  for (int i = 0; fv_op_list(i).name; i++) fprintf(out, "  %-50s %s\n", fv_op_list(i).args, fv_op_list(i).help);
}

/* A leading dot or quote would be a request; a quote or dash elsewhere would become a typographic one. */
void roff_text(FILE *out, const char *text) {
  bool start = true;
  for (const char *s = text; *s; s++) {
    if (start && *s == '.') fputs("\\&", out);
    if (*s == '\\')
      fputs("\\e", out);
    else if (*s == '-')
      fputs("\\-", out);
    else if (*s == '\'')
      fputs("\\(aq", out);
    else if (*s == '`')
      fputs("\\(ga", out);
    else
      fputc(*s, out);
    start = *s == '\n';
  }
  fputc('\n', out);
}

static void manual(FILE *out) {
  fprintf(out,
          ".TH FOVEA 1 \"\" \"fovea %s\" \"User Commands\"\n.SH NAME\nfovea \\- what a vision-language model's answer "
          "hangs on\n",
          FV_VERSION);
  fputs(".SH SYNOPSIS\n.B fovea\nCOMMAND ... [options]\n.SH COMMANDS\n", out);
  for (int i = 0; command_at(i); i++) {
    const cli_command *c = command_at(i);
    char what[32];
    fprintf(out, ".SS %s%s\n", c->name, argument(c, what));
    roff_text(out, c->summary);
    fputs(".PP\n", out);
    roff_text(out, c->details);
    if (c->options) options_describe(c, out, true);
  }
  fputs(".SH EDITS\n", out);
  for (int i = 0; fv_op_list(i).name; i++) {
    fputs(".TP\n.B ", out);
    roff_text(out, fv_op_list(i).args);
    roff_text(out, fv_op_list(i).help);
  }
  fputs(".SH ENVIRONMENT\n.TP\n.B FOVEA_MODELS\na folder in which MODEL is looked for by its name\n", out);
  fputs(
      ".TP\n.B OMP_WAIT_POLICY, GOMP_SPINCOUNT\nhow waiting threads wait; without either, the program starts itself "
      "anew "
      "with GOMP_SPINCOUNT=10000\n",
      out);
  fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 usage.\n", out);
}

static fv_status run(cli_session *s) {
  const char *topic = s->args->topic;
  const cli_command *c = topic ? command_find(topic) : NULL;
  if (!topic)
    overview(s->out);
  else if (strcmp(topic, "man") == 0)
    manual(s->out);
  else if (c)
    one_command(c, s->out);
  else
    return no_such_command(topic, &s->err);
  return FV_OK;
}

const cli_command command_help = {.name = "help",
                                  .summary = "this text, or one command's",
                                  .details = "fovea help [COMMAND | man]",
                                  .options = "",
                                  .run = run};
