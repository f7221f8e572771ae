/* What `fovea attend` has measured, and writing it: text, JSON, CSV, NumPy, pictures. */
#ifndef FOVEA_CLI_ATTEND_OUTPUT_H
#define FOVEA_CLI_ATTEND_OUTPUT_H

#include "cli.h"

typedef struct attend_run {
  cli_session *s;
  fv_attend_maps maps;
  int64_t excluded;                 /* samples */
  bool difference;                  /* something was subtracted */
  fv_input *input;                  /* of the one sample, whose picture lies below the maps; NULL: several */
  const char *csv, *npz, *plot;     /* staged names */
  char title[200], minus_text[128]; /* what was looked at; what was subtracted, or "" */
} attend_run;

fv_status attend_output(attend_run *r);

#endif
