/* Rotary frequencies bit for bit as PyTorch computes them, and the scalings' limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/rope.h"

/* torch 2: 1.0 / (10000.0 ** (torch.arange(0, 128, 2).float() / 128)) */
static const uint32_t frequencies_128[64] = {
    0x3f800000, 0x3f5dafd7, 0x3f3ff911, 0x3f263de0, 0x3f0ff59a, 0x3ef953cf, 0x3ed7e89b, 0x3ebaf81b,
    0x3ea1e89b, 0x3e8c3504, 0x3e72d423, 0x3e5247ed, 0x3e361887, 0x3e1db040, 0x3e088d77, 0x3dec7fd6,
    0x3dcccccd, 0x3db15978, 0x3d99940d, 0x3d84fe4d, 0x3d6655c2, 0x3d47763f, 0x3d2cba15, 0x3d159348,
    0x3d0186e3, 0x3ce054d2, 0x3cc2434f, 0x3ca8398b, 0x3c91ad39, 0x3c7c4d33, 0x3c5a7bf2, 0x3c3d3311,
    0x3c23d70a, 0x3c0de12d, 0x3bf5b9b0, 0x3bd4ca15, 0x3bb8449c, 0x3b9f91cc, 0x3b8a2e77, 0x3b6f520e,
    0x3b4f3e38, 0x3b33770f, 0x3b1b690d, 0x3b06946f, 0x3ae91528, 0x3ac9d75c, 0x3aaec98e, 0x3a975c0e,
    0x3a83126f, 0x3a6301e2, 0x3a44948c, 0x3a2a3b44, 0x3a136a16, 0x39ff4fac, 0x39dd1725, 0x39bf74d7,
    0x39a5cb60, 0x398f9272, 0x3978a815, 0x395753e4, 0x393a7753, 0x39217916, 0x390bd472, 0x38f22ce2,
};

static void frequencies_equal_pytorch(void **state) {
  (void)state;
  fv_rope r = {.width = 128, .theta = 10000.0};
  float f[64];
  fv_rope_frequencies(&r, f);
  for (int i = 0; i < 64; i++) {
    uint32_t bits;
    memcpy(&bits, &f[i], sizeof bits);
    assert_int_equal(bits, frequencies_128[i]);
  }
}

/* Fast rotations stay, slow ones are divided by the factor, and those between lie between. */
static void llama3_scales_slow_rotations(void **state) {
  (void)state;
  fv_rope plain = {.width = 128, .theta = 500000.0}, scaled = plain;
  scaled.type = FV_ROPE_LLAMA3, scaled.factor = 8.0, scaled.low = 1.0, scaled.high = 4.0, scaled.trained = 8192;
  float f[64], g[64];
  fv_rope_frequencies(&plain, f);
  fv_rope_frequencies(&scaled, g);
  int between = 0;
  for (int i = 0; i < 64; i++) {
    double wavelength = 2.0 * acos(-1.0) / (double)f[i];
    if (wavelength < 2048.0)
      assert_true(g[i] == f[i]);
    else if (wavelength > 8192.0)
      assert_true(g[i] == f[i] / 8.0f);
    else
      assert_true(g[i] < f[i] && g[i] > f[i] / 8.0f), between++;
  }
  assert_true(between > 3);
}

/* The angle is rounded to float32 before the cosine: in float64 position 4000 would give other digits. */
static void angles_are_float32(void **state) {
  (void)state;
  fv_rope r = {.width = 6, .theta = 10000.0, .type = FV_ROPE_LINEAR, .factor = 3.0};
  float f[3], *cosines, *sines;
  fv_rope_frequencies(&r, f);
  assert_int_equal(fv_rope_tables(&r, 4096, &cosines, &sines, NULL), FV_OK);
  for (int i = 0; i < 3; i++) {
    double angle = (double)(4000.0f * f[i]);
    assert_true(cosines[4000 * 3 + i] == (float)cos(angle) && sines[4000 * 3 + i] == (float)sin(angle));
    assert_true(cosines[i] == 1.0f && sines[i] == 0.0f);
  }
  free(cosines), free(sines);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(frequencies_equal_pytorch),
                                     cmocka_unit_test(llama3_scales_slow_rotations),
                                     cmocka_unit_test(angles_are_float32)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
