#include "fovea/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/table.h"

static bool markup(uint32_t code) {
  return code == '<' || code == '>' || code == '&' || code == 0x2028 || code == 0x2029;
}

/* How many bytes from here on mean themselves: printable ASCII without quotes, backslashes and markup. */
static size_t plain(const char *s) {
  size_t n = 0;
  while (s[n] >= 0x20 && s[n] < 0x7F && s[n] != '"' && s[n] != '\\' && s[n] != '<' && s[n] != '>' && s[n] != '&') n++;
  return n;
}

static void write_text(fv_json_out *j, const char *s) {
  FILE *f = j->stream;
  putc('"', f);
  for (size_t at = 0, n = strlen(s); at < n;) {
    size_t same = plain(s + at);
    fwrite(s + at, 1, same, f);
    if ((at += same) == n) break;
    uint32_t code;
    char bytes[4];
    at += fv_utf8_scan(s + at, n - at, &code);
    if (code == '"' || code == '\\')
      fprintf(f, "\\%c", (int)code);
    else if (code == '\n' || code == '\t')
      fputs(code == '\n' ? "\\n" : "\\t", f);
    else if (code < 0x20 || code == 0x7F || (j->page && markup(code)))
      fprintf(f, "\\u%04" PRIx32, code);
    else
      fwrite(bytes, 1, fv_utf8_put(code, bytes), f);
  }
  putc('"', f);
}

/* Numbers in long lists are not worth a line each. */
static void begin_value(fv_json_out *j, const char *key, bool number) {
  if (j->begun) fputs(j->page && (key || !number) ? ",\n" : ",", j->stream);
  j->begun = true;
  if (!key) return;
  write_text(j, key);
  putc(':', j->stream);
}

void fv_json_out_begin(fv_json_out *j, const char *key, char bracket) {
  begin_value(j, key, false);
  putc(bracket, j->stream);
  j->begun = false;
  j->depth++;
}

void fv_json_out_end(fv_json_out *j, char bracket) {
  putc(bracket, j->stream);
  j->begun = --j->depth > 0;
  if (!j->begun) putc('\n', j->stream);
}

void fv_json_out_text(fv_json_out *j, const char *key, const char *value) {
  begin_value(j, key, false);
  if (value)
    write_text(j, value);
  else
    fputs("null", j->stream);
}

static void write_whole(fv_json_out *j, int64_t value) {
  char text[FV_WHOLE_TEXT];
  fwrite(text, 1, fv_whole_put(text, value), j->stream);
}

void fv_json_out_int(fv_json_out *j, const char *key, int64_t value) {
  begin_value(j, key, true);
  write_whole(j, value);
}

void fv_json_out_count(fv_json_out *j, const char *key, int64_t value) {
  begin_value(j, key, true);
  if (value >= 0)
    write_whole(j, value);
  else
    fputs("null", j->stream);
}

void fv_json_out_num(fv_json_out *j, const char *key, double value) {
  char text[FV_NUMBER_TEXT];
  float v = (float)value;
  begin_value(j, key, true);
  if (isfinite(v))
    fv_number_format(text, v), fputs(text, j->stream);
  else if (isinf(v) && j->page)
    fputs(v < 0.0f ? "-1e999" : "1e999", j->stream);
  else
    fputs("null", j->stream);
}

void fv_json_out_bool(fv_json_out *j, const char *key, bool value) {
  begin_value(j, key, false);
  fputs(value ? "true" : "false", j->stream);
}
