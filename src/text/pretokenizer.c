#include "text/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/byte_alphabet.h"
#include "text/fields.h"
#include "text/unicode.h"

typedef struct fv_pretokenizer_step step;

struct fv_pretokenizer_kind {
  const char *type;
  fv_status (*parse)(const json_t *part, const char *where, step *out, fv_error *err); /* NULL: nothing to read */
  fv_status (*apply)(const step *s, const fv_char *in, size_t n, fv_words *out, fv_error *err);
};

void fv_words_release(fv_words *words) {
  fv_chars_release(&words->chars);
  free(words->ends);
  *words = (fv_words){0};
}

void fv_pretokenizer_release(fv_pretokenizer *pre) {
  for (size_t i = 0; i < pre->count; i++) fv_pattern_release(&pre->steps[i].pattern);
  free(pre->steps);
  *pre = (fv_pretokenizer){0};
}

static fv_status no_memory(size_t n, fv_error *err) {
  return fv_fail(err, FV_ENOMEM, "no memory to cut a text of %zu characters into words", n);
}

/* Ends the word that the characters behind the last word make up; an empty one is none. */
static bool end_word(fv_words *words) {
  size_t end = words->chars.count;
  if (end == (words->count ? words->ends[words->count - 1] : 0)) return true;
  if (!fv_grow(&words->ends, &words->capacity, words->count + 1, sizeof *words->ends)) return false;
  words->ends[words->count++] = end;
  return true;
}

static bool add_word(const fv_char *in, size_t n, fv_words *out) {
  for (size_t i = 0; i < n; i++)
    if (!fv_chars_add(&out->chars, in[i].code, &in[i])) return false;
  return end_word(out);
}

static bool is_punctuation(uint32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return fv_unicode_punctuation(c);
}

static fv_status bert_apply(const step *s, const fv_char *in, size_t n, fv_words *out, fv_error *err) {
  (void)s;
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    bool space = fv_unicode_space(in[i].code), alone = is_punctuation(in[i].code);
    if (space || alone) ok = end_word(out);
    if (!space) ok = ok && fv_chars_add(&out->chars, in[i].code, &in[i]);
    if (alone) ok = ok && end_word(out);
  }
  return ok && end_word(out) ? FV_OK : no_memory(n, err);
}

static fv_status metaspace_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  static const char *const schemes[] = {"always", "first", "never"};
  fv_slice replacement = {0};
  const char *scheme = NULL;
  bool space = true;
  fv_status st = fv_field_string(part, "replacement", where, &replacement, err);
  if (!st) st = fv_json_string(part, "prepend_scheme", "always", where, &scheme, err);
  if (!st) st = fv_json_bool(part, "split", true, where, &out->split, err);
  if (!st) st = fv_json_bool(part, "add_prefix_space", true, where, &space, err);
  if (st) return st;
  if (replacement.n == 0 || fv_utf8_next(replacement.at, replacement.n, &out->replacement) != replacement.n)
    return fv_fail(err, FV_EFORMAT, "%s: \"replacement\" is \"%s\", expected one character", where,
                   FV_QUOTE(replacement.at));
  unsigned found = 0;
  while (found < 3 && strcmp(scheme, schemes[found]) != 0) found++;
  if (found == 3)
    return fv_fail(err, FV_EFORMAT, "%s: \"prepend_scheme\" is \"%s\", expected always, first or never", where,
                   FV_QUOTE(scheme));
  out->scheme = found;
  if (!space && out->scheme != FV_PREPEND_NEVER)
    return fv_fail(err, FV_EFORMAT, "%s: \"add_prefix_space\" false contradicts \"prepend_scheme\" \"%s\"", where,
                   scheme);
  return FV_OK;
}

static fv_status metaspace_apply(const step *s, const fv_char *in, size_t n, fv_words *out, fv_error *err) {
  bool begins = in[0].code == ' ' || in[0].code == s->replacement, ok = true;
  bool prepend = s->scheme == FV_PREPEND_ALWAYS || (s->scheme == FV_PREPEND_FIRST && in[0].at == 0);
  if (prepend && !begins) ok = fv_chars_add(&out->chars, s->replacement, &in[0]);
  for (size_t i = 0; ok && i < n; i++) {
    uint32_t c = in[i].code == ' ' ? s->replacement : in[i].code;
    if (s->split && c == s->replacement) ok = end_word(out);
    ok = ok && fv_chars_add(&out->chars, c, &in[i]);
  }
  return ok && end_word(out) ? FV_OK : no_memory(n, err);
}

static fv_status split_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  fv_slice name = {0};
  fv_status st = fv_field_string(part, "behavior", where, &name, err);
  if (!st) st = fv_field_bool(part, "invert", where, &out->invert, err);
  if (!st) st = fv_pattern_parse(part, where, &out->pattern, err);
  if (st) return st;
  for (unsigned i = 0; i < 5; i++)
    if (strcmp(name.at, behaviors[i]) == 0) return out->behavior = i, FV_OK;
  return fv_fail(err, FV_EFORMAT,
                 "%s: \"behavior\" is \"%s\", expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
                 "Contiguous",
                 where, FV_QUOTE(name.at));
}

typedef struct stretch {
  size_t first, last;
  bool delimiter;
} stretch;

/* The matches and what lies between them, in order; NULL when memory is short. */
static stretch *stretches(const fv_ranges *found, size_t n, bool invert, size_t *count) {
  size_t at = 0, size;
  stretch *list = NULL;
  if (fv_mul_size(found->count, 2, &size)) list = fv_alloc(size + 1, sizeof *list);
  *count = 0;
  for (size_t i = 0; list && i <= found->count; i++) {
    size_t first = i < found->count ? found->items[i].first : n;
    if (at < first) list[(*count)++] = (stretch){at, first, invert};
    if (i == found->count) break;
    at = found->items[i].last;
    list[(*count)++] = (stretch){first, at, !invert};
  }
  return list;
}

static bool joins(const step *s, const stretch *a, const stretch *b) {
  switch (s->behavior) {
    case FV_SPLIT_WITH_PREVIOUS: return !a->delimiter && b->delimiter;
    case FV_SPLIT_WITH_NEXT: return a->delimiter && !b->delimiter;
    case FV_SPLIT_CONTIGUOUS: return a->delimiter == b->delimiter;
    default: return false;
  }
}

static fv_status split_apply(const step *s, const fv_char *in, size_t n, fv_words *out, fv_error *err) {
  fv_ranges found = {0};
  size_t count = 0;
  fv_status st = fv_pattern_find(&s->pattern, in, n, &found, err);
  stretch *list = st ? NULL : stretches(&found, n, s->invert, &count);
  bool ok = list != NULL;
  for (size_t i = 0; ok && i < count; i++) {
    size_t first = list[i].first;
    if (s->behavior == FV_SPLIT_REMOVED && list[i].delimiter) continue;
    while (i + 1 < count && joins(s, &list[i], &list[i + 1])) i++;
    ok = add_word(in + first, list[i].last - first, out);
  }
  free(list);
  fv_ranges_release(&found);
  if (!st && !ok) st = no_memory(n, err);
  return st;
}

static fv_status bytes_parse(const json_t *part, const char *where, step *out, fv_error *err) {
  static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
  fv_status st = fv_field_bool(part, "add_prefix_space", where, &out->prefix, err);
  if (!st) st = fv_json_bool(part, "use_regex", true, where, &out->matches, err);
  out->behavior = FV_SPLIT_ISOLATED;
  return st ? st : fv_pattern_regex(gpt2, sizeof gpt2 - 1, where, &out->pattern, err);
}

static bool add_bytes(const fv_char *in, size_t n, fv_words *out) {
  for (size_t i = 0; i < n; i++) {
    char utf8[4];
    size_t bytes = fv_utf8_put(in[i].code, utf8);
    for (size_t k = 0; k < bytes; k++)
      if (!fv_chars_add(&out->chars, fv_byte_to_char((uint8_t)utf8[k]), &in[i])) return false;
  }
  return end_word(out);
}

static fv_status bytes_apply(const step *s, const fv_char *in, size_t n, fv_words *out, fv_error *err) {
  fv_words cut = {0};
  fv_chars text = {0};
  fv_status st = FV_OK;
  bool ok = true;
  if (s->prefix && in[0].code != ' ') ok = fv_chars_add(&text, ' ', &in[0]);
  for (size_t i = 0; ok && i < n; i++) ok = fv_chars_add(&text, in[i].code, &in[i]);
  if (ok && s->matches)
    st = split_apply(s, text.items, text.count, &cut, err);
  else if (ok)
    ok = add_word(text.items, text.count, &cut);
  for (size_t i = 0; !st && ok && i < cut.count; i++)
    ok = add_bytes(cut.chars.items + fv_words_start(&cut, i), cut.ends[i] - fv_words_start(&cut, i), out);
  fv_chars_release(&text);
  fv_words_release(&cut);
  if (!st && !ok) st = no_memory(n, err);
  return st;
}

static const struct fv_pretokenizer_kind kinds[] = {
    {"BertPreTokenizer", NULL, bert_apply},
    {"Metaspace", metaspace_parse, metaspace_apply},
    {"Split", split_parse, split_apply},
    {"ByteLevel", bytes_parse, bytes_apply},
};

static fv_status add_step(const json_t *part, const char *type, const char *where, void *list, fv_error *err) {
  fv_pretokenizer *out = list;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].type, type) != 0) continue;
    if (!fv_grow(&out->steps, &out->capacity, out->count + 1, sizeof *out->steps))
      return fv_fail(err, FV_ENOMEM, "%s: no memory for the pre-tokenizer", where);
    step *s = &out->steps[out->count++];
    *s = (step){.kind = &kinds[i]};
    return s->kind->parse ? s->kind->parse(part, where, s, err) : FV_OK;
  }
  return fv_field_unknown(where, "pre_tokenizer", type, "Sequence, BertPreTokenizer, Metaspace, Split and ByteLevel",
                          err);
}

fv_status fv_pretokenizer_parse(const json_t *root, const char *where, fv_pretokenizer *out, fv_error *err) {
  *out = (fv_pretokenizer){0};
  return fv_field_steps(root, "pre_tokenizer", "pretokenizers", where, add_step, out, err);
}

fv_status fv_pretokenizer_apply(const fv_pretokenizer *pre, const fv_char *chars, size_t n, fv_words *out,
                                fv_error *err) {
  fv_status st = add_word(chars, n, out) ? FV_OK : no_memory(n, err);
  for (size_t i = 0; !st && i < pre->count; i++) {
    fv_words next = {0};
    for (size_t k = 0; !st && k < out->count; k++) {
      size_t first = fv_words_start(out, k);
      st = pre->steps[i].kind->apply(&pre->steps[i], out->chars.items + first, out->ends[k] - first, &next, err);
    }
    fv_words_release(out);
    *out = next;
  }
  return st;
}
