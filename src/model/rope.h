/* Rotary embedding: the tables of cosines and sines of a stack.
 *
 * The angle of channel pair i at position t is t * f_i, rounded to float32 as PyTorch computes it, with
 * f_i = 1 / theta^(2i / width) in float32; its cosine and sine are correctly rounded. The types of transformers' rope
 * scaling that are known here change f_i only:
 *   DEFAULT  nothing
 *   LINEAR   f_i / factor
 *   LLAMA3   f_i / factor for wavelengths above trained / low, f_i below trained / high, a blend between
 * Source: transformers, modeling_rope_utils.py. Checked by: tests/engine/test_llava.c, tests/model/test_rope.c.
 */
#ifndef FOVEA_MODEL_ROPE_H
#define FOVEA_MODEL_ROPE_H

#include "model/plan.h"

/* f [width / 2] */
void fv_rope_frequencies(const fv_rope *rope, float *f);
/* cos, sin [positions, width / 2], malloc'ed. */
fv_status fv_rope_tables(const fv_rope *rope, int64_t positions, float **cos, float **sin, fv_error *err);

#endif
