/* Plans: what building gives, and that validation finds every field that is broken. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/loaded.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

static tiny_blip tiny;
static fv_model *model;

static int set_up(void **state) {
  (void)state;
  tiny_shape s = {.vision_D = 6,
                  .vision_H = 3,
                  .vision_F = 7,
                  .vision_L = 2,
                  .side = 2,
                  .patch = 2,
                  .text_D = 8,
                  .text_H = 2,
                  .text_F = 9,
                  .text_L = 2,
                  .V = 41,
                  .positions = 15};
  tiny_blip_new(&s, 3, 1.0, &tiny);
  tiny_blip_save(&tiny);
  OK(fv_model_open(tiny.dir, NULL, &model, ERR));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  fv_model_close(model);
  tiny_blip_release(&tiny);
  return 0;
}

/* The first step of a kind, or of a site. */
static int step_of(fv_kind kind) {
  for (int i = 0; i < model->plan->nsteps; i++)
    if (model->plan->steps[i].kind == kind) return i;
  fail();
  return -1;
}

static int step_at(const char *stack, int layer, const char *site) {
  const fv_plan *p = model->plan;
  const fv_site *s = fv_plan_find_site(p, fv_plan_find_stack(p, stack, strlen(stack)), layer, site, strlen(site));
  assert_non_null(s);
  return s->step;
}

/* Sets a field, expects the sentence, and puts the old value back. */
#define BREAK(field, value, words)                                                                            \
  do {                                                                                                        \
    __typeof__(field) old = (field);                                                                          \
    fv_error err = {0};                                                                                       \
    (field) = (value);                                                                                        \
    fv_status st = fv_plan_validate(model->plan, &err);                                                       \
    (field) = old;                                                                                            \
    if (st != FV_EINTERNAL || !strstr(err.text, words))                                                       \
      fail_msg("%s = %s: status %d, \"%s\", expected the words \"%s\"", #field, #value, st, err.text, words); \
  } while (0)

static void broken_steps_are_found(void **state) {
  (void)state;
  fv_step *steps = model->plan->steps, *any = &steps[step_at("text_encoder", 1, "mlp.pre")];
  BREAK(any->kind, FV_KIND_END, "unknown kind");
  BREAK(any->kind, (fv_kind)99, "unknown kind");
  BREAK(any->kind, (fv_kind)-3, "unknown kind");
  BREAK(any->kind, FV_KIND_ACT, "mlp.pre");
  BREAK(any->stack, -1, "stack");
  BREAK(any->stack, model->plan->nstacks, "stack");
  BREAK(any->space, -1, "row space");
  BREAK(any->space, model->plan->nspaces, "row space");
  BREAK(any->space, 0, "another row space");
  BREAK(any->layer, 2, "layer");
  BREAK(any->layer, -2, "layer");
  BREAK(any->width, 0, "width");
  BREAK(any->width, -5, "width");
  BREAK(any->width, 8, "width");
  BREAK(any->in[0], -1, "inputs");
  BREAK(any->in[1], 0, "inputs");
  BREAK(any->in[0], (int)(any - steps), "before it is written");
  BREAK(any->in[0], model->plan->nsteps + 7, "before it is written");
  BREAK(any->heads, 2, "heads");
  BREAK(any->heads, -1, "heads");
  BREAK(any->weight, NULL, "weights");
  BREAK(any->first_row, -1, "outside");
  BREAK(any->first_row, 1, "outside");
  BREAK(any->weight_rows, 8, "outside");
  OK(fv_plan_validate(model->plan, ERR));
}

static void broken_kinds_are_found(void **state) {
  (void)state;
  fv_step *steps = model->plan->steps;
  char name[] = "surplus";
  fv_step *norm = &steps[step_of(FV_KIND_LAYERNORM)], *act = &steps[step_of(FV_KIND_ACT)];
  BREAK(norm->bias, NULL, "weights");
  BREAK(norm->eps, -1e-5f, "eps");
  BREAK(norm->eps, NAN, "eps");
  BREAK(norm->eps, INFINITY, "eps");
  BREAK(act->act, -1, "activation");
  BREAK(act->act, 6, "activation");
  BREAK(act->weight, name, "weights");
  BREAK(act->bias, name, "weights");
  fv_step *pixels = &steps[step_of(FV_KIND_PIXELS)], *patches = &steps[step_of(FV_KIND_PATCHES)];
  BREAK(pixels->image, 5, "picture");
  BREAK(pixels->channels, 0, "picture");
  BREAK(pixels->patch, 0, "picture");
  BREAK(patches->patch, 0, "patches");
  BREAK(patches->patch, 1, "tile");
  BREAK(patches->image, 7, "tile");
  BREAK(patches->in[0], -1, "inputs");
  fv_step *rows = &steps[step_of(FV_KIND_PREPEND)], *tokens = &steps[step_of(FV_KIND_TOKENS)];
  BREAK(rows->space, patches->space, "one row more");
  BREAK(rows->width, 7, "width");
  BREAK(tokens->space, rows->space, "token ids");
  BREAK(model->plan->stacks[tokens->stack].V, 0, "vocabulary");
  BREAK(model->plan->spaces[tokens->space].limit, 0, "no end");
  OK(fv_plan_validate(model->plan, ERR));
}

static void broken_attention_is_found(void **state) {
  (void)state;
  fv_step *steps = model->plan->steps, *self = &steps[step_at("text_decoder", 0, "attn.z")],
          *cross = &steps[step_at("text_decoder", 1, "cross.z")], *full = &steps[step_at("text_encoder", 0, "attn.z")];
  BREAK(self->H, 0, "heads");
  BREAK(self->H, 3, "heads");
  BREAK(self->KV, 0, "heads");
  BREAK(self->KV, 3, "heads");
  BREAK(self->Dh, 0, "heads");
  BREAK(self->Dh, 5, "widths");
  BREAK(self->heads, 1, "heads");
  BREAK(cross->in[1], self->in[1], "different rows");
  BREAK(self->scale, 0.0f, "scale");
  BREAK(self->scale, NAN, "scale");
  BREAK(self->causal, false, "causal");
  BREAK(full->causal, true, "causal");
  BREAK(cross->causal, true, "causal");
  BREAK(model->plan->spaces[self->space].causal, false, "plan");
  BREAK(model->plan->spaces[full->space].causal, true, "causal");
  OK(fv_plan_validate(model->plan, ERR));
}

static void broken_tables_are_found(void **state) {
  (void)state;
  fv_plan *p = model->plan;
  fv_space *space = &p->spaces[p->stacks[fv_plan_find_stack(p, "text_decoder", 12)].space];
  BREAK(space->name, NULL, "row space");
  BREAK(space->rows, -1, "row space");
  BREAK(space->rows, 3, "row space");
  BREAK(space->limit, -1, "row space");
  BREAK(p->spaces[0].generates, true, "row space");
  BREAK(p->stacks[0].space, -1, "stack");
  BREAK(p->stacks[0].space, p->nspaces, "stack");
  BREAK(p->stacks[0].layers, -1, "stack");
  BREAK(p->stacks[0].layers, 1, "layer");
  BREAK(p->stacks[0].name, NULL, "stack");
  fv_site *site = &p->sites[10], *part = NULL;
  for (int i = 0; i < p->nsites; i++)
    if (p->sites[i].part == FV_PART_SCORES) part = &p->sites[i];
  BREAK(site->step, -1, "names no step");
  BREAK(site->step, p->nsteps, "names no step");
  BREAK(site->name, NULL, "names no step");
  BREAK(site->stack, -1, "stack");
  BREAK(site->stack, p->nstacks, "stack");
  BREAK(site->layer, -2, "layer");
  BREAK(site->layer, 2, "layer");
  BREAK(site->name, p->sites[11].name, "named twice");
  BREAK(p->sites[0].part, FV_PART_SCORES, "no scores");
  BREAK(part->part, (fv_part)7, "no scores");
  BREAK(p->output, -2, "output");
  BREAK(p->output, p->nsteps, "output");
  BREAK(p->pixels, 1, "picture");
  BREAK(p->pixels, -2, "picture");
  BREAK(p->pixels, p->nsteps, "picture");
  BREAK(p->pixels, -1, "picture");
  OK(fv_plan_validate(p, ERR));
}

/* A description whose templates cannot be joined. */
static void broken_descriptions_are_refused(void **state) {
  (void)state;
  static const fv_template gap[] = {{.kind = FV_KIND_COPY, .out = "attn.in", .in = {"nothing"}}, {.kind = FV_KIND_END}};
  static const fv_template stack[] = {{.kind = FV_KIND_COPY, .out = "a", .in = {"absent:final"}},
                                      {.kind = FV_KIND_END}};
  static const fv_template twice[] = {{.kind = FV_KIND_TOKENS, .out = "a", .weight = "w", .width = FV_W_D},
                                      {.kind = FV_KIND_COPY, .out = "a", .in = {"a"}},
                                      {.kind = FV_KIND_END}};
  const fv_template *const tables[] = {gap, stack, twice};
  const char *const words[] = {"nothing", "absent:final", "twice"};
  for (int i = 0; i < 3; i++) {
    fv_description d = {.nstacks = 1, .output_stack = "s", .output_site = "a"};
    d.stacks[0] = (fv_stack_description){.name = "s", .before = tables[i], .D = 4, .V = 9};
    fv_plan *p = NULL;
    fv_error err;
    assert_int_equal(fv_plan_build(&d, &p, &err), FV_EINTERNAL);
    assert_non_null(strstr(err.text, words[i]));
    assert_null(p);
  }
}

static void a_plan_has_the_sites_of_its_blocks(void **state) {
  (void)state;
  static const char *const text[] = {
      "resid_pre", "attn.in",   "attn.q",      "attn.k",  "attn.v",  "attn.scores", "attn.pattern", "attn.z",
      "attn.out",  "resid_mid", "cross.in",    "cross.q", "cross.k", "cross.v",     "cross.scores", "cross.pattern",
      "cross.z",   "cross.out", "resid_cross", "mlp.in",  "mlp.pre", "mlp.post",    "mlp.out",      "resid_post"};
  for (int l = 0; l < 2; l++)
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
      step_at("text_encoder", l, text[i]), step_at("text_decoder", l, text[i]);
      if (strncmp(text[i], "cross", 5) != 0 && strcmp(text[i], "resid_cross") != 0) step_at("vision", l, text[i]);
    }
  assert_int_equal(step_at("vision", 0, "resid_pre"), step_at("vision", -1, "embed"));
  assert_int_equal(step_at("vision", 1, "resid_pre"), step_at("vision", 0, "resid_post"));
  assert_int_equal(step_at("text_encoder", -1, "final"), step_at("text_encoder", 1, "resid_post"));
  assert_int_not_equal(step_at("vision", -1, "final"), step_at("vision", 1, "resid_post"));
  assert_int_equal(model->plan->output, step_at("head", -1, "logits"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(broken_steps_are_found),          cmocka_unit_test(broken_kinds_are_found),
      cmocka_unit_test(broken_attention_is_found),       cmocka_unit_test(broken_tables_are_found),
      cmocka_unit_test(broken_descriptions_are_refused), cmocka_unit_test(a_plan_has_the_sites_of_its_blocks)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
