#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/table.h"
#include "report/columns.h"

/* Strings are kept once: open addressing over pointers, at most half full. */
struct fv_table {
  fv_row *rows;
  size_t count, capacity;
  char **strings;
  size_t used, slots; /* slots is 0 or a power of two */
};

fv_status fv_table_new(fv_table **out, fv_error *err) {
  *out = fv_alloc(1, sizeof **out);
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for a table");
}

void fv_table_free(fv_table *t) {
  if (!t) return;
  for (size_t i = 0; i < t->slots; i++) free(t->strings[i]);
  free(t->strings);
  free(t->rows);
  free(t);
}

static uint64_t hash(const char *s) { /* FNV-1a */
  uint64_t h = 0xCBF29CE484222325u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001B3u;
  return h ^ h >> 32;
}

static char **find(char **strings, size_t slots, const char *s) {
  size_t i = (size_t)hash(s) & (slots - 1);
  while (strings[i] && strcmp(strings[i], s) != 0) i = (i + 1) & (slots - 1);
  return &strings[i];
}

static bool rehash(fv_table *t) {
  size_t slots = t->slots ? 2 * t->slots : 64;
  char **strings = fv_alloc(slots, sizeof *strings);
  if (!strings) return false;
  for (size_t i = 0; i < t->slots; i++)
    if (t->strings[i]) *find(strings, slots, t->strings[i]) = t->strings[i];
  free(t->strings);
  t->strings = strings;
  t->slots = slots;
  return true;
}

/* The table's own copy of s; NULL when memory is short. */
static const char *intern(fv_table *t, const char *s) {
  if (2 * (t->used + 1) > t->slots && !rehash(t)) return NULL;
  char **slot = find(t->strings, t->slots, s);
  if (!*slot && (*slot = fv_strdup(s))) t->used++;
  return *slot;
}

static fv_status table_row(void *user, const fv_row *row, fv_error *err) {
  fv_table *t = user;
  if (!fv_grow(&t->rows, &t->capacity, t->count + 1, sizeof *t->rows))
    return fv_fail(err, FV_ENOMEM, "no memory for row %zu of the table", t->count);
  fv_row copy = *row;
  for (size_t i = 0; i < FV_COLUMNS; i++) {
    const char *s = fv_columns[i].type == FV_COLUMN_TEXT ? fv_cell_text(row, &fv_columns[i]) : NULL;
    if (!s) continue;
    const char *own = intern(t, s);
    if (!own) return fv_fail(err, FV_ENOMEM, "no memory for row %zu of the table", t->count);
    memcpy((char *)&copy + fv_columns[i].offset, &own, sizeof own);
  }
  t->rows[t->count++] = copy;
  return FV_OK;
}

fv_sink fv_table_sink(fv_table *table) { return (fv_sink){table, table_row}; }
size_t fv_table_count(const fv_table *table) { return table->count; }
const fv_row *fv_table_row(const fv_table *table, size_t i) { return &table->rows[i]; }
