/* Reading a vocab.txt: one piece per line, its id the line number from 0.
 *
 * As the tokenizers library does it: lines end with LF or CR LF, white space at the end of a line is not part of the
 * piece, an empty line is the empty piece, and of a repeated piece the last line counts (the earlier ids have none).
 */
#ifndef FOVEA_TEXT_VOCAB_TXT_H
#define FOVEA_TEXT_VOCAB_TXT_H

#include <jansson.h>

#include "fovea/status.h"

/* *out is an object {piece: id}; json_decref it. Errors: FV_EIO; FV_EFORMAT for an empty file, invalid UTF-8 or NUL. */
fv_status fv_vocab_txt_load(const char *path, json_t **out, fv_error *err);

#endif
