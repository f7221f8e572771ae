/* `--db FILE`: the rows of an experiment, gathered and added to a database. Without the option nothing happens.
 *
 * The database is opened before anything is computed, so that a wrong one is refused at once; one that was made for a
 * command that then fails is removed again.
 */
#ifndef FOVEA_CLI_DB_OUTPUT_H
#define FOVEA_CLI_DB_OUTPUT_H

#include "cli.h"

typedef struct cli_db {
  cli_session *s;
  fv_store *store; /* NULL: no --db */
  fv_table *table; /* of the sample that is computed */
  bool made;       /* the file was not there */
  int64_t added;
} cli_db;

fv_status db_open(cli_session *s, cli_db *db);
fv_sink db_sink(const cli_db *db);
/* Stores what the sink got since the last call. */
fv_status db_add_trace(cli_db *db, const fv_trace_options *o, const fv_trace_result *r);
fv_status db_add_patch(cli_db *db, const fv_patch_options *o, const fv_patch_result *r);
void db_close(cli_db *db);

#endif
