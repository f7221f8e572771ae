#include "kernel/matmul.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

/* Different results that a check compares: another order of summation leaves some of them as they are, not all. */
#define CHECKED_RESULTS 256

const int64_t fv_tile_sizes[FV_TILE_SIZES] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                              12, 13, 14, 15, 16, 24, 32, 40, 48, 56, 64};

int fv_matmul_threads_one(void) {
  int before = omp_get_max_threads();
  omp_set_num_threads(1);
  return before;
}
void fv_matmul_threads_restore(int before) { omp_set_num_threads(before); }

dnnl_status_t fv_matmul_runner_init(fv_matmul_runner *r, const fv_kernels *k) {
  *r = (fv_matmul_runner){.k = k};
  return dnnl_stream_create(&r->stream, k->engine, dnnl_stream_default_flags);
}

static void runner_drop_memory(fv_matmul_runner *r) {
  if (r->x) dnnl_memory_destroy(r->x);
  if (r->y) dnnl_memory_destroy(r->y);
  if (r->scratch) dnnl_memory_destroy(r->scratch);
  free(r->own);
  r->x = r->y = r->scratch = NULL;
  r->own = NULL;
  r->tile = NULL;
}

void fv_matmul_runner_release(fv_matmul_runner *r) {
  runner_drop_memory(r);
  if (r->stream) dnnl_stream_destroy(r->stream);
  r->stream = NULL;
}

static dnnl_status_t runner_take(fv_matmul_runner *r, const fv_matmul_tile *tile, float *x, float *y, void *scratch) {
  runner_drop_memory(r);
  size_t bytes = dn_md_size(tile->scratch);
  if (bytes > FV_MATMUL_SCRATCH) {
    scratch = r->own = fv_alloc_aligned(bytes, 1);
    if (!scratch) return dnnl_out_of_memory;
  }
  dnnl_status_t s = dnnl_memory_create(&r->x, tile->x, r->k->engine, x);
  if (!s) s = dnnl_memory_create(&r->y, tile->y, r->k->engine, y);
  if (!s) s = dnnl_memory_create(&r->scratch, tile->scratch, r->k->engine, scratch);
  if (!s) r->tile = tile;
  return s;
}

dnnl_status_t fv_matmul_run(fv_matmul_runner *r, const fv_matmul_tile *tile, dnnl_memory_t weights, dnnl_memory_t bias,
                            const float *x, float *y, void *scratch) {
  float *from; /* the library's handles are not const; it only reads this one */
  memcpy(&from, &x, sizeof from);
  dnnl_status_t s;
  if (r->tile != tile) {
    s = runner_take(r, tile, from, y, scratch);
  } else {
    s = dnnl_memory_set_data_handle(r->x, from);
    if (!s) s = dnnl_memory_set_data_handle(r->y, y);
  }
  if (s) return s;
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, r->x},
                                  {DNNL_ARG_WEIGHTS, weights},
                                  {DNNL_ARG_BIAS, bias},
                                  {DNNL_ARG_DST, r->y},
                                  {DNNL_ARG_SCRATCHPAD, r->scratch}};
  s = dnnl_primitive_execute(tile->primitive, r->stream, 5, args);
  return s ? s : dnnl_stream_wait(r->stream);
}

dnnl_status_t fv_matmul_pack(const fv_kernels *k, const fv_matmul_family *f, const float *w, float *to) {
  float *from;
  memcpy(&from, &w, sizeof from);
  dnnl_stream_t stream = NULL;
  dnnl_memory_t a = NULL, b = NULL;
  dnnl_status_t s = dnnl_stream_create(&stream, k->engine, dnnl_stream_default_flags);
  if (!s) s = dnnl_memory_create(&a, f->plain, k->engine, from);
  if (!s) s = dnnl_memory_create(&b, f->weights, k->engine, to);
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
  if (!s) s = dnnl_primitive_execute(f->pack, stream, 2, args);
  if (!s) s = dnnl_stream_wait(stream);
  if (a) dnnl_memory_destroy(a);
  if (b) dnnl_memory_destroy(b);
  if (stream) dnnl_stream_destroy(stream);
  return s;
}

static dnnl_status_t matmul_desc(const fv_kernels *k, dn_md x, dn_md w, dn_md bias, dn_md y,
                                 dnnl_primitive_desc_t *out) {
  dnnl_primitive_attr_t attr = NULL;
  dnnl_status_t s = dnnl_primitive_attr_create(&attr);
  if (!s) s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (!s) s = dn_matmul(out, k->engine, x, w, bias, y, attr);
  if (attr) dnnl_primitive_attr_destroy(attr);
  return s;
}

/* Runs the tile on one row, repeated, and compares every place with the reference; the first tile of a family that is
 * run sets the reference bits. */
static dnnl_status_t tile_check_row(fv_matmul_family *f, int number, int64_t row, fv_matmul_runner *r, dnnl_memory_t w,
                                    dnnl_memory_t b, void *scratch, bool *same) {
  int64_t rows = fv_tile_sizes[number];
  size_t row_bytes = (size_t)f->N * sizeof(float);
  float *reference = f->check_ref + row * f->N;
  for (int64_t i = 0; i < rows; i++)
    memcpy(f->check_x + i * f->K, f->check_rows + row * f->K, (size_t)f->K * sizeof(float));
  dnnl_status_t s = fv_matmul_run(r, &f->tiles[number], w, b, f->check_x, f->check_y, scratch);
  if (s) return s;
  if (f->reference < 0) memcpy(reference, f->check_y, row_bytes);
  for (int64_t i = 0; i < rows; i++)
    if (memcmp(f->check_y + i * f->N, reference, row_bytes) != 0) *same = false;
  return s;
}

static dnnl_status_t tile_check(fv_kernels *k, fv_matmul_family *f, int number) {
  fv_matmul_runner r;
  dnnl_memory_t w = NULL, b = NULL;
  bool same = true;
  void *scratch = fv_alloc_aligned(FV_MATMUL_SCRATCH, 1);
  dnnl_status_t s = scratch ? fv_matmul_runner_init(&r, k) : dnnl_out_of_memory;
  if (s) {
    free(scratch);
    return s;
  }
  s = dnnl_memory_create(&w, f->weights, k->engine, f->check_w);
  if (!s) s = dnnl_memory_create(&b, f->bias, k->engine, f->check_b);
  for (int64_t row = 0; row < f->checks && !s; row++) s = tile_check_row(f, number, row, &r, w, b, scratch, &same);
  f->tiles[number].good = !s && same && !(k->forbidden >> number & 1);
  if (w) dnnl_memory_destroy(w);
  if (b) dnnl_memory_destroy(b);
  fv_matmul_runner_release(&r);
  free(scratch);
  return s;
}

static dnnl_status_t tile_make(fv_kernels *k, fv_matmul_family *f, int number) {
  fv_matmul_tile *t = &f->tiles[number];
  int64_t rows = fv_tile_sizes[number];
  dnnl_primitive_desc_t pd = NULL;
  dnnl_status_t s = dn_md_strided(&t->x, rows, f->K, f->K, 1);
  if (!s) s = dn_md_strided(&t->y, rows, f->N, f->N, 1);
  if (!s) s = matmul_desc(k, t->x, f->weights, f->bias, t->y, &pd);
  if (!s) s = dn_md_of(&t->scratch, pd, dnnl_query_scratchpad_md);
  if (!s) s = dnnl_primitive_create(&t->primitive, pd);
  if (pd) dnnl_primitive_desc_destroy(pd);
  return s;
}

/* Makes and checks a tile when it is first asked for; `good` tells the outcome. Under the lock. */
static dnnl_status_t tile_try(fv_kernels *k, fv_matmul_family *f, int number, bool *good) {
  fv_matmul_tile *t = &f->tiles[number];
  dnnl_status_t s = dnnl_success;
  if (!t->tried) {
    int before = fv_matmul_threads_one();
    s = tile_make(k, f, number);
    if (!s) s = tile_check(k, f, number);
    fv_matmul_threads_restore(before);
    t->tried = !s;
  }
  *good = t->good;
  return s;
}

static void family_free(fv_matmul_family *f) {
  if (!f) return;
  for (int i = 0; i < FV_TILE_SIZES; i++) {
    if (f->tiles[i].primitive) dnnl_primitive_destroy(f->tiles[i].primitive);
    dn_md_free(f->tiles[i].x);
    dn_md_free(f->tiles[i].y);
    dn_md_free(f->tiles[i].scratch);
  }
  if (f->pack) dnnl_primitive_destroy(f->pack);
  dn_md_free(f->weights);
  dn_md_free(f->bias);
  dn_md_free(f->plain);
  free(f->check_w);
  free(f->check_b);
  free(f->check_x);
  free(f->check_rows);
  free(f->check_y);
  free(f->check_ref);
  free(f);
}

void fv_matmul_free_all(fv_kernels *k) {
  while (k->families) {
    fv_matmul_family *f = k->families;
    k->families = f->next;
    family_free(f);
  }
}

/* Chooses the weights' layout, for a full tile of rows, and makes the primitive that packs into it. */
static dnnl_status_t family_layout(fv_kernels *k, fv_matmul_family *f) {
  dn_md x = NULL, y = NULL, any = NULL;
  dnnl_primitive_desc_t pd = NULL, pack = NULL;
  const char *name = "";
  dnnl_status_t s = dn_md_strided(&x, FV_TILE_ROWS, f->K, f->K, 1);
  if (!s) s = dn_md_strided(&y, FV_TILE_ROWS, f->N, f->N, 1);
  if (!s) s = dn_md_any(&any, f->K, f->N);
  if (!s) s = dn_md_strided(&f->bias, 1, f->N, f->N, 1);
  if (!s) s = dn_md_strided(&f->plain, f->K, f->N, 1, f->K);
  if (!s) s = matmul_desc(k, x, any, f->bias, y, &pd);
  if (!s) s = dn_md_of(&f->weights, pd, dnnl_query_weights_md);
  if (!s) s = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
  if (!s) snprintf(f->name, sizeof f->name, "%s", name);
  if (!s) s = dnnl_reorder_primitive_desc_create(&pack, f->plain, k->engine, f->weights, k->engine, NULL);
  if (!s) s = dnnl_primitive_create(&f->pack, pack);
  if (!s) f->weight_bytes = (dn_md_size(f->weights) + 63) & ~(size_t)63;
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (pack) dnnl_primitive_desc_destroy(pack);
  dn_md_free(x);
  dn_md_free(y);
  dn_md_free(any);
  return s;
}

/* Numbers in [-0.5, 0.5) without structure: their products round, so that another order of summation shows. */
void fv_matmul_numbers(float *to, int64_t n, uint32_t seed) {
  for (int64_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    to[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
  }
}

static dnnl_status_t family_check_data(fv_kernels *k, fv_matmul_family *f) {
  size_t N = (size_t)f->N, K = (size_t)f->K;
  float *plain = fv_alloc_aligned(N * K, sizeof *plain);
  f->check_w = fv_alloc_aligned(f->weight_bytes, 1);
  f->check_b = fv_alloc_aligned(N, sizeof(float));
  f->check_x = fv_alloc_aligned(FV_TILE_ROWS * K, sizeof(float));
  f->check_y = fv_alloc_aligned(FV_TILE_ROWS * N, sizeof(float));
  f->checks = N < CHECKED_RESULTS ? (CHECKED_RESULTS + f->N - 1) / f->N : 1;
  f->check_rows = fv_alloc_aligned((size_t)f->checks * K, sizeof(float));
  f->check_ref = fv_alloc_aligned((size_t)f->checks * N, sizeof(float));
  dnnl_status_t s = dnnl_out_of_memory;
  if (plain && f->check_w && f->check_b && f->check_x && f->check_y && f->check_rows && f->check_ref) {
    fv_matmul_numbers(plain, f->N * f->K, 1);
    fv_matmul_numbers(f->check_b, f->N, 2);
    fv_matmul_numbers(f->check_rows, f->checks * f->K, 3);
    s = fv_matmul_pack(k, f, plain, f->check_w);
  }
  free(plain);
  return s;
}

static dnnl_status_t family_fill(fv_kernels *k, fv_matmul_family *f) {
  int before = fv_matmul_threads_one();
  dnnl_status_t s = family_layout(k, f);
  if (!s) s = family_check_data(k, f);
  fv_matmul_threads_restore(before);
  for (int i = FV_TILE_SIZES - 1; i >= 0 && !s && f->reference < 0; i--) {
    bool good = false;
    s = tile_try(k, f, i, &good);
    if (good) f->reference = i;
  }
  return s ? s : f->reference < 0 ? dnnl_runtime_error : dnnl_success;
}

static fv_status family_fail(const fv_matmul_family *f, dnnl_status_t s, fv_error *err) {
  if (s == dnnl_out_of_memory)
    return fv_fail(err, FV_ENOMEM, "no memory for a matrix product of depth %lld", (long long)f->K);
  return fv_fail(err, FV_EINTERNAL, "oneDNN: matrix product of %lld outputs and depth %lld: status %d", (long long)f->N,
                 (long long)f->K, (int)s);
}

fv_status fv_matmul_family_get(fv_kernels *k, int64_t N, int64_t K, fv_matmul_family **out, fv_error *err) {
  fv_status status = FV_OK;
  pthread_mutex_lock(&k->lock);
  fv_matmul_family *f = k->families;
  while (f && (f->N != N || f->K != K)) f = f->next;
  if (!f) {
    f = fv_alloc(1, sizeof *f);
    if (!f) {
      status = fv_fail(err, FV_ENOMEM, "no memory for a matrix product");
    } else {
      f->N = N;
      f->K = K;
      f->reference = -1;
      dnnl_status_t s = family_fill(k, f);
      if (s) {
        status = family_fail(f, s, err);
        family_free(f);
        f = NULL;
      } else {
        f->next = k->families;
        k->families = f;
      }
    }
  }
  pthread_mutex_unlock(&k->lock);
  *out = f;
  return status;
}

/* The largest tile that passes and holds at most `rows`, else the smallest that holds them all. */
static dnnl_status_t choose_tile(fv_kernels *k, fv_matmul_family *f, int64_t rows, int *number) {
  bool good = false;
  for (int i = f->reference; i >= 0; i--) {
    if (fv_tile_sizes[i] > rows) continue;
    dnnl_status_t s = tile_try(k, f, i, &good);
    *number = i;
    if (s || good) return s;
  }
  for (int i = 0; i <= f->reference; i++) {
    if (fv_tile_sizes[i] < rows) continue;
    dnnl_status_t s = tile_try(k, f, i, &good);
    *number = i;
    if (s || good) return s;
  }
  return dnnl_runtime_error;
}

fv_status fv_matmul_plan(fv_kernels *k, fv_matmul_family *f, int64_t rows, fv_tile_plan *plan, fv_error *err) {
  int64_t size = fv_tile_sizes[f->reference];
  dnnl_status_t s = dnnl_success;
  plan->tile = f->reference;
  plan->full = rows / size;
  plan->rests = 0;
  plan->padded = plan->full * size;
  pthread_mutex_lock(&k->lock);
  while (plan->padded < rows && !s) {
    int number = 0;
    s = choose_tile(k, f, rows - plan->padded, &number);
    plan->rest[plan->rests++] = number;
    plan->padded += fv_tile_sizes[number];
  }
  pthread_mutex_unlock(&k->lock);
  return s ? family_fail(f, s, err) : FV_OK;
}

/* The tiles that pass, as text: "" when all do. */
static dnnl_status_t passing_tiles(fv_kernels *k, fv_matmul_family *f, char *text, size_t size) {
  size_t at = 0;
  int passed = 0;
  text[0] = '\0';
  for (int i = FV_TILE_SIZES - 1; i >= 0; i--) {
    bool good = false;
    dnnl_status_t s = tile_try(k, f, i, &good);
    if (s) return s;
    if (!good) continue;
    passed++;
    int n = snprintf(text + at, size - at, "%s%d", at ? "," : "", (int)fv_tile_sizes[i]);
    if (n > 0) at = at + (size_t)n < size ? at + (size_t)n : size - 1;
  }
  if (passed == FV_TILE_SIZES) text[0] = '\0';
  return dnnl_success;
}

fv_status fv_matmul_self_check(fv_kernels *k, fv_error *err) {
  static const int64_t shapes[][2] = {{37, 51}, {FV_PANEL, 768}};
  char tiles[64] = "";
  fv_matmul_family *f = NULL;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    fv_status status = fv_matmul_family_get(k, shapes[i][0], shapes[i][1], &f, err);
    if (status) return status;
    char text[64];
    pthread_mutex_lock(&k->lock);
    dnnl_status_t s = passing_tiles(k, f, text, sizeof text);
    pthread_mutex_unlock(&k->lock);
    if (s) return family_fail(f, s, err);
    if (text[0]) memcpy(tiles, text, sizeof tiles);
  }
  const dnnl_version_t *v = dnnl_version();
  snprintf(k->library, sizeof k->library, "oneDNN %d.%d.%d (%s%s%s)", v->major, v->minor, v->patch, f->name,
           tiles[0] ? "; row tiles of " : "", tiles);
  return FV_OK;
}

fv_status fv_kernels_force_tile(fv_kernels *k, int64_t rows, fv_error *err) {
  k->forbidden = 0;
  for (int i = 0; i < FV_TILE_SIZES; i++)
    if (fv_tile_sizes[i] != rows) k->forbidden |= 1u << i;
  fv_matmul_free_all(k);
  return fv_matmul_self_check(k, err);
}
