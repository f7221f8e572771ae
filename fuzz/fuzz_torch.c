/* The reader of torch.save files: zip directory, pickle machine, tensors; and the legacy format. */
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_weights(data, size, fv_torch_load); }
