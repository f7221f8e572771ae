#include "kernel/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

typedef struct isa_entry {
  const char *name;
  const fv_kernel_table *table;
} isa_entry;

static const isa_entry ISAS[] = {
#define ISA_ENTRY(suffix, name) {name, &fv_kernel_table_##suffix},
    FV_ISA_MAP(ISA_ENTRY)
#undef ISA_ENTRY
};

/* Feature by feature, because clang 14 does not know the names of the levels. Neither does it know f16c, lzcnt and
 * movbe, which every processor with AVX2, FMA and BMI2 has. */
static bool isa_runs(const char *name) {
#ifdef FV_HAVE_ISA_X86
  __builtin_cpu_init();
  bool v2 = __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("bmi2");
  if (strcmp(name, "x86-64-v2") == 0) return v2;
  if (strcmp(name, "x86-64-v3") == 0) return v3;
  return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return name != NULL;
#endif
}

fv_status fv_kernels_force_isa(fv_kernels *k, const char *isa, fv_error *err) {
  for (size_t i = 0; i < sizeof ISAS / sizeof *ISAS; i++) {
    if (isa && strcmp(isa, ISAS[i].name) != 0) continue;
    if (!isa_runs(ISAS[i].name)) continue;
    fv_matmul_free_all(k); /* they were checked with the other instruction set */
    k->isa = ISAS[i].name;
    k->table = ISAS[i].table;
    return FV_OK;
  }
  return fv_fail(err, FV_EUNSUPPORTED, "this processor cannot run the %s kernels; fovea needs at least %s",
                 isa ? isa : "vector", ISAS[sizeof ISAS / sizeof *ISAS - 1].name);
}

fv_status fv_kernels_new(int threads, fv_kernels **out, fv_error *err) {
  *out = NULL;
  if (threads < 1 || threads > 4096)
    return fv_fail(err, FV_EUSAGE, "%d threads; expected a number from 1 to 4096", threads);
  fv_kernels *k = fv_alloc(1, sizeof *k);
  if (!k) return fv_fail(err, FV_ENOMEM, "no memory for the kernels");
  k->threads = threads;
  if (pthread_mutex_init(&k->lock, NULL) != 0) {
    free(k);
    return fv_fail(err, FV_ENOMEM, "no memory for a lock");
  }
  fv_status s = fv_kernels_force_isa(k, NULL, err);
  if (!s && dnnl_engine_create(&k->engine, dnnl_cpu, 0) != dnnl_success)
    s = fv_fail(err, FV_EINTERNAL, "oneDNN: no CPU engine");
  if (!s) s = fv_matmul_self_check(k, err);
  if (s) {
    fv_kernels_free(k);
    return s;
  }
  *out = k;
  return FV_OK;
}

void fv_kernels_free(fv_kernels *k) {
  if (!k) return;
  fv_matmul_free_all(k);
  if (k->engine) dnnl_engine_destroy(k->engine);
  pthread_mutex_destroy(&k->lock);
  free(k);
}

const char *fv_kernels_isa(const fv_kernels *k) { return k->isa; }
const char *fv_kernels_library(const fv_kernels *k) { return k->library; }
int fv_kernels_threads(const fv_kernels *k) { return k->threads; }
