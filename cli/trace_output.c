#include "trace_output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

/* The corruption's text; the default has none in the options. */
static const char *corruption(const trace_run *r, size_t i) {
  return r->options->ncorrupt ? r->options->corrupt[i] : r->choice.corrupt;
}

/* Divides the sums over the questions by another number, as the published averages were. A map over all draws holds
 * every question once for each of them. */
static void divide(fv_trace_result *t, int64_t divisor) {
  for (size_t i = 0; i < t->nmaps; i++) {
    fv_trace_map *m = &t->maps[i];
    int64_t draws = 0;
    for (size_t k = 0; k < t->nmaps && m->draw < 0; k++) {
      const fv_trace_map *o = &t->maps[k];
      draws += o->draw >= 0 && o->corrupt == m->corrupt && o->restore == m->restore && o->rows == m->rows;
    }
    double one = 1.0 / (double)(divisor * (draws > 1 ? draws : 1)), all = one * (double)m->samples;
    for (int64_t c = 0; c < m->rows * m->cols; c++)
      m->prob[c] *= all, m->normalised[c] *= one * (double)(m->samples - m->flat);
    m->low *= all, m->high *= all;
  }
}

static double cell(const trace_run *r, const fv_trace_map *m, int64_t i) {
  const char *what = r->s->args->value;
  if (strcmp(what, "normalised") == 0) return m->normalised[i];
  if (strcmp(what, "difference") == 0) return m->prob[i] - m->low;
  return m->prob[i];
}

/* Maps that pictures show: averages over draws, or single draws; with several row counts the most frequent one. */
static bool shown(const trace_run *r, const fv_trace_map *m) {
  if ((m->draw >= 0) != (strcmp(r->s->args->facet, "draw") == 0)) return false;
  for (size_t i = 0; i < r->result.nmaps; i++) {
    const fv_trace_map *other = &r->result.maps[i];
    bool rival = other != m && other->corrupt == m->corrupt && other->restore == m->restore && other->draw == m->draw;
    if (rival && (other->samples > m->samples || (other->samples == m->samples && other < m))) return false;
  }
  return true;
}

/* ---- text and JSON ---- */

/* The decoder's start token has no piece. */
static const char *row_label(const fv_trace_map *m, int64_t row) {
  return m->labels[row][0] ? m->labels[row] : "[decode]";
}

static void best_cell(const trace_run *r, const fv_trace_map *m) {
  int64_t best = 0;
  char layer[32] = "";
  for (int64_t i = 1; i < m->rows * m->cols; i++)
    if (m->prob[i] > m->prob[best]) best = i;
  if (m->layers[best % m->cols] >= 0)
    snprintf(layer, sizeof layer, "layer %lld, ", (long long)m->layers[best % m->cols]);
  fprintf(r->s->out, "highest %.4f at %srow %lld (%s)\n", m->prob[best], layer, (long long)(best / m->cols),
          row_label(m, best / m->cols));
}

/* The maps in the order of the corruptions, then of the sites; after the last one NULL. */
static const fv_trace_map *next_map(const trace_run *r, size_t *order) {
  size_t corruptions = r->options->ncorrupt ? r->options->ncorrupt : 1,
         sites = r->options->nrestore ? r->options->nrestore : 2;
  for (; *order < corruptions * sites * r->result.nmaps; ++*order) {
    const fv_trace_map *m = &r->result.maps[*order % r->result.nmaps];
    size_t place = *order / r->result.nmaps;
    if (m->corrupt == place / sites && m->restore == place % sites) return ++*order, m;
  }
  return NULL;
}

static void print_summary(const trace_run *r) {
  FILE *out = r->s->out;
  const fv_trace_result *t = &r->result;
  size_t order = 0, corrupt = SIZE_MAX;
  bool many = r->s->args->samples != NULL;
  if (many)
    fprintf(out, "samples     %lld traced, %lld answered as the table says, %zu excluded\n", (long long)r->traced,
            (long long)r->matched, r->samples.nexcluded);
  else
    fprintf(out, "answer      %s (id %d)\n", t->answer, t->answer_id);
  for (const fv_trace_map *m; (m = next_map(r, &order));) {
    if (m->draw >= 0) continue;
    if (m->corrupt != corrupt) fprintf(out, "\n%s\n", corruption(r, m->corrupt));
    if (m->corrupt != corrupt && !many) fprintf(out, "  probability %.4f clean, %.4f corrupted\n", m->high, m->low);
    corrupt = m->corrupt;
    fprintf(out, "  %s %s: ", m->stack, m->site);
    if (many)
      fprintf(out, "%lld row%s, %lld draw%s, clean %.4f, corrupted %.4f, ", (long long)m->rows, m->rows == 1 ? "" : "s",
              (long long)m->samples, m->samples == 1 ? "" : "s", m->high, m->low);
    best_cell(r, m);
  }
  print_runs(out, &(cli_runs){r->options->window, r->options->seed, t->runs, t->checked, &t->cost});
  if (t->flat)
    fprintf(out, "%lld draws have the same clean and corrupted probability; they have no normalised value\n",
            (long long)t->flat);
  for (size_t i = 0; i < r->samples.nexcluded; i++) fprintf(stderr, "excluded: %s\n", r->samples.excluded[i]);
}

static void json_map(fv_json_out *j, const trace_run *r, const fv_trace_map *m) {
  const char *corrupt = corruption(r, m->corrupt);
  json_map_begin(j, &(cli_map){corrupt, m->stack, m->site, m->rows, m->cols, m->layers, m->labels});
  fv_json_out_count(j, "draw", m->draw);
  fv_json_out_int(j, "samples", m->samples);
  fv_json_out_num(j, "clean_prob", m->high);
  fv_json_out_num(j, "corrupt_prob", m->low);
  json_matrix(j, "prob", m->prob, m->rows, m->cols);
  json_matrix(j, "normalised", m->normalised, m->rows, m->cols);
  fv_json_out_end(j, '}');
}

static fv_status print_json(const trace_run *r) {
  const fv_trace_result *t = &r->result;
  fv_json_out j = {.stream = r->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_status st = json_model(&j, r->s);
  if (st) return st;
  if (!r->s->args->samples) {
    json_question(&j, &r->options->input);
    json_piece(&j, "answer", t->answer_id, t->answer);
  } else {
    fv_json_out_int(&j, "samples", r->traced);
    fv_json_out_int(&j, "matched", r->matched);
    fv_json_out_begin(&j, "excluded", '[');
    for (size_t i = 0; i < r->samples.nexcluded; i++) fv_json_out_text(&j, NULL, r->samples.excluded[i]);
    fv_json_out_end(&j, ']');
  }
  json_runs(&j, r->s, &(cli_runs){r->options->window, r->options->seed, t->runs, t->checked, &t->cost});
  fv_json_out_int(&j, "flat", t->flat);
  fv_json_out_begin(&j, "maps", '[');
  for (size_t i = 0; i < t->nmaps; i++) json_map(&j, r, &t->maps[i]);
  fv_json_out_end(&j, ']');
  fv_json_out_end(&j, '}');
  return FV_OK;
}

/* ---- NumPy ---- */

/* Arrays under ROME's names; those of further sites have STACK.SITE/ in front. */
static fv_status npz_site(const trace_run *r, fv_npz *z, const fv_trace_map *m, const char *prefix) {
  fv_error *err = &r->s->err;
  const fv_trace_result *t = &r->result;
  int64_t shape[2] = {m->rows, m->cols};
  const char *text = fv_model_question_stack(r->s->model);
  bool question = text && t->nids == m->rows && strcmp(m->stack, text) == 0;
  int64_t *ids = calloc((size_t)m->rows + 1, sizeof *ids);
  if (!ids) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < m->rows; i++) ids[i] = question ? t->ids[i] : -1;
  const cli_rome rome = {.rank = 2,
                         .shape = shape,
                         .scores = m->prob,
                         .low = m->low,
                         .high = m->high,
                         .ids = ids,
                         .tokens = m->labels,
                         .answer = t->answer,
                         .stack = m->stack,
                         .site = m->site,
                         .window = r->options->window,
                         .right = true};
  const cli_array arrays[] = {{"normalised", FV_NPY_F64, 2, shape, m->normalised},
                              {"layers", FV_NPY_I64, 1, shape + 1, m->layers}};
  fv_status st = npz_rome(r->s, z, prefix, &rome);
  if (!st) st = npz_arrays(r->s, z, prefix, arrays, sizeof arrays / sizeof *arrays);
  free(ids);
  return st;
}

static fv_status write_npz(const trace_run *r) {
  fv_npz *z = NULL;
  fv_status st = fv_npz_open(r->npz, &z, &r->s->err);
  bool first = true;
  for (size_t i = 0; i < r->result.nmaps && !st; i++) {
    const fv_trace_map *m = &r->result.maps[i];
    char prefix[112] = "";
    if (m->draw >= 0) continue;
    if (!first && r->options->ncorrupt > 1)
      snprintf(prefix, sizeof prefix, "%zu/%s.%s.%lld/", m->corrupt, m->stack, m->site, (long long)m->rows);
    else if (!first)
      snprintf(prefix, sizeof prefix, "%s.%s.%lld/", m->stack, m->site, (long long)m->rows);
    st = npz_site(r, z, m, prefix);
    first = false;
  }
  if (!st) return fv_npz_commit(z, &r->s->err);
  fv_npz_abort(z);
  return st;
}

/* ---- pictures ---- */

/* [start] word word [end], where the words are as many as the rows between. */
static void word_labels(cli_panel *p, const char *question) {
  int64_t n = 0;
  for (int pass = 0; pass < 2; pass++) {
    const char *s = question;
    for (n = 0; *(s += strspn(s, " \t")); n++) {
      size_t k = strcspn(s, " \t");
      if (pass == 1) free(p->rows[n + 1]), p->rows[n + 1] = strndup(s, k);
      s += k;
    }
    if (n + 2 != p->map.rows) return;
  }
  free(p->rows[0]), free(p->rows[n + 1]);
  p->rows[0] = strdup("[start]"), p->rows[n + 1] = strdup("[end]");
}

static fv_status panel_fill(const trace_run *r, const fv_trace_map *m, cli_panel *p) {
  const cli_args *a = r->s->args;
  fv_status st = panel_new(r->s, m->rows, m->cols, p);
  if (st) return st;
  p->colors = a->colors ? a->colors : site_colors(m->stack, m->site);
  for (int64_t i = 0; i < m->rows * m->cols; i++) p->values[i] = (float)cell(r, m, i);
  panel_layers(r->s, p, m->layers);
  for (int64_t i = 0; i < m->rows; i++) p->rows[i] = strdup(row_label(m, i));
  if (strcmp(a->labels, "words") == 0 && r->options->input.question && !a->samples)
    word_labels(p, r->options->input.question);
  p->map.x_label = r->options->window > 1 ? "centre of the restored layers" : "restored layer";
  bool draws = m->draw >= 0, one_site = r->options->nrestore == 1;
  char *t = p->title;
  size_t room = sizeof p->title;
  if (!one_site || (!draws && r->options->ncorrupt < 2)) snprintf(t, room, "%s %s", m->stack, m->site);
  if (r->options->ncorrupt > 1) {
    const char *text = corruption(r, m->corrupt);
    snprintf(t + strlen(t), room - strlen(t), "%s%.*s", t[0] ? ", " : "", corrupt_width(r->s, text), text);
  }
  if (draws) snprintf(t + strlen(t), room - strlen(t), "%sdraw %lld", t[0] ? ", " : "", (long long)m->draw);
  const char *answer = a->samples ? "answer" : r->result.answer;
  bool norm = strcmp(a->value, "normalised") == 0, difference = strcmp(a->value, "difference") == 0;
  snprintf(p->bar, sizeof p->bar,
           norm         ? "(p(%s) - low) / (high - low)"
           : difference ? "p(%s) - p(%s) corrupted"
                        : "p(%s)",
           answer, answer);
  return FV_OK;
}

/* The lightest colour is the corrupted run's value, so that colour means restored. */
static float scale_floor(const trace_run *r) {
  float low = INFINITY;
  if (!isnan(r->s->args->vmin)) return (float)r->s->args->vmin;
  if (strcmp(r->s->args->value, "raw") != 0) return 0.0f;
  for (size_t i = 0; i < r->result.nmaps; i++)
    if (shown(r, &r->result.maps[i])) low = fminf(low, (float)r->result.maps[i].low);
  return low;
}

static fv_status draw(const trace_run *r) {
  if (!maps_wanted(r->s, r->plot)) return FV_OK;
  cli_panel *panels = calloc(r->result.nmaps + 1, sizeof *panels);
  size_t n = 0, order = 0;
  fv_status st = panels ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (const fv_trace_map *m; !st && (m = next_map(r, &order));)
    if (shown(r, m)) st = panel_fill(r, m, &panels[n++]);
  char title[160];
  snprintf(title, sizeof title, "%s %s", n ? r->result.maps[0].stack : "", n ? r->result.maps[0].site : "");
  /* With a title over all, the panels' own say only what differs. */
  const char *over = r->options->nrestore == 1 && n > 1 ? title : NULL;
  if (!st) st = maps_draw(r->s, panels, n, over, scale_floor(r), (float)r->s->args->vmax, r->plot);
  for (size_t i = 0; i < n; i++) panel_release(&panels[i]);
  free(panels);
  return st;
}

fv_status trace_output(trace_run *r) {
  const cli_args *a = r->s->args;
  if (a->avg_divisor) divide(&r->result, a->avg_divisor);
  fv_status st = r->npz ? write_npz(r) : FV_OK;
  if (!st) st = draw(r);
  if (st) return st;
  if (a->json) return print_json(r);
  if (!a->csv || strcmp(a->csv, "-") != 0) print_summary(r);
  return FV_OK;
}
