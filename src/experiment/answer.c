#include "fovea/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiment/metrics.h"
#include "kernel/kernel.h"

void fv_answer_release(fv_answer *a) {
  free(a->text), free(a->ids), free(a->top);
  *a = (fv_answer){0};
}

size_t fv_answer_settled(const char *before, const char *now) {
  size_t n = 0;
  while (before && now[n] && now[n] == before[n]) n++;
  while (n > 0 && ((unsigned char)now[n] & 0xC0) == 0x80) n--;
  while (n >= 3 && memcmp(now + n - 3, "\xEF\xBF\xBD", 3) == 0) n -= 3;
  return n;
}

void fv_probabilities(const float *logits, int64_t V, double *out) { fv_softmax_f64(V, logits, out); }

/* Without a value for every id, the ranks and sums below mean what fv_softmax_f64 says they mean. */
static void read_unusual(const float *logits, int64_t V, int32_t id, double *p, fv_metrics *out) {
  fv_softmax_f64(V, logits, p);
  *out = (fv_metrics){.prob = (float)p[id], .logit = logits[id], .kl = NAN};
  for (int64_t v = 0; v < V; v++) out->rank += logits[v] > logits[id];
}

void fv_metrics_compute(const float *logits, int64_t V, int32_t id, const double *clean, const double *log_clean,
                        fv_metrics *out) {
  double top = logits[0], sum = 0.0, kl = 0.0;
  *out = (fv_metrics){.logit = logits[id], .kl = NAN};
  for (int64_t v = 1; v < V; v++) top = logits[v] > top ? logits[v] : top;
  for (int64_t v = 0; v < V; v++) out->rank += logits[v] > logits[id];
  for (int64_t v = 0; v < V; v++) sum += exp(logits[v] - top);
  out->prob = (float)(exp(logits[id] - top) / sum);
  if (!clean) return;
  /* log p from the logits themselves, so that tiny probabilities do not become log 0. */
  double norm = top + log(sum);
  for (int64_t v = 0; v < V; v++)
    if (clean[v] > 0.0) kl += clean[v] * ((log_clean ? log_clean[v] : log(clean[v])) - (logits[v] - norm));
  out->kl = (float)(kl > 0.0 ? kl : 0.0);
}

void fv_metrics_read(const float *logits, int64_t V, int32_t id, const double *clean, double *scratch,
                     fv_metrics *out) {
  if (fv_all_finite(logits, V))
    fv_metrics_compute(logits, V, id, clean, NULL, out);
  else
    read_unusual(logits, V, id, scratch, out);
}

typedef struct reader {
  const fv_wave *wave;
  const int *runs;
  int64_t nruns, top;
  fv_answer *out;
} reader;

static fv_status read_top(void *user, int run, const float *logits, int64_t V, fv_error *err) {
  const reader *r = user;
  int64_t n = r->top < V ? r->top : V;
  double *p = fv_alloc((size_t)V, sizeof *p);
  if (!p) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_softmax_f64(V, logits, p);
  for (int64_t i = 0; i < r->nruns; i++) {
    if (r->runs[i] != run) continue;
    fv_answer *a = &r->out[i];
    free(a->top);
    a->top = fv_alloc((size_t)n, sizeof *a->top);
    if (!a->top) return free(p), fv_fail(err, FV_ENOMEM, "no memory");
    a->ntop = 0;
    for (int64_t v = 0; v < V; v++) { /* insertion: n is small, and ties keep the lower id first */
      int64_t k = a->ntop;
      while (k > 0 && logits[v] > a->top[k - 1].logit) k--;
      if (k >= n) continue;
      int64_t last = a->ntop < n ? a->ntop++ : n - 1;
      memmove(a->top + k + 1, a->top + k, (size_t)(last - k) * sizeof *a->top);
      const char *piece = fv_input_piece(fv_wave_input(r->wave, run), (int32_t)v);
      a->top[k] = (fv_top){(int32_t)v, piece ? piece : "", logits[v], p[v]};
    }
  }
  free(p);
  return FV_OK;
}

fv_status fv_answers(fv_wave *w, const int *runs, int64_t nruns, int64_t top, int64_t max_new,
                     const fv_progress *progress, fv_answer *out, fv_error *err) {
  if (top < 1) return fv_fail(err, FV_EUSAGE, "top is %lld, expected at least 1", (long long)top);
  reader r = {w, runs, nruns, top, out};
  memset(out, 0, (size_t)nruns * sizeof *out);
  fv_generation *g = fv_alloc((size_t)nruns, sizeof *g);
  fv_status st = g ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
  for (int64_t i = 0; i < nruns && !st; i++) st = fv_wave_readout(w, runs[i], read_top, &r, err);
  if (!st) st = fv_wave_compute(w, progress, err);
  if (!st) st = fv_wave_generate(w, runs, nruns, max_new, g, err);
  for (int64_t i = 0; i < nruns && !st; i++) {
    st = fv_input_answer_text(fv_wave_input(w, runs[i]), g[i].ids, (size_t)g[i].count, &out[i].text, err);
    out[i].ids = g[i].ids, out[i].nids = g[i].count;
    g[i] = (fv_generation){0};
  }
  for (int64_t i = 0; i < nruns && g; i++) fv_generation_release(&g[i]);
  for (int64_t i = 0; i < nruns && st; i++) fv_answer_release(&out[i]);
  free(g);
  return st;
}
