/* A list of strings in one buffer: the tokens on their way through a decoder.
 *
 * String i is bytes[i ? ends[i - 1] : 0 .. ends[i]); all of them joined are bytes[0..n). A string is written by
 * appending its bytes and ending it.
 *
 * Ownership: the list owns its memory; zero-initialised is empty. Threads: plain data.
 */
#ifndef FOVEA_TEXT_TOKEN_STRINGS_H
#define FOVEA_TEXT_TOKEN_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fv_strings {
  char *bytes;
  size_t n, capacity;
  size_t *ends, count, ends_capacity;
} fv_strings;

void fv_strings_release(fv_strings *list);
/* These return false when memory is short. */
bool fv_strings_append(fv_strings *list, const char *bytes, size_t n);
bool fv_strings_end(fv_strings *list);
bool fv_strings_add(fv_strings *list, const char *bytes, size_t n);
/* String i; *n is its length. */
const char *fv_strings_at(const fv_strings *list, size_t i, size_t *n);

#endif
