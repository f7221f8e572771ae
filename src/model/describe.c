#include "model/describe.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

typedef struct builder {
  const fv_description *d;
  const fv_stack_description *sd; /* the stack being expanded */
  fv_plan *p;
  size_t step_room, site_room, space_room;
  int stack, layer;
  int block_input;      /* slot of resid_pre, -1 before the first block */
  int first_of_section; /* local names are looked up from here on */
  const char **names;   /* template output name of every step, for look-up */
  size_t name_room;
  fv_error *err;
} builder;

static fv_status no_memory(builder *b) { return fv_fail(b->err, FV_ENOMEM, "no memory for the plan"); }

static fv_status find_space(builder *b, const char *name, int64_t rows, int *out) {
  for (int i = 0; i < b->p->nspaces; i++)
    if (strcmp(b->p->spaces[i].name, name) == 0) return *out = i, FV_OK;
  if (!fv_grow(&b->p->spaces, &b->space_room, (size_t)b->p->nspaces + 1, sizeof *b->p->spaces)) return no_memory(b);
  fv_space *s = &b->p->spaces[b->p->nspaces];
  *s = (fv_space){.name = fv_strdup(name), .rows = rows, .patch_row = -1, .spliced = -1, .texts_of = -1};
  if (!s->name) return no_memory(b);
  *out = b->p->nspaces++;
  return FV_OK;
}

static fv_status add_site(builder *b, const char *name, int layer, int step, fv_part part) {
  if (!fv_grow(&b->p->sites, &b->site_room, (size_t)b->p->nsites + 1, sizeof *b->p->sites)) return no_memory(b);
  b->p->sites[b->p->nsites++] = (fv_site){.stack = b->stack, .layer = layer, .name = name, .step = step, .part = part};
  return FV_OK;
}

/* The step that a template's input name means. */
static fv_status resolve(builder *b, const char *name, int *out) {
  const char *colon = strchr(name, ':');
  if (colon) {
    int stack = fv_plan_find_stack(b->p, name, (size_t)(colon - name));
    const fv_site *site = NULL;
    for (int i = 0; stack >= 0 && i < b->p->nsites; i++)
      if (b->p->sites[i].stack == stack && b->p->sites[i].layer < 0 && strcmp(b->p->sites[i].name, colon + 1) == 0)
        site = &b->p->sites[i];
    if (site) return *out = site->step, FV_OK;
  } else if (strcmp(name, "resid_pre") == 0 && b->block_input >= 0) {
    return *out = b->block_input, FV_OK;
  } else {
    for (int i = b->p->nsteps - 1; i >= b->first_of_section; i--)
      if (strcmp(b->names[i], name) == 0) return *out = i, FV_OK;
  }
  return fv_fail(b->err, FV_EINTERNAL, "stack %s: a template reads \"%s\", which nothing writes before it", b->sd->name,
                 name);
}

/* prefix + name + suffix, with the layer number for "{}". */
static char *weight_name(const builder *b, const char *name, const char *suffix) {
  if (name[0] == '/') return fv_format("%s%s", name + 1, suffix);
  if (b->layer < 0) return fv_format("%s%s%s", b->sd->prefix ? b->sd->prefix : "", name, suffix);
  const char *mark = strstr(b->sd->block_prefix, "{}");
  return fv_format("%.*s%d%s%s%s", (int)(mark - b->sd->block_prefix), b->sd->block_prefix, b->layer, mark + 2, name,
                   suffix);
}

static int64_t template_width(const builder *b, const fv_template *t, const int in[3]) {
  const fv_stack_description *d = b->sd;
  if (t->kind == FV_KIND_PIXELS) return b->d->channels * b->d->image * b->d->image;
  if (t->kind == FV_KIND_PATCHES) return b->d->channels * b->d->patch * b->d->patch;
  switch (t->width) {
    case FV_W_D: return d->D;
    case FV_W_F: return d->F;
    case FV_W_Q: return d->H * d->Dh;
    case FV_W_KV: return d->KV * d->Dh;
    case FV_W_V: return d->V;
    case FV_W_ONE: return 1;
    case FV_W_IN: break;
  }
  return in[0] >= 0 ? b->p->steps[in[0]].width : 0;
}

static int template_space(builder *b, const fv_template *t, const int in[3], fv_status *st) {
  int space = b->p->stacks[b->stack].space;
  int64_t side = b->d->patch > 0 ? b->d->image / b->d->patch : 0;
  if (t->kind == FV_KIND_PIXELS)
    *st = find_space(b, "image", 1, &space);
  else if (t->kind == FV_KIND_PATCHES)
    *st = find_space(b, "patches", side * side, &space);
  else if (t->kind == FV_KIND_PICK && t->space)
    *st = find_space(b, t->space, 1, &space);
  else if (fv_kind_rule(t->kind) == FV_RULE_SAME || fv_kind_rule(t->kind) == FV_RULE_ATTEND)
    space = b->p->steps[in[0]].space;
  if (t->kind == FV_KIND_PICK) b->p->spaces[space].picks |= (uint32_t)1 << b->p->steps[in[0]].space;
  return space;
}

/* Where the image patches are among the rows that a step makes. */
static void place_patches(fv_plan *p, const fv_step *s) {
  fv_space *space = &p->spaces[s->space];
  if (s->kind == FV_KIND_PATCHES) space->patch_row = 0;
  if (s->kind == FV_KIND_PREPEND) space->patch_row = p->spaces[p->steps[s->in[0]].space].patch_row + 1;
  if (s->kind == FV_KIND_DROP) space->patch_row = p->spaces[p->steps[s->in[0]].space].patch_row - 1;
  if (s->kind == FV_KIND_SPLICE) space->spliced = p->steps[s->in[1]].space;
}

static fv_status attend_step(builder *b, const fv_template *t, fv_step *s) {
  s->H = b->sd->H;
  s->KV = b->sd->KV;
  s->Dh = b->sd->Dh;
  s->scale = 1.0f / __builtin_sqrtf((float)s->Dh);
  s->causal = (t->flags & FV_T_CAUSAL) != 0;
  s->window = s->causal ? b->sd->window : 0;
  return FV_OK;
}

static fv_status add_weights(builder *b, const fv_template *t, fv_step *s) {
  if (!t->weight) return FV_OK;
  bool bare = (t->flags & FV_T_BARE) != 0;
  unsigned chosen = t->flags & (FV_T_ATTN_BIAS | FV_T_MLP_BIAS);
  bool bias = !bare && !(t->flags & FV_T_NO_BIAS) && (!chosen || (b->sd->biases & chosen)) &&
              (t->kind == FV_KIND_LINEAR || t->kind == FV_KIND_LAYERNORM);
  s->weight = weight_name(b, t->weight, bare ? "" : ".weight");
  if (bias) s->bias = weight_name(b, t->weight, ".bias");
  if (!s->weight || (bias && !s->bias)) return no_memory(b);
  s->weight_tied = t->weight_tied;
  s->bias_tied = t->bias_tied;
  int64_t q = b->sd->H * b->sd->Dh, kv = b->sd->KV * b->sd->Dh;
  s->weight_rows = t->parts == 3 ? q + 2 * kv : s->width * (t->parts == 2 ? 2 : 1);
  if (t->kind == FV_KIND_OFFSET) s->weight_rows = b->sd->types;
  s->first_row = t->parts == 3 ? (t->part > 0 ? q + (t->part - 1) * kv : 0) : s->width * t->part;
  return FV_OK;
}

/* Sites that a step gives its stack: its own name, and for attention the two parts inside it. */
static fv_status add_step_sites(builder *b, const char *name, int layer, int step) {
  if (name[0] == '_') return FV_OK;
  fv_status st = add_site(b, name, layer, step, FV_PART_OUT);
  if (st || b->p->steps[step].kind != FV_KIND_ATTEND) return st;
  bool cross = strncmp(name, "cross.", 6) == 0;
  st = add_site(b, cross ? "cross.scores" : "attn.scores", layer, step, FV_PART_SCORES);
  return st ? st : add_site(b, cross ? "cross.pattern" : "attn.pattern", layer, step, FV_PART_PATTERN);
}

static fv_status expand_template(builder *b, const fv_template *t) {
  fv_plan *p = b->p;
  fv_step s = {.kind = t->kind,
               .in = {-1, -1, -1},
               .stack = b->stack,
               .layer = b->layer,
               .eps = b->sd->eps,
               .act = b->sd->act,
               .channels = b->d->channels,
               .image = b->d->image,
               .patch = b->d->patch,
               .pick = t->pick};
  fv_status st = FV_OK;
  for (int k = 0; k < fv_kind_inputs(t->kind); k++)
    if ((st = resolve(b, t->in[k], &s.in[k]))) return st;
  s.width = template_width(b, t, s.in);
  s.space = template_space(b, t, s.in, &st);
  if (st) return st;
  s.site = t->out[0] == '_' ? NULL : t->out;
  if (t->width == FV_W_Q) s.heads = b->sd->H;
  if (t->width == FV_W_KV) s.heads = b->sd->KV;
  if (t->kind == FV_KIND_ATTEND && (st = attend_step(b, t, &s))) return st;
  if (!fv_grow(&p->steps, &b->step_room, (size_t)p->nsteps + 1, sizeof *p->steps)) return no_memory(b);
  if (!fv_grow(&b->names, &b->name_room, (size_t)p->nsteps + 1, sizeof *b->names)) return no_memory(b);
  b->names[p->nsteps] = t->out;
  p->steps[p->nsteps] = s;
  st = add_weights(b, t, &p->steps[p->nsteps]);
  int step = p->nsteps++; /* counted first, so that fv_plan_free sees its names */
  if (t->kind == FV_KIND_PIXELS) p->pixels = step;
  place_patches(p, &p->steps[step]);
  return st ? st : add_step_sites(b, t->out, b->layer, step);
}

static fv_status expand_table(builder *b, const fv_template *t) {
  b->first_of_section = b->p->nsteps;
  for (; t && t->kind != FV_KIND_END; t++) {
    fv_status st = expand_template(b, t);
    if (st) return st;
  }
  return FV_OK;
}

/* The state that another stack reads from the middle of this one, by a name without a layer. */
static fv_status add_features(builder *b) { return add_site(b, "features", -1, b->block_input, FV_PART_OUT); }

static fv_status expand_stack(builder *b, const fv_stack_description *sd) {
  b->sd = sd;
  b->layer = -1;
  b->block_input = -1;
  b->stack = b->p->nstacks;
  fv_stack *stack = &b->p->stacks[b->p->nstacks];
  *stack = (fv_stack){.name = fv_strdup(sd->name),
                      .layers = sd->layers,
                      .D = sd->D,
                      .H = sd->H,
                      .KV = sd->KV,
                      .Dh = sd->Dh,
                      .F = sd->F,
                      .V = sd->V,
                      .rope = sd->rope};
  if (!stack->name) return no_memory(b);
  b->p->nstacks++;
  fv_status st = find_space(b, sd->space ? sd->space : sd->name, sd->rows, &stack->space);
  if (st) return st;
  if (!sd->space) {
    fv_space *space = &b->p->spaces[stack->space];
    space->limit = sd->limit, space->causal = sd->causal, space->generates = sd->generates, space->texts = sd->texts;
    int of = sd->texts_of ? fv_plan_find_stack(b->p, sd->texts_of, strlen(sd->texts_of)) : -1;
    if (of >= 0) space->texts_of = b->p->stacks[of].space;
  }
  if ((st = expand_table(b, sd->before))) return st;
  if (sd->layers > 0) b->block_input = b->p->nsteps - 1;
  int section = b->first_of_section;
  for (b->layer = 0; b->layer < sd->layers; b->layer++) {
    if (sd->features == b->layer + 1 && (st = add_features(b))) return st;
    if ((st = add_site(b, "resid_pre", b->layer, b->block_input, FV_PART_OUT)) || (st = expand_table(b, sd->block)))
      return st;
    section = b->first_of_section;
    b->block_input = b->p->nsteps - 1;
  }
  b->layer = -1;
  if (sd->features > sd->layers && (st = add_features(b))) return st;
  if (sd->after && sd->after->kind != FV_KIND_END) return expand_table(b, sd->after);
  b->first_of_section = section;
  /* A stack whose blocks end in a norm has its last block's output as its final state. */
  return sd->layers > 0 ? add_site(b, "final", -1, b->p->nsteps - 1, FV_PART_OUT) : FV_OK;
}

fv_status fv_plan_build(const fv_description *d, fv_plan **out, fv_error *err) {
  builder b = {.d = d, .err = err};
  fv_status st = FV_OK;
  b.p = fv_alloc(1, sizeof *b.p);
  if (!b.p || !(b.p->stacks = fv_alloc((size_t)d->nstacks, sizeof *b.p->stacks))) st = no_memory(&b);
  if (!st) b.p->aliases = d->aliases, b.p->pixels = -1, b.p->output = -1;
  for (int i = 0; !st && i < d->nstacks; i++) st = expand_stack(&b, &d->stacks[i]);
  if (!st && d->output_stack) {
    int stack = fv_plan_find_stack(b.p, d->output_stack, strlen(d->output_stack));
    const fv_site *site = stack < 0 ? NULL : fv_plan_find_site(b.p, stack, -1, d->output_site, strlen(d->output_site));
    if (site)
      b.p->output = site->step;
    else
      st = fv_fail(err, FV_EINTERNAL, "the plan has no %s.%s", d->output_stack, d->output_site);
  }
  if (!st) st = fv_plan_validate(b.p, err);
  free(b.names);
  if (st) return fv_plan_free(b.p), st;
  *out = b.p;
  return FV_OK;
}
