/* Reading preprocessor_config.json: places, names, defaults, and what is refused. */
#include "image/image_vectors.h"

#include <unistd.h>

#include "base/bytes.h"
#include "image/preprocess.h"

static char folder[] = "preprocess-load-XXXXXX";

static void put(const char *name, const char *text) {
  char *path = fv_path_join(folder, name);
  if (text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
  } else {
    unlink(path);
  }
  free(path);
}

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) ? 0 : -1;
}

static void clear(void) {
  put("preprocessor_config.json", NULL);
  put("processor_config.json", NULL);
  put("config.json", NULL);
}

static int remove_folder(void **state) {
  (void)state;
  clear();
  return rmdir(folder);
}

static fv_preprocess loads(const char *settings) {
  fv_preprocess p;
  fv_error err = {0};
  put("preprocessor_config.json", settings);
  if (fv_preprocess_load(folder, &p, &err)) fail_msg("%s", err.text);
  return p;
}

static void refused(const char *settings, fv_status status, const char *words) {
  fv_preprocess p;
  fv_error err = {0};
  put("preprocessor_config.json", settings);
  fv_status st = fv_preprocess_load(folder, &p, &err);
  if (st != status || !strstr(err.text, words) || !strstr(err.text, folder))
    fail_msg("%s: got %d \"%s\", expected %d and \"%s\"", settings, st, err.text, status, words);
}

static void defaults_of_each_type(void **state) {
  (void)state;
  clear();
  fv_preprocess p = loads("{\"image_processor_type\": \"BlipImageProcessorFast\"}");
  assert_true(p.resize && p.rescale && p.normalize && !p.center_crop && !p.shortest_edge);
  assert_true(p.size_h == 384 && p.size_w == 384 && p.filter == FV_FILTER_BICUBIC && p.order == FV_RESIZE_PILLOW13);
  assert_true(p.rescale_factor == 1.0 / 255.0 && p.mean[0] == 0.48145466 && p.std[2] == 0.27577711);
  p = loads("{\"feature_extractor_type\": \"CLIPFeatureExtractor\", \"size\": 336}");
  assert_true(p.shortest_edge && p.size_h == 336 && p.center_crop && p.crop_h == 224 && p.crop_w == 224);
  p = loads("{\"image_processor_type\": \"ViTImageProcessorPil\", \"size\": 32}");
  assert_true(!p.shortest_edge && p.size_h == 32 && p.size_w == 32 && p.filter == FV_FILTER_BILINEAR &&
              p.mean[1] == 0.5);
  p = loads(
      "{\"image_processor_type\": \"ViTImageProcessor\", \"do_resize\": false, \"size\": null, \"resample\": null}");
  assert_true(!p.resize && p.size_h == 224 && p.filter == FV_FILTER_BILINEAR);
  p = loads("{\"image_processor_type\": \"DeiTFeatureExtractor\"}");
  assert_true(p.size_h == 256 && p.center_crop && p.crop_w == 224 && p.filter == FV_FILTER_BICUBIC);
  p = loads(
      "{\"image_processor_type\": \"LlavaImageProcessor\", \"crop_size\": {\"height\": 4, \"width\": 5}, "
      "\"size\": {\"shortest_edge\": 6, \"longest_edge\": null}, \"do_pad\": false}");
  assert_true(p.shortest_edge && p.size_h == 6 && p.crop_h == 4 && p.crop_w == 5);
  /* The name decides by image_processor_type even beside an older one. */
  p = loads("{\"feature_extractor_type\": \"CLIPFeatureExtractor\", \"image_processor_type\": \"BlipImageProcessor\"}");
  assert_true(!p.shortest_edge);
  p = loads("{\"image_processor_type\": \"BlipImageProcessor\", \"do_pad\": true, \"size_divisor\": 32}");
  assert_true(p.size_h == 384);
}

static void model_type_stands_in(void **state) {
  (void)state;
  clear();
  refused("{}", FV_EUNSUPPORTED, "no \"image_processor_type\"");
  put("config.json", "{\"model_type\": \"clip_vision_model\"}");
  assert_true(loads("{\"size\": 40}").shortest_edge);
  put("config.json", "{\"model_type\": \"blip\"}");
  assert_int_equal(loads("{}").size_h, 384);
  put("config.json", "{\"model_type\": \"clip_vision\"}");
  refused("{}", FV_EUNSUPPORTED, "\"clip_vision\"");
  put("config.json", "{\"model_type\": \"|blip|\"}");
  refused("{}", FV_EUNSUPPORTED, "|blip|");
  put("config.json", "{\"model_type\": \"\"}");
  refused("{}", FV_EUNSUPPORTED, "\"\"");
  put("config.json", "{\"model_type\": 3}");
  refused("{}", FV_EFORMAT, "model_type");
  put("config.json", "[]");
  refused("{}", FV_EFORMAT, "not a JSON object");
}

static void nested_settings(void **state) {
  (void)state;
  fv_preprocess p;
  fv_error err = {0};
  clear();
  assert_int_equal(fv_preprocess_load(folder, &p, &err), FV_ENOTFOUND);
  put("processor_config.json",
      "{\"image_processor\": {\"image_processor_type\": \"CLIPImageProcessor\", \"size\": 50}}");
  assert_int_equal(fv_preprocess_load(folder, &p, &err), FV_OK);
  assert_true(p.shortest_edge && p.size_h == 50);
  /* transformers 5 prefers it to preprocessor_config.json. */
  assert_int_equal(loads("{\"image_processor_type\": \"BlipImageProcessor\"}").size_h, 50);
  put("processor_config.json", "{\"processor_class\": \"LlavaProcessor\"}");
  assert_int_equal(loads("{\"image_processor_type\": \"BlipImageProcessor\"}").size_h, 384);
  put("processor_config.json", "{\"image_processor\": 3}");
  refused("{}", FV_EFORMAT, "image_processor");
  put("processor_config.json", "{");
  refused("{}", FV_EFORMAT, "processor_config.json");
}

#define BLIP(rest) "{\"image_processor_type\": \"BlipImageProcessor\", " rest "}"
#define CLIP(rest) "{\"image_processor_type\": \"CLIPImageProcessor\", " rest "}"

static void wrong_settings(void **state) {
  (void)state;
  clear();
  refused("", FV_EFORMAT, "JSON");
  refused("[]", FV_EFORMAT, "not a JSON object");
  refused("{\"image_processor_type\": \"PixtralImageProcessor\"}", FV_EUNSUPPORTED, "\"PixtralImageProcessor\"");
  refused("{\"image_processor_type\": \"Blip\"}", FV_EUNSUPPORTED, "\"Blip\"");
  refused("{\"image_processor_type\": \"BlipImageProcessorFaster\"}", FV_EUNSUPPORTED, "BlipImageProcessorFaster");
  refused("{\"image_processor_type\": \"Blip\\u001b[2J\"}", FV_EUNSUPPORTED, "(not printable)");
  refused("{\"image_processor_type\": 7}", FV_EFORMAT, "image_processor_type");
  refused(BLIP("\"size\": 0"), FV_EFORMAT, "size");
  refused(BLIP("\"size\": -5"), FV_EFORMAT, "-5");
  refused(BLIP("\"size\": 1000000"), FV_EFORMAT, "1000000");
  refused(BLIP("\"size\": 12.5"), FV_EFORMAT, "size");
  refused(BLIP("\"size\": \"384\""), FV_EFORMAT, "is no size");
  refused(BLIP("\"size\": true"), FV_EFORMAT, "is no size");
  refused(BLIP("\"size\": [1, 2, 3]"), FV_EFORMAT, "is no size");
  refused(BLIP("\"size\": [1, -2]"), FV_EFORMAT, "-2");
  refused(BLIP("\"size\": {}"), FV_EFORMAT, "\"height\" is missing");
  refused(BLIP("\"size\": {\"height\": 3}"), FV_EFORMAT, "\"width\" is missing");
  refused(BLIP("\"size\": {\"height\": 3, \"width\": \"4\"}"), FV_EFORMAT, "\"width\" is missing or not a number");
  refused(BLIP("\"size\": {\"height\": 3, \"width\": 3, \"depth\": 3}"), FV_EUNSUPPORTED, "\"depth\"");
  refused(CLIP("\"size\": {\"shortest_edge\": 3, \"longest_edge\": 9}"), FV_EUNSUPPORTED, "\"longest_edge\"");
  refused(CLIP("\"size\": {\"shortest_edge\": -3}"), FV_EFORMAT, "-3");
  refused(CLIP("\"crop_size\": {\"shortest_edge\": 3}"), FV_EFORMAT, "crop_size");
  refused(CLIP("\"crop_size\": {\"height\": 0, \"width\": 3}"), FV_EFORMAT, "crop_size");
  refused(BLIP("\"do_center_crop\": true"), FV_EFORMAT, "crop_size");
  refused(BLIP("\"do_resize\": 1"), FV_EFORMAT, "do_resize");
  refused(BLIP("\"do_normalize\": \"yes\""), FV_EFORMAT, "do_normalize");
  refused(BLIP("\"resample\": 6"), FV_EFORMAT, "resample");
  refused(BLIP("\"resample\": -1"), FV_EFORMAT, "resample");
  refused(BLIP("\"resample\": \"bicubic\""), FV_EFORMAT, "resample");
  refused(BLIP("\"rescale_factor\": 0"), FV_EFORMAT, "rescale_factor");
  refused(BLIP("\"rescale_factor\": 1e300"), FV_EFORMAT, "rescale_factor");
  refused(BLIP("\"rescale_factor\": []"), FV_EFORMAT, "rescale_factor");
  refused(BLIP("\"image_std\": [1, 0, 1]"), FV_EFORMAT, "image_std");
  refused(BLIP("\"image_std\": [1, -1, 1]"), FV_EFORMAT, "image_std");
  refused(BLIP("\"image_std\": 1e-60"), FV_EFORMAT, "image_std");
  refused(BLIP("\"image_std\": [1, 1]"), FV_EFORMAT, "2 values");
  refused(BLIP("\"image_mean\": [1, \"2\", 3]"), FV_EFORMAT, "image_mean");
  refused(BLIP("\"image_mean\": 1e60"), FV_EFORMAT, "image_mean");
  refused(BLIP("\"image_mean\": {}"), FV_EFORMAT, "image_mean");
  refused(BLIP("\"do_pad\": true, \"pad_size\": {\"height\": 9, \"width\": 9}"), FV_EUNSUPPORTED, "do_pad");
  refused("{\"image_processor_type\": \"LlavaImageProcessor\", \"do_pad\": true}", FV_EUNSUPPORTED, "LLaVA");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_of_each_type), cmocka_unit_test(model_type_stands_in),
                                     cmocka_unit_test(nested_settings), cmocka_unit_test(wrong_settings)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
