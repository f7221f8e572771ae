#include "study/data_words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { LONGEST = 256 };

typedef struct letters {
  size_t n;
  uint32_t at[LONGEST];
} letters;

static bool letters_of(const char *s, letters *out) {
  size_t left = strlen(s);
  for (out->n = 0; left > 0; out->n++) {
    if (out->n == LONGEST) return false;
    size_t k = fv_utf8_next(s, left, &out->at[out->n]);
    s += k, left -= k;
  }
  return true;
}

/* 100 (1 - indel distance / (n + m)): twice the longest common subsequence over both lengths. */
static double ratio(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
  size_t row[LONGEST + 1] = {0};
  if (n + m == 0) return 100.0;
  for (size_t i = 0; i < n; i++) {
    size_t diagonal = 0;
    for (size_t j = 0; j < m; j++) {
      size_t above = row[j + 1];
      row[j + 1] = a[i] == b[j] ? diagonal + 1 : above > row[j] ? above : row[j];
      diagonal = above;
    }
  }
  return 100.0 * (1.0 - (double)(n + m - 2 * row[m]) / (double)(n + m));
}

static bool has(const letters *s, uint32_t c) {
  for (size_t i = 0; i < s->n; i++)
    if (s->at[i] == c) return true;
  return false;
}

/* The best ratio of the shorter string against every piece of the longer: prefixes, windows of its length, suffixes. */
static double partial_ratio(const letters *shorter, const letters *longer) {
  double best = 0.0;
  size_t m = shorter->n, n = longer->n;
  for (size_t end = 1; end < n + m; end++) {
    size_t begin = end > m ? end - m : 0, stop = end < n ? end : n;
    bool suffix = end > n;
    if (!has(shorter, longer->at[suffix ? begin : stop - 1])) continue;
    double r = ratio(shorter->at, m, longer->at + begin, stop - begin);
    best = r > best ? r : best;
  }
  return best;
}

double fv_words_alike(const char *a, const char *b) {
  letters x, y;
  if (!letters_of(a, &x) || !letters_of(b, &y) || x.n == 0 || y.n == 0) return 0.0;
  const letters *shorter = x.n <= y.n ? &x : &y, *longer = x.n <= y.n ? &y : &x;
  double r = ratio(x.at, x.n, y.at, y.n), lengths = (double)longer->n / (double)shorter->n;
  if (lengths < 1.5) return r;
  double part = (lengths <= 8.0 ? 0.9 : 0.6) * partial_ratio(shorter, longer);
  return part > r ? part : r;
}

void fv_words_cut(const char *text, fv_words *out) {
  out->count = 0;
  for (const char *s = text; *s && out->count < FV_WORDS;) {
    s += strspn(s, " ");
    size_t n = strcspn(s, " "), word = n;
    while (word > 1 && strchr("?.,;:!", s[word - 1])) word--;
    if (n == 0) break;
    out->begin[out->count] = s, out->length[out->count++] = word;
    s += n;
  }
}

bool fv_words_is(const fv_words *w, size_t i, const char *word) {
  return i < w->count && strlen(word) == w->length[i] && strncmp(w->begin[i], word, w->length[i]) == 0;
}

static size_t find_or(const fv_words *w) {
  for (size_t i = 0; i < w->count; i++)
    if (fv_words_is(w, i, "or")) return i;
  return SIZE_MAX;
}

bool fv_words_have_or(const char *text) {
  fv_words w;
  fv_words_cut(text, &w);
  return find_or(&w) != SIZE_MAX;
}

size_t fv_words_find(const fv_words *w, const char *word, size_t except) {
  size_t best = SIZE_MAX, middle = find_or(w), nearest = SIZE_MAX;
  double top = 60.0;
  for (size_t i = 0; i < w->count; i++) {
    if (i == except || i == middle) continue;
    char *one = strndup(w->begin[i], w->length[i]);
    double score = one ? fv_words_alike(word, one) : 0.0;
    free(one);
    size_t away = middle == SIZE_MAX ? 0 : i > middle ? i - middle : middle - i;
    if (score > top || (best != SIZE_MAX && score == top && away < nearest)) top = score, best = i, nearest = away;
  }
  return best;
}

static bool is_vowel(char c) { return c && strchr("aeiou", c) != NULL; }

char *fv_word_ing(const char *verb) {
  size_t n = strlen(verb), groups = 0;
  for (size_t i = 0; i < n; i++) groups += is_vowel(verb[i]) && (i == 0 || !is_vowel(verb[i - 1]));
  char last = n > 0 ? verb[n - 1] : 0, before = n > 1 ? verb[n - 2] : 0;
  if (n > 3 && strcmp(verb + n - 3, "ing") == 0 && groups > 1) return fv_strdup(verb);
  if (n > 2 && before == 'i' && last == 'e') return fv_format("%.*sying", (int)(n - 2), verb);
  if (n > 2 && last == 'e' && !strchr("eoy", before)) return fv_format("%.*sing", (int)(n - 1), verb);
  /* One short syllable that ends in consonant, vowel, consonant doubles its last letter. */
  bool doubles =
      n > 2 && groups == 1 && !is_vowel(last) && !strchr("wxy", last) && is_vowel(before) && !is_vowel(verb[n - 3]);
  return doubles ? fv_format("%s%cing", verb, last) : fv_format("%sing", verb);
}
