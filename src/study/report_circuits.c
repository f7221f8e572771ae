/* The circuits of a study's report: head importance with intervals, as `fovea circuit` computes it by default, for
 * every site that has runs of single heads, over all samples and by group. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fovea/heads.h"
#include "study/report_circuits.h"

static void write_circuit(fv_json_out *j, const fv_report *r, const fv_report_map *m, const char *group,
                          const fv_heads *h, const fv_circuit *c) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_int(j, "sweep", m->sweep);
  fv_json_out_text(j, "sweep_name", r->sweeps[m->sweep].name);
  fv_json_out_text(j, "stack", h->stack);
  fv_json_out_text(j, "site", h->site);
  fv_json_out_text(j, "group", group);
  fv_json_out_int(j, "samples", c->samples);
  fv_json_out_int(j, "dropped", h->dropped);
  fv_json_out_int(j, "size", c->size);
  fv_json_out_num(j, "threshold", (float)c->threshold);
  fv_json_out_begin(j, "heads", '[');
  for (int64_t i = 0; i < c->layers * c->heads; i++) {
    const fv_head_score *s = &c->list[i];
    if (isnan(s->importance)) continue;
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_int(j, "layer", s->layer);
    fv_json_out_int(j, "head", s->head);
    fv_json_out_num(j, "importance", (float)s->importance);
    fv_json_out_num(j, "low", (float)s->low);
    fv_json_out_num(j, "high", (float)s->high);
    fv_json_out_num(j, "mean", (float)s->mean);
    fv_json_out_num(j, "q", fv_report_rough(s->q));
    fv_json_out_int(j, "n", s->samples);
    fv_json_out_bool(j, "inside", s->in_circuit);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
  fv_json_out_end(j, '}');
}

/* A site whose heads have no finite value is no error here: the report says nothing about it. */
static fv_status one_circuit(fv_json_out *j, const fv_report *r, const fv_report_map *m, const char *group,
                             const fv_heads *h, fv_error *err) {
  fv_circuit_options o;
  fv_circuit c = {0};
  fv_circuit_defaults(&o);
  o.threshold = r->options.threshold;
  fv_status st = fv_circuit_find(h->values, h->samples, h->layers, h->heads, &o, &c, err);
  if (!st) write_circuit(j, r, m, group, h, &c);
  fv_circuit_release(&c);
  return st == FV_ENOTFOUND ? FV_OK : st;
}

static fv_status site_circuits(fv_json_out *j, const fv_report *r, const fv_store *store, const fv_report_map *m,
                               fv_error *err) {
  char site[256];
  fv_heads all = {0};
  snprintf(site, sizeof site, "%s.%s", m->stack ? m->stack : "", m->site ? m->site : "");
  fv_heads_query q = {.sweep = r->sweeps[m->sweep].name, .site = site};
  fv_status st = fv_heads_read(store, &q, &all, err);
  if (!st) st = one_circuit(j, r, m, NULL, &all, err);
  for (size_t i = 0; i < r->ngroups && !st; i++) {
    fv_heads part = {0};
    st = fv_heads_of_group(&all, r->groups[i], &part, err);
    if (!st) st = one_circuit(j, r, m, r->groups[i], &part, err);
    fv_heads_release(&part);
    if (st == FV_ENOTFOUND) st = FV_OK;
  }
  fv_heads_release(&all);
  return st == FV_ENOTFOUND ? FV_OK : st;
}

static bool same(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

fv_status fv_report_circuits_write(const fv_report *r, const fv_store *store, fv_json_out *j, fv_error *err) {
  fv_status st = FV_OK;
  fv_json_out_begin(j, "circuits", '[');
  for (size_t i = 0; store && i < r->maps.count && !st; i++) {
    const fv_report_map *m = &r->maps.list[i];
    bool seen = m->ncells == 0 || m->cells[0].head < 0 || !m->stack || strcmp(r->sweeps[m->sweep].kind, "patch") != 0;
    for (size_t k = 0; k < i && !seen; k++) {
      const fv_report_map *other = &r->maps.list[k];
      seen = other->sweep == m->sweep && same(other->stack, m->stack) && same(other->site, m->site);
    }
    if (!seen) st = site_circuits(j, r, store, m, err);
  }
  fv_json_out_end(j, ']');
  return st;
}
