/* One attention task: queries of some groups against one key-value head. Compiled per instruction set.
 *
 * Keys are packed VL at a time with the head width outermost, so that one vector holds the same channel of VL keys: a
 * score is then one chain of products over the channels, c = 0, 1, .., whatever else is computed beside it. The sum of
 * a softmax is taken in VL lanes, key s in lane s mod VL, keys ascending, then over the lanes by a fixed tree. z is one
 * chain per channel over the keys, ascending. Tiles of queries and keys only decide which chains run side by side.
 *
 * A masked key adds exp(-INFINITY) = 0 to the softmax sum and 0 * v to z. The first changes nothing; the second changes
 * nothing but the sign of a zero, which the final `+ 0` removes, and a non-finite v, which the careful path leaves out.
 * The key that a row sees alone has the weight 1 whatever the score, unless a hook makes that -INFINITY.
 *
 * The runs of a wave share most of their keys. Neighbouring groups with the same lists of keys are computed as one, and
 * a block of keys is packed again for the next group only where a row pointer in it has changed.
 */
#include <stdbool.h>

#include "kernel/attend_room.h"
#include "kernel/isa_table.h"
#include "kernel/vec.h"

/* X(queries, vectors of keys, vectors of channels) held in registers: tall tiles for many queries, long ones for few.
 */
#if VL == 16
#define TILE_MAP(X) X(8, 3, 2) X(4, 4, 4) X(2, 8, 4) X(1, 8, 4)
#define QUERIES 8
#define LONGEST 8
#else
#define TILE_MAP(X) X(4, 2, 2) X(2, 4, 4) X(1, 4, 4)
#define QUERIES 4
#define LONGEST 4
#endif
_Static_assert(QUERIES <= FV_QUERIES_MAX && VL <= FV_VECTOR_MAX && LONGEST <= FV_BLOCKS_MAX, "scratch is too small");

/* Floats. Key rows lie far apart; the processor does not foresee them by itself. */
#define CACHE_LINE 16

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

/* The rows of the keys s .. s+VL-1. Places outside the range repeat a key of it; they are masked later. */
VINLINE void key_rows(const fv_attend_task *t, const fv_attend_group *g, int64_t s, span range, const float *row[VL]) {
  for (int j = 0; j < VL; j++) row[j] = g->k[clamp(s + j, range.lo, range.hi - 1)] + t->kv * t->Dh;
}

/* out [Dh][VL] */
static void pack_keys(const fv_attend_task *t, const float *const row[VL], float *out) {
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
        _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) sum[i][b] = vfma(qi, key[b], sum[i][b]);        \
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
        _Pragma("GCC unroll 8") for (int b = 0; b < V; b++) sum[i][b] = vfma(pi, value[b], sum[i][b]);                \
      }                                                                                                               \
    }                                                                                                                 \
    _Pragma("GCC unroll 8") for (int i = 0; i < M; i++) _Pragma("GCC unroll 8") for (int b = 0; b < V; b++)           \
        vstore(z + i * width + c + b * VL, sum[i][b]);                                                                \
  }
#define DEFINE_TILE(M, V, C) DEFINE_SCORE(M, V) DEFINE_SCORE(M, 1) DEFINE_VALUE(M, C) DEFINE_VALUE(M, 1)
TILE_MAP(DEFINE_TILE)

/* Scores of M queries against the packed blocks first .. first+blocks-1. */
static void score_blocks(int M, int64_t blocks, int64_t Dh, const float *q, const float *keys, float scale,
                         float *scores, int64_t stride) {
  int64_t b = 0;
#define SCORE_CASE(m, V, C)                                                                                     \
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
#define VALUE_CASE(m, V, C)                                                                     \
  case m:                                                                                       \
    for (; c + C * VL <= width; c += C * VL) value_##m##_##C(range, p, stride, v, c, z, width); \
    for (; c < width; c += VL) value_##m##_1(range, p, stride, v, c, z, width);                 \
    break;
  switch (M) { TILE_MAP(VALUE_CASE) }
#undef VALUE_CASE
}

/* The same chains for one query, leaving out the keys of weight 0: their values may be infinite or NaN. */
static void value_careful(span range, const float *p, const float *const *v, float *z, int64_t width) {
  for (int64_t c = 0; c < width; c += VL) {
    vf sum = {0};
    for (int64_t s = range.lo; s < range.hi; s++)
      if (p[s] != 0.0f) sum = vfma(vset(p[s]), vload(v[s] + c), sum);
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
    vf e = vexp_negative(vload(x + s) - top);
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

typedef struct query {
  const fv_attend_group *group;
  int64_t head, i;
} query;

/* Masks one row of scores, lets the hook look, and turns it into weights over the range. */
static void weigh_row(const fv_attend_hook *hook, query q, span range, float *x) {
  const fv_attend_group *g = q.group;
  span see = seen(g, q.i);
  if (see.lo == see.hi) see.lo = see.hi = range.lo;
  fill(x, range.lo, see.lo, -INFINITY);
  fill(x, see.hi, range.hi, -INFINITY);
  if (hook && hook->scores) hook->scores(g->user, q.head, q.i, x, g->S);
  if (see.hi - see.lo == 1 && x[see.lo] != -INFINITY) x[see.lo] = 0.0f;
  softmax_row(x, range.lo, range.hi);
  if (hook && hook->pattern) hook->pattern(g->user, q.head, q.i, x, g->S);
}

static void store_row(const fv_attend_task *t, query q, span range, const float *p, const float *const *v, float *z,
                      int64_t width) {
  vf finite = {0};
  for (int64_t c = 0; c < width; c += VL) finite += vload(z + c) * 0.0f;
  if (vsum(finite) != 0.0f) value_careful(range, p, v, z, width);
  float *out = q.group->z + (q.i * t->H + q.head) * t->Dh;
  for (int64_t c = 0; c < t->Dh; c++) out[c] = z[c] + 0.0f; /* -0 becomes 0 */
}

VINLINE span whole_blocks(span s) { return (span){s.lo / VL * VL, (s.hi + VL - 1) / VL * VL}; }

/* Neighbouring groups with the same keys, and what is ready for them in the scratch. */
typedef struct run {
  const fv_attend_group *first; /* its lists are everybody's */
  span keys;                    /* what some query of the run sees */
  bool packed;                  /* else keys pass through a small buffer that stays in the first cache */
} run;

static void attend_queries(const fv_attend_task *t, const run *r, const query *queries, int M,
                           const fv_attend_room *w) {
  int64_t Dh = t->Dh;
  span see = {0, 0};
  const float *q[QUERIES];
  for (int i = 0; i < M; i++) {
    q[i] = queries[i].group->q[queries[i].i] + queries[i].head * Dh;
    see = widen(see, seen(queries[i].group, queries[i].i));
  }
  for (int64_t c = 0; c < Dh; c++)
    for (int i = 0; i < M; i++) w->q[c * M + i] = q[i][c];
  span blocks = whole_blocks(see);
  int64_t step = r->packed ? blocks.hi - blocks.lo : LONGEST * VL;
  for (int64_t s = blocks.lo; s < blocks.hi; s += step) {
    int64_t count = (blocks.hi - s < step ? blocks.hi - s : step) / VL;
    const float *row[VL];
    for (int64_t b = 0; b < count && !r->packed; b++) {
      key_rows(t, r->first, s + b * VL, r->keys, row);
      pack_keys(t, row, w->keys + b * VL * Dh);
    }
    score_blocks(M, count, Dh, w->q, w->keys + (r->packed ? s * Dh : 0), t->scale, w->scores + s, w->stride);
  }
  if (t->hook) see = (span){0, r->first->S};
  for (int i = 0; i < M; i++) weigh_row(t->hook, queries[i], whole_blocks(see), w->scores + i * w->stride);
  value_rows(M, see, w->scores, w->stride, w->values, w->z, w->width);
  for (int i = 0; i < M; i++)
    store_row(t, queries[i], see, w->scores + i * w->stride, w->values, w->z + i * w->width, w->width);
}

/* Packs the blocks of keys whose rows are not those packed before. */
static void pack_run(const fv_attend_task *t, const run *r, const fv_attend_room *w) {
  span blocks = whole_blocks(r->keys);
  for (int64_t s = blocks.lo; s < blocks.hi; s += VL) {
    const float *row[VL];
    key_rows(t, r->first, s, r->keys, row);
    if (memcmp(row, w->keys_from + s, sizeof row) == 0) continue;
    memcpy(w->keys_from + s, row, sizeof row);
    pack_keys(t, row, w->keys + s * t->Dh);
  }
}

/* Rows of values as whole vectors: copied, as far as they are not those copied before, or in place where few queries
 * read them and the head width is whole vectors. */
static void point_at_values(const fv_attend_task *t, const run *r, const fv_attend_room *w) {
  span range = t->hook ? (span){0, r->first->S} : r->keys;
  bool copy = r->packed || w->width != t->Dh;
  for (int64_t s = range.lo; s < range.hi; s++) {
    const float *v = r->first->v[s] + t->kv * t->Dh;
    float *to = w->copies + s * w->width;
    if (copy && w->values_from[s] != v) {
      memcpy(to, v, (size_t)t->Dh * sizeof *v);
      fill(to, t->Dh, w->width, 0.0f);
      w->values_from[s] = v;
    }
    w->values[s] = copy ? to : v;
  }
}

/* The end of the part of a group's queries that belongs to the task. */
VINLINE int64_t task_end(const fv_attend_task *t, const fv_attend_group *g) {
  int64_t all = g->n * (t->H / t->KV);
  return t->end < all ? t->end : all;
}

/* Whether a row's output is the value of the only key that it sees. */
VINLINE bool sees_one(const fv_attend_task *t, span see) { return !t->hook && see.hi - see.lo == 1; }

static void copy_value(const fv_attend_task *t, query q, int64_t s) {
  const float *v = q.group->v[s] + t->kv * t->Dh;
  float *out = q.group->z + (q.i * t->H + q.head) * t->Dh;
  for (int64_t c = 0; c < t->Dh; c++) out[c] = v[c] + 0.0f;
}

static void attend_run(const fv_attend_task *t, int64_t from, int64_t to, const fv_attend_room *w) {
  run r = {.first = &t->groups[from]};
  int64_t total = 0, heads = t->H / t->KV;
  for (int64_t at = from; at < to; at++) {
    const fv_attend_group *g = &t->groups[at];
    int64_t end = task_end(t, g);
    for (int64_t j = t->begin; j < end && j < t->begin + g->n; j++) {
      span see = seen(g, j % g->n);
      if (!sees_one(t, see)) r.keys = widen(r.keys, see);
    }
    if (end > t->begin) total += end - t->begin;
  }
  if (total == 0) return;
  r.packed = total > QUERIES || t->count > 1;
  if (r.packed) pack_run(t, &r, w);
  point_at_values(t, &r, w);
  query queries[QUERIES];
  int ready = 0;
  for (int64_t at = from; at < to; at++) {
    const fv_attend_group *g = &t->groups[at];
    for (int64_t j = t->begin; j < task_end(t, g); j++) {
      query q = {g, t->kv * heads + j / g->n, j % g->n};
      span see = seen(g, q.i);
      if (sees_one(t, see)) {
        copy_value(t, q, see.lo);
        continue;
      }
      queries[ready++] = q;
      if (ready < QUERIES) continue;
      attend_queries(t, &r, queries, QUERIES, w);
      ready = 0;
    }
  }
  for (int done = 0, M = QUERIES; done < ready; done += M) {
    while (M > ready - done) M /= 2;
    attend_queries(t, &r, queries + done, M, w);
  }
}

static bool same_keys(const fv_attend_group *a, const fv_attend_group *b) {
  if (a->S != b->S) return false;
  size_t bytes = (size_t)a->S * sizeof *a->k;
  return (a->k == b->k || memcmp(a->k, b->k, bytes) == 0) && (a->v == b->v || memcmp(a->v, b->v, bytes) == 0);
}

void FV_ISA_NAME(fv_attend_task_run)(const fv_attend_task *t, void *scratch) {
  fv_attend_room w = fv_attend_room_at(scratch, t->Dh, t->max_S);
  w.width = (t->Dh + VL - 1) / VL * VL;
  for (int64_t s = 0; s < fv_attend_keys(t->max_S); s++) w.keys_from[s] = w.values_from[s] = NULL;
  for (int64_t at = 0, end; at < t->count; at = end) {
    end = at + 1;
    if (t->groups[at].n == 0) continue;
    while (end < t->count && (t->groups[end].n == 0 || same_keys(&t->groups[at], &t->groups[end]))) end++;
    attend_run(t, at, end, &w);
  }
}
