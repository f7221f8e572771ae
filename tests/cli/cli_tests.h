/* What the tests of the command line share: the variables of their command lines, and a run that must go a known way.
 */
#ifndef FOVEA_TESTS_CLI_TESTS_H
#define FOVEA_TESTS_CLI_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "support/run_program.h"

#define MODEL FV_TEST_DATA "/blip/tied"
#define QUESTION "what color is the shirt?"

/* $M the model, $V its vectors, $I and $Q a picture and a question of them. */
static const program_variable vars[] = {{"M", MODEL},
                                        {"V", MODEL "/vectors"},
                                        {"I", "--image $V/image0.png"},
                                        {"Q", "--question '" QUESTION "'"},
                                        {"T", "trace $M $I --question what --draws 1"},
                                        {"E", "edit $M $I --question what --top 3"},
                                        {NULL, NULL}};

/* Runs and expects the status; a failure says nothing on standard output and one line on standard error. */
static inline program_result expect_with(const program_options *o, int status, const char *line) {
  program_result r;
  program_run(o, &r, line, vars);
  if (r.status != status) fail_msg("%s\nstatus %d, expected %d\n%s", line, r.status, status, r.err);
  if (status != 0) {
    if (r.nout != 0) fail_msg("%s\nfailed, but wrote to standard output: %s", line, r.out);
    const char *end = strchr(r.err, '\n');
    if (!end || end[1] || strncmp(r.err, "fovea", 5) != 0) fail_msg("%s\nexpected one line, found: %s", line, r.err);
  }
  return r;
}

static inline program_result expect(int status, const char *line) {
  return expect_with(&(program_options){0}, status, line);
}

/* A command line that must fail: the status, and a part of the message. */
typedef struct refusal {
  int status;
  const char *line, *says;
} refusal;

static inline void expect_refusals(const refusal *list, size_t n) {
  for (size_t i = 0; i < n; i++) {
    program_result r = expect(list[i].status, list[i].line);
    if (!strstr(r.err, list[i].says)) fail_msg("%s\nexpected \"%s\" in: %s", list[i].line, list[i].says, r.err);
    program_release(&r);
  }
}

/* Runs, expects status 0 and returns standard output as JSON. */
static inline json_t *expect_json(const char *line) {
  program_result r = expect(0, line);
  json_error_t detail;
  json_t *j = json_loadb(r.out, r.nout, JSON_REJECT_DUPLICATES, &detail);
  if (!j) fail_msg("%s\nis not JSON: %s", line, detail.text);
  program_release(&r);
  return j;
}

#endif
