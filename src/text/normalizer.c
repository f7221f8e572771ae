#include "text/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/canonical.h"
#include "text/fields.h"
#include "text/unicode.h"

typedef struct fv_normalizer_step step;

struct fv_normalizer_kind {
  const char *type;
  fv_status (*parse)(const json_t *part, const char *where, step *out, fv_error *err); /* NULL: nothing to read */
  fv_status (*apply)(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err);
};

void fv_normalizer_release(fv_normalizer *normalizer) {
  for (size_t i = 0; i < normalizer->count; i++) {
    fv_pattern_release(&normalizer->steps[i].pattern);
    fv_chars_release(&normalizer->steps[i].content);
  }
  free(normalizer->steps);
  *normalizer = (fv_normalizer){0};
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to normalize a text of %zu characters", n);
}

static bool copy(const fv_char *in, size_t n, fv_chars *out) {
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) ok = fv_chars_add(out, in[i].code, &in[i]);
  return ok;
}

/* The characters of `content`, all in the place of `from`. */
static bool put(const fv_chars *content, const fv_char *from, fv_chars *out) {
  bool ok = true;
  for (size_t i = 0; ok && i < content->count; i++) ok = fv_chars_add(out, content->items[i].code, from);
  return ok;
}

static fv_status parse_content(const json_t *part, const char *key, const char *where, step *out, fv_error *err) {
  fv_slice text = {0};
  fv_status st = fv_field_string(part, key, where, &text, err);
  if (!st && !fv_chars_add_utf8(&out->content, text.at, text.n))
    st = fv_fail(err, FV_ENOMEM, "%s: no memory for the normalizer", where);
  return st;
}

static fv_status bert_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  return fv_bert_normalizer_parse(part, where, &out->bert, err);
}

static fv_status bert_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  return fv_bert_normalize(&s->bert, in, n, out) ? FV_OK : no_memory(n, err);
}

static fv_status prepend_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  return parse_content(part, "prepend", where, out, err);
}

static fv_status prepend_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  bool ok = n == 0 || (put(&s->content, in, out) && copy(in, n, out));
  return ok ? FV_OK : no_memory(n, err);
}

static fv_status replace_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  fv_status st = fv_pattern_parse(part, where, &out->pattern, err);
  return st ? st : parse_content(part, "content", where, out, err);
}

fv_status fv_normalizer_replace(const fv_pattern *pattern, const fv_chars *content, const fv_char *in, size_t n,
                                fv_chars *out, fv_error *err) {
  fv_ranges found = {0};
  size_t at = 0;
  fv_status st = fv_pattern_find(pattern, in, n, &found, err);
  bool ok = true;
  for (size_t i = 0; !st && ok && i < found.count; i++) {
    const struct fv_range *match = &found.items[i];
    ok = copy(in + at, match->first - at, out) && put(content, &in[match->last - 1], out);
    at = match->last;
  }
  if (!st && !(ok && copy(in + at, n - at, out))) st = no_memory(n, err);
  fv_ranges_release(&found);
  return st;
}

static fv_status replace_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  return fv_normalizer_replace(&s->pattern, &s->content, in, n, out, err);
}

static fv_status nfc_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  (void)s;
  return fv_canonical_compose(in, n, out) ? FV_OK : no_memory(n, err);
}

static fv_status lowercase_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  (void)s;
  for (size_t i = 0; i < n; i++) {
    uint32_t lower[2];
    size_t count = fv_unicode_lower(in[i].code, lower);
    for (size_t k = 0; k < count; k++)
      if (!fv_chars_add(out, lower[k], &in[i])) return no_memory(n, err);
  }
  return FV_OK;
}

static fv_status strip_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  fv_status st = fv_field_bool(part, "strip_left", where, &out->left, err);
  return st ? st : fv_field_bool(part, "strip_right", where, &out->right, err);
}

static fv_status strip_apply(const step *s, const fv_char *in, size_t n, fv_chars *out, fv_error *err) {
  size_t first = 0;
  while (s->left && first < n && fv_unicode_space(in[first].code)) first++;
  while (s->right && n > first && fv_unicode_space(in[n - 1].code)) n--;
  return copy(in + first, n - first, out) ? FV_OK : no_memory(n, err);
}

static const struct fv_normalizer_kind kinds[] = {
    {"BertNormalizer", bert_parse, bert_apply}, {"Prepend", prepend_parse, prepend_apply},
    {"Replace", replace_parse, replace_apply},  {"NFC", NULL, nfc_apply},
    {"Lowercase", NULL, lowercase_apply},       {"Strip", strip_parse, strip_apply},
};

static fv_status add_step(const json_t *part, const char *type, const char *where, void *list, fv_error *err) {
  fv_normalizer *out = list;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].type, type) != 0) continue;
    if (!fv_grow(&out->steps, &out->capacity, out->count + 1, sizeof *out->steps))
      return fv_fail(err, FV_ENOMEM, "%s: no memory for the normalizer", where);
    step *s = &out->steps[out->count++];
    *s = (step){.kind = &kinds[i]};
    return s->kind->parse ? s->kind->parse(part, where, s, err) : FV_OK;
  }
  return fv_field_unknown(where, "normalizer", type,
                          "Sequence, BertNormalizer, Prepend, Replace, NFC, Lowercase and Strip", err);
}

fv_status fv_normalizer_parse(const json_t *root, const char *where, fv_normalizer *out, fv_error *err) {
  *out = (fv_normalizer){0};
  return fv_field_steps(root, "normalizer", "normalizers", where, add_step, out, err);
}

fv_status fv_normalizer_apply(const fv_normalizer *normalizer, const fv_char *in, size_t n, fv_chars *out,
                              fv_error *err) {
  fv_chars now = {0};
  fv_status st = FV_OK;
  for (size_t i = 0; !st && i < normalizer->count; i++) {
    const step *s = &normalizer->steps[i];
    bool last = i + 1 == normalizer->count;
    fv_chars next = {0};
    st = s->kind->apply(s, i ? now.items : in, i ? now.count : n, last ? out : &next, err);
    fv_chars_release(&now);
    now = next;
  }
  if (!st && normalizer->count == 0 && !copy(in, n, out)) st = no_memory(n, err);
  fv_chars_release(&now);
  return st;
}
