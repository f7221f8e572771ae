/* Files of torch.save in the zip format: every lie of the archive and of the tensors in it is refused. */
#include "checkpoint/craft_torch.h"

static crafted_zip z;

static void zip_refused(fv_status status, const char *word) {
  craft_load_refused(z.bytes, z.size, fv_torch_zip_load, status, word);
}

static void good_zip(void) { craft_torch(&z, NAMED(GOOD), sizeof NAMED(GOOD) - 1); }

/* The good archive with one field of `width` bytes at `at` changed. */
#define BEND(at, value, width, status, word) \
  do {                                       \
    good_zip();                              \
    craft_put(&z, z.at, value, width);       \
    zip_refused(status, word);               \
  } while (0)

static void the_good_one(void **state) {
  (void)state;
  good_zip();
  assert_int_equal(craft_load(z.bytes, z.size, fv_torch_zip_load, NULL), FV_OK);
  /* Without zip64 records, and with an archive comment. */
  const crafted_entry entries[] = {{"a/data.pkl", PROTO "}" STOP, 4, false}};
  craft_zip(&z, entries, 1, false);
  zip_refused(FV_EFORMAT, "no tensors");
  good_zip();
  craft_put(&z, z.end + 20, 5, 2);
  craft_append(&z, "PK\5\6!", 5);
  assert_int_equal(craft_load(z.bytes, z.size, fv_torch_zip_load, NULL), FV_OK);
}

static void the_end_record(void **state) {
  (void)state;
  BEND(end, 0, 4, FV_EFORMAT, "directory at the end is missing");
  BEND(end + 4, 1, 2, FV_EUNSUPPORTED, "several parts");
  BEND(end + 6, 1, 2, FV_EUNSUPPORTED, "several parts");
  BEND(end + 8, 2, 2, FV_EFORMAT, "contradicts the plain one");
  BEND(end + 10, 2, 2, FV_EFORMAT, "contradicts the plain one");
  BEND(end + 12, 1, 4, FV_EFORMAT, "contradicts the plain one");
  BEND(end + 16, 1, 4, FV_EFORMAT, "contradicts the plain one");
  BEND(end + 20, 1, 2, FV_EFORMAT, "directory at the end is missing");
  BEND(locator + 4, 1, 4, FV_EUNSUPPORTED, "several parts");
  BEND(locator + 8, 0, 8, FV_EFORMAT, "zip64 record is not where");
  BEND(locator + 8, UINT64_MAX, 8, FV_EFORMAT, "zip64 record is not where");
  BEND(locator + 8, UINT64_MAX - 60, 8, FV_EFORMAT, "zip64 record is not where");
  BEND(locator + 16, 2, 4, FV_EUNSUPPORTED, "several parts");
  BEND(zip64, 0, 4, FV_EFORMAT, "zip64 record is not where");
  BEND(zip64 + 4, 43, 8, FV_EFORMAT, "zip64 record is not where");
  BEND(zip64 + 4, UINT64_MAX, 8, FV_EFORMAT, "zip64 record is not where");
  BEND(zip64 + 16, 1, 4, FV_EUNSUPPORTED, "several parts");
  good_zip();
  memset(z.bytes + z.end + 8, 0xFF, 4);
  craft_put(&z, z.zip64 + 24, 2, 8);
  zip_refused(FV_EUNSUPPORTED, "several parts");
  /* Plain fields filled with ones leave the word to the zip64 record. */
  good_zip();
  memset(z.bytes + z.end + 8, 0xFF, 12);
  assert_int_equal(craft_load(z.bytes, z.size, fv_torch_zip_load, NULL), FV_OK);
  craft_put(&z, z.zip64 + 40, UINT64_MAX, 8);
  zip_refused(FV_EFORMAT, "directory is not where");
  good_zip();
  memset(z.bytes + z.end + 8, 0xFF, 12);
  craft_put(&z, z.zip64 + 48, UINT64_MAX, 8);
  zip_refused(FV_EFORMAT, "directory is not where");
  good_zip();
  craft_put(&z, z.end + 8, 2, 2);
  craft_put(&z, z.end + 10, 2, 2);
  craft_put(&z, z.zip64 + 24, 2, 8);
  craft_put(&z, z.zip64 + 32, 2, 8);
  zip_refused(FV_EFORMAT, "longer than its entries");
  good_zip();
  memset(z.bytes + z.end + 8, 0xFF, 4);
  craft_put(&z, z.zip64 + 24, (uint64_t)1 << 60, 8);
  craft_put(&z, z.zip64 + 32, (uint64_t)1 << 60, 8);
  zip_refused(FV_EFORMAT, "more entries");
}

static void the_entries(void **state) {
  (void)state;
  BEND(central[0], 0, 4, FV_EFORMAT, "entry of its directory is broken");
  BEND(central[1] + 8, 0x0809, 2, FV_EFORMAT, "contradicts the directory");
  BEND(central[1] + 10, 8, 2, FV_EFORMAT, "contradicts the directory");
  good_zip();
  craft_put(&z, z.central[1] + 8, 0x0809, 2);
  craft_put(&z, z.local[1] + 6, 0x0809, 2);
  zip_refused(FV_EUNSUPPORTED, "data/0 is encrypted");
  good_zip();
  craft_put(&z, z.central[1] + 10, 8, 2);
  craft_put(&z, z.local[1] + 8, 8, 2);
  zip_refused(FV_EUNSUPPORTED, "data/0 is compressed (method 8)");
  BEND(central[1] + 20, 15, 4, FV_EFORMAT, "two sizes");
  BEND(central[2] + 28, 60000, 2, FV_EFORMAT, "entry of its directory is broken");
  BEND(central[2] + 30, 60000, 2, FV_EFORMAT, "entry of its directory is broken");
  BEND(central[2] + 32, 60000, 2, FV_EFORMAT, "entry of its directory is broken");
  BEND(central[1] + 34, 1, 2, FV_EFORMAT, "another disk");
  BEND(central[1] + 42, 0xFFFFFFFE, 4, FV_EFORMAT, "outside of the file");
  BEND(central[1] + 42, 0xFFFFFFFF, 4, FV_EFORMAT, "broken"); /* promises a zip64 field that is not there */
  BEND(central[1] + 42, 1, 4, FV_EFORMAT, "no local header");
  BEND(central[1] + 42, 0, 4, FV_EFORMAT, "contradicts the directory");
  BEND(local[1], 0, 4, FV_EFORMAT, "no local header");
  BEND(central[1] + 24, 15, 4, FV_EFORMAT, "two sizes");
  BEND(local[1] + 6, 0x0809, 2, FV_EFORMAT, "contradicts the directory");
  BEND(local[1] + 8, 8, 2, FV_EFORMAT, "contradicts the directory");
  BEND(local[1] + 22, 15, 4, FV_EFORMAT, "contradicts the directory");
  BEND(local[1] + 26, 7, 2, FV_EFORMAT, "contradicts the directory");
  BEND(local[1] + 28, 65535, 2, FV_EFORMAT, "beyond the file");
  BEND(local[1] + 30, 'x', 1, FV_EFORMAT, "contradicts the directory");
  good_zip();
  craft_put(&z, z.central[1] + 20, 100000, 4);
  craft_put(&z, z.central[1] + 24, 100000, 4);
  zip_refused(FV_EFORMAT, "beyond the file");
  good_zip();
  craft_put(&z, z.central[1] + 20, 40, 4);
  craft_put(&z, z.central[1] + 24, 40, 4);
  zip_refused(FV_EFORMAT, "overlap");
}

static void wide_zip(void) {
  static const float four[4] = {1, 2, 3, 4};
  const crafted_entry entries[] = {{"a/data.pkl", NAMED(GOOD), sizeof NAMED(GOOD) - 1, true},
                                   {"a/data/0", four, 16, true}};
  craft_zip(&z, entries, 2, true);
}

/* The 64-bit fields of entries beyond 4 GiB. */
static void wide_entries(void **state) {
  (void)state;
  wide_zip();
  fv_error e = {0};
  if (craft_load(z.bytes, z.size, fv_torch_zip_load, &e)) fail_msg("%s", e.text);
  craft_put(&z, z.extra[1] + 4, 2, 2); /* field 2 instead of 1 */
  zip_refused(FV_EFORMAT, "entry of its directory is broken");
  wide_zip();
  craft_put(&z, z.extra[1] + 6, 16, 2); /* too short for the offset */
  zip_refused(FV_EFORMAT, "entry of its directory is broken");
  wide_zip();
  craft_put(&z, z.extra[1] + 8, 15, 8);
  zip_refused(FV_EFORMAT, "two sizes");
  wide_zip();
  craft_put(&z, z.extra[1] + 8, UINT64_MAX - 8, 8);
  craft_put(&z, z.extra[1] + 16, UINT64_MAX - 8, 8);
  zip_refused(FV_EFORMAT, "beyond the file");
  wide_zip();
  craft_put(&z, z.extra[1] + 24, UINT64_MAX - 8, 8);
  zip_refused(FV_EFORMAT, "outside of the file");
}

static void archives_that_are_something_else(void **state) {
  (void)state;
  const crafted_entry none[] = {{"a/other", "x", 1, false}};
  craft_zip(&z, none, 1, true);
  zip_refused(FV_EFORMAT, "without data.pkl");
  const crafted_entry two[] = {{"a/data.pkl", "x", 1, false}, {"b/data.pkl", "x", 1, false}};
  craft_zip(&z, two, 2, true);
  zip_refused(FV_EFORMAT, "two data.pkl");
  const crafted_entry same[] = {{"a/data.pkl", "x", 1, false}, {"a/data.pkl", "y", 1, false}};
  craft_zip(&z, same, 2, true);
  zip_refused(FV_EFORMAT, "one name");
  const crafted_entry script[] = {{"a/data.pkl", "x", 1, false}, {"a/constants.pkl", "x", 1, false}};
  craft_zip(&z, script, 2, true);
  zip_refused(FV_EUNSUPPORTED, "TorchScript");
  const crafted_entry big[] = {{"a/data.pkl", "x", 1, false}, {"a/byteorder", "big", 3, false}};
  craft_zip(&z, big, 2, true);
  zip_refused(FV_EUNSUPPORTED, "little-endian");
  const crafted_entry trailing[] = {{"a/data.pkl", PROTO "}" STOP "x", 5, false}};
  craft_zip(&z, trailing, 1, true);
  zip_refused(FV_EFORMAT, "1 bytes follow the end of its pickle");
  craft_zip(&z, NULL, 0, true);
  zip_refused(FV_EFORMAT, "without data.pkl");
}

static void pickle_refused(const void *pickle, size_t n, fv_status status, const char *word) {
  craft_torch(&z, pickle, n);
  zip_refused(status, word);
}
#define REFUSE(pickle, status, word) pickle_refused(pickle, sizeof(pickle) - 1, status, word)
#define ACCEPT(pickle)                                                              \
  do {                                                                              \
    fv_error e = {0};                                                               \
    craft_torch(&z, pickle, sizeof(pickle) - 1);                                    \
    if (craft_load(z.bytes, z.size, fv_torch_zip_load, &e)) fail_msg("%s", e.text); \
  } while (0)
#define BIG "\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F" /* 2^63 - 1 */
#define HALF "\x8a\x08\0\0\0\0\0\0\0\x40"              /* 2^62 */
#define MINUS "J\xFF\xFF\xFF\xFF"

static void tensors_that_lie(void **state) {
  (void)state;
  REFUSE(NAMED(TENSOR("K\1", "K\2K\2" PAIR, "K\2K\1" PAIR)), FV_EFORMAT, "tensor w reaches beyond its storage");
  REFUSE(NAMED(TENSOR("K\0", "K\2K\2" PAIR, "K\3K\1" PAIR)), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR("K\0", "K\2K\3" PAIR, "K\2K\1" PAIR)), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR(BIG, "K\2" ONE, "K\1" ONE)), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR(BIG, ")", ")")), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR(HALF, ")", ")")), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR("K\0", "K\2" ONE, BIG ONE)), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR("K\0", "K\3" ONE, HALF ONE)), FV_EFORMAT, "reaches beyond");
  REFUSE(NAMED(TENSOR("K\0", BIG "K\2" PAIR, "K\0K\0" PAIR)), FV_EFORMAT, "too many elements");
  REFUSE(NAMED(TENSOR("K\0", HALF ONE, "K\0" ONE)), FV_EFORMAT, "too many elements");
  REFUSE(NAMED(TENSOR("K\0", "J\0\0\0\x10" ONE, "K\0" ONE)), FV_EFORMAT, "save it with .contiguous()");
  /* 40 MiB once is granted, twice is not. */
#define EXPANDED TENSOR("K\0", "J\0\0\xa0\0" ONE, "K\0" ONE)
  REFUSE(PROTO "}(" TEXT1("v") EXPANDED TEXT1("w") EXPANDED "u" STOP, FV_EFORMAT, "tensor w is a view that would take");
  REFUSE(NAMED(TENSOR(MINUS, ")", ")")), FV_EFORMAT, "no valid offset");
  REFUSE(NAMED(TENSOR("N", ")", ")")), FV_EFORMAT, "no valid offset");
  REFUSE(NAMED(TENSOR("K\0", MINUS ONE, "K\1" ONE)), FV_EFORMAT, "no valid shape");
  REFUSE(NAMED(TENSOR("K\0", "K\2" ONE, MINUS ONE)), FV_EFORMAT, "no stride");
  REFUSE(NAMED(TENSOR("K\0", "K\2" ONE, "K\1K\1" PAIR)), FV_EFORMAT, "no stride");
  REFUSE(NAMED(TENSOR("K\0", "N", ")")), FV_EFORMAT, "no valid shape");
  REFUSE(NAMED(TENSOR("K\0", "N" ONE, "K\1" ONE)), FV_EFORMAT, "no valid shape");
  REFUSE(NAMED(TENSOR("K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t")), FV_EFORMAT,
         "at most 8 dimensions");
  REFUSE(NAMED(V2 ")R"), FV_EFORMAT, "unknown number of arguments");
  REFUSE(NAMED(V2 "(NNNNNNNNNtR"), FV_EFORMAT, "unknown number of arguments");
  REFUSE(NAMED(V2 "(NNNNNNtR"), FV_EFORMAT, "storage in an unknown way");
#define PARAMETER(tensor) "ctorch._utils\n_rebuild_parameter\n" tensor "\x88" ORDERED "\x87R"
  REFUSE(NAMED(PARAMETER(PARAMETER(GOOD))), FV_EFORMAT, "no tensors");
  REFUSE(PROTO "ctorch._utils\n_rebuild_parameter\n)R" STOP, FV_EUNSUPPORTED, "holds an object");
  REFUSE(PROTO "}N" GOOD "s" STOP, FV_EUNSUPPORTED, "saved under None");
  REFUSE(PROTO "}X\2\0\0\0\xFF\xFF" GOOD "s" STOP, FV_EFORMAT, "??");
  REFUSE(PROTO "K\1" STOP, FV_EUNSUPPORTED, "holds an integer");
  REFUSE(PROTO "}" TEXT1("d") "}" TEXT1("w") GOOD "ss" STOP, FV_EFORMAT, "holds no tensors itself");
}

static void storages_that_lie(void **state) {
  (void)state;
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF(FLOATS, "K\3"), "K\0", ")", ")")), FV_EFORMAT, "16 bytes, expected 3 elements");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF(FLOATS, "K\5"), "K\0", ")", ")")), FV_EFORMAT, "16 bytes, expected 5 elements");
#define BYTES STORAGE_OF("ctorch\nByteStorage\n", "K\x10")
  ACCEPT(NAMED(TENSOR_OF(BYTES, "K\0", "K\x10" ONE, "K\1" ONE)));
  REFUSE(NAMED(TENSOR_OF(BYTES, "K\0", "K\x11" ONE, "K\1" ONE)), FV_EFORMAT, "beyond");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF(FLOATS, HALF), "K\0", ")", ")")), FV_EFORMAT, "16 bytes, expected");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF("ctorch\nHalfStorage\n", "K\4"), "K\0", ")", ")")), FV_EFORMAT, "HalfStorage");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF(FLOATS, MINUS), "K\0", ")", ")")), FV_EFORMAT, "unknown way");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF("N", "K\4"), "K\0", ")", ")")), FV_EFORMAT, "unknown way");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF("ctorch\nfloat32\n", "K\4"), "K\0", ")", ")")), FV_EFORMAT, "unknown way");
  REFUSE(NAMED(TENSOR_OF(STORAGE_OF("ctorch.storage\nUntypedStorage\n", "K\x10"), "K\0", ")", ")")), FV_EFORMAT,
         "untyped storage");
  REFUSE(NAMED(TENSOR_OF("(" TEXT7("storage") FLOATS TEXT3("1/0") TEXT3("cpu") "K\4tQ", "K\0", ")", ")")), FV_EFORMAT,
         "data/1/0 of a tensor is missing");
  REFUSE(NAMED(TENSOR_OF("(" TEXT7("storage") FLOATS "tQ", "K\0", ")", ")")), FV_EFORMAT, "unknown way");
#define UNTYPED STORAGE_OF("ctorch.storage\nUntypedStorage\n", "K\x10")
  ACCEPT(NAMED(V3 "(" UNTYPED "K\0K\4" ONE "K\1" ONE "\x89" ORDERED "ctorch\nfloat32\ntR"));
  REFUSE(NAMED(V3 "(" UNTYPED "K\0K\5" ONE "K\1" ONE "\x89" ORDERED "ctorch\nfloat32\ntR"), FV_EFORMAT, "beyond");
  REFUSE(NAMED(V3 "(" UNTYPED "K\0K\4" ONE "K\1" ONE "\x89" ORDERED "ctorch\nfloat64\ntR"), FV_EFORMAT, "beyond");
  REFUSE(NAMED(V3 "(" UNTYPED "K\0K\4" ONE "K\1" ONE "\x89" ORDERED "NtR"), FV_EFORMAT, "no dtype");
  REFUSE(NAMED(V3 "(" UNTYPED "K\0K\4" ONE "K\1" ONE "\x89" ORDERED FLOATS "tR"), FV_EFORMAT, "no dtype");
}

static void unusual_but_valid(void **state) {
  (void)state;
  ACCEPT(PROTO GOOD STOP);
  ACCEPT(NAMED(TENSOR("K\3", ")", ")")));
  ACCEPT(NAMED(TENSOR("K\0", "K\0K\5" PAIR, "K\5K\1" PAIR)));
  ACCEPT(NAMED(TENSOR("K\0", "K\1K\4" PAIR, BIG "K\1" PAIR))); /* the stride of one row means nothing */
  ACCEPT(NAMED(TENSOR("K\0", "M\0\x10" ONE, "K\0" ONE)));
  ACCEPT(NAMED(TENSOR("K\0", "ctorch\nSize\nK\2K\2" PAIR ONE "R", "K\1K\2" PAIR)));
  ACCEPT(NAMED(PARAMETER(GOOD)));
  ACCEPT(NAMED("ctorch._utils\n_rebuild_parameter_with_state\n(" GOOD "\x88" ORDERED "}tR"));
  ACCEPT(PROTO "(K\1" GOOD "t" STOP);
}

/* Values of a strided view, against the indices written out by hand: element (i, j) of the transposed 2x2. */
static void a_transposed_view_has_the_right_values(void **state) {
  float out[4];
  fv_checkpoint *c;
  craft_torch(&z, NAMED(TENSOR("K\0", "K\2K\2" PAIR, "K\1K\2" PAIR)),
              sizeof NAMED(TENSOR("K\0", "K\2K\2" PAIR, "K\1K\2" PAIR)) - 1);
  craft_file(*state, "t.pt", z.bytes, z.size);
  char *path = fv_path_join(*state, "t.pt");
  assert_int_equal(fv_checkpoint_open_file(path, &c, NULL), FV_OK);
  const fv_tensor *t = fv_checkpoint_find(c, "w");
  assert_non_null(t);
  assert_int_equal(fv_tensor_read_f32(t, 0, 4, out, NULL), FV_OK);
  assert_true(out[0] == 1 && out[1] == 3 && out[2] == 2 && out[3] == 4);
  fv_checkpoint_drop(c, t); /* owned memory is not the file's to forget */
  assert_int_equal(fv_tensor_read_f32(t, 0, 4, out, NULL), FV_OK);
  assert_true(out[1] == 3);
  fv_checkpoint_close(c);
  craft_torch(&z, PROTO "}(" TEXT1("w") GOOD TEXT1("w") GOOD "u" STOP,
              sizeof(PROTO "}(" TEXT1("w") GOOD TEXT1("w") GOOD "u" STOP) - 1);
  craft_file(*state, "t.pt", z.bytes, z.size);
  craft_refused(*state, "t.pt", FV_EFORMAT, "tensor w is there twice");
  free(path);
}

static void real_files_that_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *name;
    fv_status status;
    const char *word;
  } files[] = {
      {"module.pt", FV_EUNSUPPORTED, "__main__.Small"}, {"complex.pt", FV_EUNSUPPORTED, "torch.ComplexFloatStorage"},
      {"set.pt", FV_EUNSUPPORTED, "__builtin__.set"},   {"protocol4.pt", FV_EUNSUPPORTED, "protocol 4"},
      {"nested_only.pt", FV_EFORMAT, "state_dict"},     {"torchscript.pt", FV_EUNSUPPORTED, "TorchScript"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    craft_refused(FV_TEST_DATA "/checkpoint", files[i].name, files[i].status, files[i].word);
}

static void files_that_are_no_torch_files(void **state) {
  craft_file(*state, "x.bin", "", 0);
  craft_refused(*state, "x.bin", FV_EFORMAT, "neither like a zip archive nor like a pickle");
  craft_file(*state, "x.bin", "hello, world", 12);
  craft_refused(*state, "x.bin", FV_EFORMAT, "neither like a zip archive nor like a pickle");
  craft_file(*state, "x.bin", "version https://git-lfs.github.com/spec/v1\n", 43);
  craft_refused(*state, "x.bin", FV_EFORMAT, "git lfs pull");
  char tar[512] = "pickle";
  memcpy(tar + 257, "ustar", 5);
  craft_file(*state, "x.bin", tar, sizeof tar);
  craft_refused(*state, "x.bin", FV_EFORMAT, "tar file");
}

static void every_truncation(void **state) {
  (void)state;
  craft_truncations("zip/pytorch_model.bin", fv_torch_load);
}

static int setup(void **state) { return (*state = craft_folder()) == NULL; }
static int teardown(void **state) {
  craft_remove(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_good_one),
                                     cmocka_unit_test(the_end_record),
                                     cmocka_unit_test(the_entries),
                                     cmocka_unit_test(wide_entries),
                                     cmocka_unit_test(archives_that_are_something_else),
                                     cmocka_unit_test(tensors_that_lie),
                                     cmocka_unit_test(storages_that_lie),
                                     cmocka_unit_test(unusual_but_valid),
                                     cmocka_unit_test(a_transposed_view_has_the_right_values),
                                     cmocka_unit_test(real_files_that_are_refused),
                                     cmocka_unit_test(files_that_are_no_torch_files),
                                     cmocka_unit_test(every_truncation)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
