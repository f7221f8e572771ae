/* A folder of the test's own: `folder` is made before and removed after, as setup and teardown of a group or a test. */
#ifndef FOVEA_TESTS_SCRATCH_H
#define FOVEA_TESTS_SCRATCH_H

#include "support/run_program.h"

extern char *folder;
int folder_setup(void **state);
int folder_teardown(void **state);
/* The path of a file in it; valid until the eighth call after. */
char *in_folder(const char *name);

/* Removes a database, and what SQLite and the store keep beside it. */
void database_remove(const char *path);

#endif
