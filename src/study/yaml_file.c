#include "study/yaml_file.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "study/nearest.h"

enum { LARGEST = 16 << 20, MOST_FIELDS = 32 };

static fv_status syntax_error(const char *path, const yaml_parser_t *p, fv_error *err) {
  if (p->error == YAML_MEMORY_ERROR) return fv_fail(err, FV_ENOMEM, "no memory for %s", path);
  bool place = p->error != YAML_READER_ERROR;
  return fv_fail(err, FV_EFORMAT, "%s:%zu:%zu: is not YAML: %s%s%s", path, place ? p->problem_mark.line + 1 : 1,
                 place ? p->problem_mark.column + 1 : p->problem_offset + 1, p->problem ? p->problem : "malformed",
                 p->context ? ", " : "", p->context ? p->context : "");
}

fv_status fv_yaml_load(const char *path, fv_yaml **out, fv_error *err) {
  char *text = NULL;
  size_t size = 0;
  yaml_parser_t parser;
  fv_status st = fv_file_read(path, LARGEST, &text, &size, err);
  if (st) return st;
  fv_yaml *y = fv_alloc(1, sizeof *y);
  if (!y || !(y->path = fv_strdup(path)) || !yaml_parser_initialize(&parser)) {
    if (y) free(y->path);
    return free(y), free(text), fv_fail(err, FV_ENOMEM, "no memory for %s", path);
  }
  yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
  yaml_document_t more;
  bool loaded = yaml_parser_load(&parser, &y->document), second = false;
  if (!loaded)
    st = syntax_error(path, &parser, err);
  else if (!fv_yaml_root(y))
    st = fv_fail(err, FV_EFORMAT, "%s:1:1: is empty; expected a study", path);
  else if (!(second = yaml_parser_load(&parser, &more)))
    st = syntax_error(path, &parser, err);
  else if (yaml_document_get_root_node(&more))
    st = fv_fail(err, FV_EFORMAT, "%s:%zu:1: a second document begins here; a file holds one study", path,
                 more.start_mark.line + 1);
  if (second) yaml_document_delete(&more);
  yaml_parser_delete(&parser);
  free(text);
  if (!loaded) return free(y->path), free(y), st;
  if (st) return fv_yaml_free(y), st;
  *out = y;
  return FV_OK;
}

void fv_yaml_free(fv_yaml *y) {
  if (!y) return;
  yaml_document_delete(&y->document);
  free(y->path), free(y);
}

/* libyaml's accessors do not know const; they change nothing. */
static yaml_document_t *document(const fv_yaml *y) { return (yaml_document_t *)(uintptr_t)&y->document; }
const yaml_node_t *fv_yaml_root(const fv_yaml *y) { return yaml_document_get_root_node(document(y)); }

fv_status fv_yaml_fail_at(const fv_yaml *y, const yaml_node_t *at, fv_error *err) {
  return fv_fail_prefix(err, FV_EFORMAT, "%s:%zu:%zu", y->path, at->start_mark.line + 1, at->start_mark.column + 1);
}

fv_status fv_yaml_fail(const fv_yaml *y, const yaml_node_t *at, fv_error *err, const char *format, ...) {
  char text[FV_ERROR_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return fv_fail(err, FV_EFORMAT, "%s:%zu:%zu: %s", y->path, at->start_mark.line + 1, at->start_mark.column + 1, text);
}

const char *fv_yaml_text(const yaml_node_t *n) {
  return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

const yaml_node_t *fv_yaml_item(const fv_yaml *y, const yaml_node_t *n, size_t i) {
  if (n->type != YAML_SEQUENCE_NODE) return i == 0 ? n : NULL;
  size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
  return i < count ? yaml_document_get_node(document(y), n->data.sequence.items.start[i]) : NULL;
}

bool fv_yaml_pair(const fv_yaml *y, const yaml_node_t *map, size_t i, const yaml_node_t **key,
                  const yaml_node_t **value) {
  if (map->type != YAML_MAPPING_NODE) return false;
  if (i >= (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start)) return false;
  *key = yaml_document_get_node(document(y), map->data.mapping.pairs.start[i].key);
  *value = yaml_document_get_node(document(y), map->data.mapping.pairs.start[i].value);
  return true;
}

const yaml_node_t *fv_yaml_get(const fv_yaml *y, const yaml_node_t *map, const char *key) {
  const yaml_node_t *k, *v;
  for (size_t i = 0; fv_yaml_pair(y, map, i, &k, &v); i++)
    if (fv_yaml_text(k) && strcmp(fv_yaml_text(k), key) == 0) return v;
  return map;
}

void fv_texts_release(fv_texts *t) {
  for (size_t i = 0; i < t->count; i++) free(t->items[i]);
  free(t->items);
  *t = (fv_texts){0};
}

/* ---- maps ---- */

static bool plain(const yaml_node_t *n) {
  return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static const char *type_of(const yaml_node_t *n) {
  return n->type == YAML_MAPPING_NODE ? "a map" : n->type == YAML_SEQUENCE_NODE ? "a list" : "a value";
}

fv_status fv_yaml_need_text(const fv_yaml *y, const char *key, const yaml_node_t *n, const char **out, fv_error *err) {
  const char *text = fv_yaml_text(n);
  if (!text) return fv_yaml_fail(y, n, err, "%s is %s; expected a value", key, type_of(n));
  if (strlen(text) != n->data.scalar.length) return fv_yaml_fail(y, n, err, "%s contains a NUL character", key);
  if (!text[0] || (plain(n) && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0)))
    return fv_yaml_fail(y, n, err, "%s has no value", key);
  *out = text;
  return FV_OK;
}

static fv_status read_texts(const fv_yaml *y, const char *key, const yaml_node_t *n, fv_texts *out, fv_error *err) {
  const yaml_node_t *item;
  for (size_t i = 0; (item = fv_yaml_item(y, n, i)); i++) {
    const char *text = NULL;
    fv_status st = fv_yaml_need_text(y, key, item, &text, err);
    if (st) return st;
    char **grown = realloc(out->items, (out->count + 1) * sizeof *grown);
    if (!grown) return fv_fail(err, FV_ENOMEM, "no memory");
    out->items = grown;
    if (!(grown[out->count] = fv_strdup(text))) return fv_fail(err, FV_ENOMEM, "no memory");
    out->count++;
  }
  return out->count ? FV_OK : fv_yaml_fail(y, n, err, "%s is an empty list", key);
}

static fv_status read_joined(const fv_yaml *y, const char *key, const yaml_node_t *n, char **out, fv_error *err) {
  fv_texts list = {0};
  char *joined = NULL;
  fv_status st = read_texts(y, key, n, &list, err);
  for (size_t i = 0; i < list.count && !st; i++) {
    char *longer = fv_format("%s%s%s", joined ? joined : "", joined ? "," : "", list.items[i]);
    free(joined), joined = longer;
    if (!joined) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  fv_texts_release(&list);
  if (st) return free(joined), st;
  *out = joined;
  return FV_OK;
}

/* strtod and strtoll also take blanks, hexadecimal digits and names. */
static bool decimal(const char *s, const char *end) {
  return end > s && strspn(s, "0123456789+-.eE") >= (size_t)(end - s);
}

/* strtod, whatever the locale's decimal point. */
static double c_number(const char *text, char **end) {
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double v = c ? strtod_l(text, end, c) : strtod(text, end);
  if (c) freelocale(c);
  return v;
}

static fv_status read_number(const fv_yaml *y, const fv_field *f, const yaml_node_t *n, void *at, fv_error *err) {
  const char *text = NULL;
  char *end;
  fv_status st = fv_yaml_need_text(y, f->name, n, &text, err);
  if (st) return st;
  errno = 0;
  if (f->kind == FV_FIELD_INTEGER) {
    long long v = strtoll(text, &end, 10);
    if (!plain(n) || !decimal(text, end) || *end || errno)
      return fv_yaml_fail(y, n, err, "%s is \"%s\"; expected an integer", f->name, text);
    if (v < f->least)
      return fv_yaml_fail(y, n, err, "%s is %lld; expected at least %lld", f->name, v, (long long)f->least);
    return *(int64_t *)at = v, FV_OK;
  }
  double v = c_number(text, &end);
  bool good = plain(n) && decimal(text, end);
  if (f->kind == FV_FIELD_PERCENT) {
    if (!good || end[strcmp(end, "%") == 0] || !(v >= 0.0 && v <= 100.0))
      return fv_yaml_fail(y, n, err, "%s is \"%s\"; expected 0 to 100 percent", f->name, text);
    return *(double *)at = v, FV_OK;
  }
  const char *units = "KMGT", *unit = *end ? strchr(units, *end) : NULL;
  if (unit && !end[1]) v *= pow(1024.0, (double)(unit - units + 1)), end++;
  if (!good || *end || errno || !(v >= 1.0 && v < 1e18))
    return fv_yaml_fail(y, n, err, "%s is \"%s\"; expected a size such as 800M or 2G", f->name, text);
  return *(size_t *)at = (size_t)v, FV_OK;
}

static fv_status read_choice(const fv_yaml *y, const fv_field *f, const yaml_node_t *n, int *at, fv_error *err) {
  char words[128];
  const char *list[16], *text = NULL;
  int count = 0;
  fv_status st = fv_yaml_need_text(y, f->name, n, &text, err);
  if (st) return st;
  snprintf(words, sizeof words, "%s", f->choices);
  for (char *save, *w = strtok_r(words, "|", &save); w && count < 16; w = strtok_r(NULL, "|", &save)) {
    if (strcmp(w, text) == 0) return *at = count, FV_OK;
    list[count++] = w;
  }
  const char *meant = fv_nearest(text, list, (size_t)count);
  return meant ? fv_yaml_fail(y, n, err, "%s is \"%s\"; did you mean %s? Expected %s", f->name, text, meant, f->choices)
               : fv_yaml_fail(y, n, err, "%s is \"%s\"; expected %s", f->name, text, f->choices);
}

static fv_status read_bool(const fv_yaml *y, const fv_field *f, const yaml_node_t *n, bool *at, fv_error *err) {
  const char *text = NULL;
  fv_status st = fv_yaml_need_text(y, f->name, n, &text, err);
  if (st) return st;
  bool yes = strcmp(text, "true") == 0;
  if (!plain(n) || (!yes && strcmp(text, "false") != 0))
    return fv_yaml_fail(y, n, err, "%s is \"%s\"; expected true or false", f->name, text);
  return *at = yes, FV_OK;
}

static fv_status read_field(const fv_yaml *y, const fv_field *f, const yaml_node_t *n, void *at, fv_error *err) {
  const char *text = NULL;
  fv_status st;
  switch (f->kind) {
    case FV_FIELD_TEXT:
      st = fv_yaml_need_text(y, f->name, n, &text, err);
      if (!st && !(*(char **)at = fv_strdup(text))) st = fv_fail(err, FV_ENOMEM, "no memory");
      return st;
    case FV_FIELD_TEXTS: return read_texts(y, f->name, n, at, err);
    case FV_FIELD_JOINED: return read_joined(y, f->name, n, at, err);
    case FV_FIELD_INTEGER:
    case FV_FIELD_PERCENT:
    case FV_FIELD_SIZE: return read_number(y, f, n, at, err);
    case FV_FIELD_BOOL: return read_bool(y, f, n, at, err);
    case FV_FIELD_CHOICE: return read_choice(y, f, n, at, err);
    case FV_FIELD_NODE: return *(const yaml_node_t **)at = n, FV_OK;
  }
  return FV_EINTERNAL;
}

static fv_status unknown_key(const fv_yaml *y, const yaml_node_t *key, const char *what, const fv_field *fields,
                             size_t n, fv_error *err) {
  const char *names[MOST_FIELDS];
  char all[512] = "";
  for (size_t i = 0; i < n; i++) {
    size_t used = strlen(all);
    names[i] = fields[i].name;
    snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", fields[i].name);
  }
  const char *text = fv_yaml_text(key), *meant = text ? fv_nearest(text, names, n) : NULL;
  if (!text) return fv_yaml_fail(y, key, err, "a key of %s is %s; expected a word", what, type_of(key));
  return meant ? fv_yaml_fail(y, key, err, "%s has no \"%s\"; did you mean %s?", what, text, meant)
               : fv_yaml_fail(y, key, err, "%s has no \"%s\"; it has %s", what, text, all);
}

fv_status fv_yaml_read(const fv_yaml *y, const yaml_node_t *map, const char *what, const fv_field *fields, size_t n,
                       void *out, fv_error *err) {
  const yaml_node_t *key, *value;
  bool seen[MOST_FIELDS] = {0};
  if (map->type != YAML_MAPPING_NODE)
    return fv_yaml_fail(y, map, err, "%s is %s; expected keys and values", what, type_of(map));
  for (size_t i = 0; fv_yaml_pair(y, map, i, &key, &value); i++) {
    size_t k = 0;
    while (k < n && !(fv_yaml_text(key) && strcmp(fv_yaml_text(key), fields[k].name) == 0)) k++;
    if (k == n) return unknown_key(y, key, what, fields, n, err);
    if (seen[k]) return fv_yaml_fail(y, key, err, "%s is there twice", fields[k].name);
    seen[k] = true;
    fv_status st = read_field(y, &fields[k], value, (char *)out + fields[k].offset, err);
    if (st) return st;
  }
  for (size_t k = 0; k < n; k++)
    if (fields[k].needed && !seen[k]) return fv_yaml_fail(y, map, err, "%s has no %s", what, fields[k].name);
  return FV_OK;
}
