#include "support/scratch.h"

#include <stdio.h>

char *folder;

int folder_setup(void **state) {
  (void)state;
  folder = folder_make();
  return 0;
}

int folder_teardown(void **state) {
  (void)state;
  folder_remove(folder);
  folder = NULL;
  return 0;
}

char *in_folder(const char *name) {
  static char paths[8][1024];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}
