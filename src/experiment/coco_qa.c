/* Samples from a COCO-QA style table and a folder of images. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "base/files.h"
#include "fovea/trace.h"

void fv_samples_release(fv_samples *s) {
  for (size_t i = 0; i < s->count; i++)
    free(s->list[i].name), free(s->list[i].image), free(s->list[i].question), free(s->list[i].gold);
  for (size_t i = 0; i < s->nexcluded; i++) free(s->excluded[i]);
  free(s->list), free(s->excluded);
  *s = (fv_samples){0};
}

static bool grow_list(void *list, size_t count, size_t size) {
  if (count & (count - 1)) return true; /* full at powers of two */
  size_t capacity = count;
  return fv_grow(list, &capacity, count ? count * 2 : 1, size);
}

fv_status fv_samples_exclude(fv_samples *s, const char *name, const char *reason, fv_error *err) {
  char *text = fv_format("%s: %s", name, reason);
  if (!text || !grow_list(&s->excluded, s->nexcluded, sizeof *s->excluded))
    return free(text), fv_fail(err, FV_ENOMEM, "no memory");
  s->excluded[s->nexcluded++] = text;
  return FV_OK;
}

static int64_t count_words(const char *s) {
  int64_t n = 0;
  for (bool inside = false; *s; s++) {
    bool space = *s == ' ' || *s == '\t' || *s == '\n' || *s == '\r';
    n += !space && !inside;
    inside = !space;
  }
  return n;
}

/* DIR/<12 digits>.EXT, or NULL. */
static char *find_image(const char *dir, long long id) {
  static const char *const extensions[] = {"jpg", "png", "jpeg", "webp"};
  for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
    char *path = fv_format("%s/%012lld.%s", dir, id, extensions[i]);
    if (path && fv_file_exists(path)) return path;
    free(path);
  }
  return NULL;
}

static fv_status add_sample(fv_samples *s, char *fields[], const char *dir, const char *csv_name, int64_t line,
                            fv_error *err) {
  char *name = fv_format("%s", fields[0]), *end;
  if (!name) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  long long id = strtoll(fields[1], &end, 10);
  bool number = end != fields[1] && !*end && id >= 0;
  char *image = number ? find_image(dir, id) : NULL;
  const char *reason = !number                   ? "the image id is not a number"
                       : !image                  ? "the folder has no such picture"
                       : !count_words(fields[2]) ? "the question is empty"
                                                 : NULL;
  if (reason) {
    char *where = fv_format("%s line %lld (row %s, image %s)", csv_name, (long long)line, name, fields[1]);
    st = where ? fv_samples_exclude(s, where, reason, err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(where), free(image), free(name);
    return st;
  }
  fv_sample one = {name, image, fv_strdup(fields[2]), fv_strdup(fields[3])};
  if (!one.question || !one.gold || !grow_list(&s->list, s->count, sizeof *s->list)) {
    free(one.name), free(one.image), free(one.question), free(one.gold);
    return fv_fail(err, FV_ENOMEM, "no memory");
  }
  s->list[s->count++] = one;
  return FV_OK;
}

fv_status fv_samples_coco_qa(const char *path, const char *images, int64_t words, int64_t limit, fv_samples *out,
                             fv_error *err) {
  fv_csv c;
  bool more = true;
  *out = (fv_samples){0};
  fv_status st = fv_csv_load(path, &c, err);
  if (st) return st;
  if (c.ncolumns != 4 || c.columns[0][0] || strcmp(c.columns[1], "train_image_id_count") != 0)
    st = fv_fail(err, FV_EFORMAT,
                 "%s: the header is not \",train_image_id_count,question_count,answer_count\" as in COCO-QA tables",
                 path);
  while (!st && (limit <= 0 || (int64_t)out->count < limit)) {
    st = fv_csv_next(&c, &more, err);
    if (st || !more) break;
    if (words <= 0 || count_words(c.fields[2]) == words) st = add_sample(out, c.fields, images, path, c.line, err);
  }
  fv_csv_release(&c);
  if (st) fv_samples_release(out);
  return st;
}
