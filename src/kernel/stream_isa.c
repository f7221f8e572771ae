/* Weights straight from the checkpoint: widened and turned, either into oneDNN's layout (a panel for many rows) or into
 * a small buffer that a few rows are multiplied with at once. Compiled per instruction set.
 *
 * A matrix lies as [N, K], K fastest; products want K slowest, with neighbouring outputs side by side. VL rows of VL
 * 32-bit words are turned in registers: log2(VL) rounds, each of which interleaves the first half of the vectors with
 * the second. A word is one float, or two neighbouring 16-bit numbers that are told apart afterwards.
 */
#include <string.h>

#include "kernel/isa_table.h"
#include "kernel/vec.h"

/* Outputs in the buffer of the few-row product, and columns: 16 KiB at most, half of the first cache. */
enum { STRIP_VECTORS = 4, STRIP = STRIP_VECTORS * VL, DEPTH = 64 };

/* Accumulators of the few-row product: this many rows by STRIP_VECTORS vectors. */
#if VL == 16
enum { MOST_ROWS = 6 };
#else
enum { MOST_ROWS = 2 };
#endif

/* The rows of a strip are more streams than a processor follows by itself, and memory dislikes to be read by the line:
 * while one span of the rows' bytes is worked on, the next one is asked for, row after row. A block of VL x VL words
 * asks for as many bytes as it reads. */
enum { SPAN = 2048, BLOCK = VL * VL * 4, ROW_BLOCKS = SPAN / BLOCK, LINE = 64 };
typedef struct ahead {
  const uint8_t *from; /* the next span of the first row */
  int64_t row_bytes, block;
  int64_t until; /* the column at which it begins */
} ahead;

#if VL == 16
#define FIRST_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SECOND_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VL == 8
#define FIRST_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define SECOND_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define FIRST_HALVES 0, 4, 1, 5
#define SECOND_HALVES 2, 6, 3, 7
#endif
#ifdef __clang__
#define INTERLEAVED(a, b, halves) __builtin_shufflevector(a, b, halves)
#else
#define INTERLEAVED(a, b, halves) __builtin_shuffle(a, b, (vu){halves})
#endif

/* r[i] becomes what was word i of every r. */
VINLINE void turn(vu r[VL]) {
#pragma GCC unroll 4
  for (int round = 1; round < VL; round *= 2) {
    vu t[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL / 2; i++) {
      t[2 * i] = INTERLEAVED(r[i], r[i + VL / 2], FIRST_HALVES);
      t[2 * i + 1] = INTERLEAVED(r[i], r[i + VL / 2], SECOND_HALVES);
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) r[i] = t[i];
  }
}

/* The float16 in the low half of each word; the high half is ignored. As fv_tensor_read_f32 does it: exact, and free of
 * subnormal operands. */
VINLINE vf half_to_float(vu word) {
  vi m = (vi)(word & vsetu(0x7FFFu)), small = m<0x400, special = m> 0x7BFF;
  vi bits = (m << 13) + (112 << 23) + (small & (1 << 23)), taken = small & (113 << 23);
  vu value = (vu)((vf)bits - (vf)taken) + ((vu)special & vsetu(112u << 23));
  return (vf)(value | (word << 16 & vsetu(0x80000000u)));
}

#if VL == 16
static const uint16_t even_then_odd[32] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                           1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
#endif

/* Numbers at even and odd columns of a word. */
VINLINE void split_f16(vu word, vf *even, vf *odd) {
#if VL == 16
  __m512i both = _mm512_permutexvar_epi16(_mm512_loadu_si512(even_then_odd), (__m512i)word);
  *even = (vf)_mm512_cvtph_ps(_mm512_castsi512_si256(both));
  *odd = (vf)_mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1));
#else
  *even = half_to_float(word);
  *odd = half_to_float(word >> 16);
#endif
}
VINLINE void split_bf16(vu word, vf *even, vf *odd) {
  *even = (vf)(word << 16);
  *odd = (vf)(word & vsetu(0xFFFF0000u));
}

/* Words already turned, as the floats of so many columns at to[column * step]. */
VINLINE void store_columns(fv_weight_type type, const vu r[VL], int64_t columns, float *to, int64_t step) {
#pragma GCC unroll 16
  for (int i = 0; i < VL; i++) {
    vf even, odd;
    if (type == FV_WEIGHT_F32) {
      if (i < columns) vstore(to + i * step, (vf)r[i]);
      continue;
    }
    if (type == FV_WEIGHT_F16)
      split_f16(r[i], &even, &odd);
    else
      split_bf16(r[i], &even, &odd);
    if (2 * i < columns) vstore(to + 2 * i * step, even);
    if (2 * i + 1 < columns) vstore(to + (2 * i + 1) * step, odd);
  }
}

/* Rows of `bytes` < sizeof(vu) bytes, filled up with zeros. Not inlined: vectors that are kept in an array for a loop
 * are not kept in registers. */
static __attribute__((noinline)) void copy_short_rows(const uint8_t *w, int64_t row_bytes, int64_t bytes, vu to[VL]) {
  memset(to, 0, VL * sizeof *to);
  for (int i = 0; i < VL; i++) memcpy(&to[i], w + i * row_bytes, (size_t)bytes);
}

/* The same, number by number, for rows that do not fill vectors. */
static void widen_rest(fv_weight_type type, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t columns,
                       float *to, int64_t step) {
  for (int64_t n = 0; n < rows; n++)
    for (int64_t c = 0; c < columns; c++) {
      uint32_t word = 0;
      memcpy(&word, w + n * row_bytes + c * (type == FV_WEIGHT_F32 ? 4 : 2), type == FV_WEIGHT_F32 ? 4 : 2);
      vf value = type == FV_WEIGHT_F16 ? half_to_float(vsetu(word)) : (vf)vsetu(word);
      if (type == FV_WEIGHT_BF16) value = (vf)vsetu(word << 16);
      to[c * step + n] = value[0];
    }
}

VINLINE void ask(ahead *next) {
  const uint8_t *from = next->from + next->block / ROW_BLOCKS * next->row_bytes + next->block % ROW_BLOCKS * BLOCK;
#pragma GCC unroll 16
  for (int i = 0; i < BLOCK; i += LINE) __builtin_prefetch(from + i, 0, 2);
  next->block++;
}

/* `rows` <= VL rows of `columns` numbers, widened and turned: to[column * step + row]. */
VINLINE void widen_rows(fv_weight_type type, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t columns,
                        float *to, int64_t step, ahead *next) {
  const int64_t size = type == FV_WEIGHT_F32 ? 4 : 2, block = VL * 4 / size;
  if (rows < VL) {
    widen_rest(type, w, row_bytes, rows, columns, to, step);
    return;
  }
  for (int64_t c = 0; c < columns; c += block) {
    vu r[VL], rest[VL];
    const uint8_t *from = w + c * size;
    int64_t n = columns - c < block ? columns - c : block, step_bytes = row_bytes;
    ask(next);
    if (n < block) {
      copy_short_rows(from, row_bytes, n * size, rest);
      from = (const uint8_t *)rest, step_bytes = sizeof *rest;
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) memcpy(&r[i], from + i * step_bytes, sizeof r[i]);
    turn(r);
    if (n == block)
      store_columns(type, r, block, to + c * step, step);
    else
      store_columns(type, r, n, to + c * step, step);
  }
}

/* The strip whose rows begin at w is worked on from column c on: what to ask for meanwhile, the rows' next span, or the
 * rows behind them. */
VINLINE void look_ahead(ahead *next, const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t c, int64_t size) {
  if (c > 0 && c < next->until) return;
  int64_t offset = c * size + SPAN < row_bytes ? c * size + SPAN : rows * row_bytes;
  *next = (ahead){w + offset, row_bytes, 0, c + SPAN / size};
}

/* Columns of the piece that begins at column c of rows at w: DEPTH, or as many as bring the next one to the beginning
 * of a cache line in every row. Tensors begin anywhere, and lines that are read in two halves are fetched twice. */
VINLINE int64_t piece(const uint8_t *w, int64_t row_bytes, int64_t c, int64_t end, int64_t size) {
  int64_t depth = DEPTH, over = (int64_t)((uintptr_t)(w + c * size) % LINE);
  if (over && over % size == 0 && row_bytes % LINE == 0) depth = (LINE - over) / size;
  return depth < end - c ? depth : end - c;
}

VINLINE void pack_as(fv_weight_type type, const fv_pack_task *t) {
  const int64_t size = type == FV_WEIGHT_F32 ? 4 : 2, row_bytes = t->K * size;
  ahead next = {t->w, row_bytes, 0, 0};
  for (int64_t c = 0, columns; c < t->K; c += columns) {
    columns = piece(t->w, row_bytes, c, t->K, size);
    look_ahead(&next, t->w, row_bytes, t->N, c, size);
    for (int64_t n = 0; n < t->N; n += VL) {
      float *to = t->to + n / t->block * t->block_step + n % t->block + c * t->column_step;
      widen_rows(type, t->w + n * row_bytes + c * size, row_bytes, t->N - n < VL ? t->N - n : VL, columns, to,
                 t->column_step, &next);
    }
  }
}

void FV_ISA_NAME(fv_pack_task_run)(const fv_pack_task *t) {
  switch (t->type) {
    case FV_WEIGHT_F32: pack_as(FV_WEIGHT_F32, t); break;
    case FV_WEIGHT_F16: pack_as(FV_WEIGHT_F16, t); break;
    case FV_WEIGHT_BF16: pack_as(FV_WEIGHT_BF16, t); break;
  }
}

/* A piece of a strip, columns slowest: as floats, and, where vectors convert by themselves, 16-bit numbers as they are
 * first, columns 2i and 2i + 1 of VL outputs side by side. The first rows that are multiplied widen those for the rest.
 */
#if VL == 16
enum { KEEPS_HALVES = 1 };
#else
enum { KEEPS_HALVES = 0 };
#endif
typedef struct strip_buffer {
  _Alignas(64) float wide[DEPTH * STRIP];
  _Alignas(64) uint16_t half[KEEPS_HALVES ? DEPTH * STRIP : 1];
} strip_buffer;

VINLINE bool as_halves(fv_weight_type type) { return KEEPS_HALVES && type != FV_WEIGHT_F32; }
VINLINE int64_t half_at(int64_t column, int64_t output) {
  return ((column / 2 * STRIP_VECTORS + output / VL) * 2 + column % 2) * VL + output % VL;
}

#if VL == 16
/* widen_rows into the halves of a buffer. */
VINLINE void turn_rows(const uint8_t *w, int64_t row_bytes, int64_t rows, int64_t columns, uint16_t *to, int64_t output,
                       ahead *next) {
  const __m512i apart = _mm512_loadu_si512(even_then_odd);
  int64_t c = 0;
  for (; rows == VL && c < columns; c += 2 * VL) {
    vu r[VL], rest[VL];
    const uint8_t *from = w + c * 2;
    int64_t n = columns - c < 2 * VL ? columns - c : 2 * VL, step_bytes = row_bytes;
    ask(next);
    if (n < 2 * VL) {
      copy_short_rows(from, row_bytes, n * 2, rest);
      from = (const uint8_t *)rest, step_bytes = sizeof *rest;
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) memcpy(&r[i], from + i * step_bytes, sizeof r[i]);
    turn(r);
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
      if (2 * i < n)
        _mm512_store_si512(to + half_at(c + 2 * i, output), _mm512_permutexvar_epi16(apart, (__m512i)r[i]));
  }
  for (int64_t n = 0; n < rows; n++)
    for (int64_t k = c; k < columns; k++) memcpy(to + half_at(k, output + n), w + n * row_bytes + k * 2, 2);
}
#endif

/* Where the product's rows find the buffer's numbers: widened already, or among the halves, to be widened for others.
 */
typedef enum place { WIDE, HALF, HALF_TO_WIDE } place;

VINLINE vf buffered(fv_weight_type type, place from, strip_buffer *b, int64_t column, int vector) {
  float *wide = b->wide + column * STRIP + vector * VL;
#if VL == 16
  if (from != WIDE) {
    __m256i half = _mm256_load_si256((const void *)(b->half + half_at(column, vector * VL)));
    vf v = type == FV_WEIGHT_F16 ? (vf)_mm512_cvtph_ps(half) : (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
    if (from == HALF_TO_WIDE) vstore(wide, v);
    return v;
  }
#endif
  (void)type, (void)from;
  return vload(wide);
}

/* sums[row][STRIP] += x of the rows by a buffer of `depth` columns; `start`: from nothing. One chain per output. */
VINLINE void multiply(fv_weight_type type, place from, int rows, int64_t depth, strip_buffer *buffer,
                      const float *const *x, int64_t column, bool start, float *sums) {
  vf acc[MOST_ROWS][STRIP_VECTORS];
#pragma GCC unroll 6
  for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
    for (int v = 0; v < STRIP_VECTORS; v++) acc[m][v] = start ? vset(0.0f) : vload(sums + m * STRIP + v * VL);
  for (int64_t k = 0; k < depth; k++) {
    vf b[STRIP_VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < STRIP_VECTORS; v++) b[v] = buffered(type, from, buffer, k, v);
#pragma GCC unroll 6
    for (int m = 0; m < rows; m++) {
      vf a = vset(x[m][column + k]);
#pragma GCC unroll 4
      for (int v = 0; v < STRIP_VECTORS; v++) acc[m][v] = vfma(a, b[v], acc[m][v]);
    }
  }
#pragma GCC unroll 6
  for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
    for (int v = 0; v < STRIP_VECTORS; v++) vstore(sums + m * STRIP + v * VL, acc[m][v]);
}

/* Fewer than MOST_ROWS. */
VINLINE void multiply_few(fv_weight_type type, place from, int64_t rows, int64_t depth, strip_buffer *buffer,
                          const float *const *x, int64_t column, bool start, float *sums) {
  switch (rows) {
    case 1: multiply(type, from, 1, depth, buffer, x, column, start, sums); break;
#if VL == 16
    case 2: multiply(type, from, 2, depth, buffer, x, column, start, sums); break;
    case 3: multiply(type, from, 3, depth, buffer, x, column, start, sums); break;
    case 4: multiply(type, from, 4, depth, buffer, x, column, start, sums); break;
    case 5: multiply(type, from, 5, depth, buffer, x, column, start, sums); break;
#endif
    default: break;
  }
}

VINLINE void multiply_rows(fv_weight_type type, int64_t rows, int64_t depth, strip_buffer *buffer,
                           const float *const *x, int64_t column, bool start, float *sums) {
  int64_t m = 0;
  if (as_halves(type)) {
    if (rows < MOST_ROWS) {
      multiply_few(type, HALF, rows, depth, buffer, x, column, start, sums);
      return;
    }
    multiply(type, HALF_TO_WIDE, MOST_ROWS, depth, buffer, x, column, start, sums);
    m = MOST_ROWS;
  }
  for (; m + MOST_ROWS <= rows; m += MOST_ROWS)
    multiply(type, WIDE, MOST_ROWS, depth, buffer, x + m, column, start, sums + m * STRIP);
  multiply_few(type, WIDE, rows - m, depth, buffer, x + m, column, start, sums + m * STRIP);
}

/* Sums of a finished block of columns go to the result: the first is it, the others are added. */
static void add_block(const fv_few_task *t, int64_t n, int64_t lanes, bool first, bool last, const float *sums) {
  for (int64_t m = 0; m < t->rows; m++) {
    float *y = t->y + m * t->y_step + n;
    const float *s = sums + m * STRIP;
    for (int64_t i = 0; i < lanes; i++) {
      float sum = first ? s[i] : y[i] + s[i];
      y[i] = last ? sum + t->bias[n + i] : sum;
    }
  }
}

VINLINE void few_as(fv_weight_type type, const fv_few_task *t) {
  const int64_t size = type == FV_WEIGHT_F32 ? 4 : 2, row_bytes = t->K * size;
  _Alignas(64) float sums[FV_FEW_ROWS * STRIP];
  strip_buffer buffer;
  memset(&buffer, 0, sizeof buffer); /* a strip that is not full leaves some of it as it is */
  for (int64_t n = 0; n < t->N; n += STRIP) {
    int64_t outputs = t->N - n < STRIP ? t->N - n : STRIP, begin = 0, depth;
    const uint8_t *w = t->w + n * row_bytes;
    ahead next = {w, row_bytes, 0, 0};
    for (int64_t c = 0; c < t->K; c += depth) {
      if (c == begin + t->chain) begin = c;
      int64_t end = begin + t->chain < t->K ? begin + t->chain : t->K;
      depth = piece(w, row_bytes, c, end, size);
      look_ahead(&next, w, row_bytes, STRIP, c, size);
      for (int64_t i = 0; i < outputs; i += VL) {
        const uint8_t *from = w + i * row_bytes + c * size;
        int64_t rows = outputs - i < VL ? outputs - i : VL;
#if VL == 16
        if (as_halves(type)) turn_rows(from, row_bytes, rows, depth, buffer.half, i, &next);
#endif
        if (!as_halves(type)) widen_rows(type, from, row_bytes, rows, depth, buffer.wide + i, STRIP, &next);
      }
      multiply_rows(type, t->rows, depth, &buffer, t->x, c, c == begin, sums);
      if (c + depth == end) add_block(t, n, outputs, begin == 0, end == t->K, sums);
    }
  }
}

void FV_ISA_NAME(fv_few_task_run)(const fv_few_task *t) {
  switch (t->type) {
    case FV_WEIGHT_F32: few_as(FV_WEIGHT_F32, t); break;
    case FV_WEIGHT_F16: few_as(FV_WEIGHT_F16, t); break;
    case FV_WEIGHT_BF16: few_as(FV_WEIGHT_BF16, t); break;
  }
}
