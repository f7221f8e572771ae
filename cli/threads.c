/* How waiting threads wait.
 *
 * By default the OpenMP library lets a thread that waits spin for milliseconds. On a machine with other work that takes
 * the cores from the very threads that are waited for: a sweep of a small model took ten times as long at a load of ten
 * on two cores. Falling asleep at once costs microseconds. The library reads its environment when it is loaded, so the
 * program starts over, once, with the wish in place. What the user has set counts.
 */
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

void threads_wait_asleep(char **argv) {
  if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0) execv("/proc/self/exe", argv);
  /* Without /proc it is only slower on a busy machine. */
}
