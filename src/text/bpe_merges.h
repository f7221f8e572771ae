/* The merges of a BPE model, and the merging of one word.
 *
 * A table from a pair of token ids to the rank of their merge and the id it gives. Merging takes the pair of lowest
 * rank, of equal ones the leftmost, until no pair is left: candidates wait in a heap, a merge adds the two pairs it
 * creates, and an entry that comes up is dropped when its pair no longer merges to the id it was entered with. (Where
 * another pair with the same result has taken its place, it is merged at the old entry's rank, as in the library.)
 *
 * Ownership: zero-initialised is empty; release. Threads: immutable after loading.
 * Cost: a word of n symbols takes O(n log n). Source: tokenizers, models/bpe/word.rs.
 */
#ifndef FOVEA_TEXT_BPE_MERGES_H
#define FOVEA_TEXT_BPE_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fv_bpe_merges {
  struct fv_bpe_merge {
    int32_t left, right, result; /* left -1: free */
    uint32_t rank;
  } * slots; /* a power of two of them, at most half used */
  size_t slot_count, count;
} fv_bpe_merges;

typedef struct fv_bpe_symbol {
  size_t bytes;          /* of the word; 0: merged into the one before */
  size_t previous, next; /* SIZE_MAX at the ends */
  int32_t id;
} fv_bpe_symbol;

void fv_bpe_merges_release(fv_bpe_merges *merges);
/* A pair that is there already gets the new rank. False when memory is short. */
bool fv_bpe_merges_put(fv_bpe_merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t result);
/* Merges symbols[0..n), whose ids and bytes are set; on return those with bytes 0 are gone. False when memory is short,
 * and then the symbols are in disorder. */
bool fv_bpe_merge(const fv_bpe_merges *merges, fv_bpe_symbol *symbols, size_t n);

#endif
