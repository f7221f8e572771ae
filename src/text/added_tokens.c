#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/unicode.h"

static void trie_release(struct fv_trie *trie) {
  free(trie->edges);
  free(trie->token);
}

void fv_added_release(fv_added *added) {
  for (size_t i = 0; i < added->count; i++) {
    free(added->tokens[i].content);
    free(added->tokens[i].normal);
  }
  free(added->tokens);
  free(added->by_id);
  fv_vocab_release(&added->by_content);
  trie_release(&added->raw);
  trie_release(&added->normalized);
  *added = (fv_added){0};
}

fv_status fv_added_parse(const json_t *object, const char *where, fv_added_token *out, fv_error *err) {
  fv_slice content = {0};
  *out = (fv_added_token){0};
  if (!json_is_object(object))
    return fv_fail(err, FV_EFORMAT, "%s: an added token is not an object, expected {\"content\", ...}", where);
  fv_status st = fv_field_string(object, "content", where, &content, err);
  if (!st) st = fv_json_bool(object, "special", false, where, &out->special, err);
  if (!st) st = fv_json_bool(object, "single_word", false, where, &out->single_word, err);
  if (!st) st = fv_json_bool(object, "lstrip", false, where, &out->lstrip, err);
  if (!st) st = fv_json_bool(object, "rstrip", false, where, &out->rstrip, err);
  if (!st) st = fv_json_bool(object, "normalized", !out->special, where, &out->normalized, err);
  if (st) return fv_fail_prefix(err, st, "added token \"%s\"", FV_QUOTE(content.at ? content.at : "?"));
  /* The cast drops const only for the borrowed view; fv_added_put copies. */
  memcpy(&out->content, &content.at, sizeof out->content);
  out->n = content.n;
  return FV_OK;
}

/* The id of a token that neither the set nor the vocabulary knows: behind the vocabulary's count, or behind the highest
 * added id when that is higher. */
static int64_t next_id(const fv_added *added, const fv_vocab *vocab) {
  int64_t count = (int64_t)vocab->count;
  return added->size > count ? added->size : count;
}

static bool keep(fv_added *added, const fv_added_token *token) {
  size_t old = added->id_capacity;
  if (!fv_grow(&added->tokens, &added->capacity, added->count + 1, sizeof *added->tokens)) return false;
  if (!fv_grow(&added->by_id, &added->id_capacity, (size_t)token->id + 1, sizeof *added->by_id)) return false;
  memset(added->by_id + old, 0, (added->id_capacity - old) * sizeof *added->by_id);
  char *content = fv_alloc(token->n + 1, 1);
  if (!content) return false;
  memcpy(content, token->content, token->n);
  added->tokens[added->count] = *token;
  added->tokens[added->count].content = content;
  added->tokens[added->count].normal = NULL;
  added->by_id[token->id] = (uint32_t)++added->count;
  if (token->id >= added->size) added->size = (int64_t)token->id + 1;
  return true;
}

fv_status fv_added_put(fv_added *added, const fv_added_token *token, const fv_vocab *vocab, const char *where,
                       fv_error *err) {
  fv_added_token t = *token;
  if (t.n == 0) return FV_OK;
  if (fv_vocab_find(&added->by_content, t.content, t.n, &t.id)) {
    fv_added_token *old = &added->tokens[added->by_id[t.id] - 1];
    old->single_word = t.single_word;
    old->lstrip = t.lstrip;
    old->rstrip = t.rstrip;
    old->normalized = t.normalized;
    old->special = old->special || t.special;
    return FV_OK;
  }
  if (!fv_vocab_find(vocab, t.content, t.n, &t.id)) {
    int64_t id = next_id(added, vocab);
    if (id > FV_TOKEN_ID_MAX)
      return fv_fail(err, FV_EFORMAT, "%s: added token \"%s\" would get id %lld, expected at most %d", where,
                     FV_QUOTE(t.content), (long long)id, (int)FV_TOKEN_ID_MAX);
    t.id = (int32_t)id;
  }
  fv_status st = fv_vocab_put(&added->by_content, t.content, t.n, t.id, where, err);
  if (!st && !keep(added, &t)) st = fv_fail(err, FV_ENOMEM, "%s: no memory for the added tokens", where);
  return st;
}

static uint64_t edge_key(uint32_t node, uint32_t code) { return ((uint64_t)node << 21 | code) + 1; }

static size_t edge_slot(const struct fv_trie *trie, uint64_t key) {
  size_t mask = trie->slot_count - 1, i = (size_t)(key * 0x9E3779B97F4A7C15u >> 32) & mask;
  while (trie->edges[i].key && trie->edges[i].key != key) i = (i + 1) & mask;
  return i;
}

static uint32_t step(const struct fv_trie *trie, uint32_t node, uint32_t code) {
  return trie->slot_count ? trie->edges[edge_slot(trie, edge_key(node, code))].node : 0;
}

static bool trie_grow(struct fv_trie *trie) {
  size_t old = trie->node_capacity;
  if (!fv_grow(&trie->token, &trie->node_capacity, trie->node_count + 2, sizeof *trie->token)) return false;
  memset(trie->token + old, 0, (trie->node_capacity - old) * sizeof *trie->token);
  if (2 * (trie->edge_count + 1) <= trie->slot_count) return true;
  struct fv_trie bigger = *trie;
  bigger.slot_count = trie->slot_count ? 2 * trie->slot_count : 64;
  bigger.edges = fv_alloc(bigger.slot_count, sizeof *bigger.edges);
  if (!bigger.edges) return false;
  for (size_t i = 0; i < trie->slot_count; i++)
    if (trie->edges[i].key) bigger.edges[edge_slot(&bigger, trie->edges[i].key)] = trie->edges[i];
  free(trie->edges);
  *trie = bigger;
  return true;
}

/* The node where `text` ends, 0 when memory is short. Node 0 is the root. */
static uint32_t trie_insert(struct fv_trie *trie, const char *text, size_t n) {
  uint32_t node = 0, code;
  for (size_t i = 0; i < n;) {
    i += fv_utf8_next(text + i, n - i, &code);
    if (!trie_grow(trie)) return 0;
    if (!trie->node_count) trie->node_count = 1;
    struct fv_trie_edge *edge = &trie->edges[edge_slot(trie, edge_key(node, code))];
    if (!edge->key) {
      *edge = (struct fv_trie_edge){.key = edge_key(node, code), .node = (uint32_t)trie->node_count++};
      trie->edge_count++;
    }
    node = edge->node;
  }
  return node;
}

static fv_status normal_form(fv_added_token *token, const fv_normalizer *normalizer, const char *where, fv_error *err) {
  fv_chars in = {0}, out = {0};
  fv_status st = FV_OK;
  bool ok = fv_chars_add_utf8(&in, token->content, token->n);
  if (ok && token->normalized) st = fv_normalizer_apply(normalizer, in.items, in.count, &out, err);
  const fv_chars *normal = token->normalized ? &out : &in;
  if (ok && !st) token->normal = fv_chars_utf8(normal->items, normal->count, &token->normal_n);
  if (!st && !token->normal) st = fv_fail(err, FV_ENOMEM, "%s: no memory for the added tokens", where);
  fv_chars_release(&in);
  fv_chars_release(&out);
  return st;
}

fv_status fv_added_build(fv_added *added, const fv_normalizer *normalizer, const char *where, fv_error *err) {
  for (size_t i = 0; i < added->count; i++) {
    fv_added_token *token = &added->tokens[i];
    struct fv_trie *trie = token->normalized ? &added->normalized : &added->raw;
    fv_status st = normal_form(token, normalizer, where, err);
    if (st) return st;
    if (token->normal_n == 0)
      return fv_fail(err, FV_EFORMAT,
                     "%s: added token %d \"%s\" has \"normalized\" and nothing is left of it after normalization",
                     where, (int)token->id, FV_QUOTE(token->content));
    uint32_t node = trie_insert(trie, token->normal, token->normal_n);
    if (!node) return fv_fail(err, FV_ENOMEM, "%s: no memory for the added tokens", where);
    if (trie->token[node])
      return fv_fail(err, FV_EFORMAT, "%s: added tokens \"%s\" and \"%s\" are the same after normalization", where,
                     FV_QUOTE(added->tokens[trie->token[node] - 1].content), FV_QUOTE(token->content));
    trie->token[node] = (uint32_t)(i + 1);
  }
  return FV_OK;
}

const fv_added_token *fv_added_find_id(const fv_added *added, int64_t id) {
  uint32_t index = id >= 0 && id < added->size ? added->by_id[id] : 0;
  return index ? &added->tokens[index - 1] : NULL;
}

bool fv_added_is_special(const fv_added *added, const char *s, size_t n) {
  int32_t id;
  return fv_vocab_find(&added->by_content, s, n, &id) && fv_added_find_id(added, id)->special;
}

/* The longest token that starts at chars[at]; NULL when none does. */
static const fv_added_token *longest_at(const fv_added *added, const struct fv_trie *trie, const fv_char *chars,
                                        size_t n, size_t at, size_t *end) {
  const fv_added_token *best = NULL;
  uint32_t node = 0;
  for (size_t i = at; i < n && (node = step(trie, node, chars[i].code)) != 0; i++) {
    if (!trie->token[node]) continue;
    best = &added->tokens[trie->token[node] - 1];
    *end = i + 1;
  }
  return best;
}

bool fv_added_next(const fv_added *added, bool normalized, const fv_char *chars, size_t n, size_t *at, size_t taken,
                   fv_added_match *out) {
  const struct fv_trie *trie = normalized ? &added->normalized : &added->raw;
  if (!trie->node_count) return false;
  while (*at < n) {
    size_t first = *at, last = 0;
    const fv_added_token *token = longest_at(added, trie, chars, n, first, &last);
    if (!token) {
      ++*at;
      continue;
    }
    *at = last;
    if (token->single_word &&
        ((first > 0 && fv_unicode_word(chars[first - 1].code)) || (last < n && fv_unicode_word(chars[last].code))))
      continue;
    /* Up to `taken` everything behind this match is white space that the previous one swallowed. */
    if (token->lstrip && first < taken) first = taken;
    if (token->rstrip && last < taken) last = taken;
    while (token->lstrip && first > taken && fv_unicode_space(chars[first - 1].code)) first--;
    while (token->rstrip && last < n && fv_unicode_space(chars[last].code)) last++;
    if (last < first) last = first;
    *out = (fv_added_match){.first = first, .last = last, .token = token};
    return true;
  }
  return false;
}
