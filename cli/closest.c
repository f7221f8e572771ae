/* What was probably meant by a name that does not exist. */
#include <string.h>

#include "cli.h"

enum { LONGEST = 24 };

static int least(int a, int b) { return a < b ? a : b; }

/* Letters to insert, delete or replace, and neighbours to swap, on the way from one name to the other (optimal string
 * alignment). */
static int changes(const char *a, size_t n, const char *b, size_t m) {
  int d[LONGEST + 1][LONGEST + 1];
  for (size_t i = 0; i <= n; i++) {
    for (size_t k = 0; k <= m; k++) {
      d[i][k] = (int)(i ? i : k);
      if (i == 0 || k == 0) continue;
      bool same = a[i - 1] == b[k - 1];
      d[i][k] = least(least(d[i - 1][k], d[i][k - 1]) + 1, d[i - 1][k - 1] + !same);
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) d[i][k] = least(d[i][k], d[i - 2][k - 2] + 1);
    }
  }
  return d[n][m];
}

void closest_try(cli_closest *c, const char *name) {
  size_t m = strlen(name);
  if (c->size > LONGEST || m > LONGEST) return;
  int n = changes(c->typed, c->size, name, m), most = c->size < 4 ? 1 : 2;
  if (n <= most && (!c->name || n < c->changes)) c->name = name, c->changes = n;
}

fv_status no_such_command(const char *name, fv_error *err) {
  cli_closest c = {.typed = name, .size = strlen(name)};
  for (int i = 0; command_at(i); i++) closest_try(&c, command_at(i)->name);
  if (!c.name) return fv_fail(err, FV_EUSAGE, "there is no command \"%s\"; `fovea help` lists them", name);
  return fv_fail(err, FV_EUSAGE, "there is no command \"%s\"; did you mean %s? `fovea help` lists them", name, c.name);
}
