/* The residual stream is the sum of what the blocks add to it, on every stack of every family: pre-norm
 * resid_pre + attn.out = resid_mid and resid_mid + mlp.out = resid_post to the bit, post-norm the same inside the norm,
 * and with cross-attention in between. In an unedited run and in an edited one. */
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
#include "support/vectors.h"

static const struct {
  const char *name, *edit;
  int sums; /* what is compared, per run */
} checkpoints[] = {{"blip/tied", "scale text_encoder.0.cross.z 2", 16},
                   {"blip/legacy", "zero vision.0.mlp.post@3", 14},
                   {"blip_caption/shards", "scale vision.1.attn.z#0 -1", 7},
                   {"blip_itm/zip", "zero text_encoder.0.mlp.out@1", 12},
                   {"vit/shards", "scale vision.0.attn.out 3", 4},
                   {"vit/bare", "zero vision.1.attn.z#2", 4},
                   {"bert/shards", "zero text_encoder.1.mlp.pre@2", 4},
                   {"bert/legacy", "scale text_encoder.0.resid_mid 2", 4},
                   {"clip/zip", "zero text_encoder.1.attn.out@2", 8},
                   {"clip/shards", "scale vision.0.mlp.in 0.5", 8},
                   {"llava/grouped", "zero language.1.attn.z#4", 10},
                   {"llava/first", "scale projector.mlp.out 2", 8},
                   {"llava/phi3", "zero language.0.mlp.up@7", 10},
                   {"llava/native", "scale language.1.attn.rot_k#2 0.5", 12}};
enum { NCHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

/* Reads a whole site of a run, which is computed alone. */
static float *read_site(fv_wave *w, int run, const fv_input *in, int step) {
  const fv_plan *p = fv_wave_model(w)->plan;
  const fv_step *s = &p->steps[step];
  char address[128];
  fv_selection *list;
  size_t n;
  snprintf(address, sizeof address, "%s.%d.%s@*", p->stacks[s->stack].name, s->layer, s->site);
  OK(fv_address_resolve(fv_wave_model(w), in, address, &list, &n, ERR));
  float *out = fv_alloc((size_t)(list->nrows * list->width), sizeof *out);
  OK(fv_wave_read(w, run, list, out, ERR));
  fv_selection_release(list);
  free(list);
  return out;
}

static float *tensor_of(const fv_model *m, int step, int which, int64_t n) {
  const fv_tensor *t;
  float *out = fv_alloc((size_t)n, sizeof *out);
  OK(fv_model_step_tensor(m, step, which, &t, ERR));
  OK(fv_tensor_read_f32(t, 0, n, out, ERR));
  return out;
}

/* y = norm(a + b), row by row in float64. */
static void compare_normed(const fv_model *m, int step, int64_t T, const float *a, const float *b, const float *y) {
  const fv_step *s = &m->plan->steps[step];
  int64_t D = s->width;
  float *gain = tensor_of(m, step, 0, D), *offset = tensor_of(m, step, 1, D);
  for (int64_t t = 0; t < T; t++) {
    double mean = 0.0, variance = 0.0;
    for (int64_t d = 0; d < D; d++) mean += (double)a[t * D + d] + b[t * D + d];
    mean /= (double)D;
    for (int64_t d = 0; d < D; d++) variance += pow((double)a[t * D + d] + b[t * D + d] - mean, 2.0) / (double)D;
    for (int64_t d = 0; d < D; d++) {
      double x = ((double)a[t * D + d] + b[t * D + d] - mean) / sqrt(variance + (double)s->eps) * gain[d] + offset[d];
      if (!(fabs(x - y[t * D + d]) <= 2e-5 * (1.0 + fabs(x))))
        fail_msg("%s.%d.%s row %lld: %g, and %g from its parts", m->plan->stacks[s->stack].name, s->layer, s->site,
                 (long long)t, (double)y[t * D + d], x);
    }
  }
  free(gain), free(offset);
}

/* The step that adds: of `step` itself, or of what its norm reads. */
static int sum_of(const fv_plan *p, int step, bool *normed) {
  *normed = p->steps[step].kind == FV_KIND_LAYERNORM;
  int sum = *normed ? p->steps[step].in[0] : step;
  return p->steps[sum].kind == FV_KIND_ADD ? sum : -1;
}

/* A residual site whose two summands are sites of the same block, or the block's input. */
static bool compare_sum(const fv_model *m, const fv_input *in, int step, float **data) {
  const fv_plan *p = m->plan;
  const fv_step *s = &p->steps[step];
  bool normed;
  int sum = sum_of(p, step, &normed);
  if (s->layer < 0 || !s->site || strncmp(s->site, "resid_", 6) != 0 || sum < 0) return false;
  int64_t T = fv_input_space_rows(in, s->space), D = s->width;
  const float *a = data[p->steps[sum].in[0]], *b = data[p->steps[sum].in[1]], *y = data[step];
  assert_true(a && b && y);
  if (normed) compare_normed(m, step, T, a, b, y);
  for (int64_t i = 0; i < T * D && !normed; i++)
    if (a[i] + b[i] != y[i])
      fail_msg("%s.%d.%s: element %lld is %a, the sum is %a", p->stacks[s->stack].name, s->layer, s->site, (long long)i,
               (double)y[i], (double)(a[i] + b[i]));
  return true;
}

static void streams_are_sums(void **state) {
  (void)state;
  for (int c = 0; c < NCHECKPOINTS; c++) {
    fv_vectors v;
    char *dir = fv_format("%s/%s", FV_TEST_DATA, checkpoints[c].name);
    vectors_open(dir, &v);
    const fv_plan *p = v.model->plan;
    fv_input *in = vectors_input(&v, vectors_case(&v, 0));
    for (int edited = 0; edited < 2; edited++) {
      fv_wave *w;
      int run, sums = 0;
      float **data = fv_alloc((size_t)p->nsteps, sizeof *data);
      OK(fv_wave_new(v.model, NULL, &w, ERR));
      OK(fv_wave_run(w, -1, in, &run, ERR));
      if (edited) OK(fv_wave_do(w, run, checkpoints[c].edit, -1, ERR));
      for (int i = 0; i < p->nsteps; i++) {
        bool embedding = p->steps[i].site && strcmp(p->steps[i].site, "embed") == 0;
        const char *site = p->steps[i].site;
        bool wanted = site && (strncmp(site, "resid_", 6) == 0 || strstr(site, ".out"));
        if (p->steps[i].layer >= 0 && wanted) data[i] = read_site(w, run, in, i);
        if (embedding) {
          fv_selection *list;
          size_t n;
          char address[64];
          snprintf(address, sizeof address, "%s.embed", p->stacks[p->steps[i].stack].name);
          OK(fv_address_resolve(v.model, in, address, &list, &n, ERR));
          data[i] = fv_alloc((size_t)(list->nrows * list->width), sizeof **data);
          OK(fv_wave_read(w, run, list, data[i], ERR));
          fv_selection_release(list), free(list);
        }
      }
      OK(fv_wave_compute(w, NULL, ERR));
      /* An edit of a residual site itself is no sum any more. */
      const char *target = edited && strstr(checkpoints[c].edit, "resid_") ? checkpoints[c].edit : NULL;
      for (int i = 0; i < p->nsteps; i++) {
        char address[96];
        snprintf(address, sizeof address, "%s.%d.%s", p->stacks[p->steps[i].stack].name, p->steps[i].layer,
                 p->steps[i].site ? p->steps[i].site : "-");
        if (target && strstr(target, address)) continue;
        sums += compare_sum(v.model, in, i, data);
      }
      if (sums != checkpoints[c].sums - (target != NULL))
        fail_msg("%s: %d sums, expected %d", checkpoints[c].name, sums, checkpoints[c].sums);
      for (int i = 0; i < p->nsteps; i++) free(data[i]);
      free(data);
      fv_wave_free(w);
    }
    fv_input_free(in);
    vectors_close(&v);
    free(dir);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(streams_are_sums)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
