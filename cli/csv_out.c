/* CSV tables of commands that have columns of their own. */
#include <errno.h>
#include <string.h>

#include "cli.h"

void csv_text(FILE *f, const char *text) {
  bool quote = strpbrk(text, "\",\r\n") != NULL;
  if (quote) putc('"', f);
  for (; *text; text++) {
    if (*text == '"') putc('"', f);
    putc(*text, f);
  }
  if (quote) putc('"', f);
}

void csv_number(FILE *f, double v) {
  char text[FV_NUMBER_TEXT];
  fv_number_format(text, (float)v);
  fputs(text, f);
}

fv_status csv_write(cli_session *s, const char *path, void (*lines)(FILE *f, const void *user), const void *user) {
  if (strcmp(path, "-") == 0) return lines(s->out, user), FV_OK;
  FILE *f = fopen(path, "w");
  if (!f) return fv_fail(&s->err, FV_EIO, "%s: cannot write: %s", path, strerror(errno));
  lines(f, user);
  bool lost = ferror(f) != 0;
  lost |= fclose(f) != 0;
  return lost ? fv_fail(&s->err, FV_EIO, "%s: cannot write: %s", path, strerror(errno)) : FV_OK;
}
