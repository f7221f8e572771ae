#include "support/planted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

enum { D = 15, H = PLANTED_HEADS, LAYERS = PLANTED_LAYERS, POSITIONS = 9, COLOUR = 11, PLUS = 9, MINUS = 10 };

static const tiny_shape shape = {.vision_D = 8,
                                 .vision_H = 2,
                                 .vision_F = 4,
                                 .vision_L = 1,
                                 .side = 2,
                                 .patch = 2,
                                 .text_D = D,
                                 .text_H = H,
                                 .text_F = 4,
                                 .text_L = LAYERS,
                                 .V = PLANTED_V,
                                 .positions = 15};

static float *weight(const tiny_blip *b, const char *stack, int layer, const char *name) {
  char *full = layer < 0 ? fv_format("%s%s", stack, name) : fv_format("%sencoder.layer.%d.%s", stack, layer, name);
  float *data = tiny_tensor(b, full);
  free(full);
  return data;
}

/* Every query, key and value of the encoder is noise: it is computed, and leads nowhere. */
static void add_noise(const tiny_blip *b) {
  static const char *const names[] = {"attention.self.query.weight",    "attention.self.key.weight",
                                      "attention.self.value.weight",    "crossattention.self.query.weight",
                                      "crossattention.self.key.weight", "crossattention.self.value.weight",
                                      "intermediate.dense.weight"};
  fv_rng rng;
  fv_rng_torch(&rng, 12);
  for (int l = 0; l < LAYERS; l++)
    for (int i = 0; i < 7; i++) {
      char *full = fv_format("text_encoder.encoder.layer.%d.%s", l, names[i]);
      const fv_named_array *t = tiny_array(b, full);
      fv_rng_fill_normal(&rng, 0.0, 1.0, t->shape[0] * t->shape[1], tiny_tensor(b, full));
      free(full);
    }
}

static void plant_head(const tiny_blip *b, int layer, int head) {
  const char *stack = "text_encoder.";
  float *query = weight(b, stack, layer, "crossattention.self.query.weight"),
        *value = weight(b, stack, layer, "crossattention.self.value.weight"),
        *out = weight(b, stack, layer, "crossattention.output.dense.weight");
  int z = head * (D / H);
  memset(query + z * D, 0, D / H * D * sizeof *query); /* looks at all patches alike */
  memset(value + z * 8, 0, 8 * sizeof *value);
  value[z * 8] = 1.0f;
  out[PLUS * D + z] = 1.0f, out[MINUS * D + z] = -1.0f;
}

static void plant(const tiny_blip *b, int layer, int head) {
  float *patches = tiny_tensor(b, "vision_model.embeddings.patch_embedding.weight");
  for (int i = 0; i < 2 * 2; i++) { /* [8, 3, 2, 2]: red minus blue, and its opposite */
    patches[i] = 0.5f, patches[8 + i] = -0.5f;
    patches[12 + i] = -0.5f, patches[20 + i] = 0.5f;
  }
  add_noise(b);
  float *place = weight(b, "text_encoder.", -1, "embeddings.position_embeddings.weight"),
        *word = weight(b, "text_encoder.", -1, "embeddings.word_embeddings.weight");
  for (int t = 0; t < POSITIONS; t++) place[t * D + t] = 1.0f;
  word[PLANTED_RED * D + COLOUR] = word[PLANTED_BLUE * D + COLOUR] = 1.0f;
  plant_head(b, layer, head);
  const char *decoder = "text_decoder.bert.";
  weight(b, decoder, -1, "embeddings.position_embeddings.weight")[COLOUR] = 1.0f;
  weight(b, decoder, 0, "crossattention.self.query.bias")[0] = 200.0f;
  weight(b, decoder, 0, "crossattention.self.key.weight")[COLOUR] = 200.0f;
  weight(b, decoder, 0, "crossattention.self.value.weight")[PLUS] = 1.0f;
  float *out = weight(b, decoder, 0, "crossattention.output.dense.weight");
  out[PLUS * D] = 1.0f, out[MINUS * D] = -1.0f;
  float *dense = tiny_tensor(b, "text_decoder.cls.predictions.transform.dense.weight"),
        *words = tiny_tensor(b, "text_decoder.cls.predictions.decoder.weight");
  for (int d = 0; d < D; d++) dense[d * D + d] = 1.0f;
  words[PLANTED_RED * D + PLUS] = 1.0f, words[PLANTED_BLUE * D + MINUS] = 1.0f;
}

void planted_picture(const char *path, int red, int green, int blue) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  fprintf(f, "P6\n1 1\n255\n%c%c%c", red, green, blue);
  assert_int_equal(fclose(f), 0);
}

void planted_blip_new(int layer, int head, tiny_blip *b) {
  tiny_blip_new(&shape, 1, 0.0, b);
  plant(b, layer, head);
  tiny_blip_save(b);
  planted_picture(b->images[0], 255, 0, 0), planted_picture(b->images[1], 0, 0, 255);
}
