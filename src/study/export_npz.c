/* A study as stacked NumPy arrays. Blocks of one shape and meaning are collected first, because an array's shape stands
 * before its numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/export_blocks.h"

typedef struct stack {
  char *base, *name; /* SWEEP/STACK.SITE.T, without and with the number */
  char *place;       /* STACK.SITE */
  const char *kind;
  const char *corrupt, *op;
  int64_t T, L, H, window, N;
  int64_t *layers, *heads;
  float *values[FV_EXPORT_METRICS]; /* [N, T, L, H] */
  size_t values_capacity[FV_EXPORT_METRICS];
  const char **samples, **answers, **tokens; /* [N], [N], [N, T] */
  int64_t *answer_ids, *correct_ids, *incorrect_ids, *ids;
  bool *right;
  double *numbers[4]; /* clean_prob, corrupt_prob, clean_logit_diff, corrupt_logit_diff */
  size_t capacity[12];
} stack;

typedef struct stacks {
  stack *list;
  size_t count, capacity;
  fv_text_pool texts;
} stacks;

static void stack_release(stack *s) {
  free(s->base), free(s->name), free(s->place), free(s->layers), free(s->heads);
  for (int k = 0; k < FV_EXPORT_METRICS; k++) free(s->values[k]);
  free(s->samples), free(s->answers), free(s->tokens), free(s->answer_ids), free(s->correct_ids);
  free(s->incorrect_ids), free(s->ids), free(s->right);
  for (int i = 0; i < 4; i++) free(s->numbers[i]);
}

static bool same_keys(const int64_t *a, const int64_t *b, int64_t n) {
  return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static int64_t *copy_keys(const int64_t *keys, int64_t n) {
  int64_t *out = fv_alloc((size_t)n, sizeof *out);
  if (out) memcpy(out, keys, (size_t)n * sizeof *out);
  return out;
}

static bool is_stack(const stack *s, const fv_export_block *b, const char *corrupt) {
  return s->corrupt == corrupt && s->window == b->window && s->L == b->L && s->H == b->H &&
         same_keys(s->layers, b->layers, b->L) && same_keys(s->heads, b->heads, b->H);
}

/* The stack of a block, made when it is new. What differs from an earlier one of the same name gets a number behind. */
static fv_status find_stack(stacks *all, const fv_export_block *b, const char *corrupt, stack **out, fv_error *err) {
  stack s = {.place = fv_format("%s.%s", b->stack ? b->stack : "", b->site ? b->site : ""),
             .kind = fv_rome_kind(b->site ? b->site : ""),
             .layers = copy_keys(b->layers, b->L),
             .heads = copy_keys(b->heads, b->H),
             .corrupt = corrupt,
             .T = b->T,
             .L = b->L,
             .H = b->H,
             .window = b->window};
  char *name = s.place ? fv_format("%s/%s.%lld", b->sweep, s.place, (long long)b->T) : NULL;
  size_t same = 0;
  fv_status st = name ? fv_text_pool_add(&all->texts, b->op, &s.op, err) : fv_fail(err, FV_ENOMEM, "no memory");
  *out = NULL;
  for (size_t i = 0; i < all->count && !st && !*out; i++) {
    if (strcmp(all->list[i].base, name) != 0) continue;
    same++;
    if (is_stack(&all->list[i], b, corrupt)) *out = &all->list[i];
  }
  if (!st && !*out) {
    s.base = fv_strdup(name);
    s.name = same ? fv_format("%s/%zu", name, same + 1) : fv_strdup(name);
    if (!s.base || !s.name || !s.layers || !s.heads || !fv_grow(&all->list, &all->capacity, all->count + 1, sizeof s))
      st = fv_fail(err, FV_ENOMEM, "no memory for %zu groups of arrays", all->count + 1);
    else
      all->list[all->count] = s, *out = &all->list[all->count++], s = (stack){0};
  }
  free(name);
  stack_release(&s);
  return st;
}

static fv_status add_texts(stacks *all, stack *s, const fv_export_block *b, fv_error *err) {
  size_t n = (size_t)s->N, T = (size_t)s->T;
  fv_status st = fv_text_pool_add(&all->texts, b->sample ? b->sample : "", &s->samples[n], err);
  if (!st) st = fv_text_pool_add(&all->texts, b->answer ? b->answer : "", &s->answers[n], err);
  for (size_t i = 0; i < T && !st; i++)
    st = fv_text_pool_add(&all->texts, b->pieces[i] ? b->pieces[i] : "", &s->tokens[n * T + i], err);
  return st;
}

static fv_status add_block(void *user, const fv_export_block *b, fv_error *err) {
  stacks *all = user;
  stack *s = NULL;
  const char *corrupt;
  fv_status st = fv_text_pool_add(&all->texts, b->corrupt, &corrupt, err);
  if (!st) st = find_stack(all, b, corrupt, &s, err);
  if (st) return st;
  size_t n = (size_t)s->N, T = (size_t)s->T, cells = (size_t)(b->T * b->L * b->H);
  bool good = true;
  for (int k = 0; k < FV_EXPORT_METRICS && good; k++) {
    good = fv_grow(&s->values[k], &s->values_capacity[k], (n + 1) * cells, sizeof(float));
    if (good) memcpy(s->values[k] + n * cells, b->values[k], cells * sizeof(float));
  }
  good = good && fv_grow(&s->samples, &s->capacity[0], n + 1, sizeof *s->samples) &&
         fv_grow(&s->answers, &s->capacity[1], n + 1, sizeof *s->answers) &&
         fv_grow(&s->tokens, &s->capacity[2], (n + 1) * T, sizeof *s->tokens) &&
         fv_grow(&s->answer_ids, &s->capacity[3], n + 1, sizeof *s->answer_ids) &&
         fv_grow(&s->correct_ids, &s->capacity[4], n + 1, sizeof *s->correct_ids) &&
         fv_grow(&s->incorrect_ids, &s->capacity[5], n + 1, sizeof *s->incorrect_ids) &&
         fv_grow(&s->ids, &s->capacity[6], (n + 1) * T, sizeof *s->ids) &&
         fv_grow(&s->right, &s->capacity[7], n + 1, sizeof *s->right);
  const double numbers[4] = {b->clean_prob, b->corrupt_prob, b->clean_logit_diff, b->corrupt_logit_diff};
  for (size_t i = 0; i < 4 && good; i++) {
    good = fv_grow(&s->numbers[i], &s->capacity[8 + i], n + 1, sizeof(double));
    if (good) s->numbers[i][n] = numbers[i];
  }
  if (!good) return fv_fail(err, FV_ENOMEM, "no memory for %zu samples of %s", n + 1, s->name);
  s->answer_ids[n] = b->answer_id, s->correct_ids[n] = b->correct_id, s->incorrect_ids[n] = b->incorrect_id;
  s->right[n] = b->right == 1;
  memcpy(s->ids + n * T, b->ids, T * sizeof *s->ids);
  st = add_texts(all, s, b, err);
  s->N++;
  return st;
}

static bool any_value(const stack *s, int k) {
  size_t n = (size_t)(s->N * s->T * s->L * s->H);
  for (size_t i = 0; i < n; i++)
    if (!isnan(s->values[k][i])) return true;
  return false;
}

static fv_status write_stack(fv_npz *z, const stack *s, fv_error *err) {
  const bool heads = s->heads[0] >= 0;
  const int64_t shape[4] = {s->N, s->T, s->L, s->H}, span[2] = {0, s->T}, two = 2;
  char name[512];
  fv_status st = FV_OK;
  for (int k = 0; k < FV_EXPORT_METRICS && !st; k++) {
    if (!any_value(s, k)) continue;
    snprintf(name, sizeof name, "%s/%s", s->name, k == FV_EXPORT_PROB ? "scores" : fv_export_metrics[k]);
    st = fv_npz_add(z, name, FV_NPY_F32, heads ? 4 : 3, shape, s->values[k], err);
  }
  const struct {
    const char *name;
    fv_npy type;
    size_t ndim;
    const int64_t *shape;
    const void *data;
  } arrays[] = {{"samples", FV_NPY_TEXT, 1, shape, s->samples},
                {"answer", FV_NPY_TEXT, 1, shape, s->answers},
                {"answer_id", FV_NPY_I64, 1, shape, s->answer_ids},
                {"correct_token", FV_NPY_I64, 1, shape, s->correct_ids},
                {"incorrect_token", FV_NPY_I64, 1, shape, s->incorrect_ids},
                {"correct_prediction", FV_NPY_BOOL, 1, shape, s->right},
                {"high_score", FV_NPY_F64, 1, shape, s->numbers[0]},
                {"low_score", FV_NPY_F64, 1, shape, s->numbers[1]},
                {"clean_logit_diff", FV_NPY_F64, 1, shape, s->numbers[2]},
                {"corrupt_logit_diff", FV_NPY_F64, 1, shape, s->numbers[3]},
                {"input_ids", FV_NPY_I64, 2, shape, s->ids},
                {"input_tokens", FV_NPY_TEXT, 2, shape, s->tokens},
                {"layers", FV_NPY_I64, 1, &s->L, s->layers},
                {"heads", FV_NPY_I64, 1, &s->H, s->heads},
                {"subject_range", FV_NPY_I64, 1, &two, span},
                {"window", FV_NPY_I64, 0, NULL, &s->window},
                {"kind", FV_NPY_TEXT, 0, NULL, &s->kind},
                {"site", FV_NPY_TEXT, 0, NULL, &(const char *){s->place}},
                {"corrupt", FV_NPY_TEXT, 0, NULL, &s->corrupt},
                {"op", FV_NPY_TEXT, 0, NULL, &s->op}};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays && !st; i++) {
    if (arrays[i].data == s->heads && !heads) continue;
    snprintf(name, sizeof name, "%s/%s", s->name, arrays[i].name);
    st = fv_npz_add(z, name, arrays[i].type, arrays[i].ndim, arrays[i].shape, arrays[i].data, err);
  }
  return st;
}

fv_status fv_export_npz(const char *db, const char *sweep, const char *path, fv_error *err) {
  stacks all = {0};
  fv_npz *z = NULL;
  fv_status st = fv_export_blocks(db, sweep, add_block, &all, err);
  if (!st) st = fv_npz_open(path, &z, err);
  for (size_t i = 0; i < all.count && !st; i++) st = write_stack(z, &all.list[i], err);
  if (!st)
    st = fv_npz_commit(z, err);
  else
    fv_npz_abort(z);
  for (size_t i = 0; i < all.count; i++) stack_release(&all.list[i]);
  free(all.list);
  fv_text_pool_release(&all.texts);
  return st;
}
