/* Pixel values against the Pillow-based processors of transformers, bit for bit. */
#include "image/image_vectors.h"

#include "base/sha256.h"
#include "image/preprocess.h"

static void expect_floats(const char *what, const float *got, const uint8_t *blob, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    float want;
    memcpy(&want, blob + 4 * i, 4);
    if (memcmp(&want, &got[i], 4) != 0)
      fail_msg("%s: value %lld is %.9g, expected %.9g", what, (long long)i, got[i], want);
  }
}

static void expect_sha256(const char *what, const float *got, int64_t n, const char *hex) {
  char text[FV_SHA256_HEX];
  assert_int_equal(fv_sha256_bytes(got, (size_t)n * 4, text, NULL), FV_OK);
  if (strcmp(text, hex) != 0) fail_msg("%s: sha256 %s, expected %s", what, text, hex);
}

static void equals_transformers(void **state) {
  (void)state;
  size_t size, at = 0;
  uint8_t *blob = load_bytes(IMAGE_DATA "preprocess.bin", &size);
  FILE *list = fopen(IMAGE_DATA "preprocess.txt", "r");
  char name[60], digest[80], dir[400], what[120];
  int seed, kind, w, h, want_w, want_h, seen = 0;
  assert_non_null(list);
  for (; fscanf(list, "%59s %d %d %d %d %d %d %79s", name, &seed, &kind, &w, &h, &want_w, &want_h, digest) == 8;
       seen++) {
    fv_preprocess p;
    fv_error err = {0};
    fv_image in = source_picture((uint32_t)seed, kind, w, h), done;
    int64_t out_w, out_h;
    snprintf(what, sizeof what, "%s of %d x %d", name, w, h);
    snprintf(dir, sizeof dir, IMAGE_DATA "preprocess/%s", name);
    if (fv_preprocess_load(dir, &p, &err)) fail_msg("%s", err.text);
    fv_preprocess_shape(&p, w, h, &out_w, &out_h);
    if (out_w != want_w || out_h != want_h) fail_msg("%s: the shape is %d x %d", what, (int)out_w, (int)out_h);
    int64_t n = 3 * out_w * out_h;
    float *chw = malloc((size_t)n * sizeof *chw);
    if (fv_preprocess_run(&p, &in, chw, &done, &err)) fail_msg("%s", err.text);
    assert_true(done.width == out_w && done.height == out_h);
    if (strcmp(digest, "-") == 0) {
      expect_floats(what, chw, blob + at, n);
      at += (size_t)n * 4;
    } else {
      expect_sha256(what, chw, n, digest);
    }
    free(chw);
    fv_image_release(&in);
    fv_image_release(&done);
  }
  assert_int_equal(at, size);
  assert_true(seen >= 35);
  fclose(list);
  free(blob);
}

/* The known values of 0 and 255 under CLIP's mean and standard deviation, and dividing rather than multiplying. */
static void known_values(void **state) {
  (void)state;
  fv_preprocess p = {.rescale = true,
                     .normalize = true,
                     .rescale_factor = 1.0 / 255.0,
                     .mean = {0.48145466, 0.4578275, 0.40821073},
                     .std = {0.26862954, 0.26130258, 0.27577711}};
  fv_image im;
  float chw[3 * 256];
  assert_int_equal(fv_image_new(256, 1, "t", &im, NULL), FV_OK);
  for (int i = 0; i < 256; i++) memset(im.rgb + 3 * i, i, 3);
  assert_int_equal(fv_preprocess_run(&p, &im, chw, NULL, NULL), FV_OK);
  assert_true(chw[0] == -1.7922626f);
  assert_true(chw[255] == 1.9303361f && chw[511] == 2.0748837f && chw[767] == 2.145897f);
  p.normalize = false;
  assert_int_equal(fv_preprocess_run(&p, &im, chw, NULL, NULL), FV_OK);
  for (int i = 0; i < 256; i++) assert_true(chw[i] == (float)i / 255.0f);
  fv_image_release(&im);
}

static void too_large_is_refused(void **state) {
  (void)state;
  fv_preprocess p = {.resize = true,
                     .shortest_edge = true,
                     .size_h = 336,
                     .size_w = 336,
                     .filter = FV_FILTER_BICUBIC,
                     .center_crop = true,
                     .crop_h = 2,
                     .crop_w = 2};
  fv_image im, done;
  fv_error err;
  float chw[12];
  assert_int_equal(fv_image_new(1, 100000, "t", &im, NULL), FV_OK);
  memset(im.rgb, 7, 300000);
  assert_int_equal(fv_preprocess_run(&p, &im, chw, &done, &err), FV_ESHAPE);
  assert_non_null(strstr(err.text, "336 x 33600000"));
  assert_null(done.rgb);
  fv_image_release(&im);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_transformers), cmocka_unit_test(known_values),
                                     cmocka_unit_test(too_large_is_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
