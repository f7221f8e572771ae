#include "text/unicode.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include "text/unicode_new.h"

/* True when c was assigned in Unicode `major`.0. ICU gives age 0 to what it does not know. */
static bool assigned_by(uint32_t c, uint8_t major) {
  UVersionInfo age;
  u_charAge((UChar32)c, age);
  return age[0] > 0 && (age[0] < major || (age[0] == major && age[1] == 0));
}

static uint32_t category_mask(uint32_t c) { return U_MASK(u_charType((UChar32)c)); }

bool fv_unicode_space(uint32_t c) { return u_hasBinaryProperty((UChar32)c, UCHAR_WHITE_SPACE); }

bool fv_unicode_other(uint32_t c) {
  if (c < 0x7F) return c < 0x20;
  return (category_mask(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) && assigned_by(c, 8);
}

bool fv_unicode_mark_nonspacing(uint32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;                                                /* Mc since 14.0 */
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9) return false; /* Lo, Lo, Mc and Po in 8.0 */
  return (category_mask(c) & U_GC_MN_MASK) && assigned_by(c, 8);
}

bool fv_unicode_punctuation(uint32_t c) {
  if (c == 0x166D || c == 0x111C9) return true; /* So since 12.0, Mn since 11.0 */
  return (category_mask(c) & U_GC_P_MASK) && assigned_by(c, 8);
}

static bool in_ranges(const uint32_t ranges[][2], size_t n, uint32_t c) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (c > ranges[mid][1])
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < n && c >= ranges[lo][0];
}

bool fv_unicode_word(uint32_t c) {
  if (!assigned_by(c, FV_UNICODE_NEW_AFTER)) return in_ranges(word_new, sizeof word_new / sizeof *word_new, c);
  if (category_mask(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) return true;
  return u_hasBinaryProperty((UChar32)c, UCHAR_ALPHABETIC) || u_hasBinaryProperty((UChar32)c, UCHAR_JOIN_CONTROL);
}

bool fv_unicode_letter(uint32_t c) {
  if (!assigned_by(c, FV_UNICODE_NEW_AFTER)) return in_ranges(letter_new, sizeof letter_new / sizeof *letter_new, c);
  return (category_mask(c) & U_GC_L_MASK) != 0;
}

bool fv_unicode_number(uint32_t c) {
  if (!assigned_by(c, FV_UNICODE_NEW_AFTER)) return in_ranges(number_new, sizeof number_new / sizeof *number_new, c);
  return (category_mask(c) & U_GC_N_MASK) != 0;
}

size_t fv_unicode_lower(uint32_t c, uint32_t out[2]) {
  if (c < 0x80) return out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c, 1;
  if (c == 0x130) return out[0] = 'i', out[1] = 0x307, 2; /* the only lower case of two code points */
  out[0] = c;
  if (assigned_by(c, FV_UNICODE_NEW_AFTER)) return out[0] = (uint32_t)u_tolower((UChar32)c), 1;
  for (size_t i = 0; i < sizeof lower_new / sizeof *lower_new; i++)
    if (c >= lower_new[i].first && c <= lower_new[i].last) out[0] = (uint32_t)((int32_t)c + lower_new[i].shift);
  return 1;
}

static const UNormalizer2 *nfd(void) {
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2 *n = unorm2_getNFDInstance(&status);
  return U_SUCCESS(status) ? n : NULL;
}

size_t fv_unicode_decompose(uint32_t c, uint32_t out[FV_UNICODE_DECOMPOSED]) {
  out[0] = c;
  if (c < 0xC0 || !assigned_by(c, 9)) return 1;
  UChar units[2 * FV_UNICODE_DECOMPOSED];
  UErrorCode status = U_ZERO_ERROR;
  int32_t n = unorm2_getDecomposition(nfd(), (UChar32)c, units, 2 * FV_UNICODE_DECOMPOSED, &status);
  if (U_FAILURE(status) || n <= 0) return 1;
  size_t count = 0;
  for (int32_t i = 0; i < n && count < FV_UNICODE_DECOMPOSED; i++) {
    bool pair = U16_IS_LEAD(units[i]) && i + 1 < n;
    out[count++] = pair ? 0x10000u + ((units[i] & 0x3FFu) << 10) + (units[i + 1] & 0x3FFu) : units[i];
    i += pair;
  }
  return count;
}

bool fv_unicode_compose(uint32_t a, uint32_t b, uint32_t *out) {
  if (b < 0x300 || !assigned_by(a, 9) || !assigned_by(b, 9)) return false;
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);
  if (U_FAILURE(status)) return false;
  UChar32 whole = unorm2_composePair(nfc, (UChar32)a, (UChar32)b);
  if (whole < 0 || !assigned_by((uint32_t)whole, 9)) return false;
  *out = (uint32_t)whole;
  return true;
}

uint8_t fv_unicode_combining_class(uint32_t c) {
  if (c < 0x300 || !assigned_by(c, 9)) return 0;
  return unorm2_getCombiningClass(nfd(), (UChar32)c);
}
