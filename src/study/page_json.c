#include "study/page_json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/table.h"

/* The next code point, and how many bytes it takes; U+FFFD and 1 for a byte that begins none. */
static size_t next_code(const char *s, size_t left, uint32_t *code) {
  unsigned char c = (unsigned char)*s;
  size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (n <= left && fv_utf8_valid(s, n, NULL)) return fv_utf8_next(s, n, code);
  *code = 0xFFFD;
  return 1;
}

static void write_text(FILE *f, const char *s) {
  putc('"', f);
  for (size_t at = 0, n = strlen(s); at < n;) {
    uint32_t code;
    char bytes[4];
    at += next_code(s + at, n - at, &code);
    if (code == '"' || code == '\\')
      fprintf(f, "\\%c", (int)code);
    else if (code < 0x20 || code == 0x7F || code == '<' || code == '>' || code == '&' || code == 0x2028 ||
             code == 0x2029)
      fprintf(f, "\\u%04x", (unsigned)code);
    else
      fwrite(bytes, 1, fv_utf8_put(code, bytes), f);
  }
  putc('"', f);
}

static void begin_value(fv_page_json *j, const char *key) {
  if (j->begun) fputs(",\n", j->f);
  j->begun = true;
  if (!key) return;
  write_text(j->f, key);
  putc(':', j->f);
}

/* Numbers in long lists are not worth a line each. */
static void begin_number(fv_page_json *j, const char *key) {
  if (key) {
    begin_value(j, key);
    return;
  }
  if (j->begun) putc(',', j->f);
  j->begun = true;
}

void fv_page_json_begin(fv_page_json *j, const char *key, char bracket) {
  begin_value(j, key);
  putc(bracket, j->f);
  j->begun = false;
}

void fv_page_json_end(fv_page_json *j, char bracket) {
  putc(bracket, j->f);
  j->begun = true;
}

void fv_page_json_text(fv_page_json *j, const char *key, const char *value) {
  begin_value(j, key);
  if (value)
    write_text(j->f, value);
  else
    fputs("null", j->f);
}

void fv_page_json_int(fv_page_json *j, const char *key, int64_t value) {
  begin_number(j, key);
  fprintf(j->f, "%" PRId64, value);
}

void fv_page_json_count(fv_page_json *j, const char *key, int64_t value) {
  if (value >= 0)
    fv_page_json_int(j, key, value);
  else
    begin_number(j, key), fputs("null", j->f);
}

void fv_page_json_num(fv_page_json *j, const char *key, float value) {
  char text[FV_NUMBER_TEXT];
  begin_number(j, key);
  if (isnan(value))
    fputs("null", j->f);
  else if (isinf(value))
    fputs(value < 0.0f ? "-1e999" : "1e999", j->f);
  else
    fv_number_format(text, value), fputs(text, j->f);
}

void fv_page_json_rough(fv_page_json *j, const char *key, double value) {
  double unit = isfinite(value) && value != 0.0 ? pow(10.0, floor(log10(fabs(value))) - 2.0) : 1.0;
  fv_page_json_num(j, key, isfinite(value) ? (float)(nearbyint(value / unit) * unit) : NAN);
}

void fv_page_json_bool(fv_page_json *j, const char *key, bool value) {
  begin_value(j, key);
  fputs(value ? "true" : "false", j->f);
}

void fv_page_html_text(FILE *f, const char *s) {
  for (size_t at = 0, n = strlen(s); at < n;) {
    uint32_t code;
    char bytes[4];
    at += next_code(s + at, n - at, &code);
    if (code == '<' || code == '>' || code == '&' || code == '"' || code == '\'')
      fprintf(f, "&#%u;", (unsigned)code);
    else if (code >= 0x20 && code != 0x7F)
      fwrite(bytes, 1, fv_utf8_put(code, bytes), f);
    else
      putc(' ', f);
  }
}
