#include "support/browser.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/run_program.h"

bool browser_present(void) {
  if (system("command -v chromium >/dev/null 2>&1") == 0) return true;
  printf("skip: there is no chromium to open the page with\n");
  return false;
}

char *browser_open(const char *path, const char *fragment, char **console) {
  char full[PATH_MAX], *line = NULL, *folder = folder_make(), *log = NULL, *dom = NULL;
  size_t room = 0, size;
  if (!realpath(path, full)) fail_msg("%s: no such page", path);
  FILE *text = open_memstream(&line, &room);
  fprintf(
      text,
      "timeout 100 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir='%s/profile' "
      "--enable-logging=stderr --virtual-time-budget=5000 --dump-dom 'file://%s#%s' >'%s/dom' 2>'%s/log'",
      folder, full, fragment, folder, folder);
  fclose(text);
  int status = system(line);
  snprintf(full, sizeof full, "%s/log", folder);
  log = file_text(full, &size);
  snprintf(full, sizeof full, "%s/dom", folder);
  dom = file_text(full, &size);
  if (status != 0 || !dom) fail_msg("%s\nstatus %d\n%s", line, status, log ? log : "");
  *console = calloc(strlen(log) + 1, 1);
  for (char *at = strtok(log, "\n"); at; at = strtok(NULL, "\n"))
    if (strstr(at, "CONSOLE")) strcat(strcat(*console, at), "\n");
  free(log);
  free(line);
  folder_remove(folder);
  return dom;
}
