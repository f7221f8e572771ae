/* The long table as tests of the command line read it: cells as text, looked up by the column's name. */
#ifndef FOVEA_TESTS_SHEET_H
#define FOVEA_TESTS_SHEET_H

#include "cli/cli_tests.h"

#define HEADER                                                                                                         \
  "sample,draw,corrupt,stack,site,layer,window,row,piece,head,from,to,op,prob,logit,logit_diff,p_diff,effect,kl,rank," \
  "clean_prob,corrupt_prob,clean_logit_diff,corrupt_logit_diff,answer_id,answer"
enum { COLUMNS = 26 };

/* A table: cells as text. */
typedef struct sheet {
  char *text, *names[COLUMNS], *(*rows)[COLUMNS];
  size_t count;
} sheet;

/* One line into cells, in place; the next line. */
static inline char *cut(char *s, char *cells[COLUMNS]) {
  for (int i = 0; i < COLUMNS; i++) {
    char *to = cells[i] = s;
    bool quoted = false;
    for (; *s && (quoted || (*s != ',' && *s != '\n')); s++) {
      if (*s == '"' && quoted && s[1] == '"')
        *to++ = *s++;
      else if (*s == '"')
        quoted = !quoted;
      else
        *to++ = *s;
    }
    assert_int_equal(*s, i + 1 < COLUMNS ? ',' : '\n');
    s++;
    *to = '\0';
  }
  return s;
}

static inline void sheet_parse(sheet *t, const char *csv) {
  *t = (sheet){.text = strdup(csv)};
  assert_memory_equal(csv, HEADER "\n", sizeof HEADER);
  char *s = cut(t->text, t->names);
  size_t lines = 0;
  for (const char *p = s; (p = strchr(p, '\n')); p++) lines++;
  t->rows = calloc(lines + 1, sizeof *t->rows);
  while (*s) s = cut(s, t->rows[t->count++]);
}

static inline void sheet_free(sheet *t) { free(t->text), free(t->rows); }

static inline const char *text_at(const sheet *t, size_t row, const char *column) {
  for (int i = 0; i < COLUMNS; i++)
    if (strcmp(t->names[i], column) == 0) return t->rows[row][i];
  fail_msg("no column %s", column);
  return NULL;
}
static inline float number_at(const sheet *t, size_t row, const char *column) {
  char *end;
  const char *s = text_at(t, row, column);
  float v = strtof(s, &end);
  if (end == s || *end) fail_msg("row %zu: %s is \"%s\", not a number", row, column, s);
  return v;
}
static inline int whole_at(const sheet *t, size_t row, const char *column) { return (int)number_at(t, row, column); }

#endif
