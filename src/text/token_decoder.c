#include "text/token_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/fields.h"

void fv_decoder_release(fv_decoder *decoder) {
  free(decoder->prefix);
  *decoder = (fv_decoder){0};
}

fv_status fv_decoder_parse(const json_t *root, const char *where, fv_decoder *out, fv_error *err) {
  const json_t *part;
  const char *type;
  fv_slice prefix = {0};
  *out = (fv_decoder){.kind = FV_DECODER_NONE};
  fv_status st = fv_field_part(root, "decoder", where, &part, &type, err);
  if (st || !part) return st;
  if (strcmp(type, "WordPiece") != 0) return fv_field_unknown(where, "decoder", type, "WordPiece", err);
  out->kind = FV_DECODER_WORDPIECE;
  st = fv_field_bool(part, "cleanup", where, &out->cleanup, err);
  if (!st) st = fv_field_string(part, "prefix", where, &prefix, err);
  if (st) return fv_fail_prefix(err, st, "\"decoder\"");
  out->prefix = fv_alloc(prefix.n + 1, 1);
  if (!out->prefix) return fv_fail(err, FV_ENOMEM, "%s: no memory for \"decoder\"", where);
  memcpy(out->prefix, prefix.at, prefix.n);
  out->prefix_n = prefix.n;
  return FV_OK;
}

/* The replacements of both clean-ups, in order. Every text gets shorter, so they are made in place. */
static const struct {
  const char *from, *to;
  bool token_only; /* not part of the pass over the whole string */
} replacements[] = {
    {" .", ".", false},   {" ?", "?", false},     {" !", "!", false},     {" ,", ",", false},
    {" ' ", "'", false},  {" n't", "n't", false}, {" 'm", "'m", false},   {" do not", " don't", true},
    {" 's", "'s", false}, {" 've", "'ve", false}, {" 're", "'re", false},
};

/* Replaces every occurrence of `from` in bytes[0..n), left to right; returns the new length. */
static size_t replace(char *bytes, size_t n, const char *from, const char *to) {
  size_t from_n = strlen(from), to_n = strlen(to), out = 0, i = 0;
  while (i < n) {
    if (n - i >= from_n && memcmp(bytes + i, from, from_n) == 0) {
      memcpy(bytes + out, to, to_n);
      out += to_n;
      i += from_n;
    } else {
      bytes[out++] = bytes[i++];
    }
  }
  return out;
}

static size_t clean_up(char *bytes, size_t n, bool token) {
  for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++)
    if (token || !replacements[i].token_only) n = replace(bytes, n, replacements[i].from, replacements[i].to);
  return n;
}

bool fv_decoder_add(const fv_decoder *decoder, const char *token, size_t n, bool first, fv_text *out) {
  bool space = !first;
  if (decoder->kind == FV_DECODER_WORDPIECE && !first && n >= decoder->prefix_n &&
      memcmp(token, decoder->prefix, decoder->prefix_n) == 0) {
    token += decoder->prefix_n;
    n -= decoder->prefix_n;
    space = false;
  }
  size_t want;
  if (!fv_add_size(out->n, n, &want) || !fv_add_size(want, 2, &want)) return false;
  if (!fv_grow(&out->bytes, &out->capacity, want, 1)) return false;
  char *start = out->bytes + out->n;
  if (space) *start = ' ';
  memcpy(start + space, token, n);
  n += space;
  if (decoder->kind == FV_DECODER_WORDPIECE && decoder->cleanup) n = clean_up(start, n, true);
  out->n += n;
  return true;
}

void fv_decode_clean_up(fv_text *text) { text->n = clean_up(text->bytes, text->n, false); }
