/* Canonical order and composition of characters, as the tokenizers library does them (Unicode 9.0).
 *
 * Pure functions over arrays that the caller owns; any thread. Cost: linear in the text.
 * Checked by: tests/text/test_normalizer.c, tests/text/test_bpe.c.
 */
#ifndef FOVEA_TEXT_CANONICAL_H
#define FOVEA_TEXT_CANONICAL_H

#include "text/chars.h"

/* Canonical order: each run of characters with a non-zero combining class is sorted by class, equals keeping theirs.
 * False when memory is short. */
bool fv_canonical_order(fv_char *chars, size_t n);
/* Appends the composed form (NFC) of in[0..n) to out. A composed character has the place of its first character, as
 * the library counts it: the k-th character that neither appeared nor vanished belongs to the k-th of the text, also
 * where ordering moved marks. False when memory is short. */
bool fv_canonical_compose(const fv_char *in, size_t n, fv_chars *out);

#endif
