/* Where an answer stands in the question: the run of its pieces among the rows, special rows counted. */
#ifndef FOVEA_EXPERIMENT_ANSWER_ROWS_H
#define FOVEA_EXPERIMENT_ANSWER_ROWS_H

#include "fovea/input.h"

/* The first run of the answer's ids in the stack that reads the question that is a word of its own (a letter or
 * digit right behind it makes it the beginning of another). answer: a text, or "id:N" or NULL, which stand for the one
 * id. -1, -1: there is none. */
fv_status fv_answer_rows(const fv_input *input, const char *answer, int32_t id, int64_t *first, int64_t *last,
                         fv_error *err);

#endif
