/* Addresses: text to selections. */
#include "fovea/address.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/loaded.h"

/* The pieces of an address; views into the text. n = 0 means absent. */
typedef struct parts {
  const char *head, *heads, *rows, *features;
  size_t nhead, nheads, nrows, nfeatures;
  bool has_heads, has_rows, has_features;
  char shown[128]; /* the address, or its beginning, for messages */
} parts;

/* A canonical head: stack pattern, layers, site pattern. */
typedef struct target {
  char stack[48], site[48];
  const char *layers; /* [nlayers], a view into the text */
  size_t nlayers;
  bool layered;
  const char *tool; /* whose name it was; NULL: fovea's own */
} target;

static fv_status bad(const char *address, fv_error *err, const char *why) {
  return fv_fail(err, FV_EUSAGE, "address \"%s\": %s; the form is STACK.LAYERS.SITE[#HEADS][@ROWS][:FEATURES]", address,
                 why);
}

static fv_status split(const char *text, parts *p, fv_error *err) {
  *p = (parts){.head = text};
  snprintf(p->shown, sizeof p->shown, "%.*s", fv_shown(text, strlen(text)), text);
  const char *s = text + strcspn(text, "#@:"), *address = p->shown;
  p->nhead = (size_t)(s - text);
  if (p->nhead == 0) return bad(address, err, "it names no site");
  if (*s == '#') {
    p->has_heads = true, p->heads = ++s, p->nheads = strcspn(s, "@:"), s += p->nheads;
    if (p->nheads == 0) return bad(address, err, "# is not followed by heads");
  }
  if (*s == '@') {
    p->has_rows = true, p->rows = ++s;
    for (bool quoted = false; *s && (quoted || *s != ':'); s++) quoted ^= *s == '"';
    p->nrows = (size_t)(s - p->rows);
    if (p->nrows == 0) return bad(address, err, "@ is not followed by rows");
  }
  if (*s == ':') {
    p->has_features = true, p->features = ++s, p->nfeatures = strlen(s), s += p->nfeatures;
    if (p->nfeatures == 0) return bad(address, err, ": is not followed by features");
  }
  return *s ? bad(address, err, "selectors come in the order # @ :") : FV_OK;
}

static bool is_layers(const char *s, size_t n) {
  if (n == 0) return false;
  for (size_t i = 0; i < n; i++)
    if (!strchr("0123456789,-*", s[i])) return false;
  return true;
}

static bool copy_text(char *out, size_t room, const char *s, size_t n) {
  if (n >= room) return false;
  memcpy(out, s, n);
  out[n] = '\0';
  return true;
}

/* STACK.SITE or STACK.LAYERS.SITE. */
static bool canonical(const char *s, size_t n, target *t) {
  const char *dot = memchr(s, '.', n);
  if (!dot) return false;
  const char *rest = dot + 1, *end = s + n;
  const char *next = memchr(rest, '.', (size_t)(end - rest));
  t->layered = next && is_layers(rest, (size_t)(next - rest));
  const char *site = t->layered ? next + 1 : rest;
  t->layers = rest, t->nlayers = t->layered ? (size_t)(next - rest) : 0;
  return site < end && copy_text(t->stack, sizeof t->stack, s, (size_t)(dot - s)) &&
         copy_text(t->site, sizeof t->site, site, (size_t)(end - site));
}

/* Another tool's name: the pattern's "{}" takes the layers. */
static bool alias_matches(const fv_alias *a, const char *s, size_t n, target *t) {
  const char *mark = strstr(a->pattern, "{}");
  size_t len = strlen(a->pattern);
  t->layers = "", t->nlayers = 0;
  if (!mark) {
    if (len != n || memcmp(s, a->pattern, n) != 0) return false;
  } else {
    size_t before = (size_t)(mark - a->pattern), after = len - before - 2;
    if (n <= before + after || memcmp(s, a->pattern, before) != 0 || memcmp(s + n - after, mark + 2, after) != 0)
      return false;
    t->layers = s + before, t->nlayers = n - before - after;
    if (!is_layers(t->layers, t->nlayers)) return false;
  }
  t->layered = mark != NULL;
  t->tool = a->origin;
  return copy_text(t->stack, sizeof t->stack, a->stack, strlen(a->stack)) &&
         copy_text(t->site, sizeof t->site, a->site, strlen(a->site));
}

static bool site_matches(const fv_plan *p, const fv_site *s, const target *t) {
  return (s->layer >= 0) == t->layered && fnmatch(t->stack, p->stacks[s->stack].name, 0) == 0 &&
         fnmatch(t->site, s->name, 0) == 0;
}

static bool any_site(const fv_plan *p, const target *t) {
  for (int i = 0; i < p->nsites; i++)
    if (site_matches(p, &p->sites[i], t)) return true;
  return false;
}

static fv_status find_target(const fv_model *m, const parts *p, target *t, fv_error *err) {
  const char *address = p->shown;
  *t = (target){0};
  bool form = canonical(p->head, p->nhead, t);
  if (form && any_site(m->plan, t)) return FV_OK;
  target other_tools = {0};
  for (const fv_alias *a = m->plan->aliases; a && a->pattern; a++)
    if (alias_matches(a, p->head, p->nhead, &other_tools)) return *t = other_tools, FV_OK;
  if (!form) return bad(address, err, memchr(p->head, '.', p->nhead) ? "a part is empty or too long" : "it has no dot");
  int stack = fv_plan_find_stack(m->plan, t->stack, strlen(t->stack));
  char names[256] = "";
  for (int i = 0; i < m->plan->nstacks && stack < 0; i++) {
    if (i) strncat(names, ", ", sizeof names - strlen(names) - 1);
    strncat(names, m->plan->stacks[i].name, sizeof names - strlen(names) - 1);
  }
  if (stack < 0)
    return fv_fail(err, FV_ENOTFOUND, "address \"%s\" matches nothing: this %s model has no stack \"%s\"; it has %s",
                   address, m->family->name, t->stack, names);
  t->layered = !t->layered;
  bool other = any_site(m->plan, t);
  return fv_fail(err, FV_ENOTFOUND,
                 "address \"%s\" matches nothing: %s has no site \"%s\"%s; `fovea info --sites` lists them", address,
                 t->stack, t->site,
                 !other       ? ""
                 : t->layered ? " without a layer"
                              : " in a layer");
}

fv_status fv_address_canonical(const fv_model *m, const char *address, char *out, size_t size, const char **tool,
                               fv_error *err) {
  parts p;
  target t;
  fv_status st = fv_check_text("address", address, err);
  if (!st) st = split(address, &p, err);
  if (!st) st = find_target(m, &p, &t, err);
  if (st) return st;
  int n = snprintf(out, size, "%s%s%.*s.%s%s", t.stack, t.layered ? "." : "", t.layered ? (int)t.nlayers : 0,
                   t.layered ? t.layers : "", t.site, address + p.nhead);
  if (n < 0 || (size_t)n >= size)
    return fv_fail(err, FV_EUSAGE, "address \"%s\": its canonical form is too long", p.shown);
  *tool = t.tool;
  return FV_OK;
}

void fv_selection_release(fv_selection *s) {
  free(s->rows), free(s->heads), free(s->spans);
  *s = (fv_selection){0};
}

int64_t fv_selection_last_row(const fv_selection *s) {
  int64_t last = -1;
  for (int64_t i = 0; i < s->nrows; i++)
    if (s->rows[i] > last) last = s->rows[i];
  return last;
}

/* Numbers as spans of neighbours. */
static fv_status to_spans(const int64_t *list, int64_t n, fv_selection *s, fv_error *err) {
  s->spans = fv_alloc((size_t)n, sizeof *s->spans);
  if (!s->spans) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < n; i++) {
    if (s->nspans > 0 && s->spans[s->nspans - 1].hi == list[i])
      s->spans[s->nspans - 1].hi++;
    else
      s->spans[s->nspans++] = (fv_span){list[i], list[i] + 1};
  }
  return FV_OK;
}

static fv_status all_numbers(int64_t n, int64_t **list, int64_t *count, fv_error *err) {
  return fv_numbers_parse("*", 1, n, "", list, count, err);
}

static fv_status select_heads(const parts *p, int64_t H, fv_selection *s, fv_error *err) {
  s->all_heads = !p->has_heads;
  if (H == 0) return p->has_heads ? fv_fail(err, FV_EUSAGE, "%s has no heads", s->address) : FV_OK;
  return p->has_heads ? fv_numbers_parse(p->heads, p->nheads, H, "heads", &s->heads, &s->nheads, err)
                      : all_numbers(H, &s->heads, &s->nheads, err);
}

/* The stack whose rows a step has: keys of cross-attention have those of the stack they come from. NULL: of no stack.
 */
static const char *row_owner(const fv_plan *p, int space) {
  for (int i = 0; i < p->nstacks; i++)
    if (p->stacks[i].space == space) return p->stacks[i].name;
  return NULL;
}

static fv_status fill_selection(const fv_model *m, const fv_input *in, const fv_site *site, const parts *p,
                                fv_selection *s, fv_error *err) {
  const fv_step *step = &m->plan->steps[site->step];
  const char *stack = m->plan->stacks[site->stack].name;
  *s = (fv_selection){
      .step = site->step, .part = site->part, .stack = site->stack, .layer = site->layer, .site = site->name};
  if (site->layer < 0)
    snprintf(s->address, sizeof s->address, "%s.%s", stack, site->name);
  else
    snprintf(s->address, sizeof s->address, "%s.%d.%s", stack, site->layer, site->name);
  s->T = fv_input_space_rows(in, step->space);
  s->all_rows = !p->has_rows;
  char *rows = p->has_rows ? fv_format("%.*s", (int)p->nrows, p->rows) : NULL;
  fv_status st;
  const char *owner = s->row_stack = row_owner(m->plan, step->space);
  bool last = site->step == m->plan->output && !fv_plan_answers_texts(m->plan);
  if (!p->has_rows && last) /* the logits are those of the answer row, the last */
    st = fv_numbers_parse("-1", 2, s->T, "rows", &s->rows, &s->nrows, err);
  else if (!p->has_rows)
    st = all_numbers(s->T, &s->rows, &s->nrows, err);
  else if (owner)
    st = fv_rows_parse(in, owner, rows, &s->rows, &s->nrows, err);
  else
    st = fv_numbers_parse(rows, strlen(rows), s->T, "rows", &s->rows, &s->nrows, err);
  free(rows);
  bool scores = site->part != FV_PART_OUT;
  int64_t H = scores ? step->H : step->heads;
  int64_t inner = scores ? fv_input_space_rows(in, m->plan->steps[step->in[1]].space) : step->width / (H ? H : 1);
  s->head_width = inner;
  if (!st) st = select_heads(p, H, s, err);
  s->all_features = !p->has_features;
  int64_t *list = NULL, n = 0;
  if (!st && p->has_features) st = fv_numbers_parse(p->features, p->nfeatures, inner, "features", &list, &n, err);
  if (!st && p->has_features) st = to_spans(list, n, s, err);
  if (!st && !p->has_features) {
    s->spans = fv_alloc(1, sizeof *s->spans);
    if (s->spans)
      s->spans[s->nspans++] = (fv_span){0, inner};
    else
      st = fv_fail(err, FV_ENOMEM, "no memory");
    n = inner;
  }
  free(list);
  s->width = n * (s->nheads ? s->nheads : 1);
  return st;
}

static int by_plan_order(const void *a, const void *b) {
  const fv_selection *x = a, *y = b;
  if (x->step != y->step) return x->step < y->step ? -1 : 1;
  return x->part != y->part ? (x->part < y->part ? -1 : 1) : strcmp(x->address, y->address);
}

/* Layers are numbered per stack, so a list is read against each stack's own count. */
static fv_status layer_wanted(const fv_plan *p, const fv_site *site, const target *t, bool *wanted, fv_error *err) {
  if (!t->layered) return *wanted = true, FV_OK;
  int64_t *list, n;
  fv_status st = fv_numbers_parse(t->layers, t->nlayers, p->stacks[site->stack].layers, "layers", &list, &n, err);
  if (st) return st;
  *wanted = false;
  for (int64_t i = 0; i < n; i++) *wanted |= list[i] == site->layer;
  free(list);
  return FV_OK;
}

/* Steps that lack the one row which they take of a picture, and those that follow from them. */
static bool *missing_steps(const fv_model *m, const fv_input *in) {
  const fv_plan *p = m->plan;
  bool *missing = fv_alloc((size_t)p->nsteps, sizeof *missing);
  for (int i = 0; missing && i < p->nsteps; i++) {
    const fv_step *s = &p->steps[i];
    missing[i] = fv_kind_rule(s->kind) == FV_RULE_PICK && fv_input_space_rows(in, p->steps[s->in[0]].space) <= s->pick;
    for (int k = 0; k < fv_kind_inputs(s->kind); k++) missing[i] |= missing[s->in[k]];
  }
  return missing;
}

fv_status fv_address_resolve(const fv_model *m, const fv_input *in, const char *address, fv_selection **out,
                             size_t *count, fv_error *err) {
  parts p;
  target t;
  fv_status st = fv_check_text("address", address, err);
  if (!st) st = split(address, &p, err);
  if (!st) st = find_target(m, &p, &t, err);
  if (st) return st;
  bool wild = strchr(t.stack, '*') || strchr(t.site, '*');
  fv_selection *list = NULL;
  size_t n = 0, room = 0;
  bool *missing = missing_steps(m, in);
  if (!missing) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < m->plan->nsites && !st; i++) {
    const fv_site *site = &m->plan->sites[i];
    bool wanted = false;
    if (!site_matches(m->plan, site, &t)) continue;
    st = layer_wanted(m->plan, site, &t, &wanted, err);
    if (st || !wanted) continue;
    if (missing[site->step] || fv_input_space_rows(in, m->plan->steps[site->step].space) == 0) {
      if (wild) continue;
      st = fv_fail(err, FV_ENOTFOUND, "this input gives %s no rows; is a picture or a question missing?",
                   m->plan->stacks[site->stack].name);
      break;
    }
    if (!fv_grow(&list, &room, n + 1, sizeof *list)) st = fv_fail(err, FV_ENOMEM, "no memory");
    if (!st) st = fill_selection(m, in, site, &p, &list[n++], err);
  }
  free(missing);
  if (!st && n == 0) st = fv_fail(err, FV_ENOTFOUND, "it matches nothing");
  if (st) {
    for (size_t i = 0; i < n; i++) fv_selection_release(&list[i]);
    free(list);
    return fv_fail_prefix(err, st, "address \"%s\"", p.shown);
  }
  if (n > 1) qsort(list, n, sizeof *list, by_plan_order);
  *out = list;
  *count = n;
  return FV_OK;
}
