#include "support/planted_study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fovea/patch.h"
#include "fovea/store.h"
#include "support/scratch.h"
#include "support/vectors.h"

enum { MOST_ROWS = 16 };

/* Named after the database: programs that run at the same time share the folder. */
static void picture_name(const char *db, int sample, char out[64]) { snprintf(out, 64, "%s-%d.ppm", db, sample); }
static bool is_red(int sample) { return sample % 4 < 2; }

/* Neither more nor less red than some pictures of the same colour. */
static void write_picture(const char *db, int sample) {
  char name[64];
  int strong = 150 + 13 * (sample % 7), weak = 10 + 9 * (sample % 5);
  picture_name(db, sample, name);
  planted_picture(name, is_red(sample) ? strong : weak, 40, is_red(sample) ? weak : strong);
}

static void store_sample(fv_store *store, const fv_model *model, int k, const fv_patch_options *o, const char *corrupt,
                         const fv_patch_result *r, const fv_table *table, int64_t sweep) {
  fv_store_row rows[MOST_ROWS];
  char pieces[MOST_ROWS][32], names[MOST_ROWS][48];
  fv_store_sample s;
  fv_input *in;
  OK(fv_input_new(model, &o->input, &in, ERR));
  fv_store_sample_defaults(&s);
  s.nrows = (size_t)fv_input_rows(in, "text_encoder");
  assert_true(s.nrows <= MOST_ROWS);
  for (size_t i = 0; i < s.nrows; i++) {
    fv_row_info info;
    OK(fv_input_row(in, "text_encoder", (int64_t)i, &info, ERR));
    snprintf(pieces[i], sizeof pieces[i], "%s", info.piece), snprintf(names[i], sizeof names[i], "%s", info.name);
    rows[i] = (fv_store_row){"text_encoder", (int64_t)i, info.id, pieces[i], names[i]};
  }
  s.id = k + 1, s.name = o->sample, s.status = "done", s.group = k / 4 % 2 ? "dog" : "cat", s.rows = rows;
  s.image = o->input.image, s.image_sha256 = fv_input_image_sha256(in), s.corrupt_image = corrupt;
  s.question = o->input.question, s.correct = o->correct, s.incorrect = o->incorrect;
  s.correct_id = r->correct_id, s.incorrect_id = r->incorrect_id, s.answer = r->clean_answer;
  s.answer_id = r->clean_top, s.clean_right = r->clean_right, s.answer_row = r->answer_row, s.seconds = 0.5;
  fv_store_result result = {sweep, table};
  OK(fv_store_put(store, &s, &result, 1, ERR));
  fv_input_free(in);
}

void planted_study_new(const tiny_blip *b, const char *db, int samples, bool shuffled, bool noise) {
  static const char *const site[] = {"text_encoder.*.cross.z"};
  fv_model *model;
  fv_store *store;
  int64_t sweep;
  char hash[65];
  OK(fv_model_open(b->dir, NULL, &model, ERR));
  OK(fv_store_open(db, FV_STORE_CREATE, &store, ERR));
  OK(fv_model_sha256(model, hash, ERR));
  OK(fv_store_manifest_set(store, "model", b->dir, ERR));
  OK(fv_store_manifest_set(store, "model_sha256", hash, ERR));
  fv_store_sweep one = {0, "heads", "patch",
                        noise ? "{\"heads\":\"each\",\"direction\":\"noise\"}" : "{\"heads\":\"each\"}"};
  OK(fv_store_sweep_add(store, &one, &sweep, ERR));
  for (int k = 0; k < samples; k++) write_picture(db, k);
  for (int k = 0; k < samples; k++) {
    char name[32], image[64], other[64], corrupt[80], question[64];
    const char *list[] = {corrupt};
    bool answers_red = is_red(shuffled ? k + 1 : k);
    fv_patch_options o;
    fv_patch_result r = {0};
    fv_table *table;
    fv_patch_defaults(&o);
    picture_name(db, k, image), picture_name(db, (k + 2) % samples, other);
    snprintf(corrupt, sizeof corrupt, "image:%s", other), snprintf(name, sizeof name, "sample %d", k);
    if (k % 3 == 0)
      snprintf(question, sizeof question, "is the %s red", tiny_word(6 + k % 2));
    else
      snprintf(question, sizeof question, "is the %s blue on red", tiny_word(6 + k % 2));
    o.sample = name, o.input.image = image, o.input.question = question, o.corrupt = list, o.ncorrupt = 1;
    o.site = site, o.nsite = 1, o.heads = "each", o.noise = noise;
    o.correct = answers_red ? "red" : "blue", o.incorrect = answers_red ? "blue" : "red";
    OK(fv_table_new(&table, ERR));
    OK(fv_patch(model, &o, fv_table_sink(table), NULL, &r, ERR));
    if (!shuffled) assert_true(r.clean_right);
    store_sample(store, model, k, &o, other, &r, table, sweep);
    fv_patch_release(&r);
    fv_table_free(table);
  }
  fv_store_close(store);
  fv_model_close(model);
}

void planted_study_remove(const char *db, int samples) {
  char name[64];
  for (int k = 0; k < samples; k++) picture_name(db, k, name), unlink(name);
  database_remove(db);
}
