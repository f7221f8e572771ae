/* Files of torch.save before torch 1.6: five pickles and the raw storages, exactly to the end of the file. */
#include "checkpoint/craft_torch.h"

#define MAGIC PROTO "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" STOP
#define VERSION PROTO "M\xe9\x03" STOP
#define SYSTEM PROTO "}X\x0d\0\0\0little_endian\x88s" STOP
#define TENSOR_WITH(count, view, offset, size) TENSOR_OF(LEGACY_STORAGE(count, view), offset, size "" ONE, "K\1" ONE)
#define OBJECT NAMED(TENSOR_WITH("K\4", "N", "K\0", "K\4"))
#define KEYS PROTO "]" TEXT1("0") "a" STOP
#define FOUR         \
  "\4\0\0\0\0\0\0\0" \
  "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40" /* 1, 2, 3, 4 */

static void refused(const void *bytes, size_t n, fv_status status, const char *word) {
  craft_load_refused(bytes, n, fv_torch_legacy_load, status, word);
}
#define REFUSE(bytes, status, word) refused(bytes, sizeof(bytes) - 1, status, word)

static void accepted(const void *bytes, size_t n) {
  fv_error e = {0};
  if (craft_load(bytes, n, fv_torch_legacy_load, &e)) fail_msg("%s", e.text);
}
#define ACCEPT(bytes) accepted(bytes, sizeof(bytes) - 1)

static void the_preamble(void **state) {
  (void)state;
  ACCEPT(MAGIC VERSION SYSTEM OBJECT KEYS FOUR);
  REFUSE(PROTO "K\1" STOP VERSION SYSTEM OBJECT KEYS FOUR, FV_EFORMAT, "magic number");
  REFUSE(PROTO "}" STOP, FV_EFORMAT, "magic number");
  REFUSE(MAGIC PROTO "M\xea\x03" STOP SYSTEM OBJECT KEYS FOUR, FV_EUNSUPPORTED, "unknown version, expected 1001");
  REFUSE(MAGIC VERSION PROTO "}X\x0d\0\0\0little_endian\x89s" STOP OBJECT KEYS FOUR, FV_EUNSUPPORTED, "little-endian");
  REFUSE(MAGIC VERSION PROTO "}" STOP OBJECT KEYS FOUR, FV_EUNSUPPORTED, "little-endian");
  REFUSE(MAGIC VERSION PROTO "N" STOP OBJECT KEYS FOUR, FV_EUNSUPPORTED, "little-endian");
  REFUSE(MAGIC VERSION SYSTEM PROTO "cos\nsystem\n" STOP, FV_EUNSUPPORTED, "os.system");
  REFUSE(MAGIC VERSION SYSTEM PROTO "(X\6\0\0\0moduleNNNtQ" STOP, FV_EUNSUPPORTED, "holds a module");
}

static void the_storages(void **state) {
  (void)state;
  REFUSE(MAGIC VERSION SYSTEM OBJECT KEYS FOUR "x", FV_EFORMAT, "1 bytes follow the last storage");
  REFUSE(MAGIC VERSION SYSTEM OBJECT PROTO "]" STOP, FV_EFORMAT, "not in the file");
  REFUSE(MAGIC VERSION SYSTEM OBJECT PROTO "}" STOP FOUR, FV_EFORMAT, "has a dict where the list");
  REFUSE(MAGIC VERSION SYSTEM OBJECT PROTO "]K\1a" STOP FOUR, FV_EFORMAT, "not a text");
  REFUSE(MAGIC VERSION SYSTEM OBJECT PROTO "](" TEXT1("0") TEXT1("1") "e" STOP FOUR FOUR, FV_EFORMAT,
         "1 is listed but belongs to no tensor");
  REFUSE(MAGIC VERSION SYSTEM OBJECT PROTO "](" TEXT1("0") TEXT1("0") "e" STOP FOUR FOUR, FV_EFORMAT, "listed twice");
  REFUSE(MAGIC VERSION SYSTEM OBJECT KEYS "\5\0\0\0\0\0\0\0aaaabbbbccccddddeeee", FV_EFORMAT,
         "has 5 elements, expected 4");
  REFUSE(MAGIC VERSION SYSTEM OBJECT KEYS "\4\0\0\0\0\0\0\x80", FV_EFORMAT, "elements, expected 4");
#define HUGE_COUNT "\x8a\x08\0\0\0\0\0\0\0\x40"
  REFUSE(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH(HUGE_COUNT, "N", "K\0", "K\4")) KEYS "\0\0\0\0\0\0\0\x40", FV_EFORMAT,
         "ends within the storage");
#define TWO(a, b) PROTO "}(" TEXT1("v") a TEXT1("w") b "u" STOP
  ACCEPT(MAGIC VERSION SYSTEM TWO(TENSOR_WITH("K\4", "N", "K\0", "K\4"), TENSOR_WITH("K\4", "N", "K\2", "K\2"))
             KEYS FOUR);
  REFUSE(MAGIC VERSION SYSTEM TWO(
             TENSOR_WITH("K\4", "N", "K\0", "K\4"),
             TENSOR_OF("(" TEXT7("storage") "ctorch\nIntStorage\n" TEXT1("0") TEXT3("cpu") "K\4NtQ", "K\0", ")", ")"))
             KEYS FOUR,
         FV_EFORMAT, "disagree about the storage");
  REFUSE(MAGIC VERSION SYSTEM TWO(TENSOR_WITH("K\4", "N", "K\0", "K\4"), TENSOR_WITH("K\5", "N", "K\0", "K\4"))
             KEYS FOUR,
         FV_EFORMAT, "disagree about the storage");
}

#define VIEW(first, count) TEXT1("v") first count "\x87"

static void views_of_storages(void **state) {
  (void)state;
  ACCEPT(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", VIEW("K\1", "K\3"), "K\1", "K\2")) KEYS FOUR);
  REFUSE(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", VIEW("K\1", "K\2"), "K\1", "K\2")) KEYS FOUR, FV_EFORMAT,
         "tensor w reaches beyond its storage");
  REFUSE(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", VIEW("K\2", "K\3"), "K\0", "K\1")) KEYS FOUR, FV_EFORMAT,
         "lies outside it");
  REFUSE(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", VIEW("J\xFF\xFF\xFF\xFF", "K\3"), "K\0", "K\1")) KEYS FOUR,
         FV_EFORMAT, "lies outside it");
  REFUSE(MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", "K\1", "K\0", "K\1")) KEYS FOUR, FV_EFORMAT, "lies outside it");
}

/* Elements 2 and 3 of the storage, through a view that starts at 1. */
static void a_view_starts_where_it_should(void **state) {
  static const char bytes[] =
      MAGIC VERSION SYSTEM NAMED(TENSOR_WITH("K\4", VIEW("K\1", "K\3"), "K\1", "K\2")) KEYS FOUR;
  float out[2];
  fv_checkpoint *c;
  craft_file(*state, "v.pt", bytes, sizeof bytes - 1);
  char *path = fv_path_join(*state, "v.pt");
  assert_int_equal(fv_checkpoint_open_file(path, &c, NULL), FV_OK);
  const fv_tensor *t = fv_checkpoint_find(c, "w");
  assert_int_equal(t->count, 2);
  assert_int_equal(fv_tensor_read_f32(t, 0, 2, out, NULL), FV_OK);
  assert_true(out[0] == 3 && out[1] == 4);
  fv_checkpoint_close(c);
  free(path);
}

static void every_truncation(void **state) {
  (void)state;
  craft_truncations("legacy.bin", fv_torch_legacy_load);
  craft_truncations("legacy_module_state.bin", fv_torch_load);
}

static int setup(void **state) { return (*state = craft_folder()) == NULL; }
static int teardown(void **state) {
  craft_remove(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_preamble), cmocka_unit_test(the_storages), cmocka_unit_test(views_of_storages),
      cmocka_unit_test(a_view_starts_where_it_should), cmocka_unit_test(every_truncation)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
