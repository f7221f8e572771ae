#include "support/random_wave.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/vectors.h"

int random_scale(int count) {
#if defined(__SANITIZE_ADDRESS__)
  return count / 6;
#else
  return count;
#endif
}

void random_inputs_new(const fv_model *m, const tiny_blip *b, uint64_t seed, random_inputs *out) {
  fv_rng rng;
  fv_rng_torch(&rng, (int64_t)seed);
  int32_t prompt[4];
  for (int i = 0; i < 4; i++) prompt[i] = (int32_t)tiny_random(&rng, b->shape.V);
  char *q0 = tiny_question(&rng, 4), *q1 = tiny_question(&rng, 4), *q2 = tiny_question(&rng, 6),
       *q3 = tiny_question(&rng, 1);
  out->in[0] = tiny_input(m, b, 0, q0, prompt, 0);
  out->in[1] = tiny_input(m, b, 1, q0, prompt, 0);
  out->in[2] = tiny_input(m, b, 0, q1, prompt, 0);
  out->in[3] = tiny_input(m, b, 2, q2, prompt, 2);
  out->in[4] = tiny_input(m, b, 0, q0, prompt, 4);
  out->in[5] = tiny_input(m, b, 1, q3, prompt, 1);
  out->in[6] = tiny_input(m, b, -1, q0, prompt, 1);
  free(q0), free(q1), free(q2), free(q3);
}

void random_inputs_of(const fv_vectors *v, random_inputs *out) {
  static const char *const prompts[] = {"what <image> color where the", "<image> what color", "what color is <image>"};
  size_t n = vectors_cases(v);
  bool llava = strcmp(fv_model_family(v->model), "llava") == 0;
  char *image = vectors_path(v, "image1.png"), *other = vectors_path(v, "image0.png");
  const char *const two[2][2] = {{image, other}, {other, other}};
  for (size_t i = 0; i < RANDOM_INPUTS; i++) {
    fv_input_options o;
    fv_input_defaults(&o);
    o.image = image, o.prompt = prompts[i % 3];
    if (i < RANDOM_INPUTS - 2) /* two pictures; the second is the same in both */
      o.image = NULL, o.images = two[i % 2], o.nimages = 2, o.prompt = "what <image> color <image> the";
    if (llava && i >= RANDOM_INPUTS - 4)
      OK(fv_input_new(v->model, &o, &out->in[i], ERR));
    else
      out->in[i] = vectors_input(v, vectors_case(v, i % n));
  }
  free(image), free(other);
}

void random_inputs_release(random_inputs *inputs) {
  for (int i = 0; i < RANDOM_INPUTS; i++) fv_input_free(inputs->in[i]);
}

void random_wave_fail(random_wave *r, const char *format, ...) {
  char what[1200];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  fflush(r->recipe_stream);
  fprintf(stderr, "%s\n", r->recipe);
  fail_msg("%s", what);
}

/* Or needs none. */
static bool has_picture(const random_wave *r, int run) {
  return r->wave->runs[run].pixels != NULL || r->wave->model->plan->pixels < 0;
}

typedef struct chooser {
  random_wave *r;
  fv_rng rng;
  const fv_model *m;
  int run;
  const fv_input *input;
} chooser;

static int64_t pick(chooser *c, int64_t n) { return tiny_random(&c->rng, n); }
static bool chance(chooser *c, double p) { return fv_rng_double(&c->rng) < p; }

/* k different numbers below n, in random order, as a list. */
static int put_list(chooser *c, char *at, int64_t n, int64_t k) {
  int64_t all[4096];
  int used = 0;
  for (int64_t i = 0; i < n; i++) all[i] = i;
  for (int64_t i = 0; i < k; i++) {
    int64_t j = i + pick(c, n - i), v = all[j];
    all[j] = all[i], all[i] = v;
    used += sprintf(at + used, "%s%lld", i ? "," : "", (long long)(chance(c, 0.2) ? v - n : v));
  }
  return used;
}

static int put_spans(chooser *c, char *at, int64_t n) {
  int64_t lo = pick(c, n), hi = lo + pick(c, n - lo < 5 ? n - lo : 5);
  int used = sprintf(at, "%lld-%lld", (long long)lo, (long long)hi);
  if (lo > 1 && chance(c, 0.5)) used += sprintf(at + used, ",%lld", (long long)pick(c, lo));
  return used;
}

typedef struct shape {
  int64_t T, H, inner;
} shape;

static shape shape_of(const fv_model *m, const fv_input *in, const fv_site *s) {
  const fv_step *step = &m->plan->steps[s->step];
  shape x = {.T = fv_input_space_rows(in, step->space)};
  x.H = s->part == FV_PART_OUT ? step->heads : step->H;
  x.inner = s->part != FV_PART_OUT ? fv_input_space_rows(in, m->plan->steps[step->in[1]].space)
                                   : step->width / (step->heads ? step->heads : 1);
  return x;
}

static int put_site(const fv_model *m, char *at, const fv_site *s, bool all_layers) {
  const char *stack = m->plan->stacks[s->stack].name;
  if (s->layer < 0) return sprintf(at, "%s.%s", stack, s->name);
  if (all_layers) return sprintf(at, "%s.*.%s", stack, s->name);
  return sprintf(at, "%s.%d.%s", stack, s->layer, s->name);
}

/* A random site that the input gives rows, with random selectors. */
static const fv_site *put_address(chooser *c, char *at, bool layers) {
  const fv_plan *p = c->m->plan;
  for (;;) {
    const fv_site *s = &p->sites[pick(c, p->nsites)];
    shape x = shape_of(c->m, c->input, s);
    if (x.T == 0 || x.inner == 0) continue;
    at += put_site(c->m, at, s, layers && chance(c, 0.1));
    if (x.H > 0 && chance(c, 0.4)) *at++ = '#', at += put_list(c, at, x.H, 1 + pick(c, x.H));
    if (chance(c, 0.6)) {
      *at++ = '@';
      int64_t last = x.T - 1, lo = pick(c, x.T);
      if (chance(c, 0.3))
        at += sprintf(at, "%lld-%lld", (long long)lo, (long long)(lo + pick(c, last - lo + 1)));
      else
        at += put_list(c, at, x.T, 1 + pick(c, x.T < 3 ? x.T : 3));
    }
    if (chance(c, 0.25)) *at++ = ':', put_spans(c, at, x.inner);
    return s;
  }
}

/* A and B of the same shape: "replace A from B" between different sites, layers, rows and heads. */
static bool put_pair(chooser *c, const fv_input *source, char *a, char *b) {
  const fv_plan *p = c->m->plan;
  const fv_site *s = &p->sites[pick(c, p->nsites)], *t = s;
  shape x = shape_of(c->m, c->input, s), y = x;
  for (int i = 0; i < 200; i++) {
    t = &p->sites[pick(c, p->nsites)];
    y = shape_of(c->m, source, t);
    if (t->part == s->part && y.inner == x.inner && y.H == x.H && y.T > 0) break;
    t = NULL;
  }
  if (!t || x.T == 0 || x.inner == 0) return false;
  int64_t k = 1 + pick(c, x.T < y.T ? x.T : y.T), h = x.H ? 1 + pick(c, x.H) : 0;
  a += put_site(c->m, a, s, false), b += put_site(c->m, b, t, false);
  if (h) *a++ = '#', *b++ = '#', a += put_list(c, a, x.H, h), b += put_list(c, b, y.H, h);
  *a++ = '@', *b++ = '@';
  a += put_list(c, a, x.T, k), b += put_list(c, b, y.T, k);
  if (chance(c, 0.3)) {
    int64_t n = 1 + pick(c, x.inner < 40 ? x.inner : 40); /* pixels are many */
    *a++ = ':', *b++ = ':';
    put_list(c, a, x.inner, n), put_list(c, b, x.inner, n);
  }
  return true;
}

/* Edits that need arrays: the operation's name, values or a source at the same place. */
static fv_status edit_values(chooser *c, const char *address, int source, fv_error *err) {
  static const char *const ops[] = {"replace", "mean", "add", "mul"};
  const char *op = ops[pick(c, 4)];
  bool one = chance(c, 0.5);
  double factor = fv_rng_double(&c->rng) * 2.0 - 1.0;
  fv_selection *list;
  size_t n;
  OK(fv_address_resolve(c->m, c->input, address, &list, &n, ERR));
  fv_status st = FV_OK;
  for (size_t i = 0; i < n; i++) {
    fv_edit_options o = {.op = op, .at = &list[i], .source = source, .factor = (float)factor};
    o.values_rows = one ? 1 : list[i].nrows;
    float *values = fv_alloc((size_t)(o.values_rows * list[i].width), sizeof *values);
    fv_rng_fill_normal(&c->rng, 0.0, 1.0, o.values_rows * list[i].width, values);
    if (source < 0) o.values = values;
    if (!st) st = fv_wave_edit(c->r->wave, c->run, &o, err);
    free(values);
    fv_selection_release(&list[i]);
  }
  free(list);
  fprintf(c->r->recipe_stream, "  run %d: %s %s with %s %d, factor %a", c->run, op, address,
          source < 0 ? "values, one row" : "source", source < 0 ? one : source, factor);
  return st;
}

static void add_edit(chooser *c) {
  char a[400] = "", b[400] = "", text[1000];
  fv_error err = {0};
  fv_status st;
  int source = c->run > 0 ? (int)pick(c, c->run) : -1, kind = (int)pick(c, 10);
  if (source >= 0 && !has_picture(c->r, source)) source = -1; /* its text rows do not exist */
  const fv_site *s = put_address(c, a, true);
  double x = fv_rng_double(&c->rng) * 3.0 - 1.5;
  if (s->part == FV_PART_SCORES && kind > 4) {
    const fv_step *step = &c->m->plan->steps[s->step];
    char *features = strchr(a, ':');
    if (features) *features = '\0';
    int64_t S = fv_input_space_rows(c->input, c->m->plan->steps[step->in[1]].space);
    put_list(c, b, S, 1 + pick(c, S));
    snprintf(text, sizeof text, "block %s from=%s", a, b);
    source = -1;
  } else if (kind == 0) {
    snprintf(text, sizeof text, "zero %s", a);
  } else if (kind == 1) {
    snprintf(text, sizeof text, "scale %s %.9g", a, x);
  } else if (kind == 2 && s->part == FV_PART_OUT) {
    static const char *const noises[] = {"mul-gauss %s mean=1,std=0.5", "add-gauss %s std=0.7", "uniform %s scale=0.9"};
    snprintf(text, sizeof text, noises[pick(c, 3)], a);
  } else if (source >= 0 && kind < 6) {
    snprintf(text, sizeof text, "replace %s", a);
  } else if (source >= 0 && kind < 8 &&
             (a[0] = b[0] = '\0', memset(a, 0, sizeof a), memset(b, 0, sizeof b),
              put_pair(c, c->r->wave->runs[source].input, a, b))) {
    snprintf(text, sizeof text, "replace %s from %s", a, b);
  } else {
    if (!a[0]) put_address(c, a, true);
    text[0] = '\0';
  }
  c->r->edits++;
  if (text[0]) {
    fprintf(c->r->recipe_stream, "  run %d: do \"%s\" source %d", c->run, text, source);
    st = fv_wave_do(c->r->wave, c->run, text, source, &err);
  } else {
    st = edit_values(c, a, chance(c, 0.3) ? source : -1, &err);
  }
  fprintf(c->r->recipe_stream, "%s%s\n", st ? " REFUSED: " : "", st ? err.text : "");
  c->r->refused += st != FV_OK;
  if (st && st != FV_ECONFLICT && st != FV_ESHAPE && st != FV_EUSAGE && !(st == FV_ENOTFOUND && source >= 0))
    random_wave_fail(c->r, "an edit failed with status %d: %s", st, err.text);
}

static fv_status keep_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  random_wave *r = user;
  (void)err;
  memcpy(r->logits[run], logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

static void add_read(chooser *c) {
  random_wave *r = c->r;
  random_read *read = &r->reads[r->nreads++];
  char address[400] = "";
  c->run = (int)pick(c, r->nruns), c->input = r->wave->runs[c->run].input;
  put_address(c, address, false);
  fv_selection *list;
  size_t n;
  OK(fv_address_resolve(c->m, c->input, address, &list, &n, ERR));
  assert_int_equal(n, 1);
  *read = (random_read){.run = c->run, .count = fv_selection_count(list)};
  snprintf(read->address, sizeof read->address, "%s", address);
  read->data = fv_alloc((size_t)read->count, sizeof *read->data);
  OK(fv_wave_read(r->wave, c->run, list, read->data, ERR));
  fprintf(r->recipe_stream, "  read %s of run %d\n", address, c->run);
  fv_selection_release(list);
  free(list);
}

void random_wave_new(const fv_model *m, const random_inputs *inputs, uint64_t seed, random_wave *r) {
  *r = (random_wave){.nruns = 0};
  r->recipe_stream = open_memstream(&r->recipe, &r->recipe_size);
  chooser c = {.r = r, .m = m};
  fv_rng_torch(&c.rng, (int64_t)seed);
  fv_wave_options o = {.in_order = chance(&c, 0.5), .generate = chance(&c, 0.25), .generated = chance(&c, 0.5)};
  OK(fv_wave_new(m, &o, &r->wave, ERR));
  bool numpy = chance(&c, 0.5);
  OK(fv_wave_seed(r->wave, numpy ? FV_STREAM_NUMPY : FV_STREAM_TORCH, (int64_t)(seed & 0xffff), ERR));
  fprintf(r->recipe_stream, "wave seed %llu, in_order %d, generate %d, generated %d\n", (unsigned long long)seed,
          o.in_order, o.generate, o.generated);
  int want = 2 + (int)pick(&c, RANDOM_RUNS - 1), depth[RANDOM_RUNS] = {0};
  for (int i = 0; i < want; i++) {
    int parent = i == 0 || chance(&c, 0.08) ? -1 : (int)pick(&c, i), input = -1;
    if (parent >= 0 && depth[parent] == 4) parent = 0;
    if (parent < 0 || chance(&c, 0.3)) input = (int)pick(&c, RANDOM_INPUTS);
    fv_error err;
    fv_status st = fv_wave_run(r->wave, parent, input < 0 ? NULL : inputs->in[input], &c.run, &err);
    if (st == FV_EUSAGE && parent >= 0) input = -1, st = fv_wave_run(r->wave, parent, NULL, &c.run, &err);
    if (st) random_wave_fail(r, "a run was refused: %s", err.text);
    depth[i] = parent < 0 ? 0 : depth[parent] + 1;
    r->nruns++;
    fprintf(r->recipe_stream, "  run %d: parent %d, input %d\n", i, parent, input);
    c.input = r->wave->runs[i].input;
    for (int64_t n = chance(&c, 0.2) ? 3 : pick(&c, 3); n > 0; n--) add_edit(&c);
  }
  for (int64_t n = pick(&c, RANDOM_READS); n > 0; n--) {
    random_wave before = *r;
    add_read(&c);
    /* Without a picture there is nothing that text can attend to. */
    if (!has_picture(r, c.run))
      r->wave->nreads--, fv_read_release(&r->wave->reads[r->wave->nreads]), free(r->reads[before.nreads].data),
          r->nreads = before.nreads;
  }
  for (int i = 0; i < r->nruns; i++) {
    if (m->plan->output >= 0) r->V[i] = m->plan->steps[m->plan->output].width;
    if (fv_plan_answers_texts(m->plan)) r->V[i] = fv_input_texts(r->wave->runs[i].input);
    r->logits[i] = fv_alloc((size_t)r->V[i], sizeof *r->logits[i]);
    if (!r->V[i] || !has_picture(r, i) || !(chance(&c, 0.7) || i == r->nruns - 1)) continue;
    r->readout[i] = true;
    fprintf(r->recipe_stream, "  readout of run %d\n", i);
    OK(fv_wave_readout(r->wave, i, keep_logits, r, ERR));
  }
}

size_t random_wave_smallest_memory(random_wave *r) {
  size_t most = 1, peak;
  for (int i = 0; i < r->wave->nreads; i++) {
    OK(fv_layout(r->wave, i, i + 1, &peak, ERR));
    if (peak > most) most = peak;
  }
  return most;
}

fv_status random_wave_compute(random_wave *r) {
  fv_error err = {0};
  fv_status st = fv_wave_compute(r->wave, NULL, &err);
  if (st && st != FV_ENONFINITE) random_wave_fail(r, "computing failed with status %d: %s", st, err.text);
  return st;
}

static void compare_bits(random_wave *r, const char *what, int run, const float *a, const float *b, int64_t n,
                         const char *against) {
  for (int64_t i = 0; i < n; i++)
    if (memcmp(a + i, b + i, sizeof *a) != 0)
      random_wave_fail(r, "run %d: %s differs from %s at %lld of %lld: %a and %a", run, what, against, (long long)i,
                       (long long)n, (double)a[i], (double)b[i]);
}

int random_wave_compare_full(random_wave *r) {
  float *kept[RANDOM_READS] = {0};
  int compared = 0;
  for (int i = 0; i < r->nreads; i++) {
    size_t bytes = (size_t)r->reads[i].count * sizeof(float);
    kept[i] = malloc(bytes);
    memcpy(kept[i], r->reads[i].data, bytes);
    memset(r->reads[i].data, 0xff, bytes);
  }
  for (int run = 0; run < r->nruns; run++) {
    bool any = r->readout[run];
    for (int i = 0; i < r->nreads; i++) any |= r->reads[i].run == run;
    if (!any) continue;
    size_t bytes = (size_t)r->V[run] * sizeof(float);
    float *logits = malloc(bytes + 1);
    memcpy(logits, r->logits[run], bytes);
    memset(r->logits[run], 0xff, bytes);
    fv_error err;
    if (fv_run_full(r->wave, run, r->readout[run] ? keep_logits : NULL, r, &err))
      random_wave_fail(r, "run %d alone failed: %s", run, err.text);
    if (r->readout[run]) compare_bits(r, "logits", run, logits, r->logits[run], r->V[run], "the run alone");
    free(logits);
    compared++;
  }
  for (int i = 0; i < r->nreads; i++) {
    compare_bits(r, r->reads[i].address, r->reads[i].run, kept[i], r->reads[i].data, r->reads[i].count,
                 "the run alone");
    free(kept[i]);
  }
  return compared;
}

void random_wave_compare(random_wave *a, random_wave *b, const char *what) {
  assert_int_equal(a->nreads, b->nreads);
  for (int i = 0; i < a->nreads; i++)
    compare_bits(a, a->reads[i].address, a->reads[i].run, a->reads[i].data, b->reads[i].data, a->reads[i].count, what);
  for (int i = 0; i < a->nruns; i++)
    if (a->readout[i]) compare_bits(a, "logits", i, a->logits[i], b->logits[i], a->V[i], what);
}

void random_wave_release(random_wave *r) {
  fv_wave_free(r->wave);
  for (int i = 0; i < r->nreads; i++) free(r->reads[i].data);
  for (int i = 0; i < r->nruns; i++) free(r->logits[i]);
  fclose(r->recipe_stream);
  free(r->recipe);
}

static fv_status copy_logits(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  (void)run, (void)err;
  memcpy(user, logits, (size_t)V * sizeof *logits);
  return FV_OK;
}

/* The wave that decodes one more row behind `before`'s run, as generation does it, and its logits. */
static fv_wave *decode(random_wave *r, const fv_wave *before, int outer, int32_t id, float *logits, int *run) {
  fv_wave_options o = before->options;
  fv_wave *w;
  o.memory = 0;
  OK(fv_wave_new(before->model, &o, &w, ERR));
  w->outer = before;
  OK(fv_continue_run(w, outer, id, copy_logits, logits, run, ERR));
  fv_error err;
  if (fv_wave_compute(w, NULL, &err)) random_wave_fail(r, "decoding failed: %s", err.text);
  return w;
}

/* Every prefix from scratch: the run alone, with its answer ids made longer by hand. What is decoded with the keys of
 * the rows before has the same bits. */
static void compare_generation(random_wave *r, int run, const fv_generation *g) {
  enum { MOST = 8 };
  fv_wave *w = r->wave, *chain[MOST] = {0};
  int space = w->model->answer_space, at_run = run, nreads = w->nreads;
  bool decodes = w->model->plan->spaces[space].generates;
  fv_run *at = &w->runs[run];
  const int32_t *ids = at->ids[space];
  int64_t T = at->T[space], V = r->V[run];
  int32_t *longer = fv_alloc((size_t)(T + g->count), sizeof *longer);
  float *decoded = fv_alloc((size_t)V, sizeof *decoded), *alone = fv_alloc((size_t)V, sizeof *alone);
  assert_true(g->count > 0 && g->count <= (decodes ? MOST : 1));
  if (decodes) memcpy(longer, ids, (size_t)T * sizeof *longer), at->ids[space] = longer;
  w->nreads = 0; /* the reads are of the prompt */
  for (int64_t i = 0; i < g->count; i++) {
    fv_error err;
    int32_t best = 0;
    at->T[space] = T + i;
    if (fv_run_full(w, run, copy_logits, alone, &err)) random_wave_fail(r, "prefix of run %d: %s", run, err.text);
    if (i == 0)
      memcpy(decoded, r->logits[run], (size_t)V * sizeof *decoded);
    else {
      at->T[space] = T, w->nreads = nreads;
      chain[i] = decode(r, i == 1 ? w : chain[i - 1], at_run, g->ids[i - 1], decoded, &at_run);
      w->nreads = 0;
    }
    compare_bits(r, "decoded logits", run, decoded, alone, V, "the whole prefix");
    for (int64_t v = 1; v < V; v++)
      if (alone[v] > alone[best]) best = (int32_t)v;
    if (best != g->ids[i])
      random_wave_fail(r, "run %d: generated id %lld is %d, and %d from the whole prefix", run, (long long)i, g->ids[i],
                       best);
    longer[T + i] = g->ids[i];
  }
  for (int i = MOST - 1; i >= 0; i--) fv_wave_free(chain[i]);
  w->nreads = nreads;
  at->ids[space] = ids, at->T[space] = T;
  free(longer), free(decoded), free(alone);
}

static void try_generation(random_wave *r, fv_rng *rng, random_counts *n) {
  int runs[RANDOM_RUNS], count = 0;
  fv_generation out[RANDOM_RUNS];
  fv_error err;
  for (int i = 0; i < r->nruns; i++)
    if (r->readout[i] && tiny_random(rng, 4) > 0) runs[count++] = i;
  if (fv_wave_generate(r->wave, runs, count, 1 + tiny_random(rng, 5), out, &err)) {
    if (err.status == FV_ENONFINITE) return;
    random_wave_fail(r, "generating failed: %s", err.text);
  }
  for (int i = 0; i < count; i++) {
    compare_generation(r, runs[i], &out[i]);
    n->generated += (int)out[i].count;
    fv_generation_release(&out[i]);
  }
}

void random_wave_try(const fv_model *one, const fv_model *two, const random_inputs *in1, const random_inputs *in2,
                     uint64_t seed, random_counts *n) {
  random_wave r, other;
  fv_rng rng;
  fv_rng_torch(&rng, (int64_t)seed + 1);
  random_wave_new(one, in1, seed, &r);
  n->waves++, n->edits += r.edits, n->refused += r.refused;
  bool split = !r.wave->options.generate && tiny_random(&rng, 3) == 0;
  if (split) {
    r.wave->options.memory = random_wave_smallest_memory(&r);
    fv_cost cost;
    OK(fv_wave_cost(r.wave, &cost, ERR));
    n->split += cost.parts > 1;
  }
  fv_status st = random_wave_compute(&r);
  n->nonfinite += st != FV_OK;
  if (!st && r.wave->options.generate && one->plan->output >= 0) try_generation(&r, &rng, n);
  if (!st && tiny_random(&rng, 4) == 0) {
    random_wave_new(two, in2, seed, &other);
    assert_int_equal(random_wave_compute(&other), FV_OK);
    random_wave_compare(&r, &other, split ? "two threads, not split" : "two threads");
    random_wave_release(&other);
    n->threads++;
  }
  if (!st) n->runs += random_wave_compare_full(&r);
  random_wave_release(&r);
}
