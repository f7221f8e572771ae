/* Every decoder, and what a program does with the picture afterwards. */
#include "fuzz.h"
#include "image/image.h"

/* Larger pictures are decoded but not worked on, to keep the target fast. */
enum { WORK_PIXELS = 1 << 14 };

static void resize(const fv_image *im, int filter) {
  static const int64_t sizes[][2] = {{1, 1}, {7, 5}, {64, 3}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    fv_image out;
    fv_error err = {0};
    fv_status st = fv_image_resize(im, sizes[i][0], sizes[i][1], (fv_filter)filter, FV_RESIZE_PILLOW13, &out, &err);
    fuzz_check_error(st, &err);
    FUZZ_PROMISE(!st && out.width == sizes[i][0] && out.height == sizes[i][1]);
    fv_image_release(&out);
  }
}

/* The low bits of the last byte choose the options, so that mutations reach them too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fv_image im;
  fv_error err = {0};
  int option = size ? data[size - 1] : 0;
  fv_status st = fv_image_decode(data, size, "input", option & 1, &im, &err);
  fuzz_check_error(st, &err);
  FUZZ_PROMISE(!st == (im.rgb != NULL));
  if (st) return 0;
  FUZZ_PROMISE(im.width > 0 && im.height > 0 && im.width <= FV_IMAGE_MAX_PIXELS / im.height);
  if (im.width * im.height <= WORK_PIXELS) {
    resize(&im, (option >> 1) % 6);
    FUZZ_PROMISE(fv_image_blur(&im, (double)(option >> 1) / 8, &err) == FV_OK);
    fv_image_gray(&im);
  }
  fv_image_release(&im);
  return 0;
}
