/* Row operations on vectors: activations, norms, sums, products, rotary embedding. Compiled per instruction set. */
#include "kernel/isa_table.h"
#include "kernel/vec.h"

VINLINE vf act_gelu(vf x) { return 0.5f * x * (1.0f + verf(x * 0.707106781f)); }
VINLINE vf act_quick_gelu(vf x) { return x * vsigmoid(1.702f * x); }
VINLINE vf act_silu(vf x) { return x * vsigmoid(x); }
VINLINE vf act_gelu_new(vf x) { return 0.5f * x * (1.0f + vtanh(0.797884561f * (x + 0.044715f * x * x * x))); }
VINLINE vf act_relu(vf x) { return vselect(x <= 0.0f, vset(0.0f), x); }

#define ROW_OF_ONE(name, f)                                            \
  static void name(int64_t W, const float *x, float *y) {              \
    int64_t i = 0;                                                     \
    for (; i + VL <= W; i += VL) vstore(y + i, f(vload(x + i)));       \
    if (i < W) vstore_n(y + i, f(vload_n(x + i, W - i, 0.0f)), W - i); \
  }
ROW_OF_ONE(row_gelu, act_gelu)
ROW_OF_ONE(row_quick_gelu, act_quick_gelu)
ROW_OF_ONE(row_silu, act_silu)
ROW_OF_ONE(row_gelu_new, act_gelu_new)
ROW_OF_ONE(row_relu, act_relu)
ROW_OF_ONE(row_tanh, vtanh)

static void row_add(int64_t W, const float *a, const float *b, float *y) {
  int64_t i = 0;
  for (; i + VL <= W; i += VL) vstore(y + i, vload(a + i) + vload(b + i));
  for (; i < W; i++) y[i] = a[i] + b[i];
}

static void row_mul(int64_t W, const float *a, const float *b, float *y) {
  int64_t i = 0;
  for (; i + VL <= W; i += VL) vstore(y + i, vload(a + i) * vload(b + i));
  for (; i < W; i++) y[i] = a[i] * b[i];
}

/* Sum of (x - shift)^power over the row in four vectors of partial sums; the order depends on D only. */
VINLINE float row_moment(int64_t D, const float *x, float shift, int power) {
  vf part[4] = {{0}, {0}, {0}, {0}};
  int64_t i = 0;
  for (; i + 4 * VL <= D; i += 4 * VL)
    for (int j = 0; j < 4; j++) {
      vf d = vload(x + i + j * VL) - shift;
      part[j] = power == 2 ? vfma(d, d, part[j]) : part[j] + d;
    }
  for (; i < D; i += VL) {
    vf d = (D - i >= VL ? vload(x + i) : vload_n(x + i, D - i, shift)) - shift;
    part[0] = power == 2 ? vfma(d, d, part[0]) : part[0] + d;
  }
  return vsum((part[0] + part[1]) + (part[2] + part[3]));
}

static void row_layernorm(int64_t D, float eps, const float *g, const float *b, const float *x, float *y) {
  float mean = row_moment(D, x, 0.0f, 1) / (float)D;
  float rstd = 1.0f / sqrtf(row_moment(D, x, mean, 2) / (float)D + eps);
  int64_t i = 0;
  for (; i + VL <= D; i += VL) vstore(y + i, (vload(x + i) - mean) * rstd * vload(g + i) + vload(b + i));
  for (; i < D; i++) y[i] = (x[i] - mean) * rstd * g[i] + b[i];
}

static void row_rmsnorm(int64_t D, float eps, const float *g, const float *x, float *y) {
  float scale = 1.0f / sqrtf(row_moment(D, x, 0.0f, 2) / (float)D + eps);
  int64_t i = 0;
  for (; i + VL <= D; i += VL) vstore(y + i, vload(g + i) * (vload(x + i) * scale));
  for (; i < D; i++) y[i] = g[i] * (x[i] * scale);
}

static void row_rope(int64_t H, int64_t Dh, int64_t rot, const float *cos, const float *sin, const float *x, float *y) {
  int64_t half = rot / 2;
  for (int64_t h = 0; h < H; h++, x += Dh, y += Dh) {
    int64_t c = 0;
    for (; c + VL <= half; c += VL) {
      vf a = vload(x + c), b = vload(x + half + c), co = vload(cos + c), si = vload(sin + c);
      vstore(y + c, a * co - b * si);
      vstore(y + half + c, b * co + a * si);
    }
    for (; c < half; c++) {
      float a = x[c], b = x[half + c];
      y[c] = a * cos[c] - b * sin[c];
      y[half + c] = b * cos[c] + a * sin[c];
    }
    for (c = rot; c < Dh; c++) y[c] = x[c];
  }
}

const fv_kernel_table FV_ISA_NAME(fv_kernel_table) = {
    .act = {[FV_ACT_GELU] = row_gelu,
            [FV_ACT_QUICK_GELU] = row_quick_gelu,
            [FV_ACT_SILU] = row_silu,
            [FV_ACT_GELU_NEW] = row_gelu_new,
            [FV_ACT_RELU] = row_relu,
            [FV_ACT_TANH] = row_tanh},
    .layernorm = row_layernorm,
    .rmsnorm = row_rmsnorm,
    .add = row_add,
    .mul = row_mul,
    .rope = row_rope,
    .attend = FV_ISA_NAME(fv_attend_task_run),
    .pack = FV_ISA_NAME(fv_pack_task_run),
    .few = FV_ISA_NAME(fv_few_task_run),
};
