/* A set of row numbers 0..T-1 as a bit string of whole 64-bit words.
 *
 * The set does not know T: callers pass the number of words, fv_rowset_words(T). Bits at and beyond T are always zero.
 * Everything is inline; memory is the caller's. Threads: plain data.
 */
#ifndef FOVEA_BASE_ROWSET_H
#define FOVEA_BASE_ROWSET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t fv_word;

static inline int64_t fv_rowset_words(int64_t T) { return (T + 63) / 64; }

static inline void fv_rowset_clear(fv_word *s, int64_t words) { memset(s, 0, (size_t)words * sizeof *s); }

static inline void fv_rowset_add(fv_word *s, int64_t t) { s[t / 64] |= (fv_word)1 << (t % 64); }
static inline void fv_rowset_remove(fv_word *s, int64_t t) { s[t / 64] &= ~((fv_word)1 << (t % 64)); }
static inline bool fv_rowset_has(const fv_word *s, int64_t t) { return s[t / 64] >> (t % 64) & 1; }

/* Adds lo, lo+1, ..., hi-1. */
static inline void fv_rowset_add_range(fv_word *s, int64_t lo, int64_t hi) {
  for (int64_t t = lo; t < hi;) {
    int64_t bit = t % 64, n = 64 - bit < hi - t ? 64 - bit : hi - t;
    fv_word mask = n == 64 ? ~(fv_word)0 : (((fv_word)1 << n) - 1) << bit;
    s[t / 64] |= mask;
    t += n;
  }
}

static inline void fv_rowset_or(fv_word *s, const fv_word *other, int64_t words) {
  for (int64_t i = 0; i < words; i++) s[i] |= other[i];
}

static inline bool fv_rowset_empty(const fv_word *s, int64_t words) {
  fv_word any = 0;
  for (int64_t i = 0; i < words; i++) any |= s[i];
  return any == 0;
}

static inline int64_t fv_rowset_count(const fv_word *s, int64_t words) {
  int64_t n = 0;
  for (int64_t i = 0; i < words; i++) n += __builtin_popcountll(s[i]);
  return n;
}

/* The smallest element >= from, or -1. */
static inline int64_t fv_rowset_next(const fv_word *s, int64_t words, int64_t from) {
  for (int64_t i = from / 64; i < words; i++) {
    fv_word w = s[i];
    if (i == from / 64) w &= ~(fv_word)0 << (from % 64);
    if (w) return i * 64 + __builtin_ctzll(w);
  }
  return -1;
}

/* The largest element, or -1. */
static inline int64_t fv_rowset_last(const fv_word *s, int64_t words) {
  for (int64_t i = words - 1; i >= 0; i--)
    if (s[i]) return i * 64 + 63 - __builtin_clzll(s[i]);
  return -1;
}

#define FV_ROWSET_EACH(t, s, words) \
  for (int64_t t = fv_rowset_next(s, words, 0); t >= 0; t = fv_rowset_next(s, words, t + 1))

#endif
