#include "support/scratch.h"

#include <stdio.h>
#include <unistd.h>

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

void database_remove(const char *path) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
  for (int i = 0; i < 4; i++) {
    char name[1024];
    snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
    unlink(name);
  }
}
