#include "fovea/status.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

const char *fv_status_text(fv_status status) {
  switch (status) {
#define CASE(name, value, text) \
  case FV_##name: return text;
    FV_STATUS_MAP(CASE)
#undef CASE
  }
  return "unknown status";
}

/* Cuts a truncated text at a character boundary, so that it stays valid UTF-8. */
static void trim_utf8(char *text) {
  size_t n = strlen(text), start = n;
  while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
  if (start == 0) return;
  unsigned char lead = (unsigned char)text[start - 1];
  size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (lead >= 0x80 && n - (start - 1) < want) text[start - 1] = '\0';
}

/* Names and words from files end up in messages, and messages on terminals: control characters and what is not UTF-8
 * become '?'. */
static void tame(char *text) {
  size_t bad;
  for (char *s = text; !fv_utf8_valid(s, strlen(s), &bad); s += bad) s[bad] = '?';
  for (unsigned char *s = (unsigned char *)text; *s; s++) {
    if (*s < 0x20 || *s == 0x7F) *s = '?';
    if (*s == 0xC2 && s[1] >= 0x80 && s[1] < 0xA0) s[0] = s[1] = '?'; /* U+0080 to U+009F */
  }
}

fv_status fv_fail(fv_error *err, fv_status status, const char *format, ...) {
  if (!err) return status;
  va_list args;
  va_start(args, format);
  int n = vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  if (n < 0) err->text[0] = '\0';
  if ((size_t)n >= sizeof err->text) trim_utf8(err->text);
  tame(err->text);
  err->status = status;
  return status;
}

fv_status fv_fail_prefix(fv_error *err, fv_status status, const char *format, ...) {
  if (!err) return status;
  char prefix[FV_ERROR_TEXT];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  if (n < 0) return status;
  tame(prefix);
  size_t len = strlen(prefix);
  /* The cause matters more than the place: a long prefix is cut, the cause is kept. */
  if (len > sizeof err->text / 3)
    len = sizeof err->text / 3, prefix[len] = '\0', trim_utf8(prefix), len = strlen(prefix);
  size_t have = strlen(err->text);
  if (have > sizeof err->text - len - 3) have = sizeof err->text - len - 3;
  memmove(err->text + len + 2, err->text, have);
  memcpy(err->text, prefix, len);
  memcpy(err->text + len, ": ", 2);
  err->text[len + 2 + have] = '\0';
  trim_utf8(err->text);
  return status;
}
