#include "study/text_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* FNV-1a, 64 bits. */
static size_t hash(const char *s) {
  uint64_t h = 14695981039346656037u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  return (size_t)(h ^ h >> 32);
}

static char **find(char **slots, size_t capacity, const char *text) {
  size_t i = hash(text) & (capacity - 1);
  while (slots[i] && strcmp(slots[i], text) != 0) i = (i + 1) & (capacity - 1);
  return &slots[i];
}

static bool grow(fv_text_pool *pool) {
  size_t capacity = pool->capacity ? 2 * pool->capacity : 256;
  char **slots = fv_alloc(capacity, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < pool->capacity; i++)
    if (pool->slots[i]) *find(slots, capacity, pool->slots[i]) = pool->slots[i];
  free(pool->slots);
  pool->slots = slots, pool->capacity = capacity;
  return true;
}

fv_status fv_text_pool_add(fv_text_pool *pool, const char *text, const char **out, fv_error *err) {
  *out = NULL;
  if (!text) return FV_OK;
  if (2 * (pool->count + 1) > pool->capacity && !grow(pool))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu strings", pool->count + 1);
  char **slot = find(pool->slots, pool->capacity, text);
  if (!*slot) {
    if (!(*slot = fv_strdup(text))) return fv_fail(err, FV_ENOMEM, "no memory for %zu strings", pool->count + 1);
    pool->count++;
  }
  *out = *slot;
  return FV_OK;
}

void fv_text_pool_release(fv_text_pool *pool) {
  for (size_t i = 0; i < pool->capacity; i++) free(pool->slots[i]);
  free(pool->slots);
  *pool = (fv_text_pool){0};
}
