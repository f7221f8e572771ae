#include "model/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kernel/kernel.h"

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
    case FV_KIND_RMSNORM:
    case FV_KIND_ROPE: return 4.0 * w;
    case FV_KIND_ACT: return 16.0 * w;
    case FV_KIND_ADD:
    case FV_KIND_MUL:
    case FV_KIND_GAIN:
    case FV_KIND_OFFSET:
    case FV_KIND_POSITION: return w;
    case FV_KIND_UNIT: return 3.0 * w;
    case FV_KIND_DOT: return 2.0 * (double)p->steps[s->in[0]].width;
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

static bool known_kind(fv_kind kind) { return kind > FV_KIND_END && (size_t)kind < sizeof kinds / sizeof *kinds; }

static fv_status broken(const fv_plan *p, int i, const char *what, fv_error *err) {
  const fv_step *s = &p->steps[i];
  return fv_fail(
      err, FV_EINTERNAL, "plan step %d (%s, %s.%d.%s): %s", i, known_kind(s->kind) ? fv_kind_text(s->kind) : "?",
      s->stack >= 0 && s->stack < p->nstacks ? p->stacks[s->stack].name : "?", s->layer, s->site ? s->site : "-", what);
}

static fv_status check_inputs(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  for (int k = 0; k < 3; k++) {
    if ((k < fv_kind_inputs(s->kind)) != (s->in[k] >= 0)) return broken(p, i, "it has the wrong number of inputs", err);
    if (s->in[k] >= i) return broken(p, i, "it reads a slot before it is written", err);
  }
  fv_rule rule = fv_kind_rule(s->kind);
  for (int k = 0; k < fv_kind_inputs(s->kind); k++) {
    const fv_step *x = &p->steps[s->in[k]];
    bool same_rows = rule == FV_RULE_SAME || ((rule == FV_RULE_ATTEND || rule == FV_RULE_SPLICE) && k == 0);
    if (same_rows && x->space != s->space) return broken(p, i, "it reads rows of another row space one by one", err);
    bool row_map = rule == FV_RULE_SHIFT || rule == FV_RULE_SKIP || rule == FV_RULE_SPLICE || rule == FV_RULE_PICK ||
                   rule == FV_RULE_POOL;
    bool reshapes = s->kind == FV_KIND_LINEAR || s->kind == FV_KIND_DOT;
    if (((!reshapes && rule == FV_RULE_SAME) || row_map) && x->width != s->width)
      return broken(p, i, "its width differs from its input's", err);
  }
  return FV_OK;
}

static fv_status check_attend(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  const fv_step *q = &p->steps[s->in[0]], *k = &p->steps[s->in[1]], *v = &p->steps[s->in[2]];
  if (s->H <= 0 || s->KV <= 0 || s->H % s->KV != 0 || s->Dh <= 0 || s->heads != s->H)
    return broken(p, i, "its heads do not divide", err);
  if (q->width != s->H * s->Dh || k->width != s->KV * s->Dh || v->width != k->width || s->width != q->width)
    return broken(p, i, "its widths are not heads x head width", err);
  if (k->space != v->space) return broken(p, i, "its keys and values have different rows", err);
  if (s->causal && k->space != s->space) return broken(p, i, "it is causal over the rows of another space", err);
  /* Slicing tells the rows of a causal space apart one by one, which one full attention over it would forbid. */
  if (s->causal != p->spaces[k->space].causal)
    return broken(p, i, "it and the row space of its keys disagree about being causal", err);
  if (s->window < 0 || (s->window > 0 && !s->causal)) return broken(p, i, "its window is not a causal one", err);
  return s->scale > 0.0f && s->scale < 1e6f ? FV_OK : broken(p, i, "its scale is not positive", err);
}

static fv_status check_picture(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  int64_t rows = p->spaces[s->space].rows, side = s->patch > 0 ? s->image / s->patch : 0;
  if (s->channels <= 0 || side <= 0) return broken(p, i, "its picture or its patches have no size", err);
  if (s->kind == FV_KIND_PIXELS && (s->width != s->channels * s->image * s->image || rows != 1 || p->pixels != i))
    return broken(p, i, "it is not the plan's one picture", err);
  if (s->kind != FV_KIND_PATCHES) return FV_OK;
  bool fits = p->steps[s->in[0]].kind == FV_KIND_PIXELS && s->width == s->channels * s->patch * s->patch;
  return fits && rows == side * side ? FV_OK : broken(p, i, "its patches do not tile the picture", err);
}

static fv_status check_pick(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  int from = p->steps[s->in[0]].space;
  int64_t rows = p->spaces[from].rows; /* a row space of token ids has one row at least, or none */
  bool known = from < 32 && (p->spaces[s->space].picks >> from & 1) && p->spaces[s->space].rows == 1;
  return known && s->pick >= 0 && s->pick < (rows > 0 ? rows : 1)
             ? FV_OK
             : broken(p, i, "it picks a row that need not exist, or not into a row space of one row", err);
}

/* Rows of a space with one row per text. */
static fv_status check_texts(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  int of = p->spaces[s->space].texts_of, from = p->steps[s->in[0]].space;
  if (of < 0 || !p->spaces[of].texts) return broken(p, i, "its row space has no row per text", err);
  if (s->kind == FV_KIND_POOL) return from == of ? FV_OK : broken(p, i, "it pools the rows of other texts", err);
  return s->pick >= 0 && s->pick < p->spaces[from].rows ? FV_OK
                                                        : broken(p, i, "it spreads a row that need not exist", err);
}

/* What single kinds ask of their numbers and weights. */
static fv_status check_kind(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  const fv_space *space = &p->spaces[s->space];
  bool linear = s->kind == FV_KIND_LINEAR, norm = s->kind == FV_KIND_LAYERNORM, rms = s->kind == FV_KIND_RMSNORM;
  bool needs_weight = linear || norm || rms || s->kind == FV_KIND_TOKENS || s->kind == FV_KIND_POSITION ||
                      s->kind == FV_KIND_PREPEND || s->kind == FV_KIND_OFFSET || s->kind == FV_KIND_GAIN;
  if (needs_weight != (s->weight != NULL) || (s->bias && !linear && !norm) || (norm && !s->bias))
    return broken(p, i, "its weights do not fit its kind", err);
  if (linear && (s->first_row < 0 || s->first_row > s->weight_rows - s->width))
    return broken(p, i, "its rows lie outside its weight", err);
  if ((norm || rms) && !(s->eps >= 0.0f && s->eps < 1e6f)) return broken(p, i, "its eps is not a small number", err);
  if (s->kind == FV_KIND_ACT && (s->act < 0 || s->act >= FV_ACT_COUNT))
    return broken(p, i, "its activation function is unknown", err);
  if (s->kind == FV_KIND_TOKENS && (space->rows != 0 || p->stacks[s->stack].V <= 0))
    return broken(p, i, "its row space has no token ids, or its stack no vocabulary", err);
  if (s->kind == FV_KIND_POSITION && space->rows <= 0 && space->limit <= 0)
    return broken(p, i, "its row space has no end", err);
  if (s->kind == FV_KIND_PREPEND && space->rows != p->spaces[p->steps[s->in[0]].space].rows + 1)
    return broken(p, i, "it does not have one row more than its input", err);
  if (s->kind == FV_KIND_DROP && space->rows + 1 != p->spaces[p->steps[s->in[0]].space].rows)
    return broken(p, i, "it does not have one row less than its input", err);
  if (s->kind == FV_KIND_SPLICE && space->spliced != p->steps[s->in[1]].space)
    return broken(p, i, "its row space does not name the rows that are spliced in", err);
  if (s->kind == FV_KIND_ROPE) {
    int64_t rot = p->stacks[s->stack].rope.width;
    if (s->heads <= 0 || rot <= 0 || rot % 2 != 0 || rot > s->width / s->heads || space->limit <= 0)
      return broken(p, i, "its rotation does not fit its heads and rows", err);
  }
  if (s->kind == FV_KIND_OFFSET && s->weight_rows <= 0) return broken(p, i, "its table has no rows", err);
  if (s->kind == FV_KIND_DOT && (s->width != 1 || p->steps[s->in[0]].width != p->steps[s->in[1]].width))
    return broken(p, i, "it multiplies rows of different widths", err);
  if (s->kind == FV_KIND_PICK) return check_pick(p, i, err);
  if (s->kind == FV_KIND_POOL || s->kind == FV_KIND_SPREAD) return check_texts(p, i, err);
  if (s->kind == FV_KIND_PIXELS || s->kind == FV_KIND_PATCHES) return check_picture(p, i, err);
  return s->kind == FV_KIND_ATTEND ? check_attend(p, i, err) : FV_OK;
}

static fv_status check_step(const fv_plan *p, int i, fv_error *err) {
  const fv_step *s = &p->steps[i];
  if (!known_kind(s->kind)) return broken(p, i, "unknown kind", err);
  if (s->stack < 0 || s->stack >= p->nstacks || s->space < 0 || s->space >= p->nspaces)
    return broken(p, i, "its stack or row space does not exist", err);
  if (s->layer < -1 || s->layer >= p->stacks[s->stack].layers) return broken(p, i, "its layer does not exist", err);
  if (s->width <= 0) return broken(p, i, "it has no width", err);
  if (s->heads < 0 || (s->heads > 0 && s->width % s->heads != 0))
    return broken(p, i, "its width is not a multiple of its heads", err);
  fv_status st = check_inputs(p, i, err);
  return st ? st : check_kind(p, i, err);
}

static fv_status check_site(const fv_plan *p, int i, fv_error *err) {
  const fv_site *s = &p->sites[i];
  if (!s->name || s->step < 0 || s->step >= p->nsteps)
    return fv_fail(err, FV_EINTERNAL, "plan site %d (%s) names no step", i, s->name ? s->name : "-");
  if (s->stack < 0 || s->stack >= p->nstacks || s->layer < -1 || s->layer >= p->stacks[s->stack].layers)
    return fv_fail(err, FV_EINTERNAL, "plan site %d (%s): its stack or layer does not exist", i, s->name);
  if (s->part != FV_PART_OUT &&
      (p->steps[s->step].kind != FV_KIND_ATTEND || (s->part != FV_PART_SCORES && s->part != FV_PART_PATTERN)))
    return broken(p, s->step, "it has no scores or pattern", err);
  if (fv_plan_find_site(p, s->stack, s->layer, s->name, strlen(s->name)) != s)
    return broken(p, s->step, "its site is named twice", err);
  return FV_OK;
}

fv_status fv_plan_validate(const fv_plan *p, fv_error *err) {
  fv_status st = FV_OK;
  for (int i = 0; i < p->nspaces; i++) {
    const fv_space *s = &p->spaces[i];
    if (!s->name || s->rows < 0 || s->limit < 0 || (s->generates && (!s->causal || s->rows != 0)) ||
        (s->texts && (!s->causal || s->rows != 0 || s->generates)))
      return fv_fail(err, FV_EINTERNAL, "plan row space %d (%s): its rows make no sense", i, s->name ? s->name : "-");
  }
  for (int i = 0; i < p->nstacks; i++)
    if (!p->stacks[i].name || p->stacks[i].space < 0 || p->stacks[i].space >= p->nspaces || p->stacks[i].layers < 0)
      return fv_fail(err, FV_EINTERNAL, "plan stack %d: its name, rows or layers make no sense", i);
  for (int i = 0; i < p->nsteps && !st; i++) st = check_step(p, i, err);
  for (int i = 0; i < p->nsites && !st; i++) st = check_site(p, i, err);
  if (st) return st;
  if (p->output < -1 || p->output >= p->nsteps) return fv_fail(err, FV_EINTERNAL, "the plan has no output step");
  if (p->pixels != -1 && (p->pixels < 0 || p->pixels >= p->nsteps || p->steps[p->pixels].kind != FV_KIND_PIXELS))
    return fv_fail(err, FV_EINTERNAL, "the plan's picture is not a picture step");
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
