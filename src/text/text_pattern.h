/* What a normalizer, a pre-tokenizer or a decoder looks for in a text: a plain string or a regular expression.
 *
 * Regular expressions are searched by PCRE2; those of a tokenizer.json were written for Oniguruma. So only what means
 * the same to both is accepted, and everything else is refused by name: ASCII literals and their escapes, \n \r \t,
 * \s \S \p{L} \p{N}, classes of these, groups (capturing, (?:, (?=, (?!), | and the quantifiers ? * + with a lazy ?.
 * PCRE2 never decides what a letter is: the characters are replaced, for the search only, by one letter, one number,
 * one space or one unassigned character as text/unicode.h says, so the result does not depend on its version.
 *
 * Ownership: fv_pattern and fv_ranges own their memory; zero-initialised is empty. Threads: immutable after parsing.
 * Cost: linear in the text for the patterns of published tokenizers; PCRE2's own limit ends hostile ones.
 * Checked by: tests/text/test_bpe.c, over every code point; what is refused: tests/text/test_tokenizer_files.c.
 */
#ifndef FOVEA_TEXT_TEXT_PATTERN_H
#define FOVEA_TEXT_TEXT_PATTERN_H

#include <jansson.h>

#include "fovea/status.h"
#include "text/chars.h"

typedef struct fv_pattern {
  fv_chars literal; /* of a plain string */
  struct pcre2_real_code_8 *regex;
} fv_pattern;

typedef struct fv_ranges {
  struct fv_range {
    size_t first, last; /* characters [first, last) */
  } * items;
  size_t count, capacity;
} fv_ranges;

void fv_pattern_release(fv_pattern *pattern);
void fv_ranges_release(fv_ranges *ranges);
bool fv_ranges_add(fv_ranges *ranges, size_t first, size_t last);

/* "pattern" of an object: {"String": ...} or {"Regex": ...}. Errors: FV_EFORMAT; FV_EUNSUPPORTED for a regular
 * expression outside the common ground, or one that matches the empty string. */
fv_status fv_pattern_parse(const json_t *object, const char *where, fv_pattern *out, fv_error *err);
fv_status fv_pattern_regex(const char *text, size_t n, const char *where, fv_pattern *out, fv_error *err);
/* Appends all matches in chars[0..n), from left to right, none overlapping. Errors: FV_ENOMEM; FV_EUNSUPPORTED when
 * the search takes more steps than PCRE2 allows. */
fv_status fv_pattern_find(const fv_pattern *pattern, const fv_char *chars, size_t n, fv_ranges *out, fv_error *err);

#endif
