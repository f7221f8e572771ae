#include "study/data_pictures.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/files.h"
#include "image/image.h"

void fv_folder_release(fv_folder *f) {
  for (size_t i = 0; i < f->count; i++) free(f->names[i]), free(f->full[i]);
  free(f->path), free(f->names), free(f->full), free(f->good), free(f->reasons);
  *f = (fv_folder){0};
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

fv_status fv_folder_read(const char *path, fv_folder *out, fv_error *err) {
  *out = (fv_folder){.path = fv_strdup(path)};
  DIR *dir = out->path ? opendir(path) : NULL;
  if (!dir) {
    fv_status st = !out->path ? fv_fail(err, FV_ENOMEM, "no memory")
                              : fv_fail(err, errno == ENOENT || errno == ENOTDIR ? FV_ENOTFOUND : FV_EIO,
                                        "%s: cannot list the folder: %s", path, strerror(errno));
    fv_folder_release(out);
    return st;
  }
  size_t capacity = 0;
  bool memory = true;
  for (struct dirent *e; memory && (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    memory = fv_grow(&out->names, &capacity, out->count + 1, sizeof *out->names) &&
             (out->names[out->count] = fv_strdup(e->d_name)) != NULL;
    out->count += memory;
  }
  closedir(dir);
  out->full = fv_alloc(out->count, sizeof *out->full);
  memory = memory && out->full;
  if (memory) qsort(out->names, out->count, sizeof *out->names, by_bytes);
  for (size_t i = 0; i < out->count && memory; i++) memory = (out->full[i] = fv_path_join(path, out->names[i])) != NULL;
  if (memory) return FV_OK;
  if (!out->full) {
    for (size_t i = 0; i < out->count; i++) free(out->names[i]);
    out->count = 0;
  }
  fv_folder_release(out);
  return fv_fail(err, FV_ENOMEM, "%s: no memory for the list of its files", path);
}

static const char *check_picture(const char *path, bool keep_black) {
  fv_image im;
  fv_error err;
  fv_status st = fv_image_load(path, false, &im, &err);
  if (st == FV_ENOTFOUND) return "the picture does not exist";
  if (st) return "the picture cannot be decoded";
  size_t n = (size_t)im.width * (size_t)im.height * 3;
  bool black = n > 0 && im.rgb[0] == 0 && memcmp(im.rgb, im.rgb + 1, n - 1) == 0;
  fv_image_release(&im);
  return black && !keep_black ? "the picture is black" : NULL;
}

void fv_pictures_check(size_t n, char *const *paths, bool keep_black, const char **reasons) {
#pragma omp parallel for schedule(dynamic, 8)
  for (size_t i = 0; i < n; i++) reasons[i] = check_picture(paths[i], keep_black);
}

static bool is_picture_name(const char *name) {
  static const char *const ends[] = {".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"};
  size_t n = strlen(name);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t k = strlen(ends[i]);
    if (n > k && strcasecmp(name + n - k, ends[i]) == 0) return true;
  }
  return false;
}

fv_status fv_folder_check(fv_folder *f, bool keep_black, fv_error *err) {
  f->reasons = fv_alloc(f->count, sizeof *f->reasons);
  f->good = fv_alloc(f->count, sizeof *f->good);
  if (!f->reasons || !f->good) return fv_fail(err, FV_ENOMEM, "%s: no memory", f->path);
  fv_pictures_check(f->count, f->full, keep_black, f->reasons);
  for (size_t i = 0; i < f->count; i++) {
    if (!is_picture_name(f->names[i])) f->reasons[i] = "the file is not called like a picture (.jpg, .png, .webp, ...)";
    if (!f->reasons[i]) f->good[f->ngood++] = i;
  }
  return FV_OK;
}
