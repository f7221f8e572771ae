/* GPT-2's alphabet: one visible character for each of the 256 bytes, so that text of any kind is text to BPE.
 *
 * The bytes 21-7E, A1-AC and AE-FF are the characters of that number; the others, in order, U+0100 to U+0143 (a space
 * is U+0120). Pure functions; any thread.
 */
#ifndef FOVEA_TEXT_BYTE_ALPHABET_H
#define FOVEA_TEXT_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t fv_byte_to_char(uint8_t byte) {
  if (byte <= 0x20) return 0x100u + byte;
  if (byte >= 0x7F && byte <= 0xA0) return 0x121u + byte - 0x7Fu;
  return byte == 0xAD ? 0x143 : byte;
}

/* False when c is no character of the alphabet. */
static inline bool fv_byte_from_char(uint32_t c, uint8_t *byte) {
  uint32_t b = c;
  if (c >= 0x100 && c <= 0x120) b = c - 0x100;
  if (c >= 0x121 && c <= 0x142) b = c - 0x121 + 0x7F;
  if (c == 0x143) b = 0xAD;
  *byte = (uint8_t)b;
  return b <= 0xFF && fv_byte_to_char((uint8_t)b) == c;
}

#endif
