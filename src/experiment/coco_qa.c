/* Samples from a COCO-QA style table and a folder of images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fovea/trace.h"

enum { MAX_CSV_BYTES = 1 << 30, MAX_FIELDS = 64 };

/* One record of RFC 4180: fields are unquoted in place. Returns the number of fields, 0 at the end, -1 when malformed.
 */
typedef struct csv {
  char *at, *end;
  int64_t line; /* of the record read last */
  int64_t next_line;
} csv;

static int csv_record(csv *c, char *fields[MAX_FIELDS]) {
  if (c->at >= c->end) return 0;
  c->line = c->next_line;
  int n = 0;
  for (bool more = true; more;) {
    if (n == MAX_FIELDS) return -1;
    char *out = c->at, *start = out;
    bool quoted = c->at < c->end && *c->at == '"';
    if (quoted) c->at++;
    for (;; c->at++) {
      if (c->at >= c->end) {
        if (quoted) return -1;
        break;
      }
      if (quoted && *c->at == '"') {
        if (c->at + 1 < c->end && c->at[1] == '"')
          c->at++;
        else {
          quoted = false;
          continue;
        }
      } else if (!quoted && (*c->at == ',' || *c->at == '\n' || *c->at == '\r')) {
        break;
      }
      c->next_line += *c->at == '\n';
      *out++ = *c->at;
    }
    more = c->at < c->end && *c->at == ',';
    if (!more && c->at < c->end && *c->at == '\r') c->at++;
    if (!more && c->at < c->end && *c->at == '\n') c->next_line++;
    if (c->at < c->end) c->at++;
    *out = '\0'; /* the separator has been read, so its place is free */
    fields[n++] = start;
  }
  return n;
}

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
  char *name = fv_format("%s", fields[0]), *end, reason[300];
  if (!name) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  long long id = strtoll(fields[1], &end, 10);
  char *image = end != fields[1] && !*end && id >= 0 ? find_image(dir, id) : NULL;
  snprintf(reason, sizeof reason, "%s", "");
  if (end == fields[1] || *end || id < 0)
    snprintf(reason, sizeof reason, "image id \"%.60s\" is not a number", fields[1]);
  else if (!image)
    snprintf(reason, sizeof reason, "%.200s has no image %012lld", dir, id);
  else if (!count_words(fields[2]))
    snprintf(reason, sizeof reason, "the question is empty");
  if (reason[0]) {
    char *where = fv_format("%s line %lld (row %s)", csv_name, (long long)line, name);
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
  char *text = NULL, *fields[MAX_FIELDS];
  size_t size;
  *out = (fv_samples){0};
  fv_status st = fv_file_read(path, MAX_CSV_BYTES, &text, &size, err);
  if (st) return st;
  csv c = {text, text + size, 1, 1};
  size_t bad;
  if (!fv_utf8_valid(text, size, &bad)) st = fv_fail(err, FV_EFORMAT, "%s: byte %zu is not valid UTF-8", path, bad);
  int n = st ? 0 : csv_record(&c, fields);
  if (!st && (n != 4 || fields[0][0] || strcmp(fields[1], "train_image_id_count") != 0))
    st = fv_fail(err, FV_EFORMAT,
                 "%s: the header is not \",train_image_id_count,question_count,answer_count\" as in COCO-QA tables",
                 path);
  while (!st && (limit <= 0 || (int64_t)out->count < limit) && (n = csv_record(&c, fields)) != 0) {
    if (n == 1 && !fields[0][0]) continue; /* an empty line */
    if (n != 4)
      st = fv_fail(err, FV_EFORMAT, "%s: line %lld has %s, expected 4 fields", path, (long long)c.line,
                   n < 0 ? "an open quote or too many fields" : "another number of fields");
    else if (words <= 0 || count_words(fields[2]) == words)
      st = add_sample(out, fields, images, path, c.line, err);
  }
  free(text);
  if (st) fv_samples_release(out);
  return st;
}
