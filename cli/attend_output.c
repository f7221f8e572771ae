#include "attend_output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

static int64_t out_rows(const fv_attend_maps *m) { return m->picture ? 1 : m->rows; }

/* The maps or matrices of one head: one, or one per picture. */
static int64_t parts(const fv_attend_maps *m) { return m->picture ? m->pictures : 1; }
static int64_t part_keys(const fv_attend_maps *m) { return m->keys / parts(m); }

/* "L5H3", of several pictures "L5H3 image2" */
static void head_name(const fv_attend_maps *m, const fv_attend_head *h, int64_t part, char out[64]) {
  char picture[32] = "";
  if (parts(m) > 1) snprintf(picture, sizeof picture, " image%lld", (long long)part + 1);
  if (h->layer < 0)
    snprintf(out, 64, "mean of all%s", picture);
  else
    snprintf(out, 64, "L%lldH%lld%s", (long long)h->layer, (long long)h->head, picture);
}

/* The label, or the number where samples differ. What an answer begins with is no piece of the tokenizer. */
static void label(char *const *labels, const int64_t *index, int64_t i, char out[64]) {
  if (labels[i] && (*labels[i] || index[i] == 0))
    snprintf(out, 64, "%.60s", *labels[i] ? labels[i] : "[decode]");
  else
    snprintf(out, 64, "%lld", (long long)index[i]);
}

/* ---- text ---- */

/* The shares, and where the largest weight is. */
static void print_head(const attend_run *r, const fv_attend_head *h, int64_t part, int wide) {
  const fv_attend_maps *m = &r->maps;
  int64_t first = part * part_keys(m), end = m->picture ? first + part_keys(m) : m->rows * m->keys, at = first;
  double sum = 0.0;
  char name[64], key[64], row[64], cls[32] = "-";
  for (int64_t k = first; k < end; k++) {
    sum += h->weights[k];
    if (fabs(h->weights[k]) > fabs(h->weights[at])) at = k;
  }
  head_name(m, h, part, name);
  label(m->key_labels, m->key_index, at % m->keys, key);
  label(m->row_labels, m->row_index, m->picture ? 0 : at / m->keys, row);
  if (m->picture && !isnan(h->cls[part])) snprintf(cls, sizeof cls, "%.4f", h->cls[part]);
  if (m->picture)
    fprintf(r->s->out, "%-*s %9s %10.4f %10.4f  %.4f at %s\n", wide, name, cls, sum, *h->other, h->weights[at], key);
  else
    fprintf(r->s->out, "%-*s  %.4f from %s to %s\n", wide, name, h->weights[at], row, key);
}

static void print_text(const attend_run *r) {
  const fv_attend_maps *m = &r->maps;
  FILE *out = r->s->out;
  fprintf(out, "%s %s: ", m->stack, m->site);
  if (m->picture && m->pictures > 1)
    fprintf(out, "%lld pictures of %lld x %lld patches", (long long)m->pictures, (long long)m->down,
            (long long)m->across);
  else if (m->picture)
    fprintf(out, "%lld x %lld patches", (long long)m->down, (long long)m->across);
  else
    fprintf(out, "%lld rows, %lld keys", (long long)m->rows, (long long)m->keys);
  fprintf(out, "%s%s\n", *r->title ? "; " : "", r->title);
  if (r->difference) fprintf(out, "%s\n", r->minus_text);
  if (r->excluded) fprintf(out, "%lld sample%s excluded\n", (long long)r->excluded, r->excluded == 1 ? "" : "s");
  const char *largest = r->difference ? "largest difference" : "largest";
  int wide = parts(m) > 1 ? 19 : 11;
  if (m->picture)
    fprintf(out, "\n%-*s %9s %10s %10s  %s\n", wide, "head", "class", "picture", "other", largest);
  else
    fprintf(out, "\n%-11s  %s\n", "head", largest);
  for (size_t i = 0; i < m->nheads * (size_t)parts(m); i++)
    print_head(r, &m->heads[i / (size_t)parts(m)], (int64_t)(i % (size_t)parts(m)), wide);
}

/* ---- JSON ---- */

static void json_numbers(fv_json_out *j, const char *key, const double *v, int64_t n) {
  fv_json_out_begin(j, key, '[');
  for (int64_t i = 0; i < n; i++) fv_json_out_num(j, NULL, v[i]);
  fv_json_out_end(j, ']');
}

static void json_labels(fv_json_out *j, const char *key, char *const *labels, const int64_t *index, int64_t n) {
  fv_json_out_begin(j, key, '[');
  for (int64_t i = 0; i < n; i++) {
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_int(j, "row", index[i]);
    fv_json_out_text(j, "piece", labels[i]);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
}

static void json_head(fv_json_out *j, const fv_attend_maps *m, const fv_attend_head *h) {
  if (!m->picture) {
    json_numbers(j, "other", h->other, m->rows);
    json_matrix(j, "weights", h->weights, m->rows, m->keys);
    return;
  }
  if (m->pictures == 1)
    fv_json_out_num(j, "cls", *h->cls);
  else
    json_numbers(j, "cls", h->cls, m->pictures);
  fv_json_out_num(j, "other", *h->other);
  if (m->pictures > 1) fv_json_out_begin(j, "weights", '[');
  for (int64_t i = 0; i < m->pictures; i++)
    json_matrix(j, m->pictures > 1 ? NULL : "weights", h->weights + i * part_keys(m), m->down, m->across);
  if (m->pictures > 1) fv_json_out_end(j, ']');
}

static fv_status print_json(const attend_run *r) {
  const fv_attend_maps *m = &r->maps;
  fv_json_out j = {.stream = r->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_status st = json_model(&j, r->s);
  if (st) return st;
  fv_json_out_text(&j, "stack", m->stack);
  fv_json_out_text(&j, "site", m->site);
  fv_json_out_int(&j, "samples", m->samples);
  fv_json_out_int(&j, "excluded", r->excluded);
  fv_json_out_text(&j, "minus", r->s->args->minus);
  json_labels(&j, "rows", m->row_labels, m->row_index, m->rows);
  if (m->picture) {
    fv_json_out_int(&j, "pictures", m->pictures);
    fv_json_out_begin(&j, "grid", '[');
    fv_json_out_int(&j, NULL, m->down);
    fv_json_out_int(&j, NULL, m->across);
    fv_json_out_end(&j, ']');
  } else {
    json_labels(&j, "keys", m->key_labels, m->key_index, m->keys);
  }
  fv_json_out_begin(&j, "heads", '[');
  for (size_t i = 0; i < m->nheads; i++) {
    const fv_attend_head *h = &m->heads[i];
    fv_json_out_begin(&j, NULL, '{');
    if (h->layer < 0) fv_json_out_text(&j, "layer", NULL), fv_json_out_text(&j, "head", NULL);
    if (h->layer >= 0) fv_json_out_int(&j, "layer", h->layer), fv_json_out_int(&j, "head", h->head);
    json_head(&j, m, h);
    fv_json_out_end(&j, '}');
  }
  fv_json_out_end(&j, ']');
  fv_json_out_end(&j, '}');
  return FV_OK;
}

/* ---- CSV ---- */

static void csv_line(FILE *f, const fv_attend_maps *m, const fv_attend_head *h, int64_t row, int64_t key,
                     const char *name, double weight) {
  fprintf(f, "%s,%s,", m->stack, m->site);
  if (h->layer >= 0) fprintf(f, "%lld,%lld", (long long)h->layer, (long long)h->head);
  if (h->layer < 0) putc(',', f);
  putc(',', f);
  if (row >= 0) fprintf(f, "%lld", (long long)m->row_index[row]);
  putc(',', f);
  if (row >= 0 && m->row_labels[row]) csv_text(f, m->row_labels[row]);
  putc(',', f);
  if (key >= 0) fprintf(f, "%lld", (long long)key);
  putc(',', f);
  if (name) csv_text(f, name);
  putc(',', f);
  csv_number(f, weight);
  putc('\n', f);
}

static void csv_lines(FILE *f, const void *user) {
  const fv_attend_maps *m = user;
  fputs("stack,site,layer,head,row,piece,key,name,weight\n", f);
  for (size_t i = 0; i < m->nheads; i++) {
    const fv_attend_head *h = &m->heads[i];
    for (int64_t t = 0; t < out_rows(m); t++) {
      int64_t row = m->picture && m->rows > 1 ? -1 : t; /* the mean of several rows is of none */
      for (int64_t k = 0; k < m->keys; k++) {
        int64_t part = k / part_keys(m);
        if (m->picture && k % part_keys(m) == 0 && m->cls_keys[part] >= 0) {
          char name[32] = "cls";
          if (part > 0) snprintf(name, sizeof name, "cls%lld", (long long)part + 1);
          csv_line(f, m, h, row, m->cls_keys[part], name, h->cls[part]);
        }
        csv_line(f, m, h, row, m->key_index[k], m->key_labels[k], h->weights[t * m->keys + k]);
      }
      csv_line(f, m, h, row, -1, "other", h->other[t]);
    }
  }
}

/* ---- NumPy ---- */

static fv_status write_npz(const attend_run *r) {
  const fv_attend_maps *m = &r->maps;
  int64_t n = (int64_t)m->nheads, rows = out_rows(m), classes = m->picture ? m->pictures : rows, cells = rows * m->keys;
  bool several = parts(m) > 1;
  int64_t matrix[] = {n, m->rows, m->keys}, map[] = {n, m->down, m->across};
  int64_t maps[] = {n, m->pictures, m->down, m->across}, share[2] = {n, classes};
  const int64_t *shape = several ? maps : m->picture ? map : matrix;
  double *weights = calloc((size_t)(n * cells) + 1, sizeof *weights);
  double *cls = calloc((size_t)(n * classes) + 1, sizeof *cls), *other = calloc((size_t)(n * rows) + 1, sizeof *other);
  int64_t *layers = calloc((size_t)n + 1, sizeof *layers), *heads = calloc((size_t)n + 1, sizeof *heads);
  fv_npz *z = NULL;
  fv_status st = weights && cls && other && layers && heads ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < n && !st; i++) {
    const fv_attend_head *h = &m->heads[i];
    memcpy(weights + i * cells, h->weights, (size_t)cells * sizeof *weights);
    memcpy(cls + i * classes, h->cls, (size_t)classes * sizeof *cls);
    memcpy(other + i * rows, h->other, (size_t)rows * sizeof *other);
    layers[i] = h->layer, heads[i] = h->head;
  }
  if (!st) st = fv_npz_open(r->npz, &z, &r->s->err);
  const cli_array arrays[] = {{"weights", FV_NPY_F64, several ? 4 : 3, shape, weights},
                              {"layers", FV_NPY_I64, 1, shape, layers},
                              {"heads", FV_NPY_I64, 1, shape, heads},
                              {"cls", FV_NPY_F64, m->picture && !several ? 1 : 2, share, cls},
                              {"other", FV_NPY_F64, m->picture ? 1 : 2, share, other},
                              {"rows", FV_NPY_I64, 1, &m->rows, m->row_index},
                              {"row_pieces", FV_NPY_TEXT, 1, &m->rows, m->row_labels},
                              {"keys", FV_NPY_I64, 1, &m->keys, m->key_index},
                              {"key_pieces", FV_NPY_TEXT, 1, &m->keys, m->key_labels},
                              {"samples", FV_NPY_I64, 0, NULL, &m->samples}};
  if (!st) st = npz_arrays(r->s, z, "", arrays, sizeof arrays / sizeof *arrays);
  if (!st) st = fv_npz_commit(z, &r->s->err), z = NULL;
  fv_npz_abort(z);
  free(weights), free(cls), free(other), free(layers), free(heads);
  return st;
}

/* ---- pictures ---- */

static const char *colors(const attend_run *r) {
  if (r->s->args->colors) return r->s->args->colors;
  return r->difference ? r->maps.picture ? "seismic" : "RdBu" : r->maps.picture ? "Reds" : "Purples";
}

/* Weights begin at 0. */
static float least(const attend_run *r) {
  bool from_data = r->difference || r->s->args->minmax || !isnan(r->s->args->vmin);
  return from_data ? (float)r->s->args->vmin : 0.0f;
}

static void bar_text(const attend_run *r, char out[160]) {
  if (r->s->args->minmax)
    snprintf(out, 160, "each map from its least (0) to its most (1)");
  else
    snprintf(out, 160, "attention%s%s", *r->minus_text ? " " : "", r->minus_text);
}

/* How many heads stand side by side: several layers of the same heads stand below each other. 0: whatever fits. */
static int64_t heads_across(const attend_run *r, size_t n) {
  const fv_attend_maps *m = &r->maps;
  int64_t heads = 0;
  while ((size_t)heads < n && m->heads[heads].layer == m->heads[0].layer) heads++;
  if (heads < 2 || heads * parts(m) > 16 || (size_t)heads == n || n % (size_t)heads) return 0;
  for (size_t i = 0; i < n; i++)
    if (m->heads[i].head != m->heads[i % (size_t)heads].head) return 0;
  return heads;
}

/* The columns of `panels`; the pictures of one head stay side by side. 0: whatever fits. */
static int64_t columns(const attend_run *r, size_t panels, int64_t heads) {
  int64_t n = parts(&r->maps);
  if (r->s->args->columns) return r->s->args->columns;
  return heads ? heads * n : n > 1 ? n * (int64_t)ceil(sqrt((double)panels) / (double)n) : 0;
}

/* The maps, and where that leaves the grid whole, the pictures alone before them; the mean over all heads is another
 * scale than differences from it, and is left to the tables. */
static fv_status draw_overlay(const attend_run *r) {
  const fv_attend_maps *m = &r->maps;
  const cli_args *a = r->s->args;
  size_t each = (size_t)parts(m), n = (m->nheads - (m->heads[m->nheads - 1].layer < 0)) * each;
  int64_t width = 0, height = 0, heads = heads_across(r, n / each);
  const uint8_t *picture = r->input ? fv_input_picture(r->input, 0, &width, &height) : NULL;
  size_t alone = picture && heads == 0 && !a->columns && n <= 24 ? each : 0, cells = (size_t)part_keys(m);
  fv_overlay *maps = calloc(n + each, sizeof *maps);
  float *values = calloc(n * cells + 1, sizeof *values);
  char(*titles)[64] = calloc(n + each, sizeof *titles), bar[160];
  fv_status st = maps && values && titles ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < alone && !st; i++) {
    snprintf(titles[i], sizeof titles[i], each > 1 ? "image%zu" : "picture", i + 1);
    maps[i] = (fv_overlay){.title = titles[i]};
  }
  for (size_t i = 0; i < n && !st; i++) {
    const fv_attend_head *h = &m->heads[i / each];
    for (size_t k = 0; k < cells; k++) values[i * cells + k] = (float)h->weights[i % each * cells + k];
    head_name(m, h, (int64_t)(i % each), titles[i + alone]);
    maps[i + alone] = (fv_overlay){m->down, m->across, values + i * cells, titles[i + alone], NULL};
  }
  for (size_t i = 0; i < n + alone && !st && picture; i++)
    maps[i].picture = fv_input_picture(r->input, (int64_t)(i % each), &width, &height);
  fv_overlay_options o;
  fv_overlay_defaults(&o);
  o.colors = colors(r), o.vmin = least(r), o.vmax = (float)a->vmax, o.minmax = a->minmax, o.alpha = a->alpha;
  o.upsample = strcmp(a->upsample, "cubic") == 0 ? FV_UPSAMPLE_CUBIC : FV_UPSAMPLE_NEAREST;
  o.gray = strcmp(a->background, "gray") == 0;
  o.serif = a->serif, o.columns = columns(r, n + alone, heads), o.title = *r->title ? r->title : NULL;
  o.bar_label = bar;
  bar_text(r, bar);
  if (!st) st = fv_overlay_write(r->plot, picture, width, height, n + alone, maps, &o, &r->s->err);
  free(maps), free(values), free(titles);
  return st;
}

/* One head's map or matrix. */
static fv_status make_panel(const attend_run *r, const fv_attend_head *h, int64_t part, cli_panel *p) {
  const fv_attend_maps *m = &r->maps;
  int64_t rows = m->picture ? m->down : m->rows, cols = m->picture ? m->across : m->keys;
  char name[64];
  fv_status st = panel_new(r->s, rows, cols, p);
  if (st) return st;
  for (int64_t k = 0; k < rows * cols; k++) p->values[k] = (float)h->weights[part * part_keys(m) + k];
  if (r->s->args->minmax) panel_minmax(p);
  for (int64_t k = 0; k < rows + cols; k++) {
    char text[64];
    bool down = k < rows;
    int64_t at = down ? k : k - rows;
    if (m->picture)
      snprintf(text, sizeof text, "%lld", (long long)at);
    else
      label(down ? m->row_labels : m->key_labels, down ? m->row_index : m->key_index, at, text);
    *(down ? &p->rows[at] : &p->columns[at]) = strdup(text);
  }
  head_name(m, h, part, name);
  snprintf(p->title, sizeof p->title, "%s", name);
  bar_text(r, p->bar);
  if (!m->picture) p->map.x_label = "key", p->map.y_label = "row that looks";
  p->colors = colors(r);
  return FV_OK;
}

/* Panels of heat maps: for the terminal, and for matrices in files, too. */
static fv_status draw_panels(const attend_run *r, const char *plot) {
  const fv_attend_maps *m = &r->maps;
  size_t each = (size_t)parts(m), made = 0;
  size_t n = (m->nheads - (r->difference && m->heads[m->nheads - 1].layer < 0)) * each;
  cli_panel *panels = calloc(n + 1, sizeof *panels);
  fv_status st = panels ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (; made < n && !st; made++) st = make_panel(r, &m->heads[made / each], (int64_t)(made % each), &panels[made]);
  if (!st) st = maps_draw(r->s, panels, n, *r->title ? r->title : NULL, least(r), (float)r->s->args->vmax, plot);
  for (size_t i = 0; i < made; i++) panel_release(&panels[i]);
  free(panels);
  return st;
}

fv_status attend_output(attend_run *r) {
  const cli_args *a = r->s->args;
  fv_status st = r->npz ? write_npz(r) : FV_OK;
  if (!st && r->plot && r->maps.picture) st = draw_overlay(r);
  const char *plot = r->maps.picture ? NULL : r->plot;
  if (!st && maps_wanted(r->s, plot)) st = draw_panels(r, plot);
  if (!st && r->csv) st = csv_write(r->s, r->csv, csv_lines, &r->maps);
  if (st) return st;
  if (a->json) return print_json(r);
  if (!a->csv || strcmp(a->csv, "-") != 0) print_text(r);
  return FV_OK;
}
