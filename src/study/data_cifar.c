/* CIFAR-10: the binary batches become PNG files. A record is a byte for the class and 32 by 32 bytes each for red,
 * green and blue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <png.h>

#include "base/bytes.h"
#include "base/files.h"
#include "image/image.h"
#include "study/data_build.h"
#include "study/data_lists.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE };

static const char *const test_files[] = {"test_batch.bin", NULL};
static const char *const train_files[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                          "data_batch_4.bin", "data_batch_5.bin", NULL};

static fv_status write_png(const char *path, const fv_image *im, fv_error *err) {
  fv_outfile *file;
  fv_status st = fv_outfile_open(path, &file, err);
  if (st) return st;
  png_image png = {.version = PNG_IMAGE_VERSION,
                   .width = (png_uint_32)im->width,
                   .height = (png_uint_32)im->height,
                   .format = PNG_FORMAT_RGB};
  if (png_image_write_to_stdio(&png, fv_outfile_stream(file), 0, im->rgb, 0, NULL)) return fv_outfile_commit(file, err);
  fv_outfile_abort(file);
  return fv_fail(err, FV_EIO, "%s: cannot write: %s", path, png.message);
}

/* One picture, and its gray copy when asked for. */
static fv_status add_record(const fv_data_options *o, const uint8_t *record, fv_image *im, fv_pairs *out,
                            fv_error *err) {
  long long number = (long long)out->nread++;
  const char *set = o->train ? "train" : "test", *class = fv_cifar10_classes[record[0]];
  for (size_t i = 0; i < PLANE; i++)
    for (size_t c = 0; c < 3; c++) im->rgb[3 * i + c] = record[1 + c * PLANE + i];
  char *sample = fv_format("%s/%05lld", set, number), *path = fv_format("%s/%s_%05lld.png", o->images, set, number);
  char *gray = fv_format("%s/%s_%05lld_gray.png", o->images, set, number);
  fv_status st = sample && path && gray ? write_png(path, im, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && o->gray) fv_image_gray(im), st = write_png(gray, im, err);
  if (!st)
    st = fv_pairs_add_cells(out, sample,
                            &(fv_pair_cells){.image = path,
                                             .corrupt_image = o->gray ? gray : NULL,
                                             .correct = class,
                                             .group = class,
                                             .label = class,
                                             .correct_first = -1},
                            NULL, err);
  free(sample), free(path), free(gray);
  return st;
}

static fv_status add_batch(const fv_data_options *o, const char *path, fv_image *im, fv_pairs *out, fv_error *err) {
  fv_map map;
  fv_status st = fv_map_open(path, &map, err);
  if (st) return st;
  if (map.size == 0 || map.size % RECORD)
    st = fv_fail(err, FV_EFORMAT,
                 "%s: has %zu bytes, expected a multiple of %d; is this a batch of CIFAR-10's binary version?", path,
                 map.size, (int)RECORD);
  for (size_t at = 0; at < map.size && !st && (o->limit <= 0 || out->nread < o->limit); at += RECORD) {
    if (map.data[at] >= FV_CIFAR10_CLASSES)
      st = fv_fail(err, FV_EFORMAT, "%s: record %zu has class %d, expected 0 to 9", path, at / RECORD,
                   (int)map.data[at]);
    else
      st = add_record(o, map.data + at, im, out, err);
  }
  fv_map_close(&map);
  return st;
}

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

fv_status fv_data_cifar10(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  fv_image im = {0};
  if (mkdir(o->images, 0777) != 0 && !(errno == EEXIST && is_folder(o->images)))
    return fv_fail(err, FV_EIO, "%s: cannot make the folder for the pictures: %s", o->images, strerror(errno));
  fv_status st = fv_image_new(SIDE, SIDE, "picture", &im, err);
  if (!st && !is_folder(o->batches)) st = add_batch(o, o->batches, &im, out, err);
  const char *const *files = o->train ? train_files : test_files;
  for (; is_folder(o->batches) && *files && !st && (o->limit <= 0 || out->nread < o->limit); files++) {
    char *path = fv_path_join(o->batches, *files);
    st = path ? add_batch(o, path, &im, out, err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(path);
  }
  fv_image_release(&im);
  return st;
}
