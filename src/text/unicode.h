/* Character properties as the Rust tokenizers library 0.23 sees them.
 *
 * That library draws its tables from several crates, each frozen at another version of Unicode: general categories at
 * 8.0, canonical decomposition at 9.0, the \w of its regular expressions at 16.0, lower case at 17.0. A current table
 * would give other token ids on recently added characters, so every function here answers for one stated version: ICU
 * is asked, restricted to characters whose Age is at most that version, and the few characters whose property changed
 * since then are listed beside the function. What is newer than the oldest ICU we build with (Unicode 14) comes from
 * unicode_new.h, which tools/reference/make_unicode_new.py writes from the library itself.
 *
 * Pure functions of a code point; no state, any thread. Checked by: tests/text/test_normalizer.c, every code point.
 */
#ifndef FOVEA_TEXT_UNICODE_H
#define FOVEA_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* White_Space, which has not changed since Unicode 6.3. */
bool fv_unicode_space(uint32_t c);

/* Categories Cc, Cf and Co of Unicode 8.0. Unassigned characters are not among them. */
bool fv_unicode_other(uint32_t c);
/* Category Mn of Unicode 8.0. */
bool fv_unicode_mark_nonspacing(uint32_t c);
/* Categories Pc, Pd, Ps, Pe, Pi, Pf, Po of Unicode 8.0. */
bool fv_unicode_punctuation(uint32_t c);

/* \w of Unicode 16.0: Alphabetic, marks, decimal digits, connector punctuation, join controls. */
bool fv_unicode_word(uint32_t c);

/* \p{L} (general categories L*) and \p{N} (N*) of Unicode 16.0. */
bool fv_unicode_letter(uint32_t c);
bool fv_unicode_number(uint32_t c);

/* Lower case of one code point on its own (no final sigma), Unicode 17.0; returns the number of code points, 1 or 2. */
size_t fv_unicode_lower(uint32_t c, uint32_t out[2]);

/* The most code points one character decomposes to. */
enum { FV_UNICODE_DECOMPOSED = 4 };
/* Full canonical decomposition, Unicode 9.0; returns the number of code points, at least 1. Not reordered. */
size_t fv_unicode_decompose(uint32_t c, uint32_t out[FV_UNICODE_DECOMPOSED]);
/* The character that a and b compose to canonically, Unicode 9.0; false when there is none. */
bool fv_unicode_compose(uint32_t a, uint32_t b, uint32_t *out);
/* Canonical combining class, Unicode 9.0. */
uint8_t fv_unicode_combining_class(uint32_t c);

#endif
