/* From a picture to the pixel values that a model reads, as preprocessor_config.json says.
 *
 *   resize (bytes) -> centre crop (zeros around a picture that is smaller) -> x = (float)(byte * factor)
 *   -> y = (x - (float)mean) / (float)std, channel by channel
 *
 * each step only if the configuration has it on; the result is [3, height, width] float32, bit for bit that of the
 * Pillow-based processors of Hugging Face transformers (BlipImageProcessorPil, CLIPImageProcessorPil, ...; the plain
 * names before 5.0), with the pictures of image.h (so alpha is dropped, never composited).
 *
 * fv_preprocess is a plain value without memory; once loaded it is read only and may be shared by threads. A program
 * may change its `order` (an older Pillow's resize) between loading and running.
 */
#ifndef FOVEA_IMAGE_PREPROCESS_H
#define FOVEA_IMAGE_PREPROCESS_H

#include "image/image.h"

/* Largest side that a configuration may ask for. */
#define FV_PREPROCESS_MAX_SIDE 16384

typedef struct fv_preprocess {
  bool resize, center_crop, rescale, normalize;
  bool shortest_edge;     /* the shorter side becomes size_h and the other follows; otherwise exactly size_w x size_h */
  int64_t size_h, size_w; /* with shortest_edge both hold the edge */
  int64_t crop_h, crop_w;
  fv_filter filter;
  double rescale_factor;
  double mean[3], std[3];
  fv_resize_order order; /* FV_RESIZE_PILLOW13 after loading */
} fv_preprocess;

/* Reads the image processor's settings of a checkpoint folder, from the place where transformers 5 looks first:
 * "image_processor" in processor_config.json, else preprocessor_config.json. image_processor_type (or the older
 * feature_extractor_type) must name BLIP, CLIP, LLaVA, ViT or DeiT, with or without Fast or Pil; when both are absent,
 * config.json's model_type decides. A key that is absent or null has that processor's default.
 * Errors: FV_ENOTFOUND, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED (another processor, or an option that is not here).
 * Checked by: tests/image/test_preprocess.c, test_preprocess_load.c */
fv_status fv_preprocess_load(const char *dir, fv_preprocess *out, fv_error *err);

/* The size of the result for a picture of in_w x in_h. */
void fv_preprocess_shape(const fv_preprocess *p, int64_t in_w, int64_t in_h, int64_t *out_w, int64_t *out_h);

/* chw        [3, out_h, out_w] f32, sizes from fv_preprocess_shape
 * processed  the resized and cropped bytes, a fresh picture; NULL = not wanted
 * Errors: FV_ESHAPE (the resized picture is over the limits of image.h), FV_ENOMEM. */
fv_status fv_preprocess_run(const fv_preprocess *p, const fv_image *in, float *chw, fv_image *processed, fv_error *err);

#endif
