/* The inside of fv_store, for the other files of this room: the database handle, statements, errors.
 *
 * Statements are prepared where they are used and finalized there. Every failure of SQLite becomes a sentence that
 * names the file and says what to do (fv_store_failed). Connections are made by store.c alone, which sets:
 *
 *   journal_mode=WAL     readers (Datasette, a report) go on while a study writes; a commit is one append. Closing sets
 *                        DELETE again, so that a finished database is one file that read-only folders may hold, too
 *   synchronous=FULL     a commit survives a power cut, which with WAL costs one sync per sample, in the writer
 *   foreign_keys=ON      a cell without its base is a bug that should show at once
 *   trusted_schema=OFF   a file from somewhere else runs no functions when it is opened
 *   cell_size_check=ON   damage is found where it is read
 *   mmap_size=0          an I/O error is an error, not a signal
 *   temp_store=MEMORY    merging writes nothing to a disk that may be full
 *   busy_timeout         10 s, for the moments in which a reader's checkpoint holds the file
 */
#ifndef FOVEA_STUDY_STORE_INSIDE_H
#define FOVEA_STUDY_STORE_INSIDE_H

#include <sqlite3.h>

#include "fovea/store.h"

#define FV_STORE_APPLICATION 0x464F5645 /* "FOVE", PRAGMA application_id */
#define FV_STORE_BASES 1048576          /* ids of bases: sample * this + number within the sample */
#define FV_STORE_OWN_SWEEPS 1000        /* sweeps and samples added by hand have ids above these */
#define FV_STORE_OWN_SAMPLES 1000000000

struct fv_store {
  sqlite3 *db;
  char *path;
  fv_store_mode mode;
  int lock;        /* file descriptor of FILE-lock, or -1 */
  char *lock_path; /* NULL: no lock */
};

/* Opens for reading; *out is NULL without an error when the file is there and empty, which is how a process that was
 * killed at its first step leaves it: such a database belongs to any study and holds nothing of it. */
fv_status fv_store_open_part(const char *path, fv_store **out, fv_error *err);

/* bases.incorrect_id where version 1 has no such column: of the sweep w and the sample s. */
#define FV_STORE_INCORRECT_1 \
  "CASE WHEN w.kind = 'patch' AND json_extract(w.spec, '$.answers') IS NOT 'shuffled' THEN s.incorrect_id END"

/* The scripts that bring a database from version i to i + 1; the first makes the tables. */
extern const char *const fv_store_scripts[FV_STORE_VERSION];
/* Runs scripts[user_version] up to scripts[n - 1], each in its transaction with the new user_version. */
fv_status fv_store_migrate(fv_store *store, const char *const *scripts, int n, fv_error *err);

/* The lock of the one writer: FV_EIO names its process. */
fv_status fv_store_lock(fv_store *store, fv_error *err);
void fv_store_unlock(fv_store *store);

/* The sentence for the database's last failure; `rc` is what the function returned. */
fv_status fv_store_failed(const fv_store *store, int rc, fv_error *err);
fv_status fv_store_exec(const fv_store *store, const char *sql, fv_error *err);
fv_status fv_store_prepare(const fv_store *store, const char *sql, sqlite3_stmt **out, fv_error *err);
/* Steps once and resets: for statements that return no rows. */
fv_status fv_store_step(const fv_store *store, sqlite3_stmt *stmt, fv_error *err);
/* Steps to the next row; *more is false behind the last. */
fv_status fv_store_next(const fv_store *store, sqlite3_stmt *stmt, bool *more, fv_error *err);
/* The first column of the first row as an integer; 0 when there is no row or it is NULL. */
fv_status fv_store_integer(const fv_store *store, const char *sql, int64_t *out, fv_error *err);
/* BEGIN IMMEDIATE; and COMMIT when st is FV_OK, otherwise ROLLBACK. Returns the first failure. */
fv_status fv_store_begin(const fv_store *store, fv_error *err);
fv_status fv_store_end(const fv_store *store, fv_status st, fv_error *err);
/* What fv_store_put does, within a transaction of the caller's. */
fv_status fv_store_write_sample(const fv_store *store, const fv_store_sample *sample, const fv_store_result *results,
                                size_t nresults, fv_error *err);

/* Binding by position, counted from 1; empty (NULL and "", negative, NaN) becomes NULL. */
void fv_store_bind_text(sqlite3_stmt *stmt, int at, const char *text);
void fv_store_bind_count(sqlite3_stmt *stmt, int at, int64_t value);
void fv_store_bind_real(sqlite3_stmt *stmt, int at, double value);
/* Reading: the text of a column or "" (valid until the next step); -1 for an empty integer; NaN for an empty number. */
/* "image" or "question" when a corruption is the sample's own picture (or pictures) or text; else NULL. */
const char *fv_own_corruption(const char *corrupt);
const char *fv_store_text(sqlite3_stmt *stmt, int column);
int64_t fv_store_whole(sqlite3_stmt *stmt, int column);
float fv_store_number(sqlite3_stmt *stmt, int column);

#endif
