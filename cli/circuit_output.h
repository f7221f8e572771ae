/* What `fovea circuit` has found, and writing it: text, JSON, CSV, pictures. */
#ifndef FOVEA_CLI_CIRCUIT_OUTPUT_H
#define FOVEA_CLI_CIRCUIT_OUTPUT_H

#include "cli.h"

/* One study, or one group of it. */
typedef struct circuit_study {
  const char *db;
  char name[160]; /* the database, and the group */
  char *group;    /* NULL: all samples, or those without a group */
  char *model;    /* SHA-256 of its weights, or NULL */
  fv_heads heads;
  fv_circuit circuit;
} circuit_study;

typedef struct circuit_run {
  cli_session *s;
  size_t count;
  circuit_study *list;
  bool *common; /* of several studies: heads in all circuits */
  fv_universal universal;
  fv_heads_confirmed confirmed; /* sets 0: not asked for */
  bool several;                 /* a study has several sweeps, and none is named: the table says which a line is of */
  const char *csv, *plot;       /* staged names */
} circuit_run;

fv_status circuit_output(circuit_run *r);

#endif
