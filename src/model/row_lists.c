/* Lists: numbers, and rows by number, name, patch or word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rowset.h"
#include "fovea/address.h"
#include "model/loaded.h"

/* A set under construction; `what` and `text` are for messages. */
typedef struct list_parser {
  const char *at, *end;
  int64_t limit;
  const char *what;
  fv_error *err;
  fv_word *seen;
  int64_t *list; /* [limit], in the order in which they are named, each once */
  int64_t count;
} list_parser;

static fv_status start(list_parser *p) {
  p->seen = fv_alloc((size_t)fv_rowset_words(p->limit), sizeof *p->seen);
  p->list = fv_alloc((size_t)p->limit, sizeof *p->list);
  return p->seen && p->list ? FV_OK : fv_fail(p->err, FV_ENOMEM, "no memory");
}

static fv_status finish(list_parser *p, fv_status st, int64_t **list, int64_t *count) {
  free(p->seen);
  if (st) return free(p->list), st;
  *list = p->list, *count = p->count;
  return FV_OK;
}

static void add(list_parser *p, int64_t lo, int64_t hi) {
  for (int64_t t = lo; t < hi; t++)
    if (!fv_rowset_has(p->seen, t)) fv_rowset_add(p->seen, t), p->list[p->count++] = t;
}

fv_status fv_check_text(const char *what, const char *text, fv_error *err) {
  size_t bad;
  if (!fv_utf8_valid(text, strlen(text), &bad))
    return fv_fail(err, FV_EUSAGE, "the %s is not valid UTF-8: byte %zu starts no character", what, bad);
  for (const char *s = text; *s; s++)
    if ((unsigned char)*s < 0x20 || *s == 0x7f)
      return fv_fail(err, FV_EUSAGE, "the %s has a control character at byte %zu", what, (size_t)(s - text));
  return FV_OK;
}

int fv_shown(const char *text, size_t n) {
  enum { MOST = 120 };
  if (n <= MOST) return (int)n;
  int shown = MOST;
  while (((unsigned char)text[shown] & 0xc0) == 0x80) shown--;
  return shown;
}

static fv_status malformed(const list_parser *p, const char *expected) {
  return fv_fail(p->err, FV_EUSAGE, "%s: found \"%.*s\", expected %s", p->what,
                 fv_shown(p->at, (size_t)(p->end - p->at)), p->at, expected);
}

static bool parse_number(list_parser *p, int64_t *out) {
  const char *s = p->at;
  bool negative = s < p->end && *s == '-';
  s += negative;
  if (s == p->end || *s < '0' || *s > '9') return false;
  int64_t v = 0;
  for (; s < p->end && *s >= '0' && *s <= '9'; s++)
    if (v < ((int64_t)1 << 40)) v = v * 10 + (*s - '0');
  p->at = s;
  *out = negative ? p->limit - v : v;
  return true;
}

static fv_status add_numbers(list_parser *p) {
  const char *start = p->at;
  int64_t lo, hi;
  if (p->at < p->end && *p->at == '*') {
    p->at++;
    lo = 0, hi = p->limit - 1;
  } else {
    if (!parse_number(p, &lo)) return malformed(p, "a number, a range such as 3-7, or *");
    hi = lo;
    if (p->at < p->end && *p->at == '-') {
      p->at++;
      if (!parse_number(p, &hi)) return malformed(p, "the end of a range");
    }
  }
  if (hi < lo)
    return fv_fail(p->err, FV_ENOTFOUND, "%s: the range \"%.*s\" ends before it begins", p->what,
                   fv_shown(start, (size_t)(p->at - start)), start);
  if (lo < 0 || hi >= p->limit)
    return fv_fail(p->err, FV_ENOTFOUND, "%s: \"%.*s\" is outside 0..%lld", p->what,
                   fv_shown(start, (size_t)(p->at - start)), start, (long long)p->limit - 1);
  add(p, lo, hi + 1);
  return FV_OK;
}

fv_status fv_numbers_parse(const char *text, size_t n, int64_t limit, const char *what, int64_t **list, int64_t *count,
                           fv_error *err) {
  list_parser p = {.at = text, .end = text + n, .limit = limit, .what = what, .err = err};
  fv_status st = n == 0 ? malformed(&p, "a list of numbers") : start(&p);
  for (bool more = true; more && !st;) {
    st = add_numbers(&p);
    more = !st && p.at < p.end && *p.at == ',';
    if (more)
      p.at++;
    else if (!st && p.at < p.end)
      st = malformed(&p, "a comma or the end of the list");
  }
  return finish(&p, st, list, count);
}

/* Image rows and a lone word mark have a place in the text, and are no part of its words. */
static bool is_word_row(const fv_input *in, int space, int64_t row) {
  const char *piece = fv_tokenizer_piece(in->model->tokenizer, in->texts[space].ids[row]);
  return fv_input_spliced(in, space, row) < 0 && !(piece && strcmp(piece, "\xe2\x96\x81") == 0);
}

/* Rows whose characters overlap the word's first occurrence in the text. */
static fv_status add_word(list_parser *p, const fv_input *in, int space) {
  const char *quote = memchr(p->at + 1, '"', (size_t)(p->end - p->at - 1));
  if (!quote || quote == p->at + 1) return malformed(p, "a word in double quotes");
  const fv_text *t = &in->texts[space];
  size_t n = (size_t)(quote - p->at - 1);
  const char *found = in->text && t->first ? memmem(in->text, strlen(in->text), p->at + 1, n) : NULL;
  bool any = false;
  if (found) {
    int64_t lo = found - in->text, hi = lo + (int64_t)n;
    for (int64_t i = 0; i < t->count; i++)
      if (t->first[i] >= 0 && t->first[i] < hi && t->last[i] > lo && is_word_row(in, space, i))
        add(p, i, i + 1), any = true;
  }
  if (!any)
    return fv_fail(p->err, FV_ENOTFOUND, "%s: the text has no row for \"%.*s\"", p->what, fv_shown(p->at + 1, n),
                   p->at + 1);
  p->at = quote + 1;
  return FV_OK;
}

static bool take_name(list_parser *p, const char *name) {
  size_t n = strlen(name);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, name, n) != 0) return false;
  if (p->at + n < p->end && p->at[n] != ',' && p->at[n] != '[') return false;
  p->at += n;
  return true;
}

/* "NAME" or "NAME2": *number counts from 1, 0 where there is none. */
static bool take_numbered(list_parser *p, const char *name, int64_t *number) {
  const char *start = p->at, *s = start;
  size_t n = strlen(name);
  if ((size_t)(p->end - s) < n || memcmp(s, name, n) != 0) return false;
  s += n, *number = 0;
  for (; s < p->end && *s >= '0' && *s <= '9' && *number < 1 << 20; s++) *number = *number * 10 + (*s - '0');
  bool ends = s == p->end || *s == ',' || *s == '[', zero = s > start + n && start[n] == '0';
  if (ends && !zero) p->at = s;
  return ends && !zero;
}

/* The rows that stand for patches of all pictures, or of the one with this number from 1; or for one patch of it, of
 * the first where none is named. */
static fv_status add_image(list_parser *p, const fv_input *in, int stack, int64_t number) {
  const char *name = in->model->plan->stacks[stack].name;
  int64_t down, across, r = 0, c = 0, rows = p->limit, pictures = 0;
  int space = in->model->plan->stacks[stack].space;
  bool one = p->at < p->end && *p->at == '[';
  fv_input_grid(in, &down, &across);
  if (one) {
    p->at++;
    p->limit = down;
    bool good = parse_number(p, &r) && p->at < p->end && *p->at == ',';
    if (good) p->at++, p->limit = across, good = parse_number(p, &c) && p->at < p->end && *p->at == ']';
    p->limit = rows;
    if (!good) return malformed(p, "image[ROW,COLUMN]");
    p->at++;
  }
  for (int64_t t = 0; t < rows; t++) {
    int64_t patch = fv_input_patch(in, space, t), picture = patch < 0 ? -1 : fv_input_picture_shown(in, space, t);
    if (picture >= pictures) pictures = picture + 1;
    bool named = patch >= 0 && (number == 0 ? !one || picture == 0 : picture == number - 1);
    if (named && (!one || patch == r * across + c)) add(p, t, t + 1);
  }
  if (pictures == 0) return fv_fail(p->err, FV_ENOTFOUND, "%s: %s has no image rows", p->what, name);
  if (number > pictures)
    return fv_fail(p->err, FV_ENOTFOUND, "%s: there is no picture %lld among %lld", p->what, (long long)number,
                   (long long)pictures);
  if (one && (r < 0 || r >= down || c < 0 || c >= across))
    return fv_fail(p->err, FV_ENOTFOUND, "%s: image[%lld,%lld] is outside the %lld x %lld patches", p->what,
                   (long long)r, (long long)c, (long long)down, (long long)across);
  return FV_OK;
}

/* text[k]: the rows of one of several texts, special tokens included. */
static fv_status add_text(list_parser *p, const fv_input *in, int stack) {
  int space = in->model->plan->stacks[stack].space;
  const fv_text *t = &in->texts[space];
  int64_t k = 0, rows = p->limit;
  p->at++;
  p->limit = t->start ? t->ntexts : 0;
  bool good = parse_number(p, &k) && p->at < p->end && *p->at == ']';
  p->limit = rows;
  if (!good) return malformed(p, "text[NUMBER]");
  p->at++;
  if (!t->start || k < 0 || k >= t->ntexts)
    return fv_fail(p->err, FV_ENOTFOUND, "%s: there is no text[%lld] among %lld", p->what, (long long)k,
                   (long long)(t->start ? t->ntexts : 0));
  return add(p, t->start[k], t->start[k + 1]), FV_OK;
}

/* The class row, of several pictures the first's where none is named. */
static fv_status add_class(list_parser *p, const fv_input *in, int stack, int64_t number) {
  int space = in->model->plan->stacks[stack].space;
  int64_t t = number > 1 ? (number - 1) * in->model->plan->spaces[space].rows : 0;
  if (!fv_input_is_class(in, space, 0))
    return fv_fail(p->err, FV_ENOTFOUND, "%s: %s has no class row", p->what, in->model->plan->stacks[stack].name);
  if (t >= p->limit || (number > 1 && t == 0))
    return fv_fail(p->err, FV_ENOTFOUND, "%s: there is no picture %lld among %lld", p->what, (long long)number,
                   (long long)(in->npictures > 1 ? in->npictures : 1));
  return add(p, t, t + 1), FV_OK;
}

static fv_status add_rows(list_parser *p, const fv_input *in, int stack) {
  const fv_model *m = in->model;
  int space = m->plan->stacks[stack].space;
  const fv_text *t = &in->texts[space];
  int64_t number;
  if (p->at < p->end && *p->at == '"') return add_word(p, in, space);
  if (take_numbered(p, "image", &number)) return add_image(p, in, stack, number);
  if (take_name(p, "last")) return add(p, p->limit - 1, p->limit), FV_OK;
  if (take_numbered(p, "cls", &number)) return add_class(p, in, stack, number);
  if (take_name(p, "text")) {
    if (p->at < p->end && *p->at == '[') return add_text(p, in, stack);
    if (!t->first)
      return fv_fail(p->err, FV_ENOTFOUND, "%s: %s has no text rows", p->what, m->plan->stacks[stack].name);
    for (int64_t i = 0; i < t->count; i++)
      if (t->first[i] >= 0 && fv_input_spliced(in, space, i) < 0) add(p, i, i + 1);
    return FV_OK;
  }
  bool numeric = p->at < p->end && (*p->at == '-' || *p->at == '*' || (*p->at >= '0' && *p->at <= '9'));
  if (!numeric)
    return malformed(p, "rows: 12, -1, 3-7, cls, image, text, last, image[r,c], image2, text[k] or \"word\"");
  return add_numbers(p);
}

fv_status fv_rows_parse(const fv_input *in, const char *stack, const char *text, int64_t **rows, int64_t *count,
                        fv_error *err) {
  fv_status st = fv_check_text("list of rows", text, err);
  if (st) return st;
  int s = fv_plan_find_stack(in->model->plan, stack, strlen(stack));
  if (s < 0) return fv_fail(err, FV_ENOTFOUND, "there is no stack \"%s\"", stack);
  int64_t T = fv_input_space_rows(in, in->model->plan->stacks[s].space);
  if (T == 0)
    return fv_fail(err, FV_ENOTFOUND, "rows \"%.*s\": this input gives %s no rows", fv_shown(text, strlen(text)), text,
                   stack);
  char what[128];
  snprintf(what, sizeof what, "rows of %s", stack);
  list_parser p = {.at = text, .end = text + strlen(text), .limit = T, .what = what, .err = err};
  st = *text ? start(&p) : malformed(&p, "a list of rows");
  for (bool more = !st; more && !st;) {
    st = add_rows(&p, in, s);
    more = !st && p.at < p.end && *p.at == ',';
    if (more)
      p.at++;
    else if (!st && p.at < p.end)
      st = malformed(&p, "a comma or the end of the list");
  }
  return finish(&p, st, rows, count);
}
