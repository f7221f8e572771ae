/* What `fovea trace` writes besides the table: text, JSON, NumPy archive, pictures, the map in the terminal. */
#ifndef FOVEA_CLI_TRACE_OUTPUT_H
#define FOVEA_CLI_TRACE_OUTPUT_H

#include "cli.h"

typedef struct trace_run {
  cli_session *s;
  const fv_trace_options *options;
  fv_trace_choice choice; /* what is meant where the options leave it open */
  fv_trace_result result;
  fv_samples samples;
  const char *npz, *plot;  /* where to write them, or NULL */
  int64_t traced, matched; /* samples traced, and those whose answer is the table's */
} trace_run;

fv_status trace_output(trace_run *r);

#endif
