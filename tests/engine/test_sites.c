/* What every site promises: written back it changes nothing, zeroed it matters, and the residual identities hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "model/loaded.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

enum { V = 41, MODELS = 4 };

static const tiny_shape shapes[MODELS] = {{.vision_D = 12,
                                           .vision_H = 3,
                                           .vision_F = 17,
                                           .vision_L = 2,
                                           .side = 3,
                                           .patch = 2,
                                           .text_D = 10,
                                           .text_H = 2,
                                           .text_F = 13,
                                           .text_L = 2,
                                           .V = V,
                                           .positions = 15,
                                           .tied = true},
                                          {.vision_D = 5,
                                           .vision_H = 1,
                                           .vision_F = 7,
                                           .vision_L = 1,
                                           .side = 1,
                                           .patch = 3,
                                           .text_D = 21,
                                           .text_H = 3,
                                           .text_F = 5,
                                           .text_L = 3,
                                           .V = V,
                                           .positions = 14,
                                           .act = 1},
                                          {.vision_D = 24,
                                           .vision_H = 4,
                                           .vision_F = 31,
                                           .vision_L = 3,
                                           .side = 2,
                                           .patch = 1,
                                           .text_D = 6,
                                           .text_H = 6,
                                           .text_F = 9,
                                           .text_L = 1,
                                           .V = V,
                                           .positions = 12,
                                           .act = 3},
                                          {.vision_D = 14,
                                           .vision_H = 7,
                                           .vision_F = 16,
                                           .vision_L = 2,
                                           .side = 4,
                                           .patch = 2,
                                           .text_D = 16,
                                           .text_H = 4,
                                           .text_F = 32,
                                           .text_L = 2,
                                           .V = V,
                                           .positions = 16,
                                           .tied = true,
                                           .act = 2}};

static fv_status keep(void *user, int run, const float *logits, int64_t n, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)n * sizeof *logits);
  return FV_OK;
}

typedef struct site_test {
  tiny_blip tiny;
  fv_model *model;
  fv_input *input;
  int64_t answer_rows;
} site_test;

static void open_test(int i, int64_t prompt, site_test *t) {
  const int32_t ids[] = {8, 30, 5};
  tiny_blip_new(&shapes[i], 40 + (uint64_t)i, 1.0, &t->tiny);
  tiny_blip_save(&t->tiny);
  OK(fv_model_open(t->tiny.dir, &(fv_model_options){.threads = 2}, &t->model, ERR));
  t->input = tiny_input(t->model, &t->tiny, i % TINY_IMAGES, "how many dogs on the sea ?", ids, prompt);
  t->answer_rows = prompt + 1;
}

static void close_test(site_test *t) {
  fv_input_free(t->input);
  fv_model_close(t->model);
  tiny_blip_release(&t->tiny);
}

static fv_selection *resolve(const site_test *t, const char *address) {
  fv_selection *s;
  size_t n;
  OK(fv_address_resolve(t->model, t->input, address, &s, &n, ERR));
  assert_int_equal(n, 1);
  return s;
}

static void drop(fv_selection *s) {
  fv_selection_release(s);
  free(s);
}

static float *read_site(const site_test *t, const fv_selection *s) {
  fv_wave *w;
  int run;
  float *out = fv_alloc((size_t)(s->nrows * s->width), sizeof *out);
  OK(fv_wave_new(t->model, NULL, &w, ERR));
  OK(fv_wave_run(w, -1, t->input, &run, ERR));
  OK(fv_wave_read(w, run, s, out, ERR));
  OK(fv_wave_compute(w, NULL, ERR));
  fv_wave_free(w);
  return out;
}

/* Two runs per site in one wave: its own values written back, and the clean run's copied. */
static void writing_back_changes_nothing(void **state) {
  (void)state;
  for (int i = 0; i < MODELS; i++) {
    site_test t;
    open_test(i, i % 2 ? 3 : 0, &t);
    int n = (int)fv_model_sites(t.model), clean;
    float *logits = fv_alloc((size_t)(2 * n + 1) * V, sizeof *logits);
    fv_wave *w;
    OK(fv_wave_new(t.model, NULL, &w, ERR));
    OK(fv_wave_run(w, -1, t.input, &clean, ERR));
    OK(fv_wave_readout(w, clean, keep, logits, ERR));
    for (int k = 0; k < n; k++) {
      fv_site_info info;
      OK(fv_model_site(t.model, (size_t)k, &info, NULL, 0, ERR));
      fv_selection *s = resolve(&t, info.address);
      float *values = read_site(&t, s);
      fv_edit_options o[2] = {{.op = "replace", .at = s, .source = -1, .values = values, .values_rows = s->nrows},
                              {.op = "replace", .at = s, .source = clean}};
      for (int e = 0; e < 2; e++) {
        int run;
        OK(fv_wave_run(w, clean, NULL, &run, ERR));
        OK(fv_wave_edit(w, run, &o[e], ERR));
        OK(fv_wave_readout(w, run, keep, logits + (1 + 2 * k + e) * V, ERR));
      }
      free(values);
      drop(s);
    }
    OK(fv_wave_compute(w, NULL, ERR));
    for (int k = 0; k < 2 * n; k++) {
      fv_site_info info;
      OK(fv_model_site(t.model, (size_t)k / 2, &info, NULL, 0, ERR));
      if (memcmp(logits, logits + (k + 1) * V, V * sizeof *logits) != 0)
        fail_msg("model %d: %s %s changes the logits", i, info.address, k % 2 ? "copied from itself" : "written back");
    }
    fv_wave_free(w);
    free(logits);
    close_test(&t);
  }
}

/* Where zero may make no difference: a softmax over one key is 1 whatever its score is. */
static bool inert(const site_test *t, const char *address) {
  bool one_answer_row = t->answer_rows == 1;
  const char *site = strchr(address, '.') + 3;
  bool query = strcmp(site, "attn.q") == 0 || strcmp(site, "attn.k") == 0 || strcmp(site, "attn.scores") == 0;

  return strncmp(address, "text_decoder.", 13) == 0 && one_answer_row && query;
}

static void zero_matters_everywhere(void **state) {
  (void)state;
  int excused = 0, all = 0;
  for (int i = 0; i < 2 * MODELS; i++) {
    site_test t;
    open_test(i / 2, i % 2 ? 3 : 0, &t);
    int n = (int)fv_model_sites(t.model), clean;
    float *logits = fv_alloc((size_t)(n + 1) * V, sizeof *logits);
    fv_wave *w;
    OK(fv_wave_new(t.model, NULL, &w, ERR));
    OK(fv_wave_run(w, -1, t.input, &clean, ERR));
    OK(fv_wave_readout(w, clean, keep, logits, ERR));
    for (int k = 0; k < n; k++) {
      fv_site_info info;
      int run;
      OK(fv_model_site(t.model, (size_t)k, &info, NULL, 0, ERR));
      char *edit = fv_format("zero %s", info.address);
      OK(fv_wave_run(w, clean, NULL, &run, ERR));
      OK(fv_wave_do(w, run, edit, -1, ERR));
      OK(fv_wave_readout(w, run, keep, logits + (1 + k) * V, ERR));
      free(edit);
    }
    OK(fv_wave_compute(w, NULL, ERR));
    for (int k = 0; k < n; k++) {
      fv_site_info info;
      OK(fv_model_site(t.model, (size_t)k, &info, NULL, 0, ERR));
      bool same = memcmp(logits, logits + (1 + k) * V, V * sizeof *logits) == 0;
      if (same != inert(&t, info.address))
        fail_msg("model %d, %d answer rows: zero %s %s", i / 2, (int)t.answer_rows, info.address,
                 same ? "changes nothing" : "should change nothing");
      excused += same, all++;
    }
    fv_wave_free(w);
    free(logits);
    close_test(&t);
  }
  print_message("%d sites zeroed, %d inert for a known reason\n", all, excused);
}

static float *read_named(const site_test *t, const char *stack, int64_t layer, const char *site, int64_t *n) {
  char *address = fv_format("%s.%d.%s", stack, (int)layer, site);
  fv_selection *s = resolve(t, address);
  float *out = read_site(t, s);
  *n = s->nrows * s->width;
  drop(s), free(address);
  return out;
}

static int64_t compared;

/* resid + out = next, bit for bit, or the norm of the sum within rounding. */
static void compare_sum(const site_test *t, const char *stack, int64_t layer, const char *resid, const char *out,
                        const char *next, const char *norm, int64_t D) {
  int64_t n;
  float *a = read_named(t, stack, layer, resid, &n), *b = read_named(t, stack, layer, out, &n),
        *c = read_named(t, stack, layer, next, &n);
  const float *gain = NULL, *offset = NULL;
  if (norm) {
    const char *prefix = strcmp(stack, "text_decoder") == 0 ? "text_decoder.bert" : stack;
    char *g = fv_format("%s.encoder.layer.%d.%s.weight", prefix, (int)layer, norm),
         *o = fv_format("%s.encoder.layer.%d.%s.bias", prefix, (int)layer, norm);
    gain = tiny_tensor(&t->tiny, g), offset = tiny_tensor(&t->tiny, o);
    free(g), free(o);
  }
  for (int64_t row = 0; row < n / D; row++) {
    double mean = 0.0, var = 0.0;
    const float *x = a + row * D, *y = b + row * D, *z = c + row * D;
    for (int64_t d = 0; d < D; d++) mean += (double)(x[d] + y[d]) / (double)D;
    for (int64_t d = 0; d < D; d++) var += pow((double)(x[d] + y[d]) - mean, 2) / (double)D;
    for (int64_t d = 0; d < D; d++, compared++) {
      if (!norm && x[d] + y[d] != z[d]) fail_msg("%s.%d: %s + %s is not %s", stack, (int)layer, resid, out, next);
      if (!norm) continue;
      double want = ((double)(x[d] + y[d]) - mean) / sqrt(var + 1e-12) * (double)gain[d] + (double)offset[d];
      if (!(fabs(want - (double)z[d]) <= 1e-5 * (1.0 + fabs(want))))
        fail_msg("%s.%d: %s is %g, the norm of %s + %s is %g", stack, (int)layer, next, (double)z[d], resid, out, want);
    }
  }
  free(a), free(b), free(c);
}

static void residual_identities(void **state) {
  (void)state;
  static const char *const stacks[] = {"text_encoder", "text_decoder"};
  compared = 0;
  for (int i = 0; i < MODELS; i++) {
    site_test t;
    open_test(i, 2, &t);
    const tiny_shape *s = &shapes[i];
    for (int64_t l = 0; l < s->vision_L; l++) {
      compare_sum(&t, "vision", l, "resid_pre", "attn.out", "resid_mid", NULL, s->vision_D);
      compare_sum(&t, "vision", l, "resid_mid", "mlp.out", "resid_post", NULL, s->vision_D);
    }
    for (int64_t l = 0; l < s->text_L; l++)
      for (int k = 0; k < 2; k++) {
        compare_sum(&t, stacks[k], l, "resid_pre", "attn.out", "resid_mid", "attention.output.LayerNorm", s->text_D);
        compare_sum(&t, stacks[k], l, "resid_mid", "cross.out", "resid_cross", "crossattention.output.LayerNorm",
                    s->text_D);
        compare_sum(&t, stacks[k], l, "resid_cross", "mlp.out", "resid_post", "output.LayerNorm", s->text_D);
      }
    close_test(&t);
  }
  assert_true(compared > 5000);
}

/* softmax(scores) = pattern, and pattern x v = z, computed here in double. */
static void attention_identities(void **state) {
  (void)state;
  static const struct {
    const char *stack, *kind;
  } cases[] = {{"vision", "attn"},
               {"text_encoder", "attn"},
               {"text_encoder", "cross"},
               {"text_decoder", "attn"},
               {"text_decoder", "cross"}};
  site_test t;
  open_test(0, 3, &t);
  for (int c = 0; c < 5; c++) {
    int64_t H = strcmp(cases[c].stack, "vision") == 0 ? 3 : 2, ns, np, nv, nz;
    char site[32];
#define READ(name, n) \
  (snprintf(site, sizeof site, "%s.%s", cases[c].kind, name), read_named(&t, cases[c].stack, 1, site, n))
    float *scores = READ("scores", &ns), *pattern = READ("pattern", &np), *v = READ("v", &nv), *z = READ("z", &nz);
#undef READ
    int64_t D = strcmp(cases[c].stack, "vision") == 0 ? 12 : 10, S = nv / D, T = nz / D, Dh = D / H;
    assert_int_equal(ns, T * H * S);
    assert_int_equal(np, ns);
    for (int64_t q = 0; q < T; q++)
      for (int64_t h = 0; h < H; h++) {
        const float *x = scores + (q * H + h) * S, *p = pattern + (q * H + h) * S;
        double sum = 0.0;
        for (int64_t k = 0; k < S; k++) sum += exp((double)x[k]);
        for (int64_t k = 0; k < S; k++) assert_true(fabs(exp((double)x[k]) / sum - (double)p[k]) < 1e-5);
        for (int64_t d = 0; d < Dh; d++) {
          double want = 0.0;
          for (int64_t k = 0; k < S; k++) want += (double)p[k] * (double)v[k * D + h * Dh + d];
          assert_true(fabs(want - (double)z[q * D + h * Dh + d]) < 1e-5);
        }
        for (int64_t k = q + 1; k < S && c == 3; k++) assert_true(x[k] == -INFINITY && p[k] == 0.0f);
      }
    free(scores), free(pattern), free(v), free(z);
  }
  close_test(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(writing_back_changes_nothing),
                                     cmocka_unit_test(zero_matters_everywhere), cmocka_unit_test(residual_identities),
                                     cmocka_unit_test(attention_identities)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
