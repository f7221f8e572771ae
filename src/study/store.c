#include "study/store_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/files.h"

/* The folder of a path, malloc'ed. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? fv_format("%.*s", (int)(slash == path ? 1 : slash - path), path) : fv_strdup(".");
}

/* What stands in the way of writing, when SQLite can only say that it cannot open the file. */
static fv_status cannot_open(const fv_store *s, fv_error *err) {
  char *folder = folder_of(s->path);
  struct stat st;
  fv_status result;
  if (!folder)
    result = fv_fail(err, FV_ENOMEM, "no memory");
  else if (stat(folder, &st) != 0)
    result = fv_fail(err, FV_EIO, "%s: cannot be opened: the folder %s: %s", s->path, folder, strerror(errno));
  else if (s->mode != FV_STORE_READ && access(folder, W_OK) != 0)
    result = fv_fail(err, FV_EIO, "%s: cannot be written: the folder %s: %s; name a database elsewhere", s->path,
                     folder, strerror(errno));
  else
    result = fv_fail(err, FV_EIO, "%s: cannot be opened: %s", s->path, strerror(sqlite3_system_errno(s->db)));
  free(folder);
  return result;
}

fv_status fv_store_failed(const fv_store *s, int rc, fv_error *err) {
  int system = s->db ? sqlite3_system_errno(s->db) : 0;
  const char *said = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
  if ((rc & 0xff) == SQLITE_FULL || ((rc & 0xff) == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT)))
    return fv_fail(err, FV_EIO,
                   "%s: the disk is full; everything stored before is intact: make room and run the same again",
                   s->path);
  switch (rc & 0xff) {
    case SQLITE_NOTADB:
      return fv_fail(err, FV_EFORMAT, "%s: is not a database (its first bytes are not those of SQLite)", s->path);
    case SQLITE_CORRUPT:
      return fv_fail(
          err, FV_EFORMAT,
          "%s: the database is damaged (%s); keep a copy, save what can be read with `sqlite3 FILE .recover`, "
          "and compute the rest into a new one",
          s->path, said);
    case SQLITE_READONLY:
      return fv_fail(err, FV_EIO, "%s: cannot be written: the file or its folder is read-only", s->path);
    case SQLITE_CANTOPEN: return cannot_open(s, err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fv_fail(err, FV_EIO, "%s: another program holds the database; close it and try again", s->path);
    case SQLITE_NOMEM: return fv_fail(err, FV_ENOMEM, "%s: no memory for the database", s->path);
    case SQLITE_IOERR:
      return fv_fail(err, FV_EIO, "%s: reading or writing failed: %s", s->path, system ? strerror(system) : said);
    case SQLITE_CONSTRAINT: return fv_fail(err, FV_EFORMAT, "%s: the database contradicts itself: %s", s->path, said);
    default: return fv_fail(err, FV_EIO, "%s: the database says: %s", s->path, said);
  }
}

fv_status fv_store_exec(const fv_store *s, const char *sql, fv_error *err) {
  int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
  return rc ? fv_store_failed(s, rc, err) : FV_OK;
}

fv_status fv_store_prepare(const fv_store *s, const char *sql, sqlite3_stmt **out, fv_error *err) {
  int rc = sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
  return rc ? fv_store_failed(s, rc, err) : FV_OK;
}

fv_status fv_store_step(const fv_store *s, sqlite3_stmt *stmt, fv_error *err) {
  int rc = sqlite3_step(stmt);
  fv_status st = rc == SQLITE_DONE || rc == SQLITE_ROW ? FV_OK : fv_store_failed(s, rc, err);
  sqlite3_reset(stmt);
  return st;
}

fv_status fv_store_next(const fv_store *s, sqlite3_stmt *stmt, bool *more, fv_error *err) {
  int rc = sqlite3_step(stmt);
  *more = rc == SQLITE_ROW;
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? FV_OK : fv_store_failed(s, rc, err);
}

fv_status fv_store_integer(const fv_store *s, const char *sql, int64_t *out, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  *out = 0;
  fv_status st = fv_store_prepare(s, sql, &q, err);
  if (!st) st = fv_store_next(s, q, &more, err);
  if (!st && more) *out = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  return st;
}

fv_status fv_store_begin(const fv_store *s, fv_error *err) { return fv_store_exec(s, "BEGIN IMMEDIATE", err); }

fv_status fv_store_end(const fv_store *s, fv_status st, fv_error *err) {
  if (!st) st = fv_store_exec(s, "COMMIT", err);
  /* After some failures SQLite has rolled back already. */
  if (st && !sqlite3_get_autocommit(s->db)) (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
  return st;
}

void fv_store_bind_text(sqlite3_stmt *q, int at, const char *text) {
  if (text && text[0])
    sqlite3_bind_text(q, at, text, -1, SQLITE_TRANSIENT);
  else
    sqlite3_bind_null(q, at);
}

void fv_store_bind_count(sqlite3_stmt *q, int at, int64_t value) {
  if (value >= 0)
    sqlite3_bind_int64(q, at, value);
  else
    sqlite3_bind_null(q, at);
}

void fv_store_bind_real(sqlite3_stmt *q, int at, double value) { sqlite3_bind_double(q, at, value); /* NaN is NULL */ }

const char *fv_store_text(sqlite3_stmt *q, int column) {
  const char *text = (const char *)sqlite3_column_text(q, column);
  return text ? text : "";
}

int64_t fv_store_whole(sqlite3_stmt *q, int column) {
  return sqlite3_column_type(q, column) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, column);
}

float fv_store_number(sqlite3_stmt *q, int column) {
  return sqlite3_column_type(q, column) == SQLITE_NULL ? __builtin_nanf("") : (float)sqlite3_column_double(q, column);
}

/* ---- opening ---- */

static const char settings[] =
    "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
    "PRAGMA temp_store=MEMORY;";

fv_status fv_store_migrate(fv_store *s, const char *const *scripts, int n, fv_error *err) {
  int64_t version;
  fv_status st = fv_store_integer(s, "PRAGMA user_version", &version, err);
  for (int64_t v = version; v < n && !st; v++) {
    char set[96];
    snprintf(set, sizeof set, "PRAGMA application_id=%d; PRAGMA user_version=%lld", FV_STORE_APPLICATION,
             (long long)v + 1);
    st = fv_store_begin(s, err);
    if (st) return st;
    st = fv_store_exec(s, scripts[v], err);
    if (!st) st = fv_store_exec(s, set, err);
    st = fv_store_end(s, st, err);
  }
  return st;
}

/* Whether the file is ours, and whether it is still empty. */
static fv_status check_kind(fv_store *s, bool *empty, fv_error *err) {
  int64_t application, version, tables;
  fv_status st = fv_store_integer(s, "PRAGMA application_id", &application, err);
  if (!st) st = fv_store_integer(s, "PRAGMA user_version", &version, err);
  if (!st) st = fv_store_integer(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
  if (st) return st;
  *empty = application == 0 && version == 0 && tables == 0;
  if (*empty && s->mode == FV_STORE_READ)
    return fv_fail(err, FV_ENOTFOUND, "%s: the database is empty; `fovea run` fills one", s->path);
  if (!*empty && application != FV_STORE_APPLICATION)
    return fv_fail(err, FV_EFORMAT,
                   "%s: is a database of another program, not one of fovea's studies; name another file", s->path);
  if (version > FV_STORE_VERSION)
    return fv_fail(err, FV_EUNSUPPORTED,
                   "%s: was written by a newer fovea (schema %lld; this one knows up to %d); use that version", s->path,
                   (long long)version, FV_STORE_VERSION);
  return FV_OK;
}

static fv_status check_damage(fv_store *s, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(s, "PRAGMA quick_check(1)", &q, err);
  if (!st) st = fv_store_next(s, q, &more, err);
  if (!st && more && strcmp(fv_store_text(q, 0), "ok") != 0)
    st = fv_fail(
        err, FV_EFORMAT,
        "%s: the database is damaged (%.200s); keep a copy, save what can be read with `sqlite3 FILE .recover`, "
        "and compute the rest into a new one",
        s->path, fv_store_text(q, 0));
  sqlite3_finalize(q);
  return st;
}

/* In a folder that cannot be written, a database in WAL mode can only be read when SQLite knows that nobody writes.
 * Readers open for writing where they may, because what a killed writer has left must be taken back before reading. */
static fv_status open_file(fv_store *s, bool immutable, fv_error *err) {
  int flags = immutable                    ? SQLITE_OPEN_READONLY
              : s->mode == FV_STORE_CREATE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                           : SQLITE_OPEN_READWRITE;
  char *uri = NULL;
  if (immutable) {
    char *escaped = malloc(3 * strlen(s->path) + 1), *to = escaped;
    for (const char *c = s->path; escaped && *c; c++)
      if (strchr("%?#", *c))
        to += sprintf(to, "%%%02X", (unsigned char)*c);
      else
        *to++ = *c;
    if (escaped) *to = '\0', uri = fv_format("file:%s?immutable=1", escaped);
    free(escaped);
    if (!uri) return fv_fail(err, FV_ENOMEM, "no memory");
    flags |= SQLITE_OPEN_URI;
  }
  int rc = sqlite3_open_v2(uri ? uri : s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
  free(uri);
  if (rc) return fv_store_failed(s, rc, err);
  sqlite3_extended_result_codes(s->db, 1);
  sqlite3_busy_timeout(s->db, 10000);
  fv_status st = fv_store_exec(s, settings, err);
  return st || s->mode != FV_STORE_READ ? st : fv_store_exec(s, "PRAGMA query_only=ON", err);
}

static fv_status open_to_read(fv_store *s, fv_error *err) {
  bool empty;
  fv_status st = open_file(s, false, err);
  if (!st) st = check_kind(s, &empty, err);
  int code = s->db ? sqlite3_errcode(s->db) : SQLITE_OK;
  char *wal = fv_format("%s-wal", s->path);
  bool alone = wal && access(wal, F_OK) != 0;
  free(wal);
  if (!st || !alone || (code != SQLITE_CANTOPEN && code != SQLITE_READONLY)) return st;
  sqlite3_close(s->db), s->db = NULL;
  st = open_file(s, true, err);
  return st ? st : check_kind(s, &empty, err);
}

static fv_status open_to_write(fv_store *s, fv_error *err) {
  bool empty = false;
  fv_status st = fv_store_lock(s, err);
  if (!st) st = open_file(s, false, err);
  if (!st) st = check_kind(s, &empty, err);
  if (!st && sqlite3_db_readonly(s->db, "main") == 1) st = fv_store_failed(s, SQLITE_READONLY, err);
  if (!st && !empty) st = check_damage(s, err);
  if (!st) st = fv_store_exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", err);
  return st ? st : fv_store_migrate(s, fv_store_scripts, FV_STORE_VERSION, err);
}

fv_status fv_store_open(const char *path, fv_store_mode mode, fv_store **out, fv_error *err) {
  struct stat info;
  *out = NULL;
  bool there = stat(path, &info) == 0;
  if (!there && mode != FV_STORE_CREATE) {
    if (errno == ENOENT) return fv_fail(err, FV_ENOTFOUND, "%s: no such database", path);
    return fv_fail(err, FV_EIO, "%s: %s", path, strerror(errno));
  }
  if (there && !S_ISREG(info.st_mode)) return fv_fail(err, FV_EIO, "%s: is not a file; expected a database", path);
  fv_store *s = fv_alloc(1, sizeof *s);
  if (!s || !(s->path = fv_strdup(path))) return free(s), fv_fail(err, FV_ENOMEM, "no memory");
  s->mode = mode, s->lock = -1;
  fv_status st = mode == FV_STORE_READ ? open_to_read(s, err) : open_to_write(s, err);
  if (st) return fv_store_close(s), st;
  *out = s;
  return FV_OK;
}

fv_status fv_store_open_part(const char *path, fv_store **out, fv_error *err) {
  fv_status st = fv_store_open(path, FV_STORE_READ, out, err);
  return st == FV_ENOTFOUND && access(path, F_OK) == 0 ? FV_OK : st;
}

void fv_store_close(fv_store *s) {
  if (!s) return;
  /* A database that nobody writes to is one file, which can be read anywhere. Not while others read; then it stays. */
  if (s->db && s->mode != FV_STORE_READ && s->lock >= 0) {
    sqlite3_busy_timeout(s->db, 0);
    (void)sqlite3_exec(s->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
  }
  sqlite3_close(s->db);
  fv_store_unlock(s);
  free(s->path), free(s);
}

const char *fv_store_path(const fv_store *s) { return s->path; }
