/* Fonts of cairo with substitutes for missing characters. Internal to the canvas; see canvas.h for the measures.
 *
 * A text is cut into runs of one face each: the main face, or the first substitute that has the character. Faces are
 * looked up once per fv_fonts. Threads: one owner.
 */
#ifndef FOVEA_REPORT_FONTS_H
#define FOVEA_REPORT_FONTS_H

#include <cairo.h>

#include "report/canvas.h"

bool fv_fonts_serif(const fv_fonts *fonts);
/* Draws one line from the current origin (0, 0) along x, in the current colour. */
void fv_fonts_show(fv_fonts *fonts, cairo_t *cr, fv_font font, const char *text);

#endif
