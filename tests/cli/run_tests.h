/* What the tests of `fovea run` share: a study of several kinds of samples and sweeps in a folder of its own, and runs
 * of it that are compared by their digests. */
#ifndef FOVEA_TESTS_RUN_TESTS_H
#define FOVEA_TESTS_RUN_TESTS_H

#include <time.h>

#include "cli/cli_tests.h"
#include "support/scratch.h"

static program_options here;

static const char study[] =
    "model: " MODEL
    "\n"
    "seed: 5\n"
    "samples: table.csv\n"
    "sweeps:\n"
    "  - {name: noise, kind: trace, draws: 3}\n"
    "  - {name: heads, kind: patch, site: 'text_encoder.*.cross.z', heads: each, corrupt: image}\n"
    "  - {name: control, kind: patch, site: 'text_encoder.*.cross.z', corrupt: image, answers: shuffled}\n"
    "output: {db: out.db}\n";

enum { FEW = 10, MANY = 42 }; /* samples; eight of them share a wave */

static inline void write_text(const char *name, const char *text) { file_write(in_folder(name), text, strlen(text)); }

static inline void write_table(int samples) {
  static const char *const colors[] = {"red", "blue", "white", "black"};
  char text[8192] = "sample,image,corrupt_image,question,correct,incorrect\n";
  for (int i = 0; i < samples; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "s%d,%s,%s,what color is the %s?,%s,%s\n", i,
             i == 3  ? "broken.png"
             : i % 2 ? "a.png"
                     : "b.png",
             i % 2 ? "b.png" : "a.png", i % 3 ? "shirt" : "dog", colors[i % 4],
             i == 4 ? colors[i % 4] : colors[(i + 1) % 4]);
  write_text("table.csv", text);
}

static inline int begin(void **state) {
  size_t n;
  folder_setup(state);
  here = (program_options){.folder = folder};
  for (int i = 0; i < 2; i++) {
    char *bytes = file_text(i ? MODEL "/vectors/image1.png" : MODEL "/vectors/image0.png", &n);
    file_write(in_folder(i ? "b.png" : "a.png"), bytes, n);
    free(bytes);
  }
  write_text("broken.png", "not a picture");
  write_text("s.yaml", study);
  write_table(FEW);
  return 0;
}
static inline json_t *run_json(const char *line) {
  program_result r = expect_with(&here, 0, line);
  json_error_t detail;
  json_t *j = json_loadb(r.out, r.nout, 0, &detail);
  if (!j) fail_msg("%s\nis not JSON: %s\n%s", line, detail.text, r.out);
  program_release(&r);
  return j;
}

static inline json_int_t whole(const json_t *j, const char *key) { return json_integer_value(json_object_get(j, key)); }

/* Runs and compares the digest with the undisturbed run's; returns how many runs of the model it took. */
static inline json_int_t same_as(const char *digest, const char *line) {
  json_t *j = run_json(line);
  const char *found = json_string_value(json_object_get(j, "digest"));
  if (strcmp(found, digest) != 0) fail_msg("%s\nends with %s, expected %s", line, found, digest);
  json_int_t runs = whole(j, "runs");
  json_decref(j);
  return runs;
}

/* The undisturbed run. */
static inline json_int_t undisturbed(char digest[65], double *seconds) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  json_t *j = run_json("fovea run s.yaml --db whole.db --json");
  clock_gettime(CLOCK_MONOTONIC, &b);
  if (seconds) *seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
  snprintf(digest, 65, "%s", json_string_value(json_object_get(j, "digest")));
  json_int_t runs = whole(j, "runs");
  json_decref(j);
  return runs;
}

static inline json_int_t whole_of(const char *line, const char *key) {
  json_t *j = run_json(line);
  json_int_t n = whole(j, key);
  json_decref(j);
  return n;
}

static inline void refuses(int status, const char *line, const char *part) {
  program_result r = expect_with(&here, status, line);
  if (!strstr(r.err, part)) fail_msg("%s\nexpected \"%s\", found %s", line, part, r.err);
  program_release(&r);
}

/* The study with one text replaced by another. */
static inline void changed(const char *from, const char *to) {
  char text[4096];
  const char *where = strstr(study, from);
  assert_non_null(where);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(where - study), study, to, where + strlen(from));
  write_text("s.yaml", text);
}

#endif
