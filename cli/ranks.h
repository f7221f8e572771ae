/* The processes of one `mpirun`. MPI carries nothing but "how did it go": every process writes its own file.
 *
 * Without mpirun there is one process, and MPI is not even started. A build without MPI refuses to be started by it,
 * because every process would do the whole work.
 */
#ifndef FOVEA_CLI_RANKS_H
#define FOVEA_CLI_RANKS_H

#include "fovea/status.h"

typedef struct cli_ranks {
  int rank, size, local; /* local: how many of them share this machine */
  bool mpi;
} cli_ranks;

fv_status ranks_join(cli_ranks *r, fv_error *err);
/* Waits until every process is here, sleeping; true when all of them brought FV_OK. */
bool ranks_agree(const cli_ranks *r, fv_status mine);
void ranks_leave(cli_ranks *r);

#endif
