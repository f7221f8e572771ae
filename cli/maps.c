#include "maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fv_status panel_new(cli_session *s, int64_t rows, int64_t cols, cli_panel *p) {
  p->map = (fv_heatmap){.rows = rows, .cols = cols, .title = p->title, .bar_label = p->bar};
  p->values = calloc((size_t)(rows * cols) + 1, sizeof *p->values);
  p->columns = calloc((size_t)cols + 1, sizeof *p->columns), p->rows = calloc((size_t)rows + 1, sizeof *p->rows);
  if (!p->values || !p->columns || !p->rows) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  p->map.values = p->values;
  p->map.row_labels = (const char *const *)p->rows, p->map.col_labels = (const char *const *)p->columns;
  return FV_OK;
}

void panel_layers(const cli_session *s, cli_panel *p, const int64_t *layers) {
  for (int64_t c = 0; c < p->map.cols; c++) {
    char text[24] = "";
    if (layers[c] >= 0 && !(s->args->hide_last_tick && c == p->map.cols - 1))
      snprintf(text, sizeof text, "%lld", (long long)layers[c]);
    p->columns[c] = strdup(text);
  }
}

void panel_minmax(cli_panel *p) {
  int64_t n = p->map.rows * p->map.cols;
  float lo = INFINITY, hi = -INFINITY;
  for (int64_t i = 0; i < n; i++) lo = fminf(lo, p->values[i]), hi = fmaxf(hi, p->values[i]);
  for (int64_t i = 0; i < n; i++)
    p->values[i] = hi > lo ? (p->values[i] - lo) / (hi - lo) : p->values[i] - p->values[i];
}

void panel_release(cli_panel *p) {
  for (int64_t i = 0; p->columns && i < p->map.cols; i++) free(p->columns[i]);
  for (int64_t i = 0; p->rows && i < p->map.rows; i++) free(p->rows[i]);
  free(p->columns), free(p->rows), free(p->values);
}

const char *site_colors(const char *stack, const char *site) {
  if (strncmp(site, "cross", 5) == 0 || strcmp(site, "resid_cross") == 0) return "Blues";
  if (strncmp(site, "attn", 4) == 0 || strcmp(site, "resid_mid") == 0) return "Greens";
  return strcmp(stack, "text_decoder") == 0 ? "Reds" : "Purples";
}

int corrupt_width(const cli_session *s, const char *corrupt) {
  size_t n = strcspn(corrupt, "@");
  int alike = 0;
  for (size_t i = 0; i < s->args->corrupt.count; i++) {
    const char *other = s->args->corrupt.items[i];
    alike += strcspn(other, "@") == n && strncmp(other, corrupt, n) == 0;
  }
  return (int)(alike > 1 ? strlen(corrupt) : n);
}

fv_status maps_check_options(cli_session *s, const char *colors) {
  const cli_args *a = s->args;
  if (a->json && a->csv && strcmp(a->csv, "-") == 0)
    return fv_fail(&s->err, FV_EUSAGE, "--json and --csv - both want the standard output");
  if (a->vmin >= a->vmax) return fv_fail(&s->err, FV_EUSAGE, "--vmin is not below --vmax");
  if (a->minmax && (!isnan(a->vmin) || !isnan(a->vmax)))
    return fv_fail(&s->err, FV_EUSAGE, "--minmax scales every map to 0..1; leave --vmin and --vmax out");
  uint8_t rgb[256][3];
  bool diverging;
  fv_status st = a->colors ? fv_colors_table(a->colors, rgb, &diverging, &s->err) : FV_OK;
  return !st && a->plot ? fv_plot_check(a->plot, colors, &s->err) : st;
}

static bool in_terminal(const cli_args *a) {
  return !a->json && (strcmp(a->show, "always") == 0 ||
                      (strcmp(a->show, "auto") == 0 && isatty(STDOUT_FILENO) && !(a->csv && strcmp(a->csv, "-") == 0)));
}

bool maps_wanted(const cli_session *s, const char *plot) { return plot || in_terminal(s->args); }

static fv_status draw_terminal(cli_session *s, const cli_panel *p, float vmin, float vmax) {
  fv_terminal_options o;
  char *text = NULL;
  const char *term = getenv("COLORTERM"), *columns = getenv("COLUMNS");
  bool terminal = isatty(STDOUT_FILENO) != 0;
  fv_terminal_defaults(&o);
  o.colors = p->colors, o.vmin = vmin, o.vmax = vmax;
  o.depth = !terminal                                                                ? FV_TERMINAL_PLAIN
            : term && (strcmp(term, "truecolor") == 0 || strcmp(term, "24bit") == 0) ? FV_TERMINAL_TRUE
                                                                                     : FV_TERMINAL_256;
  if (columns && atol(columns) >= 20) o.width = atol(columns);
  fv_status st = fv_plot_terminal(&text, &p->map, &o, &s->err);
  if (!st) fprintf(s->out, "%s\n", text);
  free(text);
  return st;
}

/* In the terminal, too, all maps have one scale: the ends that are left open are those of all their values. */
static fv_status common_scale(cli_session *s, const cli_panel *panels, size_t n, float *vmin, float *vmax) {
  uint8_t rgb[256][3];
  bool diverging;
  float lo = INFINITY, hi = -INFINITY;
  for (size_t i = 0; i < n; i++)
    for (int64_t k = 0; k < panels[i].map.rows * panels[i].map.cols; k++)
      if (isfinite(panels[i].values[k])) lo = fminf(lo, panels[i].values[k]), hi = fmaxf(hi, panels[i].values[k]);
  if (n < 2 || lo >= hi) return FV_OK;
  fv_status st = fv_colors_table(panels[0].colors, rgb, &diverging, &s->err);
  if (diverging) { /* one end says the other */
    if (isnan(*vmin) && isnan(*vmax)) *vmax = fmaxf(fabsf(lo), fabsf(hi)), *vmin = -*vmax;
    return st;
  }
  if (isnan(*vmin) && !(lo >= *vmax)) *vmin = lo;
  if (isnan(*vmax) && !(hi <= *vmin)) *vmax = hi;
  return st;
}

fv_status maps_draw(cli_session *s, cli_panel *panels, size_t n, const char *title, float vmin, float vmax,
                    const char *plot) {
  float low = vmin, high = vmax;
  fv_status st = common_scale(s, panels, n, &low, &high);
  for (size_t i = 0; i < n && !st && in_terminal(s->args); i++) st = draw_terminal(s, &panels[i], low, high);
  if (st || !plot) return st;
  fv_heatmap *maps = calloc(n + 1, sizeof *maps);
  if (!maps) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < n; i++) maps[i] = panels[i].map;
  fv_plot_options o;
  fv_plot_defaults(&o);
  o.title = title, o.colors = n ? panels[0].colors : NULL, o.vmin = vmin, o.vmax = vmax, o.serif = s->args->serif;
  st = fv_plot_write(plot, n, maps, &o, &s->err);
  free(maps);
  return st;
}

void json_map_begin(fv_json_out *j, const cli_map *m) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_text(j, "corrupt", m->corrupt);
  fv_json_out_text(j, "stack", m->stack);
  fv_json_out_text(j, "site", m->site);
  fv_json_out_begin(j, "layers", '[');
  for (int64_t c = 0; c < m->cols; c++) fv_json_out_count(j, NULL, m->layers[c]);
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "pieces", '[');
  for (int64_t i = 0; i < m->rows; i++) fv_json_out_text(j, NULL, m->labels[i]);
  fv_json_out_end(j, ']');
}

void print_runs(FILE *out, const cli_runs *r) {
  fprintf(out, "\n%lld runs, %lld rows computed, %.4g Gflop (run by run: %.1f times as many)\n", (long long)r->runs,
          (long long)r->cost->rows, r->cost->flops / 1e9, r->cost->full_flops / r->cost->flops);
  if (r->checked) fprintf(out, "%lld runs recomputed alone: the same bits\n", (long long)r->checked);
}

void json_runs(fv_json_out *j, const cli_session *s, const cli_runs *r) {
  fv_json_out_int(j, "window", r->window);
  fv_json_out_int(j, "seed", r->seed);
  fv_json_out_text(j, "rng", s->args->rng);
  fv_json_out_int(j, "runs", r->runs);
  fv_json_out_int(j, "rows", r->cost->rows);
  fv_json_out_num(j, "flops", r->cost->flops);
  fv_json_out_int(j, "checked", r->checked);
  fv_json_out_text(j, "engine", fv_model_engine(s->model));
}

fv_status npz_arrays(cli_session *s, fv_npz *z, const char *prefix, const cli_array *arrays, size_t n) {
  char name[160];
  fv_status st = FV_OK;
  for (size_t i = 0; i < n && !st; i++) {
    snprintf(name, sizeof name, "%s%s", prefix, arrays[i].name);
    st = fv_npz_add(z, name, arrays[i].type, arrays[i].ndim, arrays[i].shape, arrays[i].data, &s->err);
  }
  return st;
}

fv_status npz_rome(cli_session *s, fv_npz *z, const char *prefix, const cli_rome *r) {
  char place[128];
  const char *kind = fv_rome_kind(r->site), *site = place;
  int64_t span[2] = {0, r->shape[0]}, two = 2;
  snprintf(place, sizeof place, "%s.%s", r->stack, r->site);
  const cli_array arrays[] = {{"scores", FV_NPY_F64, r->rank, r->shape, r->scores},
                              {"low_score", FV_NPY_F64, 0, NULL, &r->low},
                              {"high_score", FV_NPY_F64, 0, NULL, &r->high},
                              {"input_ids", FV_NPY_I64, 1, r->shape, r->ids},
                              {"input_tokens", FV_NPY_TEXT, 1, r->shape, r->tokens},
                              {"subject_range", FV_NPY_I64, 1, &two, span},
                              {"answer", FV_NPY_TEXT, 0, NULL, &r->answer},
                              {"window", FV_NPY_I64, 0, NULL, &r->window},
                              {"correct_prediction", FV_NPY_BOOL, 0, NULL, &r->right},
                              {"kind", FV_NPY_TEXT, 0, NULL, &kind},
                              {"site", FV_NPY_TEXT, 0, NULL, &site}};
  return npz_arrays(s, z, prefix, arrays, sizeof arrays / sizeof *arrays);
}
