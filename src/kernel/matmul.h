/* oneDNN matmuls of one panel of weights by a tile of rows, proved to give every row the same bits.
 *
 * A layer's weights are cut into panels of at most FV_PANEL output channels; each panel is packed once in the layout
 * that oneDNN chooses. All panels of one width and depth form a family. A family has one primitive per row tile size,
 * made when first asked for, single-threaded, and checked before it is used: a row, repeated, must come out with the
 * family's reference bits at every place in the tile. The reference is the largest tile whose own rows agree, in the
 * worst case the tile of one row. Sizes that fail are never used; the rows go into tiles that passed, filled up with
 * zero rows where need be. So neither batch nor place nor threads can enter the bits of a row.
 *
 * Ownership: families live in fv_kernels until it is freed. Threads: families grow under the lock of fv_kernels, held
 * by the functions here; a tile that was returned is constant.
 */
#ifndef FOVEA_KERNEL_MATMUL_H
#define FOVEA_KERNEL_MATMUL_H

#include "kernel/kernels.h"

#define FV_PANEL 128
#define FV_TILE_ROWS 64
#define FV_TILE_SIZES 22
/* Scratch that a primitive may use; one that asks for more gets its own. */
#define FV_MATMUL_SCRATCH 16384

/* Ascending; the last is FV_TILE_ROWS. */
extern const int64_t fv_tile_sizes[FV_TILE_SIZES];

typedef struct fv_matmul_tile {
  bool tried, good;
  dnnl_primitive_t primitive;
  dn_md x, y, scratch;
} fv_matmul_tile;

/* How weights get from the file into a product (stream.c); found out when a layer is first streamed. */
typedef struct fv_matmul_stream {
  bool tried;
  bool direct; /* pack tasks with these numbers give what fv_matmul_pack gives */
  int64_t block, block_step, column_step;
  int64_t chain; /* few-row tasks with this number give the family's reference bits; 0: none does */
} fv_matmul_stream;

struct fv_matmul_family {
  fv_matmul_family *next;
  int64_t N, K;
  dn_md weights, bias, plain; /* plain: the panel as it lies in a row-major [N, K] matrix */
  size_t weight_bytes;        /* of one packed panel, a multiple of 64 */
  dnnl_primitive_t pack;
  char name[64]; /* the library's name for its implementation */
  int reference; /* number of the tile whose bits count */
  fv_matmul_tile tiles[FV_TILE_SIZES];
  /* The check: a packed panel, a bias, some rows, a tile of one of them, its result, and their reference results. */
  int64_t checks;
  float *check_w, *check_b, *check_rows, *check_x, *check_y, *check_ref;
  fv_matmul_stream stream;
};

/* How a block of rows is cut: `full` tiles of size `tile`, then the tiles of `rest`, the last of which may hold fewer
 * rows than its size. */
typedef struct fv_tile_plan {
  int tile, rests;
  int64_t full;
  int rest[FV_TILE_ROWS];
  int64_t padded; /* rows covered, >= the rows asked for */
} fv_tile_plan;

fv_status fv_matmul_family_get(fv_kernels *k, int64_t N, int64_t K, fv_matmul_family **out, fv_error *err);
fv_status fv_matmul_plan(fv_kernels *k, fv_matmul_family *f, int64_t rows, fv_tile_plan *plan, fv_error *err);

/* One thread's handles for running tiles of one family: they are remade when the tile changes. */
typedef struct fv_matmul_runner {
  const fv_kernels *k;
  const fv_matmul_tile *tile;
  dnnl_stream_t stream;
  dnnl_memory_t x, y, scratch;
  void *own; /* scratch beyond FV_MATMUL_SCRATCH */
} fv_matmul_runner;

dnnl_status_t fv_matmul_runner_init(fv_matmul_runner *r, const fv_kernels *k);
void fv_matmul_runner_release(fv_matmul_runner *r);
/* y [size, N] = x [size, K] by the panel; scratch has FV_MATMUL_SCRATCH bytes aligned to 64. */
dnnl_status_t fv_matmul_run(fv_matmul_runner *r, const fv_matmul_tile *tile, dnnl_memory_t weights, dnnl_memory_t bias,
                            const float *x, float *y, void *scratch);

/* Packs one panel, rows of K floats one after the other, into `to`. */
dnnl_status_t fv_matmul_pack(const fv_kernels *k, const fv_matmul_family *f, const float *w, float *to);

/* Rows of the check's weights, rows and bias, in a fixed order without structure. */
void fv_matmul_numbers(float *to, int64_t n, uint32_t seed);

/* stream.c: fills f->stream, once. */
fv_status fv_matmul_stream_ready(fv_kernels *k, fv_matmul_family *f, fv_error *err);
/* Packs one panel of a checkpoint's numbers; plain has room for [N, K] floats, and is used where `direct` is not. */
dnnl_status_t fv_matmul_pack_stored(const fv_kernels *k, const fv_matmul_family *f, fv_weight_type type,
                                    const uint8_t *w, float *plain, float *to);

/* oneDNN asks OpenMP for the number of threads when a primitive is made and run; here it must always find one. Returns
 * what to give back to fv_matmul_threads_restore. */
int fv_matmul_threads_one(void);
void fv_matmul_threads_restore(int before);

#endif
