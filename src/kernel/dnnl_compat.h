/* The few calls in which oneDNN's C API 2 and 3 differ, under one set of names (prefix dn_).
 *
 * A dn_md is a memory descriptor on the heap, released with dn_md_free. All functions return dnnl_success or the
 * library's status. Threads: as oneDNN; descriptors and primitives are constant after creation.
 */
#ifndef FOVEA_KERNEL_DNNL_COMPAT_H
#define FOVEA_KERNEL_DNNL_COMPAT_H

#include <oneapi/dnnl/dnnl.h>
#include <stdint.h>
#include <stdlib.h>

/* How a matrix [rows, cols] lies: in inner blocks, the last of them fastest; `step` goes from one outer block of a
 * dimension to the next. */
typedef struct dn_blocking {
  int blocks;
  int64_t size[DNNL_MAX_NDIMS], of[DNNL_MAX_NDIMS], step[2], padded[2];
} dn_blocking;

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t dn_md;

static inline dnnl_status_t dn_md_strided(dn_md *out, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step) {
  dnnl_dims_t dims = {rows, cols}, steps = {row_step, col_step};
  return dnnl_memory_desc_create_with_strides(out, 2, dims, dnnl_f32, steps);
}
/* A layout that the library chooses. */
static inline dnnl_status_t dn_md_any(dn_md *out, int64_t rows, int64_t cols) {
  dnnl_dims_t dims = {rows, cols};
  return dnnl_memory_desc_create_with_tag(out, 2, dims, dnnl_f32, dnnl_format_tag_any);
}
static inline dnnl_status_t dn_md_of(dn_md *out, const_dnnl_primitive_desc_t pd, dnnl_query_t what) {
  return dnnl_memory_desc_clone(out, dnnl_primitive_desc_query_md(pd, what, 0));
}
static inline void dn_md_free(dn_md md) {
  if (md) dnnl_memory_desc_destroy(md);
}
static inline size_t dn_md_size(dn_md md) { return dnnl_memory_desc_get_size(md); }
static inline dnnl_status_t dn_md_blocking(dn_md md, dn_blocking *out) {
  dnnl_format_kind_t kind = dnnl_format_kind_undef;
  const dnnl_dims_t *size = NULL, *of = NULL, *step = NULL, *padded = NULL;
  dnnl_status_t s = dnnl_memory_desc_query(md, dnnl_query_format_kind, &kind);
  if (!s && kind != dnnl_blocked) s = dnnl_unimplemented;
  if (!s) s = dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &out->blocks);
  if (!s) s = dnnl_memory_desc_query(md, dnnl_query_inner_blks, &size);
  if (!s) s = dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &of);
  if (!s) s = dnnl_memory_desc_query(md, dnnl_query_strides, &step);
  if (!s) s = dnnl_memory_desc_query(md, dnnl_query_padded_dims, &padded);
  for (int i = 0; i < out->blocks && !s; i++) out->size[i] = (*size)[i], out->of[i] = (*of)[i];
  for (int i = 0; i < 2 && !s; i++) out->step[i] = (*step)[i], out->padded[i] = (*padded)[i];
  return s;
}
static inline dnnl_status_t dn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dn_md x, dn_md w, dn_md bias,
                                      dn_md y, const_dnnl_primitive_attr_t attr) {
  return dnnl_matmul_primitive_desc_create(out, engine, x, w, bias, y, attr);
}
#else
typedef dnnl_memory_desc_t *dn_md;

static inline dnnl_status_t dn_md_new(dn_md *out) {
  *out = calloc(1, sizeof **out);
  return *out ? dnnl_success : dnnl_out_of_memory;
}
static inline dnnl_status_t dn_md_strided(dn_md *out, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step) {
  dnnl_dims_t dims = {rows, cols}, steps = {row_step, col_step};
  if (dn_md_new(out)) return dnnl_out_of_memory;
  return dnnl_memory_desc_init_by_strides(*out, 2, dims, dnnl_f32, steps);
}
/* A layout that the library chooses. */
static inline dnnl_status_t dn_md_any(dn_md *out, int64_t rows, int64_t cols) {
  dnnl_dims_t dims = {rows, cols};
  if (dn_md_new(out)) return dnnl_out_of_memory;
  return dnnl_memory_desc_init_by_tag(*out, 2, dims, dnnl_f32, dnnl_format_tag_any);
}
static inline dnnl_status_t dn_md_of(dn_md *out, const_dnnl_primitive_desc_t pd, dnnl_query_t what) {
  if (dn_md_new(out)) return dnnl_out_of_memory;
  **out = *dnnl_primitive_desc_query_md(pd, what, 0);
  return dnnl_success;
}
static inline void dn_md_free(dn_md md) { free(md); }
static inline size_t dn_md_size(dn_md md) { return dnnl_memory_desc_get_size(md); }
static inline dnnl_status_t dn_md_blocking(dn_md md, dn_blocking *out) {
  if (md->format_kind != dnnl_blocked) return dnnl_unimplemented;
  const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
  out->blocks = b->inner_nblks;
  for (int i = 0; i < b->inner_nblks; i++) out->size[i] = b->inner_blks[i], out->of[i] = b->inner_idxs[i];
  for (int i = 0; i < 2; i++) out->step[i] = b->strides[i], out->padded[i] = md->padded_dims[i];
  return dnnl_success;
}
static inline dnnl_status_t dn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dn_md x, dn_md w, dn_md bias,
                                      dn_md y, const_dnnl_primitive_attr_t attr) {
  dnnl_matmul_desc_t desc;
  dnnl_status_t s = dnnl_matmul_desc_init(&desc, x, w, bias, y);
  return s ? s : dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
}
#endif

#endif
