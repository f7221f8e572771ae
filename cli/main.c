/* fovea: the command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const cli_command *const commands[] = {&command_info,   &command_ask,    &command_tokens,  &command_trace,
                                              &command_patch,  &command_attend, &command_circuit, &command_maps,
                                              &command_edit,   &command_verify, &command_bench,   &command_data,
                                              &command_report, &command_export, &command_run,     &command_help};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

const cli_command *command_at(int i) { return i >= 0 && i < NCOMMANDS ? commands[i] : NULL; }

const cli_command *command_find(const char *name) {
  for (int i = 0; i < NCOMMANDS; i++)
    if (strcmp(commands[i]->name, name) == 0) return commands[i];
  return NULL;
}

/* Says what failed and gives the exit status: 2 for what was typed wrongly, 1 for everything else. */
static int complain(const char *command, fv_status st, const fv_error *err) {
  fprintf(stderr, "fovea%s%s: %s\n", *command ? " " : "", command, err->text[0] ? err->text : fv_status_text(st));
  return st == FV_EUSAGE || st == FV_ECONFLICT ? 2 : 1;
}

static fv_status cannot_write(fv_error *err) {
  return fv_fail(err, FV_EIO, "cannot write to standard output: %s", strerror(errno));
}

static fv_status run_command(const cli_command *c, const cli_args *args, fv_error *err) {
  cli_session s = {.args = args};
  char *text = NULL;
  size_t size = 0;
  s.out = open_memstream(&text, &size);
  if (!s.out) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = c->takes_model ? session_open(&s, c->few_waves && !args->samples) : FV_OK;
  if (!st) st = c->run(&s);
  bool lost = ferror(s.out) != 0;
  lost |= fclose(s.out) != 0;
  if (!st && lost) st = fv_fail(&s.err, FV_ENOMEM, "no memory for the output");
  if (!st && size > 0 && fwrite(text, 1, size, stdout) != size) st = cannot_write(&s.err);
  if (!st && fflush(stdout) != 0) st = cannot_write(&s.err);
  if (!st) st = outputs_publish(&s);
  outputs_release(&s);
  fv_model_close(s.model);
  free(text);
  *err = s.err;
  return st;
}

int main(int argc, char **argv) {
  threads_wait_briefly(argv);
  fv_error err = {0};
  session_catch_interrupts();
  const char *name = argc > 1 ? argv[1] : "help";
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
  if (strcmp(name, "--version") == 0) {
    if (printf("fovea %s\n", FV_VERSION) > 0 && fflush(stdout) == 0) return 0;
    return complain("", cannot_write(&err), &err);
  }
  const cli_command *c = command_find(name);
  if (!c) return complain("", no_such_command(name, &err), &err);
  cli_args args = {0};
  fv_status st = options_parse(c, argc > 2 ? argc - 2 : 0, argv + 2, &args, &err);
  if (!st && args.topic) c = &command_help;
  if (!st) st = run_command(c, &args, &err);
  options_release(&args);
  return st ? complain(c->name, st, &err) : 0;
}
