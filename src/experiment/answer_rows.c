#include "experiment/answer_rows.h"

#include <string.h>

#include "model/loaded.h"

/* The token behind a run of pieces makes it the beginning of a longer word. */
static bool continues_word(const fv_model *m, const fv_text *t, int64_t row) {
  const char *piece = row < t->count ? fv_tokenizer_piece(m->tokenizer, t->ids[row]) : NULL;
  return piece && strncmp(piece, "##", 2) == 0;
}

fv_status fv_answer_rows(const fv_input *input, const char *answer, int32_t id, int64_t *first, int64_t *last,
                         fv_error *err) {
  const fv_model *m = input->model;
  *first = *last = -1;
  if (m->question_space < 0 || !m->tokenizer || m->task.labels || fv_plan_answers_texts(m->plan)) return FV_OK;
  const fv_text *t = &input->texts[m->question_space];
  fv_encoding e = {0};
  const int32_t *ids = &id;
  int64_t n = 1;
  if (answer && strncmp(answer, "id:", 3) != 0) {
    fv_status st = fv_tokenizer_encode(m->tokenizer, answer, strlen(answer), false, &e, err);
    if (st) return st;
    ids = e.ids, n = (int64_t)e.count;
  }
  for (int64_t i = 0; n > 0 && i + n <= t->count && *last < 0; i++)
    if (memcmp(t->ids + i, ids, (size_t)n * sizeof *ids) == 0 && !continues_word(m, t, i + n))
      *first = i, *last = i + n - 1;
  fv_encoding_release(&e);
  return FV_OK;
}
