/* What a database says about the study it holds: written once, compared ever after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"
#include "study/store_inside.h"
#include "study/study_inside.h"

/* ---- differences ---- */

typedef struct differences {
  char text[768];
  size_t used;
  int shown, count;
} differences;

static void shown(char *out, size_t n, const json_t *j) {
  char *text = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
  size_t length = text ? strlen(text) : 0;
  snprintf(out, n, "%.*s%s", length > n - 1 ? (int)n - 4 : (int)n - 1, text ? text : "nothing",
           length > n - 1 ? "..." : "");
  free(text);
}

static void differ(differences *d, const char *key, const json_t *there, const json_t *here) {
  char a[72], b[72];
  d->count++;
  if (d->shown == 5) return;
  shown(a, sizeof a, there), shown(b, sizeof b, here);
  int n = snprintf(d->text + d->used, sizeof d->text - d->used, "%s%s is %s there and %s here", d->shown ? "; " : "",
                   key, a, b);
  if (n > 0 && d->used + (size_t)n < sizeof d->text) d->used += (size_t)n, d->shown++;
}

/* Settings are maps within maps, three deep at most; lists are compared as a whole. */
static void compare(differences *d, const char *prefix, json_t *there, json_t *here, int depth) {
  const char *key;
  json_t *value;
  char name[160];
  json_object_foreach(there, key, value) {
    json_t *other = json_object_get(here, key);
    snprintf(name, sizeof name, "%s%s%.80s", prefix, prefix[0] ? "." : "", key);
    if (json_is_object(value) && json_is_object(other) && depth < 4)
      compare(d, name, value, other, depth + 1);
    else if (!json_equal(value, other))
      differ(d, name, value, other);
  }
  json_object_foreach(here, key, value) {
    snprintf(name, sizeof name, "%s%s%.80s", prefix, prefix[0] ? "." : "", key);
    if (!json_object_get(there, key)) differ(d, name, NULL, value);
  }
}

fv_status fv_settings_compare(const char *path, const char *there, const char *here, fv_error *err) {
  json_t *a = NULL, *b = NULL;
  differences d = {0};
  fv_status st = fv_json_parse(there, strlen(there), path, &a, err);
  if (!st) st = fv_json_parse(here, strlen(here), path, &b, err);
  if (!st) compare(&d, "", a, b, 0);
  json_decref(a), json_decref(b);
  if (st || d.count == 0) return st;
  return fv_fail(err, FV_EMISMATCH,
                 "%s: holds the results of another study: %s%s; undo the change or name another "
                 "database",
                 path, d.text, d.count > d.shown ? "; and more" : "");
}

/* ---- facts ---- */

#define BUILD "compiler " __VERSION__

/* The first line of /proc/cpuinfo that begins with this, behind its colon. */
static void cpu_line(const char *word, char *out, size_t n) {
  char line[4096];
  FILE *f = fopen("/proc/cpuinfo", "r");
  out[0] = '\0';
  while (f && !out[0] && fgets(line, sizeof line, f)) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, word, strlen(word)) == 0 && colon)
      snprintf(out, n, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
  }
  if (f) fclose(f);
}

/* Of the features only those that decide which code runs. */
static char *cpu_text(void) {
  static const char *const asked[] = {"fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_bf16"};
  char name[128], flags[4096], found[128] = "";
  cpu_line("model name", name, sizeof name), cpu_line("flags", flags, sizeof flags);
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    size_t n = strlen(asked[i]), used = strlen(found);
    for (const char *at = flags; (at = strstr(at, asked[i])); at += n)
      if ((at == flags || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
        snprintf(found + used, sizeof found - used, " %s", asked[i]);
        break;
      }
  }
  return fv_format("%s:%s", name[0] ? name : "unknown", found);
}

static fv_status file_sha256(const fv_model *model, const char *const *names, char hex[65], fv_error *err) {
  hex[0] = '\0';
  for (size_t i = 0; names[i]; i++) {
    char *path = fv_path_join(fv_model_path(model), names[i]);
    if (!path) return fv_fail(err, FV_ENOMEM, "no memory");
    fv_status st = fv_file_exists(path) ? fv_sha256_file(path, hex, err) : FV_OK;
    free(path);
    if (st || hex[0]) return st;
  }
  return FV_OK;
}

typedef struct facts {
  char model[65], tokenizer[65], preprocessor[65], created[32], seed[32], *cpu;
} facts;

static fv_status gather(const fv_model *model, int64_t seed, facts *f, fv_error *err) {
  static const char *const tokenizers[] = {"tokenizer.json", "vocab.txt", "vocab.json", NULL};
  static const char *const preprocessors[] = {"preprocessor_config.json", "processor_config.json", NULL};
  time_t now = time(NULL);
  struct tm utc;
  *f = (facts){0};
  strftime(f->created, sizeof f->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  snprintf(f->seed, sizeof f->seed, "%lld", (long long)seed);
  fv_status st = fv_model_sha256(model, f->model, err);
  if (!st) st = file_sha256(model, tokenizers, f->tokenizer, err);
  if (!st) st = file_sha256(model, preprocessors, f->preprocessor, err);
  if (!st && !(f->cpu = cpu_text())) st = fv_fail(err, FV_ENOMEM, "no memory");
  return st;
}

static fv_status write_facts(fv_store *store, const fv_model *model, const facts *f, fv_error *err) {
  const struct {
    const char *key, *value;
  } list[] = {{"model", fv_model_path(model)},
              {"model_sha256", f->model},
              {"family", fv_model_family(model)},
              {"tokenizer_sha256", f->tokenizer},
              {"preprocessor_sha256", f->preprocessor},
              {"version", FV_VERSION},
              {"build", BUILD},
              {"engine", fv_model_engine(model)},
              {"cpu", f->cpu},
              {"seed", f->seed},
              {"created", f->created}};
  fv_status st = FV_OK;
  for (size_t i = 0; i < sizeof list / sizeof *list && !st; i++)
    st = fv_store_manifest_set(store, list[i].key, list[i].value, err);
  return st;
}

static fv_status same_value(fv_store *store, const char *key, const char *here, const char *what, fv_error *err) {
  char *there = NULL;
  fv_status st = fv_store_manifest(store, key, &there, err);
  if (!st && there && strcmp(there, here) != 0)
    st = fv_fail(err, FV_EMISMATCH,
                 "%s: holds the results of another model: %s is %.16s... there and %.16s... here; name "
                 "another database",
                 fv_store_path(store), what, there, here);
  free(there);
  return st;
}

fv_status fv_store_record_model(fv_store *store, const fv_model *model, int64_t seed, char note[512], fv_error *err) {
  facts f;
  char *there = NULL;
  note[0] = '\0';
  fv_status st = gather(model, seed, &f, err);
  if (!st) st = fv_store_manifest(store, "model_sha256", &there, err);
  bool known = there != NULL;
  free(there), there = NULL;
  if (!st && !known) st = write_facts(store, model, &f, err);
  if (!st && known) st = same_value(store, "model_sha256", f.model, "the weights' SHA-256", err);
  if (!st && known) st = same_value(store, "tokenizer_sha256", f.tokenizer, "the tokenizer's SHA-256", err);
  if (!st && known) st = same_value(store, "preprocessor_sha256", f.preprocessor, "the preprocessor's SHA-256", err);
  const char *const here[][2] = {{"engine", fv_model_engine(model)}, {"build", BUILD}};
  for (int i = 0; i < 2 && !st && !note[0]; i++) {
    st = fv_store_manifest(store, here[i][0], &there, err);
    if (!st && there && strcmp(there, here[i][1]) != 0) fv_digits_note(there, "here it is", here[i][1], note);
    free(there), there = NULL;
  }
  free(f.cpu);
  return st;
}

void fv_digits_note(const char *there, const char *other, const char *with, char note[512]) {
  snprintf(note, 512,
           "the results so far were computed with %.120s, and %.120s %.120s: last digits may differ between them",
           there, other, with);
}

/* ---- the study ---- */

/* A sample that is stored and says something else in the study. */
static fv_status compare_samples(const fv_study *s, const fv_store *store, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st =
      fv_store_prepare(store,
                       "SELECT id, name, question, image, corrupt_image, correct, incorrect, corrupt_question"
                       " FROM samples WHERE id <= 1000000000 ORDER BY id",
                       &q, err);
  while (!st && !(st = fv_store_next(store, q, &more, err)) && more) {
    int64_t id = sqlite3_column_int64(q, 0);
    if (id > (int64_t)s->pairs.count) break;
    const fv_pair *p = &s->pairs.list[id - 1];
    const char *here[] = {p->sample,
                          p->prompt ? p->prompt : p->question,
                          fv_study_inner_path(s, p->image),
                          fv_study_inner_path(s, p->corrupt_image),
                          p->correct,
                          p->incorrect,
                          p->corrupt_question};
    static const char *const names[] = {"sample",  "question",  "image",           "corrupt_image",
                                        "correct", "incorrect", "corrupt_question"};
    for (int i = 0; i < 7 && !st; i++)
      if (strcmp(fv_store_text(q, i + 1), here[i] ? here[i] : "") != 0)
        st = fv_fail(err, FV_EMISMATCH,
                     "%s: holds the results of another study: %s of sample %lld is \"%.80s\" there and \"%.80s\" here; "
                     "undo the change or name another database",
                     store->path, names[i], (long long)id, fv_store_text(q, i + 1), here[i] ? here[i] : "");
  }
  sqlite3_finalize(q);
  return st;
}

fv_status fv_study_compare(const fv_study *s, const fv_store *store, bool *known, fv_error *err) {
  char *there = NULL;
  fv_status st = fv_store_manifest(store, "study", &there, err);
  if (!st && there && strcmp(there, s->settings) != 0) {
    st = compare_samples(s, store, err);
    if (!st) st = fv_settings_compare(store->path, there, s->settings, err);
  }
  *known = there != NULL;
  free(there);
  return st;
}

/* What changes no results: of the last call. */
static fv_status write_options(const fv_study *s, const fv_model *model, fv_store *store, fv_error *err) {
  json_t *j = json_object();
  json_object_set_new(j, "threads", json_integer(fv_model_threads(model)));
  json_object_set_new(j, "memory", json_integer((json_int_t)s->memory));
  json_object_set_new(j, "check", json_real(s->check));
  json_t *metrics = s->metrics.count ? json_array() : NULL;
  for (size_t i = 0; i < s->metrics.count; i++) json_array_append_new(metrics, json_string(s->metrics.items[i]));
  if (metrics) json_object_set_new(j, "metrics", metrics);
  char *text = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
  json_decref(j);
  fv_status st = text ? fv_store_manifest_set(store, "options", text, err) : fv_fail(err, FV_ENOMEM, "no memory");
  free(text);
  return st;
}

fv_status fv_study_matches(const fv_study *s, const char *db, fv_error *err) {
  fv_store *store;
  bool known;
  fv_status st = fv_store_open_part(db, &store, err);
  if (!st && store) st = fv_study_compare(s, store, &known, err);
  fv_store_close(store);
  return st;
}

fv_status fv_study_record(const fv_study *s, const fv_model *model, fv_store *store, char note[512], fv_error *err) {
  bool known;
  fv_status st = fv_study_compare(s, store, &known, err);
  if (!st) st = fv_store_begin(store, err);
  if (st) return st;
  st = fv_store_record_model(store, model, s->seed, note, err);
  if (!st && !known) st = fv_store_manifest_set(store, "name", s->name, err);
  if (!st && !known) st = fv_store_manifest_set(store, "folder", s->folder, err);
  if (!st) st = write_options(s, model, store, err);
  for (size_t i = 0; i < s->nsweeps && !st; i++) {
    int64_t id;
    fv_store_sweep w = {(int64_t)i + 1, s->sweeps[i].name, s->sweeps[i].kind == FV_STUDY_TRACE ? "trace" : "patch",
                        s->sweeps[i].spec};
    st = fv_store_sweep_add(store, &w, &id, err);
  }
  if (!st && !known) st = fv_store_manifest_set(store, "study", s->settings, err);
  return fv_store_end(store, st, err);
}
