/* Pickles and zip archives of torch.save made by hand, for tests that bend one thing at a time. */
#ifndef FOVEA_TESTS_CHECKPOINT_CRAFT_TORCH_H
#define FOVEA_TESTS_CHECKPOINT_CRAFT_TORCH_H

#include "checkpoint/craft.h"

/* Pieces of pickles, as adjacent string literals. */
#define PROTO "\x80\x02"
#define STOP "."
#define TEXT1(s) "X\1\0\0\0" s
#define TEXT3(s) "X\3\0\0\0" s
#define TEXT7(s) "X\7\0\0\0" s
#define ORDERED "ccollections\nOrderedDict\n)R"
#define FLOATS "ctorch\nFloatStorage\n"
#define STORAGE_OF(type, count) "(" TEXT7("storage") type TEXT1("0") TEXT3("cpu") count "tQ"
#define LEGACY_STORAGE(count, view) "(" TEXT7("storage") FLOATS TEXT1("0") TEXT3("cpu") count view "tQ"
#define V2 "ctorch._utils\n_rebuild_tensor_v2\n"
#define V3 "ctorch._utils\n_rebuild_tensor_v3\n"
/* offset, size and stride are pickled values */
#define TENSOR_OF(storage, offset, size, stride) V2 "(" storage offset size stride "\x89" ORDERED "tR"
#define TENSOR(offset, size, stride) TENSOR_OF(STORAGE_OF(FLOATS, "K\4"), offset, size, stride)
#define PAIR "\x86"
#define ONE "\x85"
#define GOOD TENSOR("K\0", "K\2K\2" PAIR, "K\2K\1" PAIR)
#define NAMED(tensor) PROTO "}" TEXT1("w") tensor "s" STOP

typedef struct crafted_entry {
  const char *name;
  const void *data;
  size_t size;
  bool wide; /* sizes and offset only in a zip64 extra field, as beyond 4 GiB */
} crafted_entry;

enum { MAX_CRAFTED = 8 };
typedef struct crafted_zip {
  uint8_t bytes[1 << 16];
  size_t size;
  size_t local[MAX_CRAFTED], data[MAX_CRAFTED], central[MAX_CRAFTED], extra[MAX_CRAFTED]; /* offsets, to bend fields */
  size_t zip64, locator, end;
} crafted_zip;

static inline void craft_put(crafted_zip *z, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; i++) z->bytes[at + i] = (uint8_t)(value >> (8 * i));
}

static inline void craft_append(crafted_zip *z, const void *bytes, size_t n) {
  assert_true(z->size + n <= sizeof z->bytes);
  memcpy(z->bytes + z->size, bytes, n);
  z->size += n;
}

static inline void craft_number(crafted_zip *z, uint64_t value, size_t width) {
  uint8_t raw[8];
  for (size_t i = 0; i < width; i++) raw[i] = (uint8_t)(value >> (8 * i));
  craft_append(z, raw, width);
}

/* The archive as torch.save lays it out: zero sizes in local headers, data descriptors, zip64 records when asked. */
static inline void craft_zip(crafted_zip *z, const crafted_entry *entries, size_t n, bool zip64) {
  memset(z, 0, sizeof *z);
  for (size_t i = 0; i < n; i++) {
    size_t name = strlen(entries[i].name);
    z->local[i] = z->size;
    craft_append(z, "PK\3\4\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 26);
    craft_number(z, name, 2);
    craft_number(z, 6, 2);
    craft_append(z, entries[i].name, name);
    craft_append(z, "FB\2\0ZZ", 6);
    z->data[i] = z->size;
    craft_append(z, entries[i].data, entries[i].size);
    craft_append(z, "PK\7\x08\0\0\0\0", 8);
    craft_number(z, entries[i].size, 4);
    craft_number(z, entries[i].size, 4);
  }
  size_t directory = z->size;
  for (size_t i = 0; i < n; i++) {
    z->central[i] = z->size;
    craft_append(z, "PK\1\2\0\0\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0", 20);
    bool wide = entries[i].wide;
    craft_number(z, wide ? UINT32_MAX : entries[i].size, 4);
    craft_number(z, wide ? UINT32_MAX : entries[i].size, 4);
    craft_number(z, strlen(entries[i].name), 2);
    craft_number(z, wide ? 32 : 0, 2);
    craft_append(z, "\0\0\0\0\0\0\0\0\0\0", 10);
    craft_number(z, wide ? UINT32_MAX : z->local[i], 4);
    craft_append(z, entries[i].name, strlen(entries[i].name));
    z->extra[i] = z->size;
    if (!wide) continue;
    craft_append(z, "FB\0\0\1\0\x18", 8); /* an unknown field of no bytes, then field 1 of 24 */
    craft_number(z, entries[i].size, 8);
    craft_number(z, entries[i].size, 8);
    craft_number(z, z->local[i], 8);
  }
  size_t bytes = z->size - directory;
  if (zip64) {
    z->zip64 = z->size;
    craft_append(z, "PK\6\6\x2c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    craft_number(z, n, 8);
    craft_number(z, n, 8);
    craft_number(z, bytes, 8);
    craft_number(z, directory, 8);
    z->locator = z->size;
    craft_append(z, "PK\6\7\0\0\0\0", 8);
    craft_number(z, z->zip64, 8);
    craft_number(z, 1, 4);
  }
  z->end = z->size;
  craft_append(z, "PK\5\6\0\0\0\0", 8);
  craft_number(z, n, 2);
  craft_number(z, n, 2);
  craft_number(z, bytes, 4);
  craft_number(z, directory, 4);
  craft_number(z, 0, 2);
}

/* a/data.pkl with the given pickle and a/data/0 with four floats 1, 2, 3, 4. */
static inline void craft_torch(crafted_zip *z, const void *pickle, size_t n) {
  static const float four[4] = {1, 2, 3, 4};
  const crafted_entry entries[] = {
      {"a/data.pkl", pickle, n, false}, {"a/data/0", four, 16, false}, {"a/version", "3\n", 2, false}};
  craft_zip(z, entries, 3, true);
}

#endif
