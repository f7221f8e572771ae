#include "study/nearest.h"

#include <string.h>

enum { LONGEST = 95 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t fv_edit_distance(const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b), rows[3][LONGEST + 1];
  if (na > LONGEST || nb > LONGEST) return na > nb ? na : nb;
  size_t *two = rows[0], *one = rows[1], *row = rows[2];
  for (size_t j = 0; j <= nb; j++) one[j] = j, two[j] = 0;
  for (size_t i = 1; i <= na; i++) {
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      row[j] = least(least(one[j], row[j - 1]) + 1, one[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = least(row[j], two[j - 2] + 1);
    }
    size_t *spare = two;
    two = one, one = row, row = spare;
  }
  return one[nb];
}

const char *fv_nearest(const char *word, const char *const *words, size_t n) {
  size_t best = strlen(word) < 3 ? 2 : strlen(word) / 3 + 1;
  const char *found = NULL;
  for (size_t i = 0; i < n; i++) {
    size_t d = fv_edit_distance(word, words[i]);
    if (d < best) best = d, found = words[i];
  }
  return found;
}
