/* Facial expressions: FOLDER/<emotion>/<pictures>, two adjectives in a question, a picture of the wrong one. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/files.h"
#include "study/data_build.h"
#include "study/data_lists.h"

typedef struct faces {
  const fv_data_options *o;
  fv_pairs *out;
  fv_folder folders[FV_EMOTIONS];
} faces;

/* All replacement adjectives of the emotions that are (not) positive. */
static size_t opposite_words(bool positive, const char *out[64]) {
  size_t n = 0;
  for (size_t e = 0; e < FV_EMOTIONS; e++)
    for (const char *const *w = fv_emotions[e].words; fv_emotions[e].positive != positive && *w; w++) out[n++] = *w;
  return n;
}

/* An adjective of the opposite sentiment, other than `except`. */
static const char *opposite(fv_rng *r, const fv_emotion *e, const char *except) {
  const char *words[64];
  size_t n = opposite_words(e->positive, words);
  for (;;) {
    const char *word = words[fv_draw_below(r, n)];
    if (!except || strcmp(word, except) != 0) return word;
  }
}

static char *ask(const char *first, const char *second) {
  return fv_format("Is this person feeling %s or %s?", first, second);
}

static fv_status add_face(faces *f, size_t e, const char *name, const char *image, fv_error *err) {
  fv_rng r;
  size_t others[FV_EMOTIONS], n = 0;
  char *sample = fv_format("%s/%s", fv_emotions[e].folder, name);
  if (!sample) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t k = 0; k < FV_EMOTIONS; k++)
    if (k != e && f->folders[k].ngood) others[n++] = k;
  if (n == 0) {
    fv_status st = fv_pairs_exclude(f->out, sample, "no other emotion has pictures", err);
    return free(sample), st;
  }
  fv_draw_stream(&r, f->o->seed, sample);
  size_t wrong = others[fv_draw_below(&r, n)];
  bool first = fv_draw_below(&r, 2) == 1;
  const fv_folder *folder = &f->folders[wrong];
  const char *right_word = fv_emotions[e].adjective, *wrong_word = fv_emotions[wrong].adjective;
  const char *other_picture = folder->full[folder->good[fv_draw_below(&r, folder->ngood)]];
  const char *a = opposite(&r, &fv_emotions[first ? e : wrong], NULL);
  const char *b = opposite(&r, &fv_emotions[first ? wrong : e], a);
  char *question = ask(first ? right_word : wrong_word, first ? wrong_word : right_word), *corrupt = ask(a, b);
  fv_status st = !question || !corrupt ? fv_fail(err, FV_ENOMEM, "no memory")
                                       : fv_pairs_add_cells(f->out, sample,
                                                            &(fv_pair_cells){.image = image,
                                                                             .question = question,
                                                                             .corrupt_image = other_picture,
                                                                             .corrupt_question = corrupt,
                                                                             .correct = right_word,
                                                                             .incorrect = wrong_word,
                                                                             .group = right_word,
                                                                             .label = right_word,
                                                                             .correct_first = first},
                                                            NULL, err);
  free(sample), free(question), free(corrupt);
  return st;
}

/* Folders that are no emotion are named among the excluded. */
static fv_status exclude_strangers(faces *f, fv_error *err) {
  fv_folder root;
  fv_status st = fv_folder_read(f->o->images, &root, err);
  size_t known = 0;
  if (st) return st;
  for (size_t i = 0; i < root.count && !st; i++) {
    bool is = false;
    for (size_t e = 0; e < FV_EMOTIONS; e++) is |= strcmp(root.names[i], fv_emotions[e].folder) == 0;
    known += is;
    if (!is) st = fv_pairs_exclude(f->out, root.names[i], "the folder is none of the seven emotions", err);
  }
  if (!st && known == 0)
    st =
        fv_fail(err, FV_EFORMAT,
                "%s: has none of the folders angry, disgust, fear, happy, neutral, sad, surprise; name the folder that "
                "holds them",
                f->o->images);
  fv_folder_release(&root);
  return st;
}

fv_status fv_data_fer(const fv_data_options *o, fv_pairs *out, fv_error *err) {
  faces f = {.o = o, .out = out};
  fv_status st = exclude_strangers(&f, err);
  for (size_t e = 0; e < FV_EMOTIONS && !st; e++) {
    char *path = fv_path_join(o->images, fv_emotions[e].folder);
    if (!path) st = fv_fail(err, FV_ENOMEM, "no memory");
    if (!st && fv_file_exists(path)) {
      st = fv_folder_read(path, &f.folders[e], err);
      if (!st) st = fv_folder_check(&f.folders[e], o->keep_black, err);
      if (!st) st = fv_folder_exclude(&f.folders[e], fv_emotions[e].folder, out, err);
    }
    free(path);
  }
  for (size_t e = 0; e < FV_EMOTIONS && !st; e++)
    for (size_t i = 0; i < f.folders[e].ngood && !st; i++) {
      size_t at = f.folders[e].good[i];
      st = add_face(&f, e, f.folders[e].names[at], f.folders[e].full[at], err);
    }
  for (size_t e = 0; e < FV_EMOTIONS; e++) fv_folder_release(&f.folders[e]);
  return st;
}
