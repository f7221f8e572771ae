#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "checkpoint/checkpoint_build.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are widened from little-endian bytes in place");

static const struct {
  const char *name;
  size_t size;
} dtypes[] = {[FV_DTYPE_F32] = {"f32", 4},   [FV_DTYPE_F16] = {"f16", 2},    [FV_DTYPE_BF16] = {"bf16", 2},
              [FV_DTYPE_F64] = {"f64", 8},   [FV_DTYPE_I64] = {"i64", 8},    [FV_DTYPE_I32] = {"i32", 4},
              [FV_DTYPE_I16] = {"i16", 2},   [FV_DTYPE_I8] = {"i8", 1},      [FV_DTYPE_U8] = {"u8", 1},
              [FV_DTYPE_BOOL] = {"bool", 1}, [FV_DTYPE_OTHER] = {"other", 0}};

const char *fv_dtype_name(fv_dtype dtype) { return dtypes[dtype].name; }
size_t fv_dtype_size(fv_dtype dtype) { return dtypes[dtype].size; }
bool fv_dtype_is_real(fv_dtype dtype) {
  return dtype == FV_DTYPE_F32 || dtype == FV_DTYPE_F16 || dtype == FV_DTYPE_BF16 || dtype == FV_DTYPE_F64;
}

bool fv_shape_count(int rank, const int64_t *shape, int64_t *count) {
  int64_t n = 1;
  bool empty = false;
  for (int d = 0; d < rank; d++) {
    if (shape[d] < 0) return false;
    empty |= shape[d] == 0;
  }
  for (int d = 0; d < rank && !empty; d++)
    if (!fv_mul_i64(n, shape[d], &n)) return false;
  *count = empty ? 0 : n;
  return true;
}

void fv_shape_text(int rank, const int64_t *shape, char *text, size_t size) {
  size_t at = 0;
  if (size == 0) return;
  text[0] = '\0';
  for (int d = 0; d <= rank; d++) {
    char part[32];
    int n = d == rank ? snprintf(part, sizeof part, "%s]", rank == 0 ? "[" : "")
                      : snprintf(part, sizeof part, "%s%lld", d ? "," : "[", (long long)shape[d]);
    if (at + (size_t)n >= size) return;
    memcpy(text + at, part, (size_t)n + 1);
    at += (size_t)n;
  }
}

/* The widening loops are written without branches on the values, so that the compiler makes vector code of them. */

static void widen_bf16(const uint8_t *in, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, in + 2 * i, 2);
    uint32_t bits = (uint32_t)h << 16;
    memcpy(out + i, &bits, 4);
  }
}

/* Normal numbers get the difference of the exponent biases added (127 - 15 = 112), infinities and NaN the same twice.
 * A subnormal m * 2^-24 is (1 + m / 1024) * 2^-14 with the 2^-14 taken off again: exact, and free of subnormal
 * operands, which a processor may have been told to flush. Masks instead of choices, since those were not vectorised.
 */
static void widen_f16(const uint8_t *in, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    int16_t h;
    memcpy(&h, in + 2 * i, 2);
    int32_t m = h & 0x7FFF, small = -(m < 0x400), special = -(m > 0x7BFF);
    int32_t bits = (m << 13) + (112 << 23) + (small & (1 << 23)), taken = small & (113 << 23);
    float value, off;
    memcpy(&value, &bits, 4);
    memcpy(&off, &taken, 4);
    value -= off;
    memcpy(&bits, &value, 4);
    bits = (bits + (special & (112 << 23))) | (h & INT32_MIN);
    memcpy(out + i, &bits, 4);
  }
}

static void round_f64(const uint8_t *in, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    double v;
    memcpy(&v, in + 8 * i, 8);
    out[i] = (float)v;
  }
}

static bool all_finite(const float *v, size_t n) {
  uint32_t bad = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t b;
    memcpy(&b, v + i, 4);
    bad |= (b & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  }
  return bad == 0;
}

static fv_status nonfinite(const fv_tensor *t, int64_t first, const float *v, size_t n, fv_error *err) {
  size_t i = 0;
  char where[24 * FV_MAX_RANK];
  int64_t index[FV_MAX_RANK];
  while (i < n && isfinite(v[i])) i++;
  int64_t at = first + (int64_t)i;
  for (int d = t->rank - 1; d >= 0; d--) {
    index[d] = at % t->shape[d];
    at /= t->shape[d];
  }
  fv_shape_text(t->rank, index, where, sizeof where);
  return fv_fail(err, FV_ENONFINITE,
                 "%s: tensor %s holds %s at %s, expected finite numbers (a %s weight beyond the range of float32, or a "
                 "damaged checkpoint)",
                 t->file, t->name, isnan(v[i]) ? "NaN" : "an infinity", where, fv_dtype_name(t->dtype));
}

fv_status fv_tensor_read_f32(const fv_tensor *t, int64_t first, int64_t n, float *out, fv_error *err) {
  enum { BLOCK = 4096 };
  if (!fv_dtype_is_real(t->dtype))
    return fv_fail(
        err, FV_EUNSUPPORTED,
        "%s: tensor %s has dtype %s, expected f32, f16, bf16 or f64; a quantised or integer tensor cannot be "
        "used as a weight here",
        t->file, t->name, t->stored);
  if (first < 0 || n < 0 || n > t->count - first)
    return fv_fail(err, FV_ESHAPE, "%s: %lld elements from %lld on were asked for of tensor %s, which has %lld",
                   t->file, (long long)n, (long long)first, t->name, (long long)t->count);
  size_t size = fv_dtype_size(t->dtype);
  for (int64_t done = 0; done < n;) {
    size_t k = n - done < BLOCK ? (size_t)(n - done) : (size_t)BLOCK;
    const uint8_t *in = t->data + (size_t)(first + done) * size;
    float *to = out + done;
    switch (t->dtype) {
      case FV_DTYPE_F16: widen_f16(in, k, to); break;
      case FV_DTYPE_BF16: widen_bf16(in, k, to); break;
      case FV_DTYPE_F64: round_f64(in, k, to); break;
      default: memcpy(to, in, k * sizeof *to); break;
    }
    if (!all_finite(to, k)) return nonfinite(t, first + done, to, k, err);
    done += (int64_t)k;
  }
  return FV_OK;
}

const float *fv_tensor_f32(const fv_tensor *t) {
  if (t->dtype != FV_DTYPE_F32 || !t->data || (uintptr_t)t->data % _Alignof(float) != 0) return NULL;
  return (const float *)(const void *)t->data;
}
