#include "text/bpe_merges.h"

#include <stdlib.h>

#include "base/bytes.h"

void fv_bpe_merges_release(fv_bpe_merges *merges) {
  free(merges->slots);
  *merges = (fv_bpe_merges){0};
}

/* The slot that holds the pair, or the free slot where it belongs. */
static struct fv_bpe_merge *find_slot(const fv_bpe_merges *merges, int32_t left, int32_t right) {
  uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
  size_t mask = merges->slot_count - 1, i = (size_t)(h >> 32) & mask;
  for (; merges->slots[i].left >= 0; i = (i + 1) & mask)
    if (merges->slots[i].left == left && merges->slots[i].right == right) break;
  return &merges->slots[i];
}

static const struct fv_bpe_merge *find(const fv_bpe_merges *merges, int32_t left, int32_t right) {
  if (!merges->slot_count) return NULL;
  const struct fv_bpe_merge *slot = find_slot(merges, left, right);
  return slot->left >= 0 ? slot : NULL;
}

static bool rehash(fv_bpe_merges *merges) {
  fv_bpe_merges bigger = {.slot_count = merges->slot_count ? 2 * merges->slot_count : 1024, .count = merges->count};
  bigger.slots = fv_alloc(bigger.slot_count, sizeof *bigger.slots);
  if (!bigger.slots) return false;
  for (size_t i = 0; i < bigger.slot_count; i++) bigger.slots[i].left = -1;
  for (size_t i = 0; i < merges->slot_count; i++) {
    const struct fv_bpe_merge *m = &merges->slots[i];
    if (m->left >= 0) *find_slot(&bigger, m->left, m->right) = *m;
  }
  free(merges->slots);
  *merges = bigger;
  return true;
}

bool fv_bpe_merges_put(fv_bpe_merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t result) {
  if (2 * (merges->count + 1) > merges->slot_count && !rehash(merges)) return false;
  struct fv_bpe_merge *slot = find_slot(merges, left, right);
  merges->count += slot->left < 0;
  *slot = (struct fv_bpe_merge){.left = left, .right = right, .rank = rank, .result = result};
  return true;
}

typedef struct candidate {
  size_t at; /* the left symbol */
  uint32_t rank;
  int32_t result;
} candidate;

/* A binary heap, the next candidate first. */
typedef struct queue {
  candidate *items;
  size_t count, capacity;
} queue;

static bool before(const candidate *a, const candidate *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static bool push(queue *q, candidate c) {
  if (!fv_grow(&q->items, &q->capacity, q->count + 1, sizeof *q->items)) return false;
  size_t i = q->count++;
  for (; i > 0 && before(&c, &q->items[(i - 1) / 2]); i = (i - 1) / 2) q->items[i] = q->items[(i - 1) / 2];
  q->items[i] = c;
  return true;
}

static candidate pop(queue *q) {
  candidate top = q->items[0], moved = q->items[--q->count];
  size_t i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= q->count) break;
    if (child + 1 < q->count && before(&q->items[child + 1], &q->items[child])) child++;
    if (!before(&q->items[child], &moved)) break;
    q->items[i] = q->items[child];
    i = child;
  }
  q->items[i] = moved;
  return top;
}

/* Enters the pair of the symbol at `at` and its next one, if it merges. */
static bool enter(const fv_bpe_merges *merges, const fv_bpe_symbol *symbols, size_t at, queue *q) {
  if (at == SIZE_MAX || symbols[at].next == SIZE_MAX) return true;
  const struct fv_bpe_merge *m = find(merges, symbols[at].id, symbols[symbols[at].next].id);
  return !m || push(q, (candidate){.at = at, .rank = m->rank, .result = m->result});
}

bool fv_bpe_merge(const fv_bpe_merges *merges, fv_bpe_symbol *symbols, size_t n) {
  queue q = {0};
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    symbols[i].previous = i ? i - 1 : SIZE_MAX;
    symbols[i].next = i + 1 < n ? i + 1 : SIZE_MAX;
  }
  for (size_t i = 0; ok && i < n; i++) ok = enter(merges, symbols, i, &q);
  while (ok && q.count) {
    candidate c = pop(&q);
    fv_bpe_symbol *left = &symbols[c.at];
    if (left->bytes == 0 || left->next == SIZE_MAX) continue;
    fv_bpe_symbol *right = &symbols[left->next];
    const struct fv_bpe_merge *m = find(merges, left->id, right->id);
    if (!m || m->result != c.result) continue;
    left->id = c.result;
    left->bytes += right->bytes;
    left->next = right->next;
    right->bytes = 0;
    if (left->next != SIZE_MAX) symbols[left->next].previous = c.at;
    ok = enter(merges, symbols, left->previous, &q) && enter(merges, symbols, c.at, &q);
  }
  free(q.items);
  return ok;
}
