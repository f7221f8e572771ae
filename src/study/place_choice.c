#include "study/place_choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* "text_encoder.0-3.cross.z" names what "text_encoder.cross.z" does. */
static bool names_site(const char *address, const char *stack, const char *site) {
  size_t n = strlen(stack);
  if (strncmp(address, stack, n) != 0 || address[n] != '.') return false;
  const char *rest = address + n + 1;
  size_t layers = strspn(rest, "0123456789,-*");
  if (layers > 0 && rest[layers] == '.') rest += layers + 1;
  return strcmp(rest, site) == 0;
}

static fv_status list_add(char **list, const char *a, const char *b, const char *c, fv_error *err) {
  char *longer =
      fv_format("%s%s%s%s%s%s%s", *list ? *list : "", *list ? ", " : "", a, *b ? " " : "", b, *c ? "." : "", c);
  if (!longer) return fv_fail(err, FV_ENOMEM, "no memory");
  free(*list);
  *list = longer;
  return FV_OK;
}

static const char query[] =
    "SELECT DISTINCT w.id, w.name, p.stack, p.site, ifnull(json_extract(w.spec, '$.direction'), '') FROM sweeps w"
    " JOIN places p ON p.sweep_id = w.id"
    " WHERE p.layer IS NOT NULL AND p.id IN (SELECT DISTINCT place_id FROM cells WHERE (head IS NOT NULL) = ?)"
    " ORDER BY w.id, p.id";

static void release(fv_place_choice *c) {
  free(c->sweep), free(c->stack), free(c->site);
  *c = (fv_place_choice){0};
}

/* Every place of the database; those that fit are counted, and the first of them is taken. */
static fv_status scan(const fv_store *store, const char *sweep, const char *site, bool heads, fv_place_choice *out,
                      char **found, char **all, int64_t *matches, fv_error *err) {
  sqlite3_stmt *s = NULL;
  bool more = false;
  fv_status st = fv_store_prepare(store, query, &s, err);
  if (st) return st;
  sqlite3_bind_int64(s, 1, heads);
  while (!st && !(st = fv_store_next(store, s, &more, err)) && more) {
    const char *name = fv_store_text(s, 1), *stack = fv_store_text(s, 2), *at = fv_store_text(s, 3);
    st = list_add(all, name, stack, at, err);
    bool same = (!sweep || strcmp(sweep, name) == 0) && (!site || names_site(site, stack, at));
    if (st || !same) continue;
    if (out->sweep && strcmp(out->sweep, name) == 0 && strcmp(out->stack, stack) == 0 && strcmp(out->site, at) == 0)
      continue;
    if ((*matches)++ == 0) {
      *out = (fv_place_choice){fv_strdup(name), fv_strdup(stack), fv_strdup(at), fv_store_whole(s, 0),
                               strcmp(fv_store_text(s, 4), "noise") == 0};
      if (!out->sweep || !out->stack || !out->site) st = fv_fail(err, FV_ENOMEM, "no memory");
    }
    if (!st) st = list_add(found, name, stack, at, err);
  }
  sqlite3_finalize(s);
  return st;
}

fv_status fv_place_choose(const fv_store *store, const char *sweep, const char *site, bool heads, fv_place_choice *out,
                          fv_error *err) {
  char *found = NULL, *all = NULL;
  int64_t matches = 0;
  const char *path = fv_store_path(store);
  *out = (fv_place_choice){0};
  fv_status st = scan(store, sweep, site, heads, out, &found, &all, &matches, err);
  if (!st && !all && heads)
    st = fv_fail(err, FV_ENOTFOUND,
                 "%s: no sweep has runs of single heads; a study gets them with `heads: each` in a patch sweep", path);
  if (!st && !all)
    st = fv_fail(err, FV_ENOTFOUND, "%s: no sweep has runs of layers and rows; `fovea circuit` reads those of heads",
                 path);
  if (!st && matches == 0)
    st = fv_fail(err, FV_ENOTFOUND, "%s: no sweep %s heads is%s%s%s%s; there are: %s", path, heads ? "with" : "without",
                 sweep ? " named " : "", sweep ? sweep : "", site ? " at " : "", site ? site : "", all);
  if (!st && matches > 1)
    st = fv_fail(err, FV_EUSAGE, "%s: several sweeps or sites have %s; name a sweep and a site: %s", path,
                 heads ? "heads" : "layers and rows", found);
  free(found), free(all);
  if (st) release(out);
  return st;
}
