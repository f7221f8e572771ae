/* The tidying of decoded text: by the WordPiece decoder token by token, and by transformers over the whole string.
 *
 * Every replacement makes the text shorter, so all is done in place. Pure functions; any thread. Cost: linear.
 * Source: tokenizers, decoders/wordpiece.rs; transformers, clean_up_tokenization and CLIPTokenizer.
 * Checked by: tests/text/.
 */
#ifndef FOVEA_TEXT_DECODE_CLEAN_UP_H
#define FOVEA_TEXT_DECODE_CLEAN_UP_H

#include <stddef.h>

/* Both take bytes[0..n) and return the new length. */
size_t fv_clean_up_token(char *bytes, size_t n);
size_t fv_clean_up_text(char *bytes, size_t n);
/* CLIP's: every end-of-word suffix, not longer than what stands for it, becomes a space, and the white space (Python's)
 * at both ends goes. */
size_t fv_clean_up_word_ends(char *bytes, size_t n, const char *suffix);

#endif
