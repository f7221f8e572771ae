/* Attention over groups: cutting the work into tasks and giving them to threads. */
#include <omp.h>

#include "kernel/attend_room.h"
#include "kernel/kernels.h"

/* Packing the keys pays from about this many queries in one task. */
#define QUERIES_PER_TASK_MIN 64

size_t fv_attend_scratch(const fv_kernels *k, int64_t H, int64_t Dh, int64_t max_S) {
  (void)H;
  return (size_t)k->threads * fv_attend_task_bytes(Dh, max_S) + 64;
}

/* Groups per task: enough for packed keys that they share to pay, and still enough tasks for all threads. */
static int64_t groups_per_task(int threads, int64_t pairs, int64_t most) {
  int64_t groups = pairs / (4 * (int64_t)threads), enough = (QUERIES_PER_TASK_MIN + most - 1) / most;
  return groups < 1 ? 1 : groups > enough ? enough : groups;
}

/* Queries of each group per task: all of them, unless that leaves threads without work. */
static int64_t queries_per_task(int threads, int64_t pairs, int64_t most) {
  if (threads == 1 || pairs >= 4 * (int64_t)threads) return most;
  int64_t pieces = (4 * threads + pairs - 1) / pairs;
  int64_t queries = (most + pieces - 1) / pieces;
  queries = (queries + FV_QUERIES_MAX - 1) / FV_QUERIES_MAX * FV_QUERIES_MAX;
  return queries < QUERIES_PER_TASK_MIN ? QUERIES_PER_TASK_MIN : queries;
}

fv_status fv_attend(fv_kernels *k, int64_t H, int64_t KV, int64_t Dh, float scale, int64_t ngroups,
                    const fv_attend_group *groups, const fv_attend_hook *hook, void *scratch, fv_error *err) {
  if (H < 1 || KV < 1 || Dh < 1 || H % KV != 0)
    return fv_fail(err, FV_ESHAPE, "attention: %lld heads of width %lld with %lld key-value heads do not fit together",
                   (long long)H, (long long)Dh, (long long)KV);
  if (hook && !hook->scores && !hook->pattern) hook = NULL;
  int64_t most = 0, max_S = 0;
  double work = 0;
  for (int64_t i = 0; i < ngroups; i++) {
    if (groups[i].n > most) most = groups[i].n;
    if (groups[i].S > max_S) max_S = groups[i].S;
    work += (double)groups[i].n * (double)groups[i].S * (double)(H * Dh);
  }
  if (most == 0) return FV_OK;
  int threads = work < 20000 && !hook ? 1 : k->threads;
  most *= H / KV;
  int64_t together = groups_per_task(threads, ngroups * KV, most), spans = (ngroups + together - 1) / together;
  int64_t step = queries_per_task(threads, spans * KV, most);
  int64_t pieces = (most + step - 1) / step, tasks = KV * spans * pieces;
  size_t bytes = fv_attend_task_bytes(Dh, max_S);
  char *base = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
  /* The groups are the slowest index: the rows of a few, of which a task reads one head's part, stay in the cache. */
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < tasks; i++) {
    int64_t from = i / pieces / KV * together, begin = i % pieces * step;
    fv_attend_task task = {.groups = groups + from,
                           .count = together < ngroups - from ? together : ngroups - from,
                           .hook = hook,
                           .H = H,
                           .KV = KV,
                           .Dh = Dh,
                           .kv = i / pieces % KV,
                           .begin = begin,
                           .end = begin + step,
                           .max_S = max_S,
                           .scale = scale};
    k->table->attend(&task, base + (size_t)omp_get_thread_num() * bytes);
  }
  return FV_OK;
}
