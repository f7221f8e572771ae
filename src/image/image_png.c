/* PNG by libpng, all ancillary chunks ignored: gamma, profiles and transparency change nothing in Pillow's RGB.
 *
 * libpng reports errors by longjmp, so everything that must survive one lives in the job, reached by pointer; the
 * function that calls setjmp keeps no local that changes. Rows are read into the output, where an index, gray or 16-bit
 * gray row is never longer than an RGB row, and widened there from the right.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/bytes.h"
#include "image/image_codec.h"

typedef struct png_job {
  jmp_buf jump;
  fv_cursor data;
  png_structp png;
  png_infop info;
  const char *where;
  fv_error *err;
  fv_status status;
  fv_image *out;
  uint8_t *exif;
  int *orientation;
} png_job;

static void on_error(png_structp png, png_const_charp text) {
  png_job *job = png_get_error_ptr(png);
  if (!job->status) job->status = fv_fail(job->err, FV_EFORMAT, "%s: cannot be decoded as PNG: %s", job->where, text);
  longjmp(job->jump, 1);
}

/* Warnings concern ancillary chunks only; damaged picture data is always an error in libpng. */
static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void on_read(png_structp png, png_bytep to, size_t n) {
  png_job *job = png_get_io_ptr(png);
  const uint8_t *from;
  if (!fv_cursor_take(&job->data, n, &from)) {
    job->status = fv_fail(job->err, FV_EFORMAT, "%s: the PNG picture is truncated: the file ends before its IEND chunk",
                          job->where);
    png_error(png, "truncated");
  }
  memcpy(to, from, n);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* ImageMagick's way to keep EXIF in a text chunk: "\nexif\n    LENGTH\nHEX...". */
static int raw_profile_orientation(png_job *job, const char *text) {
  for (int line = 0; line < 3; line++) {
    text = strchr(text, '\n');
    if (!text) return 0;
    text++;
  }
  job->exif = fv_alloc(strlen(text) / 2 + 1, 1);
  if (!job->exif) return 0;
  size_t n = 0;
  for (int high = -1; *text; text++) {
    int v = hex_digit(*text);
    if (v < 0) continue;
    if (high < 0) {
      high = v;
    } else {
      job->exif[n++] = (uint8_t)(high << 4 | v);
      high = -1;
    }
  }
  return fv_exif_orientation(job->exif, n);
}

static void find_orientation(png_job *job) {
  png_bytep exif = NULL;
  png_uint_32 n = 0;
  png_textp text = NULL;
  int count = 0, found = 0;
  if (png_get_eXIf_1(job->png, job->info, &n, &exif) && exif) found = fv_exif_orientation(exif, n);
  png_get_text(job->png, job->info, &text, &count);
  for (int i = 0; i < count && !exif && !found; i++)
    if (strcmp(text[i].key, "Raw profile type exif") == 0) {
      found = raw_profile_orientation(job, text[i].text);
      break;
    }
  for (int i = 0; i < count && !found; i++)
    if (strcmp(text[i].key, "XML:com.adobe.xmp") == 0) found = fv_xmp_orientation(text[i].text, strlen(text[i].text));
  *job->orientation = found;
}

static void ignore_chunks(png_job *job) {
  static const png_byte metadata[] = "eXIf\0tEXt\0zTXt\0iTXt";
  png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  if (job->orientation) png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_AS_DEFAULT, metadata, 4);
}

/* An index beyond the palette is black, as Pillow has it. */
static void widen_palette(png_job *job, size_t pixels) {
  uint8_t table[256][3] = {0}, *p = job->out->rgb;
  png_colorp palette = NULL;
  int entries = 0;
  png_get_PLTE(job->png, job->info, &palette, &entries);
  for (int i = 0; i < entries && i < 256; i++) {
    table[i][0] = palette[i].red;
    table[i][1] = palette[i].green;
    table[i][2] = palette[i].blue;
  }
  for (size_t i = pixels; i-- > 0;) memmove(p + 3 * i, table[p[i]], 3);
}

/* Gray of one or two bytes (big-endian) becomes three equal bytes; 16-bit gray is clipped at 255, not scaled. */
static void widen_gray(uint8_t *p, size_t pixels, int bytes) {
  for (size_t i = pixels; i-- > 0;) {
    uint8_t v = bytes == 1 ? p[i] : p[2 * i] ? 255 : p[2 * i + 1];
    memset(p + 3 * i, v, 3);
  }
}

static void read_picture(png_job *job) {
  png_structp png = job->png;
  size_t width = (size_t)job->out->width, height = (size_t)job->out->height;
  int color = png_get_color_type(png, job->info), depth = png_get_bit_depth(png, job->info);
  bool wide_gray = color == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_packing(png);
  if (color & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png);
  if (depth == 16 && !wide_gray) png_set_strip_16(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, job->info);
  int bytes = color == PNG_COLOR_TYPE_PALETTE ? 1 : color & PNG_COLOR_MASK_COLOR ? 3 : wide_gray ? 2 : 1;
  if (png_get_rowbytes(png, job->info) != width * (size_t)bytes) png_error(png, "unexpected row size");
  for (int pass = 0; pass < passes; pass++)
    for (size_t y = 0; y < height; y++) png_read_row(png, job->out->rgb + y * width * (size_t)bytes, NULL);
  if (color == PNG_COLOR_TYPE_PALETTE)
    widen_palette(job, width * height);
  else if (bytes < 3)
    widen_gray(job->out->rgb, width * height, bytes);
}

static fv_status decode(png_job *job) {
  if (setjmp(job->jump)) return job->status;
  job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
  job->info = job->png ? png_create_info_struct(job->png) : NULL;
  if (!job->info) return fv_fail(job->err, FV_ENOMEM, "%s: no memory", job->where);
  png_set_read_fn(job->png, job, on_read);
  /* The side limit is fv_image_new's; libpng need only hold what its own arithmetic can. */
  png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_crc_action(job->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  ignore_chunks(job);
  png_read_info(job->png, job->info);
  fv_status st = fv_image_new(png_get_image_width(job->png, job->info), png_get_image_height(job->png, job->info),
                              job->where, job->out, job->err);
  if (st) return st;
  read_picture(job);
  png_read_end(job->png, job->info);
  if (job->orientation) find_orientation(job);
  return FV_OK;
}

fv_status fv_image_png(const uint8_t *data, size_t n, const char *where, fv_image *out, int *orientation,
                       fv_error *err) {
  png_job *job = fv_alloc(1, sizeof *job);
  if (!job) return fv_fail(err, FV_ENOMEM, "%s: no memory", where);
  job->where = where;
  job->err = err;
  job->out = out;
  job->orientation = orientation;
  job->data = (fv_cursor){data, data + n};
  fv_status st = decode(job);
  png_destroy_read_struct(&job->png, &job->info, NULL);
  free(job->exif);
  free(job);
  if (st) fv_image_release(out);
  return st;
}
