#include "cli.h"

void json_matrix(fv_json_out *j, const char *key, const double *v, int64_t rows, int64_t cols) {
  fv_json_out_begin(j, key, '[');
  for (int64_t i = 0; i < rows; i++) {
    fv_json_out_begin(j, NULL, '[');
    for (int64_t c = 0; c < cols; c++) fv_json_out_num(j, NULL, v[i * cols + c]);
    fv_json_out_end(j, ']');
  }
  fv_json_out_end(j, ']');
}

fv_status json_model(fv_json_out *j, cli_session *s) {
  char hash[65];
  fv_status st = fv_model_sha256(s->model, hash, &s->err);
  if (st) return st;
  fv_json_out_begin(j, "model", '{');
  fv_json_out_text(j, "family", fv_model_family(s->model));
  fv_json_out_text(j, "sha256", hash);
  fv_json_out_end(j, '}');
  return FV_OK;
}

void json_piece(fv_json_out *j, const char *key, int32_t id, const char *piece) {
  if (id < 0) {
    fv_json_out_text(j, key, NULL);
    return;
  }
  fv_json_out_begin(j, key, '{');
  fv_json_out_int(j, "id", id);
  fv_json_out_text(j, "piece", piece ? piece : "");
  fv_json_out_end(j, '}');
}

void json_question(fv_json_out *j, const fv_input_options *o) {
  fv_json_out_text(j, "question", o->question ? o->question : o->prompt);
  if (o->nprompts == 0) return;
  fv_json_out_begin(j, "prompts", '[');
  for (size_t i = 0; i < o->nprompts; i++) fv_json_out_text(j, NULL, o->prompts[i]);
  fv_json_out_end(j, ']');
}

void json_input(fv_json_out *j, const cli_session *s, const fv_input *in) {
  const char *stack = fv_model_question_stack(s->model);
  fv_json_out_begin(j, "input", '{');
  fv_json_out_text(j, "question", fv_input_text(in));
  if (fv_input_texts(in) > 0) {
    fv_json_out_begin(j, "prompts", '[');
    for (int64_t i = 0; i < fv_input_texts(in); i++) fv_json_out_text(j, NULL, fv_input_piece(in, (int32_t)i));
    fv_json_out_end(j, ']');
  }
  fv_json_out_begin(j, "rows", '[');
  int64_t n = stack ? fv_input_rows(in, stack) : 0;
  for (int64_t i = 0; i < n; i++) {
    fv_row_info row;
    if (fv_input_row(in, stack, i, &row, NULL)) continue;
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_int(j, "row", row.row);
    fv_json_out_int(j, "id", row.id);
    fv_json_out_text(j, "piece", row.piece);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
  fv_json_out_end(j, '}');
}

void json_answer(fv_json_out *j, const fv_answer *a) {
  fv_json_out_begin(j, "answer", '{');
  fv_json_out_text(j, "text", a->text);
  fv_json_out_begin(j, "ids", '[');
  for (int64_t i = 0; i < a->nids; i++) fv_json_out_int(j, NULL, a->ids[i]);
  fv_json_out_end(j, ']');
  fv_json_out_end(j, '}');
  fv_json_out_begin(j, "top", '[');
  for (int64_t i = 0; i < a->ntop; i++) {
    fv_json_out_begin(j, NULL, '{');
    fv_json_out_int(j, "id", a->top[i].id);
    fv_json_out_text(j, "piece", a->top[i].piece);
    fv_json_out_num(j, "logit", a->top[i].logit);
    fv_json_out_num(j, "prob", a->top[i].prob);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
}
