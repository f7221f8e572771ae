/* WebP by libwebp's animation decoder, which also reads still pictures; Pillow uses the same one. */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/bytes.h"
#include "image/image_codec.h"

/* The file's own statement of its length, checked first so that a cut file is called what it is. */
static fv_status check_length(const uint8_t *data, size_t n, const char *where, fv_error *err) {
  fv_cursor c = {data + 4, data + n};
  uint32_t riff;
  if (!fv_cursor_u32(&c, &riff) || riff > n - 8)
    return fv_fail(err, FV_EFORMAT,
                   "%s: the WebP picture is truncated: the file has %zu bytes, its header promises %llu", where, n,
                   8ull + riff);
  return FV_OK;
}

static int find_orientation(const WebPDemuxer *demux) {
  WebPChunkIterator it;
  int found = 0;
  if (WebPDemuxGetChunk(demux, "EXIF", 1, &it)) {
    found = fv_exif_orientation(it.chunk.bytes, it.chunk.size);
    WebPDemuxReleaseChunkIterator(&it);
  }
  if (!found && WebPDemuxGetChunk(demux, "XMP ", 1, &it)) {
    found = fv_xmp_orientation((const char *)it.chunk.bytes, it.chunk.size);
    WebPDemuxReleaseChunkIterator(&it);
  }
  return found;
}

static fv_status first_frame(WebPAnimDecoder *decoder, const char *where, fv_image *out, fv_error *err) {
  WebPAnimInfo info;
  uint8_t *rgba = NULL;
  int timestamp;
  if (!WebPAnimDecoderGetInfo(decoder, &info) || info.canvas_width != out->width || info.canvas_height != out->height)
    return fv_fail(err, FV_EFORMAT, "%s: cannot be decoded as WebP: its headers disagree about the size", where);
  if (!WebPAnimDecoderGetNext(decoder, &rgba, &timestamp) || !rgba)
    return fv_fail(err, FV_EFORMAT, "%s: cannot be decoded as WebP: the picture data is damaged or incomplete", where);
  for (int64_t i = 0; i < out->width * out->height; i++) memcpy(out->rgb + 3 * i, rgba + 4 * i, 3);
  return FV_OK;
}

fv_status fv_image_webp(const uint8_t *data, size_t n, const char *where, fv_image *out, int *orientation,
                        fv_error *err) {
  WebPBitstreamFeatures features;
  fv_status st = check_length(data, n, where, err);
  if (st) return st;
  if (WebPGetFeatures(data, n, &features) != VP8_STATUS_OK)
    return fv_fail(err, FV_EFORMAT, "%s: cannot be decoded as WebP: its header is damaged or incomplete", where);
  st = fv_image_new(features.width, features.height, where, out, err);
  if (st) return st;
  WebPData file = {data, n};
  WebPAnimDecoder *decoder = WebPAnimDecoderNew(&file, NULL);
  if (!decoder) {
    st = fv_fail(err, FV_EFORMAT, "%s: cannot be decoded as WebP: a chunk is damaged or incomplete", where);
  } else {
    st = first_frame(decoder, where, out, err);
    if (!st && orientation) *orientation = find_orientation(WebPAnimDecoderGetDemuxer(decoder));
    WebPAnimDecoderDelete(decoder);
  }
  if (st) fv_image_release(out);
  return st;
}
