#include "ranks.h"

#include <stdlib.h>
#include <time.h>

#ifdef FV_HAVE_MPI
#include <mpi.h>
#endif

static int number(const char *name, int otherwise) {
  const char *text = getenv(name);
  int n = text ? atoi(text) : 0;
  return n > 0 ? n : otherwise;
}

#ifdef FV_HAVE_MPI
fv_status ranks_join(cli_ranks *r, fv_error *err) {
  *r = (cli_ranks){.size = 1, .local = 1};
  if (number("OMPI_COMM_WORLD_SIZE", 1) == 1 && number("PMI_SIZE", 1) == 1) return FV_OK;
  if (MPI_Init(NULL, NULL) != MPI_SUCCESS) return fv_fail(err, FV_EIO, "MPI cannot be started");
  r->mpi = true;
  MPI_Comm_rank(MPI_COMM_WORLD, &r->rank), MPI_Comm_size(MPI_COMM_WORLD, &r->size);
  r->local = number("OMPI_COMM_WORLD_LOCAL_SIZE", 1);
  return FV_OK;
}

/* MPI's own waiting spins, on a core that another process may need. */
bool ranks_agree(const cli_ranks *r, fv_status mine) {
  int bad = mine != FV_OK, any = bad, done = 0;
  MPI_Request request;
  if (!r->mpi) return mine == FV_OK;
  MPI_Iallreduce(&bad, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD, &request);
  for (;;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done) return !any;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
}

void ranks_leave(cli_ranks *r) {
  if (r->mpi) MPI_Finalize();
  r->mpi = false;
}
#else
fv_status ranks_join(cli_ranks *r, fv_error *err) {
  *r = (cli_ranks){.size = 1, .local = 1};
  int n = number("OMPI_COMM_WORLD_SIZE", number("PMI_SIZE", 1));
  if (n == 1) return FV_OK;
  return fv_fail(
      err, FV_EUNSUPPORTED,
      "mpirun started %d processes, but this fovea was built without MPI; install OpenMPI and build again, or "
      "start %d with --shard I/%d and then `fovea run STUDY --merge`",
      n, n, n);
}
bool ranks_agree(const cli_ranks *r, fv_status mine) { return (void)r, mine == FV_OK; }
void ranks_leave(cli_ranks *r) { (void)r; }
#endif
