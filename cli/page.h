/* --html: the page of one experiment, from its table and the options. */
#ifndef FOVEA_CLI_PAGE_H
#define FOVEA_CLI_PAGE_H

#include "cli.h"

typedef struct cli_page {
  const char *kind; /* "trace" or "patch" */
  const fv_table *table;
  const char *answer, *correct, *incorrect; /* answer: the clean run's own */
  int64_t answer_row;                       /* -1: none */
  const char *const *corrupt, *const *site; /* what was corrupted and what was exchanged, as text */
  size_t ncorrupt, nsite;
  const fv_samples *samples; /* of a table of samples, or NULL */
} cli_page;

fv_status page_write(cli_session *s, const char *path, const cli_page *page);

#endif
