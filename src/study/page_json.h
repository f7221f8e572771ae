/* Writing JSON that may stand inside an HTML page.
 *
 * Everything that HTML could take for markup is written as an escape (`<`, `>`, `&`, U+2028, U+2029), so that no text,
 * whatever it holds, ends the script element around it. Bytes that are not UTF-8 become U+FFFD. Numbers are written
 * with the fewest digits that read back to the same float32; NaN is null, infinities are 1e999 and -1e999, which every
 * reader of JSON in a browser turns into infinities. Errors of the stream are found by its owner. Threads: one owner.
 */
#ifndef FOVEA_STUDY_PAGE_JSON_H
#define FOVEA_STUDY_PAGE_JSON_H

#include <stdio.h>

#include "fovea/status.h"

typedef struct fv_page_json {
  FILE *f;
  bool begun; /* something stands before on this level: a comma is due */
} fv_page_json;

/* `key` is NULL inside lists. */
void fv_page_json_begin(fv_page_json *j, const char *key, char bracket);
void fv_page_json_end(fv_page_json *j, char bracket);
void fv_page_json_text(fv_page_json *j, const char *key, const char *value); /* NULL: null */
void fv_page_json_int(fv_page_json *j, const char *key, int64_t value);
void fv_page_json_count(fv_page_json *j, const char *key, int64_t value); /* negative: null */
void fv_page_json_num(fv_page_json *j, const char *key, float value);
/* Three significant digits: for spreads, which say how far a number is to be trusted. */
void fv_page_json_rough(fv_page_json *j, const char *key, double value);
void fv_page_json_bool(fv_page_json *j, const char *key, bool value);

/* The same text as content of an HTML element or attribute. */
void fv_page_html_text(FILE *f, const char *text);

#endif
