/* BPE tokenizers, with the regular expressions, byte alphabets and decoders that come with them. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tokenizer(data, size); }
