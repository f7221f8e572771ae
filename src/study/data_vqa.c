/* Questions without a pair: COCO-QA tables and CLEVR tables. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "fovea/trace.h"
#include "study/data_build.h"
#include "study/data_literal.h"

/* "color" of ".../color_coco_qa.csv"; NULL when the table is not called so. To be freed. */
static char *group_of(const char *csv) {
  const char *slash = strrchr(csv, '/'), *name = slash ? slash + 1 : csv, *end = strstr(name, "_coco_qa");
  return end && end > name ? fv_format("%.*s", (int)(end - name), name) : NULL;
}

/* The reasons of the pictures of all samples, looked at in parallel. NULL when memory is short. */
static const char **look_at(const fv_samples *s, bool keep_black) {
  const char **reasons = fv_alloc(s->count, sizeof *reasons);
  char **paths = fv_alloc(s->count, sizeof *paths);
  for (size_t i = 0; i < s->count && paths; i++) paths[i] = s->list[i].image;
  if (reasons && paths) fv_pictures_check(s->count, paths, keep_black, reasons);
  free(paths);
  if (!paths) return free(reasons), NULL;
  return reasons;
}

fv_status fv_data_coco_qa(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  fv_samples s = {0};
  fv_status st = fv_samples_coco_qa(o->table, o->images, o->words, o->limit, &s, err);
  char *group = group_of(o->table);
  const char **reasons = st ? NULL : look_at(&s, o->keep_black);
  if (!st && !reasons) st = fv_fail(err, FV_ENOMEM, "no memory");
  out->nread = (int64_t)(s.count + s.nexcluded);
  for (size_t i = 0; i < s.nexcluded && !st; i++) {
    char *reason = strstr(s.excluded[i], "): "); /* behind "TABLE line N (row NAME, image ID)" */
    if (reason) reason[1] = '\0', reason += 3;
    st = fv_pairs_exclude(out, s.excluded[i], reason ? reason : "", err);
  }
  for (size_t i = 0; i < s.count && !st; i++) {
    const fv_sample *one = &s.list[i];
    if (reasons[i])
      st = fv_pairs_exclude(out, one->name, reasons[i], err);
    else
      st = fv_pairs_add_cells(
          out, one->name,
          &(fv_pair_cells){
              .image = one->image, .question = one->question, .label = one->gold, .group = group, .correct_first = -1},
          NULL, err);
  }
  free(group), free(reasons);
  fv_samples_release(&s);
  return st;
}

/* DIR/NAME.png or another extension, or DIR/NAME itself. NULL when memory is short. */
static char *clevr_picture(const char *dir, const char *name) {
  return fv_format("%s/%s%s", dir, name, strrchr(name, '.') ? "" : ".png");
}

static fv_status clevr_question(const char *where, const json_t *item, size_t i, const char **question, bool *yes,
                                fv_error *err) {
  const json_t *q = json_object_get(item, "question"), *a = json_object_get(item, "answer");
  int64_t answer = json_is_integer(a) ? (int64_t)json_integer_value(a) : json_is_boolean(a) ? json_is_true(a) : -1;
  if (!json_is_string(q) || (answer != 0 && answer != 1))
    return fv_fail(err, FV_EFORMAT, "%s: entry %zu is not {'question': TEXT, 'answer': 0 or 1}", where, i + 1);
  *question = json_string_value(q), *yes = answer == 1;
  return FV_OK;
}

static fv_status clevr_row(const fv_data_options *o, const fv_csv *c, const char *name, const char *cell, fv_pairs *out,
                           fv_error *err) {
  json_t *list = NULL;
  char *where = fv_format("%s: line %lld: Questions_Answers", c->path, (long long)c->line);
  char *picture = clevr_picture(o->images, name);
  const char *reason = NULL;
  fv_status st = where && picture ? fv_literal_parse(cell, where, &list, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && !json_is_array(list)) st = fv_fail(err, FV_EFORMAT, "%s: expected a list of questions", where);
  if (!st) fv_pictures_check(1, &picture, o->keep_black, &reason);
  if (!st && reason) st = fv_exclude_line(out, c->path, c->line, name, reason, err);
  for (size_t i = 0; !st && !reason && i < json_array_size(list); i++) {
    const char *question = NULL;
    bool yes = false;
    st = clevr_question(where, json_array_get(list, i), i, &question, &yes, err);
    char *sample = fv_format("%s/%zu", name, i);
    if (!st && !sample) st = fv_fail(err, FV_ENOMEM, "no memory");
    if (!st)
      st = fv_pairs_add_cells(out, sample,
                              &(fv_pair_cells){.image = picture,
                                               .question = question,
                                               .correct = yes ? "yes" : "no",
                                               .incorrect = yes ? "no" : "yes",
                                               .label = yes ? "yes" : "no",
                                               .correct_first = -1},
                              NULL, err);
    free(sample);
  }
  json_decref(list);
  free(where), free(picture);
  return st;
}

fv_status fv_data_clevr(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  fv_csv c;
  size_t id, cell;
  fv_status st = fv_csv_load(o->table, &c, err);
  if (st) return st;
  st = fv_csv_column(&c, "Image_IDs", &id, err);
  if (!st) st = fv_csv_column(&c, "Questions_Answers", &cell, err);
  for (bool more = true; !st && (o->limit <= 0 || out->nread < o->limit);) {
    st = fv_csv_next(&c, &more, err);
    if (st || !more) break;
    out->nread++;
    if (!*c.fields[id] || strchr(c.fields[id], '/'))
      st = fv_exclude_line(out, c.path, c.line, NULL, "the row names no picture", err);
    else
      st = clevr_row(o, &c, c.fields[id], c.fields[cell], out, err);
  }
  fv_csv_release(&c);
  return st;
}
