/* Python literals as data sets have them in CSV cells: lists, tuples, dicts, strings, numbers, True, False, None.
 *
 * The result is the JSON value of the same meaning (a tuple is an array; keys are strings). Nothing is evaluated;
 * names, calls, operators, byte strings and nesting deeper than FV_LITERAL_DEPTH are refused. Strings may have either
 * quote and Python's escapes except \N; adjacent strings are not joined.
 * Checked by: tests/study/test_data_vectors.c
 */
#ifndef FOVEA_STUDY_DATA_LITERAL_H
#define FOVEA_STUDY_DATA_LITERAL_H

#include <jansson.h>

#include "fovea/status.h"

enum { FV_LITERAL_DEPTH = 16 };

/* text: UTF-8. The caller releases *out with json_decref. `where` begins the message, which names the character. */
fv_status fv_literal_parse(const char *text, const char *where, json_t **out, fv_error *err);

#endif
