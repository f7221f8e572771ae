/* Tokens and their ids, both ways.
 *
 * A hash table from byte strings to ids and a table from ids to byte strings. Ids may have gaps. Putting a string that
 * is there already moves it to the new id (the old id then has no token), as reading a vocab.txt with a repeated line
 * does in the tokenizers library.
 *
 * Ownership: the vocabulary owns copies of all strings; the pointers it gives out stay valid until the next put.
 * Threads: immutable after loading. Cost: find is one hash of the string and a short probe.
 */
#ifndef FOVEA_TEXT_VOCAB_H
#define FOVEA_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

typedef struct fv_vocab {
  char *bytes; /* all strings, each followed by a NUL */
  size_t bytes_used, bytes_capacity;
  struct fv_vocab_entry {
    size_t at, n;
    int32_t id;
  } * entries;
  size_t count, capacity;
  uint32_t *slots; /* entry + 1, 0 = free; a power of two of them */
  size_t slot_count;
  uint32_t *by_id; /* entry + 1, 0 = no token */
  size_t id_capacity;
  int64_t size;   /* 1 + the highest id ever put */
  size_t longest; /* bytes of the longest string */
} fv_vocab;

void fv_vocab_release(fv_vocab *v);
/* Errors: FV_ENOMEM; FV_EFORMAT when another string has this id already. `where` names the file. */
fv_status fv_vocab_put(fv_vocab *v, const char *s, size_t n, int32_t id, const char *where, fv_error *err);
bool fv_vocab_find(const fv_vocab *v, const char *s, size_t n, int32_t *id);
/* The NUL-terminated string of an id and its length, or NULL when the id has none. */
const char *fv_vocab_piece(const fv_vocab *v, int64_t id, size_t *n);

#endif
