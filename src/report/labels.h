/* Text for pictures: safe labels, short numbers, line breaking, the width of text on a terminal.
 *
 * All functions return fresh memory or fill the caller's; NULL means that memory is short.
 */
#ifndef FOVEA_REPORT_LABELS_H
#define FOVEA_REPORT_LABELS_H

#include "fovea/status.h"

/* A copy of valid UTF-8 in which control characters, and what XML forbids, are written as escapes: \n, \t, \x1b,
 * \ufffe. Longer than `longest` code points: cut, with an ellipsis at the end. NULL is "". */
char *fv_label_clean(const char *text, size_t longest);

/* The width of a text in the caller's unit. */
typedef double (*fv_label_width)(void *user, const char *text);

/* The text with line feeds put in so that no line is wider than `limit`: at spaces, and inside a word only when it
 * alone is too wide. */
char *fv_label_wrap(const char *text, double limit, fv_label_width width, void *user);
/* The text, or its beginning and an ellipsis such that it is no wider than `limit`. */
char *fv_label_fit(const char *text, double limit, fv_label_width width, void *user);

/* Columns that the text takes on a terminal: wide (East Asian, emoji) 2, combining 0, others 1. */
double fv_label_columns(void *unused, const char *text);

#define FV_LABEL_NUMBER 40
/* v rounded to so many significant digits, without trailing zeros: 0.123, 12, 1.5e-7. */
void fv_label_number(char out[FV_LABEL_NUMBER], double v, int digits);

/* Values that stand side by side in lo..hi have the same decimals: two digits of the larger end, and as many more as
 * the span needs, at most 5; -1: scientific. Zero is "0", so that "0.00" is a small number. */
int fv_label_decimals(double lo, double hi);
void fv_label_value(char out[FV_LABEL_NUMBER], double v, int decimals);

/* Tick positions first, first + step, ... (count of them, at most `most` >= 2) at round numbers in lo..hi. */
typedef struct fv_ticks {
  double first, step;
  int count, decimals; /* decimals that tell the ticks apart; -1 = scientific */
} fv_ticks;

fv_ticks fv_ticks_choose(double lo, double hi, int most);
void fv_ticks_label(char out[FV_LABEL_NUMBER], const fv_ticks *ticks, int i);
double fv_ticks_at(const fv_ticks *ticks, int i);

#endif
