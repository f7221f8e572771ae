/* A planted circuit: weights written by hand so that the answer flows from the picture through one head of the text
 * encoder's cross-attention, at one row and layer. Restoring every head of every layer at every row, all runs in one
 * wave, must find exactly that place, and nothing else may change a single bit.
 *
 *   white picture: +, black picture: -          vision.final, channel 0
 *   text_encoder.1.cross.z head 2 reads it       into channels 9 and 10 of every row
 *   text_decoder.0.cross head 0 looks at row 3   and copies channel 9
 *   head: id 10 when it is positive, id 11 when negative
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

enum { D = 12, H = 3, LAYERS = 3, ROWS = 6, V = 41, LAYER = 1, HEAD = 2, ROW = 3, YES = 10, NO = 11 };

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
                                 .V = V,
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
      const char *stack = "text_encoder.";
      char *full = fv_format("%sencoder.layer.%d.%s", stack, l, names[i]);
      const fv_named_array *t = tiny_array(b, full);
      fv_rng_fill_normal(&rng, 0.0, 1.0, t->shape[0] * t->shape[1], tiny_tensor(b, full));
      free(full);
    }
}

static void plant(const tiny_blip *b) {
  float *patches = tiny_tensor(b, "vision_model.embeddings.patch_embedding.weight");
  for (int i = 0; i < 3 * 2 * 2; i++) patches[i] = 0.5f, patches[12 + i] = -0.5f;
  add_noise(b);
  float *place = weight(b, "text_encoder.", -1, "embeddings.position_embeddings.weight");
  for (int t = 0; t < ROWS; t++) place[t * D + t] = 1.0f;
  float *query = weight(b, "text_encoder.", LAYER, "crossattention.self.query.weight"),
        *value = weight(b, "text_encoder.", LAYER, "crossattention.self.value.weight"),
        *out = weight(b, "text_encoder.", LAYER, "crossattention.output.dense.weight");
  int z = HEAD * (D / H);
  memset(query + z * D, 0, D / H * D * sizeof *query); /* looks at all patches alike */
  memset(value + z * 8, 0, 8 * sizeof *value);
  value[z * 8] = 1.0f;
  out[9 * D + z] = 1.0f, out[10 * D + z] = -1.0f;
  const char *decoder = "text_decoder.bert.";
  weight(b, decoder, -1, "embeddings.position_embeddings.weight")[11] = 1.0f;
  weight(b, decoder, 0, "crossattention.self.query.bias")[0] = 200.0f;
  weight(b, decoder, 0, "crossattention.self.key.weight")[ROW] = 200.0f;
  weight(b, decoder, 0, "crossattention.self.value.weight")[9] = 1.0f;
  out = weight(b, decoder, 0, "crossattention.output.dense.weight");
  out[9 * D] = 1.0f, out[10 * D] = -1.0f;
  float *dense = tiny_tensor(b, "text_decoder.cls.predictions.transform.dense.weight"),
        *words = tiny_tensor(b, "text_decoder.cls.predictions.decoder.weight");
  for (int d = 0; d < D; d++) dense[d * D + d] = 1.0f;
  words[YES * D + 9] = 1.0f, words[NO * D + 10] = 1.0f;
}

static void paint(const tiny_blip *b, int image, int colour) {
  FILE *f = fopen(b->images[image], "wb");
  assert_non_null(f);
  fprintf(f, "P6\n1 1\n255\n%c%c%c", colour, colour, colour);
  assert_int_equal(fclose(f), 0);
}

static fv_status keep(void *user, int run, const float *logits, int64_t n, fv_error *err) {
  (void)err;
  memcpy((float *)user + run * V, logits, (size_t)n * sizeof *logits);
  return FV_OK;
}

static int answer(const float *logits) {
  int best = 0;
  for (int v = 1; v < V; v++) best = logits[v] > logits[best] ? v : best;
  return best;
}

typedef struct planted {
  tiny_blip tiny;
  fv_model *model;
  fv_input *white, *black;
  fv_wave *wave;
  int clean, corrupt;
  float logits[(2 + LAYERS * H * ROWS) * V];
} planted;

static void open_planted(planted *p) {
  tiny_blip_new(&shape, 1, 0.0, &p->tiny);
  plant(&p->tiny);
  tiny_blip_save(&p->tiny);
  paint(&p->tiny, 0, 255), paint(&p->tiny, 1, 0);
  OK(fv_model_open(p->tiny.dir, NULL, &p->model, ERR));
  p->white = tiny_input(p->model, &p->tiny, 0, "is the sky blue", NULL, 0);
  p->black = tiny_input(p->model, &p->tiny, 1, "is the sky blue", NULL, 0);
  assert_int_equal(fv_input_rows(p->white, "text_encoder"), ROWS);
  OK(fv_wave_new(p->model, NULL, &p->wave, ERR));
  OK(fv_wave_run(p->wave, -1, p->white, &p->clean, ERR));
  OK(fv_wave_run(p->wave, p->clean, p->black, &p->corrupt, ERR));
  OK(fv_wave_readout(p->wave, p->clean, keep, p->logits, ERR));
  OK(fv_wave_readout(p->wave, p->corrupt, keep, p->logits, ERR));
}

static void close_planted(planted *p) {
  fv_wave_free(p->wave);
  fv_input_free(p->white), fv_input_free(p->black);
  fv_model_close(p->model);
  tiny_blip_release(&p->tiny);
}

static int restore(planted *p, const char *what) {
  int run;
  char *edit = fv_format("replace %s", what);
  OK(fv_wave_run(p->wave, p->corrupt, NULL, &run, ERR));
  OK(fv_wave_do(p->wave, run, edit, p->clean, ERR));
  OK(fv_wave_readout(p->wave, run, keep, p->logits, ERR));
  free(edit);
  return run;
}

static void check_cell(const planted *p, int run, bool found, const char *what) {
  const float *got = p->logits + run * V, *want = p->logits + (found ? p->clean : p->corrupt) * V;
  if (answer(got) != (found ? YES : NO)) fail_msg("%s: the answer is %d", what, answer(got));
  if (memcmp(got, want, V * sizeof *got) != 0)
    fail_msg("%s: not the bits of the %s run", what, found ? "clean" : "corrupted");
}

static void one_head_at_one_row_and_layer(void **state) {
  (void)state;
  static planted p;
  char what[64];
  open_planted(&p);
  for (int l = 0; l < LAYERS; l++)
    for (int h = 0; h < H; h++)
      for (int t = 0; t < ROWS; t++) {
        snprintf(what, sizeof what, "text_encoder.%d.cross.z#%d@%d", l, h, t);
        restore(&p, what);
      }
  OK(fv_wave_compute(p.wave, NULL, ERR));
  assert_int_equal(answer(p.logits + p.clean * V), YES);
  assert_int_equal(answer(p.logits + p.corrupt * V), NO);
  int run = p.corrupt, found = 0;
  for (int l = 0; l < LAYERS; l++)
    for (int h = 0; h < H; h++)
      for (int t = 0; t < ROWS; t++) {
        bool cell = l == LAYER && h == HEAD && t == ROW;
        snprintf(what, sizeof what, "text_encoder.%d.cross.z#%d@%d", l, h, t);
        check_cell(&p, ++run, cell, what);
        found += cell;
      }
  assert_int_equal(found, 1);
  close_planted(&p);
}

/* The same fact seen from the residual stream, the values of the head, and the decoder. */
static void other_views_of_the_same_circuit(void **state) {
  (void)state;
  static const struct {
    const char *what;
    bool found;
  } cases[] = {{"text_encoder.0.resid_post@3", false},
               {"text_encoder.1.resid_mid@3", false},
               {"text_encoder.1.cross.out@3", true},
               {"text_encoder.1.cross.out@0-2,4,5", false},
               {"text_encoder.1.cross.out@3:9-10", true},
               {"text_encoder.1.cross.out@3:0-8,11", false},
               {"text_encoder.1.resid_cross@3", true},
               {"text_encoder.1.resid_post@3", true},
               {"text_encoder.2.resid_post@3", true},
               {"text_encoder.2.resid_post@0-2,4,5", false},
               {"text_encoder.1.cross.v#2", true},
               {"text_encoder.1.cross.v#0-1", false},
               {"text_encoder.1.cross.pattern", false},
               {"text_encoder.1.mlp.pre", false},
               {"vision.final", true},
               {"text_decoder.0.cross.v#0@3", true},
               {"text_decoder.0.cross.v#1,2", false},
               {"text_decoder.0.cross.z#0", true},
               {"text_decoder.0.cross.pattern", false},
               {"text_decoder.1.cross.z", false},
               {"text_decoder.2.resid_post", true}};
  static planted p;
  open_planted(&p);
  int n = sizeof cases / sizeof *cases;
  for (int i = 0; i < n; i++) restore(&p, cases[i].what);
  OK(fv_wave_compute(p.wave, NULL, ERR));
  for (int i = 0; i < n; i++) check_cell(&p, p.corrupt + 1 + i, cases[i].found, cases[i].what);
  close_planted(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_head_at_one_row_and_layer),
                                     cmocka_unit_test(other_views_of_the_same_circuit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
