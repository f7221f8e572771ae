/* Writing JSON as it comes, with the numbers that the long table has.
 *
 * Everything goes straight to a stream: no tree, no memory. The caller begins and ends objects and lists in pairs and
 * gives a key inside an object, NULL inside a list. Numbers have the fewest digits that read back to the same float32;
 * what is no number is null. Bytes that are not UTF-8 become U+FFFD. A line feed ends the outermost value.
 *
 * A value inside an HTML page must not hold what HTML takes for markup: with `page`, `<`, `>`, `&`, U+2028 and U+2029
 * are escapes too, so that no text, whatever it holds, ends the script element around it. There infinities are 1e999
 * and -1e999, which a browser reads as such, and values stand on lines of their own, but for numbers in lists.
 *
 * Ownership: the stream is the caller's, who looks for its errors. Threads: one owner.
 */
#ifndef FOVEA_JSON_OUT_H
#define FOVEA_JSON_OUT_H

#include <stdio.h>

#include "fovea/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Set `stream`, and `page` where it applies; the rest begins as zeros. */
typedef struct fv_json_out {
  FILE *stream;
  bool page;
  bool begun; /* something stands before on this level: a comma is due */
  int64_t depth;
} fv_json_out;

void fv_json_out_begin(fv_json_out *j, const char *key, char bracket); /* '{' or '[' */
void fv_json_out_end(fv_json_out *j, char bracket);
void fv_json_out_text(fv_json_out *j, const char *key, const char *value); /* NULL: null */
void fv_json_out_int(fv_json_out *j, const char *key, int64_t value);
void fv_json_out_count(fv_json_out *j, const char *key, int64_t value); /* negative: null */
void fv_json_out_num(fv_json_out *j, const char *key, double value);    /* rounded to float32 */
void fv_json_out_bool(fv_json_out *j, const char *key, bool value);

#ifdef __cplusplus
}
#endif
#endif
