/* The names that a pickle may use: compared as text, never looked up anywhere. */
#include <string.h>

#include "checkpoint/pickle.h"

#define STORAGE(name, dtype, size) \
  { "torch", name "Storage", FV_PICKLE_STORAGE, FV_DTYPE_##dtype, size, false }
#define DTYPE(name, dtype, size) \
  { "torch", name, FV_PICKLE_DTYPE, FV_DTYPE_##dtype, size, false }
#define PLAIN(module, name, what) \
  { module, name, FV_PICKLE_##what, FV_DTYPE_OTHER, 0, false }

static const fv_pickle_global globals[] = {PLAIN("collections", "OrderedDict", ORDERED_DICT),
                                           PLAIN("torch", "Size", SIZE),
                                           PLAIN("torch._utils", "_rebuild_tensor_v2", TENSOR_V2),
                                           PLAIN("torch._utils", "_rebuild_tensor_v3", TENSOR_V3),
                                           PLAIN("torch._utils", "_rebuild_parameter", PARAMETER),
                                           PLAIN("torch._utils", "_rebuild_parameter_with_state", PARAMETER),
                                           {"torch.storage", "UntypedStorage", FV_PICKLE_STORAGE, FV_DTYPE_U8, 1, true},
                                           STORAGE("Double", F64, 8),
                                           STORAGE("Float", F32, 4),
                                           STORAGE("Half", F16, 2),
                                           STORAGE("BFloat16", BF16, 2),
                                           STORAGE("Long", I64, 8),
                                           STORAGE("Int", I32, 4),
                                           STORAGE("Short", I16, 2),
                                           STORAGE("Char", I8, 1),
                                           STORAGE("Byte", U8, 1),
                                           STORAGE("Bool", BOOL, 1),
                                           DTYPE("float64", F64, 8),
                                           DTYPE("float32", F32, 4),
                                           DTYPE("float16", F16, 2),
                                           DTYPE("bfloat16", BF16, 2),
                                           DTYPE("int64", I64, 8),
                                           DTYPE("int32", I32, 4),
                                           DTYPE("int16", I16, 2),
                                           DTYPE("int8", I8, 1),
                                           DTYPE("uint8", U8, 1),
                                           DTYPE("bool", BOOL, 1),
                                           DTYPE("uint16", OTHER, 2),
                                           DTYPE("uint32", OTHER, 4),
                                           DTYPE("uint64", OTHER, 8),
                                           DTYPE("complex64", OTHER, 8),
                                           DTYPE("complex128", OTHER, 16),
                                           DTYPE("float8_e4m3fn", OTHER, 1),
                                           DTYPE("float8_e5m2", OTHER, 1),
                                           DTYPE("float8_e4m3fnuz", OTHER, 1),
                                           DTYPE("float8_e5m2fnuz", OTHER, 1),
                                           DTYPE("float8_e8m0fnu", OTHER, 1)};

static bool same(const char *a, const char *b, size_t n) { return strlen(a) == n && memcmp(a, b, n) == 0; }

const fv_pickle_global *fv_pickle_global_find(const char *module, size_t module_bytes, const char *name,
                                              size_t name_bytes) {
  for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
    if (same(globals[i].module, module, module_bytes) && same(globals[i].name, name, name_bytes)) return &globals[i];
  return NULL;
}
