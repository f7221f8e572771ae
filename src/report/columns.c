#include "report/columns.h"

#include <math.h>
#include <string.h>

#define TEXT(field) \
  { #field, FV_COLUMN_TEXT, offsetof(fv_row, field) }
#define INT(field) \
  { #field, FV_COLUMN_INT, offsetof(fv_row, field) }
#define NUMBER(field) \
  { #field, FV_COLUMN_NUMBER, offsetof(fv_row, field) }

const fv_column fv_columns[FV_COLUMNS] = {
    TEXT(sample),
    INT(draw),
    TEXT(corrupt),
    TEXT(stack),
    TEXT(site),
    INT(layer),
    INT(window),
    INT(row),
    TEXT(piece),
    INT(head),
    TEXT(from),
    TEXT(to),
    TEXT(op),
    NUMBER(prob),
    NUMBER(logit),
    NUMBER(logit_diff),
    NUMBER(p_diff),
    NUMBER(effect),
    NUMBER(kl),
    INT(rank),
    NUMBER(clean_prob),
    NUMBER(corrupt_prob),
    NUMBER(clean_logit_diff),
    NUMBER(corrupt_logit_diff),
    INT(answer_id),
    TEXT(answer),
    TEXT(sweep),
};

const fv_column *fv_column_find(const char *name) {
  for (size_t i = 0; i < FV_COLUMNS; i++)
    if (strcmp(fv_columns[i].name, name) == 0) return &fv_columns[i];
  return NULL;
}

static const void *at(const fv_row *row, const fv_column *column) { return (const char *)row + column->offset; }

const char *fv_cell_text(const fv_row *row, const fv_column *column) {
  const char *s;
  memcpy(&s, at(row, column), sizeof s);
  return s;
}

int64_t fv_cell_int(const fv_row *row, const fv_column *column) {
  int64_t i;
  memcpy(&i, at(row, column), sizeof i);
  return i;
}

float fv_cell_number(const fv_row *row, const fv_column *column) {
  float f;
  memcpy(&f, at(row, column), sizeof f);
  return f;
}

bool fv_cell_empty(const fv_row *row, const fv_column *column) {
  switch (column->type) {
    case FV_COLUMN_TEXT: return !fv_cell_text(row, column);
    case FV_COLUMN_INT: return fv_cell_int(row, column) < 0;
    case FV_COLUMN_NUMBER: return isnan(fv_cell_number(row, column));
  }
  return true;
}

void fv_row_defaults(fv_row *row) {
  *row = (fv_row){.draw = -1,
                  .layer = -1,
                  .window = -1,
                  .row = -1,
                  .head = -1,
                  .prob = NAN,
                  .logit = NAN,
                  .logit_diff = NAN,
                  .p_diff = NAN,
                  .effect = NAN,
                  .kl = NAN,
                  .rank = -1,
                  .clean_prob = NAN,
                  .corrupt_prob = NAN,
                  .clean_logit_diff = NAN,
                  .corrupt_logit_diff = NAN,
                  .answer_id = -1,
                  .incorrect_id = -1};
}
