#include "text/token_strings.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void fv_strings_release(fv_strings *list) {
  free(list->bytes);
  free(list->ends);
  *list = (fv_strings){0};
}

bool fv_strings_append(fv_strings *list, const char *bytes, size_t n) {
  size_t want;
  if (!fv_add_size(list->n, n, &want) || !fv_grow(&list->bytes, &list->capacity, want, 1)) return false;
  if (n) memcpy(list->bytes + list->n, bytes, n);
  list->n = want;
  return true;
}

bool fv_strings_end(fv_strings *list) {
  if (!fv_grow(&list->ends, &list->ends_capacity, list->count + 1, sizeof *list->ends)) return false;
  list->ends[list->count++] = list->n;
  return true;
}

bool fv_strings_add(fv_strings *list, const char *bytes, size_t n) {
  return fv_strings_append(list, bytes, n) && fv_strings_end(list);
}

const char *fv_strings_at(const fv_strings *list, size_t i, size_t *n) {
  size_t first = i ? list->ends[i - 1] : 0;
  *n = list->ends[i] - first;
  return *n ? list->bytes + first : "";
}
