/* Reading: the manifest, counts, the long table, and the digest of the content. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "study/store_inside.h"

fv_status fv_store_manifest(const fv_store *s, const char *key, char **value, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  *value = NULL;
  fv_status st = fv_store_prepare(s, "SELECT value FROM manifest WHERE key = ? AND value IS NOT NULL", &q, err);
  if (st) return st;
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  st = fv_store_next(s, q, &more, err);
  if (!st && more && !(*value = fv_strdup(fv_store_text(q, 0)))) st = fv_fail(err, FV_ENOMEM, "no memory");
  sqlite3_finalize(q);
  return st;
}

fv_status fv_store_folder(const fv_store *s, char **folder, fv_error *err) {
  struct stat info;
  const char *slash = strrchr(s->path, '/');
  fv_status st = fv_store_manifest(s, "folder", folder, err);
  if (st || (*folder && stat(*folder, &info) == 0 && S_ISDIR(info.st_mode))) return st;
  free(*folder);
  *folder = slash ? fv_format("%.*s", (int)(slash == s->path ? 1 : slash - s->path), s->path) : fv_strdup(".");
  return *folder ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

fv_status fv_store_has(const fv_store *s, int64_t id, bool *yes, fv_error *err) {
  char sql[96];
  int64_t n;
  snprintf(sql, sizeof sql, "SELECT count(*) FROM samples WHERE id = %" PRId64, id);
  fv_status st = fv_store_integer(s, sql, &n, err);
  *yes = n > 0;
  return st;
}

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define OF_STUDY "id <= " TEXT(FV_STORE_OWN_SAMPLES)

fv_status fv_store_count(const fv_store *s, fv_store_counts *out, fv_error *err) {
  *out = (fv_store_counts){0};
  struct {
    const char *sql;
    int64_t *to;
  } const list[] = {{"SELECT count(*) FROM samples WHERE " OF_STUDY, &out->samples},
                    {"SELECT count(*) FROM samples WHERE " OF_STUDY " AND status = 'done'", &out->done},
                    {"SELECT count(*) FROM samples WHERE " OF_STUDY " AND status = 'excluded'", &out->excluded},
                    {"SELECT count(*) FROM samples WHERE " OF_STUDY " AND status = 'failed'", &out->failed},
                    {"SELECT count(*) FROM samples WHERE NOT " OF_STUDY, &out->added},
                    {"SELECT count(*) FROM sweeps", &out->sweeps},
                    {"SELECT count(*) FROM bases", &out->bases},
                    {"SELECT count(*) FROM cells", &out->cells}};
  fv_status st = FV_OK;
  for (size_t i = 0; i < sizeof list / sizeof *list && !st; i++) st = fv_store_integer(s, list[i].sql, list[i].to, err);
  return st;
}

/* The order of the long table. CROSS JOIN keeps SQLite from turning the loops round, so that nothing is sorted. */
#define IN_ORDER(incorrect_id)                                                                                 \
  "SELECT s.name, b.draw, b.corrupt, p.stack, p.site, p.layer, p.window, c.row, c.piece, c.head, c.\"from\", " \
  "c.\"to\","                                                                                                  \
  " p.op, c.prob, c.logit, c.logit_diff, c.p_diff, c.effect, c.kl, c.rank, b.clean_prob, b.corrupt_prob,"      \
  " b.clean_logit_diff, b.corrupt_logit_diff, b.answer_id, b.answer, w.name, " incorrect_id                    \
  " FROM samples s CROSS JOIN bases b ON b.sample_id = s.id CROSS JOIN cells c ON c.base_id = b.id"            \
  " CROSS JOIN places p ON p.id = c.place_id CROSS JOIN sweeps w ON w.id = b.sweep_id"                         \
  " WHERE ?1 IS NULL OR b.sweep_id = (SELECT id FROM sweeps WHERE name = ?1)"                                  \
  " ORDER BY s.id, b.id, c.n"

static const char *text_at(sqlite3_stmt *q, int column) { return (const char *)sqlite3_column_text(q, column); }

static void read_row(sqlite3_stmt *q, fv_row *r) {
  *r = (fv_row){.sample = text_at(q, 0),
                .draw = fv_store_whole(q, 1),
                .corrupt = text_at(q, 2),
                .stack = text_at(q, 3),
                .site = text_at(q, 4),
                .layer = fv_store_whole(q, 5),
                .window = fv_store_whole(q, 6),
                .row = fv_store_whole(q, 7),
                .piece = text_at(q, 8),
                .head = fv_store_whole(q, 9),
                .from = text_at(q, 10),
                .to = text_at(q, 11),
                .op = text_at(q, 12),
                .prob = fv_store_number(q, 13),
                .logit = fv_store_number(q, 14),
                .logit_diff = fv_store_number(q, 15),
                .p_diff = fv_store_number(q, 16),
                .effect = fv_store_number(q, 17),
                .kl = fv_store_number(q, 18),
                .rank = fv_store_whole(q, 19),
                .clean_prob = fv_store_number(q, 20),
                .corrupt_prob = fv_store_number(q, 21),
                .clean_logit_diff = fv_store_number(q, 22),
                .corrupt_logit_diff = fv_store_number(q, 23),
                .answer_id = fv_store_whole(q, 24),
                .answer = text_at(q, 25),
                .sweep = text_at(q, 26),
                .incorrect_id = fv_store_whole(q, 27)};
}

static fv_status check_sweep(const fv_store *s, const char *sweep, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false, found = false;
  char names[256] = "";
  fv_status st = fv_store_prepare(s, "SELECT name FROM sweeps ORDER BY id", &q, err);
  while (!st && !(st = fv_store_next(s, q, &more, err)) && more) {
    size_t n = strlen(names);
    found |= strcmp(fv_store_text(q, 0), sweep) == 0;
    snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", fv_store_text(q, 0));
  }
  sqlite3_finalize(q);
  return st || found ? st : fv_fail(err, FV_ENOTFOUND, "%s: has no sweep \"%s\"; it has: %s", s->path, sweep, names);
}

fv_status fv_store_rows(const fv_store *s, const char *sweep, fv_sink sink, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  int64_t version;
  fv_status st = sweep ? check_sweep(s, sweep, err) : FV_OK;
  if (!st) st = fv_store_integer(s, "PRAGMA user_version", &version, err);
  if (!st) st = fv_store_prepare(s, version < 2 ? IN_ORDER(FV_STORE_INCORRECT_1) : IN_ORDER("b.incorrect_id"), &q, err);
  if (st) return st;
  if (sweep) sqlite3_bind_text(q, 1, sweep, -1, SQLITE_STATIC);
  while (!(st = fv_store_next(s, q, &more, err)) && more) {
    fv_row row;
    read_row(q, &row);
    if ((st = sink.row(sink.user, &row, err))) break;
  }
  sqlite3_finalize(q);
  return st;
}

/* ---- the digest ---- */

/* Millions of values are digested, so they are gathered here first. */
typedef struct digest {
  EVP_MD_CTX *md;
  size_t used;
  unsigned char bytes[4096];
} digest;

static bool digest_flush(digest *d) {
  size_t n = d->used;
  d->used = 0;
  return EVP_DigestUpdate(d->md, d->bytes, n) == 1;
}

static bool put_bytes(digest *d, const void *data, size_t n) {
  if (n > sizeof d->bytes - d->used && !digest_flush(d)) return false;
  if (n > sizeof d->bytes) return EVP_DigestUpdate(d->md, data, n) == 1;
  if (n) memcpy(d->bytes + d->used, data, n);
  d->used += n;
  return true;
}

/* A letter, a number in decimal, and a mark. */
static bool put_whole(digest *d, char letter, int64_t value, char mark) {
  char text[1 + FV_WHOLE_TEXT] = {letter};
  size_t n = 1 + fv_whole_put(text + 1, value);
  text[n] = mark;
  return put_bytes(d, text, n + 1);
}

static bool put_bits(digest *d, double value) {
  static const char digits[] = "0123456789abcdef";
  char text[18] = {'f'};
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  for (int i = 16; i > 0; i--, bits >>= 4) text[i] = digits[bits & 15];
  text[17] = ';';
  return put_bytes(d, text, sizeof text);
}

/* Every value as a letter of its type, its length, and its bytes, so that no two contents look alike. */
static bool put_value(digest *d, sqlite3_stmt *q, int column) {
  switch (sqlite3_column_type(q, column)) {
    case SQLITE_INTEGER: return put_whole(d, 'i', sqlite3_column_int64(q, column), ';');
    case SQLITE_FLOAT: return put_bits(d, sqlite3_column_double(q, column));
    case SQLITE_NULL: return put_bytes(d, "n;", 2);
    default: break;
  }
  const unsigned char *text = sqlite3_column_text(q, column);
  int n = sqlite3_column_bytes(q, column);
  return put_whole(d, 't', n, ':') && put_bytes(d, text, (size_t)n);
}

static fv_status digest_query(const fv_store *s, digest *d, const char *sql, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false, good = put_bytes(d, sql, strlen(sql));
  fv_status st = fv_store_prepare(s, sql, &q, err);
  while (!st && good && !(st = fv_store_next(s, q, &more, err)) && more)
    for (int i = 0; i < sqlite3_column_count(q) && good; i++) good = put_value(d, q, i);
  sqlite3_finalize(q);
  return st || good ? st : fv_fail(err, FV_ENOMEM, "the digest cannot be computed");
}

fv_status fv_store_digest(const fv_store *s, char hex[65], fv_error *err) {
  static const char *const queries[] = {
      "SELECT key, value FROM manifest WHERE key IN ('study','model_sha256','family','tokenizer_sha256',"
      "'preprocessor_sha256','seed') ORDER BY key",
      "SELECT id, name, kind, spec FROM sweeps ORDER BY id",
      "SELECT id, name, position, status, reason, \"group\", correct_first, label, image, image_sha256, corrupt_image,"
      " corrupt_image_sha256, question, corrupt_question, correct, incorrect, correct_id, incorrect_id, answer,"
      " answer_id, clean_right, answer_row, fields, seed FROM samples ORDER BY id",
      "SELECT sample_id, stack, row, token_id, piece, name FROM sample_rows ORDER BY sample_id, stack, row",
      "SELECT id, sample_id, sweep_id, draw, corrupt, clean_prob, corrupt_prob, clean_logit_diff, corrupt_logit_diff,"
      " answer_id, answer FROM bases ORDER BY id",
      "SELECT c.base_id, c.n, p.stack, p.site, p.layer, p.window, p.op, c.row, c.piece, c.head, c.\"from\", c.\"to\","
      " c.prob, c.logit, c.logit_diff, c.p_diff, c.effect, c.kl, c.rank"
      " FROM cells c CROSS JOIN places p ON p.id = c.place_id ORDER BY c.base_id, c.n"};
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  digest d = {.md = EVP_MD_CTX_new()};
  if (!d.md || !EVP_DigestInit_ex(d.md, EVP_sha256(), NULL))
    return EVP_MD_CTX_free(d.md), fv_fail(err, FV_ENOMEM, "no memory for the digest");
  fv_status st = FV_OK;
  for (size_t i = 0; i < sizeof queries / sizeof *queries && !st; i++) st = digest_query(s, &d, queries[i], err);
  if (!st && !(digest_flush(&d) && EVP_DigestFinal_ex(d.md, bytes, &n)))
    st = fv_fail(err, FV_ENOMEM, "the digest cannot be computed");
  for (unsigned i = 0; i < n; i++) hex[2 * i] = digits[bytes[i] >> 4], hex[2 * i + 1] = digits[bytes[i] & 15];
  hex[2 * n] = '\0';
  EVP_MD_CTX_free(d.md);
  return st;
}
