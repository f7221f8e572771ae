/* Bounds-checked reading of untrusted bytes, checked size arithmetic, and small allocation helpers.
 *
 * An fv_cursor is a window [at, end) over memory that somebody else owns. Every read checks the bounds, advances, and
 * returns false (leaving the cursor where it was) when too little is left. No function here allocates except the
 * fv_alloc family. Threads: a cursor belongs to one thread.
 */
#ifndef FOVEA_BASE_BYTES_H
#define FOVEA_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

typedef struct fv_cursor {
  const uint8_t *at, *end;
} fv_cursor;

static inline size_t fv_cursor_left(const fv_cursor *c) { return (size_t)(c->end - c->at); }

/* Little-endian unsigned integers. */
bool fv_cursor_u8(fv_cursor *c, uint8_t *out);
bool fv_cursor_u16(fv_cursor *c, uint16_t *out);
bool fv_cursor_u32(fv_cursor *c, uint32_t *out);
bool fv_cursor_u64(fv_cursor *c, uint64_t *out);
/* The next n bytes as a view into the window. */
bool fv_cursor_take(fv_cursor *c, size_t n, const uint8_t **out);

/* *out = a * b (a + b); false on overflow of the type. */
bool fv_mul_size(size_t a, size_t b, size_t *out);
bool fv_add_size(size_t a, size_t b, size_t *out);
bool fv_mul_i64(int64_t a, int64_t b, int64_t *out);

/* Zeroed memory for n items of the given size; NULL on overflow or when memory is short. n = 0 gives a valid pointer.
 */
void *fv_alloc(size_t n, size_t size);
/* The same without zeroing, aligned to 64 bytes. Release with free(). */
void *fv_alloc_aligned(size_t n, size_t size);
/* Grows an array to hold at least `want` items (capacity doubles); on failure the array is unchanged. */
bool fv_grow(void *array_pointer, size_t *capacity, size_t want, size_t size);
char *fv_strdup(const char *s);
/* printf into a fresh string; NULL when memory is short. */
char *fv_format(const char *format, ...) FV_PRINTF(1, 2);

/* Writes a whole number in decimal, with a NUL behind it, and returns its length. */
#define FV_WHOLE_TEXT 21
size_t fv_whole_put(char out[FV_WHOLE_TEXT], int64_t value);

/* True when none of the n numbers is NaN or infinite. */
bool fv_all_finite(const float *x, int64_t n);

/* True when the n bytes are well-formed UTF-8 (no surrogates, no overlong forms); *bad is the offset of the first bad
 * byte. */
bool fv_utf8_valid(const char *s, size_t n, size_t *bad);
/* Decodes one code point of valid UTF-8 at s (n > 0 bytes left) and returns its length in bytes. */
size_t fv_utf8_next(const char *s, size_t n, uint32_t *code);
/* The same of any bytes: U+FFFD and 1 for a byte that begins no code point. */
size_t fv_utf8_scan(const char *s, size_t n, uint32_t *code);
/* Encodes a code point; returns the length (1 to 4). */
size_t fv_utf8_put(uint32_t code, char out[4]);

#endif
