#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

typedef struct maps_run {
  cli_session *s;
  fv_maps maps;
  const char *csv, *plot; /* staged names */
} maps_run;

static const char *metric_name(const cli_args *a) { return a->metric ? a->metric : "prob"; }
static const char *order_name(int64_t order) { return order < 0 ? NULL : order ? "first" : "second"; }

static fv_status check_options(cli_session *s) {
  const cli_args *a = s->args;
  if (a->site.count > 1) return fv_fail(&s->err, FV_EUSAGE, "--site is given twice; the maps of one site are drawn");
  if (a->by_group && a->group) return fv_fail(&s->err, FV_EUSAGE, "--by-group and --group exclude each other");
  return maps_check_options(s, "Purples");
}

/* "states, correct answer first, 7 samples" */
static void describe(const fv_mean_map *m, const char *all, char *out, size_t room) {
  const char *order = order_name(m->order);
  snprintf(out, room, "%.60s%s%s, %lld sample%s", m->group ? m->group : all, order ? ", correct answer " : "",
           order ? order : "", (long long)m->samples, m->samples == 1 ? "" : "s");
}

static void print_text(const maps_run *r) {
  const fv_maps *maps = &r->maps;
  FILE *out = r->s->out;
  fprintf(out, "%s %s, sweep %s (%s): mean %s\n", maps->stack, maps->site, maps->sweep,
          maps->noise ? "noise" : "denoise", metric_name(r->s->args));
  for (size_t i = 0; i < maps->count; i++) {
    const fv_mean_map *m = &maps->list[i];
    int64_t best = -1;
    char text[160];
    for (int64_t k = 0; k < m->rows * m->layers; k++)
      if (!isnan(m->values[k]) && (best < 0 || fabs(m->values[k]) > fabs(m->values[best]))) best = k;
    describe(m, "all", text, sizeof text);
    fprintf(out, "  %s, %lld rows: ", text, (long long)m->rows);
    if (best < 0)
      fputs("no number; logit_diff and effect need an incorrect answer\n", out);
    else
      fprintf(out, "largest %.4f at layer %lld, row %lld (%s)\n", m->values[best], (long long)(best % m->layers),
              (long long)(best / m->layers), m->labels[best / m->layers]);
  }
}

static void print_json(const maps_run *r) {
  const fv_maps *maps = &r->maps;
  fv_json_out j = {.stream = r->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_json_out_text(&j, "sweep", maps->sweep);
  fv_json_out_text(&j, "stack", maps->stack);
  fv_json_out_text(&j, "site", maps->site);
  fv_json_out_text(&j, "direction", maps->noise ? "noise" : "denoise");
  fv_json_out_text(&j, "metric", metric_name(r->s->args));
  fv_json_out_begin(&j, "maps", '[');
  for (size_t i = 0; i < maps->count; i++) {
    const fv_mean_map *m = &maps->list[i];
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "group", m->group);
    fv_json_out_text(&j, "order", order_name(m->order));
    fv_json_out_int(&j, "samples", m->samples);
    fv_json_out_begin(&j, "pieces", '[');
    for (int64_t t = 0; t < m->rows; t++) fv_json_out_text(&j, NULL, m->labels[t]);
    fv_json_out_end(&j, ']');
    json_matrix(&j, "values", m->values, m->rows, m->layers);
    fv_json_out_end(&j, '}');
  }
  fv_json_out_end(&j, ']');
  fv_json_out_end(&j, '}');
}

static void csv_lines(FILE *f, const void *user) {
  const fv_maps *maps = user;
  fputs("group,order,samples,stack,site,row,piece,layer,value\n", f);
  for (size_t i = 0; i < maps->count; i++) {
    const fv_mean_map *m = &maps->list[i];
    for (int64_t k = 0; k < m->rows * m->layers; k++) {
      if (m->group) csv_text(f, m->group);
      fprintf(f, ",%s,%lld,%s,%s,%lld,", m->order < 0 ? "" : order_name(m->order), (long long)m->samples, maps->stack,
              maps->site, (long long)(k / m->layers));
      csv_text(f, m->labels[k / m->layers]);
      fprintf(f, ",%lld,", (long long)(k % m->layers));
      csv_number(f, m->values[k]);
      putc('\n', f);
    }
  }
}

static fv_status make_panel(const maps_run *r, const fv_mean_map *m, cli_panel *p) {
  const cli_args *a = r->s->args;
  bool prob = strcmp(metric_name(a), "prob") == 0;
  int64_t *layers = calloc((size_t)m->layers + 1, sizeof *layers);
  fv_status st = panel_new(r->s, m->rows, m->layers, p);
  if (!st && !layers) st = fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (int64_t k = 0; k < m->rows * m->layers && !st; k++) p->values[k] = (float)m->values[k];
  for (int64_t l = 0; l < m->layers && !st; l++) layers[l] = l;
  if (!st) panel_layers(r->s, p, layers);
  free(layers);
  if (st) return st;
  for (int64_t t = 0; t < m->rows; t++) p->rows[t] = strdup(m->labels[t]);
  if (a->minmax) panel_minmax(p);
  p->map.x_label = "layer";
  describe(m, r->maps.site, p->title, sizeof p->title);
  snprintf(p->bar, sizeof p->bar, "mean %s%s", prob ? "p(correct)" : metric_name(a), a->minmax ? ", 0..1" : "");
  p->colors = a->colors ? a->colors : prob || a->minmax ? site_colors(r->maps.stack, r->maps.site) : "RdBu";
  return FV_OK;
}

static fv_status draw(const maps_run *r) {
  const cli_args *a = r->s->args;
  cli_panel *panels = calloc(r->maps.count, sizeof *panels);
  size_t made = 0;
  fv_status st = panels ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (; made < r->maps.count && !st; made++) st = make_panel(r, &r->maps.list[made], &panels[made]);
  if (!st) st = maps_draw(r->s, panels, r->maps.count, NULL, (float)a->vmin, (float)a->vmax, r->plot);
  for (size_t i = 0; i < made; i++) panel_release(&panels[i]);
  free(panels);
  return st;
}

static fv_status output(const maps_run *r) {
  const cli_args *a = r->s->args;
  fv_status st = maps_wanted(r->s, r->plot) ? draw(r) : FV_OK;
  if (!st && r->csv) st = csv_write(r->s, r->csv, csv_lines, &r->maps);
  if (!st && a->json)
    print_json(r);
  else if (!st && !(a->csv && strcmp(a->csv, "-") == 0))
    print_text(r);
  return st;
}

static fv_status read_maps(maps_run *r) {
  static const char *const names[] = {"logit_diff", "effect", "p_diff", "prob"};
  const cli_args *a = r->s->args;
  fv_store *store = NULL;
  fv_maps_query q = {.sweep = a->sweep,
                     .site = a->site.count ? a->site.items[0] : NULL,
                     .group = a->group,
                     .by_group = a->by_group,
                     .by_order = a->by_order};
  for (int i = 0; i < 4; i++)
    if (strcmp(metric_name(a), names[i]) == 0) q.metric = (fv_heads_metric)i;
  fv_status st = fv_store_open(a->operands.items[0], FV_STORE_READ, &store, &r->s->err);
  if (!st) st = fv_maps_read(store, &q, &r->maps, &r->s->err);
  fv_store_close(store);
  return st;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  maps_run r = {.s = s, .csv = a->csv};
  fv_status st = check_options(s);
  if (!st && a->csv && strcmp(a->csv, "-") != 0) st = output_stage(s, "csv", a->csv, &r.csv);
  if (!st) st = output_stage(s, "plot", a->plot, &r.plot);
  if (!st) st = output_check_input(s, a->operands.items[0]);
  if (!st) st = read_maps(&r);
  if (!st) st = output(&r);
  fv_maps_release(&r.maps);
  return st;
}

const cli_command command_maps = {
    .name = "maps",
    .summary = "mean heat maps of a study, by group of samples",
    .details =
        "A sweep over layers and rows, averaged over the samples whose text has the same number of rows: one map for "
        "each\n"
        "number, and with --by-group for each group, with --by-order for questions that name the correct answer first "
        "and\n"
        "second. Rows are called by their pieces; where samples differ, <correct>, <incorrect> or <other>.",
    .takes_model = false,
    .operand = "DB",
    .options =
        "sweep site metric group by-group by-order minmax csv plot json show colors vmin vmax serif hide-last-tick",
    .run = run};
