/* A page in a browser without a window: what its script makes of it, and what it complains about.
 *
 * Needs the program `chromium`; where it is missing the caller skips its test.
 */
#ifndef FOVEA_TESTS_BROWSER_H
#define FOVEA_TESTS_BROWSER_H

#include <stdbool.h>

/* False when there is no browser, with the reason on standard output. */
bool browser_present(void);
/* Opens file://PATH#FRAGMENT and returns the document as it is then, as HTML; *console is what the browser's console
 * said, one message per line. Release both with free(). */
char *browser_open(const char *path, const char *fragment, char **console);

#endif
