/* Streamed weights: how a family's panels are packed straight from a checkpoint's numbers, and how a few rows are
 * multiplied with them unpacked. Both are proved, once per family, to give the bits of the packed way.
 *
 * Packing writes the library's layout itself where that is blocks of outputs with all columns of a block one after the
 * other, which covers what oneDNN chooses; the proof is oneDNN's own reorder of the check's panel. Any other layout is
 * reached by way of a plain float32 panel and that reorder.
 *
 * Few rows are memory's matter: packing would write every weight and read it again. So they are multiplied with small
 * pieces of the matrix as they are widened, in the library's order of summation: blocks of `chain` columns, each summed
 * from zero with fused operations, their sums added in order. The length is found by trying; a library, or a processor,
 * that adds up otherwise packs for few rows, too.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kernel/matmul.h"

/* Rows that the chain is tried with: 64 rows of 128 results would not agree by chance. */
enum { TRIED_ROWS = FV_TILE_ROWS };

/* Which numbers of a pack task write this layout; false where none do. */
static bool understand(const fv_matmul_family *f, fv_matmul_stream *s) {
  dn_blocking b = {0};
  if (dn_md_blocking(f->weights, &b)) return false;
  int64_t block[2] = {1, 1}; /* rows of the matrix are columns of the weights, columns are outputs */
  for (int i = 0; i < b.blocks; i++) {
    if (b.of[i] != (i == 0 && b.blocks == 2 ? 0 : 1)) return false;
    block[b.of[i]] = b.size[i];
  }
  if (b.blocks > 2) return false;
  bool blocked = b.blocks > 0;
  if (!blocked && b.step[1] != 1) return false;
  s->block = blocked ? block[1] : b.padded[1];
  s->block_step = b.step[1];
  s->column_step = blocked ? s->block : b.step[0];
  if (blocked && b.step[0] != block[0] * block[1]) return false;
  return s->block % FV_VECTOR_MAX == 0 || s->block >= f->N;
}

static void pack_directly(const fv_kernels *k, const fv_matmul_family *f, fv_weight_type type, const uint8_t *w,
                          float *to) {
  const fv_matmul_stream *s = &f->stream;
  fv_pack_task t = {.type = type,
                    .w = w,
                    .N = f->N,
                    .K = f->K,
                    .block = s->block,
                    .block_step = s->block_step,
                    .column_step = s->column_step,
                    .to = to};
  /* What the layout adds to fill its blocks is zero. */
  if ((size_t)f->N * (size_t)f->K * sizeof *to != f->weight_bytes) memset(to, 0, f->weight_bytes);
  k->table->pack(&t);
}

dnnl_status_t fv_matmul_pack_stored(const fv_kernels *k, const fv_matmul_family *f, fv_weight_type type,
                                    const uint8_t *w, float *plain, float *to) {
  if (f->stream.direct) {
    pack_directly(k, f, type, w, to);
    return dnnl_success;
  }
  int64_t size = type == FV_WEIGHT_F32 ? 4 : 2;
  /* A pack task whose outputs are columns: each row of the panel is a matrix of one column and K rows of one number. */
  for (int64_t n = 0; n < f->N; n++) {
    fv_pack_task t = {.type = type,
                      .w = w + n * f->K * size,
                      .N = f->K,
                      .K = 1,
                      .block = f->K,
                      .column_step = f->K,
                      .to = plain + n * f->K};
    k->table->pack(&t);
  }
  return fv_matmul_pack(k, f, plain, to);
}

/* Reference results of TRIED_ROWS different rows: tiles of the reference size, rows from anywhere in them. */
static dnnl_status_t reference_results(fv_kernels *k, const fv_matmul_family *f, const float *x, float *y) {
  const fv_matmul_tile *tile = &f->tiles[f->reference];
  int64_t size = fv_tile_sizes[f->reference];
  fv_matmul_runner r;
  dnnl_memory_t w = NULL, b = NULL;
  void *scratch = fv_alloc_aligned(FV_MATMUL_SCRATCH, 1);
  dnnl_status_t s = scratch ? fv_matmul_runner_init(&r, k) : dnnl_out_of_memory;
  if (s) {
    free(scratch);
    return s;
  }
  s = dnnl_memory_create(&w, f->weights, k->engine, f->check_w);
  if (!s) s = dnnl_memory_create(&b, f->bias, k->engine, f->check_b);
  for (int64_t row = 0; row < TRIED_ROWS && !s; row += size) {
    int64_t rows = TRIED_ROWS - row < size ? TRIED_ROWS - row : size;
    memset(f->check_x, 0, (size_t)(size * f->K) * sizeof *x);
    memcpy(f->check_x, x + row * f->K, (size_t)(rows * f->K) * sizeof *x);
    s = fv_matmul_run(&r, tile, w, b, f->check_x, f->check_y, scratch);
    memcpy(y + row * f->N, f->check_y, (size_t)(rows * f->N) * sizeof *y);
  }
  if (w) dnnl_memory_destroy(w);
  if (b) dnnl_memory_destroy(b);
  fv_matmul_runner_release(&r);
  free(scratch);
  return s;
}

static bool chain_agrees(const fv_kernels *k, const fv_matmul_family *f, int64_t chain, const float *w,
                         const float *const *x, const float *want, float *y) {
  for (int64_t row = 0; row < TRIED_ROWS; row += FV_FEW_ROWS) {
    fv_few_task t = {.type = FV_WEIGHT_F32,
                     .w = (const uint8_t *)w,
                     .N = f->N,
                     .K = f->K,
                     .chain = chain,
                     .rows = TRIED_ROWS - row < FV_FEW_ROWS ? TRIED_ROWS - row : FV_FEW_ROWS,
                     .x = x + row,
                     .bias = f->check_b,
                     .y = y + row * f->N,
                     .y_step = f->N};
    k->table->few(&t);
  }
  return memcmp(y, want, (size_t)(TRIED_ROWS * f->N) * sizeof *y) == 0;
}

/* The longest first: a short matrix is one chain, and so would many lengths be. */
static int64_t find_chain(const fv_kernels *k, const fv_matmul_family *f, const float *w, const float *const *x,
                          const float *want, float *y) {
  static const int64_t lengths[] = {4096, 2048, 1024, 768, 512, 384, 256, 192, 128, 64};
  if (chain_agrees(k, f, f->K, w, x, want, y)) return f->K;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    if (lengths[i] < f->K && chain_agrees(k, f, lengths[i], w, x, want, y)) return lengths[i];
  return 0;
}

static dnnl_status_t find_out(fv_kernels *k, fv_matmul_family *f) {
  size_t N = (size_t)f->N, K = (size_t)f->K;
  float *w = fv_alloc_aligned(N * K, sizeof *w), *packed = fv_alloc_aligned(f->weight_bytes, 1);
  float *x = fv_alloc_aligned(TRIED_ROWS * K, sizeof *x), *want = fv_alloc_aligned(TRIED_ROWS * N, sizeof *want),
        *y = fv_alloc_aligned(TRIED_ROWS * N, sizeof *y);
  const float *rows[TRIED_ROWS];
  dnnl_status_t s = w && packed && x && want && y ? dnnl_success : dnnl_out_of_memory;
  if (!s) {
    fv_matmul_numbers(w, f->N * f->K, 1);
    fv_matmul_numbers(x, TRIED_ROWS * f->K, 4);
    for (int i = 0; i < TRIED_ROWS; i++) rows[i] = x + (size_t)i * K;
    s = reference_results(k, f, x, want);
  }
  if (!s) {
    if (understand(f, &f->stream) && !k->no_direct) {
      /* Beyond the panel's last number the bytes are nobody's. */
      memset(packed, 0, f->weight_bytes);
      pack_directly(k, f, FV_WEIGHT_F32, (const uint8_t *)w, packed);
      f->stream.direct = memcmp(packed, f->check_w, dn_md_size(f->weights)) == 0;
    }
    f->stream.chain = k->no_few ? 0 : find_chain(k, f, w, rows, want, y);
    f->stream.tried = true;
  }
  free(w), free(packed), free(x), free(want), free(y);
  return s;
}

fv_status fv_matmul_stream_ready(fv_kernels *k, fv_matmul_family *f, fv_error *err) {
  dnnl_status_t s = dnnl_success;
  pthread_mutex_lock(&k->lock);
  if (!f->stream.tried) {
    int before = fv_matmul_threads_one();
    s = find_out(k, f);
    fv_matmul_threads_restore(before);
  }
  pthread_mutex_unlock(&k->lock);
  if (!s) return FV_OK;
  return fv_fail(err, s == dnnl_out_of_memory ? FV_ENOMEM : FV_EINTERNAL,
                 "oneDNN: trying how to stream a matrix of %lld outputs and depth %lld: status %d", (long long)f->N,
                 (long long)f->K, (int)s);
}
