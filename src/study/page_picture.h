/* Small pictures inside a page: a file, scaled down, as a data URI.
 *
 * Scaled with Pillow's Lanczos filter when the longer side exceeds the limit, and stored as WebP: lossless when that is
 * at most 3000 bytes, otherwise with losses. Ownership: *out is malloc'ed. Threads: any.
 */
#ifndef FOVEA_STUDY_PAGE_PICTURE_H
#define FOVEA_STUDY_PAGE_PICTURE_H

#include "fovea/status.h"

/* Errors: those of fv_image_load; FV_ENOMEM. */
fv_status fv_page_picture(const char *path, int64_t side, char **out, fv_error *err);

/* Base64 of n bytes, malloc'ed; NULL when memory is short. */
char *fv_page_base64(const void *bytes, size_t n);

#endif
