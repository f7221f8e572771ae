/* A picture in memory, and getting one from a file.
 *
 * An fv_image is [height, width, 3] bytes, red green blue, rows without padding. fv_image_load and fv_image_decode read
 * JPEG, PNG, WebP and PNM; the pixels are those of Pillow's Image.open(F).convert("RGB"), byte for byte: alpha and tRNS
 * are dropped without compositing, 16-bit gray is clipped at 255, 16-bit colour keeps its high byte, CMYK is inverted,
 * profiles and gamma change nothing, an animation gives its first frame (an APNG its default image). EXIF orientation
 * is applied only on request.
 *
 * A file that ends early or whose compressed data is damaged is an error even where the codec would only warn. So is a
 * picture of more than FV_IMAGE_MAX_PIXELS pixels (Pillow's limit) or with a side over FV_IMAGE_MAX_SIDE; that is
 * decided from the header, before memory is taken.
 *
 * Ownership: the caller owns the fv_image; fv_image_release frees the pixels and is harmless on {0} and when repeated.
 * A function that fails leaves its output {0}. Threads: any number of threads, one picture each; fv_image_resize uses
 * OpenMP threads for large pictures, the result does not depend on them. Cost: decoding is the codec's, one pass and
 * one picture of memory (WebP: about four).
 */
#ifndef FOVEA_IMAGE_IMAGE_H
#define FOVEA_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fovea/status.h"

/* Pillow refuses more than twice its MAX_IMAGE_PIXELS of 89478485. */
#define FV_IMAGE_MAX_PIXELS ((int64_t)2 * 89478485)
/* libpng's limit on a side; JPEG (65500) and WebP (16383) stay far below. */
#define FV_IMAGE_MAX_SIDE ((int64_t)1000000)

typedef struct fv_image {
  int64_t width, height;
  uint8_t *rgb; /* [height, width, 3] */
} fv_image;

/* A picture with undefined pixels. `where` begins the message when the size is refused. Errors: FV_ESHAPE, FV_ENOMEM.
 */
fv_status fv_image_new(int64_t width, int64_t height, const char *where, fv_image *out, fv_error *err);
void fv_image_release(fv_image *im);
fv_status fv_image_copy(const fv_image *in, fv_image *out, fv_error *err);

/* apply_exif turns and mirrors the picture as its EXIF orientation (or, failing that, its XMP one) says, like Pillow's
 * ImageOps.exif_transpose. Errors: FV_ENOTFOUND, FV_EIO (also for FIFOs and devices), FV_EFORMAT, FV_ESHAPE (too
 * large), FV_ENOMEM. */
fv_status fv_image_load(const char *path, bool apply_exif, fv_image *out, fv_error *err);
/* The same from memory; `where` names the source in messages. */
fv_status fv_image_decode(const uint8_t *data, size_t n, const char *where, bool apply_exif, fv_image *out,
                          fv_error *err);

/* Applies an EXIF orientation, 1 to 8; any other value changes nothing. */
fv_status fv_image_orient(fv_image *im, int orientation, fv_error *err);

/* Every pixel becomes its luma, L = (19595 R + 38470 G + 7471 B + 2^15) >> 16, as Pillow's convert("L") gives. */
void fv_image_gray(fv_image *im);

/* Pillow's ImageFilter.GaussianBlur(sigma): three box blurs of one fractional radius per axis, bytes in between.
 * 0 <= sigma <= 100000 (pixels); 0 changes nothing. Errors: FV_EUSAGE, FV_ENOMEM.
 * Source: Gwosdek et al. 2011, eq. 7, 11, 14. Checked by: tests/image/test_image_resize.c */
fv_status fv_image_blur(fv_image *im, double sigma, fv_error *err);

/* The numbers are Pillow's, as preprocessor_config.json has them under "resample". */
typedef enum fv_filter {
  FV_FILTER_NEAREST = 0,
  FV_FILTER_LANCZOS = 1,
  FV_FILTER_BILINEAR = 2,
  FV_FILTER_BICUBIC = 3,
  FV_FILTER_BOX = 4,
  FV_FILTER_HAMMING = 5
} fv_filter;

/* Which axis is resampled first. The picture between the two passes is rounded to bytes, so the order shows. */
typedef enum fv_resize_order {
  FV_RESIZE_PILLOW13,   /* vertical first iff the height shrinks by more than twice what the width shrinks by */
  FV_RESIZE_PILLOW12_2, /* 12.2 and 12.3: vertical first iff the height shrinks and is over 100 times the width */
  FV_RESIZE_PILLOW12    /* up to 12.1: always horizontal first */
} fv_resize_order;

/* Pillow's Image.resize((width, height), filter), byte for byte; shrinking always uses the widened (antialiasing)
 * filter. `out` must not be `in`. Errors: FV_EUSAGE (filter), FV_ESHAPE, FV_ENOMEM.
 * Cost: per pass, output pixels x 3 x taps multiply-adds, taps about 2 S max(1, in / out), S the filter's support.
 * Checked by: tests/image/test_image_resize.c */
fv_status fv_image_resize(const fv_image *in, int64_t width, int64_t height, fv_filter filter, fv_resize_order order,
                          fv_image *out, fv_error *err);

#endif
