/* A test program that runs itself once more, on what oneDNN takes for an older processor. */
#ifndef FOVEA_TESTS_KERNEL_AGAIN_H
#define FOVEA_TESTS_KERNEL_AGAIN_H

#include <sys/wait.h>
#include <unistd.h>

#include "kernel/numbers.h"

/* The whole program again where oneDNN must do without its newer instructions: other layouts, other orders of
 * summation, and rows that do depend on their batch. *state is argv[0], or NULL in the programs that this starts. */
static inline void older_processors(void **state) {
  const char *self = *state;
  static const char *const isas[] = {"AVX2", "SSE41"};
  for (size_t i = 0; i < sizeof isas / sizeof *isas && self; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      setenv("DNNL_MAX_CPU_ISA", isas[i], 1);
      execl("/proc/self/exe", self, "again", (char *)NULL);
      _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
  }
}

#endif
