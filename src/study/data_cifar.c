/* CIFAR-10: the batches become PNG files. A picture is 32 by 32 bytes each for red, green and blue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <png.h>

#include "base/bytes.h"
#include "base/files.h"
#include "image/image.h"
#include "study/data_build.h"
#include "study/data_cifar_batch.h"
#include "study/data_lists.h"

/* With ".bin" behind them in the binary version. */
static const char *const test_files[] = {"test_batch", NULL};
static const char *const train_files[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                          "data_batch_4", "data_batch_5", NULL};

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
static fv_status add_picture(const fv_data_options *o, int label, const uint8_t *planes, fv_image *im, fv_pairs *out,
                             fv_error *err) {
  long long number = (long long)out->nread++;
  const char *set = o->train ? "train" : "test", *class = fv_cifar10_classes[label];
  for (size_t i = 0; i < FV_CIFAR_PLANE; i++)
    for (size_t c = 0; c < 3; c++) im->rgb[3 * i + c] = planes[c * FV_CIFAR_PLANE + i];
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
  fv_cifar_batch b;
  fv_status st = fv_cifar_batch_open(path, &b, err);
  if (st) return st;
  for (size_t i = 0; i < b.count && !st && (o->limit <= 0 || out->nread < o->limit); i++)
    st = add_picture(o, fv_cifar_label(&b, i), fv_cifar_picture(&b, i), im, out, err);
  fv_cifar_batch_release(&b);
  return st;
}

/* The batch of that name in a folder, in either version; a missing one is named as the binary version has it. */
static char *batch_path(const char *folder, const char *name) {
  char *binary = fv_format("%s/%s.bin", folder, name), *python = fv_path_join(folder, name);
  bool use_python = binary && python && !fv_file_exists(binary) && fv_file_exists(python);
  free(use_python ? binary : python);
  return use_python ? python : binary;
}

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

fv_status fv_data_cifar10(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  fv_image im = {0};
  bool made = mkdir(o->images, 0777) == 0;
  if (!made && !(errno == EEXIST && is_folder(o->images)))
    return fv_fail(err, FV_EIO, "%s: cannot make the folder for the pictures: %s", o->images, strerror(errno));
  fv_status st = fv_image_new(FV_CIFAR_SIDE, FV_CIFAR_SIDE, "picture", &im, err);
  if (!st && !is_folder(o->batches)) st = add_batch(o, o->batches, &im, out, err);
  const char *const *files = o->train ? train_files : test_files;
  for (; is_folder(o->batches) && *files && !st && (o->limit <= 0 || out->nread < o->limit); files++) {
    char *path = batch_path(o->batches, *files);
    st = path ? add_batch(o, path, &im, out, err) : fv_fail(err, FV_ENOMEM, "no memory");
    free(path);
  }
  fv_image_release(&im);
  if (st && made) (void)rmdir(o->images); /* it stays when there is something in it */
  return st;
}
