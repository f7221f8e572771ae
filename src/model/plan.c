#include "model/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const struct {
  const char *text;
  fv_rule rule;
  int inputs;
} kinds[] = {[FV_KIND_END] = {"end", FV_RULE_SOURCE, 0},
#define ROW(name, text, rule, inputs) [FV_KIND_##name] = {text, rule, inputs},
             FV_KIND_MAP(ROW)
#undef ROW
};

const char *fv_kind_text(fv_kind kind) { return kinds[kind].text; }
fv_rule fv_kind_rule(fv_kind kind) { return kinds[kind].rule; }
int fv_kind_inputs(fv_kind kind) { return kinds[kind].inputs; }

int64_t fv_plan_row_width(const fv_plan *p, int step, fv_part part, int64_t keys) {
  const fv_step *s = &p->steps[step];
  return part == FV_PART_OUT ? s->width : s->H * keys;
}

double fv_step_flops(const fv_plan *p, int step, int64_t S) {
  const fv_step *s = &p->steps[step];
  double w = (double)s->width;
  switch (s->kind) {
    case FV_KIND_LINEAR: return 2.0 * w * (double)p->steps[s->in[0]].width;
    case FV_KIND_ATTEND: return 4.0 * (double)S * (double)(s->H * s->Dh);
    case FV_KIND_LAYERNORM: return 8.0 * w;
    case FV_KIND_ACT: return 16.0 * w;
    case FV_KIND_ADD:
    case FV_KIND_POSITION: return w;
    default: return 0.0;
  }
}

int fv_plan_find_stack(const fv_plan *p, const char *name, size_t n) {
  for (int i = 0; i < p->nstacks; i++)
    if (strlen(p->stacks[i].name) == n && memcmp(p->stacks[i].name, name, n) == 0) return i;
  return -1;
}

const fv_site *fv_plan_find_site(const fv_plan *p, int stack, int layer, const char *name, size_t n) {
  for (int i = 0; i < p->nsites; i++) {
    const fv_site *s = &p->sites[i];
    if (s->stack == stack && s->layer == layer && strlen(s->name) == n && memcmp(s->name, name, n) == 0) return s;
  }
  return NULL;
}

static fv_status broken(const fv_plan *p, int i, const char *what, fv_error *err) {
  const fv_step *s = &p->steps[i];
  return fv_fail(err, FV_EINTERNAL, "plan step %d (%s, %s.%d.%s): %s", i, fv_kind_text(s->kind),
                 s->stack >= 0 && s->stack < p->nstacks ? p->stacks[s->stack].name : "?", s->layer,
                 s->site ? s->site : "-", what);
}

static fv_status check_step(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  if (s->kind <= FV_KIND_END || (size_t)s->kind >= sizeof kinds / sizeof *kinds)
    return broken(p, i, "unknown kind", err);
  if (s->stack < 0 || s->stack >= p->nstacks || s->space < 0 || s->space >= p->nspaces)
    return broken(p, i, "its stack or row space does not exist", err);
  if (s->width <= 0) return broken(p, i, "it has no width", err);
  for (int k = 0; k < 3; k++) {
    if ((k < fv_kind_inputs(s->kind)) != (s->in[k] >= 0)) return broken(p, i, "it has the wrong number of inputs", err);
    if (s->in[k] >= i) return broken(p, i, "it reads a slot before it is written", err);
  }
  fv_rule rule = fv_kind_rule(s->kind);
  for (int k = 0; k < fv_kind_inputs(s->kind); k++) {
    const fv_step *x = &p->steps[s->in[k]];
    bool same_rows = rule == FV_RULE_SAME || (rule == FV_RULE_ATTEND && k == 0);
    if (same_rows && x->space != s->space) return broken(p, i, "it reads rows of another row space one by one", err);
    if (s->kind != FV_KIND_LINEAR && rule == FV_RULE_SAME && x->width != s->width)
      return broken(p, i, "its width differs from its input's", err);
  }
  if (s->kind == FV_KIND_ATTEND) {
    const fv_step *q = &p->steps[s->in[0]], *k = &p->steps[s->in[1]], *v = &p->steps[s->in[2]];
    if (s->H <= 0 || s->KV <= 0 || s->H % s->KV != 0 || s->Dh <= 0) return broken(p, i, "its heads do not divide", err);
    if (q->width != s->H * s->Dh || k->width != s->KV * s->Dh || v->width != k->width || s->width != q->width)
      return broken(p, i, "its widths are not heads x head width", err);
    if (k->space != v->space) return broken(p, i, "its keys and values have different rows", err);
    if (s->causal && k->space != s->space) return broken(p, i, "it is causal over the rows of another space", err);
  }
  if (s->heads > 0 && s->width % s->heads != 0) return broken(p, i, "its width is not a multiple of its heads", err);
  bool needs_weight = s->kind == FV_KIND_LINEAR || s->kind == FV_KIND_LAYERNORM || s->kind == FV_KIND_TOKENS ||
                      s->kind == FV_KIND_POSITION || s->kind == FV_KIND_PREPEND;
  if (needs_weight != (s->weight != NULL)) return broken(p, i, "its weights do not fit its kind", err);
  return FV_OK;
}

fv_status fv_plan_validate(const fv_plan *p, fv_error *err) {
  for (int i = 0; i < p->nsteps; i++) {
    fv_status st = check_step(p, i, err);
    if (st) return st;
  }
  for (int i = 0; i < p->nsites; i++) {
    const fv_site *s = &p->sites[i];
    if (s->step < 0 || s->step >= p->nsteps) return fv_fail(err, FV_EINTERNAL, "site %s names no step", s->name);
    if (s->part != FV_PART_OUT && p->steps[s->step].kind != FV_KIND_ATTEND)
      return broken(p, s->step, "it has no scores or pattern", err);
    if (fv_plan_find_site(p, s->stack, s->layer, s->name, strlen(s->name)) != s)
      return broken(p, s->step, "its site is named twice", err);
  }
  if (p->output < 0 || p->output >= p->nsteps) return fv_fail(err, FV_EINTERNAL, "the plan has no output step");
  return FV_OK;
}

void fv_plan_free(fv_plan *p) {
  if (!p) return;
  for (int i = 0; i < p->nsteps; i++) free(p->steps[i].weight), free(p->steps[i].bias);
  for (int i = 0; i < p->nspaces; i++) free(p->spaces[i].name);
  for (int i = 0; i < p->nstacks; i++) free(p->stacks[i].name);
  free(p->steps);
  free(p->spaces);
  free(p->stacks);
  free(p->sites);
  free(p);
}
