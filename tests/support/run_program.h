/* Runs a program without a shell and keeps what it said.
 *
 *   program_result r = {0};
 *   program_run(&(program_options){0}, &r, "fovea ask $M --image '$V/a b.png' --top 3", vars);
 *   ... r.status, r.out, r.err ...
 *   program_release(&r);
 *
 * The command line is one string: words are separated by blanks, single quotes hold a word together, and $X is replaced
 * by a variable's value, which may itself be several words. The first word is a program in the build
 * folder. Standard input is empty unless given; output goes to files, so its size does not matter. A program that
 * takes longer than the limit is killed and fails the test.
 */
#ifndef FOVEA_TESTS_RUN_PROGRAM_H
#define FOVEA_TESTS_RUN_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct program_variable {
  const char *name, *value; /* a list ends with a NULL name */
} program_variable;

/* interrupt_write asks for tracing, which this machine does not allow. */
enum { PROGRAM_UNTRACED = 125 };

typedef struct program_options {
  const char *folder;  /* to run in; NULL: the current one */
  const char *input;   /* standard input */
  const char *output;  /* a file that standard output goes to, such as /dev/full; NULL: r->out */
  const char *models;  /* $FOVEA_MODELS */
  bool closed_pipe;    /* standard output is a pipe that nobody reads */
  int interrupt_after; /* milliseconds from when it listens for SIGINT until it gets one; 0: never */
  int interrupt_write; /* SIGINT when it returns from its Nth write to standard output, whatever the time; 0: never */
  int seconds;         /* limit; 0: 120 */
  long file_bytes;     /* largest file that may be written (RLIMIT_FSIZE); 0: any */
} program_options;

typedef struct program_result {
  int status; /* exit status; 128 + N when signal N ended it; PROGRAM_UNTRACED */
  char *out, *err;
  size_t nout, nerr;
  double wall; /* seconds */
} program_result;

void program_run(const program_options *o, program_result *r, const char *line, const program_variable *variables);
void program_release(program_result *r);

/* The bytes of a file, NUL-terminated; NULL when it cannot be read. */
char *file_text(const char *path, size_t *size);
void file_write(const char *path, const char *text, size_t size);
/* A fresh folder below the current one, and its removal with everything in it. */
char *folder_make(void);
void folder_remove(char *path); /* frees it, too */
/* The number of entries of a folder. */
size_t folder_count(const char *path);

#endif
