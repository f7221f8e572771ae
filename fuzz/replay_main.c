/* Runs a fuzz target without libFuzzer: over every file of a corpus folder, then over seeded mutations of those files.
 *
 *   fuzz_NAME FOLDER [COUNT]     FOLDER may also be one file
 *
 * The input in progress is kept in fuzz_NAME.last, which is removed after success: after a crash, run it as FOLDER. An
 * empty corpus is an error.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "fuzz.h"

enum { MAX_FILES = 1024, INPUT_BYTES = 1 << 20, MAX_EDITS = 6 };

typedef struct corpus {
  char *bytes[MAX_FILES];
  size_t size[MAX_FILES], count;
} corpus;

static uint64_t next(uint64_t *state) {
  uint64_t x = *state += 0x9E3779B97F4A7C15u; /* splitmix64 */
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

static size_t below(uint64_t *state, size_t n) { return n ? (size_t)(next(state) % n) : 0; }

static void load(corpus *c, const char *path) {
  fv_error err;
  if (c->count == MAX_FILES) return;
  if (fv_file_read(path, INPUT_BYTES, &c->bytes[c->count], &c->size[c->count], &err)) {
    fprintf(stderr, "%s\n", err.text);
    exit(2);
  }
  c->count++;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void load_folder(corpus *c, const char *path) {
  struct dirent **entries;
  int n = scandir(path, &entries, NULL, by_name);
  for (int i = 0; i < n; i++) {
    char *file = fv_path_join(path, entries[i]->d_name);
    if (entries[i]->d_name[0] != '.') load(c, file);
    free(file);
    free(entries[i]);
  }
  if (n >= 0) free(entries);
}

/* One edit: flip a bit, set a byte or a little-endian number, cut, repeat or take a piece of another file. */
static size_t edit(uint8_t *b, size_t n, const corpus *c, uint64_t *state) {
  static const uint64_t numbers[] = {0,      1,          0x7F,       0x80,       0xFF,      0x7FFF,
                                     0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, INT64_MAX, UINT64_MAX};
  size_t at = below(state, n), k = 1 + below(state, 16), from;
  switch (below(state, 6)) {
    case 0:
      if (n) b[at] ^= (uint8_t)(1u << below(state, 8));
      return n;
    case 1:
      if (n) b[at] = (uint8_t)next(state);
      return n;
    case 2:
      k = (size_t)1 << below(state, 4);
      if (n >= k) memcpy(b + below(state, n - k + 1), &numbers[below(state, sizeof numbers / sizeof *numbers)], k);
      return n;
    case 3:
      if (n - at < k) return at;
      memmove(b + at, b + at + k, n - at - k);
      return n - k;
    case 4:
      if (n - at < k || n + k > 2 * (size_t)INPUT_BYTES) return n;
      memmove(b + at + k, b + at, n - at);
      return n + k;
    default:
      from = below(state, c->count);
      if (c->size[from] < k || n < k) return n;
      memcpy(b + below(state, n - k + 1), c->bytes[from] + below(state, c->size[from] - k + 1), k);
      return n;
  }
}

/* The target sees exactly n bytes of heap memory, so that a sanitizer notices a read beyond them. The descriptor of the
 * file of the last input stays open: closing a rewritten file thousands of times waits for the disk. */
static void run(const uint8_t *bytes, size_t n, int last) {
  uint8_t *copy = malloc(n ? n : 1);
  if (!copy || pwrite(last, bytes, n, 0) != (ssize_t)n || ftruncate(last, (off_t)n) != 0) {
    perror("the file of the last input");
    exit(2);
  }
  memcpy(copy, bytes, n);
  FUZZ_PROMISE(LLVMFuzzerTestOneInput(copy, n) == 0);
  free(copy);
}

int main(int argc, char **argv) {
  static corpus c;
  static uint8_t input[2 * INPUT_BYTES];
  if (argc < 2) {
    fprintf(stderr, "usage: %s FOLDER [COUNT]\n", argv[0]);
    return 2;
  }
  struct stat st;
  if (stat(argv[1], &st) == 0 && S_ISREG(st.st_mode))
    load(&c, argv[1]);
  else
    load_folder(&c, argv[1]);
  if (c.count == 0) {
    fprintf(stderr, "%s: has no seeds, expected a few small valid files\n", argv[1]);
    return 2;
  }
  unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  const char *base = strrchr(argv[0], '/');
  char *name = fv_format("%s.last", base ? base + 1 : argv[0]);
  int last = name ? open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
  for (size_t i = 0; i < c.count; i++) run((const uint8_t *)c.bytes[i], c.size[i], last);
  for (unsigned long seed = 1; seed <= count; seed++) {
    uint64_t state = seed;
    size_t k = below(&state, c.count), n = c.size[k], edits = 1 + below(&state, MAX_EDITS);
    memcpy(input, c.bytes[k], n);
    while (edits-- > 0) n = edit(input, n, &c, &state);
    run(input, n, last);
  }
  close(last);
  unlink(name);
  printf("%s: %zu files and %lu mutations\n", argv[1], c.count, count);
  for (size_t i = 0; i < c.count; i++) free(c.bytes[i]);
  free(name);
  return 0;
}
