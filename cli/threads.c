/* How waiting threads wait.
 *
 * By default the OpenMP library lets a thread that waits spin for many milliseconds. On a machine with other work that
 * takes the cores from the very threads that are waited for: a sweep of a small model took ten times as long at a load
 * of ten on two cores. Falling asleep at once costs a tenth of a forward pass on a quiet machine. Half a millisecond of
 * spinning costs neither. The library reads its environment when it is loaded, so the program starts over, once, with
 * the wish in place. What the user has set counts.
 */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

void threads_wait_briefly(char **argv) {
  if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  /* By the file's own path: as /proc/self/exe it would be called "exe" wherever processes are listed. */
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == sizeof path) return;
  path[n] = '\0';
  if (setenv("GOMP_SPINCOUNT", "10000", 0) == 0) execv(path, argv);
  /* Where that fails it is only slower on a busy machine. */
}
