#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/by_sample.h"
#include "study/export_blocks.h"
#include "study/store_inside.h"

const char *const fv_export_metrics[FV_EXPORT_METRICS] = {"prob", "p_diff", "logit_diff", "effect",
                                                          "kl",   "rank",   "logit"};

typedef struct reader {
  fv_store *store;
  sqlite3_stmt *sample, *tokens;
  const char *sweep;
  fv_export_each each;
  void *user;
  fv_text_pool texts;
  int64_t blocks;
} reader;

char *fv_export_file_name(const char *name) {
  char *out = fv_strdup(name && *name ? name : "sample");
  for (char *c = out; c && *c; c++)
    if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_' &&
        (*c != '.' || c == out))
      *c = '_';
  return out;
}

/* ---- one block ---- */

/* A gigabyte of numbers per metric; no sample has so many. */
#define CELLS_MAX ((size_t)1 << 28)

static bool same_block(const fv_row *a, const fv_row *b) {
  return a->stack == b->stack && a->site == b->site && a->op == b->op && a->window == b->window &&
         a->corrupt == b->corrupt;
}

static void block_release(fv_export_block *b) {
  free(b->layers), free(b->heads), free(b->ids), free(b->pieces);
  for (int k = 0; k < FV_EXPORT_METRICS; k++) free(b->values[k]);
}

/* Adds a key to a sorted list without doubles. */
static bool add_key(int64_t **keys, int64_t *n, size_t *capacity, int64_t key) {
  int64_t at = *n;
  while (at > 0 && (*keys)[at - 1] > key) at--;
  if (at > 0 && (*keys)[at - 1] == key) return true;
  if (!fv_grow(keys, capacity, (size_t)*n + 1, sizeof **keys)) return false;
  memmove(*keys + at + 1, *keys + at, (size_t)(*n - at) * sizeof **keys);
  (*keys)[at] = key, ++*n;
  return true;
}

static int64_t key_index(const int64_t *keys, int64_t n, int64_t key) {
  int64_t i = 0;
  while (i < n && keys[i] != key) i++;
  return i;
}

static fv_status block_axes(fv_export_block *b, const fv_row *rows, size_t count, size_t first, fv_error *err) {
  size_t layers = 0, heads = 0, cells = 0;
  bool good = true;
  b->T = fv_by_sample_rows(rows, count, first);
  for (size_t i = first; i < count && good; i++)
    if (same_block(&rows[i], &rows[first]))
      good = add_key(&b->layers, &b->L, &layers, rows[i].layer) && add_key(&b->heads, &b->H, &heads, rows[i].head);
  good = good && fv_mul_size((size_t)b->T, (size_t)b->L, &cells) && fv_mul_size(cells, (size_t)b->H, &cells);
  if (good && cells > CELLS_MAX)
    return fv_fail(err, FV_EFORMAT, "sample %s: its rows, layers and heads span %zu cells; the database is damaged",
                   rows[first].sample ? rows[first].sample : "", cells);
  for (int k = 0; k < FV_EXPORT_METRICS && good; k++) {
    good = (b->values[k] = fv_alloc(cells, sizeof(float))) != NULL;
    for (size_t i = 0; i < cells && good; i++) b->values[k][i] = NAN;
  }
  b->ids = fv_alloc((size_t)b->T, sizeof *b->ids);
  b->pieces = fv_alloc((size_t)b->T, sizeof *b->pieces);
  return good && b->ids && b->pieces ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for a block of %zu cells", cells);
}

/* Values, averaged over the draws in the order of the table. */
static fv_status block_values(fv_export_block *b, const fv_row *rows, size_t count, size_t first, fv_error *err) {
  size_t cells = (size_t)(b->T * b->L * b->H);
  int32_t *n = fv_alloc(cells, sizeof *n);
  double *sums = fv_alloc(cells, sizeof *sums), runs = 0.0;
  if (!n || !sums) return free(n), free(sums), fv_fail(err, FV_ENOMEM, "no memory for a block of %zu cells", cells);
  for (int k = 0; k < FV_EXPORT_METRICS; k++) {
    memset(n, 0, cells * sizeof *n);
    memset(sums, 0, cells * sizeof *sums);
    for (size_t i = first; i < count; i++) {
      const fv_row *r = &rows[i];
      if (!same_block(r, &rows[first]) || r->row < 0) continue;
      const float all[FV_EXPORT_METRICS] = {
          r->prob, r->p_diff, r->logit_diff, r->effect, r->kl, r->rank >= 0 ? (float)r->rank : NAN, r->logit};
      size_t at =
          (size_t)((r->row * b->L + key_index(b->layers, b->L, r->layer)) * b->H + key_index(b->heads, b->H, r->head));
      if (k == 0 && r->piece) b->pieces[r->row] = r->piece;
      if (!isnan(all[k])) sums[at] += (double)all[k], n[at]++;
    }
    for (size_t i = 0; i < cells; i++)
      if (n[i]) b->values[k][i] = (float)(sums[i] / (double)n[i]);
  }
  b->clean_prob = b->corrupt_prob = b->clean_logit_diff = b->corrupt_logit_diff = 0.0;
  for (size_t i = first; i < count; i++) {
    if (!same_block(&rows[i], &rows[first])) continue;
    b->clean_prob += (double)rows[i].clean_prob, b->corrupt_prob += (double)rows[i].corrupt_prob;
    b->clean_logit_diff += (double)rows[i].clean_logit_diff;
    b->corrupt_logit_diff += (double)rows[i].corrupt_logit_diff;
    runs += 1.0;
  }
  b->clean_prob /= runs, b->corrupt_prob /= runs, b->clean_logit_diff /= runs, b->corrupt_logit_diff /= runs;
  free(n);
  free(sums);
  return FV_OK;
}

/* ---- what the sample says ---- */

static fv_status keep(reader *r, sqlite3_stmt *q, int column, const char **out, fv_error *err) {
  return fv_text_pool_add(&r->texts, fv_store_text(q, column), out, err);
}

static fv_status block_sample(reader *r, fv_export_block *b, fv_error *err) {
  bool more = false;
  for (int64_t i = 0; i < b->T; i++) b->ids[i] = -1;
  sqlite3_bind_text(r->sample, 1, b->sample, -1, SQLITE_STATIC);
  sqlite3_bind_text(r->sample, 2, b->sweep, -1, SQLITE_STATIC);
  fv_status st = fv_store_next(r->store, r->sample, &more, err);
  if (!st && more) {
    /* A patch compares the answer that it follows with another one, in a control those of another sample. */
    bool patch = strcmp(fv_store_text(r->sample, 6), "patch") == 0;
    int64_t own = fv_store_whole(r->sample, 0), said = fv_store_whole(r->sample, 2);
    b->correct_id = patch ? b->answer_id : own;
    if (!patch) b->incorrect_id = fv_store_whole(r->sample, 1);
    b->right = b->correct_id == own ? fv_store_whole(r->sample, 3) : said < 0 ? -1 : said == b->correct_id;
    b->position = fv_store_whole(r->sample, 5);
    st = keep(r, r->sample, 4, &b->question, err);
  }
  sqlite3_reset(r->sample);
  sqlite3_bind_text(r->tokens, 1, b->sample, -1, SQLITE_STATIC);
  sqlite3_bind_text(r->tokens, 2, b->stack, -1, SQLITE_STATIC);
  while (!st && !(st = fv_store_next(r->store, r->tokens, &more, err)) && more) {
    int64_t row = fv_store_whole(r->tokens, 0);
    if (row < 0 || row >= b->T) continue;
    b->ids[row] = fv_store_whole(r->tokens, 1);
    if (!b->pieces[row]) st = keep(r, r->tokens, 2, &b->pieces[row], err);
  }
  sqlite3_reset(r->tokens);
  return st;
}

static fv_status on_sample(void *user, const char *name, const fv_row *rows, size_t count, fv_error *err) {
  reader *r = user;
  fv_status st = FV_OK;
  for (size_t i = 0; i < count && !st; i++) {
    size_t earlier = 0;
    while (earlier < i && !same_block(&rows[earlier], &rows[i])) earlier++;
    if (earlier < i) {
      while (i + 1 < count && same_block(&rows[i + 1], &rows[i])) i++;
      continue;
    }
    const char *corrupt = rows[i].corrupt ? rows[i].corrupt : "";
    fv_export_block b = {.sweep = r->sweep,
                         .sample = name,
                         .corrupt = fv_own_corruption(corrupt) ? fv_own_corruption(corrupt) : corrupt,
                         .stack = rows[i].stack,
                         .site = rows[i].site,
                         .op = rows[i].op,
                         .window = rows[i].window,
                         .answer = rows[i].answer,
                         .answer_id = rows[i].answer_id,
                         .correct_id = -1,
                         .incorrect_id = rows[i].incorrect_id,
                         .right = -1};
    st = block_axes(&b, rows, count, i, err);
    if (!st) st = block_values(&b, rows, count, i, err);
    if (!st) st = block_sample(r, &b, err);
    if (!st) st = r->each(r->user, &b, err), r->blocks++;
    block_release(&b);
  }
  return st;
}

/* The names of the sweeps, each NUL-terminated, behind each other; an empty one ends the list. */
static fv_status list_sweeps(const fv_store *store, const char *only, char **out, fv_error *err) {
  sqlite3_stmt *q = NULL;
  bool more = false;
  size_t n = 0, capacity = 0;
  char *names = NULL;
  fv_status st = fv_store_prepare(store, "SELECT name FROM sweeps WHERE ?1 IS NULL OR name = ?1 ORDER BY id", &q, err);
  if (!st && only) sqlite3_bind_text(q, 1, only, -1, SQLITE_STATIC);
  while (!st && !(st = fv_store_next(store, q, &more, err)) && more) {
    const char *name = fv_store_text(q, 0);
    size_t size = strlen(name) + 1;
    if (!fv_grow(&names, &capacity, n + size + 1, 1)) st = fv_fail(err, FV_ENOMEM, "no memory");
    if (!st) memcpy(names + n, name, size), n += size, names[n] = '\0';
  }
  sqlite3_finalize(q);
  if (!st && !names && !(names = fv_strdup(""))) st = fv_fail(err, FV_ENOMEM, "no memory");
  if (st) free(names), names = NULL;
  *out = names;
  return st;
}

fv_status fv_export_blocks(const char *db, const char *sweep, fv_export_each each, void *user, fv_error *err) {
  reader r = {.each = each, .user = user};
  char *sweeps = NULL;
  fv_status st = fv_store_open(db, FV_STORE_READ, &r.store, err);
  if (!st)
    st = fv_store_prepare(r.store,
                          "SELECT correct_id, incorrect_id, answer_id, clean_right, question, position,"
                          " (SELECT kind FROM sweeps WHERE name = ?2) FROM samples WHERE name = ?1",
                          &r.sample, err);
  if (!st)
    st = fv_store_prepare(r.store,
                          "SELECT row, token_id, piece FROM sample_rows WHERE sample_id ="
                          " (SELECT id FROM samples WHERE name = ?) AND stack = ? ORDER BY row",
                          &r.tokens, err);
  if (!st) st = list_sweeps(r.store, sweep, &sweeps, err);
  /* One that is not there is refused, with the names of those that are, by fv_store_rows. */
  for (const char *name = sweep && sweeps && !*sweeps ? sweep : sweeps; !st && name && *name;
       name += sweep ? strlen(name) : strlen(name) + 1) {
    fv_by_sample rows = {.user = &r, .sample = on_sample};
    r.sweep = name;
    st = fv_store_rows(r.store, name, fv_by_sample_sink(&rows), err);
    if (!st) st = fv_by_sample_end(&rows, err);
    fv_by_sample_release(&rows);
  }
  if (!st && r.blocks == 0)
    st = fv_fail(err, FV_ENOTFOUND, "%s: has no results%s%s; `fovea run` computes them", db,
                 sweep ? " of the sweep " : "", sweep ? sweep : "");
  free(sweeps);
  sqlite3_finalize(r.sample);
  sqlite3_finalize(r.tokens);
  fv_store_close(r.store);
  fv_text_pool_release(&r.texts);
  return st;
}
