#include "checkpoint/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/json.h"

#define MAX_CONFIG ((size_t)64 << 20)

static fv_status load(fv_config *c, const char *dir, const char *name, bool optional, fv_error *err) {
  static const char pointer[] = "version https://git-lfs";
  char *text = NULL;
  size_t n = 0;
  if (!fv_file_exists(c->path))
    return optional
               ? FV_OK
               : fv_fail(err, FV_ENOTFOUND, "%s: has no %s; is this the folder of a Hugging Face model?", dir, name);
  fv_status st = fv_file_read(c->path, MAX_CONFIG, &text, &n, err);
  if (st) return st;
  st = strncmp(text, pointer, sizeof pointer - 1) == 0
           ? fv_fail(err, FV_EFORMAT, "%s: is a Git LFS pointer: fetch the file itself with git lfs pull", c->path)
           : fv_json_parse(text, n, c->path, &c->json, err);
  free(text);
  if (!st && !json_is_object(c->json)) st = fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", c->path);
  return st;
}

fv_status fv_config_open(const char *dir, const char *name, bool optional, fv_config *out, fv_error *err) {
  *out = (fv_config){.path = fv_path_join(dir, name)};
  fv_status st = out->path ? load(out, dir, name, optional, err) : fv_fail(err, FV_ENOMEM, "%s: no memory", dir);
  if (st) fv_config_close(out);
  return st;
}

void fv_config_close(fv_config *config) {
  json_decref(config->json);
  free(config->path);
  *config = (fv_config){0};
}
