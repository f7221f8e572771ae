#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"
#include "image/preprocess.h"

#define MAX_JSON_BYTES ((size_t)16 << 20)

#define CLIP_MEAN \
  { 0.48145466, 0.4578275, 0.40821073 }
#define CLIP_STD \
  { 0.26862954, 0.26130258, 0.27577711 }
#define HALVES \
  { 0.5, 0.5, 0.5 }

/* One row per image processor class; the values are the class attributes in transformers 5. */
typedef struct processor {
  const char *name;        /* the class is name + "ImageProcessor", or "FeatureExtractor" before 4.27 */
  const char *model_types; /* of config.json, each between bars */
  bool square;             /* an integer "size" is a square, not the shortest edge */
  bool pads_to_square;     /* do_pad changes even a single picture */
  fv_preprocess defaults;
} processor;

static const processor processors[] = {
    {.name = "Blip",
     .model_types = "|blip|",
     .square = true,
     .defaults = {.size_h = 384, .size_w = 384, .filter = FV_FILTER_BICUBIC, .mean = CLIP_MEAN, .std = CLIP_STD}},
    {.name = "CLIP",
     .model_types = "|clip|clip_vision_model|",
     .defaults = {.shortest_edge = true,
                  .size_h = 224,
                  .size_w = 224,
                  .center_crop = true,
                  .crop_h = 224,
                  .crop_w = 224,
                  .filter = FV_FILTER_BICUBIC,
                  .mean = CLIP_MEAN,
                  .std = CLIP_STD}},
    {.name = "Llava",
     .model_types = "|llava|",
     .pads_to_square = true,
     .defaults = {.shortest_edge = true,
                  .size_h = 224,
                  .size_w = 224,
                  .center_crop = true,
                  .crop_h = 224,
                  .crop_w = 224,
                  .filter = FV_FILTER_BICUBIC,
                  .mean = CLIP_MEAN,
                  .std = CLIP_STD}},
    {.name = "ViT",
     .model_types = "|vit|",
     .square = true,
     .defaults = {.size_h = 224, .size_w = 224, .filter = FV_FILTER_BILINEAR, .mean = HALVES, .std = HALVES}},
    {.name = "DeiT",
     .model_types = "|deit|",
     .square = true,
     .defaults = {.size_h = 256,
                  .size_w = 256,
                  .center_crop = true,
                  .crop_h = 224,
                  .crop_w = 224,
                  .filter = FV_FILTER_BICUBIC,
                  .mean = HALVES,
                  .std = HALVES}},
};

/* Text of the file as a message may show it. */
static const char *shown(const char *text) {
  for (const char *p = text; *p; p++)
    if ((unsigned char)*p < 0x20 || *p == 0x7F || p - text > 80) return "(not printable)";
  return text;
}

static const processor *by_class(const char *class_name) {
  static const char *const endings[] = {"ImageProcessor", "ImageProcessorFast", "ImageProcessorPil",
                                        "FeatureExtractor"};
  for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
    size_t k = strlen(processors[i].name);
    if (strncmp(class_name, processors[i].name, k) != 0) continue;
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
      if (strcmp(class_name + k, endings[e]) == 0) return &processors[i];
  }
  return NULL;
}

static const processor *by_model_type(const char *type) {
  size_t k = strlen(type);
  if (k == 0 || strchr(type, '|')) return NULL;
  for (size_t i = 0; i < sizeof processors / sizeof *processors; i++)
    for (const char *p = processors[i].model_types; (p = strstr(p, type)); p += k)
      if (p[-1] == '|' && p[k] == '|') return &processors[i];
  return NULL;
}

/* The processor when the settings do not name one: config.json's model_type. */
static fv_status processor_of_model(const char *dir, const char *where, const processor **out, fv_error *err) {
  json_t *config = NULL;
  const char *type = NULL;
  char *path = fv_path_join(dir, "config.json");
  if (!path) return fv_fail(err, FV_ENOMEM, "%s: no memory", dir);
  fv_status st = FV_OK;
  *out = NULL;
  if (fv_file_exists(path)) {
    st = fv_json_load(path, MAX_JSON_BYTES, &config, err);
    if (!st && !json_is_object(config)) st = fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", path);
    if (!st) st = fv_json_string(config, "model_type", NULL, path, &type, err);
    if (!st && type) *out = by_model_type(type);
  }
  if (!st && !*out)
    st = fv_fail(err, FV_EUNSUPPORTED,
                 "%s: has no \"image_processor_type\" and the model type \"%s\" implies none that is supported (BLIP, "
                 "CLIP, LLaVA, ViT, DeiT)",
                 where, type ? shown(type) : "(none)");
  json_decref(config);
  free(path);
  return st;
}

static fv_status find_processor(const json_t *settings, const char *dir, const char *where, const processor **out,
                                fv_error *err) {
  const char *name;
  fv_status st = fv_json_string(settings, "image_processor_type", NULL, where, &name, err);
  if (!st && !name) st = fv_json_string(settings, "feature_extractor_type", NULL, where, &name, err);
  if (st) return st;
  if (!name) return processor_of_model(dir, where, out, err);
  *out = by_class(name);
  if (*out) return FV_OK;
  return fv_fail(err, FV_EUNSUPPORTED,
                 "%s: the image processor \"%s\" is not supported, expected that of BLIP, CLIP, LLaVA, ViT or DeiT",
                 where, shown(name));
}

static fv_status get_side(const json_t *object, const char *key, const char *where, int64_t *out, fv_error *err) {
  if (!json_is_number(json_object_get(object, key)))
    return fv_fail(err, FV_EFORMAT, "%s: \"%s\" is missing or not a number, expected 1 to %d", where, key,
                   FV_PREPROCESS_MAX_SIDE);
  return fv_json_int(object, key, 0, 1, FV_PREPROCESS_MAX_SIDE, where, out, err);
}

/* An object must have exactly the keys of its form, as transformers demands: an additional one changes the meaning. */
static fv_status size_object(const json_t *v, const char *where, bool *edge, int64_t *h, int64_t *w, fv_error *err) {
  size_t keys = 0;
  const char *key;
  json_t *value;
  *edge = json_is_number(json_object_get(v, "shortest_edge"));
  /* transformers 5 writes all keys of its size class, those not in use as null. */
  json_object_foreach((json_t *)(uintptr_t)v, key, value) {
    if (json_is_null(value)) continue;
    bool known = *edge ? strcmp(key, "shortest_edge") == 0 : strcmp(key, "height") == 0 || strcmp(key, "width") == 0;
    if (!known)
      return fv_fail(err, FV_EUNSUPPORTED,
                     "%s: has a key \"%s\", expected \"height\" and \"width\" or \"shortest_edge\"", where, shown(key));
    keys++;
  }
  if (!*edge) {
    fv_status st = get_side(v, "height", where, h, err);
    return st ? st : get_side(v, "width", where, w, err);
  }
  fv_status st = get_side(v, "shortest_edge", where, h, err);
  *w = *h;
  return st;
}

/* "size" or "crop_size": an object, an integer, or a list [height, width]. Absent or null leaves the outputs alone. */
static fv_status get_size(const json_t *settings, const char *key, bool square, const char *where, bool *edge,
                          int64_t *h, int64_t *w, fv_error *err) {
  const json_t *v = json_object_get(settings, key);
  if (!v || json_is_null(v)) return FV_OK;
  char *inner = fv_format("%s: \"%s\"", where, key);
  if (!inner) return fv_fail(err, FV_ENOMEM, "%s: no memory", where);
  fv_status st;
  if (json_is_object(v)) {
    st = size_object(v, inner, edge, h, w, err);
  } else if (json_is_number(v)) {
    *edge = !square;
    st = get_side(settings, key, where, h, err);
    *w = *h;
  } else if (json_is_array(v) && json_array_size(v) == 2) {
    json_t *pair = json_pack("{sOsO}", "height", json_array_get(v, 0), "width", json_array_get(v, 1));
    st = pair ? size_object(pair, inner, edge, h, w, err) : fv_fail(err, FV_ENOMEM, "%s: no memory", where);
    json_decref(pair);
  } else {
    st = fv_fail(err, FV_EFORMAT, "%s is no size, expected an integer or an object with \"height\" and \"width\"",
                 inner);
  }
  free(inner);
  return st;
}

/* Three numbers, or one for all three channels. */
static fv_status get_channels(const json_t *settings, const char *key, const char *where, double out[3],
                              fv_error *err) {
  const json_t *v = json_object_get(settings, key);
  if (!v || json_is_null(v)) return FV_OK;
  bool list = json_is_array(v);
  if (list && json_array_size(v) != 3)
    return fv_fail(err, FV_EFORMAT, "%s: \"%s\" has %zu values, expected 3", where, key, json_array_size(v));
  for (size_t c = 0; c < 3; c++) {
    const json_t *item = list ? json_array_get(v, c) : v;
    if (!json_is_number(item))
      return fv_fail(err, FV_EFORMAT, "%s: \"%s\" is not made of numbers, expected 3 of them", where, key);
    out[c] = json_number_value(item);
    if (!isfinite((float)out[c]))
      return fv_fail(err, FV_EFORMAT, "%s: \"%s\" has the value %g, too large for float32", where, key, out[c]);
  }
  return FV_OK;
}

static fv_status get_values(const json_t *settings, const char *where, fv_preprocess *p, fv_error *err) {
  int64_t filter;
  fv_status st =
      fv_json_int(settings, "resample", p->filter, FV_FILTER_NEAREST, FV_FILTER_HAMMING, where, &filter, err);
  if (!st) st = fv_json_real(settings, "rescale_factor", 1.0 / 255.0, where, &p->rescale_factor, err);
  if (!st) st = get_channels(settings, "image_mean", where, p->mean, err);
  if (!st) st = get_channels(settings, "image_std", where, p->std, err);
  if (st) return st;
  p->filter = (fv_filter)filter;
  if (!(fabs(p->rescale_factor) > 0.0 && isfinite((float)(255.0 * p->rescale_factor))))
    return fv_fail(err, FV_EFORMAT, "%s: \"rescale_factor\" is %g, expected a factor such as 1/255", where,
                   p->rescale_factor);
  for (int c = 0; c < 3; c++)
    if (!((float)p->std[c] > 0.0f))
      return fv_fail(err, FV_EFORMAT, "%s: \"image_std\" has the value %g, expected positive ones", where, p->std[c]);
  return FV_OK;
}

static fv_status get_switches(const json_t *settings, const char *where, fv_preprocess *p, fv_error *err) {
  fv_status st = fv_json_bool(settings, "do_resize", true, where, &p->resize, err);
  if (!st) st = fv_json_bool(settings, "do_center_crop", p->center_crop, where, &p->center_crop, err);
  if (!st) st = fv_json_bool(settings, "do_rescale", true, where, &p->rescale, err);
  if (!st) st = fv_json_bool(settings, "do_normalize", true, where, &p->normalize, err);
  return st;
}

/* do_pad pads the pictures of a batch to one size, so alone it does nothing here; a fixed size, or LLaVA's square, is
 * another arithmetic. */
static fv_status refuse_padding(const json_t *settings, const processor *kind, const char *where, fv_error *err) {
  bool pad;
  fv_status st = fv_json_bool(settings, "do_pad", false, where, &pad, err);
  if (st || !pad) return st;
  const json_t *size = json_object_get(settings, "pad_size");
  if (!kind->pads_to_square && (!size || json_is_null(size))) return FV_OK;
  return fv_fail(err, FV_EUNSUPPORTED, "%s: \"do_pad\" is true, which is not supported%s", where,
                 kind->pads_to_square ? " for the LLaVA image processor" : " with a \"pad_size\"");
}

static fv_status read_settings(const json_t *settings, const char *dir, const char *where, fv_preprocess *out,
                               fv_error *err) {
  const processor *kind = NULL;
  bool edge = false;
  if (!json_is_object(settings)) return fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", where);
  fv_status st = find_processor(settings, dir, where, &kind, err);
  if (st) return st;
  fv_preprocess p = kind->defaults;
  p.order = FV_RESIZE_PILLOW13;
  st = get_switches(settings, where, &p, err);
  if (!st) st = get_size(settings, "size", kind->square, where, &p.shortest_edge, &p.size_h, &p.size_w, err);
  if (!st) st = get_size(settings, "crop_size", true, where, &edge, &p.crop_h, &p.crop_w, err);
  if (!st) st = get_values(settings, where, &p, err);
  if (!st) st = refuse_padding(settings, kind, where, err);
  if (st) return st;
  if (p.center_crop && (edge || p.crop_h == 0))
    return fv_fail(err, FV_EFORMAT,
                   "%s: \"do_center_crop\" is on, expected a \"crop_size\" with \"height\" and \"width\"", where);
  *out = p;
  return FV_OK;
}

/* *settings is NULL when the file or its "image_processor" does not exist. */
static fv_status nested_settings(const char *path, json_t **file, const json_t **settings, fv_error *err) {
  *settings = NULL;
  if (!fv_file_exists(path)) return FV_OK;
  fv_status st = fv_json_load(path, MAX_JSON_BYTES, file, err);
  if (!st && !json_is_object(*file)) st = fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", path);
  return st ? st : fv_json_object(*file, "image_processor", path, settings, err);
}

fv_status fv_preprocess_load(const char *dir, fv_preprocess *out, fv_error *err) {
  char *nested = fv_path_join(dir, "processor_config.json"), *plain = fv_path_join(dir, "preprocessor_config.json");
  json_t *nested_file = NULL, *plain_file = NULL;
  const json_t *settings = NULL;
  fv_status st = nested && plain ? FV_OK : fv_fail(err, FV_ENOMEM, "%s: no memory", dir);
  if (!st) st = nested_settings(nested, &nested_file, &settings, err);
  if (!st && settings) {
    st = read_settings(settings, dir, nested, out, err);
  } else if (!st) {
    if (!fv_file_exists(plain))
      st = fv_fail(err, FV_ENOTFOUND,
                   "%s: has no preprocessor_config.json and no processor_config.json with an \"image_processor\"; the "
                   "picture's size and normalisation are read from there",
                   dir);
    if (!st) st = fv_json_load(plain, MAX_JSON_BYTES, &plain_file, err);
    if (!st) st = read_settings(plain_file, dir, plain, out, err);
  }
  json_decref(nested_file);
  json_decref(plain_file);
  free(nested);
  free(plain);
  return st;
}
