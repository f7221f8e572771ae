/* The text of a progress line: share done, amount, rate and time left. A pure function; who draws it, and how often,
 * is the caller's affair.
 */
#ifndef FOVEA_PROGRESS_H
#define FOVEA_PROGRESS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "42% 1234/2938 runs, 56.2 runs/s, 31 s left", as snprintf does: at most n bytes with the NUL, returns the length of
 * the whole text. total <= 0 means unknown: "1234 runs, 56.2 runs/s". Nothing done yet, or no time gone by: without
 * rate and time left. done >= total ends with the time taken instead of the time left. NaN counts as 0.
 */
size_t fv_progress_format(char *out, size_t n, double done, double total, double seconds, const char *unit);

#ifdef __cplusplus
}
#endif
#endif
