#include "circuit_output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

static const char *metric_name(const cli_args *a) { return a->metric ? a->metric : "logit_diff"; }
static const char *rows_name(const cli_args *a) { return a->rows ? a->rows : "max"; }
static const char *ablation_name(const cli_args *a) { return a->ablation ? a->ablation : "mean"; }

/* The metric in words. */
static const char *metric_text(const circuit_run *r) {
  const char *name = metric_name(r->s->args);
  return strcmp(name, "logit_diff") == 0 ? "change of the logit difference"
         : strcmp(name, "effect") == 0   ? "patching effect"
         : strcmp(name, "p_diff") == 0   ? "probability minus the corrupted run's"
                                         : "probability";
}

/* ---- text ---- */

/* " L5H3 L3H0", in the order of the layers. */
static void print_heads(FILE *out, const circuit_study *one, const bool *which) {
  const fv_circuit *c = &one->circuit;
  bool any = false;
  for (int64_t i = 0; i < c->layers * c->heads; i++) {
    if (which ? !which[i] : !c->list[i].in_circuit) continue;
    fprintf(out, " L%lldH%lld", (long long)c->list[i].layer, (long long)c->list[i].head);
    any = true;
  }
  fputs(any ? "\n" : " none\n", out);
}

/* The most important first; heads without a value behind all. */
static int by_importance(const void *a, const void *b) {
  const fv_head_score *x = *(const fv_head_score *const *)a, *y = *(const fv_head_score *const *)b;
  if (isnan(x->importance) || isnan(y->importance)) return isnan(x->importance) - isnan(y->importance);
  if (x->importance != y->importance) return x->importance < y->importance ? 1 : -1;
  return x < y ? -1 : x > y;
}

static void print_p(FILE *out, double p) {
  if (isnan(p))
    fputs("         -", out);
  else
    fprintf(out, "  %8.2g", p);
}

/* Decimals of importances: four, or as many as the largest needs for four digits. */
static int decimals(const fv_circuit *c) {
  double largest = 0.0;
  for (int64_t i = 0; i < c->layers * c->heads; i++) largest = fmax(largest, c->list[i].importance);
  int n = largest > 0.0 ? 3 - (int)floor(log10(largest)) : 4;
  return n < 4 ? 4 : n > 12 ? 12 : n;
}

static void print_head(FILE *out, const fv_head_score *h, int digits, bool tested) {
  char name[48];
  int width = digits + 5;
  snprintf(name, sizeof name, "L%lldH%lld", (long long)h->layer, (long long)h->head);
  fprintf(out, "%-8s %*.*f", name, width + 1, digits, h->importance);
  if (isnan(h->low))
    fprintf(out, "  %*s    %*s", width, "-", width, "");
  else
    fprintf(out, "  %*.*f .. %-*.*f", width, digits, h->low, width, digits, h->high);
  fprintf(out, " %*.*f", width + 2, digits, h->mean);
  print_p(out, h->p), print_p(out, h->q);
  fprintf(out, "  %s\n", h->in_circuit ? "yes" : h->above && tested ? "above the threshold, not significant" : "");
}

static fv_status print_table(const circuit_run *r, const circuit_study *one) {
  const fv_circuit *c = &one->circuit;
  FILE *out = r->s->out;
  bool tested = strcmp(r->s->args->test, "none") != 0;
  int64_t n = c->layers * c->heads, most = r->s->args->top;
  const fv_head_score **order = calloc((size_t)n + 1, sizeof *order);
  if (!order) return fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < n; i++) order[i] = &c->list[i];
  qsort(order, (size_t)n, sizeof(const fv_head_score *), by_importance);
  int digits = decimals(c), width = digits + 5;
  fprintf(out, "\n%-8s %*s   %-*s %*s         p         q  in the circuit\n", "head", width + 1, "importance",
          2 * width + 3, "   95 % interval", width + 2, "signed mean");
  for (int64_t i = 0; i < n && order[i]->samples > 0; i++)
    if (i < most || order[i]->above) print_head(out, order[i], digits, tested);
  if (c->measured > most)
    fprintf(out, "(%lld heads measured; --top, --csv and --json show more)\n", (long long)c->measured);
  free(order);
  return FV_OK;
}

static void print_profile(FILE *out, const fv_circuit *c) {
  int digits = decimals(c);
  fputs("\nlayer  mean importance  in the circuit\n", out);
  for (int64_t l = 0; l < c->layers; l++) {
    int64_t in = 0;
    for (int64_t h = 0; h < c->heads; h++) in += c->list[l * c->heads + h].in_circuit;
    if (!isnan(c->profile[l]))
      fprintf(out, "%5lld  %15.*f  %14lld\n", (long long)l, digits, c->profile[l], (long long)in);
  }
}

static fv_status print_study(const circuit_run *r, const circuit_study *one, bool full) {
  const cli_args *a = r->s->args;
  const fv_circuit *c = &one->circuit;
  FILE *out = r->s->out;
  fprintf(out, "%s: %s %s, sweep %s, %lld sample%s", one->name, one->heads.stack, one->heads.site, one->heads.sweep,
          (long long)c->samples, c->samples == 1 ? "" : "s");
  if (one->heads.window > 1) fprintf(out, ", windows of %lld layers", (long long)one->heads.window);
  if (one->heads.dropped)
    fprintf(out, "; %lld without %s%s left out", (long long)one->heads.dropped,
            strcmp(rows_name(a), "answer") == 0 ? "the answer's row" : "the row ",
            strcmp(rows_name(a), "answer") == 0 ? "" : rows_name(a));
  if (c->excluded) fprintf(out, "; %lld missing values", (long long)c->excluded);
  fprintf(out, "\n%s, rows: %s\n", metric_text(r), rows_name(a));
  int digits = decimals(c);
  fprintf(out, "threshold %.*f = mean %.*f + %g sd of %.*f\n", digits, c->threshold, digits, c->mean, a->threshold,
          digits, c->sd);
  fputs("circuit  ", out);
  print_heads(out, one, NULL);
  double least =
      c->exact ? ldexp(1.0, 1 - (int)(c->samples < 60 ? c->samples : 60)) : 1.0 / (double)(a->permutations + 1);
  if (strcmp(a->test, "permutation") == 0 && (c->exact || a->permutations) && least * (double)c->measured > a->fdr)
    fprintf(
        out,
        "note: with %lld %s no p is below %.2g, so that one head alone cannot be significant among %lld; --test none "
        "goes by the threshold alone\n",
        (long long)(c->exact ? c->samples : a->permutations),
        !c->exact         ? "permutations"
        : c->samples == 1 ? "sample"
                          : "samples",
        least, (long long)c->measured);
  fv_status st = full ? print_table(r, one) : FV_OK;
  if (!st && full) print_profile(out, c);
  return st;
}

/* Heads of one number in two models have nothing to do with each other, unless one was made from the other. */
static bool one_model(const circuit_run *r) {
  const char *first = r->list[0].model;
  for (size_t i = 1; i < r->count; i++)
    if (first && r->list[i].model && strcmp(first, r->list[i].model) != 0) return false;
  return true;
}

static void print_common(const circuit_run *r) {
  const fv_universal *u = &r->universal;
  FILE *out = r->s->out;
  fprintf(out, "\nin all %zu circuits:", r->count);
  print_heads(out, &r->list[0], r->common);
  fprintf(out, "%lld of %lld heads; %.3g expected by chance, the probability of so many is %.3g\n", (long long)u->count,
          (long long)u->population, u->expected, u->p);
  if (!one_model(r)) fputs("note: the studies are of different models\n", out);
}

static void print_share(FILE *out, const char *what, const fv_share *v) {
  fprintf(out, "  %-28s %6.1f %%", what, 100 * v->value);
  if (!isnan(v->low)) fprintf(out, "   %.1f .. %.1f", 100 * v->low, 100 * v->high);
  fputc('\n', out);
}

static void print_confirmed(const circuit_run *r) {
  const fv_heads_confirmed *c = &r->confirmed;
  FILE *out = r->s->out;
  fprintf(out, "\nright answers of %lld samples, %s ablation", (long long)c->samples, ablation_name(r->s->args));
  if (c->excluded) fprintf(out, " (%lld excluded, the first: %s)", (long long)c->excluded, c->first_excluded);
  fputc('\n', out);
  char random[64];
  snprintf(random, sizeof random, "without %lld random set%s", (long long)c->sets, c->sets == 1 ? "" : "s");
  print_share(out, "the model", &c->clean);
  print_share(out, "without the circuit", &c->circuit);
  print_share(out, random, &c->random);
  fprintf(out, "  as low as the circuit: p = %.3g\n", c->p);
}

/* ---- JSON ---- */

static void json_head(fv_json_out *j, const fv_head_score *h) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_int(j, "layer", h->layer);
  fv_json_out_int(j, "head", h->head);
  fv_json_out_int(j, "samples", h->samples);
  fv_json_out_int(j, "excluded", h->excluded);
  fv_json_out_num(j, "importance", h->importance);
  fv_json_out_num(j, "low", h->low);
  fv_json_out_num(j, "high", h->high);
  fv_json_out_num(j, "mean", h->mean);
  fv_json_out_num(j, "p", h->p);
  fv_json_out_num(j, "q", h->q);
  fv_json_out_bool(j, "above", h->above);
  fv_json_out_bool(j, "significant", h->significant);
  fv_json_out_bool(j, "circuit", h->in_circuit);
  fv_json_out_end(j, '}');
}

static void json_labels(fv_json_out *j, const char *key, const fv_circuit *c, const bool *which) {
  fv_json_out_begin(j, key, '[');
  for (int64_t i = 0; i < c->layers * c->heads; i++) {
    char name[48];
    if (which ? !which[i] : !c->list[i].in_circuit) continue;
    snprintf(name, sizeof name, "L%lldH%lld", (long long)c->list[i].layer, (long long)c->list[i].head);
    fv_json_out_text(j, NULL, name);
  }
  fv_json_out_end(j, ']');
}

static void json_study(fv_json_out *j, const circuit_study *one) {
  const fv_circuit *c = &one->circuit;
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_text(j, "db", one->db);
  fv_json_out_text(j, "model_sha256", one->model);
  fv_json_out_text(j, "group", one->group);
  fv_json_out_text(j, "sweep", one->heads.sweep);
  fv_json_out_text(j, "stack", one->heads.stack);
  fv_json_out_text(j, "site", one->heads.site);
  fv_json_out_text(j, "direction", one->heads.noise ? "noise" : "denoise");
  fv_json_out_int(j, "window", one->heads.window);
  fv_json_out_int(j, "samples", c->samples);
  fv_json_out_int(j, "dropped", one->heads.dropped);
  fv_json_out_int(j, "excluded", c->excluded);
  fv_json_out_num(j, "mean", c->mean);
  fv_json_out_num(j, "sd", c->sd);
  fv_json_out_num(j, "threshold", c->threshold);
  fv_json_out_bool(j, "exact", c->exact);
  json_labels(j, "circuit", c, NULL);
  fv_json_out_begin(j, "profile", '[');
  for (int64_t l = 0; l < c->layers; l++) fv_json_out_num(j, NULL, c->profile[l]);
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "heads", '[');
  for (int64_t i = 0; i < c->layers * c->heads; i++) json_head(j, &c->list[i]);
  fv_json_out_end(j, ']');
  fv_json_out_end(j, '}');
}

static void json_share(fv_json_out *j, const char *key, const fv_share *v) {
  fv_json_out_begin(j, key, '{');
  fv_json_out_num(j, "accuracy", v->value);
  fv_json_out_num(j, "low", v->low);
  fv_json_out_num(j, "high", v->high);
  fv_json_out_end(j, '}');
}

static void json_confirmed(fv_json_out *j, const circuit_run *r) {
  const fv_heads_confirmed *c = &r->confirmed;
  fv_json_out_begin(j, "confirm", '{');
  fv_json_out_text(j, "ablation", ablation_name(r->s->args));
  fv_json_out_int(j, "samples", c->samples);
  fv_json_out_int(j, "excluded", c->excluded);
  json_share(j, "clean", &c->clean);
  json_share(j, "circuit", &c->circuit);
  json_share(j, "random", &c->random);
  fv_json_out_begin(j, "sets", '[');
  for (int64_t i = 0; i < c->sets; i++) fv_json_out_num(j, NULL, c->set_share[i]);
  fv_json_out_end(j, ']');
  fv_json_out_num(j, "p", c->p);
  fv_json_out_end(j, '}');
}

static void print_json(const circuit_run *r) {
  const cli_args *a = r->s->args;
  fv_json_out j = {.stream = r->s->out};
  fv_json_out_begin(&j, NULL, '{');
  fv_json_out_text(&j, "metric", metric_name(a));
  fv_json_out_text(&j, "rows", rows_name(a));
  fv_json_out_num(&j, "sds", a->threshold);
  fv_json_out_text(&j, "test", a->test);
  fv_json_out_num(&j, "fdr", a->fdr);
  fv_json_out_int(&j, "bootstrap", a->bootstrap);
  fv_json_out_int(&j, "seed", a->seed);
  fv_json_out_begin(&j, "studies", '[');
  for (size_t i = 0; i < r->count; i++) json_study(&j, &r->list[i]);
  fv_json_out_end(&j, ']');
  if (r->common) {
    fv_json_out_begin(&j, "common", '{');
    json_labels(&j, "heads", &r->list[0].circuit, r->common);
    fv_json_out_int(&j, "population", r->universal.population);
    fv_json_out_num(&j, "expected", r->universal.expected);
    fv_json_out_num(&j, "p", r->universal.p);
    fv_json_out_end(&j, '}');
  }
  if (r->confirmed.sets) json_confirmed(&j, r);
  fv_json_out_end(&j, '}');
}

/* ---- CSV ---- */

static void csv_lines(FILE *f, const void *user) {
  const circuit_run *r = user;
  fprintf(f,
          "study,group,stack,site,layer,head,samples,excluded,importance,low,high,mean,p,q,above,significant,circuit%s",
          r->several ? ",sweep\n" : "\n");
  for (size_t i = 0; i < r->count; i++) {
    const circuit_study *one = &r->list[i];
    for (int64_t k = 0; k < one->circuit.layers * one->circuit.heads; k++) {
      const fv_head_score *h = &one->circuit.list[k];
      csv_text(f, one->db);
      putc(',', f);
      if (one->group) csv_text(f, one->group);
      fprintf(f, ",%s,%s,%lld,%lld,%lld,%lld", one->heads.stack, one->heads.site, (long long)h->layer,
              (long long)h->head, (long long)h->samples, (long long)h->excluded);
      const double numbers[] = {h->importance, h->low, h->high, h->mean, h->p, h->q};
      for (int n = 0; n < 6; n++) putc(',', f), csv_number(f, numbers[n]);
      fprintf(f, ",%d,%d,%d", h->above, h->significant, h->in_circuit);
      if (r->several) putc(',', f), csv_text(f, one->heads.sweep);
      putc('\n', f);
    }
  }
}

/* ---- pictures ---- */

/* Layers from the top, heads from the left. */
static fv_status make_panel(const circuit_run *r, const circuit_study *one, cli_panel *p) {
  const fv_circuit *c = &one->circuit;
  char text[24];
  fv_status st = panel_new(r->s, c->layers, c->heads, p);
  if (st) return st;
  for (int64_t i = 0; i < c->layers * c->heads; i++) p->values[i] = (float)c->list[i].importance;
  for (int64_t l = 0; l < c->layers; l++) snprintf(text, sizeof text, "%lld", (long long)l), p->rows[l] = strdup(text);
  for (int64_t h = 0; h < c->heads; h++)
    snprintf(text, sizeof text, "%lld", (long long)h), p->columns[h] = strdup(text);
  p->map.x_label = "head", p->map.y_label = "layer";
  char name[128];
  const char *slash = strrchr(one->db, '/'), *file = slash ? slash + 1 : one->db;
  if (r->count == 1)
    snprintf(name, sizeof name, "%s %s", one->heads.stack, one->heads.site);
  else
    snprintf(name, sizeof name, "%.60s%s%.50s", file, one->group ? ", group " : "", one->group ? one->group : "");
  size_t n = (size_t)snprintf(p->title, sizeof p->title, "%.60s%scircuit:", name, "; ");
  for (int64_t i = 0; i < c->layers * c->heads && n < sizeof p->title - 24; i++)
    if (c->list[i].in_circuit)
      n += (size_t)snprintf(p->title + n, sizeof p->title - n, " L%lldH%lld", (long long)c->list[i].layer,
                            (long long)c->list[i].head);
  if (c->size == 0) snprintf(p->title + n, sizeof p->title - n, " none");
  snprintf(p->bar, sizeof p->bar, "mean |%s|", metric_text(r));
  if (r->s->args->minmax) panel_minmax(p);
  if (r->s->args->minmax) snprintf(p->bar, sizeof p->bar, "importance, from the least (0) to the most (1)");
  p->colors = r->s->args->colors ? r->s->args->colors : site_colors(one->heads.stack, one->heads.site);
  return FV_OK;
}

static fv_status draw(const circuit_run *r) {
  cli_panel *panels = calloc(r->count, sizeof *panels);
  size_t made = 0;
  fv_status st = panels ? FV_OK : fv_fail(&r->s->err, FV_ENOMEM, "no memory");
  for (; made < r->count && !st; made++) st = make_panel(r, &r->list[made], &panels[made]);
  const cli_args *a = r->s->args;
  if (!st)
    st = maps_draw(r->s, panels, r->count, NULL, isnan(a->vmin) ? 0.0f : (float)a->vmin, (float)a->vmax, r->plot);
  for (size_t i = 0; i < made; i++) panel_release(&panels[i]);
  free(panels);
  return st;
}

fv_status circuit_output(circuit_run *r) {
  const cli_args *a = r->s->args;
  fv_status st = maps_wanted(r->s, r->plot) ? draw(r) : FV_OK;
  if (!st && r->csv) st = csv_write(r->s, r->csv, csv_lines, r);
  if (st) return st;
  if (a->json) return print_json(r), FV_OK;
  if (a->csv && strcmp(a->csv, "-") == 0) return FV_OK;
  for (size_t i = 0; i < r->count && !st; i++) {
    if (i > 0) fputc('\n', r->s->out);
    st = print_study(r, &r->list[i], r->count == 1);
  }
  if (!st && r->common) print_common(r);
  if (!st && r->confirmed.sets) print_confirmed(r);
  return st;
}
