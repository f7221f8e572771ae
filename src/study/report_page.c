/* The page itself: an HTML shell with a strict content policy, the data as JSON, the script that draws them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/sha256.h"
#include "fovea/plot.h"
#include "study/assets.h"
#include "study/page_picture.h"
#include "study/report_circuits.h"

/* ---- pictures ---- */

typedef struct pictures {
  const char **paths; /* pool pointers */
  char **uris;        /* NULL: could not be read */
  size_t count, capacity, uris_capacity;
  int64_t missing, changed;
} pictures;

static void pictures_release(pictures *p) {
  for (size_t i = 0; i < p->count; i++) free(p->uris[i]);
  free(p->paths);
  free(p->uris);
}

/* The file where the study was, beside the database, or as it is named. */
static fv_status locate(const fv_report *r, const char *path, char **out, fv_error *err) {
  const char *folders[] = {NULL, r->folder};
  for (size_t i = 0; i < r->nfacts; i++)
    if (strcmp(r->facts[i].name, "folder") == 0) folders[0] = r->facts[i].value;
  for (int i = 0; i < 2 && path[0] != '/'; i++) {
    if (!folders[i]) continue;
    if (!(*out = fv_path_join(folders[i], path))) return fv_fail(err, FV_ENOMEM, "no memory");
    if (fv_file_exists(*out)) return FV_OK;
    free(*out);
  }
  *out = fv_strdup(path);
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* Index of a picture, or -1 when it is missing or not the one of the study. */
static fv_status picture_index(const fv_report *r, pictures *p, const char *path, const char *sha256, int64_t *out,
                               fv_error *err) {
  char hex[FV_SHA256_HEX], *file = NULL, *uri = NULL;
  *out = -1;
  if (!path || !*path) return FV_OK;
  for (size_t i = p->count; i-- > 0;)
    if (p->paths[i] == path) return *out = p->uris[i] ? (int64_t)i : -1, FV_OK;
  fv_status st = locate(r, path, &file, err);
  if (st) return st;
  fv_error ignored;
  bool changed = sha256 && *sha256 && !fv_sha256_file(file, hex, &ignored) && strcmp(hex, sha256) != 0;
  if (!changed) st = fv_page_picture(file, r->options.side, &uri, &ignored);
  free(file);
  if (st == FV_ENOMEM) return fv_fail(err, FV_ENOMEM, "%s", ignored.text);
  p->changed += changed;
  p->missing += !changed && !uri;
  if (!fv_grow(&p->paths, &p->capacity, p->count + 1, sizeof *p->paths) ||
      !fv_grow(&p->uris, &p->uris_capacity, p->count + 1, sizeof *p->uris)) {
    free(uri);
    return fv_fail(err, FV_ENOMEM, "no memory for pictures");
  }
  p->paths[p->count] = path, p->uris[p->count] = uri;
  *out = uri ? (int64_t)p->count : -1;
  p->count++;
  return FV_OK;
}

/* ---- the data ---- */

static void optional_text(fv_json_out *j, const char *key, const char *value) {
  if (value && *value) fv_json_out_text(j, key, value);
}

/* Means over draws. */
static void write_base(fv_json_out *j, const fv_report_base *b, const char *clean, const char *corrupted) {
  if (b->n == 0) return;
  fv_json_out_num(j, clean, b->clean / (double)b->n);
  fv_json_out_num(j, corrupted, b->corrupted / (double)b->n);
}

static fv_status write_pictures(const fv_report *r, const fv_report_sample *s, bool show, pictures *p, fv_json_out *j,
                                fv_error *err) {
  fv_status st = FV_OK;
  fv_json_out_begin(j, "pictures", '[');
  for (size_t i = 0; i < s->npictures && !st; i++) {
    const fv_report_picture *one = &s->pictures[i];
    int64_t clean = -1, corrupt = -1;
    if (show) st = picture_index(r, p, one->image, one->image_sha256, &clean, err);
    if (!st && show) st = picture_index(r, p, one->corrupt_image, one->corrupt_image_sha256, &corrupt, err);
    fv_json_out_begin(j, NULL, '{');
    optional_text(j, "image", one->image);
    optional_text(j, "corrupt_image", one->corrupt_image);
    if (clean >= 0) fv_json_out_int(j, "picture", clean);
    if (corrupt >= 0) fv_json_out_int(j, "corrupt_picture", corrupt);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
  return st;
}

static fv_status write_sample(const fv_report *r, const fv_report_sample *s, bool show, pictures *p, fv_json_out *j,
                              fv_error *err) {
  fv_json_out_begin(j, NULL, '{');
  fv_json_out_text(j, "name", s->name);
  fv_json_out_text(j, "status", s->status);
  optional_text(j, "reason", s->reason);
  optional_text(j, "group", s->group);
  optional_text(j, "label", s->label);
  fv_status st = write_pictures(r, s, show, p, j, err);
  if (st) return st;
  optional_text(j, "question", s->question);
  optional_text(j, "corrupt_question", s->corrupt_question);
  optional_text(j, "correct", s->correct);
  optional_text(j, "incorrect", s->incorrect);
  optional_text(j, "answer", s->answer);
  if (s->right >= 0) fv_json_out_bool(j, "right", s->right == 1);
  if (s->answer_row >= 0) fv_json_out_int(j, "answer_row", s->answer_row);
  write_base(j, &s->prob, "clean_prob", "corrupt_prob");
  write_base(j, &s->logit_diff, "clean_logit_diff", "corrupt_logit_diff");
  if (s->keep) st = fv_report_kept_write(&r->maps, &s->kept, j, err);
  fv_json_out_end(j, '}');
  return st;
}

static fv_status write_samples(const fv_report *r, fv_json_out *j, fv_error *err) {
  pictures p = {0};
  int64_t counts[3] = {0}, kept = 0;
  fv_status st = FV_OK;
  fv_json_out_begin(j, "samples", '[');
  for (size_t i = 0; i < r->nsamples && !st; i++) {
    const fv_report_sample *s = &r->samples[i];
    const char *status = s->status ? s->status : "";
    counts[strcmp(status, "done") == 0 ? 0 : strcmp(status, "excluded") == 0 ? 1 : 2]++;
    kept += s->keep;
    if ((int64_t)i < r->options.listed) st = write_sample(r, s, (int64_t)i < r->options.pictures, &p, j, err);
  }
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "pictures", '[');
  for (size_t i = 0; i < p.count; i++) fv_json_out_text(j, NULL, p.uris[i]);
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "counts", '{');
  fv_json_out_int(j, "samples", (int64_t)r->nsamples);
  fv_json_out_int(j, "done", counts[0]);
  fv_json_out_int(j, "excluded", counts[1]);
  fv_json_out_int(j, "failed", counts[2]);
  fv_json_out_int(j, "rows", r->rows);
  fv_json_out_int(j, "with_maps", kept);
  fv_json_out_int(j, "with_pictures",
                  (int64_t)r->nsamples < r->options.pictures ? (int64_t)r->nsamples : r->options.pictures);
  fv_json_out_int(j, "pictures_missing", p.missing);
  fv_json_out_int(j, "pictures_changed", p.changed);
  fv_json_out_end(j, '}');
  pictures_release(&p);
  return st;
}

static void write_lists(const fv_report *r, fv_json_out *j) {
  fv_json_out_begin(j, "manifest", '[');
  for (size_t i = 0; i < r->nfacts; i++) {
    fv_json_out_begin(j, NULL, '[');
    fv_json_out_text(j, NULL, r->facts[i].name);
    fv_json_out_text(j, NULL, r->facts[i].value);
    fv_json_out_end(j, ']');
  }
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "sweeps", '[');
  for (size_t i = 0; i < r->nsweeps; i++) {
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_text(j, "name", r->sweeps[i].name);
    fv_json_out_text(j, "kind", r->sweeps[i].kind);
    fv_json_out_text(j, "spec", r->sweeps[i].spec);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "groups", '[');
  for (size_t i = 0; i < r->ngroups; i++) fv_json_out_text(j, NULL, r->groups[i]);
  fv_json_out_end(j, ']');
  fv_json_out_begin(j, "checks", '[');
  for (size_t i = 0; i < r->nchecks; i++) {
    const fv_report_check *c = &r->checks[i];
    fv_json_out_begin(j, NULL, '{');
    optional_text(j, "name", c->name);
    optional_text(j, "sweep", c->sweep);
    optional_text(j, "what", c->what);
    optional_text(j, "spec", c->spec);
    optional_text(j, "created", c->created);
    fv_json_out_num(j, "value", (float)c->value);
    fv_json_out_num(j, "low", (float)c->low);
    fv_json_out_num(j, "high", (float)c->high);
    fv_json_out_count(j, "n", c->n);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
}

static fv_status write_colors(fv_json_out *j, fv_error *err) {
  static const char *const maps[] = {"cividis", "RdBu", "viridis"};
  uint8_t rgb[256][3];
  char hex[256 * 6 + 1];
  bool diverging;
  fv_status st = FV_OK;
  fv_json_out_begin(j, "colors", '{');
  for (size_t i = 0; i < 3 && !st; i++) {
    st = fv_colors_table(maps[i], rgb, &diverging, err);
    for (int k = 0; k < 256 && !st; k++) snprintf(hex + 6 * k, 7, "%02x%02x%02x", rgb[k][0], rgb[k][1], rgb[k][2]);
    if (!st) fv_json_out_text(j, maps[i], hex);
  }
  fv_json_out_end(j, '}');
  return st;
}

static fv_status write_data(const fv_report *r, FILE *f, fv_error *err) {
  fv_json_out j = {.stream = f, .page = true};
  fv_json_out_begin(&j, NULL, '{');
  fv_json_out_text(&j, "title", r->title);
  fv_json_out_text(&j, "kind", r->kind);
  write_lists(r, &j);
  fv_status st = write_colors(&j, err);
  if (!st) st = fv_report_maps_write(&r->maps, &j, err);
  fv_json_out_num(&j, "threshold", (float)r->options.threshold);
  if (!st) st = fv_report_circuits_write(r, r->store, &j, err);
  if (!st) st = write_samples(r, &j, err);
  fv_json_out_end(&j, '}');
  return st;
}

/* ---- the shell ---- */

/* A text as content of an element. */
static void html_text(FILE *f, const char *s) {
  for (size_t at = 0, n = strlen(s); at < n;) {
    uint32_t code;
    char bytes[4];
    at += fv_utf8_scan(s + at, n - at, &code);
    if (code == '<' || code == '>' || code == '&' || code == '"' || code == '\'')
      fprintf(f, "&#%u;", (unsigned)code);
    else if (code >= 0x20 && code != 0x7F)
      fwrite(bytes, 1, fv_utf8_put(code, bytes), f);
    else
      putc(' ', f);
  }
}

/* A source of the content policy: the hash under which this text may stand in the page. */
static fv_status policy_hash(const char *text, size_t n, char **out, fv_error *err) {
  char hex[FV_SHA256_HEX];
  uint8_t bytes[32];
  fv_status st = fv_sha256_bytes(text, n, hex, err);
  if (st) return st;
  for (int i = 0; i < 32; i++) {
    char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  *out = fv_page_base64(bytes, sizeof bytes);
  return *out ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

/* In the order in which they run: a script uses what stands before it. */
static const struct {
  const char *text;
  const size_t *size;
} SCRIPTS[] = {{fv_asset_report_draw_js, &fv_asset_report_draw_js_size},
               {fv_asset_report_maps_js, &fv_asset_report_maps_js_size},
               {fv_asset_report_heads_js, &fv_asset_report_heads_js_size},
               {fv_asset_report_js, &fv_asset_report_js_size}};
enum { SCRIPT_COUNT = sizeof SCRIPTS / sizeof *SCRIPTS };

/* Nothing may be loaded, and only the style and the scripts of this page may act. */
static fv_status write_policy(FILE *f, fv_error *err) {
  char *hash;
  fv_status st = policy_hash(fv_asset_report_css, fv_asset_report_css_size, &hash, err);
  if (st) return st;
  fprintf(
      f, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-%s'; script-src",
      hash);
  free(hash);
  for (int i = 0; i < SCRIPT_COUNT; i++) {
    st = policy_hash(SCRIPTS[i].text, *SCRIPTS[i].size, &hash, err);
    if (st) return st;
    fprintf(f, " 'sha256-%s'", hash);
    free(hash);
  }
  fputs("; img-src data:; base-uri 'none'; form-action 'none'\">\n", f);
  return FV_OK;
}

static fv_status write_page(const fv_report *r, FILE *f, fv_error *err) {
  fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", f);
  fv_status st = write_policy(f, err);
  if (st) return st;
  fputs(
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"fovea " FV_VERSION
      "\">\n<title>",
      f);
  html_text(f, r->title ? r->title : "fovea");
  fputs("</title>\n<style>", f);
  fwrite(fv_asset_report_css, 1, fv_asset_report_css_size, f);
  fputs(
      "</style>\n</head>\n<body>\n<main id=\"page\">\n<noscript>This page draws its figures with the scripts inside "
      "it; the same numbers are in the database, and <code>fovea export</code> writes them as a table.</noscript>\n"
      "</main>\n<script type=\"application/json\" id=\"data\">",
      f);
  st = write_data(r, f, err);
  if (st) return st;
  fputs("</script>\n", f);
  for (int i = 0; i < SCRIPT_COUNT; i++) {
    fputs("<script>", f);
    fwrite(SCRIPTS[i].text, 1, *SCRIPTS[i].size, f);
    fputs("</script>\n", f);
  }
  fputs("</body>\n</html>\n", f);
  return FV_OK;
}

fv_status fv_report_page(fv_report *r, const char *path, fv_error *err) {
  fv_outfile *file;
  fv_status st = fv_outfile_open(path, &file, err);
  if (st) return st;
  st = write_page(r, fv_outfile_stream(file), err);
  if (!st) return fv_outfile_commit(file, err);
  fv_outfile_abort(file);
  return st;
}
