/* The inside of fv_kernels, for the sources of this room and their tests.
 *
 * Everything but the list of matmul families is constant after fv_kernels_new. The list and the tiles in it only grow;
 * they are read and extended under `lock`. Ownership: fv_kernels owns the families; an fv_linear borrows its two.
 */
#ifndef FOVEA_KERNEL_KERNELS_H
#define FOVEA_KERNEL_KERNELS_H

#include <pthread.h>

#include "kernel/dnnl_compat.h"
#include "kernel/isa_table.h"
#include "kernel/kernel.h"

typedef struct fv_matmul_family fv_matmul_family;

struct fv_kernels {
  int threads;
  const fv_kernel_table *table;
  const char *isa;
  dnnl_engine_t engine;
  pthread_mutex_t lock;
  fv_matmul_family *families; /* guarded by lock */
  uint64_t forbidden;         /* tests: bit i set = treat row tile number i as if it had failed its check */
  bool no_direct, no_few;     /* tests: as if packing straight from the file, or few-row products, gave other bits */
  char library[160];
};

/* linear.c: proves the row tiles of some awkward and some usual shapes and writes k->library. */
fv_status fv_matmul_self_check(fv_kernels *k, fv_error *err);
void fv_matmul_free_all(fv_kernels *k);

/* For tests: the vector kernels of another instruction set ("x86-64-v3"); FV_EUNSUPPORTED where they cannot run. */
fv_status fv_kernels_force_isa(fv_kernels *k, const char *isa, fv_error *err);
/* For tests, before anything is packed: row tiles of no other size than `rows` (one of 1..16, 24, 32, .. 64) pass their
 * check, as if oneDNN had failed the others. Writes the library text anew. */
fv_status fv_kernels_force_tile(fv_kernels *k, int64_t rows, fv_error *err);

#endif
