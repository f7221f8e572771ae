#include "study/data_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define AT(member) offsetof(fv_pair, member)
const fv_pair_column fv_pair_columns[FV_PAIR_COLUMNS] = {
    {"sample", AT(sample), {NULL}, false},
    {"image", AT(image), {"clean_image_path", "correct_image_path", NULL}, true},
    {"question", AT(question), {"clean_prompt", NULL}, false},
    {"prompt", AT(prompt), {NULL}, false},
    {"corrupt_image", AT(corrupt_image), {"corrupt_image_path", "incorrect_image_path", NULL}, true},
    {"corrupt_question", AT(corrupt_question), {"corrupt_prompt", NULL}, false},
    {"correct", AT(correct), {"correct_answer", NULL}, false},
    {"incorrect", AT(incorrect), {"incorrect_answer", NULL}, false},
    {"group", AT(group), {"state", NULL}, false},
    {"correct_first", SIZE_MAX, {NULL}, false},
    {"label", AT(label), {NULL}, false},
};

char **fv_pair_text(fv_pair *pair, const fv_pair_column *column) { return (char **)((char *)pair + column->offset); }

static void pair_release(fv_pair *p) {
  for (size_t i = 0; i < FV_PAIR_COLUMNS; i++)
    if (fv_pair_columns[i].offset != SIZE_MAX) free(*fv_pair_text(p, &fv_pair_columns[i]));
  for (size_t i = 0; i < p->nfields; i++) free(p->field_names[i]), free(p->field_values[i]);
  free(p->field_names), free(p->field_values);
  *p = (fv_pair){0};
}

void fv_pairs_release(fv_pairs *s) {
  for (size_t i = 0; i < s->count; i++) pair_release(&s->list[i]);
  for (size_t i = 0; i < s->nexcluded; i++) free(s->excluded[i].name), free(s->excluded[i].reason);
  free(s->list), free(s->excluded);
  *s = (fv_pairs){0};
}

/* Room for one more item: the lists are full at powers of two. */
static bool grow_list(void *list, size_t count, size_t size) {
  if (count & (count - 1)) return true;
  size_t capacity = count;
  return fv_grow(list, &capacity, count ? count * 2 : 1, size);
}

static fv_status no_memory(fv_error *err) { return fv_fail(err, FV_ENOMEM, "no memory for the samples"); }

fv_status fv_pairs_add(fv_pairs *s, const char *sample, fv_pair **out, fv_error *err) {
  char *name = fv_strdup(sample);
  if (!name || !grow_list(&s->list, s->count, sizeof *s->list)) return free(name), no_memory(err);
  *out = &s->list[s->count++];
  **out = (fv_pair){.sample = name, .correct_first = -1};
  return FV_OK;
}

void fv_pairs_drop_last(fv_pairs *s) { pair_release(&s->list[--s->count]); }

fv_status fv_pair_set(char **at, const char *text, fv_error *err) {
  char *copy = text && *text ? fv_strdup(text) : NULL;
  if (text && *text && !copy) return no_memory(err);
  free(*at);
  *at = copy;
  return FV_OK;
}

fv_status fv_pair_set_field(fv_pair *p, const char *name, const char *value, fv_error *err) {
  size_t i = 0;
  while (i < p->nfields && strcmp(p->field_names[i], name) != 0) i++;
  if (i < p->nfields && value && *value) return fv_pair_set(&p->field_values[i], value, err);
  if (i < p->nfields) {
    free(p->field_names[i]), free(p->field_values[i]);
    for (p->nfields--; i < p->nfields; i++)
      p->field_names[i] = p->field_names[i + 1], p->field_values[i] = p->field_values[i + 1];
    return FV_OK;
  }
  if (!value || !*value) return FV_OK;
  char *n = fv_strdup(name), *v = fv_strdup(value);
  if (!n || !v || !grow_list(&p->field_names, i, sizeof *p->field_names) ||
      !grow_list(&p->field_values, i, sizeof *p->field_values))
    return free(n), free(v), no_memory(err);
  p->field_names[i] = n, p->field_values[i] = v;
  p->nfields++;
  return FV_OK;
}

const char *fv_pair_field(const fv_pair *p, const char *name) {
  for (size_t i = 0; i < p->nfields; i++)
    if (strcmp(p->field_names[i], name) == 0) return p->field_values[i];
  return NULL;
}

fv_status fv_pairs_exclude(fv_pairs *s, const char *name, const char *reason, fv_error *err) {
  fv_exclusion e = {fv_strdup(name), fv_strdup(reason)};
  if (!e.name || !e.reason || !grow_list(&s->excluded, s->nexcluded, sizeof *s->excluded))
    return free(e.name), free(e.reason), no_memory(err);
  s->excluded[s->nexcluded++] = e;
  return FV_OK;
}

/* The list keeps its memory, so that it may be grown as if it had just reached its new count: grow_list relies on the
 * capacity being at least the next power of two, which it stays. */
void fv_pairs_filter(fv_pairs *s, const bool *keep) {
  size_t n = 0;
  for (size_t i = 0; i < s->count; i++) {
    fv_pair one = s->list[i];
    s->list[i] = (fv_pair){0};
    if (keep[i])
      s->list[n++] = one;
    else
      pair_release(&one);
  }
  s->count = n;
}

static int by_name(const void *a, const void *b) {
  const fv_pair *const *x = a, *const *y = b;
  int order = strcmp((*x)->sample, (*y)->sample);
  return order ? order : *x < *y ? -1 : *x > *y;
}

fv_status fv_pairs_repeated(const fv_pairs *s, const fv_pair **first, const fv_pair **second, fv_error *err) {
  const fv_pair **order = fv_alloc(s->count, sizeof *order);
  *first = *second = NULL;
  if (!order) return no_memory(err);
  for (size_t i = 0; i < s->count; i++) order[i] = &s->list[i];
  qsort(order, s->count, sizeof *order, by_name);
  for (size_t i = 1; i < s->count && !*first; i++)
    if (strcmp(order[i]->sample, order[i - 1]->sample) == 0) *first = order[i - 1], *second = order[i];
  free(order);
  return FV_OK;
}
