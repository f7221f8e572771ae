/* One attention task: some query rows of one group against one key-value head. Compiled per instruction set.
 *
 * Keys are packed VL at a time with the head width outermost, so that one vector holds the same channel of VL keys: a
 * score is then one chain of products over the channels, c = 0, 1, .., whatever else is computed beside it. The sum of
 * a softmax is taken in VL lanes, key s in lane s mod VL, keys ascending, then over the lanes by a fixed tree. z is one
 * chain per channel over the keys, ascending. Tiles of queries and keys only decide which chains run side by side.
 *
 * A masked key adds exp(-INFINITY) = 0 to the softmax sum and 0 * v to z. The first changes nothing; the second changes
 * nothing but the sign of a zero, which the final `+ 0` removes, and a non-finite v, which the careful path leaves out.
 */
#include <stdbool.h>

#include "kernel/attend_room.h"
#include "kernel/isa_table.h"
#include "kernel/vec.h"

/* Queries x vectors held in registers: tall tiles for many queries, long ones for few. */
#if VL == 16
#define TILE_MAP(X) X(8, 3) X(4, 4) X(2, 8) X(1, 8)
#define QUERIES 8
#define LONGEST 8
#else
#define TILE_MAP(X) X(4, 2) X(2, 4) X(1, 4)
#define QUERIES 4
#define LONGEST 4
#endif
_Static_assert(QUERIES <= FV_QUERIES_MAX && VL <= FV_VECTOR_MAX && LONGEST <= FV_BLOCKS_MAX, "scratch is too small");

typedef struct span {
  int64_t lo, hi;
} span;

VINLINE int64_t clamp(int64_t x, int64_t lo, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }

/* The keys that row i of the group sees. */
VINLINE span seen(const fv_attend_group *g, int64_t i) {
  span s = {g->first ? clamp(g->first[i], 0, g->S) : 0, g->visible ? clamp(g->visible[i], 0, g->S) : g->S};
  if (s.lo >= s.hi) s.lo = s.hi = 0;
  return s;
}

VINLINE span widen(span a, span b) {
  if (a.lo == a.hi) return b;
  if (b.lo == b.hi) return a;
  return (span){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* t[c][j] = row[j][c] for VL rows and VL channels. Every stage interleaves the first half of the rows with the second;
 * after log2(VL) of them the matrix is transposed. */
#if VL == 16
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VL == 8
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#endif
VINLINE void zip_rows(const vf from[VL], vf to[VL]) {
#pragma GCC unroll 16
  for (int j = 0; j < VL / 2; j++) {
    to[2 * j] = __builtin_shufflevector(from[j], from[j + VL / 2], ZIP_LOW);
    to[2 * j + 1] = __builtin_shufflevector(from[j], from[j + VL / 2], ZIP_HIGH);
  }
}

/* out [Dh][VL]: the keys s .. s+VL-1. Places outside [seen.lo, seen.hi) repeat a seen key; they are masked later. */
static void pack_keys(const fv_attend_task *t, int64_t s, span range, float *out) {
  const float *row[VL];
  for (int j = 0; j < VL; j++) row[j] = t->group->k[clamp(s + j, range.lo, range.hi - 1)] + t->kv * t->Dh;
  int64_t c = 0;
  for (; c + VL <= t->Dh; c += VL) {
    vf a[VL], b[VL];
#pragma GCC unroll 16
    for (int j = 0; j < VL; j++) a[j] = vload(row[j] + c);
    zip_rows(a, b);
    zip_rows(b, a);
#if VL >= 8
    zip_rows(a, b);
#if VL == 16
    zip_rows(b, a);
#else
    for (int j = 0; j < VL; j++) a[j] = b[j];
#endif
#endif
#pragma GCC unroll 16
    for (int j = 0; j < VL; j++) vstore(out + (c + j) * VL, a[j]);
  }
  for (; c < t->Dh; c++)
    for (int j = 0; j < VL; j++) out[c * VL + j] = row[j][c];
}

/* scores[i][0 .. V*VL) = (q[i] . key) * scale for M queries and V packed blocks of keys. q [Dh][M]. */
#define DEFINE_SCORE(M, V)                                                                                  \
  static void score_##M##_##V(int64_t Dh, const float *q, const float *keys, float scale, float *scores,    \
                              int64_t stride) {                                                             \
    vf sum[M][V] = {{{0}}};                                                                                 \
    for (int64_t c = 0; c < Dh; c++) {                                                                      \
      vf key[V];                                                                                            \
      _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) key[b] = vload(keys + (b * Dh + c) * VL);         \
      _Pragma("GCC unroll 8") for (int i = 0; i < M; i++) {                                                 \
        vf qi = vset(q[c * M + i]);                                                                         \
        _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) sum[i][b] += qi * key[b];                       \
      }                                                                                                     \
    }                                                                                                       \
    _Pragma("GCC unroll 8") for (int i = 0; i < M; i++) _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) \
        vstore(scores + i * stride + b * VL, sum[i][b] * scale);                                            \
  }
/* z[i][0 .. V*VL) = sum over the keys lo <= s < hi of p[i][s] v[s], for M queries and V vectors of channels. */
#define DEFINE_VALUE(M, V)                                                                                            \
  static void value_##M##_##V(span range, const float *p, int64_t stride, const float *const *v, int64_t c, float *z, \
                              int64_t width) {                                                                        \
    vf sum[M][V] = {{{0}}};                                                                                           \
    for (int64_t s = range.lo; s < range.hi; s++) {                                                                   \
      vf value[V];                                                                                                    \
      _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) value[b] = vload(v[s] + c + b * VL);                        \
      _Pragma("GCC unroll 8") for (int i = 0; i < M; i++) {                                                           \
        vf pi = vset(p[i * stride + s]);                                                                              \
        _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) sum[i][b] += pi * value[b];                               \
      }                                                                                                               \
    }                                                                                                                 \
    _Pragma("GCC unroll 8") for (int i = 0; i < M; i++) _Pragma("GCC unroll 8") for (int b = 0; b < V; b++)           \
        vstore(z + i * width + c + b * VL, sum[i][b]);                                                                \
  }
#define DEFINE_TILE(M, V) DEFINE_SCORE(M, V) DEFINE_SCORE(M, 1) DEFINE_VALUE(M, 2) DEFINE_VALUE(M, 1)
TILE_MAP(DEFINE_TILE)

/* Scores of M queries against the packed blocks first .. first+blocks-1. */
static void score_blocks(int M, int64_t blocks, int64_t Dh, const float *q, const float *keys, float scale,
                         float *scores, int64_t stride) {
  int64_t b = 0;
#define SCORE_CASE(m, V)                                                                                        \
  case m:                                                                                                       \
    for (; b + V <= blocks; b += V) score_##m##_##V(Dh, q, keys + b * Dh * VL, scale, scores + b * VL, stride); \
    for (; b < blocks; b++) score_##m##_1(Dh, q, keys + b * Dh * VL, scale, scores + b * VL, stride);           \
    break;
  switch (M) { TILE_MAP(SCORE_CASE) }
#undef SCORE_CASE
}

static void value_rows(int M, span range, const float *p, int64_t stride, const float *const *v, float *z,
                       int64_t width) {
  int64_t c = 0;
#define VALUE_CASE(m, V)                                                                      \
  case m:                                                                                     \
    for (; c + 2 * VL <= width; c += 2 * VL) value_##m##_2(range, p, stride, v, c, z, width); \
    for (; c < width; c += VL) value_##m##_1(range, p, stride, v, c, z, width);               \
    break;
  switch (M) { TILE_MAP(VALUE_CASE) }
#undef VALUE_CASE
}

/* The same chains for one query, leaving out the keys of weight 0: their values may be infinite or NaN. */
static void value_careful(span range, const float *p, const float *const *v, float *z, int64_t width) {
  for (int64_t c = 0; c < width; c += VL) {
    vf sum = {0};
    for (int64_t s = range.lo; s < range.hi; s++)
      if (p[s] != 0.0f) sum += vset(p[s]) * vload(v[s] + c);
    vstore(z + c, sum);
  }
}

/* In place over [lo, hi), both multiples of VL. */
static void softmax_row(float *x, int64_t lo, int64_t hi) {
  vf most = vset(-INFINITY), sum = {0};
  for (int64_t s = lo; s < hi; s += VL) most = vmax(most, vload(x + s));
  float top = vmost(most);
  if (top == -INFINITY) top = 0.0f;
  for (int64_t s = lo; s < hi; s += VL) {
    vf e = vexp(vload(x + s) - top);
    sum += e;
    vstore(x + s, e);
  }
  float total = vsum(sum);
  float scale = total == 0.0f ? 0.0f : 1.0f / total;
  for (int64_t s = lo; s < hi; s += VL) vstore(x + s, vload(x + s) * scale);
}

static void fill(float *x, int64_t lo, int64_t hi, float value) {
  for (int64_t s = lo; s < hi; s++) x[s] = value;
}

/* Masks one row of scores, lets the hook look, and turns it into weights over [lo, hi). */
static void weigh_row(const fv_attend_task *t, int64_t j, span range, float *x) {
  const fv_attend_group *g = t->group;
  int64_t head = t->kv * (t->H / t->KV) + j / g->n, i = j % g->n;
  span see = seen(g, i);
  if (see.lo == see.hi) see.lo = see.hi = range.lo;
  fill(x, range.lo, see.lo, -INFINITY);
  fill(x, see.hi, range.hi, -INFINITY);
  if (t->hook && t->hook->scores) t->hook->scores(g->user, head, i, x, g->S);
  softmax_row(x, range.lo, range.hi);
  if (t->hook && t->hook->pattern) t->hook->pattern(g->user, head, i, x, g->S);
}

VINLINE span whole_blocks(span s) { return (span){s.lo / VL * VL, (s.hi + VL - 1) / VL * VL}; }

static void store_row(const fv_attend_task *t, int64_t j, span range, const float *p, const float *const *v, float *z,
                      int64_t width) {
  const fv_attend_group *g = t->group;
  vf finite = {0};
  for (int64_t c = 0; c < width; c += VL) finite += vload(z + c) * 0.0f;
  if (vsum(finite) != 0.0f) value_careful(range, p, v, z, width);
  int64_t head = t->kv * (t->H / t->KV) + j / g->n, i = j % g->n;
  float *out = g->z + (i * t->H + head) * t->Dh;
  for (int64_t c = 0; c < t->Dh; c++) out[c] = z[c] + 0.0f; /* -0 becomes 0 */
}

/* The queries j .. j+M-1. When the keys are not packed yet, they pass through one small buffer that stays in the first
 * cache. */
static void attend_queries(const fv_attend_task *t, int64_t j, int M, span keys, bool packed, const fv_attend_room *w) {
  const fv_attend_group *g = t->group;
  int64_t Dh = t->Dh, width = w->width, group = t->H / t->KV;
  span see = {0, 0};
  for (int i = 0; i < M; i++) {
    const float *q = g->q[(j + i) % g->n] + (t->kv * group + (j + i) / g->n) * Dh;
    for (int64_t c = 0; c < Dh; c++) w->q[c * M + i] = q[c];
    see = widen(see, seen(g, (j + i) % g->n));
  }
  span blocks = whole_blocks(see);
  if (packed) {
    score_blocks(M, (blocks.hi - blocks.lo) / VL, Dh, w->q, w->keys + blocks.lo * Dh, t->scale, w->scores + blocks.lo,
                 w->stride);
  } else {
    for (int64_t s = blocks.lo; s < blocks.hi; s += LONGEST * VL) {
      int64_t count = (blocks.hi - s) / VL < LONGEST ? (blocks.hi - s) / VL : LONGEST;
      for (int64_t b = 0; b < count; b++) pack_keys(t, s + b * VL, keys, w->keys + b * VL * Dh);
      score_blocks(M, count, Dh, w->q, w->keys, t->scale, w->scores + s, w->stride);
    }
  }
  span all = t->hook ? (span){0, g->S} : see;
  for (int i = 0; i < M; i++) weigh_row(t, j + i, t->hook ? whole_blocks(all) : blocks, w->scores + i * w->stride);
  value_rows(M, all, w->scores, w->stride, w->values, w->z, width);
  for (int i = 0; i < M; i++) store_row(t, j + i, all, w->scores + i * w->stride, w->values, w->z + i * width, width);
}

/* Rows of values as whole vectors: where the head width is one, and few queries read them, in place. */
static void point_at_values(const fv_attend_task *t, span range, bool copy, const fv_attend_room *w) {
  for (int64_t s = range.lo; s < range.hi; s++) {
    const float *v = t->group->v[s] + t->kv * t->Dh;
    if (copy) {
      float *to = w->copies + s * w->width;
      memcpy(to, v, (size_t)t->Dh * sizeof *v);
      fill(to, t->Dh, w->width, 0.0f);
      v = to;
    }
    w->values[s] = v;
  }
}

void FV_ISA_NAME(fv_attend_task_run)(const fv_attend_task *t, void *scratch) {
  const fv_attend_group *g = t->group;
  fv_attend_room w = fv_attend_room_at(scratch, t->Dh, g->S);
  w.width = (t->Dh + VL - 1) / VL * VL;
  span keys = {0, 0};
  for (int64_t j = t->begin; j < t->end; j++) keys = widen(keys, seen(g, j % g->n));
  bool many = t->end - t->begin > QUERIES;
  point_at_values(t, t->hook ? (span){0, g->S} : keys, many || w.width != t->Dh, &w);
  if (many) {
    span blocks = whole_blocks(keys);
    for (int64_t s = blocks.lo; s < blocks.hi; s += VL) pack_keys(t, s, keys, w.keys + s * t->Dh);
  }
  for (int64_t j = t->begin; j < t->end;) {
    int M = QUERIES;
    while (M > t->end - j) M /= 2;
    attend_queries(t, j, M, keys, many, &w);
    j += M;
  }
}
