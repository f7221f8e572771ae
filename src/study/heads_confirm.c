/* The second method: right answers with heads switched off. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "fovea/heads.h"
#include "study/store_inside.h"

void fv_heads_confirm_defaults(fv_heads_confirm_options *o) {
  *o = (fv_heads_confirm_options){.random = 20, .name = "circuit"};
}

void fv_heads_confirmed_release(fv_heads_confirmed *r) {
  free(r->first_excluded), free(r->set_share);
  *r = (fv_heads_confirmed){0};
}

/* A sample of the study. */
typedef struct item {
  char *name, *image, *sha256, *text;
  int64_t correct;
  fv_input *input; /* while it is being computed */
} item;

typedef struct confirmation {
  const fv_model *model;
  fv_store *store;
  const fv_heads_confirm_options *o;
  const fv_progress *progress;
  fv_heads_confirmed *out;
  fv_input_options input; /* how the study made its inputs */
  item *items;
  size_t nitems, room;
  int64_t L, H, Dh;   /* of the site; 0 until the first input */
  int64_t *sets;      /* [1 + nsets, n]: layer * H + head, ascending; the first is the circuit */
  int64_t nsets;      /* random ones: o->random, or fewer where there are no more */
  double *mean;       /* [L, H, Dh] */
  float *values;      /* [H, Dh] */
  int64_t mean_rows;  /* rows that the mean is over */
  double *right;      /* [samples, 3]: clean, circuit, mean over the random sets */
  double *set_rights; /* [nsets]: how many samples each answers rightly */
  bool *now;          /* [2 + nsets]: the sample in flight */
  int64_t passes, pass;
  bool broken; /* the circuit does not fit the model: no sample's fault */
} confirmation;

/* ---- samples ---- */

static void drop(item *i) {
  free(i->name), free(i->image), free(i->sha256), free(i->text);
  fv_input_free(i->input);
}

static fv_status copy_text(sqlite3_stmt *s, int column, char **out, fv_error *err) {
  const char *text = fv_store_text(s, column);
  *out = *text ? fv_strdup(text) : NULL;
  return *text && !*out ? fv_fail(err, FV_ENOMEM, "no memory") : FV_OK;
}

/* Pictures are written relative to the study's folder, which is the database's where the study did not say or has
 * moved. */
static fv_status find_image(const confirmation *c, char **image, fv_error *err) {
  const char *path = fv_store_path(c->store), *slash = strrchr(path, '/');
  if (!*image || **image == '/') return FV_OK;
  char *folder = c->o->images ? fv_strdup(c->o->images) : NULL, *full = NULL;
  fv_status st = folder ? FV_OK : fv_store_manifest(c->store, "folder", &folder, err);
  if (st) return st;
  if (folder) full = fv_path_join(folder, *image);
  if (full && !c->o->images && !fv_file_exists(full)) free(full), full = NULL;
  free(folder);
  if (!full && !c->o->images) {
    folder = fv_format("%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    full = folder ? fv_path_join(folder, *image) : NULL;
    free(folder);
  }
  if (!full) return fv_fail(err, FV_ENOMEM, "no memory");
  free(*image);
  *image = full;
  return FV_OK;
}

static fv_status read_item(confirmation *c, sqlite3_stmt *s, fv_error *err) {
  item i = {.correct = fv_store_whole(s, 4)};
  fv_status st = copy_text(s, 0, &i.name, err);
  if (!st) st = copy_text(s, 1, &i.image, err);
  if (!st) st = copy_text(s, 2, &i.sha256, err);
  if (!st) st = copy_text(s, 3, &i.text, err);
  if (!st) st = find_image(c, &i.image, err);
  if (!st && !fv_grow(&c->items, &c->room, c->nitems + 1, sizeof *c->items)) st = fv_fail(err, FV_ENOMEM, "no memory");
  if (st)
    drop(&i);
  else
    c->items[c->nitems++] = i;
  return st;
}

static fv_status read_items(confirmation *c, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(c->store,
                                  "SELECT name, image, image_sha256, question, correct_id FROM samples"
                                  " WHERE status = 'done' AND (?1 IS NULL OR \"group\" = ?1) ORDER BY id",
                                  &s, err);
  if (!st) fv_store_bind_text(s, 1, c->o->group);
  while (!st && !(st = fv_store_next(c->store, s, &more, err)) && more) st = read_item(c, s, err);
  sqlite3_finalize(s);
  if (!st && c->nitems == 0)
    st = fv_fail(err, FV_ENOTFOUND, "%s: there is no finished sample%s%s", fv_store_path(c->store),
                 c->o->group ? " of the group " : "", c->o->group ? c->o->group : "");
  return st;
}

/* The study's settings that change what the model sees. */
static fv_status read_settings(confirmation *c, fv_error *err) {
  char *text = NULL;
  json_t *study = NULL;
  const char *pillow = "13";
  fv_input_defaults(&c->input);
  fv_status st = fv_store_manifest(c->store, "study", &text, err);
  if (st || !text) return st;
  const char *where = fv_store_path(c->store);
  st = fv_json_parse(text, strlen(text), where, &study, err);
  if (!st) st = fv_json_bool(study, "exif", false, where, &c->input.exif, err);
  if (!st) st = fv_json_string(study, "pillow", "13", where, &pillow, err);
  if (!st)
    c->input.pillow = strcmp(pillow, "12.2") == 0 ? FV_PILLOW_12_2
                      : strcmp(pillow, "12") == 0 ? FV_PILLOW_12
                                                  : FV_PILLOW_13;
  json_decref(study);
  free(text);
  return st;
}

/* ---- sets of heads ---- */

static int by_number(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* n numbers below `limit`, each once; the first are moved to the front of `list`. */
static void shuffle(fv_rng *rng, int64_t *list, int64_t limit, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t k = i + (int64_t)(fv_rng_double(rng) * (double)(limit - i)), x = list[i];
    list[i] = list[k], list[k] = x;
  }
}

/* How many heads of the circuit and how many others a range of heads has; the others into list. */
static int64_t others(const confirmation *c, int64_t from, int64_t to, int64_t *list, int64_t *own) {
  int64_t n = 0;
  *own = 0;
  for (int64_t h = from; h < to; h++) {
    bool in = bsearch(&h, c->sets, (size_t)c->o->n, sizeof *c->sets, by_number) != NULL;
    *own += in;
    if (!in) list[n++] = h;
  }
  return n;
}

/* One set of other heads, ascending; `list` is room for all heads. */
static fv_status draw_set(const confirmation *c, fv_rng *rng, int64_t *list, int64_t *set, fv_error *err) {
  const fv_heads_confirm_options *o = c->o;
  int64_t ranges = o->same_layers ? c->L : 1, width = o->same_layers ? c->H : c->L * c->H, *to = set;
  for (int64_t k = 0; k < ranges; k++) {
    int64_t own, n = others(c, k * width, (k + 1) * width, list, &own);
    if (own > n)
      return fv_fail(err, FV_EUSAGE,
                     "the circuit has %" PRId64 " heads%s, and there are only %" PRId64
                     " others to compare with; take a smaller circuit (a higher threshold)%s",
                     own, o->same_layers ? " in one layer" : "", n, o->same_layers ? ", or heads of any layer" : "");
    shuffle(rng, list, n, own);
    for (int64_t i = 0; i < own; i++) *to++ = list[i];
  }
  qsort(set, (size_t)o->n, sizeof *set, by_number);
  return FV_OK;
}

/* Random sets, all different: the same one twice would make p smaller than the sets that there are can. Where there are
 * hardly more than are wanted, drawing finds most of them, and the tries end. */
static fv_status draw_sets(confirmation *c, fv_error *err) {
  size_t size = (size_t)c->o->n * sizeof *c->sets;
  int64_t *list = fv_alloc((size_t)(c->L * c->H), sizeof *list);
  fv_rng rng;
  fv_status st = list ? fv_rng_numpy(&rng, c->o->seed, err) : fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t tries = 20 * c->o->random + 100; tries > 0 && c->nsets < c->o->random && !st; tries--) {
    int64_t *set = c->sets + (c->nsets + 1) * c->o->n, r = 1;
    st = draw_set(c, &rng, list, set, err);
    while (r <= c->nsets && memcmp(c->sets + r * c->o->n, set, size) != 0) r++;
    c->nsets += r > c->nsets;
  }
  free(list);
  return st;
}

/* Sizes of the site, from the first input; then everything that depends on them. */
static fv_status prepare(confirmation *c, const fv_input *in, fv_error *err) {
  const fv_heads_confirm_options *o = c->o;
  fv_selection *s = NULL;
  size_t n = 0;
  char address[256];
  if (c->L > 0) return FV_OK;
  snprintf(address, sizeof address, "%s.*.%s", o->stack, o->site);
  fv_status st = fv_address_resolve(c->model, in, address, &s, &n, err);
  if (st) return st;
  if (s[0].nheads == 0 || s[0].part != 0)
    st = fv_fail(err, FV_EUSAGE, "%s has no heads that can be switched off; a circuit of attn.z or cross.z has",
                 address);
  c->L = (int64_t)n, c->H = s[0].nheads, c->Dh = s[0].head_width;
  for (size_t i = 0; i < n; i++) fv_selection_release(&s[i]);
  free(s);
  c->sets = fv_alloc((size_t)((o->random + 1) * o->n), sizeof *c->sets);
  c->mean = fv_alloc((size_t)(c->L * c->H * c->Dh), sizeof *c->mean);
  c->values = fv_alloc((size_t)(c->H * c->Dh), sizeof *c->values);
  if (!st && (!c->sets || !c->mean || !c->values)) st = fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < o->n && !st; i++) {
    int64_t l = o->heads[2 * i], h = o->heads[2 * i + 1];
    if (l < 0 || l >= c->L || h < 0 || h >= c->H)
      st = fv_fail(err, FV_ENOTFOUND, "L%" PRId64 "H%" PRId64 ": %s has %" PRId64 " layers of %" PRId64 " heads", l, h,
                   address, c->L, c->H);
    else
      c->sets[i] = l * c->H + h;
  }
  if (st) return st;
  qsort(c->sets, (size_t)o->n, sizeof *c->sets, by_number);
  return draw_sets(c, err);
}

/* ---- runs ---- */

static fv_status open_input(confirmation *c, item *i, fv_error *err) {
  fv_input_options o = c->input;
  bool raw = i->text && strstr(i->text, "<image>");
  o.image = i->image, o.question = raw ? NULL : i->text, o.prompt = raw ? i->text : NULL;
  if (i->correct < 0) return fv_fail(err, FV_EFORMAT, "the study has no correct answer for it");
  fv_status st = fv_input_new(c->model, &o, &i->input, err);
  if (!st && i->sha256 && strcmp(i->sha256, fv_input_image_sha256(i->input)) != 0)
    st = fv_fail(err, FV_EMISMATCH, "%s: %s is not the picture that the study was made with", i->name, i->image);
  if (st) return st;
  st = prepare(c, i->input, err);
  c->broken = st != FV_OK;
  return st;
}

/* Adds the heads' outputs of one sample to the sums. */
static fv_status add_mean(confirmation *c, const item *i, fv_error *err) {
  fv_selection *s = NULL;
  fv_wave *w = NULL;
  size_t n = 0;
  char address[256];
  int run;
  fv_wave_options wave = {.memory = c->o->memory};
  snprintf(address, sizeof address, "%s.*.%s", c->o->stack, c->o->site);
  fv_status st = fv_address_resolve(c->model, i->input, address, &s, &n, err);
  if (st) return st;
  int64_t rows = s[0].nrows, width = c->H * c->Dh;
  float *z = fv_alloc(n * (size_t)(rows * width), sizeof *z);
  if (!z) st = fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) st = fv_wave_new(c->model, &wave, &w, err);
  if (!st) st = fv_wave_run(w, -1, i->input, &run, err);
  for (size_t l = 0; l < n && !st; l++) st = fv_wave_read(w, run, &s[l], z + (int64_t)l * rows * width, err);
  if (!st) st = fv_wave_compute(w, NULL, err);
  for (int64_t l = 0; l < c->L && !st; l++)
    for (int64_t t = 0; t < rows; t++)
      for (int64_t k = 0; k < width; k++) c->mean[l * width + k] += (double)z[(l * rows + t) * width + k];
  if (!st) c->mean_rows += rows;
  fv_wave_free(w);
  free(z);
  for (size_t l = 0; l < n; l++) fv_selection_release(&s[l]);
  free(s);
  return st;
}

/* One edit for the heads of a set that are in one layer: sets[0 .. *n). */
static fv_status switch_off(confirmation *c, fv_wave *w, int run, const fv_input *in, const int64_t *heads, int64_t n,
                            fv_error *err) {
  int64_t layer = heads[0] / c->H;
  char *list = NULL;
  for (int64_t i = 0; i < n; i++) {
    char *longer = fv_format("%s%s%" PRId64, list ? list : "", list ? "," : "", heads[i] % c->H);
    free(list);
    if (!(list = longer)) return fv_fail(err, FV_ENOMEM, "no memory");
    const double *mean = c->mean + heads[i] * c->Dh;
    for (int64_t k = 0; k < c->Dh; k++) c->values[i * c->Dh + k] = (float)(mean[k] / (double)c->mean_rows);
  }
  char *address = fv_format("%s.%" PRId64 ".%s#%s", c->o->stack, layer, c->o->site, list);
  fv_selection *s = NULL;
  size_t count = 0;
  fv_status st =
      address ? fv_address_resolve(c->model, in, address, &s, &count, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st) {
    fv_edit_options edit = {.op = c->o->zero ? "zero" : "mean", .at = &s[0], .source = -1};
    if (!c->o->zero) edit.values = c->values, edit.values_rows = 1;
    st = fv_wave_edit(w, run, &edit, err);
  }
  for (size_t i = 0; i < count; i++) fv_selection_release(&s[i]);
  free(s), free(address), free(list);
  return st;
}

static fv_status ablate(confirmation *c, fv_wave *w, int run, const fv_input *in, const int64_t *set, fv_error *err) {
  fv_status st = FV_OK;
  for (int64_t i = 0, n; i < c->o->n && !st; i += n) {
    for (n = 1; i + n < c->o->n && set[i + n] / c->H == set[i] / c->H;) n++;
    st = switch_off(c, w, run, in, set + i, n, err);
  }
  return st;
}

typedef struct listener {
  confirmation *c;
  int64_t correct;
} listener;

static fv_status hear(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  const listener *l = user;
  int64_t top = 0;
  (void)err;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[top]) top = v;
  l->c->now[run] = top == l->correct;
  return FV_OK;
}

/* The clean run, then one for each set. */
static fv_status answer(confirmation *c, const item *i, fv_error *err) {
  fv_wave *w = NULL;
  int clean = 0, run = 0;
  listener l = {c, i->correct};
  fv_wave_options wave = {.memory = c->o->memory};
  fv_status st = fv_wave_new(c->model, &wave, &w, err);
  if (!st) st = fv_wave_run(w, -1, i->input, &clean, err);
  if (!st) st = fv_wave_readout(w, clean, hear, &l, err);
  for (int64_t r = 0; r <= c->nsets && !st; r++) {
    st = fv_wave_run(w, clean, NULL, &run, err);
    if (!st) st = ablate(c, w, run, i->input, c->sets + r * c->o->n, err);
    if (!st) st = fv_wave_readout(w, run, hear, &l, err);
  }
  if (!st) st = fv_wave_compute(w, NULL, err);
  fv_wave_free(w);
  if (st) return st;
  double *to = c->right + 3 * c->out->samples++;
  int64_t rights = 0;
  for (int64_t r = 0; r < c->nsets; r++) {
    c->set_rights[r] += c->now[2 + r];
    rights += c->now[2 + r];
  }
  to[0] = c->now[0], to[1] = c->now[1], to[2] = (double)rights / (double)c->nsets;
  return FV_OK;
}

/* ---- all of it ---- */

/* Bad data of one sample excludes it; everything else ends the run. */
static bool is_data_error(fv_status st) {
  return st == FV_EFORMAT || st == FV_ESHAPE || st == FV_EIO || st == FV_ENOTFOUND || st == FV_EUNSUPPORTED;
}

/* One pass over the samples; those that fail are out of the next one, too. */
static fv_status each(confirmation *c, fv_status (*work)(confirmation *c, const item *i, fv_error *err),
                      fv_error *err) {
  fv_status st = FV_OK;
  fv_error own = {0};
  for (size_t k = 0; k < c->nitems && !st; k++) {
    item *i = &c->items[k];
    if (!i->name) continue;
    fv_status one = open_input(c, i, &own);
    if (!one) one = work(c, i, &own);
    bool data = is_data_error(one) && !c->broken;
    if (one && !data) st = fv_fail(err, one, "%s", own.text);
    if (data && c->out->excluded++ == 0) c->out->first_excluded = fv_format("%s: %s", i->name, own.text);
    fv_input_free(i->input), i->input = NULL;
    if (one) drop(i), *i = (item){0};
    double done = ((double)c->pass + (double)(k + 1) / (double)c->nitems) / (double)c->passes;
    if (!st && c->progress && c->progress->fn && !c->progress->fn(c->progress->user, done))
      st = fv_fail(err, FV_ECANCELLED, "stopped on request");
  }
  c->pass++;
  return st;
}

static fv_status summarise(confirmation *c, fv_error *err) {
  fv_heads_confirmed *out = c->out;
  double sum[3] = {0};
  fv_share *const shares[3] = {&out->clean, &out->circuit, &out->random};
  if (out->samples == 0)
    return fv_fail(err, FV_ENOTFOUND, "%s: no sample can be used; %lld are excluded, the first: %s",
                   fv_store_path(c->store), (long long)out->excluded, out->first_excluded ? out->first_excluded : "");
  for (int64_t s = 0; s < out->samples; s++)
    for (int k = 0; k < 3; k++) sum[k] += c->right[3 * s + k];
  for (int k = 0; k < 3; k++) {
    double share = shares[k]->value = sum[k] / (double)out->samples;
    fv_wilson_interval(share, out->samples, &shares[k]->low, &shares[k]->high);
  }
  int64_t lower = 0;
  out->sets = c->nsets;
  for (int64_t r = 0; r < out->sets; r++) {
    out->set_share[r] = c->set_rights[r] / (double)out->samples;
    lower += c->set_rights[r] <= sum[1];
  }
  out->p = out->sets ? (double)(1 + lower) / (double)(1 + out->sets) : NAN;
  return FV_OK;
}

/* The settings as JSON, by which a repetition is known. */
static char *settings(const confirmation *c) {
  const fv_heads_confirm_options *o = c->o;
  json_t *heads = json_array();
  for (int64_t i = 0; i < o->n; i++)
    json_array_append_new(heads, json_pack("[I, I]", (json_int_t)(c->sets[i] / c->H), (json_int_t)(c->sets[i] % c->H)));
  json_t *all = json_pack("{s:s, s:s, s:o, s:s, s:I, s:b, s:I, s:s*}", "stack", o->stack, "site", o->site, "heads",
                          heads, "ablation", o->zero ? "zero" : "mean", "random", (json_int_t)o->random, "same_layers",
                          o->same_layers, "seed", (json_int_t)o->seed, "group", o->group);
  char *text = all ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_decref(all);
  return text;
}

static fv_status write_check(const confirmation *c, const char *what, const char *spec, const fv_share *v, int64_t n,
                             fv_error *err) {
  sqlite3_stmt *s = NULL;
  fv_status st = fv_store_prepare(c->store,
                                  "INSERT INTO checks(name, sweep, what, spec, value, low, high, n, created)"
                                  " VALUES(?, ?, ?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                                  &s, err);
  if (st) return st;
  fv_store_bind_text(s, 1, c->o->name), fv_store_bind_text(s, 2, c->o->sweep), fv_store_bind_text(s, 3, what);
  fv_store_bind_text(s, 4, spec);
  fv_store_bind_real(s, 5, v->value), fv_store_bind_real(s, 6, v->low), fv_store_bind_real(s, 7, v->high);
  fv_store_bind_count(s, 8, n);
  st = fv_store_step(c->store, s, err);
  sqlite3_finalize(s);
  return st;
}

static fv_status write_checks(const confirmation *c, fv_error *err) {
  const fv_heads_confirmed *out = c->out;
  const fv_share p = {out->p, NAN, NAN};
  char *spec = settings(c);
  sqlite3_stmt *s = NULL;
  if (!spec) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = fv_store_begin(c->store, err);
  if (st) return free(spec), st;
  st = fv_store_prepare(c->store, "DELETE FROM checks WHERE name IS ? AND sweep IS ? AND spec IS ?", &s, err);
  if (!st) {
    fv_store_bind_text(s, 1, c->o->name), fv_store_bind_text(s, 2, c->o->sweep), fv_store_bind_text(s, 3, spec);
    st = fv_store_step(c->store, s, err);
  }
  sqlite3_finalize(s);
  if (!st) st = write_check(c, "accuracy", spec, &out->clean, out->samples, err);
  if (!st) st = write_check(c, "accuracy without the circuit", spec, &out->circuit, out->samples, err);
  if (!st) st = write_check(c, "accuracy without random heads", spec, &out->random, out->samples, err);
  if (!st) st = write_check(c, "p against random heads", spec, &p, out->sets, err);
  free(spec);
  return fv_store_end(c->store, st, err);
}

static fv_status check(const fv_model *model, const fv_heads_confirm_options *o, fv_error *err) {
  if (o->n < 1) return fv_fail(err, FV_EUSAGE, "there are no heads to switch off");
  if (o->random < 1 || o->random > 100000)
    return fv_fail(err, FV_EUSAGE, "%lld random sets; expected 1 to 100000", (long long)o->random);
  if (!fv_model_answer_stack(model))
    return fv_fail(err, FV_EUSAGE, "%s: a %s model gives no answers to count", fv_model_path(model),
                   fv_model_family(model));
  return FV_OK;
}

fv_status fv_heads_confirm(const fv_model *model, fv_store *store, const fv_heads_confirm_options *options,
                           const fv_progress *progress, fv_heads_confirmed *out, fv_error *err) {
  confirmation c = {.model = model, .store = store, .o = options, .progress = progress, .out = out};
  c.passes = options->zero ? 1 : 2;
  *out = (fv_heads_confirmed){0};
  fv_status st = check(model, options, err);
  if (!st) st = read_settings(&c, err);
  if (!st) st = read_items(&c, err);
  if (!st) {
    c.right = fv_alloc(c.nitems, 3 * sizeof *c.right);
    c.set_rights = fv_alloc((size_t)options->random, sizeof *c.set_rights);
    out->set_share = fv_alloc((size_t)options->random, sizeof *out->set_share);
    c.now = fv_alloc((size_t)options->random + 2, sizeof *c.now);
    if (!c.right || !c.set_rights || !out->set_share || !c.now) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  if (!st && !options->zero) st = each(&c, add_mean, err);
  if (!st) st = each(&c, answer, err);
  if (!st) st = summarise(&c, err);
  if (!st) st = write_checks(&c, err);
  for (size_t i = 0; i < c.nitems; i++) drop(&c.items[i]);
  free(c.items), free(c.sets), free(c.mean), free(c.values), free(c.right), free(c.set_rights), free(c.now);
  if (st) fv_heads_confirmed_release(out);
  return st;
}
