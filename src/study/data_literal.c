#include "study/data_literal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

typedef struct parser {
  const char *begin, *at;
  const char *expected; /* set by the first thing that fails */
  int depth;
} parser;

static json_t *parse_value(parser *p);

static json_t *expected(parser *p, const char *what) {
  if (!p->expected) p->expected = what;
  return NULL;
}

static void skip_blanks(parser *p) { p->at += strspn(p->at, " \t\r\n"); }

static bool take(parser *p, char c) {
  skip_blanks(p);
  if (*p->at != c) return false;
  p->at++;
  return true;
}

/* n hexadecimal digits; false when there are fewer. */
static bool take_hex(parser *p, int n, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < n; i++, p->at++) {
    char c = *p->at;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    *out = *out << 4 | (uint32_t)digit;
  }
  return true;
}

/* What follows a backslash, as UTF-8 into out[4]; -1 when it is no escape. */
static int take_escape(parser *p, char out[4]) {
  static const char letters[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
  char c = *p->at;
  uint32_t code = 0;
  const char *letter = c ? strchr(letters, c) : NULL;
  if (letter) return p->at++, out[0] = values[letter - letters], 1;
  if (c == '\n') return p->at++, 0;
  if (c >= '0' && c <= '7') {
    for (int i = 0; i < 3 && *p->at >= '0' && *p->at <= '7'; i++) code = code * 8 + (uint32_t)(*p->at++ - '0');
  } else if (c == 'x' || c == 'u' || c == 'U') {
    p->at++;
    if (!take_hex(p, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code)) return -1;
  } else if (c && c != 'N') {
    return out[0] = '\\', 1; /* Python keeps the backslash of an escape that it does not know */
  } else {
    return -1;
  }
  if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return -1;
  return (int)fv_utf8_put(code, out);
}

static json_t *parse_string(parser *p) {
  char quote = *p->at++, *text = malloc(strlen(p->at) + 4);
  size_t n = 0;
  if (!text) return expected(p, "memory");
  while (*p->at && *p->at != quote && *p->at != '\n') {
    if (*p->at != '\\') {
      text[n++] = *p->at++;
      continue;
    }
    p->at++;
    int k = take_escape(p, text + n); /* never longer than what it stands for */
    if (k < 0) return free(text), expected(p, "one of Python's escapes");
    n += (size_t)k;
  }
  json_t *value = *p->at == quote ? json_stringn(text, n) : expected(p, "the end of the string");
  if (value) p->at++;
  free(text);
  return value;
}

static json_t *parse_number(parser *p) {
  size_t n = strspn(p->at, "+-0123456789.eE");
  char *end;
  errno = 0;
  if (memchr(p->at, '.', n) || memchr(p->at, 'e', n) || memchr(p->at, 'E', n)) {
    double v = strtod(p->at, &end);
    if (end != p->at + n || !isfinite(v)) return expected(p, "a number");
    return p->at = end, json_real(v);
  }
  long long v = strtoll(p->at, &end, 10);
  if (end != p->at + n || errno) return expected(p, "a number of 64 bits");
  return p->at = end, json_integer(v);
}

static json_t *parse_list(parser *p, char close) {
  json_t *list = json_array();
  for (bool more = true; list && more;) {
    if (take(p, close)) return list;
    json_t *item = parse_value(p);
    if (!item || json_array_append_new(list, item) != 0) return json_decref(list), NULL;
    more = take(p, ',');
  }
  if (list && take(p, close)) return list;
  json_decref(list);
  return expected(p, close == ']' ? "a comma or ]" : "a comma or )");
}

static json_t *parse_dict(parser *p) {
  json_t *dict = json_object();
  for (bool more = true; dict && more;) {
    if (take(p, '}')) return dict;
    skip_blanks(p);
    if (*p->at != '\'' && *p->at != '"') return json_decref(dict), expected(p, "a key in quotes");
    json_t *key = parse_string(p), *value = NULL;
    if (key && !take(p, ':'))
      expected(p, "a colon");
    else if (key)
      value = parse_value(p);
    bool stored = value && json_object_set_new(dict, json_string_value(key), value) == 0;
    json_decref(key);
    if (!stored) return json_decref(dict), NULL;
    more = take(p, ',');
  }
  if (dict && take(p, '}')) return dict;
  json_decref(dict);
  return expected(p, "a comma or }");
}

static json_t *parse_value(parser *p) {
  static const struct {
    const char *name;
    json_t *(*make)(void);
  } names[] = {{"True", json_true}, {"False", json_false}, {"None", json_null}};
  skip_blanks(p);
  if (p->depth == FV_LITERAL_DEPTH) return expected(p, "less nesting");
  p->depth++;
  json_t *value = NULL;
  char c = *p->at;
  if (c == '[' || c == '(')
    p->at++, value = parse_list(p, c == '[' ? ']' : ')');
  else if (c == '{')
    p->at++, value = parse_dict(p);
  else if (c == '\'' || c == '"')
    value = parse_string(p);
  else if (c && strchr("+-.0123456789", c))
    value = parse_number(p);
  for (size_t i = 0; i < 3 && !value && !p->expected; i++)
    if (strncmp(p->at, names[i].name, strlen(names[i].name)) == 0)
      p->at += strlen(names[i].name), value = names[i].make();
  p->depth--;
  return value ? value : expected(p, "a list, dict, string, number, True, False or None");
}

fv_status fv_literal_parse(const char *text, const char *where, json_t **out, fv_error *err) {
  parser p = {text, text, NULL, 0};
  *out = parse_value(&p);
  skip_blanks(&p);
  if (*out && *p.at) {
    json_decref(*out);
    *out = expected(&p, "the end of the cell");
  }
  if (*out) return FV_OK;
  return fv_fail(err, FV_EFORMAT, "%s: not a Python literal at character %lld: expected %s", where,
                 (long long)(p.at - p.begin + 1), p.expected ? p.expected : "memory");
}
