#include <math.h>
#include <string.h>

#include "cli.h"

static void quoted(FILE *f, const char *s) {
  fputc('"', f);
  for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
    if (*p == '"' || *p == '\\')
      fprintf(f, "\\%c", *p);
    else if (*p == '\n')
      fputs("\\n", f);
    else if (*p < 0x20 || *p == 0x7F)
      fprintf(f, "\\u%04x", *p);
    else
      fputc(*p, f);
  }
  fputc('"', f);
}

static void separate(json_out *j, const char *key) {
  if (!j->first[j->depth]) fputc(',', j->f);
  j->first[j->depth] = false;
  if (!key) return;
  quoted(j->f, key);
  fputc(':', j->f);
}

void json_begin(json_out *j, const char *key, char bracket) {
  if (j->depth > 0) separate(j, key);
  fputc(bracket, j->f);
  j->first[++j->depth] = true;
}

void json_end(json_out *j, char bracket) {
  fputc(bracket, j->f);
  if (--j->depth == 0) fputc('\n', j->f);
}

void json_text(json_out *j, const char *key, const char *value) {
  separate(j, key);
  if (value)
    quoted(j->f, value);
  else
    fputs("null", j->f);
}

void json_int(json_out *j, const char *key, int64_t value) {
  separate(j, key);
  fprintf(j->f, "%lld", (long long)value);
}

void json_whole_or_null(json_out *j, const char *key, int64_t value) {
  if (value >= 0)
    json_int(j, key, value);
  else
    json_text(j, key, NULL);
}

void json_num(json_out *j, const char *key, double value) {
  char text[FV_NUMBER_TEXT];
  separate(j, key);
  if (!isfinite(value)) {
    fputs("null", j->f);
    return;
  }
  fv_number_format(text, (float)value);
  fputs(text, j->f);
}

void json_bool(json_out *j, const char *key, bool value) {
  separate(j, key);
  fputs(value ? "true" : "false", j->f);
}

void json_matrix(json_out *j, const char *key, const double *v, int64_t rows, int64_t cols) {
  json_begin(j, key, '[');
  for (int64_t i = 0; i < rows; i++) {
    json_begin(j, NULL, '[');
    for (int64_t c = 0; c < cols; c++) json_num(j, NULL, v[i * cols + c]);
    json_end(j, ']');
  }
  json_end(j, ']');
}

fv_status json_model(json_out *j, cli_session *s) {
  char hash[65];
  fv_status st = fv_model_sha256(s->model, hash, &s->err);
  if (st) return st;
  json_begin(j, "model", '{');
  json_text(j, "family", fv_model_family(s->model));
  json_text(j, "sha256", hash);
  json_end(j, '}');
  return FV_OK;
}

void json_piece(json_out *j, const char *key, int32_t id, const char *piece) {
  if (id < 0) {
    json_text(j, key, NULL);
    return;
  }
  json_begin(j, key, '{');
  json_int(j, "id", id);
  json_text(j, "piece", piece ? piece : "");
  json_end(j, '}');
}

void json_question(json_out *j, const fv_input_options *o) {
  json_text(j, "question", o->question ? o->question : o->prompt);
  if (o->nprompts == 0) return;
  json_begin(j, "prompts", '[');
  for (size_t i = 0; i < o->nprompts; i++) json_text(j, NULL, o->prompts[i]);
  json_end(j, ']');
}

void json_input(json_out *j, const cli_session *s, const fv_input *in) {
  const char *stack = fv_model_question_stack(s->model);
  json_begin(j, "input", '{');
  json_text(j, "question", fv_input_text(in));
  if (fv_input_texts(in) > 0) {
    json_begin(j, "prompts", '[');
    for (int64_t i = 0; i < fv_input_texts(in); i++) json_text(j, NULL, fv_input_piece(in, (int32_t)i));
    json_end(j, ']');
  }
  json_begin(j, "rows", '[');
  int64_t n = stack ? fv_input_rows(in, stack) : 0;
  for (int64_t i = 0; i < n; i++) {
    fv_row_info row;
    if (fv_input_row(in, stack, i, &row, NULL)) continue;
    json_begin(j, NULL, '{');
    json_int(j, "row", row.row);
    json_int(j, "id", row.id);
    json_text(j, "piece", row.piece);
    json_end(j, '}');
  }
  json_end(j, ']');
  json_end(j, '}');
}

void json_answer(json_out *j, const fv_answer *a) {
  json_begin(j, "answer", '{');
  json_text(j, "text", a->text);
  json_begin(j, "ids", '[');
  for (int64_t i = 0; i < a->nids; i++) json_int(j, NULL, a->ids[i]);
  json_end(j, ']');
  json_end(j, '}');
  json_begin(j, "top", '[');
  for (int64_t i = 0; i < a->ntop; i++) {
    json_begin(j, NULL, '{');
    json_int(j, "id", a->top[i].id);
    json_text(j, "piece", a->top[i].piece);
    json_num(j, "logit", a->top[i].logit);
    json_num(j, "prob", a->top[i].prob);
    json_end(j, '}');
  }
  json_end(j, ']');
}
