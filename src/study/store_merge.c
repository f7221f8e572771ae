/* Merging databases of one study, and finding the shards beside a database. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "study/store_inside.h"
#include "study/study_inside.h"

char *fv_study_shard_path(const char *db, int64_t shard, int64_t shards) {
  return fv_format("%s.shard-%lld-of-%lld", db, (long long)shard, (long long)shards);
}

static bool is_shard(const char *name, const char *base) {
  size_t n = strlen(base);
  long long i, of;
  int used = 0;
  return strncmp(name, base, n) == 0 && sscanf(name + n, ".shard-%lld-of-%lld%n", &i, &of, &used) == 2 && used > 0 &&
         name[n + (size_t)used] == '\0';
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

fv_status fv_study_shards_found(const char *db, char ***paths, size_t *count, fv_error *err) {
  const char *slash = strrchr(db, '/'), *base = slash ? slash + 1 : db;
  char *folder = slash ? fv_format("%.*s", (int)(slash - db + 1), db) : fv_strdup("./");
  DIR *dir = folder ? opendir(folder) : NULL;
  struct dirent *entry;
  fv_status st = folder ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  *paths = NULL, *count = 0;
  while (!st && dir && (entry = readdir(dir))) {
    if (!is_shard(entry->d_name, base)) continue;
    char **grown = realloc(*paths, (*count + 1) * sizeof *grown);
    if (grown) *paths = grown;
    char *path = grown ? fv_format("%s%s", slash ? folder : "", entry->d_name) : NULL;
    if (!path)
      st = fv_fail(err, FV_ENOMEM, "no memory");
    else
      (*paths)[(*count)++] = path;
  }
  if (dir) closedir(dir);
  free(folder);
  if (*count) qsort(*paths, *count, sizeof **paths, by_name);
  return st;
}

/* The other database's manifest against this one's; a new database takes it over. */
static fv_status merge_manifest(const fv_store *s, const char *from, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(s,
                                  "SELECT t.key, t.value, m.value FROM other.manifest t LEFT JOIN main.manifest m"
                                  " ON m.key = t.key WHERE t.key IN ('study','model_sha256','tokenizer_sha256',"
                                  "'preprocessor_sha256') AND t.value IS NOT m.value AND m.value IS NOT NULL"
                                  " ORDER BY t.key DESC",
                                  &q, err);
  if (!st) st = fv_store_next(s, q, &more, err);
  if (!st && more && strcmp(fv_store_text(q, 0), "study") == 0)
    st = fv_settings_compare(from, fv_store_text(q, 1), fv_store_text(q, 2), err);
  if (!st && more)
    st = fv_fail(err, FV_EMISMATCH, "%s: was computed with something else: %s is %.16s... there and %.16s... in %s",
                 from, fv_store_text(q, 0), fv_store_text(q, 1), fv_store_text(q, 2), s->path);
  sqlite3_finalize(q);
  if (!st) st = fv_store_exec(s, "INSERT OR IGNORE INTO main.manifest SELECT * FROM other.manifest", err);
  return st;
}

/* The last digits depend on the engine, and on the compiler, which may contract sums and products. */
static fv_status merge_note(const fv_store *s, const char *from, char note[512], fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(s,
                                  "SELECT m.value, t.value FROM other.manifest t JOIN main.manifest m ON m.key = t.key"
                                  " WHERE t.key IN ('engine', 'build') AND t.value <> m.value ORDER BY t.key DESC",
                                  &q, err);
  if (!st) st = fv_store_next(s, q, &more, err);
  char *other = !st && more ? fv_format("those of %s with", from) : NULL;
  if (other) fv_digits_note(fv_store_text(q, 0), other, fv_store_text(q, 1), note);
  if (!st && more && !other) st = fv_fail(err, FV_ENOMEM, "no memory");
  free(other);
  sqlite3_finalize(q);
  return st;
}

/* Sweeps and places agree by what they are; their ids agree too, unless somebody added some by hand. */
static const char merge_sql[] =
    "CREATE TEMP TABLE new_samples AS SELECT id FROM other.samples WHERE id NOT IN (SELECT id FROM main.samples);"
    "INSERT INTO main.sweeps SELECT o.id, o.name, o.kind, o.spec FROM other.sweeps o"
    " WHERE o.name NOT IN (SELECT name FROM main.sweeps);"
    "CREATE TEMP TABLE sweep_map AS SELECT o.id AS old, m.id AS new FROM other.sweeps o JOIN main.sweeps m"
    " ON m.name = o.name;"
    "INSERT OR IGNORE INTO main.places SELECT o.id, w.new, o.stack, o.site, o.layer, o.window, o.op"
    " FROM other.places o JOIN sweep_map w ON w.old = o.sweep_id;"
    "CREATE TEMP TABLE place_map(old INTEGER PRIMARY KEY, new INTEGER);"
    "INSERT INTO place_map SELECT o.id, m.id FROM other.places o JOIN sweep_map w ON w.old = o.sweep_id"
    " JOIN main.places m ON m.sweep_id = w.new AND m.stack IS o.stack AND m.site IS o.site AND m.layer IS o.layer"
    " AND m.window IS o.window AND m.op IS o.op;"
    "INSERT INTO main.samples SELECT * FROM other.samples WHERE id IN (SELECT id FROM new_samples) ORDER BY id;"
    "INSERT INTO main.sample_rows SELECT * FROM other.sample_rows WHERE sample_id IN (SELECT id FROM new_samples);"
    "INSERT INTO main.bases SELECT b.id, b.sample_id, w.new, b.draw, b.corrupt, b.clean_prob, b.corrupt_prob,"
    " b.clean_logit_diff, b.corrupt_logit_diff, b.answer_id, b.answer, b.incorrect_id FROM other.bases b JOIN "
    "sweep_map w"
    " ON w.old = b.sweep_id WHERE b.sample_id IN (SELECT id FROM new_samples);"
    "INSERT INTO main.cells SELECT c.base_id, c.n, p.new, c.row, c.piece, c.head, c.\"from\", c.\"to\", c.prob, "
    "c.logit,"
    " c.logit_diff, c.p_diff, c.effect, c.kl, c.rank FROM other.bases b CROSS JOIN other.cells c ON c.base_id = b.id"
    " LEFT JOIN place_map p ON p.old = c.place_id WHERE b.sample_id IN (SELECT id FROM new_samples);";

static const char forget_sql[] =
    "DROP TABLE IF EXISTS temp.new_samples; DROP TABLE IF EXISTS temp.sweep_map; DROP TABLE IF EXISTS temp.place_map;";

/* The other database is opened as a writer's, so that an unfinished log is taken in and nobody else writes to it. */
static fv_status merge_one(fv_store *s, const char *from, char note[512], fv_error *err) {
  fv_store *other = NULL;
  sqlite3_stmt *q = NULL;
  fv_status st = fv_store_open(from, FV_STORE_WRITE, &other, err);
  if (!st) st = fv_store_prepare(s, "ATTACH ? AS other", &q, err);
  if (!st) {
    sqlite3_bind_text(q, 1, from, -1, SQLITE_STATIC);
    st = fv_store_step(s, q, err);
  }
  sqlite3_finalize(q);
  if (!st) {
    st = fv_store_begin(s, err);
    if (!st) {
      st = merge_manifest(s, from, err);
      if (!st && !note[0]) st = merge_note(s, from, note, err);
      if (!st) st = fv_store_exec(s, merge_sql, err);
      st = fv_store_end(s, st, err);
    }
    (void)sqlite3_exec(s->db, forget_sql, NULL, NULL, NULL);
    (void)sqlite3_exec(s->db, "DETACH other", NULL, NULL, NULL);
  }
  fv_store_close(other);
  return st;
}

fv_status fv_study_merge(const char *db, const char *const *from, size_t count, char note[512], fv_error *err) {
  fv_store *s = NULL;
  fv_status st = FV_OK;
  bool *filled = fv_alloc(count, sizeof *filled);
  note[0] = '\0';
  if (!filled) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < count && !st; i++) { /* all of them are there before anything is made */
    fv_store *there = NULL;
    st = fv_store_open_part(from[i], &there, err);
    filled[i] = there != NULL;
    fv_store_close(there);
    if (!st && strcmp(from[i], db) == 0) st = fv_fail(err, FV_EUSAGE, "%s: cannot be merged into itself", db);
  }
  if (!st) st = fv_store_open(db, FV_STORE_CREATE, &s, err);
  for (size_t i = 0; i < count && !st; i++)
    if (filled[i]) st = merge_one(s, from[i], note, err);
  fv_store_close(s);
  free(filled);
  return st;
}
