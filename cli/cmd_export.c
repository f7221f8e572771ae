#include <string.h>

#include "cli.h"

static fv_status check(cli_session *s) {
  const cli_args *a = s->args;
  if (a->operands.count > (a->json ? 2 : 1))
    return fv_fail(&s->err, FV_EUSAGE, "unexpected argument \"%s\"", a->operands.items[a->operands.count - 1]);
  if (!a->json && !a->csv && !a->npz && !a->notice && !a->rome)
    return fv_fail(&s->err, FV_EUSAGE,
                   "say what to write: --csv FILE, --json [FILE], --npz FILE, --rome DIR or --notice DIR");
  if (a->json && a->operands.count < 2 && a->csv && strcmp(a->csv, "-") == 0)
    return fv_fail(&s->err, FV_EUSAGE, "--json and --csv - both want the standard output");
  return FV_OK;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  const char *db = a->operands.items[0], *csv = a->csv, *npz = NULL, *rome = NULL, *notice = NULL;
  const char *json = a->operands.count == 2 ? a->operands.items[1] : NULL;
  bool to_stdout = a->csv && strcmp(a->csv, "-") == 0;
  int64_t rows = -1;
  fv_status st = check(s);
  if (!st && a->csv && !to_stdout) st = output_stage(s, "csv", a->csv, &csv);
  if (!st && json) st = output_stage(s, "json", json, &json);
  if (!st) st = output_stage(s, "npz", a->npz, &npz);
  if (!st) st = output_stage_folder(s, "rome", a->rome, &rome);
  if (!st) st = output_stage_folder(s, "notice", a->notice, &notice);
  if (!st) st = output_check_input(s, db);
  if (!st && npz) st = fv_export_npz(db, a->sweep, npz, &s->err);
  if (!st && rome) st = fv_export_rome(db, a->sweep, rome, &s->err);
  if (!st && notice) st = fv_export_notice(db, a->sweep, notice, &s->err);
  if (!st && csv) st = fv_export_csv(db, a->sweep, csv, &rows, &s->err);
  if (!st && a->json) st = fv_export_json(db, a->sweep, json ? json : "-", &rows, &s->err);
  if (!st && rows >= 0) fprintf(stderr, "%lld rows\n", (long long)rows);
  return st;
}

const cli_command command_export = {
    .name = "export",
    .summary = "a study's results as CSV, JSON or NumPy archives, also in the layouts of ROME and NOTICE",
    .details =
        "--csv FILE and --json [FILE] write the long table, of all sweeps or of --sweep NAME, in the order of the "
        "samples;\n"
        "--npz one archive with the samples stacked; --rome and --notice a folder of archives, one per sample and "
        "site,\n"
        "or one per sweep, site and head. A folder must be new or empty.",
    .takes_model = false,
    .operand = "DB",
    .more_operands = true,
    .options = "sweep csv json npz rome notice",
    .run = run};
