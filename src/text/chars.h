/* A text as code points, each with the bytes of the original text it came from.
 *
 * Normalization replaces, removes, inserts and reorders characters; every character of the result still knows the one
 * character of the original it stems from, so a token can be traced back to the bytes it covers. An inserted character
 * has the place of the character it was inserted for.
 *
 * Ownership: fv_chars owns its array (zero-initialised = empty; release with fv_chars_release). Threads: plain data.
 */
#ifndef FOVEA_TEXT_CHARS_H
#define FOVEA_TEXT_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fv_char {
  int64_t at;     /* byte offset in the original text */
  uint32_t code;  /* the character now */
  uint32_t bytes; /* length of the original character */
} fv_char;

typedef struct fv_chars {
  fv_char *items;
  size_t count, capacity;
} fv_chars;

void fv_chars_release(fv_chars *chars);
/* Appends one character; false when memory is short. */
bool fv_chars_add(fv_chars *chars, uint32_t code, const fv_char *from);
/* Appends the code points of valid UTF-8; false when memory is short. */
bool fv_chars_add_utf8(fv_chars *chars, const char *text, size_t n);
/* The characters as UTF-8, without a terminating NUL; NULL when memory is short. Release with free(). */
char *fv_chars_utf8(const fv_char *chars, size_t count, size_t *bytes);

/* [*first, *last): the bytes of the original text that n > 0 characters stem from. */
void fv_chars_span(const fv_char *chars, size_t n, int64_t *first, int64_t *last);

#endif
