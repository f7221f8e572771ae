#include <string.h>
#include <sys/stat.h>

#include "cli.h"

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  const char *db = a->operands.items[0];
  const char *staged;
  struct stat page;
  fv_report_options o;
  fv_report_defaults(&o);
  if (a->limit > 0) o.pictures = o.maps = a->limit;
  o.threshold = a->threshold;
  if (!a->out) return fv_fail(&s->err, FV_EUSAGE, "name the page: fovea report %s --out report.html", db);
  fv_status st = output_stage(s, "out", a->out, &staged);
  if (!st) st = output_check_input(s, db);
  if (!st) st = fv_report_write(db, staged, &o, &s->err);
  if (!st && stat(staged, &page) == 0) fprintf(s->out, "%s  %.1f MB\n", a->out, (double)page.st_size / 1e6);
  return st;
}

const cli_command command_report = {
    .name = "report",
    .summary = "a study's database as one HTML page",
    .details =
        "The page says what was asked, of which model, with which data; heat maps and head grids with the exact "
        "numbers\n"
        "under the pointer and the arrow keys, the checks, the samples with their pictures, what was excluded and "
        "why.\n"
        "It is one file that needs no network. All samples count in the averages; --limit bounds how many bring their\n"
        "pictures and their own maps (default 200).",
    .takes_model = false,
    .operand = "DB",
    .options = "out limit threshold",
    .run = run};
