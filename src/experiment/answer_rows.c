#include "experiment/answer_rows.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>

#include "base/bytes.h"
#include "model/loaded.h"

/* A character takes four tokens at most, one a byte. */
enum { MOST_TOKENS = 4 };

/* Whether what stands behind the pieces up to row `end` makes them the beginning of a longer word, as "##ish" does
 * behind "red": in the text of both there is a letter or digit right behind. */
static fv_status continues_word(const fv_model *m, const fv_text *t, int64_t first, int64_t end, bool *yes,
                                fv_error *err) {
  char *run = NULL, *longer = NULL;
  size_t n = 0, more = 0;
  int64_t last = end + MOST_TOKENS < t->count ? end + MOST_TOKENS : t->count;
  *yes = false;
  /* A row of the picture has no piece. */
  while (last > end && !fv_tokenizer_piece(m->tokenizer, t->ids[last - 1])) last--;
  fv_status st = fv_tokenizer_decode(m->tokenizer, t->ids + first, (size_t)(end - first), false, &run, &n, err);
  if (!st) st = fv_tokenizer_decode(m->tokenizer, t->ids + first, (size_t)(last - first), false, &longer, &more, err);
  if (!st && more > n && memcmp(run, longer, n) == 0) {
    uint32_t code;
    fv_utf8_scan(longer + n, more - n, &code);
    *yes = u_isalnum((UChar32)code);
  }
  free(run), free(longer);
  return st;
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
  fv_status st = FV_OK;
  if (answer && strncmp(answer, "id:", 3) != 0) {
    st = fv_tokenizer_encode(m->tokenizer, answer, strlen(answer), false, &e, err);
    if (st) return st;
    ids = e.ids, n = (int64_t)e.count;
  }
  for (int64_t i = 0; n > 0 && i + n <= t->count && *last < 0 && !st; i++) {
    bool longer;
    if (memcmp(t->ids + i, ids, (size_t)n * sizeof *ids) != 0) continue;
    st = continues_word(m, t, i, i + n, &longer, err);
    if (!st && !longer) *first = i, *last = i + n - 1;
  }
  fv_encoding_release(&e);
  return st;
}
