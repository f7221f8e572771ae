/* Resize, blur and gray against Pillow, byte for byte. */
#include "image/image_vectors.h"

#include <math.h>
#include <omp.h>

static void equals_pillow(void **state) {
  (void)state;
  size_t n, at = 0;
  uint8_t *blob = load_bytes(IMAGE_DATA "resize.bin", &n);
  FILE *list = fopen(IMAGE_DATA "resize.txt", "r");
  int seed, kind, iw, ih, ow, oh, filter, order;
  assert_non_null(list);
  while (fscanf(list, "%d %d %d %d %d %d %d %d", &seed, &kind, &iw, &ih, &ow, &oh, &filter, &order) == 8) {
    char what[120];
    fv_image in = source_picture((uint32_t)seed, kind, iw, ih), out;
    fv_error err = {0};
    snprintf(what, sizeof what, "%d x %d to %d x %d, filter %d, order %d", iw, ih, ow, oh, filter, order);
    if (fv_image_resize(&in, ow, oh, (fv_filter)filter, (fv_resize_order)order, &out, &err)) fail_msg("%s", err.text);
    expect_pixels(what, &out, ow, oh, blob + at);
    at += (size_t)ow * (size_t)oh * 3;
    fv_image_release(&in);
    fv_image_release(&out);
  }
  assert_int_equal(at, n);
  assert_true(n > 0);
  fclose(list);
  free(blob);
}

/* The published vectors: byte n of a 5 x 4 picture is 37 n + 11. */
static void published_vectors(void **state) {
  (void)state;
  static const struct {
    int64_t w, h;
    fv_filter filter;
    const char *hex;
  } cases[] = {
      {3, 3, FV_FILTER_BICUBIC, "426793964e7ea9a0547ba48b5f90958e6295b3828aa1967972a677"},
      {3, 3, FV_FILTER_BILINEAR, "486d92925479a49d5c7ca18f6388908f6b90af878b96937f799e76"},
      {7, 6, FV_FILTER_BICUBIC,
       "02274c3e759aa37ea3f70b3078528a7bba67caff06173c605c8ab89293c482204566709e9f927cef851b375c8386acbc8ab6be0c40656"
       "19bc3b6719edf073b5478aaa2d05eaadc39355d828fb7ef7d93c22e305774a1cdc29262cb8038587da2b3dc9489b4841e538089bde1d7"
       "5080e0225d6d92b7c7f436a4c94243689c"},
      {7, 6, FV_FILTER_BILINEAR,
       "0b30554a6f949a769be90e33815d8288ad64c7ec1121466b6085aa8b8cb17f24497273989e8c7add82273d62877ca1ae83a8af1b40656"
       "a8fb4a87196ce1e435a7fa499be69a0c551385d8287acd17b8eb3413b60779cc1b6926ebd8650557a9fa4c99286ab8733587d8cb1d6cb"
       "5e83d240656a8fb4b9de4c9bc053486d92"}};
  fv_image in, out;
  assert_int_equal(fv_image_new(5, 4, "t", &in, NULL), FV_OK);
  for (int i = 0; i < 60; i++) in.rgb[i] = (uint8_t)(37 * i + 11);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(fv_image_resize(&in, cases[i].w, cases[i].h, cases[i].filter, FV_RESIZE_PILLOW13, &out, NULL), 0);
    for (int64_t k = 0; k < cases[i].w * cases[i].h * 3; k++) {
      unsigned v;
      assert_int_equal(sscanf(cases[i].hex + 2 * k, "%2x", &v), 1);
      assert_int_equal(out.rgb[k], v);
    }
    fv_image_release(&out);
  }
  fv_image_release(&in);
}

static void threads_change_nothing(void **state) {
  (void)state;
  fv_image in = source_picture(9, 0, 700, 900), one, many;
  int before = omp_get_max_threads();
  for (int filter = 1; filter <= 5; filter++) {
    omp_set_num_threads(1);
    assert_int_equal(fv_image_resize(&in, 384, 300, (fv_filter)filter, FV_RESIZE_PILLOW13, &one, NULL), FV_OK);
    omp_set_num_threads(5);
    assert_int_equal(fv_image_resize(&in, 384, 300, (fv_filter)filter, FV_RESIZE_PILLOW13, &many, NULL), FV_OK);
    expect_pixels("five threads", &many, 384, 300, one.rgb);
    fv_image_release(&one);
    fv_image_release(&many);
  }
  omp_set_num_threads(before);
  fv_image_release(&in);
}

static void wrong_requests(void **state) {
  (void)state;
  fv_image in = source_picture(1, 0, 4, 4), out;
  fv_error err;
  assert_int_equal(fv_image_resize(&in, 0, 4, FV_FILTER_BICUBIC, FV_RESIZE_PILLOW13, &out, &err), FV_ESHAPE);
  assert_null(out.rgb);
  assert_int_equal(fv_image_resize(&in, 4, -1, FV_FILTER_NEAREST, FV_RESIZE_PILLOW13, &out, &err), FV_ESHAPE);
  assert_int_equal(fv_image_resize(&in, 50000, 50000, FV_FILTER_BOX, FV_RESIZE_PILLOW13, &out, &err), FV_ESHAPE);
  assert_int_equal(fv_image_resize(&in, INT64_MAX, 2, FV_FILTER_BOX, FV_RESIZE_PILLOW13, &out, &err), FV_ESHAPE);
  assert_int_equal(fv_image_resize(&in, 2, 2, (fv_filter)6, FV_RESIZE_PILLOW13, &out, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "filter 6"));
  assert_int_equal(fv_image_blur(&in, -1, &err), FV_EUSAGE);
  assert_int_equal(fv_image_blur(&in, NAN, &err), FV_EUSAGE);
  assert_int_equal(fv_image_blur(&in, 1e9, &err), FV_EUSAGE);
  fv_image_release(&in);
}

static void blur_equals_pillow(void **state) {
  (void)state;
  size_t n, at = 0;
  uint8_t *blob = load_bytes(IMAGE_DATA "blur.bin", &n);
  FILE *list = fopen(IMAGE_DATA "blur.txt", "r");
  int seed, kind, w, h;
  double sigma;
  assert_non_null(list);
  while (fscanf(list, "%d %d %d %d %lf", &seed, &kind, &w, &h, &sigma) == 5) {
    char what[60];
    fv_image im = source_picture((uint32_t)seed, kind, w, h);
    fv_error err = {0};
    snprintf(what, sizeof what, "blur %g of %d x %d", sigma, w, h);
    if (fv_image_blur(&im, sigma, &err)) fail_msg("%s", err.text);
    expect_pixels(what, &im, w, h, blob + at);
    at += (size_t)w * (size_t)h * 3;
    fv_image_release(&im);
  }
  assert_int_equal(at, n);
  fclose(list);
  free(blob);
}

/* Values of Pillow's convert("L"). */
static void gray_is_luma(void **state) {
  (void)state;
  static const uint8_t rows[][4] = {{0, 0, 0, 0},      {255, 255, 255, 255}, {255, 0, 0, 76},  {0, 255, 0, 150},
                                    {0, 0, 255, 29},   {10, 20, 30, 18},     {200, 3, 77, 70}, {1, 1, 0, 1},
                                    {123, 45, 67, 71}, {254, 255, 253, 254}};
  fv_image im;
  int64_t n = (int64_t)(sizeof rows / sizeof *rows);
  assert_int_equal(fv_image_new(n, 1, "t", &im, NULL), FV_OK);
  for (int64_t i = 0; i < n; i++) memcpy(im.rgb + 3 * i, rows[i], 3);
  fv_image_gray(&im);
  for (int64_t i = 0; i < 3 * n; i++) assert_int_equal(im.rgb[i], rows[i / 3][3]);
  fv_image_release(&im);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pillow),          cmocka_unit_test(published_vectors),
                                     cmocka_unit_test(threads_change_nothing), cmocka_unit_test(wrong_requests),
                                     cmocka_unit_test(blur_equals_pillow),     cmocka_unit_test(gray_is_luma)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
