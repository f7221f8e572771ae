/* A planted circuit: a tiny BLIP-VQA folder with weights written by hand, in which the picture's colour reaches the
 * answer through one head of the text encoder's cross-attention and no other way.
 *
 *   red picture: +, blue picture: -                      vision.final, channel 0
 *   text_encoder.LAYER.cross.z head HEAD reads it        into channels 9 (+) and 10 (-) of every row
 *   text_decoder.0.cross head 0 looks at the rows of the words "red" and "blue" and copies channel 9
 *   head: "red" when it is positive, "blue" when it is negative
 *
 * So the answer is the picture's colour whenever the question names red or blue; a question that names both has two
 * rows that matter, each half. All other queries, keys and values of the encoder are noise that leads nowhere:
 * restoring or zeroing any other head changes no bit. Without the head the answer is neither colour.
 *
 * Words of the vocabulary (others are [UNK]): tiny_word. Nine rows of text at most.
 */
#ifndef FOVEA_TESTS_PLANTED_H
#define FOVEA_TESTS_PLANTED_H

#include "support/tiny_blip.h"

enum { PLANTED_LAYERS = 3, PLANTED_HEADS = 3, PLANTED_V = 41, PLANTED_RED = 13, PLANTED_BLUE = 14 };

/* Writes the folder below the current one: b->dir, with the pictures b->images[0] (red) and b->images[1] (blue).
 * layer 0..2, head 0..2. tiny_blip_release removes it. */
void planted_blip_new(int layer, int head, tiny_blip *b);
/* Writes a picture of one colour, binary PPM; more red than blue is "red" to the model. */
void planted_picture(const char *path, int red, int green, int blue);

#endif
