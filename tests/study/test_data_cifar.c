/* Batches of CIFAR-10's Python version, as published and pickled anew, and whatever else a pickle may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "study/data_cifar_batch.h"
#include "support/run_program.h"

#define BATCH "test_data_cifar.batch"

static fv_error err;
static char bytes[20000];

static const char *const names[] = {"python2",  "str_p2",   "str_p3",   "str_p4",  "str_p5",
                                    "bytes_p2", "bytes_p3", "bytes_p4", "bytes_p5"};
enum { NAMES = sizeof names / sizeof *names };

static size_t unpack(const char *name) {
  char path[400];
  snprintf(path, sizeof path, FV_TEST_DATA "/study/cifar_%s.gz", name);
  gzFile f = gzopen(path, "rb");
  assert_non_null(f);
  int n = gzread(f, bytes, sizeof bytes);
  gzclose(f);
  assert_true(n > 3 * 3072);
  return (size_t)n;
}

static fv_status open_bytes(const char *text, size_t n, fv_cifar_batch *out) {
  file_write(BATCH, text, n);
  return fv_cifar_batch_open(BATCH, out, &err);
}

/* The pickle alone, without a file. */
static fv_status unpickle(size_t n, fv_cifar_batch *out) {
  *out = (fv_cifar_batch){.map = {(const uint8_t *)bytes, n}};
  return fv_cifar_batch_unpickle(out, BATCH, &err);
}
static void forget(fv_cifar_batch *b) { free(b->labels), free(b->data); }

static void check(const fv_cifar_batch *b) {
  assert_int_equal(b->count, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(fv_cifar_label(b, i), 3 * i);
    for (size_t k = 0; k < 3072; k++) assert_int_equal(fv_cifar_picture(b, i)[k], (7 * k + 31 * i) % 256);
  }
}

static void test_protocols(void **state) {
  (void)state;
  for (int k = 0; k < NAMES; k++) {
    fv_cifar_batch b;
    if (open_bytes(bytes, unpack(names[k]), &b)) fail_msg("%s: %s", names[k], err.text);
    check(&b);
    fv_cifar_batch_release(&b);
    fv_cifar_batch_release(&b);
  }
}

/* NumPy before 2.0 has the same functions in a module of another name. */
static void test_older_numpy(void **state) {
  (void)state;
  static const char *const modern[] = {"cnumpy._core.multiarray\n", "\x16numpy._core.multiarray",
                                       "\x13numpy._core.numeric"};
  static const char *const older[] = {"cnumpy.core.multiarray\n", "\x15numpy.core.multiarray",
                                      "\x12numpy.core.numeric"};
  for (int k = 0; k < 3; k++) {
    fv_cifar_batch b;
    size_t n = unpack(k == 0 ? "bytes_p3" : k == 1 ? "bytes_p4" : "bytes_p5"), m = strlen(modern[k]);
    char *at = memmem(bytes, n, modern[k], m);
    assert_non_null(at);
    memcpy(at, older[k], m - 1);
    memmove(at + m - 1, at + m, n - (size_t)(at - bytes) - m);
    if (open_bytes(bytes, n - 1, &b)) fail_msg("%s: %s", older[k], err.text);
    check(&b);
    fv_cifar_batch_release(&b);
  }
}

/* Every shorter file is refused. */
static void test_cut(void **state) {
  (void)state;
  for (int k = 0; k < NAMES; k++) {
    size_t n = unpack(names[k]);
    for (size_t cut = 1; cut < n; cut += cut < 400 || cut > n - 400 ? 1 : 101) {
      fv_cifar_batch b;
      if (!unpickle(cut, &b)) fail_msg("%s: %zu of %zu bytes are accepted", names[k], cut, n);
      forget(&b);
    }
  }
}

/* A changed byte gives an error or a batch whose pictures lie in the file. */
static void test_changed(void **state) {
  (void)state;
  static const unsigned char values[] = {0,   1,   '(', ')', ']', '}', 'h',  'q', 't',
                                         'e', 'u', 'R', 'b', 'c', '.', 0x87, 0xFF};
  size_t refused = 0, n;
  for (int i = 0; i < NAMES; i++) {
    n = unpack(names[i]);
    for (size_t at = 1; at < n; at += at < 260 || at > n - 160 ? 1 : 997)
      for (size_t k = 0; k < sizeof values; k++) {
        fv_cifar_batch b;
        char old = bytes[at];
        bytes[at] = (char)values[k];
        if (unpickle(n, &b))
          refused++;
        else
          assert_true(b.count > 0 && (b.data ? b.first == b.data
                                             : b.first >= b.map.data && b.first + (b.count - 1) * b.stride + 3072 <=
                                                                            b.map.data + b.map.size));
        forget(&b);
        bytes[at] = old;
      }
  }
  assert_true(refused > 10000);
}

/* Pictures as a text: every character is a byte, none is missing and none left. */
static void test_text_of_bytes(void **state) {
  (void)state;
  static const struct {
    unsigned char at[2];
    const char *text;
  } cases[] = {
      {{0xC3, 0x87}, "\xC4\x87"}, {{0xC3, 0x87}, "\xC3\x07"}, {{0xC3, 0x87}, "aa"}, {{0xC2, 0x80}, "\x80\xC2"}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    fv_cifar_batch b;
    size_t n = unpack("bytes_p2");
    char *at = memmem(bytes, n, cases[k].at, 2);
    assert_non_null(at);
    memcpy(at, cases[k].text, 2);
    assert_int_equal(open_bytes(bytes, n, &b), FV_EFORMAT);
    assert_non_null(strstr(err.text, "its data are not 3072 bytes per label"));
  }
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    fv_status status;
    const char *error;
  } cases[] = {
      {"\x80\x02"
       "cos\nsystem\n.",
       FV_EUNSUPPORTED, "the pickle names os.system, which a batch of CIFAR-10 does not"},
      {"\x80\x04\x8c\x08"
       "builtins\x8c\x04"
       "eval\x93.",
       FV_EUNSUPPORTED, "the pickle names builtins.eval"},
      {"\x80\x02}.", FV_EFORMAT, "it has no \"labels\" or no \"data\""},
      {"\x80\x02.", FV_EFORMAT, "it has no \"labels\""},
      {"\x80\x02}", FV_EFORMAT, "it is cut off"},
      {"\x80\x02\x85.", FV_EFORMAT, "a tuple lacks its items"},
      {"\x80\x02t.", FV_EFORMAT, "a tuple lacks its items"},
      {"\x80\x02(\x85.", FV_EFORMAT, "a tuple lacks its items"},
      {"\x80\x02"
       "a.",
       FV_EFORMAT, "items without a list or dict"},
      {"\x80\x02NNa.", FV_EFORMAT, "items for something else"},
      {"\x80\x02N(Ne.", FV_EFORMAT, "items for something else"},
      {"\x80\x02](((e.", FV_EFORMAT, "items without a list or dict"},
      {"\x80\x02"
       "c_codecs\nencode\n(X\x01\x01\x01\x01",
       FV_EFORMAT, "it is cut off"},
      {"\x80\x03"
       "c_codecs\nencode\n(U\x01xU\x05utf-8tR.",
       FV_EFORMAT, "bytes that are not a text in latin1"},
      {"\x80\x03"
       "c_codecs\nencode\n(U\x01xtR.",
       FV_EFORMAT, "bytes that are not a text in latin1"},
      {"\x80\x03"
       "cnumpy._core.numeric\n_frombuffer\n(U\x01xtR.",
       FV_EFORMAT, "an array's buffer has not four parts"},
      {"\x80\x03"
       "cnumpy._core.numeric\n_frombuffer\n(U\x01xcnumpy\ndtype\n(U\x02u1tRK\x01\x85U\x01"
       "FtR.",
       FV_EFORMAT, "not one of bytes in C order"},
      {"\x80\x03"
       "cnumpy._core.numeric\n_frombuffer\n(U\x01xcnumpy\ndtype\n(U\x02i8tRK\x01\x85U\x01"
       "CtR.",
       FV_EFORMAT, "not one of bytes in C order"},
      {"\x80\x02h\x05.", FV_EFORMAT, "it recalls what was not remembered"},
      {"\x80\x02q\x05.", FV_EFORMAT, "nothing to remember"},
      {"\x80\x02NR.", FV_EFORMAT, "a call of something else than NumPy's"},
      {"\x80\x02NNb.", FV_EFORMAT, "a state of something else than NumPy's"},
      {"\x80\x02T\xFF\xFF\xFF\x7F.", FV_EFORMAT, "it is cut off"},
      {"\x80\x02i.", FV_EFORMAT, "opcode 0x69 is not known"},
      {"\x80\x02]q\x01h\x01"
       "a]h\x01"
       "ae.",
       FV_EFORMAT, "items without a list or dict"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_cifar_batch b;
    fv_status st = open_bytes(cases[i].text, strlen(cases[i].text), &b);
    if (st != cases[i].status || !strstr(err.text, cases[i].error))
      fail_msg("case %zu: %d %s\nexpected: %s", i, st, err.text, cases[i].error);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_protocols), cmocka_unit_test(test_older_numpy),   cmocka_unit_test(test_cut),
      cmocka_unit_test(test_changed),   cmocka_unit_test(test_text_of_bytes), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
