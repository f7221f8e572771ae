/* JPEG by libjpeg-turbo with its default settings (accurate integer DCT, smooth chroma upsampling), as Pillow uses it.
 *
 * libjpeg reports errors by longjmp, so everything that must survive one lives in the job, reached by pointer; the
 * functions that call setjmp keep no local that changes.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "base/bytes.h"
#include "image/image_codec.h"

/* A hostile progressive file can have thousands of scans that each cost a full pass; real ones have about ten. */
#define MAX_SCANS 500

typedef struct jpeg_job {
  struct jpeg_error_mgr errors; /* first: libjpeg's callbacks get its address */
  struct jpeg_progress_mgr progress;
  struct jpeg_decompress_struct cinfo;
  jmp_buf jump;
  const char *where;
  fv_error *err;
  fv_status status;
  fv_image *out;
  uint8_t *row;  /* one CMYK row */
  uint8_t *exif; /* all EXIF segments joined */
  int *orientation;
} jpeg_job;

static _Noreturn void give_up(jpeg_job *job, fv_status status, const char *what) {
  char text[JMSG_LENGTH_MAX] = "";
  job->errors.format_message((j_common_ptr)&job->cinfo, text);
  job->status = fv_fail(job->err, status, "%s: %s: %s", job->where, what, text);
  longjmp(job->jump, 1);
}

static void on_error(j_common_ptr cinfo) {
  jpeg_job *job = (jpeg_job *)cinfo->err;
  if (job->errors.msg_code == JERR_OUT_OF_MEMORY) give_up(job, FV_ENOMEM, "no memory to decode the JPEG picture");
  give_up(job, FV_EFORMAT, "cannot be decoded as JPEG");
}

/* level -1 is a warning: libjpeg goes on with invented data. Only what costs no picture data is let through. */
static void on_message(j_common_ptr cinfo, int level) {
  jpeg_job *job = (jpeg_job *)cinfo->err;
  if (level >= 0) return;
  switch (job->errors.msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* stray bytes before a marker, common in camera files */
    case JWRN_NOT_SEQUENTIAL:  /* odd scan parameters that mean nothing in a sequential file */
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_TOO_MUCH_DATA: return;
    case JWRN_JPEG_EOF: give_up(job, FV_EFORMAT, "the JPEG picture is truncated");
    default: give_up(job, FV_EFORMAT, "the JPEG picture is damaged or cut short");
  }
}

static void on_output(j_common_ptr cinfo) { (void)cinfo; }

static void on_progress(j_common_ptr cinfo) {
  jpeg_job *job = (jpeg_job *)cinfo->err;
  if (job->cinfo.input_scan_number <= MAX_SCANS) return;
  job->status =
      fv_fail(job->err, FV_EFORMAT, "%s: the JPEG picture has more than %d scans; refused", job->where, MAX_SCANS);
  longjmp(job->jump, 1);
}

static bool segment_starts(jpeg_saved_marker_ptr m, const char *with, size_t k) {
  return m->data_length >= k && memcmp(m->data, with, k) == 0;
}

/* EXIF may be spread over several APP1 segments; XMP is asked only when EXIF has no orientation. */
static void find_orientation(jpeg_job *job) {
  static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/"; /* both with their final NUL */
  size_t total = 0;
  int found = 0;
  for (jpeg_saved_marker_ptr m = job->cinfo.marker_list; m; m = m->next) total += m->data_length;
  job->exif = fv_alloc(total, 1);
  if (!job->exif) {
    job->status = fv_fail(job->err, FV_ENOMEM, "%s: no memory for its EXIF data", job->where);
    longjmp(job->jump, 1);
  }
  total = 0;
  for (jpeg_saved_marker_ptr m = job->cinfo.marker_list; m; m = m->next) {
    if (!segment_starts(m, exif, sizeof exif)) continue;
    memcpy(job->exif + total, m->data + sizeof exif, m->data_length - sizeof exif);
    total += m->data_length - sizeof exif;
  }
  found = fv_exif_orientation(job->exif, total);
  for (jpeg_saved_marker_ptr m = job->cinfo.marker_list; m && !found; m = m->next)
    if (segment_starts(m, xmp, sizeof xmp)) found = fv_xmp_orientation((const char *)m->data, m->data_length);
  *job->orientation = found;
}

/* Pillow reads every CMYK JPEG as inverted (Adobe's way), whatever its markers say, so a stored byte is 255 - ink:
 * out = k - round(ink k / 255) with k the stored black byte. */
static void cmyk_row(const uint8_t *cmyk, uint8_t *rgb, int64_t width) {
  for (int64_t x = 0; x < width; x++, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; c++) {
      unsigned t = (255u - cmyk[c]) * cmyk[3] + 128;
      rgb[c] = (uint8_t)(cmyk[3] - (((t >> 8) + t) >> 8));
    }
}

static void read_rows(jpeg_job *job) {
  struct jpeg_decompress_struct *c = &job->cinfo;
  bool cmyk = c->out_color_space == JCS_CMYK;
  size_t stride = (size_t)job->out->width * 3;
  if (cmyk) {
    job->row = fv_alloc((size_t)job->out->width, 4);
    if (!job->row) {
      job->status = fv_fail(job->err, FV_ENOMEM, "%s: no memory for a row", job->where);
      longjmp(job->jump, 1);
    }
  }
  while (c->output_scanline < c->output_height) {
    uint8_t *target = job->out->rgb + c->output_scanline * stride;
    JSAMPROW row = cmyk ? job->row : target;
    if (jpeg_read_scanlines(c, &row, 1) != 1) return;
    if (cmyk) cmyk_row(job->row, target, job->out->width);
  }
}

static fv_status decode(jpeg_job *job, const uint8_t *data, size_t n) {
  struct jpeg_decompress_struct *c = &job->cinfo;
  c->err = jpeg_std_error(&job->errors);
  job->errors.error_exit = on_error;
  job->errors.emit_message = on_message;
  job->errors.output_message = on_output;
  if (setjmp(job->jump)) return job->status;
  jpeg_create_decompress(c);
  job->progress.progress_monitor = on_progress;
  c->progress = &job->progress;
  jpeg_mem_src(c, data, (unsigned long)n);
  if (job->orientation) jpeg_save_markers(c, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(c, TRUE);
  if (c->num_components != 1 && c->num_components != 3 && c->num_components != 4)
    return fv_fail(job->err, FV_EUNSUPPORTED, "%s: the JPEG picture has %d components, expected 1, 3 or 4", job->where,
                   c->num_components);
  c->out_color_space = c->num_components == 4 ? JCS_CMYK : JCS_RGB;
  fv_status st = fv_image_new(c->image_width, c->image_height, job->where, job->out, job->err);
  if (st) return st;
  jpeg_start_decompress(c);
  read_rows(job);
  if (job->orientation) find_orientation(job);
  jpeg_finish_decompress(c); /* reads on to the end-of-image marker, so a file without one is found out */
  return FV_OK;
}

fv_status fv_image_jpeg(const uint8_t *data, size_t n, const char *where, fv_image *out, int *orientation,
                        fv_error *err) {
  jpeg_job *job = fv_alloc(1, sizeof *job);
  if (!job) return fv_fail(err, FV_ENOMEM, "%s: no memory", where);
  job->where = where;
  job->err = err;
  job->out = out;
  job->orientation = orientation;
  fv_status st = decode(job, data, n);
  jpeg_destroy_decompress(&job->cinfo);
  free(job->row);
  free(job->exif);
  free(job);
  if (st) fv_image_release(out);
  return st;
}
