/* The decoders behind fv_image_decode, one file each.
 *
 * A decoder gets the whole file in memory, fills `out` (left {0} on failure, with nothing leaked) and, when
 * `orientation` is not NULL, stores there the EXIF orientation 1 to 8, 0 when the file has none, or -1 when its EXIF
 * data is malformed. Messages begin with `where`. No decoder keeps state between calls, so threads may decode different
 * pictures at the same time. The codec libraries' own error text goes into the message; their warnings that mean lost
 * data are errors here.
 */
#ifndef FOVEA_IMAGE_IMAGE_CODEC_H
#define FOVEA_IMAGE_IMAGE_CODEC_H

#include "image/image.h"

typedef fv_status fv_image_decoder(const uint8_t *data, size_t n, const char *where, fv_image *out, int *orientation,
                                   fv_error *err);

fv_image_decoder fv_image_jpeg;
fv_image_decoder fv_image_png;
fv_image_decoder fv_image_webp;
fv_image_decoder fv_image_pnm;

/* The orientation in an EXIF block (a TIFF header and its first directory, with or without "Exif\0\0" in front): 1 when
 * the tag holds anything else than 1 to 8; 0 when there is no such tag; -1 when the header is malformed. */
int fv_exif_orientation(const uint8_t *data, size_t n);
/* The orientation in an XMP packet, tiff:Orientation="6" or <tiff:Orientation>6; 0 when there is none. */
int fv_xmp_orientation(const char *text, size_t n);

#endif
