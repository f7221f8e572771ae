/* The pickle machine: the listed opcodes and names are understood, everything else is refused by name, and no pickle
 * reads beyond its bytes, its stack or its memo. */
#include "checkpoint/pickle.h"

#include "checkpoint/craft_torch.h"

/* Reads the n bytes from exactly n bytes of heap memory. */
static fv_status read_bytes(const void *bytes, size_t n, fv_pickle *p, uint8_t **copy, fv_error *e) {
  *copy = malloc(n ? n : 1);
  memcpy(*copy, bytes, n);
  fv_cursor at = {*copy, *copy + n};
  return fv_pickle_read(&at, "crafted", p, e);
}

static void refused(const void *bytes, size_t n, fv_status status, const char *word) {
  fv_pickle p;
  uint8_t *copy;
  fv_error e = {0};
  fv_status st = read_bytes(bytes, n, &p, &copy, &e);
  if (st != status) fail_msg("status %d, expected %d for \"%s\": %s", (int)st, (int)status, word, e.text);
  craft_check_text(&e, "crafted", word);
  free(copy);
}
#define REFUSE(pickle, status, word) refused(pickle, sizeof(pickle) - 1, status, word)

static fv_pickle_value root_of(const void *bytes, size_t n) {
  fv_pickle p;
  uint8_t *copy;
  fv_error e = {0};
  if (read_bytes(bytes, n, &p, &copy, &e)) fail_msg("%s", e.text);
  fv_pickle_value v = p.values[p.root];
  fv_pickle_release(&p);
  free(copy);
  return v;
}
#define ROOT(pickle) root_of(pickle, sizeof(pickle) - 1)

static void numbers(void **state) {
  (void)state;
  assert_int_equal(ROOT(PROTO "K\xFF" STOP).number, 255);
  assert_int_equal(ROOT(PROTO "M\x01\xFF" STOP).number, 0xFF01);
  assert_int_equal(ROOT(PROTO "J\xFE\xFF\xFF\xFF" STOP).number, -2);
  assert_int_equal(ROOT(PROTO "J\x01\x02\x03\x04" STOP).number, 0x04030201);
  assert_int_equal(ROOT(PROTO "\x8a\0" STOP).number, 0);
  assert_int_equal(ROOT(PROTO "\x8a\x01\xFF" STOP).number, -1);
  assert_int_equal(ROOT(PROTO "\x8a\x05\0\0\0\0\x01" STOP).number, (int64_t)1 << 32);
  assert_int_equal(ROOT(PROTO "\x8a\x08\0\0\0\0\0\0\0\x80" STOP).number, INT64_MIN);
  assert_int_equal(ROOT(PROTO "\x8a\x09\0\0\0\0\0\0\0\0\x01" STOP).kind, FV_PICKLE_BIG_INT);
  assert_int_equal(ROOT(PROTO "G\x3f\xf0\0\0\0\0\0\0" STOP).kind, FV_PICKLE_REAL);
  assert_int_equal(ROOT(PROTO "\x88" STOP).number, 1);
  assert_int_equal(ROOT(PROTO "N" STOP).kind, FV_PICKLE_NONE);
}

static void containers(void **state) {
  (void)state;
  assert_int_equal(ROOT(PROTO "(K\1K\2t" STOP).count, 2);
  assert_int_equal(ROOT(PROTO "K\1K\2K\3\x87" STOP).count, 3);
  assert_int_equal(ROOT(PROTO "](K\1K\2K\3e" STOP).count, 3);
  assert_int_equal(ROOT(PROTO "]K\1a" STOP).count, 1);
  assert_int_equal(ROOT(PROTO "}(K\1K\2K\3K\4u" STOP).count, 4);
  assert_int_equal(ROOT(PROTO "}(u" STOP).count, 0);
  assert_int_equal(ROOT(PROTO ORDERED STOP).kind, FV_PICKLE_DICT);
  assert_int_equal(ROOT(PROTO "ccollections\nOrderedDict\n)\x81" STOP).kind, FV_PICKLE_DICT);
  assert_int_equal(ROOT(PROTO ORDERED "}X\x09\0\0\0_metadataNsb" STOP).count, 0);
  assert_int_equal(ROOT(PROTO "\x8f" STOP).kind, FV_PICKLE_SET);
  assert_int_equal(ROOT(PROTO "U\3abc" STOP).text_bytes, 3);
  /* A list and a dict that contain themselves. */
  assert_int_equal(ROOT(PROTO "]q\0h\0a" STOP).count, 1);
  assert_int_equal(ROOT(PROTO "}r\0\0\0\0j\0\0\0\0j\0\0\0\0s" STOP).count, 2);
}

static void names_outside_of_the_table(void **state) {
  (void)state;
  REFUSE(PROTO "cos\nsystem\n(X\2\0\0\0lstR" STOP, FV_EUNSUPPORTED, "os.system");
  REFUSE(PROTO "c__builtin__\neval\n" STOP, FV_EUNSUPPORTED, "__builtin__.eval");
  REFUSE(PROTO "cbuiltins\ngetattr\n" STOP, FV_EUNSUPPORTED, "builtins.getattr");
  REFUSE(PROTO "ctorch\nFloatStorag\n" STOP, FV_EUNSUPPORTED, "torch.FloatStorag");
  REFUSE(PROTO "ctorch\nFloatStorageX\n" STOP, FV_EUNSUPPORTED, "torch.FloatStorageX");
  REFUSE(PROTO "ctorch\n\n" STOP, FV_EUNSUPPORTED, "torch.");
  REFUSE(PROTO "c\n\n" STOP, FV_EUNSUPPORTED, "Python object");
  REFUSE(PROTO "ctorch\nQInt8Storage\n" STOP, FV_EUNSUPPORTED, "torch.QInt8Storage");
  REFUSE(PROTO "ctorch\nComplexFloatStorage\n" STOP, FV_EUNSUPPORTED, "torch.ComplexFloatStorage");
  REFUSE(PROTO "ctorch._utils\n_rebuild_tensor\n" STOP, FV_EUNSUPPORTED, "torch._utils._rebuild_tensor,");
  REFUSE(PROTO "ctorch\nFloatStorage\0\n" STOP, FV_EUNSUPPORTED, "torch.FloatStorage?");
  REFUSE(PROTO "cos\x1b[2J\nx\n" STOP, FV_EUNSUPPORTED, "os?[2J.x");
  REFUSE(PROTO "ctorch\nSize", FV_EFORMAT, "ends within the name");
  char longname[600];
  memset(longname, 'x', sizeof longname);
  memcpy(longname, PROTO "c", 3);
  refused(longname, sizeof longname, FV_EFORMAT, "ends within the name");
}

static void calls_that_are_not_calls(void **state) {
  (void)state;
  REFUSE(PROTO "K\1)R" STOP, FV_EFORMAT, "not a named function");
  REFUSE(PROTO "ctorch\nSize\nK\1R" STOP, FV_EFORMAT, "not a named function");
  REFUSE(PROTO "ctorch\nSize\n)\x81" STOP, FV_EUNSUPPORTED, "torch.Size");
  REFUSE(PROTO "ctorch\nFloatStorage\n)R" STOP, FV_EUNSUPPORTED, "torch.FloatStorage");
  REFUSE(PROTO "ctorch\nfloat16\n)R" STOP, FV_EUNSUPPORTED, "torch.float16");
  REFUSE(PROTO "ccollections\nOrderedDict\n]\x85R" STOP, FV_EFORMAT, "OrderedDict");
  REFUSE(PROTO "]}b" STOP, FV_EFORMAT, "state is given");
  REFUSE(PROTO "ctorch\nSize\n}b" STOP, FV_EFORMAT, "state is given");
  REFUSE(PROTO "K\1Q" STOP, FV_EFORMAT, "persistent id");
  REFUSE(PROTO ")Q" STOP, FV_EFORMAT, "persistent id");
  REFUSE(PROTO "(K\1tQ" STOP, FV_EFORMAT, "persistent id");
  REFUSE(PROTO "(X\6\0\0\0moduleNtQ" STOP, FV_EUNSUPPORTED, "holds a module");
}

static void stack_and_memo(void **state) {
  (void)state;
  static const char *const alone[] = {"R", "Q", "b", "s", "u", "a", "e", "t", "\x85", "\x86", "\x87", "q\0", "\x81"};
  for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
    char bytes[8] = PROTO;
    memcpy(bytes + 2, alone[i], strlen(alone[i]));
    refused(bytes, 7, FV_EFORMAT, "");
  }
  REFUSE(PROTO "K\1(R" STOP, FV_EFORMAT, "lacks");
  REFUSE(PROTO "K\1(\x85" STOP, FV_EFORMAT, "more values than there are"); /* not through a mark */
  REFUSE(PROTO "](K\1a" STOP, FV_EFORMAT, "container are missing");
  REFUSE(PROTO "](K\1s" STOP, FV_EFORMAT, "missing");
  REFUSE(PROTO "}(K\1u" STOP, FV_EFORMAT, "has no value");
  REFUSE(PROTO "]K\1K\1s" STOP, FV_EFORMAT, "no list or dict");
  REFUSE(PROTO "}K\1a" STOP, FV_EFORMAT, "no list or dict");
  REFUSE(PROTO ")(K\1e" STOP, FV_EFORMAT, "no list or dict");
  REFUSE(PROTO "h\0" STOP, FV_EFORMAT, "never remembered");
  REFUSE(PROTO "Nq\1h\0" STOP, FV_EFORMAT, "never remembered");
  REFUSE(PROTO "j\xFF\xFF\xFF\xFF" STOP, FV_EFORMAT, "never remembered");
  REFUSE(PROTO "Nr\xFF\xFF\xFF\xFF" STOP, FV_EFORMAT, "memo slots");
  REFUSE(PROTO "Nr\xFF\xFF\0\0" STOP, FV_EFORMAT, "memo slots");
  REFUSE(PROTO "(q\0" STOP, FV_EFORMAT, "nothing to remember");
  REFUSE(PROTO STOP, FV_EFORMAT, "other than one value");
  REFUSE(PROTO "NN" STOP, FV_EFORMAT, "other than one value");
  REFUSE(PROTO "(N" STOP, FV_EFORMAT, "other than one value");
  REFUSE(PROTO "N", FV_EFORMAT, "without STOP");
  REFUSE(PROTO "X\xFF\xFF\xFF\xFFx", FV_EFORMAT, "16 MiB");
  REFUSE(PROTO "X\5\0\0\0abcd", FV_EFORMAT, "within a text");
  REFUSE("N" STOP, FV_EFORMAT, "protocol");
  REFUSE("\x80\x03N" STOP, FV_EUNSUPPORTED, "protocol 3");
  REFUSE("", FV_EFORMAT, "protocol");
}

static void limits(void **state) {
  (void)state;
  size_t n = (size_t)9 << 20;
  char *bytes = malloc(n);
  memset(bytes, '(', n);
  memcpy(bytes, PROTO, 2);
  refused(bytes, n, FV_EFORMAT, "open marks");
  memset(bytes + 2, 'N', n - 2);
  refused(bytes, n, FV_EFORMAT, "values on its stack");
  /* (((N tuple) tuple) tuple) ... : as deep as it is long, and nothing recurses */
  memset(bytes + 3, 0x85, n - 3);
  refused(bytes, n, FV_EFORMAT, "too many values");
  bytes[1000000] = '.';
  assert_int_equal(root_of(bytes, 1000001).kind, FV_PICKLE_TUPLE);
  free(bytes);
}

/* Every byte that is not a listed opcode is refused, by name where it has one. */
static void every_other_opcode(void **state) {
  (void)state;
  static const char known[] = ")Rqrhj(XKMJtQN}]suaeGb.cU\x85\x86\x87\x88\x89\x8a\x81\x8f";
  for (int op = 0; op < 256; op++) {
    char bytes[] = PROTO "NN  ................";
    bytes[4] = (char)op;
    if (op != 0 && strchr(known, op)) continue;
    refused(bytes, sizeof bytes - 1, FV_EUNSUPPORTED, "opcode");
  }
  REFUSE(PROTO "\x80\x02", FV_EUNSUPPORTED, "0x80");
  REFUSE(PROTO "i", FV_EUNSUPPORTED, "INST (0x69)");
  REFUSE(PROTO "o", FV_EUNSUPPORTED, "OBJ");
  REFUSE(PROTO "\x93", FV_EUNSUPPORTED, "STACK_GLOBAL (0x93)");
  REFUSE(PROTO "0", FV_EUNSUPPORTED, "POP");
  REFUSE(PROTO "\x82", FV_EUNSUPPORTED, "EXT1");
}

static void every_truncation(void **state) {
  (void)state;
  static const char good[] = NAMED(GOOD);
  assert_int_equal(ROOT(NAMED(GOOD)).kind, FV_PICKLE_DICT);
  for (size_t n = 0; n + 1 < sizeof good - 1; n++) refused(good, n, FV_EFORMAT, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numbers),
                                     cmocka_unit_test(containers),
                                     cmocka_unit_test(names_outside_of_the_table),
                                     cmocka_unit_test(calls_that_are_not_calls),
                                     cmocka_unit_test(stack_and_memo),
                                     cmocka_unit_test(limits),
                                     cmocka_unit_test(every_other_opcode),
                                     cmocka_unit_test(every_truncation)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
