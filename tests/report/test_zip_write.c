/* Archives beyond the limits of the plain format: ZIP64's records byte for byte, and what the reader of torch's
 * archives, which knows nothing of this writer, finds in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "checkpoint/zip.h"
#include "report/zip_write.h"

static const char PATH[] = "zip_write_test.zip";

static uint64_t le(const char *p, int n) {
  uint64_t v = 0;
  for (int i = 0; i < n; i++) v |= (uint64_t)(unsigned char)p[i] << 8 * i;
  return v;
}

static void add(fv_zip_writer *z, const char *name, const char *body) {
  fv_error e = {0};
  if (fv_zip_write_add(z, name, "head ", 5, body, strlen(body), &e)) fail_msg("%s", e.text);
}

static void finish(fv_zip_writer *z) {
  fv_error e = {0};
  if (fv_zip_write_finish(z, &e)) fail_msg("%s", e.text);
  fv_zip_write_release(z);
  assert_int_equal(fclose(z->stream), 0);
}

static void holds(const fv_zip *zip, const char *name, const char *content) {
  const fv_zip_entry *entry = fv_zip_find(zip, name, strlen(name));
  if (!entry) fail_msg("there is no %s", name);
  assert_int_equal(entry->size, strlen(content));
  assert_memory_equal(entry->data, content, entry->size);
}

/* Everything that can be in ZIP64 is; NumPy 2.4 and Python's zipfile read this archive too. */
static void wide_fields(void **state) {
  (void)state;
  fv_zip_writer z = {.stream = fopen(PATH, "wb"), .path = PATH, .plain = 1};
  add(&z, "one", "a");
  add(&z, "twelve", "bcd");
  uint64_t second = z.members[1].offset, start = z.offset;
  assert_int_equal(second, 30 + 3 + 20 + 6);
  finish(&z);

  char *zip;
  size_t size;
  assert_int_equal(fv_file_read(PATH, 1 << 20, &zip, &size, NULL), FV_OK);
  const char *local = zip + second, *extra = local + 30 + 6;
  assert_int_equal(le(local + 4, 2), 45); /* version needed */
  assert_int_equal(le(local + 18, 4), UINT32_MAX);
  assert_int_equal(le(local + 22, 4), UINT32_MAX);
  assert_int_equal(le(local + 28, 2), 20);
  assert_int_equal(le(extra, 2), 1);
  assert_int_equal(le(extra + 2, 2), 16);
  assert_int_equal(le(extra + 4, 8), 8);
  assert_int_equal(le(extra + 12, 8), 8);
  assert_memory_equal(extra + 20, "head bcd", 8);

  /* The first member lies at 0, which fits the plain field; the second's place is ZIP64's third number. */
  const char *first = zip + start, *entry = first + 46 + 3 + 20;
  assert_int_equal(le(first + 30, 2), 20);
  assert_int_equal(le(first + 42, 4), 0);
  assert_int_equal(le(entry, 4), 0x02014B50);
  assert_int_equal(le(entry + 6, 2), 45);
  assert_int_equal(le(entry + 30, 2), 28);
  assert_int_equal(le(entry + 42, 4), UINT32_MAX);
  assert_int_equal(le(entry + 46 + 6 + 2, 2), 24);
  assert_int_equal(le(entry + 46 + 6 + 20, 8), second);

  const char *end64 = entry + 46 + 6 + 28, *locator = end64 + 56, *end = locator + 20;
  assert_int_equal(le(end64, 4), 0x06064B50);
  assert_int_equal(le(end64 + 4, 8), 44);
  assert_int_equal(le(end64 + 24, 8), 2);
  assert_int_equal(le(end64 + 32, 8), 2);
  assert_int_equal(le(end64 + 40, 8), (uint64_t)(end64 - first));
  assert_int_equal(le(end64 + 48, 8), start);
  assert_int_equal(le(locator, 4), 0x07064B50);
  assert_int_equal(le(locator + 8, 8), (uint64_t)(end64 - zip));
  assert_int_equal(le(locator + 16, 4), 1);
  assert_int_equal(le(end, 4), 0x06054B50);
  assert_int_equal(le(end + 8, 2), 2);
  assert_int_equal(le(end + 12, 4), UINT32_MAX);
  assert_int_equal(le(end + 16, 4), UINT32_MAX);
  assert_ptr_equal(end + 22, zip + size);
  free(zip);
}

static void read_back(size_t count, const char *const *names, const char *const *contents, size_t n) {
  fv_map map;
  fv_zip zip;
  fv_error e = {0};
  if (fv_map_open(PATH, &map, &e) || fv_zip_open(&map, PATH, &zip, &e)) fail_msg("%s", e.text);
  assert_int_equal(fv_zip_check_plain(&zip, PATH, &e), FV_OK);
  assert_int_equal(zip.count, count);
  for (size_t i = 0; i < n; i++) holds(&zip, names[i], contents[i]);
  fv_zip_release(&zip);
  fv_map_close(&map);
  unlink(PATH);
}

static void wide_fields_read(void **state) {
  (void)state;
  read_back(2, (const char *[]){"one", "twelve"}, (const char *[]){"head a", "head bcd"}, 2);
}

/* The members lie behind a hole of 5 GiB, which takes no room on the disk. */
static void beyond_four_gib(void **state) {
  (void)state;
  fv_zip_writer z = {.stream = fopen(PATH, "wb"), .path = PATH};
  add(&z, "near", "x");
  z.offset = (uint64_t)5 << 30;
  assert_int_equal(fseeko(z.stream, (off_t)z.offset, SEEK_SET), 0);
  add(&z, "far", "yz");
  finish(&z);
  read_back(2, (const char *[]){"near", "far"}, (const char *[]){"head x", "head yz"}, 2);
}

static void many_members(void **state) {
  (void)state;
  enum { N = 70000 };
  char name[16];
  fv_zip_writer z = {.stream = fopen(PATH, "wb"), .path = PATH};
  for (int i = 0; i < N; i++) {
    snprintf(name, sizeof name, "m%d", i);
    add(&z, name, name);
  }
  fv_error e = {0};
  assert_int_equal(fv_zip_write_add(&z, "m69999", "", 0, "", 0, &e), FV_ECONFLICT);
  assert_int_equal(z.count, N);
  finish(&z);
  read_back(N, (const char *[]){"m0", "m65535", "m69999"}, (const char *[]){"head m0", "head m65535", "head m69999"},
            3);
}

/* An archive that fits is a plain one: the end of the directory follows the directory. */
static void small_stays_plain(void **state) {
  (void)state;
  fv_zip_writer z = {.stream = fopen(PATH, "wb"), .path = PATH};
  add(&z, "a", "b");
  finish(&z);
  char *zip;
  size_t size;
  assert_int_equal(fv_file_read(PATH, 1 << 20, &zip, &size, NULL), FV_OK);
  assert_int_equal(size, 30 + 1 + 6 + 46 + 1 + 22);
  assert_int_equal(le(zip + 4, 2), 20);
  free(zip);
  unlink(PATH);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(wide_fields), cmocka_unit_test(wide_fields_read),
                                     cmocka_unit_test(beyond_four_gib), cmocka_unit_test(many_members),
                                     cmocka_unit_test(small_stays_plain)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
