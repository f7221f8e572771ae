/* Inputs: picture and text to pixels and ids, and what each row is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "model/loaded.h"

void fv_input_defaults(fv_input_options *o) { *o = (fv_input_options){.pillow = FV_PILLOW_13}; }

static fv_status check_mask(const fv_input_options *o, int64_t side, fv_error *err) {
  const int64_t *m = o->mask;
  if (!m || (m[0] >= 0 && m[0] <= m[2] && m[2] < side && m[1] >= 0 && m[1] <= m[3] && m[3] < side)) return FV_OK;
  return fv_fail(err, FV_EUSAGE, "mask %lld,%lld,%lld,%lld: expected R0 <= R1 and C0 <= C1 within 0..%lld",
                 (long long)m[0], (long long)m[1], (long long)m[2], (long long)m[3], (long long)side - 1);
}

/* After normalisation the data set's mean colour is 0. */
static void mask_pixels(float *pixels, const fv_step *s, const int64_t *mask) {
  for (int64_t c = 0; c < s->channels; c++)
    for (int64_t y = mask[0] * s->patch; y < (mask[2] + 1) * s->patch; y++)
      for (int64_t x = mask[1] * s->patch; x < (mask[3] + 1) * s->patch; x++)
        pixels[(c * s->image + y) * s->image + x] = 0.0f;
}

static fv_status copy_picture(fv_input *in, const fv_input *ready, const fv_step *s, float *pixels, fv_error *err) {
  size_t n = (size_t)(s->channels * s->image * s->image);
  memcpy(pixels, ready->pixels, n * sizeof *pixels);
  if (in->npictures == 0) memcpy(in->image_sha256, ready->image_sha256, sizeof in->image_sha256);
  return fv_image_copy(&ready->seen[0], &in->seen[in->npictures], err);
}

static fv_status decode_picture(fv_input *in, const fv_input_options *o, const fv_step *s, float *pixels,
                                fv_error *err) {
  const fv_model *m = in->model;
  fv_image picture = {0};
  fv_status st = fv_image_load(o->image, o->exif, &picture, err);
  if (!st && in->npictures == 0) st = fv_sha256_file(o->image, in->image_sha256, err);
  if (!st && o->gray) fv_image_gray(&picture);
  if (!st && o->blur != 0) st = fv_image_blur(&picture, o->blur, err);
  fv_preprocess p = m->preprocess;
  p.order = o->pillow == FV_PILLOW_12     ? FV_RESIZE_PILLOW12
            : o->pillow == FV_PILLOW_12_2 ? FV_RESIZE_PILLOW12_2
                                          : FV_RESIZE_PILLOW13;
  int64_t w = 0, h = 0;
  if (!st) {
    fv_preprocess_shape(&p, picture.width, picture.height, &w, &h);
    if (w != s->image || h != s->image)
      st = fv_fail(err, FV_ESHAPE,
                   "%s: the preprocessor makes it %lldx%lld, but config.json says that the model reads %lldx%lld",
                   o->image, (long long)w, (long long)h, (long long)s->image, (long long)s->image);
  }
  if (!st) st = fv_preprocess_run(&p, &picture, pixels, &in->seen[in->npictures], err);
  fv_image_release(&picture);
  return st;
}

/* One picture behind those that are there. */
static fv_status load_picture(fv_input *in, const fv_input_options *o, const char *image, fv_error *err) {
  const fv_step *s = &in->model->plan->steps[in->model->plan->pixels];
  float *pixels = in->pixels + in->npictures * s->width;
  fv_input_options one = *o;
  one.image = image;
  const fv_input *ready = o->pictures ? fv_pictures_find(o->pictures, &one) : NULL;
  fv_status st = ready ? copy_picture(in, ready, s, pixels, err) : decode_picture(in, &one, s, pixels, err);
  if (!st && o->mask) mask_pixels(pixels, s, o->mask);
  if (!st) in->npictures++;
  return st;
}

static size_t pictures_asked(const fv_input_options *o) { return o->image ? 1 : o->nimages; }

static fv_status load_pictures(fv_input *in, const fv_input_options *o, fv_error *err) {
  const fv_model *m = in->model;
  size_t n = pictures_asked(o);
  if (m->plan->pixels < 0) return fv_fail(err, FV_EUSAGE, "%s: a %s model reads no picture", m->path, m->family->name);
  const fv_step *s = &m->plan->steps[m->plan->pixels];
  fv_status st = check_mask(o, s->image / s->patch, err);
  if (st) return st;
  if (n > SIZE_MAX / sizeof *in->pixels / (size_t)s->width ||
      !(in->pixels = fv_alloc_aligned(n * (size_t)s->width, sizeof *in->pixels)) ||
      !(in->seen = fv_alloc(n, sizeof *in->seen)))
    return fv_fail(err, FV_ENOMEM, "no memory for %zu picture%s", n, n > 1 ? "s" : "");
  for (size_t i = 0; i < n && !st; i++) st = load_picture(in, o, o->image ? o->image : o->images[i], err);
  return st;
}

static fv_status set_ids(fv_input *in, int space, int32_t *ids, int64_t count, fv_error *err) {
  const fv_model *m = in->model;
  const fv_space *s = &m->plan->spaces[space];
  in->texts[space].ids = ids;
  in->texts[space].count = count;
  for (int64_t i = 0; s->limit > 0 && i < count;) {
    fv_span text = fv_input_group(in, space, i);
    int64_t n = (text.hi < count ? text.hi : count) - i;
    if (n > s->limit)
      return fv_fail(err, FV_ESHAPE, "the text has %lld tokens; %s has positions for %lld", (long long)n, s->name,
                     (long long)s->limit);
    i += n;
  }
  int64_t V = 0;
  for (int i = 0; i < m->plan->nsteps; i++)
    if (m->plan->steps[i].kind == FV_KIND_TOKENS && m->plan->steps[i].space == space)
      V = m->plan->stacks[m->plan->steps[i].stack].V;
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= V)
      return fv_fail(err, FV_ESHAPE,
                     "token id %d is outside the %lld rows of %s's embedding; is this the matching tokenizer?", ids[i],
                     (long long)V, s->name);
  return FV_OK;
}

/* The question in its family's form; an own copy. */
static char *put_in_form(const fv_model *m, const char *question, size_t pictures) {
  const fv_prompt_form *f = m->task.forms;
  int32_t id;
  while (f && f->before && f->piece && !fv_tokenizer_id(m->tokenizer, f->piece, &id)) f++;
  if (!f || !f->before) return fv_strdup(question);
  size_t piece = f->picture ? strlen(f->picture) : 0, n = pictures > 0 ? pictures : 1;
  char *places = piece > SIZE_MAX / 2 / n ? NULL : fv_alloc(piece * n + 1, 1);
  for (size_t i = 0; places && piece && i < n; i++) memcpy(places + i * piece, f->picture, piece);
  char *text = places ? fv_format("%s%s%s%s", f->before, places, question, f->after) : NULL;
  free(places);
  return text;
}

/* Makes room for one row per picture row where the picture's token stands: ids and byte ranges are repeated. */
static fv_status expand(fv_text *t, int64_t at, int64_t rows, fv_error *err) {
  int64_t more = rows - 1, count = t->count + more;
  int32_t *ids = realloc(t->ids, (size_t)count * sizeof *ids);
  if (ids) t->ids = ids;
  int64_t *first = realloc(t->first, (size_t)count * sizeof *first);
  if (first) t->first = first;
  int64_t *last = realloc(t->last, (size_t)count * sizeof *last);
  if (last) t->last = last;
  if (!ids || !first || !last) return fv_fail(err, FV_ENOMEM, "no memory for %lld rows", (long long)count);
  for (int64_t i = count - 1; i > at; i--) {
    int64_t from = i - more > at ? i - more : at;
    ids[i] = ids[from], first[i] = first[from], last[i] = last[from];
  }
  t->count = count;
  return FV_OK;
}

/* Finds the pictures' places in the text. Their token stands there once per picture, or once per row already. */
static fv_status splice_pictures(fv_input *in, int64_t pictures, fv_error *err) {
  const fv_model *m = in->model;
  fv_text *t = &in->texts[m->question_space];
  int32_t id = m->task.splice_id;
  const char *piece = fv_tokenizer_piece(m->tokenizer, id);
  int64_t rows = m->plan->spaces[m->plan->spaces[m->question_space].spliced].rows, places = 0;
  for (int64_t i = 0; i < t->count; i++) places += t->ids[i] == id;
  if (!piece)
    return fv_fail(err, FV_EFORMAT,
                   "%s: the tokenizer has no token %d, which config.json's image_token_index names; do they belong "
                   "together?",
                   m->path, id);
  bool expanded = pictures > 0 ? places == pictures * rows : places % rows == 0;
  if (pictures > 0 && places != pictures && !expanded)
    return fv_fail(err, FV_EUSAGE, "the prompt has %lld place%s for a picture (%s), and there %s %lld picture%s%s",
                   (long long)places, places == 1 ? "" : "s", piece, pictures > 1 ? "are" : "is", (long long)pictures,
                   pictures > 1 ? "s" : "",
                   places         ? ""
                   : pictures > 1 ? "; write where they belong"
                                  : "; write where it belongs");
  fv_status st = FV_OK;
  for (int64_t i = t->count - 1; i >= 0 && !expanded && !st; i--)
    if (t->ids[i] == id) st = expand(t, i, rows, err);
  if (st) return st;
  t->spliced = fv_alloc((size_t)t->count, sizeof *t->spliced);
  if (!t->spliced) return fv_fail(err, FV_ENOMEM, "no memory");
  int32_t next = 0;
  for (int64_t i = 0; i < t->count; i++) t->spliced[i] = t->ids[i] == id ? next++ : -1;
  return FV_OK;
}

/* Fills a text up with padding tokens, which are rows like all others. */
static fv_status pad(fv_input *in, int64_t rows, fv_error *err) {
  const fv_model *m = in->model;
  fv_text *t = &in->texts[m->question_space];
  int64_t count = t->count;
  int32_t id;
  if (rows <= count) return FV_OK;
  if (m->plan->spaces[m->question_space].causal || !fv_tokenizer_id(m->tokenizer, "[PAD]", &id))
    return fv_fail(err, FV_EUSAGE, "the text of a %s model cannot be filled up with [PAD]", m->family->name);
  fv_status st = expand(t, count - 1, rows - count + 1, err);
  for (int64_t i = count; i < rows && !st; i++) t->ids[i] = id, t->first[i] = t->last[i] = -1;
  return st;
}

static fv_status check_question(const char *text, fv_error *err) {
  size_t bad;
  if (!fv_utf8_valid(text, strlen(text), &bad))
    return fv_fail(err, FV_EFORMAT, "the question is not valid UTF-8: byte %zu starts no character", bad);
  if (text[strspn(text, " \t\r\n")] == '\0') return fv_fail(err, FV_EFORMAT, "the question is empty");
  return FV_OK;
}

static fv_status load_text(fv_input *in, const char *text, const fv_input_options *o, fv_error *err) {
  const fv_model *m = in->model;
  fv_status st = check_question(text, err);
  if (st) return st;
  if (!(in->text = o->question ? put_in_form(m, text, pictures_asked(o)) : fv_strdup(text)))
    return fv_fail(err, FV_ENOMEM, "no memory");
  fv_encoding e = {0};
  st = fv_tokenizer_encode(m->tokenizer, in->text, strlen(in->text), true, &e, err);
  if (st) return st;
  fv_text *t = &in->texts[m->question_space];
  t->first = e.first, t->last = e.last;
  int64_t count = (int64_t)e.count - m->task.drop_last;
  if (m->question_space == m->answer_space)
    for (int i = 0; i < m->task.nstart && i < count; i++) e.ids[i] = m->task.start[i];
  t->ids = e.ids, t->count = count;
  if (m->plan->spaces[m->question_space].spliced >= 0 && (st = splice_pictures(in, (int64_t)pictures_asked(o), err)))
    return st;
  if ((st = pad(in, o->pad_rows, err))) return st;
  return set_ids(in, m->question_space, t->ids, t->count, err);
}

/* The row of ids[0..n-1] that stands for the text. */
static int64_t standing_row(const fv_task *task, const int32_t *ids, int64_t n) {
  int64_t at = 0;
  for (int64_t i = 0; i < n && task->pool == FV_POOL_FIRST; i++)
    if (ids[i] == task->pool_id) return i;
  for (int64_t i = 1; i < n && task->pool == FV_POOL_HIGHEST; i++)
    if (ids[i] > ids[at]) at = i;
  return at;
}

/* One more text behind those that are there. */
static fv_status append_text(fv_input *in, const char *said, fv_error *err) {
  const fv_model *m = in->model;
  fv_text *t = &in->texts[m->question_space];
  fv_encoding e = {0};
  size_t before = in->text ? strlen(in->text) + 1 : 0, k = (size_t)t->ntexts;
  fv_status st = check_question(said, err);
  if (!st) st = fv_tokenizer_encode(m->tokenizer, said, strlen(said), true, &e, err);
  if (!st && e.count == 0) st = fv_fail(err, FV_EFORMAT, "the text \"%s\" has no tokens", said);
  if (st) return fv_encoding_release(&e), st;
  char *text = in->text ? fv_format("%s\n%s", in->text, said) : fv_strdup(said);
  if (text) free(in->text), in->text = text;
  size_t rows = (size_t)t->count + e.count, had = (size_t)t->count;
  size_t room[3] = {had, had, had};
  if ((in->texts_said[k] = fv_strdup(said))) in->nsaid = (int64_t)k + 1;
  bool good = text && in->texts_said[k] && fv_grow(&t->ids, &room[0], rows, sizeof *t->ids) &&
              fv_grow(&t->first, &room[1], rows, sizeof *t->first) &&
              fv_grow(&t->last, &room[2], rows, sizeof *t->last);
  for (size_t i = 0; good && i < e.count; i++) {
    bool added = e.first[i] < 0;
    t->ids[had + i] = e.ids[i];
    t->first[had + i] = added ? -1 : e.first[i] + (int64_t)before;
    t->last[had + i] = added ? -1 : e.last[i] + (int64_t)before;
  }
  if (good) {
    t->stands[k] = t->count + standing_row(&m->task, e.ids, (int64_t)e.count);
    t->count = (int64_t)rows, t->ntexts++, t->start[k + 1] = t->count;
  }
  fv_encoding_release(&e);
  return good ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory for %zu rows", rows);
}

static fv_status load_texts(fv_input *in, const char *const *said, size_t n, int64_t pad_rows, fv_error *err) {
  fv_text *t = &in->texts[in->model->question_space];
  t->start = fv_alloc(n + 1, sizeof *t->start), t->stands = fv_alloc(n, sizeof *t->stands);
  in->texts_said = fv_alloc(n, sizeof *in->texts_said);
  if (!t->start || !t->stands || !in->texts_said) return fv_fail(err, FV_ENOMEM, "no memory");
  for (size_t i = 0; i < n; i++) {
    fv_status st = append_text(in, said[i], err);
    if (!st) continue;
    return n > 1 ? fv_fail_prefix(err, st, "text %zu", i) : st;
  }
  fv_status st = pad(in, pad_rows, err);
  return st ? st : set_ids(in, in->model->question_space, t->ids, t->count, err);
}

/* The ids that the answer stack starts with, where they are not those of a text. */
static fv_status load_start(fv_input *in, fv_error *err) {
  const fv_task *task = &in->model->task;
  if (task->nstart == 0 || in->texts[in->model->answer_space].ids) return FV_OK;
  int32_t *ids = fv_alloc((size_t)task->nstart, sizeof *ids);
  if (!ids) return fv_fail(err, FV_ENOMEM, "no memory");
  memcpy(ids, task->start, (size_t)task->nstart * sizeof *ids);
  return set_ids(in, in->model->answer_space, ids, task->nstart, err);
}

fv_status fv_input_new(const fv_model *m, const fv_input_options *o, fv_input **out, fv_error *err) {
  if ((o->question != NULL) + (o->prompt != NULL) + (o->nprompts > 0) > 1)
    return fv_fail(err, FV_EUSAGE, "a question and a prompt exclude each other");
  const char *text = o->question ? o->question : o->nprompts == 1 ? o->prompts[0] : o->prompt;
  if ((text || o->nprompts) && m->question_space < 0)
    return fv_fail(err, FV_EUSAGE, "%s: a %s model reads no text", m->path, m->family->name);
  if (o->image && o->nimages > 0)
    return fv_fail(err, FV_EUSAGE, "one picture and a list of pictures exclude each other");
  if (o->nimages > 1 && !fv_model_several_pictures(m))
    return fv_fail(err, FV_EUSAGE, "%s: a %s model reads one picture, and there are %zu", m->path, m->family->name,
                   o->nimages);
  bool several = fv_model_several_texts(m);
  if (o->nprompts > 1 && !several)
    return fv_fail(err, FV_EUSAGE, "%s: a %s model reads one text, and there are %zu prompts", m->path, m->family->name,
                   o->nprompts);
  fv_input *in = fv_alloc(1, sizeof *in);
  if (!in || !(in->texts = fv_alloc((size_t)m->plan->nspaces, sizeof *in->texts)))
    return free(in), fv_fail(err, FV_ENOMEM, "no memory");
  in->model = m;
  fv_status st = FV_OK;
  if (several && (text || o->nprompts))
    st = load_texts(in, text ? &text : o->prompts, text ? 1 : o->nprompts, o->pad_rows, err);
  else if (text)
    st = load_text(in, text, o, err);
  if (!st && pictures_asked(o) > 0) st = load_pictures(in, o, err);
  if (!st && (text || (pictures_asked(o) > 0 && m->task.text_optional))) st = load_start(in, err);
  if (st) return fv_input_free(in), st;
  *out = in;
  return FV_OK;
}

void fv_input_free(fv_input *in) {
  if (!in) return;
  for (int i = 0; i < in->model->plan->nspaces; i++) {
    free(in->texts[i].ids);
    free(in->texts[i].first), free(in->texts[i].last), free(in->texts[i].spliced);
    free(in->texts[i].start), free(in->texts[i].stands);
  }
  for (int64_t i = 0; i < in->nsaid; i++) free(in->texts_said[i]);
  free(in->texts_said);
  free(in->texts);
  free(in->text);
  free(in->pixels);
  for (int64_t i = 0; in->seen && i < in->npictures; i++) fv_image_release(&in->seen[i]);
  free(in->seen);
  free(in);
}

int64_t fv_input_space_rows(const fv_input *in, int space) {
  const fv_space *s = &in->model->plan->spaces[space];
  if (s->picks) {
    bool all = true;
    for (int i = 0; i < in->model->plan->nspaces; i++)
      if (s->picks >> i & 1) all &= fv_input_space_rows(in, i) > 0;
    return all;
  }
  if (s->texts_of >= 0) return in->texts[s->texts_of].ntexts;
  return s->rows == 0 ? in->texts[space].count : s->rows * in->npictures;
}

int64_t fv_input_rows(const fv_input *in, const char *stack) {
  int i = fv_plan_find_stack(in->model->plan, stack, strlen(stack));
  return i < 0 ? 0 : fv_input_space_rows(in, in->model->plan->stacks[i].space);
}

static int64_t grid_side(const fv_model *m) {
  const fv_step *s = m->plan->pixels < 0 ? NULL : &m->plan->steps[m->plan->pixels];
  return s ? s->image / s->patch : 0;
}

int64_t fv_input_patch(const fv_input *in, int space, int64_t row) {
  const fv_space *s = &in->model->plan->spaces[space];
  if (s->spliced >= 0) {
    row = fv_input_spliced(in, space, row);
    s = &in->model->plan->spaces[s->spliced];
  }
  if (row >= 0 && fv_space_of_picture(s)) row %= s->rows;
  return row >= 0 && s->patch_row >= 0 && row >= s->patch_row ? row - s->patch_row : -1;
}

int64_t fv_input_picture_shown(const fv_input *in, int space, int64_t row) {
  const fv_space *s = &in->model->plan->spaces[space];
  if (s->spliced < 0) return fv_space_of_picture(s) ? row / s->rows : -1;
  row = fv_input_spliced(in, space, row);
  return row < 0 ? -1 : fv_input_picture_of(in, s->spliced, row);
}

bool fv_input_is_class(const fv_input *in, int space, int64_t row) {
  const fv_space *s = &in->model->plan->spaces[space];
  const fv_text *t = &in->texts[space];
  if (row != fv_input_group(in, space, row).lo) return false;
  return s->rows > 0 ? s->patch_row == 1 : !s->causal && t->first && t->first[0] < 0;
}

const char *fv_row_label(const fv_row_info *row) {
  return row->piece[0] && strncmp(row->name, "image", 5) != 0 ? row->piece : row->name;
}

fv_status fv_input_row(const fv_input *in, const char *stack, int64_t row, fv_row_info *out, fv_error *err) {
  const fv_model *m = in->model;
  int i = fv_plan_find_stack(m->plan, stack, strlen(stack));
  if (i < 0) return fv_fail(err, FV_ENOTFOUND, "there is no stack \"%s\"", stack);
  int space = m->plan->stacks[i].space;
  int64_t T = fv_input_space_rows(in, space);
  if (row < 0 || row >= T)
    return fv_fail(err, FV_ENOTFOUND, "%s has rows 0..%lld, not %lld", stack, (long long)T - 1, (long long)row);
  *out = (fv_row_info){.row = row, .id = -1, .piece = ""};
  const fv_text *t = &in->texts[space];
  if (t->ids) {
    out->id = t->ids[row];
    const char *piece = m->tokenizer ? fv_tokenizer_piece(m->tokenizer, out->id) : NULL;
    out->piece = piece ? piece : "";
  }
  fv_span of = fv_input_group(in, space, row);
  for (int64_t k = 0; t->start && k < t->ntexts; k++)
    if (t->start[k] == of.lo) out->text = k;
  int64_t side = grid_side(m), patch = fv_input_patch(in, space, row);
  out->picture = fv_input_picture_shown(in, space, row);
  char number[24] = ""; /* of a picture behind the first */
  if (out->picture > 0) snprintf(number, sizeof number, "%lld", (long long)out->picture + 1);
  if (patch >= 0)
    snprintf(out->name, sizeof out->name, "image%s[%lld,%lld]", number, (long long)(patch / side),
             (long long)(patch % side));
  else if (fv_input_is_class(in, space, row))
    snprintf(out->name, sizeof out->name, "cls%s", number);
  return FV_OK;
}

bool fv_input_grid(const fv_input *in, int64_t *down, int64_t *across) {
  *down = *across = grid_side(in->model);
  return in->pixels != NULL;
}

const uint8_t *fv_input_picture(const fv_input *in, int64_t i, int64_t *width, int64_t *height) {
  bool there = i >= 0 && i < in->npictures;
  *width = there ? in->seen[i].width : 0, *height = there ? in->seen[i].height : 0;
  return there ? in->seen[i].rgb : NULL;
}

const char *fv_input_image_sha256(const fv_input *in) { return in->image_sha256; }
int64_t fv_input_pictures(const fv_input *in) { return in->npictures; }
const char *fv_input_text(const fv_input *in) { return in->text ? in->text : ""; }
int64_t fv_input_texts(const fv_input *in) { return in->nsaid; }

const char *fv_input_piece(const fv_input *in, int32_t id) {
  if (fv_plan_answers_texts(in->model->plan)) return id >= 0 && id < in->nsaid ? in->texts_said[id] : NULL;
  return fv_model_piece(in->model, id);
}

fv_status fv_input_answer_text(const fv_input *in, const int32_t *ids, size_t count, char **text, fv_error *err) {
  if (!fv_plan_answers_texts(in->model->plan)) return fv_model_answer_text(in->model, ids, count, text, err);
  const char *said = count > 0 ? fv_input_piece(in, ids[0]) : NULL;
  *text = fv_strdup(said ? said : "");
  return *text ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

fv_status fv_input_answer_id(const fv_input *in, const char *text, int32_t *id, fv_error *err) {
  if (!fv_plan_answers_texts(in->model->plan)) return fv_model_answer_id(in->model, text, id, err);
  for (int64_t i = 0; i < in->nsaid; i++)
    if (strcmp(in->texts_said[i], text) == 0) return *id = (int32_t)i, FV_OK;
  char *end = NULL;
  long v = strncmp(text, "id:", 3) == 0 && text[3] ? strtol(text + 3, &end, 10) : -1;
  if (!end || *end || v < 0 || v >= in->nsaid)
    return fv_fail(err, FV_ENOTFOUND, "answer \"%s\" is none of the %lld texts; id:N names one by number from 0", text,
                   (long long)in->nsaid);
  return *id = (int32_t)v, FV_OK;
}
