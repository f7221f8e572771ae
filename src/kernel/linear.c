/* Linear layers: panels of packed weights, blocks of rows, and the threads over both. */
#include <omp.h>
#include <string.h>

#include "base/bytes.h"
#include "kernel/matmul.h"

/* Rows gathered at a time when they do not lie one after the other. */
#define BLOCK_ROWS 512
/* Below this many multiply-adds one thread is faster than several. */
#define PARALLEL_WORK 250000

struct fv_linear {
  int64_t N, K, panels;            /* panels of FV_PANEL outputs; the last may be narrower */
  fv_matmul_family *family, *last; /* of the panels before the last, and of the last */
  float *weights, *bias;           /* bias: zeros where the layer has none */
  size_t panel_bytes, bytes;
  dnnl_memory_t *weight_handles, *bias_handles; /* one per panel */
};

static float *panel_at(const fv_linear *l, int64_t panel) {
  return l->weights + (size_t)panel * (l->panel_bytes / sizeof(float));
}
static fv_matmul_family *family_at(const fv_linear *l, int64_t panel) {
  return panel + 1 < l->panels ? l->family : l->last;
}

void fv_linear_free(fv_linear *l) {
  if (!l) return;
  for (int64_t p = 0; p < l->panels; p++) {
    if (l->weight_handles && l->weight_handles[p]) dnnl_memory_destroy(l->weight_handles[p]);
    if (l->bias_handles && l->bias_handles[p]) dnnl_memory_destroy(l->bias_handles[p]);
  }
  free(l->weight_handles);
  free(l->bias_handles);
  free(l->weights);
  free(l->bias);
  free(l);
}

size_t fv_linear_bytes(const fv_linear *l) { return l->bytes; }

static dnnl_status_t pack_panels(fv_kernels *k, fv_linear *l, const float *w) {
  int failed = dnnl_success, before = fv_matmul_threads_one();
#pragma omp parallel for num_threads(l->panels > 1 ? k->threads : 1) schedule(dynamic)
  for (int64_t p = 0; p < l->panels; p++) {
    fv_matmul_family *f = family_at(l, p);
    dnnl_status_t s = fv_matmul_pack(k, f, w + p * FV_PANEL * l->K, panel_at(l, p));
    if (!s) s = dnnl_memory_create(&l->weight_handles[p], f->weights, k->engine, panel_at(l, p));
    if (!s) s = dnnl_memory_create(&l->bias_handles[p], f->bias, k->engine, l->bias + p * FV_PANEL);
    if (s) {
#pragma omp atomic write
      failed = s;
    }
  }
  fv_matmul_threads_restore(before);
  return (dnnl_status_t)failed;
}

fv_status fv_linear_pack(fv_kernels *k, int64_t N, int64_t K, const float *w, const float *bias, fv_linear **out,
                         fv_error *err) {
  *out = NULL;
  int64_t elements;
  if (N < 1 || K < 1 || N > INT32_MAX || K > INT32_MAX || !fv_mul_i64(N, K, &elements))
    return fv_fail(err, FV_ESHAPE, "a linear layer of shape [%lld,%lld]; expected two sizes from 1 to 2^31-1",
                   (long long)N, (long long)K);
  fv_linear *l = fv_alloc(1, sizeof *l);
  if (!l) return fv_fail(err, FV_ENOMEM, "no memory for a linear layer");
  l->N = N;
  l->K = K;
  l->panels = (N + FV_PANEL - 1) / FV_PANEL;
  fv_status status = fv_matmul_family_get(k, N - (l->panels - 1) * FV_PANEL, K, &l->last, err);
  l->family = l->last;
  if (!status && l->panels > 1) status = fv_matmul_family_get(k, FV_PANEL, K, &l->family, err);
  if (status) {
    free(l);
    return status;
  }
  size_t panels = (size_t)l->panels;
  l->panel_bytes = l->family->weight_bytes;
  l->weights = fv_alloc_aligned(panels, l->panel_bytes);
  l->bias = fv_alloc_aligned((size_t)N, sizeof(float));
  l->weight_handles = fv_alloc(panels, sizeof(dnnl_memory_t));
  l->bias_handles = fv_alloc(panels, sizeof(dnnl_memory_t));
  dnnl_status_t s = dnnl_out_of_memory;
  if (l->weights && l->bias && l->weight_handles && l->bias_handles) {
    l->bytes = panels * l->panel_bytes + (size_t)N * sizeof(float);
    if (bias)
      memcpy(l->bias, bias, (size_t)N * sizeof(float));
    else
      memset(l->bias, 0, (size_t)N * sizeof(float));
    s = pack_panels(k, l, w);
  }
  if (s) {
    fv_linear_free(l);
    return s == dnnl_out_of_memory
               ? fv_fail(err, FV_ENOMEM, "no memory for a linear layer of shape [%lld,%lld]", (long long)N,
                         (long long)K)
               : fv_fail(err, FV_EINTERNAL, "oneDNN: packing a linear layer of shape [%lld,%lld]: status %d",
                         (long long)N, (long long)K, (int)s);
  }
  *out = l;
  return FV_OK;
}

/* A thread's part of the scratch: a tile of results, then what oneDNN needs. */
#define THREAD_FLOATS (FV_TILE_ROWS * FV_PANEL)
#define THREAD_BYTES (THREAD_FLOATS * sizeof(float) + FV_MATMUL_SCRATCH)

size_t fv_linear_scratch(const fv_kernels *k, int64_t max_K) {
  return 64 + (size_t)k->threads * THREAD_BYTES + (size_t)(BLOCK_ROWS + FV_TILE_ROWS) * (size_t)max_K * sizeof(float);
}

/* One block of rows that lie one after the other. */
typedef struct row_block {
  const fv_linear *l;
  const float *x;
  float *y; /* the block's first row of [n, N] */
  int64_t rows;
  fv_tile_plan plan, last; /* for the panels before the last, and for the last */
  char *thread_scratch;
} row_block;

/* Where tile number t of a plan begins; its number among the sizes in *number. */
static int64_t tile_begin(const fv_tile_plan *plan, int64_t t, int *number) {
  *number = plan->tile;
  if (t < plan->full) return t * fv_tile_sizes[plan->tile];
  int64_t row = plan->full * fv_tile_sizes[plan->tile];
  for (int64_t i = 0; i < t - plan->full; i++) row += fv_tile_sizes[plan->rest[i]];
  *number = plan->rest[t - plan->full];
  return row;
}

static dnnl_status_t run_tile(const row_block *b, fv_matmul_runner *r, int64_t panel, int64_t t, char *scratch) {
  const fv_linear *l = b->l;
  const fv_matmul_family *f = family_at(l, panel);
  int number;
  int64_t row = tile_begin(panel + 1 < l->panels ? &b->plan : &b->last, t, &number);
  int64_t rows = fv_tile_sizes[number] < b->rows - row ? fv_tile_sizes[number] : b->rows - row;
  bool direct = l->panels == 1 && rows == fv_tile_sizes[number];
  float *y = direct ? b->y + row * l->N : (float *)(void *)scratch;
  dnnl_status_t s = fv_matmul_run(r, &f->tiles[number], l->weight_handles[panel], l->bias_handles[panel],
                                  b->x + row * l->K, y, scratch + THREAD_FLOATS * sizeof(float));
  if (s || direct) return s;
  for (int64_t i = 0; i < rows; i++)
    memcpy(b->y + (row + i) * l->N + panel * FV_PANEL, y + i * f->N, (size_t)f->N * sizeof *y);
  return dnnl_success;
}

static dnnl_status_t run_block(fv_kernels *k, const row_block *b) {
  const fv_linear *l = b->l;
  int64_t tiles = b->plan.full + b->plan.rests, last_tiles = b->last.full + b->last.rests;
  int64_t tasks = (l->panels - 1) * tiles + last_tiles;
  int threads = (double)b->rows * (double)l->N * (double)l->K < PARALLEL_WORK || tasks == 1 ? 1 : k->threads;
  int failed = dnnl_success, before = fv_matmul_threads_one();
#pragma omp parallel num_threads(threads)
  {
    fv_matmul_runner r;
    dnnl_status_t s = fv_matmul_runner_init(&r, k);
    char *scratch = b->thread_scratch + (size_t)omp_get_thread_num() * THREAD_BYTES;
    /* The panel is the slower index: it stays in the second cache while the rows pass. */
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < tasks; i++) {
      int64_t panel = i / tiles < l->panels - 1 ? i / tiles : l->panels - 1;
      if (!s) s = run_tile(b, &r, panel, i - panel * tiles, scratch);
    }
    if (s) {
#pragma omp atomic write
      failed = s;
    }
    fv_matmul_runner_release(&r);
  }
  fv_matmul_threads_restore(before);
  return (dnnl_status_t)failed;
}

static bool consecutive(const float *const *x, int64_t n, int64_t K) {
  for (int64_t i = 1; i < n; i++)
    if (x[i] != x[i - 1] + K) return false;
  return true;
}

/* Plans the block, gathers its rows unless they can be read in place, and runs it. */
static fv_status linear_block(fv_kernels *k, row_block *b, const float *const *x, float *gathered, bool *ran,
                              fv_error *err) {
  const fv_linear *l = b->l;
  fv_status status = fv_matmul_plan(k, l->last, b->rows, &b->last, err);
  if (!status) status = fv_matmul_plan(k, l->family, b->rows, &b->plan, err);
  if (status) return status;
  int64_t padded = b->plan.padded > b->last.padded ? b->plan.padded : b->last.padded;
  *ran = gathered || padded == b->rows;
  if (!*ran) return FV_OK;
  b->x = x[0];
  if (gathered) {
    fv_copy_rows(k, b->rows, l->K, x, gathered);
    memset(gathered + b->rows * l->K, 0, (size_t)((padded - b->rows) * l->K) * sizeof *gathered);
    b->x = gathered;
  }
  dnnl_status_t s = run_block(k, b);
  if (!s) return FV_OK;
  return fv_fail(err, s == dnnl_out_of_memory ? FV_ENOMEM : FV_EINTERNAL,
                 "oneDNN: a linear layer of shape [%lld,%lld] on %lld rows: status %d", (long long)l->N,
                 (long long)l->K, (long long)b->rows, (int)s);
}

fv_status fv_linear_rows(fv_kernels *k, const fv_linear *l, int64_t n, const float *const *x, float *y, void *scratch,
                         fv_error *err) {
  char *base = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
  float *gathered = (float *)(void *)(base + (size_t)k->threads * THREAD_BYTES);
  bool ran = n == 0;
  fv_status status = FV_OK;
  if (n > 0 && consecutive(x, n, l->K)) {
    row_block b = {.l = l, .y = y, .rows = n, .thread_scratch = base};
    status = linear_block(k, &b, x, NULL, &ran, err);
  }
  for (int64_t done = 0; done < n && !status && !ran; done += BLOCK_ROWS) {
    bool block_ran;
    row_block b = {
        .l = l, .y = y + done * l->N, .rows = n - done < BLOCK_ROWS ? n - done : BLOCK_ROWS, .thread_scratch = base};
    status = linear_block(k, &b, x + done, gathered, &block_ran, err);
  }
  return status;
}
