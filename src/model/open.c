/* Opening a model: configuration, plan, tokenizer, preprocessor; and everything one can ask of it without computing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/files.h"
#include "model/loaded.h"

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_THREADS = 1024 };
/* Packing costs less than a sweep whose streamed products take longer than this. */
#define STREAM_WAIT 1.1

static fv_status load_config(fv_model *m, fv_error *err) {
  char *path = fv_path_join(m->path, "config.json");
  json_t *config = NULL;
  fv_description d;
  fv_status st = path ? fv_json_load(path, MAX_CONFIG_BYTES, &config, err) : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && !json_is_object(config)) st = fv_fail(err, FV_EFORMAT, "%s: is not a JSON object", path);
  if (!st) st = fv_family_find(config, path, &m->family, err);
  if (!st) st = m->family->describe(config, path, &d, &m->task, err);
  if (!st) st = fv_plan_build(&d, &m->plan, err);
  json_decref(config);
  free(path);
  return st;
}

/* What generation_config.json says about the end of an answer, for the families that follow it. */
static fv_status load_generation(fv_model *m, fv_error *err) {
  if (!m->task.generation_config) return FV_OK;
  char *path = fv_path_join(m->path, "generation_config.json");
  json_t *config = NULL;
  fv_status st = path ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  if (!st && fv_file_exists(path)) {
    st = fv_json_load(path, MAX_CONFIG_BYTES, &config, err);
    if (!st) st = fv_config_eos(config, path, &m->task, err);
  }
  json_decref(config);
  free(path);
  return st;
}

static int space_of_stack(const fv_plan *p, const char *name) {
  int stack = name ? fv_plan_find_stack(p, name, strlen(name)) : -1;
  return stack < 0 ? -1 : p->stacks[stack].space;
}

static void find_spaces(fv_model *m) {
  const fv_plan *p = m->plan;
  m->question_space = space_of_stack(p, m->task.question_stack);
  m->answer_space = space_of_stack(p, m->task.answer_stack);
}

static void describe_preprocess(fv_model *m) {
  const fv_preprocess *p = &m->preprocess;
  static const char *filters[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
  char size[96] = "no resize", crop[64] = "";
  if (p->resize && p->shortest_edge)
    snprintf(size, sizeof size, "shortest edge to %lld, %s", (long long)p->size_h, filters[p->filter]);
  else if (p->resize)
    snprintf(size, sizeof size, "resize to %lldx%lld, %s", (long long)p->size_w, (long long)p->size_h,
             filters[p->filter]);
  if (p->center_crop)
    snprintf(crop, sizeof crop, "; centre crop %lldx%lld", (long long)p->crop_w, (long long)p->crop_h);
  snprintf(m->preprocessing, sizeof m->preprocessing, "RGB; %s%s%s%s", size, crop,
           p->rescale ? "; x rescale factor" : "", p->normalize ? "; minus mean, divided by standard deviation" : "");
}

/* Marks the tensors that the plan reads, so that a missing one is found at once and an unused one can be named. */
static fv_status mark_tensors(fv_model *m, fv_error *err) {
  size_t n = fv_checkpoint_count(m->checkpoint);
  m->tensor_used = fv_alloc(n, sizeof *m->tensor_used);
  if (!m->tensor_used) return fv_fail(err, FV_ENOMEM, "no memory");
  for (int i = 0; i < m->plan->nsteps; i++) {
    for (int which = 0; which < 2; which++) {
      const fv_tensor *t = NULL;
      fv_status st = fv_model_step_tensor(m, i, which, &t, err);
      if (st) return st;
      if (t) m->tensor_used[t - fv_checkpoint_at(m->checkpoint, 0)] = true;
    }
  }
  /* The second copy of a tied tensor is read by nobody, and is expected to be there. */
  for (int i = 0; i < m->plan->nsteps; i++) {
    const char *tied[2] = {m->plan->steps[i].weight_tied, m->plan->steps[i].bias_tied};
    for (int k = 0; k < 2; k++) {
      const fv_tensor *t = tied[k] ? fv_model_find_tensor(m, tied[k]) : NULL;
      if (t) m->tensor_used[t - fv_checkpoint_at(m->checkpoint, 0)] = true;
    }
  }
  return FV_OK;
}

/* All or nothing: packed float32 weights take twice the memory of a 16-bit file, which the system's file cache puts to
 * better use. */
static void decide_streaming(fv_model *m, const fv_model_options *o, int threads) {
  size_t memory = m->memory = o ? o->memory : 0;
  double waited = 0.0;
  for (int i = 0; i < m->plan->nsteps; i++) {
    const fv_step *s = &m->plan->steps[i];
    size_t bytes = s->kind == FV_KIND_LINEAR ? fv_model_step_bytes(m, i) : 0;
    m->weight_bytes += bytes, waited += (double)bytes * fv_linear_stream_wait(s->width, threads);
  }
  bool busy = waited < STREAM_WAIT * (double)m->weight_bytes;
  m->streamed = (o && o->stream && busy) || (memory > 0 && m->weight_bytes > memory / 4 * 3);
}

fv_status fv_model_open(const char *path, const fv_model_options *options, fv_model **out, fv_error *err) {
  int threads = options ? options->threads : 0;
  if (threads < 0 || threads > MAX_THREADS)
    return fv_fail(err, FV_EUSAGE, "threads is %d, expected 0 (all cores) to %d", threads, MAX_THREADS);
  if (threads == 0) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    threads = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
  }
  fv_model *m = fv_alloc(1, sizeof *m);
  if (!m || !(m->path = fv_strdup(path))) return free(m), fv_fail(err, FV_ENOMEM, "no memory");
  pthread_mutex_init(&m->lock, NULL);
  fv_status st = load_config(m, err);
  if (!st) st = load_generation(m, err);
  if (!st) st = fv_checkpoint_open(path, &m->checkpoint, err);
  if (!st) find_spaces(m), st = mark_tensors(m, err);
  if (!st) decide_streaming(m, options, threads);
  if (!st && m->question_space >= 0) st = fv_tokenizer_open(path, &m->tokenizer, err);
  if (!st && m->plan->pixels >= 0) {
    st = fv_preprocess_load(path, &m->preprocess, err);
    if (!st) m->has_preprocess = true, describe_preprocess(m);
  }
  if (!st) st = fv_kernels_new(threads, &m->kernels, err);
  if (!st) {
    snprintf(m->engine, sizeof m->engine, "%s, %s", fv_kernels_isa(m->kernels), fv_kernels_library(m->kernels));
    m->bound = fv_alloc((size_t)m->plan->nsteps, sizeof *m->bound);
    m->ropes = fv_alloc((size_t)m->plan->nstacks, sizeof *m->ropes);
    if (!m->bound || !m->ropes) st = fv_fail(err, FV_ENOMEM, "no memory");
  }
  if (st) return fv_model_close(m), st;
  *out = m;
  return FV_OK;
}

void fv_model_close(fv_model *m) {
  if (!m) return;
  for (int i = 0; m->bound && i < m->plan->nsteps; i++) {
    fv_linear_free(m->bound[i].linear);
    free(m->bound[i].gain), free(m->bound[i].offset), free(m->bound[i].rows);
  }
  free(m->bound);
  for (int i = 0; m->ropes && i < m->plan->nstacks; i++) free(m->ropes[i].cos), free(m->ropes[i].sin);
  free(m->ropes);
  fv_kernels_free(m->kernels);
  fv_tokenizer_close(m->tokenizer);
  fv_checkpoint_close(m->checkpoint);
  fv_plan_free(m->plan);
  fv_task_release(&m->task);
  pthread_mutex_destroy(&m->lock);
  free(m->tensor_used);
  free(m->path);
  free(m);
}

const char *fv_model_family(const fv_model *m) { return m->family->name; }
const char *fv_model_path(const fv_model *m) { return m->path; }
int fv_model_threads(const fv_model *m) { return fv_kernels_threads(m->kernels); }
const char *fv_model_engine(const fv_model *m) { return m->engine; }
bool fv_model_streamed(const fv_model *m) { return m->streamed; }
size_t fv_model_weight_bytes(const fv_model *m) { return m->weight_bytes; }
fv_status fv_model_sha256(const fv_model *m, char hex[65], fv_error *err) {
  return fv_checkpoint_sha256(m->checkpoint, hex, err);
}
const char *fv_model_preprocessing(const fv_model *m) { return m->preprocessing; }
const char *fv_model_question_stack(const fv_model *m) { return m->task.question_stack; }
const char *fv_model_answer_stack(const fv_model *m) { return m->task.answer_stack; }
const char *fv_model_picture_stack(const fv_model *m) {
  for (int i = 0; i < m->plan->nstacks; i++)
    if (m->plan->spaces[m->plan->stacks[i].space].patch_row >= 0) return m->plan->stacks[i].name;
  return NULL;
}
bool fv_model_several_texts(const fv_model *m) { return fv_plan_answers_texts(m->plan); }
bool fv_model_several_pictures(const fv_model *m) { return fv_plan_several_pictures(m->plan); }
bool fv_model_text_optional(const fv_model *m) { return m->question_space < 0 || m->task.text_optional; }
int64_t fv_model_classes(const fv_model *m) { return m->task.nlabels; }

int64_t fv_model_image_size(const fv_model *m) {
  return m->plan->pixels < 0 ? 0 : m->plan->steps[m->plan->pixels].image;
}
int64_t fv_model_patch_size(const fv_model *m) {
  return m->plan->pixels < 0 ? 0 : m->plan->steps[m->plan->pixels].patch;
}

int fv_model_stacks(const fv_model *m) { return m->plan->nstacks; }

fv_stack_info fv_model_stack(const fv_model *m, int index) {
  const fv_stack *s = &m->plan->stacks[index];
  const fv_space *space = &m->plan->spaces[s->space];
  return (fv_stack_info){.name = s->name,
                         .layers = s->layers,
                         .width = s->D,
                         .heads = s->H,
                         .kv_heads = s->KV,
                         .head_width = s->Dh,
                         .mlp_width = s->F,
                         .vocabulary = s->V,
                         .rows = space->rows,
                         .max_rows = space->limit};
}

size_t fv_model_tensors(const fv_model *m) { return fv_checkpoint_count(m->checkpoint); }

static bool harmless(const char *name) {
  const char *dot = strrchr(name, '.');
  const char *last = dot ? dot + 1 : name;
  return strcmp(last, "position_ids") == 0 || strcmp(last, "inv_freq") == 0;
}

fv_tensor_info fv_model_tensor(const fv_model *m, size_t index) {
  const fv_tensor *t = fv_checkpoint_at(m->checkpoint, index);
  return (fv_tensor_info){t->name,  fv_dtype_name(t->dtype), t->file,          t->rank,
                          t->shape, m->tensor_used[index],   harmless(t->name)};
}

size_t fv_model_unused(const fv_model *m) {
  size_t n = 0;
  for (size_t i = 0; i < fv_checkpoint_count(m->checkpoint); i++)
    n += !m->tensor_used[i] && !harmless(fv_checkpoint_at(m->checkpoint, i)->name);
  return n;
}

static void site_shape(const fv_model *m, const fv_site *site, char *out, size_t n) {
  const fv_step *s = &m->plan->steps[site->step];
  const fv_space *space = &m->plan->spaces[s->space];
  char T[24] = "T", S[24] = "S";
  if (space->texts_of >= 0) snprintf(T, sizeof T, "N");
  if (space->rows > 0) snprintf(T, sizeof T, "%lld", (long long)space->rows);
  if (s->kind == FV_KIND_ATTEND) {
    const fv_space *keys = &m->plan->spaces[m->plan->steps[s->in[1]].space];
    snprintf(S, sizeof S, keys == space && !space->rows ? "T" : "S");
    if (keys->rows > 0) snprintf(S, sizeof S, "%lld", (long long)keys->rows);
  }
  if (site->part != FV_PART_OUT)
    snprintf(out, n, "%lld x %s x %s", (long long)s->H, T, S);
  else if (s->kind == FV_KIND_PIXELS)
    snprintf(out, n, "%lld x %lld x %lld", (long long)s->channels, (long long)s->image, (long long)s->image);
  else if (site->step == m->plan->output && fv_plan_answers_texts(m->plan))
    snprintf(out, n, "%s", T);
  else if (site->step == m->plan->output)
    snprintf(out, n, "%lld", (long long)s->width);
  else if (s->heads > 0)
    snprintf(out, n, "%s x %lld x %lld", T, (long long)s->heads, (long long)(s->width / s->heads));
  else
    snprintf(out, n, "%s x %lld", T, (long long)s->width);
}

size_t fv_model_sites(const fv_model *m) { return (size_t)m->plan->nsites; }

fv_status fv_model_site(const fv_model *m, size_t index, fv_site_info *out, char *aliases, size_t size, fv_error *err) {
  if (index >= (size_t)m->plan->nsites) return fv_fail(err, FV_ENOTFOUND, "there are %d sites", m->plan->nsites);
  const fv_site *site = &m->plan->sites[index];
  const char *stack = m->plan->stacks[site->stack].name;
  if (site->layer < 0)
    snprintf(out->address, sizeof out->address, "%s.%s", stack, site->name);
  else
    snprintf(out->address, sizeof out->address, "%s.%d.%s", stack, site->layer, site->name);
  site_shape(m, site, out->shape, sizeof out->shape);
  size_t used = 0;
  if (size > 0) aliases[0] = '\0';
  for (const fv_alias *a = m->plan->aliases; a && a->pattern && size > 0; a++) {
    const char *mark = strstr(a->pattern, "{}");
    if (strcmp(a->stack, stack) != 0 || strcmp(a->site, site->name) != 0 || (mark != NULL) != (site->layer >= 0))
      continue;
    int n = mark ? snprintf(aliases + used, size - used, "%s%.*s%d%s", used ? ", " : "", (int)(mark - a->pattern),
                            a->pattern, site->layer, mark + 2)
                 : snprintf(aliases + used, size - used, "%s%s", used ? ", " : "", a->pattern);
    if (n < 0 || (size_t)n >= size - used) return aliases[used] = '\0', FV_OK;
    used += (size_t)n;
  }
  return FV_OK;
}

const char *fv_model_tokenizer_kind(const fv_model *m) {
  return m->tokenizer ? fv_tokenizer_kind(m->tokenizer) : "none";
}
int64_t fv_model_vocabulary(const fv_model *m) { return m->tokenizer ? fv_tokenizer_size(m->tokenizer) : 0; }
const char *fv_model_piece(const fv_model *m, int32_t id) {
  if (fv_plan_answers_texts(m->plan)) return NULL;
  if (m->task.labels) return id >= 0 && id < m->task.nlabels ? m->task.labels[id] : NULL;
  return m->tokenizer ? fv_tokenizer_piece(m->tokenizer, id) : NULL;
}

static fv_status no_tokenizer(const fv_model *m, fv_error *err) {
  return fv_fail(err, FV_EUNSUPPORTED, "%s: a %s model reads no text", m->path, m->family->name);
}

fv_status fv_model_encode(const fv_model *m, const char *text, size_t n, int32_t **ids, size_t *count, fv_error *err) {
  if (!m->tokenizer) return no_tokenizer(m, err);
  fv_encoding e = {0};
  fv_status st = fv_tokenizer_encode(m->tokenizer, text, n, true, &e, err);
  if (st) return st;
  *ids = e.ids, *count = e.count;
  e.ids = NULL;
  fv_encoding_release(&e);
  return FV_OK;
}

fv_status fv_model_decode(const fv_model *m, const int32_t *ids, size_t count, bool skip_special, char **text,
                          size_t *length, fv_error *err) {
  if (!m->tokenizer) return no_tokenizer(m, err);
  return fv_tokenizer_decode(m->tokenizer, ids, count, skip_special, text, length, err);
}

fv_status fv_model_answer_text(const fv_model *m, const int32_t *ids, size_t count, char **text, fv_error *err) {
  size_t n;
  if (!m->task.labels) return fv_model_decode(m, ids, count, true, text, &n, err);
  const char *label = count > 0 ? fv_model_piece(m, ids[0]) : NULL;
  *text = fv_strdup(label ? label : "");
  return *text ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static fv_status find_label(const fv_model *m, const char *text, int32_t *id, fv_error *err) {
  for (int64_t i = 0; i < m->task.nlabels; i++)
    if (strcmp(m->task.labels[i], text) == 0) return *id = (int32_t)i, FV_OK;
  return fv_fail(err, FV_ENOTFOUND,
                 "answer \"%s\" is none of the %lld classes (such as \"%s\"); id:N names one by number", text,
                 (long long)m->task.nlabels, m->task.labels[0]);
}

fv_status fv_model_answer_id(const fv_model *m, const char *text, int32_t *id, fv_error *err) {
  if (m->plan->output < 0)
    return fv_fail(err, FV_EUSAGE, "answer \"%s\": a %s model gives no answer", text, m->family->name);
  if (fv_plan_answers_texts(m->plan))
    return fv_fail(err, FV_EUSAGE, "answer \"%s\": what a %s model answers is one of the texts of its input", text,
                   m->family->name);
  int64_t V = m->plan->steps[m->plan->output].width;
  if (strncmp(text, "id:", 3) == 0) {
    char *end;
    long v = strtol(text + 3, &end, 10);
    if (!text[3] || *end || v < 0 || v >= V)
      return fv_fail(err, FV_EUSAGE, "answer \"%s\": expected id:N with N from 0 to %lld", text, (long long)V - 1);
    return *id = (int32_t)v, FV_OK;
  }
  if (m->task.labels) return find_label(m, text, id, err);
  if (!m->tokenizer) return no_tokenizer(m, err);
  fv_encoding e = {0};
  fv_status st = fv_tokenizer_encode(m->tokenizer, text, strlen(text), false, &e, err);
  if (st) return st;
  const char *piece = e.count > 0 ? fv_tokenizer_piece(m->tokenizer, e.ids[0]) : NULL;
  if (e.count == 0)
    st = fv_fail(err, FV_EUSAGE, "answer \"%s\" has no token", text);
  else if (piece && fv_tokenizer_is_special(m->tokenizer, e.ids[0]) && strncmp(text, piece, strlen(piece)) != 0)
    st = fv_fail(err, FV_ENOTFOUND, "answer \"%s\": the vocabulary has no piece of it, only %s; id:N names a token",
                 text, piece);
  else
    *id = e.ids[0];
  fv_encoding_release(&e);
  return st;
}
