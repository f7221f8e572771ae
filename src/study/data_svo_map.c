#include "study/data_svo_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "study/data_pictures.h"

enum { MAX_BYTES = 1 << 28 };

typedef struct entry {
  char *url, *file;
  size_t line;
} entry;

static int by_url(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int order = strcmp(x->url, y->url);
  return order ? order : x->line < y->line ? -1 : x->line > y->line;
}

void fv_svo_map_release(fv_svo_map *m) {
  for (size_t i = 0; i < m->count && m->paths; i++) free(m->paths[i]);
  free(m->text), free(m->urls), free(m->paths), free(m->reasons);
  *m = (fv_svo_map){0};
}

/* Cuts the text into entries. */
static fv_status cut(const char *path, char *text, entry **list, size_t *count, fv_error *err) {
  size_t capacity = 0, line = 0;
  for (char *at = text; *at;) {
    char *end = at + strcspn(at, "\n"), *next = *end ? end + 1 : end;
    *end = '\0';
    if (end > at && end[-1] == '\r') end[-1] = '\0';
    line++;
    char *tab = strchr(at, '\t');
    if (*at && (!tab || tab == at || !tab[1] || strchr(tab + 1, '\t')))
      return fv_fail(err, FV_EFORMAT, "%s: line %zu is not URL, tab, file", path, line);
    if (*at) {
      if (!fv_grow(list, &capacity, *count + 1, sizeof **list)) return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
      *tab = '\0';
      (*list)[(*count)++] = (entry){at, tab + 1, line};
    }
    at = next;
  }
  if (*count == 0) return fv_fail(err, FV_EFORMAT, "%s: is empty, expected lines of URL, tab, file", path);
  qsort(*list, *count, sizeof **list, by_url);
  for (size_t i = 1; i < *count; i++)
    if (strcmp((*list)[i].url, (*list)[i - 1].url) == 0)
      return fv_fail(err, FV_EFORMAT, "%s: line %zu: the URL is already on line %zu: %.200s", path, (*list)[i].line,
                     (*list)[i - 1].line, (*list)[i].url);
  return FV_OK;
}

fv_status fv_svo_map_load(const char *folder, bool keep_black, fv_svo_map *out, fv_error *err) {
  entry *list = NULL;
  size_t count = 0;
  *out = (fv_svo_map){0};
  char *path = fv_path_join(folder, "map.tsv");
  fv_status st = path ? fv_file_read(path, MAX_BYTES, &out->text, NULL, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = cut(path, out->text, &list, &count, err);
  if (!st) {
    out->urls = fv_alloc(count, sizeof *out->urls);
    out->paths = fv_alloc(count, sizeof *out->paths);
    out->reasons = fv_alloc(count, sizeof *out->reasons);
    if (!out->urls || !out->paths || !out->reasons) st = fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  }
  for (size_t i = 0; i < count && !st; i++) {
    out->urls[i] = list[i].url;
    out->paths[i] = list[i].file[0] == '/' ? fv_strdup(list[i].file) : fv_path_join(folder, list[i].file);
    if (!out->paths[i]) st = fv_fail(err, FV_ENOMEM, "%s: no memory", path);
    out->count++;
  }
  if (!st) fv_pictures_check(count, out->paths, keep_black, out->reasons);
  free(list), free(path);
  if (st) fv_svo_map_release(out);
  return st;
}

static int url_is(const void *key, const void *item) { return strcmp(key, *(char *const *)item); }

const char *fv_svo_map_find(const fv_svo_map *m, const char *url, const char **reason) {
  char **at = bsearch(url, m->urls, m->count, sizeof *m->urls, url_is);
  *reason = at ? m->reasons[at - m->urls] : "map.tsv does not have the picture's URL";
  return *reason ? NULL : m->paths[at - m->urls];
}
