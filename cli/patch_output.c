#include "patch_output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

/* Index of the metric that pictures show: the effect, where there is one. */
static int shown(const patch_run *r) {
  const char *name = r->s->args->metric ? r->s->args->metric : r->result.incorrect_id >= 0 ? "effect" : "prob";
  int k = 0;
  while (strcmp(patch_metrics[k], name) != 0) k++;
  return k;
}

static bool by_heads(const patch_run *r) { return r->nmaps > 0 && r->maps[0].head >= 0; }

/* Maps of one site, its heads, stand together: how many from here on. */
static size_t heads_of(const patch_run *r, size_t at) {
  size_t n = 1;
  const patch_map *m = &r->maps[at];
  while (at + n < r->nmaps && r->maps[at + n].site == m->site && r->maps[at + n].stack == m->stack &&
         r->maps[at + n].corrupt == m->corrupt)
    n++;
  return n;
}

/* ---- text and JSON ---- */

static void print_best(const patch_run *r, size_t at, size_t n) {
  FILE *out = r->s->out;
  const patch_map *best = NULL;
  int k = shown(r);
  int64_t place = 0;
  for (size_t i = at; i < at + n; i++) {
    const patch_map *m = &r->maps[i];
    for (int64_t c = 0; c < m->nrows * m->ncols; c++)
      if (isfinite(m->values[k][c]) && (!best || fabs(m->values[k][c]) > fabs(best->values[k][place])))
        best = m, place = c;
  }
  fprintf(out, "  %s %s: ", r->maps[at].stack, r->maps[at].site);
  if (!best) {
    fprintf(out, "no %s: the clean and the corrupted run have the same logit difference\n", patch_metrics[k]);
    return;
  }
  fprintf(out, "largest %s %.4f at ", patch_metrics[k], best->values[k][place]);
  if (best->layers[place % best->ncols] >= 0)
    fprintf(out, "layer %lld, ", (long long)best->layers[place % best->ncols]);
  fprintf(out, "row %lld (%s)", (long long)best->rows[place / best->ncols], best->labels[place / best->ncols]);
  fprintf(out, best->head >= 0 ? ", head %lld\n" : "\n", (long long)best->head);
}

static void print_summary(const patch_run *r) {
  FILE *out = r->s->out;
  const fv_patch_result *p = &r->result;
  const char *corrupt = "";
  fprintf(out, "answer      %s (id %d)\n", p->clean_answer, p->clean_top);
  fprintf(out, "correct     %s (id %d)%s\n", p->correct, p->correct_id,
          p->clean_right ? "" : "; the clean run answers otherwise");
  if (p->incorrect_id >= 0) fprintf(out, "incorrect   %s (id %d)\n", p->incorrect, p->incorrect_id);
  for (size_t i = 0; i < r->nmaps; i += heads_of(r, i)) {
    const patch_map *m = &r->maps[i];
    if (strcmp(m->corrupt, corrupt) != 0) {
      fprintf(out, "\n%s\n  probability %.4f clean, %.4f corrupted", m->corrupt, (double)p->clean_prob,
              m->corrupt_prob);
      if (p->incorrect_id >= 0)
        fprintf(out, "; logit difference %.4f clean, %.4f corrupted", (double)p->clean_logit_diff,
                m->corrupt_logit_diff);
      fputc('\n', out);
      corrupt = m->corrupt;
    }
    print_best(r, i, heads_of(r, i));
  }
  print_runs(out, &(cli_runs){r->options->window, r->options->seed, p->runs, p->checked, &p->cost});
  if (p->undefined)
    fprintf(out, "%lld runs have no effect: the clean and the corrupted run have the same logit difference\n",
            (long long)p->undefined);
}

static void json_map(fv_json_out *j, const patch_map *m) {
  json_map_begin(j, &(cli_map){m->corrupt, m->stack, m->site, m->nrows, m->ncols, m->layers, m->labels});
  fv_json_out_count(j, "head", m->head);
  fv_json_out_int(j, "draws", m->draws);
  fv_json_out_num(j, "corrupt_prob", m->corrupt_prob);
  fv_json_out_num(j, "corrupt_logit_diff", m->corrupt_logit_diff);
  fv_json_out_begin(j, "rows", '[');
  for (int64_t i = 0; i < m->nrows; i++) fv_json_out_int(j, NULL, m->rows[i]);
  fv_json_out_end(j, ']');
  for (int k = 0; k < PATCH_METRICS; k++) json_matrix(j, patch_metrics[k], m->values[k], m->nrows, m->ncols);
  fv_json_out_end(j, '}');
}

static fv_status print_json(const patch_run *r) {
  const fv_patch_result *p = &r->result;
  const fv_patch_options *o = r->options;
  fv_json_out j = {.stream = r->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_status st = json_model(&j, r->s);
  if (st) return st;
  json_question(&j, &o->input);
  json_piece(&j, "answer", p->clean_top, p->clean_answer);
  json_piece(&j, "correct", p->correct_id, p->correct);
  json_piece(&j, "incorrect", p->incorrect_id, p->incorrect);
  fv_json_out_bool(&j, "clean_right", p->clean_right);
  fv_json_out_count(&j, "answer_row", p->answer_row);
  fv_json_out_num(&j, "clean_prob", p->clean_prob);
  fv_json_out_num(&j, "clean_logit_diff", p->clean_logit_diff);
  fv_json_out_text(&j, "direction", o->noise ? "noise" : "denoise");
  fv_json_out_text(&j, "op", o->llava_hs_into_module ? "hs-into-module" : "replace");
  fv_json_out_text(&j, "heads", o->heads);
  json_runs(&j, r->s, &(cli_runs){o->window, o->seed, p->runs, p->checked, &p->cost});
  fv_json_out_int(&j, "undefined", p->undefined);
  fv_json_out_begin(&j, "maps", '[');
  for (size_t i = 0; i < r->nmaps; i++) json_map(&j, &r->maps[i]);
  fv_json_out_end(&j, ']');
  fv_json_out_end(&j, '}');
  return FV_OK;
}

/* ---- NumPy ---- */

/* [rows, layers, heads] from one map per head. */
static double *stacked(const patch_run *r, size_t at, size_t n, int metric) {
  const patch_map *m = &r->maps[at];
  size_t cells = (size_t)(m->nrows * m->ncols);
  double *out = calloc(cells * n + 1, sizeof *out);
  for (size_t h = 0; out && h < n; h++)
    for (size_t i = 0; i < cells; i++) out[i * n + h] = r->maps[at + h].values[metric][i];
  return out;
}

/* Arrays under ROME's names, and the other metrics beside them; those of further sites have a path in front. */
static fv_status npz_site(const patch_run *r, fv_npz *z, size_t at, size_t n, const char *prefix) {
  const patch_map *m = &r->maps[at];
  const fv_patch_result *p = &r->result;
  int64_t shape[3] = {m->nrows, m->ncols, (int64_t)n};
  double *values[PATCH_METRICS] = {0};
  double low_diff = m->corrupt_logit_diff, high_diff = p->clean_logit_diff;
  int64_t *ids = calloc((size_t)m->nrows + 1, sizeof *ids), *heads = calloc(n + 1, sizeof *heads);
  const char *question = fv_model_question_stack(r->s->model), *direction = r->options->noise ? "noise" : "denoise";
  fv_input *in = NULL;
  bool good = ids && heads;
  for (int k = 0; k < PATCH_METRICS; k++) good &= (values[k] = stacked(r, at, n, k)) != NULL;
  fv_status st = good ? fv_input_new(r->s->model, &r->options->input, &in, &r->s->err)
                      : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < m->nrows && !st; i++) {
    fv_row_info info = {.id = -1};
    if (question && strcmp(question, m->stack) == 0) (void)fv_input_row(in, question, m->rows[i], &info, NULL);
    ids[i] = info.id;
  }
  for (size_t h = 0; h < n && good; h++) heads[h] = r->maps[at + h].head;
  size_t rank = by_heads(r) ? 3 : 2;
  const cli_rome rome = {.rank = rank,
                         .shape = shape,
                         .scores = values[0],
                         .low = m->corrupt_prob,
                         .high = p->clean_prob,
                         .ids = ids,
                         .tokens = m->labels,
                         .answer = p->correct,
                         .stack = m->stack,
                         .site = m->site,
                         .window = r->options->window,
                         .right = p->clean_right};
  const cli_array arrays[] = {{"p_diff", FV_NPY_F64, rank, shape, values[1]},
                              {"logit_diff", FV_NPY_F64, rank, shape, values[2]},
                              {"effect", FV_NPY_F64, rank, shape, values[3]},
                              {"low_logit_diff", FV_NPY_F64, 0, NULL, &low_diff},
                              {"high_logit_diff", FV_NPY_F64, 0, NULL, &high_diff},
                              {"direction", FV_NPY_TEXT, 0, NULL, &direction},
                              {"rows", FV_NPY_I64, 1, shape, m->rows},
                              {"layers", FV_NPY_I64, 1, shape + 1, m->layers},
                              {"heads", FV_NPY_I64, 1, shape + 2, heads}};
  size_t count = sizeof arrays / sizeof *arrays - (by_heads(r) ? 0 : 1);
  if (!st) st = npz_rome(r->s, z, prefix, &rome);
  if (!st) st = npz_arrays(r->s, z, prefix, arrays, count);
  for (int k = 0; k < PATCH_METRICS; k++) free(values[k]);
  free(ids), free(heads);
  fv_input_free(in);
  return st;
}

static fv_status write_npz(const patch_run *r) {
  fv_npz *z = NULL;
  fv_status st = fv_npz_open(r->npz, &z, &r->s->err);
  int64_t corrupt = -1;
  for (size_t i = 0; i < r->nmaps && !st; i += heads_of(r, i)) {
    const patch_map *m = &r->maps[i];
    char prefix[128] = "";
    if (i == 0 || strcmp(m->corrupt, r->maps[i - 1].corrupt) != 0) corrupt++;
    if (i > 0 && r->options->ncorrupt > 1)
      snprintf(prefix, sizeof prefix, "%lld/%s.%s/", (long long)corrupt, m->stack, m->site);
    else if (i > 0)
      snprintf(prefix, sizeof prefix, "%s.%s/", m->stack, m->site);
    st = npz_site(r, z, i, heads_of(r, i), prefix);
  }
  if (!st) return fv_npz_commit(z, &r->s->err);
  fv_npz_abort(z);
  return st;
}

/* ---- pictures ---- */

static void set_texts(const patch_run *r, const patch_map *m, bool head, cli_panel *p) {
  const fv_patch_result *result = &r->result;
  const char *metric = patch_metrics[shown(r)];
  char *t = p->title;
  snprintf(t, sizeof p->title, "%s %s", m->stack, m->site);
  const char *set =
      r->options->heads && m->head < 0 && strcmp(r->options->heads, "all") != 0 ? r->options->heads : NULL;
  if (head) snprintf(t + strlen(t), sizeof p->title - strlen(t), " head %lld", (long long)m->head);
  if (set) snprintf(t + strlen(t), sizeof p->title - strlen(t), " heads %.40s together", set);
  if (r->options->ncorrupt > 1)
    snprintf(t + strlen(t), sizeof p->title - strlen(t), ", %.*s", corrupt_width(r->s, m->corrupt), m->corrupt);
  if (strcmp(metric, "prob") == 0)
    snprintf(p->bar, sizeof p->bar, "p(%s)", result->correct);
  else if (strcmp(metric, "p_diff") == 0)
    snprintf(p->bar, sizeof p->bar, "p(%s) - p(%s) corrupted", result->correct, result->correct);
  else if (strcmp(metric, "logit_diff") == 0)
    snprintf(p->bar, sizeof p->bar, "logit(%s) - logit(%s)", result->correct, result->incorrect);
  else
    snprintf(p->bar, sizeof p->bar, "patching effect, %s", r->options->noise ? "noise" : "denoise");
  p->colors = r->s->args->colors            ? r->s->args->colors
              : strcmp(metric, "prob") == 0 ? site_colors(m->stack, m->site)
                                            : "RdBu";
}

/* Rows by layers, of all heads or of one. */
static fv_status row_panel(const patch_run *r, const patch_map *m, cli_panel *p) {
  fv_status st = panel_new(r->s, m->nrows, m->ncols, p);
  if (st) return st;
  for (int64_t i = 0; i < m->nrows * m->ncols; i++) p->values[i] = (float)m->values[shown(r)][i];
  panel_layers(r->s, p, m->layers);
  for (int64_t i = 0; i < m->nrows; i++) p->rows[i] = strdup(m->labels[i]);
  p->map.x_label = r->options->window > 1 ? "centre of the patched layers" : "patched layer";
  set_texts(r, m, m->head >= 0, p);
  return FV_OK;
}

/* Layers by heads, where one row is patched. */
static fv_status head_panel(const patch_run *r, size_t at, size_t n, cli_panel *p) {
  const patch_map *m = &r->maps[at];
  char text[32];
  fv_status st = panel_new(r->s, m->ncols, (int64_t)n, p);
  if (st) return st;
  for (size_t h = 0; h < n; h++)
    for (int64_t l = 0; l < m->ncols; l++) p->values[(size_t)l * n + h] = (float)r->maps[at + h].values[shown(r)][l];
  for (size_t h = 0; h < n; h++)
    snprintf(text, sizeof text, "%lld", (long long)r->maps[at + h].head), p->columns[h] = strdup(text);
  for (int64_t l = 0; l < m->ncols; l++)
    snprintf(text, sizeof text, m->layers[l] < 0 ? "" : "%lld", (long long)m->layers[l]), p->rows[l] = strdup(text);
  p->map.x_label = "patched head", p->map.y_label = "layer";
  set_texts(r, m, false, p);
  snprintf(p->title + strlen(p->title), sizeof p->title - strlen(p->title), ", row %lld (%s)", (long long)m->rows[0],
           m->labels[0]);
  return FV_OK;
}

static fv_status draw(const patch_run *r) {
  if (!maps_wanted(r->s, r->plot)) return FV_OK;
  cli_panel *panels = calloc(r->nmaps + 1, sizeof *panels);
  size_t n = 0;
  fv_status st = panels ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < r->nmaps && !st;) {
    bool heads = r->maps[i].head >= 0 && r->maps[i].nrows == 1;
    size_t together = heads ? heads_of(r, i) : 1;
    st = heads ? head_panel(r, i, together, &panels[n]) : row_panel(r, &r->maps[i], &panels[n]);
    n++, i += together;
  }
  const cli_args *a = r->s->args;
  float vmin = isnan(a->vmin) && shown(r) == 0 && n ? (float)r->maps[0].corrupt_prob : (float)a->vmin;
  for (size_t i = 0; i < r->nmaps && isnan(a->vmin) && shown(r) == 0; i++)
    if ((float)r->maps[i].corrupt_prob < vmin) vmin = (float)r->maps[i].corrupt_prob;
  if (!st) st = maps_draw(r->s, panels, n, NULL, vmin, (float)a->vmax, r->plot);
  for (size_t i = 0; panels && i < n; i++) panel_release(&panels[i]);
  free(panels);
  return st;
}

fv_status patch_output(patch_run *r) {
  const cli_args *a = r->s->args;
  fv_status st = r->npz ? write_npz(r) : FV_OK;
  if (!st) st = draw(r);
  if (st) return st;
  if (a->json) return print_json(r);
  if (!a->csv || strcmp(a->csv, "-") != 0) print_summary(r);
  return FV_OK;
}
