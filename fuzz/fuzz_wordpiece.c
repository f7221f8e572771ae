/* WordPiece tokenizers and the normalization, cutting and decoding that come with them. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tokenizer(data, size); }
