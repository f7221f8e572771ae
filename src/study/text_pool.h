/* A pool of strings: equal strings are one pointer, which lives as long as the pool.
 *
 * Ownership: the pool owns the copies. Threads: one owner. Cost: a hash table, constant time per string.
 */
#ifndef FOVEA_STUDY_TEXT_POOL_H
#define FOVEA_STUDY_TEXT_POOL_H

#include "fovea/status.h"

typedef struct fv_text_pool {
  char **slots; /* capacity of them, a power of two; NULL is free */
  size_t capacity, count;
} fv_text_pool;

/* The pool's copy of `text` in *out; NULL for NULL. */
fv_status fv_text_pool_add(fv_text_pool *pool, const char *text, const char **out, fv_error *err);
void fv_text_pool_release(fv_text_pool *pool);

#endif
