/* Linear layers: panels of packed weights, blocks of rows, and the threads over both.
 *
 * A streamed layer has no packed panels: the thread that takes a panel packs it into its own scratch, and all tiles of
 * rows pass through it at once; few rows are multiplied without packing (stream.c).
 */
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
  float *weights, *bias;           /* bias: zeros where the layer has none; weights: NULL when streamed */
  const uint8_t *stored;           /* streamed: the numbers as they lie in the checkpoint */
  fv_weight_type type;
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

/* Room, sizes and families of a layer; `bias` may be NULL. */
static fv_status layer_new(fv_kernels *k, int64_t N, int64_t K, const float *bias, fv_linear **out, fv_error *err) {
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
  size_t panels = (size_t)l->panels;
  if (!status) {
    l->panel_bytes = l->family->weight_bytes;
    l->bias = fv_alloc_aligned((size_t)N, sizeof(float));
    l->weight_handles = fv_alloc(panels, sizeof(dnnl_memory_t));
    l->bias_handles = fv_alloc(panels, sizeof(dnnl_memory_t));
    if (!l->bias || !l->weight_handles || !l->bias_handles)
      status = fv_fail(err, FV_ENOMEM, "no memory for a linear layer of shape [%lld,%lld]", (long long)N, (long long)K);
  }
  if (status) {
    fv_linear_free(l);
    return status;
  }
  if (bias)
    memcpy(l->bias, bias, (size_t)N * sizeof(float));
  else
    memset(l->bias, 0, (size_t)N * sizeof(float));
  l->bytes = (size_t)N * sizeof(float);
  *out = l;
  return FV_OK;
}

static fv_status layer_fail(const fv_linear *l, const char *doing, dnnl_status_t s, fv_error *err) {
  if (s == dnnl_out_of_memory)
    return fv_fail(err, FV_ENOMEM, "no memory for a linear layer of shape [%lld,%lld]", (long long)l->N,
                   (long long)l->K);
  return fv_fail(err, FV_EINTERNAL, "oneDNN: %s a linear layer of shape [%lld,%lld]: status %d", doing, (long long)l->N,
                 (long long)l->K, (int)s);
}

fv_status fv_linear_pack(fv_kernels *k, int64_t N, int64_t K, const float *w, const float *bias, fv_linear **out,
                         fv_error *err) {
  fv_linear *l;
  fv_status status = layer_new(k, N, K, bias, out, err);
  if (status) return status;
  l = *out;
  l->weights = fv_alloc_aligned((size_t)l->panels, l->panel_bytes);
  l->bytes += (size_t)l->panels * l->panel_bytes;
  dnnl_status_t s = l->weights ? pack_panels(k, l, w) : dnnl_out_of_memory;
  if (!s) return FV_OK;
  status = layer_fail(l, "packing", s, err);
  fv_linear_free(l);
  *out = NULL;
  return status;
}

/* A thread's room for one panel, and for the same in plain rows. Layouts fill their blocks up by less than this. */
static size_t panel_room(int64_t K) { return FV_PANEL * (size_t)(K + 64) * sizeof(float); }

fv_status fv_linear_stream(fv_kernels *k, int64_t N, int64_t K, fv_weight_type type, const void *w, const float *bias,
                           fv_linear **out, fv_error *err) {
  fv_linear *l;
  fv_status status = layer_new(k, N, K, bias, out, err);
  if (status) return status;
  l = *out;
  l->stored = w;
  l->type = type;
  status = fv_matmul_stream_ready(k, l->family, err);
  if (!status) status = fv_matmul_stream_ready(k, l->last, err);
  dnnl_status_t s = dnnl_success;
  if (l->family->weight_bytes > panel_room(K) || l->last->weight_bytes > panel_room(K)) s = dnnl_unimplemented;
  for (int64_t p = 0; p < l->panels && !s; p++)
    s = dnnl_memory_create(&l->bias_handles[p], family_at(l, p)->bias, k->engine, l->bias + p * FV_PANEL);
  if (!status && s) status = layer_fail(l, "streaming", s, err);
  if (!status) return FV_OK;
  fv_linear_free(l);
  *out = NULL;
  return status;
}

/* A thread's part of the scratch: a tile of results, then what oneDNN needs. */
#define THREAD_FLOATS (FV_TILE_ROWS * FV_PANEL)
#define THREAD_BYTES (THREAD_FLOATS * sizeof(float) + FV_MATMUL_SCRATCH)

size_t fv_linear_scratch(const fv_kernels *k, int64_t max_K) {
  return 64 + (size_t)k->threads * THREAD_BYTES + (size_t)(BLOCK_ROWS + FV_TILE_ROWS) * (size_t)max_K * sizeof(float);
}

size_t fv_linear_stream_scratch(const fv_kernels *k, int64_t max_K) {
  return fv_linear_scratch(k, max_K) + (size_t)k->threads * 2 * panel_room(max_K);
}

double fv_linear_stream_wait(int64_t N, int threads) {
  int64_t panels = (N + FV_PANEL - 1) / FV_PANEL, rounds = (panels + threads - 1) / threads;
  return (double)(rounds * threads) / (double)panels;
}

/* One block of rows that lie one after the other. */
typedef struct row_block {
  const fv_linear *l;
  const float *x;
  float *y; /* the block's first row of [n, N] */
  int64_t rows;
  fv_tile_plan plan, last; /* for the panels before the last, and for the last */
  char *thread_scratch, *panel_scratch;
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

static dnnl_status_t run_tile(const row_block *b, fv_matmul_runner *r, dnnl_memory_t weights, int64_t panel, int64_t t,
                              char *scratch) {
  const fv_linear *l = b->l;
  const fv_matmul_family *f = family_at(l, panel);
  int number;
  int64_t row = tile_begin(panel + 1 < l->panels ? &b->plan : &b->last, t, &number);
  int64_t rows = fv_tile_sizes[number] < b->rows - row ? fv_tile_sizes[number] : b->rows - row;
  bool direct = l->panels == 1 && rows == fv_tile_sizes[number];
  float *y = direct ? b->y + row * l->N : (float *)(void *)scratch;
  dnnl_status_t s = fv_matmul_run(r, &f->tiles[number], weights, l->bias_handles[panel], b->x + row * l->K, y,
                                  scratch + THREAD_FLOATS * sizeof(float));
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
      if (!s) s = run_tile(b, &r, l->weight_handles[panel], panel, i - panel * tiles, scratch);
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

/* One panel of a streamed layer: packed by this thread, then every tile of the block. */
static dnnl_status_t stream_panel(const fv_kernels *k, const row_block *b, fv_matmul_runner *r, int64_t panel) {
  const fv_linear *l = b->l;
  const fv_matmul_family *f = family_at(l, panel);
  const fv_tile_plan *plan = panel + 1 < l->panels ? &b->plan : &b->last;
  int thread = omp_get_thread_num();
  char *room = b->panel_scratch + (size_t)thread * 2 * panel_room(l->K);
  char *scratch = b->thread_scratch + (size_t)thread * THREAD_BYTES;
  size_t size = (size_t)FV_PANEL * (size_t)l->K * (l->type == FV_WEIGHT_F32 ? 4 : 2);
  dnnl_memory_t weights = NULL;
  dnnl_status_t s = fv_matmul_pack_stored(k, f, l->type, l->stored + (size_t)panel * size,
                                          (float *)(void *)(room + panel_room(l->K)), (float *)(void *)room);
  if (!s) s = dnnl_memory_create(&weights, f->weights, k->engine, room);
  for (int64_t t = 0; t < plan->full + plan->rests && !s; t++) s = run_tile(b, r, weights, panel, t, scratch);
  if (weights) dnnl_memory_destroy(weights);
  return s;
}

static dnnl_status_t stream_block(fv_kernels *k, const row_block *b) {
  const fv_linear *l = b->l;
  int threads = (double)b->rows * (double)l->N * (double)l->K < PARALLEL_WORK || l->panels == 1 ? 1 : k->threads;
  int failed = dnnl_success, before = fv_matmul_threads_one();
#pragma omp parallel num_threads(threads)
  {
    fv_matmul_runner r;
    dnnl_status_t s = fv_matmul_runner_init(&r, k);
#pragma omp for schedule(dynamic)
    for (int64_t p = 0; p < l->panels; p++)
      if (!s) s = stream_panel(k, b, &r, p);
    if (s) {
#pragma omp atomic write
      failed = s;
    }
    fv_matmul_runner_release(&r);
  }
  fv_matmul_threads_restore(before);
  return (dnnl_status_t)failed;
}

/* A few rows by the numbers as they are stored; half a panel is a task. */
static void stream_few(fv_kernels *k, const fv_linear *l, int64_t n, const float *const *x, float *y) {
  enum { TASK = FV_PANEL / 2 };
  int64_t tasks = (l->N + TASK - 1) / TASK, size = l->type == FV_WEIGHT_F32 ? 4 : 2;
  int threads = (double)n * (double)l->N * (double)l->K < PARALLEL_WORK || tasks == 1 ? 1 : k->threads;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < tasks; i++) {
    int64_t first = i * TASK;
    fv_few_task t = {.type = l->type,
                     .w = l->stored + first * l->K * size,
                     .N = l->N - first < TASK ? l->N - first : TASK,
                     .K = l->K,
                     .chain = family_at(l, first / FV_PANEL)->stream.chain,
                     .rows = n,
                     .x = x,
                     .bias = l->bias + first,
                     .y = y + first,
                     .y_step = l->N};
    k->table->few(&t);
  }
}

static bool is_finite(fv_weight_type type, const uint8_t *w) {
  uint32_t bits = 0;
  memcpy(&bits, w, type == FV_WEIGHT_F32 ? 4 : 2);
  uint32_t exponent = type == FV_WEIGHT_F32 ? 0x7F800000u : type == FV_WEIGHT_F16 ? 0x7C00u : 0x7F80u;
  return (bits & exponent) != exponent;
}

/* A weight that is NaN or infinite makes its output NaN or infinite whatever the row holds: only then is it looked for,
 * among all weights, since a row that is not finite itself hides which. */
static fv_status check_streamed(const fv_linear *l, const float *y, fv_error *err) {
  if (fv_all_finite(y, l->N)) return FV_OK;
  int64_t size = l->type == FV_WEIGHT_F32 ? 4 : 2;
  for (int64_t i = 0; i < l->N * l->K; i++)
    if (!is_finite(l->type, l->stored + i * size))
      return fv_fail(err, FV_ENONFINITE, "weight %lld of a linear layer of shape [%lld,%lld] is NaN or infinite",
                     (long long)i, (long long)l->N, (long long)l->K);
  return FV_OK;
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
  dnnl_status_t s = l->stored ? stream_block(k, b) : run_block(k, b);
  if (!s) return FV_OK;
  return fv_fail(err, s == dnnl_out_of_memory ? FV_ENOMEM : FV_EINTERNAL,
                 "oneDNN: a linear layer of shape [%lld,%lld] on %lld rows: status %d", (long long)l->N,
                 (long long)l->K, (long long)b->rows, (int)s);
}

fv_status fv_linear_rows(fv_kernels *k, const fv_linear *l, int64_t n, const float *const *x, float *y, void *scratch,
                         fv_error *err) {
  char *base = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
  float *gathered = (float *)(void *)(base + (size_t)k->threads * THREAD_BYTES);
  size_t gather_floats = (size_t)(BLOCK_ROWS + FV_TILE_ROWS) * (size_t)l->K;
  row_block whole = {.l = l, .y = y, .rows = n, .thread_scratch = base};
  whole.panel_scratch = (char *)(gathered + (gather_floats + 15) / 16 * 16);
  bool ran = n == 0;
  fv_status status = FV_OK;
  if (l->stored && n > 0 && n <= FV_FEW_ROWS && l->family->stream.chain && l->last->stream.chain)
    stream_few(k, l, n, x, y), ran = true;
  else if (n > 0 && consecutive(x, n, l->K)) {
    row_block b = whole;
    status = linear_block(k, &b, x, NULL, &ran, err);
  }
  for (int64_t done = 0; done < n && !status && !ran; done += BLOCK_ROWS) {
    bool block_ran;
    row_block b = whole;
    b.y = y + done * l->N, b.rows = n - done < BLOCK_ROWS ? n - done : BLOCK_ROWS;
    status = linear_block(k, &b, x + done, gathered, &block_ran, err);
  }
  return !status && l->stored && n > 0 ? check_streamed(l, y, err) : status;
}
