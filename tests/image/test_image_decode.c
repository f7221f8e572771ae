/* Every kind of picture against Pillow's bytes, and what must be refused: cut, damaged, lying and foreign files. */
#include "image/image_vectors.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

typedef void picture_test(const char *name, bool exif, int64_t w, int64_t h, const uint8_t *rgb);

static void for_each_picture(picture_test *test) {
  size_t n, at = 0;
  uint8_t *blob = load_bytes(IMAGE_DATA "pictures.bin", &n);
  FILE *list = fopen(IMAGE_DATA "pictures.txt", "r");
  char name[256];
  int exif, w, h, seen = 0;
  assert_non_null(list);
  while (fscanf(list, "%255s %d %d %d", name, &exif, &w, &h) == 4) {
    assert_true(at + (size_t)w * (size_t)h * 3 <= n);
    test(name, exif != 0, w, h, blob + at);
    at += (size_t)w * (size_t)h * 3;
    seen++;
  }
  fclose(list);
  free(blob);
  assert_int_equal(at, n);
  assert_true(seen > 150);
}

static char *picture_path(const char *name) { return fv_format("%spictures/%s", IMAGE_DATA, name); }

static void compare_picture(const char *name, bool exif, int64_t w, int64_t h, const uint8_t *rgb) {
  fv_image im;
  fv_error err = {0};
  char *path = picture_path(name);
  if (fv_image_load(path, exif, &im, &err)) fail_msg("%s", err.text);
  expect_pixels(name, &im, w, h, rgb);
  fv_image_release(&im);
  fv_image_release(&im);
  free(path);
}

static void every_kind_equals_pillow(void **state) {
  (void)state;
  for_each_picture(compare_picture);
}

/* Decodes an exact-size heap copy, so that the sanitizer sees a read past the end. */
static fv_status decode_copy(const uint8_t *data, size_t n, fv_error *err) {
  fv_image im;
  uint8_t *copy = malloc(n ? n : 1);
  memcpy(copy, data, n);
  *err = (fv_error){0};
  fv_status st = fv_image_decode(copy, n, "cut", true, &im, err);
  if (st) {
    assert_null(im.rgb);
    assert_int_equal(strncmp(err->text, "cut: ", 5), 0);
    assert_null(strchr(err->text, '\n'));
  }
  fv_image_release(&im);
  free(copy);
  return st;
}

/* How many bytes of the file the picture needs; a plain PNM may lose the end of its last number unnoticed. */
static size_t needed(const char *name, const uint8_t *data, size_t n) {
  static const char after[] = "after the end";
  size_t k = sizeof after - 1;
  if (n > k && memcmp(data + n - k, after, k) == 0) n -= k;
  if (memcmp(data, "P1", 2) == 0 || memcmp(data, "P2", 2) == 0 || memcmp(data, "P3", 2) == 0)
    while (data[n - 1] < '0' || data[n - 1] > '9' || strncmp((const char *)data + n - 3, " c 9", 3) == 0) n--;
  return strstr(name, "pnm_p2") || strstr(name, "pnm_p3") ? n - 12 : strstr(name, "pnm_p1") ? n - 12 : n;
}

static void cut_picture(const char *name, bool exif, int64_t w, int64_t h, const uint8_t *rgb) {
  (void)w, (void)h, (void)rgb;
  if (exif) return;
  size_t n;
  fv_error err;
  char *path = picture_path(name);
  uint8_t *data = load_bytes(path, &n);
  size_t enough = needed(name, data, n);
  for (size_t k = 0; k < enough; k += k < 64 || k + 64 > enough ? 1 : 7)
    if (!decode_copy(data, k, &err)) fail_msg("%s: the first %zu of %zu bytes decode", name, k, n);
  free(data);
  free(path);
}

static void every_cut_is_an_error(void **state) {
  (void)state;
  for_each_picture(cut_picture);
}

static void damage_picture(const char *name, bool exif, int64_t w, int64_t h, const uint8_t *rgb) {
  (void)w, (void)h, (void)rgb;
  if (exif) return;
  size_t n;
  fv_error err;
  char *path = picture_path(name);
  uint8_t *data = load_bytes(path, &n);
  uint32_t random = 12345;
  for (int i = 0; i < 60; i++) {
    random = random * 1664525 + 1013904223;
    size_t at = (random >> 8) % n;
    uint8_t old = data[at];
    data[at] = (uint8_t)(random >> 24);
    (void)decode_copy(data, n, &err); /* either way, without reading or writing astray */
    data[at] = old;
  }
  free(data);
  free(path);
}

static void damage_does_no_harm(void **state) {
  (void)state;
  for_each_picture(damage_picture);
}

static void expect_refusal(const void *data, size_t n, fv_status status, const char *words) {
  fv_error err;
  fv_status st = decode_copy(data, n, &err);
  if (st != status || !strstr(err.text, words))
    fail_msg("got %d \"%s\", expected %d and \"%s\"", st, err.text, status, words);
}

#define REFUSED(data, status, words) expect_refusal(data, sizeof(data) - 1, status, words)

static void foreign_files_are_named(void **state) {
  (void)state;
  REFUSED("", FV_EFORMAT, "is empty");
  REFUSED("hello, world", FV_EFORMAT, "is not a picture (its first bytes are 68 65 6c 6c 6f 2c 20 77)");
  REFUSED("\0", FV_EFORMAT, "is not a picture");
  REFUSED("GIF89a......", FV_EUNSUPPORTED, "is a GIF file");
  REFUSED("BM......", FV_EUNSUPPORTED, "is a BMP file");
  REFUSED(
      "\0\0\0\x1c"
      "ftypavif",
      FV_EUNSUPPORTED, "is an AVIF file");
  REFUSED("P7\nWIDTH 1\n", FV_EUNSUPPORTED, "is a PAM file");
  REFUSED("\xFF\xD8\xFF", FV_EFORMAT, "truncated");
  REFUSED("\x89PNG\r\n\x1A\n", FV_EFORMAT, "truncated");
  REFUSED("RIFF\x04\0\0\0WEBP", FV_EFORMAT, "WebP");
  REFUSED("RIFF\xff\xff\xff\xffWEBPVP8 ", FV_EFORMAT, "truncated");
}

static void lying_headers_are_refused(void **state) {
  (void)state;
  REFUSED("P6 100000 100000 255\n...", FV_ESHAPE, "more than the limit of 178956970");
  REFUSED("P6 13000 13000 255\n...", FV_EFORMAT, "truncated");
  REFUSED("P3 13000 13000 255\n...", FV_EFORMAT, "truncated");
  REFUSED("P4 2000000 1\n...", FV_ESHAPE, "more than the limit");
  REFUSED("P5 0 3 255\n...", FV_ESHAPE, "expected at least 1 x 1");
  REFUSED("P5 3 0 255\n...", FV_ESHAPE, "expected at least 1 x 1");
  REFUSED("P5 9999999999 9999999999 255\n", FV_ESHAPE, "limit");
  REFUSED("P5 99999999999 1 255\n", FV_EFORMAT, "more than 10 digits");
  REFUSED("P5 1 1 0\n.", FV_EFORMAT, "expected 1 to 65535");
  REFUSED("P5 1 1 65536\n..", FV_EFORMAT, "expected 1 to 65535");
  REFUSED("P5 -1 1 255\n.", FV_EFORMAT, "expected a decimal number");
  REFUSED("P5 1 1", FV_EFORMAT, "ends before its maximum");
  REFUSED("P2 1 1 10 11 ", FV_EFORMAT, "a sample 11, more than its maximum 10");
  REFUSED("P1 1 1 2", FV_EFORMAT, "expected 0 or 1");
  REFUSED("\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\1\0\0\0\1\0\0\10\2\0\0\0\xa6\x34\x6c\x6d", FV_EFORMAT, "PNG");
}

/* Replaces the size in a real file's header; the checksum of a PNG header is made anew. */
static void huge_sizes_in_small_files(void **state) {
  (void)state;
  size_t n;
  fv_error err;
  uint8_t *data = load_bytes(IMAGE_DATA "pictures/jpeg_sub0.jpg", &n);
  for (size_t i = 0; i + 8 < n; i++)
    if (data[i] == 0xFF && data[i + 1] == 0xC0) memset(data + i + 5, 0xF0, 4);
  assert_int_equal(decode_copy(data, n, &err), FV_ESHAPE);
  assert_non_null(strstr(err.text, "61680 x 61680"));
  free(data);
  data = load_bytes(IMAGE_DATA "pictures/webp_lossy_alpha.webp", &n);
  memset(data + 24, 0xFF, 6);
  assert_int_not_equal(decode_copy(data, n, &err), FV_OK);
  free(data);
  data = load_bytes(IMAGE_DATA "pictures/webp_lossy.webp", &n);
  data[26] = data[28] = 0xFF;
  data[27] = data[29] = 0x3F;
  assert_int_equal(decode_copy(data, n, &err), FV_ESHAPE);
  free(data);
}

/* Only asking for the orientation needs the EXIF data to make sense. */
static void malformed_exif(void **state) {
  (void)state;
  size_t n;
  fv_error err;
  fv_image im;
  uint8_t *data = load_bytes(IMAGE_DATA "pictures/jpeg_exif6.jpg", &n);
  for (size_t i = 0; i + 8 < n; i++)
    if (memcmp(data + i, "Exif\0\0MM", 8) == 0) data[i + 6] = 'X';
  assert_int_equal(decode_copy(data, n, &err), FV_EFORMAT);
  assert_non_null(strstr(err.text, "EXIF data is malformed"));
  assert_int_equal(fv_image_decode(data, n, "plain", false, &im, &err), FV_OK);
  fv_image_release(&im);
  free(data);
}

static void files_that_are_none(void **state) {
  (void)state;
  fv_image im;
  fv_error err = {0};
  assert_int_equal(fv_image_load(IMAGE_DATA "no such file", false, &im, &err), FV_ENOTFOUND);
  assert_int_equal(fv_image_load(IMAGE_DATA, false, &im, &err), FV_EIO);
  char fifo[] = "image-fifo-XXXXXX";
  int fd = mkstemp(fifo);
  assert_true(fd >= 0);
  close(fd);
  unlink(fifo);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  assert_int_equal(fv_image_load(fifo, false, &im, &err), FV_EIO); /* at once: nobody writes to it */
  assert_non_null(strstr(err.text, fifo));
  unlink(fifo);
}

static void orientations_invert(void **state) {
  (void)state;
  static const int inverse[9] = {1, 1, 2, 3, 4, 5, 8, 7, 6};
  fv_image im = source_picture(4, 0, 5, 3), turned;
  for (int o = 0; o < 10; o++) {
    assert_int_equal(fv_image_copy(&im, &turned, NULL), FV_OK);
    assert_int_equal(fv_image_orient(&turned, o, NULL), FV_OK);
    assert_int_equal(turned.width, o >= 5 && o <= 8 ? 3 : 5);
    assert_int_equal(fv_image_orient(&turned, o < 9 ? inverse[o] : 1, NULL), FV_OK);
    expect_pixels("turned and back", &turned, 5, 3, im.rgb);
    fv_image_release(&turned);
  }
  fv_image_release(&im);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_equals_pillow),
                                     cmocka_unit_test(every_cut_is_an_error),
                                     cmocka_unit_test(damage_does_no_harm),
                                     cmocka_unit_test(foreign_files_are_named),
                                     cmocka_unit_test(lying_headers_are_refused),
                                     cmocka_unit_test(huge_sizes_in_small_files),
                                     cmocka_unit_test(malformed_exif),
                                     cmocka_unit_test(files_that_are_none),
                                     cmocka_unit_test(orientations_invert)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
